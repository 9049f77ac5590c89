"""sink_server.py - an SMTP or LMTP server that accepts everything, into a world. RFC 5321, RFC 2033, RFC 2920, RFC 3030.

What the options of the servers may say to it: chunking (offer it), delay_s (every answer is this late, as over a distance; requests are read meanwhile),
spoil (number -> "cut", "reset" or "stall": each time that message is stored, and its answer never sent), lose_after (the connection is cut behind
every so many answers to a message).
"""
import queue
import threading
import time

from messages import identify
from wire import Cut


class Answers:
    """What is said to the client; with a delay by a thread of its own, in order. Counts the messages that are complete and without verdict."""

    def __init__(self, wire, delay_s):
        self.wire, self.delay_s = wire, delay_s
        self.lock = threading.Lock()
        self.open = self.most_open = 0
        self.queue = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, daemon=True)
        if delay_s:
            self.thread.start()

    def say(self, text, verdicts=0):
        if self.delay_s:
            self.queue.put((time.monotonic() + self.delay_s, text, verdicts))
        else:
            self._say(text, verdicts)

    def _say(self, text, verdicts):
        with self.lock:
            self.open -= verdicts
        self.wire.say(text)

    def _run(self):
        while (entry := self.queue.get()) is not None:
            due, text, verdicts = entry
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                self._say(text, verdicts)
            except (Cut, OSError):
                return

    def received(self):
        with self.lock:
            self.open += 1
            self.most_open = max(self.most_open, self.open)

    def close(self, at_once):
        """When everything has been said; or at once, and what was not said stays unsaid."""
        if not self.delay_s:
            return
        while at_once and not self.queue.empty():
            self.queue.get()
        self.queue.put(None)
        self.thread.join()


class Session:
    def __init__(self, wire, world, options, name):
        self.wire, self.world, self.options, self.name = wire, world, options, name
        self.answers = Answers(wire, options.get("delay_s", 0))
        self.recipients, self.chunks, self.taken = 0, b"", 0

    def take(self, data):
        """A whole message: stored, and answered unless that is to be spoiled."""
        self.answers.received()
        self.world.accept(self.name, data)
        spoil = self.options.get("spoil", {}).get(identify(data)[0])
        if spoil is not None:
            self.wire.end(spoil)
        for turn in range(self.recipients if self.name == "lmtp" else 1):
            self.answers.say("250 2.0.0 accepted", verdicts=turn == 0)
        self.recipients = 0
        self.taken += 1
        if self.taken == self.options.get("lose_after"):
            raise Cut()

    def data(self):
        """None of our messages is empty: there is a line before the dot."""
        self.answers.say("354 go on")
        stuffed = b"\r\n" + self.wire.until(b"\r\n.\r\n") + b"\r\n"
        self.take(stuffed.replace(b"\r\n.", b"\r\n")[2:])

    def chunk(self, words):
        self.chunks += self.wire.exactly(int(words[1]))
        if len(words) < 3:
            self.answers.say("250 2.0.0 more")
            return
        data, self.chunks = self.chunks, b""
        self.take(data)

    def greet(self):
        words = ["ledger.test", "PIPELINING", "8BITMIME", "SIZE 0"] + (["CHUNKING"] if self.options.get("chunking") else []) + ["ENHANCEDSTATUSCODES"]
        self.answers.say("\r\n".join(f"250{'-' if word != words[-1] else ' '}{word}" for word in words))

    def run(self):
        self.answers.say("220 ledger.test ESMTP")
        while True:
            words = self.wire.line().decode("latin-1").upper().split()
            command = words[0] if words else ""
            if command == "HELO":
                self.answers.say("250 ledger.test")
            elif command in ("EHLO", "LHLO"):
                self.greet()
            elif command == "MAIL":
                self.recipients = 0
                self.answers.say("250 2.1.0 ok")
            elif command == "RCPT":
                self.recipients += 1
                self.answers.say("250 2.1.5 ok")
            elif command == "DATA" and self.recipients:
                self.data()
            elif command == "BDAT" and self.recipients:
                self.chunk(words)
            elif command in ("RSET", "NOOP"):
                self.chunks = b""
                self.answers.say("250 2.0.0 ok")
            elif command == "QUIT":
                self.answers.say("221 2.0.0 bye")
                return
            else:
                self.answers.say("503 5.5.1 what?")


def serve_sink(wire, world, options, name):
    session = Session(wire, world, options, name)
    cut = True
    try:
        session.run()
        cut = False
    finally:
        session.answers.close(cut)
        world.most_open = max(world.most_open, session.answers.most_open)
