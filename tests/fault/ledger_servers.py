"""ledger_servers.py - a POP3 and an IMAP server, an SMTP and an LMTP sink that keep a ledger of what they did.

One process, plain text on loopback, ports chosen by the kernel. Every message that is listed, fetched, deleted, expunged, moved or accepted is one line
of the ledger, written with O_APPEND before the client can know of it: "accepted" stands there before the 250 leaves. POP3 deletes at QUIT only, IMAP at
EXPUNGE and MOVE only. A network fault cuts or stalls the k-th connection after n bytes of one direction.

Usable as a module (tests/fault/run_faults.py), or by hand: ledger_servers.py LEDGER PORTS-FILE [MESSAGES], until it is stopped.
"""
import hashlib
import os
import re
import socket
import sys
import threading

MARK = b"X-Ledger: "
UID_BASE = 1000
STALL_SECONDS = 30


def make_message(number, size):
    """The same bytes in every process: lines of all kinds, leading dots, 8 bit, no NUL."""
    head = (
        f"X-Ledger: {number}\r\nReturn-Path: <sender-{number}@ledger.test>\r\nReceived: from a by b; Thu, 1 Jan 2026 00:00:{number % 60:02d} +0000\r\n"
        f"Message-ID: <ledger-{number}@ledger.test>\r\nDate: Thu, 1 Jan 2026 00:00:{number % 60:02d} +0000\r\n"
        f"From: sender-{number}@ledger.test\r\nSubject: number {number}\r\n\r\n"
    ).encode()
    lines = [b".", b"..", b"From here", b"", b"caf\xc3\xa9 " * 7, b"x" * 71, b".hidden", b"number %d" % number]
    body = bytearray()
    index = number
    while len(head) + len(body) < size:
        body += lines[index % len(lines)] + b"\r\n"
        index += 1
    return bytes(head + body) if body else head + b"one line\r\n"


def make_messages(count, large=0):
    """Small ones mostly, some of 20 to 60 KB; LARGE bytes for number 3, if given, so that its spool is a file."""
    sizes = [300 + 97 * n for n in range(count + 1)]
    for n in range(5, count + 1, 5):
        sizes[n] = 20000 + 2000 * n
    if large and count >= 3:
        sizes[3] = large
    return {n: make_message(n, sizes[n]) for n in range(1, count + 1)}


def digest(data):
    """Of a message as it left the source: what was prepended is cut off, line ends do not count."""
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()[:16]


def identify(data):
    """(number, digest, X-Mailhaul-Id) of a message as it arrived somewhere; number 0: it is none of ours."""
    start = data.find(MARK)
    if start < 0:
        return 0, "-", "-"
    number = re.match(rb"\d+", data[start + len(MARK):])
    ident = re.search(rb"^X-Mailhaul-Id: *(\S+)", data[:start], re.M)
    return int(number.group()) if number else 0, digest(data[start:]), ident.group(1).decode() if ident else "-"


class World:
    """A mailbox and the ledger of what happens to it."""

    def __init__(self, path, messages):
        self.messages = dict(messages)   # what is still at the source
        self.digests = {n: digest(data) for n, data in messages.items()}
        self.flags = {}
        self.archive = {}
        self.lock = threading.Lock()
        self.ledger = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.arrivals = {}               # (destination, number) -> [digest, ...]
        self.missing = []                # [(number, destination), ...] of messages taken away before they had arrived
        self.has_arrived = {}            # destination -> function(number): asked when the source loses a message

    def write(self, *words):
        os.write(self.ledger, (" ".join(str(word) for word in words) + "\n").encode())

    def accept(self, destination, data):
        number, what, ident = identify(data)
        with self.lock:
            self.arrivals.setdefault((destination, number), []).append((what, ident))
            self.write("accepted", destination, number, what, ident)

    def remove(self, number, how, folder=None):
        with self.lock:
            data = self.messages.pop(number, None)
            if data is None:
                return
            if folder is not None:
                self.archive[number] = data
            late = [name for name, asked in self.has_arrived.items() if not asked(number)]
            self.missing += [(number, name) for name in late]
            self.write(how, number, *(["before", *late] if late else []))

    def close(self):
        os.close(self.ledger)


class Cut(Exception):
    pass


class Fault:
    """Connection K (from 1) of a service: cut or stall after N bytes read from (in) or written to (out) the client."""

    def __init__(self, connection, direction, count, how):
        self.connection, self.direction, self.count, self.how = connection, direction, count, how
        self.fired = False


