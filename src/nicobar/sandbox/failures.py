"""What a handler's failures are. A child names one by its code and adds values; the texts are the parent's, since
nothing that comes from a child is trusted.
"""

from __future__ import annotations

from nicobar.reasons import Reason, reason
from nicobar.sandbox import Failure

_REASONS: dict[Failure, tuple[Reason, ...]] = {
    Failure.CODE_TOO_LARGE: (
        reason("code_too_large", "The code has %(chars)s characters; %(code_chars)s are allowed."),
    ),
    Failure.SYNTAX_ERROR: (
        reason("syntax_error", "%(error)s."),
        reason(
            "module",
            "%(error)s. Handlers are scripts, not modules: write `function handler(webhook) { … }`, without export.",
        ),
    ),
    Failure.NO_HANDLER: (reason("no_handler", "The code has no function `handler(webhook)`."),),
    Failure.THREW: (reason("threw", "The handler threw %(error)s"),),
    Failure.TIMED_OUT: (reason("timed_out", "The handler ran longer than an event may."),),
    Failure.OUT_OF_MEMORY: (reason("out_of_memory", "The handler needs more memory than an event may use."),),
    Failure.STACK_OVERFLOW: (reason("stack_overflow", "The handler calls itself too deeply."),),
    Failure.OUTPUT_TOO_LARGE: (
        reason("output_too_large", "The handler's calls are larger than %(output_bytes)s bytes."),
    ),
    Failure.BAD_RESULT: (
        reason("not_run", "The event could not be run: %(error)s."),
        reason("headers_not_object", "`headers` is not an object of texts."),
        reason("header_name_invalid", "`headers` has a name that HTTP does not allow."),
        reason("header_not_text", "The header %(name)s is not a text."),
        reason(
            "header_value_invalid",
            "The header %(name)s holds characters that HTTP does not allow, or more than 4096 of them.",
        ),
        reason("too_deep", "The payload is nested deeper than %(levels)s levels. Return a flatter one."),
        reason("returned_nothing", "The handler returned nothing; end it with `return webhook`."),
        reason("returned_null", "The handler returned null; return the webhook or a list of them."),
        reason("returned_value", "The handler returned a %(type)s; return the webhook or a list of them."),
        reason(
            "returned_promise", "The handler returned a promise; it has to return its result itself, without async."
        ),
        reason("list_holds_list", "The handler returned a list with a list in it."),
        reason("list_holds_nothing", "The handler returned a list with nothing in one of its places."),
        reason("list_holds_null", "The handler returned a list with null in it."),
        reason("list_holds_value", "The handler returned a list with a %(type)s in it."),
        reason("no_payload", "The handler returned an object without `payload`."),
        reason("method_invalid", "`method` has to be POST, PUT, PATCH or DELETE."),
        reason("url_not_text", "`url` is not a text."),
        reason("payload_not_json", "The payload cannot be written as JSON: %(error)s."),
        reason("payload_type", "The payload is a %(type)s, which JSON does not have."),
    ),
}
KINDS = {why.code: failure for failure, reasons in _REASONS.items() for why in reasons}
TEXTS = {why.code: why for reasons in _REASONS.values() for why in reasons}
