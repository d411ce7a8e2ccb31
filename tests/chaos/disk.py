"""The disk under an installation, which can be made to fail while servers run, by any user: a library that is
preloaded into them (`disk.c`) looks at one byte of a shared file before each write.

Without a C compiler only the limit of a file's size is left, which needs no library: all writes fail by it.
"""

from __future__ import annotations

import mmap
import resource
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("disk.c")


class DiskState(IntEnum):
    """As `disk.c` knows them."""

    WELL = 0
    FULL = 1
    READ_ONLY = 2
    WRITES_FAIL = 3
    SYNCS_FAIL = 4
    NEARLY_FULL = 5


class Disk:
    """The disk under `directory`, for servers with this `environment`. The library and the shared file are put into
    `work`.
    """

    def __init__(self, directory: Path, work: Path) -> None:
        state, library = work / "disk.state", work / "disk.so"
        state.write_bytes(bytes([DiskState.WELL]))
        with state.open("r+b") as file:
            self._state = mmap.mmap(file.fileno(), 1)
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        self.environment: Mapping[str, str] = {}
        if compiler is not None:
            command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
            subprocess.run(command, check=True)
            self.environment = {
                "LD_PRELOAD": str(library),
                "CHAOS_DISK": str(state),
                "CHAOS_DISK_UNDER": str(directory),
            }

    @property
    def can_fail(self) -> bool:
        return bool(self.environment)

    @contextmanager
    def being(self, state: DiskState) -> Iterator[None]:
        """Until the end of the block."""
        self._state[0] = state
        try:
            yield
        finally:
            self._state[0] = DiskState.WELL


@contextmanager
def no_file_grows(pid: int) -> Iterator[None]:
    """All writes of the process to files fail until the end of the block."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        # It may have been killed meanwhile.
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
