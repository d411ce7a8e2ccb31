"""The source kinds, one per line. The first is the default for applications without a source."""

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
    """Raises UserError for an unknown kind."""
    for candidate in SOURCES:
        if candidate.kind == kind:
            return candidate
    raise UserError(
        "unknown_source_kind",
        "Unknown source kind %(kind)s.",
        "Available kinds: %(kinds)s.",
        kind=repr(kind),
        kinds=", ".join(candidate.kind for candidate in SOURCES),
    )


def first_source(sources: Iterable[Source], app_id: str) -> Source | None:
    """The application's oldest source; None if it has none."""
    return min((source for source in sources if source.app_id == app_id), key=lambda source: source.id, default=None)


def application_kind(sources: Iterable[Source], app_id: str) -> SourceKind:
    """The kind that reads events posted to the API: that of the application's oldest source, else the first kind."""
    return application_kinds(sources, app_id)[0]


def application_kinds(sources: Iterable[Source], app_id: str) -> list[SourceKind]:
    """The kinds of the application's sources, the oldest first; the first kind if it has no source."""
    own = sorted((source for source in sources if source.app_id == app_id), key=lambda source: source.id)
    names = dict.fromkeys(source.kind for source in own)
    kinds = {kind.kind: kind for kind in SOURCES}
    return [kinds[name] for name in names if name in kinds] or SOURCES[:1]
