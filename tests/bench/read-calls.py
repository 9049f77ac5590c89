#!/usr/bin/env python3
"""read-calls.py FILE MESSAGES - what watch-calls.so wrote: workers, messages, per message the transactions, the syncs of the state and those of others
(Maildirs), and the share of a worker's time, from the first look at the network to the last, in which it slept for the supervisor alone."""

import struct
import sys

SLOT = struct.Struct("8Q")


def main():
    messages = int(sys.argv[2])
    with open(sys.argv[1], "rb") as file:
        slots = [slot for slot in SLOT.iter_unpack(file.read()) if slot[0]]
    commits = sum(slot[1] for slot in slots)
    state = sum(slot[2] for slot in slots)
    workers = [slot for slot in slots if slot[4]]
    other = sum(slot[3] for slot in workers)
    shares = [100 * alone / (last - first) for _, _, _, _, first, last, alone, _ in workers if last > first]
    share = sum(shares) / len(shares) if shares else 0.0
    print("| %d | %d | %.3f | %.3f | %.3f | %.1f %% |" % (len(workers), messages, commits / messages, (commits + state) / messages, other / messages, share))


if __name__ == "__main__":
    main()
