"""Replays in SQLite."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from nicobar.model import DeliveryState
from nicobar.reasons import Reason
from nicobar.store import replays
from nicobar.store.catalogue import Audited
from nicobar.store.replays import FailureGroup, NewTask, ReplayCount, ReplayFilter, Resent, Task, TaskKind, TaskStatus
from nicobar.store.sqlite.database import SQL, Database, json_text, write_audit_line
from nicobar.store.sqlite.queue import free_next, give_back
from nicobar.store.sqlite.upkeep import expunge
from nicobar.store.stored_reasons import read_reason, reason_column

_FILTER = msgspec.json.Decoder(ReplayFilter)
_COUNT_AT_ONCE = 2_000


class _Found(NamedTuple):
    """A delivery that can be replayed. `has_earlier_ids` is 1 if its events may have ids of the earlier scheme."""

    message_seq: int
    customer_key: str | None
    has_earlier_ids: int = 0


class ReplayTables:
    """`Replays` over a database."""

    _database: Database

    async def resend(
        self, message_id: str, endpoint_id: str, *, now_ms: int, new_ids: bool, audit_line: Audited | None = None
    ) -> Resent:
        def work(connection: sqlite3.Connection) -> Resent:
            resent = _resend(connection, message_id, endpoint_id, now_ms, int(new_ids))
            if resent in {Resent.QUEUED, Resent.HASTENED}:
                write_audit_line(connection, audit_line)
            return resent

        return await self._database.write(work)

    async def count_replay(self, endpoint_seq: int, which: ReplayFilter) -> ReplayCount:
        return await self._database.survey(lambda connection: _count(connection, endpoint_seq, which))

    async def add_task(self, task: NewTask, *, audit_line: Audited | None = None) -> Task:
        def work(connection: sqlite3.Connection) -> Task | None:
            values = msgspec.structs.asdict(task)
            values |= {"kind": task.kind.value, "filter": json_text(task.filter), "new_ids": int(task.new_ids)}
            values["result"] = None if task.result is None else json_text(task.result)
            connection.execute(SQL["add_task"], values)
            if task.result is not None:
                connection.execute(SQL["trim_results"], {"keep": replays.MAX_RESULTS})
            write_audit_line(connection, audit_line)
            return _find(connection, task.id)

        made = await self._database.write(work)
        if made is None:
            raise AssertionError(task.id)
        return made

    async def task(self, task_id: str) -> Task | None:
        rows = await self._database.read("task", {"id": task_id})
        return _task(rows[0]) if rows else None

    async def open_tasks(self) -> list[Task]:
        return [_task(row) for row in await self._database.read("open_tasks")]

    async def tasks(
        self, *, app_ids: Sequence[str], before_seq: int | None, after_seq: int | None, limit: int
    ) -> list[Task]:
        name, seq = ("tasks_before", before_seq) if after_seq is None else ("tasks_after", after_seq)
        values = {"app_ids": json_text(list(app_ids)), "seq": seq, "limit": limit}
        return [_task(row) for row in await self._database.read(name, values)]

    async def work_on_task(self, task_id: str, *, now_ms: int, limit: int) -> Task | None:
        return await self._database.write(lambda connection: _work(connection, task_id, now_ms, limit))

    async def cancel_task(self, task_id: str, *, now_ms: int, audit_line: Audited | None = None) -> Task | None:
        def work(connection: sqlite3.Connection) -> Task | None:
            if connection.execute(SQL["cancel_task"], {"id": task_id, "now_ms": now_ms}).rowcount:
                write_audit_line(connection, audit_line)
            return _find(connection, task_id)

        return await self._database.write(work)

    async def count_untried(self, task_id: str) -> int:
        return int((await self._database.read("count_untried", {"task_id": task_id}))[0][0])

    async def cancel_pending(
        self, endpoint_seq: int, *, now_ms: int, limit: int, reason: Reason, audit_line: Audited | None = None
    ) -> int:
        def work(connection: sqlite3.Connection) -> int:
            values = {"endpoint_seq": endpoint_seq, "limit": limit}
            waiting = [_Found(*row) for row in connection.execute(SQL["waiting"], values).fetchall()]
            canceled = _cancel(connection, endpoint_seq, waiting, now_ms, reason)
            if canceled:
                write_audit_line(connection, audit_line, f"{canceled} deliveries")
            return canceled

        return await self._database.write(work)

    async def failure_groups(self, app_id: str, endpoint_id: str | None = None) -> list[FailureGroup]:
        return [
            FailureGroup(
                endpoint_id=row[0],
                failure=row[1],
                count=row[2],
                first_at_ms=row[3],
                last_at_ms=row[4],
                reason=read_reason(row[5] or None),
                message_id=row[6],
            )
            for row in await self._database.read("failure_groups", {"app_id": app_id, "endpoint_id": endpoint_id})
        ]


def _task(row: sqlite3.Row) -> Task:
    return Task(
        seq=row[0],
        id=row[1],
        app_id=row[2],
        endpoint_seq=row[3],
        endpoint_id=row[4],
        kind=TaskKind(row[5]),
        status=TaskStatus(row[6]),
        filter=_FILTER.decode(row[7]),
        new_ids=bool(row[8]),
        after_seq=row[9],
        until_seq=row[10],
        expected=row[11],
        moved=row[12],
        created_at_ms=row[13],
        updated_at_ms=row[14],
        result=None if row[15] is None else msgspec.json.decode(row[15]),
    )


def _find(connection: sqlite3.Connection, task_id: str) -> Task | None:
    row = connection.execute(SQL["task"], {"id": task_id}).fetchone()
    return None if row is None else _task(row)


def _resend(connection: sqlite3.Connection, message_id: str, endpoint_id: str, now_ms: int, new_ids: int) -> Resent:
    of = {"message_id": message_id, "endpoint_id": endpoint_id}
    row = connection.execute(SQL["delivery_to_resend"], of).fetchone()
    if row is None:
        return Resent.UNKNOWN
    message_seq, endpoint_seq, expunged_at_ms, state, due_at_ms = row
    key = {"message_seq": message_seq, "endpoint_seq": endpoint_seq, "now_ms": now_ms}
    if expunged_at_ms is not None:
        return Resent.EXPUNGED
    if state == DeliveryState.SENDING:
        return Resent.SENDING
    if state == DeliveryState.PENDING:
        if due_at_ms is None:
            return Resent.BEHIND
        connection.execute(SQL["hasten"], key)
        return Resent.HASTENED
    # Random, not counted: a counter repeats itself after a restore, and at a recreated endpoint.
    replay_key = f"resend_{secrets.token_hex(16)}" if new_ids else ""
    values = key | {"new_ids": new_ids, "replay_key": replay_key, "task_seq": None}
    connection.execute(SQL["replay_delivery"], values).fetchone()
    return Resent.QUEUED


def _select(
    connection: sqlite3.Connection,
    endpoint_seq: int,
    which: ReplayFilter,
    *,
    task_seq: int | None,
    places: tuple[int, int],
    limit: int,
    customer_keys: Sequence[str] | None = None,
) -> list[_Found]:
    """What the filter finds behind the first place up to the second, of all customers or of these."""
    if which.customer_key is not None:
        customer_keys = [which.customer_key]
    (app_id,) = connection.execute("SELECT app_id FROM endpoints WHERE seq = ?", (endpoint_seq,)).fetchone()
    name = "replayable_missing" if which.missing else "replayable"
    rows = connection.execute(
        SQL[name if customer_keys is None else f"{name}_of_customers"],
        {
            "app_id": app_id,
            "endpoint_seq": endpoint_seq,
            "task_seq": task_seq or 0,
            "after_seq": places[0],
            "until_seq": places[1],
            "limit": limit,
            "since_ms": which.since_ms,
            "until_ms": which.until_ms,
            "states": json_text(which.states),
            "event_types": json_text(which.event_types),
            "customer_keys": json_text(customer_keys),
            "failure": which.failure,
            "channels": json_text(which.channels),
            "tag": which.tag,
        },
    )
    return [_Found(*row) for row in rows.fetchall()]


def _count(connection: sqlite3.Connection, endpoint_seq: int, which: ReplayFilter) -> ReplayCount:
    """Counts page by page; the customers, who may be any number, in a table that only this connection has."""
    (app_id,) = connection.execute("SELECT app_id FROM endpoints WHERE seq = ?", (endpoint_seq,)).fetchone()
    connection.execute("CREATE TEMP TABLE counted (customer_key TEXT PRIMARY KEY, message_seq INTEGER) WITHOUT ROWID")
    try:
        deliveries, earlier_ids, oldest_seq = _count_pages(connection, endpoint_seq, which)
        of = {"app_id": app_id, "endpoint_seq": endpoint_seq}
        customers, overtaken = connection.execute(SQL["counted_customers"], of).fetchone()
    finally:
        connection.execute("DROP TABLE counted")
    accepted = connection.execute("SELECT accepted_at_ms FROM messages WHERE seq = ?", (oldest_seq,)).fetchone()
    return ReplayCount(
        deliveries=deliveries,
        customers=customers,
        overtaken=overtaken,
        earlier_ids=earlier_ids,
        oldest_accepted_at_ms=accepted[0] if accepted else None,
    )


def _count_pages(
    connection: sqlite3.Connection, endpoint_seq: int, which: ReplayFilter
) -> tuple[int, int, int | None]:
    """How many there are, how many of them have earlier ids, and the message of the first."""
    (until_seq,) = connection.execute(SQL["last_message"]).fetchone()
    deliveries = earlier_ids = after_seq = 0
    oldest_seq: int | None = None
    while page := _select(
        connection, endpoint_seq, which, task_seq=None, places=(after_seq, until_seq), limit=_COUNT_AT_ONCE
    ):
        deliveries += len(page)
        earlier_ids += sum([item.has_earlier_ids for item in page])
        oldest_seq = page[0].message_seq if oldest_seq is None else oldest_seq
        after_seq = page[-1].message_seq
        connection.execute(SQL["count_customers"], {"page": json_text(page)})
    return deliveries, earlier_ids, oldest_seq


def _work(connection: sqlite3.Connection, task_id: str, now_ms: int, limit: int) -> Task | None:
    task = _find(connection, task_id)
    if task is None or task.status not in {TaskStatus.RUNNING, TaskStatus.CANCELING}:
        return task
    if task.status is TaskStatus.CANCELING:
        return _give_back(connection, task, now_ms, limit)
    # Where few fit the filter, the look is what takes long.
    seen_seq = min(task.until_seq, task.after_seq + replays.MAX_LOOK_MESSAGES)
    places = (task.after_seq, seen_seq)
    if task.kind is TaskKind.PURGE:
        return _purge(connection, task, places, now_ms, limit)
    page = _select(connection, task.endpoint_seq, task.filter, task_seq=task.seq, places=places, limit=limit)
    if len(page) == limit:
        seen_seq = page[-1].message_seq
    moved = taken = 0
    customer_keys: set[str] = set()
    for item in page:
        if taken >= limit:
            seen_seq = item.message_seq - 1
            break
        if item.customer_key in customer_keys:
            continue
        if item.customer_key is not None:
            customer_keys.add(item.customer_key)
        together = _with_customer(connection, task, item)
        taken += len(together)
        moved += sum([_replay(connection, task, other, now_ms) for other in together])
    status = TaskStatus.RUNNING if seen_seq < task.until_seq else TaskStatus.FINISHED
    return _moved(connection, task, status, seen_seq, task.moved + moved, now_ms)


def _purge(
    connection: sqlite3.Connection, task: Task, places: tuple[int, int], now_ms: int, limit: int
) -> Task | None:
    of = {"app_id": task.app_id, "after_seq": places[0], "until_seq": places[1], "limit": limit}
    page = [seq for (seq,) in connection.execute(SQL["messages_to_purge"], of).fetchall()]
    for seq in page:
        expunge(connection, seq, now_ms)
    seen_seq = page[-1] if len(page) == limit else places[1]
    status = TaskStatus.RUNNING if seen_seq < task.until_seq else TaskStatus.FINISHED
    return _moved(connection, task, status, seen_seq, task.moved + len(page), now_ms)


def _with_customer(connection: sqlite3.Connection, task: Task, __found: _Found) -> list[_Found]:
    """It, and all that the task finds of its customer behind it: nothing of theirs may come in between."""
    if __found.customer_key is None:
        return [__found]
    behind = _select(
        connection,
        task.endpoint_seq,
        task.filter,
        task_seq=task.seq,
        places=(__found.message_seq, task.until_seq),
        limit=replays.MAX_BEHIND_A_PAGE,
        customer_keys=[__found.customer_key],
    )
    return [__found, *behind]


def _replay(connection: sqlite3.Connection, task: Task, __found: _Found, now_ms: int) -> int:
    values = {
        "message_seq": __found.message_seq,
        "endpoint_seq": task.endpoint_seq,
        "now_ms": now_ms,
        "new_ids": int(task.new_ids),
        "replay_key": task.id if task.new_ids else "",
        "task_seq": task.seq,
    }
    return int(connection.execute(SQL["replay_delivery"], values).fetchone() is not None)


def _give_back(connection: sqlite3.Connection, task: Task, now_ms: int, limit: int) -> Task | None:
    values = {"task_seq": task.seq, "limit": limit}
    untried = [_Found(*row) for row in connection.execute(SQL["untried_of_replay"], values).fetchall()]
    given_back = sum([give_back(connection, item.message_seq, task.endpoint_seq) for item in untried])
    # A customer of whom more is to be given back waits for the rest: nothing of it is to be sent meanwhile.
    customers = {item.customer_key: item for item in untried}
    through = [customer for customer in customers.values() if not _is_left(connection, task, customer)]
    _free(connection, task.endpoint_seq, through, now_ms)
    status = TaskStatus.CANCELING if len(untried) == limit else TaskStatus.CANCELED
    return _moved(connection, task, status, task.after_seq, task.moved - given_back, now_ms)


def _is_left(connection: sqlite3.Connection, task: Task, __found: _Found) -> bool:
    of = {"task_seq": task.seq, "endpoint_seq": task.endpoint_seq, "customer_key": __found.customer_key}
    return connection.execute(SQL["untried_of_customer"], of).fetchone() is not None


def _moved(  # noqa: PLR0917 - a task's new state
    connection: sqlite3.Connection, task: Task, status: TaskStatus, after_seq: int, moved: int, now_ms: int
) -> Task | None:
    values = {"id": task.id, "status": status.value, "after_seq": after_seq, "moved": moved, "now_ms": now_ms}
    connection.execute(SQL["move_task"], values)
    return _find(connection, task.id)


def _cancel(
    connection: sqlite3.Connection, endpoint_seq: int, found: Sequence[_Found], now_ms: int, reason: Reason
) -> int:
    canceled = 0
    for item in found:
        key = {
            "message_seq": item.message_seq,
            "endpoint_seq": endpoint_seq,
            "now_ms": now_ms,
            "reason": reason_column(reason),
        }
        canceled += connection.execute(SQL["cancel_delivery"], key).rowcount
    _free(connection, endpoint_seq, found, now_ms)
    return canceled


def _free(connection: sqlite3.Connection, endpoint_seq: int, found: Sequence[_Found], now_ms: int) -> None:
    """Lets their customers' next deliveries go."""
    for customer_key in {item.customer_key for item in found if item.customer_key is not None}:
        free_next(connection, endpoint_seq, customer_key, now_ms)
