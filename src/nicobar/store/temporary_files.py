"""Files that are written beside their place and then put there. Each is written in a directory of its own, with a
lock that its process holds: the files of a killed process are found by their name, and their lock is free.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PURPOSES = ("making", "compacting", "restoring", "saving")
# What SQLite writes beside a database.
BESIDE = ("-wal", "-shm", "-journal")
PRIVATE_MODE = 0o600
_LOCK = "lock"
_NAME = re.compile(rf"(.+)\.(?:{'|'.join(PURPOSES)})-[a-z0-9_]{{8}}")


@contextlib.contextmanager
def temporary_file(path: Path, purpose: str) -> Iterator[Path]:
    """An empty file with the name of `path`, to be renamed to it; it is deleted at the end unless it was renamed.
    Raises OSError.
    """
    directory = Path(tempfile.mkdtemp(prefix=f"{path.name}.{purpose}-", dir=path.parent))
    made = directory / path.name
    handles: list[int] = []
    try:
        handles.append(_create(directory / _LOCK))
        # A file system without locks has none that could be held: then nothing is deleted but by its own process.
        with contextlib.suppress(OSError):
            fcntl.flock(handles[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(_create(made))
        yield made
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        for handle in handles:
            os.close(handle)


def leftovers(directory: Path) -> list[Path]:
    """What killed processes left in a directory, those of earlier versions too. Raises OSError."""
    return sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name) and not _is_held(path))


def delete_leftovers(directory: Path) -> None:
    """Deletes what killed processes left in a directory and is certainly theirs: it has the name and the content of a
    temporary file, and its lock is free. What this user may not delete stays.
    """
    with contextlib.suppress(OSError):
        for path in leftovers(directory):
            with contextlib.suppress(OSError):
                _delete(path)


def _delete(path: Path) -> None:
    """By a handle of the directory, so that no link that appears meanwhile leads elsewhere."""
    found = _NAME.fullmatch(path.name)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        names = set(os.listdir(directory))  # noqa: PTH208 - a path could lead elsewhere meanwhile
        if found is None or _LOCK not in names or not names <= set(_names(found[1])):
            return
        lock = os.open(_LOCK, os.O_RDWR | os.O_NOFOLLOW, dir_fd=directory)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in (name for name in _names(found[1]) if name in names):
                os.unlink(name, dir_fd=directory)
            path.rmdir()
        finally:
            os.close(lock)
    finally:
        os.close(directory)


def _is_held(path: Path) -> bool:
    """Whether a process is making the file. False where this user cannot tell."""
    try:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _create(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)


def _names(name: str) -> tuple[str, ...]:
    """All that there may be in a directory of a temporary file, the lock last."""
    return (*(f"{name}{suffix}" for suffix in ("", *BESIDE)), _LOCK)
