"""What the benchmarks share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from nicobar.store import NewMessage

# On the project's own disk: where /tmp is memory, nothing there is durable.
WORK = Path(".build")
HANDLER = """function handler(webhook) {
  webhook.payload = nicobar.event("paid", {amount: webhook.payload.data.total_amount});
  return webhook;
}"""


async def per_second(count: int, at_once: int, work: Callable[[int], Awaitable[object]]) -> float:
    """Completed calls of `work` per second, with `at_once` of them concurrent."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await work(number)

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return count / (time.perf_counter() - started)


def message(
    number: int, *, body: bytes = b"x" * 2_500, customers: int = 100, endpoint_seqs: tuple[int, ...] = ()
) -> NewMessage:
    return NewMessage(
        id=f"msg_{number:027}",
        app_id="app",
        source_id="src",
        event_id=f"evt_{number}",
        event_type="payment.succeeded",
        customer_key=f"cus_{number % customers}",
        occurred_at_ms=number,
        accepted_at_ms=number,
        body=body,
        endpoint_seqs=endpoint_seqs,
    )
