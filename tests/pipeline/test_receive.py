"""Events from the API are stored by the same rules as those from a source."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.errors import Refusal
from nicobar.model import Mode
from nicobar.pipeline.receive import Posted, Receiver
from support.records import make_endpoint
from support.server import running

BODY = (
    b'{"timestamp":"2026-09-14T08:12:24Z",'
    b'"data":{"customer":{"customer_id":"cus_ada","email":"a@northpine.example"}}}'
)


@pytest.fixture
async def nicobar(tmp_path):
    async with running(tmp_path, None) as it:
        yield it


@pytest.fixture
def receiver(nicobar):
    runtime = nicobar.runtime
    return Receiver(
        configuration=runtime.configuration,
        queue=runtime.store,
        ids=runtime.ids,
        clock=runtime.clock,
        metrics=runtime.metrics,
        alerts=runtime.alerts,
        on_accepted=lambda _seqs: None,
    )


def posted(nicobar, **changes) -> Posted:
    app_id = nicobar.runtime.configuration.snapshot.applications[0].id
    return msgspec.structs.replace(Posted(app_id=app_id, event_type="payment.succeeded", body=BODY), **changes)


async def add_endpoint(nicobar, name, **changes):
    runtime = nicobar.runtime
    made = make_endpoint(
        vault=runtime.vault,
        ids=runtime.ids,
        app_id=runtime.configuration.snapshot.applications[0].id,
        name=name,
        kind="http",
        settings={"url": "http://127.0.0.1:9/"},
        credentials={"secret": nicobar.secrets[0]},
    )
    await runtime.store.change([msgspec.structs.replace(made, **changes)])
    await runtime.configuration.refresh()


async def endpoints_of(nicobar, message_id):
    names = {endpoint.id: endpoint.name for endpoint in nicobar.runtime.configuration.snapshot.endpoints}
    return [names[delivery.endpoint_id] for delivery in await nicobar.runtime.store.deliveries(message_id)]


async def test_time_and_customer_are_read_from_dodo_s_format(nicobar, receiver):
    taken = await receiver.take(posted(nicobar))
    kept = await nicobar.message(taken.id)
    assert (kept.body, kept.customer_key, kept.event_id) == (BODY, "cus_ada", kept.id)
    assert kept.occurred_at_ms == 1_789_373_544_000
    assert nicobar.runtime.configuration.customer(kept).email == "a@northpine.example"


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"data":[1],"timestamp":5}',
        b'{"data":{"customer":{"customer_id":7}}}',
        # In UTC these are in the years 10000 and 0.
        b'{"timestamp":"9999-12-31T23:59:59-23:59"}',
        b'{"timestamp":"0001-01-01T00:00:00+00:01"}',
    ],
)
async def test_unknown_body_has_no_customer_and_happened_now(nicobar, receiver, body):
    taken = await receiver.take(posted(nicobar, body=body))
    assert (taken.customer_key, taken.occurred_at_ms) == (None, taken.accepted_at_ms)
    assert nicobar.runtime.configuration.customer(await nicobar.message(taken.id)) is None


async def test_an_overlong_customer_key_is_stored_as_its_hash(nicobar, receiver):
    keys = []
    for end in ("a", "b"):
        body = msgspec.json.encode({"data": {"customer": {"customer_id": f"cus_\0{end}"}}})
        keys.append((await receiver.take(posted(nicobar, body=body))).customer_key)
    assert all(key.startswith("sha256:") for key in keys)
    assert keys[0] != keys[1]


async def test_event_id_is_accepted_once(nicobar, receiver):
    first = await receiver.take(posted(nicobar, event_id="order-7"))
    with pytest.raises(Refusal) as refused:
        await receiver.take(posted(nicobar, event_id="order-7", body=b"{}"))
    assert (refused.value.status, refused.value.code) == (409, "event_id_exists")
    assert first.id in refused.value.detail


async def test_channels_and_types_choose_the_endpoints(nicobar, receiver):
    await add_endpoint(nicobar, "all")
    await add_endpoint(nicobar, "red", channels=("red", "blue"))
    await add_endpoint(nicobar, "other type", event_types=("a.b",), channels=("red",))
    plain = await receiver.take(posted(nicobar))
    red = await receiver.take(posted(nicobar, channels=("red", "green")))
    assert await endpoints_of(nicobar, plain.id) == ["all"]
    assert await endpoints_of(nicobar, red.id) == ["all", "red"]


async def test_an_endpoint_gets_messages_of_its_scope_only(nicobar, receiver):
    for name, scope in (
        ("all", {}),
        ("own", {"business_ids": ("bus_1",)}),
        ("other", {"business_ids": ("bus_2",)}),
        ("brand", {"brand_ids": ("brnd_1",)}),
        ("live", {"mode": Mode.LIVE}),
    ):
        await add_endpoint(nicobar, name, **scope)
    body = b'{"business_id":"bus_1","data":{"customer_id":"cus_ada"}}'
    event = posted(nicobar, body=body)
    taken = await receiver.take(event)
    assert await endpoints_of(nicobar, taken.id) == ["all", "own"]
    assert receiver.subscribed(event) == taken.endpoint_seqs


async def test_scheduled_event_is_due_at_its_time(nicobar, receiver):
    await add_endpoint(nicobar, "all")
    later_ms = nicobar.runtime.clock.now_ms() + 3_600_000
    taken = await receiver.take(posted(nicobar, deliver_at_ms=later_ms, tags=("a",), params={"plan": "pro"}))
    (delivery,) = await nicobar.runtime.store.deliveries(taken.id)
    kept = await nicobar.message(taken.id)
    assert (delivery.due_at_ms, kept.tags, kept.params) == (later_ms, ("a",), {"plan": "pro"})


async def test_a_store_that_does_not_keep_it_is_503(nicobar, receiver):
    await nicobar.runtime.store.close()
    with pytest.raises(Refusal) as refused:
        await receiver.take(posted(nicobar))
    assert refused.value.status == 503
