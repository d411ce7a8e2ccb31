"""The product from outside: sender, `nicobar serve` and sink are processes of their own, on the loopback interface.

Each round measures, with signed `payment.succeeded` webhooks of one customer each and the default recipe:
accepting (role web, against an application that does nothing on the same server), draining the accepted events (role
worker), both at once (role all), and the latency from when an event was due to its first sight at the sink at fixed
rates. Three rounds, the median of each figure; figures are compared within one round.

CPU time is that of all processes of Nicobar, and of the database server where there is one.
"""

from __future__ import annotations

import array
import asyncio
import os
import secrets
import socket
import statistics
import tempfile
from asyncio.subprocess import PIPE
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import msgspec

from bench.processes import NICOBAR, START_S, Cost, Talking, cost, serving, talking
from bench.sender import Plan, Sent
from bench.sink import Seen
from nicobar.connectors.customerio.recipes import RECIPES
from nicobar.model import Record
from support.postgres import Cluster

ROUNDS = 3
CONNECTIONS = 64
EVENTS = 8_000
RATES_PER_S = {10: 50, 100: 500, 500: 2_000}
DRAIN_S = 120
LOOK_AGAIN_S = 0.1

CONFIGURATION = """
[[sources]]
name = "dodo"
kind = "dodo-payments"
secrets = [{{ env = "BENCH_SECRET" }}]

[[endpoints]]
name = "customerio"
connector = "customerio"
handler = "handler.js"
settings = {{ base_url = "{sink}" }}
credentials = {{ site_id = {{ env = "BENCH_SITE" }}, api_key = {{ env = "BENCH_SITE" }} }}
"""


class Figure(Record):
    """One measured value. `better` says which way is better."""

    name: str
    value: float
    unit: str
    better: str = "less"


class Installation(Record):
    """A data directory with a source and an endpoint that sends to the sink."""

    data_dir: Path
    port: int
    path: str
    secret: str
    environment: Mapping[str, str]
    server_pid: int | None

    def cost(self, pid: int) -> Cost:
        """What `nicobar serve` and the database server have used; the memory is Nicobar's."""
        own = cost(pid)
        if self.server_pid is None:
            return own
        return msgspec.structs.replace(own, cpu_s=own.cpu_s + cost(self.server_pid).cpu_s)


class Report(Record):
    """What a run measured: the median of each figure over its rounds."""

    machine: str
    rounds: int
    figures: tuple[Figure, ...]


async def one_round(work: Path, server: Cluster | None) -> list[Figure]:
    """Every figure once. Raises RuntimeError when an event was rejected, lost or sent more than once."""
    figures = [await _ceiling(work)]
    most = max(EVENTS, *RATES_PER_S.values())
    async with talking("bench.sink", str(most)) as sink:
        sink_port = int(await sink.read())
        figures += await _accept_then_drain(await install(work / "apart", sink_port, server), sink)
        figures += await _together(await install(work / "together", sink_port, server), sink)
    by_name = {figure.name: figure.value for figure in figures}
    return [
        *figures,
        Figure(
            name="accepting, share of no-op", value=by_name["accepting"] / by_name["no-op"], unit="", better="more"
        ),
        Figure(
            name="end to end, share of accepting",
            value=by_name["end to end"] / by_name["accepting"],
            unit="",
            better="more",
        ),
    ]


async def _ceiling(work: Path) -> Figure:
    async with talking("bench.noop") as noop:
        plan = plan_of(work, int(await noop.read()), "/in/none", _new_secret(), count=EVENTS)
        sent = await send(plan)
    return Figure(name="no-op", value=sent.accepted / sent.took_s, unit="/s", better="more")


