#!/usr/bin/env python3
"""run_faults.py - hauls that are broken at every step, and the comparison of what the source lost with what the destinations got.

  run_faults.py [--all] [--hauls GLOB] [--faults GLOB] [--points N] [--first N] [--last N] [--keep]

For each haul (source and disposal x destination) and each kind of fault, the haul is done from the start with the fault at the n-th step, then again
without fault until nothing is left to do. Then: nothing is lost; no partial message is anywhere; nothing was taken from the source before every
destination had it; a Maildir has nothing twice; elsewhere a message is there twice only if state.db held an intent without outcome for it.
Without options: the selection below, in about three minutes. --all: every haul, every fault, every n, which takes days; --hauls, --faults, --points
(so many places of each kind, spread evenly), --first and --last choose from that. TAP on standard output.
Needs MAILHAUL, INJECT and FILE_MAIL (programs); started as root it goes on as nobody.
"""
import argparse
import fnmatch
import os
import pwd
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ledger_servers import Fault, Servers, World, identify, make_messages, UID_BASE  # noqa: E402

DELIVERY_INTENT = 2   # enum delivery_stage in state/stage.h
RUNS_MAX = 4
SECONDS = 60          # no run takes so long, unless it hangs
MESSAGES = 20
FEW = 3               # where every byte is a place
LARGE = 1200000       # over the megabyte that a spool keeps in memory
ORDINARY_USER = "nobody"
ENDS_NEVER_RIGHT = (97, 98, 134, 139)   # inject's own (it failed; the program hangs), abort, segmentation fault

SOURCES = {"pop3-delete": ("pop3", "delete"), "pop3-keep": ("pop3", "keep"), "imap-delete": ("imap", "delete"), "imap-move": ("imap", "{move_to: Archive}"),
           "imap-keep": ("imap", "keep")}
DESTINATIONS = {"maildir": ["maildir"], "smtp": ["smtp"], "lmtp": ["lmtp"], "mda": ["mda"], "two": ["maildir", "smtp"]}
ROLES = ["all", "worker", "supervisor", "spawner", "connector", "helper"]

FILE_CALLS = "write,pwrite64,fsync,fdatasync,syncfs,ftruncate,fallocate,openat,renameat2,linkat,memfd_create,mkdir,mkdirat"
SYNC_CALLS = "fsync,fdatasync,syncfs"
BIRTH_CALLS = "clone,socketpair,socket,openat,memfd_create"
MEMORY_CALLS = "mmap,brk,mremap"
SLEEP_CALLS = "read,write,poll,ppoll,epoll_wait,epoll_pwait,recvmsg,sendmsg,recvfrom,sendto,openat,connect,waitid,pread64,pwrite64"


# (haul, fault, places of each kind)
SELECTION = [
    ("*", "kill-all", 3),
    ("imap-delete-two", "kill-[!a]*", 4),
    ("pop3-delete-mda", "kill-[!a]*", 3),
    ("*-delete-maildir", "power-cut", 10),
    ("imap-move-two", "power-cut", 5),
    ("pop3-delete-two", "E*", 2),
    ("imap-move-lmtp", "E*", 2),
    ("imap-delete-smtp", "short*", 4),
    ("imap-delete-smtp", "cut-*", 6),
    ("pop3-delete-lmtp", "stall-*", 3),
]


class SystemFault:
    """At the n-th call of a role (or of a set of calls): the process is killed, or the call fails or is short."""

    def __init__(self, role, arguments, place, small=False):
        self.role, self.arguments, self.place, self.small = role, arguments, place, small
        # An MDA that is killed, or told that its own sync failed, may have filed the message all the same.
        self.mda_may_repeat = role == "helper" or place == "--at"

    def count(self, haul):
        code, report = haul.run(self.inject_arguments(haul, 1000000000))
        return code, int(re.search(r"matches (\d+)", report).group(1))

    def inject_arguments(self, haul, at):
        return ["--role", self.role, *self.arguments, self.place, str(at)]

    def break_it(self, haul, at):
        """(exit code, what was done; empty if the place was not reached)"""
        code, report = haul.run(self.inject_arguments(haul, at))
        return code, " ".join(re.findall(r"fired (.*)", report)[:1])


