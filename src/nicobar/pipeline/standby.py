"""Where only one process of a database may deliver, the others stand by, and one of them takes over when it ends."""

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


class Standby:
    """Runs what `start_parts` starts while this process has a place for delivering. `start_parts` is told whether the
    place is the only one.
    """

    def __init__(
        self, location: Location, start_parts: Callable[[AsyncExitStack, bool], Awaitable[None]], clock: Clock
    ) -> None:
        self._location = location
        self._start_parts = start_parts
        self._clock = clock
        # What runs while the process has the place.
        self._parts: AsyncExitStack | None = None
        # Why delivery was not started the last time: each reason is logged once.
        self._failure: str | None = None

    async def start(self) -> None:
        """Starts to deliver, or to stand by. Raises StoreUnusable, StoreError."""
        if not await self._take():
            log.warning("another process delivers from this database; standing by")

    async def run(self, stop: asyncio.Event) -> None:
        """Takes over when the place becomes free."""
        try:
            while not stop.is_set():
                if self._parts is not None:
                    await stop.wait()
                elif await self._try():
                    log.info("the process that delivered from this database has ended; delivering")
                else:
                    await self._clock.wait(stop, STANDBY_MS)
        finally:
            if self._parts is not None:
                await self._parts.aclose()

    async def _try(self) -> bool:
        try:
            taken = await self._take()
        except (StoreError, StoreUnusable) as error:
            if self._failure != error.detail:
                log.error("delivery not started", code=error.code, detail=error.detail)
            self._failure = error.detail
            return False
        except Exception as error:  # noqa: BLE001 - an unexpected error must not end delivery
            if self._failure != repr(error):
                log.exception("delivery not started")
            self._failure = repr(error)
            return False
        self._failure = None
        return taken

    async def _take(self) -> bool:
        """Whether the place was free."""
        place = self._location.worker_place()
        try:
            alone = await asyncio.to_thread(place.__enter__)
        except UserError:
            return False
        async with AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.to_thread, place.__exit__, None, None, None)
            # A newer version may have changed the tables while this process waited.
            await asyncio.to_thread(self._location.check_version)
            await self._start_parts(stack, alone)
            self._parts = stack.pop_all()
        return True
