"""Compares the data in each Customer.io with the acknowledged events. Plain functions over plain values.

Judged by the activities: a call that came twice is one activity, as its id is the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from chaos.editions import PROFILE_TYPE, Step, in_order, wanted_steps
from chaos.load import Sent, event_id
from nicobar.model import Record


class Verdict(Record):
    """All of these must be 0. `strangers` are activities without an event; `stale_profiles` are people whose
    attribute does not match their last event.
    """

    lost: int
    duplicates: int
    order_violations: int
    strangers: int
    stale_profiles: int


def total(verdicts: Sequence[Verdict]) -> Verdict:
    """The sums."""
    fields = Verdict.__struct_fields__
    return Verdict(**{name: sum(getattr(verdict, name) for verdict in verdicts) for name in fields})


def judge(
    sent: Sequence[Sent],
    activities: Sequence[Mapping[str, Any]],
    people: Sequence[Mapping[str, Any]],
    *,
    may_lose: bool = False,
    may_reorder: bool = False,
    overtaken: Collection[str] = (),
) -> Verdict:
    """For one destination; `activities` oldest first, both as the emulator shows them. `may_lose`: deliveries to it
    were canceled. `may_reorder`: its endpoint was re-created, so what waited came after what was accepted later.
    `overtaken` are the ids of events that were declared so: a clock that was set forward can make them late enough.
    """
    arrived = _arrived(activities)
    attributes = {person["id"]: person["attributes"] for person in people}
    customers = {item.customer.key for item in sent}
    lost = duplicates = order_violations = stale = 0
    strangers = sum(len(steps) for key, steps in arrived.items() if key not in customers)
    for entry in sent:
        steps = arrived[entry.customer.key]
        once = list(dict.fromkeys(steps))
        lost += 0 if may_lose else len(wanted_steps(entry.events[: entry.acknowledged]) - set(steps))
        duplicates += len(steps) - len(once)
        strangers += len(set(steps) - wanted_steps(entry.events))
        if not may_reorder:
            ordered = _in_order(once, entry, overtaken)
            order_violations += sum(before > after for before, after in pairwise(ordered))
        stale += attributes.get(entry.customer.key, {}).get("place", "none") not in _last_places(entry)
    return Verdict(
        lost=lost,
        duplicates=duplicates,
        order_violations=order_violations,
        strangers=strangers,
        stale_profiles=stale,
    )


def evidence(
    sent: Sequence[Sent],
    activities: Sequence[Mapping[str, Any]],
    *,
    may_lose: bool = False,
    may_reorder: bool = False,
    overtaken: Collection[str] = (),
) -> Iterator[str]:
    """What is missing, there twice or in another order, by customer, place and part; otherwise as `judge`."""
    arrived = _arrived(activities)
    for entry in sent:
        key, steps = entry.customer.key, arrived[entry.customer.key]
        once = list(dict.fromkeys(steps))
        missing = set() if may_lose else wanted_steps(entry.events[: entry.acknowledged]) - set(steps)
        for step in sorted(missing):
            yield f"{key}: {step} is missing ({entry.events[step[0]]})"
        yield from (f"{key}: {step} is there {count} times" for step, count in Counter(steps).items() if count > 1)
        for before, after in pairwise(_in_order(once, entry, overtaken)):
            if before > after and not may_reorder:
                yield f"{key}: {before} ({entry.events[before[0]]}) came before {after} ({entry.events[after[0]]})"


def _in_order(steps: Sequence[Step], sent: Sent, overtaken: Collection[str]) -> list[Step]:
    return [step for step in in_order(steps, sent.events) if event_id(sent.customer.key, step[0]) not in overtaken]


def _arrived(activities: Sequence[Mapping[str, Any]]) -> defaultdict[str, list[Step]]:
    arrived: defaultdict[str, list[Step]] = defaultdict(list)
    for activity in activities:
        arrived[activity["person"]].append((activity["data"]["place"], activity["data"]["part"]))
    return arrived


def _last_places(sent: Sent) -> set[str]:
    """What the profile may say: the last acknowledged word, or a later one whose acknowledgement got lost."""
    places = [place for place, name in enumerate(sent.events) if name == PROFILE_TYPE]
    promised = [str(place) for place in places if place < sent.acknowledged]
    return {*(promised[-1:] or ["none"]), *map(str, places[len(promised) :])}
