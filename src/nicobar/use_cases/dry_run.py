"""Dry runs of a handler on an event, or on a sample of every event type: the calls that it would send, and their
verdicts. Nothing is sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from nicobar import facts
from nicobar.connectors import Destination
from nicobar.connectors.registry import connector
from nicobar.errors import NicobarError, Refusal, UserError
from nicobar.facts import KnownFact, StatedFact
from nicobar.ids import stable_ulid
from nicobar.model import (
    Customer,
    DeliveryState,
    Endpoint,
    Event,
    EventType,
    Level,
    Message,
    Record,
    Setting,
    Transformation,
    Verdict,
)
from nicobar.people import IdentityRule
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.handler_runs import LedgerReader
from nicobar.pipeline.transform import Ready, Stopped, Subject, Transformed, shown, transform
from nicobar.reasons import Reason
from nicobar.sandbox import Sandbox
from nicobar.sources import SourceKind
from nicobar.sources.registry import application_kinds
from nicobar.store import Snapshot
from nicobar.suggestions import closest

# The sandbox is shared with deliveries: a dry run takes turns with them.
TURN_EVENTS = 12
MAX_RUN_MS = 5_000
# The most event types that a sentence names.
MAX_NAMED = 5
# Who the customer of a sample is where people are identified by metadata.
SAMPLE_ID = "sample"
# No example is from the future.
_LATEST_MS = 2**47
_KEY = re.compile(r"(?:^|\.)([A-Za-z_$][\w$]*)(?:\[\d+\])*$")


class DryRun(Record):
    """One event and its outcome, as people may see it."""

    subject: Subject
    result: Transformed


class Note(Record):
    """One thing to tell the author of the handler, once for all the `event_types` that it is about. `line` counts
    from 1 in the handler's source, None where the line is not known; `path` is the place in any of the calls. `code`
    is a rule's or a failure's name.
    """

    level: Level
    code: str
    path: str
    reason: Reason
    line: int | None
    event_types: tuple[str, ...] = ()


class Coverage(Record):
    """For which event types a handler sends something: `sends`, of the `event_types` that the endpoint subscribes to
    and that have a sample. Of those, `failed` fail and `not_handled` are returned unchanged.
    """

    sends: tuple[str, ...]
    event_types: int
    failed: int
    not_handled: int

    @property
    def is_silent(self) -> bool:
        """Whether nothing at all would be sent, as far as the samples show."""
        return self.event_types > 0 and not self.sends

    @property
    def summary(self) -> str:
        """The coverage as a sentence."""
        if not self.event_types:
            return "There are no samples of the event types that this endpoint subscribes to."
        more = len(self.sends) - MAX_NAMED
        names = [*self.sends[:MAX_NAMED], *([f"and {more} more"] if more > 0 else [])]
        named = f": {', '.join(names)}" if names else ""
        return f"Sends for {len(self.sends)} of {self.event_types} event types{named}."

    @property
    def warning(self) -> str:
        """The warning if nothing is sent, else empty."""
        if not self.is_silent:
            return ""
        if self.not_handled == self.event_types:
            return "This handler sends nothing. Events will be canceled as not handled."
        if self.failed:
            return "This handler sends nothing. Fix its errors first."
        return "This handler sends nothing. Events will be canceled."


class Findings(Record):
    """What came of all samples. `stopped` says that the time was up before the last."""

    dry_runs: tuple[DryRun, ...]
    notes: tuple[Note, ...]
    stopped: bool
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class Samples:
    """What events a handler is run on: the kinds of source that read them, at least one, and an event type of each
    sample, by its name.
    """

    kinds: Sequence[SourceKind]
    types: Mapping[str, EventType]
    known: dict[str, KnownFact]

    @property
    def usual(self) -> str:
        """The event type to begin with; empty if there is none."""
        usual = (kind.usual_event_type for kind in self.kinds)
        return next((name for name in (*usual, *self.types) if name in self.types), "")

    def kind_of(self, name: str) -> SourceKind:
        """The kind that has this event type, else the first."""
        return next((kind for kind in self.kinds if _has(kind, name)), self.kinds[0])


def samples_of(*kinds: SourceKind, added: Sequence[EventType] = ()) -> Samples:
    """The samples of these kinds. Where they have none, those of the `added` event types that have an example."""
    own = [event_type for kind in kinds for event_type in kind.event_types()]
    types = own or [event_type for event_type in added if event_type.example is not None and not event_type.archived]
    by_name = {event_type.name: event_type for event_type in types}
    return Samples(kinds=kinds, types=by_name, known=_sample_facts(kinds))


def application_samples(snapshot: Snapshot, app_id: str) -> Samples:
    """The samples of the kinds of the application's sources."""
    return samples_of(*application_kinds(snapshot.sources, app_id), added=snapshot.event_types)


