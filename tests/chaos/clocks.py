"""The machine's clock of one server, which can be set while it runs: the launcher adds what a shared file says."""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path

_MS = struct.Struct("=q")


class Clock:
    """The harness's end. `ahead_ms` is by how much the server's clock is wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ahead_ms = 0
        self._set_at_s = 0.0
        path.write_bytes(_MS.pack(0))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _MS.size)

    def set(self, ahead_ms: int) -> None:
        self.ahead_ms = ahead_ms
        self._set_at_s = time.monotonic()
        self._shared[:] = _MS.pack(ahead_ms)

    def was_wrong(self, since_s: float) -> bool:
        """At any moment since then, by the steady clock."""
        return self.ahead_ms != 0 or self._set_at_s >= since_s


class Reader:
    """The server's end."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _MS.size)

    def ahead_ms(self) -> int:
        (ahead_ms,) = _MS.unpack(self._shared[:])
        assert isinstance(ahead_ms, int)
        return ahead_ms
