"""Destinations that are wrong for longer than a request: an operator has to see it. They become well again, and what
waited is delivered without anybody's help.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

from chaos.faults import PAGE, Weather
from chaos.load import Load
from chaos.site import Site
from chaos.witness import Counted, Sign, Witness, alert, gauge
from nicobar.emulator.faults import Fault, Reset

TROUBLES: Mapping[str, Fault] = {
    "destination down": Fault(status=503),
    "destination resets connections": Fault(reset=Reset.BEFORE),
    "destination answers 401": Fault(status=401),
    "destination answers 403": Fault(status=403),
    "destination answers 404": Fault(status=404),
    "destination answers 302": Fault(status=302),
    "destination answers 200 with a page": Fault(status=200, body=PAGE),
}
MAX_PAUSE_S = 8.0
# While nothing delivers, a destination is not asked; then nothing can show.
MIN_REQUESTS = 10


def signs_of(fault: Fault, endpoint: str) -> Sequence[Sign]:
    """How the endpoint's trouble shows."""
    if fault.status in {401, 403, 404, 302}:
        return (gauge("nicobar_endpoint_paused", endpoint), alert("endpoint.paused"))
    return (gauge("nicobar_endpoint_breaker_open", endpoint), alert("endpoint.failing"))


class Troubles:
    """One after the other, each kind as often as the others."""

    def __init__(
        self,
        site: Site,
        load: Load,
        weather: Sequence[Weather],
        witness: Witness,
        *,
        places: Sequence[int],
        seed: int,
    ) -> None:
        self._site = site
        self._load = load
        self._weather = weather
        self._witness = witness
        self._places = places
        self._chance = random.Random(f"{seed}/troubles")

    async def run(self) -> None:
        """Until there is enough load."""
        deck: list[str] = []
        while not self._load.enough.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._chance.uniform(0, MAX_PAUSE_S)):
                    await self._load.enough.wait()
                    return
            deck = deck or self._chance.sample(tuple(TROUBLES), k=len(TROUBLES))
            kind = deck.pop()
            place = self._chance.choice(self._places)
            fault = TROUBLES[kind]
            before = await self._witness.count()
            async with self._weather[place].lasting(kind, fault) as requests:
                await self._show(kind, signs_of(fault, self._site.names[place]), before, requests)

    async def _show(
        self, kind: str, signs: Sequence[Sign], before: Counted, requests: Callable[[], Awaitable[int]]
    ) -> None:
        """Until it is seen, or was asked often enough to be."""
        while not self._load.enough.is_set():
            asked = await requests()
            unless = self._load.enough.is_set
            if await self._witness.sees(kind, signs, since=before, unless=unless, silent=False):
                return
            if await requests() - asked >= MIN_REQUESTS:
                self._witness.seen.note(kind, None)
                return
