"""The profiles that Customer.io is known to have, so that a profile is not sent before every event."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

import msgspec

from nicobar.connectors import Delivered, Outcome, ReadyCall
from nicobar.connectors.customerio import merging
from nicobar.connectors.customerio.track_api import v1_call
from nicobar.connectors.payload import encoded
from nicobar.model import Json, Record

MAX_PEOPLE = 10_000
# People may be edited or deleted in Customer.io itself without our knowledge.
KNOWN_FOR_MS = 3_600_000

_CHANGING = frozenset({"identify", "delete", "merge", "suppress", "unsuppress"})
_CHANGING_V1 = frozenset({"identify", "none", "merge", "form"})
_PROFILE = frozenset({"email", "name"})


class Change(Record):
    """What a call may do to profiles. `person_id` is None if it may change anyone; `is_profile` says that it sets the
    profile and nothing else.
    """

    person_id: str | None
    is_profile: bool = False


_ANYONE = Change(person_id=None)


class ItemCall(ReadyCall):
    """A call with an object of v2. `change` is None if it changes no profile; `identifies` as in `merging.py`."""

    change: Change | None = _ANYONE
    identifies: str = ""

    def merged_with(self, later: ReadyCall) -> ReadyCall | None:
        if not isinstance(later, ItemCall) or not self.identifies or self.identifies != later.identifies:
            return None
        item = merging.merged(self.body, later.body)
        body = None if item is None else encoded(item)
        if item is None or body is None:
            return None
        return msgspec.structs.replace(self, body=body, change=change_of(item), merged=merging.verdict())


def change_of(item: Mapping[str, Json]) -> Change | None:
    """What an object of v2 without errors may do to profiles."""
    action, attributes = item.get("action"), item.get("attributes")
    names = attributes.keys() if isinstance(attributes, dict) else set[str]()
    if item.get("type") != "person" or action not in _CHANGING or (action == "identify" and not names & _PROFILE):
        return None
    identifiers = item.get("identifiers")
    # Identified by something other than the id, it may be anyone.
    given = identifiers.get("id") if isinstance(identifiers, dict) and len(identifiers) == 1 else None
    if not isinstance(given, str):
        return _ANYONE
    return Change(person_id=given, is_profile=action == "identify" and names <= _PROFILE)


class _Delivered(Record):
    digest: bytes
    at_ms: int


class Profiles:
    """The last delivered profile of each person, as a digest. Dropped when another call may have changed that
    person.
    """

    def __init__(self) -> None:
        self._delivered: OrderedDict[str, _Delivered] = OrderedDict()

    def has(self, person_id: str, profile: ReadyCall, now_ms: int) -> bool:
        """Whether the person is known to have this profile."""
        last = self._delivered.get(person_id)
        return last is not None and last.digest == _digest(profile) and now_ms - last.at_ms < KNOWN_FOR_MS

    def saw(self, call: ReadyCall, outcome: Outcome, now_ms: int) -> None:
        """Records the outcome of a call; calls must be passed in the order in which they were sent."""
        change = call.change if isinstance(call, ItemCall) else _change_of_other(call)
        if change is None:
            return
        person_id = change.person_id
        if person_id is None:
            self._delivered.clear()
        elif isinstance(outcome, Delivered) and change.is_profile:
            self._delivered[person_id] = _Delivered(digest=_digest(call), at_ms=now_ms)
            self._delivered.move_to_end(person_id)
            while len(self._delivered) > MAX_PEOPLE:
                self._delivered.popitem(last=False)
        else:
            self._delivered.pop(person_id, None)


def _change_of_other(call: ReadyCall) -> Change | None:
    """What a call of v1, one that was stored, or one that is not known may do to profiles."""
    if call.batchable:
        return change_of(msgspec.json.decode(call.body, type=dict[str, Json]))
    documented_call = v1_call(call.method, call.url[call.url.find("/api/v1/") :])
    return _ANYONE if documented_call is None or documented_call.body in _CHANGING_V1 else None


def _digest(call: ReadyCall) -> bytes:
    return hashlib.blake2b(call.body, digest_size=16).digest()