def _has(kind: SourceKind, name: str) -> bool:
    return any(event_type.name == name for event_type in kind.event_types())


def sample(samples: Samples, name: str, now_ms: int, customer: Customer | None = None) -> Subject:
    """A sample as if it happened now, about any customer: an old event starts no campaign. Raises UserError for an
    event type without one.
    """
    event_type = samples.types.get(name)
    if event_type is None:
        if close := closest(name, samples.types):
            raise UserError(
                "event_type_unknown",
                "No sample for event type %(name)s.",
                "Did you mean %(close)s?",
                name=repr(name),
                close=close,
            )
        names = ", ".join(samples.types) or "none"
        raise UserError(
            "event_type_unknown",
            "No sample for event type %(name)s.",
            "Samples exist for %(known)s.",
            name=repr(name),
            known=names,
        )
    kind = samples.kind_of(name)
    body = kind.sample(event_type, now_ms, customer)
    subject = _subject(kind, kind.read_body(name, body), body, now_ms)
    about = subject.about
    if customer is not None and about is not None:
        about = msgspec.structs.replace(about, customer=customer)
    return msgspec.structs.replace(subject, about=about, known=samples.known)


def _sample_facts(kinds: Sequence[SourceKind]) -> dict[str, KnownFact]:
    """What the examples of all event types state: those without a customer's email are about the same customers."""
    stated: list[StatedFact] = []
    for kind in kinds:
        for event_type in kind.event_types():
            name, body = event_type.name, msgspec.json.encode(event_type.example)
            event = kind.read_body(name, body)
            stated += facts.state(kind.kind, event, event_id=name, body=body, accepted_at_ms=_LATEST_MS).facts
    return {fact.key: facts.known_fact(fact) for fact in facts.merged_facts(stated)}


def pasted(kinds: Sequence[SourceKind], body: bytes, now_ms: int) -> Subject:
    """An event from its body, as the first of the kinds reads it that can. Raises UserError as the last one says."""
    *others, last = kinds
    for kind in others:
        with suppress(Refusal):
            return _subject(kind, kind.read({}, body), body, now_ms)
    try:
        return _subject(last, last.read({}, body), body, now_ms)
    except Refusal as refusal:
        raise UserError.because(refusal.reason) from refusal


def _subject(kind: SourceKind, event: Event, body: bytes, now_ms: int) -> Subject:
    message = Message(
        seq=0,
        id=f"msg_{stable_ulid(0, body.decode('utf-8', 'replace'))}",
        app_id="",
        source_id="",
        event_id="",
        event_type=event.event_type,
        customer_key=event.customer.key if event.customer else None,
        occurred_at_ms=now_ms if event.occurred_at_ms is None else event.occurred_at_ms,
        accepted_at_ms=now_ms,
        body=body,
    )
    return Subject(
        message=message,
        customer=event.customer,
        customer_id_attribute=kind.customer_id_attribute,
        about=facts.about(kind.kind, event),
    )


def past(message: Message, customer: Customer | None, customer_id_attribute: str = "") -> Subject:
    """An event that was accepted. Raises UserError if its payload was deleted."""
    if message.expunged_at_ms is not None:
        raise UserError(
            "message_expunged", "The payload of message %(id)s was deleted.", "Choose another message.", id=message.id
        )
    return Subject(message=message, customer=customer, customer_id_attribute=customer_id_attribute)


