"""rows.py - what is measured, and the goals. Mailboxes are made by bench.sh: small-N has N messages of 4 KiB, mixed 1000 of many sizes, large one of 50 MiB,
ten-0 to ten-9 a hundred each, kept-N has N messages that nobody wants, thousand-0 to thousand-999 nothing or one."""

from dataclasses import dataclass, field


@dataclass
class Row:
    name: str
    title: str
    users: list
    protocol: str = "imaps"
    round_trip: int = 0  # ms between client and source
    sink: str = "maildir"  # maildir, smtp, lmtp, chunking, mda
    sink_round_trip: int = 0
    messages: int = 0
    again: bool = False  # run once unmeasured, then measured with nothing new
    seen: bool = False
    count: list = field(default_factory=list)  # users with fewer and more messages, for system calls and instructions per message
    memory: bool = False  # peak memory of each process
    slow_disk: bool = False  # every sync takes 5 ms more
    places: int = 0
    only: tuple = ()


SMALL = ["small-1000"]
PAIR = [("small-100", 100), ("small-300", 300)]
TEN = ["ten-%d" % i for i in range(10)]
# Where the slow ones would only wait once more for what other rows show.
QUICK = ("mailhaul", "floor", "mbsync", "mpop", "fdm")

ROWS = [
    Row("imaps-0ms-maildir", "1000 x 4 KiB, IMAPS, to Maildir", SMALL, messages=1000, count=PAIR),
    Row("imaps-40ms-maildir", "1000 x 4 KiB, IMAPS, 40 ms, to Maildir", SMALL, round_trip=40, messages=1000),
    Row("imaps-0ms-smtp", "1000 x 4 KiB, IMAPS, to SMTP", SMALL, sink="smtp", messages=1000, count=PAIR),
    Row("imaps-40ms-smtp", "1000 x 4 KiB, IMAPS, 40 ms, to SMTP", SMALL, round_trip=40, sink="smtp", messages=1000),
    Row("imaps-0ms-lmtp", "1000 x 4 KiB, IMAPS, to LMTP", SMALL, sink="lmtp", messages=1000),
    Row("imaps-40ms-lmtp", "1000 x 4 KiB, IMAPS, 40 ms, to LMTP", SMALL, round_trip=40, sink="lmtp", messages=1000),
    Row("pop3s-0ms-maildir", "1000 x 4 KiB, POP3S, to Maildir", SMALL, "pop3s", messages=1000, count=PAIR),
    Row("pop3s-40ms-maildir", "1000 x 4 KiB, POP3S, 40 ms, to Maildir", SMALL, "pop3s", round_trip=40, messages=1000),
    Row("pop3s-0ms-smtp", "1000 x 4 KiB, POP3S, to SMTP", SMALL, "pop3s", sink="smtp", messages=1000),
    Row("pop3s-40ms-smtp", "1000 x 4 KiB, POP3S, 40 ms, to SMTP", SMALL, "pop3s", round_trip=40, sink="smtp", messages=1000),
    Row("imaps-40ms-mixed", "1000 of many sizes, IMAPS, 40 ms, to Maildir", ["mixed"], round_trip=40, messages=1000,
        only=("mailhaul", "floor", "mbsync")),
    Row("imaps-0ms-large-maildir", "50 MiB, IMAPS, to Maildir", ["large"], messages=1, memory=True),
    Row("imaps-0ms-large-smtp", "50 MiB, IMAPS, to SMTP", ["large"], sink="smtp", messages=1, memory=True),
    Row("imaps-0ms-large-lmtp", "50 MiB, IMAPS, to LMTP", ["large"], sink="lmtp", messages=1, memory=True),
    Row("pop3s-0ms-large-maildir", "50 MiB, POP3S, to Maildir", ["large"], "pop3s", messages=1, memory=True),
    Row("pop3s-0ms-large-mda", "50 MiB, POP3S, to a program", ["large"], "pop3s", sink="mda", messages=1, memory=True),
    Row("imaps-40ms-one", "1 mailbox x 100, IMAPS, 40 ms, to Maildir", TEN[:1], round_trip=40, messages=100, only=QUICK),
    Row("imaps-40ms-ten", "10 mailboxes x 100, IMAPS, 40 ms, to Maildir", TEN, round_trip=40, messages=1000, only=QUICK),
    Row("pop3s-40ms-ten", "10 mailboxes x 100, POP3S, 40 ms, to Maildir", TEN, "pop3s", round_trip=40, messages=1000, only=QUICK),
    Row("imaps-40ms-idle", "nothing new, IMAPS, 40 ms", TEN[:1], round_trip=40, again=True),
    Row("pop3s-40ms-idle", "nothing new, POP3S, 40 ms", TEN[:1], "pop3s", round_trip=40, again=True),
    Row("imaps-40ms-ten-idle", "nothing new in 10 mailboxes, IMAPS, 40 ms", TEN, round_trip=40, again=True, only=QUICK),
    Row("pop3s-0ms-kept-20000", "nothing new beside 20 000 kept, POP3S", ["kept-20000"], "pop3s", again=True, seen=True),
    Row("pop3s-0ms-kept-200000", "nothing new beside 200 000 kept, POP3S", ["kept-200000"], "pop3s", again=True, seen=True),
    Row("far-smtp-40ms", "1000 x 4 KiB, IMAPS, to an SMTP server 40 ms away", SMALL, sink="smtp", sink_round_trip=40, messages=1000, only=("mailhaul",)),
    Row("far-chunking-40ms", "1000 x 4 KiB, IMAPS, to an SMTP server with CHUNKING 40 ms away", SMALL, sink="chunking", sink_round_trip=40, messages=1000,
        only=("mailhaul",)),
    Row("slow-disk-maildir", "1000 x 4 KiB, IMAPS, 40 ms, to Maildir, slow disk", SMALL, round_trip=40, messages=1000, slow_disk=True,
        only=("mailhaul", "mbsync")),
    Row("slow-disk-smtp", "1000 x 4 KiB, IMAPS, 40 ms, to SMTP, slow disk", SMALL, round_trip=40, sink="smtp", messages=1000, slow_disk=True,
        only=("mailhaul",)),
    Row("thousand", "1000 mailboxes, 4 with mail, 64 at a time, IMAPS, to Maildir", ["thousand-%d" % i for i in range(1000)], messages=4, places=64,
        only=("mailhaul", "floor")),
]


