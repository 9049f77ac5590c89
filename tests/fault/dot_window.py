#!/usr/bin/env python3
"""dot_window.py - the one window that the protocols leave open: the sink has the message, and its answer is never seen.

Each round such a message is in doubt and is delivered again with the same id, once; after three rounds it is held, and all the others go on. With CHUNKING
over a distance as many messages can be without verdict as the window has, and no more. TAP on standard output. Needs what run_faults.py needs.
"""
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bench import Bench, make_work  # noqa: E402

ROUNDS = 3            # then it is held
WINDOW = 8            # messages without verdict, with CHUNKING over a distance
DISTANCE_S = 0.02
UNLUCKY = 4


class Cases:
    def __init__(self, bench):
        self.bench, self.tests, self.failed = bench, 0, 0

    def report(self, name, wrong):
        self.tests += 1
        self.failed += bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} {self.tests} - {name}", flush=True)
        for text in wrong:
            print(f"#   {text}")

    def never_answered(self, destination, how):
        """One message is stored each time, and its answer never sent."""
        haul = self.bench.begin("imap-delete", destination, self.bench.medium, {"spoil": {UNLUCKY: how}})
        haul.environment["MAILHAUL_DEADLINE_FACTOR"] = "0.006" if how == "stall" else haul.environment["MAILHAUL_DEADLINE_FACTOR"]
        wrong = []
        for turn in range(1, ROUNDS + 3):
            code, _ = haul.run()
            copies = len(haul.world.arrivals.get((destination, UNLUCKY), []))
            if copies != min(turn, ROUNDS):
                wrong.append(f"round {turn}: there are {copies} copies")
            if turn == 2:
                wrong += [f"{number} waits for the unlucky one" for number in haul.messages if (destination, number) not in haul.world.arrivals]
            if turn < ROUNDS and code != 75:
                wrong.append(f"round {turn} ends with {code}")
            haul.let_time_pass()
        log = haul.read_log()
        wrong += haul.wrong
        wrong += [f"{len(what)} copies of {number}" for (_, number), what in haul.world.arrivals.items() if number != UNLUCKY and len(what) != 1]
        if len({ident for _, ident in haul.world.arrivals[destination, UNLUCKY]}) != 1:
            wrong.append("the id changed")
        if set(haul.world.messages) != {UNLUCKY}:
            wrong.append(f"left at the source: {sorted(haul.world.messages)}")
        if log.count("event=in_doubt") != ROUNDS:
            wrong.append(f"the log says {log.count('event=in_doubt')} times that it is in doubt")
        if (destination, UNLUCKY) not in haul.held:
            wrong.append("it is not held")
        haul.close(self.bench.keep and wrong)
        self.report(f"{destination}: an answer that never comes ({how}) makes one copy a round, then the message is held and the others go on", wrong)

    def window(self, destination, delay_s):
        """A cut in the middle: so many in doubt as could be without verdict, each delivered once more at most."""
        options = {"chunking": True, "delay_s": delay_s}
        most = WINDOW if delay_s else 1
        haul = self.bench.begin("imap-delete", destination, self.bench.medium, {**options, "spoil": {UNLUCKY: "cut"}})
        haul.options = ["-v"]
        haul.run()
        doubts = len(haul.doubts)
        self.bench.servers.begin(haul.world, options=options)
        haul.finish()
        wrong = haul.compare()
        if not 1 <= doubts <= most:
            wrong.append(f"{doubts} in doubt")
        if haul.world.most_open > most:
            wrong.append(f"{haul.world.most_open} were without verdict at a time")
        if haul.duplicates > doubts:
            wrong.append(f"{haul.duplicates} duplicates")
        if haul.read_log().count("possible duplicate") != doubts:
            wrong.append("the log does not say of each that it may be a duplicate")
        haul.close(self.bench.keep and wrong)
        where = "over a distance" if delay_s else "on this machine"
        self.report(f"{destination} {where}, with CHUNKING: at most {most} without verdict (here {haul.world.most_open}, in doubt {doubts}, twice {haul.duplicates})",
                    wrong)


def main():
    work = make_work("mailhaul-dot.")
    cases = Cases(Bench(work + "/1", "--keep" in sys.argv))
    for destination in ("smtp", "lmtp"):
        for how in ("cut", "reset", "stall"):
            cases.never_answered(destination, how)
        for delay_s in (0, DISTANCE_S):
            cases.window(destination, delay_s)
    print(f"1..{cases.tests}")
    if not cases.bench.keep:
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(cases.failed > 0)


if __name__ == "__main__":
    main()
