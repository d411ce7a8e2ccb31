"""A delivery on its way through a page."""

from __future__ import annotations

from dataclasses import dataclass, field

from nicobar.connectors import Deferred, Outcome
from nicobar.model import RequestRecord
from nicobar.pipeline.transform import Ready
from nicobar.reasons import reason
from nicobar.store import Claimed


@dataclass(slots=True)
class Work:
    """One delivery on its way through a page."""

    claimed: Claimed
    started_at_ms: int
    ready: Ready | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    requests: list[RequestRecord] = field(default_factory=list)
    status: int | None = None
    response: str = ""
    response_headers: dict[str, str] = field(default_factory=dict)


def internal_error(error: Exception) -> Deferred:
    """The outcome of a delivery that an internal error ended: it is retried on the schedule."""
    why = reason("internal_error", "Internal error: %(name)s. See the log for details.", name=type(error).__name__)
    return Deferred(reason=why)
