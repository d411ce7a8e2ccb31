"""Cleans up in small steps, so that other writers get their turn: deletes payloads and messages that are old enough,
gives their space back, and cancels the deliveries of deleted endpoints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from nicobar.clock import Clock
from nicobar.errors import StoreError
from nicobar.logs import log
from nicobar.store import Facts, Merges, Recovery, Repeats, Retention, Step

DAY_MS = 24 * 3_600_000
# Senders retry for about 28 hours and let users replay later; duplicates are recognized for at least this long.
MIN_ID_DAYS = 30
# A natural key names a fact for good; senders report a fact again within a year, if at all.
SENT_KEY_DAYS = 400
ANSWER_HOURS = 12  # as the public Svix API keeps them: https://docs.svix.com/idempotency
STEP_MESSAGES = 200
STEP_PAGES = 256
PAUSE_MS = 20
ROUND_MS = 600_000
CANCEL_AT_ONCE = 500
# Between two checks for deleted endpoints, including those deleted by another process.
LOOK_MS = 1_000


class Cleaned(Retention, Recovery, Facts, Merges, Repeats, Protocol):
    """What is cleaned up, and its space."""


@dataclass(slots=True)
class _Walk:
    """A walk through the messages older than `age_ms`. Each round starts after the messages that earlier rounds
    finished, and ends at the first younger one; once a day, all messages are checked.
    """

    step: Callable[..., Awaitable[Step]]
    age_ms: int
    settled_seq: int = 0


class Maintainer:
    """Keeps payloads, attempts and their counts for `retention_days`, and ids for that time or `MIN_ID_DAYS`,
    whichever is longer. Messages that finish later are deleted within a day. Gives back the space.
    """

    def __init__(self, *, store: Cleaned, clock: Clock, retention_days: int) -> None:
        self._store = store
        self._clock = clock
        self._payload_ms = retention_days * DAY_MS
        self._forgetting = _Walk(store.forget_old, max(retention_days, MIN_ID_DAYS) * DAY_MS)
        self._emptying = _Walk(store.expunge_old, self._payload_ms)
        self._full_round_at_ms = clock.steady_ms()

    async def run(self, stop: asyncio.Event) -> None:
        """Runs a round every ten minutes until `stop` is set."""
        while not stop.is_set():
            try:
                await self.round(stop)
            except StoreError as error:
                log.error("cleanup failed", code=error.code, detail=error.detail)
            except Exception:  # noqa: BLE001 - an unexpected error must not stop the cleanup
                log.exception("cleanup failed")
            await self._clock.wait(stop, ROUND_MS)

    async def round(self, stop: asyncio.Event) -> None:
        """Deletes everything that is old enough, once. Raises StoreError."""
        now_ms = self._clock.now_ms()
        is_full = self._clock.steady_ms() >= self._full_round_at_ms
        if is_full:
            self._full_round_at_ms = self._clock.steady_ms() + DAY_MS
            self._forgetting.settled_seq = self._emptying.settled_seq = 0
        forgotten = await self._steps(stop, self._forgetting, now_ms, is_full=is_full)
        emptied = await self._steps(stop, self._emptying, now_ms, is_full=is_full)
        await self._rows(stop, self._store.forget_tallies, now_ms - self._payload_ms)
        await self._rows(stop, self._store.forget_merges, now_ms - self._payload_ms)
        await self._rows(stop, self._store.forget_answers, now_ms - ANSWER_HOURS * 3_600_000)
        await self._rows(stop, self._store.forget_sent_keys, now_ms - SENT_KEY_DAYS * DAY_MS)
        for forget in (self._store.forget_facts, self._store.forget_repeats):
            while await forget(limit=STEP_MESSAGES) == STEP_MESSAGES:
                if await self._clock.wait(stop, PAUSE_MS):
                    return
        await self._store.keep_clean_up(ended_at_ms=self._clock.now_ms(), emptied=emptied, forgotten=forgotten)
        await self._give_back_space(stop)
        if forgotten or emptied:
            log.info("cleanup finished", messages_forgotten=forgotten, messages_emptied=emptied)

    async def _give_back_space(self, stop: asyncio.Event) -> None:
        """Of everything that was deleted since the last round, by users too."""
        while await self._store.give_back_space(max_pages=STEP_PAGES) == STEP_PAGES:
            if await self._clock.wait(stop, PAUSE_MS):
                return
        # The file ends where it should once the log is written back. A long reader delays that to a later round.
        await self._store.clear_log()

    async def _rows(self, stop: asyncio.Event, forget: Callable[..., Awaitable[int]], before_ms: int) -> None:
        while await forget(before_ms=before_ms, limit=STEP_MESSAGES) == STEP_MESSAGES:
            if await self._clock.wait(stop, PAUSE_MS):
                return

    async def _steps(self, stop: asyncio.Event, walk: _Walk, now_ms: int, *, is_full: bool) -> int:
        done, after_seq = 0, walk.settled_seq
        while True:
            result = await walk.step(
                before_ms=now_ms - walk.age_ms,
                now_ms=now_ms,
                after_seq=after_seq,
                limit=STEP_MESSAGES,
                full=is_full,
            )
            done += result.done
            if after_seq == walk.settled_seq:
                walk.settled_seq = result.settled_seq
            if result.after_seq is None:
                return done
            after_seq = result.after_seq
            if await self._clock.wait(stop, PAUSE_MS):
                return done


class Remover:
    """Cancels the deliveries of deleted endpoints. The database alone has the remaining work, so the next process
    continues where this one stopped.
    """

    def __init__(self, *, store: Retention, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Checks every second until `stop` is set."""
        while not stop.is_set():
            try:
                await self._cancel(stop)
            except StoreError as error:
                log.error("deliveries of deleted endpoints not canceled", code=error.code, detail=error.detail)
            except Exception:  # noqa: BLE001 - an unexpected error must not stop the loop
                log.exception("deliveries of deleted endpoints not canceled")
            await self._clock.wait(stop, LOOK_MS)

    async def _cancel(self, stop: asyncio.Event) -> None:
        canceled = 0
        while step := await self._store.cancel_removed(now_ms=self._clock.now_ms(), limit=CANCEL_AT_ONCE):
            canceled += step
            if await self._clock.wait(stop, PAUSE_MS):
                break
        if canceled:
            log.info("deliveries of deleted endpoints canceled", deliveries=canceled)
