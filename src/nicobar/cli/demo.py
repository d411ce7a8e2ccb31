"""`nicobar demo`: sample events delivered to the Customer.io emulator, without an account."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from importlib.resources import files
from pathlib import Path

import click

from nicobar.addresses import AllowedAddresses
from nicobar.cli.options import PORT, run_loop
from nicobar.connectors import NoResponse, Request
from nicobar.connectors.transport import HttpTransport
from nicobar.crypto import new_webhook_secret
from nicobar.emulator.app import create_app
from nicobar.emulator.campaigns import Campaign, Frequency, Trigger
from nicobar.emulator.state import State
from nicobar.errors import UserError
from nicobar.logs import set_up_logs
from nicobar.model import Customer, DeliveryState, Record
from nicobar.pipeline.recorder import Recorded
from nicobar.runtime import Runtime, run
from nicobar.settings import Settings
from nicobar.sources.dodo import DodoPayments
from nicobar.store import AddTransformation, PutSource
from nicobar.use_cases import sources
from nicobar.use_cases.applications import default_application
from nicobar.use_cases.endpoint_records import EndpointSpec, created
from nicobar.use_cases.sources import SourceSpec
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
# Typical campaigns of a shop, so that the emulator's page has emails to show.
CAMPAIGNS = (
    Campaign(
        title="Welcome",
        trigger=Trigger.EVENT,
        name="payment_succeeded",
        subject="Welcome, {{customer.name}}",
        frequency=Frequency.ONCE,
    ),
    Campaign(
        title="Payment failed",
        trigger=Trigger.EVENT,
        name="payment_failed",
        subject="Your payment of {{event.amount}} {{event.currency}} did not go through",
    ),
    Campaign(
        title="We are sorry to see you go",
        trigger=Trigger.SEGMENT,
        name="subscription_status",
        value="cancelled",
        subject="{{customer.name}}, your subscription has ended",
    ),
)


class _Tally(Record):
    """What must have arrived at the end."""

    messages: int
    events: int


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
def demo(*, once: bool, port: int, emulator_port: int) -> None:
    """Deliver sample events to a Customer.io emulator. No account needed."""
    set_up_logs(json=False, level="error")
    with tempfile.TemporaryDirectory(prefix="nicobar-demo-") as directory:
        try:
            arrived = run_loop(_demo(Path(directory), port, emulator_port, once=once))
        except asyncio.CancelledError:
            click.echo("Stopped before all events arrived.", err=True)
            arrived = False
    raise SystemExit(0 if arrived else 1)


async def _demo(directory: Path, port: int, emulator_port: int, *, once: bool) -> bool:
    """Whether everything arrived. Raises CancelledError if stopped earlier."""
    _stop_on_signal()
    state = State()
    emulator = await _start_emulator(state, emulator_port)
    recorded: asyncio.Queue[Recorded] = asyncio.Queue()
    try:
        settings = Settings(
            port=await _free_port(port), data_dir=directory, allowed_addresses=emulator.url.removeprefix("http://")
        )
        async with run(settings, recorded.put_nowait) as runtime:
            address, secret = await _set_up(runtime, emulator.url)
            if runtime.server is None:
                raise UserError("server_failed", "The server did not start.", "See the log for the cause.")
            addresses = f"Nicobar   {runtime.server.url}{address}\nEmulator  {emulator.url}"
            click.echo(f"{addresses}\n")
            tally = await _send(runtime, runtime.server.url + address, secret)
            arrived = await _watch(recorded, state, tally)
            if not once:
                click.echo(f"\nStill running. Open an address to look around. Press Ctrl-C to stop.\n{addresses}")
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
            return arrived
    finally:
        await emulator.stop()


async def _start_emulator(state: State, port: int) -> Server:
    return await Server.start(create_app(state, campaigns=CAMPAIGNS), "127.0.0.1", await _free_port(port))


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


async def _set_up(runtime: Runtime, emulator_url: str) -> tuple[str, str]:
    """Creates the source and the endpoint. Returns the source's path and its secret."""
    app_id = default_application(runtime.configuration.snapshot).id
    secret = new_webhook_secret()
    now_ms = runtime.clock.now_ms()
    source = sources.created(
        SourceSpec(kind="dodo-payments", name="dodo", secrets=(secret,)),
        vault=runtime.vault,
        source_id=runtime.ids.new("src"),
        app_id=app_id,
        now_ms=now_ms,
    )
    endpoint = created(
        EndpointSpec(
            connector="customerio",
            name="customerio",
            settings={"base_url": emulator_url},
            credentials={"site_id": "demo-site", "api_key": "demo-key"},
        ),
        vault=runtime.vault,
        endpoint_id=runtime.ids.new("ep"),
        app_id=app_id,
        now_ms=now_ms,
    )
    code = files("nicobar.cli").joinpath("demo.js").read_text("utf-8")
    await runtime.store.change(
        [
            PutSource(source=source),
            endpoint,
            AddTransformation(endpoint_id=endpoint.id, code=code, created_at_ms=now_ms),
        ]
    )
    await runtime.configuration.refresh()
    return f"/in/{source.token}", secret


