"""bench.py - where points are tried: one process with servers of its own, a directory, and copies of the programs. Started as root it goes on as nobody."""
import hashlib
import os
import pwd
import shutil
import tempfile

from faults import Counts, fault_kinds
from haul import Haul
from messages import make_messages
from servers import Servers

MESSAGES = 20
FEW = 3               # where every byte, or every allocation, is a place
LARGE = 2000000       # over the megabyte that a spool keeps in memory, and begun at its destinations while it arrives
ORDINARY_USER = "nobody"
DEADLINE_FACTOR = "0.05"


def build_id():
    """Which program it is that was tried."""
    with open(os.environ["MAILHAUL"], "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:12]


def make_work(prefix):
    """A directory for benches, which an ordinary user can use and remove."""
    work = tempfile.mkdtemp(prefix=prefix)
    os.chmod(work, 0o755)
    if os.getuid() == 0:
        user = pwd.getpwnam(ORDINARY_USER)
        os.chown(work, user.pw_uid, user.pw_gid)
    return work


class Bench:
    def __init__(self, work, keep=False):
        self.work, self.keep = work, keep
        os.mkdir(work, 0o755)
        self.mailhaul, self.inject, self.file_mail = (self._copy(os.environ[name]) for name in ("MAILHAUL", "INJECT", "FILE_MAIL"))
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": work, "MAILHAUL_DEADLINE_FACTOR": DEADLINE_FACTOR, "ASAN_OPTIONS": "detect_leaks=0",
                            "LC_ALL": "C"}
        if os.getuid() == 0:
            user = pwd.getpwnam(ORDINARY_USER)
            os.chown(work, user.pw_uid, user.pw_gid)
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        self.servers = Servers()
        self.serial = 0
        self.many, self.few, self.medium = make_messages(MESSAGES, LARGE), make_messages(FEW), make_messages(MESSAGES)
        self.kinds = fault_kinds()

    def _copy(self, program):
        to = os.path.join(self.work, os.path.basename(program))
        shutil.copy(program, to)
        os.chmod(to, 0o755)
        return to

    def begin(self, source, destination, messages, options=None):
        self.serial += 1
        haul = Haul(self, source, destination, messages, f"{source}-{destination}-{self.serial}")
        self.servers.begin(haul.world, options=options)
        return haul

    def count(self, source, destination, small, environment, options):
        """(Counts of a haul without fault, violations)"""
        haul = self.begin(source, destination, self.few if small else self.many, options)
        haul.environment.update(environment)
        code, report = haul.run([])
        counts = Counts(report, self.servers.traffic)
        # A sink that loses connections leaves something to be done by the next run.
        wrong = [] if options else haul.compare() + ([f"it ends with {code}"] if code != 0 else [])
        haul.close(self.keep and wrong)
        return counts, wrong

    def point(self, source, destination, kind, at, counts):
        """(was the place reached, violations, duplicates, doubts)"""
        fault = self.kinds[kind]
        haul = self.begin(source, destination, self.few if fault.small else self.many)
        fault.places(counts, haul)
        done = fault.break_it(haul, at)
        runs = haul.finish()
        if done:
            fault.check(haul, runs)
        wrong = [f"{kind} at {at} ({done or 'not reached'}): {text}" for text in haul.compare(fault.mda_may_repeat)]
        if wrong and self.keep:
            wrong.append(f"kept: {haul.dir}")
        haul.close(self.keep and wrong)
        return bool(done), wrong, haul.duplicates, sum(haul.doubts.values())
