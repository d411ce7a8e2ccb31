"""Dry runs of a transformation on stored messages: the calls that it would send now, their verdicts, and how they
differ from the calls that were sent. Nothing is sent, and the state of running destinations does not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from nicobar.clock import Clock
from nicobar.crypto import Vault
from nicobar.model import Attempt, Delivery, DeliveryState, Endpoint, Message, Record, Verdict
from nicobar.pipeline.configuration import Configuration, open_endpoint
from nicobar.pipeline.customers import completed
from nicobar.pipeline.subscriptions import wants
from nicobar.pipeline.transform import Ready, Stopped, Subject, Transformed, masked, shown, transform
from nicobar.reasons import Reason
from nicobar.redaction import Redactor
from nicobar.sandbox import Sandbox
from nicobar.store import Store
from nicobar.store.history import MessageFilter
from nicobar.use_cases.chosen_ledgers import STORED, LedgerChoice, chosen_ledger
from nicobar.use_cases.dry_run import unpublished

MAX_MESSAGES = 100
MAX_BODIES_BYTES = 8 * 1024 * 1024
# The sandbox is shared with deliveries: a slow handler gets a few turns, not all.
TURN_MESSAGES = 10
MAX_LOOKS = 5
MAX_RUN_MS = 5_000


class WouldCall(Record):
    """A call that would be sent, without credentials; `added` if the handler did not request it."""

    method: str
    url: str
    body: str
    added: bool


class MessageDryRun(Record):
    """What would become of one message. `state` is PENDING where there is something to send, else FAILED or CANCELED
    with its `code` and `reason`. `sent` are the bodies of the calls that were sent last, None without any;
    `differs` is None then too. `snapshot` is what the handler read of the ledger, as JSON, empty for nothing.
    """

    message_id: str
    event_type: str
    accepted_at_ms: int
    customer_key: str | None
    state: DeliveryState
    calls: tuple[WouldCall, ...]
    verdicts: tuple[Verdict, ...]
    console: tuple[str, ...]
    snapshot: str = ""
    code: str | None = None
    reason: Reason | None = None
    line: int | None = None
    sent: tuple[str, ...] | None = None
    appears: tuple[str, ...] = ()
    disappears: tuple[str, ...] = ()

    @property
    def differs(self) -> bool | None:
        return None if self.sent is None else bool(self.appears or self.disappears)


class MessageDryRuns(Record):
    """The messages, newest first; `stopped` where the time was up before the last."""

    results: tuple[MessageDryRun, ...]
    stopped: bool


class DryRunServices(Protocol):
    """What a dry run on stored messages needs of `Services`."""

    @property
    def store(self) -> Store: ...
    @property
    def configuration(self) -> Configuration: ...
    @property
    def vault(self) -> Vault: ...
    @property
    def sandbox(self) -> Sandbox: ...
    @property
    def clock(self) -> Clock: ...


async def run_messages(
    services: DryRunServices,
    endpoint: Endpoint,
    code: str | None = None,
    *,
    messages: int,
    event_types: Sequence[str] = (),
    choice: LedgerChoice = STORED,
) -> MessageDryRuns:
    """Runs `code`, or the endpoint's own where it is None, on the latest messages of its types, at most
    MAX_MESSAGES. Raises SandboxError, and UserError for an endpoint that cannot be opened.
    """
    if code is not None:
        endpoint = msgspec.structs.replace(endpoint, transformation=unpublished(code), transformation_enabled=True)
    target = open_endpoint(services.vault, endpoint)
    latest = await _latest(services, endpoint, tuple(event_types), min(messages, MAX_MESSAGES))
    found = _fitting(latest)
    until_ms = services.clock.steady_ms() + MAX_RUN_MS
    results: list[MessageDryRun] = []
    ledger = chosen_ledger(services, endpoint.app_id, choice)
    for start in range(0, len(found), TURN_MESSAGES):
        if services.clock.steady_ms() >= until_ms:
            break
        turn = found[start : start + TURN_MESSAGES]
        sent = await _sent(services.store, turn, endpoint)
        subjects = [
            _subject(services.configuration, message, endpoint, delivery)
            for message, (delivery, _) in zip(turn, sent, strict=True)
        ]
        subjects = await completed(services.store, services.configuration, target, endpoint.app_id, subjects)
        transformed = await transform(services.sandbox, target, subjects, services.clock.now_ms(), ledger)
        results += [
            compare(message, shown(target, result), attempt, services.configuration.redactor(message))
            for message, result, (_, attempt) in zip(turn, transformed, sent, strict=True)
        ]
    return MessageDryRuns(results=tuple(results), stopped=len(results) < len(found))


async def _latest(
    services: DryRunServices, endpoint: Endpoint, event_types: tuple[str, ...], limit: int
) -> list[Message]:
    """The latest messages that the endpoint subscribes to and that still have a body, within MAX_LOOKS pages,
    without operational messages.
    """
    which = MessageFilter(event_types=event_types or endpoint.event_types)
    latest: list[Message] = []
    place: str | None = None
    for _ in range(MAX_LOOKS):
        page = await services.store.messages(endpoint.app_id, which, before=place, limit=limit, with_body=True)
        latest += [
            item
            for item in page.items
            if item.expunged_at_ms is None
            and wants(endpoint, item.event_type, item.channels)
            and services.configuration.takes(endpoint, item)
        ]
        place = page.next
        if place is None or len(latest) >= limit:
            break
    return latest[:limit]


def _subject(
    configuration: Configuration, message: Message, endpoint: Endpoint, delivery: Delivery | None
) -> Subject:
    read, unreadable = configuration.reread(message)
    return Subject(
        message=read,
        customer=configuration.customer(read),
        customer_id_attribute=configuration.customer_id_attribute(read),
        unreadable=unreadable,
        reread=read is not message,
        edition=delivery.edition if delivery else 0,
        app_uid=configuration.app_uid(endpoint.app_id),
        replay_key=delivery.replay_key if delivery else "",
    )


async def _sent(
    store: Store, messages: Sequence[Message], endpoint: Endpoint
) -> list[tuple[Delivery | None, Attempt | None]]:
    """Of each message the delivery, which its events' ids depend on, and the last attempt that sent something."""
    ids = [message.id for message in messages]
    deliveries = await store.deliveries_of_messages(ids)
    attempts = await store.attempts_of_deliveries(ids, endpoint.id)
    return [
        (
            next((delivery for delivery in deliveries[key] if delivery.endpoint_id == endpoint.id), None),
            next((attempt for attempt in reversed(attempts.get((key, endpoint.id), [])) if attempt.requests), None),
        )
        for key in ids
    ]


