"""compare_peers.py DIRECTORY IMAP-PORT POP3-PORT [NAME...] - kills mailhaul and its peers in the middle of a haul, again and again, and counts.

DIRECTORY holds the program mailhaul and "dovecot", where users are files. For each program, protocol and destination: a user with 300 messages that stay on the
server; how long an undisturbed haul takes, with a twin of that user; then 20 runs, each killed (SIGKILL, the whole process group) after a random part of a third of that time;
then two clean runs. Counted is what arrived: copies beyond the first, and messages that never came. Called by compare-peers.sh.
"""
import os
import random
import shutil
import signal
import subprocess
import sys
import time

from haul import Folder
from messages import make_message
from servers import Servers
from world import World

MESSAGES, SIZE = 300, 4096
KILLS, CLEAN_RUNS = 20, 2
SECONDS = 90   # no clean run takes so long


def mailhaul(case):
    to = f"{{maildir: {case.maildir}}}" if case.to == "maildir" else f'{{smtp: "127.0.0.1:{case.smtp_port}", recipient: anna@home.test}}'
    case.write("config.yaml", f"state_dir: {case.dir}/state\ndestinations:\n  home: {to}\nmailboxes:\n  - name: isp\n    {case.protocol}: \"127.0.0.1:{case.port}\"\n"
               f"    tls: none\n    user: {case.user}\n    password: secret\n    deliver_to: home\n")
    return [case.work + "/mailhaul", "--config", case.dir + "/config.yaml", "run", "isp"]


def fetchmail(case):
    uidl = " uidl" if case.protocol == "pop3" else ""
    case.write("fetchmailrc", f"set idfile {case.dir}/ids\npoll 127.0.0.1 service {case.port} protocol {case.protocol} auth password{uidl}:\n"
               f"  user {case.user} password secret is anna here keep smtphost 127.0.0.1/{case.smtp_port} smtpaddress home.test sslproto ''\n")
    return ["fetchmail", "-f", case.dir + "/fetchmailrc", "--nodetach", "--nosyslog", "--pidfile", case.dir + "/pid"]


def getmail(case):
    kind = {"imap": "SimpleIMAPRetriever", "pop3": "SimplePOP3Retriever"}[case.protocol]
    case.write("getmailrc", f"[retriever]\ntype = {kind}\nserver = 127.0.0.1\nport = {case.port}\nusername = {case.user}\npassword = secret\n"
               f"[destination]\ntype = Maildir\npath = {case.maildir}/\n[options]\nread_all = false\ndelete = false\n")
    return ["getmail", "--getmaildir", case.dir, "--rcfile", "getmailrc"]


def mpop(case):
    case.write("mpoprc", f"account default\nhost 127.0.0.1\nport {case.port}\nuser {case.user}\npassword secret\nauth user\ntls off\nkeep on\n"
               f"delivery maildir {case.maildir}\nuidls_file {case.dir}/uidls\n")
    return ["mpop", "-C", case.dir + "/mpoprc"]


def fdm(case):
    to = f'maildir "{case.maildir}"' if case.to == "maildir" else f'smtp server "127.0.0.1" port {case.smtp_port} from "a@home.test" to "anna@home.test"'
    new_only = f'new-only cache "{case.dir}/cache"' if case.protocol == "pop3" else "new-only"
    case.write("fdm.conf", f'set lock-file "{case.dir}/lock"\naction "home" {to}\n'
               f'account "isp" {case.protocol} server "127.0.0.1" port {case.port} user "{case.user}" pass "secret" {new_only} keep\nmatch all action "home"\n')
    return ["fdm", "-f", case.dir + "/fdm.conf", "fetch"]


CASES = [(mailhaul, "imap", "maildir"), (mailhaul, "pop3", "maildir"), (mailhaul, "imap", "smtp"), (mailhaul, "pop3", "smtp"), (fetchmail, "imap", "smtp"),
         (fetchmail, "pop3", "smtp"), (getmail, "imap", "maildir"), (getmail, "pop3", "maildir"), (mpop, "pop3", "maildir"), (fdm, "imap", "maildir"),
         (fdm, "pop3", "maildir"), (fdm, "imap", "smtp"), (fdm, "pop3", "smtp")]


