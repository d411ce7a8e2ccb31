"""When tokens were last used."""

from __future__ import annotations

import asyncio

from nicobar.errors import StoreError
from nicobar.logs import log
from nicobar.model import Token
from nicobar.store import Access

TOUCH_MS = 60_000


class TokenUses:
    """Stores when tokens were last used. No request waits for it: reads are answered while nothing can be written.
    One write per token is under way at a time.
    """

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def note(self, access: Access, token: Token, now_ms: int) -> None:
        used_at_ms = token.last_used_at_ms
        if token.id in self._under_way or (used_at_ms is not None and now_ms - used_at_ms < TOUCH_MS):
            return
        task = asyncio.create_task(_store_use(access, token.id, now_ms), name=f"use of {token.id}")
        self._under_way[token.id] = task
        task.add_done_callback(lambda _task: self._under_way.pop(token.id))

    async def settle(self) -> None:
        """Returns once all noted uses are stored or have failed."""
        if self._under_way:
            await asyncio.wait(list(self._under_way.values()))


async def _store_use(access: Access, token_id: str, now_ms: int) -> None:
    try:
        await access.touch_token(token_id, at_ms=now_ms)
    except StoreError as error:
        log.warning("cannot store last use of token", token_id=token_id, code=error.code, detail=error.detail)
