"""Executes a program as an unprivileged user; run as a script, so it imports nothing but the standard library.

Root needs it because PostgreSQL refuses uid 0. It happens in a process of its own because a changed uid or a fork is
safe neither in a process with threads nor in one that still has work to do.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys

PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522

EXIT_CANNOT_PREPARE = 125
EXIT_CANNOT_EXECUTE = 126


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySet(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def become(uid: int, gid: int, *, reach_everywhere: bool) -> None:
    """Drop root for good. With `reach_everywhere` one capability survives, also across exec: to pass directories whose
    mode keeps this user out (a clone under /root or a 0700 temporary directory)."""
    os.umask(0o077)
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True) if reach_everywhere else None
    if libc is not None:
        # Keeps the capabilities across setuid, and lets access(2), by which initdb looks for postgres, count them.
        _check(libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "PR_SET_SECUREBITS")
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if libc is not None:
        bit = 1 << CAP_DAC_OVERRIDE
        sets = (_CapabilitySet * 2)(_CapabilitySet(bit, bit, bit), _CapabilitySet(0, 0, 0))
        header = _CapabilityHeader(CAPABILITY_VERSION_3, 0)
        _check(libc.capset(ctypes.byref(header), sets), "capset CAP_DAC_OVERRIDE")
        _check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0), "PR_CAP_AMBIENT_RAISE")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--uid", type=int, required=True)
    parser.add_argument("--gid", type=int, required=True)
    parser.add_argument("--reach-everywhere", action="store_true")
    parser.add_argument("--new-session", action="store_true", help="out of reach of the terminal's Ctrl-C")
    parser.add_argument("--cwd", required=True)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    if arguments.new_session:
        os.setsid()
    try:
        become(arguments.uid, arguments.gid, reach_everywhere=arguments.reach_everywhere)
        os.chdir(arguments.cwd)
    except OSError as error:
        sys.stderr.write(f"cannot run as uid {arguments.uid} in {arguments.cwd}: {error}\n")
        return EXIT_CANNOT_PREPARE
    try:
        os.execv(arguments.command[0], arguments.command)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"cannot execute {arguments.command[0]} as uid {arguments.uid}: {error}\n")
        return EXIT_CANNOT_EXECUTE


if __name__ == "__main__":
    sys.exit(main())
