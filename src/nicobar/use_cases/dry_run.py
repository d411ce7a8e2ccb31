"""Dry runs of a handler on an event, or on a sample of every event type: the calls that it would send, and their
verdicts. Nothing is sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from nicobar.connectors import Destination
from nicobar.connectors.registry import connector
from nicobar.errors import NicobarError
from nicobar.model import DeliveryState, Endpoint, Level, Record, Setting, Transformation, Verdict
from nicobar.people import IdentityRule
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.handler_runs import LedgerReader
from nicobar.pipeline.transform import Ready, Stopped, Subject, Transformed, shown, transform
from nicobar.reasons import Reason
from nicobar.sandbox import Sandbox
from nicobar.use_cases.ledger_states import USUAL_STATE, LedgerState, StateLedger, kind_of_sample
from nicobar.use_cases.sample_events import Samples, Variant, sample

# The sandbox is shared with deliveries: a dry run takes turns with them.
TURN_EVENTS = 12
MAX_RUN_MS = 5_000
# The most event types that a sentence names.
MAX_NAMED = 5
# Who the customer of a sample is where people are identified by metadata.
SAMPLE_ID = "sample"
_KEY = re.compile(r"(?:^|\.)([A-Za-z_$][\w$]*)(?:\[\d+\])*$")


class Case(Record):
    """A sample to run, and its variant."""

    subject: Subject
    variant: Variant = Variant.USUAL


class DryRun(Record):
    """One event and its outcome, as people may see it. `variant` is that of a sample, `state` that of the ledger."""

    subject: Subject
    result: Transformed
    variant: Variant = Variant.USUAL
    state: LedgerState = USUAL_STATE

    def is_usual(self, state: LedgerState) -> bool:
        """Whether it is of a usual sample, in this state of the ledger."""
        return self.variant is Variant.USUAL and self.state is state


class Note(Record):
    """One thing to tell the author of the handler, once for all the `event_types` that it is about. `line` counts
    from 1 in the handler's source, None where the line is not known; `path` is the place in any of the calls. `code`
    is a rule's or a failure's name. `variants` of the samples and `states` of the ledger are what it
    takes: none where it needs none.
    """

    level: Level
    code: str
    path: str
    reason: Reason
    line: int | None
    event_types: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = ()
    states: tuple[LedgerState, ...] = ()


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
    """What came of all samples: the usual ones, and those of other variants and states. `stopped` says that the time
    was up before the last.
    """

    dry_runs: tuple[DryRun, ...]
    varied: tuple[DryRun, ...]
    notes: tuple[Note, ...]
    stopped: bool
    coverage: Coverage

    @property
    def failing(self) -> tuple[DryRun, ...]:
        """Those of other variants and states that fail."""
        return tuple(dry_run for dry_run in self.varied if outcome(dry_run.result) == "failed")


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
    sandbox: Sandbox,
    at: OpenEndpoint,
    samples: Samples,
    now_ms: int,
    steady_ms: Callable[[], int],
    *,
    state: LedgerState = USUAL_STATE,
    variants: Sequence[Variant] = (),
    states: Sequence[LedgerState] = (),
) -> Findings:
    """Runs the handler on a sample of each event type, for a customer in one `state` of the ledger; then on its other
    `variants`; then, if it reads the ledger, in the other `states`. For at most MAX_RUN_MS. Raises SandboxError.
    """
    until_ms = steady_ms() + MAX_RUN_MS

    def has_time() -> bool:
        return steady_ms() < until_ms

    cases = sample_cases(samples, now_ms, variants, at.destination.identity_rule)
    dry_runs = await _run_cases(sandbox, at, cases, state, now_ms=now_ms, has_time=has_time)
    reading = [
        Case(subject=dry_run.subject)
        for dry_run in dry_runs
        if dry_run.result.snapshot and dry_run.variant is Variant.USUAL
    ]
    stopped = len(dry_runs) < len(cases)
    for other in states:
        if other is not state and not stopped:
            found = await _run_cases(sandbox, at, reading, other, now_ms=now_ms, has_time=has_time)
            stopped = len(found) < len(reading)
            dry_runs += found
    code = at.endpoint.transformation.code if at.endpoint.transformation else ""
    return Findings(
        dry_runs=tuple(one for one in dry_runs if one.is_usual(state)),
        varied=tuple(one for one in dry_runs if not one.is_usual(state)),
        notes=notes(code, dry_runs, state),
        stopped=stopped,
        coverage=coverage([one for one in dry_runs if one.variant is Variant.USUAL], at.endpoint.event_types),
    )


async def _run_cases(
    sandbox: Sandbox,
    at: OpenEndpoint,
    cases: Sequence[Case],
    state: LedgerState,
    *,
    now_ms: int,
    has_time: Callable[[], bool],
) -> list[DryRun]:
    """The dry runs of the cases, of the first where the time is up before the last."""
    ledger = StateLedger(state, kind_of_sample)
    dry_runs: list[DryRun] = []
    events = 1  # a handler that uses up its limit on every event is stopped after few of them
    while len(dry_runs) < len(cases) and has_time():
        turn = cases[len(dry_runs) : len(dry_runs) + events]
        results = await transform(sandbox, at, [case.subject for case in turn], now_ms, ledger)
        dry_runs += [
            DryRun(subject=case.subject, result=shown(at, result), variant=case.variant, state=state)
            for case, result in zip(turn, results, strict=True)
        ]
        events = min(2 * events, TURN_EVENTS)
    return dry_runs


def sample_cases(samples: Samples, now_ms: int, variants: Sequence[Variant], rule: IdentityRule | None) -> list[Case]:
    """The usual samples, then those of other variants, as far as they differ."""
    usual = {name: sample(samples, name, now_ms) for name in samples.types}
    cases = [Case(subject=_identifiable(subject, rule)) for subject in usual.values()]
    for variant in variants:
        for name, own in usual.items():
            varied = sample(samples, name, now_ms, variant=variant)
            if varied.message.body != own.message.body:
                subject = varied if variant is Variant.GUEST else _identifiable(varied, rule)
                cases.append(Case(subject=subject, variant=variant))
    return cases


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
            what = outcome(dry_run.result)
            known = outcomes.setdefault(name, what)
            if what == "sends" and known != "failed":  # in one state of the ledger, if not in another
                outcomes[name] = what
    counted = list(outcomes.values())
    return Coverage(
        sends=tuple(name for name, what in outcomes.items() if what == "sends"),
        event_types=len(outcomes),
        failed=counted.count("failed"),
        not_handled=counted.count("not_handled"),
    )


def notes(code: str, dry_runs: Sequence[DryRun], state: LedgerState = USUAL_STATE) -> tuple[Note, ...]:
    """The findings about the handler: the worst first, each once, without additions. Usual samples in the usual
    `state` come first.
    """
    found: dict[bytes, Note] = {}
    in_usual: set[bytes] = set()
    for dry_run in dry_runs:
        event_type = dry_run.subject.message.event_type
        for note in _notes_on(code, dry_run.result):
            key = _key(note)
            kept = found.setdefault(key, note)
            if dry_run.is_usual(state):
                in_usual.add(key)
            elif key not in in_usual:
                kept = _with_case(kept, dry_run)
            if event_type not in kept.event_types:
                kept = msgspec.structs.replace(kept, event_types=(*kept.event_types, event_type))
            found[key] = kept
    order = list(Level)
    return tuple(sorted(found.values(), key=lambda note: (order.index(note.level), note.line or 0)))


def _with_case(note: Note, dry_run: DryRun) -> Note:
    if dry_run.variant is not Variant.USUAL:
        variants = tuple(dict.fromkeys((*note.variants, dry_run.variant)))
        return msgspec.structs.replace(note, variants=variants)
    return msgspec.structs.replace(note, states=tuple(dict.fromkeys((*note.states, dry_run.state))))


def _key(note: Note) -> bytes:
    """The same for a slip in the handler whatever the events: without numbers and the values that an event gives."""
    values = {
        name: value
        for name, value in note.reason.values.items()
        if isinstance(value, str) and name not in {"given", "customer"}
    }
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
