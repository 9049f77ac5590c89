#!/usr/bin/env python3
"""watch-memory.py COMMAND... - runs mailhaul and prints, in KiB, the peak memory of the supervisor and of its largest child (the worker).

Peak: VmHWM, read every few milliseconds until the process is gone; it only grows, so nothing between two looks is missed but the very end.
Private: Private_Clean + Private_Dirty of the worker at its smallest after its first second and at its largest; needs root, for workers cannot be looked into."""

import os
import subprocess
import sys
import time


def field(text, name):
    for line in text.splitlines():
        if line.startswith(name + ":"):
            return line.split()[1]
    return "0"


def read(pid, name):
    try:
        with open("/proc/%d/%s" % (pid, name), encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def family(top):
    """The process and everything below it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            parents.setdefault(int(field(read(int(entry), "status"), "PPid")), []).append(int(entry))
    found, queue = [], [top]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += parents.get(pid, [])
    return found


def main():
    child = subprocess.Popen(sys.argv[1:])
    peaks, private, seconds = {}, {}, {}
    while child.poll() is None:
        for pid in family(child.pid):
            status = read(pid, "status")
            peaks[pid] = max(peaks.get(pid, 0), int(field(status, "VmHWM")))
            rollup = read(pid, "smaps_rollup")
            if rollup:
                size = int(field(rollup, "Private_Clean")) + int(field(rollup, "Private_Dirty"))
                private.setdefault(pid, []).append(size)
        time.sleep(0.003)
    children = sorted((peak, pid) for pid, peak in peaks.items() if pid != child.pid)
    peak, worker = children[-1] if children else (0, 0)
    sizes = private.get(worker, [0])
    print("supervisor %d worker %d worker-private-least %d worker-private-most %d exit %d" % (peaks.get(child.pid, 0), peak, min(sizes), max(sizes), child.returncode))


if __name__ == "__main__":
    main()
