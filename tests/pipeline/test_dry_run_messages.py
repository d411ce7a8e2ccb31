"""Dry runs of a transformation on stored messages, in the real sandbox, compared with the sent calls."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from nicobar.store import Resent
from nicobar.use_cases import dry_run_messages
from nicobar.use_cases.dry_run_messages import run_messages
from support.server import running

HANDLER = """function handler(webhook) {
  webhook.payload = nicobar.event("paid", {amount: webhook.payload.data.total_amount});
  return webhook;
}"""


@pytest.fixture
async def nicobar(tmp_path):
    async with running(tmp_path, HANDLER) as it:
        yield it


@pytest.fixture
async def services(nicobar, sandbox):
    runtime = nicobar.runtime
    return SimpleNamespace(
        store=runtime.store,
        configuration=runtime.configuration,
        vault=runtime.vault,
        sandbox=sandbox,
        clock=runtime.clock,
    )


def endpoint(nicobar):
    return nicobar.runtime.configuration.snapshot.endpoints[0]


async def deliver(nicobar, count=1):
    for number in range(count):
        await nicobar.send_sample("payment.succeeded", f"evt_{number}")
        await nicobar.next_recorded()


async def test_a_dry_run_adds_profiles_whatever_was_delivered_before(nicobar, services):
    await deliver(nicobar, 2)
    result = await run_messages(services, endpoint(nicobar), None, messages=10)
    assert [(len(candidate.calls), candidate.calls[0].added, candidate.differs) for candidate in result.results] == [
        (2, True, False)
    ] * 2
    assert not result.stopped
    assert {len(candidate.sent) for candidate in result.results} == {1, 2}


async def test_new_calls_are_compared_with_sent_calls(nicobar, services):
    await deliver(nicobar)
    code = HANDLER.replace('"paid"', '"bought"')
    (result,) = (await run_messages(services, endpoint(nicobar), code, messages=10)).results
    (appears,), (disappears,) = result.appears, result.disappears
    assert '"name":"bought"' in appears
    assert '"name":"paid"' in disappears
    assert (result.differs, result.event_type) == (True, "payment.succeeded")
    assert nicobar.state.requests
    sent = len(nicobar.state.requests)
    await run_messages(services, endpoint(nicobar), code, messages=10)
    assert len(nicobar.state.requests) == sent, "nothing is sent"


async def test_replay_with_new_ids_is_compared_with_those_ids(nicobar, services):
    await deliver(nicobar)
    runtime = nicobar.runtime
    (message,) = (await run_messages(services, endpoint(nicobar), None, messages=1)).results
    first = message.sent
    again = await runtime.store.resend(
        message.message_id, endpoint(nicobar).id, now_ms=runtime.clock.now_ms(), new_ids=True
    )
    assert again is Resent.QUEUED
    runtime.worker.wake([endpoint(nicobar).seq])
    await nicobar.next_recorded()
    (result,) = (await run_messages(services, endpoint(nicobar), None, messages=1)).results
    assert result.sent[-1] != first[-1]
    assert result.differs is False


async def test_failures_show_the_line_and_rejections_the_reason(nicobar, services):
    await deliver(nicobar)
    broken = "function handler(webhook) {\n  throw new Error('no');\n}"
    (result,) = (await run_messages(services, endpoint(nicobar), broken, messages=10)).results
    assert (result.state, result.code, result.line, result.calls) == ("failed", "threw", 2, ())
    assert result.disappears == result.sent
    refused = HANDLER.replace("return", 'webhook.url = "https://elsewhere.example/"; return')
    (result,) = (await run_messages(services, endpoint(nicobar), refused, messages=10)).results
    assert (result.state, result.code) == ("failed", "contract")
    assert result.verdicts[0].level == "error"
    untouched = "function handler(webhook) { return webhook; }"
    (result,) = (await run_messages(services, endpoint(nicobar), untouched, messages=10)).results
    assert (result.state, result.code) == ("canceled", "not_handled")


async def test_dry_run_runs_code_of_a_switched_off_transformation(nicobar, services):
    await deliver(nicobar)
    off = msgspec.structs.replace(endpoint(nicobar), transformation_enabled=False)
    (result,) = (await run_messages(services, off, HANDLER, messages=10)).results
    assert (result.state, result.differs) == ("pending", False)
    (as_it_is,) = (await run_messages(services, off, None, messages=10)).results
    assert as_it_is.code == "not_handled"


async def test_unsent_message_has_no_difference(nicobar, services):
    await nicobar.send(b'{"type":"order.placed","data":{"total_amount":5,"customer_id":"cus_1"}}')
    await nicobar.next_recorded()
    (result,) = (
        await run_messages(services, endpoint(nicobar), "function handler() { return []; }", messages=1)
    ).results
    assert result.state == "canceled"
    messages = (await run_messages(services, endpoint(nicobar), None, messages=5, event_types=("a.b",))).results
    assert messages == ()


async def test_slow_handler_is_stopped_early(nicobar, services, monkeypatch):
    monkeypatch.setattr(dry_run_messages, "MAX_RUN_MS", 0)
    await deliver(nicobar)
    result = await run_messages(services, endpoint(nicobar), None, messages=10)
    assert (result.results, result.stopped) == ((), True)


async def test_deleted_and_oversized_messages_are_skipped(nicobar, services, monkeypatch):
    await deliver(nicobar, 3)
    (latest, *_) = (await run_messages(services, endpoint(nicobar), None, messages=10)).results
    await nicobar.runtime.store.expunge_message(latest.message_id, now_ms=1)
    assert len((await run_messages(services, endpoint(nicobar), None, messages=10)).results) == 2
    monkeypatch.setattr(dry_run_messages, "MAX_BODIES_BYTES", 10)
    assert (await run_messages(services, endpoint(nicobar), None, messages=10)).results == ()


async def test_earlier_delivery_runs_under_its_earlier_ids(nicobar, services, monkeypatch):
    await deliver(nicobar)
    store = nicobar.runtime.store
    (result,) = (await run_messages(services, endpoint(nicobar), None, messages=1)).results
    assert result.differs is False
    deliveries_of_messages = store.deliveries_of_messages

    async def earlier(message_ids):
        found = await deliveries_of_messages(message_ids)
        return {key: [msgspec.structs.replace(one, replay_key=None) for one in some] for key, some in found.items()}

    monkeypatch.setattr(store, "deliveries_of_messages", earlier)
    (result,) = (await run_messages(services, endpoint(nicobar), None, messages=1)).results
    assert result.differs is True, "it was sent under an id of this version"
