"""Replays and other background tasks."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from nicobar.model import DeliveryState, Message
from nicobar.reasons import Reason
from nicobar.store import replays
from nicobar.store.catalogue import Audited
from nicobar.store.facts import People
from nicobar.store.replays import FailureGroup, NewTask, ReplayCount, ReplayFilter, Resent, Task, TaskKind, TaskStatus
from nicobar.store.session import Row, Session, Values
from nicobar.store.stored_reasons import read_reason, reason_column
from nicobar.store.tables.base import Tables, complete_seq, existing, json_text, searchable_json, write_audit_line
from nicobar.store.tables.facts import order_keys
from nicobar.store.tables.queue import free_next, give_back
from nicobar.store.tables.retention import expunge
from nicobar.store.tables.rows import message

_FILTER = msgspec.json.Decoder(ReplayFilter)
_ABOVE_ALL = 2**63 - 1
# The customers of one step have so many messages at most, of which all may be read, or there is one customer.
_MESSAGES_AT_ONCE = 5_000


class _Found(NamedTuple):
    """A delivery that can be replayed."""

    message_seq: int
    customer_key: str | None


class ReplayTables(Tables):
    """`Replays` over a database."""

    async def resend(
        self,
        message_id: str,
        endpoint_id: str,
        *,
        now_ms: int,
        new_ids: bool,
        people: People | None = None,
        audit_line: Audited | None = None,
    ) -> Resent:
        of = {"message_id": message_id, "endpoint_id": endpoint_id}

        def work(session: Session) -> Resent | None:
            found = session.row("delivery_to_resend", of)
            if found is not None and not session.lock(found[1], order_all=True):
                return None  # the next transaction continues
            resent = _resend(session, of, now_ms, people, new_ids=new_ids)
            if resent in {Resent.QUEUED, Resent.HASTENED}:
                write_audit_line(session, audit_line)
            return resent

        while True:
            resent = await self._database.write(work)
            if resent is not None:
                return resent

    async def count_replay(self, endpoint_seq: int, which: ReplayFilter) -> ReplayCount:
        return await self._database.survey(lambda session: _count(session, endpoint_seq, which))

    async def replayable(
        self, endpoint_seq: int, which: ReplayFilter, *, after_seq: int, limit: int, max_bytes: int
    ) -> list[Message]:
        def work(session: Session) -> list[Message]:
            name, values = _selection(session, endpoint_seq, which, after_seq)
            seqs = [row[0] for row in session.rows(name, values | {"limit": limit})]
            found: list[Message] = []
            size_bytes = 0
            for seq in seqs:
                item = message(existing(session.row("message_of_seq", {"seq": seq})))
                size_bytes += len(item.body)
                if found and size_bytes > max_bytes:
                    break
                found.append(item)
            return found

        return await self._database.survey(work)

    async def add_task(self, task: NewTask, *, audit_line: Audited | None = None) -> Task:
        def work(session: Session) -> Task:
            done = task.result is not None
            values = msgspec.structs.asdict(task)
            values |= {"kind": task.kind.value, "filter": searchable_json(task.filter)}
            values |= {"status": TaskStatus.FINISHED.value if done else TaskStatus.RUNNING.value}
            values["result"] = json_text(task.result) if done else None
            session.run("add_task", values)
            if done:
                session.run("trim_results", {"keep": replays.MAX_RESULTS})
            write_audit_line(session, audit_line)
            return _task(existing(session.row("task", {"id": task.id})))

        return await self._database.write(work)

    async def task(self, task_id: str) -> Task | None:
        row = await self._row("task", {"id": task_id})
        return None if row is None else _task(row)

    async def open_tasks(self) -> list[Task]:
        return [_task(row) for row in await self._rows("open_tasks")]

    async def tasks(
        self, *, app_ids: Sequence[str], before_seq: int | None, after_seq: int | None, limit: int
    ) -> list[Task]:
        name = "tasks_before" if after_seq is None else "tasks_after"
        above, below = (0, before_seq) if after_seq is None else (after_seq, None)
        values = {"app_ids": app_ids, "above": above, "below": below or _ABOVE_ALL, "limit": limit}
        return [_task(row) for row in await self._rows(name, values)]

    async def work_on_task(
        self, task_id: str, *, now_ms: int, limit: int, people: People | None = None
    ) -> Task | None:
        return await self._database.write(lambda session: _work(session, task_id, now_ms, limit, people))

    async def cancel_task(self, task_id: str, *, now_ms: int, audit_line: Audited | None = None) -> Task | None:
        def work(session: Session) -> Task | None:
            if session.run("cancel_task", {"id": task_id, "now_ms": now_ms}):
                write_audit_line(session, audit_line)
            row = session.row("task", {"id": task_id})
            return None if row is None else _task(row)

        return await self._database.write(work)

    async def count_untried(self, task_id: str) -> int:
        return int(existing(await self._row("count_untried", {"task_id": task_id}))[0])

    async def cancel_pending(
        self, endpoint_seq: int, *, now_ms: int, limit: int, reason: Reason, audit_line: Audited | None = None
    ) -> int:
        def work(session: Session) -> int:
            session.lock(endpoint_seq)
            found = [_Found(*row) for row in session.rows("waiting", {"endpoint_seq": endpoint_seq, "limit": limit})]
            values = {"endpoint_seq": endpoint_seq, "message_seqs": [item.message_seq for item in found]}
            canceled = session.run("cancel_deliveries", values | {"now_ms": now_ms, "reason": reason_column(reason)})
            _free(session, endpoint_seq, found, now_ms)
            if canceled:
                write_audit_line(session, audit_line, f"{canceled} deliveries")
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
            for row in await self._rows("failure_groups", {"app_id": app_id, "endpoint_id": endpoint_id})
        ]


def _task(row: Row) -> Task:
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


def _resend(session: Session, of: Values, now_ms: int, people: People | None, *, new_ids: bool) -> Resent:
    """For a delivery whose queue is locked and in order."""
    found = session.row("delivery_to_resend", of)
    if found is None:
        return Resent.UNKNOWN
    message_seq, endpoint_seq, expunged_at_ms, state, due_at_ms = found
    key = {"message_seq": message_seq, "endpoint_seq": endpoint_seq, "now_ms": now_ms}
    if expunged_at_ms is not None:
        return Resent.EXPUNGED
    if state == DeliveryState.SENDING:
        return Resent.SENDING
    if state == DeliveryState.PENDING:
        if due_at_ms is None:
            return Resent.BEHIND
        session.run("hasten", key)
        return Resent.HASTENED
    # Random, not counted: a counter repeats itself after a restore, and at a recreated endpoint.
    replay_key = f"resend_{secrets.token_hex(16)}" if new_ids else ""
    values = {"message_seqs": [message_seq], "new_ids": new_ids, "edition": int(new_ids), "replay_key": replay_key}
    values |= {"order_keys": order_keys(session, people, endpoint_seq, [message_seq])}
    # Nothing is queued where the message was emptied, or deleted after that.
    return Resent.QUEUED if session.run("replay_deliveries", key | values | {"task_seq": None}) else Resent.EXPUNGED


def _filter_values(which: ReplayFilter) -> dict[str, object]:
    return msgspec.structs.asdict(which) | {"states": [state.value for state in which.states]}


def _select(
    session: Session,
    task: Task,
    *,
    places: tuple[int, int],
    limit: int,
    customer_keys: Sequence[str] | None = None,
) -> list[_Found]:
    """What the task finds behind the first place up to the second, of all customers or of these."""
    if task.filter.customer_key is not None:
        customer_keys = [task.filter.customer_key]
    values = {
        "app_id": task.app_id,
        "endpoint_seq": task.endpoint_seq,
        "task_seq": task.seq,
        "after_seq": places[0],
        "until_seq": places[1],
        "limit": limit,
        "customer_keys": customer_keys,
    }
    rows = session.rows(_replayable(task.filter, customer_keys), _filter_values(task.filter) | values)
    return [_Found(message_seq, customer_key) for message_seq, customer_key, _ in rows]


def _replayable(which: ReplayFilter, customer_keys: Sequence[str] | None) -> str:
    name = "replayable_missing" if which.missing else "replayable"
    return name if customer_keys is None else f"{name}_of_customers"


def _selection(
    session: Session, endpoint_seq: int, which: ReplayFilter, after_seq: int
) -> tuple[str, dict[str, object]]:
    """The query for what a replay would move now, and its values."""
    (app_id,) = existing(session.row("application_of_endpoint", {"endpoint_seq": endpoint_seq}))
    customer_keys = None if which.customer_key is None else [which.customer_key]
    values = {
        "app_id": app_id,
        "endpoint_seq": endpoint_seq,
        "task_seq": -1,  # none
        "after_seq": after_seq,
        "until_seq": _ABOVE_ALL,
        "customer_keys": customer_keys,
    }
    return _replayable(which, customer_keys), _filter_values(which) | values


def _count(session: Session, endpoint_seq: int, which: ReplayFilter) -> ReplayCount:
    name, values = _selection(session, endpoint_seq, which, 0)
    row = session.row(f"count_{name}", values)
    deliveries, earlier_ids, oldest_seq, customers, overtaken = existing(row)
    accepted = session.row("accepted_at", {"seq": oldest_seq}) if deliveries else None
    return ReplayCount(
        deliveries=deliveries,
        customers=customers,
        overtaken=overtaken,
        earlier_ids=earlier_ids,
        oldest_accepted_at_ms=accepted[0] if accepted else None,
    )


def _work(session: Session, task_id: str, now_ms: int, limit: int, people: People | None) -> Task | None:
    found = session.row("task_to_move", {"id": task_id})
    task = None if found is None else _task(found)
    if task is None or task.status not in {TaskStatus.RUNNING, TaskStatus.CANCELING}:
        return task
    complete = msgspec.structs.replace(task, until_seq=min(task.until_seq, complete_seq(session)))
    if task.status is TaskStatus.RUNNING and complete.until_seq <= task.after_seq < task.until_seq:
        return task
    # Where few match the filter, the search needs most of the time.
    seen_seq = min(complete.until_seq, task.after_seq + replays.MAX_LOOK_MESSAGES)
    if task.status is TaskStatus.RUNNING and task.kind is TaskKind.PURGE:
        return _purge(session, task, seen_seq, now_ms, limit)
    if not session.lock(task.endpoint_seq, order_all=True):
        return task
    if task.status is TaskStatus.CANCELING:
        return _give_back(session, task, now_ms, limit)
    page = _select(session, task, places=(task.after_seq, seen_seq), limit=limit)
    if len(page) == limit:
        seen_seq = page[-1].message_seq
    together, left_seq = _with_customers(session, complete, page, limit)
    if left_seq is not None:
        seen_seq = left_seq - 1
    moved = _replay(session, task, together, now_ms, people)
    status = TaskStatus.RUNNING if seen_seq < task.until_seq else TaskStatus.FINISHED
    return _moved(session, task, status, seen_seq, task.moved + moved, now_ms)


def _purge(session: Session, task: Task, seen_seq: int, now_ms: int, limit: int) -> Task:
    of = {"app_id": task.app_id, "after_seq": task.after_seq, "until_seq": seen_seq, "limit": limit}
    page = [seq for (seq,) in session.rows("messages_to_purge", of)]
    if page:
        expunge(session, page, now_ms)
    if len(page) == limit:
        seen_seq = page[-1]
    of_facts = {"app_id": task.app_id, "until_ms": task.created_at_ms, "limit": limit}
    is_done = seen_seq >= task.until_seq and session.run("forget_facts_of_application", of_facts) < limit
    status = TaskStatus.FINISHED if is_done else TaskStatus.RUNNING
    return _moved(session, task, status, seen_seq, task.moved + len(page), now_ms)


def _with_customers(
    session: Session, task: Task, page: Sequence[_Found], limit: int
) -> tuple[list[_Found], int | None]:
    """What is moved together: the first delivery of each customer, with all that the task finds of the customer from
    there on, since nothing of theirs may come in between, and deliveries without a customer; up to the customer with
    whom they are `limit`. And the message of the page at which the next step has to begin.
    """
    firsts: dict[_Found | str, _Found] = {}
    for item in page:
        firsts.setdefault(item if item.customer_key is None else item.customer_key, item)
    chosen, left = _readable(session, task, list(firsts.values()))
    customer_keys = [item.customer_key for item in chosen if item.customer_key is not None]
    of_customer: dict[str | None, list[_Found]] = {}
    if customer_keys:
        places = (chosen[0].message_seq - 1, task.until_seq)
        # All of theirs on the page are among them: what is cut off lies behind it.
        most = max(replays.MAX_BEHIND_A_PAGE, len(page))
        for item in _select(session, task, places=places, limit=most, customer_keys=customer_keys):
            of_customer.setdefault(item.customer_key, []).append(item)
    together: list[_Found] = []
    for first in chosen:
        if len(together) >= limit:
            return together, first.message_seq
        together += [first] if first.customer_key is None else of_customer[first.customer_key]
    return together, left[0].message_seq if left else None


def _readable(session: Session, task: Task, firsts: list[_Found]) -> tuple[list[_Found], list[_Found]]:
    """Those first deliveries whose customers' messages one step may read, and the others."""
    values = {
        "app_id": task.app_id,
        "customer_keys": [item.customer_key for item in firsts if item.customer_key is not None],
        "after_seq": firsts[0].message_seq - 1 if firsts else 0,
        "until_seq": task.until_seq,
        "limit": _MESSAGES_AT_ONCE,
    }
    messages = {str(key): int(count) for key, count in session.rows("count_behind", values)}
    together = 0
    for number, item in enumerate(firsts):
        together += 1 if item.customer_key is None else messages[item.customer_key]
        if together > _MESSAGES_AT_ONCE and number > 0:
            return firsts[:number], firsts[number:]
    return firsts, []


