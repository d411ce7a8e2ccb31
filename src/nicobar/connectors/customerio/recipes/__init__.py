"""Ready-made handlers for Customer.io: `NAME.js`, and `NAME.md` says what to build with it."""

from __future__ import annotations

from nicobar.connectors import Recipe

DODO = "dodo-payments"
RECIPES = tuple(
    Recipe(name=name, summary=summary, source_kind=DODO, package=__name__)
    for name, summary in (
        ("journeys", "Every event about a customer, as events and attributes for any journey."),
        ("welcome", "A welcome mail after the first payment."),
        ("subscription_life_cycle", "A subscription's whole life, with its state on the person."),
        ("payment_failure", "Failed payments and dunning, until the money is there."),
        ("customer_attributes", "What a customer has and has paid, as attributes for segments."),
    )
)
