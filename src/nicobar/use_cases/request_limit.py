"""How many API requests a token may make per second, on all processes together.

Requests are counted per period of PERIOD_S seconds. Each process counts its own and shares them through the store in
blocks, one write for a BLOCKS-th of the limit, in the background: no request waits for the store, and a token that
makes fewer requests in a period than a block is never written about. The number of reserved blocks says how many
requests all processes have granted.

The limit is exceeded at most by the requests not yet shared: a block for each process, and the requests that
arrive while one is being written. Where the store cannot be written, or the clocks of two machines differ by a
period, each process grants the whole limit.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from nicobar.errors import Refusal, StoreError
from nicobar.logs import log
from nicobar.store import Access

PERIOD_S = 2
BLOCKS = 10
MAX_TOKENS = 10_000


@dataclass(slots=True, eq=False)
class _Usage:
    """A token's requests in one period: the blocks of all processes, as far as known here, and this
    process's requests that are in none of them. `sharing` stays where it failed, so that it fails once a period.
    """

    period: int
    shared_blocks: int = 0
    unshared_requests: int = 0
    sharing: asyncio.Task[None] | None = None


class RequestLimit:
    """Counts the requests of each token: `max_per_s` on average over a period."""

    def __init__(self, access: Access, max_per_s: int) -> None:
        self._access = access
        self._max_per_s = max_per_s
        self._max_requests = max_per_s * PERIOD_S
        self._block_requests = max(1, self._max_requests // BLOCKS)
        self._max_blocks = -(-self._max_requests // self._block_requests)
        self._usages: OrderedDict[str, _Usage] = OrderedDict()

    def count(self, token_id: str, now_ms: int) -> None:
        """Raises Refusal 429 where nothing is left in this period."""
        usage = self._usage(token_id, now_ms // (PERIOD_S * 1000))
        if usage.shared_blocks * self._block_requests + usage.unshared_requests >= self._max_requests:
            wait_ms = (usage.period + 1) * PERIOD_S * 1000 - now_ms
            raise Refusal(
                429,
                "too_many_requests",
                "This token made more than %(max_per_s)s requests per second.",
                "Retry after the time in Retry-After, or raise the setting max_api_requests_per_s.",
                max_per_s=self._max_per_s,
                retry_after_s=-(-wait_ms // 1000),
            )
        usage.unshared_requests += 1
        if usage.unshared_requests >= self._block_requests and usage.sharing is None:
            usage.sharing = asyncio.create_task(self._share(token_id, usage), name=f"requests of {token_id}")

    async def settle(self) -> None:
        """Returns when the counted requests are shared, or sharing has failed."""
        tasks = [usage.sharing for usage in self._usages.values() if usage.sharing is not None]
        if tasks:
            await asyncio.wait(tasks)

    def _usage(self, token_id: str, period: int) -> _Usage:
        usage = self._usages.pop(token_id, None)
        if usage is None or usage.period != period:
            usage = _Usage(period)
        self._usages[token_id] = usage
        if len(self._usages) > MAX_TOKENS:
            self._usages.popitem(last=False)
        return usage

    async def _share(self, token_id: str, usage: _Usage) -> None:
        """Reserves the next free block for each block of requests. They are kept like the answers to idempotent
        requests; those of an earlier period are free.
        """
        start_ms = usage.period * PERIOD_S * 1000
        try:
            while usage.unshared_requests >= self._block_requests and usage.shared_blocks < self._max_blocks:
                taken = await self._access.begin_answer(
                    f"rate/{token_id}",
                    str(usage.shared_blocks),
                    str(usage.period),
                    now_ms=start_ms,
                    before_ms=start_ms,
                )
                if taken is None:
                    usage.unshared_requests -= self._block_requests
                elif taken.request != str(usage.period):
                    return  # of a later period: this one has ended, or a clock was set back
                usage.shared_blocks += 1
        except StoreError as error:
            log.warning("requests of a token not shared", token_id=token_id, code=error.code, detail=error.detail)
            return
        usage.sharing = None
