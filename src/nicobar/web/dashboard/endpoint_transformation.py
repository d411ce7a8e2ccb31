"""`/webhooks/{id}/transformation`: the published code, its versions and their differences, and the dry run of a draft
on received messages.
"""

from __future__ import annotations

import asyncio

from nicobar.connectors.registry import connector
from nicobar.model import DeliveryState, Endpoint, Level, Record, Verdict
from nicobar.store import Draft
from nicobar.use_cases.chosen_ledgers import LedgerChoice
from nicobar.use_cases.dry_run import Note, line_of
from nicobar.use_cases.dry_run_messages import MessageDryRun, run_messages
from nicobar.use_cases.ledger_states import LedgerState
from nicobar.use_cases.transformations import MAX_VERSION, find_version, restore_version
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context, find_endpoint, not_found
from nicobar.web.dashboard.coverage import coverage_of_endpoint
from nicobar.web.dashboard.differences import Difference, compare
from nicobar.web.dashboard.endpoint_bench import with_draft
from nicobar.web.dashboard.pages import page, pretty, redirect
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

MAX_VERSIONS = 25
CHOICES = (10, 20, 50, 100)
DRAFT = "draft"


class Compared(Record):
    """Two versions, or a version and the draft, by their names in the URL."""

    before: str
    after: str
    difference: Difference


class Opened(Record):
    """The message of the dry run whose row is open."""

    dry_run: MessageDryRun
    notes: tuple[Note, ...]
    difference: Difference | None


@get("/webhooks/{endpoint_id}/transformation")
async def show(
    *,
    endpoint_id: str,
    context: Context,
    visitor: Visitor,
    version: str = "",
    before: str = "",
    after: str = "",
    older: str = "",
) -> Response[bytes]:
    """The published code, or one `version`. `before` and `after` select two texts to compare; `older` pages the
    versions.
    """
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    open_draft = await _changed_draft(context, endpoint)
    place = older if older.isdecimal() else None
    versions = await context.services.store.versions(endpoint.id, before=place, limit=MAX_VERSIONS)
    chosen = await find_version(context.services.store, endpoint.id, _number(version)) if version else None
    compared = None
    if before and after:
        old, new = (
            await _code(context, endpoint, open_draft, before),
            await _code(context, endpoint, open_draft, after),
        )
        compared = Compared(before=before, after=after, difference=await asyncio.to_thread(compare, old, new))
    elif (
        chosen is not None
        and endpoint.transformation is not None
        and endpoint.transformation.version != chosen.version
    ):
        running = str(endpoint.transformation.version)
        difference = await asyncio.to_thread(compare, endpoint.transformation.code, chosen.code or "")
        compared = Compared(before=running, after=version, difference=difference)
    return page(
        visitor,
        "endpoint_transformation.html",
        endpoint=endpoint,
        connector=connector(endpoint.connector),
        coverage=await coverage_of_endpoint(context, visitor, endpoint),
        draft=open_draft,
        draft_differs=open_draft is not None and _differs(endpoint, open_draft),
        versions=versions,
        chosen=chosen,
        compared=compared,
        wanted_before=before,
        wanted_after=after,
        now_ms=context.now_ms(),
    )


@post("/webhooks/{endpoint_id}/transformation/restore", status=303)
async def restore(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Publishes an old version."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    await restore_version(context.services, visitor, endpoint.id, _number(visitor.form.get("version", "")))
    return redirect(f"/webhooks/{endpoint.id}/transformation")


@get("/webhooks/{endpoint_id}/transformation/dry-run", needs=Needs.RUNNING)
async def dry_run(
    *,
    endpoint_id: str,
    context: Context,
    visitor: Visitor,
    messages: int = CHOICES[1],
    message: str = "",
    ledger: str = "",
) -> Response[bytes]:
    """Runs the draft, or the published code, on the latest messages and compares the result with what was sent. With
    the `ledger` in a typical state instead of the stored one.
    """
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    open_draft = await _changed_draft(context, endpoint)
    changed = with_draft(endpoint, open_draft) if open_draft else endpoint
    wanted = messages if messages in CHOICES else CHOICES[1]
    state = LedgerState(ledger) if ledger in set(LedgerState) else None
    found = await run_messages(context.services, changed, messages=wanted, choice=LedgerChoice(state=state))
    row = next((result for result in found.results if result.message_id == message), None)
    code = changed.transformation.code if changed.transformation else ""
    return page(
        visitor,
        "endpoint_dry_run.html",
        endpoint=endpoint,
        draft=open_draft,
        found=found,
        failed=sum(result.state is DeliveryState.FAILED for result in found.results),
        differing=sum(bool(result.differs) for result in found.results),
        sending=sum(result.state is DeliveryState.PENDING for result in found.results),
        opened=await asyncio.to_thread(_opened, code, row) if row else None,
        outcome=_outcome,
        worth=_worth,
        wanted=wanted,
        choices=CHOICES,
        state=state,
        states=list(LedgerState),
        now_ms=context.now_ms(),
    )


async def _changed_draft(context: Context, endpoint: Endpoint) -> Draft | None:
    """The endpoint's draft; None if it was not changed."""
    found = await context.services.store.draft_of(endpoint.app_id, endpoint.id)
    return found if found is not None and found.revision else None


def _differs(endpoint: Endpoint, draft: Draft) -> bool:
    running = endpoint.transformation.code if endpoint.transformation else ""
    return draft.code != running or draft.variables != endpoint.variables


def _number(text: str) -> int:
    """The number of a version; 0, which no version has, for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_VERSION)) else 0


async def _code(context: Context, endpoint: Endpoint, item: Draft | None, name: str) -> str:
    if name == DRAFT:
        if item is None:
            raise not_found("draft")
        return item.code
    return (await find_version(context.services.store, endpoint.id, _number(name))).code or ""


def _outcome(dry_run: MessageDryRun) -> str:
    match dry_run.state:
        case DeliveryState.FAILED:
            return "failed"
        case DeliveryState.CANCELED:
            return "not_handled" if dry_run.code == "not_handled" else "left_out"
        case _:
            return "sends"


def _opened(code: str, dry_run: MessageDryRun) -> Opened:
    """Calls that the connector adds are compared only if they were sent."""
    difference = None
    if dry_run.sent is not None:
        would = [call.body for call in dry_run.calls if not call.added or call.body in dry_run.sent]
        difference = compare(_written(dry_run.sent), _written(would))
    return Opened(
        dry_run=dry_run, notes=tuple(_note(code, note, dry_run) for note in _worth(dry_run)), difference=difference
    )


def _worth(dry_run: MessageDryRun) -> list[Verdict]:
    """The verdicts without additions."""
    return [verdict for verdict in dry_run.verdicts if verdict.level is not Level.ADDITION]


def _written(bodies: list[str] | tuple[str, ...]) -> str:
    return "\n\n".join(pretty(body) for body in bodies)


def _note(code: str, verdict: Verdict, dry_run: MessageDryRun) -> Note:
    return Note(
        level=verdict.level,
        code=verdict.rule,
        path=verdict.path,
        reason=verdict.reason,
        line=line_of(code, verdict),
        event_types=(dry_run.event_type,),
    )


OPERATIONS = (show, restore, dry_run)
