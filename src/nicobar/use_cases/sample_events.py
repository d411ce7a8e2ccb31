"""The events of dry runs: samples of each event type and their variants, and events of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import msgspec

from nicobar import facts
from nicobar.errors import Refusal, UserError
from nicobar.facts import KnownFact, StatedFact
from nicobar.ids import stable_ulid
from nicobar.model import Customer, Event, EventType, Message
from nicobar.pipeline.transform import Subject
from nicobar.sources import SourceKind
from nicobar.sources.registry import application_kinds
from nicobar.sources.samples import as_guest, with_nulls
from nicobar.store import Snapshot
from nicobar.suggestions import closest

# No example is from the future.
_LATEST_MS = 2**47


class Variant(StrEnum):
    """What a sample may lack: `nulls` has null in each field that the sender may leave empty, `guest` is about a
    customer whom the shop does not know: without metadata and a name, under another customer id.
    """

    USUAL = "usual"
    NULLS = "nulls"
    GUEST = "guest"


VARIED = (Variant.NULLS, Variant.GUEST)


@dataclass(frozen=True, slots=True)
class Samples:
    """What events a handler is run on: the kinds of source that read them, at least one, and an event type of each
    sample, by its name.
    """

    kinds: Sequence[SourceKind]
    types: Mapping[str, EventType]

    def known(self, variant: Variant = Variant.USUAL) -> dict[str, KnownFact]:
        """What all samples of a variant state."""
        return _sample_facts(tuple(self.kinds), variant)

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
    return Samples(kinds=kinds, types=by_name)


def application_samples(snapshot: Snapshot, app_id: str) -> Samples:
    """The samples of the kinds of the application's sources."""
    return samples_of(*application_kinds(snapshot.sources, app_id), added=snapshot.event_types)


def _has(kind: SourceKind, name: str) -> bool:
    return any(event_type.name == name for event_type in kind.event_types())


def sample(
    samples: Samples,
    name: str,
    now_ms: int,
    customer: Customer | None = None,
    variant: Variant = Variant.USUAL,
) -> Subject:
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
    body = _varied(kind, event_type, kind.sample(event_type, now_ms, customer), variant)
    subject = _subject(kind, kind.read_body(name, body), body, now_ms)
    about = subject.about
    if customer is not None and about is not None and variant is not Variant.GUEST:
        about = msgspec.structs.replace(about, customer=customer)
    return msgspec.structs.replace(subject, about=about, known=samples.known(variant))


def _varied(kind: SourceKind, event_type: EventType, body: bytes, variant: Variant) -> bytes:
    match variant:
        case Variant.NULLS:
            return with_nulls(body, kind.nullable_fields(event_type))
        case Variant.GUEST:
            return as_guest(body)
        case Variant.USUAL:
            return body


@lru_cache(maxsize=16)
def _sample_facts(kinds: tuple[SourceKind, ...], variant: Variant) -> dict[str, KnownFact]:
    """What the examples of all event types state: those without a customer's email are about the same customers."""
    stated: list[StatedFact] = []
    for kind in kinds:
        for event_type in kind.event_types():
            name, body = event_type.name, msgspec.json.encode(event_type.example)
            body = _varied(kind, event_type, body, variant)
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
