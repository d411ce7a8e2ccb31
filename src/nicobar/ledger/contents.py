"""What the contents of facts say: each is decoded once, however many events of a page state it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from nicobar.facts import ANNOUNCED, MAX_VALUES, StatedFact, merged, merged_fact
from nicobar.model import Record

_LAYERS = msgspec.json.Decoder(dict[str, dict[str, msgspec.Raw]])


class Said(Record):
    """What was said of one field, under a place in the order of all events, as JSON."""

    place: str
    value: bytes


def values(content: str) -> dict[str, list[Said]]:
    """What a fact's content says of each field, the newest first."""
    found: dict[str, list[Said]] = {}
    layers = _LAYERS.decode(content)
    for place in sorted(layers, reverse=True):
        for name, value in layers[place].items():
            found.setdefault(name, []).append(Said(place=place, value=bytes(value)))
    return found


# So many contents are remembered: the events of a page have fewer.
MAX_CONTENTS = 1_000


class Contents:
    """Of the facts that events of a page state, and of what they are merged with. Events repeat what is stored of
    them, so that most merging adds nothing.
    """

    def __init__(self) -> None:
        self._values: dict[str, dict[str, list[Said]]] = {}

    def values(self, content: str) -> dict[str, list[Said]]:
        """See `values`."""
        found = self._values.get(content)
        if found is None:
            if len(self._values) >= MAX_CONTENTS:
                self._values.clear()
            found = self._values[content] = values(content)
        return found

    def merged(self, known: str, stated: str) -> str:
        """What both say: see `facts.merged`. It is `known` if that says all, which may be written differently."""
        return known if self._is_known(known, stated) else merged(known, stated)

    def merged_facts(self, facts: Iterable[StatedFact]) -> dict[str, StatedFact]:
        """At most one for each key."""
        by_key: dict[str, StatedFact] = {}
        for fact in facts:
            known = by_key.get(fact.key)
            if known is None:
                by_key[fact.key] = fact
            elif not self.is_part(known, fact):
                by_key[fact.key] = merged_fact(known, fact)
        return by_key

    def is_part(self, known: StatedFact, fact: StatedFact) -> bool:
        """Whether merging these would change nothing."""
        return (
            fact.occurred_at_ms <= known.occurred_at_ms
            and fact.customer_key in {None, known.customer_key}
            and fact.parent_key in {None, known.parent_key}
            and fact.email in {None, known.email}
            and self._is_known(known.content, fact.content)
        )

    def _is_known(self, known: str, stated: str) -> bool:
        if known == stated:
            return True
        of = self.values(known)
        return all(
            _has(of.get(name, ()), one, 1 if name.startswith(ANNOUNCED) else MAX_VALUES)
            for name, said in self.values(stated).items()
            for one in said
        )


def _has(known: Sequence[Said], one: Said, max_values: int) -> bool:
    """Whether what was said once more of a field changes nothing."""
    for other in known:
        if other.value == one.value:
            return other.place >= one.place
    return sum(other.place > one.place for other in known) >= max_values
