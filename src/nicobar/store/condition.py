"""How a database that is open does."""

from __future__ import annotations

from dataclasses import dataclass

from nicobar.errors import NicobarError


@dataclass(frozen=True, slots=True)
class Condition:
    """`damage` is what a read or a write of this process met, remembered until it ends. `append_refused` is why the
    latest event could not be stored, for some seconds. `waits_for_lock_ms` is how long a write has been waiting for
    another process to end its own, None while none is.
    """

    damage: NicobarError | None = None
    append_refused: NicobarError | None = None
    waits_for_lock_ms: int | None = None
