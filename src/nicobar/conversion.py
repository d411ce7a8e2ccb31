"""Conversion to records in any thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec

T = TypeVar("T")


def converter(kind: type[T]) -> Callable[[object], T]:
    """Converts to a record like `msgspec.convert`, which raises msgspec.ValidationError.

    To be called while a module is imported. msgspec describes a type when it is first used; of two threads that do so
    at once, one reads the unfinished description, and the process crashes (seen with 0.22.0).
    """
    msgspec.json.Decoder(kind)  # describes it
    return partial(msgspec.convert, type=kind)
