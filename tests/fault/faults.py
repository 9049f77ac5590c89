"""faults.py - the kinds of fault: what is broken, where it can be, and what has to hold beyond the comparison of the ledgers.

A kind knows from the counts of a haul without fault how many places it has, and breaks a haul at the n-th of them.
"""
import os
import re

from power_cut import restore_after_power_cut
from wire import Fault

ROLES = ["all", "worker", "supervisor", "spawner", "connector", "helper", "scribe"]

FILE_CALLS = "write,pwrite64,fsync,fdatasync,syncfs,ftruncate,fallocate,openat,renameat2,linkat,memfd_create,mkdir,mkdirat"
SYNC_CALLS = "fsync,fdatasync,syncfs"
BIRTH_CALLS = "clone,socketpair,socket,openat,memfd_create"
MEMORY_CALLS = "mmap,brk,mremap"
SLEEP_CALLS = "read,write,poll,ppoll,epoll_wait,epoll_pwait,recvmsg,sendmsg,recvfrom,sendto,openat,connect,wait4,pread64,pwrite64"

DISK_FULL = 75        # a destination's disk: for now
STATE_FAILED = 74     # the state cannot be written
# Every allocation becomes a call of its own, so that each can be refused.
MALLOC_BY_MMAP = "glibc.malloc.mmap_threshold=1:glibc.malloc.mmap_max=100000:glibc.malloc.tcache_count=0"
# An allocation that is refused asks up to three times: by mmap, by brk, and by mmap again.
CALLS_PER_MALLOC = 3


class Counts:
    """What a haul without fault did: calls by role and name, and bytes by service, connection and direction."""

    def __init__(self, report, traffic):
        self.made = {(role, call): int(number) for role, call, number in re.findall(r"^made (\S+) (\S+) (\d+)$", report, re.M)}
        self.shortable = {role: int(number) for role, number in re.findall(r"^shortable (\S+) (\d+)$", report, re.M)}
        self.traffic = {key: dict(moved) for key, moved in traffic.items()}

    def calls(self, role, names=""):
        wanted = set(names.split(",")) if names else None
        return sum(number for (by, call), number in self.made.items() if role in ("all", by) and (wanted is None or call in wanted))


class SystemFault:
    """At the n-th call of a role (or of a set of calls): the process is killed, or the call fails or is short."""
    small = False
    may_crash = False   # OpenSSL does when it cannot allocate its locks; to the ledgers it is a kill like others
    environment, options = {}, {}

    def __init__(self, role="all", calls="", error=None, times="1", short=False):
        self.role, self.calls, self.short, self.is_kill = role, calls, short, error is None and not short
        self.arguments = (["--fail", error] if error else ["--short"] if short else []) + (["--calls", calls] if calls else [])
        self.arguments += ["--lasting"] if times == "lasting" else ["--times", times]
        self.small = short and times == "lasting"
        self.may_crash = error == "ENOMEM"
        # An MDA that is killed, or told that its own sync failed, may have filed the message all the same.
        self.mda_may_repeat = not self.is_kill or role == "helper"

    def places(self, counts, _haul):
        return counts.shortable.get(self.role, sum(counts.shortable.values())) if self.short else counts.calls(self.role, self.calls)

    def inject_arguments(self, _haul, at):
        place = ["--kill" if self.is_kill else "--at", str(at)]
        return ["--role", self.role, *(place if self.is_kill else [*self.arguments, *place])]

    def break_it(self, haul, at):
        """What was done; empty if the place was not reached."""
        haul.environment.update(self.environment)
        haul.may_crash = self.may_crash
        self.code, report = haul.run(self.inject_arguments(haul, at))
        for name in self.environment:
            del haul.environment[name]
        haul.may_crash = False
        return " ".join(re.findall(r"fired (.*)", report)[:1])

    def check(self, haul, runs):
        """What has to hold besides, once the haul has been finished in so many runs."""


class MallocFault(SystemFault):
    """The n-th allocation fails, whatever its size, once or for good."""
    environment = {"GLIBC_TUNABLES": MALLOC_BY_MMAP}

    def __init__(self, role, times):
        super().__init__(role, MEMORY_CALLS, "ENOMEM", times)
        self.small = True


class DiskFault(SystemFault):
    """Everything written beneath one place fails from the n-th call on, until the run has ended. Then there is room again, and nobody has to do anything."""

    def __init__(self, error, where, expected):
        super().__init__("all", FILE_CALLS, error, "lasting")
        self.where, self.expected, self.mda_may_repeat = where, expected, False

    def prefix(self, haul):
        return haul.disk + self.where

    def places(self, counts, haul):
        if self.where == "/maildir" and "maildir" not in haul.targets:
            return 0
        return 60   # so many at most, by experience; one that is not reached does not count

    def inject_arguments(self, haul, at):
        return [*super().inject_arguments(haul, at), "--path", self.prefix(haul)]

    def check(self, haul, runs):
        if self.code not in (0, self.expected):
            haul.wrong.append(f"the broken run ends with {self.code}, not {self.expected}")
        if self.expected == DISK_FULL and runs > 1:
            haul.wrong.append(f"it does not resume by itself: {runs} runs")


