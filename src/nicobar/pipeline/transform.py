"""`transform → check`: turns messages into calls that are ready to send, or into the reason why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from nicobar.connectors import Origin, Prepared, ReadyCall
from nicobar.facts import About, KnownFact, complete
from nicobar.masking import Secrets
from nicobar.model import Call, Customer, DeliveryState, Json, Level, Message, Record, Verdict
from nicobar.nesting import MAX_DEPTH_LEVELS, is_deeper
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.exact_numbers import find_rounded, rounded_in
from nicobar.pipeline.handler_runs import LedgerReader, LedgerView, run_handler
from nicobar.pipeline.snapshots import snapshot_text
from nicobar.pipeline.subscriptions import wants
from nicobar.pipeline.unreadable import repaired
from nicobar.raw_payloads import raw_payload
from nicobar.reasons import Reason, reason
from nicobar.redaction import Redactor
from nicobar.sandbox import Broken, Calls, Canceled, Failure, Result, Sandbox, Untouched

# One message may become several calls; more than this is a mistake that would block the endpoint.
MAX_CALLS = 200
_ORDERING = "docs/explanation/delivery.md#ordering"
_HELPERS = "docs/reference.md#handlers"


class Subject(Record):
    """A message and its customer. The event ids depend on `app_uid`, `replay_key` and `test` (a test event), those of
    the earlier scheme on `edition` (see `connectors/identity.py`). `remembered_email`, `customer_id_attribute`,
    `other_metadata`, `shares_address`, `changed_address` and `has_known_address` as in `Origin`. `unreadable` says
    why the message cannot be read, `reread` that it could not be read when it was accepted, and can be now,
    `is_outside` that it is outside of the endpoint's scope. `about`
    and `known` are what the customer is completed from where the endpoint says what identifies people (`identified`).
    `view` is what the handler reads of the ledger, if that is not read from the store.
    """

    message: Message
    customer: Customer | None
    edition: int = 0
    test: str = ""
    app_uid: str = ""
    replay_key: str | None = ""
    unreadable: Reason | None = None
    reread: bool = False
    is_outside: bool = False
    remembered_email: bool = False
    customer_id_attribute: str = ""
    other_metadata: dict[str, Json] = {}
    shares_address: bool = False
    changed_address: bool = False
    has_known_address: bool = False
    about: About | None = None
    known: dict[str, KnownFact] | None = None
    view: LedgerView | None = None


class Ready(Record):
    """Calls to send; never empty. `requested` are the handler's calls before corrections. `version` is that of the
    transformation that returned them, None for the endpoint's current one. `untouched`: the call is the event itself.
    `snapshot` is what the handler has read of the ledger, as JSON, empty if it has read nothing.
    """

    requested: tuple[Call, ...]
    calls: tuple[ReadyCall, ...]
    console: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    duration_us: int = 0
    version: int | None = None
    untouched: bool = False
    snapshot: str = ""


class Stopped(Record):
    """Nothing to send: `state` is FAILED or CANCELED, `code` is the kind of reason. A failure that `may_pass` is
    retried. `awaits` are the keys of the facts that may identify the person where none was; None otherwise.
    `snapshot` as in `Ready`.
    """

    state: DeliveryState
    code: str
    reason: Reason
    may_pass: bool = False
    requested: tuple[Call, ...] = ()
    console: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    duration_us: int = 0
    awaits: tuple[str, ...] | None = None
    snapshot: str = ""


Transformed = Ready | Stopped


async def transform(
    sandbox: Sandbox,
    target: OpenEndpoint,
    subjects: Sequence[Subject],
    now_ms: int,
    ledger: LedgerReader | None = None,
) -> list[Transformed]:
    """Runs the endpoint's handler on the messages and checks its calls. Without a `ledger`, handlers that read it get
    what the subjects have. Raises SandboxError, and StoreError where there is a ledger.

    In the handler, the current time is always the time when the message was accepted.
    """
    subjects = [identified(target, subject) for subject in subjects]
    stops = [_why_not_run(target, subject) for subject in subjects]
    run = [it for it, stop in zip(subjects, stops, strict=True) if stop is None]
    ran = iter(await run_handler(sandbox, target, run, ledger))
    transformed: list[Transformed] = []
    for subject, stop in zip(subjects, stops, strict=True):
        if stop is not None:
            transformed.append(stop)
            continue
        handled = next(ran)
        result = _beyond_limits(subject, handled.result) or _check(target, subject, handled.result, now_ms)
        if handled.view is not None:
            result = msgspec.structs.replace(result, snapshot=snapshot_text(handled.view))
        transformed.append(result)
    return [_without_secrets(target, result) for result in transformed]


def identified(target: OpenEndpoint, subject: Subject) -> Subject:
    """The subject with its customer completed, if the endpoint says what identifies people."""
    if target.destination.identity_rule is None or subject.about is None or subject.known is None:
        return subject
    found = complete(subject.about, subject.known)
    return msgspec.structs.replace(
        subject,
        customer=found.customer,
        remembered_email=found.remembered_email,
        other_metadata=found.other_metadata,
        known=None,
    )


def _without_secrets(target: OpenEndpoint, result: Transformed) -> Transformed:
    """What the handler and the check say, without the values of secret variables. The calls keep them."""
    if not target.hidden:
        return result
    console = tuple(map(target.hidden.masked, result.console))
    verdicts = tuple(masked_verdict(target.hidden, verdict) for verdict in result.verdicts)
    if isinstance(result, Ready):
        return msgspec.structs.replace(result, console=console, verdicts=verdicts)
    why = result.reason.with_texts(target.hidden.masked)
    return msgspec.structs.replace(result, console=console, verdicts=verdicts, reason=why)


def masked_verdict(secrets: Secrets, verdict: Verdict) -> Verdict:
    return msgspec.structs.replace(verdict, reason=verdict.reason.with_texts(secrets.masked)) if secrets else verdict


def shown(target: OpenEndpoint, result: Transformed) -> Transformed:
    """The result as people may see it: its calls without secret variables and headers. It is not sent."""
    calls = result.calls if isinstance(result, Ready) else ()
    requested = tuple(
        msgspec.structs.replace(
            call,
            url=target.hidden.masked(call.url),
            headers=target.shown_headers(call.headers),
            payload=target.hidden.masked_json(call.payload),
        )
        for call in result.requested
    )
    if isinstance(result, Stopped):
        return msgspec.structs.replace(result, requested=requested)
    shown_calls = tuple(
        msgspec.structs.replace(
            call,
            url=target.hidden.masked(call.url),
            headers=target.shown_headers(call.headers),
            body=target.hidden.masked_bytes(call.body),
        )
        for call in calls
    )
    return msgspec.structs.replace(result, requested=requested, calls=shown_calls)


def _why_not_run(target: OpenEndpoint, subject: Subject) -> Stopped | None:
    """Why the handler is not run on a message: it cannot be read, or it can be now, and is none for the endpoint."""
    if subject.unreadable is not None:
        return Stopped(state=DeliveryState.FAILED, code=subject.unreadable.code, reason=subject.unreadable)
    if subject.reread and not wants(target.endpoint, subject.message.event_type, subject.message.channels):
        why = reason(
            "not_subscribed",
            "The endpoint is not subscribed to %(event_type)s.",
            event_type=subject.message.event_type,
        )
        return Stopped(state=DeliveryState.CANCELED, code=why.code, reason=why)
    if subject.is_outside:
        why = reason(
            "outside_scope",
            "The endpoint is limited to a mode, businesses or brands. The message has another one, or does not state "
            "it.",
            "To deliver it, change the endpoint's settings and resend the message.",
        )
        return Stopped(state=DeliveryState.CANCELED, code=why.code, reason=why)
    return None


def without_attributes(result: Transformed) -> Transformed:
    """What an overtaken delivery sends: its events. Other calls would take its customer back to an older state."""
    if isinstance(result, Stopped) or all(call.is_event for call in result.calls):
        return result
    events = tuple(call for call in result.calls if call.is_event)
    why = reason(
        "overtaken",
        "Later events of the same customer were sent first, so only events are sent. Omitted calls: %(calls)s.",
        "To send all calls, resend the event once it is finished.",
        calls=len(result.calls) - len(events),
    )
    verdicts = (*result.verdicts, Verdict(level=Level.WARNING, reason=why, source=_ORDERING))
    if events:
        return msgspec.structs.replace(result, calls=events, verdicts=verdicts)
    return Stopped(
        state=DeliveryState.CANCELED,
        code=why.code,
        reason=why,
        requested=result.requested,
        console=result.console,
        verdicts=verdicts,
        duration_us=result.duration_us,
        snapshot=result.snapshot,
    )


def masked(result: Transformed, redactor: Redactor) -> Transformed:
    """The result as it is shown, without personal data: it is not to be sent."""
    redactor = redactor.also(result.snapshot)
    verdicts, console = tuple(map(redactor.verdict, result.verdicts)), tuple(map(redactor.text, result.console))
    snapshot = redactor.snapshot(result.snapshot)
    if isinstance(result, Stopped):
        why = redactor.reason(result.reason)
        return msgspec.structs.replace(result, reason=why, verdicts=verdicts, console=console, snapshot=snapshot)
    calls = tuple(
        msgspec.structs.replace(
            call, url=redactor.text(call.url), body=redactor.text(call.body.decode("utf-8", "replace")).encode()
        )
        for call in result.calls
    )
    return msgspec.structs.replace(result, calls=calls, verdicts=verdicts, console=console, snapshot=snapshot)


def _beyond_limits(subject: Subject, result: Result) -> Stopped | None:
    """The failure if the event or the number of calls exceeds a limit; None within the limits."""
    if is_deeper(subject.message.body):  # accepted before the limit was introduced
        why = reason(
            "event_too_deep",
            "The event is nested deeper than %(levels)s levels. Send a flatter event.",
            levels=MAX_DEPTH_LEVELS,
        )
        return Stopped(state=DeliveryState.FAILED, code=Failure.BAD_RESULT.value, reason=why)
    if isinstance(result, Calls) and len(result.calls) > MAX_CALLS:
        return _failed(result, result.calls, "too_many_calls", _too_many(len(result.calls)))
    return None


def _too_many(calls: int) -> Reason:
    return reason(
        "too_many_calls",
        "The handler returned %(calls)s calls. The maximum is %(max_calls)s.",
        calls=calls,
        max_calls=MAX_CALLS,
    )


def _unchanged(target: OpenEndpoint, subject: Subject) -> Call:
    body = subject.message.body
    try:
        payload: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        payload = msgspec.json.decode(repaired(body) or b"null")
    return Call(method="POST", url=target.destination.url, headers={}, payload=payload)


def _check(target: OpenEndpoint, subject: Subject, result: Result, now_ms: int) -> Transformed:
    match result:
        case Broken():
            return Stopped(
                state=DeliveryState.FAILED,
                code=result.failure.value,
                reason=result.reason,
                may_pass=result.may_pass,
                console=result.console,
                duration_us=result.duration_us,
            )
        case Canceled():
            return Stopped(
                state=DeliveryState.CANCELED,
                code="canceled_by_handler",
                reason=reason("canceled_by_handler", "canceled by the handler"),
                console=result.console,
                verdicts=_warned(result),
                duration_us=result.duration_us,
            )
        case Untouched() if target.connector.has_contract:
            return Stopped(
                state=DeliveryState.CANCELED,
                code="not_handled",
                reason=reason("not_handled", "not handled"),
                console=result.console,
                duration_us=result.duration_us,
            )
        case Untouched():
            return _ready(target, subject, (_unchanged(target, subject),), result, now_ms)
        case Calls():
            return _ready(target, subject, result.calls, result, now_ms)
        case _:
            assert_never(result)


def _ready(
    target: OpenEndpoint, subject: Subject, requested: tuple[Call, ...], result: Calls | Untouched, now_ms: int
) -> Transformed:
    untouched = isinstance(result, Untouched)
    rounded = () if untouched else rounded_in(requested, find_rounded(subject.message.body))
    if rounded:
        return _failed(result, requested, "contract", _first_of(rounded), rounded)
    warned = _warned(result)
    origin = origin_of(target, subject, now_ms, untouched=untouched, reads_ledger=result.used_ledger)
    prepared = target.destination.prepare(requested, origin)
    if prepared.no_identity is not None:
        return Stopped(
            state=DeliveryState.CANCELED,
            code=prepared.no_identity.code,
            reason=prepared.no_identity,
            requested=requested,
            console=result.console,
            verdicts=(*prepared.verdicts, *warned),
            duration_us=result.duration_us,
            awaits=_awaited(subject),
        )
    stop = _why_stopped(prepared)
    if stop is None:
        return Ready(
            requested=requested,
            calls=prepared.calls,
            console=result.console,
            verdicts=(*prepared.verdicts, *warned),
            duration_us=result.duration_us,
            untouched=untouched,
        )
    return _failed(result, requested, *stop, verdicts=prepared.verdicts)


def _awaited(subject: Subject) -> tuple[str, ...]:
    """The facts that may say later who the customer is."""
    if subject.about is None:
        return ()
    customer = () if subject.customer is None else (subject.about.key_of(subject.customer),)
    return tuple(dict.fromkeys((*subject.about.wanted, *customer)))


def origin_of(
    target: OpenEndpoint, subject: Subject, now_ms: int, *, untouched: bool = False, reads_ledger: bool = False
) -> Origin:
    """What the destination completes the calls of a message from."""
    return Origin(
        message_id=subject.message.id,
        endpoint_id=target.endpoint.id,
        occurred_at_ms=subject.message.occurred_at_ms,
        now_ms=now_ms,
        edition=subject.edition,
        test=subject.test,
        app_uid=subject.app_uid,
        event_id=subject.message.event_id,
        replay_key=subject.replay_key,
        customer=subject.customer,
        body=subject.message.body,
        untouched=untouched,
        remembered_email=subject.remembered_email,
        reads_ledger=reads_ledger,
        customer_id_attribute=subject.customer_id_attribute,
        other_metadata=subject.other_metadata,
        shares_address=subject.shares_address,
        changed_address=subject.changed_address,
        has_known_address=subject.has_known_address,
        raw=raw_payload(subject.message.params),
    )


def _failed(
    result: Calls | Untouched, requested: tuple[Call, ...], code: str, why: Reason, verdicts: tuple[Verdict, ...] = ()
) -> Stopped:
    return Stopped(
        state=DeliveryState.FAILED,
        code=code,
        reason=why,
        requested=requested[:MAX_CALLS],
        console=result.console,
        verdicts=verdicts,
        duration_us=result.duration_us,
    )


def _why_stopped(prepared: Prepared) -> tuple[str, Reason] | None:
    errors = [verdict for verdict in prepared.verdicts if verdict.level is Level.ERROR]
    if errors:
        return "contract", _first_of(errors)
    if len(prepared.calls) > MAX_CALLS:
        return "too_many_calls", _too_many(len(prepared.calls))
    return None


def _first_of(errors: Sequence[Verdict]) -> Reason:
    first = errors[0].reason
    if len(errors) == 1:
        return first
    return reason("contract", "%(reason)s (and %(count)s more)", reason=first, count=len(errors) - 1)


def _warned(result: Calls | Canceled | Untouched) -> tuple[Verdict, ...]:
    """What the helpers of `nicobar` could not use, as verdicts."""
    if isinstance(result, Untouched):
        return ()
    return tuple(Verdict(level=Level.WARNING, reason=why, source=_HELPERS) for why in result.warnings)