class Goals:
    """The goals over the results of one run: of each the words, the figure that was measured, and what it may be at most. A figure that cannot be had is left out."""

    def __init__(self, results):
        self.results = results

    def of(self, row, program, what="seconds"):
        return self.results[row]["programs"][program].get(what)

    def ours(self, row, what="seconds"):
        return self.of(row, "mailhaul", what)

    def best(self, row, what="seconds", but=("mailhaul", "floor")):
        figures = [figures.get(what) for name, figures in self.results[row]["programs"].items() if name not in but]
        return min(figure for figure in figures if figure is not None)

    def against(self, words, most, row, program, what="seconds"):
        return (words, lambda: self.ours(row, what) / self.of(row, program, what), most)

    def against_best(self, words, most, row, what="seconds"):
        return (words, lambda: self.ours(row, what) / self.best(row, what), most)

    def all(self):
        goals = [
            self.against("IMAPS, 40 ms, to Maildir: time / mbsync's", 0.45, "imaps-40ms-maildir", "mbsync"),
            self.against("IMAPS, 40 ms, to Maildir: time / floor", 2.5, "imaps-40ms-maildir", "floor"),
            self.against("IMAPS, 40 ms, to SMTP: time / fetchmail's", 1 / 300, "imaps-40ms-smtp", "fetchmail"),
            self.against("IMAPS, 40 ms, to SMTP: time / floor", 2.5, "imaps-40ms-smtp", "floor"),
            self.against("IMAPS, 40 ms, to LMTP: time / floor", 2.5, "imaps-40ms-lmtp", "floor"),
            self.against("POP3S, 40 ms, to Maildir: time / mpop's", 0.35, "pop3s-40ms-maildir", "mpop"),
            self.against("POP3S, 40 ms, to SMTP: time / fetchmail's", 1 / 300, "pop3s-40ms-smtp", "fetchmail"),
        ]
        for row in ("imaps-0ms-maildir", "imaps-0ms-smtp", "pop3s-0ms-maildir", "pop3s-0ms-smtp"):
            goals.append(self.against_best("%s: time / fastest peer's" % row, 0.6, row))
            goals.append(self.against_best("%s: processor / leanest peer's" % row, 0.7, row, "processor"))
        goals += [
            self.against("many sizes, 40 ms: time / mbsync's", 0.6, "imaps-40ms-mixed", "mbsync"),
            ("POP3S to Maildir: instructions per message / mpop's",
             lambda: self.ours("pop3s-0ms-maildir", "instructions") / self.of("pop3s-0ms-maildir", "mpop", "instructions"), 1.0),
            ("IMAPS to Maildir: instructions per message / mpop's (POP3S)",
             lambda: self.ours("imaps-0ms-maildir", "instructions") / self.of("pop3s-0ms-maildir", "mpop", "instructions"), 1.0),
        ]
        for row in ("imaps-0ms-large-maildir", "imaps-0ms-large-smtp", "imaps-0ms-large-lmtp", "pop3s-0ms-large-maildir", "pop3s-0ms-large-mda"):
            goals.append(("%s: time / mpop's to Maildir" % row, lambda row=row: self.ours(row) / self.of("pop3s-0ms-large-maildir", "mpop"), 1.2))
            goals.append(("%s: largest process, MiB" % row, lambda row=row: self.ours(row, "peaks")[0] / 1024, 16))
        goals += [
            ("ten mailboxes x 100 / one mailbox x 100, IMAPS, 40 ms", lambda: self.ours("imaps-40ms-ten") / self.ours("imaps-40ms-one"), 1.5),
            ("ten polls with nothing new / one, IMAPS, 40 ms", lambda: self.ours("imaps-40ms-ten-idle") / self.ours("imaps-40ms-idle"), 1.3),
            ("nothing new, IMAPS: round trips", lambda: self.ours("imaps-40ms-idle", "flights"), 6),
            ("nothing new, POP3S: round trips", lambda: self.ours("pop3s-40ms-idle", "flights"), 7),
            self.against_best("20 000 kept, POP3S: processor / leanest peer's", 0.8, "pop3s-0ms-kept-20000", "processor"),
            self.against_best("200 000 kept, POP3S: processor / leanest peer's", 0.5, "pop3s-0ms-kept-200000", "processor"),
            ("200 000 kept / 20 000 kept, POP3S: time", lambda: self.ours("pop3s-0ms-kept-200000") / self.ours("pop3s-0ms-kept-20000"), 10),
            ("SMTP server 40 ms away, PIPELINING: round trips per message", lambda: self.ours("far-smtp-40ms", "sink_flights") / 1000, 1.05),
            ("SMTP server 40 ms away, CHUNKING: seconds", lambda: self.ours("far-chunking-40ms"), 6),
            self.against("slow disk, Maildir: time / mbsync's", 0.1, "slow-disk-maildir", "mbsync"),
            ("slow disk, SMTP: time / the fast disk's", lambda: self.ours("slow-disk-smtp") / self.ours("imaps-40ms-smtp"), 1.3),
            self.against("1000 mailboxes, 4 with mail: time / bare client's", 1.3, "thousand", "floor"),
        ]
        return goals

    def measured(self):
        """(words, figure, most) of each goal whose rows were run."""
        for words, figure, most in self.all():
            try:
                yield words, figure(), most
            except (KeyError, TypeError, ValueError, ZeroDivisionError, IndexError):
                continue
