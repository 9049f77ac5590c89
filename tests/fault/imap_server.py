"""imap_server.py - an IMAP server over a world, one folder. Deletes at EXPUNGE and MOVE only. RFC 3501, RFC 4315, RFC 6851."""
import re

UID_BASE = 1000


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


def serve_imap(wire, world):
    Imap(wire, world).run()
