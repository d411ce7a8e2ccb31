"""The failures of handlers. A child sends a code and values; the parent adds the text, since nothing from a child is
trusted.
"""

from __future__ import annotations

from nicobar.reasons import Reason, reason
from nicobar.sandbox import Failure

_REASONS: dict[Failure, tuple[Reason, ...]] = {
    Failure.CODE_TOO_LARGE: (
        reason("code_too_large", "The code has %(chars)s characters. The maximum is %(code_chars)s."),
    ),
    Failure.SYNTAX_ERROR: (
        reason("syntax_error", "%(error)s."),
        reason(
            "module",
            "%(error)s. Handlers are scripts, not modules. Write `function handler(webhook) { … }` "
            "without import and export.",
        ),
    ),
    Failure.NO_HANDLER: (
        reason(
            "no_handler", "The code has no function `handler`. Add `function handler(webhook) { return webhook; }`."
        ),
    ),
    Failure.THREW: (reason("threw", "The handler threw %(error)s"),),
    Failure.TIMED_OUT: (
        reason(
            "timed_out", "The handler exceeded the limit of %(run_ms)s ms. Check its loops and regular expressions."
        ),
    ),
    Failure.OUT_OF_MEMORY: (
        reason(
            "out_of_memory",
            "The handler exceeded the limit of %(memory_mib)s MiB of memory. Check for lists and "
            "strings that keep growing.",
        ),
    ),
    Failure.STACK_OVERFLOW: (
        reason(
            "stack_overflow",
            "The handler overflowed the stack. Check for functions that call themselves without end.",
        ),
    ),
    Failure.OUTPUT_TOO_LARGE: (
        reason("output_too_large", "The handler's calls are larger than %(output_bytes)s bytes. Send less data."),
    ),
    Failure.BAD_RESULT: (
        reason("not_run", "The handler could not run on this event: %(error)s."),
        reason("headers_not_object", "`headers` must be an object whose values are strings."),
        reason("header_name_invalid", "`headers` contains a name that is not a valid HTTP header."),
        reason("header_not_text", "The value of header %(name)s is not a string. Use String(value)."),
        reason(
            "header_value_invalid",
            "The value of header %(name)s is longer than 4096 characters or contains characters that "
            "HTTP does not allow.",
        ),
        reason("too_deep", "The payload is nested deeper than %(levels)s levels. Return a flatter payload."),
        reason("returned_nothing", "The handler returned nothing. End it with `return webhook;`."),
        reason("returned_null", "The handler returned null. Return the webhook, or a list of webhooks."),
        reason("returned_value", "The handler returned a %(type)s. Return the webhook, or a list of webhooks."),
        reason("returned_promise", "The handler returned a promise. Return the result directly, without async."),
        reason("list_holds_list", "The handler returned a list within a list. Return one flat list of webhooks."),
        reason(
            "list_holds_nothing",
            "The handler returned a list with an undefined entry. Return a list of webhooks only.",
        ),
        reason("list_holds_null", "The handler returned a list with a null entry. Return a list of webhooks only."),
        reason(
            "list_holds_value",
            "The handler returned a list that contains a %(type)s. Return a list of webhooks only.",
        ),
        reason(
            "no_payload", "The handler returned an object without `payload`. Add `payload`, or return the webhook."
        ),
        reason("method_invalid", "`method` must be POST, PUT, PATCH or DELETE."),
        reason("url_not_text", "`url` must be a string."),
        reason("payload_not_json", "The payload cannot be converted to JSON: %(error)s."),
        reason("payload_type", "The payload is a %(type)s, which JSON does not support."),
    ),
}
KINDS = {why.code: failure for failure, reasons in _REASONS.items() for why in reasons}
TEXTS = {why.code: why for reasons in _REASONS.values() for why in reasons}
# Values that the helpers of `nicobar` could not use, by code; the value is `given`.
WARNINGS = {
    why.code: why
    for why in (
        reason(
            "money_currency",
            "nicobar.money: %(given)s is not a currency of ISO 4217, so the amount is omitted.",
            "Pass a code such as USD.",
        ),
        reason(
            "money_amount",
            "nicobar.money: %(given)s is not an integer, so the amount is omitted.",
            "Pass minor units, such as cents.",
        ),
        reason(
            "unix_time",
            "nicobar.unix: %(given)s is not an ISO 8601 date and time, so the time is omitted.",
            "Pass text such as 2026-11-26T21:00:00Z.",
        ),
        reason(
            "locale_ignored",
            "%(given)s ignores the language and the options: handlers have no languages.",
            "Format the value in the email, or with your own code.",
        ),
        reason(
            "unix_before_1970",
            "nicobar.unix: %(given)s is before 1970, so the result is negative.",
            "Check the date: destinations may not accept negative times.",
        ),
    )
}
