"""Ids: a prefix and a 27-character KSUID, growing with time within one process."""

from __future__ import annotations

import array
import hashlib
import re
import secrets
import threading
from collections.abc import Callable, Iterator

from nicobar.ksuid import EPOCH_S, KSUID_CHARS, ksuid_bytes, ksuid_text
from nicobar.ulid import ulid_text

PREFIXES = ("app", "src", "ep", "msg", "atmpt", "tok", "qtask", "mrg", "usr", "draft", "inst")
_PATTERN = re.compile(rf"^({'|'.join(PREFIXES)})_[0-9A-Za-z]{{{KSUID_CHARS}}}$")
_PAYLOAD_BITS = 128
_MAX_SECOND = 2**32 - 1
_ULID_TIME_BITS = 48
_ULID_RANDOM_BYTES = 10
_RANDOM_BATCH_BYTES = 4_096


class IdFactory:
    """Creates ids that never decrease, so that an index over them grows at one end only.

    A KSUID holds whole seconds. Within a second the random part is incremented by a random step, and a clock that
    steps back keeps the last second. Thread-safe.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._second = 0
        self._payload = 0
        self._steps: Iterator[int] = iter(())

    def new(self, prefix: str) -> str:
        """A new id such as `msg_2x…`; `prefix` is one of `PREFIXES`."""
        with self._lock:
            second = self._now_ms() // 1000 - EPOCH_S
            if second > self._second:
                self._second = second
                # The top bit stays free, so that counting up cannot overflow within a second.
                self._payload = secrets.randbits(_PAYLOAD_BITS - 1)
            else:
                self._payload += 1 + self._random_step()
            raw = self._second.to_bytes(4, "big") + self._payload.to_bytes(16, "big")
        return f"{prefix}_{ksuid_text(raw)}"

    def _random_step(self) -> int:
        """32 random bits, requested from the system in batches: a system call per id costs more than the
        rest of the id.
        """
        step = next(self._steps, None)
        if step is None:
            self._steps = iter(array.array("I", secrets.token_bytes(_RANDOM_BATCH_BYTES)))
            step = next(self._steps)
        return step


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` has the form of an id with this prefix."""
    return text.startswith(f"{prefix}_") and _PATTERN.match(text) is not None


def first_id(prefix: str, time_ms: int) -> str:
    """The smallest possible id of that second: an inclusive lower bound."""
    second = min(max(time_ms // 1000 - EPOCH_S, 0), _MAX_SECOND)
    return f"{prefix}_{ksuid_text(second.to_bytes(4, 'big') + bytes(16))}"


def made_at_ms(text: str) -> int:
    """When an id was created, in Unix milliseconds of a whole second."""
    raw = ksuid_bytes(text.rpartition("_")[2])
    return (int.from_bytes(raw[:4], "big") + EPOCH_S) * 1000


def stable_ulid(time_ms: int, *parts: str) -> str:
    """The same ULID for the same time and parts, in every attempt and process.

    A destination ignores a second event with an `id` that it has seen; the id has to be a ULID. Its time part
    holds `time_ms` (Unix milliseconds), its other 80 bits the start of a SHA-256 over the parts.
    """
    # Lengths keep ("ab", "c") and ("a", "bc") apart.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    time_part = min(max(time_ms, 0), 2**_ULID_TIME_BITS - 1).to_bytes(6, "big")
    return ulid_text(time_part + digest[:_ULID_RANDOM_BYTES])
