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


async def serve(reader, writer):
    idle = None
    writer.write(("* OK [%s] ready\r\n" % CAPABILITIES).encode())
    try:
        while line := (await reader.readline()).decode().split():
            if line[0] == "DONE":
                writer.write(("%s OK done\r\n" % idle).encode())
                continue
            tag, word = line[0], line[1].upper()
            if word == "IDLE":
                idle = tag
                writer.write(b"+ idling\r\n")
                continue
            writer.write(("".join(answer + "\r\n" for answer in answers(tag, word)) + tag + " OK done\r\n").encode())
            await writer.drain()
            if word == "LOGOUT":
                break
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
