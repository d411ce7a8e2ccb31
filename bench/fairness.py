"""What waits for what: one customer's long chain, a new customer's event beside a backlog, and what waits after an
outage. SQLite, in this process; the destination answers within ANSWER_MS.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from bench.backlog import BODY
from bench.work import WORK, message, per_second
from bench.working import Place, place
from nicobar.connectors import NoResponse, Request, Response
from nicobar.model import DeliveryState
from nicobar.pipeline.recorder import Recorded

CHAIN = 10_000
ANSWER_MS = 20
OLD_MS = 3_600_000
NEW_EVENTS = 10
BETWEEN_S = 1.0
OUTAGE_S = 8.0
OUTAGE_EVENTS = 150
OUTAGE_CUSTOMERS = 3
# Of an act, after which it is stopped.
MAX_S = 60.0


class Slow:
    """Accepts everything after ANSWER_MS, or answers 503."""

    def __init__(self) -> None:
        self.fails = False

    async def send(self, request: Request) -> Response | NoResponse:
        await asyncio.sleep(ANSWER_MS / 1000)
        if request.method == "GET":
            return Response(status=200, headers={}, body=b'{"region":"us"}', duration_ms=ANSWER_MS)
        return Response(status=503 if self.fails else 200, headers={}, body=b"{}\n", duration_ms=ANSWER_MS)

    async def refused_address(self, _url: str) -> None:
        return None


async def add(at: Place, number: int, customer: str, accepted_at_ms: int) -> None:
    new = message(number, body=BODY, endpoint_seqs=(at.endpoint.seq,))
    await at.store.append(
        msgspec.structs.replace(
            new,
            app_id=at.endpoint.app_id,
            customer_key=customer,
            accepted_at_ms=accepted_at_ms,
            occurred_at_ms=accepted_at_ms,
        )
    )


class Done:
    """Counts final attempts, and notes when a message had its own."""

    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self.all = asyncio.Event()
        self.at_s: dict[str, float] = {}

    def __call__(self, recorded: Recorded) -> None:
        if recorded.attempt.state is not DeliveryState.PENDING:
            self.at_s[recorded.message.event_id] = time.perf_counter()
            self._left -= 1
            if self._left == 0:
                self.all.set()


async def chain(at: Place) -> None:
    now_ms = at.clock.now_ms()
    await per_second(CHAIN, 200, lambda number: add(at, number, "one", now_ms))
    done = Done(CHAIN)
    async with at.worker(Slow(), done) as worker:
        started_s = time.perf_counter()
        await worker.start()
        async with asyncio.timeout(MAX_S):
            await done.all.wait()
        took_s = time.perf_counter() - started_s
        await worker.stop(10_000)
    print(f"  one customer's {CHAIN:,} drained at {CHAIN / took_s:,.0f}/s", flush=True)


async def newcomers(at: Place, waiting: int, age_ms: int) -> None:
    now_ms = at.clock.now_ms()
    await per_second(waiting, 500, lambda number: add(at, number, f"cus_{number % 50_000}", now_ms - age_ms))
    done, sent_s = Done(waiting + NEW_EVENTS), {}
    async with at.worker(Slow(), done) as worker:
        await worker.start()
        for number in range(NEW_EVENTS):
            await add(at, waiting + number, f"new_{number}", at.clock.now_ms())
            sent_s[f"evt_{waiting + number}"] = time.perf_counter()
            worker.wake([at.endpoint.seq])
            await asyncio.sleep(BETWEEN_S)
        async with asyncio.timeout(MAX_S):
            while not sent_s.keys() <= done.at_s.keys():
                await asyncio.sleep(BETWEEN_S / 10)
        await worker.stop(10_000)
    waits_ms = sorted((done.at_s[name] - at_s) * 1000 for name, at_s in sent_s.items())
    print(
        f"  {waiting:,} waiting for {age_ms // 1000:,} s: a new customer's event waited "
        f"{waits_ms[len(waits_ms) // 2]:.0f} ms, at most {waits_ms[-1]:.0f} ms; meanwhile "
        f"{len(done.at_s) - NEW_EVENTS:,} others were delivered",
        flush=True,
    )


async def outage(at: Place) -> None:
    done, transport = Done(OUTAGE_EVENTS), Slow()
    transport.fails = True
    async with at.worker(transport, done) as worker:
        await worker.start()
        for number in range(OUTAGE_EVENTS):
            await add(at, number, f"cus_{number % OUTAGE_CUSTOMERS}", at.clock.now_ms())
            worker.wake([at.endpoint.seq])
            await asyncio.sleep(OUTAGE_S / OUTAGE_EVENTS)
        transport.fails = False
        recovered_s = time.perf_counter()
        try:
            async with asyncio.timeout(MAX_S):
                await done.all.wait()
            took = f"within {max(done.at_s.values()) - recovered_s:.1f} s"
        except TimeoutError:
            took = f"not within {MAX_S:.0f} s, {OUTAGE_EVENTS - len(done.at_s)} still waited"
        await worker.stop(10_000)
    print(
        f"  {OUTAGE_S:.0f} s without the destination, {OUTAGE_EVENTS} events of {OUTAGE_CUSTOMERS} customers: "
        f"delivered after recovery {took}",
        flush=True,
    )


async def fairness(waiting: int) -> None:
    """`waiting`: the deliveries of the backlog."""
    print(f"Fairness, answers after {ANSWER_MS} ms:")
    acts: list[Callable[[Place], Awaitable[None]]] = [
        chain,
        lambda at: newcomers(at, waiting, OLD_MS),
        lambda at: newcomers(at, waiting, 0),
        outage,
    ]
    for act in acts:
        with tempfile.TemporaryDirectory(dir=WORK) as directory:
            async with place(Path(directory)) as at:
                await act(at)
