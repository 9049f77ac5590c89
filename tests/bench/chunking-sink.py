#!/usr/bin/env python3
"""chunking-sink.py - an SMTP server that accepts everything and keeps nothing, with PIPELINING, CHUNKING (RFC 3030) and ENHANCEDSTATUSCODES: smtp-sink has no BDAT.
Prints its port."""

import asyncio

FEATURES = ("sink", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "SMTPUTF8", "SIZE 104857600")
HELLO = "".join("250%s%s\r\n" % ("-" if feature != FEATURES[-1] else " ", feature) for feature in FEATURES)


async def answer(line, reader, writer):
    verb = line.split()[0].upper() if line.split() else b""
    if verb in (b"EHLO", b"HELO"):
        return HELLO
    if verb == b"BDAT":
        words = line.split()
        await reader.readexactly(int(words[1]))
        return "250 2.0.0 stored\r\n" if words[-1].upper() == b"LAST" else "250 2.0.0 go on\r\n"
    if verb == b"DATA":
        writer.write(b"354 go on\r\n")
        await reader.readuntil(b"\r\n.\r\n")
        return "250 2.0.0 stored\r\n"
    if verb == b"QUIT":
        return "221 2.0.0 bye\r\n"
    return "250 2.1.5 well\r\n" if verb == b"RCPT" else "250 2.1.0 well\r\n"


async def serve(reader, writer):
    writer.write(b"220 sink ESMTP\r\n")
    try:
        while line := await reader.readline():
            writer.write((await answer(line, reader, writer)).encode())
            if line[:4].upper() == b"QUIT":
                break
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
