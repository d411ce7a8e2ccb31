"""Tokens and kept answers in SQLite."""

from __future__ import annotations

import sqlite3

from nicobar.model import Scope, Token
from nicobar.store.access import KeptAnswer
from nicobar.store.sqlite.database import SQL, Database


class AccessTables:
    """`Access` over a database."""

    _database: Database

    async def tokens(self) -> list[Token]:
        return [_token(row) for row in await self._database.read("tokens")]

    async def token(self, sha256: str) -> Token | None:
        rows = await self._database.read("token_by_hash", {"sha256": sha256})
        return _token(rows[0]) if rows else None

    async def touch_token(self, token_id: str, *, at_ms: int) -> None:
        values = {"id": token_id, "at_ms": at_ms}
        await self._database.write(lambda connection: connection.execute(SQL["touch_token"], values).close())

    async def begin_answer(
        self, token_id: str, key: str, request: str, *, now_ms: int, before_ms: int
    ) -> KeptAnswer | None:
        values = {"token_id": token_id, "key": key, "request": request, "now_ms": now_ms, "before_ms": before_ms}

        def work(connection: sqlite3.Connection) -> KeptAnswer | None:
            if connection.execute(SQL["begin_answer"], values).fetchone() is not None:
                return None
            return _answer(connection.execute(SQL["answer"], {"token_id": token_id, "key": key}).fetchone())

        return await self._database.write(work)

    async def answer(self, token_id: str, key: str) -> KeptAnswer | None:
        rows = await self._database.read("answer", {"token_id": token_id, "key": key})
        return _answer(rows[0]) if rows else None

    async def keep_answer(self, token_id: str, key: str, *, status: int, body: bytes) -> None:
        values = {"token_id": token_id, "key": key, "status": status, "body": body}
        await self._database.write(lambda connection: connection.execute(SQL["keep_answer"], values).close())

    async def drop_answer(self, token_id: str, key: str) -> None:
        values = {"token_id": token_id, "key": key}
        await self._database.write(lambda connection: connection.execute(SQL["drop_answer"], values).close())


def _answer(row: sqlite3.Row) -> KeptAnswer:
    return KeptAnswer(request=row[0], status=row[1], body=row[2])


def _token(row: sqlite3.Row) -> Token:
    return Token(
        id=row[0],
        name=row[1],
        sha256=row[2],
        scope=Scope(row[3]),
        app_id=row[4],
        created_at_ms=row[5],
        expires_at_ms=row[6],
        revoked_at_ms=row[7],
        last_used_at_ms=row[8],
        portal=bool(row[9]),
        session_id=row[10],
    )
