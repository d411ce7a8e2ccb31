"""Users, their sessions and password links."""

from __future__ import annotations

import msgspec

from nicobar.model import Identity, PasswordLink, User, UserRole
from nicobar.store.catalogue import Audited
from nicobar.store.session import Row, Session
from nicobar.store.tables.base import Tables, existing, write_audit_line


class UserTables(Tables):
    """`Users` over a database."""

    async def user(self, name: str) -> User | None:
        return _user(await self._row("user_by_name", {"name": name}))

    async def users(self) -> list[User]:
        return [_read_user(row) for row in await self._rows("users")]

    async def identity_user(self, issuer: str, subject: str) -> User | None:
        return _user(await self._row("identity_user", {"issuer": issuer, "subject": subject}))

    async def identities(self, issuer: str) -> list[Identity]:
        rows = await self._rows("identities", {"issuer": issuer})
        return [Identity(issuer=row[0], subject=row[1], user_id=row[2], created_at_ms=row[3]) for row in rows]

    async def links(self, *, now_ms: int) -> list[PasswordLink]:
        return [_link(row) for row in await self._rows("links", {"now_ms": now_ms})]

    async def link(self, sha256: str, *, now_ms: int) -> PasswordLink | None:
        row = await self._row("link", {"sha256": sha256, "now_ms": now_ms})
        return None if row is None else _link(row)

    async def set_up(self, sha256: str, user: User, audit_line: Audited, *, now_ms: int) -> bool:
        values = msgspec.structs.asdict(user) | {"role": user.role.value}

        def work(session: Session) -> bool:
            if session.row("take_link", {"sha256": sha256, "name": user.name, "now_ms": now_ms}) is None:
                return False
            (user_id,) = existing(session.row("put_user", values))
            session.run("remove_sessions_of_user", {"user_id": user_id})
            write_audit_line(session, audit_line)
            return True

        return await self._database.write(work)

    async def add_session(self, sha256: str, user_id: str, *, now_ms: int, expires_at_ms: int) -> None:
        values = {"sha256": sha256, "user_id": user_id, "created_at_ms": now_ms, "expires_at_ms": expires_at_ms}

        def work(session: Session) -> None:
            session.run("forget_sessions", {"now_ms": now_ms})
            session.run("add_session", values)

        await self._database.write(work)

    async def session_user(self, sha256: str, *, now_ms: int) -> User | None:
        return _user(await self._row("session_user", {"sha256": sha256, "now_ms": now_ms}))

    async def remove_session(self, sha256: str) -> None:
        await self._run("remove_session", {"sha256": sha256})


def _user(row: Row | None) -> User | None:
    return None if row is None else _read_user(row)


def _read_user(row: Row) -> User:
    return User(id=row[0], name=row[1], role=UserRole(row[2]), password_hash=row[3], created_at_ms=row[4])


def _link(row: Row) -> PasswordLink:
    return PasswordLink(name=row[0], sha256=row[1], role=UserRole(row[2]), created_at_ms=row[3], expires_at_ms=row[4])
