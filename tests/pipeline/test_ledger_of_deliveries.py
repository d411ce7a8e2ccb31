"""What a handler reads of the ledger in deliveries, and what is stored of it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import msgspec
import pytest

from nicobar.facts import StatedFact
from nicobar.model import DeliveryState, Mode
from nicobar.store import PutSource
from nicobar.use_cases.customer_ledger import customer_ledgers
from nicobar.use_cases.dry_run_messages import run_messages
from support.patience import PATIENCE_S
from support.shared import SANDBOX
from support.stated import body_of, rule, stated_message
from support.store import STORES
from support.worker import OK, VAULT, another_worker, status, world

ADA = {"customer_id": "cus_1", "email": "ada@northpine.example", "name": "Ada Lind"}
SAME = {"customer_id": "cus_2", "email": "Ada@northpine.example", "name": "Ada L."}
PHONE = "+12065550143"
BY_EMAIL = {"keep_profile": False, "identify_by": "email"}
READS = """function handler(w) {
  const {customer, facts} = w;
  console.log(customer.email);
  w.payload = [nicobar.event(w.payload.data.name, {
    ids: customer.ids, status: customer.status, plans: customer.subscriptions.map((one) => one.id),
    stated: facts.map((fact) => fact.id),
  })];
  return w;
}"""


async def accept(it, name: str, customer: dict[str, str], *, at_ms: int | None = None, **data: object) -> str:
    (endpoint,), (source,) = it.snapshot.endpoints, it.snapshot.sources
    new = stated_message(
        f"evt_{name}",
        body_of("payment.succeeded", at_ms or it.clock.now_ms(), name=name, customer=customer, **data),
        message_id=it.ids.new("msg"),
        app_id=endpoint.app_id,
        source_id=source.id,
        endpoints=(endpoint.seq,),
        rules={endpoint.seq: rule("email")},
        accepted_at_ms=it.clock.now_ms(),
    )
    appended = await it.store.append(new)
    it.worker.wake(new.endpoint_seqs)
    return appended.message_id


def subscription(of: str, customer_key: str = "cus_1", at: int = 1, mode: str = "", **fields: object) -> StatedFact:
    place = f"{at:012x}{at:012x}0301 evt_{of} 00000000"
    return StatedFact(
        key=f"dodo-payments/{mode}/subscription/{of}",
        occurred_at_ms=at,
        content=msgspec.json.encode({place: {"customer_id": customer_key, **fields}}).decode(),
        customer_key=customer_key,
    )


async def put(it, *facts: StatedFact) -> None:
    (endpoint,) = it.snapshot.endpoints
    await it.store.put_facts(endpoint.app_id, facts)


async def sent(it) -> list[dict[str, object]]:
    async with asyncio.timeout(PATIENCE_S):
        return [item["attributes"] for item in await it.network.sent.get() if item["action"] == "event"]


@pytest.mark.parametrize("database", STORES)
async def test_handler_reads_all_customers_who_are_its_person(tmp_path, database):
    async with world(tmp_path, database=database, handler=READS) as it:
        await it.change_endpoint(settings=BY_EMAIL)
        await put(
            it, subscription("sub_1", "cus_1", status="active"), subscription("sub_2", "cus_2", status="paused")
        )
        await accept(it, "first", SAME, payment_id="pay_1")
        await it.next_recorded()
        await sent(it)
        message_id = await accept(it, "second", ADA, payment_id="pay_2")
        await it.next_recorded()
        (attributes,) = await sent(it)
        (attempt,) = await it.attempts(message_id)
    assert (attributes["ids"], attributes["status"]) == (["cus_1", "cus_2"], "active")
    assert (attributes["plans"], attributes["stated"]) == (["sub_1", "sub_2"], ["cus_1", "pay_2"])
    kept = msgspec.json.decode(attempt.snapshot)
    assert kept["customer"]["ids"] == ["cus_1", "cus_2"]
    assert [fact["id"] for fact in kept["facts"]] == ["cus_1", "pay_2"]


async def test_ledger_is_read_in_the_order_of_the_person(tmp_path):
    async with world(tmp_path, handler=READS) as it:
        await put(it, subscription("sub_1", status="active", at=1))
        it.network.answer = lambda _items: status(503)
        first = await accept(it, "first", ADA)
        await it.next_recorded()
        second = await accept(it, "second", ADA)
        # Known before the second one's turn.
        await put(it, subscription("sub_1", status="on_hold", at=2))
        it.network.answer = lambda _items: OK
        while not it.network.sent.empty():
            it.network.sent.get_nowait()
        await it.move(6_000)
        attributes = await sent(it)
        await it.next_recorded()
        if len(attributes) == 1:
            attributes += await sent(it)
        await it.next_recorded()
        statuses = [
            msgspec.json.decode(attempt.snapshot)["customer"]["status"]
            for message_id in (first, second)
            for attempt in await it.attempts(message_id)
        ]
    # What had left is repeated; what follows it has the newest state.
    assert [item["status"] for item in attributes] == ["active", "on_hold"]
    assert statuses == ["active", "active", "on_hold"]


async def test_repeated_attempt_keeps_its_snapshot_in_another_process(tmp_path):
    async with world(tmp_path, handler=READS) as it:
        await put(it, subscription("sub_1", status="active"))
        it.network.answer = lambda _items: status(503)
        message_id = await accept(it, "first", ADA)
        await it.next_recorded()
        await put(it, subscription("sub_1", status="expired", at=2))
        async with another_worker(it) as again:
            await again.move(6_000)
            assert (await again.next_recorded()).attempt.state is DeliveryState.SUCCESS
            failed, repeated = await again.attempts(message_id)
    assert failed.snapshot == repeated.snapshot != ""


async def test_resend_reads_the_ledger_again(tmp_path):
    async with world(tmp_path, handler=READS) as it:
        await put(it, subscription("sub_1", status="active"))
        message_id = await accept(it, "first", ADA)
        await it.next_recorded()
        await put(it, subscription("sub_1", status="expired", at=2))
        (endpoint,) = it.snapshot.endpoints
        await it.store.resend(message_id, endpoint.id, now_ms=it.clock.now_ms(), new_ids=False)
        it.worker.wake((endpoint.seq,))
        await it.next_recorded()
        attempts = await it.attempts(message_id)
    statuses = [msgspec.json.decode(attempt.snapshot)["customer"]["status"] for attempt in attempts]
    assert statuses == ["active", "expired"]


async def test_attempt_without_need_keeps_no_snapshot(tmp_path):
    async with world(tmp_path) as it:
        await put(it, subscription("sub_1", status="active"))
        message_id = await accept(it, "first", ADA)
        await it.next_recorded()
        (attempt,) = await it.attempts(message_id)
    assert attempt.snapshot == ""


async def test_personal_data_of_the_ledger_is_masked_in_attempts(tmp_path):
    code = """function handler(w) {
      const {phone} = w.customer.subscriptions[0].scheduled_change;
      console.log("dial", phone); w.payload = [nicobar.event("paid", {tel: phone})]; return w; }"""
    async with world(tmp_path, handler=code) as it:
        await put(it, subscription("sub_1", status="active", scheduled_change={"phone": PHONE}))
        message_id = await accept(it, "first", ADA)
        (attributes,) = await sent(it)
        await it.next_recorded()
        (attempt,) = await it.attempts(message_id)
    assert attributes["tel"] == PHONE
    assert attempt.console == ("dial ***",)
    assert PHONE not in repr(attempt)


@pytest.mark.parametrize("database", STORES)
async def test_deleted_customer_is_masked_in_snapshots_of_others(tmp_path, database):
    async with world(tmp_path, database=database, handler=READS) as it:
        await it.change_endpoint(settings=BY_EMAIL)
        await put(it, subscription("sub_of_ada", status="active"))
        await accept(it, "first", ADA)
        await it.next_recorded()
        message_id = await accept(it, "second", SAME)
        await it.next_recorded()
        (before,) = await it.attempts(message_id)
        (endpoint,) = it.snapshot.endpoints
        await it.store.expunge_customer(endpoint.app_id, "cus_1", now_ms=1, limit=10)
        await it.store.hide_values(endpoint.app_id, ["cus_1", "sub_of_ada"], now_ms=1)
        (after,) = await it.attempts(message_id)
    assert "sub_of_ada" in before.snapshot
    assert [value for value in ("cus_1", "sub_of_ada") if value in after.snapshot] == []
    assert msgspec.json.decode(after.snapshot)["customer"]["ids"] == ["***", "cus_2"]


async def test_deleted_message_has_no_snapshot(tmp_path):
    async with world(tmp_path, handler=READS) as it:
        await put(it, subscription("sub_1", status="active"))
        message_id = await accept(it, "first", ADA)
        await it.next_recorded()
        await it.store.expunge_message(message_id, now_ms=1)
        (attempt,) = await it.attempts(message_id)
    assert attempt.snapshot == ""


@pytest.mark.parametrize("settings", [{"keep_profile": False}, BY_EMAIL], ids=["no rule", "email"])
async def test_delivery_dry_run_and_customer_page_read_the_same(tmp_path, settings):
    async with world(tmp_path, handler=READS) as it:
        await it.change_endpoint(settings=settings)
        await put(it, subscription("sub_1", status="active"), subscription("sub_2", "cus_2", status="paused"))
        for name, customer in (("first", SAME), ("second", ADA)):
            message_id = await accept(it, name, customer, payment_id=f"pay_{name}")
            await it.next_recorded()
        (attempt,) = await it.attempts(message_id)
        configuration = it.worker._configuration
        services = SimpleNamespace(
            store=it.store, configuration=configuration, vault=VAULT, sandbox=await SANDBOX.get(), clock=it.clock
        )
        (target,) = configuration.endpoints.values()
        dry_runs = await run_messages(services, target.endpoint, messages=1)
        (page,) = await customer_ledgers(services, target, target.endpoint.app_id, "cus_1")
    kept = msgspec.json.decode(attempt.snapshot)
    assert dry_runs.results[0].snapshot == attempt.snapshot
    assert msgspec.json.decode(msgspec.json.encode(page.snapshot)) == kept["customer"]
    assert len(kept["customer"]["ids"]) == (2 if settings is BY_EMAIL else 1)


async def test_ledger_is_that_of_the_mode_and_history_of_its_source(tmp_path):
    async with world(tmp_path, handler=READS) as it:
        live = [subscription("sub_live", at=5, mode="live", status="active")]
        await put(it, *live, subscription("sub_test", mode="test", status="paused"), subscription("sub_old"))
        (source,) = it.snapshot.sources
        seen = []
        for number, since_ms in enumerate((None, 5, 6)):
            stated = msgspec.structs.replace(source, mode=Mode.LIVE, history_complete_since_ms=since_ms)
            await it.store.change([PutSource(source=stated)])
            await it.worker._configuration.refresh()
            await accept(it, f"event_{number}", ADA)
            recorded = await it.next_recorded()
            customer = msgspec.json.decode(recorded.attempt.snapshot)["customer"]
            seen.append(([one["id"] for one in customer["subscriptions"]], customer["history_complete"]))
    assert seen == [(["sub_live"], False), (["sub_live"], True), (["sub_live"], False)]


async def test_address_and_name_are_the_newest_of_the_person_in_any_order(tmp_path):
    async with world(tmp_path, handler=READS) as it:
        await it.change_endpoint(settings=BY_EMAIL)
        read = []
        for at, customer in ((3, SAME), (2, ADA), (1, SAME | {"email": "ADA@northpine.example", "name": "A."})):
            await accept(it, f"event_{at}", customer, at_ms=at)
            recorded = await it.next_recorded()
            read.append(msgspec.json.decode(recorded.attempt.snapshot)["customer"])
    assert {(one["email"], one["name"], one["identity"]["value"]) for one in read} == {
        (SAME["email"], SAME["name"], ADA["email"])
    }
