"""What calls do to people at a destination that may process calls in another order than they were sent."""

from __future__ import annotations

from typing import Protocol

from nicobar.connectors import ReadyCall
from nicobar.model import Record, Verdict


class Effect(Record):
    """What a call does to people. `people` are those whom it changes, as `kind:value` of their identifier in one
    spelling; `is_anyone` says that it may change others. `sets` says that it sets attributes of one person, and does
    the same whenever it is sent again.
    """

    people: tuple[str, ...] = ()
    sets: bool = False
    is_anyone: bool = False

    @property
    def changes(self) -> bool:
        """Whether it changes people; events and devices do not."""
        return bool(self.people) or self.is_anyone


NO_EFFECT = Effect()
ANYONE = Effect(is_anyone=True)


class PeopleCalls(Protocol):
    """The calls of one destination."""

    @property
    def merged(self) -> Verdict:
        """What attempts show of a call that was joined with others."""
        ...

    @property
    def repeated(self) -> Verdict:
        """What attempts show of a call that is repeated."""
        ...

    def effect(self, call: ReadyCall) -> Effect:
        """What a prepared call does, also one that was stored."""
        ...

    def joined(self, earlier: ReadyCall, later: ReadyCall) -> ReadyCall | None:
        """One call with the effect of two that set attributes of one person; None if there is none."""
        ...


def kind_of(person: str) -> str:
    """The kind of identifier. Two kinds may name one person."""
    return person.partition(":")[0]