class PowerCut(SystemFault):
    """Everything is killed at the n-th call, and what was not synced is gone."""

    def __init__(self):
        super().__init__("all", [], "--kill")

    def inject_arguments(self, haul, at):
        self.shadow = haul.dir + "/shadow"
        self.roots = [haul.state] + ([haul.dir + "/maildir"] if "maildir" in haul.targets else [])
        for path in (self.shadow, *self.roots):
            os.mkdir(path, 0o700)
        return ["--shadow", self.shadow, *(word for root in self.roots for word in ("--root", root)), *super().inject_arguments(haul, at)]

    def break_it(self, haul, at):
        result = super().break_it(haul, at)
        haul.doubts.clear()
        restore_after_power_cut(self.shadow, self.roots)
        haul.note_doubts()
        return result


class NetworkFault:
    """The first connection to the source or to the sink is cut, or stalls, after n bytes."""
    small, mda_may_repeat = True, False

    def __init__(self, side, direction, how):
        self.side, self.direction, self.how = side, direction, how

    def service(self, haul):
        return haul.protocol if self.side == "source" else next((name for name in haul.targets if name in ("smtp", "lmtp")), None)

    def count(self, haul):
        if self.service(haul) is None:
            return haul.run()[0], 0
        code, _ = haul.run()
        return code, haul.bench.servers.traffic[self.service(haul), 1][self.direction]

    def break_it(self, haul, at):
        fault = Fault(1, self.direction, at - 1, self.how)
        haul.bench.servers.begin(haul.world, {self.service(haul): fault})
        haul.bench.environment["MAILHAUL_DEADLINE_FACTOR"] = "0.002"
        code, _ = haul.run()
        haul.bench.environment["MAILHAUL_DEADLINE_FACTOR"] = "0.02"
        haul.bench.servers.begin(haul.world)
        return code, f"{self.service(haul)} {self.direction}" if fault.fired else ""


def fault_kinds():
    kinds = {f"kill-{role}": SystemFault(role, [], "--kill") for role in ROLES}
    kinds["power-cut"] = PowerCut()
    errors = [("ENOSPC", "files", FILE_CALLS), ("EDQUOT", "files", FILE_CALLS), ("EIO", "files", FILE_CALLS), ("EIO", "syncs", SYNC_CALLS),
              ("EINTR", "sleeps", SLEEP_CALLS), ("EMFILE", "births", BIRTH_CALLS), ("EAGAIN", "births", "clone"), ("ENOMEM", "memory", MEMORY_CALLS),
              ("ENOLCK", "locks", "fcntl"), ("EIO", "any", "")]
    for error, word, calls in errors:
        arguments = ["--fail", error] + (["--calls", calls] if calls else [])
        kinds[f"{error}-{word}"] = SystemFault("all", arguments, "--at")
        if error != "EINTR" and word != "any":
            kinds[f"{error}-{word}-lasting"] = SystemFault("all", arguments + ["--lasting"], "--at")
    kinds["short"] = SystemFault("all", ["--short"], "--at")
    kinds["short-lasting"] = SystemFault("all", ["--short", "--lasting"], "--at", small=True)
    for how in ("cut", "stall"):
        for side in ("source", "sink"):
            for direction in ("in", "out"):
                kinds[f"{how}-{side}-{direction}"] = NetworkFault(side, direction, how)
    return kinds


class Folder:
    """What lies in new/ and cur/ of a directory: (number, digest) by file name, each file read once."""

    def __init__(self, path):
        self.path, self.known = path, {}

    def arrivals(self):
        found = {}
        for part in ("new", "cur"):
            try:
                names = os.listdir(os.path.join(self.path, part))
            except FileNotFoundError:
                continue
            for name in names:
                if name not in self.known:
                    with open(os.path.join(self.path, part, name), "rb") as file:
                        self.known[name] = identify(file.read())
                number, what, ident = self.known[name]
                found.setdefault(number, []).append((what, ident))
        return found


