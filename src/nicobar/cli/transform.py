"""`nicobar transform`: a dry run of a handler, with the verdicts on its calls."""

from __future__ import annotations

import time
from pathlib import Path

import click

from nicobar.cli.options import plural, run_loop, sandbox_of, settings_of
from nicobar.connectors.registry import CONNECTORS
from nicobar.errors import UserError
from nicobar.model import Level
from nicobar.pipeline.transform import Ready, Subject, Transformed
from nicobar.pipeline.transform import transform as run_handler
from nicobar.sources.registry import SOURCES
from nicobar.sources.registry import source_kind as find_source_kind
from nicobar.use_cases.dry_run import Coverage, DryRun, coverage, dry_target, outcome, pasted, sample, samples_of


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
@click.option("--all", "every", is_flag=True, help="Use a sample of every event type.")
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
def transform(
    *, handler: Path, types: tuple[str, ...], event_files: tuple[Path, ...], every: bool, kind: str, source_kind: str
) -> None:
    """Run HANDLER on sample events without sending anything. The exit code is 1 if an event fails."""
    samples = samples_of(find_source_kind(source_kind))
    if not types and not event_files and not every:
        if not samples.usual:
            raise UserError(
                "samples_missing",
                f"Source kind {source_kind} has no samples.",
                "Pass an event with --file FILE.",
            )
        types = (samples.usual,)
    now_ms = time.time_ns() // 1_000_000
    subjects = [sample(samples, name, now_ms) for name in (samples.types if every else types)]
    subjects += [pasted(samples.kinds, _read(file), now_ms) for file in event_files]
    code = _text(handler, _read(handler))
    target = dry_target(kind, code)

    async def run() -> list[Transformed]:
        async with sandbox_of(settings_of({"settings_file": None})) as pool:
            return await run_handler(pool, target, subjects, now_ms)

    results = run_loop(run())
    dry_runs = [DryRun(subject=subject, result=result) for subject, result in zip(subjects, results, strict=True)]
    unhandled = [dry for dry in dry_runs if every and outcome(dry.result) == "not_handled" and not dry.result.console]
    for candidate in dry_runs:
        if candidate not in unhandled:
            _show(candidate.subject, candidate.result)
    if unhandled:
        click.echo(f"Not handled: {plural(len(unhandled), 'event type')}.")
    found = coverage(dry_runs)
    failed = found.failed
    click.echo(f"\n{plural(len(results), 'event')}, {failed} failed.")
    warning = found.warning if every else _silence(found, len(results))
    click.echo(f"{'▲ ' if found.is_silent else ''}{found.summary} {warning}".rstrip())
    raise SystemExit(1 if failed else 0)


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


def _show(subject: Subject, result: Transformed) -> None:
    click.echo(subject.message.event_type)
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
