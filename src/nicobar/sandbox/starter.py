"""The process that starts children: `python -I -m nicobar.sandbox.starter`. It has loaded everything that a child
needs, so that a child is a fork, which takes milliseconds; it runs no handler itself. Commands come through the
socket at descriptor 0. Ends with the parent, and its children end with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import struct
import sys
from pathlib import Path

from nicobar.sandbox import child

# A command and the child's number. Commands that start come with the child's end of a connection.
COMMAND = struct.Struct(">cI")
START = b"s"
START_WALLED = b"w"
KILL = b"k"
# The number of a child that has ended, and its exit status: negative for a signal.
ENDED = struct.Struct(">Ii")
# Whoever delivers and serves the dashboard goes first.
NICENESS = 5
_PR_SET_PDEATHSIG = 1
_WAKE_BYTES = 4_096
_CONTROL = 0
_FIRST_OTHER = 3
_MAX_OTHERS = 4_096


def main() -> None:
    _end_with_parent()
    # Ctrl-C in a terminal goes to the whole group; the parent decides when its children end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    close_others()
    woken, waker = os.pipe()
    for end in (woken, waker):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    # Children share the memory of everything loaded, as long as the collector does not write into it.
    gc.collect()
    gc.freeze()
    _Starter(socket.socket(fileno=_CONTROL), woken).run()


class _Starter:
    def __init__(self, control: socket.socket, woken: int) -> None:
        self._control = control
        self._woken = woken
        self._numbers: dict[int, int] = {}

    def run(self) -> None:
        """Until the parent closes the socket."""
        try:
            while True:
                ready, _, _ = select.select([self._control.fileno(), self._woken], [], [])
                if self._woken in ready:
                    os.read(self._woken, _WAKE_BYTES)
                    self._report_ended()
                if self._control.fileno() in ready and not self._follow():
                    return
        finally:
            for pid in self._numbers:
                os.kill(pid, signal.SIGKILL)
            for pid in self._numbers:
                os.waitpid(pid, 0)

    def _report_ended(self) -> None:
        while self._numbers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            number = self._numbers.pop(pid)
            self._control.sendall(ENDED.pack(number, os.waitstatus_to_exitcode(status)))

    def _follow(self) -> bool:
        """Carries out one command. Returns whether there was one."""
        content, descriptors, _, _ = socket.recv_fds(self._control, COMMAND.size, 1)
        if len(content) < COMMAND.size:
            return False
        command, number = COMMAND.unpack(content)
        if command == KILL:
            # One that has ended is not in the list, so its number cannot be another process's.
            for pid, known in self._numbers.items():
                if known == number:
                    os.kill(pid, signal.SIGKILL)
        else:
            (connection,) = descriptors
            self._numbers[self._fork(connection, walled=command == START_WALLED)] = number
            os.close(connection)
        return True

    def _fork(self, connection: int, *, walled: bool) -> int:
        starter = os.getpid()
        pid = os.fork()
        if pid != 0:
            return pid
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _end_with_parent()
            if os.getppid() == starter:
                os.dup2(connection, child.CONNECTION)
                close_others()
                child.serve(walled=walled)
                status = 0
        finally:
            os._exit(status)


def close_others() -> None:
    """Closes all descriptors but the standard ones, such as those that the parent itself has inherited."""
    try:
        descriptors = [int(entry.name) for entry in Path("/dev/fd").iterdir()]
    except OSError:  # a system without a list, such as a bare chroot
        os.closerange(_FIRST_OTHER, _MAX_OTHERS)
        return
    for descriptor in descriptors:
        if descriptor >= _FIRST_OTHER:
            # The one that listed them is closed by now.
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        main()