class Haul:
    """One place to break: a directory, a configuration, a world."""

    def __init__(self, bench, source, destination, messages, tag):
        self.bench, self.protocol, self.targets = bench, SOURCES[source][0], DESTINATIONS[destination]
        self.dir = os.path.join(bench.work, tag)
        self.messages = messages
        os.mkdir(self.dir, 0o700)
        for part in ("", "/tmp", "/new"):
            os.mkdir(self.dir + "/mda" + part, 0o700)
        self.state = self.dir + "/state"
        self.folders = {name: Folder(f"{self.dir}/{name}") for name in self.targets if name in ("maildir", "mda")}
        self.world = World(self.dir + "/ledger", messages)
        self.world.has_arrived = {name: self._asker(name) for name in self.targets}
        self.disposal = SOURCES[source][1]
        self._write_config()
        self.runs = 0
        self.doubts = {}   # (destination, number) -> how many runs left an intent without outcome

    def _asker(self, name):
        if name in self.folders:
            return lambda number: number in self.folders[name].arrivals()
        return lambda number: (name, number) in self.world.arrivals

    def _write_config(self):
        ports = self.bench.servers.ports
        values = {"maildir": f"{{maildir: {self.dir}/maildir}}", "mda": f"{{mda: [{self.bench.file_mail}, {self.dir}/mda]}}",
                  "smtp": f'{{smtp: "127.0.0.1:{ports["smtp"]}", recipient: anna@home.test}}',
                  "lmtp": f'{{lmtp: "127.0.0.1:{ports["lmtp"]}", recipient: anna@home.test}}'}
        path = self.dir + "/config.yaml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"state_dir: {self.state}\ndestinations:\n")
            file.writelines(f"  {name}: {values[name]}\n" for name in self.targets)
            file.write(f'mailboxes:\n  - name: isp\n    {self.protocol}: "127.0.0.1:{ports[self.protocol]}"\n    tls: none\n    user: anna\n'
                       f"    password: secret\n    deliver_to: [{', '.join(self.targets)}]\n    after_delivery: {self.disposal}\n")
        os.chmod(path, 0o600)

    def run(self, inject_arguments=()):
        """(exit code, report) of one run under inject; what it says is added to DIR/log."""
        self.runs += 1
        report = f"{self.dir}/report-{self.runs}"
        command = [self.bench.inject, "--seconds", str(SECONDS), "--report", report, *inject_arguments, self.bench.mailhaul,
                   "--config", self.dir + "/config.yaml", "run", "isp"]
        with open(self.dir + "/log", "ab") as log:
            log.write(b"-- " + " ".join(command[5:]).encode() + b"\n")
            log.flush()
            code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.bench.environment, check=False).returncode
            log.write(b"-- exit %d\n" % code)
        self.bench.servers.drain()
        self.note_doubts()
        with open(report, encoding="utf-8") as file:
            return code, file.read()

    def note_doubts(self):
        """From a copy, so that nobody but mailhaul recovers the log of what it wrote."""
        copy = self.dir + "/copy.db"
        for end in ("", "-wal", "-journal"):
            if os.path.exists(copy + end):
                os.unlink(copy + end)
            if os.path.exists(self.state + "/state.db" + end):
                shutil.copyfile(self.state + "/state.db" + end, copy + end)
        if not os.path.exists(copy):
            return
        base = sqlite3.connect(copy)
        try:
            rows = base.execute("SELECT t.destination, m.key, m.uid FROM delivery d JOIN message m ON m.id = d.message JOIN target t ON t.id = d.target"
                                " WHERE d.status = ?", (DELIVERY_INTENT,)).fetchall()
        except sqlite3.OperationalError:
            rows = []   # killed before the tables were made
        finally:
            base.close()
        for destination, key, uid in rows:
            number = uid - UID_BASE if self.protocol == "imap" else int(re.search(rb"ledger-(\d+)", bytes(key)).group(1))
            self.doubts[destination, number] = self.doubts.get((destination, number), 0) + 1

    def arrivals(self):
        found = {key: list(value) for key, value in self.world.arrivals.items()}
        for name, folder in self.folders.items():
            found.update({(name, number): what for number, what in folder.arrivals().items()})
        return found

    def is_done(self):
        found = self.arrivals()
        return all((name, number) in found for name in self.targets for number in self.messages) and (self.disposal == "keep" or not self.world.messages)

    def finish(self):
        """Runs without fault until nothing is left; the last exit code."""
        for _ in range(RUNS_MAX):
            code, _ = self.run()
            if code == 0 and self.is_done():
                return 0
            self._let_time_pass()
        return code if code != 0 else "incomplete"

    def _let_time_pass(self):
        """What waits for its next try has waited."""
        if not os.path.exists(self.state + "/state.db"):
            return
        base = sqlite3.connect(self.state + "/state.db")
        try:
            base.execute("UPDATE delivery SET next_try = 0")
            base.execute("UPDATE message SET next_try = 0")
            base.commit()
        except sqlite3.OperationalError:
            pass
        finally:
            base.close()

    def compare(self, lenient=False):
        """Violations of the promise, in words. LENIENT: the MDA itself was killed and may have filed the message before."""
        found, wrong, self.duplicates = self.arrivals(), [], 0
        for number, name in self.world.missing:
            wrong.append(f"LOST? {number} left the source before {name} had it")
        for (name, number), arrived in sorted(found.items()):
            expected = self.world.digests.get(number)
            wrong += [f"PARTIAL {number} at {name}" for what, _ in arrived if what != expected]
            if len({ident for _, ident in arrived}) > 1:
                wrong.append(f"ID of {number} at {name} changed")
            extra = len(arrived) - 1
            self.duplicates += extra
            allowed = 0 if name == "maildir" else self.doubts.get((name, number), 0) + (lenient and name == "mda")
            if extra > allowed:
                wrong.append(f"DUPLICATE {number} at {name}: {len(arrived)} times, {allowed} in doubt")
        for number in self.messages:
            lacking = [name for name in self.targets if (name, number) not in found]
            if lacking:
                wrong.append(f"{'STUCK' if number in self.world.messages else 'LOST'} {number}: not at {' '.join(lacking)}")
        return wrong

    def remove(self):
        self.world.close()
        shutil.rmtree(self.dir)


