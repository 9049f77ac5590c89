"""programs.py - mailhaul and its peers: how each is told to do the same work.

A program writes its configuration into a fresh directory and gives back the command. work is a Work: where the mail is, and where it goes. A program that
cannot do a kind of work says so with None."""

import os
import shutil
from dataclasses import dataclass, field

PASSWORD = "secret"


@dataclass
class Work:
    protocol: str  # imaps, pop3s
    port: int
    users: list
    destination: str  # maildir, smtp, lmtp, mda
    sink_port: int = 0
    ca_file: str = ""
    uid_lists: dict = field(default_factory=dict)  # user -> UIDLs that were seen before, for programs that are told by file
    again: bool = False  # it will be run several times in this directory, and shall bring each message once
    seen: bool = False  # nothing that is there now is wanted, only what will come
    places: int = 0  # sessions at the same time; 0: as the program likes
    sandbox: bool = True


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o600)
    return path


def maildir(path):
    for part in ("new", "cur", "tmp"):
        os.makedirs(os.path.join(path, part), mode=0o700, exist_ok=True)
    os.chmod(path, 0o700)
    return path


class Mailhaul:
    name = "mailhaul"

    def __init__(self, command):
        self.command = command

    def prepare(self, directory, work):
        target = {
            "maildir": "{maildir: %s/mail}" % directory,
            "smtp": '{smtp: "127.0.0.1:%d", recipient: home@home.example}' % work.sink_port,
            "lmtp": '{lmtp: "127.0.0.1:%d", recipient: home@home.example}' % work.sink_port,
            "mda": "{mda: [%s]}" % os.environ.get("BENCH_MDA", "/bin/true"),
        }[work.destination]
        text = "state_dir: %s/state\n%s" % (directory, "" if work.sandbox else "sandbox: off\n")
        if work.places:
            text += "max_workers: %d\n" % work.places
        text += "destinations:\n  home: %s\nmailboxes:\n" % target
        for user in work.users:
            text += "  - name: %s\n    %s: \"localhost:%d\"\n    ca_file: %s\n    user: %s\n    password: %s\n    deliver_to: home\n" % (
                user, work.protocol[:-1], work.port, work.ca_file, user, PASSWORD)
            if work.seen:
                text += "    first_run: new\n"
        return [self.command, "--config", write(directory + "/config.yaml", text), "run"]


class Reference:
    """The floor: fetches everything in one flight and throws it away; of many mailboxes, looks at each and leaves."""

    name = "floor"

    def __init__(self, command):
        self.command = command

    def prepare(self, directory, work):
        if work.protocol != "imaps" or work.again:
            return None
        if work.places:
            return [self.command, "look", work.ca_file, str(work.port), work.users[0].rstrip("0"), str(len(work.users)), str(work.places)]
        if len(work.users) != 1:
            return None
        return [self.command, "fetch", work.ca_file, str(work.port), work.users[0]]


class Fetchmail:
    name = "fetchmail"
    nothing_new = 1  # what it leaves with when there is no mail

    def prepare(self, directory, work):
        if work.destination == "mda":
            target = 'mda "%s"' % os.environ.get("BENCH_MDA", "/bin/true")
        elif work.destination == "maildir":
            return None
        else:
            target = "smtphost 127.0.0.1/%d smtpaddress home.example%s" % (work.sink_port, " lmtp" if work.destination == "lmtp" else "")
        protocol = "imap" if work.protocol == "imaps" else "pop3"
        text = "set invisible\nset no bouncemail\n"
        for user in work.users:
            # A poll entry each: several users under one would be the same to it.
            text += 'poll box-%s via localhost protocol %s port %d%s\n  user "%s" password "%s" is home here ssl sslcertck sslcertfile %s %s keep %s\n' % (
                user, protocol, work.port, " uidl" if work.again and protocol == "pop3" else "", user, PASSWORD, work.ca_file,
                "" if work.again else "fetchall", target)
        ids = "".join("%s@box-%s %s\n" % (user, user, uid) for user, uids in work.uid_lists.items() for uid in uids)
        write(directory + "/ids", ids)
        return ["fetchmail", "-f", write(directory + "/rc", text), "--nodetach", "--silent", "--idfile", directory + "/ids", "--pidfile",
                directory + "/pid"]