class ReserveFault(DiskFault):
    """The disk of the state is full, until the reserve is given up: every delivery that was accepted is recorded."""

    def __init__(self):
        super().__init__("ENOSPC", "/state/state.db", STATE_FAILED)

    def inject_arguments(self, haul, at):
        return [*super().inject_arguments(haul, at), "--until-unlinked", "reserve"]

    def check(self, haul, runs):
        if haul.doubts:
            haul.wrong.append(f"the reserve did not help: {len(haul.doubts)} in doubt")


class PowerCut(SystemFault):
    """Everything is killed at the n-th call; of what was not synced nothing is left, or any part of it."""

    def __init__(self, part=False, small=False):
        super().__init__()
        self.part, self.small = part, small

    def inject_arguments(self, haul, at):
        self.shadow = haul.dir + "/shadow"
        os.mkdir(self.shadow, 0o700)
        return ["--shadow", self.shadow, "--root", haul.disk, *super().inject_arguments(haul, at)]

    def break_it(self, haul, at):
        done = super().break_it(haul, at)
        haul.doubts.clear()
        restore_after_power_cut(self.shadow, at if self.part else None)
        haul.note_state()
        return done


class KillTwice(SystemFault):
    """Everything is killed somewhere; then the run that puts it right is killed at its n-th call."""

    def break_it(self, haul, at):
        total = self.total
        super().break_it(haul, 1 + at * 7919 % total)
        return super().break_it(haul, at)

    def places(self, counts, _haul):
        self.total = counts.calls("all")
        return self.total


class NetworkFault:
    """A connection to the source or to the sink is cut, reset or stalls after n bytes, counted over all connections of a haul; twice: the next
    run's connection too, at another byte."""
    small, mda_may_repeat, environment = True, False, {}

    def __init__(self, side, direction, how, twice=False, options=None):
        self.side, self.direction, self.how, self.twice, self.options = side, direction, how, twice, options or {}

    def service(self, haul):
        return haul.protocol if self.side == "source" else next((name for name in haul.targets if name in ("smtp", "lmtp")), None)

    def places(self, counts, haul):
        self.lengths = [moved[self.direction] for (service, _), moved in sorted(counts.traffic.items()) if service == self.service(haul)]
        return sum(self.lengths)

    def fault_at(self, at):
        connection, left = 1, at - 1
        for length in self.lengths:
            if left < length:
                break
            connection, left = connection + 1, left - length
        return Fault(connection, self.direction, left, self.how)

    def break_it(self, haul, at):
        fired = False
        haul.environment["MAILHAUL_DEADLINE_FACTOR"] = "0.002"
        for place in (at, 1 + at * 7919 % sum(self.lengths)) if self.twice else (at,):
            fault = self.fault_at(place)
            haul.bench.servers.begin(haul.world, {self.service(haul): fault}, self.options)
            haul.run()
            fired = fired or fault.fired
        haul.environment.update(haul.bench.environment)
        haul.bench.servers.begin(haul.world)
        return f"{self.service(haul)} {self.direction}" if fired else ""

    def check(self, haul, runs):
        pass


def fault_kinds():
    kinds = {f"kill-{role}": SystemFault(role) for role in ROLES}
    kinds["kill-again"] = KillTwice()
    kinds["power-cut"], kinds["power-cut-part"] = PowerCut(), PowerCut(part=True)
    kinds["power-cut-few"] = PowerCut(small=True)   # where each file is synced by itself, and not the whole file system
    errors = [("ENOSPC", "files", FILE_CALLS), ("EDQUOT", "files", FILE_CALLS), ("EIO", "files", FILE_CALLS), ("EIO", "syncs", SYNC_CALLS),
              ("EINTR", "sleeps", SLEEP_CALLS), ("EMFILE", "births", BIRTH_CALLS), ("EAGAIN", "births", "clone"), ("EIO", "messages", "sendmsg,recvmsg"), ("ENOMEM", "memory", MEMORY_CALLS),
              ("ENOLCK", "locks", "fcntl"), ("EIO", "any", "")]
    for error, word, calls in errors:
        kinds[f"{error}-{word}"] = SystemFault("all", calls, error)
        if error != "EINTR" and word != "any":
            kinds[f"{error}-{word}-lasting"] = SystemFault("all", calls, error, "lasting")
    for role in ("worker", "supervisor", "spawner"):
        kinds[f"malloc-{role}"] = MallocFault(role, str(CALLS_PER_MALLOC))
        kinds[f"malloc-{role}-lasting"] = MallocFault(role, "lasting")
    kinds["full-maildir"] = DiskFault("ENOSPC", "/maildir", DISK_FULL)
    kinds["full-spool"] = DiskFault("ENOSPC", "/state/#", DISK_FULL)
    kinds["full-state"] = ReserveFault()
    kinds["broken-state"] = DiskFault("EIO", "/state/state.db", STATE_FAILED)
    kinds["short"] = SystemFault(short=True)
    kinds["short-lasting"] = SystemFault(short=True, times="lasting")
    for side in ("source", "sink"):
        for direction in ("in", "out"):
            for how in ("cut", "reset", "stall"):
                kinds[f"{how}-{side}-{direction}"] = NetworkFault(side, direction, how)
            kinds[f"cut-again-{side}-{direction}"] = NetworkFault(side, direction, "cut", twice=True)
    for direction in ("in", "out"):
        kinds[f"cut-reconnected-{direction}"] = NetworkFault("sink", direction, "cut", options={"lose_after": 1})
    return kinds