def restore_after_power_cut(shadow, roots):
    """The roots become what was synced: names of synced directories, bytes of synced files; a name without synced bytes is an empty file."""
    for root in roots:
        inode = os.stat(root).st_ino
        shutil.rmtree(root)
        rebuild(shadow, inode, root)


def rebuild(shadow, inode, path):
    os.mkdir(path, 0o700)
    try:
        with open(f"{shadow}/{inode}.names", encoding="utf-8") as file:
            entries = [line.rstrip("\n").split(" ", 2) for line in file]
    except FileNotFoundError:
        return
    for number, kind, name in entries:
        if kind == "d":
            rebuild(shadow, number, f"{path}/{name}")
            continue
        target = f"{path}/{name}"
        if os.path.exists(f"{shadow}/{number}.data"):
            shutil.copyfile(f"{shadow}/{number}.data", target)
        else:
            open(target, "wb").close()
        os.chmod(target, 0o600)


class Bench:
    def __init__(self, options):
        self.options = options
        self.work = tempfile.mkdtemp(prefix="mailhaul-fault.")
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": self.work, "MAILHAUL_DEADLINE_FACTOR": "0.02",
                            "ASAN_OPTIONS": "detect_leaks=0", "LC_ALL": "C"}
        os.chmod(self.work, 0o755)
        self.mailhaul, self.inject, self.file_mail = (self._copy(os.environ[name]) for name in ("MAILHAUL", "INJECT", "FILE_MAIL"))
        if os.getuid() == 0:
            user = pwd.getpwnam(ORDINARY_USER)
            os.chown(self.work, user.pw_uid, user.pw_gid)
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        self.servers = Servers()
        self.tests = self.failed = self.points = self.serial = 0
        self.totals = {}
        self.many, self.few = make_messages(MESSAGES, LARGE), make_messages(FEW)

    def _copy(self, program):
        to = os.path.join(self.work, os.path.basename(program))
        shutil.copy(program, to)
        os.chmod(to, 0o755)
        return to

    def report(self, name, tried, wrong, extra):
        self.tests += 1
        self.failed += bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} {self.tests} - {name}: {tried} points{extra}", flush=True)
        for text in wrong[:12]:
            print(f"#   {text}", flush=True)
        if len(wrong) > 12:
            print(f"#   and {len(wrong) - 12} more", flush=True)

    def haul(self, source, destination, fault):
        messages = self.few if fault.small else self.many
        self.serial += 1
        haul = Haul(self, source, destination, messages, f"{source}-{destination}-{self.serial}")
        self.servers.begin(haul.world)
        return haul

    def point(self, source, destination, name, fault, at):
        """(was the place reached, violations, duplicates, doubts)"""
        haul = self.haul(source, destination, fault)
        code, done = fault.break_it(haul, at)
        aborts_by_design = code == 134 and name.startswith(("ENOMEM", "EIO-any"))   # no memory, no event loop: the process ends itself
        wrong = [f"exit {code} in the broken run"] if code in ENDS_NEVER_RIGHT and not aborts_by_design else []
        last = haul.finish()
        if last != 0:
            wrong.append(f"the last run ends with {last}")
        wrong += haul.compare(fault.mda_may_repeat)
        wrong = [f"{name} at {at} ({done or 'not reached'}): {text}" for text in wrong]
        if wrong and self.options.keep:
            print(f"# kept: {haul.dir}")
        else:
            haul.remove()
        return done != "", wrong, haul.duplicates, sum(haul.doubts.values())

    def count(self, source, destination, fault):
        """How many places the kind has in a haul without fault."""
        haul = self.haul(source, destination, fault)
        code, places = fault.count(haul)
        wrong = haul.compare()
        if code != 0 or wrong or not haul.is_done():
            print(f"Bail out! the haul without fault ends with {code}: {wrong}, {haul.dir}")
            sys.exit(1)
        haul.remove()
        return places

    def places(self, total, wanted):
        """All (0), or so many as wanted, spread evenly; where they begin differs from kind to kind, so that together they cover more."""
        first, last = self.options.first, self.options.last or total
        wanted = wanted or last
        stride = max(1, -(-(last - first + 1) // wanted))
        return range(first + self.tests * 7 % stride, last + 1, stride)

    def kind(self, source, destination, name, fault, points):
        total = self.count(source, destination, fault)
        if total == 0:
            return
        tried, wrong, duplicates, doubts = 0, [], 0, 0
        for at in self.places(total, points):
            reached, bad, twice, doubtful = self.point(source, destination, name, fault, at)
            tried += reached
            wrong += bad
            duplicates += twice
            doubts += doubtful
        sums = self.totals.setdefault(name, [0, 0, 0, 0])
        for index, value in enumerate((tried, len(wrong), duplicates, doubts)):
            sums[index] += value
        self.points += tried
        self.report(f"{source} to {destination}, {name}", tried, wrong, f" of {total}, {duplicates} duplicates, {doubts} in doubt")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--hauls")
    parser.add_argument("--faults")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--last", type=int, default=0)
    parser.add_argument("--points", type=int, default=0)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    chosen = options.all or options.hauls or options.faults
    selection = [(options.hauls or "*", options.faults or "*", options.points)] if chosen else SELECTION
    bench = Bench(options)
    began = time.monotonic()
    for hauls, faults, points in selection:
        for source in SOURCES:
            for destination in DESTINATIONS:
                if not fnmatch.fnmatch(f"{source}-{destination}", hauls):
                    continue
                for name, fault in fault_kinds().items():
                    if fnmatch.fnmatch(name, faults):
                        bench.kind(source, destination, name, fault, points)
    for name, (tried, wrong, duplicates, doubts) in bench.totals.items():
        print(f"# {name}: {tried} points, {wrong} violations, {duplicates} duplicates, {doubts} in doubt")
    print(f"# {bench.points} points in {time.monotonic() - began:.0f} s")
    print(f"1..{bench.tests}")
    if not options.keep:
        shutil.rmtree(bench.work, ignore_errors=True)
    sys.exit(bench.failed > 0)


if __name__ == "__main__":
    main()
