"""`/webhooks/{id}/transformation`: the code that runs, its versions and how they differ; what a draft would make of
messages of the past.
"""

from __future__ import annotations

import asyncio

from nicobar.connectors.registry import connector
from nicobar.model import DeliveryState, Endpoint, Level, Record, Verdict
from nicobar.store import Draft
from nicobar.store.history import Version
from nicobar.use_cases.dry_run import Note, line_of
from nicobar.use_cases.dry_run_messages import Rehearsed, Rehearser
from nicobar.web.dashboard.context import Context, find_endpoint, not_found
from nicobar.web.dashboard.coverage import coverage_of_endpoint
from nicobar.web.dashboard.differences import Difference, compare
from nicobar.web.dashboard.endpoint_new import publish
from nicobar.web.dashboard.endpoint_test import with_draft
from nicobar.web.dashboard.pages import page, pretty, redirect
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

MAX_VERSIONS = 25
CHOICES = (10, 20, 50, 100)
DRAFT = "draft"


class Compared(Record):
    """Two versions, or a version and the draft, by their names in the address."""

    before: str
    after: str
    difference: Difference


class Opened(Record):
    """A message of the dry run, whose row is open."""

    one: Rehearsed
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
    """What runs, or one `version`; with `before` and `after` how one became the other. `older` pages the versions."""
    known = find_endpoint(await context.snapshot(), endpoint_id)
    open_draft = await _changed_draft(context, known)
    place = older if older.isdecimal() else None
    versions = await context.services.store.versions(known.id, before=place, limit=MAX_VERSIONS)
    chosen = await _version(context, known, version) if version else None
    compared = None
    if before and after:
        old, new = await _code(context, known, open_draft, before), await _code(context, known, open_draft, after)
        compared = Compared(before=before, after=after, difference=await asyncio.to_thread(compare, old, new))
    elif chosen is not None and known.transformation is not None and known.transformation.version != chosen.version:
        running = str(known.transformation.version)
        difference = await asyncio.to_thread(compare, known.transformation.code, chosen.code or "")
        compared = Compared(before=running, after=version, difference=difference)
    return page(
        visitor,
        "transformation.html",
        endpoint=known,
        connector=connector(known.connector),
        coverage=await coverage_of_endpoint(context, known),
        draft=open_draft,
        draft_differs=open_draft is not None and _differs(known, open_draft),
        versions=versions,
        chosen=chosen,
        compared=compared,
        wanted_before=before,
        wanted_after=after,
        now_ms=context.now_ms(),
    )


@post("/webhooks/{endpoint_id}/transformation/restore", status=303)
async def restore(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Makes an old version the newest one."""
    known = find_endpoint(await context.snapshot(), endpoint_id)
    old = await _version(context, known, visitor.form.get("version", ""))
    action = "endpoint.transformation.restore"
    await publish(context, visitor, known.id, old.code or "", action=action, detail=f"version {old.version}")
    return redirect(f"/webhooks/{known.id}/transformation")


@get("/webhooks/{endpoint_id}/transformation/dry-run")
async def dry_run(
    *,
    endpoint_id: str,
    context: Context,
    visitor: Visitor,
    messages: int = CHOICES[1],
    message: str = "",
) -> Response[bytes]:
    """What the draft, or else the code that runs, would make of the latest messages, beside what was sent."""
    services = context.services
    known = find_endpoint(await context.snapshot(), endpoint_id)
    open_draft = await _changed_draft(context, known)
    tried = with_draft(known, open_draft) if open_draft else known
    rehearser = Rehearser(
        store=services.store,
        configuration=services.configuration,
        vault=services.vault,
        sandbox=services.sandbox,
        clock=services.clock,
    )
    wanted = messages if messages in CHOICES else CHOICES[1]
    found = await rehearser.rehearse(tried, None, messages=wanted)
    row = next((result for result in found.results if result.message_id == message), None)
    code = tried.transformation.code if tried.transformation else ""
    return page(
        visitor,
        "dry_run.html",
        endpoint=known,
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
        now_ms=context.now_ms(),
    )


async def _changed_draft(context: Context, known: Endpoint) -> Draft | None:
    """The endpoint's draft; None for one that was only looked at."""
    found = await context.services.store.draft_of(known.app_id, known.id)
    return found if found is not None and found.revision else None


def _differs(known: Endpoint, draft: Draft) -> bool:
    running = known.transformation.code if known.transformation else ""
    return draft.code != running or draft.variables != known.variables


async def _version(context: Context, known: Endpoint, number: str) -> Version:
    """Raises Refusal 404."""
    if not (number.isascii() and number.isdecimal()) or not 0 < int(number) < 2**31:
        raise not_found("version")
    found = await context.services.store.versions(known.id, after=str(int(number) - 1), limit=1, with_code=True)
    if not found.items or found.items[0].version != int(number):
        raise not_found("version")
    return found.items[0]


async def _code(context: Context, known: Endpoint, item: Draft | None, name: str) -> str:
    if name == DRAFT:
        if item is None:
            raise not_found("draft")
        return item.code
    return (await _version(context, known, name)).code or ""


def _outcome(rehearsed: Rehearsed) -> str:
    match rehearsed.state:
        case DeliveryState.FAILED:
            return "failed"
        case DeliveryState.CANCELED:
            return "not_handled" if rehearsed.code == "not_handled" else "left_out"
        case _:
            return "sends"


def _opened(code: str, rehearsed: Rehearsed) -> Opened:
    """Calls that the connector adds by itself are compared only where they were sent."""
    difference = None
    if rehearsed.sent is not None:
        would = [call.body for call in rehearsed.calls if not call.added or call.body in rehearsed.sent]
        difference = compare(_written(rehearsed.sent), _written(would))
    return Opened(
        one=rehearsed, notes=tuple(_note(code, said, rehearsed) for said in _worth(rehearsed)), difference=difference
    )


def _worth(rehearsed: Rehearsed) -> list[Verdict]:
    """The verdicts without what was added by itself."""
    return [verdict for verdict in rehearsed.verdicts if verdict.level is not Level.ADDITION]


def _written(bodies: list[str] | tuple[str, ...]) -> str:
    return "\n\n".join(pretty(body) for body in bodies)


def _note(code: str, verdict: Verdict, rehearsed: Rehearsed) -> Note:
    return Note(
        level=verdict.level,
        code=verdict.rule,
        path=verdict.path,
        text=verdict.reason,
        fix=verdict.fix,
        line=line_of(code, verdict),
        event_types=(rehearsed.event_type,),
    )


OPERATIONS = (show, restore, dry_run)
