#!/usr/bin/env python3
"""make-messages.py [--count N] [--demo] DIRECTORY - writes messages of odd shapes as files, the same bytes every time.

Names are NNN.SHAPE. Line ends are LF, as in a Maildir, except where a CR is the point. What a store cannot keep as it is (a NUL in Dovecot) is still a
test: both sides compare with what the source server sends. --demo writes forty pleasant ones; --loop one message that has been through 1000 hosts."""

import argparse
import os
import random

rng = random.Random(20260101)

WORDS = "mail haul home letter ship harbour rope anchor wind tide deck cargo crew night morning list plan bread salt water".split()


def words(count):
    return " ".join(rng.choice(WORDS) for _ in range(count))


def text(lines):
    return "".join(words(rng.randint(3, 11)) + "\n" for _ in range(lines)).encode()


def base64_lines(size):
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    line = bytes(rng.choice(alphabet) for _ in range(76 * 40))
    out = bytearray()
    while len(out) < size:
        start = rng.randrange(0, len(line) - 76)
        out += line[start : start + 76] + b"\n"
    return bytes(out)


def header(number, subject=None, extra=b""):
    subject = subject if subject is not None else words(4).encode()
    return (
        b"Return-Path: <sender%d@sender.example>\n" % number
        + b"Received: from sender.example by mx.isp.example with ESMTPS id %08x;\n\tMon, 5 Jan 2026 10:%02d:00 +0000\n" % (number * 7919, number % 60)
        + b"Message-ID: <%d.%d@sender.example>\n" % (number, number * 31)
        + b"Date: Mon, 5 Jan 2026 10:%02d:00 +0000\n" % (number % 60)
        + b"From: Sender %d <sender%d@sender.example>\n" % (number, number)
        + b"To: anna@isp.example\n"
        + b"Subject: " + subject + b"\n"
        + extra
    )


