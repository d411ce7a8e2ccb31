"""How long an endpoint's deliveries rest when its worker is lost: from the loss to the first answer that another
worker gets for it.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median

from nicobar.model import Record


class Sending(Record):
    """A request as its worker notes it: when, by the clock that all processes share, to which address, and whether
    it was answered as accepted or only began.
    """

    at_ns: int
    to: str
    accepted: bool


class Loss(Record):
    """A worker that was lost: `how`, and which one."""

    how: str
    worker: int
    at_ns: int


class TakeOvers(Record):
    """`p50_ms` and `max_ms` of `count` take-overs of an endpoint."""

    count: int
    p50_ms: int
    max_ms: int


def take_overs(
    losses: Sequence[Loss], noted: Mapping[int, Sequence[Sending]], outages_ns: Sequence[int] = ()
) -> dict[str, TakeOvers]:
    """By how the worker was lost, and those for themselves during which no other one was and the database stayed. An
    endpoint counts for a worker that was the last to send to it. It does not count if the same worker was the next,
    too, as one that was frozen too briefly is.
    """
    disturbed_ns = [*(loss.at_ns for loss in losses), *outages_ns]
    sent: defaultdict[str, list[tuple[int, int, bool]]] = defaultdict(list)
    for worker, sendings in noted.items():
        for item in sendings:
            sent[item.to].append((item.at_ns, worker, item.accepted))
    found: defaultdict[str, list[int]] = defaultdict(list)
    for order in sent.values():
        order.sort()
    for loss in losses:
        for order in sent.values():
            place = bisect.bisect(order, (loss.at_ns,))
            if place and order[place - 1][1] == loss.worker:
                following = next((item for item in order[place:] if item[2]), None)
                if following is not None and following[1] != loss.worker:
                    took_ms = (following[0] - loss.at_ns) // 1_000_000
                    found[loss.how].append(took_ms)
                    if not any(loss.at_ns < at_ns < following[0] for at_ns in disturbed_ns):
                        found[f"{loss.how} alone"].append(took_ms)
    return {
        how: TakeOvers(count=len(all_ms), p50_ms=int(median(all_ms)), max_ms=max(all_ms))
        for how, all_ms in sorted(found.items())
    }
