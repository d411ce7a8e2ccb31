"""Users and their sessions in SQLite."""

from __future__ import annotations

import sqlite3

import msgspec

from nicobar.model import PasswordLink, User, UserRole
from nicobar.store.catalogue import Audited
from nicobar.store.sqlite.database import SQL, Database


class PeopleTables:
    """`People` over a database."""

    _database: Database

    async def user(self, name: str) -> User | None:
        rows = await self._database.read("user_by_name", {"name": name})
        return _user(rows[0]) if rows else None

    async def users(self) -> list[User]:
        return [_user(row) for row in await self._database.read("users")]

    async def links(self, *, now_ms: int) -> list[PasswordLink]:
        return [_link(row) for row in await self._database.read("links", {"now_ms": now_ms})]

    async def link(self, sha256: str, *, now_ms: int) -> PasswordLink | None:
        rows = await self._database.read("link", {"sha256": sha256, "now_ms": now_ms})
        return _link(rows[0]) if rows else None

    async def set_up(self, sha256: str, user: User, audit_line: Audited, *, now_ms: int) -> bool:
        values = msgspec.structs.asdict(user) | {"role": user.role.value}

        def work(connection: sqlite3.Connection) -> bool:
            link = {"sha256": sha256, "name": user.name, "now_ms": now_ms}
            if connection.execute(SQL["take_link"], link).fetchone() is None:
                return False
            (user_id,) = connection.execute(SQL["put_user"], values).fetchone()
            connection.execute(SQL["remove_sessions_of_user"], {"user_id": user_id})
            connection.execute(SQL["add_audit"], msgspec.structs.asdict(audit_line))
            return True

        return await self._database.write(work)

    async def add_session(self, sha256: str, user_id: str, *, now_ms: int, expires_at_ms: int) -> None:
        values = {"sha256": sha256, "user_id": user_id, "created_at_ms": now_ms, "expires_at_ms": expires_at_ms}

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(SQL["forget_sessions"], {"now_ms": now_ms})
            connection.execute(SQL["add_session"], values)

        await self._database.write(work)

    async def session_user(self, sha256: str, *, now_ms: int) -> User | None:
        rows = await self._database.read("session_user", {"sha256": sha256, "now_ms": now_ms})
        return _user(rows[0]) if rows else None

    async def remove_session(self, sha256: str) -> None:
        values = {"sha256": sha256}
        await self._database.write(lambda connection: connection.execute(SQL["remove_session"], values).close())


def _user(row: sqlite3.Row) -> User:
    return User(id=row[0], name=row[1], role=UserRole(row[2]), password_hash=row[3], created_at_ms=row[4])


def _link(row: sqlite3.Row) -> PasswordLink:
    return PasswordLink(name=row[0], sha256=row[1], role=UserRole(row[2]), created_at_ms=row[3], expires_at_ms=row[4])
