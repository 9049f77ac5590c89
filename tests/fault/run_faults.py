#!/usr/bin/env python3
"""run_faults.py - hauls that are broken at every step, and the comparison of what the source lost with what the destinations got.

  run_faults.py [--quick] [--all] [--hauls GLOB] [--faults GLOB] [--stride N] [--at N] [--done FILE] [--seconds N] [--jobs N] [--keep]

For each haul (source and disposal x destination) and each kind of fault, the haul is done from the start with the fault at the n-th step, then again
without fault until nothing is left to do. Then: nothing is lost; no partial message is anywhere; nothing was taken from the source before every
destination had it and the state knew; a Maildir has nothing twice; elsewhere a message is there twice only if the state held an intent without outcome for
it; every run ended in time and with a documented exit code, and with 0 only when all was done.

Without options: the selection of make check. --quick: a few points of it, for slow builds. --all: every haul, every kind, every place, spread evenly in
time, so that it may be stopped at any moment; --hauls and --faults choose, --stride N takes every N-th place, --at one. --done FILE: what is in there is not tried again,
unless the program has changed; what is tried is added. --seconds: begins nothing new after that. TAP on standard output, and a table at the end.
Needs MAILHAUL, INJECT and FILE_MAIL (programs).
"""
import argparse
import concurrent.futures
import fnmatch
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bench import Bench, build_id, make_work  # noqa: E402
from faults import fault_kinds  # noqa: E402
from haul import DESTINATIONS, SOURCES  # noqa: E402

HAULS = [(source, destination) for source in SOURCES for destination in DESTINATIONS]
PASSES = 32   # --all goes over everything so many times, each time at other places; a power of two
# make check: (hauls, kinds, stride). TURN: each kind with every source and every destination once, five hauls in all. Programs make many calls.
TURN = None
SELECTION = [
    (("*-maildir", "*-smtp", "*-lmtp", "*-two"), "kill-all", 40),
    (("*-mda",), "kill-all", 200),
    (TURN, "kill-[!a]*", 60),
    (("imap-keep-mda",), "kill-spawner", 4),   # between the birth of a program and the word of it
    (TURN, "kill-again", 400),
    (TURN, "power-cut*", 200),
    (TURN, "E*", 160),
    (("pop3-keep-two",), "EIO-messages", 1),   # whether a draft stays whose intent may yet be sent, few places tell
    (("imap-*",), "EIO-messages", 60),
    (TURN, "short*", 160),
    (TURN, "malloc-worker*", 160),
    (TURN, "malloc-s*", 12000),
    (TURN, "full-*", 20),
    (TURN, "broken-*", 20),
    (TURN, "cut-*", 1500),
    (TURN, "reset-*", 2000),
    (TURN, "stall-*", 3000),
]
QUICK_FACTOR = 20


class Group:
    """One kind in one haul."""

    def __init__(self, source, destination, kind, stride):
        self.source, self.destination, self.kind, self.stride = source, destination, kind, stride
        self.total = self.tried = self.duplicates = self.doubts = 0
        self.wrong = []

    @property
    def name(self):
        return f"{self.source} to {self.destination}, {self.kind}"

    def places(self, index):
        """Where they begin differs from group to group, so that together they cover more."""
        first = 1 + index * 7 % self.stride
        return range(first if first <= self.total else 1 + index % max(1, self.total), self.total + 1, self.stride)

    def take(self, reached, wrong, duplicates, doubts):
        self.tried += reached
        self.wrong += wrong
        self.duplicates += duplicates
        self.doubts += doubts


def is_wanted(hauls, source, destination, kind_index):
    if hauls is TURN:
        return (list(SOURCES).index(source) + kind_index) % len(DESTINATIONS) == list(DESTINATIONS).index(destination)
    return any(fnmatch.fnmatch(f"{source}-{destination}", glob) for glob in hauls)


