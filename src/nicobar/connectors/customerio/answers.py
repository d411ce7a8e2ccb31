"""The meaning of Customer.io's responses for each call of a request.

Only Customer.io's own response counts as accepted: a 2xx with a JSON object without errors, or the documented status
of the call with an empty body. `errors` that is missing, null or an empty list means no errors. Any other 2xx comes
from something in between, such as a proxy's page, and counts as an outage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nicobar.connectors import Blocked, Deferred, Delivered, NoResponse, Outcome, ReadyCall, Refused, Response
from nicobar.connectors.answers import (
    CREDENTIAL_STATUSES,
    MAX_TEXT_CHARS,
    deferred,
    retry_after_ms,
    start_of,
    status_code,
    summary_of,
    unsent,
)
from nicobar.connectors.customerio.track_api import ACTIONS, v1_call
from nicobar.model import Json
from nicobar.nesting import is_deeper
from nicobar.reasons import Reason, reason

_OK = 200
_PARTLY = 207
_NOT_HERE = frozenset({404, 405})
_REJECTED = "rejected"
_WORDS = frozenset(
    {"required", "invalid", "type", "action"}
    | {name for kind in ACTIONS.values() for action in kind.values() for name in (*action.required, *action.optional)}
)


def outcomes(calls: Sequence[ReadyCall], answer: Response | NoResponse, region: str) -> list[Outcome]:
    """One outcome per call, in order."""
    blocked = unsent(answer, own=True)
    if blocked is not None:
        return [blocked for _ in calls]
    later = deferred(answer)
    if later is not None or isinstance(answer, NoResponse):
        return [later or Deferred(reason=reason("no_answer", "No response.")) for _ in calls]
    status = answer.status
    item: Outcome
    if status in range(200, 300):
        return _accepted(calls, answer)
    if status < _OK:
        item = _foreign(answer)
    elif status in CREDENTIAL_STATUSES:
        item = Blocked(
            reason=reason(
                status_code(answer),
                "Customer.io responded with %(answer)s. Check the credentials (Site ID and API key), the "
                "region and any proxy.",
                answer=summary_of(answer),
            )
        )
    elif status in range(300, 400):
        item = Blocked(
            reason=reason(
                status_code(answer),
                "Customer.io responded with %(answer)s. A redirect usually means that the workspace is "
                "not in region %(region)s. Check the region, base_url and any proxy.",
                answer=summary_of(answer),
                region=region,
            )
        )
    elif status in _NOT_HERE and calls[0].batchable:
        # The path is the contract's own, so the host is not Customer.io's.
        item = Blocked(
            reason=reason(
                status_code(answer),
                "Customer.io responded with %(answer)s. There is no Track API at this URL. Check the "
                "region and base_url.",
                answer=summary_of(answer),
            )
        )
    elif status in _NOT_HERE:
        # Not documented for v1: the cause may be the host, as above, or an object in the path. A single such call
        # must not block the others.
        item = Deferred(
            reason=reason(
                status_code(answer),
                "Customer.io responded with %(answer)s. Check the ids in the call's URL, the region and base_url.",
                answer=summary_of(answer),
            ),
            retry_after_ms=retry_after_ms(answer),
            reached=True,
        )
    elif len(calls) > 1:
        # Nothing of the request was accepted, and the response need not say which item is the cause.
        item = Deferred(
            reason=reason("batch_rejected", "Customer.io rejected the batch: %(answer)s.", answer=summary_of(answer)),
            alone=True,
        )
    else:
        item = _refused(status_code(answer), summary_of(answer))
    return [item for _ in calls]


def _accepted(calls: Sequence[ReadyCall], answer: Response) -> list[Outcome]:
    """A 2xx may list rejected items, a 207 does; items missing from a consistent list were accepted."""
    if not answer.body.strip() and len(calls) == 1 and _is_empty_success(calls[0], answer.status):
        return [Delivered()]
    value = read_object(answer)
    if value is None:
        return [_foreign(answer) for _ in calls]
    errors = value.get("errors")
    complains = _complains(value)
    if errors in (None, []) and not complains and answer.status != _PARTLY:
        return [Delivered() for _ in calls]
    rejected = _rejected(errors, len(calls)) if isinstance(errors, list) and errors else None
    if rejected is None and len(calls) > 1:
        # It is unknown which item was rejected, so each is sent alone. Event ids prevent duplicates.
        unnamed = reason(
            "batch_rejected",
            "Customer.io rejected a call in the batch without saying which: %(answer)s.",
            answer=summary_of(answer),
        )
        return [Deferred(reason=unnamed, alone=True) for _ in calls]
    if rejected is None:
        return [_refused(_REJECTED, summary_of(answer)) if complains and errors in (None, []) else _foreign(answer)]
    return [_refused(*rejected[index]) if index in rejected else Delivered() for index in range(len(calls))]


def _is_empty_success(call: ReadyCall, status: int) -> bool:
    documented_call = v1_call(call.method, call.url[max(0, call.url.rfind("/api/v1/")) :])
    return documented_call is not None and documented_call.empty_status == status


def _complains(value: dict[str, Json]) -> bool:
    """Whether a response contains an error in the place that v1 uses."""
    meta = value.get("meta")
    return isinstance(meta, dict) and bool(meta.get("error") or meta.get("errors"))


def _rejected(errors: Sequence[Json], calls: int) -> dict[int, tuple[str, str]] | None:
    """The code and text of each rejected call, by position; None for an inconsistent list."""
    rejected: dict[int, tuple[str, str]] = {}
    for entry in errors:
        fields = entry if isinstance(entry, dict) else {}
        index = fields.get("batch_index", 0 if calls == 1 else None)
        if not isinstance(index, int) or isinstance(index, bool) or index not in range(calls):
            return None
        if index in rejected and calls > 1:
            return None
        words = [str(fields[name]) for name in ("reason", "field", "message") if fields.get(name)]
        text = " ".join(words) or (entry if isinstance(entry, str) else "")
        code, earlier = rejected.get(index, (_code_of(fields), ""))
        rejected[index] = (code, ", ".join(filter(None, [earlier, text]))[:MAX_TEXT_CHARS])
    return {index: (code, text or "no reason given") for index, (code, text) in rejected.items()}


def _code_of(fields: Mapping[str, Json]) -> str:
    """The code of a rejection, from words of Customer.io's contract: it groups failures."""
    words = [fields.get("reason"), fields.get("field")]
    return "_".join([_REJECTED, *(word for word in words if isinstance(word, str) and word in _WORDS)])


