"""From messages to calls, with the real sandbox."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.model import DeliveryState, Message
from nicobar.pipeline.transform import MAX_CALLS, Ready, Stopped, transform
from nicobar.use_cases.dry_run import dry_target
from nicobar.use_cases.sample_events import past


def message(body: bytes) -> Message:
    return Message(
        seq=1,
        id="msg_1",
        app_id="app_1",
        source_id="src_1",
        event_id="evt_1",
        event_type="made.up",
        customer_key=None,
        occurred_at_ms=1,
        accepted_at_ms=1,
        body=body,
    )


@pytest.mark.parametrize("code", ["", "const handler = (w) => w;", "const handler = (w) => ({...w, payload: 1});"])
async def test_deep_events_of_an_earlier_version_fail_alone(sandbox, code):
    bodies = [b'{"data":' + b"[" * levels + b"]" * levels + b"}" for levels in (1, 201, 970, 980, 1_500, 100_000)]
    subjects = [past(message(body), None) for body in bodies]
    good, *deep = await transform(sandbox, dry_target("http", code), subjects, 1)
    assert isinstance(good, Ready)
    assert [(type(item), item.code) for item in deep] == [(Stopped, "bad_result")] * 5
    assert {"200 levels" in str(item.reason) for item in deep} == {True}


async def test_too_many_calls_are_never_prepared(sandbox):
    code = f"const handler = (w) => Array.from({{length: {MAX_CALLS + 1}}}, () => ({{...w, payload: {{a: 1}}}}));"
    target = dry_target("http", code)
    target.destination.prepare = None
    (stopped,) = await transform(sandbox, target, [past(message(b"{}"), None)], 1)
    assert (stopped.state, stopped.code) == (DeliveryState.FAILED, "too_many_calls")
    assert len(stopped.requested) == MAX_CALLS


@pytest.mark.parametrize("code", ["", "const handler = (w) => w;", "const handler = (w) => ({...w});"])
async def test_an_unchanged_event_keeps_every_byte_and_may_be_large(sandbox, code):
    body = b'{ "id": 9007199254740993, "n": 1.50e3, "id":2, "half": "\\ud83d", "text": "%b"}' % (b"x" * 700_000)
    (ready,) = await transform(sandbox, dry_target("http", code), [past(message(body), None)], 1)
    assert isinstance(ready, Ready), ready
    assert ready.calls[0].body == body


async def test_broken_name_of_a_rounded_number_stops_no_other_event(sandbox):
    code = "const handler = (w) => ({...w, payload: {n: 1}});"
    bodies = [b'{"half \\ud83d": {"n": 9007199254740993}}', b"{}"]
    for ready in await transform(
        sandbox, dry_target("http", code), [past(message(body), None) for body in bodies], 1
    ):
        assert isinstance(ready, Ready), ready


async def test_rounded_number_below_a_broken_name_is_found(sandbox):
    code = "const handler = (w) => ({...w, payload: {n: w.payload['half \\ud83d'].n}});"
    body = b'{"half \\ud83d": {"n": 9007199254740993}}'
    (stopped,) = await transform(sandbox, dry_target("http", code), [past(message(body), None)], 1)
    assert (stopped.state, stopped.code) == (DeliveryState.FAILED, "contract")
    assert msgspec.json.encode(stopped.reason)
