"""haul.py - one haul: a directory, a configuration, a world, runs of the program, and the comparison of the two ledgers."""
import os
import re
import shutil
import signal
import sqlite3
import subprocess

from imap_server import UID_BASE
from messages import identify
from world import World

DELIVERY_INTENT, DELIVERY_ACCEPTED, DELIVERY_DEFERRED, DELIVERY_HELD = 2, 3, 4, 5   # enum delivery_stage in state/stage.h
RUNS_MAX = 4
SECONDS = 60          # no run takes so long, unless it hangs
EXIT_LATE = 98        # as inject has it
# What a run may end with, whatever is broken (sysexits.h, and the manual); -9: the supervisor itself was killed.
EXITS = (0, 70, 71, 74, 75, 77, 78, 128 + 9)

SOURCES = {"pop3-delete": ("pop3", "delete"), "pop3-keep": ("pop3", "keep"), "imap-delete": ("imap", "delete"), "imap-move": ("imap", "{move_to: Archive}"),
           "imap-keep": ("imap", "keep")}
DESTINATIONS = {"maildir": ["maildir"], "smtp": ["smtp"], "lmtp": ["lmtp"], "mda": ["mda"], "two": ["maildir", "smtp"]}


class Folder:
    """What lies in new/ and cur/ of a directory: (digest, id) by number, each file read once."""

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
    def __init__(self, bench, source, destination, messages, tag):
        self.bench, self.protocol, self.targets = bench, SOURCES[source][0], DESTINATIONS[destination]
        self.dir = os.path.join(bench.work, tag)
        self.messages = messages
        os.mkdir(self.dir, 0o700)
        for part in ("", "/tmp", "/new"):
            os.mkdir(self.dir + "/mda" + part, 0o700)
        self.disk = self.dir + "/disk"   # what a power cut concerns: the program makes all that is in there
        os.mkdir(self.disk, 0o700)
        self.state = self.disk + "/state"
        self.folders = {name: Folder(f"{self.disk if name == 'maildir' else self.dir}/{name}") for name in self.targets if name in ("maildir", "mda")}
        self.world = World(self.dir + "/ledger", messages)
        self.world.has_arrived = {name: self._asker(name) for name in self.targets}
        self.disposal = SOURCES[source][1]
        self._write_config()
        self.environment = dict(bench.environment)
        self.runs = 0
        self.doubts = {}   # (destination, number) -> how many runs left an intent without outcome
        self.options = []  # of the program
        self.may_crash = False
        self.waiting, self.held = set(), set()
        self.wrong = []    # violations seen on the way
        self.duplicates = 0

    def _asker(self, name):
        if name in self.folders:
            return lambda number: number in self.folders[name].arrivals()
        return lambda number: (name, number) in self.world.arrivals

    def _write_config(self):
        ports = self.bench.servers.ports
        values = {"maildir": f"{{maildir: {self.disk}/maildir}}", "mda": f"{{mda: [{self.bench.file_mail}, {self.dir}/mda]}}",
                  "smtp": f'{{smtp: "127.0.0.1:{ports["smtp"]}", recipient: anna@home.test}}',
                  "lmtp": f'{{lmtp: "127.0.0.1:{ports["lmtp"]}", recipient: anna@home.test}}'}
        path = self.dir + "/config.yaml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"state_dir: {self.state}\ndestinations:\n")
            file.writelines(f"  {name}: {values[name]}\n" for name in self.targets)
            file.write(f'mailboxes:\n  - name: isp\n    {self.protocol}: "127.0.0.1:{ports[self.protocol]}"\n    tls: none\n    user: anna\n'
                       f"    password: secret\n    deliver_to: [{', '.join(self.targets)}]\n    after_delivery: {self.disposal}\n")
        os.chmod(path, 0o600)

    # -- runs --

    def run(self, inject_arguments=None):
        """(exit code, report) of one run, under inject if that has anything to do; what it says is added to DIR/log."""
        self.runs += 1
        command = [self.bench.mailhaul, *self.options, "--config", self.dir + "/config.yaml", "run", "isp"]
        report = f"{self.dir}/report-{self.runs}"
        if inject_arguments is not None:
            command = [self.bench.inject, "--seconds", str(SECONDS), "--report", report, *inject_arguments, *command]
        code = self._execute(command)
        self.bench.servers.drain()
        self.note_state()
        text = ""
        if inject_arguments is not None:
            with open(report, encoding="utf-8") as file:
                text = file.read()
        self._judge_run(code, text)
        return code, text

    def _execute(self, command):
        with open(self.dir + "/log", "ab") as log:
            log.write(b"-- " + " ".join(command).encode() + b"\n")
            log.flush()
            with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, start_new_session=True) as process:
                try:
                    code = process.wait(SECONDS + 10)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    code = EXIT_LATE
            log.write(b"-- exit %d\n" % code)
        return code

    def _judge_run(self, code, report):
        if code not in EXITS and not (self.may_crash and code == 128 + signal.SIGSEGV):
            self.wrong.append(f"run {self.runs} ends with {code}")
        if code == 0 and not self.is_done(waiting=self.waiting):
            self.wrong.append(f"run {self.runs} ends with 0, and not all is done")
        self.wrong += [f"a failed sync was tried again: {path}" for path in re.findall(r"^resynced (.*)", report, re.M)]
        self.wrong += re.findall(r"^(?:not detached|forbidden).*", report, re.M)
        if not self.may_crash:
            self.wrong += re.findall(r"^crash (?!helper).*", report, re.M)

    def let_time_pass(self):
        """What waits for its next try has waited, unless it is held."""
        if not os.path.exists(self.state + "/state.db"):
            return
        base = sqlite3.connect(self.state + "/state.db")
        try:
            base.execute("UPDATE delivery SET next_try = 0 WHERE status <> ?", (DELIVERY_HELD,))
            base.execute("UPDATE message SET next_try = 0")
            base.commit()
        except sqlite3.OperationalError:
            pass
        finally:
            base.close()

    def finish(self):
        """Runs without fault until nothing is left; how many it took."""
        code = None
        for turn in range(RUNS_MAX):
            code, _ = self.run()
            if code == 0 and self.is_done():
                return turn + 1
            self.let_time_pass()
        self.wrong.append(f"the last run ends with {code}{'' if self.is_done() else ', incomplete'}")
        return RUNS_MAX

    def read_log(self):
        with open(self.dir + "/log", encoding="utf-8") as file:
            return file.read()

    # -- what the state says --

    def _state_rows(self):
        """(destination, number, delivery stage, does it wait for its next try), from a copy, so that nobody but mailhaul recovers the log of what it wrote."""
        copy = self.dir + "/copy.db"
        for end in ("", "-wal", "-journal"):
            if os.path.exists(copy + end):
                os.unlink(copy + end)
            if os.path.exists(self.state + "/state.db" + end):
                shutil.copyfile(self.state + "/state.db" + end, copy + end)
        if not os.path.exists(copy):
            return []
        base = sqlite3.connect(copy)
        try:
            rows = base.execute("SELECT t.destination, m.key, m.uid, d.status, m.next_try FROM delivery d JOIN message m ON m.id = d.message"
                                " JOIN target t ON t.id = d.target").fetchall()
        except sqlite3.OperationalError:
            rows = []   # killed before the tables were made
        finally:
            base.close()
        return [(destination, uid - UID_BASE if self.protocol == "imap" else int(re.search(rb"ledger-(\d+)", bytes(key)).group(1)), status,
                 next_try != 0 or status in (DELIVERY_DEFERRED, DELIVERY_HELD)) for destination, key, uid, status, next_try in rows]

    def note_state(self):
        """Counts what is in doubt; whatever the source no longer has must be recorded as accepted."""
        recorded, self.waiting, self.held = set(), set(), set()
        for destination, number, status, waits in self._state_rows():
            if waits:
                self.waiting.add((destination, number))
            if status == DELIVERY_HELD:
                self.held.add((destination, number))
            if status == DELIVERY_INTENT:
                self.doubts[destination, number] = self.doubts.get((destination, number), 0) + 1
            if status == DELIVERY_ACCEPTED:
                recorded.add((destination, number))
        for number in self.messages:
            if number not in self.world.messages:
                self.wrong += [f"UNRECORDED {number} is gone from the source, and the state does not know that {name} has it" for name in self.targets
                               if (name, number) not in recorded]

    # -- the comparison --

    def arrivals(self):
        found = {key: list(value) for key, value in self.world.arrivals.items()}
        for name, folder in self.folders.items():
            found.update({(name, number): what for number, what in folder.arrivals().items()})
        return found

    def is_done(self, waiting=frozenset()):
        """All is delivered and disposed of, but for what waits for its next try."""
        found = self.arrivals().keys() | waiting
        left = {number for number in self.world.messages if not any((name, number) in waiting for name in self.targets)}
        return all((name, number) in found for name in self.targets for number in self.messages) and (self.disposal == "keep" or not left)

    def compare(self, lenient=False):
        """Violations of the promise, in words. LENIENT: the MDA itself was broken and may have filed the message before."""
        found, wrong = self.arrivals(), list(dict.fromkeys(self.wrong))
        self.duplicates = 0
        for number, name in self.world.missing:
            wrong.append(f"EARLY {number} left the source before {name} had it")
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

    def close(self, keep):
        self.world.close()
        if not keep:
            shutil.rmtree(self.dir)
