"""Faults of a destination, switched on at random during the run."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import aiohttp
import msgspec

from nicobar.emulator.faults import Fault, Reset

PAGE = "<!doctype html><title>Sign in</title><p>Sign in to use this network."
MAX_QUIET_S = 0.6
MAX_TIMES = 3
MAX_BURST = 12
MAX_SLOW_MS = 800
# Rejected items fail, so there are none. A rejected request puts the endpoint on hold until it is probed.
_MAKE: Mapping[str, Callable[[random.Random, int], Fault]] = {
    "5xx": lambda chance, times: Fault(status=chance.choice((500, 502, 503, 504)), times=times),
    "429": lambda _, times: Fault(status=429, times=times),
    "many 429": lambda chance, _: Fault(status=429, times=chance.randint(MAX_TIMES, MAX_BURST)),
    "429 with Retry-After": lambda chance, _: Fault(status=429, retry_after_s=chance.choice((0, 0, 1))),
    "reset before taking": lambda _, times: Fault(reset=Reset.BEFORE, times=times),
    "reset after taking": lambda _, times: Fault(reset=Reset.AFTER, times=times),
    "slow": lambda chance, times: Fault(delay_ms=chance.randint(1, MAX_SLOW_MS), times=times),
    "one 401, 403, 404 or 302": lambda chance, _: Fault(status=chance.choice((401, 403, 404, 302))),
    "200 with a page": lambda _, times: Fault(status=200, body=PAGE, times=times),
}
KINDS = tuple(_MAKE)
HELD = "held"
FOREVER = 1_000_000
LOOK_S = 0.05
# A held request that is never sent is taken back after this time.
HOLD_S = 2.0


class Weather:
    """Switches one emulator's faults; `met` counts the requests that met one, by kind. It changes as often for many
    emulators together as for one.
    """

    def __init__(self, http: aiohttp.ClientSession, emulator: str, *, seed: str, emulators: int) -> None:
        self._http = http
        self._address = f"{emulator}/emulator/faults"
        self._chance = random.Random(f"{seed}/faults")
        self._max_quiet_s = MAX_QUIET_S * emulators
        self._deck: list[str] = []
        self._coming: list[tuple[str, int]] = []
        self._changing = asyncio.Lock()
        self.met: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
        # When the destination has taken the last request that it may still hold.
        self.quiet_at_s = 0.0

    async def run(self, enough: asyncio.Event) -> None:
        """Changes the weather until `enough` is set, then clears it."""
        while not enough.is_set():
            kinds = self._deal()
            faults = [self._fault(kind) for kind in kinds]
            async with self._changing:
                await self._put(faults, [(kind, fault.times) for kind, fault in zip(kinds, faults, strict=True)])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._chance.uniform(0, self._max_quiet_s)):
                    await enough.wait()
        async with self._changing:
            await self._put([], [])
        self.quiet_at_s = max(self.quiet_at_s, time.monotonic() + MAX_SLOW_MS / 1000)

    async def hold(self, hold_ms: int) -> None:
        """Holds the next request for so long, if one comes soon; no other fault comes before it."""
        async with self._changing:
            await self._put([Fault(delay_ms=hold_ms)], [(HELD, 1)])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HOLD_S):
                    while await self._left():
                        await asyncio.sleep(LOOK_S)
            await self._put([], [])
            self.quiet_at_s = time.monotonic() + hold_ms / 1000

    @contextlib.asynccontextmanager
    async def lasting(self, kind: str, fault: Fault) -> AsyncIterator[Callable[[], Awaitable[int]]]:
        """All requests meet this fault until the end of the block, which can ask how many they were."""
        async with self._changing:
            await self._put([msgspec.structs.replace(fault, times=FOREVER)], [(kind, FOREVER)])
            try:
                yield self._met_forever
            finally:
                await self._put([], [])

    async def _met_forever(self) -> int:
        return FOREVER - sum(await self._left())

    def _deal(self) -> list[str]:
        """The next two kinds; each comes as often as the others."""
        while len(self._deck) < 2:
            self._deck += self._chance.sample(KINDS, k=len(KINDS))
        return [self._deck.pop(), self._deck.pop()]

    def _fault(self, kind: str) -> Fault:
        return _MAKE[kind](self._chance, self._chance.randint(1, MAX_TIMES))

    async def _left(self) -> list[int]:
        """How often each of the coming faults still occurs."""
        async with self._http.get(self._address) as answer:
            return [fault["times"] for fault in (await answer.json())["faults"]]

    async def _put(self, faults: Sequence[Fault], coming: list[tuple[str, int]]) -> None:
        """Counts the previous faults that occurred before they are replaced; a request in between is not counted."""
        left = await self._left()
        # They occur in order, so the remaining ones are the last.
        for place, (kind, times) in enumerate(reversed(self._coming)):
            still = left[-1 - place] if place < len(left) else 0
            self.met[kind] += times - still
        self._coming = coming
        body = msgspec.json.encode(faults)
        async with self._http.put(self._address, data=body) as answer:
            answer.raise_for_status()