async def _send(runtime: Runtime, url: str, secret: str) -> _Tally:
    """Sends every event of the story for every customer, signed as Dodo Payments signs."""
    dodo = DodoPayments()
    types = {event_type.name: event_type for event_type in dodo.event_types()}
    sent = 0
    async with HttpTransport(allowed=AllowedAddresses.of_url(url)) as transport:
        for name in STORY:
            for customer in CUSTOMERS:
                now_ms = runtime.clock.now_ms()
                body = dodo.sample(types[name], now_ms, customer)
                headers = dodo.sign(f"demo_{name}_{customer.key}", body, secret, now_ms)
                answer = await transport.send(Request(method="POST", url=url, headers=headers, body=body))
                if isinstance(answer, NoResponse) or answer.status != 202:  # noqa: PLR2004 - accepted
                    raise UserError("demo_refused", f"The server rejected {name}: {answer}.", "Run the demo again.")
                sent += 1
    return _Tally(messages=sent, events=sent)


async def _watch(recorded: asyncio.Queue[Recorded], state: State, tally: _Tally) -> bool:
    """Prints each delivery as it happens, then the totals. Returns whether everything arrived."""
    delivered = calls = 0
    try:
        async with asyncio.timeout(WAIT_S):
            for _ in range(tally.messages):
                item = await recorded.get()
                delivered += item.attempt.state is DeliveryState.SUCCESS
                calls += sum(request.body.count("\n") + 1 for request in item.attempt.requests)
                _print(item, state)
    except TimeoutError:
        click.echo(f"Some events were not delivered within {WAIT_S} s.")
    refused = sum(request.refused for request in state.requests)
    click.echo(
        f"\n{tally.messages} events sent, {delivered} delivered, {calls} calls in {len(state.requests)} requests; "
        f"Customer.io has {len(state.people)} people and {len(state.activities)} activities; {refused} rejected."
    )
    return (
        delivered == tally.messages
        and refused == 0
        and len(state.activities) == tally.events
        and len(state.people) == len(CUSTOMERS)
    )


def _print(recorded: Recorded, state: State) -> None:
    click.echo(f"{recorded.message.event_type}  {recorded.message.customer_key}  {recorded.message.id}")
    for request in recorded.attempt.requests:
        for line in request.body.splitlines():
            click.echo(f"  → {line[:150]}{'…' if len(line) > 150 else ''}")  # noqa: PLR2004 - one line of a terminal
    if recorded.attempt.state is not DeliveryState.SUCCESS:
        click.echo(f"  ▲ {recorded.attempt.state.value}: {recorded.attempt.reason}")
        return
    person = state.find("id", recorded.message.customer_key or "")
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
