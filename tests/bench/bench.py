#!/usr/bin/env python3
"""bench.py [--rows GLOB,GLOB...] [--rounds N] RESULTS - runs mailhaul and its peers over the same work, interleaved, and writes what each cost as JSON.

Started by bench.sh, which has made servers and mailboxes and says so in BENCH_*. Every run has a directory of its own, and nothing is deleted in between:
ext4 is slow for minutes after many files were deleted. A program whose run took longer than SLOW_S is not run again on that row."""

import argparse
import fnmatch
import json
import os
import poplib
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import time

import account
import programs
import rows

RUN_S = 180
SLOW_S = 15
TRACED_S = 300


def environment(name):
    return os.environ["BENCH_" + name]


class Helpers:
    """Proxies and sinks, started when first needed, ended with the benchmark."""

    def __init__(self):
        self.children, self.proxies, self.sinks = [], {}, {}

    def start(self, command):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.children.append(child)
        return child

    def proxy(self, port, round_trip):
        if (port, round_trip) not in self.proxies:
            child = self.start([environment("TOOLS") + "/delay-proxy", str(round_trip), str(port)])
            self.proxies[port, round_trip] = child, int(child.stdout.readline().split()[1])
        return self.proxies[port, round_trip]

    def sink(self, kind):
        if kind not in self.sinks:
            if kind == "chunking":
                child = self.start([sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "chunking-sink.py")])
                self.sinks[kind] = int(child.stdout.readline())
            else:
                with socket.create_server(("127.0.0.1", 0)) as free:
                    self.sinks[kind] = free.getsockname()[1]
                self.start(["smtp-sink"] + (["-L"] if kind == "lmtp" else []) + ["127.0.0.1:%d" % self.sinks[kind], "1000"])
                self.wait_for(self.sinks[kind])
        return self.sinks[kind]

    @staticmethod
    def wait_for(port):
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("nobody listens on port %d" % port)

    def end(self):
        for child in self.children:
            child.terminate()
        for child in self.children:
            child.wait()


def counters(child):
    """What a proxy has seen since it was last asked."""
    child.send_signal(signal.SIGUSR1)
    words = child.stdout.readline().split()
    return {words[i]: int(words[i + 1]) for i in range(0, len(words), 2)}


def uid_list(user):
    """The UIDLs of a mailbox, for programs that are told by file what they have seen."""
    context = ssl.create_default_context(cafile=environment("CA"))
    session = poplib.POP3_SSL("localhost", int(environment("POP3S_PORT")), context=context)
    poplib._MAXLINE = 1 << 20
    session.user(user)
    session.pass_(programs.PASSWORD)
    found = [line.split()[1].decode() for line in session.uidl()[1]]
    session.quit()
    return found


def arrived(directory):
    """Messages in Maildirs below it."""
    return sum(len(files) for path, _, files in os.walk(directory) if os.path.basename(path) in ("new", "cur"))