class Wire:
    def __init__(self, sock, fault):
        self.sock, self.fault, self.buffer = sock, fault, b""
        self.moved = {"in": 0, "out": 0}

    def _allow(self, direction, want):
        fault = self.fault
        if fault is None or fault.direction != direction:
            return want
        left = fault.count - self.moved[direction]
        if left <= 0:
            fault.fired = True
            if fault.how == "stall":
                self._stall()
            raise Cut()
        return min(want, left)

    def _stall(self):
        """Until the client gives up."""
        self.sock.settimeout(STALL_SECONDS)
        try:
            while self.sock.recv(65536):
                pass
        except OSError:
            pass

    def fill(self):
        want = self._allow("in", 65536)
        data = self.sock.recv(want)
        if not data:
            raise Cut()
        self.moved["in"] += len(data)
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def exactly(self, count):
        while len(self.buffer) < count:
            self.fill()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def send(self, data):
        while data:
            allowed = self._allow("out", len(data))
            self.sock.sendall(data[:allowed])
            self.moved["out"] += allowed
            data = data[allowed:]

    def say(self, text):
        self.send(text.encode() + b"\r\n")


def stuff(data):
    return b"".join(b"." + line if line.startswith(b".") else line for line in data.splitlines(True)) + b".\r\n"


def serve_pop3(wire, world, _):
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


def uid_set(text, uids):
    chosen = []
    for part in text.split(","):
        low, _, high = part.partition(":")
        top = max(uids, default=0)
        low = top if low == "*" else int(low)
        high = low if high == "" else top if high == "*" else int(high)
        chosen += [uid for uid in uids if min(low, high) <= uid <= max(low, high)]
    return chosen


class Imap:
    CAPABILITIES = "IMAP4rev1 UIDPLUS MOVE"

    def __init__(self, wire, world):
        self.wire, self.world = wire, world
        self.view = []   # UIDs by sequence number

    def select(self):
        self.view = [UID_BASE + n for n in sorted(self.world.messages)]
        self.wire.say(
            f"* {len(self.view)} EXISTS\r\n* 0 RECENT\r\n* FLAGS (\\Seen \\Deleted)\r\n* OK [PERMANENTFLAGS (\\Seen \\Deleted)] ok\r\n"
            f"* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT {UID_BASE + 500}] ok"
        )
        self.done("[READ-WRITE] ok")

    def done(self, text="done"):
        self.wire.say(f"{self.tag} OK {text}")

    def fetch(self, uid, items):
        number = uid - UID_BASE
        data = self.world.messages.get(number)
        if data is None:
            return
        head = f"* {self.view.index(uid) + 1} FETCH (UID {uid}"
        if "BODY" in items:
            self.world.write("fetched", number)
            self.wire.send(f"{head} BODY[] {{{len(data)}}}\r\n".encode() + data + b")\r\n")
        else:
            self.world.write("listed", number)
            flags = " ".join(sorted(self.world.flags.get(number, ())))
            self.wire.say(f'{head} RFC822.SIZE {len(data)} INTERNALDATE "01-Jan-2026 00:00:{number % 60:02d} +0000" FLAGS ({flags}))')

    def gone(self, uid, how, folder=None):
        self.world.remove(uid - UID_BASE, how, folder)
        self.wire.say(f"* {self.view.index(uid) + 1} EXPUNGE")
        self.view.remove(uid)

    def uid(self, rest):
        command, _, rest = rest.partition(" ")
        command = command.upper()
        if command == "EXPUNGE":
            for uid in uid_set(rest, self.view):
                if "\\Deleted" in self.world.flags.get(uid - UID_BASE, ()):
                    self.gone(uid, "expunged")
            return self.done()
        which, _, rest = rest.partition(" ")
        uids = uid_set(which, self.view)
        if command == "FETCH":
            for uid in uids:
                self.fetch(uid, rest.upper())
        elif command == "STORE":
            for uid in uids:
                self.world.flags.setdefault(uid - UID_BASE, set()).update(re.findall(r"\\\w+", rest))
                if "\\Deleted" in rest:
                    self.world.write("deleted", uid - UID_BASE)
        elif command == "MOVE":
            for uid in uids:
                self.gone(uid, "moved", rest)
        else:
            return self.wire.say(f"{self.tag} BAD what?")
        return self.done()

    def run(self):
        self.wire.say(f"* OK [CAPABILITY {self.CAPABILITIES}] ledger")
        while True:
            line = self.wire.line().decode("latin-1")
            self.tag, _, rest = line.partition(" ")
            command, _, rest = rest.partition(" ")
            command = command.upper()
            if command == "CAPABILITY":
                self.wire.say(f"* CAPABILITY {self.CAPABILITIES}")
                self.done()
            elif command in ("LOGIN", "NOOP", "CREATE", "CHECK", "SUBSCRIBE"):
                self.done()
            elif command in ("SELECT", "EXAMINE"):
                self.select()
            elif command == "LIST":
                self.wire.say('* LIST () "/" INBOX')
                self.done()
            elif command in ("CLOSE", "UNSELECT"):
                self.done()
            elif command == "UID":
                self.uid(rest)
            elif command == "LOGOUT":
                self.wire.say("* BYE")
                self.done()
                return
            else:
                self.wire.say(f"{self.tag} BAD what?")


