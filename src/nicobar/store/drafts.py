"""Drafts of endpoints and transformation code in the dashboard."""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec

from nicobar.model import Record, Setting


class Draft(Record):
    """A new endpoint, or new code for the endpoint `endpoint_id`. `sealed_credentials` is an encrypted JSON object,
    sealed for the draft's id. `revision` counts the changes; `replaced_code` is the code that a recipe, or another
    window's code, replaced.
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
        """A hash of code and variables: a change names the hash of the text that it is based on."""
        text = msgspec.json.encode([self.code, sorted(self.variables.items())])
        return hashlib.sha256(text).hexdigest()[:16]


class Drafts(Protocol):
    """Drafts, by id."""

    async def draft(self, draft_id: str) -> Draft | None: ...

    async def draft_of(self, app_id: str, endpoint_id: str) -> Draft | None:
        """The most recently changed draft of an endpoint, None if there is none."""
        ...

    async def unfinished_drafts(self, app_id: str, *, limit: int) -> list[Draft]:
        """Up to `limit` drafts of new endpoints, the most recently changed first."""
        ...

    async def put_draft(self, draft: Draft, *, forget_before_ms: int) -> None:
        """Creates the draft; if its revision is not 0, replaces the draft with its id and the previous revision.
        Drafts not changed since `forget_before_ms` are deleted. Raises StoreMoved if the draft is gone or has another
        revision.
        """
        ...

    async def remove_draft(self, draft_id: str) -> None: ...
