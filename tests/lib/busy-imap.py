#!/usr/bin/env python3
"""busy-imap.py - an IMAP server for tests: prints its port and accepts anybody. INBOX gets a message five times a second and announces it; Quiet gets
one, once somebody waits for it, and never says so; Missing does not exist."""

import re
import socketserver
import threading
import time

CAPABILITIES = "CAPABILITY IMAP4rev1 IDLE"
MESSAGE = "Return-Path: <ben@far.example>\r\nSubject: %s\r\n\r\n%s\r\n"

boxes = {"INBOX": 0, "Quiet": 0}  # messages, with UIDs from 1 on
waited = threading.Event()


def fill():
    while True:
        time.sleep(0.2)
        boxes["INBOX"] += 1
        boxes["Quiet"] = int(waited.is_set())


class Session(socketserver.StreamRequestHandler):
    folder = None

    def say(self, text):
        self.wfile.write(f"{text}\r\n".encode())

    def select(self, tag, folder):
        self.folder = folder if folder in boxes else None
        if self.folder is None:
            self.say(f"{tag} NO there is none")
            return
        self.known = boxes[folder]
        self.say(f"* {self.known} EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT {self.known + 1}] ok\r\n{tag} OK done")

    def idle(self, tag):
        done = threading.Event()

        def announce():
            while not done.wait(0.02):
                if self.folder == "INBOX" and boxes["INBOX"] > self.known:
                    self.known = boxes["INBOX"]
                    self.say(f"* {self.known} EXISTS")

        self.say("+ idling")
        if self.folder == "Quiet":
            waited.set()
        thread = threading.Thread(target=announce)
        thread.start()
        self.rfile.readline()
        done.set()
        thread.join()
        self.say(f"{tag} OK")

    def fetch(self, tag, uids, items):
        if self.folder is None:
            self.say(f"{tag} BAD select first")
            return
        for first, _, last in (part.partition(":") for part in uids.split(",")):
            for uid in range(int(first), min(int(last or first), self.known) + 1):
                text = MESSAGE % (self.folder, uid)
                if "BODY" in items:
                    self.say(f"* {uid} FETCH (UID {uid} BODY[] {{{len(text)}}}\r\n{text})")
                else:
                    self.say(f"* {uid} FETCH (UID {uid} RFC822.SIZE {len(text)})")
        self.say(f"{tag} OK")

    def handle(self):
        self.say(f"* OK [{CAPABILITIES}] ready")
        for line in self.rfile:
            tag, command, argument = re.match(r"(\S+) (\S+) ?(.*)", line.decode().strip()).groups()
            if command in ("SELECT", "EXAMINE"):
                self.select(tag, argument.strip('"'))
            elif command == "UID":
                self.fetch(tag, *argument.split(" ", 2)[1:])
            elif command == "IDLE":
                self.idle(tag)
            elif command == "CAPABILITY":
                self.say(f"* {CAPABILITIES}\r\n{tag} OK")
            else:
                self.say(f"{tag} OK [{CAPABILITIES}] done")
            if command == "LOGOUT":
                return


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # who is told to leave does not wait for our last word


with Server(("127.0.0.1", 0), Session) as server:
    print(server.server_address[1], flush=True)
    threading.Thread(target=fill, daemon=True).start()
    server.serve_forever()
