"""Which key seals the stored secrets, and the secrets themselves, to seal them with another one."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from nicobar.model import Record
from nicobar.store.catalogue import Audited, SealingKey


class Place(StrEnum):
    """Where a sealed value is stored."""

    SOURCE = "source"
    CREDENTIALS = "credentials"
    HEADERS = "headers"
    VARIABLES = "variables"
    DRAFT = "draft"
    ALERT_TARGET = "alert_target"


class SealedValue(Record):
    """A sealed value, and the purpose that it was sealed for; `id` is that of its row."""

    place: Place
    id: str
    purpose: str
    content: bytes


class SealedAnswer(Record):
    """A sealed answer to an idempotent request, or result of a test event."""

    token_id: str
    key: str
    request: str
    content: bytes


class Resealed(Record):
    """The same value, sealed with another key."""

    value: SealedValue | SealedAnswer
    content: bytes


class Keys(Protocol):
    """Ids of keys, never keys."""

    async def sealing_key(self) -> SealingKey: ...

    async def replace_key(self, key_id: str, before: SealingKey, *, now_ms: int, audit_line: Audited) -> None:
        """From now on this key seals; the previous one is needed until `finish_rotation`. Processes notice by the new
        version of the configuration: what they change on an older one is rejected. Does nothing for the current key.
        Raises StoreMoved where the previous key is not that of `before`.
        """
        ...

    async def sealed_values(self, *, after: str = "", prefix: bytes, limit: int) -> list[SealedValue]:
        """The next sealed values that do not begin with `prefix`, in the order of their purposes."""
        ...

    async def sealed_answers(
        self, *, after: tuple[str, str] = ("", ""), prefix: bytes, limit: int
    ) -> list[SealedAnswer]:
        """The next sealed answers that do not begin with `prefix`, in the order of their keys."""
        ...

    async def count_sealed(self, *, prefix: bytes) -> int:
        """How many sealed values and answers do not begin with `prefix`."""
        ...

    async def reseal(self, key_id: str, values: Sequence[Resealed]) -> int:
        """Replaces values, in one transaction, except those that were changed meanwhile; returns how many. Raises
        StoreMoved where another key than this one seals now.
        """
        ...

    async def finish_rotation(self, key_id: str, *, now_ms: int) -> None:
        """Nothing is sealed with the replaced keys any more. Raises StoreMoved as `reseal`."""
        ...
