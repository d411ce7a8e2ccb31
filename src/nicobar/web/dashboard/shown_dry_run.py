"""Prepares a dry run for its page."""

from __future__ import annotations

import shlex

import msgspec

from nicobar.connectors import ReadyCall, Request, preview_headers
from nicobar.model import Record
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.transform import Ready, Transformed
from nicobar.reasons import Reason
from nicobar.use_cases.dry_run import DryRun, Note, notes, outcome
from nicobar.web.dashboard.differences import Difference, compare
from nicobar.web.dashboard.pages import pretty


class ShownCall(Record):
    """A call, and how it differs from the event."""

    request: Request
    added: bool
    difference: Difference


class ShownDryRun(Record):
    """A dry run; `running` is the difference from the calls of the published code."""

    event_type: str
    body: str
    outcome: str
    reason: Reason | None
    calls: tuple[ShownCall, ...]
    console: tuple[str, ...]
    notes: tuple[Note, ...]
    duration_us: int
    snapshot: str = ""
    running: Difference | None = None


def written(result: Transformed) -> str:
    """All calls as text, to compare two handlers."""
    if not isinstance(result, Ready):
        return f"({result.reason})"
    return "\n\n".join(f"{call.method} {call.url}\n{pretty(call.body)}" for call in result.calls)


def shown_dry_run(at: OpenEndpoint, dry_run: DryRun, running: Difference | None) -> ShownDryRun:
    result = dry_run.result
    code = at.endpoint.transformation.code if at.endpoint.transformation else ""
    body = dry_run.subject.message.body.decode("utf-8", "replace")
    event = pretty(body)
    calls = result.calls if isinstance(result, Ready) else ()
    return ShownDryRun(
        event_type=dry_run.subject.message.event_type,
        body=body,
        outcome=outcome(result),
        reason=None if isinstance(result, Ready) else result.reason,
        calls=tuple(
            ShownCall(request=_preview(at, call), added=call.added, difference=compare(event, pretty(call.body)))
            for call in calls
        ),
        console=result.console,
        notes=notes(code, [dry_run]),
        duration_us=result.duration_us,
        snapshot=result.snapshot,
        running=running,
    )


def _preview(at: OpenEndpoint, call: ReadyCall) -> Request:
    request = at.destination.pack([call])
    return msgspec.structs.replace(request, headers=preview_headers(request.headers))


def curl(request: Request) -> str:
    """The request as a curl command, with placeholders for secrets."""
    parts = ["curl", "-X", request.method, shlex.quote(request.url)]
    for name, value in request.shown_headers.items():
        parts += ["-H", shlex.quote(f"{name}: {value}")]
    if request.body:
        parts += ["--data-raw", shlex.quote(request.body.decode("utf-8", "replace"))]
    return " ".join(parts)
