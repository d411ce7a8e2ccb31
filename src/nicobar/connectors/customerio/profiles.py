"""The profiles that Customer.io is known to have, so that a profile is not sent before every event."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

import msgspec

from nicobar.connectors import Delivered, Outcome, ReadyCall
from nicobar.connectors.customerio.track_api import v1_call
from nicobar.model import Json, Record

MAX_PEOPLE = 10_000
# People may be edited or deleted in Customer.io itself without our knowledge.
KNOWN_FOR_MS = 3_600_000

_CHANGING = frozenset({"identify", "delete", "merge", "suppress", "unsuppress"})
_CHANGING_V1 = frozenset({"identify", "none", "merge", "form"})
_PROFILE = frozenset({"email", "name", "billing_email", "billing_name"})
# The attribute of the sender's customer id is named by each source kind.
_CUSTOMER_ID = "_customer_id"
# The kinds of identifiers by which people are known here.
_KINDS = ("id", "email")


class Change(Record):
    """What a call may do to profiles. `person` is None if it may change anyone; `is_profile` says that it sets the
    profile and nothing else.
    """

    person: tuple[str, str] | None
    is_profile: bool = False


_ANYONE = Change(person=None)


def person_key(identifiers: Json) -> tuple[str, str] | None:
    """The kind and value of a person's identifier, the same for each spelling of an email; None if it may be
    anyone's.
    """
    if not isinstance(identifiers, dict) or len(identifiers) != 1:
        return None
    ((kind, value),) = identifiers.items()
    if kind not in _KINDS or not isinstance(value, str):
        return None
    return kind, value.strip().lower() if kind == "email" else value


class ItemCall(ReadyCall):
    """A call with an object of v2. `change` is None if it changes no profile; `identifies` as in `identifies.py`."""

    change: Change | None = _ANYONE
    identifies: str = ""


def change_of(item: Mapping[str, Json]) -> Change | None:
    """What an object of v2 without errors may do to profiles."""
    action, attributes = item.get("action"), item.get("attributes")
    names = list(attributes) if isinstance(attributes, dict) else []
    if item.get("type") != "person" or action not in _CHANGING:
        return None
    if action == "identify" and not any(map(_is_of_profile, names)):
        return None
    person = person_key(item.get("identifiers"))
    if person is None:
        return _ANYONE
    return Change(person=person, is_profile=action == "identify" and all(map(_is_of_profile, names)))


def _is_of_profile(name: str) -> bool:
    return name in _PROFILE or name.endswith(_CUSTOMER_ID)


class _Delivered(Record):
    digest: bytes
    at_ms: int


class Profiles:
    """The last delivered profile of each person, as a digest. Dropped when another call may have changed that
    person.
    """

    def __init__(self) -> None:
        self._delivered: dict[str, OrderedDict[str, _Delivered]] = {kind: OrderedDict() for kind in _KINDS}

    def has(self, person: tuple[str, str] | None, profile: ReadyCall, now_ms: int) -> bool:
        """Whether the person is known to have this profile."""
        last = None if person is None else self._delivered[person[0]].get(person[1])
        return last is not None and last.digest == _digest(profile) and now_ms - last.at_ms < KNOWN_FOR_MS

    def saw(self, call: ReadyCall, outcome: Outcome, now_ms: int) -> None:
        """Records the outcome of a call; calls must be passed in the order in which they were sent."""
        change = call.change if isinstance(call, ItemCall) else _change_of_other(call)
        if change is None:
            return
        kind, value = change.person or ("", "")
        if not call.added:  # it may be about someone who is also known by another kind of identifier
            for other in _KINDS:
                if other != kind:
                    self._delivered[other].clear()
        if change.person is None:
            return
        known = self._delivered[kind]
        if isinstance(outcome, Delivered) and change.is_profile:
            known[value] = _Delivered(digest=_digest(call), at_ms=now_ms)
            known.move_to_end(value)
            while len(known) > MAX_PEOPLE:
                known.popitem(last=False)
        else:
            known.pop(value, None)


def _change_of_other(call: ReadyCall) -> Change | None:
    """What a call of v1, one that was stored, or one that is not known may do to profiles."""
    if call.batchable:
        return change_of(msgspec.json.decode(call.body, type=dict[str, Json]))
    documented_call = v1_call(call.method, call.url[call.url.find("/api/v1/") :])
    return _ANYONE if documented_call is None or documented_call.body in _CHANGING_V1 else None


def _digest(call: ReadyCall) -> bytes:
    return hashlib.blake2b(call.body, digest_size=16).digest()
