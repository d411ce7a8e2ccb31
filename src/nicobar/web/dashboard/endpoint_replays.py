"""`/webhooks/{id}/replays`: replay failed deliveries, missing events, or by filter. Each replay is
previewed first, then its progress is shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime
from urllib.parse import urlsplit

from nicobar.clock import unix_ms
from nicobar.errors import Refusal, UserError
from nicobar.model import DeliveryState, Endpoint, Record
from nicobar.store import ReplayCount, ReplayFilter, Task, TaskKind, TaskStatus
from nicobar.use_cases.deliveries import FINAL_STATES
from nicobar.use_cases.replay_effects import MAX_PAGE_RUN_MS, ReplayEffect, known_effect
from nicobar.use_cases.replays import cancel_replay, count_replay, start_replay
from nicobar.web.dashboard.context import Context, find_endpoint, not_found
from nicobar.web.dashboard.forms import chosen_types, families
from nicobar.web.dashboard.language import noop
from nicobar.web.dashboard.pages import iso, page, redirect
from nicobar.web.dashboard.visitor import Visitor, form_fields
from nicobar.web.operations import Response, get, post

KINDS = {"recover": TaskKind.RECOVER, "missing": TaskKind.REPLAY_MISSING, "bulk": TaskKind.BULK_REPLAY}
KIND_NAMES = {
    TaskKind.RECOVER: noop("Replay failed deliveries"),
    TaskKind.REPLAY_MISSING: noop("Replay missing events"),
    TaskKind.BULK_REPLAY: noop("Replay by filter"),
}
SPANS_MS = {"1h": 3_600_000, "24h": 24 * 3_600_000, "7d": 7 * 24 * 3_600_000}
STATUS_NAMES = {
    TaskStatus.RUNNING: noop("running"),
    TaskStatus.CANCELING: noop("canceling"),
    TaskStatus.CANCELED: noop("canceled"),
    TaskStatus.FINISHED: noop("completed"),
    TaskStatus.FAILED: noop("failed"),
}
MAX_SHOWN = 25
MAX_LOOKS = 5
PAGE = 100
MAX_YEAR = 9_000
_OPEN = frozenset({TaskStatus.RUNNING, TaskStatus.CANCELING})

Fields = Mapping[str, tuple[str, ...]]


class ReplayForm(Record):
    """The content of the form; `kind` is one of KINDS."""

    kind: str
    which: ReplayFilter


@get("/webhooks/{endpoint_id}/replays")
async def show_all(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The form, and the endpoint's replays."""
    return await _form(context, visitor, find_endpoint(await context.snapshot(), endpoint_id), _query(visitor))


