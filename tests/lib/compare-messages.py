#!/usr/bin/env python3
"""compare-messages.py FORM REFERENCE ARRIVED - did every message arrive once, with every byte below our headers?

REFERENCE: a directory of messages as the source sends them (fetch-messages.py). ARRIVED: a Maildir, or a directory of files.
FORM is the rule for the bytes, and what the receiving program is known to do to them:
  local     Maildir, MDA: CRLF becomes LF, nothing else
  lda       local; dovecot-lda then takes one CR before each LF, and a last one
  mail      LMTP, SMTP: a bare CR or NUL became a space, the last line is complete; stored with LF
  postfix   mail; Postfix mends what is no header field
  sink      mail; smtp-sink adds an empty line
Prints what is missing, unexpected, twice or without our headers, and exits 1; else prints the number of messages."""

import collections
import hashlib
import os
import re
import sys

OURS = {b"x-mailhaul-id", b"x-mailhaul-mailbox"}
ABOVE = OURS | {b"received", b"return-path", b"delivered-to", b"x-original-to", b"x-client-addr", b"x-client-proto", b"x-helo-args", b"x-mail-args", b"x-rcpt-args"}
FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")


def expected(form, wire):
    out = wire.replace(b"\r\n", b"\n")
    if form == "local":
        return out
    if form == "lda":
        return out.replace(b"\r\n", b"\n").removesuffix(b"\r")
    out = out.replace(b"\r", b" ").replace(b"\0", b" ")
    if out and not out.endswith(b"\n"):
        out += b"\n"
    if form == "postfix":
        out = out.replace(b"\nX-Space :", b"\nX-Space:").replace(b"\nX-8bit-\xe4", b"\n\nX-8bit-\xe4")
    return out + b"\n" if form == "sink" else out


def below_our_headers(data):
    """Everything after the block of fields that delivery put on top: up to the last of ours and what belongs to it. None: ours are not there."""
    seen = set()
    position = 0
    while len(seen & OURS) < len(OURS):
        match = FIELD.match(data, position)
        if not match or match.group(1).lower() not in ABOVE:
            return None
        seen.add(match.group(1).lower())
        end = data.find(b"\n", position) + 1
        while data[end : end + 1] in (b" ", b"\t"):
            end = data.find(b"\n", end) + 1
        if end == 0:
            return None
        position = end
    return data[position:]


def files(directory):
    for folder in ("new", "cur") if os.path.isdir(os.path.join(directory, "new")) else ("",):
        for name in sorted(os.listdir(os.path.join(directory, folder))):
            yield os.path.join(directory, folder, name)


def main():
    form, reference, arrived = sys.argv[1:]
    wanted = collections.Counter()
    names = {}
    for path in files(reference):
        with open(path, "rb") as file:
            body = expected(form, file.read())
        digest = hashlib.sha256(body).digest()
        wanted[digest] += 1
        names[digest] = "%s (%d bytes, %r...)" % (os.path.basename(path), len(body), body[:60])
    problems = []
    count = 0
    for path in files(arrived):
        count += 1
        with open(path, "rb") as file:
            data = file.read()
        body = below_our_headers(data)
        if body is None:
            problems.append("without our headers: %s %r..." % (os.path.basename(path), data[:200]))
            continue
        # Text that is no header gets an empty line between it and our fields.
        candidates = [body] + ([body[1:]] if body.startswith(b"\n") else [])
        for candidate in candidates:
            digest = hashlib.sha256(candidate).digest()
            if wanted[digest] > 0:
                wanted[digest] -= 1
                break
        else:
            known = any(hashlib.sha256(c).digest() in names for c in candidates)
            problems.append("%s: %s (%d bytes below our headers, %r...)" % ("twice" if known else "changed", os.path.basename(path), len(body), body[:100]))
    problems += ["missing: " + names[digest] for digest, number in wanted.items() for _ in range(number)]
    for problem in problems[:20]:
        print(problem)
    if problems:
        print("%d arrived, %d problems" % (count, len(problems)))
        sys.exit(1)
    print(count)


if __name__ == "__main__":
    main()
