"""Which calls that set people's attributes were sent a short time ago, by this process: the destination may process
the next ones before them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from nicobar.connectors import ReadyCall
from nicobar.model import Record
from nicobar.pipeline.configuration import Configuration, OpenEndpoint

# Calls that were sent within this time may be processed in another order.
DISORDER_MS = 60_000
# People whose last call is remembered, of one workspace.
MAX_RECENT_PEOPLE = 100_000


@dataclass(frozen=True, slots=True)
class _Last:
    """The last call of a person: when it was sent, in which parcel, and the hash of its body. `other_ms` is when the
    last one was sent that was another one. Repetitions of one call need no order.
    """

    at_ms: int
    parcel: int
    message_seq: int
    body: int
    other_ms: int | None


class Sent(Record):
    """A call that may have been processed: its person, message, and the parcel that it was sent with, which began at
    this time.
    """

    person: str
    message_seq: int
    call: ReadyCall
    parcel: int
    began_ms: int


class RecentCalls:
    """The calls to one workspace. All times are steady ones."""

    def __init__(self) -> None:
        # In the order of their last calls.
        self._last: OrderedDict[str, _Last] = OrderedDict()
        # Until then, someone who is not remembered may have been sent a call.
        self._unsure_until_ms = -DISORDER_MS
        self.parcels = 0

    def add(self, sent: Sent, now_ms: int, *, may_be_recent: bool) -> bool:
        """Remembers a call; whether another one of the person was sent shortly before. `may_be_recent` says that
        another process may have sent one.
        """
        body = hash(sent.call.body)
        last = self._last.get(sent.person)
        if last is None:
            is_unsure = may_be_recent or sent.began_ms <= self._unsure_until_ms
            other_ms = sent.began_ms if is_unsure else None
        elif last.body == body and (last.parcel == sent.parcel or last.message_seq == sent.message_seq):
            other_ms = last.other_ms
        else:
            other_ms = last.at_ms
        self._last[sent.person] = _Last(now_ms, sent.parcel, sent.message_seq, body, other_ms)
        self._last.move_to_end(sent.person)
        self._forget(now_ms)
        return other_ms is not None and sent.began_ms - other_ms <= DISORDER_MS

    def _forget(self, now_ms: int) -> None:
        while self._last:
            last = next(iter(self._last.values()))
            if last.at_ms + DISORDER_MS >= now_ms:
                if len(self._last) <= MAX_RECENT_PEOPLE:
                    return
                self._unsure_until_ms = last.at_ms + DISORDER_MS
            self._last.popitem(last=False)


class Workspaces:
    """What this process knows of its endpoints' workspaces. `holds` says whether it delivers for an endpoint."""

    def __init__(self, configuration: Configuration, holds: Callable[[int], bool]) -> None:
        self._configuration = configuration
        self.holds = holds
        self._recent: dict[str, RecentCalls] = {}
        self._seqs: dict[str, list[int]] = {}
        self._version: int | None = None

    def calls(self, target: OpenEndpoint) -> RecentCalls:
        return self._recent.setdefault(name_of(target), RecentCalls())

    def beside(self, target: OpenEndpoint) -> list[int]:
        """The other endpoints of the application that lead to the same workspace."""
        self._follow()
        return [seq for seq in self._seqs.get(name_of(target), ()) if seq != target.endpoint.seq]

    def _follow(self) -> None:
        version = self._configuration.snapshot.version
        if version == self._version:
            return
        self._version = version
        self._seqs = {}
        for seq, target in self._configuration.endpoints.items():
            if target.destination.people_calls is not None:
                self._seqs.setdefault(name_of(target), []).append(seq)
        self._recent = {name: calls for name, calls in self._recent.items() if name in self._seqs}


def name_of(target: OpenEndpoint) -> str:
    """The workspace of an endpoint, within its application."""
    return " ".join((target.endpoint.app_id, target.destination.url, *target.destination.workspaces[-1:]))
