"""`nicobar trigger`: send signed sample events to a source of a running Nicobar."""

from __future__ import annotations

import uuid
from shlex import quote
from typing import Any

import click

from nicobar.addresses import AllowedAddresses
from nicobar.cli.options import COMMAND_LINE, Integer, open_services, run_loop, setting_options, settings_of
from nicobar.clock import SystemClock
from nicobar.connectors import NoResponse, Request
from nicobar.connectors.transport import HttpTransport
from nicobar.errors import UserError
from nicobar.model import EventType, Source
from nicobar.pipeline.configuration import source_secrets
from nicobar.settings import Settings
from nicobar.sources.registry import source_kind
from nicobar.store import Snapshot
from nicobar.suggestions import suggestion
from nicobar.use_cases import sources
from nicobar.use_cases.edit import Edit, edited


@click.command()
@click.argument("event_type")
@click.option("--source", "source_name", default=None, help="Name of the source. Required if there are several.")
@click.option(
    "--count", default=1, show_default=True, type=Integer(1, 10_000), help="Number of events. Maximum 10,000."
)
@click.option(
    "--create-secret",
    is_flag=True,
    help="Create and print a test secret if the source has no signing secret.",
)
@click.option("--url", default=None, help="URL of Nicobar. Defaults to --host and --port.")
@setting_options(
    "host",
    "port",
    "data_dir",
    "database_url",
    helps={"host": "Address of the running Nicobar.", "port": "Port of the running Nicobar."},
)
def trigger(
    *, event_type: str, source_name: str | None, count: int, create_secret: bool, url: str | None, **flags: Any
) -> None:
    """Send signed sample events to a source. Requires a running Nicobar."""
    settings = settings_of(flags)
    base = url.rstrip("/") if url else f"http://{settings.host}:{settings.port}"
    run_loop(_trigger(settings, base, event_type, source_name, count, create_secret=create_secret))


async def _trigger(
    settings: Settings, base: str, name: str, source_name: str | None, count: int, *, create_secret: bool
) -> None:
    clock = SystemClock()

    async def prepare(edit: Edit) -> tuple[Source, EventType, str]:
        source = _source(edit.snapshot, source_name)
        event_type = _event_type(edit.snapshot, source, name)
        secrets = source_secrets(edit.services.vault, source)
        if secrets:
            return source, event_type, secrets[0]
        if not create_secret:
            raise without_secret(source)
        secret = await sources.create_test_secret(edit, source)
        click.echo(f"Created a test secret for source {source.name}: {secret}")
        return source, event_type, secret

    async with open_services(settings) as it:
        source, event_type, secret = await edited(it, COMMAND_LINE, prepare)
    kind = source_kind(source.kind)
    async with HttpTransport(allowed=AllowedAddresses.of_url(base)) as transport:
        for _ in range(count):
            event_id = f"test_{uuid.uuid4().hex}"
            body = kind.sample(event_type, clock.now_ms(), event_id=event_id)
            headers = kind.sign(event_id, body, secret, clock.now_ms(), event_type=event_type.name)
            answer = await transport.send(
                Request(
                    method="POST",
                    url=f"{base}/in/{source.token}",
                    headers={"content-type": "application/json", **headers},
                    body=body,
                )
            )
            if isinstance(answer, NoResponse):
                raise UserError(
                    "no_answer",
                    f"{base} did not respond: {answer.reason}.",
                    "Start it with `nicobar serve`, or pass its address with --url.",
                )
            click.echo(f"{answer.status} {answer.body.decode('utf-8', 'replace')}")
            if answer.status != kind.accepted.new:
                raise UserError(
                    "not_accepted", f"The source rejected the event with {answer.status}.", "See the response above."
                )


def without_secret(source: Source) -> UserError:
    return UserError(
        "secret_missing",
        f"Source {source.name} has no signing secret, so it rejects all events.",
        "Paste the sender's secret on the source's page in the dashboard. To create a test secret instead: "
        f"nicobar trigger EVENT_TYPE --source {quote(source.name)} --create-secret",
    )


def _source(snapshot: Snapshot, name: str | None) -> Source:
    names = [source.name for source in snapshot.sources]
    found = [source for source in snapshot.sources if name in {None, source.name}]
    if len(found) == 1:
        return found[0]
    if not names:
        raise UserError("source_unknown", "There are no sources yet.", "Add one with: nicobar apply FILE")
    if name is None:
        raise UserError("source_unclear", "There are several sources.", f"Choose one: --source {'|'.join(names)}")
    raise UserError("source_unknown", f"Source {name!r} not found.", f"Sources: {', '.join(names)}.")


def _event_type(snapshot: Snapshot, source: Source, name: str) -> EventType:
    event_types = {item.name: item for item in (*snapshot.event_types, *source_kind(source.kind).event_types())}
    if name not in event_types:
        raise UserError(
            "event_type_unknown",
            f"No sample for event type {name!r}.",
            suggestion(name, event_types, f"Samples exist for {', '.join(event_types)}."),
        )
    return event_types[name]