def compare(message: Message, result: Transformed, attempt: Attempt | None, redactor: Redactor) -> MessageDryRun:
    """What would become of a message beside what was sent, both without personal data, as attempts are stored. Calls
    that the connector adds count only where they were sent otherwise. A request of which only the beginning was kept
    differs.
    """
    result = masked(result, redactor)
    sent = None
    if attempt is not None:
        sent = tuple(line for request in redactor.attempt(attempt).requests for line in request.body.split("\n"))
    calls = _calls(result)
    own = [call.body for call in calls if not call.added]
    sent_bodies = list(sent or ())
    return MessageDryRun(
        message_id=message.id,
        event_type=message.event_type,
        accepted_at_ms=message.accepted_at_ms,
        customer_key=message.customer_key,
        state=result.state if isinstance(result, Stopped) else DeliveryState.PENDING,
        code=result.code if isinstance(result, Stopped) else None,
        reason=result.reason if isinstance(result, Stopped) else None,
        line=result.reason.line if isinstance(result, Stopped) else None,
        calls=calls,
        verdicts=result.verdicts,
        console=result.console,
        snapshot=result.snapshot,
        sent=sent,
        appears=() if sent is None else _without(own, sent_bodies),
        disappears=_without(sent_bodies, [call.body for call in calls]),
    )


def _calls(result: Transformed) -> tuple[WouldCall, ...]:
    if not isinstance(result, Ready):
        return ()
    return tuple(
        WouldCall(method=call.method, url=call.url, body=call.body.decode("utf-8", "replace"), added=call.added)
        for call in result.calls
    )


def _without(bodies: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """The bodies that are not among the others; each of those stands for one."""
    left = list(others)
    missing = []
    for body in bodies:
        if body in left:
            left.remove(body)
        else:
            missing.append(body)
    return tuple(missing)


def _fitting(messages: Sequence[Message]) -> list[Message]:
    """As many as have bodies within the bound."""
    fitting: list[Message] = []
    size_bytes = 0
    for message in messages:
        size_bytes += len(message.body)
        if size_bytes > MAX_BODIES_BYTES:
            break
        fitting.append(message)
    return fitting
