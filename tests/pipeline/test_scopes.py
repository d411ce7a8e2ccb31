"""The mode of a source, and the mode, businesses and brands of an endpoint."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.errors import UserError
from nicobar.model import Customer, DeliveryState, Endpoint, Mode, Source
from nicobar.pipeline.ledger import Ledger
from nicobar.pipeline.ledgers import Ledgers
from nicobar.pipeline.subscriptions import SenderAccount, Subscriptions, takes
from nicobar.pipeline.transform import Subject
from nicobar.store import PutSource, RemoveSource
from nicobar.use_cases.endpoint_records import unchanged
from nicobar.use_cases.endpoints import idle_mode
from nicobar.web.dashboard.forms import read_ids, read_mode
from support.stated import body_of, stated_message
from support.store import STORES
from support.worker import world

LIVE = SenderAccount(mode="live", business_id="bus_1", brand_id="brnd_1")
ADA = {"customer_id": "cus_1", "email": "ada@northpine.example"}
BEGAN = "1970-01-01T00:00:00.002Z"


def endpoint(**scope) -> Endpoint:
    return Endpoint(
        seq=1,
        id="ep_1",
        app_id="app",
        name="one",
        connector="http",
        settings={},
        sealed_credentials=b"",
        credential_references={},
        event_types=(),
        variables={},
        disabled=False,
        paused_reason=None,
        transformation=None,
        **scope,
    )


@pytest.mark.parametrize(
    ("scope", "account", "taken"),
    [
        ({}, SenderAccount(), True),
        ({"mode": Mode.LIVE}, LIVE, True),
        ({"mode": Mode.TEST}, LIVE, False),
        ({"mode": Mode.LIVE}, SenderAccount(), False),
        ({"business_ids": ("bus_0", "bus_1")}, LIVE, True),
        ({"business_ids": ("bus_0",)}, LIVE, False),
        ({"business_ids": ("bus_1",)}, SenderAccount(), False),
        ({"brand_ids": ("brnd_1",)}, LIVE, True),
        ({"brand_ids": ("brnd_1",)}, SenderAccount(mode="live", business_id="bus_1"), False),
        ({"business_ids": ("bus_1",), "brand_ids": ("brnd_2",)}, LIVE, False),
    ],
)
def test_what_is_not_known_is_outside_of_every_limit(scope, account, taken):
    limited = endpoint(**scope)
    assert takes(limited, account) is taken
    found = Subscriptions([limited]).of("app", "payment.succeeded", (), account)
    assert found == ((1,) if taken else ())
    assert Subscriptions([limited]).of("app", "payment.succeeded", ()) == (1,)


async def state_mode(it, mode: Mode | None, **more) -> None:
    (source,) = (await it.store.snapshot()).sources
    await state_mode_of(it, source, mode, **more)


async def state_mode_of(it, source: Source, mode: Mode | None, **more) -> None:
    await it.store.change([PutSource(source=msgspec.structs.replace(source, mode=mode, **more))])
    await it.worker._configuration.refresh()


async def limit(it, **scope) -> None:
    (known,) = (await it.store.snapshot()).endpoints
    await it.store.change([msgspec.structs.replace(unchanged(known), **scope)])
    await it.worker._configuration.refresh()


@pytest.mark.parametrize("database", STORES)
async def test_modes_and_scopes_are_stored(tmp_path, database):
    async with world(tmp_path, database=database) as it:
        await state_mode(it, Mode.TEST, history_complete_since_ms=5)
        await limit(it, mode=Mode.TEST, business_ids=("bus_1",), brand_ids=("brnd_1", "brnd_2"))
        found = await it.store.snapshot()
        (source,), (limited,) = found.sources, found.endpoints
        assert (source.mode, source.history_complete_since_ms) == (Mode.TEST, 5)
        assert (limited.mode, limited.business_ids) == (Mode.TEST, ("bus_1",))
        assert limited.brand_ids == ("brnd_1", "brnd_2")


@pytest.mark.parametrize("database", STORES)
async def test_stating_the_mode_restates_what_was_stored_before(tmp_path, database):
    async with world(tmp_path, database=database) as it:
        (source,) = it.snapshot.sources
        new = stated_message("evt_1", body_of("payment.succeeded", 1, payment_id="pay_1", customer=ADA), endpoints=())
        await it.store.append(msgspec.structs.replace(new, app_id=source.app_id, source_id=source.id))
        work = Ledger(store=it.store, configuration=it.worker._configuration, clock=it.clock)
        await state_mode(it, None)
        assert await work.step() is None
        await state_mode(it, Mode.LIVE)
        while await work.step() is not None:
            pass
        keys = {mode: f"dodo-payments/{mode}/payment/pay_1" for mode in ("", "live", "test")}
        found = await it.store.facts(source.app_id, list(keys.values()))
        assert found.keys() & set(keys.values()) == {keys[""], keys["live"]}
        await state_mode(it, Mode.LIVE)
        assert await work.step() is None


@pytest.mark.parametrize("database", STORES)
async def test_messages_of_a_deleted_source_keep_its_mode(tmp_path, database):
    async with world(tmp_path, database=database) as it:
        (source,) = it.snapshot.sources
        live = msgspec.structs.replace(source, id="src_live", name="live", token="live", mode=Mode.LIVE)
        await it.store.change([PutSource(source=live)])
        await state_mode_of(it, source, Mode.TEST)
        new = stated_message("evt_1", body_of("payment.succeeded", 1, payment_id="pay_1"), endpoints=())
        new = msgspec.structs.replace(new, app_id=source.app_id, source_id=source.id)
        await it.store.change([RemoveSource(source_id=source.id)])
        await it.worker._configuration.refresh()
        assert it.worker._configuration.mode_of(new) == "test"


@pytest.mark.parametrize("database", STORES)
async def test_totals_are_unknown_until_stored_messages_are_restated(tmp_path, database):
    async with world(tmp_path, database=database) as it:
        (source,) = it.snapshot.sources
        work = Ledger(store=it.store, configuration=it.worker._configuration, clock=it.clock)
        data = {"customer": ADA, "status": "succeeded", "total_amount": 5, "currency": "EUR", "created_at": BEGAN}
        for number in (1, 2):
            body = body_of("payment.succeeded", 2 + number, payment_id=f"pay_{number}", **data)
            new = stated_message(f"evt_{number}", body, endpoints=())
            new = msgspec.structs.replace(new, app_id=source.app_id, source_id=source.id)
            await it.store.append(new)
        await state_mode(it, Mode.LIVE, history_complete_since_ms=1)
        ledgers = Ledgers(it.store, it.worker._configuration)
        (target,) = it.worker._configuration.endpoints.values()
        stored = await it.store.messages_to_state(await it.store.rebuild(), limit=9, max_bytes=9_999)
        subject = Subject(message=stored[-1], customer=Customer(key="cus_1"))
        (during,) = await ledgers.views(target, [subject])
        assert (during.customer.payments, during.facts[0].is_first_payment) == (None, None)
        while await work.step() is not None:
            pass
        (after,) = await ledgers.views(target, [subject])
        assert (after.customer.payments, after.customer.is_first_payment) == (2, False)


async def test_messages_of_a_process_with_the_mode_before_are_restated_too(tmp_path):
    async with world(tmp_path) as it:
        (source,) = it.snapshot.sources
        work = Ledger(store=it.store, configuration=it.worker._configuration, clock=it.clock)
        for number in (1, 2):
            body = body_of("payment.succeeded", 1, payment_id=f"pay_{number}", customer=ADA)
            new = stated_message(f"evt_{number}", body, endpoints=())
            await it.store.append(msgspec.structs.replace(new, app_id=source.app_id, source_id=source.id))
            if number == 1:
                await state_mode(it, Mode.LIVE)
                assert await work.settles()
        assert not await work.settles()
        while await work.step() is not None:
            assert not await work.settles()
        keys = [f"dodo-payments/live/payment/pay_{number}" for number in (1, 2)]
        assert (await it.store.facts(source.app_id, keys)).keys() >= set(keys)


@pytest.mark.parametrize("database", STORES)
async def test_what_waits_for_an_identity_waits_under_the_new_mode(tmp_path, database):
    async with world(tmp_path, database=database) as it:
        await it.change_endpoint(settings={"keep_profile": False, "identify_by": "email"})
        message_id = await it.accept("early", "cus_1")
        await it.next_recorded()
        assert (await it.delivery(message_id)).state is DeliveryState.CANCELED
        await state_mode(it, Mode.LIVE)
        (source,) = it.snapshot.sources
        body = body_of("payment.succeeded", 1, payment_id="pay_1", customer=ADA)
        new = stated_message("evt_late", body, endpoints=(), mode="live")
        await it.store.append(msgspec.structs.replace(new, app_id=source.app_id, source_id=source.id))
        await it.move(60_000)
        assert [item["identifiers"] for item in await it.network.sent.get()] == [{"email": ADA["email"]}]


@pytest.mark.parametrize("scope", [{"mode": Mode.TEST}, {"business_ids": ("bus_2",)}, {"brand_ids": ("brnd_1",)}])
async def test_a_delivery_outside_of_the_scope_is_canceled_with_the_reason(tmp_path, scope):
    async with world(tmp_path) as it:
        await state_mode(it, Mode.LIVE)
        await limit(it, **scope)
        message_id = await it.accept("one")
        await it.next_recorded()
        delivery = await it.delivery(message_id)
        assert (delivery.state, delivery.reason.code) == (DeliveryState.CANCELED, "outside_scope")
        assert it.network.sent.empty()


TOTALS = """function handler(webhook) {
  webhook.payload = [nicobar.event("seen", {totals: webhook.customer.totals, payments: webhook.customer.payments})];
  return webhook;
}"""


@pytest.mark.parametrize(
    ("scope", "since_ms", "paid"),
    [
        ({}, 1, {"EUR": 700}),
        ({"brand_ids": ("brnd_1",)}, 1, {"EUR": 300}),
        ({"business_ids": ("bus_2",)}, 1, {"EUR": 400}),
        ({}, None, None),
        ({}, 3, None),
    ],
    ids=["all", "a brand", "a business", "history unknown", "older than the history"],
)
async def test_totals_are_of_the_mode_the_scope_and_a_known_history(tmp_path, scope, since_ms, paid):
    async with world(tmp_path, handler=TOTALS) as it:
        await state_mode(it, Mode.LIVE, history_complete_since_ms=since_ms)
        (source,) = it.snapshot.sources
        for number, (mode, business, brand, amount) in enumerate(
            (("live", "bus_1", "brnd_1", 300), ("live", "bus_2", "brnd_2", 400), ("test", "bus_1", "brnd_1", 5))
        ):
            data = {"payment_id": f"pay_{number}", "status": "succeeded", "total_amount": amount, "currency": "EUR"}
            body = body_of("payment.succeeded", 2, customer_id="cus_a", brand_id=brand, created_at=BEGAN, **data)
            body = msgspec.json.encode(msgspec.json.decode(body) | {"business_id": business})
            await it.store.put_facts(source.app_id, stated_message(f"evt_{number}", body, mode=mode).facts)
        await limit(it, **scope)
        business = (scope.get("business_ids") or ("bus_1",))[0]
        data = {"customer": {"customer_id": "cus_a"}, "brand_id": "brnd_1"}
        body = msgspec.json.encode({"type": "a.b", "business_id": business, "data": data})
        seqs = (it.snapshot.endpoints[0].seq,)
        new = stated_message("evt_now", body, endpoints=seqs, mode="live", accepted_at_ms=it.clock.now_ms())
        await it.store.append(msgspec.structs.replace(new, app_id=source.app_id, source_id=source.id))
        it.worker.wake(seqs)
        await it.next_recorded()
        assert (await it.attempts(new.id))[-1].reason is None
        (event,) = await it.network.sent.get()
        seen = event["attributes"]["totals"]
        assert (seen and {total["currency"]: total["paid"] for total in seen}) == paid


async def test_a_mode_that_no_source_has_is_named(tmp_path):
    async with world(tmp_path) as it:
        await limit(it, mode=Mode.LIVE)
        for stated, is_idle in ((None, True), (Mode.TEST, True), (Mode.LIVE, False)):
            await state_mode(it, stated)
            found = await it.store.snapshot()
            why = idle_mode(found, found.endpoints[0])
            assert (why is not None) is is_idle
            assert why is None or "mode live" in why.detail


def test_ids_are_separated_by_commas_and_lines():
    assert read_ids(" bus_1,bus_2\r\nbus_1 ") == ("bus_1", "bus_2")
    assert read_ids(" ") == ()
    assert (read_mode(""), read_mode("test")) == (None, Mode.TEST)
    with pytest.raises(UserError, match="Unknown mode"):
        read_mode("sandbox")
