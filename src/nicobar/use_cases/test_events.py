"""One event sent for real, marked as a test: calls, requests and answers as a delivery's, without a queue, a retry
or a breaker.
"""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.connectors import (
    Delivered,
    Destination,
    NoResponse,
    Outcome,
    ReadyCall,
    Refused,
    Request,
    Response,
    Transport,
    is_credential,
)
from nicobar.model import Record, RequestRecord
from nicobar.pipeline import batching
from nicobar.reasons import Reason

MAX_SHOWN_BODY_CHARS = 65_536
MAX_SHOWN_RESPONSE_CHARS = 4_096
_MASK = "***"


class Sent(Record):
    """A request that went out and what was answered. `status` is None where nothing was; `reasons` say why it was not
    accepted, empty where all of it was.
    """

    request: RequestRecord
    status: int | None
    response: str
    duration_ms: int
    reasons: tuple[Reason, ...]


async def send_test(
    transport: Transport, destination: Destination, calls: Sequence[ReadyCall], secrets: Sequence[str] = ()
) -> tuple[Sent, ...]:
    """Sends the calls in order; what comes after one that was not taken stays here. `secrets` are masked wherever an
    answer repeats them.
    """
    sent: list[Sent] = []
    for start, end in batching.requests(calls, destination.batch_bounds):
        part = calls[start:end]
        request = destination.pack(part)
        answer = await transport.send(request)
        outcomes = destination.read(part, answer)
        sent.append(_sent(request, answer, outcomes, secrets))
        if not all(isinstance(outcome, Delivered | Refused) for outcome in outcomes):
            break
    return tuple(sent)


def _sent(
    request: Request, answer: Response | NoResponse, outcomes: Sequence[Outcome], secrets: Sequence[str]
) -> Sent:
    hidden = {*secrets, *(value for name, value in request.headers.items() if is_credential(name))}
    hidden |= {value.partition(" ")[2] for value in hidden}
    text = answer.body.decode("utf-8", "replace") if isinstance(answer, Response) else ""
    return Sent(
        request=RequestRecord(
            method=request.method,
            url=request.url,
            headers=request.shown_headers,
            body=request.body.decode("utf-8", "replace")[:MAX_SHOWN_BODY_CHARS],
        ),
        status=answer.status if isinstance(answer, Response) else None,
        response=_without(text, hidden)[:MAX_SHOWN_RESPONSE_CHARS],
        duration_ms=answer.duration_ms,
        reasons=tuple(why.with_texts(lambda text: _without(text, hidden)) for why in _reasons(outcomes)),
    )


def _reasons(outcomes: Sequence[Outcome]) -> list[Reason]:
    """Each once."""
    reasons: list[Reason] = []
    for outcome in outcomes:
        if not isinstance(outcome, Delivered) and outcome.reason not in reasons:
            reasons.append(outcome.reason)
    return reasons


def _without(text: str, hidden: set[str]) -> str:
    for item in sorted(filter(None, hidden), key=len, reverse=True):
        text = text.replace(item, _MASK)
    return text
