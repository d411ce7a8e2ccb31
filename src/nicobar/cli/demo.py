"""`nicobar demo`: sample events delivered to the Customer.io emulator, without an account, by one process or by four
over a PostgreSQL server of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import click
import msgspec

from nicobar.addresses import AllowedAddresses
from nicobar.cli.demo_processes import own_postgres, processes
from nicobar.cli.options import PORT, CommandServices, open_services, run_loop
from nicobar.clock import SystemClock
from nicobar.connectors import NoResponse, Request
from nicobar.connectors.registry import CONNECTORS, find_recipe
from nicobar.connectors.transport import HttpTransport
from nicobar.crypto import new_key, new_webhook_secret
from nicobar.emulator.app import Emulator, create_app
from nicobar.emulator.recipe_campaigns import read_campaigns
from nicobar.emulator.state import State
from nicobar.errors import UserError
from nicobar.logs import set_up_logs
from nicobar.model import Application, Attempt, Customer, DeliveryState, Message
from nicobar.pipeline.recorder import Recorded
from nicobar.runtime import Runtime, run
from nicobar.settings import LogFormat, LogLevel, Settings
from nicobar.sources.dodo import DodoPayments
from nicobar.store import AddTransformation, PutSource
from nicobar.use_cases import sources
from nicobar.use_cases.applications import default_application
from nicobar.use_cases.endpoint_records import EndpointSpec, created
from nicobar.use_cases.sources import SourceSpec
from nicobar.use_cases.users import offer_setup_link
from nicobar.web.serving import Server

WAIT_S = 60
CUSTOMERS = (
    Customer(key="cus_demo_ada", email="ada@northpine.example", name="Ada Lindqvist"),
    Customer(key="cus_demo_jun", email="jun@hanbit.example", name="Jun Seo"),
    Customer(key="cus_demo_ines", email="ines@sol.example", name="Inês Prata"),
)
STORY = (
    "payment.succeeded",
    "subscription.active",
    "subscription.renewed",
    "payment.failed",
    "subscription.on_hold",
    "dunning.started",
    "dunning.recovered",
    "subscription.plan_changed",
    "refund.succeeded",
    "credit.balance_low",
    "abandoned_checkout.detected",
    "subscription.cancelled",
)
# Each event of the story happened so long after the one before.
STEP_MS = 60_000
RECIPE = "journeys"
# Those of the samples.
PRODUCT_NAMES = {"pdt_0Ncs8rsdCdjTK4a8dqn4Z": "Pro", "pdt_0NIsZP4NqC5Z2rBbxYXqN": "Scale"}
# The customers are new: all of their events are known.
SHOP_OPENED_BEFORE_MS = 366 * 86_400_000
DODO = DodoPayments()
TYPES = {event_type.name: event_type for event_type in DODO.event_types()}


@dataclass(frozen=True, slots=True)
class _Ended:
    """A stored attempt. `by` is the process that made it, empty if there is only one."""

    message: Message
    attempt: Attempt
    by: str = ""


@dataclass(frozen=True, slots=True)
class _Started:
    """Running processes: the URLs of the source, its signing secret, a link to the dashboard, and a wait for the next
    stored attempt.
    """

    urls: list[str]
    dashboard: str
    secret: str
    next_ended: Callable[[], Awaitable[_Ended]]


_Start: TypeAlias = Callable[[Settings, str], AbstractAsyncContextManager[_Started]]


@click.command()
@click.option("--once", is_flag=True, help="Exit when all events have arrived (code 0) or after a timeout (code 1).")
@click.option("--port", default=8080, show_default=True, type=PORT, help="Port of Nicobar; 0 picks a free port.")
@click.option(
    "--emulator-port",
    default=8081,
    show_default=True,
    type=PORT,
    help="Port of the Customer.io emulator; 0 picks a free one.",
)
@click.option(
    "--postgresql",
    is_flag=True,
    help="Run two receiving and two delivering processes over a PostgreSQL server of their own.",
)
def demo(*, once: bool, port: int, emulator_port: int, postgresql: bool) -> None:
    """Deliver sample events to a Customer.io emulator. No account needed."""
    set_up_logs(json=False, level="error")
    with tempfile.TemporaryDirectory(prefix="nicobar-demo-") as directory:
        start = _many_processes if postgresql else _one_process
        try:
            arrived = run_loop(_demo(start, Path(directory), port, emulator_port, once=once))
        except asyncio.CancelledError:
            click.echo("Stopped before all events arrived.", err=True)
            arrived = False
    raise SystemExit(0 if arrived else 1)


async def _demo(start: _Start, directory: Path, port: int, emulator_port: int, *, once: bool) -> bool:
    """Whether everything arrived. Raises CancelledError if stopped earlier."""
    _stop_on_signal()
    state = State()
    app = create_app(state, campaigns=read_campaigns(RECIPE))
    emulator = await Server.start(app, "127.0.0.1", await _free_port(emulator_port))
    try:
        settings = Settings(
            port=await _free_port(port), data_dir=directory, allowed_addresses=emulator.url.removeprefix("http://")
        )
        async with start(settings, emulator.url) as started:
            app.shown.nicobar_url = started.dashboard.removesuffix(urlsplit(started.dashboard).path)
            addresses = "\n".join([*(f"Nicobar   {url}" for url in started.urls), f"Emulator  {emulator.url}"])
            click.echo(f"{addresses}\n")
            arrived = await _play(started, app)
            if not once:
                links = f"{addresses}\nDashboard {started.dashboard}"
                click.echo(f"\nStill running. Open an address to look around. Press Ctrl-C to stop.\n{links}")
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
            return arrived
    finally:
        await emulator.stop()


@asynccontextmanager
async def _one_process(settings: Settings, emulator_url: str) -> AsyncIterator[_Started]:
    recorded: asyncio.Queue[Recorded] = asyncio.Queue()

    async def next_ended() -> _Ended:
        item = await recorded.get()
        return _Ended(message=item.message, attempt=item.attempt)

    async with run(settings, recorded.put_nowait) as runtime:
        path, secret = await _set_up(runtime, emulator_url, default_application(runtime.configuration.snapshot))
        await runtime.configuration.refresh()
        if runtime.server is None:
            raise UserError("server_failed", "The server did not start.", "See the log for the cause.")
        yield _Started(
            urls=[runtime.server.url + path],
            secret=secret,
            dashboard=runtime.setup_url or runtime.server.url,
            next_ended=next_ended,
        )


@asynccontextmanager
async def _many_processes(settings: Settings, emulator_url: str) -> AsyncIterator[_Started]:
    """Processes of their own, which this one only observes."""
    ended: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    with own_postgres() as database_url:
        shared = msgspec.structs.replace(
            settings,
            database_url=database_url,
            secret_key=new_key().hex(),
            sandbox_children=1,
            log_format=LogFormat.JSON,
            log_level=LogLevel.INFO,
        )
        async with open_services(shared, create=True, quiet=True, new_installation=True) as services:
            path, secret = await _set_up(services, emulator_url, default_application(services.snapshot))

            async def next_ended() -> _Ended:
                while True:
                    by, attempt_id = await ended.get()
                    found = await services.store.attempt(attempt_id)
                    if found is not None:
                        return _Ended(message=found.message, attempt=found.attempt, by=by)

            async with processes(shared, lambda by, attempt_id: ended.put_nowait((by, attempt_id))) as urls:
                setup_path = await offer_setup_link(services.store, services.clock.now_ms())
                yield _Started(
                    urls=[url + path for url in urls],
                    secret=secret,
                    dashboard=urls[0] + setup_path,
                    next_ended=next_ended,
                )


async def _free_port(wanted: int) -> int:
    """The port, or 0 (any free port) if it is in use, with a notice."""
    try:
        probe = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", wanted)
    except OSError:
        click.echo(f"Port {wanted} is in use. Using a free port instead.")
        return 0
    probe.close()
    await probe.wait_closed()
    return wanted


async def _set_up(services: Runtime | CommandServices, emulator_url: str, app: Application) -> tuple[str, str]:
    """Creates the source and the endpoint. Returns the source's path and its secret."""
    secret = new_webhook_secret()
    now_ms = services.clock.now_ms()
    source = sources.created(
        SourceSpec(
            kind="dodo-payments",
            name="dodo",
            secrets=(secret,),
            history_complete_since_ms=now_ms - SHOP_OPENED_BEFORE_MS,
        ),
        vault=services.vault,
        source_id=services.ids.new("src"),
        app_id=app.id,
        now_ms=now_ms,
    )
    endpoint = created(
        EndpointSpec(
            connector="customerio",
            name="customerio",
            settings={"base_url": emulator_url, "identify_by": "email", "product_names": PRODUCT_NAMES},
            credentials={"site_id": "demo-site", "api_key": "demo-key"},
        ),
        vault=services.vault,
        endpoint_id=services.ids.new("ep"),
        app_id=app.id,
        now_ms=now_ms,
    )
    code = find_recipe(RECIPE, CONNECTORS).code
    await services.store.change(
        [
            PutSource(source=source),
            endpoint,
            AddTransformation(endpoint_id=endpoint.id, code=code, created_at_ms=now_ms),
        ]
    )
    return f"/in/{source.token}", secret


