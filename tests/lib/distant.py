#!/usr/bin/env python3
"""distant.py PORT COMMANDS - makes a server on this machine a distant one: prints the port that leads to it, 5 ms further away in each direction.

Each line that a client sends and that begins like an SMTP command is counted; COMMANDS is a file that says how many there were of each: "BDAT 17"."""

import asyncio
import collections
import re
import sys

DELAY_S = 0.005
COMMAND = re.compile(rb"(?:^|\n)(MAIL|BDAT|DATA)(?= FROM:| [0-9]+ LAST\r|\r)")
commands = collections.Counter()


async def carry(reader, writer, seen):
    loop = asyncio.get_running_loop()
    while data := await reader.read(65536):
        seen(data)
        loop.call_later(DELAY_S, writer.write, data)
    loop.call_later(DELAY_S, writer.close)


def count(data):
    commands.update(word.decode() for word in COMMAND.findall(data))
    with open(sys.argv[2], "w", encoding="ascii") as file:
        file.writelines("%s %d\n" % entry for entry in sorted(commands.items()))


async def serve(reader, writer):
    there, back = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    await asyncio.gather(carry(reader, back, count), carry(there, writer, lambda data: None))


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
