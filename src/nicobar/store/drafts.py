"""What is being made in the dashboard and is not there yet."""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec

from nicobar.model import Record, Setting


class Draft(Record):
    """An endpoint on its way, or with an `endpoint_id` new code for the one that is there. `sealed_credentials` is an
    encrypted JSON object, sealed for the draft's id. `revision` counts the changes since it was begun;
    `replaced_code` is the text that a recipe, or another window's text, took the place of.
    """

    id: str
    app_id: str
    connector: str
    name: str
    updated_at_ms: int
    sealed_credentials: bytes
    settings: dict[str, Setting] = {}
    event_types: tuple[str, ...] = ()
    variables: dict[str, str] = {}
    code: str = ""
    endpoint_id: str | None = None
    revision: int = 0
    replaced_code: str = ""

    @property
    def text_id(self) -> str:
        """Tells one code with its variables from another: who changes them says what they have seen."""
        text = msgspec.json.encode([self.code, sorted(self.variables.items())])
        return hashlib.sha256(text).hexdigest()[:16]


class Drafts(Protocol):
    """Drafts, by id."""

    async def draft(self, draft_id: str) -> Draft | None: ...

    async def draft_of(self, app_id: str, endpoint_id: str) -> Draft | None:
        """The draft for an endpoint that was changed last; None where there is none."""
        ...

    async def put_draft(self, draft: Draft, *, forget_before_ms: int) -> None:
        """Adds the draft; where its revision is not 0, replaces the one with its id and the revision before it. Those
        not changed since that time are deleted. Raises StoreMoved where another revision is there, or none.
        """
        ...

    async def remove_draft(self, draft_id: str) -> None: ...
