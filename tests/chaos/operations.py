"""What operators do meanwhile: they apply configurations, rotate the signing secret, replay and cancel."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from chaos.load import Load
from chaos.scene import Scene
from chaos.site import Site

APPLY = "apply"
ROTATE = "rotate the secret"
REPLAY = "replay"
CANCEL_REPLAY = "replay, canceled"
CANCEL = "cancel waiting deliveries"
KINDS = (APPLY, ROTATE, REPLAY, CANCEL_REPLAY, CANCEL)
# Deliveries to this endpoint may be canceled, so it may miss events. It is never replayed: what was canceled would
# come after what was accepted later.
CANCELABLE = 0
AGAIN_S = 0.2
LOOK_S = 0.5
REPLAYED_S = 10
_API = "/api/v1/app/default/endpoint"
_TASKS = "/api/v1/background-task"


class Operations:
    """One after the other, each kind as often as the others. `done` counts them."""

    def __init__(
        self, http: aiohttp.ClientSession, site: Site, load: Load, scene: Scene, *, token: str, seed: int
    ) -> None:
        self._http = http
        self._site = site
        self._headers = {"authorization": f"Bearer {token}"}
        self._load = load
        self._scene = scene
        self._chance = random.Random(f"{seed}/operations")
        self._endpoints: list[str] = []
        self.done: Counter[str] = Counter(dict.fromkeys(KINDS, 0))

    async def run(self) -> None:
        """Until there is enough load; then waits for the replays."""
        deck: list[str] = []
        while not self._load.enough.is_set() or not all(self.done.values()):
            deck = deck or self._chance.sample(KINDS, k=len(KINDS))
            kind = deck.pop()
            await self._do(kind)
            self.done[kind] += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._chance.uniform(0, self._scene.operation_pause_s)):
                    await self._load.enough.wait()
        while (await self._ask("GET", f"{_TASKS}?status=running"))["data"]:
            await asyncio.sleep(LOOK_S)

    async def _do(self, kind: str) -> None:
        if kind == APPLY:
            await self._site.change()
        elif kind == ROTATE:
            await self._site.rotate()
        elif kind == CANCEL:
            await self._ask("POST", f"{_API}/{await self._endpoint(CANCELABLE)}/cancel-pending")
        else:
            place = self._chance.choice([place for place in range(self._scene.endpoints) if place != CANCELABLE])
            since = datetime.now(UTC) - timedelta(seconds=REPLAYED_S)
            address = f"{_API}/{await self._endpoint(place)}/bulk-replay"
            task = await self._ask("POST", address, {"since": since.isoformat()})
            if kind == CANCEL_REPLAY:
                await self._ask("POST", f"{_TASKS}/{task['id']}/cancel")

    async def _endpoint(self, place: int) -> str:
        if not self._endpoints:
            found = (await self._ask("GET", f"{_API}?limit=250"))["data"]
            by_url = {url: item["id"] for item in found for url in self._site.destinations if url in item["url"]}
            self._endpoints = [by_url[url] for url in self._site.destinations]
        return self._endpoints[place]

    async def _ask(self, method: str, path: str, data: object = None) -> Any:
        """The answer; asked again until a server gives one. What was done without an answer is done twice."""
        while True:
            url = await self._load.doors.any(self._chance)
            try:
                async with self._http.request(method, url + path, json=data, headers=self._headers) as answer:
                    if answer.status < 500:
                        answer.raise_for_status()
                        return await answer.json()
            except aiohttp.ClientResponseError:
                raise
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            await asyncio.sleep(AGAIN_S)
