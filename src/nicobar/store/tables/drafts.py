"""Drafts."""

from __future__ import annotations

import msgspec

from nicobar.conversion import converter
from nicobar.errors import StoreMoved
from nicobar.store.drafts import Draft
from nicobar.store.session import Row, Session
from nicobar.store.tables.base import Tables, searchable_json
from nicobar.store.tables.rows import settings_to_store, stored_settings

_COLUMNS = ("id", "app_id", "updated_at_ms", "sealed_credentials")


class DraftTables(Tables):
    """`Drafts` over a database."""

    async def draft(self, draft_id: str) -> Draft | None:
        return _draft(await self._row("draft", {"id": draft_id}))

    async def draft_of(self, app_id: str, endpoint_id: str) -> Draft | None:
        return _draft(await self._row("draft_of", {"app_id": app_id, "endpoint_id": endpoint_id}))

    async def unfinished_drafts(self, app_id: str, *, limit: int) -> list[Draft]:
        rows = await self._rows("unfinished_drafts", {"app_id": app_id, "limit": limit})
        return [draft for row in rows if (draft := _draft(row)) is not None]

    async def put_draft(self, draft: Draft, *, forget_before_ms: int) -> None:
        content = msgspec.structs.asdict(draft) | {"settings": settings_to_store(draft.settings)}
        values = {name: content.pop(name) for name in _COLUMNS} | {"content": searchable_json(content)}

        def work(session: Session) -> None:
            _check_revision(session, draft.id, draft.revision - 1 if draft.revision else None)
            session.run("forget_drafts", {"before_ms": forget_before_ms})
            session.run("put_draft", values)

        await self._database.write(work)

    async def remove_draft(self, draft_id: str) -> None:
        await self._run("remove_draft", {"id": draft_id})


def remove_unchanged(session: Session, draft_id: str, revision: int) -> None:
    """Raises StoreMoved where the draft is gone or has another revision."""
    _check_revision(session, draft_id, revision)
    session.run("remove_draft", {"id": draft_id})


def _check_revision(session: Session, draft_id: str, revision: int | None) -> None:
    known = _draft(session.row("draft_to_change", {"id": draft_id}))
    if (None if known is None else known.revision) != revision:
        raise StoreMoved(
            "draft_changed",
            "This draft was changed or removed in another window.",
            "Reload the page and make the change again.",
        )


_to_draft = converter(Draft)


def _draft(row: Row | None) -> Draft | None:
    if row is None:
        return None
    values = dict(zip(_COLUMNS, row, strict=False))
    content = msgspec.json.decode(row[len(_COLUMNS)])
    return _to_draft(values | content | {"settings": stored_settings(content.get("settings", {}))})
