"""What Dodo's events state about payments, subscriptions, refunds and disputes."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.facts import known_fact, merged_facts
from nicobar.model import FactKind, Mode
from nicobar.sources.dodo import failures
from nicobar.sources.envelope import unix_ms
from support.stated import ACCEPTED_MS, SOURCE, body_of, stated_message

BEGAN = "2026-09-14T08:00:00Z"
PERIOD_END = "2026-10-14T08:00:00Z"
AT_MS = unix_ms("2026-09-20T00:00:00Z")


def sample(name: str) -> dict:
    return msgspec.json.decode(
        msgspec.json.encode(next(item.example for item in SOURCE.event_types() if item.name == name))
    )


def fields_of(event_type: str, at_ms: int = AT_MS, **changes: object) -> dict:
    """The fields of the object that a sample of this type is about, with changes."""
    data = {**sample(event_type)["data"], **changes}
    data = {name: value for name, value in data.items() if value is not ...}
    event = SOURCE.read({}, body_of(event_type, at_ms, **data))
    kind = event_type.partition(".")[0]
    return next(fact.fields for fact in event.facts if fact.kind == kind)


def remembered(*bodies: bytes) -> dict:
    """The newest value of each field, by the kind of the fact."""
    messages = [stated_message(f"evt_{number}", body) for number, body in enumerate(bodies)]
    facts = map(known_fact, merged_facts(fact for new in messages for fact in new.facts))
    return {fact.key.split("/")[2]: {name: values[0] for name, values in fact.values.items()} for fact in facts}


def test_a_payment_is_stated_in_full():
    body = msgspec.json.encode(sample("payment.succeeded"))
    (fact,) = [fact for fact in SOURCE.read({}, body).facts if fact.kind is FactKind.PAYMENT]
    assert fact.is_final
    assert fact.fields == {
        "customer_id": "cus_0NrGUvS2Ttok5CWuKFYPv",
        "business_id": "bus_0NQldTgMalr0lMlleIqsX",
        "brand_id": "brnd_0NhCYfI3NkoALE6on6WMs",
        "status": "succeeded",
        "amount": 3154,
        "tax": 254,
        "currency": "USD",
        "settled_amount": 3154,
        "settled_currency": "USD",
        "subscription_ids": ["sub_0N4hdnY0ixHoUHNydeYpn"],
        "charge_type": "new",
        "retry_attempt": 0,
        "is_card_update": False,
        "includes_usage": False,
        "products": None,
        "periods": [
            {
                "subscription_id": "sub_0N4hdnY0ixHoUHNydeYpn",
                "start": 1_789_373_529_417,
                "end": 1_791_965_529_417,
                "proration": 1,
            }
        ],
        "discount_codes": None,
        "failure_kind": None,
        "failure_reason": None,
        "invoice_url": "https://live.dodopayments.com/invoices/payments/pay_0NgxABT7cxeziVRj5KDpn",
        "created_at": 1_789_373_529_417,
    }


def test_links_and_reasons_of_failures_are_not_remembered():
    kept = remembered(msgspec.json.encode(sample("payment.failed")))["payment"]
    assert not kept.keys() & {"invoice_url", "failure_kind", "failure_reason", "discount_codes", "raw_status"}
    assert kept["status"] == "failed"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("requires_customer_action", "requires_action"),
        ("requires_capture", "processing"),
        ("partially_captured", "unknown"),
        ("teleported", "unknown"),
    ],
)
def test_other_statuses_of_payments_count_as_no_success(given, status):
    fields = fields_of("payment.processing", status=given)
    assert (fields["status"], fields["raw_status"]) == (status, given)


def test_a_status_of_null_is_unknown():
    assert not {"status", "raw_status"} & fields_of("payment.processing", status=None).keys()


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        ("INSUFFICIENT_FUNDS", "soft", "insufficient_funds"),
        ("expired_card", "hard", "expired_card"),
        ("AUTHENTICATION_REQUIRED", "action_required", "authentication_required"),
        ("NETWORK_TIMEOUT", "soft", "other"),
        ("NEW_CODE", "unknown", "other"),
        (None, "unknown", "other"),
    ],
)
def test_failures_have_a_kind_and_a_reason(code, kind, reason):
    fields = fields_of("payment.failed", error_code=code)
    assert (fields["failure_kind"], fields["failure_reason"]) == (kind, reason)


def test_lost_and_stolen_cards_look_like_any_declined_one():
    plain = failures.failure("failed", "CARD_DECLINED")
    for code in ("LOST_CARD", "STOLEN_CARD", "PICKUP_CARD", "FRAUDULENT"):
        assert failures.failure("failed", code) == plain


def test_a_late_payment_failed_with_a_newer_body_states_no_failure():
    fields = fields_of("payment.failed", status="succeeded", error_code=None)
    assert (fields["status"], fields["failure_kind"]) == ("succeeded", None)


@pytest.mark.parametrize("later_ms", [-1, 0, 1])
def test_a_payment_that_succeeded_stays_so_in_every_order(later_ms):
    paid = body_of("payment.succeeded", ACCEPTED_MS, payment_id="pay_1", status="succeeded", total_amount=900)
    other = body_of("payment.failed", ACCEPTED_MS + later_ms, payment_id="pay_1", status="failed", total_amount=1)
    more = body_of("payment.processing", ACCEPTED_MS + 2, payment_id="pay_1", status="processing")
    for bodies in ((paid, other, more), (other, more, paid), (more, paid, other, paid)):
        assert remembered(*bodies)["payment"] == {"status": "succeeded", "amount": 900}


@pytest.mark.parametrize(
    ("given", "amount"),
    [
        ({"amount": "3154"}, 3154),
        ({"amount": "31.54"}, 3154),
        ({"amount": "31.5"}, 3150),
        ({"amount": "12.345", "currency": "KWD"}, 12345),
        ({"amount": "4980", "currency": "JPY"}, 4980),
        ({"amount": "4980.00", "currency": "JPY"}, 4980),
        ({"amount": 400}, 400),
        ({"amount": "-5"}, -5),
        ({"amount": "31.545"}, None),
        ({"amount": "31.54", "currency": None}, None),
        ({"amount": "a lot"}, None),
        ({"amount": "1e3"}, None),
        ({"amount": 31.54}, None),
        ({"amount": True}, None),
    ],
)
def test_amounts_of_disputes_are_read_as_text_and_number(given, amount):
    assert fields_of("dispute.opened", **given).get("amount") == amount


def test_a_dispute_and_a_refund_are_stated():
    dispute = fields_of("dispute.opened")
    assert (dispute["status"], dispute["stage"], dispute["amount"]) == ("opened", "dispute", 3154)
    assert "raw_status" not in dispute
    refund = fields_of("refund.succeeded")
    assert (refund["status"], refund["amount"], refund["is_partial"]) == ("succeeded", 1000, True)
    assert refund["payment_id"] == dispute["payment_id"]


@pytest.mark.parametrize("amount", [0, -100, 2**53 - 1])
def test_amounts_of_zero_and_below_are_kept(amount):
    assert fields_of("payment.succeeded", total_amount=amount)["amount"] == amount


@pytest.mark.parametrize("name", ["total_amount", "currency", "created_at", "status", "subscription_ids"])
def test_what_a_body_lacks_or_garbles_is_unknown(name):
    of = {"total_amount": "amount"}.get(name, name)
    for given in (..., {"x": 1}, 1.5, [1]) if name != "subscription_ids" else (..., {"x": 1}):
        changes = {name: given} | ({"subscription_id": ...} if name == "subscription_ids" else {})
        assert of not in fields_of("payment.succeeded", **changes)


def test_objects_without_an_id_are_no_facts():
    event = SOURCE.read({}, body_of("payment.succeeded", payment_id="", subscription_id=None, total_amount=1))
    assert event.facts == ()


def test_a_beginning_in_the_future_counts_as_of_the_acceptance():
    future = "2999-01-01T00:00:00Z"
    body = body_of("payment.succeeded", ACCEPTED_MS, payment_id="pay_1", created_at=future)
    assert remembered(body)["payment"]["created_at"] == ACCEPTED_MS


@pytest.mark.parametrize(
    ("changes", "charge_type", "ids"),
    [
        ({}, "new", ["sub_0N4hdnY0ixHoUHNydeYpn"]),
        ({"charge_type": None, "subscription_id": None, "subscription_ids": []}, "one_time", []),
        ({"charge_type": None, "subscription_id": None, "subscription_ids": ["a", "b"]}, None, ["a", "b"]),
        ({"charge_type": "later", "subscription_ids": ..., "subscription_id": "a"}, ..., ["a"]),
        ({"charge_type": ..., "subscription_ids": ..., "subscription_id": None}, ..., ...),
    ],
)
def test_a_payment_says_what_it_was_charged_for(changes, charge_type, ids):
    fields = fields_of("payment.succeeded", **changes)
    assert (fields.get("charge_type", ...), fields.get("subscription_ids", ...)) == (charge_type, ids)


def test_a_subscription_is_stated_in_full():
    fields = fields_of("subscription.plan_changed")
    assert fields["scheduled_change"] == {
        "id": "spc_0N4JiBDOvkQ842lKmMUAc",
        "product_id": "pdt_0Ncs8rsdCdjTK4a8dqn4Z",
        "product_name": "Pro",
        "quantity": 1,
        "has_addons": True,
        "effective_at": 1_792_943_301_402,
        "created_at": 1_790_351_301_771,
    }
    expected = {"status": "active", "price": 7900, "tax_inclusive": False, "interval": "month", "interval_count": 1}
    expected |= {"has_addons": True, "quantity": 1, "currency": "USD", "trial_ends_at": None, "cancel_at": None}
    expected |= {"cancelled_at": None, "ended_at": None, "past_due_until": None, "paused_at": None}
    assert {name: fields[name] for name in expected} == expected


def test_a_cancellation_undone_blanks_the_announced_one():
    announced = {"subscription_id": "sub_1", "status": "active", "next_billing_date": PERIOD_END}
    first = body_of("subscription.updated", 1, **announced, cancel_at_next_billing_date=True)
    undone = body_of("subscription.updated", 2, **announced, cancel_at_next_billing_date=False)
    for bodies in ((first, undone), (undone, first)):
        assert remembered(*bodies)["subscription"]["cancel_at"] is None
    assert remembered(first)["subscription"]["cancel_at"] == unix_ms(PERIOD_END)


@pytest.mark.parametrize(
    ("changes", "status", "cancel_at", "ended_at"),
    [
        # Announced for the end of the period, by either account.
        ({"status": "active", "cancelled_at": None}, "active", PERIOD_END, None),
        ({"status": "cancelled", "cancelled_at": None}, "active", PERIOD_END, None),
        # Canceled at once, with the flag of an earlier announcement.
        ({"status": "cancelled", "cancelled_at": BEGAN}, "cancelled", None, BEGAN),
        # Over.
        ({"status": "cancelled", "cancelled_at": None, "next_billing_date": BEGAN}, "cancelled", None, ...),
        ({"status": "expired", "cancelled_at": None, "expires_at": BEGAN}, "expired", None, BEGAN),
        ({"status": "expired", "cancelled_at": None, "expires_at": "2036-01-01T00:00:00Z"}, "expired", None, ...),
        ({"status": "expired", "cancelled_at": BEGAN, "expires_at": "2036-01-01T00:00:00Z"}, "expired", None, BEGAN),
    ],
)
def test_an_announced_cancellation_is_no_end(changes, status, cancel_at, ended_at):
    given = {"cancel_at_next_billing_date": True, "next_billing_date": PERIOD_END} | changes
    fields = fields_of("subscription.cancelled", **given)
    assert fields["status"] == status
    assert fields["cancel_at"] == (cancel_at and unix_ms(cancel_at))
    assert fields.get("ended_at", ...) == (unix_ms(ended_at) if isinstance(ended_at, str) else ended_at)


@pytest.mark.parametrize(
    ("start", "end", "ends_at"),
    [
        (BEGAN, "2026-09-28T08:00:00Z", "2026-09-28T08:00:00Z"),
        (BEGAN, "2026-10-05T08:00:00Z", "2026-10-05T08:00:00Z"),  # the merchant gave another week
        ("2026-09-28T08:00:05Z", "2026-10-28T08:00:05Z", "2026-09-28T08:00:00Z"),  # a paid period
        (None, None, "2026-09-28T08:00:00Z"),
    ],
)
def test_a_trial_ends_with_its_period(start, end, ends_at):
    fields = fields_of(
        "subscription.active",
        trial_period_days=14,
        created_at=BEGAN,
        previous_billing_date=start,
        next_billing_date=end,
    )
    assert fields["trial_ends_at"] == unix_ms(ends_at)


def test_an_unknown_status_of_a_subscription_is_kept_as_the_sender_spells_it():
    fields = fields_of("subscription.updated", status="frozen")
    assert (fields["status"], fields["raw_status"]) == ("unknown", "frozen")
    assert "ended_at" not in fields


@pytest.mark.parametrize(
    ("links", "mode"),
    [
        (["https://live.dodopayments.com/invoices/payments/pay_1"], Mode.LIVE),
        (["https://test.dodopayments.com/invoices/payments/pay_1"], Mode.TEST),
        (["https://test.checkout.dodopayments.com/session/cks_1"], Mode.TEST),
        (["https:\\/\\/test.dodopayments.com\\/invoices"], Mode.TEST),
        (["https://live.dodopayments.com/x", "https://test.dodopayments.com/x"], None),
        (["https://live.dodopayments.com.evil.example/x"], None),
        (["see live.dodopayments.com"], None),
        ([], None),
    ],
)
def test_links_suggest_the_mode(links, mode):
    body = '{"data":{"links":["' + '","'.join(links) + '"]}}'
    assert SOURCE.mode_in(body.encode()) is mode


def test_facts_without_a_time_count_as_of_their_acceptance():
    body = msgspec.json.encode({"type": "payment.failed", "data": {"payment_id": "pay_1", "status": "failed"}})
    later = body_of("payment.processing", ACCEPTED_MS - 1, payment_id="pay_1", status="processing")
    assert remembered(later, body)["payment"]["status"] == "failed"
