"""messages.py - the mail of the fault tests: the same bytes in every process, and recognized wherever it arrives."""
import hashlib
import re

MARK = b"X-Ledger: "


def make_message(number, size):
    """The same bytes in every process: lines of all kinds, leading dots, 8 bit, no NUL."""
    head = (
        f"X-Ledger: {number}\r\nReturn-Path: <sender-{number}@ledger.test>\r\nReceived: from a by b; Thu, 1 Jan 2026 00:00:{number % 60:02d} +0000\r\n"
        f"Message-ID: <ledger-{number}@ledger.test>\r\nDate: Thu, 1 Jan 2026 00:00:{number % 60:02d} +0000\r\n"
        f"From: sender-{number}@ledger.test\r\nSubject: number {number}\r\n\r\n"
    ).encode()
    lines = [b".", b"..", b"From here", b"", b"caf\xc3\xa9 " * 7, b"x" * 71, b".hidden", b"number %d" % number]
    body = bytearray()
    index = number
    while len(head) + len(body) < size:
        body += lines[index % len(lines)] + b"\r\n"
        index += 1
    return bytes(head + body) if body else head + b"one line\r\n"


def make_messages(count, large=0):
    """Small ones mostly, some of 20 to 60 KB; LARGE bytes for number 3, if given, so that its spool is a file."""
    sizes = [300 + 97 * n for n in range(count + 1)]
    for n in range(5, count + 1, 5):
        sizes[n] = 20000 + 2000 * n
    if large and count >= 3:
        sizes[3] = large
    return {n: make_message(n, sizes[n]) for n in range(1, count + 1)}


def digest(data):
    """Of a message as it left the source: what was prepended is cut off, line ends do not count."""
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()[:16]


def identify(data):
    """(number, digest, X-Mailhaul-Id) of a message as it arrived somewhere; number 0: it is none of ours."""
    start = data.find(MARK)
    if start < 0:
        return 0, "-", "-"
    number = re.match(rb"\d+", data[start + len(MARK):])
    ident = re.search(rb"^X-Mailhaul-Id: *(\S+)", data[:start], re.M)
    return int(number.group()) if number else 0, digest(data[start:]), ident.group(1).decode() if ident else "-"
