"""`nicobar doctor`: checks an installation, with a result and a fix for each check."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from shlex import quote
from typing import Any, NamedTuple

import click

from nicobar.addresses import RefusedAddress
from nicobar.cli.doctor_sandbox import Look, examine_sandbox
from nicobar.cli.options import (
    CommandServices,
    open_services,
    plural,
    run_loop,
    sandbox_of,
    setting_options,
    settings_of,
)
from nicobar.cli.trigger import without_secret
from nicobar.clock import Clock, SystemClock
from nicobar.connectors import NoResponse, Request, Response, Transport
from nicobar.connectors.fields import address_error
from nicobar.connectors.transport import HttpTransport
from nicobar.crypto import Vault
from nicobar.errors import NicobarError
from nicobar.model import AlertTarget, Endpoint, Source, TargetKind
from nicobar.model import Level as FindingLevel
from nicobar.pipeline.alert_targets import open_address, shown_address
from nicobar.pipeline.configuration import open_endpoint, source_secrets
from nicobar.sandbox import Sandbox
from nicobar.settings import Settings
from nicobar.sources.registry import SOURCES, source_kind
from nicobar.store import Store
from nicobar.store.findings import Level
from nicobar.store.location import Location, locate
from nicobar.use_cases.dry_run import run_samples
from nicobar.use_cases.endpoints import idle_mode
from nicobar.use_cases.identity import unanswered
from nicobar.use_cases.inspection import Asked, SpacedTransport, check_campaigns, sent_names
from nicobar.use_cases.key_rotation import key_uses
from nicobar.use_cases.sample_events import application_samples

# How far this machine's clock may be off if no source has a tolerance of its own, and the part of a tolerance that
# is worth a warning.
TOLERANCE_S = 300
WORTH_TELLING = 10
MAX_DAMAGE = 10
_MARKS = {Level.GOOD: "●", Level.NOTE: "○", Level.BAD: "▲"}
_ADD = "Add one in the dashboard, or with: nicobar apply FILE"


class _Watch:
    """A transport that measures how far this machine's clock is from those of the destinations."""

    def __init__(self, inner: HttpTransport) -> None:
        self._inner = inner
        self.skew_s: float | None = None

    async def send(self, request: Request) -> Response | NoResponse:
        answer = await self._inner.send(request)
        if isinstance(answer, Response):
            # A destination without a readable date is skipped.
            with contextlib.suppress(ValueError, TypeError):
                self.skew_s = time.time() - parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
        return answer

    async def refused_address(self, url: str) -> RefusedAddress | None:
        return await self._inner.refused_address(url)


@click.command()
@click.option(
    "--ask-destinations",
    is_flag=True,
    help="Also compare event names with campaigns, where an endpoint has an App API key.",
)
@setting_options("data_dir", "database_url", "allowed_addresses")
def doctor(*, ask_destinations: bool, **flags: Any) -> None:
    """Check the installation: database and its server, sandbox, secrets, clock. For each endpoint, check address,
    credentials and handler. For each alert target, check address.
    """
    if not run_loop(_examine(settings_of(flags), ask_destinations=ask_destinations)):
        raise SystemExit(1)


async def _examine(settings: Settings, *, ask_destinations: bool) -> bool:
    good = True

    async def look(what: str, check: Callable[[], Awaitable[str]]) -> None:
        nonlocal good
        try:
            click.echo(f"● {what}: {await check()}")
        except NicobarError as error:
            good = False
            click.echo(f"▲ {what}: {error}")

    async with sandbox_of(settings) as sandbox:
        await examine_sandbox(look, sandbox)
        location = locate(settings.database)
        if location.directory is not None and location.exists():
            await look("database file", lambda: _integrity(location))
        try:
            for finding in await asyncio.to_thread(location.examine, SystemClock()):
                click.echo(f"{_MARKS[finding.level]} {finding.name}: {finding.detail} {finding.fix}".rstrip())
                good = good and finding.level is not Level.BAD
            async with (
                open_services(settings) as it,
                HttpTransport(allowed=settings.allowed, proxy=settings.proxy) as transport,
            ):
                await _examine_installation(look, settings, it, _Watch(transport), sandbox)
                if ask_destinations:
                    asking = SpacedTransport(transport, it.clock)
                    for endpoint in it.snapshot.endpoints:
                        good = await _ask(it, endpoint, asking, sandbox) and good
        except NicobarError as error:
            click.echo(f"▲ {'key' if error.code.startswith('key_') else 'database'}: {error}")
            return False
    return good


