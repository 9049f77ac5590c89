#!/usr/bin/env python3
"""notify-listener.py SOCKET FILE - what a service says to its manager (sd_notify(3)), message by message, into a file."""

import socket
import sys


def main():
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(sys.argv[1])
    with open(sys.argv[2], "a", encoding="utf-8") as file:
        while True:
            file.write(listener.recv(4096).decode() + "\n")
            file.flush()


if __name__ == "__main__":
    main()
