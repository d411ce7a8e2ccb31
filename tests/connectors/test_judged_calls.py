"""Calls with the verdict that follows from Customer.io's texts and its other senders, one per line of
`judged_calls.jsonl`: method and path, payload, the rules besides additions (`error` for any error), and the event if
it matters.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, unquote

import msgspec
import pytest

from nicobar.connectors import Origin, Prepared
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.customerio.track_api import V1_ROOT
from nicobar.emulator import v1
from nicobar.emulator.contract import Mode, problems
from nicobar.model import Call, Level

NOW_S = 1_789_000_000
LINES = (Path(__file__).parent / "judged_calls.jsonl").read_text("utf-8").splitlines()
CASES: list[list[object]] = [msgspec.json.decode(line) for line in LINES]
# Whether the address is known depends on the customer, which these calls do not have.
NOT_JUDGED = {"no_address"}
DESTINATION = CustomerIo().open({}, {"site_id": "site", "api_key": "key"})


def prepared(call: str, payload: object, event: object = None) -> Prepared:
    method, path = call.split(" ", 1)
    origin = Origin(
        message_id="msg_1",
        endpoint_id="ep_1",
        occurred_at_ms=NOW_S * 1000,
        now_ms=NOW_S * 1000 + 60_000,
        customer=None,
        body=msgspec.json.encode(event),
    )
    url = f"https://track.customer.io{path}"
    return DESTINATION.prepare([Call(method=method, url=url, headers={}, payload=payload)], origin)


def rules_of(result: Prepared) -> set[str]:
    if not result.calls:
        return {"error"}
    return {item.rule for item in result.verdicts if item.level is not Level.ADDITION} - NOT_JUDGED


def kind_of(case: list[object]) -> str:
    return "not meant" if case[2] not in ("", "error") else str(case[2]) or "valid"


@pytest.mark.parametrize("kind", ["valid", "not meant", "error"])
def test_calls_are_judged_as_the_service_does(kind):
    cases = [case for case in CASES if kind_of(case) == kind]
    assert len(cases) > 50
    wrong = [
        (call, payload, wanted, found)
        for call, payload, wanted, *event in cases
        if (found := rules_of(prepared(call, payload, *event))) != set(wanted.split())
    ]
    assert wrong == []


def test_the_strict_emulator_accepts_every_call_that_is_sent():
    refused = [
        (call, found)
        for call, payload, _, *event in CASES
        for ready in prepared(call, payload, *event).calls
        if (found := refusals(ready.method, ready.url.removeprefix("https://track.customer.io"), ready.body))
    ]
    assert refused == []


def refusals(method: str, path: str, body: bytes) -> list[object]:
    payload = msgspec.json.decode(body) if body else None
    if not path.startswith(V1_ROOT):
        return list(problems(payload)) if path.startswith("/api/v2/") else []
    below, _, query = path.removeprefix(V1_ROOT).partition("?")
    read = v1.read(method, list(map(unquote, below.split("/"))), parse_qs(query), payload, Mode.STRICT)
    return [path] if read is None else list(read.problems)


def test_the_strict_emulator_rejects_calls_of_v2_that_are_not_sent():
    wrong = [
        payload
        for call, payload, wanted, *_ in CASES
        if (call, wanted) == ("POST /api/v2/entity", "error") and not any(problems(payload))
    ]
    assert wrong == []
