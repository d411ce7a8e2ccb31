"""The kinds of source that there are."""

from __future__ import annotations

from nicobar.errors import UserError
from nicobar.sources import SourceKind
from nicobar.sources.dodo import DodoPayments
from nicobar.sources.standard import StandardWebhooks

SOURCES: tuple[SourceKind, ...] = (DodoPayments(), StandardWebhooks())


def source_kind(kind: str) -> SourceKind:
    """Raises UserError for a kind that does not exist."""
    for known in SOURCES:
        if known.kind == kind:
            return known
    raise UserError(
        "unknown_source_kind",
        "There is no source kind %(kind)s.",
        "The kinds are %(kinds)s.",
        kind=repr(kind),
        kinds=", ".join(known.kind for known in SOURCES),
    )
