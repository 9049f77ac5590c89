#!/usr/bin/env python3
"""search-memory.py DIR - for root, who may: waits for DIR/search (lines: process ids, then words), and writes DIR/found: which process has which word in its memory."""

import os
import sys
import time

ASKED, FOUND = sys.argv[1] + "/search", sys.argv[1] + "/found"


def regions(pid):
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        for line in maps:
            span, rights, *_, = line.split()
            if "r" in rights and "[v" not in line:
                yield [int(end, 16) for end in span.split("-")]


def memory(pid):
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for start, end in regions(pid):
            try:
                mem.seek(start)
                yield mem.read(end - start)
            except OSError:
                pass   # a guard page, or a file that ends earlier


def main():
    while not os.path.exists(ASKED):
        if os.getppid() == 1:
            return   # the test is gone
        time.sleep(0.05)
    with open(ASKED, encoding="ascii") as file:
        pids, words = (line.split() for line in file)
    with open(FOUND + ".new", "w", encoding="ascii") as file:
        for pid in pids:
            parts = list(memory(pid))
            file.write(" ".join([pid] + [word for word in words if any(word.encode() in part for part in parts)]) + "\n")
    os.rename(FOUND + ".new", FOUND)


main()
