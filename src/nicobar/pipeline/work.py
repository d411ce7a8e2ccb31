"""A delivery on its way through a page."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from nicobar.connectors import Deferred, Outcome, ReadyCall
from nicobar.model import DeliveryState, RequestRecord, Setbacks, Verdict
from nicobar.pipeline.clock_changes import Watch
from nicobar.pipeline.retry import NOT_SENT, Settled, shifted
from nicobar.pipeline.transform import Ready, Subject
from nicobar.reasons import reason
from nicobar.redaction import Redactor
from nicobar.store import Claimed

# What waits behind an earlier delivery of its customer: the store makes it due after that one.
BEHIND = Settled(state=DeliveryState.PENDING, code=NOT_SENT, reason=None, spent=False)


@dataclass(slots=True)
class Work:
    """One delivery on its way through a page. `stopped` is set if there is nothing to send. `left` says that a
    request with calls of it may have reached the destination. `verdicts` are those that sending adds, `accepted` the
    calls that the destination has accepted, `sent_as` those that calls were joined to, by `id`, `outcomes` in the
    order of the responses. `redactor` masks the personal
    data of the message in what is stored.
    """

    claimed: Claimed
    started_at_ms: int
    watch: Watch
    redactor: Redactor
    set_by_ms: int = field(init=False)
    subject: Subject | None = None
    ready: Ready | None = None
    stopped: Settled | None = None
    left: bool = False
    verdicts: list[Verdict] = field(default_factory=list)
    accepted: list[ReadyCall] = field(default_factory=list)
    sent_as: dict[int, ReadyCall] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    requests: list[RequestRecord] = field(default_factory=list)
    status: int | None = None
    response: str = ""
    response_headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.set_by_ms = self.watch.set_by_ms

    @property
    def setbacks(self) -> Setbacks:
        """Those of the attempts before, by the clock as it is set now."""
        return shifted(self.claimed.setbacks, self.watch.set_by_ms - self.set_by_ms)

    @property
    def order(self) -> Hashable:
        """The same for deliveries that wait for each other."""
        return self.claimed.order


def in_order(settled: Iterable[tuple[Work, Settled | None]]) -> list[tuple[Work, Settled]]:
    """The results of deliveries, where those of a customer behind the first that is not final are untried. None for
    one that was not sent, since it was behind another.
    """
    ordered: list[tuple[Work, Settled]] = []
    unfinished: set[Hashable] = set()
    ahead: set[Hashable] = set()
    for work, result in settled:
        if result is None and work.order not in ahead:
            raise AssertionError(work.claimed.message.id)
        ahead.add(work.order)
        own = BEHIND if result is None or work.order in unfinished else result
        if own.state is DeliveryState.PENDING:
            unfinished.add(work.order)
        ordered.append((work, own))
    return ordered


def internal_error(error: BaseException) -> Deferred:
    """The outcome of a delivery that an internal error ended: it is retried on the schedule."""
    why = reason("internal_error", "Internal error: %(name)s. See the log for details.", name=type(error).__name__)
    return Deferred(reason=why)
