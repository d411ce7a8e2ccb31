"""Which events recipes send, by what the event and the ledger say. The ledger is written by hand."""

from __future__ import annotations

import pytest

from nicobar.model import Json
from recipes.by_hand import DAY_MS, NOW_MS, Fields, Made, customer, fact, made

PAID: Fields = {
    "status": "succeeded",
    "amount": 5450,
    "currency": "USD",
    "subscription_ids": ["sub_1"],
    "charge_type": "renewal",
    "retry_attempt": 0,
    "is_card_update": False,
    "created_at": NOW_MS,
    "invoice_url": "https://shop.example/invoice",
}
FAILED = PAID | {"status": "failed", "failure_kind": "soft", "failure_reason": "insufficient_funds"}
PLAN: Fields = {
    "status": "active",
    "product_id": "pdt_1",
    "product_name": "Pro",
    "quantity": 1,
    "has_addons": False,
    "price": 8700,
    "currency": "USD",
    "interval": "month",
    "interval_count": 3,
    "started_at": NOW_MS,
    "trial_ends_at": None,
    "period_start": NOW_MS,
    "period_end": NOW_MS + 90 * DAY_MS,
    "cancel_at": None,
    "scheduled_change": None,
}


def one(status: str = "active", **values: Json) -> Fields:
    """A customer with one subscription."""
    return customer(status=status, subscriptions=[{"id": "sub_1"} | PLAN | {"status": status} | values])


async def paid(
    fields: Fields = PAID, *, about: Fields | None = None, recipe: str = "journeys", **known: Json
) -> Made:
    return await made(recipe, "payment.succeeded", [fact("payment", "pay_1", fields, **known)], about=about)


async def failed(fields: Fields = FAILED, *, about: Fields | None = None, **known: Json) -> Made:
    facts = [fact("payment", "pay_1", fields, **{"attempt": 1} | known)]
    return await made("journeys", "payment.failed", facts, about=about)


async def changed(what: str, fields: Fields, *, about: Fields | None = None, **known: Json) -> Made:
    facts = [fact("subscription", "sub_1", PLAN | fields, **{"period": "first"} | known)]
    return await made("journeys", f"subscription.{what}", facts, about=about)


async def test_payment_has_money_as_number_units_and_text():
    result = await paid(payment_number=3, is_first_payment=False)
    assert result.events["payment_succeeded"] == {
        "payment_id": "pay_1",
        "subscription_id": "sub_1",
        "amount": 54.5,
        "amount_minor": 5450,
        "amount_text": "54.50",
        "currency": "USD",
        "charge_type": "renewal",
        "payment_number": 3,
        "is_first_payment": False,
        "product_name": None,
        "invoice_url": "https://shop.example/invoice",
    }
    assert result.keys == {"payment_succeeded": "payment/pay_1/succeeded"}
    for currency, units, text in (("JPY", 4980, "4980"), ("KWD", 12345, "12.345")):
        result = await paid(PAID | {"amount": units, "currency": currency})
        assert result.events["payment_succeeded"]["amount_text"] == text


@pytest.mark.parametrize(
    "fields",
    [{"amount": 0}, {"amount": None}, {"is_card_update": True}, {"status": "processing"}, {"status": "unknown"}],
    ids=str,
)
async def test_what_is_no_counted_payment_is_no_event(fields):
    assert not (await paid(PAID | fields, is_first_payment=True, recovered_after=2)).events


async def test_without_history_no_payment_is_the_first():
    for recipe in ("journeys", "welcome"):
        unknown = await paid(recipe=recipe)
        assert "first_payment_succeeded" not in unknown.events
        first = await paid(recipe=recipe, payment_number=1, is_first_payment=True)
        assert first.events["first_payment_succeeded"]["payment_number"] == 1
        assert first.keys["first_payment_succeeded"] == "first_payment"
    fields = (await paid()).events["payment_succeeded"]
    assert not {"payment_number", "is_first_payment"} & fields.keys()
    assert "history_complete_since" in (await paid(recipe="welcome")).console[0]


async def test_welcome_sets_nothing_that_changes_later():
    first = await paid(recipe="welcome", payment_number=1, is_first_payment=True)
    assert first.attributes.keys() <= {"email", "name", "dodo_customer_id"}


