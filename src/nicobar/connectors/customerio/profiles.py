"""The profiles that Customer.io is known to have, so that a profile is not sent before every event."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import msgspec

from nicobar.connectors import Delivered, Outcome, ReadyCall
from nicobar.connectors.customerio.track_api import v1_call
from nicobar.model import Json, Record

MAX_PEOPLE = 10_000
# People may be edited or deleted in Customer.io itself without our knowledge.
KNOWN_FOR_MS = 3_600_000

_CHANGING = frozenset({"identify", "delete", "merge", "suppress", "unsuppress"})
_CHANGING_V1 = frozenset({"identify", "none", "merge", "form"})
_PROFILE = frozenset({"email", "name"})


class _Item(msgspec.Struct):
    """The part of a v2 object that says whom it changes."""

    type: str
    action: str
    identifiers: dict[str, Json] = {}
    attributes: dict[str, Json] = {}


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
        item = msgspec.json.decode(call.body, type=_Item) if call.batchable else None
        person_id = _person_id(item) if item else None
        if item is None:
            documented_call = v1_call(call.method, call.url[call.url.find("/api/v1/") :])
            if documented_call is None or documented_call.body in _CHANGING_V1:
                self._delivered.clear()
        elif item.type != "person" or item.action not in _CHANGING or _leaves_profile(item):
            pass
        elif person_id is None:
            # Identified by something other than the id: it may be anyone.
            self._delivered.clear()
        elif isinstance(outcome, Delivered) and item.attributes.keys() <= _PROFILE and item.action == "identify":
            self._delivered[person_id] = _Delivered(digest=_digest(call), at_ms=now_ms)
            self._delivered.move_to_end(person_id)
            while len(self._delivered) > MAX_PEOPLE:
                self._delivered.popitem(last=False)
        else:
            self._delivered.pop(person_id, None)


def _leaves_profile(item: _Item) -> bool:
    return item.action == "identify" and not item.attributes.keys() & _PROFILE


def _person_id(item: _Item) -> str | None:
    given = item.identifiers.get("id")
    return given if isinstance(given, str) and len(item.identifiers) == 1 else None


def _digest(call: ReadyCall) -> bytes:
    return hashlib.blake2b(call.body, digest_size=16).digest()
