"""Why Dodo's payments fail, in the words of the normal form. Codes:
https://docs.dodopayments.com/api-reference/transaction-failures.
"""

from __future__ import annotations

from nicobar.model import Json

# `soft`: the same card may succeed later, or after a correction. `hard`: only another card or the bank helps.
# `action_required`: the customer has to confirm the payment. A code that Dodo adds later is `unknown`.
_OTHER_KIND = "unknown"
_KINDS = {
    "soft": "CARD_NOT_ACTIVATED CARD_VELOCITY_EXCEEDED CUSTOMER_CANCELLED GENERIC_DECLINE INCORRECT_CVC "
    "INCORRECT_NUMBER INSUFFICIENT_FUNDS INVALID_AMOUNT INVALID_CARD_NUMBER INVALID_CARD_OWNER INVALID_CVC "
    "INVALID_EXPIRY_YEAR INVALID_PIN INVALID_REQUEST INVALID_UPI_ID LIMIT_EXCEEDED LIVE_MODE_TEST_CARD "
    "NETWORK_ERROR NETWORK_TIMEOUT ORDER_CREATION_FAILED PROCESSING_ERROR REENTER_TRANSACTION TRY_AGAIN_LATER "
    "UNKNOWN_ERROR",
    "hard": "CARD_DECLINED DO_NOT_HONOR EXPIRED_CARD FRAUDULENT INVALID_ACCOUNT LOST_CARD MANDATE_REQUIRED_SYSTEM "
    "PAYMENT_METHOD_PROVIDER_DECLINED PAYMENT_METHOD_UNSUPPORTED PICKUP_CARD PROVIDER_UNSUPPORTED "
    "REVOCATION_OF_AUTHORIZATION STOLEN_CARD TRANSACTION_NOT_ALLOWED TRANSACTION_NOT_APPROVED",
    "action_required": "AUTHENTICATION_FAILURE AUTHENTICATION_REQUIRED AUTHENTICATION_TIMEOUT MANDATE_INVALID "
    "MANDATE_REQUIRED",
}
# A stolen or lost card, and a suspicion of fraud, are declined like any other: the customer must not learn more.
_OTHER_REASON = "other"
_REASONS = {
    "insufficient_funds": "INSUFFICIENT_FUNDS",
    "expired_card": "EXPIRED_CARD",
    "authentication_required": "AUTHENTICATION_FAILURE AUTHENTICATION_REQUIRED AUTHENTICATION_TIMEOUT "
    "MANDATE_INVALID MANDATE_REQUIRED",
    "declined": "CARD_DECLINED CARD_NOT_ACTIVATED CARD_VELOCITY_EXCEEDED DO_NOT_HONOR FRAUDULENT GENERIC_DECLINE "
    "INVALID_ACCOUNT LIMIT_EXCEEDED LOST_CARD PAYMENT_METHOD_PROVIDER_DECLINED PICKUP_CARD "
    "REVOCATION_OF_AUTHORIZATION STOLEN_CARD TRANSACTION_NOT_ALLOWED TRANSACTION_NOT_APPROVED",
}
_KIND_OF = {code: kind for kind, codes in _KINDS.items() for code in codes.split()}
_REASON_OF = {code: reason for reason, codes in _REASONS.items() for code in codes.split()}


def failure(status: Json, code: Json) -> dict[str, Json]:
    """Why a payment failed; None for one that has not failed. A failure without a code is unknown."""
    if status != "failed":
        return {"failure_kind": None, "failure_reason": None}
    known = code.upper() if isinstance(code, str) else ""
    return {
        "failure_kind": _KIND_OF.get(known, _OTHER_KIND),
        "failure_reason": _REASON_OF.get(known, _OTHER_REASON),
    }
