#!/usr/bin/env python3
"""as-service.py UNIT COMMAND... - runs a command under the system call rules that systemd would make of a unit, where there is no systemd to ask.

SystemCallFilter= (allow-list and '~' deny-list, EPERM), RestrictAddressFamilies= (EAFNOSUPPORT), RestrictNamespaces=yes (clone3 is unknown, as systemd
makes it, since a filter cannot look into its argument), NoNewPrivileges=. What the sets hold is asked of systemd-analyze."""

import ctypes
import errno
import os
import socket
import subprocess
import sys

ALLOW = 0x7FFF0000


def fail_with(number):
    return 0x00050000 | number


class Compare(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("operator", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def expand(names):
    calls = set()
    for name in names:
        if name.startswith("@"):
            output = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True).stdout
            calls |= expand(line.strip() for line in output.splitlines()[1:] if line.strip() and not line.strip().startswith("#"))
        else:
            calls.add(name)
    return calls


def settings(unit):
    allowed, denied, families = set(), set(), []
    with open(unit, encoding="utf-8") as file:
        for line in file:
            key, _, value = line.strip().partition("=")
            if key == "SystemCallFilter" and value.startswith("~"):
                denied |= expand(value[1:].split())
            elif key == "SystemCallFilter":
                allowed |= expand(value.split())
            elif key == "RestrictAddressFamilies":
                families = [getattr(socket, name) for name in value.split()]
    return allowed - denied, families


def main():
    allowed, families = settings(sys.argv[1])
    seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    seccomp.seccomp_load.argtypes = [ctypes.c_void_p]
    seccomp.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Compare)]

    def rule(context, action, name, *compares):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            seccomp.seccomp_rule_add_array(context, action, number, len(compares), (Compare * len(compares))(*compares) if compares else None)

    calls = seccomp.seccomp_init(fail_with(errno.EPERM))
    for name in sorted(allowed | {"execve"}):
        rule(calls, ALLOW, name)
    restrictions = seccomp.seccomp_init(ALLOW)
    rule(restrictions, fail_with(errno.ENOSYS), "clone3")
    known = sorted(families)
    for family in range(max(known) + 40):
        if family not in known:
            rule(restrictions, fail_with(errno.EAFNOSUPPORT), "socket", Compare(0, 4, family, 0))
    # The looser one first: the other would not let a second one in but for seccomp(2), which the unit allows.
    for context in (restrictions, calls):
        if seccomp.seccomp_load(context) != 0:
            sys.exit("the filter cannot be loaded")
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
