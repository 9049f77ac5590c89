"""account.py - runs a command and says what it cost: time, processor, memory, system calls, instructions."""

import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass


@dataclass
class Cost:
    status: int
    seconds: float
    processor: float  # of all its processes, user and system


def surroundings(directory, more=None):
    """Each run has its own home; programs that cannot be told whom to trust trust the test's authority, too."""
    return dict(os.environ, HOME=directory, SSL_CERT_FILE=os.environ["BENCH_CA"], **(more or {}))


def run(command, directory, timeout, environment=None):
    """None: it was not done in time."""
    with open(directory + "/output", "ab") as output:
        start = time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=surroundings(directory, environment), cwd=directory,
                                 start_new_session=True)
        timer = threading.Timer(timeout, os.killpg, (child.pid, signal.SIGKILL))
        timer.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            timer.cancel()
        seconds = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode == -9:
        return None
    return Cost(child.returncode, seconds, usage.ru_utime + usage.ru_stime)


def family(top):
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/stat" % entry, encoding="ascii", errors="replace") as file:
                    parents.setdefault(int(file.read().rsplit(")", 1)[1].split()[1]), []).append(int(entry))
            except OSError:
                continue
    found, queue = [], [top]
    while queue:
        found.append(queue.pop())
        queue += parents.get(found[-1], [])
    return found


def peaks(command, directory, timeout):
    """Peak resident memory in KiB of each process that lived longer than a moment, largest first."""
    most = {}
    with open(directory + "/output", "ab") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=surroundings(directory), cwd=directory)
        end = time.monotonic() + timeout
        while child.poll() is None and time.monotonic() < end:
            for pid in family(child.pid):
                try:
                    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as file:
                        found = re.search(r"VmHWM:\s+(\d+)", file.read())
                except OSError:
                    continue
                if found:
                    most[pid] = max(most.get(pid, 0), int(found[1]))
            time.sleep(0.005)
        child.kill()
        child.wait()
    return sorted(most.values(), reverse=True)


def system_calls(command, directory, timeout):
    """All system calls of all its processes, or None."""
    log = directory + "/strace"
    if run(["strace", "-f", "-c", "-S", "calls", "-U", "calls,name", "-o", log] + command, directory, timeout) is None:
        return None
    with open(log, encoding="ascii", errors="replace") as file:
        found = re.search(r"^\s*(\d+) total", file.read(), re.M)
    return int(found[1]) if found else None


def instructions(command, directory, timeout):
    """Of all its processes, counted by callgrind, or None. Processes that are forked count what their parent did before again: the caller takes differences."""
    os.makedirs(directory + "/callgrind", exist_ok=True)
    if run(["valgrind", "--quiet", "--tool=callgrind", "--callgrind-out-file=%s/callgrind/%%p" % directory] + command, directory, timeout) is None:
        return None
    total = 0
    for name in os.listdir(directory + "/callgrind"):
        with open(os.path.join(directory, "callgrind", name), encoding="ascii", errors="replace") as file:
            found = re.search(r"^(?:summary|totals): (\d+)", file.read(), re.M)
        total += int(found[1]) if found else 0
    return total or None
