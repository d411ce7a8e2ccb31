"""API tokens, and stored answers to idempotent requests."""

from __future__ import annotations

from typing import Protocol

from nicobar.model import Record, Token


class KeptAnswer(Record):
    """An answer to an idempotent request. `request` is the SHA-256 of the request; `status` is 0 until the first
    request with this key is finished.
    """

    request: str
    status: int
    body: bytes


class Access(Protocol):
    """Tokens, and answers to requests with an `idempotency-key`."""

    async def tokens(self) -> list[Token]:
        """All tokens, the oldest first."""
        ...

    async def token(self, sha256: str) -> Token | None:
        """The token with this hash, also one that is expired or revoked; None once its application is deleted."""
        ...

    async def touch_token(self, token_id: str, *, at_ms: int) -> None:
        """Records when the token was last used."""
        ...

    async def begin_answer(
        self, token_id: str, key: str, request: str, *, now_ms: int, before_ms: int
    ) -> KeptAnswer | None:
        """Reserves the key, so that a second request with it finds it reserved, in other processes too. Returns None
        if the key was free, else the stored answer. Answers older than `before_ms` are ignored.
        """
        ...

    async def answer(self, token_id: str, key: str) -> KeptAnswer | None:
        """The stored answer, None if the key is free. Reserves nothing."""
        ...

    async def keep_answer(self, token_id: str, key: str, *, status: int, body: bytes) -> None:
        """Stores the answer under the reserved key."""
        ...

    async def drop_answer(self, token_id: str, key: str) -> None:
        """Releases the key: the request had no effect and may be repeated."""
        ...
