"""The owner of a file that replaces another one: a command that root runs must not lock out the service."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_ROOT = 0


def give_owner(file: Path | int, like: os.stat_result) -> None:
    """Gives a file, or an open one, the owner that another file or its directory has. Raises OSError where this user
    may not.
    """
    own = os.stat(file)  # noqa: PTH116 - or of an open file
    if own.st_uid != like.st_uid:
        os.chown(file, like.st_uid, like.st_gid)
    elif own.st_gid != like.st_gid:
        with contextlib.suppress(PermissionError):  # the owner can read it without
            os.chown(file, like.st_uid, like.st_gid)


def give_from_root(file: Path | int, like: Path) -> None:
    """Gives a file that root has created to the owner of another one, or of its directory. Raises OSError."""
    if os.geteuid() == _ROOT and os.stat(file).st_uid == _ROOT:  # noqa: PTH116 - or of an open file
        give_owner(file, like.stat())
