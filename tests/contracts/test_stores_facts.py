"""What stores remember of events, and the order of deliveries that depends on it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint
from nicobar import facts
from nicobar.clock import utc_time
from nicobar.errors import LeaseLost
from nicobar.model import DeliveryState
from nicobar.reasons import reason
from nicobar.store import NewTask, RemoveApplication, RemoveEndpoint, ReplayFilter, Resent, TaskKind, TaskStatus
from nicobar.store.facts import Identified
from support.stated import ACCEPTED_MS, SOURCE, body_of, rule, stated_message
from support.store import run_sql

CUSTOMER, PAYMENT = "dodo-payments//customer/cus_1", "dodo-payments//payment/pay_1"
NOW_MS = 2_000_000_000_000
BY_EMAIL = {1: rule("email")}


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1"), await endpoint(store, "ep_2")])
    return store


def payment(
    event_id,
    at_ms=1,
    *,
    customer_id="cus_1",
    email=None,
    payment_id="pay_1",
    endpoints=(1,),
    rules=None,
    accepted_at_ms=ACCEPTED_MS,
    **data,
):
    customer = {"customer_id": customer_id, "email": email, "name": "Ada"}
    body = body_of("payment.succeeded", at_ms, payment_id=payment_id, customer=customer, **data)
    return stated_message(event_id, body, endpoints=endpoints, rules=rules, accepted_at_ms=accepted_at_ms)


def dispute(event_id="evt_dispute", at_ms=9, **known):
    return stated_message(event_id, body_of("dispute.opened", at_ms, dispute_id="dp_1", payment_id="pay_1"), **known)


def announced(at_ms, ends_ms):
    """The end of a subscription is announced, or undone."""
    ends = {
        "next_billing_date": utc_time(ends_ms or 1).isoformat(),
        "cancel_at_next_billing_date": ends_ms is not None,
    }
    change = {"id": f"chg_{at_ms}", "product_id": "pdt_2"} if at_ms % 2 else None
    body = body_of(
        "subscription.updated",
        at_ms,
        customer={"customer_id": "cus_1"},
        subscription_id="sub_1",
        status="active",
        scheduled_change=change,
        **ends,
    )
    return stated_message(f"evt_announced_{at_ms}", body)


async def values(store, key):
    return (await store.facts("app", [key]))[key].values


async def test_null_and_lists_are_kept_and_what_is_final_stays(store):
    """As the merge in Python does it."""
    change = {"id": "spc_1", "product_id": "pdt_1", "quantity": 1}
    said = [
        payment("evt_1", 1, status="processing", tax=None, product_cart=[{"product_id": "pdt_1", "quantity": 2}]),
        payment("evt_2", 3, status="failed", tax=7, product_cart=None),
        payment("evt_3", 2, status="succeeded", tax=254),
        *(
            stated_message(f"evt_{at}", body_of("subscription.updated", at, subscription_id="sub_1", **of))
            for at, of in ((4, {"scheduled_change": change}), (6, {"scheduled_change": None}), (5, {"addons": []}))
        ),
    ]
    expected = {fact.key: fact for fact in facts.merged_facts(fact for new in said for fact in new.facts)}
    for number, order in enumerate((said, said[::-1], [*said[2:], *said])):
        for at, new in enumerate(order):
            own = msgspec.structs.replace(new, app_id=f"app_{number}", id=f"msg_{number}_{at}", event_id=f"e_{at}")
            await store.append(own)
        found = await store.facts(f"app_{number}", list(expected))
        assert {key: fact.values for key, fact in found.items()} == {
            key: facts.values_of(fact.content) for key, fact in expected.items()
        }
        assert found[PAYMENT].values["status"][0] == "succeeded"
        assert found["dodo-payments//subscription/sub_1"].values["scheduled_change"][0] is None


async def test_any_order_of_arrival_leaves_the_same_rows(store):
    said = [
        payment(f"evt_{at}", at, email=email, metadata={"user_id": user, "n": number, f"key_{at}": at})
        for at, email, user, number in (
            (1, "a@b.example", "u_1", 1),
            (2, "c@d.example", "u_2", 1.0),
            (3, "a@b.example", "é 한", True),
            (4, None, "u_2", 12345678901234567890123),
        )
    ]
    said += [dispute(), stated_message("evt_thin", body_of("credit.added", 20, customer_id="cus_1"))]
    said += [announced(at, ends) for at, ends in ((5, 9), (6, 10), (7, 11), (8, 9), (9, 100), (10, 12), (11, None))]
    expected = facts.merged_facts(fact for new in said for fact in new.facts)
    orders = (said, said[::-1], [*said[3:], *said[:3]], [said[1], said[3], said[0], *said[2:], said[1]])
    for number, order in enumerate(orders):
        app_id = f"app_{number}"
        for new in order:
            await store.put_facts(app_id, new.facts)
        known = await store.facts(app_id, [fact.key for fact in expected])
        assert known == {fact.key: facts.known_fact(fact) for fact in expected}


async def test_the_newest_metadata_is_kept_within_the_bound(store):
    said = [
        payment(f"evt_{at}", at, metadata={f"key_{at:03}": at}).facts for at in range(facts.MAX_METADATA_KEYS + 3)
    ]
    for new in reversed(said):
        await store.put_facts("app", new)
    assert (
        await values(store, CUSTOMER)
        == facts.known_fact(
            next(fact for fact in facts.merged_facts(fact for new in said for fact in new) if fact.key == CUSTOMER)
        ).values
    )


async def test_a_dispute_belongs_to_the_customer_of_its_payment(store):
    await store.append(payment("evt_1"))
    await store.append(dispute())
    assert (await store.message("msg_evt_dispute")).customer_key == "cus_1"
    first, second = await claim(store, now_ms=NOW_MS), await claim(store, now_ms=NOW_MS)
    assert [item.message.id for item in first] == ["msg_evt_1"]
    assert second == []  # behind the payment


async def test_two_customers_with_one_address_are_one_person(store):
    await store.append(payment("evt_1", customer_id="cus_1", email="Ada@B.example", rules=BY_EMAIL, endpoints=(1, 2)))
    await store.append(payment("evt_2", customer_id="cus_2", email="ada@b.example", rules=BY_EMAIL, endpoints=(1, 2)))
    (first,) = await claim(store, now_ms=NOW_MS)
    assert (first.message.id, first.order_key) == ("msg_evt_1", "ada@b.example")
    await store.record([done(first)])
    (second,) = await claim(store, now_ms=NOW_MS)
    assert second.message.id == "msg_evt_2"
    # Where no rule says otherwise, each customer is a person.
    assert [item.order_key for item in await claim(store, endpoint_seq=2, now_ms=NOW_MS)] == ["cus_1", "cus_2"]


async def test_an_event_without_an_address_waits_for_its_person(store):
    await store.append(payment("evt_1", email="ada@b.example", rules=BY_EMAIL))
    thin = body_of("dunning.started", 2, customer_id="cus_1", subscription_id="sub_1")
    await store.append(stated_message("evt_2", thin, rules=BY_EMAIL))
    (first,) = await claim(store, now_ms=NOW_MS)
    await store.record([done(first)])
    (second,) = await claim(store, now_ms=NOW_MS)
    assert second.order_key == "ada@b.example"


async def test_the_order_key_is_that_of_the_rule_at_acceptance(store):
    """A changed answer moves nothing that waits."""
    await store.append(payment("evt_1", email="ada@b.example"))
    await store.append(payment("evt_2", email="ada@b.example", rules=BY_EMAIL))
    assert [item.order_key for item in await claim(store, now_ms=NOW_MS)] == ["cus_1", "ada@b.example"]


async def test_facts_are_taken_of_another_body_but_not_of_another_source(store):
    await store.append(payment("evt_1", 1, email="a@b.example"))
    assert (await store.append(payment("evt_1", 2, email="c@d.example"))).revised
    assert (await values(store, CUSTOMER))["email"] == ["c@d.example", "a@b.example"]
    foreign = msgspec.structs.replace(payment("evt_1", 3, email="e@f.example"), source_id="other")
    assert (await store.append(foreign)).taken
    assert (await values(store, CUSTOMER))["email"] == ["c@d.example", "a@b.example"]


OBJECTS = [CUSTOMER, PAYMENT, "dodo-payments//dispute/dp_1", "dodo-payments//dispute/dp_2"]


async def erased(store, at_ms=100):
    """A customer with a payment and a dispute, who was erased at that time."""
    await store.append(payment("evt_1", email="a@b.example"))
    await store.append(dispute())
    await store.expunge_customer("app", "cus_1", now_ms=at_ms, limit=10)


@pytest.mark.parametrize("how", ["again", "another id", "another object", "other body", "rebuilt", "its payment"])
async def test_nothing_that_was_erased_is_stated_again(store, how):
    await erased(store)
    late = payment("evt_2", 99, email="a@b.example", accepted_at_ms=200)
    match how:
        case "again":
            await store.append(payment("evt_1", email="a@b.example"))
        case "another id":
            await store.append(late)
        case "another object":
            await store.append(payment("evt_3", 99, payment_id="pay_2", email="a@b.example"))
        case "other body":
            await store.append(payment("evt_9", 99, customer_id="cus_2", payment_id="pay_9"))
            assert (await store.append(payment("evt_9", 98, email="a@b.example"))).revised
        case "rebuilt":
            await store.put_facts("app", late.facts)
        case "its payment":
            await store.append(
                stated_message("evt_e", body_of("dispute.opened", 99, dispute_id="dp_2", payment_id="pay_1"))
            )
    assert await store.facts("app", [*OBJECTS, "dodo-payments//payment/pay_2"]) == {}


async def test_what_happens_after_an_erasure_is_stated(store):
    """A customer who comes back."""
    await erased(store)
    new = payment("evt_2", 101, payment_id="pay_2", email="new@b.example")
    await asyncio.gather(store.append(payment("evt_3", 99, email="a@b.example")), store.append(new))
    assert (await values(store, CUSTOMER))["email"] == ["new@b.example"]
    assert "dodo-payments//payment/pay_2" in await store.facts("app", ["dodo-payments//payment/pay_2"])


async def test_an_erased_customer_is_kept_as_hashes_only(store, tmp_path):
    await erased(store)
    kept = run_sql(tmp_path, "SELECT digest, erased_at_ms FROM erased")
    assert len(kept) == 4  # the customer, their fact, the payment, the dispute
    assert all(len(digest) == 64 and at_ms == 100 for digest, at_ms in kept)
    assert await store.tables_with(["cus_1", "pay_1", "dp_1"]) == ()
    (app,) = (await store.snapshot()).applications
    await store.change([RemoveApplication(app_id=app.id)])
    await store.forget_facts(limit=100)
    assert run_sql(tmp_path, "SELECT count(*) FROM erased") == [(0,)]


async def test_an_erased_customer_leaves_no_fact(store, tmp_path):
    await store.append(dispute())  # before its payment
    await store.append(payment("evt_1", email="a@b.example"))
    await store.append(payment("evt_2", customer_id="cus_2", payment_id="pay_2"))
    await store.expunge_customer("app", "cus_1", now_ms=NOW_MS, limit=10)
    kept = sorted(key for (key,) in run_sql(tmp_path, "SELECT key FROM facts"))
    assert kept == ["dodo-payments//customer/cus_2", "dodo-payments//payment/pay_2"]


async def test_an_erased_event_without_customer_names_no_person(store, tmp_path):
    """It found its person after it was accepted."""
    body = body_of("dispute.opened", 2, dispute_id="dp_1", payment_id="pay_erased")
    await canceled(store, body=body, awaits=("dodo-payments//payment/pay_erased",))
    assert await identify(store, await store.unidentified(1, now_ms=NOW_MS, limit=100)) == 1
    assert await store.hide_values("app", ["pay_erased"], now_ms=NOW_MS) == 1
    assert run_sql(tmp_path, "SELECT customer_key, state FROM deliveries") == [(None, "canceled")]


THIN = body_of("dunning.started", 2, customer_id="cus_1", subscription_id="sub_1")
RECENT_MS = 60_000


async def canceled(store, event_id="evt_thin", *, body=THIN, awaits=(CUSTOMER,), app_id="app"):
    """A delivery that ended because no person was identified."""
    await store.append(stated_message(event_id, body, rules=BY_EMAIL, app_id=app_id))
    (one,) = await claim(store, now_ms=NOW_MS)
    why = reason("no_identity", "Nobody is known.")
    ended = msgspec.structs.replace(done(one, DeliveryState.CANCELED, at_ms=NOW_MS), reason=why, awaits=awaits)
    assert await store.record([ended]) == 1
    return one.message


async def counted(store):
    (app,) = (await store.snapshot()).applications
    return await store.count_unidentified(app.id)


async def looked_at(store, *, now_ms=NOW_MS):
    """What is to be looked at, which is still not identified."""
    found = await store.unidentified(1, now_ms=now_ms, limit=100)
    await store.settle_unidentified(1, term=0, now_ms=now_ms, identified=(), others=found)
    return [item.message and item.message.id for item in found]


async def identify(store, found, *, order_key="ada@b.example", term=0):
    identified = [
        Identified(message_seq=item.message_seq, order_key=order_key, customer_key="cus_1") for item in found
    ]
    return await store.settle_unidentified(1, term=term, now_ms=NOW_MS, identified=identified, others=())


async def test_a_delivery_without_identity_is_looked_at_at_news_only(store):
    await canceled(store)
    assert await looked_at(store) == ["msg_evt_thin"]
    assert await looked_at(store) == []
    await store.append(payment("evt_1", customer_id="cus_2"))
    assert await looked_at(store) == []
    await store.append(payment("evt_2", email="ada@b.example"))
    assert await looked_at(store) == ["msg_evt_thin"]
    # A fact that was stated by a transaction which was open when the delivery ended tells no delivery.
    assert await looked_at(store, now_ms=NOW_MS + RECENT_MS) == ["msg_evt_thin"]
    assert await looked_at(store, now_ms=NOW_MS + 2 * RECENT_MS) == []


async def test_news_during_a_look_are_looked_at_next(store):
    await canceled(store)
    found = await store.unidentified(1, now_ms=NOW_MS, limit=100)
    await store.append(payment("evt_2", email="ada@b.example", rules=BY_EMAIL))
    await store.settle_unidentified(1, term=0, now_ms=NOW_MS, identified=(), others=found)
    assert await looked_at(store) == ["msg_evt_thin"]


async def test_an_identified_delivery_goes_out_in_its_persons_order(store):
    first, second = await canceled(store), await canceled(store, "evt_thin_2")
    await store.append(payment("evt_1", email="ada@b.example", rules=BY_EMAIL))
    found = await store.unidentified(1, now_ms=NOW_MS, limit=100)
    assert await identify(store, found) == 2
    assert await counted(store) == {}
    sent = []
    for _ in range(3):
        (one,) = await claim(store, now_ms=NOW_MS)
        sent.append(one)
        await store.record([done(one, attempt=f"atmpt_{len(sent)}")])
    assert [item.message.id for item in sent] == ["msg_evt_1", first.id, second.id]
    assert {item.order_key for item in sent} == {"ada@b.example"}
    # The later event sets what they would set back.
    assert [item.setbacks.overtaken_at_ms for item in sent] == [None, NOW_MS, NOW_MS]
    assert [(item.edition, item.replay_key, item.manual, item.attempts_used) for item in sent] == [
        (0, "", False, 0)
    ] * 3


async def test_an_identified_delivery_after_a_later_event_sets_nothing_back(store):
    await canceled(store)
    await store.append(payment("evt_1", email="ada@b.example", rules=BY_EMAIL))
    (later,) = await claim(store, now_ms=NOW_MS)
    await store.record([done(later, attempt="atmpt_2")])
    await identify(store, await store.unidentified(1, now_ms=NOW_MS, limit=100))
    (one,) = await claim(store, now_ms=NOW_MS)
    assert one.setbacks.overtaken_at_ms == NOW_MS


async def test_a_worker_without_the_lease_identifies_nothing(store):
    await canceled(store)
    with pytest.raises(LeaseLost):
        await identify(store, await store.unidentified(1, now_ms=NOW_MS, limit=100), term=7)
    assert await counted(store) == {"ep_1": 1}


async def test_a_delivery_that_a_user_sent_again_waits_no_longer(store):
    (app,) = (await store.snapshot()).applications
    await canceled(store, app_id=app.id)
    assert await store.resend("msg_evt_thin", "ep_1", now_ms=NOW_MS, new_ids=False) is Resent.QUEUED
    assert await identify(store, await store.unidentified(1, now_ms=NOW_MS, limit=100)) == 0
    assert await counted(store) == {}
    (one,) = await claim(store, now_ms=NOW_MS)
    await store.record([done(one, attempt="atmpt_2")])
    assert not await store.has_unidentified(1)


@pytest.mark.parametrize("during", ["before the look", "between look and result"])
async def test_what_was_stated_during_a_canceled_replay_is_looked_at(store, during):
    (app,) = (await store.snapshot()).applications
    await canceled(store, app_id=app.id)
    found = await store.unidentified(1, now_ms=NOW_MS, limit=100)
    which = ReplayFilter(states=(DeliveryState.CANCELED,))
    await store.add_task(
        NewTask(id="task", app_id=app.id, endpoint_seq=1, kind=TaskKind.BULK_REPLAY, filter=which, created_at_ms=1)
    )
    assert (await store.work_on_task("task", now_ms=NOW_MS, limit=10)).moved == 1
    if during == "before the look":
        said = payment("evt_2", email="ada@b.example", endpoints=())
        await store.append(msgspec.structs.replace(said, app_id=app.id))
        assert await looked_at(store) == [None]
    else:
        assert await identify(store, found) == 0
    await store.cancel_task("task", now_ms=NOW_MS)
    await store.work_on_task("task", now_ms=NOW_MS, limit=10)
    assert await looked_at(store) == ["msg_evt_thin"]


async def test_what_is_known_already_tells_nobody(store):
    await canceled(store)
    await store.append(payment("evt_1", customer_id="cus_1"))
    assert await looked_at(store) == ["msg_evt_thin"]
    await store.append(payment("evt_2", at_ms=2, customer_id="cus_1", payment_id="pay_2"))
    assert await looked_at(store) == []
    await store.append(payment("evt_3", at_ms=3, email="ada@b.example"))
    assert await looked_at(store) == ["msg_evt_thin"]


async def test_deliveries_that_wait_for_nothing_are_counted_too(store):
    (app,) = (await store.snapshot()).applications
    await canceled(store, "evt_1", body=body_of("payout.success", 2), awaits=(), app_id=app.id)
    await canceled(store, "evt_2", awaits=(CUSTOMER, PAYMENT), app_id=app.id)
    assert await counted(store) == {"ep_1": 2}


@pytest.mark.parametrize("how", ["erase", "retention", "endpoint", "application"])
async def test_nothing_waits_for_an_identity_that_is_gone(store, how):
    message = await canceled(store)
    await store.append(payment("evt_other", customer_id="cus_9", endpoints=()))  # the newest message is kept
    match how:
        case "erase":
            await store.expunge_message(message.id, now_ms=NOW_MS)
        case "retention":
            await store.forget_old(before_ms=NOW_MS, now_ms=NOW_MS, after_seq=0, limit=100)
        case "endpoint":
            await store.change([RemoveEndpoint(endpoint_id="ep_1")])
            await store.forget_facts(limit=100)
        case "application":
            (app,) = (await store.snapshot()).applications
            await store.put_facts(app.id, payment("evt_1").facts)
            await store.change([RemoveApplication(app_id=app.id)])
            await store.forget_facts(limit=100)
            assert await store.facts(app.id, [CUSTOMER]) == {}
    assert not await store.has_unidentified(1)


class People:
    """How people are identified at the first endpoint, since after its deliveries."""

    def __init__(self, identify_by):
        self._rule = rule(identify_by)

    def identity_rule(self, endpoint_seq):
        return self._rule if endpoint_seq == 1 else None

    def about(self, message):
        return facts.about(SOURCE.kind, SOURCE.read({}, message.body))


@pytest.mark.parametrize(("identify_by", "key"), [("email", "ada@b.example"), ("metadata.user", "42")])
async def test_what_is_sent_again_is_ordered_by_its_person(store, identify_by, key):
    (app,) = (await store.snapshot()).applications
    full = body_of(
        "payment.succeeded", 1, customer={"customer_id": "cus_1", "email": "Ada@b.example"}, metadata={"user": 42}
    )
    for event_id, body in (("evt_1", full), ("evt_2", THIN)):
        await store.append(stated_message(event_id, body, endpoints=(1, 2), app_id=app.id))
    for number, endpoint_seq in enumerate((1, 1, 2, 2)):
        (one,) = await claim(store, endpoint_seq=endpoint_seq, now_ms=NOW_MS)
        await store.record([done(one, attempt=f"atmpt_{number}")])
    people = People(identify_by)
    for endpoint_id in ("ep_1", "ep_2"):
        await store.resend("msg_evt_2", endpoint_id, now_ms=NOW_MS, new_ids=False, people=people)
    which = ReplayFilter(states=(DeliveryState.SUCCESS,))
    await store.add_task(
        NewTask(id="task", app_id=app.id, endpoint_seq=1, kind=TaskKind.BULK_REPLAY, filter=which, created_at_ms=1)
    )
    await store.work_on_task("task", now_ms=NOW_MS, limit=10, people=people)
    (first,) = await claim(store, now_ms=NOW_MS)
    assert (first.message.id, first.order_key) == ("msg_evt_2", key)
    await store.record([done(first, attempt="atmpt_9")])
    (second,) = await claim(store, now_ms=NOW_MS)
    assert (second.message.id, second.order_key) == ("msg_evt_1", key)
    assert [item.order_key for item in await claim(store, endpoint_seq=2, now_ms=NOW_MS)] == ["cus_1"]


async def test_a_purge_of_all_payloads_leaves_no_older_fact(store):
    (app,) = (await store.snapshot()).applications
    for number in range(5):
        said = payment(f"evt_{number}", number, customer_id=f"cus_{number}", payment_id=f"pay_{number}", endpoints=())
        await store.append(msgspec.structs.replace(said, app_id=app.id))
    await store.put_facts(app.id, payment("evt_9", 9).facts)
    await store.add_task(NewTask(id="task", app_id=app.id, kind=TaskKind.PURGE, created_at_ms=8))
    steps = 1
    while (await store.work_on_task("task", now_ms=NOW_MS, limit=2)).status is TaskStatus.RUNNING:
        steps += 1
    assert steps >= 5
    keys = [f"dodo-payments//customer/cus_{number}" for number in range(5)]
    assert list(await store.facts(app.id, keys)) == [CUSTOMER]


async def test_what_an_older_version_accepted_is_read_after_it_left(store, tmp_path):
    """A worker of version 14 states facts without the normal form."""
    await store.append(stated_message("evt_1", body_of("payment.succeeded", 1, payment_id="pay_1")))
    at = await store.begin_rebuild()
    await store.move_rebuild(at, after_seq=at.until_seq, messages=1, now_ms=5)
    await store.add_worker("new", alone=False)
    run_sql(tmp_path, "INSERT INTO workers (id, beat) VALUES ('old', 1)")
    await store.append(stated_message("evt_2", body_of("payment.succeeded", 2, payment_id="pay_2")))
    await store.remove_worker("new")
    assert (await store.rebuild()).ended_at_ms == 5
    await store.remove_worker("old")
    again = await store.rebuild()
    assert (again.ended_at_ms, again.until_seq) == (None, at.until_seq + 1)
    left = await store.messages_to_state(again, limit=9, max_bytes=9_999)
    assert left[-1].event_id == "evt_2"