class Getmail:
    name = "getmail6"

    def prepare(self, directory, work):
        if work.destination != "maildir" or work.seen:
            return None
        maildir(directory + "/mail")
        kind = "SimpleIMAPSSLRetriever" if work.protocol == "imaps" else "SimplePOP3SSLRetriever"
        command = ["getmail", "--getmaildir", directory]
        for user in work.users:
            text = "[retriever]\ntype = %s\nserver = localhost\nport = %d\nusername = %s\npassword = %s\nca_certs = %s\n" % (
                kind, work.port, user, PASSWORD, work.ca_file)
            text += "[destination]\ntype = Maildir\npath = %s/mail/\n[options]\nread_all = false\ndelete = false\nverbose = 0\n" % directory
            command += ["--rcfile", write("%s/rc-%s" % (directory, user), text)]
        return command


class Mpop:
    name = "mpop"

    def prepare(self, directory, work):
        if work.protocol != "pop3s" or work.destination not in ("maildir", "mda"):
            return None
        target = "maildir %s" % maildir(directory + "/mail") if work.destination == "maildir" else "mda %s" % os.environ.get("BENCH_MDA", "/bin/true")
        text = "defaults\ntls on\ntls_starttls off\ntls_trust_file %s\nkeep on\ndelivery %s\n" % (work.ca_file, target)
        for user in work.users:
            # A size limit of 0 passes everything by, and remembers it as seen.
            text += "account %s\nhost localhost\nport %d\nuser %s\npassword %s\nuidls_file %s/uidls-%s\n" % (
                user, work.port, user, PASSWORD, directory, user)
            if work.seen:
                text += "killsize 0\n"
        return ["mpop", "-C", write(directory + "/rc", text), "--quiet", "-a"]


class Fdm:
    name = "fdm"

    def prepare(self, directory, work):
        if work.seen:
            return None  # its cache of UIDs can only be filled by fetching everything
        if work.destination == "maildir":
            action = 'maildir "%s"' % maildir(directory + "/mail")
        elif work.destination == "smtp":
            action = 'smtp server "127.0.0.1" port %d from "a@sender.example" to "home@home.example"' % work.sink_port
        else:
            return None
        text = 'set lock-file "%s/lock"\nset maximum-size 200M\nset verify-certificates\n' % directory
        new = "" if not work.again else " new-only" if work.protocol == "imaps" else ' new-only cache "%s/cache"' % directory
        text += 'action "home" %s\nmatch all action "home"\n' % action
        for user in work.users:
            text += 'account "%s" %s server "localhost" port %d user "%s" pass "%s"%s%s\n' % (
                user, work.protocol, work.port, user, PASSWORD, new, "" if work.protocol == "pop3s" else " no-cram-md5")
        return ["fdm", "-f", write(directory + "/rc", text), "-k", "fetch"]


class Mbsync:
    name = "mbsync"

    def prepare(self, directory, work):
        if work.protocol != "imaps" or work.destination != "maildir" or work.seen:
            return None
        text = "FSync yes\n"
        for user in work.users:
            maildir("%s/mail-%s" % (directory, user))
            os.makedirs("%s/boxes-%s" % (directory, user), exist_ok=True)
            text += "IMAPStore far-%s\nHost localhost\nPort %d\nUser %s\nPass %s\nSSLType IMAPS\nCertificateFile %s\n\n" % (
                user, work.port, user, PASSWORD, work.ca_file)
            text += "MaildirStore near-%s\nPath %s/boxes-%s/\nInbox %s/mail-%s\n\n" % (user, directory, user, directory, user)
            text += "Channel %s\nFar :far-%s:\nNear :near-%s:\nSync Pull\nSyncState %s/sync-%s\n\n" % (user, user, user, directory, user)
        return ["mbsync", "-c", write(directory + "/rc", text), "-q", "-a"]


def installed(mailhaul, reference):
    """Every program that is there."""
    found = [Mailhaul(mailhaul), Reference(reference)]
    for program in (Fetchmail(), Getmail(), Mpop(), Fdm(), Mbsync()):
        if shutil.which("getmail" if program.name == "getmail6" else program.name):
            found.append(program)
    return found