async def _play(started: _Started, app: Emulator) -> bool:
    """Sends the story, one event of each customer at a time, prints each delivery as it happens, then the totals.
    Returns whether everything arrived and sent emails.
    """
    state = app.state
    sent = delivered = calls = events = 0
    try:
        async with AsyncExitStack() as stack, asyncio.timeout(WAIT_S):
            transports = [
                await stack.enter_async_context(HttpTransport(allowed=AllowedAddresses.of_url(url)))
                for url in started.urls
            ]
            for step, name in enumerate(STORY):
                ago_ms = (len(STORY) - step) * STEP_MS
                for customer in CUSTOMERS:
                    turn = sent % len(transports)
                    await _send(transports[turn], started.urls[turn], started.secret, name, customer, ago_ms=ago_ms)
                    sent += 1
                for _ in CUSTOMERS:
                    item = await started.next_ended()
                    delivered += item.attempt.state is DeliveryState.SUCCESS
                    lines = [line for request in item.attempt.requests for line in request.body.splitlines()]
                    calls += len(lines)
                    events += sum('"action":"event"' in line for line in lines)
                    _print(item, state)
    except TimeoutError:
        click.echo(f"Some events were not delivered within {WAIT_S} s.")
    refused = sum(request.refused for request in state.requests)
    click.echo(
        f"\n{sent} events sent, {delivered} delivered, {calls} calls in {len(state.requests)} requests; "
        f"Customer.io has {len(state.people)} people and {len(state.activities)} activities; {refused} rejected."
    )
    emails = len(app.shown.emails(sent=True))
    click.echo(f"Campaigns of the recipe {RECIPE}: {emails} emails sent.")
    return (
        delivered == len(STORY) * len(CUSTOMERS)
        and refused == 0
        and len(state.activities) == events
        and len(state.people) == len(CUSTOMERS)
        and emails > 0
    )


