"""Test events: marked events that are really sent, with calls, requests and responses as a delivery's, without a
queue, a retry or a breaker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

import msgspec

from nicobar.audit import AuditAction
from nicobar.connectors import (
    Delivered,
    NoResponse,
    Outcome,
    ReadyCall,
    Refused,
    Request,
    Response,
    Transport,
    is_credential,
)
from nicobar.errors import NicobarError, Refusal, UserError
from nicobar.masking import MASK
from nicobar.model import Record, RequestRecord
from nicobar.pipeline import batching
from nicobar.pipeline.configuration import Configuration, OpenEndpoint
from nicobar.pipeline.customers import completed
from nicobar.pipeline.transform import Ready, Subject, transform
from nicobar.reasons import Reason
from nicobar.redaction import Redactor
from nicobar.sandbox import Sandbox
from nicobar.use_cases.chosen_ledgers import LedgerChoice, chosen_ledger
from nicobar.use_cases.edit import Actor, Edit, OperationServices, edited
from nicobar.use_cases.ledger_states import LedgerState
from nicobar.use_cases.sealed_answers import answer_purpose, test_owner

MAX_SHOWN_BODY_CHARS = 65_536
MAX_SHOWN_RESPONSE_CHARS = 4_096
# As long as the answers to idempotent requests.
KEEP_MS = 12 * 3_600_000
MAX_WAIT_MS = 20_000
POLL_MS = 100


class Sent(Record):
    """A sent request and its response. `status` is None without a response; `reasons` say why calls were not
    accepted, empty if all were.
    """

    request: RequestRecord
    status: int | None
    response: str
    duration_ms: int
    reasons: tuple[Reason, ...]


class SentTestEvent(Record):
    """A test event and its responses."""

    event_type: str
    sent: tuple[Sent, ...]
    calls: int
    at_ms: int

    @property
    def is_accepted(self) -> bool:
        return bool(self.sent) and not any(item.reasons for item in self.sent)


class TestEventServices(OperationServices, Protocol):
    """`OperationServices` that can run code and send."""

    @property
    def sandbox(self) -> Sandbox: ...
    @property
    def transport(self) -> Transport: ...
    @property
    def configuration(self) -> Configuration: ...


@dataclass(frozen=True, slots=True)
class TestTarget:
    """Where a test event goes. `subject_id` is the id of the endpoint or the draft; `secrets` are masked wherever a
    response repeats them.
    """

    opened: OpenEndpoint
    app_id: str
    subject_id: str
    secrets: tuple[str, ...]


async def send_test_event(
    services: TestEventServices,
    actor: Actor,
    target: TestTarget,
    subject: Subject,
    test_id: str,
    *,
    state: LedgerState | None = None,
) -> None:
    """Sends what the handler returns for an event, once for each `test_id` over all processes. With a `state`, it
    reads that of the ledger instead of what is stored. Raises
    UserError if there is nothing to send, and SandboxError; then it may be called again.
    """
    owner = test_owner(target.subject_id)
    now_ms = services.clock.now_ms()
    if await services.store.begin_answer(owner, test_id, "", now_ms=now_ms, before_ms=now_ms - KEEP_MS) is not None:
        return
    try:
        event = await _send(services, actor, target, msgspec.structs.replace(subject, test=test_id), state)
    except NicobarError:
        await services.store.drop_answer(owner, test_id)
        raise
    body = services.vault.seal(msgspec.json.encode(event), answer_purpose(owner, test_id, ""))
    await services.store.keep_answer(owner, test_id, status=HTTPStatus.OK, body=body)


async def sent_test_event(services: OperationServices, subject_id: str, test_id: str) -> SentTestEvent:
    """The result of a test event; waits while it is being sent. Raises Refusal 404 for an unknown one, 409 where it
    is not finished after MAX_WAIT_MS.
    """
    owner = test_owner(subject_id)
    for _ in range(MAX_WAIT_MS // POLL_MS):
        kept = await services.store.answer(owner, test_id)
        if kept is None:
            raise Refusal(
                404, "not_found", "Test event %(id)s not found.", "Results are kept for 12 hours.", id=test_id
            )
        if kept.status:
            body = services.vault.unseal(kept.body, answer_purpose(owner, test_id, ""))
            return msgspec.json.decode(body, type=SentTestEvent)
        await asyncio.sleep(POLL_MS / 1000)
    raise Refusal(
        409,
        "test_unfinished",
        "The test event has no result yet.",
        "Reload this page, or check at the destination whether the event arrived.",
    )


async def _send(
    services: TestEventServices, actor: Actor, target: TestTarget, subject: Subject, state: LedgerState | None
) -> SentTestEvent:
    subjects = await completed(services.store, services.configuration, target.opened, target.app_id, [subject])
    ledger = chosen_ledger(services, target.app_id, LedgerChoice(state=state))
    (result,) = await transform(services.sandbox, target.opened, subjects, services.clock.now_ms(), ledger)
    if not isinstance(result, Ready):
        raise UserError(
            "nothing_to_send", "The handler sends nothing for this event.", "Choose an event that the handler sends."
        )
    calls = result.calls
    event_type = subject.message.event_type

    async def note(edit: Edit) -> None:
        detail = f"{event_type}, {len(calls)} calls, test {subject.test}"
        await edit.commit(AuditAction.ENDPOINT_SEND_TEST, target.subject_id, app_id=target.app_id, detail=detail)

    await edited(services, actor, note)
    sent = await send_calls(services.transport, target.opened, calls, target.secrets)
    redactor = services.configuration.redactor(subject.message)
    sent = tuple(_masked(item, redactor) for item in sent)
    return SentTestEvent(event_type=event_type, sent=sent, calls=len(calls), at_ms=services.clock.now_ms())


async def send_calls(
    transport: Transport, target: OpenEndpoint, calls: Sequence[ReadyCall], secrets: Sequence[str] = ()
) -> tuple[Sent, ...]:
    """Sends the calls in order until one is not accepted. `secrets` are masked wherever a response repeats them."""
    sent: list[Sent] = []
    destination = target.destination
    for start, end in batching.requests(calls, destination.batch_bounds):
        part = calls[start:end]
        request = destination.pack(part)
        answer = await transport.send(request)
        outcomes = destination.read(part, answer)
        sent.append(_sent(target, request, answer, outcomes, secrets))
        if not all(isinstance(outcome, Delivered | Refused) for outcome in outcomes):
            break
    return tuple(sent)


def _sent(
    target: OpenEndpoint,
    request: Request,
    answer: Response | NoResponse,
    outcomes: Sequence[Outcome],
    secrets: Sequence[str],
) -> Sent:
    hidden = {*secrets, *(value for name, value in request.headers.items() if is_credential(name))}
    hidden |= {value.partition(" ")[2] for value in hidden}
    text = answer.body.decode("utf-8", "replace") if isinstance(answer, Response) else ""
    return Sent(
        request=RequestRecord(
            method=request.method,
            url=target.hidden.masked(request.url),
            headers=target.shown_headers(request.shown_headers),
            body=target.hidden.masked(request.body.decode("utf-8", "replace"))[:MAX_SHOWN_BODY_CHARS],
        ),
        status=answer.status if isinstance(answer, Response) else None,
        response=target.confidential.masked(_without(text, hidden))[:MAX_SHOWN_RESPONSE_CHARS],
        duration_ms=answer.duration_ms,
        reasons=tuple(
            why.with_texts(lambda text: target.confidential.masked(_without(text, hidden)))
            for why in _reasons(outcomes)
        ),
    )


def _masked(sent: Sent, redactor: Redactor) -> Sent:
    """The result as it is kept, without personal data."""
    return msgspec.structs.replace(
        sent,
        request=redactor.request(sent.request),
        response=redactor.text(sent.response),
        reasons=tuple(map(redactor.reason, sent.reasons)),
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
        text = text.replace(item, MASK)
    return text
