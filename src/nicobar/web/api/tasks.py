"""`/api/v1/background-task`: background tasks and their progress."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, assert_never

from msgspec import Meta

from nicobar.store import Snapshot, Task, TaskKind, TaskStatus
from nicobar.use_cases.replays import cancel_replay, check_cancelable, is_canceled
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.deletion_preview import WOULD, DryRun, DryRunOut, effect
from nicobar.web.api.errors import not_found
from nicobar.web.api.lookups import MAX_KEY_CHARS
from nicobar.web.api.paging import DEFAULT_LIMIT, MAX_LIMIT, Iterator, Limit, Order, Ordering, page_of, read_iterator
from nicobar.web.api.rejected_requests import numbered
from nicobar.web.api.shapes import Moment, Page, Shape, TaskId, moment
from nicobar.web.operations import Response, ResponseSpec, get, post

TAGS = ["Background Tasks"]
MAX_LOOKS = 10
_ALL = ""  # the application of a task for all applications
TaskKey = Annotated[str, Meta(description="The task's ID.", max_length=MAX_KEY_CHARS)]


class BackgroundTaskStatus(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


class BackgroundTaskOut(Shape):
    """A background task. `data` of a replay has `messagesSent`, `expected` (total number of messages) and
    `endpointId`; of a deletion of payloads, `messagesPurged`; of a count, its result. A canceled task is `finished`,
    with `data.canceled` true.
    """

    id: TaskId
    status: BackgroundTaskStatus
    task: TaskKind
    updated_at: Moment
    data: dict[str, Any]


class TaskStartedOut(Shape):
    """A started background task. `GET /api/v1/background-task/{id}` returns its progress."""

    id: TaskId
    status: BackgroundTaskStatus
    task: TaskKind
    updated_at: Moment


def started(task: Task) -> TaskStartedOut:
    return TaskStartedOut(
        id=task.id, status=_STATUS[task.status], task=task.kind, updated_at=moment(task.updated_at_ms)
    )


def shown(task: Task) -> BackgroundTaskOut:
    return BackgroundTaskOut(
        id=task.id,
        status=_STATUS[task.status],
        task=task.kind,
        updated_at=moment(task.updated_at_ms),
        data=_data(task),
    )


def _data(task: Task) -> dict[str, Any]:
    canceled = is_canceled(task)
    match task.kind:
        case TaskKind.APP_STATS | TaskKind.EVENT_TYPES:
            return task.result if isinstance(task.result, dict) else {}
        case TaskKind.PURGE:
            return {"messagesPurged": task.moved, "canceled": canceled}
        case TaskKind.RECOVER | TaskKind.REPLAY_MISSING | TaskKind.BULK_REPLAY:
            return {
                "messagesSent": task.moved,
                "expected": task.expected,
                "endpointId": task.endpoint_id,
                "newIds": task.new_ids,
                "canceled": canceled,
            }
        case _:
            assert_never(task.kind)


_STATUS = {
    TaskStatus.RUNNING: BackgroundTaskStatus.RUNNING,
    TaskStatus.CANCELING: BackgroundTaskStatus.RUNNING,
    TaskStatus.CANCELED: BackgroundTaskStatus.FINISHED,
    TaskStatus.FINISHED: BackgroundTaskStatus.FINISHED,
    TaskStatus.FAILED: BackgroundTaskStatus.FAILED,
}


@get(
    "/api/v1/background-task",
    id="v1.background-task.list",
    tags=TAGS,
    summary="List background tasks",
    needs=Needs.OWN,
)
async def list_tasks(
    *,
    services: Services,
    snapshot: Snapshot,
    caller: Caller,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    order: Order = None,
    status: Annotated[BackgroundTaskStatus | None, Meta(description="Filter by status.")] = None,
    task: Annotated[TaskKind | None, Meta(description="Filter by kind of task.")] = None,
) -> Page[BackgroundTaskOut]:
    """Lists replays, deletions of payloads and counts, newest first by default."""
    place = numbered(read_iterator(iterator))
    app_ids = [item for item in (_ALL, *(app.id for app in snapshot.applications)) if caller.sees(item)]
    newest_first = ((order or Ordering.DESCENDING) is Ordering.DESCENDING) is not place.backwards
    seq = None if place.key is None else int(place.key)
    found: list[Task] = []
    for _ in range(MAX_LOOKS):
        page = await services.store.tasks(
            app_ids=app_ids,
            before_seq=seq if newest_first else None,
            after_seq=None if newest_first else seq or 0,
            limit=MAX_LIMIT,
        )
        found += [item for item in page if task in {None, item.kind} and status in {None, _STATUS[item.status]}]
        if len(page) < MAX_LIMIT or len(found) > limit:
            break
        seq = page[-1].seq
    return page_of(found[: limit + 1], place=place, limit=limit, key=lambda item: str(item.seq), shape=shown)


async def task_of(services: Services, caller: Caller, task_id: str) -> Task:
    """Raises Refusal 404."""
    found = await services.store.task(task_id)
    if found is None or not caller.sees(found.app_id):
        raise not_found("task", task_id)
    return found


@get(
    "/api/v1/background-task/{task_id}",
    id="v1.background-task.get",
    tags=TAGS,
    summary="Get background task",
    needs=Needs.OWN,
)
async def get_task(*, services: Services, caller: Caller, task_id: TaskKey) -> BackgroundTaskOut:
    """Returns a background task."""
    return shown(await task_of(services, caller, task_id))


@post(
    "/api/v1/background-task/{task_id}/cancel",
    id="nicobar.background-task.cancel",
    tags=TAGS,
    summary="Cancel background task",
    status=202,
    needs=Needs.OWN,
    responses={202: ResponseSpec(BackgroundTaskOut, description="Canceling."), 200: WOULD},
)
async def cancel_task(
    *, services: Services, caller: Caller, task_id: TaskKey, dry_run: DryRun = False
) -> Response[BackgroundTaskOut | DryRunOut]:
    """Cancels a background task. Deliveries that a replay queued and that have not been attempted return to their
    previous state, also after the replay has finished. Deleted payloads are not restored. Returns 409 if there is
    nothing left to cancel. An addition to the Svix API.
    """
    task = await task_of(services, caller, task_id)
    if dry_run:
        check_cancelable(task, unattempted := await services.store.count_untried(task.id))
        return Response(effect(deliveries=unattempted), status=200)
    return Response(shown(await cancel_replay(services, caller, task)), status=202)


OPERATIONS = (list_tasks, get_task, cancel_task)