def _replay(session: Session, task: Task, found: Iterable[_Found], now_ms: int, people: People | None) -> int:
    seqs = [item.message_seq for item in found]
    values = {
        "message_seqs": seqs,
        "order_keys": order_keys(session, people, task.endpoint_seq, seqs),
        "endpoint_seq": task.endpoint_seq,
        "now_ms": now_ms,
        "new_ids": task.new_ids,
        "edition": int(task.new_ids),
        "replay_key": task.id if task.new_ids else "",
        "task_seq": task.seq,
    }
    return session.run("replay_deliveries", values)


def _give_back(session: Session, task: Task, now_ms: int, limit: int) -> Task:
    untried = [_Found(*row) for row in session.rows("untried_of_replay", {"task_seq": task.seq, "limit": limit})]
    given_back = give_back(session, [item.message_seq for item in untried], task.endpoint_seq)
    # A customer of whom more is to be given back waits for the rest: nothing of it is to be sent meanwhile.
    customer_keys = {item.customer_key for item in untried if item.customer_key is not None}
    of = {"task_seq": task.seq, "endpoint_seq": task.endpoint_seq, "customer_keys": sorted(customer_keys)}
    left = {customer_key for (customer_key,) in session.rows("untried_of_customers", of)}
    _free(session, task.endpoint_seq, [item for item in untried if item.customer_key not in left], now_ms)
    status = TaskStatus.CANCELING if len(untried) == limit else TaskStatus.CANCELED
    return _moved(session, task, status, task.after_seq, task.moved - given_back, now_ms)


def _moved(  # noqa: PLR0917 - a task's new state
    session: Session, task: Task, status: TaskStatus, after_seq: int, moved: int, now_ms: int
) -> Task:
    values = {"id": task.id, "status": status.value, "after_seq": after_seq, "moved": moved, "now_ms": now_ms}
    session.run("move_task", values)
    return msgspec.structs.replace(task, status=status, after_seq=after_seq, moved=moved, updated_at_ms=now_ms)


def _free(session: Session, endpoint_seq: int, found: Iterable[_Found], now_ms: int) -> None:
    """Lets their customers' next deliveries go."""
    free_next(session, [(endpoint_seq, item.customer_key) for item in found], now_ms)
