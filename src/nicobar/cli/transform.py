"""`nicobar transform`: a dry run of a handler, with what the contract says of its calls."""

from __future__ import annotations

import time
from pathlib import Path

import click

from nicobar.cli.options import run_loop
from nicobar.connectors.kinds import CONNECTORS, connector
from nicobar.errors import Refusal, UserError
from nicobar.ids import stable_ulid
from nicobar.model import DeliveryState, Endpoint, Event, Level, Message, Transformation
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.transform import Ready, Stopped, Subject, Transformed
from nicobar.pipeline.transform import transform as run_handler
from nicobar.sandbox.pool import SandboxPool
from nicobar.sources.dodo import DodoPayments
from nicobar.sources.samples import fresh

_CREDENTIALS = {
    "customerio": {"site_id": "dry-run", "api_key": "dry-run"},
    "http": {"secret": "whsec_ZHJ5LXJ1bi1kcnktcnVuLWRyeQ=="},
}
_SETTINGS = {"http": {"url": "https://dry-run.invalid/"}}


@click.command()
@click.argument("handler", type=click.Path(path_type=Path))
@click.option("--event", "types", multiple=True, metavar="TYPE", help="A sample event; may be given several times.")
@click.option("--file", "file", type=click.Path(path_type=Path), help="A file with an event's body.")
@click.option("--all", "every", is_flag=True, help="The samples of all event types.")
@click.option("--connector", "kind", default="customerio", type=click.Choice([one.kind for one in CONNECTORS]))
def transform(*, handler: Path, types: tuple[str, ...], file: Path | None, every: bool, kind: str) -> None:
    """Run a handler on sample events without sending anything. Exit code 1 on errors."""
    if not types and not file and not every:
        types = ("payment.succeeded",)
    bodies = [*_samples(types, every=every), *([_read(file)] if file else [])]
    code = _read(handler)
    target = _target(kind, _text(handler, code))
    subjects = [_subject(body) for body in bodies]

    async def run() -> list[Transformed]:
        async with SandboxPool(children=1) as pool:
            return await run_handler(pool, target, subjects, time.time_ns() // 1_000_000)

    results = run_loop(run())
    for subject, result in zip(subjects, results, strict=True):
        _show(subject, result)
    failed = sum(isinstance(result, Stopped) and result.state is DeliveryState.FAILED for result in results)
    click.echo(f"\n{len(results)} events, {failed} failed.")
    raise SystemExit(1 if failed else 0)


def _samples(types: tuple[str, ...], *, every: bool) -> list[bytes]:
    known = {event_type.name: event_type for event_type in DodoPayments().event_types()}
    names = list(known) if every else list(types)
    for name in names:
        if name not in known:
            raise UserError(
                "event_type_unknown", f"There is no sample of {name!r}.", f"There are samples of {', '.join(known)}."
            )
    # As if they happened now: an old event starts no campaign, and would be warned about.
    return [fresh(known[name], time.time_ns() // 1_000_000) for name in names]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError("file_unreadable", f"{path} cannot be read: {error.strerror}.", "Check the path.") from error


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError("file_unreadable", f"{path} is not UTF-8 text.", "Save it as UTF-8.") from error


def _target(kind: str, code: str) -> OpenEndpoint:
    of_kind = connector(kind)
    endpoint = Endpoint(
        seq=0,
        id="ep_dry_run",
        app_id="",
        name="dry run",
        connector=kind,
        settings={},
        sealed_credentials=b"",
        credential_references={},
        event_types=(),
        variables={},
        disabled=False,
        paused_reason=None,
        transformation=Transformation(version=1, code=code),
    )
    destination = of_kind.open(_SETTINGS.get(kind, {}), _CREDENTIALS[kind])
    return OpenEndpoint(endpoint=endpoint, connector=of_kind, destination=destination)


def _subject(body: bytes) -> Subject:
    try:
        event: Event = DodoPayments().read(body)
    except Refusal as refusal:
        raise UserError(refusal.code, refusal.detail, refusal.fix) from refusal
    now_ms = time.time_ns() // 1_000_000
    message = Message(
        seq=0,
        id=f"msg_{stable_ulid(0, body.decode('utf-8', 'replace'))}",
        app_id="",
        source_id="",
        event_id="",
        event_type=event.event_type,
        customer_key=event.customer.key if event.customer else None,
        occurred_at_ms=now_ms if event.occurred_at_ms is None else event.occurred_at_ms,
        accepted_at_ms=now_ms,
        body=body,
    )
    return Subject(message=message, customer=event.customer)


def _show(subject: Subject, result: Transformed) -> None:
    click.echo(subject.message.event_type)
    if isinstance(result, Ready):
        for call in result.calls:
            click.echo(f"  → {call.method} {call.url}\n    {call.body.decode('utf-8', 'replace')}")
    else:
        click.echo(f"  {result.state.value}: {result.reason}")
    for verdict in result.verdicts:
        more = "" if verdict.level is Level.ADDITION else f" {verdict.fix} [{verdict.source}]"
        click.echo(f"  {verdict.level.value}: {verdict.path}: {verdict.reason}{more}")
    for line in result.console:
        click.echo(f"  console: {line}")
