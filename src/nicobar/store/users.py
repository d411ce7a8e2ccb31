"""Who signs in to the dashboard."""

from __future__ import annotations

from typing import Protocol

from nicobar.model import PasswordLink, User
from nicobar.store.catalogue import Audited


class Users(Protocol):
    """Users, their sessions, and the links that set their passwords; the catalogue's changes have the rest. Of links
    and sessions the SHA-256 of what the browser holds is kept.
    """

    async def user(self, name: str) -> User | None: ...

    async def users(self) -> list[User]:
        """Everybody, by name."""
        ...

    async def links(self, *, now_ms: int) -> list[PasswordLink]:
        """The links that are good, by name."""
        ...

    async def link(self, sha256: str, *, now_ms: int) -> PasswordLink | None:
        """The link, while it is good."""
        ...

    async def set_up(self, sha256: str, user: User, audit_line: Audited, *, now_ms: int) -> bool:
        """Uses the link up and keeps the user, or the new password and the role of the one with that name, whose
        sessions end; in one transaction. False where the link is not good (any more) or another user's.
        """
        ...

    async def add_session(self, sha256: str, user_id: str, *, now_ms: int, expires_at_ms: int) -> None:
        """Keeps that somebody has signed in; sessions that are over are taken out."""
        ...

    async def session_user(self, sha256: str, *, now_ms: int) -> User | None:
        """Whose session it is, while it lasts."""
        ...

    async def remove_session(self, sha256: str) -> None: ...