async def _integrity(location: Location) -> str:
    found = await asyncio.to_thread(location.find_damage, limit=MAX_DAMAGE)
    if found:
        raise NicobarError(
            "database_damaged",
            f"{location.name} is damaged: {'; '.join(found)}.",
            "Stop Nicobar. Restore a backup, or recover readable data with the sqlite3 tool's .recover command.",
        )
    return "no damage found."


async def _examine_installation(
    look: Look, settings: Settings, it: CommandServices, watch: _Watch, sandbox: Sandbox
) -> None:
    store, vault, snapshot = it.store, it.vault, it.snapshot
    waiting = {waiting.endpoint_seq: waiting.unfinished for waiting in await store.backlog()}

    async def database() -> str:
        await store.check()
        return f"{locate(settings.database).name} is writable."

    await look("database", database)
    await look("keys", lambda: _keys(it))
    if not snapshot.sources:
        click.echo(f"○ source: none, so no events are accepted. {_ADD}")
    for source in snapshot.sources:
        await look(f"source {source.name}", lambda source=source: _source(vault, source))  # type: ignore[misc]
    if not snapshot.endpoints:
        click.echo(f"○ endpoint: none, so nothing is sent. {_ADD}")
    for endpoint in snapshot.endpoints:
        if endpoint.disabled and endpoint.disabled_reason is None:
            click.echo(f"○ endpoint {endpoint.name}: disabled, so nothing is sent. {_enable(endpoint)}")
            continue
        count = waiting.get(endpoint.seq, 0)
        await look(
            f"endpoint {endpoint.name}",
            lambda endpoint=endpoint, count=count: _endpoint(it, endpoint, watch, sandbox, count),  # type: ignore[misc]
        )
        question = unanswered(endpoint)
        if question is not None:
            answer = f"Answer on its page, or with: nicobar identify {quote(endpoint.name)} --by email"
            click.echo(f"○ endpoint {endpoint.name}: what identifies people? {question.unanswered} {answer}")
    for target in snapshot.alert_targets:
        await look(f"alert target {target.name}", lambda target=target: _alert_target(settings, vault, target, watch))  # type: ignore[misc]
    used = {source.kind for source in snapshot.sources}
    tolerances = [kind.clock_tolerance_s for kind in SOURCES if kind.kind in used]
    tolerance_s = min((item for item in tolerances if item is not None), default=TOLERANCE_S)
    await look("clock", lambda: _clock(watch.skew_s, tolerance_s))


async def _keys(it: CommandServices) -> str:
    """Which keys are in use. Values that none of them opens are named by what they belong to."""
    uses, key = await key_uses(it.store, it.vault), await it.store.sealing_key()
    counts = dict.fromkeys([key.key_id, *it.vault.key_ids], 0) | uses.counts
    named = "; ".join(f"{key_id}: {plural(count, 'value')}" for key_id, count in counts.items())
    if key.older_key_ids:
        raise NicobarError(
            "key_rotation_unfinished",
            f"The key {key.key_id} encrypts new secrets; older keys are still needed. {named}.",
            "Finish with: nicobar rotate-key",
        )
    return f"{key.key_id} encrypts stored secrets. In use: {named}."


async def _source(vault: Vault, source: Source) -> str:
    kind, secrets = source_kind(source.kind), source_secrets(vault, source)
    if not secrets:
        raise without_secret(source)
    for secret in secrets:
        kind.check_secret(secret)
    return f"{plural(len(secrets), 'signing secret')} can be read."


async def _alert_target(settings: Settings, vault: Vault, target: AlertTarget, watch: _Watch) -> str:
    to = open_address(vault, target)
    if target.kind is TargetKind.EMAIL and not settings.alert_smtp_url:
        raise NicobarError(
            "no_mail_server",
            "alert_smtp_url is not set, so no emails are sent.",
            "Set alert_smtp_url and alert_mail_from, and restart Nicobar.",
        )
    refused = None if target.kind is TargetKind.EMAIL else await watch.refused_address(to.address)
    if refused is not None:
        raise address_error(refused)
    return f"{shown_address(target.kind, to.address)} can be used."


