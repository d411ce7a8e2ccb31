"""The health of an open database."""

from __future__ import annotations

import time
from dataclasses import dataclass

from nicobar.errors import NicobarError, StoreUnavailable

REFUSAL_REMEMBERED_MS = 10_000


@dataclass(frozen=True, slots=True)
class Condition:
    """`damage` is an error that a read or write of this process met, kept until the process ends. `append_refused` is
    why the latest event could not be stored, kept for some seconds. `waits_for_lock_ms` is how long a write has been
    waiting for another process's write, None if none is waiting.
    """

    damage: NicobarError | None = None
    append_refused: NicobarError | None = None
    waits_for_lock_ms: int | None = None


class LatestAppend:
    """Why the latest event could not be stored, if it could not. Written by any thread, one reference at a time."""

    def __init__(self) -> None:
        self._refused: tuple[float, StoreUnavailable] | None = None

    def note(self, error: StoreUnavailable | None) -> None:
        """An event was stored, or was not."""
        # A lock or a replaced file is met by the next check, too; a disk that is nearly full may not be.
        kept = error is not None and error.code == "store_unavailable"
        self._refused = (time.monotonic(), error) if error is not None and kept else None

    @property
    def refused(self) -> StoreUnavailable | None:
        """For `REFUSAL_REMEMBERED_MS`."""
        refused = self._refused
        if refused is None or (time.monotonic() - refused[0]) * 1000 > REFUSAL_REMEMBERED_MS:
            return None
        return refused[1]