class Case:
    """One program with a user, a directory and a sink of its own."""

    def __init__(self, bench, program, protocol, to, tag):
        self.work, self.protocol, self.to = bench.work, protocol, to
        self.user = f"{program.__name__}-{protocol}-{to}-{tag}"
        self.dir = f"{self.work}/{self.user}"
        self.port = bench.ports[protocol]
        self.smtp_port = bench.servers.ports["smtp"]
        self.maildir = self.dir + "/Maildir"
        for path in (self.dir, self.maildir, *(f"{self.maildir}/{part}" for part in ("new", "cur", "tmp"))):
            os.mkdir(path, 0o700)
        bench.make_user(self.user)
        self.world = World(self.dir + "/ledger", bench.messages)
        self.servers = bench.servers
        self.servers.begin(self.world)
        self.command = program(self)
        self.environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": self.dir, "USER": self.user, "LC_ALL": "C"}

    def write(self, name, text):
        path = f"{self.dir}/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)

    def run(self, seconds):
        """Exit code, or None: it was killed after so many seconds."""
        with open(self.dir + "/log", "ab") as log:
            process = subprocess.Popen(self.command, env=self.environment, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       start_new_session=True)
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                code = None
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        self.servers.drain()
        return code

    def arrivals(self):
        if self.to == "smtp":
            return {number: len(arrived) for (_, number), arrived in self.world.arrivals.items()}
        return {number: len(arrived) for number, arrived in Folder(self.maildir).arrivals().items()}


class Bench:
    def __init__(self, work, imap_port, pop3_port):
        self.work, self.ports = work, {"imap": int(imap_port), "pop3": int(pop3_port)}
        self.servers = Servers()
        self.messages = {number: make_message(number, SIZE) for number in range(1, MESSAGES + 1)}

    def make_user(self, user):
        with open(f"{self.work}/dovecot/users/{user}", "w", encoding="ascii") as file:
            file.write(f"{user}:{{PLAIN}}secret::::::\n")
        for part in ("cur", "new", "tmp"):
            os.makedirs(f"{self.work}/dovecot/mail/{user}/{part}")
        for number, data in self.messages.items():
            with open(f"{self.work}/dovecot/mail/{user}/new/{1000000000 + number}.{number}.host", "wb") as file:
                file.write(data.replace(b"\r\n", b"\n"))

    def measure(self, program, protocol, to):
        twin = Case(self, program, protocol, to, "twin")
        began = time.monotonic()
        code = twin.run(SECONDS)
        needs = time.monotonic() - began
        if code is None or len(twin.arrivals()) != MESSAGES:
            return f"an undisturbed haul ends with {code} and {len(twin.arrivals())} messages"
        case = Case(self, program, protocol, to, "case")
        chance = random.Random(f"{program.__name__} {protocol} {to}")
        killed = sum(case.run(chance.uniform(0, needs / 3)) is None for _ in range(KILLS))
        codes = [case.run(SECONDS) for _ in range(CLEAN_RUNS)]
        found = case.arrivals()
        duplicates = sum(copies - 1 for copies in found.values())
        shutil.rmtree(f"{self.work}/dovecot/mail/{twin.user}")
        return f"{needs:6.2f} s, {killed:3} of {KILLS} killed, duplicates {duplicates:5}, missing {MESSAGES - len(found):4}, clean runs end with {codes[0]} and {codes[1]}"


def main():
    bench = Bench(*sys.argv[1:4])
    chosen = sys.argv[4:]
    for program, protocol, to in CASES:
        name = program.__name__
        if (chosen and name not in chosen) or (name != "mailhaul" and shutil.which(name) is None):
            continue
        print(f"{name:10}{protocol:5} to {to:8}", bench.measure(program, protocol, to), flush=True)


if __name__ == "__main__":
    main()
