"""What a replay would send, before it starts: the endpoint's current handler is run on the messages, and its events
are compared with those that the destination has accepted. Nothing is sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from nicobar.clock import Clock
from nicobar.connectors import ReadyCall
from nicobar.crypto import Vault
from nicobar.errors import SandboxError, StoreUnusable, UserError
from nicobar.logs import log
from nicobar.model import Attempt, DeliveryState, Endpoint, Json, Message, Record
from nicobar.pipeline.configuration import Configuration, OpenEndpoint, open_endpoint
from nicobar.pipeline.customers import completed
from nicobar.pipeline.ledgers import Ledgers
from nicobar.pipeline.transform import Ready, Subject, Transformed, transform
from nicobar.sandbox import Sandbox
from nicobar.store import ReplayCount, ReplayFilter, Store, TaskKind
from nicobar.use_cases.dry_run_messages import TURN_MESSAGES, DryRunServices, MessageDryRun, compare
from nicobar.use_cases.replays import replay_filter

MAX_MESSAGES = 10_000
MAX_RUN_MS = 20_000
# For a page, which a person waits for.
MAX_PAGE_RUN_MS = 5_000
# A page is read with so many messages, and bodies of this size at most.
PAGE_MESSAGES = 100
PAGE_BYTES = 8 * 1024 * 1024
# Events that differ in nothing but their number.
_EQUAL_EVENTS = "equal_events"


class ReplayEffect(Record):
    """What a replay would send. `messages` were run, all of them unless `is_estimate`. `new_events` have ids that the
    destination has not accepted, `known_events` ids that it has and ignores. Of the messages, `changed` would send
    something else than they did, `renumbered` have another number of equal events, whose ids depend on it, and
    `failing` would send nothing because of an error.
    """

    messages: int = 0
    new_events: int = 0
    known_events: int = 0
    changed: int = 0
    renumbered: int = 0
    failing: int = 0
    is_estimate: bool = False


class EffectServices(NamedTuple):
    """The part of `Services` that this needs, for the command line."""

    store: Store
    configuration: Configuration
    vault: Vault
    sandbox: Sandbox
    clock: Clock


class _Sent(NamedTuple):
    """Of a message, the ids that were accepted, and the last attempt that sent something."""

    ids: frozenset[str]
    attempt: Attempt | None


async def replay_effect(
    services: DryRunServices,
    kind: TaskKind,
    endpoint: Endpoint,
    wanted: ReplayFilter,
    count: ReplayCount,
    *,
    new_ids: bool = False,
    max_run_ms: int = MAX_RUN_MS,
) -> ReplayEffect:
    """Runs the handler on at most MAX_MESSAGES, for at most `max_run_ms`. Raises SandboxError, StoreError, and
    UserError for an endpoint that cannot be opened.
    """
    target = open_endpoint(services.vault, endpoint)
    which = replay_filter(kind, endpoint, wanted)
    until_ms = services.clock.steady_ms() + max_run_ms
    effect = ReplayEffect()
    after_seq = 0
    while effect.messages < MAX_MESSAGES and services.clock.steady_ms() < until_ms:
        page = await services.store.replayable(
            endpoint.seq, which, after_seq=after_seq, limit=PAGE_MESSAGES, max_bytes=PAGE_BYTES
        )
        if not page:
            break
        after_seq = page[-1].seq
        effect = await _with_page(services, target, page, effect, until_ms, new_ids=new_ids)
    return msgspec.structs.replace(effect, is_estimate=effect.messages < count.deliveries)


async def known_effect(
    services: DryRunServices,
    kind: TaskKind,
    endpoint: Endpoint,
    wanted: ReplayFilter,
    count: ReplayCount,
    *,
    new_ids: bool = False,
    max_run_ms: int = MAX_RUN_MS,
) -> ReplayEffect | None:
    """The same; None if the handler cannot be run."""
    if not count.deliveries:
        return ReplayEffect()
    try:
        return await replay_effect(services, kind, endpoint, wanted, count, new_ids=new_ids, max_run_ms=max_run_ms)
    except (SandboxError, UserError, StoreUnusable) as error:
        log.error("replay not examined", endpoint_id=endpoint.id, code=error.code, detail=error.detail)
        return None


async def _with_page(
    services: DryRunServices,
    target: OpenEndpoint,
    page: Sequence[Message],
    effect: ReplayEffect,
    until_ms: int,
    *,
    new_ids: bool,
) -> ReplayEffect:
    sent = await _sent(services, target, page)
    ledgers = Ledgers(services.store, services.configuration)
    for start in range(0, len(page), TURN_MESSAGES):
        if services.clock.steady_ms() >= until_ms:
            break
        turn = page[start : start + TURN_MESSAGES]
        subjects = [_subject(services, message, target.endpoint, new_ids=new_ids) for message in turn]
        app_id = target.endpoint.app_id
        subjects = await completed(services.store, services.configuration, target, app_id, subjects)
        results = await transform(services.sandbox, target, subjects, services.clock.now_ms(), ledgers)
        keys = sorted({call.event_id for result in results for call in _calls(result) if call.once})
        elsewhere = await services.store.sent_keys(target.destination.workspaces, keys) if keys else {}
        for message, result in zip(turn, results, strict=True):
            redactor = services.configuration.redactor(message)
            would = compare(message, result, sent[message.id].attempt, redactor)
            effect = _added(effect, result, sent[message.id], elsewhere, would)
    return effect


def _subject(services: DryRunServices, message: Message, endpoint: Endpoint, *, new_ids: bool) -> Subject:
    read, unreadable = services.configuration.reread(message)
    return Subject(
        message=read,
        customer=services.configuration.customer(read),
        customer_id_attribute=services.configuration.customer_id_attribute(read),
        unreadable=unreadable,
        reread=read is not message,
        is_outside=not services.configuration.takes(endpoint, read),
        app_uid=services.configuration.app_uid(endpoint.app_id),
        replay_key="count" if new_ids else "",  # any key makes new ids
    )


async def _sent(services: DryRunServices, target: OpenEndpoint, page: Sequence[Message]) -> dict[str, _Sent]:
    ids = [message.id for message in page]
    own = target.endpoint.id
    accepted = await services.store.accepted_ids(ids)
    others = _elsewhere(services, target)
    attempts = await services.store.attempts_of_deliveries(ids, own)
    found = {}
    for message_id in ids:
        known = {
            event_id
            for (of, endpoint_id), event_ids in accepted.items()
            if of == message_id and endpoint_id not in others
            for event_id in event_ids
        }
        last = next((item for item in reversed(attempts.get((message_id, own), [])) if item.requests), None)
        if (message_id, own) not in accepted and last is not None and last.state is DeliveryState.SUCCESS:
            known |= _ids_in(last)  # of a version that did not store them
        found[message_id] = _Sent(ids=frozenset(known), attempt=last)
    return found


def _elsewhere(services: DryRunServices, target: OpenEndpoint) -> set[str]:
    """The endpoints that send to another place. A deleted one counts as one of the same place: it may be this one,
    created again.
    """
    own = set(target.destination.workspaces)
    return {
        other.endpoint.id
        for other in services.configuration.endpoints.values()
        if other.endpoint.id != target.endpoint.id and own.isdisjoint(other.destination.workspaces)
    }


def _ids_in(attempt: Attempt) -> set[str]:
    found = set()
    for line in "\n".join(request.body for request in attempt.requests).split("\n"):
        try:
            value: Json = msgspec.json.decode(line)
        except msgspec.DecodeError:  # cut
            continue
        if isinstance(value, dict) and isinstance(given := value.get("id"), str):
            found.add(given)
    return found


def _calls(result: Transformed) -> Sequence[ReadyCall]:
    return result.calls if isinstance(result, Ready) else ()


def _added(
    effect: ReplayEffect,
    result: Transformed,
    sent: _Sent,
    elsewhere: Mapping[str, object],
    would: MessageDryRun,
) -> ReplayEffect:
    events = [call.event_id for call in _calls(result) if call.event_id]
    known = sum(event_id in sent.ids or event_id in elsewhere for event_id in events)
    attempt = sent.attempt
    failing = not isinstance(result, Ready) and result.state is DeliveryState.FAILED
    renumbered = attempt is not None and isinstance(result, Ready) and _equal(attempt) != _equal(result)
    return ReplayEffect(
        messages=effect.messages + 1,
        new_events=effect.new_events + len(events) - known,
        known_events=effect.known_events + known,
        changed=effect.changed + bool(not failing and would.differs),
        renumbered=effect.renumbered + renumbered,
        failing=effect.failing + failing,
    )


def _equal(found: Attempt | Ready) -> Counter[str]:
    """How many events differ from others in their number only, by name."""
    return Counter(
        str(verdict.reason.values.get("name", "")) for verdict in found.verdicts if verdict.rule == _EQUAL_EVENTS
    )


def outline(effect: ReplayEffect) -> list[str]:
    """The effect in sentences, for the command line."""
    lines = [f"Events: {effect.new_events} new to the destination, {effect.known_events} already there."]
    if effect.changed:
        lines.append(f"{effect.changed} messages would send something else than they did.")
    if effect.renumbered:
        lines.append(
            f"▲ In {effect.renumbered} messages, the number of equal events without a `key` has changed: events may "
            "be lost or sent twice."
        )
    if effect.failing:
        lines.append(f"▲ {effect.failing} messages would fail.")
    if effect.is_estimate:
        lines.append(f"This is an estimate from the first {effect.messages} messages.")
    return lines
