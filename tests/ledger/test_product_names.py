"""What emails call products."""

from __future__ import annotations

from nicobar.ledger import EventFact, Snapshot, Subscription
from nicobar.ledger.product_names import named_facts, named_snapshot

NAMES = {"pdt_1": "Pro", "pdt_2": "Team"}


def fact(kind: str, fields: dict, previous: dict | None = None) -> EventFact:
    return EventFact(
        kind=kind, id="x", key=None, occurred_at=1, fields=fields, is_current=True, previous=previous or {}
    )


def named(kind: str, fields: dict, previous: dict | None = None):
    (one,) = named_facts((fact(kind, fields, previous),), NAMES)
    return one.fields.get("product_name"), one.previous.get("product_name")


def test_subscriptions_have_the_names_of_the_setting():
    change = {"product_id": "pdt_2", "product_name": "their name"}
    subscriptions = (
        Subscription(id="a", status="active", product_id="pdt_1", product_name="their name", scheduled_change=change),
        Subscription(id="b", status="active", product_id="pdt_9", product_name="their name"),
        Subscription(id="c", status="active"),
    )
    base = Snapshot(
        ids=("c",),
        identity=None,
        history_complete=False,
        known_since=None,
        status="active",
        subscriptions=subscriptions,
    )
    found = named_snapshot(base, NAMES).subscriptions
    assert [one.product_name for one in found] == ["Pro", "their name", None]
    assert found[0].scheduled_change == {"product_id": "pdt_2", "product_name": "Team"}
    assert named_snapshot(base, {}) == base


def test_facts_of_events_have_the_names_too():
    assert named("subscription", {"product_id": "pdt_1"}, {"product_id": "pdt_2"}) == ("Pro", "Team")
    assert named("subscription", {"product_id": "pdt_9", "product_name": "theirs"}) == ("theirs", None)
    assert named("payment", {"products": [{"id": "pdt_1"}, {"id": "pdt_2"}, {"id": "pdt_1"}]}) == ("Pro, Team", None)
    assert named("refund", {}) == (None, None)


def test_a_product_without_a_name_leaves_the_payment_without_one():
    for products in ([{"id": "pdt_1"}, {"id": "pdt_9"}], [], None, [{}], [{"id": []}], "pdt_1"):
        assert named("payment", {"products": products}) == (None, None)
