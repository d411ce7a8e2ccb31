"""`nicobar transform`: a dry run of a handler, with the verdicts on its calls."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from nicobar.cli.options import open_services, plural, run_loop, sandbox_of, setting_options, settings_of
from nicobar.connectors.registry import CONNECTORS
from nicobar.errors import UserError
from nicobar.model import Level
from nicobar.pipeline.configuration import Configuration, OpenEndpoint, open_endpoint
from nicobar.pipeline.handler_runs import LedgerReader
from nicobar.pipeline.transform import Ready, Transformed, masked, shown
from nicobar.pipeline.transform import transform as run_handler
from nicobar.redaction import Redactor
from nicobar.sandbox import Sandbox
from nicobar.sources.registry import SOURCES
from nicobar.sources.registry import source_kind as find_source_kind
from nicobar.store import Store
from nicobar.use_cases.chosen_ledgers import LedgerChoice, chosen_ledger
from nicobar.use_cases.dry_run import Coverage, DryRun, coverage, dry_target, outcome, run_samples, unpublished
from nicobar.use_cases.ledger_states import USUAL_STATE, LedgerState, StateLedger, kind_of_sample
from nicobar.use_cases.sample_events import VARIED, Samples, Variant, pasted, sample, samples_of

_VARIANTS = {
    Variant.USUAL: "",
    Variant.NULLS: " (nullable fields null)",
    Variant.GUEST: " (guest checkout)",
}


@click.command()
@click.argument("handler", type=click.Path(path_type=Path))
@click.option("--event", "types", multiple=True, metavar="TYPE", help="Use a sample of this event type (repeatable).")
@click.option(
    "--file",
    "event_files",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Use the event body in this file (repeatable).",
)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Use a sample of every event type, also with nullable fields null, as guest checkouts, and in every state "
    "of the ledger.",
)
@click.option(
    "--variant",
    type=click.Choice([variant.value for variant in Variant]),
    default=Variant.USUAL.value,
    help="Variant of the samples of --event: usual, nulls (nullable fields are null) or guest (a customer without "
    "name and metadata).",
)
@click.option(
    "--ledger",
    type=click.Choice([state.value for state in LedgerState]),
    default=USUAL_STATE.value,
    help="State of the ledger before the event. --all runs the other states, too.",
)
@click.option(
    "--connector",
    "kind",
    metavar="KIND",
    default=lambda: CONNECTORS[0].kind,
    help="Connector that checks the calls.",
)
@click.option(
    "--source-kind", metavar="KIND", default=lambda: SOURCES[0].kind, help="Source kind that provides the samples."
)
@click.option(
    "--endpoint", metavar="NAME", default="", help="Use the settings and variables of this endpoint of the database."
)
@click.option(
    "--customer",
    metavar="ID",
    default="",
    help="With --endpoint: read the ledger of this customer, by the sender's ID. Masked as in the dashboard.",
)
@setting_options("data_dir", "database_url")
def transform(
    *,
    handler: Path,
    types: tuple[str, ...],
    event_files: tuple[Path, ...],
    every: bool,
    variant: str,
    ledger: str,
    kind: str,
    source_kind: str,
    endpoint: str,
    customer: str,
    **flags: Any,
) -> None:
    """Run HANDLER on sample events without sending anything. The exit code is 1 if an event fails."""
    samples = samples_of(find_source_kind(source_kind))
    if not types and not event_files and not every:
        types = (_usual(samples, source_kind),)
    now_ms = time.time_ns() // 1_000_000
    code, state, chosen = _text(handler, _read(handler)), LedgerState(ledger), Variant(variant)
    if customer and (every or not endpoint):
        raise UserError(
            "customer_unsupported",
            "--customer needs --endpoint, and cannot be combined with --all.",
            "Name the endpoint, and the events with --event or --file.",
        )
    named = () if every else types
    subjects = [sample(samples, name, now_ms, variant=chosen) for name in named]
    subjects += [pasted(samples.kinds, _read(file), now_ms) for file in event_files]

    async def run() -> tuple[list[DryRun], tuple[DryRun, ...]]:
        async with (
            _stored_bench(endpoint, code, state, customer, flags) if endpoint else _bench(kind, code, state) as bench
        ):
            results = await run_handler(bench.sandbox, bench.target, subjects, now_ms, bench.ledger)
            own = [
                DryRun(
                    subject=subject,
                    result=bench.shown(result),
                    variant=chosen if place < len(named) else Variant.USUAL,
                )
                for place, (subject, result) in enumerate(zip(subjects, results, strict=True))
            ]
            if not every:
                return own, ()
            # Without a limit: nothing else uses this sandbox.
            found = await run_samples(
                bench.sandbox,
                bench.target,
                samples,
                now_ms,
                lambda: 0,
                state=state,
                variants=VARIED,
                states=tuple(LedgerState),
            )
            return [*found.dry_runs, *own], found.varied

    usual, varied = run_loop(run())
    raise SystemExit(1 if _report(usual, varied, state, every=every) else 0)


def _report(usual: Sequence[DryRun], varied: Sequence[DryRun], state: LedgerState, *, every: bool) -> int:
    """Prints the results; returns how many failed."""
    unhandled = [dry for dry in usual if every and outcome(dry.result) == "not_handled" and not dry.result.console]
    for candidate in usual:
        if candidate not in unhandled:
            _show(candidate, state)
    if unhandled:
        click.echo(f"Not handled: {plural(len(unhandled), 'event type')}.")
    known = {(dry.subject.message.event_type, verdict.rule) for dry in usual for verdict in dry.result.verdicts}
    for candidate in varied:
        if _has_news(candidate, known):
            _show(candidate, state)
    found = coverage([*usual, *(dry for dry in varied if dry.variant is Variant.USUAL)])
    failed, failing = (sum(outcome(dry.result) == "failed" for dry in some) for some in (usual, varied))
    click.echo(f"\n{plural(len(usual), 'event')}, {failed} failed.")
    if varied:
        others = "nullable fields null, guest checkouts, other states of the ledger"
        click.echo(f"{plural(len(varied), 'variant')} ({others}), {failing} failed.")
    warning = found.warning if every else _silence(found, len(usual))
    click.echo(f"{'▲ ' if found.is_silent else ''}{found.summary} {warning}".rstrip())
    return failed + failing


class _Bench(NamedTuple):
    """What a handler is run with. With a `redactor`, results are shown without personal data."""

    target: OpenEndpoint
    sandbox: Sandbox
    ledger: LedgerReader
    redactor: Redactor | None = None

    def shown(self, result: Transformed) -> Transformed:
        result = shown(self.target, result)
        return result if self.redactor is None else masked(result, self.redactor)


@asynccontextmanager
async def _bench(kind: str, code: str, state: LedgerState) -> AsyncIterator[_Bench]:
    """Without a database."""
    target = dry_target(kind, code)
    async with sandbox_of(settings_of({"settings_file": None})) as sandbox:
        yield _Bench(target, sandbox, StateLedger(state, kind_of_sample))


class _Reading(NamedTuple):
    """What it takes to read the ledger."""

    store: Store
    configuration: Configuration


@asynccontextmanager
async def _stored_bench(
    name: str, code: str, state: LedgerState, customer: str, flags: dict[str, Any]
) -> AsyncIterator[_Bench]:
    """As an endpoint of the database."""
    settings = settings_of(flags)
    async with open_services(settings) as it:
        endpoint = it.endpoint(name)
        run = msgspec.structs.replace(endpoint, transformation=unpublished(code), transformation_enabled=True)
        configuration = Configuration(it.store, it.vault, it.clock, redaction=settings.redaction)
        await configuration.refresh()
        choice = LedgerChoice(customer_key=customer) if customer else LedgerChoice(state=state)
        ledger = chosen_ledger(_Reading(it.store, configuration), endpoint.app_id, choice)
        redactor = settings.redaction.of().redactor() if customer else None
        async with sandbox_of(settings) as sandbox:
            yield _Bench(open_endpoint(it.vault, run), sandbox, ledger, redactor)


def _usual(samples: Samples, source_kind: str) -> str:
    if not samples.usual:
        raise UserError(
            "samples_missing", f"Source kind {source_kind} has no samples.", "Pass an event with --file FILE."
        )
    return samples.usual


def _silence(found: Coverage, events: int) -> str:
    """The warning if nothing is sent for the chosen events; the handler may send others."""
    if not found.is_silent:
        return ""
    sentence = f"The handler sends nothing for {'this event type' if events == 1 else 'these event types'}."
    return f"{sentence} Fix its errors first." if found.failed else sentence


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError("file_unreadable", f"Cannot read {path}: {error.strerror}.", "Check the path.") from error


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError("file_unreadable", f"{path} is not UTF-8 text.", "Save it as UTF-8.") from error


def _has_news(varied: DryRun, known: Collection[tuple[str, str]]) -> bool:
    """Whether a variant fails, or has verdicts that the usual sample has not: `known`, by event type and rule."""
    event_type = varied.subject.message.event_type
    return outcome(varied.result) == "failed" or any(
        verdict.level is not Level.ADDITION and (event_type, verdict.rule) not in known
        for verdict in varied.result.verdicts
    )


def _show(dry_run: DryRun, state: LedgerState) -> None:
    result = dry_run.result
    in_state = "" if dry_run.state in {state, USUAL_STATE} else f" (ledger: {dry_run.state})"
    click.echo(f"{dry_run.subject.message.event_type}{_VARIANTS[dry_run.variant]}{in_state}")
    if isinstance(result, Ready):
        for call in result.calls:
            click.echo(f"  → {call.method} {call.url}\n    {call.body.decode('utf-8', 'replace')}")
    else:
        click.echo(f"  {result.state.value}: {result.reason}")
    for verdict in result.verdicts:
        more = "" if verdict.level is Level.ADDITION else f" {verdict.reason.fix()} [{verdict.source}]"
        click.echo(f"  {verdict.level.value}: {verdict.path}: {verdict.reason.detail()}{more}")
    for line in result.console:
        click.echo(f"  console: {line}")