async def test_two_senders_customers_have_one_first_payment():
    several = customer(ids=["cus_1", "cus_2"], payments=2)
    for last, is_sent in ((NOW_MS - 1, False), (NOW_MS + 1, True)):
        result = await paid(about=several | {"last_payment_at": last}, is_first_payment=True)
        assert ("first_payment_succeeded" in result.events) is is_sent


async def test_failed_payment_has_attempt_and_reason_in_words():
    result = await failed(attempt=3, about=one("past_due"))
    assert result.events == {
        "payment_failed": {
            "payment_id": "pay_1",
            "subscription_id": "sub_1",
            "amount": 54.5,
            "amount_minor": 5450,
            "amount_text": "54.50",
            "currency": "USD",
            "attempt": 3,
            "is_retry": True,
            "failure_kind": "soft",
            "failure_reason": "insufficient_funds",
            "product_name": "Pro",
            "manage_url": "https://customer.dodopayments.com/login/bus_1",
        }
    }
    assert result.keys == {"payment_failed": "payment/pay_1/failed"}
    assert (await failed(FAILED | {"retry_attempt": 4})).events["payment_failed"]["attempt"] == 5


async def test_failure_that_no_longer_matters_is_no_event():
    assert not (await failed(is_current=False)).events
    assert not (await failed(PAID)).events, "the payload is newer than the event type"


async def test_success_after_failures_is_a_recovery():
    result = await paid(recovered_after=2)
    assert result.events["payment_recovered"]["recovered_after_attempts"] == 2
    assert result.keys["payment_recovered"] == "payment/pay_1/recovered"
    assert (await paid(PAID | {"retry_attempt": 1})).events["payment_recovered"]["recovered_after_attempts"] == 1
    assert "payment_recovered" not in (await paid(recovered_after=0)).events
    assert "payment_recovered" not in (await paid(PAID | {"subscription_ids": [], "retry_attempt": 1})).events
    of_several = await paid(PAID | {"subscription_ids": ["sub_1", "sub_2"]}, recovered_after=1)
    assert of_several.events["payment_recovered"]["subscription_id"] is None


TRIAL: Fields = {"trial_ends_at": NOW_MS + 14 * DAY_MS}


async def test_subscription_starts_once_with_its_interval_in_words():
    result = await changed("active", {})
    assert result.events["subscription_started"] == {
        "subscription_id": "sub_1",
        "product_name": "Pro",
        "price": 87,
        "price_text": "87.00",
        "currency": "USD",
        "interval": "3 months",
        "quantity": 1,
        "is_trial": False,
    }
    assert result.keys == {"subscription_started": "subscription/sub_1/started"}
    assert (await changed("active", {"interval_count": 1})).events["subscription_started"]["interval"] == "month"
    known = await changed("active", {}, is_first_subscription=True)
    assert known.events["subscription_started"]["is_first_subscription"] is True


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ({}, {"period": "later"}),
        ({}, {"period": None}),
        ({}, {"previous": {"status": "on_hold"}}),
        ({"started_at": NOW_MS - 20 * DAY_MS}, {}),
        ({"status": "cancelled"}, {}),
        ({"status": "on_hold"}, {}),
        ({"trial_ends_at": NOW_MS}, {"period": "first"}),
    ],
    ids=str,
)
async def test_recovery_is_no_start(fields, known):
    assert not (await changed("active", fields, **known)).events
    assert not (await changed("active", {}, about=one("cancelled"))).events
    assert not (await changed("active", {}, about=one("on_hold"))).events


async def test_trial_starts_and_is_no_paid_start():
    result = await changed("active", TRIAL, period="trial")
    assert result.events["trial_started"]["trial_ends_at"] == TRIAL["trial_ends_at"] // 1000
    assert result.events["subscription_started"]["is_trial"] is True
    assert result.keys["trial_started"] == "subscription/sub_1/trial_started"


