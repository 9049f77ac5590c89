#!/usr/bin/env python3
"""halting-pop3.py DIR - a POP3 server for tests: prints its port, accepts anybody, has two messages for each, and stops in the middle of the second.

The first message of USER says "mail-of-USER"; DIR/halted-USER appears once USER has got so far."""

import pathlib
import socketserver
import sys

LISTED = "1 1000\r\n2 1000\r\n"
UIDS = "1 one\r\n2 two\r\n"


class Session(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode())

    def handle(self):
        self.say("+OK ready\r\n")
        user = ""
        for line in self.rfile:
            command, _, argument = line.decode().strip().partition(" ")
            if command == "CAPA":
                self.say("+OK\r\nUSER\r\nUIDL\r\nTOP\r\n.\r\n")
            elif command == "USER":
                user = argument
                self.say("+OK\r\n")
            elif command == "STAT":
                self.say("+OK 2 2000\r\n")
            elif command in ("LIST", "UIDL"):
                self.say(f"+OK\r\n{LISTED if command == 'LIST' else UIDS}.\r\n")
            elif command in ("RETR", "TOP") and argument.split()[0] == "1":
                self.say(f"+OK\r\nSubject: one\r\n\r\nmail-of-{user}\r\n.\r\n")
            elif command in ("RETR", "TOP"):
                self.say("+OK\r\nSubject: two\r\n\r\nthe beginning\r\n")
                pathlib.Path(sys.argv[1], f"halted-{user}").touch()
            else:
                self.say("+OK\r\n")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


with Server(("127.0.0.1", 0), Session) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
