"""Records rejected requests of sources, so that a missing event can be found. Requests are gathered and written at
most once per second, so that a flood of bad requests does not become a flood of writes.
"""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

from nicobar.clock import Clock
from nicobar.errors import Refusal, StoreError
from nicobar.logs import log
from nicobar.reasons import reason
from nicobar.store.history import History, RejectedRequest

FLUSH_MS = 1_000
# Per source and flush. The latest are kept, and the last one has the number of dropped ones.
MAX_AT_ONCE = 50
MAX_EVENT_ID_CHARS = 256


class RefusalLog:
    """Notes requests at once and writes them later. Neither body nor signature is stored."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock
        self._noted: dict[str, deque[RejectedRequest]] = {}
        self._left_out: dict[str, int] = {}

    def note(self, source_id: str, refusal: Refusal, event_id: str) -> None:
        noted = self._noted.setdefault(source_id, deque(maxlen=MAX_AT_ONCE))
        if len(noted) == MAX_AT_ONCE:
            self._left_out[source_id] = self._left_out.get(source_id, 0) + 1
        noted.append(
            RejectedRequest(
                source_id=source_id,
                at_ms=self._clock.now_ms(),
                status=refusal.status,
                reason=refusal.reason,
                event_id=event_id[:MAX_EVENT_ID_CHARS],
            )
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Writes once per second until `stop` is set, then writes the rest."""
        while not await self._clock.wait(stop, FLUSH_MS):
            await self.flush()
        await self.flush()

    async def flush(self) -> None:
        """Writes the noted requests. Requests that the store does not accept are dropped and counted in the log."""
        if not self._noted:
            return
        noted, self._noted = self._noted, {}
        left_out, self._left_out = self._left_out, {}
        refused = [
            item
            for source_id, rejected in noted.items()
            for item in _with_count(rejected, left_out.get(source_id, 0))
        ]
        try:
            await self._history.keep_refusals(refused)
        except StoreError as error:
            log.error("rejected requests not stored", count=len(refused), code=error.code, detail=error.detail)
        except Exception:  # noqa: BLE001 - a surprise must not end what keeps the log
            log.exception("rejected requests not stored", count=len(refused))


def _with_count(rejected: deque[RejectedRequest], left_out: int) -> list[RejectedRequest]:
    if not left_out:
        return list(rejected)
    last = rejected[-1]
    why = reason(
        last.code,
        "%(reason)s (Not shown: %(count)s more in the same second.)",
        reason=last.reason,
        count=left_out,
    )
    return [*list(rejected)[:-1], msgspec.structs.replace(last, reason=why)]