@get("/webhooks/{endpoint_id}/replays/count")
async def count(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Previews a replay. The query contains the whole request: `kind`, `since`, `until`, and any of `status`,
    `event_type`, `customer` and `failure`; with `new_ids`, the page offers them first.
    """
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    fields = _query(visitor)
    try:
        wanted = read(fields, context.now_ms(), (await context.samples()).types)
    except UserError as problem:
        return await _form(context, visitor, endpoint, fields, problem)
    counted = await count_replay(context.services.store, KINDS[wanted.kind], endpoint, wanted.which)
    effect: ReplayEffect | None = ReplayEffect()
    if visitor.may_run:
        effect = await known_effect(
            context.services, KINDS[wanted.kind], endpoint, wanted.which, counted, max_run_ms=MAX_PAGE_RUN_MS
        )
    return _counted(context, visitor, endpoint, wanted, counted, effect)


@post("/webhooks/{endpoint_id}/replays", status=303)
async def start(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Starts a replay."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    wanted = read(visitor.every, context.now_ms(), (await context.samples()).types)
    new_ids = "new_ids" in visitor.form
    task = await start_replay(context.services, visitor, KINDS[wanted.kind], endpoint, wanted.which, new_ids=new_ids)
    return redirect(f"/webhooks/{endpoint.id}/replays/{task.id}")


@get("/webhooks/{endpoint_id}/replays/{task_id}")
async def show(endpoint_id: str, task_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """One replay and its progress."""
    return await _task_page(context, visitor, "endpoint_replay.html", endpoint_id, task_id)


@get("/webhooks/{endpoint_id}/replays/{task_id}/progress")
async def progress(endpoint_id: str, task_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The progress, as a part of the page that is polled."""
    return await _task_page(context, visitor, "part_endpoint_replay.html", endpoint_id, task_id)


@post("/webhooks/{endpoint_id}/replays/{task_id}/cancel", status=303)
async def cancel(endpoint_id: str, task_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Cancels a replay: pending deliveries return to their previous status. A completed replay is not changed."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    task = await _task(context, endpoint, task_id)
    with suppress(Refusal):  # the page shows that it has ended
        await cancel_replay(context.services, visitor, task)
    return redirect(f"/webhooks/{endpoint.id}/replays/{task.id}")


def read(fields: Fields, now_ms: int, known_types: Collection[str] = ()) -> ReplayForm:
    """Parses the request; a family of event types stands for the known ones. Raises UserError."""
    kind = _last(fields, "kind")
    if kind not in KINDS:
        raise UserError("replay_unknown", "No replay type selected.", "Choose what to replay.")
    since = _last(fields, "since") or "24h"
    since_ms = now_ms - SPANS_MS[since] if since in SPANS_MS else _moment(_last(fields, "from") or since)
    until = _last(fields, "until")
    until_ms = _moment(until) if until else now_ms
    if since_ms >= until_ms:
        raise UserError("span_empty", "The start time must be before the end time.", "Choose an earlier start time.")
    states: tuple[DeliveryState, ...] = (DeliveryState.FAILED,)
    if kind == "missing":
        states = ()
    elif kind == "bulk":
        given = fields.get("status", ())
        states = tuple(final_state for final_state in FINAL_STATES if final_state.value in given) or FINAL_STATES
    which = ReplayFilter(
        since_ms=since_ms,
        until_ms=until_ms,
        states=states,
        event_types=chosen_types(known_types, fields),
        customer_key=_last(fields, "customer").strip() or None,
        failure=_last(fields, "failure") or None,
    )
    return ReplayForm(kind=kind, which=which)


def _moment(text: str) -> int:
    """A date and time from a form as Unix milliseconds; UTC unless an offset is given."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if text in {"", "date"}:
        raise UserError("time_missing", "Missing start date.", "Enter a start date.")
    if moment is None or not 1970 <= moment.year <= MAX_YEAR:  # noqa: PLR2004 - where Unix time begins
        raise UserError(
            "time_invalid", "Invalid date and time: %(text)s.", "Use the format 2026-01-31 18:30.", text=repr(text)
        )
    return unix_ms(moment)


def _last(fields: Fields, name: str) -> str:
    return (fields.get(name) or ("",))[-1]


def _query(visitor: Visitor) -> Fields:
    return form_fields(urlsplit(visitor.path).query)


async def _form(
    context: Context, visitor: Visitor, endpoint: Endpoint, fields: Fields, problem: UserError | None = None
) -> Response[bytes]:
    known_types = (await context.samples()).types
    return page(
        visitor,
        "endpoint_replays.html",
        status=422 if problem else 200,
        endpoint=endpoint,
        fields={name: _last(fields, name) for name in ("kind", "since", "from", "until", "customer", "failure")},
        statuses=fields.get("status", ()),
        chosen=chosen_types(known_types, fields),
        families=families(known_types, endpoint.event_types),
        tasks=await _tasks(context, endpoint),
        kind_names=KIND_NAMES,
        status_names=STATUS_NAMES,
        states=FINAL_STATES,
        problem=problem,
        now_ms=context.now_ms(),
    )


def _counted(  # noqa: PLR0917 - a page's values
    context: Context,
    visitor: Visitor,
    endpoint: Endpoint,
    wanted: ReplayForm,
    counted: ReplayCount,
    effect: ReplayEffect | None,
) -> Response[bytes]:
    which = wanted.which
    hidden = [
        ("kind", wanted.kind),
        ("since", iso(which.since_ms or 0)),
        ("until", iso(which.until_ms or 0)),
        *(("status", state.value) for state in which.states),
        *(("event_type", event_type) for event_type in which.event_types),
        ("customer", which.customer_key or ""),
        ("failure", which.failure or ""),
    ]
    given = [(name, value) for name, value in hidden if value]
    return page(
        visitor,
        "endpoint_replay_confirm.html",
        endpoint=endpoint,
        kind=KINDS[wanted.kind],
        kind_names=KIND_NAMES,
        which=which,
        counted=counted,
        effect=effect,
        hidden=given,
        new_ids="new_ids" in _query(visitor),
        # The original request: the form's dates are in minutes, and `until` defaults to now.
        change=f"/webhooks/{endpoint.id}/replays?{urlsplit(visitor.path).query}",
        now_ms=context.now_ms(),
    )


async def _task_page(
    context: Context, visitor: Visitor, template: str, endpoint_id: str, task_id: str
) -> Response[bytes]:
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    task = await _task(context, endpoint, task_id)
    backlog = await context.services.store.backlog(endpoint.seq)
    return page(
        visitor,
        template,
        endpoint=endpoint,
        task=task,
        is_open=task.status in _OPEN,
        waiting=sum(item.unfinished for item in backlog),
        kind_names=KIND_NAMES,
        status_names=STATUS_NAMES,
        now_ms=context.now_ms(),
    )


async def _task(context: Context, endpoint: Endpoint, task_id: str) -> Task:
    """Raises Refusal 404."""
    found = await context.services.store.task(task_id)
    if found is None or found.endpoint_id != endpoint.id:
        raise not_found("replay")
    return found


async def _tasks(context: Context, endpoint: Endpoint) -> list[Task]:
    """The endpoint's latest replays."""
    found: list[Task] = []
    seq = None
    for _ in range(MAX_LOOKS):
        some = await context.services.store.tasks(
            app_ids=[endpoint.app_id], before_seq=seq, after_seq=None, limit=PAGE
        )
        found += [item for item in some if item.endpoint_id == endpoint.id]
        if len(some) < PAGE or len(found) >= MAX_SHOWN:
            break
        seq = some[-1].seq
    return found[:MAX_SHOWN]


OPERATIONS = (show_all, count, start, show, progress, cancel)
