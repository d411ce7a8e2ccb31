"""Drafts in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from nicobar.errors import StoreMoved
from nicobar.store.drafts import Draft
from nicobar.store.sqlite.database import SQL, Database, json_text

_COLUMNS = ("id", "app_id", "updated_at_ms", "sealed_credentials")


class DraftTables:
    """`Drafts` over a database."""

    _database: Database

    async def draft(self, draft_id: str) -> Draft | None:
        return _first(await self._database.read("draft", {"id": draft_id}))

    async def draft_of(self, app_id: str, endpoint_id: str) -> Draft | None:
        return _first(await self._database.read("draft_of", {"app_id": app_id, "endpoint_id": endpoint_id}))

    async def put_draft(self, draft: Draft, *, forget_before_ms: int) -> None:
        content = msgspec.structs.asdict(draft)
        values = {name: content.pop(name) for name in _COLUMNS} | {"content": json_text(content)}

        def work(connection: sqlite3.Connection) -> None:
            _check_revision(connection, draft.id, draft.revision - 1 if draft.revision else None)
            connection.execute(SQL["forget_drafts"], {"before_ms": forget_before_ms})
            connection.execute(SQL["put_draft"], values)

        await self._database.write(work)

    async def remove_draft(self, draft_id: str) -> None:
        values = {"id": draft_id}
        await self._database.write(lambda connection: connection.execute(SQL["remove_draft"], values).close())


def remove_unchanged(connection: sqlite3.Connection, draft_id: str, revision: int) -> None:
    """Raises StoreMoved where the draft is gone or has another revision."""
    _check_revision(connection, draft_id, revision)
    connection.execute(SQL["remove_draft"], {"id": draft_id})


def _check_revision(connection: sqlite3.Connection, draft_id: str, revision: int | None) -> None:
    there = _first(connection.execute(SQL["draft"], {"id": draft_id}).fetchall())
    if (None if there is None else there.revision) != revision:
        raise StoreMoved(
            "draft_changed",
            "This draft was changed or removed in another window.",
            "Reload the page and make the change again.",
        )


def _first(rows: Sequence[Sequence[Any]]) -> Draft | None:
    if not rows:
        return None
    values = dict(zip(_COLUMNS, rows[0], strict=False))
    return msgspec.convert(values | msgspec.json.decode(rows[0][len(_COLUMNS)]), Draft)
