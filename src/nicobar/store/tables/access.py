"""Tokens and kept answers."""

from __future__ import annotations

from nicobar.model import Scope, Token
from nicobar.store.access import KeptAnswer
from nicobar.store.session import Row, Session
from nicobar.store.tables.base import Tables


class AccessTables(Tables):
    """`Access` over a database."""

    async def tokens(self) -> list[Token]:
        return [_token(row) for row in await self._rows("tokens")]

    async def token(self, sha256: str) -> Token | None:
        row = await self._row("token_by_hash", {"sha256": sha256})
        return None if row is None else _token(row)

    async def touch_token(self, token_id: str, *, at_ms: int) -> None:
        await self._run("touch_token", {"id": token_id, "at_ms": at_ms})

    async def begin_answer(
        self, token_id: str, key: str, request: str, *, now_ms: int, before_ms: int
    ) -> KeptAnswer | None:
        values = {"token_id": token_id, "key": key, "request": request, "now_ms": now_ms, "before_ms": before_ms}

        def work(session: Session) -> KeptAnswer | None:
            while session.row("begin_answer", values) is None:
                kept = _answer(session.row("answer", {"token_id": token_id, "key": key}))
                if kept is not None:
                    return kept
                # Released between the two queries: another attempt.
            return None

        return await self._database.write(work)

    async def answer(self, token_id: str, key: str) -> KeptAnswer | None:
        return _answer(await self._row("answer", {"token_id": token_id, "key": key}))

    async def keep_answer(self, token_id: str, key: str, *, status: int, body: bytes) -> None:
        await self._run("keep_answer", {"token_id": token_id, "key": key, "status": status, "body": body})

    async def drop_answer(self, token_id: str, key: str) -> None:
        await self._run("drop_answer", {"token_id": token_id, "key": key})


def _answer(row: Row | None) -> KeptAnswer | None:
    return None if row is None else KeptAnswer(request=row[0], status=row[1], body=row[2])


def _token(row: Row) -> Token:
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
