"""A delivery on its way through a page."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from nicobar.connectors import Deferred, Outcome
from nicobar.model import DeliveryState, RequestRecord, Verdict
from nicobar.pipeline.retry import NOT_SENT, Settled
from nicobar.pipeline.transform import Ready, Subject
from nicobar.reasons import reason
from nicobar.store import Claimed

# What waits behind an earlier delivery of its customer: the store makes it due after that one.
BEHIND = Settled(state=DeliveryState.PENDING, code=NOT_SENT, reason=None, spent=False)


@dataclass(slots=True)
class Work:
    """One delivery on its way through a page. `stopped` is set if there is nothing to send. `left` says that a
    request with calls of it may have reached the destination. `verdicts` are those that sending adds.
    """

    claimed: Claimed
    started_at_ms: int
    subject: Subject | None = None
    ready: Ready | None = None
    stopped: Settled | None = None
    left: bool = False
    verdicts: list[Verdict] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    requests: list[RequestRecord] = field(default_factory=list)
    status: int | None = None
    response: str = ""
    response_headers: dict[str, str] = field(default_factory=dict)

    @property
    def order(self) -> Hashable:
        """The same for deliveries that wait for each other."""
        return self.claimed.order


def in_order(settled: Iterable[tuple[Work, Settled | None]]) -> list[tuple[Work, Settled]]:
    """The results of deliveries, where those of a customer behind the first that is not final are untried. None for
    one that is known to be behind another.
    """
    ordered: list[tuple[Work, Settled]] = []
    unfinished: set[Hashable] = set()
    for work, result in settled:
        own = BEHIND if work.order in unfinished else result
        if own is None:
            raise AssertionError(work.claimed.message.id)
        if own.state is DeliveryState.PENDING:
            unfinished.add(work.order)
        ordered.append((work, own))
    return ordered


def internal_error(error: Exception) -> Deferred:
    """The outcome of a delivery that an internal error ended: it is retried on the schedule."""
    why = reason("internal_error", "Internal error: %(name)s. See the log for details.", name=type(error).__name__)
    return Deferred(reason=why)
