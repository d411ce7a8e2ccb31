"""The kinds of source: a line each. The first one is used where an application has no source yet."""

from __future__ import annotations

from collections.abc import Iterable

from nicobar.errors import UserError
from nicobar.model import Source
from nicobar.sources import SourceKind
from nicobar.sources.dodo import DodoPayments
from nicobar.sources.standard import StandardWebhooks

SOURCES: list[SourceKind] = [
    DodoPayments(),
    StandardWebhooks(),
]


def source_kind(kind: str) -> SourceKind:
    """Raises UserError for a kind that does not exist."""
    for known in SOURCES:
        if known.kind == kind:
            return known
    raise UserError(
        "unknown_source_kind",
        f"There is no source kind {kind!r}.",
        f"The kinds are {', '.join(known.kind for known in SOURCES)}.",
    )


def first_source(sources: Iterable[Source], app_id: str) -> Source | None:
    """The application's oldest source; None if it has none."""
    return min((source for source in sources if source.app_id == app_id), key=lambda source: source.id, default=None)


def application_kind(sources: Iterable[Source], app_id: str) -> SourceKind:
    """The kind of the application's first source, else the first kind there is: it reads the events that are posted
    to the API, and has the samples.
    """
    first = first_source(sources, app_id)
    return next((known for known in SOURCES if first is not None and known.kind == first.kind), SOURCES[0])
