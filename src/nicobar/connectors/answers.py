"""The meaning of HTTP responses that all destinations share."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from nicobar.connectors import Blocked, Deferred, NoResponse, Refused, Response
from nicobar.connectors.fields import address_error
from nicobar.reasons import Reason, reason

# What the code of a reason begins with that says how a destination responded.
ANSWERED = "answered_"
# With these statuses, the credentials may be wrong.
CREDENTIAL_STATUSES = frozenset({401, 402, 403, 407})
MAX_RETRY_AFTER_MS = 24 * 3_600_000
MAX_TEXT_CHARS = 300
_TOO_MANY = 429
_SERVER_ERROR = 500
_TIMED_OUT = 408
_TOO_EARLY = 425
# Enough for the shown characters and white space; the rest of a large body is not decoded.
_MAX_TEXT_BYTES = 16 * 1024
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")
_AGAIN = frozenset({_TIMED_OUT, _TOO_EARLY, _TOO_MANY})


def deferred(answer: Response | NoResponse) -> Deferred | None:
    """A retry for no response, 408, 425, 429 and 5xx; None for every other response."""
    if isinstance(answer, NoResponse):
        return Deferred(reason=reason("no_answer", "No response: %(reason)s.", reason=answer.reason), failing=True)
    if answer.status in _AGAIN or answer.status >= _SERVER_ERROR:
        return Deferred(
            reason=answered(answer),
            retry_after_ms=retry_after_ms(answer),
            throttled=answer.status == _TOO_MANY,
            failing=answer.status >= _SERVER_ERROR or answer.status == _TIMED_OUT,
            reached=answer.status == _TOO_EARLY,
        )
    return None


def unsent(answer: Response | NoResponse, *, own: bool) -> Blocked | Refused | None:
    """The outcome for a blocked address. The endpoint's `own` host puts the endpoint on hold until the operator
    allows it; a different host set by a handler fails the delivery. None for every other response.
    """
    if not isinstance(answer, NoResponse) or answer.refused is None:
        return None
    why = address_error(answer.refused).reason
    return Blocked(reason=why) if own else Refused(reason=why)


def retry_after_ms(answer: Response) -> int | None:
    """How long the destination asks to wait; None if it does not say.

    RFC 9110, section 10.2.3: seconds, or a date, which is compared with the response's own Date if it has one. Some
    servers send fractions of a second.
    """
    value = answer.headers.get("retry-after", "").strip()
    if seconds := _SECONDS.fullmatch(value):
        return int(min(float(seconds[0]) * 1000, MAX_RETRY_AFTER_MS))
    try:
        until = parsedate_to_datetime(value)
        date = answer.headers.get("date")
        since = parsedate_to_datetime(date) if date else datetime.now(UTC)
        wait_ms = int((until - since).total_seconds() * 1000)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait_ms, 0), MAX_RETRY_AFTER_MS)


def answered(answer: Response) -> Reason:
    """The response as a reason. Its code contains the status."""
    return reason(status_code(answer), "The destination responded with %(answer)s.", answer=summary_of(answer))


def status_code(answer: Response) -> str:
    """The code of a reason for a response's status."""
    return f"{ANSWERED}{answer.status}"


def summary_of(answer: Response) -> str:
    """A response in one line: its status and the start of its body."""
    text = start_of(answer)
    return f"{answer.status}{': ' if text else ''}{text}"


def start_of(answer: Response) -> str:
    """The first characters of a response's body, in one line."""
    text = " ".join(answer.body[:_MAX_TEXT_BYTES].decode("utf-8", "replace").split())
    return text[:MAX_TEXT_CHARS]