def target(
    *,
    kind: str,
    code: str,
    settings: Mapping[str, Setting],
    credentials: Mapping[str, str],
    variables: Mapping[str, str] | None = None,
    event_types: Sequence[str] = (),
    endpoint_id: str = "ep_dry_run",
) -> OpenEndpoint:
    """A temporary endpoint with this code. Raises UserError for invalid settings."""
    of_kind = connector(kind)
    destination: Destination = of_kind.open(settings, credentials)
    endpoint = Endpoint(
        seq=0,
        id=endpoint_id,
        app_id="",
        name="dry run",
        connector=kind,
        settings=dict(settings),
        sealed_credentials=b"",
        credential_references={},
        event_types=tuple(event_types),
        variables=dict(variables or {}),
        disabled=False,
        paused_reason=None,
        transformation=unpublished(code) if code else None,
    )
    return OpenEndpoint(endpoint=endpoint, connector=of_kind, destination=destination)


def dry_target(
    kind: str,
    code: str,
    variables: Mapping[str, str] | None = None,
    *,
    settings: Mapping[str, Setting] | None = None,
    event_types: Sequence[str] = (),
) -> OpenEndpoint:
    """An endpoint of this kind for code that has none. Raises UserError for a kind that does not exist."""
    of_kind = connector(kind)
    example, given, named = of_kind.example, dict(settings or {}), dict(variables or {})
    # As the endpoint would be stored: what a variable said before may be a setting now.
    given, named = of_kind.carried_settings(given, named, code) or (given, named)
    return target(
        kind=kind,
        code=code,
        settings={**example.settings, **given},
        credentials=example.credentials,
        variables=named,
        event_types=event_types,
    )


def unpublished(code: str) -> Transformation:
    """A transformation that is not a version. Its number differs for each code, since the sandbox caches compiled
    code by it.
    """
    digest = hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()
    return Transformation(version=-int.from_bytes(digest[:6], "big"), code=code)


async def run_event(
    sandbox: Sandbox, at: OpenEndpoint, subject: Subject, now_ms: int, ledger: LedgerReader | None = None
) -> DryRun:
    """Runs the handler on one event. Raises SandboxError, and StoreError where there is a ledger."""
    (result,) = await transform(sandbox, at, [subject], now_ms, ledger)
    return DryRun(subject=subject, result=shown(at, result))


async def run_samples(
    sandbox: Sandbox, at: OpenEndpoint, samples: Samples, now_ms: int, steady_ms: Callable[[], int]
) -> Findings:
    """Runs the handler on a sample of each event type, for at most MAX_RUN_MS. Raises SandboxError."""
    rule = at.destination.identity_rule
    subjects = [_identifiable(sample(samples, name, now_ms), rule) for name in samples.types]
    until_ms = steady_ms() + MAX_RUN_MS
    dry_runs: list[DryRun] = []
    events = 1  # a handler that uses up its limit on every event is stopped after few of them
    while len(dry_runs) < len(subjects) and steady_ms() < until_ms:
        turn = subjects[len(dry_runs) : len(dry_runs) + events]
        results = await transform(sandbox, at, turn, now_ms)
        dry_runs += [
            DryRun(subject=subject, result=shown(at, result)) for subject, result in zip(turn, results, strict=True)
        ]
        events = min(2 * events, TURN_EVENTS)
    code = at.endpoint.transformation.code if at.endpoint.transformation else ""
    return Findings(
        dry_runs=tuple(dry_runs),
        notes=notes(code, dry_runs),
        stopped=len(dry_runs) < len(subjects),
        coverage=coverage(dry_runs, at.endpoint.event_types),
    )


def _identifiable(subject: Subject, rule: IdentityRule | None) -> Subject:
    """A sample whose checkout has passed what identifies people: whose samples have it, is not known."""
    about = subject.about
    if rule is None or not rule.key or about is None or about.customer is None:
        return subject
    metadata = {rule.key: SAMPLE_ID, **about.customer.metadata}
    customer = msgspec.structs.replace(about.customer, metadata=metadata)
    return msgspec.structs.replace(subject, about=msgspec.structs.replace(about, customer=customer))


