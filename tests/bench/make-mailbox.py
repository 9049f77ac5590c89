#!/usr/bin/env python3
"""make-mailbox.py [--count N] [--sizes 4096|LO:MEDIAN:HI|...] MAILDIR - fills a Maildir with messages, the same bytes every time.

--size BYTES: each message as large as that on the wire. --lognormal MEDIAN:MOST: sizes that are distributed like mail, a few of them large.
--same: hard links of one message, for mailboxes so large that only their listing is of interest. Names say the size, so that the server need not look."""

import argparse
import math
import os
import random

LINE = 76
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def message(rng, number, size):
    """Exactly size bytes with CRLF line ends, written with LF."""
    head = (
        "Return-Path: <sender%d@sender.example>\n"
        "Received: from sender.example by mx.isp.example with ESMTPS id %08x;\n\tMon, 5 Jan 2026 10:%02d:00 +0000\n"
        "Message-ID: <%d.%d@sender.example>\nDate: Mon, 5 Jan 2026 10:%02d:00 +0000\n"
        "From: Sender <sender%d@sender.example>\nTo: anna@isp.example\nSubject: message %d\n\n"
        % (number, number * 7919, number % 60, number, size, number % 60, number, number)
    ).encode()
    left = size - len(head) - head.count(b"\n")
    noise = bytes(rng.choice(ALPHABET) for _ in range(LINE * 64))
    body = bytearray()
    while left > 0:
        length = min(LINE, max(0, left - 2))
        start = rng.randrange(0, len(noise) - LINE)
        body += noise[start : start + length] + b"\n"
        left -= length + 2
    return head + bytes(body)


def sizes(options):
    if not options.lognormal:
        return [options.size] * options.count
    median, most = (int(part) for part in options.lognormal.split(":"))
    # The i-th of count quantiles, in an order that is mixed but fixed: the same sizes every time, and one of them the largest.
    normal = [math.sqrt(2) * inverse_erf(2 * (i + 0.5) / options.count - 1) for i in range(options.count)]
    sigma = math.log(most / median) / normal[-1]
    result = [max(600, int(median * math.exp(sigma * x))) for x in normal]
    random.Random(1).shuffle(result)
    return result


def inverse_erf(value):
    low, high = -6.0, 6.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erf(middle) < value else (low, middle)
    return (low + high) / 2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--lognormal")
    parser.add_argument("--same", action="store_true")
    parser.add_argument("maildir")
    options = parser.parse_args()
    rng = random.Random(20260101)
    for part in ("cur", "new", "tmp"):
        os.makedirs(os.path.join(options.maildir, part), exist_ok=True)
    first = None
    for number, size in enumerate(sizes(options)):
        path = os.path.join(options.maildir, "cur", "%d.M%d.isp" % (1000000000 + number, number))
        if options.same and first:
            os.link(first, path + first[first.index(",S=") :])
            continue
        text = message(rng, number, size)
        path += ",S=%d,W=%d:2," % (len(text), len(text) + text.count(b"\n"))
        with open(path, "wb") as file:
            file.write(text)
        first = first or path


if __name__ == "__main__":
    main()
