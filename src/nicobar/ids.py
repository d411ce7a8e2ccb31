"""Ids in the field's own form: a prefix and a 27-character KSUID, growing with time within one process."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Callable

from ksuid import Ksuid
from ksuid.ksuid import EPOCH_STAMP
from ulid import ULID

PREFIXES = ("app", "src", "ep", "msg", "atmpt", "tok", "qtask", "usr", "draft", "inst")
_PATTERN = re.compile(rf"^({'|'.join(PREFIXES)})_[0-9A-Za-z]{{27}}$")
_PAYLOAD_BITS = 128
_MAX_SECOND = 2**32 - 1
_ULID_TIME_BITS = 48
_ULID_RANDOM_BYTES = 10


class IdFactory:
    """Makes ids that never go down, so that an index over them grows at one end only.

    A KSUID holds whole seconds; within one second the random part is counted up, and a clock that steps back
    keeps the last second. Thread-safe.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._second = 0
        self._payload = 0

    def new(self, prefix: str) -> str:
        """A new id such as `msg_2x…`; `prefix` is one of `PREFIXES`."""
        with self._lock:
            second = self._now_ms() // 1000 - EPOCH_STAMP
            if second > self._second:
                self._second = second
                # The top bit stays free, so that counting up cannot overflow within a second.
                self._payload = secrets.randbits(_PAYLOAD_BITS - 1)
            else:
                self._payload += 1 + secrets.randbits(32)
            raw = self._second.to_bytes(4, "big") + self._payload.to_bytes(16, "big")
        return f"{prefix}_{Ksuid.from_bytes(raw)}"


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` has the form of an id with this prefix."""
    return text.startswith(f"{prefix}_") and _PATTERN.match(text) is not None


def first_id(prefix: str, time_ms: int) -> str:
    """What no id of that second or a later one is below: where to begin to look for what was made since."""
    second = min(max(time_ms // 1000 - EPOCH_STAMP, 0), _MAX_SECOND)
    return f"{prefix}_{Ksuid.from_bytes(second.to_bytes(4, 'big') + bytes(16))}"


def made_at_ms(text: str) -> int:
    """When an id was made, in Unix milliseconds of a whole second."""
    return int(Ksuid.from_base62(text.rpartition("_")[2]).timestamp) * 1000


def stable_ulid(time_ms: int, *parts: str) -> str:
    """The same ULID for the same time and parts, on every try, in every process.

    Customer.io ignores a second event with an `id` that it has seen; the id has to be a ULID. Its time part
    holds `time_ms` (Unix milliseconds), its other 80 bits the start of a SHA-256 over the parts.
    """
    # Lengths keep ("ab", "c") and ("a", "bc") apart.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    time_part = min(max(time_ms, 0), 2**_ULID_TIME_BITS - 1).to_bytes(6, "big")
    return str(ULID.from_bytes(time_part + digest[:_ULID_RANDOM_BYTES]))
