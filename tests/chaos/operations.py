"""What operators do meanwhile: they apply configurations with other handlers, rotate the signing secret, mistake and
correct credentials, re-create or rename an endpoint, replay and cancel.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from chaos.editions import EDITED_TYPE
from chaos.load import Load
from chaos.scene import Scene
from chaos.site import Site
from chaos.witness import Witness, alert, gauge

EDIT = "apply another handler"
ROTATE = "rotate the secret"
MISTAKE = "wrong credentials, then right"
REPLAY = "replay"
CANCEL_REPLAY = "replay, canceled"
CANCEL = "cancel waiting deliveries"
REMAKE = "re-create an endpoint, replay missing"
RENAME = "rename an endpoint, replay missing"
KINDS = (EDIT, ROTATE, MISTAKE, REPLAY, CANCEL_REPLAY, CANCEL)
# They send all again, so they are done a few times in a run only.
SELDOM = (REMAKE, RENAME)
MAX_SELDOM = 4
SELDOM_EVERY = 3
# Deliveries to this endpoint may be canceled, so it may miss events. It is never replayed: what was canceled would
# come after what was accepted later.
CANCELABLE = 0
AGAIN_S = 0.2
LOOK_S = 0.5
REPLAYED_S = 10
# Before the run, whatever a clock says that was set back.
SINCE = timedelta(days=60)
_API = "/api/v1/app/default/endpoint"
_MESSAGES = "/api/v1/app/default/msg"
_TASKS = "/api/v1/background-task"


def remade(scene: Scene) -> int:
    """The endpoint that is re-created. What waited for it then comes after what was accepted later."""
    return scene.endpoints - 1


class Operations:
    """One after the other, each kind as often as the others. `done` counts them."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        site: Site,
        load: Load,
        scene: Scene,
        witness: Witness,
        *,
        token: str,
        seed: int,
        sample: int | None = None,
    ) -> None:
        self._http = http
        self._site = site
        self._headers = {"authorization": f"Bearer {token}"}
        self._load = load
        self._scene = scene
        self._witness = witness
        self._chance = random.Random(f"{seed}/operations")
        kinds = (*KINDS, *SELDOM)
        self._kinds = kinds if sample is None else self._chance.sample(kinds, k=min(sample, len(kinds)))
        self.done: Counter[str] = Counter(dict.fromkeys(self._kinds, 0))

    async def run(self) -> None:
        """Until there is enough load, and each kind was done."""
        deck: list[str] = []
        rounds = 0
        while not self._load.enough.is_set() or not all(self.done.values()):
            if not deck:
                kinds = self._chance.sample(self._kinds, k=len(self._kinds))
                deck = [kind for kind in kinds if self._is_due(kind, rounds)]
                rounds += 1
            if deck:
                kind = deck.pop()
                async with self._site.calm:
                    await self._do(kind)
                self.done[kind] += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._chance.uniform(0, self._scene.operation_pause_s)):
                    await self._load.enough.wait()

    def _is_due(self, kind: str, rounds: int) -> bool:
        return kind not in SELDOM or (rounds % SELDOM_EVERY == 0 and self.done[kind] < MAX_SELDOM)

    async def finish(self, drain: Callable[[], Awaitable[object]]) -> None:
        """The last edition's calls are all there in the end: what earlier ones delivered is replayed. What is sent or
        waits with calls of an earlier one is finished with these, so that it has to end before. A server that knew a
        new endpoint late has accepted events for the former one only.
        """
        await self._replay(remade(self._scene), "replay-missing", SINCE)
        await self._settle()
        await self._site.finish()
        await drain()
        for place in range(self._scene.endpoints):
            if place != CANCELABLE:
                await self._replay(place, "bulk-replay", SINCE, eventTypes=[EDITED_TYPE])
        await self._settle()

    async def event_ids(self, overtaken: Collection[tuple[str, str]]) -> dict[int, set[str]]:
        """The events of deliveries that were overtaken, by the place of their endpoint. None of those that went with
        a database that a backup replaced.
        """
        found: dict[int, set[str]] = {}
        names = {item["id"]: item["name"] for item in (await self._ask("GET", f"{_API}?limit=250"))["data"]}
        for endpoint_id, message_id in overtaken:
            message = await self._ask("GET", f"{_MESSAGES}/{message_id}", done=(404,))
            if message is not None and names.get(endpoint_id) in self._site.names:
                found.setdefault(self._site.names.index(names[endpoint_id]), set()).add(message["eventId"])
        return found

    async def _settle(self) -> None:
        while (await self._ask("GET", f"{_TASKS}?status=running"))["data"]:
            await asyncio.sleep(LOOK_S)

    async def _do(self, kind: str) -> None:
        match kind:
            case _ if kind == EDIT:
                await self._site.edit()
            case _ if kind == ROTATE:
                await self._site.rotate()
            case _ if kind == MISTAKE:
                await self._mistake()
            case _ if kind == CANCEL:
                await self._ask("POST", f"{_API}/{await self._endpoint(CANCELABLE)}/cancel-pending")
            case _ if kind == REMAKE:
                await self._delete(await self._endpoint(remade(self._scene)))
                await self._site.apply()
                await self._replay(remade(self._scene), "replay-missing", SINCE)
            case _ if kind == RENAME:
                await self._site.rename(remade(self._scene))
                await self._replay(remade(self._scene), "replay-missing", SINCE)
            case _:
                places = [place for place in range(self._scene.endpoints) if place != CANCELABLE]
                since = timedelta(seconds=REPLAYED_S)
                task = await self._replay(self._chance.choice(places), "bulk-replay", since)
                if kind == CANCEL_REPLAY:
                    # One that has ended by then has nothing to cancel.
                    await self._ask("POST", f"{_TASKS}/{task['id']}/cancel", done=(409,))

    async def _mistake(self) -> None:
        place = self._chance.randrange(remade(self._scene))
        name = self._site.names[place]
        before = await self._witness.count()
        await self._site.mistake(place)
        signs = (gauge("nicobar_endpoint_paused", name), alert("endpoint.paused"))
        await self._witness.sees(MISTAKE, signs, since=before, unless=self._load.enough.is_set, silent=False)
        await self._site.mistake(None)

    async def _replay(self, place: int, which: str, before: timedelta, **filters: object) -> Any:
        since = datetime.now(UTC) - before
        address = f"{_API}/{await self._endpoint(place)}/{which}"
        return await self._ask("POST", address, {"since": since.isoformat(), **filters})

    async def _endpoint(self, place: int) -> str:
        name = self._site.names[place]
        while True:
            found = (await self._ask("GET", f"{_API}?limit=250"))["data"]
            ids = [item["id"] for item in found if item["name"] == name]
            if ids:
                return str(ids[0])
            # A server that was frozen meanwhile does not know it yet.
            await asyncio.sleep(AGAIN_S)

    async def _delete(self, endpoint_id: str) -> None:
        await self._ask("DELETE", f"{_API}/{endpoint_id}", done=(404,))

    async def _ask(self, method: str, path: str, data: object = None, *, done: Collection[int] = ()) -> Any:
        """The answer; asked again until a server gives one. What was done without an answer is done twice; a status
        in `done` says that there is nothing more to do, and gives None.
        """
        while True:
            url = await self._load.doors.any(self._chance)
            try:
                async with self._http.request(method, url + path, json=data, headers=self._headers) as answer:
                    if answer.status in done:
                        return None
                    if answer.status < 500:
                        answer.raise_for_status()
                        return None if answer.status == 204 else await answer.json()
            except aiohttp.ClientResponseError:
                raise
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            await asyncio.sleep(AGAIN_S)
