"""The second isolation layer, on Linux: a process gives up all system calls that running handlers does not need. The
kernel enforces it, without privileges and until the process ends (seccomp(2), no_new_privs in prctl(2)).

Anything else is answered with EPERM, rather than by the end of the process: a library that tries something optional
goes on without it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
# Instructions of classic BPF, as in linux/bpf_common.h.
LOAD: Final = 0x20
JUMP_EQUAL: Final = 0x15
JUMP_AT_LEAST: Final = 0x35
JUMP_BIT: Final = 0x45
RETURN: Final = 0x06
# Offsets in struct seccomp_data.
NUMBER_AT: Final = 0
ARCHITECTURE_AT: Final = 4
# The lower half of the third argument: both architectures are little-endian.
PROTECTION_AT: Final = 32
ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
REFUSE: Final = 0x00050000 | errno.EPERM
_PROT_EXEC: Final = 4
# System calls of the x32 ABI share the architecture of x86-64 and have this bit.
X32_BIT: Final = 0x40000000
_INSTRUCTION = struct.Struct("=HBBI")
# A jump skips at most this many instructions.
_MAX_JUMP: Final = 255


class WallError(Exception):
    """The system call filter cannot be used here. The text says why."""


@dataclass(frozen=True)
class Architecture:
    """Numbers from the kernel's headers: the architecture in seccomp_data, and the allowed system calls."""

    audit: int
    has_x32: bool
    calls: Mapping[str, int]


# Memory, time, the pipe to the parent, the end. `write` and `read` reach what is open, which is that pipe.
ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    "x86_64": Architecture(
        audit=0xC000003E,
        has_x32=True,
        calls={
            "clock_gettime": 228,
            "read": 0,
            "write": 1,
            "setitimer": 38,
            "brk": 12,
            "munmap": 11,
            "mremap": 25,
            "madvise": 28,
            "futex": 202,
            "gettimeofday": 96,
            "getrandom": 318,
            "getpid": 39,
            "gettid": 186,
            "sched_yield": 24,
            "restart_syscall": 219,
            "rt_sigreturn": 15,
            "exit": 60,
            "exit_group": 231,
            "mmap": 9,
            "mprotect": 10,
        },
    ),
    "aarch64": Architecture(
        audit=0xC00000B7,
        has_x32=False,
        calls={
            "clock_gettime": 113,
            "read": 63,
            "write": 64,
            "setitimer": 103,
            "brk": 214,
            "munmap": 215,
            "mremap": 216,
            "madvise": 233,
            "futex": 98,
            "gettimeofday": 169,
            "getrandom": 278,
            "getpid": 172,
            "gettid": 178,
            "sched_yield": 124,
            "restart_syscall": 128,
            "rt_sigreturn": 139,
            "exit": 93,
            "exit_group": 94,
            "mmap": 222,
            "mprotect": 226,
        },
    ),
}
# Allowed for memory that is not executable.
NOT_EXECUTABLE: Final = frozenset({"mmap", "mprotect"})


def program(architecture: Architecture) -> bytes:
    """The filter: an allow-list. Another architecture's system calls, whose numbers mean something else, end the
    process.
    """
    plain = [number for name, number in architecture.calls.items() if name not in NOT_EXECUTABLE]
    guarded = [number for name, number in architecture.calls.items() if name in NOT_EXECUTABLE]
    numbers = [*plain, *guarded]
    lines = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (JUMP_EQUAL, 1, 0, architecture.audit),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
    ]
    if architecture.has_x32:
        lines += [(JUMP_AT_LEAST, 0, 1, X32_BIT), (RETURN, 0, 0, KILL)]
    # After the comparisons: refuse, load and test the protection, allow.
    refuse = len(lines) + len(numbers)
    allow = refuse + 3
    for number in numbers:
        place = len(lines)
        to = refuse + 1 if number in guarded else allow
        lines.append((JUMP_EQUAL, to - place - 1, 0, number))
    lines += [
        (RETURN, 0, 0, REFUSE),
        (LOAD, 0, 0, PROTECTION_AT),
        (JUMP_BIT, 1, 0, _PROT_EXEC),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
    ]
    if allow > _MAX_JUMP:
        raise AssertionError(allow)
    return b"".join(_INSTRUCTION.pack(*line) for line in lines)


class _Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_char_p))


def is_available() -> bool:
    """Whether this system has such a layer: Linux."""
    return sys.platform == "linux"


def enter() -> None:
    """Gives up all other system calls, for good. The process must have no other thread, and must have loaded all that
    it needs. Raises WallError.
    """
    machine = platform.machine()
    architecture = ARCHITECTURES.get(machine)
    if architecture is None or not is_available() or sys.maxsize < 2**32:
        raise WallError(f"no system call filter for {sys.platform} on {machine}")
    lines = program(architecture)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    where = _Program(len(lines) // _INSTRUCTION.size, lines)
    for what, *values in (
        # No core dump: a handler's data stays in memory, and other processes of this user cannot look into it.
        (_PR_SET_DUMPABLE, 0),
        (_PR_SET_NO_NEW_PRIVS, 1),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(where)),
    ):
        if prctl(what, *values, *[0] * (4 - len(values))) != 0:
            raise WallError(f"prctl({what}): {os.strerror(ctypes.get_errno())}")
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno == errno.EPERM:
            return
    raise WallError("the kernel accepts the system call filter but does not enforce it")