async def _accept_then_drain(at: Installation, sink: Talking) -> list[Figure]:
    plan = plan_of(at.data_dir, at.port, at.path, at.secret, count=EVENTS)
    async with serving(at.port, at.data_dir, at.environment, "--role", "web") as pid:
        await ready(at.port)
        before = at.cost(pid)
        sent = await send(plan)
        after = at.cost(pid)
    waits_ms = [(end - due) / 1e6 for due, end in _times(plan)]
    figures = [
        Figure(name="accepting", value=sent.accepted / sent.took_s, unit="/s", better="more"),
        Figure(name="accepting, median wait", value=_percentile(waits_ms, 50), unit="ms"),
        Figure(name="accepting, p99 wait", value=_percentile(waits_ms, 99), unit="ms"),
        Figure(name="accepting, CPU per 1,000", value=_per_1000(after.cpu_s - before.cpu_s, EVENTS), unit="s"),
        Figure(name="sender, CPU per event", value=sent.cpu_us_per_event, unit="µs"),
    ]
    async with serving(at.port, at.data_dir, at.environment, "--role", "worker"):
        seen, first_ns = await _all_seen(at.data_dir, sink, EVENTS)
    took_s = (max(first_ns) - min(first_ns)) / 1e9
    return [
        *figures,
        Figure(name="draining", value=EVENTS / took_s, unit="/s", better="more"),
        Figure(name="sink, CPU per event", value=seen.cpu_us_per_event, unit="µs"),
    ]


async def _together(at: Installation, sink: Talking) -> list[Figure]:
    figures: list[Figure] = []
    async with serving(at.port, at.data_dir, at.environment) as pid:
        await ready(at.port)
        await sink.ask("forget")
        before = at.cost(pid)
        plan = plan_of(at.data_dir, at.port, at.path, at.secret, count=EVENTS)
        await send(plan)
        _, first_ns = await _all_seen(at.data_dir, sink, EVENTS)
        after = at.cost(pid)
        began_ns = min(due for due, _ in _times(plan))
        figures += [
            Figure(name="end to end", value=EVENTS / ((max(first_ns) - began_ns) / 1e9), unit="/s", better="more"),
            Figure(name="end to end, CPU per 1,000", value=_per_1000(after.cpu_s - before.cpu_s, EVENTS), unit="s"),
            Figure(name="memory after the load", value=after.memory_mib, unit="MiB"),
        ]
        for rate, count in RATES_PER_S.items():
            figures += await _at_rate(at, sink, rate, count, pid)
    return figures


async def _at_rate(at: Installation, sink: Talking, rate: int, count: int, pid: int) -> list[Figure]:
    await sink.ask("forget")
    plan = plan_of(at.data_dir, at.port, at.path, at.secret, count=count, rate_per_s=rate, series=f"r{rate}_")
    before = at.cost(pid)
    await send(plan)
    _, first_ns = await _all_seen(at.data_dir, sink, count)
    spent_s = at.cost(pid).cpu_s - before.cpu_s
    latencies_ms = [(seen - due) / 1e6 for seen, (due, _) in zip(first_ns, _times(plan), strict=True)]
    return [
        *(
            Figure(name=f"latency at {rate}/s, {label}", value=_percentile(latencies_ms, share), unit="ms")
            for label, share in (("median", 50), ("p95", 95), ("p99", 99))
        ),
        Figure(name=f"CPU per 1,000 at {rate}/s", value=_per_1000(spent_s, count), unit="s"),
    ]


async def install(directory: Path, sink_port: int, server: Cluster | None) -> Installation:
    data_dir = directory / "data"
    data_dir.mkdir(parents=True)
    secret = _new_secret()
    environment = {
        "BENCH_SECRET": secret,
        "BENCH_SITE": "bench",
        "NICOBAR_ALLOWED_ADDRESSES": f"127.0.0.1:{sink_port}",
    }
    if server is not None:
        environment["NICOBAR_DATABASE_URL"] = server.create_database()
        environment["NICOBAR_SECRET_KEY"] = secrets.token_hex(32)
    (directory / "handler.js").write_text(RECIPES[0].code, "utf-8")
    (directory / "nicobar.toml").write_text(CONFIGURATION.format(sink=f"http://127.0.0.1:{sink_port}"), "utf-8")
    command = ["apply", str(directory / "nicobar.toml"), "--data-dir", str(data_dir), "--new-installation"]
    applying = await asyncio.create_subprocess_exec(
        NICOBAR, *command, stdout=PIPE, stderr=PIPE, env={**os.environ, **environment}
    )
    output, wrong = await applying.communicate()
    if applying.returncode:
        raise RuntimeError(f"nicobar apply failed: {wrong.decode()}")
    path = next(word for word in output.decode().split() if "/in/" in word)
    return Installation(
        data_dir=data_dir,
        port=_free_port(),
        path=path[path.index("/in/") :],
        secret=secret,
        environment=environment,
        server_pid=None if server is None else server.pid,
    )


