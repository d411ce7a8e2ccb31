"""How a process that stored work tells those that deliver it at once. A hint may be lost: workers also look
automatically, only later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

# In a hint, where endpoints are numbered from 1: leases were released.
RELEASED = 0


class Hints(Protocol):
    """The hints of one process, to and from the other processes of its database."""

    def tell(self, endpoint_seqs: Sequence[int]) -> None:
        """Tells the others of new work for these endpoints, soon; does not block."""
        ...

    async def listen(self, heard: Callable[[Sequence[int]], None], stop: asyncio.Event) -> None:
        """Calls `heard` with the endpoints of each hint, with none where it may be any, until `stop` is set."""
        ...

    @property
    def is_heard(self) -> bool:
        """Whether hints arrive."""
        ...

    async def close(self) -> None: ...
