"""`/failures`: failed deliveries grouped by cause, the line of the code, and replaying a group."""

from __future__ import annotations

import msgspec

from nicobar.errors import Refusal
from nicobar.model import Endpoint, Record
from nicobar.store import FailureGroup, Task, TaskKind, TaskStatus
from nicobar.store.history import AttemptFilter, MessageAttempt
from nicobar.use_cases.replay_effects import MAX_PAGE_RUN_MS, known_effect
from nicobar.use_cases.replays import cancel_replay, count_replay, group_filter, replay_group
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context, current_application, find_endpoint, not_found
from nicobar.web.dashboard.filters import address
from nicobar.web.dashboard.logs import OfEndpoint, endpoint_names, own_endpoints
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

AROUND_LINES = 3


class FailureRow(Record):
    """A group in the list."""

    group: FailureGroup
    link: str
    line: int | None


class Line(Record):
    """A line of code; `here` marks the failed line."""

    number: int
    text: str
    here: bool


@get("/failures")
async def show_all(
    context: Context,
    visitor: Visitor,
    of_endpoint: OfEndpoint = "",
) -> Response[bytes]:
    """The groups, latest failure first."""
    snapshot = await context.snapshot()
    app_id = current_application(snapshot).id
    groups = await context.services.store.failure_groups(app_id, of_endpoint or None)
    own = own_endpoints(snapshot, app_id)
    own_ids = {endpoint_id for endpoint_id, _ in own}
    return page(
        visitor,
        "failures.html",
        rows=[row_of(group) for group in groups if group.endpoint_id in own_ids],
        endpoints=own,
        names=endpoint_names(snapshot),
        of_endpoint=of_endpoint,
        now_ms=context.now_ms(),
    )


@get("/failures/group")
async def show(
    context: Context, visitor: Visitor, of_endpoint: OfEndpoint = "", failure: str = ""
) -> Response[bytes]:
    """One group: the reason, the line of the code, a sample, and how to fix it."""
    endpoint = find_endpoint(await context.snapshot(), of_endpoint)
    group = await _group(context, endpoint, failure)
    if group is None:
        return page(visitor, "failure.html", endpoint=endpoint, group=None)
    sample = await _sample(context, group)
    version = sample.attempt.transformation_version if sample else None
    line = line_of(group)
    published = endpoint.transformation
    return page(
        visitor,
        "failure.html",
        endpoint=endpoint,
        group=group,
        sample=sample,
        line=line,
        version=version,
        lines=await _code(context, endpoint, version, line) if version and line else [],
        is_changed=bool(version and published and published.version > version),
        replay_link=address("/failures/replay", endpoint=endpoint.id, failure=failure),
        now_ms=context.now_ms(),
    )


@get("/failures/replay", needs=Needs.CHANGING)
async def ask_replay(
    context: Context, visitor: Visitor, of_endpoint: OfEndpoint = "", failure: str = ""
) -> Response[bytes]:
    """Previews the replay of a group and asks for confirmation."""
    endpoint = find_endpoint(await context.snapshot(), of_endpoint)
    store = context.services.store
    which = group_filter(failure)
    count = await count_replay(store, TaskKind.BULK_REPLAY, endpoint, which)
    effect = await known_effect(
        context.services, TaskKind.BULK_REPLAY, endpoint, which, count, max_run_ms=MAX_PAGE_RUN_MS
    )
    back = address("/failures/group", endpoint=endpoint.id, failure=failure)
    return page(
        visitor,
        "failure_replay_confirm.html",
        endpoint=endpoint,
        failure=failure,
        count=count,
        effect=effect,
        back=back,
        now_ms=context.now_ms(),
    )


@post("/failures/replay", status=303)
async def replay(context: Context, visitor: Visitor) -> Response[bytes]:
    """Starts the replay of a group."""
    endpoint = find_endpoint(await context.snapshot(), visitor.form.get("endpoint", ""))
    failure = visitor.form.get("failure", "")
    task = await replay_group(context.services, visitor, endpoint, failure, new_ids="new_ids" in visitor.form)
    if task is None:
        return redirect(address("/failures/group", endpoint=endpoint.id, failure=failure))
    return redirect(f"/failures/replays/{task.id}")


@get("/failures/replays/{task_id}")
async def progress(task_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The progress of a replay."""
    return await _progress(context, visitor, await _task(context, task_id))


@post("/failures/replays/{task_id}/cancel", status=303)
async def cancel(task_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Cancels a replay; deliveries that were not attempted yet are restored."""
    task = await _task(context, task_id)
    try:
        await cancel_replay(context.services, visitor, task)
    except Refusal as problem:
        return await _progress(context, visitor, task, problem)
    return redirect(f"/failures/replays/{task.id}")


async def _progress(
    context: Context, visitor: Visitor, task: Task, problem: Refusal | None = None
) -> Response[bytes]:
    names = endpoint_names(await context.snapshot())
    return page(
        visitor,
        "failure_replay.html",
        status=problem.status if problem else 200,
        task=task,
        name=names.get(task.endpoint_id, task.endpoint_id),
        is_open=task.status in {TaskStatus.RUNNING, TaskStatus.CANCELING},
        problem=problem,
        now_ms=context.now_ms(),
    )


def row_of(group: FailureGroup) -> FailureRow:
    link = address("/failures/group", endpoint=group.endpoint_id, failure=group.failure)
    return FailureRow(group=group, link=link, line=line_of(group))


def line_of(group: FailureGroup) -> int | None:
    """The line of the handler that caused the failures, if known."""
    return group.reason.line if group.reason else None


async def _group(context: Context, endpoint: Endpoint, failure: str) -> FailureGroup | None:
    """None if the group is empty."""
    groups = await context.services.store.failure_groups(endpoint.app_id, endpoint.id)
    return next((group for group in groups if group.failure == failure), None)


async def _sample(context: Context, group: FailureGroup) -> MessageAttempt | None:
    """The latest attempt of the group's latest message."""
    tried = await context.services.store.attempts_of_message(
        group.message_id, AttemptFilter(), endpoint_id=group.endpoint_id, limit=1
    )
    if not tried.items:
        return None
    sample = tried.items[0]
    redactor = context.services.configuration.redactor(sample.message)
    return msgspec.structs.replace(sample, attempt=redactor.attempt(sample.attempt))


async def _code(context: Context, endpoint: Endpoint, version: int, line: int) -> list[Line]:
    """The line of that version, with the lines around it."""
    found = await context.services.store.versions(endpoint.id, before=str(version + 1), limit=1, with_code=True)
    text = found.items[0].code if found.items and found.items[0].version == version else None
    numbered = list(enumerate((text or "").split("\n"), 1))
    around = numbered[max(0, line - 1 - AROUND_LINES) : line + AROUND_LINES]
    return [Line(number=number, text=each, here=number == line) for number, each in around]


async def _task(context: Context, task_id: str) -> Task:
    """Raises Refusal 404."""
    found = await context.services.store.task(task_id)
    if found is None or found.app_id != current_application(await context.snapshot()).id:
        raise not_found("replay")
    return found


OPERATIONS = (show_all, show, ask_replay, replay, progress, cancel)