def multipart(number, size, name=b"photo.jpg"):
    boundary = b"=_%d_%d" % (number, size)
    return (
        header(number, extra=b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="' + boundary + b'"\n')
        + b"\nThis is a multi-part message in MIME format.\n--" + boundary + b"\nContent-Type: text/plain\n\n" + text(3)
        + b"--" + boundary + b'\nContent-Type: application/octet-stream; name="' + name + b'"\nContent-Transfer-Encoding: base64\n\n'
        + base64_lines(size) + b"--" + boundary + b"--\n"
    )


def sized(number, size):
    """A message of exactly so many bytes in wire form (CRLF), its last line starting with a dot."""
    head = header(number, b"exactly %d bytes" % size) + b"\n"
    wire = len(head) + head.count(b"\n")
    rest = size - wire
    if rest < 8:
        return head
    body = bytearray()
    while rest > 8:
        length = min(70, rest - 8)
        line = (b"." if len(body) % 3 == 0 else b"x") * max(length - 2, 1)
        body += line + b"\n"
        rest -= len(line) + 2
    return head + bytes(body) + b"." * max(rest - 2, 1) + b"\n"


def shapes():
    """(name, function of the message number) in order; names may repeat."""
    h = header
    dkim = (
        b"DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=sender.example; s=2026;\n\th=from:to:subject:date; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NM\n"
        b"\t pJWZG3hSuFU=;\n \tb=" + b"Ab+/" * 40 + b"\nARC-Seal: i=1; a=rsa-sha256;  t=1767607200; cv=none;\n"
    )
    yield "plain", lambda n: h(n) + b"\n" + text(8)
    yield "latin1-header", lambda n: h(n, b"Gr\xfc\xdfe aus K\xf6ln") + b"\n" + text(3)
    yield "utf8-header", lambda n: h(n, "Grüße aus Köln, ありがとう".encode()) + b"\n" + text(3)
    yield "utf8-from", lambda n: h(n, extra="X-From: Jörg Müller <jörg@müller.example>\n".encode()) + b"\n" + text(2)
    yield "latin1-body", lambda n: h(n, extra=b"Content-Type: text/plain; charset=iso-8859-1\n") + b"\n" + b"\xe4\xf6\xfc\xdf \xa4\xff\x80\n" * 20
    yield "utf8-body", lambda n: h(n, extra=b"Content-Type: text/plain; charset=utf-8\n") + b"\n" + "дом, 家, σπίτι\n".encode() * 30
    yield "all-bytes", lambda n: h(n) + b"\n" + bytes(b for b in range(1, 256) if b not in (10, 13)) + b"\n"
    yield "attachment-200k", lambda n: multipart(n, 200_000)
    yield "attachment-2M", lambda n: multipart(n, 2 * 1024 * 1024)
    yield "attachment-5M", lambda n: multipart(n, 5 * 1024 * 1024)
    yield "dot-line", lambda n: h(n) + b"\nbefore\n.\nafter\n"
    yield "two-dots", lambda n: h(n) + b"\n..\n"
    yield "dots", lambda n: h(n) + b"\n.\n..\n...\n...x\n.x\n. \n.\n"
    yield "dot-first", lambda n: h(n) + b"\n.first line of the body\n"
    yield "dot-last", lambda n: h(n) + b"\nlast line\n."
    yield "smuggle-lf", lambda n: h(n) + b"\nx\n.\nMAIL FROM:<a@a.example>\nRCPT TO:<b@b.example>\nDATA\nSubject: smuggled\n\n.\nQUIT\n"
    yield "smuggle-cr", lambda n: h(n) + b"\nx\r.\rMAIL FROM:<a@a.example>\r\n\n.\r\nRSET\n"
    yield "imap-in-body", lambda n: h(n) + b"\n* BYE\na1 OK done\n)\n* 1 FETCH (UID 1 BODY[] {3}\nabc)\n+ go on\n"
    yield "pop3-in-body", lambda n: h(n) + b"\n-ERR no\n+OK yes\n.\n+OK\n"
    yield "crlf", lambda n: (h(n) + b"\n" + text(5)).replace(b"\n", b"\r\n")
    yield "crlf-mixed", lambda n: h(n) + b"\none\r\ntwo\nthree\r\nfour\n"
    yield "bare-cr", lambda n: h(n) + b"\nsome\rlone\rreturns\r and more\n"
    yield "cr-cr-lf", lambda n: h(n) + b"\nodd\r\r\nline\r\r\r\nends\n"
    yield "cr-last", lambda n: h(n) + b"\nends with a return\r"
    yield "cr-only", lambda n: h(n) + b"\n" + b"\r" * 100 + b"\n"
    yield "nul", lambda n: h(n) + b"\nbefore\0after\n\0\0\0\n"
    yield "no-final-newline", lambda n: h(n) + b"\nthe end"
    yield "no-final-newline-8bit", lambda n: h(n) + b"\nthe end \xff"
    yield "empty-body", lambda n: h(n) + b"\n"
    yield "headers-only", lambda n: h(n)
    yield "headers-no-newline", lambda n: h(n)[:-1]
    yield "no-header", lambda n: b"\n" + text(3)
    yield "text-only", lambda n: b"just a line of text that is no header %d\nand one more\n" % n
    yield "two-empty-lines", lambda n: b"\n\n"
    yield "one-empty-line", lambda n: b"\n"
    yield "one-byte", lambda n: b"x"
    yield "many-empty-lines", lambda n: h(n) + b"\n" * 5000
    yield "long-line-998", lambda n: h(n) + b"\n" + b"a" * 998 + b"\n"
    yield "long-line-999", lambda n: h(n) + b"\n" + b"b" * 999 + b"\n"
    yield "long-line-10000", lambda n: h(n) + b"\n" + b"c" * 10_000 + b"\nshort\n"
    yield "long-line-dots", lambda n: h(n) + b"\n" + b"." * 10_000 + b"\n"
    yield "long-line-spaces", lambda n: h(n) + b"\n" + b" " * 10_000 + b"\n"
    yield "long-line-200k", lambda n: h(n) + b"\n" + b"d" * 200_000 + b"\n"
    yield "from-line", lambda n: h(n) + b"\nFrom nobody Mon Jan  5 10:00:00 2026\n>From quoted\n From indented\nFrom\n"
    yield "from-line-first", lambda n: h(n) + b"\nFrom the first line of the body\n"
    yield "from-line-message", lambda n: b"From nobody Mon Jan  5 10:00:00 2026\n" + h(n) + b"\nas an mbox has it\n"
    yield "from-line-quoted", lambda n: b">From nobody Mon Jan  5 10:00:00 2026\n" + h(n) + b"\nas a careless mbox reader leaves it\n"
    yield "byte-order-mark", lambda n: b"\xef\xbb\xbf" + h(n) + b"\n\xef\xbb\xbfbody\n"
    yield "utf16-body", lambda n: h(n) + b"\n" + "Grüße\n".encode("utf-16") * 3
    yield "many-received", lambda n: received(n, 90) + h(n) + b"\n" + text(2)
    yield "dkim", lambda n: dkim + h(n, b"do  not   touch  the spaces \t") + b"\n" + b"trailing spaces   \n\ttab\t\n \n\n\n"
    yield "folded", lambda n: h(n, b"folded\n over\n\tseveral\n  lines") + b"\nbody\n"
    yield "header-1M", lambda n: h(n, extra=b"".join(b"X-Long-%d: " % i + b"v" * 900 + b"\n" for i in range(1150))) + b"\nbody\n"
    yield "header-long-field", lambda n: h(n, extra=b"X-Long:" + b"\n " .join([b" " + b"w" * 70] * 800) + b"\n") + b"\nbody\n"
    yield "header-odd-names", lambda n: h(n, extra=b"x: 1\nX-Empty:\nX-Space :2\nX-Colon::::\nX-8bit-\xe4: 3\n") + b"\nbody\n"
    yield "return-path-null", lambda n: b"Return-Path: <>\nFrom: MAILER-DAEMON@isp.example\nSubject: bounce %d\n\nyour mail\n" % n
    yield "return-path-odd", lambda n: b"Return-Path: <a b@@c>\nReturn-Path: \"x y\"@z\nFrom: <x@y.example>\nSubject: %d\n\nodd\n" % n
    yield "no-return-path", lambda n: b"From: <x@y.example>\nSubject: %d\n\nplain\n" % n
    yield "same-message-id", lambda n: b"Message-ID: <same@sender.example>\nFrom: <x@y.example>\nSubject: %d\n\nfirst\n" % n
    yield "same-message-id", lambda n: b"Message-ID: <same@sender.example>\nFrom: <x@y.example>\nSubject: %d\n\nsecond\n" % n
    yield "terminal-escapes", lambda n: h(n, b"\x1b[2J\x1b]0;owned\x07 \x9b31m %s %n %d") + b"\n\x1b[31mred\n"
    yield "delivered-to", lambda n: b"Delivered-To: anna@isp.example\nX-Original-To: anna\n" + h(n) + b"\nseen before\n"
    yield "nested", lambda n: h(n, extra=b"Content-Type: message/rfc822\n") + b"\n" + h(n + 1000) + b"\ninner\n"
    yield "mime-deep", lambda n: mime_deep(n, 60)
    yield "mime-unclosed", lambda n: h(n, extra=b"Content-Type: multipart/mixed; boundary=b\n") + b"\n--b\nContent-Type: text/plain\n\nno end\n"
    yield "format-string", lambda n: h(n, b"%s%s%s%n%x {} $HOME `id` $(id) ; rm") + b"\n%s\n"
    for size in (4095, 4096, 4097, 8191, 8192, 8193, 16383, 16384, 16385, 32767, 32768, 65535, 65536, 65537, 131072, 262144, 1048575, 1048576, 1048577):
        yield "size-%d" % size, lambda n, size=size: sized(n, size)
    # A CRLF, and a dot behind it, at each place around a block boundary.
    for offset in range(-4, 5):
        yield "boundary-%+d" % offset, lambda n, offset=offset: boundary(n, 4096 + offset)
        yield "boundary-16k-%+d" % offset, lambda n, offset=offset: boundary(n, 16384 + offset)


def boundary(number, place):
    head = header(number, b"line end at %d" % place) + b"\n"
    wire = len(head) + head.count(b"\n")
    out = bytearray(head)
    while place - wire > 80:
        out += b"f" * 70 + b"\n"
        wire += 72
    out += b"g" * (place - wire) + b"\n.\n..\nh"
    return bytes(out)


def received(number, count):
    return b"".join(b"Received: from h%d.example by h%d.example with SMTP id %d; Mon, 5 Jan 2026 10:00:00 +0000\n" % (i, i + 1, number) for i in range(count))


def mime_deep(number, depth):
    out = header(number, extra=b"Content-Type: multipart/mixed; boundary=b0\n") + b"\n"
    for i in range(depth):
        out += b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (i, i + 1)
    return out + b"bottom\n"


def write(directory, number, name, content):
    path = os.path.join(directory, "%03d.%s" % (number, name))
    with open(path, "wb") as file:
        file.write(content)
    # One a minute, so that the date of arrival can be compared too.
    os.utime(path, (1767600000 + number * 60,) * 2)


def make_all(directory, count):
    number = 0
    for name, make in shapes():
        number += 1
        if number <= count:
            write(directory, number, name, make(number))
    while number < count:
        number += 1
        lines = (number * 37) % 400
        body = bytearray(text(lines))
        for _ in range(number % 5):
            at = body.find(b"\n", rng.randrange(0, len(body) + 1)) + 1
            body[at:at] = rng.choice([b".\n", b"..\n", b".x\n", b"\r\n", b"\n", b"\xe9\n", b"From x\n", b"x\ry\n"])
        write(directory, number, "mixed", header(number) + b"\n" + bytes(body))


def make_demo(directory, count):
    names = ["plain", "plain", "utf8-header", "latin1-body", "dots", "crlf-mixed", "folded", "no-final-newline", "utf8-body", "attachment-200k",
             "attachment-2M", "bare-cr", "long-line-998", "dot-line", "dkim", "empty-body"]
    makers = dict(shapes())
    for number in range(1, count + 1):
        name = names[number % len(names)]
        write(directory, number, name, makers[name](number))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--loop", action="store_true")
    parser.add_argument("directory")
    options = parser.parse_args()
    os.makedirs(options.directory, exist_ok=True)
    if options.loop:
        write(options.directory, 1, "loop", received(1, 1000) + header(1) + b"\nround and round\n")
    elif options.demo:
        make_demo(options.directory, options.count)
    else:
        make_all(options.directory, options.count)


if __name__ == "__main__":
    main()
