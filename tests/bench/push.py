#!/usr/bin/env python3
"""push.py deliver DIR LMTP_PORT ACCOUNTS MESSAGES SECONDS - gives messages to random accounts at random times, and prints how long each took to the sink.
push.py weigh PID SECONDS MAILBOXES - prints what the daemon and its workers cost over that time. Needs root.
push.py sink SOCKET FILE - an LMTP server that accepts everything, and notes when.

The time of a message is from the source's 250 to its final dot until the sink's."""

import os
import pathlib
import random
import re
import socket
import socketserver
import statistics
import sys
import time

FOLDERS = ("", "+Junk")


class Sink(socketserver.StreamRequestHandler):
    """Answers of RFC 2033."""

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def take_message(self):
        serial = 0
        for line in iter(self.rfile.readline, b".\r\n"):
            if line.startswith(b"Subject: push "):
                serial = int(line.split()[2])
        with self.server.lock_file as log:
            log.write("%d %d\n" % (serial, time.monotonic_ns()))
            log.flush()

    def handle(self):
        self.say("220 sink LMTP")
        for line in self.rfile:
            word = line[:4].upper()
            if word == b"LHLO":
                self.wfile.write(b"250-sink\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n")
            elif word == b"DATA":
                self.say("354 go on")
                self.take_message()
                self.say("250 2.0.0 here")
            elif word == b"QUIT":
                self.say("221 2.0.0 bye")
                return
            else:
                self.say("250 2.0.0 fine")


class Log:
    """Of all sessions at once: each line is one write."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="ascii")

    def __enter__(self):
        return self.file

    def __exit__(self, *what):
        pass


class SinkServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 1024


def run_sink(path, log):
    server = SinkServer(path, Sink)
    server.lock_file = Log(log)
    os.chmod(path, 0o666)
    server.serve_forever()


class Source:
    """The LMTP server of the mailboxes."""

    def __init__(self, port):
        self.stream = socket.create_connection(("127.0.0.1", port)).makefile("rwb")
        self.answer()
        self.ask("LHLO bench")

    def answer(self):
        while True:
            line = self.stream.readline()
            if line[3:4] != b"-":
                return line

    def ask(self, line):
        self.stream.write(line.encode() + b"\r\n")
        self.stream.flush()
        answer = self.answer()
        if answer[:1] not in (b"2", b"3"):
            sys.exit("%s: %s" % (line, answer.decode()))

    def deliver(self, recipient, serial):
        self.ask("MAIL FROM:<bench@far.example>")
        self.ask("RCPT TO:<%s>" % recipient)
        self.ask("DATA")
        self.ask("Subject: push %d\r\n\r\n%s\r\n." % (serial, "x" * 60))
        return time.monotonic_ns()


def read_arrivals(path):
    arrivals = {}
    for line in path.read_text().splitlines():
        serial, when = line.split()
        arrivals.setdefault(int(serial), []).append(int(when))
    return arrivals


def wait_for(path, count, seconds):
    until = time.monotonic() + seconds
    while len(read_arrivals(path)) < count and time.monotonic() < until:
        time.sleep(0.2)
    return read_arrivals(path)


def deliver(directory, port, accounts, messages, seconds):
    source, log = Source(port), pathlib.Path(directory, "arrivals")
    before = len(read_arrivals(log))
    sent, begin = {}, time.monotonic()
    moments = sorted(random.uniform(0, seconds) for _ in range(messages))
    for serial, moment in enumerate(moments, before + 1):
        time.sleep(max(0, begin + moment - time.monotonic()))
        recipient = "push%d%s@home.example" % (random.randrange(accounts), random.choice(FOLDERS))
        sent[serial] = source.deliver(recipient, serial)
    arrivals = wait_for(log, before + messages, 30)
    times = sorted((arrivals[serial][0] - when) / 1e6 for serial, when in sent.items() if serial in arrivals)
    twice = sum(len(arrivals.get(serial, [])) > 1 for serial in sent)
    print("%d messages in %.0f s, %d lost, %d twice" % (messages, moments[-1], messages - len(times), twice))
    print("milliseconds: median %.0f, 90%% %.0f, 99%% %.0f, most %.0f" %
          (statistics.median(times), times[len(times) * 90 // 100], times[len(times) * 99 // 100], times[-1]))


def read(pid, name):
    try:
        return pathlib.Path("/proc/%s/%s" % (pid, name)).read_text()
    except OSError:
        return ""


def children(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and read(entry, "comm") != "mailhaul-conn\n" and re.search(r"^PPid:\t%d$" % pid, read(entry, "status"), re.M):
            found.append(int(entry))
    return sorted(found)


def private_kib(pid, kinds="Clean|Dirty"):
    text = read(pid, "smaps_rollup")
    return sum(int(kib) for kib in re.findall(r"^Private_(?:%s): +(\d+)" % kinds, text, re.M))


def cost(pids):
    """Processor seconds and times that somebody woke up."""
    ticks = switches = 0
    for pid in pids:
        fields = read(pid, "stat").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12]) if fields else 0
        switches += sum(int(n) for n in re.findall(r"^voluntary_ctxt_switches:\t(\d+)", read(pid, "status"), re.M))
    return ticks / os.sysconf("SC_CLK_TCK"), switches


def weigh(pid, seconds, mailboxes):
    family = children(pid)
    workers = family[1:]  # the eldest is the spawner
    memory = sorted(private_kib(worker) for worker in workers)
    dirty = sorted(private_kib(worker, "Dirty") for worker in workers)
    before = cost([pid] + family)
    time.sleep(seconds)
    after = cost([pid] + family)
    print("%d workers: private memory (KiB) median %d, most %d, of that dirty %d, %d; supervisor %d, spawner %d" %
          (len(workers), statistics.median(memory), memory[-1], statistics.median(dirty), dirty[-1], private_kib(pid), private_kib(family[0])))
    print("over %d s: %.2f wakeups per mailbox and minute, %.0f processor seconds per hour" %
          (seconds, (after[1] - before[1]) * 60 / seconds / mailboxes, (after[0] - before[0]) * 3600 / seconds))


if __name__ == "__main__":
    if sys.argv[1] == "sink":
        run_sink(*sys.argv[2:])
    elif sys.argv[1] == "weigh":
        weigh(*(int(word) for word in sys.argv[2:]))
    else:
        deliver(sys.argv[2], *(int(word) for word in sys.argv[3:]))
