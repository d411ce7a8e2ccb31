"""Remembers what messages stated that an earlier version has stored: it only adds to the facts."""

from __future__ import annotations

import asyncio

from nicobar import facts
from nicobar.clock import Clock
from nicobar.errors import StoreError
from nicobar.facts import StatedFact
from nicobar.logs import log
from nicobar.model import Message
from nicobar.pipeline.configuration import Configuration
from nicobar.store import Facts
from nicobar.store.facts import Rebuild

STEP_MESSAGES = 200
STEP_BYTES = 4 * 1024 * 1024
# Other writers get their turn between two steps; a user may have begun one since the last look.
PAUSE_MS = 20
LOOK_MS = 60_000
# After a change of a source's mode, every process has the new configuration after this.
SETTLE_MS = 3_000


class Ledger:
    """Rebuilds facts in small steps. The database alone has the remaining work, so the next process continues where
    this one stopped.
    """

    def __init__(self, *, store: Facts, configuration: Configuration, clock: Clock) -> None:
        self._store = store
        self._configuration = configuration
        self._clock = clock
        self._is_settling = False

    async def run(self, stop: asyncio.Event) -> None:
        """Rebuilds what is to be rebuilt, until `stop` is set."""
        wait_ms = 0
        while not await self._clock.wait(stop, wait_ms):
            wait_ms = LOOK_MS
            try:
                if await self.settles():
                    wait_ms = SETTLE_MS
                    continue
                at = await self.step()
                if at is not None:
                    wait_ms = PAUSE_MS
                    if at.ended_at_ms is not None:
                        log.info("facts rebuilt", messages=at.messages)
            except StoreError as error:
                log.error("facts not rebuilt", code=error.code, detail=error.detail)
            except Exception:  # noqa: BLE001 - an unexpected error must not stop the loop
                log.exception("facts not rebuilt")

    async def settles(self) -> bool:
        """Whether a rebuild has only just begun. What is accepted by the configuration before its beginning is
        included by beginning it a second time. Raises StoreError.
        """
        at = await self._store.rebuild()
        is_new = at is not None and at.ended_at_ms is None and not at.after_seq
        if is_new and self._is_settling:
            await self._store.begin_rebuild()
        self._is_settling = is_new and not self._is_settling
        return self._is_settling

    async def step(self) -> Rebuild | None:
        """Reads the next messages; returns how far it is, None where nothing is left. Raises StoreError."""
        at = await self._store.rebuild()
        if at is None or at.ended_at_ms is not None:
            return None
        page = await self._store.messages_to_state(at, limit=STEP_MESSAGES, max_bytes=STEP_BYTES)
        for app_id in sorted({message.app_id for message in page}):
            of_app = [message for message in page if message.app_id == app_id]
            # A customer may be erased while this step runs.
            await self._store.put_facts_of_messages(app_id, {item.seq: self._stated(item) for item in of_app})
        after_seq = page[-1].seq if page else at.until_seq
        now_ms = self._clock.now_ms()
        await self._store.move_rebuild(at, after_seq=after_seq, messages=len(page), now_ms=now_ms)
        return await self._store.rebuild()

    def _stated(self, message: Message) -> tuple[StatedFact, ...]:
        read, unreadable = self._configuration.reread(message)
        if unreadable is not None:
            return ()
        kind, event = self._configuration.event(read)
        stated = facts.state(
            kind.kind,
            event,
            event_id=message.event_id,
            body=message.body,
            accepted_at_ms=message.accepted_at_ms,
            mode=self._configuration.mode_of(message),
        )
        return stated.facts
