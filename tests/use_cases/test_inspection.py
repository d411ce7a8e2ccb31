"""Questions to a destination take turns."""

from __future__ import annotations

import asyncio
import itertools

from nicobar.connectors import NoResponse, Request, Response
from nicobar.use_cases.inspection import MAX_WAITING, SPACING_MS, SpacedTransport
from support.clock import MovingClock

QUESTION = Request(method="GET", url="https://api.customer.io/v1/campaigns", headers={}, body=b"")


class Noted:
    """A transport that notes when each request was sent."""

    def __init__(self, clock):
        self.clock = clock
        self.times_ms = []

    async def send(self, _request):
        self.times_ms.append(self.clock.steady_ms())
        return Response(status=200, headers={}, body=b"{}", duration_ms=1)

    async def refused_address(self, _url):
        return None


async def test_questions_of_all_users_are_spaced_and_bounded():
    clock = MovingClock(0)
    inner = Noted(clock)
    spaced = SpacedTransport(inner, clock)
    # The first one need not wait.
    asked = [asyncio.create_task(spaced.send(QUESTION)) for _ in range(MAX_WAITING + 2)]
    while not all(task.done() for task in asked):
        for _ in range(3):
            await asyncio.sleep(0)
        clock.move(SPACING_MS)
    answers = [task.result() for task in asked]
    assert [isinstance(answer, NoResponse) for answer in answers] == [False] * (MAX_WAITING + 1) + [True]
    times = inner.times_ms
    assert all(later - earlier >= SPACING_MS for earlier, later in itertools.pairwise(times))
    assert 1_000 // SPACING_MS < 10, "at most ten a second"