def choose_groups(options):
    kinds = list(fault_kinds())
    if options.all or options.hauls or options.faults:
        selection = [((options.hauls or "*",), options.faults or "*", options.stride)]
    else:
        selection = [(hauls, faults, stride * (QUICK_FACTOR if options.quick else 1)) for hauls, faults, stride in SELECTION]
    groups = []
    for hauls, faults, stride in selection:
        for source, destination in HAULS:
            for index, kind in enumerate(kinds):
                if fnmatch.fnmatch(kind, faults) and is_wanted(hauls, source, destination, index):
                    groups.append(Group(source, destination, kind, stride))
    if options.quick:   # a sanitizer ends the program when an allocation fails
        groups = [group for group in groups if not group.kind.startswith(("malloc", "ENOMEM", "EIO-any"))][::3]
    return groups


class Done:
    """What was tried before, and by which program: one line of JSON each."""

    def __init__(self, path):
        self.build = build_id()
        self.totals, self.results = {}, {}
        self.file = None
        if path is None:
            return
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    self._read(line)
        self.file = open(path, "a", encoding="utf-8", buffering=1)

    def _read(self, line):
        try:
            entry = json.loads(line)
        except ValueError:
            return   # half a line: it was stopped while writing
        if entry["build"] != self.build:
            return
        if "total" in entry:
            self.totals[entry["group"]] = entry["total"]
        else:
            self.results[entry["group"], entry["at"]] = entry["result"]

    def write(self, **entry):
        if self.file is not None:
            self.file.write(json.dumps({"build": self.build, **entry}) + "\n")


# -- in the processes that do the work --

BENCH = None


def begin_work(work, keep, number):
    global BENCH
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with number.get_lock():
        number.value += 1
        mine = number.value
    BENCH = Bench(f"{work}/{mine}", keep)


def count(task):
    return task, BENCH.count(*task[:3], dict(task[3]), dict(task[4]))


def try_point(task):
    index, source, destination, kind, at, counts = task
    try:
        return index, at, BENCH.point(source, destination, kind, at, counts)
    except Exception as error:   # a harness that fails is a failure, and the others go on
        return index, at, (True, [f"{kind} at {at}: the harness failed: {error!r}"], 0, 0)


# -- in the one that decides --

