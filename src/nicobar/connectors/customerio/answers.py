"""What Customer.io's answers mean for each call of a request."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nicobar.connectors import Blocked, Deferred, Delivered, NoResponse, Outcome, ReadyCall, Refused, Response
from nicobar.connectors.answers import MAX_TEXT_CHARS, deferred, said, unsent
from nicobar.model import Json

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
    one: Outcome
    if status in range(200, 300):
        return _by_item(calls, answer)
    if status in {401, 402, 403, 407}:
        one = Blocked(
            reason=f"Customer.io does not take the credentials ({status}). Check Site ID, API key and region."
        )
    elif status in range(300, 400):
        one = Blocked(
            reason=f"Customer.io answered {status}: the workspace is not in the region {region}. Set the other one."
        )
    elif status in _NOT_HERE and calls[0].batchable:
        # The address is the contract's own, so it is the host that is not Customer.io's.
        one = Blocked(reason=f"{said(answer)}: there is no Track API at this address. Check region and base_url.")
    elif len(calls) > 1:
        # Nothing of the request was accepted, and the answer need not say because of which item.
        one = Deferred(reason=f"Customer.io refused the batch: {said(answer)}.", alone=True)
    else:
        one = Refused(reason=f"Customer.io refused the call: {said(answer)}.")
    return [one for _ in calls]


def _by_item(calls: Sequence[ReadyCall], answer: Response) -> list[Outcome]:
    """A 2xx may still list refused items, a 207 does; what it does not list was accepted."""
    refused: dict[int, str] = {}
    errors = read_object(answer.body).get("errors")
    if answer.status == _PARTLY and not (isinstance(errors, list) and errors):
        return [_unnamed(len(calls), answer) for _ in calls]
    for entry in errors if isinstance(errors, list) else []:
        fields = entry if isinstance(entry, dict) else {}
        index = fields.get("batch_index", 0 if len(calls) == 1 else None)
        if not isinstance(index, int) or isinstance(index, bool) or index not in range(len(calls)):
            return [_unnamed(len(calls), answer) for _ in calls]
        words = [str(fields[name]) for name in ("reason", "field", "message") if fields.get(name)]
        refused[index] = " ".join(words)[:MAX_TEXT_CHARS] or "without a reason"
    return [
        Refused(reason=f"Customer.io refused the call: {refused[index]}.") if index in refused else Delivered()
        for index in range(len(calls))
    ]


def _unnamed(calls: int, answer: Response) -> Outcome:
    """Something was refused, but which: alone each is told. Events carry ids, so the accepted ones do not double."""
    if calls > 1:
        return Deferred(reason="Customer.io refused an unnamed item.", alone=True)
    return Refused(reason=f"Customer.io refused the call: {said(answer)}.")


def read_object(body: bytes) -> dict[str, Json]:
    """The JSON object of an answer; {} for anything else."""
    try:
        value: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