class Bench:
    def __init__(self, helpers, rounds):
        self.helpers, self.rounds = helpers, rounds
        self.programs = programs.installed(environment("MAILHAUL"), environment("TOOLS") + "/reference")
        self.number = 0
        self.uid_lists = {}

    def fresh(self, program):
        self.number += 1
        directory = "%s/runs/%04d-%s" % (environment("WORK"), self.number, program.name)
        os.makedirs(directory)
        return directory

    def work(self, row, users=None, direct=False, sandbox=True):
        port = int(environment("IMAPS_PORT" if row.protocol == "imaps" else "POP3S_PORT"))
        sink = self.helpers.sink(row.sink) if row.sink in ("smtp", "lmtp", "chunking") else 0
        if row.round_trip and not direct:
            port = self.helpers.proxy(port, row.round_trip)[1]
        if row.sink_round_trip:
            sink = self.helpers.proxy(sink, row.sink_round_trip)[1]
        if row.seen:
            for user in row.users:
                self.uid_lists.setdefault(user, uid_list(user))
        return programs.Work(
            row.protocol, port, users or row.users, "smtp" if row.sink == "chunking" else row.sink, sink, environment("CA"),
            {user: self.uid_lists[user] for user in row.users} if row.seen else {}, row.again, row.seen, row.places, sandbox)

    def extra(self, row):
        return {"LD_PRELOAD": environment("TOOLS") + "/watch-calls.so", "WATCH_SLOW_MS": "5"} if row.slow_disk else {}

    def proxies(self, row):
        port = int(environment("IMAPS_PORT" if row.protocol == "imaps" else "POP3S_PORT"))
        found = {}
        if row.round_trip:
            found["flights"] = self.helpers.proxy(port, row.round_trip)[0]
        if row.sink_round_trip:
            found["sink_flights"] = self.helpers.proxy(self.helpers.sink(row.sink), row.sink_round_trip)[0]
        return found

    def measure(self, row, program, directory, command):
        """One run: its figures, or why there are none."""
        watched = self.proxies(row)
        for child in watched.values():
            counters(child)
        cost = account.run(command, directory, RUN_S, self.extra(row))
        if cost is None:
            return "took more than %d s" % RUN_S
        if cost.status != 0 and not (row.again and cost.status == getattr(program, "nothing_new", 0)):
            return "left with status %d" % cost.status
        if row.sink == "maildir" and row.messages and program.name not in ("floor", "fetchmail") and arrived(directory) < row.messages:
            return "brought %d of %d messages" % (arrived(directory), row.messages)
        figures = {"seconds": cost.seconds, "processor": cost.processor}
        for name, child in watched.items():
            figures[name] = counters(child)["flights"]
        return figures

    def prepare(self, row, program):
        """(directory, command) of a run, or None."""
        directory = self.fresh(program)
        command = program.prepare(directory, self.work(row))
        if command is None:
            return None
        if row.again:
            # The same configuration but for the delay, so that the mail that is there is dealt with in the time that it takes.
            first = program.prepare(directory, self.work(row, direct=True))
            cost = account.run(first, directory, RUN_S)
            if cost is None or cost.status not in (0, getattr(program, "nothing_new", 0)):
                return None
            program.prepare(directory, self.work(row))
        return directory, command

    def row(self, row):
        taken = {program.name: [] for program in self.programs if not row.only or program.name in row.only}
        ready, failed = {}, {}
        for _ in range(self.rounds):
            for program in self.programs:
                if program.name not in taken or program.name in failed:
                    continue
                if taken[program.name] and taken[program.name][-1]["seconds"] > SLOW_S:
                    continue
                if not (row.again and program.name in ready):
                    ready[program.name] = self.prepare(row, program)
                if ready[program.name] is None:
                    del taken[program.name]
                    continue
                figures = self.measure(row, program, *ready[program.name])
                if isinstance(figures, str):
                    failed[program.name] = figures
                else:
                    taken[program.name].append(figures)
        result = {"title": row.title, "messages": row.messages, "programs": {}, "failed": failed}
        for program in self.programs:
            if taken.get(program.name):
                result["programs"][program.name] = self.summary(row, program, taken[program.name])
        return result

    def summary(self, row, program, runs):
        figures = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        figures["rounds"] = len(runs)
        if row.memory:
            directory = self.fresh(program)
            figures["peaks"] = account.peaks(program.prepare(directory, self.work(row)), directory, RUN_S)
        # The floor keeps nothing and getmail6 is an interpreter: their counts say nothing about the work.
        if row.count and program.name not in ("floor", "getmail6"):
            figures["calls"] = self.per_message(row, program, account.system_calls)
            figures["instructions"] = self.per_message(row, program, account.instructions)
        return figures

    def per_message(self, row, program, count):
        """What a message more costs, from the difference of two mailboxes."""
        totals = []
        for user, _ in row.count:
            directory = self.fresh(program)
            totals.append(count(program.prepare(directory, self.work(row, users=[user], sandbox=False)), directory, TRACED_S))
        if None in totals:
            return None
        return (totals[1] - totals[0]) / (row.count[1][1] - row.count[0][1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", default="*")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("results")
    options = parser.parse_args()
    globs = options.rows.split(",")
    chosen = [row for row in rows.ROWS if any(fnmatch.fnmatch(row.name, glob) for glob in globs)]
    if not chosen:
        sys.exit("no row is called %s; there are: %s" % (options.rows, " ".join(row.name for row in rows.ROWS)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    helpers = Helpers()
    results = {}
    try:
        bench = Bench(helpers, options.rounds)
        for row in chosen:
            print("%s" % row.name, flush=True)
            results[row.name] = bench.row(row)
            for name, figures in results[row.name]["programs"].items():
                print("  %-10s %8.3f s %7.3f s processor %s" % (
                    name, figures["seconds"], figures["processor"],
                    " ".join("%s %s" % (key, figures[key]) for key in figures if key not in ("seconds", "processor"))), flush=True)
            for name, why in results[row.name]["failed"].items():
                print("  %-10s failed: %s" % (name, why), flush=True)
            with open(options.results, "w", encoding="utf-8") as file:
                json.dump(results, file, indent=1)
    finally:
        helpers.end()


if __name__ == "__main__":
    main()
