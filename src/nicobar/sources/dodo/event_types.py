"""Dodo's event types: when each is sent, and an example body."""

from __future__ import annotations

from importlib.resources import files

import msgspec

from nicobar.model import EventType

_WHEN = {
    "abandoned_checkout.detected": "A checkout failed, or was not completed within an hour.",
    "abandoned_checkout.recovered": "A customer paid through the recovery link of an abandoned checkout.",
    "credit.added": "Credits were added to a customer's balance.",
    "credit.balance_low": "A customer's credit balance fell below the threshold.",
    "credit.deducted": "Credits were used.",
    "credit.expired": "Credits expired.",
    "credit.manual_adjustment": "A credit balance was adjusted manually.",
    "credit.overage_charged": "Usage beyond the credit balance was charged.",
    "credit.overage_reset": "The overage count was reset.",
    "credit.rolled_over": "Unused credits rolled over to the next period.",
    "credit.rollover_forfeited": "Unused credits were forfeited at the end of the period.",
    "dispute.accepted": "The merchant accepted a dispute.",
    "dispute.cancelled": "The cardholder withdrew a dispute.",
    "dispute.challenged": "The merchant submitted evidence to contest a dispute.",
    "dispute.expired": "The deadline to respond to a dispute passed.",
    "dispute.lost": "A dispute was decided in favor of the cardholder.",
    "dispute.opened": "A cardholder disputed a payment. The amount is on hold.",
    "dispute.won": "A dispute was decided in favor of the merchant.",
    "dunning.recovered": "A customer updated the payment method, and the charge succeeded.",
    "dunning.started": "Recovery emails started after a failed renewal.",
    "entitlement_grant.created": "An entitlement was granted. Access may not have been delivered yet.",
    "entitlement_grant.delivered": "Access was delivered.",
    "entitlement_grant.failed": "Access could not be delivered.",
    "entitlement_grant.revoked": "Access was revoked.",
    "license_key.created": "A license key was issued.",
    "payment.cancelled": "A payment was canceled before completion.",
    "payment.failed": "A charge failed.",
    "payment.processing": "A charge is being processed.",
    "payment.succeeded": "A charge succeeded: one-time, first, renewal or plan change.",
    "payout.created": "A payout to the merchant was created.",
    "payout.failed": "A payout to the merchant failed.",
    "payout.in_progress": "A payout to the merchant is in progress.",
    "payout.on_hold": "A payout to the merchant is on hold.",
    "payout.success": "A payout to the merchant succeeded.",
    "refund.failed": "A refund failed.",
    "refund.succeeded": "A full or partial refund succeeded.",
    "subscription.active": "A subscription or trial started, or a subscription on hold recovered.",
    "subscription.cancelled": "A subscription was canceled.",
    "subscription.expired": "A subscription reached the end of its term.",
    "subscription.failed": "A subscription could not be created.",
    "subscription.on_hold": "A renewal failed. The subscription is on hold until a payment succeeds.",
    "subscription.past_due": "A renewal failed, and the grace period started.",
    "subscription.paused": "A subscription was paused.",
    "subscription.plan_changed": "The product, quantity or add-ons of a subscription changed.",
    "subscription.renewed": "A subscription was renewed and the period was paid.",
    "subscription.unpaused": "A paused subscription resumed.",
    "subscription.update_payment_method": "The payment method of a subscription was updated.",
    "subscription.updated": "Any field of a subscription changed. Sent along with most other subscription events.",
}


def _load(name: str, description: str) -> EventType:
    example = files("nicobar.sources.dodo").joinpath("samples", f"{name}.json").read_bytes()
    return EventType(name=name, description=description, example=msgspec.json.decode(example))


EVENT_TYPES = tuple(_load(name, description) for name, description in _WHEN.items())
