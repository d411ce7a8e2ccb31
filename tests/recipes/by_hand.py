"""Runs recipes on a ledger that is written by hand."""

from __future__ import annotations

import msgspec

from nicobar.connectors.registry import CONNECTORS, find_recipe
from nicobar.model import Json
from nicobar.sandbox import Broken, Calls, Canceled, Job, Untouched
from support.shared import SANDBOX

NOW_MS = 1_789_000_000_000
DAY_MS = 86_400_000
Fields = dict[str, Json]


def fact(kind: str, of: str, fields: Fields, **known: Json) -> Fields:
    return {
        "kind": kind,
        "id": of,
        "key": None,
        "occurred_at": NOW_MS,
        "is_current": True,
        "previous": {},
        "outdated": [],
    } | {
        "fields": fields,
        **known,
    }


def customer(**values: Json) -> Fields:
    known: Fields = {
        "ids": ["cus_ada"],
        "identity": None,
        "history_complete": False,
        "known_since": NOW_MS - DAY_MS,
        "email": "ada@northpine.example",
        "name": "Ada Lindqvist",
        "first_name": "Ada",
        "status": "none",
        "open_failures": [],
        "subscriptions": [],
        "subscriptions_active": 0,
    }
    nothing = ("payments", "is_first_payment", "first_payment_at", "last_payment_at", "customer_since", "totals")
    return dict.fromkeys((*nothing, "settled", "mrr")) | known | values


class Made(msgspec.Struct):
    """What a recipe made of an event: the person's attributes, fields by event, and keys by event."""

    attributes: Fields
    events: dict[str, Fields]
    keys: dict[str, str]
    others: list[Fields]
    console: tuple[str, ...] = ()


async def made(
    recipe: str,
    event_type: str,
    facts: list[Fields],
    *,
    about: Fields | None = None,
    data: Fields | None = None,
    variables: dict[str, str] | None = None,
) -> Made:
    envelope = {"business_id": "bus_1", "type": event_type, "timestamp": "2026-09-09T22:26:40Z", "data": data or {}}
    job = Job(
        code_id=recipe,
        code=find_recipe(recipe, CONNECTORS).code,
        body=msgspec.json.encode(envelope),
        event_type=event_type,
        url="https://track.customer.io/api/v2/entity",
        now_ms=NOW_MS,
        occurred_at_ms=NOW_MS,
        seed=event_type,
        customer_key="cus_ada",
        variables=variables or {},
        ledger=msgspec.json.encode({"customer": customer() if about is None else about, "facts": facts}),
    )
    (result,) = await (await SANDBOX.get()).run([job])
    assert not isinstance(result, Broken), result
    if isinstance(result, Untouched | Canceled):
        return Made({}, {}, {}, [], result.console)
    assert isinstance(result, Calls)
    (call,) = result.calls
    people = [item for item in call.payload if item["type"] == "person"]
    events = [item for item in people if item["action"] == "event"]
    identifies = [item for item in people if item["action"] == "identify"]
    assert len(identifies) <= 1
    assert people[: len(identifies)] == identifies, "attributes come first"
    assert len({item["name"] for item in events}) == len(events)
    return Made(
        identifies[0]["attributes"] if identifies else {},
        {item["name"]: item["attributes"] for item in events},
        {item["name"]: item["once"] for item in events if "once" in item},
        [item for item in call.payload if item["type"] != "person"],
        result.console,
    )
