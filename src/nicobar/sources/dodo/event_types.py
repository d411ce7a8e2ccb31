"""Dodo's event types: when each fires, and an example body."""

from __future__ import annotations

from importlib.resources import files

import msgspec

from nicobar.model import EventType

_WHEN = {
    "abandoned_checkout.detected": "A checkout failed or was left unfinished for an hour.",
    "abandoned_checkout.recovered": "A customer paid through the recovery link of an abandoned checkout.",
    "credit.added": "Credits were added to a customer's balance.",
    "credit.balance_low": "A customer's credits fell below the threshold.",
    "credit.deducted": "Credits were used.",
    "credit.expired": "Credits ran out of time.",
    "credit.manual_adjustment": "A balance was adjusted manually.",
    "credit.overage_charged": "Use beyond the balance was charged.",
    "credit.overage_reset": "The count of use beyond the balance was set back.",
    "credit.rolled_over": "Unused credits moved to the next period.",
    "credit.rollover_forfeited": "Unused credits were lost at the end of a period.",
    "dispute.accepted": "The merchant did not contest a dispute.",
    "dispute.cancelled": "The cardholder withdrew a dispute.",
    "dispute.challenged": "The merchant sent evidence against a dispute.",
    "dispute.expired": "The time to answer a dispute ran out.",
    "dispute.lost": "A dispute was decided for the cardholder.",
    "dispute.opened": "A cardholder disputes a payment; the amount is held.",
    "dispute.won": "A dispute was decided for the merchant.",
    "dunning.recovered": "A customer mended the payment method and the charge passed.",
    "dunning.started": "Recovery emails began after a failed renewal.",
    "entitlement_grant.created": "An entitlement was granted; access may still be on its way.",
    "entitlement_grant.delivered": "Access was given.",
    "entitlement_grant.failed": "Access could not be given.",
    "entitlement_grant.revoked": "Access was withdrawn.",
    "license_key.created": "A licence key was issued.",
    "payment.cancelled": "A payment was cancelled before it was complete.",
    "payment.failed": "An attempt to charge failed.",
    "payment.processing": "A charge is under way.",
    "payment.succeeded": "A charge succeeded: one-time, first, renewal or plan change.",
    "payout.created": "A payout to the merchant was made ready.",
    "payout.failed": "A payout to the merchant failed.",
    "payout.in_progress": "A payout to the merchant is under way.",
    "payout.on_hold": "A payout to the merchant is held.",
    "payout.success": "A payout to the merchant arrived.",
    "refund.failed": "A refund could not be made.",
    "refund.succeeded": "A refund was made, in full or in part.",
    "subscription.active": "A subscription began, a trial began, or a held one recovered.",
    "subscription.cancelled": "A subscription was cancelled.",
    "subscription.expired": "A subscription reached the end of its term.",
    "subscription.failed": "A subscription could not be created.",
    "subscription.on_hold": "A renewal failed and renewals stop until it is mended.",
    "subscription.past_due": "A renewal failed and a grace period runs.",
    "subscription.paused": "A subscription was paused on purpose.",
    "subscription.plan_changed": "Product, quantity or add-ons of a subscription changed.",
    "subscription.renewed": "A period of a subscription was paid for.",
    "subscription.unpaused": "A paused subscription goes on.",
    "subscription.update_payment_method": "The stored payment method of a subscription was replaced.",
    "subscription.updated": "Any field of a subscription changed; comes beside most others.",
}


def _load(name: str, description: str) -> EventType:
    example = files("nicobar.sources.dodo").joinpath("samples", f"{name}.json").read_bytes()
    return EventType(name=name, description=description, example=msgspec.json.decode(example))


EVENT_TYPES = tuple(_load(name, description) for name, description in _WHEN.items())