async def test_trial_converts_with_its_first_payment():
    trial = one(trial_ends_at=NOW_MS)
    result = await paid(about=trial, period="first")
    assert result.events["trial_converted"]["amount_text"] == "54.50"
    assert result.events["trial_converted"]["product_name"] == "Pro"
    assert result.keys["trial_converted"] == "subscription/sub_1/trial_converted"
    for period in ("trial", "later", None):
        assert "trial_converted" not in (await paid(about=trial, period=period)).events
    assert "trial_converted" not in (await paid(about=one(), period="first")).events
    known = {"paid": {"payment_id": "pay_1", "amount": 5450, "currency": "USD"}}
    late = await changed("renewed", {"trial_ends_at": NOW_MS}, **known)
    assert late.events == {name: fields for name, fields in result.events.items() if name == "trial_converted"}
    assert not (await changed("renewed", {"trial_ends_at": NOW_MS})).events
    # A trial whose first charge failed is still on hold when the next one succeeds; what came after is over.
    ends_at = NOW_MS - DAY_MS
    failed_at = [{"subscription_id": "sub_1", "since": NOW_MS, "attempts": 1}]
    for status, period_start, open_failures, is_sent in (
        ("on_hold", ends_at - 14 * DAY_MS, [], True),
        ("on_hold", ends_at, [], False),
        ("past_due", ends_at, failed_at, False),
        ("paused", ends_at, [], False),
        ("cancelled", ends_at, [], False),
    ):
        about = one(status, trial_ends_at=ends_at, period_start=period_start) | {"open_failures": open_failures}
        assert ("trial_converted" in (await paid(about=about, period="first")).events) is is_sent


async def test_renewal_says_what_was_paid_where_that_is_known():
    known = {"payment_id": "pay_1", "amount": 5450, "currency": "USD"}
    fields = (await changed("renewed", {}, period="later", paid=known)).events["subscription_renewed"]
    assert (fields["amount_text"], fields["price_text"]) == ("54.50", "87.00")


