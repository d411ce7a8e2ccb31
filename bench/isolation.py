"""How trouble at one endpoint affects another one: the quick endpoint's latency beside each trouble, as a ratio
to its latency alone, in one run.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.work import HANDLER, WORK
from nicobar.emulator.app import create_app
from nicobar.emulator.faults import Fault
from nicobar.emulator.state import State
from nicobar.model import Customer
from nicobar.reasons import plain
from nicobar.sources.samples import fresh
from nicobar.store import AddTransformation, PauseEndpoint
from nicobar.web.serving import Server
from support.records import make_endpoint
from support.server import TYPES, Running, running

EVENTS = 150
GAP_MS = 20
FLOOD = 3_000
MAX_WAIT_S = 120
HEAVY = """function handler(webhook) {
  let n = 0;
  while (n < 1e7) n += 1; // a few hundred milliseconds
  webhook.payload = nicobar.event("heavy", {n});
  return webhook;
}"""


@dataclass(frozen=True)
class Trouble:
    """What the other endpoint is like: its handler, what its destination does, how many events flood it."""

    name: str
    handler: str = HANDLER
    fault: Fault | None = None
    flood: int = 300


TROUBLES = (
    Trouble("a destination that hangs", fault=Fault(delay_ms=60_000, times=1_000_000)),
    Trouble("a slow destination (1 s)", fault=Fault(delay_ms=1_000, times=1_000_000)),
    Trouble("a destination that fails", fault=Fault(status=503, times=1_000_000)),
    Trouble("a heavy handler", handler=HEAVY, flood=100),
    Trouble("a flood", flood=FLOOD),
)


@asynccontextmanager
async def two_endpoints(directory: Path, trouble: Trouble) -> AsyncIterator[Running]:
    """The quick endpoint receives payments, the troubled one refunds."""
    destination = await Server.start(create_app(State()), "127.0.0.1", 0)
    try:
        async with running(directory, HANDLER, sandbox_children=2) as nicobar:
            store, runtime = nicobar.runtime.store, nicobar.runtime
            (quick,) = (await store.snapshot()).endpoints
            changes = []
            for endpoint, name, url, types, code in (
                (quick, "quick", nicobar.emulator.url, ("payment.succeeded",), HANDLER),
                (None, "troubled", destination.url, ("refund.succeeded",), trouble.handler),
            ):
                put = make_endpoint(
                    vault=runtime.vault,
                    ids=runtime.ids,
                    app_id=quick.app_id,
                    name=name,
                    kind="customerio",
                    settings={"base_url": url},
                    credentials={"site_id": "demo-site", "api_key": "demo-key"},
                    event_types=types,
                    replaced=endpoint,
                )
                changes += [put, AddTransformation(endpoint_id=put.id, code=code, created_at_ms=1)]
            await store.change(changes)
            await runtime.configuration.refresh()
            faults = [msgspec.to_builtins(trouble.fault)] if trouble.fault else []
            async with nicobar.http.put(f"{destination.url}/emulator/faults", json=faults) as answer:
                assert answer.status == 200, await answer.text()
            yield nicobar
            # No need to wait for the troubled endpoint's pending deliveries.
            await store.change([PauseEndpoint(endpoint_id=changes[2].id, reason=plain("the end of the run"))])
            await runtime.configuration.refresh()
    finally:
        await destination.stop()


async def latencies_ms(nicobar: Running, prefix: str) -> list[int]:
    """The time from acceptance to delivery of each event of the quick endpoint, at a steady rate."""

    async def send(number: int) -> None:
        await asyncio.sleep(number * GAP_MS / 1000)
        customer = Customer(key=f"cus_{number}", email=f"{number}@shop.example")
        body = fresh(TYPES["payment.succeeded"], nicobar.runtime.clock.now_ms(), customer)
        status, _ = await nicobar.send(body, f"{prefix}_{number}")
        assert status == 202

    sending = [asyncio.create_task(send(number)) for number in range(EVENTS)]
    took: list[int] = []
    async with asyncio.timeout(MAX_WAIT_S):
        while len(took) < EVENTS:
            item = await nicobar.recorded.get()
            if item.endpoint.name == "quick":
                ended_ms = item.attempt.started_at_ms + item.attempt.duration_ms
                took.append(ended_ms - item.message.accepted_at_ms)
        await asyncio.gather(*sending)
    return took


async def flood(nicobar: Running, count: int) -> None:
    async def some(numbers: range) -> None:
        for number in numbers:
            customer = Customer(key=f"cus_{number}", email=f"{number}@shop.example")
            body = fresh(TYPES["refund.succeeded"], nicobar.runtime.clock.now_ms(), customer)
            await nicobar.send(body, f"flood_{number}")

    await asyncio.gather(*(some(range(start, count, 20)) for start in range(20)))


async def isolation() -> None:
    print(f"The quick endpoint, {EVENTS} events, one every {GAP_MS} ms: median (95th percentile)")
    for trouble in TROUBLES:
        with tempfile.TemporaryDirectory(dir=WORK) as directory:
            async with two_endpoints(Path(directory), trouble) as nicobar:
                alone = await latencies_ms(nicobar, "alone")
                flooding = asyncio.create_task(flood(nicobar, trouble.flood))
                beside = await latencies_ms(nicobar, "beside")
                flooding.cancel()
                await asyncio.gather(flooding, return_exceptions=True)
        medians = [max(1, statistics.median(took)) for took in (alone, beside)]
        late = [statistics.quantiles(took, n=20)[-1] for took in (alone, beside)]
        times = medians[1] / medians[0]
        latencies = [f"{median:.0f} ({slow:.0f}) ms" for median, slow in zip(medians, late, strict=True)]
        print(f"  beside {trouble.name}: {latencies[1]}, alone {latencies[0]}: {times:.1f} times as long", flush=True)
