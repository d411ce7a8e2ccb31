"""The limit of open files: at it, files, sockets and processes fail, each in other words."""

from __future__ import annotations

import errno
import os

AT_LIMIT = frozenset({errno.EMFILE, errno.ENFILE})
RAISE_LIMIT = (
    "This process has reached its limit of open files (RLIMIT_NOFILE). Raise it with ulimit -n, or with LimitNOFILE "
    "of its service, and restart Nicobar."
)


def is_at_limit() -> bool:
    """Whether no more files can be opened now."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in AT_LIMIT
    return False