async def test_renewal_is_sent_from_the_second_period():
    for period in ("trial", "first", None):
        assert not (await changed("renewed", {}, period=period)).events
    result = await changed("renewed", {}, period="later")
    assert result.keys == {"subscription_renewed": f"subscription/sub_1/renewed/{NOW_MS}"}
    fields = result.events["subscription_renewed"]
    assert (fields["period_start"], fields["amount"], fields["price_text"]) == (NOW_MS // 1000, None, "87.00")
    assert not (await changed("renewed", {"status": "on_hold"}, period="later")).events


@pytest.mark.parametrize("status", ["past_due", "on_hold", "paused"])
async def test_interruption_is_sent_while_it_lasts(status):
    fields = {"status": status, "past_due_until": NOW_MS}
    result = await changed(status, fields)
    assert result.events[f"subscription_{status}"]["product_name"] == "Pro"
    assert result.events[f"subscription_{status}"]["manage_url"]
    assert result.keys == {f"subscription_{status}": f"subscription/sub_1/{status}/2026-09-09T22:26:40Z"}
    assert not (await changed(status, fields, is_current=False)).events
    assert not (await changed(status, fields | {"status": "active"})).events


async def test_resumption_is_sent_once_it_is_active():
    assert [*(await changed("unpaused", {})).events] == ["subscription_resumed"]
    assert not (await changed("unpaused", {"status": "paused"})).events


CANCELING: Fields = {"cancel_at": NOW_MS + 9 * DAY_MS, "feedback": "too_expensive"}


@pytest.mark.parametrize("what", ["updated", "plan_changed", "cancelled"])
async def test_scheduled_cancellation_is_announced_whatever_the_type(what):
    result = await changed(what, CANCELING, cancellation="c1", previous={"cancel_at": None, "product_id": "pdt_0"})
    assert [*result.events] == ["subscription_cancel_scheduled"]
    fields = result.events["subscription_cancel_scheduled"]
    assert (fields["cancel_at"], fields["feedback"]) == (CANCELING["cancel_at"] // 1000, "too_expensive")
    assert result.keys == {"subscription_cancel_scheduled": "subscription/sub_1/cancel_scheduled/c1"}
    assert not (await changed(what, CANCELING, is_current=False)).events
    assert not (await changed(what, CANCELING, outdated=["cancel_at"])).events
    again = {"cancellation": "c2", "occurred_at": NOW_MS - 11 * 60_000}
    assert not (await changed(what, CANCELING, **again)).events
    assert not (await changed(what, CANCELING, previous={"cancel_at": NOW_MS + 1})).events


async def test_undone_cancellation_is_sent_until_its_date():
    result = await changed("updated", {}, previous={"cancel_at": NOW_MS + 1}, cancellation="c1")
    assert result.keys == {"subscription_cancel_undone": "subscription/sub_1/cancel_undone/c1"}
    for was in (None, NOW_MS - 1):
        assert not (await changed("updated", {}, previous={"cancel_at": was})).events
    assert not (await changed("updated", {}, previous={})).events


async def test_plan_change_names_both_plans():
    previous = {"product_id": "pdt_0", "product_name": "Basic"}
    result = await changed("plan_changed", {}, previous=previous)
    fields = result.events["subscription_plan_changed"]
    assert (fields["from"], fields["to"], fields["interval"]) == ("Basic", "Pro", "3 months")
    assert result.keys == {"subscription_plan_changed": "subscription/sub_1/plan_changed/pdt_0,1,false/pdt_1,1,false"}
    for nothing in ({}, {"price": 1}, {"product_id": "pdt_0", "cancel_at": NOW_MS + 1}):
        assert "subscription_plan_changed" not in (await changed("plan_changed", {}, previous=nothing)).events


async def test_scheduled_plan_change_is_announced_once():
    change = {"id": "spc_1", "product_name": "Scale", "quantity": 2, "effective_at": NOW_MS + DAY_MS}
    result = await changed("updated", {"scheduled_change": change}, about=one(scheduled_change=change))
    fields = result.events["subscription_plan_change_scheduled"]
    assert (fields["from"], fields["to"], fields["quantity"]) == ("Pro", "Scale", 2)
    assert [*result.keys.values()] == ["subscription/sub_1/plan_change_scheduled/spc_1"]
    assert not (await changed("updated", {"scheduled_change": change}, outdated=["scheduled_change"])).events
    past = change | {"effective_at": NOW_MS - 1}
    assert not (await changed("updated", {"scheduled_change": past}, about=one(scheduled_change=past))).events


@pytest.mark.parametrize("what", ["cancelled", "expired"])
@pytest.mark.parametrize("status", ["cancelled", "expired"])
async def test_end_is_sent_once_whatever_it_is_called(what, status):
    result = await changed(what, {"status": status, "ended_at": NOW_MS, "cancelled_by": "customer"})
    reason = "expired" if status == "expired" else "customer"
    assert result.events == {
        "subscription_ended": {
            "subscription_id": "sub_1",
            "reason": reason,
            "ended_at": NOW_MS // 1000,
            "product_name": "Pro",
        }
    }
    assert result.keys == {"subscription_ended": "subscription/sub_1/ended"}


async def test_trial_that_ends_unpaid_has_one_goodbye():
    ended = {"status": "cancelled", "trial_ends_at": NOW_MS, "cancelled_by": "customer"}
    result = await changed("cancelled", ended, period="trial")
    assert result.keys == {"trial_ended": "subscription/sub_1/trial_ended"}
    assert result.events["trial_ended"]["reason"] == "customer"
    unpaid = await changed("cancelled", ended, period="trial", previous={"status": "on_hold"})
    assert unpaid.events["trial_ended"]["reason"] == "payment_failed"
    assert [*(await changed("cancelled", ended)).events] == ["subscription_ended"]


async def test_refunds_and_disputes_say_what_is_final():
    refund = {"status": "succeeded", "amount": 100, "currency": "USD", "is_partial": True, "payment_id": "pay_1"}
    result = await made("journeys", "refund.succeeded", [fact("refund", "ref_1", refund)])
    assert (result.events["refund_succeeded"]["is_partial"], result.keys["refund_succeeded"]) == (
        True,
        "refund/ref_1/succeeded",
    )
    assert not (await made("journeys", "refund.failed", [fact("refund", "ref_1", refund)])).events
    dispute = {"status": "opened", "amount": 100, "currency": "USD", "stage": "dispute"}
    result = await made("journeys", "dispute.opened", [fact("dispute", "dp_1", dispute)])
    assert result.keys == {"dispute_opened": "dispute/dp_1/dispute/opened"}
    late = [fact("dispute", "dp_1", dispute, is_current=False)]
    assert not (await made("journeys", "dispute.opened", late)).events


async def test_new_payment_method_is_sent():
    result = await changed("update_payment_method", {})
    assert [*result.events] == ["payment_method_updated"]


async def test_attributes_are_those_of_the_ledger():
    about = one(cancel_at=NOW_MS, trial_ends_at=NOW_MS, period_end=NOW_MS) | {
        "subscriptions_active": 1,
        "last_payment_at": NOW_MS,
        "open_failures": [{"subscription_id": "sub_1", "since": NOW_MS, "attempts": 1}],
    }
    seconds = NOW_MS // 1000
    known = {
        "email": "ada@northpine.example",
        "name": "Ada Lindqvist",
        "dodo_customer_id": "cus_ada",
        "subscription_status": "active",
        "subscription_plan": "Pro",
        "subscription_price": 87,
        "subscription_currency": "USD",
        "subscription_interval": "3 months",
        "subscription_renews_at": None,
        "subscription_cancel_at": seconds,
        "subscription_trial_ends_at": None,
        "subscriptions_active": 1,
        "last_payment_at": seconds,
        "payment_failed_at": seconds,
    }
    for recipe in ("journeys", "customer_attributes"):
        facts = [fact("payment", "pay_1", PAID | {"status": "processing"})]
        assert (await made(recipe, "payment.processing", facts, about=about)).attributes == known
    total = {"currency": "USD", "net": 5450}
    history = {"history_complete": True, "payments": 1, "first_payment_at": NOW_MS, "customer_since": NOW_MS}
    result = await paid(about=about | history | {"totals": [total]})
    assert result.attributes == known | {
        "payments": 1,
        "first_payment_at": seconds,
        "customer_since": seconds,
        "total_spent": 54.5,
        "total_spent_usd": 54.5,
    }
    result = await paid(about=about | history | {"totals": [total, {"currency": "JPY", "net": 100}]})
    assert (result.attributes["total_spent"], result.attributes["total_spent_jpy"]) == (None, 100)


async def test_id_never_stands_in_a_mail():
    result = await changed("active", {"product_name": None}, about=one(product_name=None))
    assert result.events["subscription_started"]["product_name"] is None
    assert result.attributes["subscription_plan"] is None


async def test_subscriptions_are_objects_only_if_wanted():
    facts = [fact("payment", "pay_1", PAID)]
    assert not (await made("journeys", "payment.succeeded", facts, about=one())).others
    variables = {"SUBSCRIPTION_OBJECTS": "2", "MANAGE_URL": "https://shop.example/account"}
    result = await made("journeys", "payment.succeeded", facts, about=one(), variables=variables)
    (made_object,) = result.others
    assert made_object["identifiers"] == {"object_type_id": "2", "object_id": "sub_1"}
    assert made_object["cio_relationships"] == [{"identifiers": {"id": "cus_ada"}}]
    assert made_object["attributes"]["plan"] == "Pro"
    held = [fact("subscription", "sub_1", PLAN | {"status": "on_hold"})]
    result = await made("journeys", "subscription.on_hold", held, variables=variables)
    assert result.events["subscription_on_hold"]["manage_url"] == "https://shop.example/account"


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        (
            "dunning.started",
            {"status": "recovering", "subscription_id": "sub_1", "created_at": "2026-09-09T00:00:00Z"},
        ),
        ("abandoned_checkout.detected", {"status": "abandoned", "abandoned_at": "2026-09-09T00:00:00Z"}),
    ],
)
async def test_reminder_is_not_sent_to_somebody_who_has_paid(event_type, data):
    for paid_at, count in ((None, 1), (NOW_MS - 2 * DAY_MS, 1), (NOW_MS, 0)):
        about = one() | {"last_payment_at": paid_at}
        assert len((await made("journeys", event_type, [], about=about, data=data)).events) == count


async def test_reminder_is_sent_while_the_subscription_is_on_hold():
    """What was paid was something else."""
    data = {"status": "recovering", "subscription_id": "sub_1", "created_at": "2026-09-09T00:00:00Z"}
    about = one("on_hold") | {"last_payment_at": NOW_MS}
    assert (await made("journeys", "dunning.started", [], about=about, data=data)).events


async def test_late_payload_that_says_more_is_no_event():
    for event_type, data, names in (
        ("dunning.started", {"status": "recovering"}, ["dunning_started"]),
        ("dunning.started", {"status": "recovered"}, []),
        ("abandoned_checkout.detected", {"status": "recovered"}, []),
        ("entitlement_grant.delivered", {"status": "Delivered"}, ["entitlement_grant_delivered"]),
        ("entitlement_grant.delivered", {"status": "Revoked"}, []),
    ):
        assert [*(await made("journeys", event_type, [], data=data)).events] == names