def plan_of(
    work: Path,
    port: int,
    path: str,
    secret: str,
    *,
    count: int,
    rate_per_s: float | None = None,
    series: str = "",
    customers: int | None = None,
    first_customer: int = 0,
    connections: int = CONNECTIONS,
) -> Plan:
    return Plan(
        host="127.0.0.1",
        port=port,
        path=path,
        secret=secret,
        series=series,
        count=count,
        connections=connections,
        customers=customers,
        first_customer=first_customer,
        rate_per_s=rate_per_s,
        times_file=str(work / f"{series}sent.times"),
    )


async def send(plan: Plan) -> Sent:
    async with talking("bench.sender") as sender:
        await sender.ask(msgspec.json.encode(plan).decode())
        sent = msgspec.json.decode(await sender.ask("go"), type=Sent)
    if sent.rejected:
        raise RuntimeError(f"{sent.rejected} of {plan.count} events were rejected.")
    return sent


async def _all_seen(work: Path, sink: Talking, count: int) -> tuple[Seen, list[int]]:
    """Waits until the sink saw each of the first `count` numbers; returns when it did (monotonic nanoseconds)."""
    file = work / "sink.times"
    async with asyncio.timeout(DRAIN_S):
        while (seen := msgspec.json.decode(await sink.ask(f"report {file}"), type=Seen)).events < count:
            await asyncio.sleep(LOOK_AGAIN_S)
    return seen, _integers(file)[:count].tolist()


async def ready(port: int) -> None:
    async with asyncio.timeout(START_S), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.ok:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(LOOK_AGAIN_S)


def _times(plan: Plan) -> list[tuple[int, int]]:
    """When each event was due and when it was acknowledged."""
    both = _integers(Path(plan.times_file))
    return list(zip(both[: plan.count], both[plan.count :], strict=True))


def _integers(file: Path) -> array.array[int]:
    integers = array.array("q")
    integers.frombytes(file.read_bytes())
    return integers


def _percentile(values: list[float], share: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


def _per_1000(cpu_s: float, count: int) -> float:
    return cpu_s * 1000 / count


def _new_secret() -> str:
    return "whsec_" + b64encode(secrets.token_bytes(24)).decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def whole(machine: str, directory: Path, *, postgresql: bool = False) -> Report:
    """Prints each round's progress; returns the medians. `postgresql`: on a server of its own, which is durable."""
    server = Cluster({"listen_addresses": ""}, within=Path("/var/tmp")) if postgresql else None
    rounds = []
    for number in range(1, ROUNDS + 1):
        with tempfile.TemporaryDirectory(dir=directory) as work:
            rounds.append(await one_round(Path(work), server))
        print(f"  round {number} of {ROUNDS} done", flush=True)
    figures = tuple(
        msgspec.structs.replace(same[0], value=statistics.median(figure.value for figure in same))
        for same in zip(*rounds, strict=True)
    )
    return Report(machine=machine, rounds=ROUNDS, figures=figures)


def table(report: Report, earlier: Report | None) -> str:
    """The figures a line each, with the ratio to an earlier report's where there is one."""
    before = {figure.name: figure.value for figure in earlier.figures} if earlier else {}
    lines = []
    for figure in report.figures:
        line = f"  {figure.name:32}{figure.value:>12,.2f} {figure.unit:4}"
        if before.get(figure.name):
            ratio = figure.value / before[figure.name]
            line += f"  {ratio:6.2f} of before ({figure.better} is better)"
        lines.append(line.rstrip())
    return "\n".join(lines)
