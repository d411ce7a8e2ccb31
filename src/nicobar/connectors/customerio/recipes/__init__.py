"""Ready-made handlers for Customer.io: `NAME.js`, with a guide in `NAME.md`."""

from __future__ import annotations

from nicobar.connectors import Recipe

DODO = "dodo-payments"
# Rules about code that means something else, by the recipe that does it.
_INSTEAD_OF = {"customer_attributes": ("from_one_event",)}
RECIPES = tuple(
    Recipe(name=name, summary=summary, source_kind=DODO, package=__name__, instead_of=_INSTEAD_OF.get(name, ()))
    for name, summary in (
        ("journeys", "All customer events as events and attributes, for any journey."),
        ("welcome", "A welcome email after a person's first payment."),
        ("subscription_life_cycle", "All subscription events, with the current state as attributes."),
        ("payment_failure", "Failed payments and dunning, until the payment succeeds."),
        ("customer_attributes", "Payments and subscriptions as attributes, for segments."),
    )
)
