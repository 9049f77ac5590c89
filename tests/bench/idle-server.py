#!/usr/bin/env python3
"""idle-server.py PORT CERTIFICATE KEY - an IMAP server over TLS with an empty INBOX for anybody, which never has any news: for thousands who wait."""

import asyncio
import ssl
import sys

CAPABILITIES = "CAPABILITY IMAP4rev1 IDLE"


def answers(tag, word):
    if word == "CAPABILITY":
        return ["* " + CAPABILITIES]
    if word == "LOGIN":
        return []
    if word in ("SELECT", "EXAMINE"):
        return ["* 0 EXISTS", "* OK [UIDVALIDITY 1] ok", "* OK [UIDNEXT 1] ok"]
    if word == "LOGOUT":
        return ["* BYE bye"]
    return []


class Session:
    """Like Dovecot, it answers DONE at once, and other commands that came together in one piece."""

    def __init__(self, writer):
        self.writer, self.idle, self.held = writer, None, ""

    def send(self):
        self.writer.write(self.held.encode())
        self.held = ""

    def take(self, line):
        """False: that was the last."""
        if line == "DONE":
            self.held += "%s OK done\r\n" % self.idle
            self.send()
            return True
        tag, word = line.split()[0], line.split()[1].upper()
        if word == "IDLE":
            self.idle = tag
            self.held += "+ idling\r\n"
            return True
        self.held += "".join(answer + "\r\n" for answer in answers(tag, word)) + tag + " OK done\r\n"
        return word != "LOGOUT"


async def serve(reader, writer):
    session, stays = Session(writer), True
    writer.write(("* OK [%s] ready\r\n" % CAPABILITIES).encode())
    try:
        while stays and (piece := await reader.read(65536)):
            for line in piece.decode().splitlines():
                stays = stays and session.take(line)
            session.send()
    except (ConnectionError, ssl.SSLError):
        pass
    writer.close()


async def main(port, certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(serve, "0.0.0.0", int(port), ssl=context, backlog=1024)
    async with server:
        await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
