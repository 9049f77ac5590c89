"""world.py - a mailbox, and the ledger of what happens to its messages.

Every message that is listed, fetched, deleted, expunged, moved or accepted is one line of the ledger, written with O_APPEND before the client can know
of it: "accepted" stands there before the 250 leaves.
"""
import os
import threading

from messages import digest, identify


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
        self.most_open = 0               # messages that the sink had in one connection, complete and without verdict

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
