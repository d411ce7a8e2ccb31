"""One process of a database delivers; the others stand by, and one of them takes over when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from nicobar.clock import Clock
from nicobar.errors import StoreError, StoreUnusable, UserError
from nicobar.logs import log
from nicobar.store.location import Location

# How often a standby process checks whether it may deliver.
STANDBY_MS = 1_000


class Place:
    """The database's one place for delivering, while this process has it."""

    def __init__(self) -> None:
        self._is_confirmed: Callable[[], bool] = lambda: False
        self._is_lost = False
        self._listeners: list[Callable[[], None]] = []

    def is_held(self) -> bool:
        """Whether this process alone may deliver: the place is not lost, and was confirmed a moment ago."""
        return not self._is_lost and self._is_confirmed()

    def confirm_by(self, is_confirmed: Callable[[], bool]) -> None:
        self._is_confirmed = is_confirmed

    def on_lost(self, listener: Callable[[], None]) -> None:
        """Calls the listener once another process has the place."""
        if self._is_lost:
            listener()
        self._listeners.append(listener)

    def lose(self) -> None:
        if not self._is_lost:
            self._is_lost = True
            for listener in self._listeners:
                listener()


class Standby:
    """Runs what `start_parts` starts while this process has the database's one place for delivering."""

    def __init__(
        self, location: Location, start_parts: Callable[[AsyncExitStack, Place], Awaitable[None]], clock: Clock
    ) -> None:
        self._location = location
        self._start_parts = start_parts
        self._clock = clock
        # What runs while the process has the place.
        self._parts: AsyncExitStack | None = None
        self._wake = asyncio.Event()
        self._lost = False
        # Why delivery was not started the last time: each reason is logged once.
        self._failure: str | None = None

    async def start(self) -> None:
        """Starts to deliver, or to stand by. Raises StoreUnusable, StoreError."""
        if not await self._take():
            log.warning("another process delivers from this database; standing by")

    async def run(self, stop: asyncio.Event) -> None:
        """Takes over when the place becomes free; stands by again when it was lost."""
        stopping = asyncio.create_task(_forward(stop, self._wake))
        try:
            while not stop.is_set():
                if self._lost:
                    log.error("another process delivers from this database now; standing by")
                    await self._end_after_loss()
                elif self._parts is None and await self._try():
                    log.info("the process that delivered from this database has ended; delivering")
                if self._parts is not None:
                    await self._wake.wait()
                else:
                    await self._clock.wait(self._wake, STANDBY_MS)
        finally:
            stopping.cancel()
            await self._end()

    async def _try(self) -> bool:
        try:
            taken = await self._take()
        except (StoreError, StoreUnusable) as error:
            if self._failure != error.detail:
                log.error("delivery not started", code=error.code, detail=error.detail)
            self._failure = error.detail
            return False
        except Exception as error:  # noqa: BLE001 - an unexpected error must not end delivery for good
            if self._failure != repr(error):
                log.exception("delivery not started")
            self._failure = repr(error)
            return False
        self._failure = None
        return taken

    async def _take(self) -> bool:
        """Whether the place was free."""
        loop = asyncio.get_running_loop()

        place = Place()

        def lost() -> None:
            loop.call_soon_threadsafe(self._lose, place)

        taken = self._location.only_worker(lost)
        try:
            place.confirm_by(await asyncio.to_thread(taken.__enter__))
        except UserError:
            return False
        async with AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.to_thread, taken.__exit__, None, None, None)
            await self._start_parts(stack, place)
            self._parts = stack.pop_all()
        return True

    def _lose(self, place: Place) -> None:
        # At once: another process delivers already.
        place.lose()
        self._lost = True
        self._wake.set()

    async def _end_after_loss(self) -> None:
        try:
            await self._end()
        except Exception:  # noqa: BLE001 - an unexpected error must not end delivery for good
            log.exception("delivery not ended cleanly")

    async def _end(self) -> None:
        parts, self._parts = self._parts, None
        self._lost = False
        self._wake.clear()
        if parts is not None:
            await parts.aclose()


async def _forward(stop: asyncio.Event, wake: asyncio.Event) -> None:
    await stop.wait()
    wake.set()
