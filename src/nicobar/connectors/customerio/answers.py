"""What Customer.io's answers mean for each call of a request.

Only Customer.io's own answer counts as accepted: a 2xx with a JSON object that names no error, or the status that is
documented for the call with an empty body. `errors` that is missing, null or an empty list names none. Anything else
with a 2xx comes from what stands between, such as a proxy's page, and is an outage of that.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nicobar.connectors import Blocked, Deferred, Delivered, NoResponse, Outcome, ReadyCall, Refused, Response
from nicobar.connectors.answers import MAX_TEXT_CHARS, deferred, retry_after_ms, said, start_of, unsent
from nicobar.connectors.customerio.contract import v1_call
from nicobar.model import Json
from nicobar.nesting import is_deeper

_OK = 200
_PARTLY = 207
_NOT_HERE = frozenset({404, 405})


def outcomes(calls: Sequence[ReadyCall], answer: Response | NoResponse, region: str) -> list[Outcome]:
    """One outcome a call, in their order."""
    blocked = unsent(answer, own=True)
    if blocked is not None:
        return [blocked for _ in calls]
    later = deferred(answer)
    if later is not None or isinstance(answer, NoResponse):
        return [later or Deferred(reason="No answer.") for _ in calls]
    status = answer.status
    item: Outcome
    if status in range(200, 300):
        return _accepted(calls, answer)
    if status < _OK:
        item = _foreign(answer)
    elif status in {401, 402, 403, 407}:
        item = Blocked(
            reason=f"Customer.io answered {said(answer)}. Check the credentials (Site ID and API key), region and "
            "any proxy."
        )
    elif status in range(300, 400):
        item = Blocked(
            reason=f"Customer.io answered {said(answer)}. The address redirects, as it does for a workspace that is "
            f"not in the region {region}. Check region, base_url and any proxy."
        )
    elif status in _NOT_HERE and calls[0].batchable:
        # The address is the contract's own, so it is the host that is not Customer.io's.
        item = Blocked(
            reason=f"Customer.io answered {said(answer)}. There is no Track API at this address. Check region and "
            "base_url."
        )
    elif status in _NOT_HERE:
        # No call of v1 documents it: it may be the host, as above, or a thing that the path names. One that alone
        # gets it must not hold up the others.
        item = Deferred(
            reason=f"Customer.io answered {said(answer)}. Check what the call's URL names, region and base_url.",
            retry_after_ms=retry_after_ms(answer),
            reached=True,
        )
    elif len(calls) > 1:
        # Nothing of the request was accepted, and the answer need not say because of which item.
        item = Deferred(reason=f"Customer.io refused the batch: {said(answer)}.", alone=True)
    else:
        item = _refused(said(answer))
    return [item for _ in calls]


def _accepted(calls: Sequence[ReadyCall], answer: Response) -> list[Outcome]:
    """A 2xx may still list rejected items, a 207 does; what a list that adds up does not name was accepted."""
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
        # Something was rejected, but which: alone each is told. Events carry ids, so the accepted ones do not double.
        return [Deferred(reason=f"Customer.io refused an unnamed item: {said(answer)}.", alone=True) for _ in calls]
    if rejected is None:
        return [_refused(said(answer)) if complains and errors in (None, []) else _foreign(answer)]
    return [_refused(rejected[index]) if index in rejected else Delivered() for index in range(len(calls))]


def _is_empty_success(call: ReadyCall, status: int) -> bool:
    known = v1_call(call.method, call.url[max(0, call.url.rfind("/api/v1/")) :])
    return known is not None and known.empty_status == status


def _complains(value: dict[str, Json]) -> bool:
    """Whether an answer names an error where v1 puts it."""
    meta = value.get("meta")
    return isinstance(meta, dict) and bool(meta.get("error") or meta.get("errors"))


def _rejected(errors: Sequence[Json], calls: int) -> dict[int, str] | None:
    """What is said of each rejected call, by its place; None for a list that does not add up."""
    rejected: dict[int, str] = {}
    for entry in errors:
        fields = entry if isinstance(entry, dict) else {}
        index = fields.get("batch_index", 0 if calls == 1 else None)
        if not isinstance(index, int) or isinstance(index, bool) or index not in range(calls):
            return None
        if index in rejected and calls > 1:
            return None
        words = [str(fields[name]) for name in ("reason", "field", "message") if fields.get(name)]
        text = " ".join(words) or (entry if isinstance(entry, str) else "")
        rejected[index] = ", ".join(filter(None, [rejected.get(index), text]))[:MAX_TEXT_CHARS]
    return {index: text or "without a reason" for index, text in rejected.items()}


def _refused(text: str) -> Refused:
    return Refused(reason=f"Customer.io refused the call: {text}.")


def _foreign(answer: Response) -> Deferred:
    return Deferred(reason=why_foreign(answer), retry_after_ms=retry_after_ms(answer), failing=True, foreign=True)


def why_foreign(answer: Response) -> str:
    """What is said of an answer that is not Customer.io's."""
    text = start_of(answer)
    if answer.truncated:
        return (
            f"The destination answered {answer.status} with something that is not Customer.io's answer. Check "
            f"base_url and any proxy in between. The answer is longer than 1 MiB and begins: {text}"
        )
    if not text:
        return (
            f"The destination answered {answer.status} with something that is not Customer.io's answer. Check "
            "base_url and any proxy in between. The answer is empty."
        )
    return (
        f"The destination answered {answer.status} with something that is not Customer.io's answer. Check base_url "
        f"and any proxy in between. The answer begins: {text}"
    )


def read_object(answer: Response) -> dict[str, Json] | None:
    """The JSON object of an answer; None for anything else, and for one that says `error`, as gateways do and
    Customer.io does not.
    """
    if answer.truncated or is_deeper(answer.body):
        return None
    try:
        value: Json = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) and not value.get("error") else None