async def _endpoint(it: CommandServices, endpoint: Endpoint, watch: _Watch, sandbox: Sandbox, waiting: int) -> str:
    try:
        opened = open_endpoint(it.vault, endpoint)
    except NicobarError as error:
        detail = f"cannot be used; {plural(waiting, 'delivery')} waiting. {error.detail}"
        raise NicobarError(error.code, detail, error.fix) from error
    checkup = await opened.destination.check_credentials(watch)
    if not checkup.ok:
        raise NicobarError("credentials_refused", checkup.reason.text())
    if endpoint.disabled:
        raise NicobarError("endpoint_disabled", f"disabled: {endpoint.disabled_reason}", _enable(endpoint))
    if endpoint.paused_reason is not None:
        resume = f"nicobar resume {quote(endpoint.name)}"
        if endpoint.paused_by_hand:
            raise NicobarError(
                "endpoint_paused",
                f"{'on hold' if endpoint.on_hold else 'paused'}: {str(endpoint.paused_reason).removesuffix('.')}.",
                f"Resume it: {resume}.",
            )
        raise NicobarError(
            "endpoint_on_hold",
            f"on hold: {endpoint.paused_reason}",
            f"Nicobar checks it at least every 5 minutes and resumes automatically. To resume now: {resume}.",
        )
    if endpoint.transformation is None and opened.connector.has_contract:
        raise NicobarError(
            "no_handler",
            "no handler, so nothing is sent.",
            "Add a handler in the dashboard, or with: nicobar apply FILE",
        )
    if (idle := idle_mode(it.snapshot, endpoint)) is not None:
        raise idle
    samples = application_samples(it.snapshot, endpoint.app_id)
    found = await run_samples(sandbox, opened, samples, it.clock.now_ms(), it.clock.steady_ms)
    if found.coverage.is_silent:
        raise NicobarError("handler_silent", found.coverage.summary, found.coverage.warning)
    return f"{checkup.reason} {found.coverage.summary}"


class _Naming(NamedTuple):
    """What names the events that an endpoint sends."""

    store: Store
    clock: Clock
    sandbox: Sandbox


async def _ask(it: CommandServices, endpoint: Endpoint, asking: Transport, sandbox: Sandbox) -> bool:
    """Compares event names with campaigns. Names that look alike, and no answer, are bad."""
    try:
        opened = open_endpoint(it.vault, endpoint)
        if endpoint.disabled or opened.destination.inspection is None:
            return True
        samples = application_samples(it.snapshot, endpoint.app_id)
        asked = Asked(opened=opened, app_id=endpoint.app_id, subject_id=endpoint.id)
        services = _Naming(it.store, it.clock, sandbox)
        sent = await sent_names(services, asked, opened.destination.inspection, samples)
        found = await check_campaigns(asking, opened.destination.inspection, sent)
    except NicobarError as error:
        click.echo(f"▲ campaigns of {endpoint.name}: {error}")
        return False
    if found.unanswered is not None:
        click.echo(f"▲ campaigns of {endpoint.name}: {found.unanswered}")
        return False
    for finding in found.findings:
        mark = "▲" if finding.level is FindingLevel.WARNING else "○"
        click.echo(f"{mark} campaigns of {endpoint.name}: {finding.reason}")
    if not found.findings:
        click.echo(f"● campaigns of {endpoint.name}: every event name is used, and every campaign gets its event.")
    return all(finding.level is not FindingLevel.WARNING for finding in found.findings)


def _enable(endpoint: Endpoint) -> str:
    return f"Enable it: nicobar enable {quote(endpoint.name)}."


async def _clock(skew_s: float | None, tolerance_s: int) -> str:
    if skew_s is None:
        return "not checked: no endpoint responded."
    max_skew_s = tolerance_s // WORTH_TELLING
    if abs(skew_s) > max_skew_s:
        raise NicobarError(
            "clock_off",
            f"This machine's clock differs from the destination's by {skew_s:.0f} s.",
            f"Synchronize it by NTP. Webhooks whose timestamp is more than {tolerance_s} s off are rejected.",
        )
    return f"within {max_skew_s} s of the destination's."