class Runner:
    def __init__(self, options):
        self.options, self.began = options, time.monotonic()
        self.work = make_work("mailhaul-fault.")
        self.pool = concurrent.futures.ProcessPoolExecutor(options.jobs, initializer=begin_work,
                                                           initargs=(self.work, options.keep, multiprocessing.Value("i", 0)))
        self.done = Done(options.done)
        self.groups = choose_groups(options)
        self.counts, self.tests, self.failed = {}, 0, 0
        self.stopped = False

    def stop(self, *_):
        self.stopped = True

    def need(self, group):
        fault = fault_kinds()[group.kind]
        return group.source, group.destination, fault.small, tuple(fault.environment.items()), tuple(fault.options.items())

    def count_places(self):
        needed = sorted({self.need(group) for group in self.groups})
        for task, (counts, wrong) in self.pool.map(count, needed):
            self.counts[task] = counts
            if wrong:
                print(f"Bail out! the haul without fault from {task[0]} to {task[1]}: {wrong}")
                sys.exit(1)
        for group in self.groups:
            fault, haul = fault_kinds()[group.kind], HaulSketch(group)
            group.total = self.done.totals.get(group.name)
            if group.total is None:
                group.total = fault.places(self.counts[self.need(group)], haul)
                self.done.write(group=group.name, total=group.total)
        self.groups = [group for group in self.groups if group.total != 0]

    def tasks(self):
        """Lazily: what was tried before is taken from the file. Everything in passes, with every stride halved until no place is left between."""
        for number in range(PASSES if self.options.all else 1):
            offset = int(f"{number:0{PASSES.bit_length() - 1}b}"[::-1], 2)
            for index, group in enumerate(self.groups):
                places = range(1 + offset, group.total + 1, PASSES) if self.options.all else group.places(index)
                for at in [self.options.at] if self.options.at else places:
                    earlier = self.done.results.get((group.name, at))
                    if earlier is not None:
                        group.take(*earlier)
                    elif not self.is_over():
                        yield index, group.source, group.destination, group.kind, at, self.counts[self.need(group)]

    def is_over(self):
        return self.stopped or (self.options.seconds and time.monotonic() - self.began > self.options.seconds)

    def run(self):
        self.count_places()
        if not self.options.all:
            print(f"# {sum(1 for _ in self.tasks())} points")
        for index, at, result in self.in_parallel(self.tasks()):
            group = self.groups[index]
            self.done.write(group=group.name, at=at, result=result)
            group.take(*result)
            for text in result[1]:
                print(f"# {group.name}: {text}", flush=True)
        for group in self.groups:
            self.report(group)
        self.print_table()
        print(f"1..{self.tests}")
        return self.failed > 0

    def close(self):
        self.pool.shutdown(cancel_futures=True)
        if not self.options.keep:
            shutil.rmtree(self.work, ignore_errors=True)

    def in_parallel(self, tasks):
        """Results as they come; only a few tasks are taken ahead, so that it can be stopped."""
        running = []
        for task in tasks:
            running.append(self.pool.submit(try_point, task))
            while len(running) > 2 * self.options.jobs:
                yield running.pop(0).result()
        for result in running:
            yield result.result()

    def report(self, group):
        if group.tried == 0 and not group.wrong:
            return
        self.tests += 1
        self.failed += bool(group.wrong)
        print(f"{'not ok' if group.wrong else 'ok'} {self.tests} - {group.name}: {group.tried} points of {group.total}, {group.duplicates} duplicates, "
              f"{group.doubts} in doubt")

    def print_table(self):
        words = ("LOST", "PARTIAL", "EARLY", "UNRECORDED", "DUPLICATE")
        print(f"# {'kind':24}{'points':>8}{'of':>9}{'lost':>6}{'partial':>9}{'early':>7}{'excess':>8}{'other':>7}{'duplicates':>12}{'in doubt':>10}")
        rows = {}
        for group in self.groups:
            row = rows.setdefault(group.kind, [0] * 9)
            found = [sum(f": {word}" in text for text in group.wrong) for word in words]
            parts = [group.tried, group.total, found[0], found[1], found[2] + found[3], found[4], len(group.wrong) - sum(found), group.duplicates, group.doubts]
            rows[group.kind] = [have + more for have, more in zip(row, parts)]
        rows["all"] = [sum(column) for column in zip(*rows.values())]
        for kind, (points, total, lost, partial, early, excess, other, duplicates, doubts) in rows.items():
            print(f"# {kind:24}{points:8}{total:9}{lost:6}{partial:9}{early:7}{excess:8}{other:7}{duplicates:12}{doubts:10}")
        print(f"# {time.monotonic() - self.began:.0f} s")


class HaulSketch:
    """Of a haul, as much as a kind asks to know where it applies."""

    def __init__(self, group):
        self.protocol, self.targets = SOURCES[group.source][0], DESTINATIONS[group.destination]


def main():
    parser = argparse.ArgumentParser()
    for flag in ("quick", "all", "keep"):
        parser.add_argument(f"--{flag}", action="store_true")
    for text in ("hauls", "faults", "done"):
        parser.add_argument(f"--{text}")
    for number, default in (("stride", 1), ("at", 0), ("seconds", 0), ("jobs", min(2, os.cpu_count() or 1))):
        parser.add_argument(f"--{number}", type=int, default=default)
    runner = Runner(parser.parse_args())
    signal.signal(signal.SIGTERM, runner.stop)
    signal.signal(signal.SIGINT, runner.stop)
    try:
        failed = runner.run()
    finally:
        runner.close()
    sys.exit(failed)


if __name__ == "__main__":
    main()