def serve_imap(wire, world, _):
    Imap(wire, world).run()


def serve_sink(wire, world, options, name, lmtp):
    recipients = 0
    wire.say("220 ledger.test ESMTP")
    while True:
        line = wire.line().decode("latin-1")
        command = line.split(" ", 1)[0].upper()
        if command in ("EHLO", "LHLO"):
            wire.say("250-ledger.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 0\r\n250 ENHANCEDSTATUSCODES")
        elif command == "MAIL":
            recipients = 0
            wire.say("250 2.1.0 ok")
        elif command == "RCPT":
            recipients += 1
            wire.say("250 2.1.5 ok")
        elif command == "DATA" and recipients:
            wire.say("354 go on")
            data = bytearray()
            while (line := wire.line()) != b".":
                data += (line[1:] if line.startswith(b".") else line) + b"\r\n"
            world.accept(name, bytes(data))
            if options.get("no_answer"):
                wire._stall()
                return
            for _ in range(recipients if lmtp else 1):
                wire.say("250 2.0.0 accepted")
            recipients = 0
        elif command in ("RSET", "NOOP"):
            wire.say("250 2.0.0 ok")
        elif command == "QUIT":
            wire.say("221 2.0.0 bye")
            return
        else:
            wire.say("503 5.5.1 what?")


SERVICES = {
    "pop3": serve_pop3,
    "imap": serve_imap,
    "smtp": lambda wire, world, options: serve_sink(wire, world, options, "smtp", False),
    "lmtp": lambda wire, world, options: serve_sink(wire, world, options, "lmtp", True),
}


class Servers:
    """All services; what they serve is the world set last, each connection that of its birth."""

    def __init__(self):
        self.world, self.ports, self.options = None, {}, {}
        self.faults, self.connections = {}, {}
        self.traffic = {}   # (service, connection) -> {"in": bytes, "out": bytes}
        self.idle = threading.Condition()
        self.busy = 0
        for name in SERVICES:
            listener = socket.create_server(("127.0.0.1", 0), backlog=64)
            self.ports[name] = listener.getsockname()[1]
            threading.Thread(target=self._listen, args=(name, listener), daemon=True).start()

    def begin(self, world, faults=None, options=None):
        """FAULTS: service -> Fault. Nobody may be connected."""
        self.drain()
        self.world, self.faults, self.options, self.connections, self.traffic = world, faults or {}, options or {}, {}, {}

    def drain(self):
        """Until every connection is closed and everything in it has been dealt with."""
        with self.idle:
            if not self.idle.wait_for(lambda: self.busy == 0, timeout=60):
                raise RuntimeError("a connection stays open")

    def _listen(self, name, listener):
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.idle:
                self.busy += 1
            number = self.connections[name] = self.connections.get(name, 0) + 1
            fault = self.faults.get(name)
            wire = Wire(sock, fault if fault is not None and fault.connection == number else None)
            self.traffic[name, number] = wire.moved
            threading.Thread(target=self._serve, args=(name, wire, self.world), daemon=True).start()

    def _serve(self, name, wire, world):
        try:
            SERVICES[name](wire, world, self.options)
        except (Cut, OSError):
            pass
        finally:
            wire.sock.close()
            with self.idle:
                self.busy -= 1
                self.idle.notify_all()


def main():
    ledger, ports_file = sys.argv[1:3]
    servers = Servers()
    servers.begin(World(ledger, make_messages(int(sys.argv[3]) if len(sys.argv) > 3 else 20)))
    with open(ports_file + ".new", "w", encoding="utf-8") as file:
        file.writelines(f"{name} {port}\n" for name, port in servers.ports.items())
    os.rename(ports_file + ".new", ports_file)
    threading.Event().wait()


if __name__ == "__main__":
    main()
