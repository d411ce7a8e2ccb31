"""What is being made in the dashboard and is not there yet."""

from __future__ import annotations

from typing import Protocol

from nicobar.model import Record, Setting


class Draft(Record):
    """An endpoint on its way, or with an `endpoint_id` new code for the one that is there. `sealed_credentials` is an
    encrypted JSON object, sealed for the draft's id.
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


class Drafts(Protocol):
    """Drafts, by id."""

    async def draft(self, draft_id: str) -> Draft | None: ...

    async def draft_of(self, app_id: str, endpoint_id: str) -> Draft | None:
        """The draft for an endpoint that was changed last; None where there is none."""
        ...

    async def put_draft(self, draft: Draft, *, forget_before_ms: int) -> None:
        """Adds the draft, or replaces the one with its id. Those not changed since that time are taken out."""
        ...

    async def remove_draft(self, draft_id: str) -> None: ...