def coverage(dry_runs: Sequence[DryRun], event_types: Sequence[str] = ()) -> Coverage:
    """What the handler sends for, among the types that the endpoint subscribes to: all where none is named."""
    outcomes: dict[str, str] = {}
    for dry_run in dry_runs:
        name = dry_run.subject.message.event_type
        if not event_types or name in event_types:
            outcomes[name] = outcome(dry_run.result)
    counted = list(outcomes.values())
    return Coverage(
        sends=tuple(name for name, what in outcomes.items() if what == "sends"),
        event_types=len(outcomes),
        failed=counted.count("failed"),
        not_handled=counted.count("not_handled"),
    )


def notes(code: str, dry_runs: Sequence[DryRun]) -> tuple[Note, ...]:
    """The findings about the handler: the worst first, each once, without additions."""
    found: dict[bytes, Note] = {}
    for dry_run in dry_runs:
        event_type = dry_run.subject.message.event_type
        for note in _notes_on(code, dry_run.result):
            key = _key(note)
            kept = found.setdefault(key, note)
            if event_type not in kept.event_types:
                found[key] = msgspec.structs.replace(kept, event_types=(*kept.event_types, event_type))
    order = list(Level)
    return tuple(sorted(found.values(), key=lambda note: (order.index(note.level), note.line or 0)))


def _key(note: Note) -> bytes:
    """The same for a slip in the handler whatever the events: without numbers and the value `given` by an event."""
    values = {name: value for name, value in note.reason.values.items() if isinstance(value, str) and name != "given"}
    return msgspec.json.encode(
        msgspec.structs.replace(note, reason=msgspec.structs.replace(note.reason, values=values))
    )


def _notes_on(code: str, result: Transformed) -> list[Note]:
    notes: list[Note] = []
    if isinstance(result, Stopped) and result.state is DeliveryState.FAILED and result.code != "contract":
        why = result.reason
        notes.append(Note(level=Level.ERROR, code=result.code, path="", reason=_placeless(why), line=why.line))
    notes += [
        Note(
            level=verdict.level,
            code=verdict.rule,
            path=_anywhere(verdict.path),
            reason=_placeless(verdict.reason),
            line=line_of(code, verdict),
        )
        for verdict in result.verdicts
        if verdict.level is not Level.ADDITION
    ]
    return notes


def _placeless(why: Reason) -> Reason:
    """The same without where it is, so that it is equal wherever it is found."""
    return msgspec.structs.replace(why, location=None)


def _anywhere(path: str) -> str:
    """The place without the numbers of calls and parts: the same slip in the first and in the second is one."""
    return re.sub(r"\[\d+\]", "[…]", re.sub(r"^\[\d+\]\.?", "", path))


def line_of(code: str, verdict: Verdict) -> int | None:
    """The line that a verdict is about, where it is known: the only one that sets the field which it names."""
    named = _KEY.search(verdict.path)
    if named is None or named[1] in {"payload", "batch"}:
        return None
    name = re.escape(named[1])
    sets = re.compile(rf"""(?:(?<![\w$.]){name}|["']{name}["'])\s*:(?!:)|\.{name}\s*=(?!=)""")
    lines = [number for number, text in enumerate(code.split("\n"), 1) if sets.search(text.partition("//")[0])]
    return lines[0] if len(lines) == 1 else None


def outcome(result: Transformed) -> str:
    """In one word: `sends`, `not_handled`, `left_out` or `failed`."""
    match result:
        case Ready():
            return "sends"
        case Stopped(code="not_handled"):
            return "not_handled"
        case Stopped(state=DeliveryState.CANCELED):
            return "left_out"
        case _:
            return "failed"


def why_unusable(kind: str, settings: Mapping[str, Setting], credentials: Mapping[str, str]) -> NicobarError | None:
    """What is wrong with settings and credentials, as far as their form tells."""
    try:
        connector(kind).open(settings, credentials)
    except NicobarError as error:
        return error
    return None
