"""Measures how deeply JSON is nested, without recursion. Otherwise a decoder, an encoder or our own code would hit
Python's recursion limit, at a depth that depends on the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate

# Events, API bodies and handler results. Payment events have about 6 levels, and destinations show attributes of a
# few; Python's recursion limit is 1,000 frames.
MAX_DEPTH_LEVELS = 200

_CHUNK_BYTES = 16_384
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS = bytes.maketrans(b"[{]}", b"\2\2\0\0")


def is_deeper(content: bytes, max_levels: int = MAX_DEPTH_LEVELS) -> bool:
    """Whether JSON has more levels of lists and objects than that. The result is undefined for other bytes."""
    if content.count(b"[") + content.count(b"{") <= max_levels:
        return False
    brackets = _STRING.sub(b"", content).translate(None, _NOT_BRACKETS).translate(_STEPS)
    return any(highest > max_levels for highest in _highest(brackets))


def _highest(steps: bytes) -> Iterator[int]:
    """The highest level within each chunk, so that endless brackets are not all counted."""
    level = 0
    for start in range(0, len(steps), _CHUNK_BYTES):
        levels = list(accumulate(map((-1).__add__, steps[start : start + _CHUNK_BYTES]), initial=level))
        level = levels[-1]
        yield max(levels)
