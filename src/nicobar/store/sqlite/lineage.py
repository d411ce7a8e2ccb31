"""Whether a write-ahead log belongs to the database file beside it. SQLite does not know: it applies the log that a
killed process has left to whatever file has its name.

So a file gets a new mark whenever it is opened while no other process uses it: a number in its header. It changes
only while the log is empty, so that all pages in a log show the mark of their file. A copy of the file from before
has another one. The formats: https://sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import struct
import time
from pathlib import Path
from typing import BinaryIO

from nicobar.errors import StoreUnusable, UserError
from nicobar.store.sqlite.whole_files import sole_use

_MARK = slice(60, 64)
_LOG_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_BIG_ENDIAN_LOG = bytes.fromhex("377f0683")
_SUMS = struct.Struct(">II")
# A mark is smaller than the time of a backup, which has the same place.
MAX_MARK = 1_000_000_000
TORN_MS = 100
# By device and inode.
_HANDLES: dict[tuple[int, int], int] = {}


def check_log(path: Path) -> None:
    """Raises StoreUnusable for the log of another file, before SQLite applies it, and for a missing one. Blocks."""
    if _is_gone(path):
        raise StoreUnusable(
            "log_missing",
            f"The write-ahead log {_log(path)} was removed after a crash. The events that were only in it are lost.",
            "Put the log back beside the database. Or restore a backup: nicobar restore FILE --force. Or delete "
            f"{_index(path)} to continue without those events.",
        )
    if is_foreign(path):
        raise StoreUnusable(
            "log_foreign",
            f"The write-ahead log {_log(path)} does not belong to the database {path}: the file was replaced.",
            "Put the right file back. Or restore a backup: nicobar restore FILE --force. It keeps both files.",
        )


def is_foreign(path: Path) -> bool:
    """Whether the log is another file's. Blocks."""
    foreign = _foreign_frames(path)
    if not foreign:
        return False
    # A process that uses the database may have been writing this frame.
    time.sleep(TORN_MS / 1000)
    return bool(foreign & _foreign_frames(path))


def renew_mark(path: Path) -> None:
    """Does nothing while another process has the database open, or where the disk is full: the old mark is right."""
    try:
        with sole_use(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            # Closing it writes the mark into the file; either mark is right after a power failure.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA user_version = {1 + secrets.randbelow(MAX_MARK - 1):d}")
    except (UserError, sqlite3.OperationalError):
        return


def _is_gone(path: Path) -> bool:
    """Whether a killed process had a log that is no longer there. SQLite creates the log before its index, and
    deletes the index first: https://sqlite.org/walformat.html.
    """
    if not _has_index_only(path):
        return False
    # A process that uses the database may have been opening or closing it.
    time.sleep(TORN_MS / 1000)
    return _has_index_only(path)


def _has_index_only(path: Path) -> bool:
    return not _log(path).exists() and _index(path).exists()


def _foreign_frames(path: Path) -> set[int]:
    """The numbers of the log's copies of the first page that have another mark than the file."""
    try:
        with _log(path).open("rb") as log:
            return _frames_without(log, _mark(path))
    except OSError:  # there is none, or SQLite meets the same error next and names it
        return set()


def _frames_without(log: BinaryIO, mark: bytes) -> set[int]:
    """The numbers of the frames that are a copy of the first page with another mark. A process that was killed or had
    no more room leaves frames of which not everything was written: SQLite does not apply them.
    """
    header = log.read(_LOG_HEADER_BYTES)
    page_bytes, salts, checksum = int.from_bytes(header[8:12], "big"), header[16:24], header[24:]
    is_big_endian = header[:4] == _BIG_ENDIAN_LOG
    found: set[int] = set()
    number = 0
    while len(frame := log.read(_FRAME_HEADER_BYTES)) == _FRAME_HEADER_BYTES and frame[8:16] == salts:
        if int.from_bytes(frame[:4], "big") == 1:
            page = log.read(page_bytes)
            # A log that begins with this page alone begins with the mark: the process that set it ended right then.
            if number == 0 and any(frame[4:8]):
                return set()
            if page[_MARK] != mark and len(page) == page_bytes:
                written = _checksum(frame[:8] + page, checksum, big_endian=is_big_endian)
                found |= {number} if written == frame[16:] else set()
        else:
            log.seek(page_bytes, os.SEEK_CUR)
        checksum = frame[16:]
        number += 1
    return found


def _checksum(content: bytes, before: bytes, *, big_endian: bool) -> bytes:
    """SQLite's checksum of a frame, which continues that of the frame before."""
    first, second = _SUMS.unpack(before)
    words = struct.unpack(f"{'>' if big_endian else '<'}{len(content) // 4}I", content)
    for one, other in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return _SUMS.pack(first, second)


def _mark(path: Path) -> bytes:
    """Through a handle that stays open: closing any handle of the file would end the locks that this process's
    connections have (https://sqlite.org/howtocorrupt.html).
    """
    status = path.stat()
    key = (status.st_dev, status.st_ino)
    if key not in _HANDLES:
        _HANDLES[key] = os.open(path, os.O_RDONLY)
    return os.pread(_HANDLES[key], _MARK.stop, 0)[_MARK]


def _log(path: Path) -> Path:
    return Path(f"{path.resolve()}-wal")


def _index(path: Path) -> Path:
    return Path(f"{path.resolve()}-shm")