async def _send(
    transport: HttpTransport, url: str, secret: str, name: str, customer: Customer, *, ago_ms: int
) -> None:
    """Sends an event of a customer that happened so long ago, signed as Dodo Payments signs."""
    now_ms = SystemClock().now_ms()
    event_id = f"demo_{name}_{customer.key}"
    body = DODO.sample(TYPES[name], now_ms - ago_ms, customer, event_id=event_id)
    headers = DODO.sign(event_id, body, secret, now_ms)
    answer = await transport.send(Request(method="POST", url=url, headers=headers, body=body))
    if isinstance(answer, NoResponse) or answer.status != 202:  # noqa: PLR2004 - accepted
        raise UserError("demo_refused", f"The server rejected {name}: {answer}.", "Run the demo again.")


def _print(ended: _Ended, state: State) -> None:
    click.echo(f"{ended.message.event_type}  {ended.message.customer_key}  {ended.message.id}  {ended.by}".rstrip())
    for request in ended.attempt.requests:
        for line in request.body.splitlines():
            click.echo(f"  → {line[:150]}{'…' if len(line) > 150 else ''}")  # noqa: PLR2004 - one line of a terminal
    if ended.attempt.state is not DeliveryState.SUCCESS:
        click.echo(f"  ▲ {ended.attempt.state.value}: {ended.attempt.reason}")
        return
    if ended.attempt.is_warned:
        click.echo(f"  ◐ delivered with warnings: {ended.attempt.first_warning}")
    customer = next((item for item in CUSTOMERS if item.key == ended.message.customer_key), None)
    person = state.find("email", (customer.email if customer else None) or "")
    if person is None:
        return
    latest = next((activity for activity in reversed(state.activities) if activity.person == person.key), None)
    click.echo(
        f"  ● {person.email or 'no email'}, {len(person.attributes)} attributes"
        + (f'; latest activity "{latest.name}"' if latest else "")
    )


def _stop_on_signal() -> None:
    """Ctrl-C and SIGTERM stop the demo and everything that it started, in order."""
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
