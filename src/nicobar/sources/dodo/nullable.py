"""The fields that Dodo may send as null, as paths below `data`, by the first word of the event type. Dodo's pages and
its libraries agree on them.
"""

from __future__ import annotations


def _fields(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Of customers and billing addresses, wherever they are.
SHARED = _fields("customer.phone_number customer.metadata billing.city billing.state billing.street billing.zipcode")
NULLABLE = {
    "payment": _fields(
        "status tax settlement_tax subscription_id charge_type product_cart payment_method payment_method_type "
        "payment_method_id card_last_four card_network card_type card_issuing_country card_holder_name "
        "card_exp_month card_exp_year three_ds_flow three_ds_status three_ds_version error_code error_message "
        "refund_status discounts discount_id checkout_session_id payment_link invoice_id invoice_url "
        "custom_field_responses updated_at"
    ),
    "subscription": _fields(
        "expires_at trial_amount cancelled_at cancelled_by cancellation_feedback cancellation_comment paused_at "
        "past_due_ends_at payment_id payment_method_id scheduled_change discounts discount_id "
        "discount_cycles_remaining custom_field_responses customer_business_name tax_id"
    ),
    "refund": _fields("amount currency reason network_reference network_reference_type network_reference_updated_at"),
    "dispute": _fields("is_resolved_by_rdr remarks reason"),
    "license_key": _fields("payment_id subscription_id activations_limit expires_at"),
    "entitlement_grant": _fields(
        "payment_id subscription_id license_key digital_product_delivery feature oauth_url oauth_expires_at "
        "error_code error_message revocation_reason delivered_at revoked_at metadata"
    ),
    "credit": _fields("grant_id reference_id reference_type description"),
    "abandoned_checkout": _fields("recovered_payment_id"),
    "dunning": _fields("payment_id"),
    "payout": _fields("name remarks payout_document_url"),
}