def _refused(code: str, text: str) -> Refused:
    return Refused(reason=reason(code, "Customer.io rejected the call: %(text)s.", text=text))


def _foreign(answer: Response) -> Deferred:
    return Deferred(reason=why_foreign(answer), retry_after_ms=retry_after_ms(answer), failing=True, foreign=True)


def why_foreign(answer: Response) -> Reason:
    """The reason for a response that is not Customer.io's."""
    code, text = f"foreign_{answer.status}", start_of(answer)
    if answer.truncated:
        return reason(
            code,
            "The response (status %(status)s) is not from Customer.io. Check base_url and any proxy. "
            "It is longer than 1 MiB and starts with: %(text)s",
            status=answer.status,
            text=text,
        )
    if not text:
        return reason(
            code,
            "The response (status %(status)s) is empty and not from Customer.io. Check base_url and any proxy.",
            status=answer.status,
        )
    return reason(
        code,
        "The response (status %(status)s) is not from Customer.io. Check base_url and any proxy. "
        "It starts with: %(text)s",
        status=answer.status,
        text=text,
    )


def read_object(answer: Response) -> dict[str, Json] | None:
    """The JSON object of a response; None for anything else, and for objects with `error`, which gateways send and
    Customer.io does not.
    """
    if answer.truncated or is_deeper(answer.body):
        return None
    try:
        value: Json = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) and not value.get("error") else None
