#!/usr/bin/env python3
"""fetch-messages.py imap|pop3 PORT USER PASSWORD DIRECTORY - every message of a mailbox as this server sends it, one file each.

The reference for comparisons, from clients that share nothing with ours, so that an error on the wire can't hide in both sides. The two protocols differ:
POP3 has no form for a message whose last line is not complete. Sets no flags."""

import imaplib
import os
import socket
import sys


def imap_messages(port, user, password):
    imap = imaplib.IMAP4("127.0.0.1", port)
    imap.login(user, password)
    imap.select("INBOX", readonly=True)
    for uid in imap.uid("SEARCH", "ALL")[1][0].split():
        yield imap.uid("FETCH", uid.decode(), "(BODY.PEEK[])")[1][0][1]
    imap.logout()


def pop3_messages(port, user, password):
    # poplib takes messages apart at LF and loses carriage returns.
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rwb") as stream:

        def command(text):
            stream.write(text.encode() + b"\r\n")
            stream.flush()
            return answer()

        def answer():
            line = stream.readline()
            if not line.startswith(b"+OK"):
                sys.exit("the server said %r" % line)
            return line

        answer()
        command("USER " + user)
        command("PASS " + password)
        for number in range(1, int(command("STAT").split()[1]) + 1):
            command("RETR %d" % number)
            data = bytearray(b"\r\n")  # so that every line, the first one too, stands behind a line end
            while not data.endswith(b"\r\n.\r\n"):
                data += stream.readline()
            yield bytes(data[:-3]).replace(b"\r\n.", b"\r\n")[2:]
        command("QUIT")


def main():
    protocol, port, user, password, directory = sys.argv[1:]
    os.makedirs(directory, exist_ok=True)
    messages = {"imap": imap_messages, "pop3": pop3_messages}[protocol](int(port), user, password)
    for number, data in enumerate(messages, 1):
        with open(os.path.join(directory, "%06d" % number), "wb") as file:
            file.write(data)


if __name__ == "__main__":
    main()
