"""pop3_server.py - a POP3 server over a world. Deletes at QUIT only. RFC 1939, RFC 2449."""


def stuff(data):
    return b"".join(b"." + line if line.startswith(b".") else line for line in data.splitlines(True)) + b".\r\n"


def serve_pop3(wire, world):
    listed = sorted(world.messages)
    data_of = [world.messages[n] for n in listed]
    deleted = set()
    wire.say("+OK ledger")
    while True:
        words = wire.line().decode("latin-1").split()
        command = words[0].upper() if words else ""
        index = int(words[1]) - 1 if len(words) > 1 and words[1].isdigit() else -1
        exists = 0 <= index < len(listed) and index not in deleted
        if command == "CAPA":
            wire.say("+OK\r\nUSER\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\n.")
        elif command in ("USER", "PASS", "NOOP"):
            wire.say("+OK")
        elif command == "STAT":
            wire.say(f"+OK {len(listed)} {sum(map(len, data_of))}")
        elif command == "LIST":
            world.write("listed", *listed)
            wire.send(b"+OK\r\n" + b"".join(b"%d %d\r\n" % (i + 1, len(d)) for i, d in enumerate(data_of)) + b".\r\n")
        elif command == "UIDL":
            wire.send(b"+OK\r\n" + b"".join(b"%d ledger-%d\r\n" % (i + 1, n) for i, n in enumerate(listed)) + b".\r\n")
        elif command == "RETR" and exists:
            world.write("fetched", listed[index])
            wire.send(b"+OK\r\n" + stuff(data_of[index]))
        elif command == "DELE" and exists:
            deleted.add(index)
            world.write("deleted", listed[index])
            wire.say("+OK")
        elif command == "RSET":
            deleted.clear()
            wire.say("+OK")
        elif command == "QUIT":
            for gone in sorted(deleted):
                world.remove(listed[gone], "expunged")
            wire.say("+OK")
            return
        else:
            wire.say("-ERR what?")
