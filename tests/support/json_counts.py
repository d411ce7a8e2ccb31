"""Counts how often JSON is decoded and encoded in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest


@contextmanager
def counted(name: str, which: Callable[[object], bool]) -> Iterator[list[object]]:
    """Within the block, the list gets what `msgspec.json.decode` or `encode` was given, as far as `which` says."""
    given: list[object] = []
    works = getattr(msgspec.json, name)

    def noted(value, **how):
        if which(value):
            given.append(value)
        return works(value, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(msgspec.json, name, noted)
        yield given
