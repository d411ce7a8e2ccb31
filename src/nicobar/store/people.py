"""Who signs in to the dashboard."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from nicobar.model import Record


class UserRole(StrEnum):
    """What somebody may do in the dashboard: everything; everything but users and tokens; look."""

    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"


class User(Record):
    """Somebody who signs in by name and password; of the password an argon2 hash is kept."""

    id: str
    name: str
    role: UserRole
    password_hash: str
    created_at_ms: int


class People(Protocol):
    """Users, their sessions, and the link that sets the owner's password. Of links and sessions the SHA-256 of what
    the browser holds is kept.
    """

    async def user(self, name: str) -> User | None: ...

    async def offer_setup(self, sha256: str, *, expires_at_ms: int) -> None:
        """Makes this the one link that sets the owner's password."""
        ...

    async def is_setup(self, sha256: str, *, now_ms: int) -> bool:
        """Whether the link is good."""
        ...

    async def set_up(self, sha256: str, user: User, *, now_ms: int) -> bool:
        """Uses the link up and keeps the user, or the new password of the one with that name, whose sessions end; in
        one transaction. False where the link is not good (any more).
        """
        ...

    async def add_session(self, sha256: str, user_id: str, *, now_ms: int, expires_at_ms: int) -> None:
        """Keeps that somebody has signed in; sessions that are over are taken out."""
        ...

    async def session_user(self, sha256: str, *, now_ms: int) -> User | None:
        """Whose session it is, while it lasts."""
        ...

    async def remove_session(self, sha256: str) -> None: ...
