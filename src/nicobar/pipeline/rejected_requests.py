"""Keeps what sources refused, for whoever wonders where an event is. A flood of bad requests becomes no flood of
writes: they are gathered, and written at most once a second.
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
# Of one source within one flush; the latest are kept, and the last one says how many were left out.
MAX_AT_ONCE = 50
MAX_EVENT_ID_CHARS = 256


class RefusalLog:
    """Takes notes at once, writes them later. Neither body nor signature is kept."""

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
        """Writes once a second until `stop` is set, and what is left then."""
        while not await self._clock.wait(stop, FLUSH_MS):
            await self.flush()
        await self.flush()

    async def flush(self) -> None:
        """Writes what was noted. What the store does not take is gone from here; the log has it."""
        if not self._noted:
            return
        noted, self._noted = self._noted, {}
        left_out, self._left_out = self._left_out, {}
        refused = [
            item for source_id, rejected in noted.items() for item in _told(rejected, left_out.get(source_id, 0))
        ]
        try:
            await self._history.keep_refusals(refused)
        except StoreError as error:
            log.error("refused requests not kept", count=len(refused), code=error.code, detail=error.detail)
        except Exception:  # noqa: BLE001 - a surprise must not end what keeps the log
            log.exception("refused requests not kept", count=len(refused))


def _told(rejected: deque[RejectedRequest], left_out: int) -> list[RejectedRequest]:
    if not left_out:
        return list(rejected)
    last = rejected[-1]
    why = reason(
        last.code,
        "%(reason)s (%(count)s more of that second are not shown.)",
        reason=last.reason,
        count=left_out,
    )
    return [*list(rejected)[:-1], msgspec.structs.replace(last, reason=why)]
