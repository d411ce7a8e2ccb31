"""Users of the dashboard."""

from __future__ import annotations

from typing import Protocol

from nicobar.model import Identity, PasswordLink, User
from nicobar.store.catalogue import Audited


class Users(Protocol):
    """Users, their sessions, and their password links; other changes of users are in the catalogue. Links and
    sessions are stored as the SHA-256 of the value in the browser.
    """

    async def user(self, name: str) -> User | None: ...

    async def users(self) -> list[User]:
        """All users, by name."""
        ...

    async def identity_user(self, issuer: str, subject: str) -> User | None:
        """The user of a provider's subject."""
        ...

    async def identities(self, issuer: str) -> list[Identity]:
        """Those of a provider."""
        ...

    async def links(self, *, now_ms: int) -> list[PasswordLink]:
        """The valid links, by name."""
        ...

    async def link(self, sha256: str, *, now_ms: int) -> PasswordLink | None:
        """The link, if it is valid."""
        ...

    async def set_up(self, sha256: str, user: User, audit_line: Audited, *, now_ms: int) -> bool:
        """Consumes the link and creates the user, or sets the password and role of the user with that name and ends
        their sessions; in one transaction. False if the link is invalid, expired or another user's.
        """
        ...

    async def add_session(self, sha256: str, user_id: str, *, now_ms: int, expires_at_ms: int) -> None:
        """Stores a session, and deletes expired ones."""
        ...

    async def session_user(self, sha256: str, *, now_ms: int) -> User | None:
        """The user of a session that has not expired."""
        ...

    async def remove_session(self, sha256: str) -> None: ...
