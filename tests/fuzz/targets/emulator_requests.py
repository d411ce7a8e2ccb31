"""Requests to the Customer.io emulator: answered, whatever they contain, and its page can be shown afterwards."""

from __future__ import annotations

import asyncio
import json

from fuzz.asgi import ask
from fuzz.choices import Choices
from fuzz.targets.contract_check import BASES, NAMES, VALUES, WHO
from nicobar.connectors.customerio.track_api import V1_CALLS
from nicobar.emulator.app import create_app
from nicobar.emulator.state import State
from support.track_calls import V1_BODIES

# What requests add up to is thrown away after so many.
MAX_REQUESTS = 500
# demo-site and demo-key, the emulator's own.
HEADERS = {"authorization": "Basic ZGVtby1zaXRlOmRlbW8ta2V5", "content-type": "application/json"}
PLACES = (
    "/emulator/faults", "/emulator/campaigns", "/emulator/settings", "/campaigns", "/emulator/people?limit=1",
    "/emulator/workspace", "/emulator/clock", "/emulator/segments", "/emulator/emails", "/emulator/unsent",
    "/v1/activities?customer_id=ada",
)  # fmt: skip
SEEDS = (bytes(20), *(bytes([number, 1, number, 3, 5, 7]) * 6 for number in range(12)))


class Town:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.app = create_app(State())
        self.left = MAX_REQUESTS


_towns: list[Town] = []


def run(data: bytes) -> None:
    if _towns and _towns[0].left <= 0:
        close()
    if not _towns:
        _towns.append(Town())
    town = _towns[0]
    town.left -= 1
    it = Choices(data)
    method, path, value = request_of(it)
    body = it.rest() if it.byte() % 8 == 7 else json.dumps(value).encode("utf-8", "surrogatepass")
    status, _, _ = town.loop.run_until_complete(ask(town.app, method, path, body=body, headers=HEADERS))
    assert status < 500, (method, path, body)
    if it.byte() % 16 == 0:
        status, _, _ = town.loop.run_until_complete(ask(town.app, "GET", "/", headers={}))
        assert status == 200


def request_of(it: Choices) -> tuple[str, str, object]:
    kind = it.byte() % 4
    if kind == 0:
        call = it.pick(V1_CALLS)
        who = it.pick((*WHO, it.text(12)))
        path = "/".join(who if part == "*" else part for part in call.segments)
        return call.method, f"/api/v1/{path}", it.changed(V1_BODIES[call.body], NAMES, VALUES)
    if kind == 1:
        return it.pick(("GET", "PUT", "POST")), it.pick(PLACES), it.json(NAMES, VALUES)
    item = it.changed(it.pick(BASES), NAMES, VALUES)
    return ("POST", "/api/v2/batch", {"batch": [item, item]}) if kind == 2 else ("POST", "/api/v2/entity", item)


def close() -> None:
    while _towns:
        _towns.pop().loop.close()
