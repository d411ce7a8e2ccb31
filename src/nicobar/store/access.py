"""Who may ask, and what was answered to whom."""

from __future__ import annotations

from typing import Protocol

from nicobar.model import Record, Token


class KeptAnswer(Record):
    """An answer to an idempotent request. `request` is the SHA-256 of what was asked; `status` is 0 while the first
    request with this key is not finished.
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
        """The token with this hash, also one that is expired or revoked."""
        ...

    async def touch_token(self, token_id: str, *, at_ms: int) -> None:
        """Says when it was last used."""
        ...

    async def begin_answer(
        self, token_id: str, key: str, request: str, *, now_ms: int, before_ms: int
    ) -> KeptAnswer | None:
        """Takes the place of an answer, so that a second request with the key finds it taken, in another process too.
        None where it was free; else what is in it. One from before `before_ms` counts for nothing.
        """
        ...

    async def answer(self, token_id: str, key: str) -> KeptAnswer | None:
        """What is in the place of an answer; None where it is free. Takes no place."""
        ...

    async def keep_answer(self, token_id: str, key: str, *, status: int, body: bytes) -> None:
        """Keeps the answer in the place that was taken."""
        ...

    async def drop_answer(self, token_id: str, key: str) -> None:
        """Frees the place: the request had no effect and may be made again."""
        ...
