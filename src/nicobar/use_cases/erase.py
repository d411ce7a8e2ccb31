"""Deletes personal data, from the database's log as well; where a reader prevents that, the next cleanup does it."""

from __future__ import annotations

import msgspec

from nicobar.audit import AuditAction
from nicobar.model import Message, Record
from nicobar.store import NewTask, Task, TaskKind
from nicobar.use_cases.edit import Actor, OperationServices, audit_line
from nicobar.use_cases.erase_report import Report, erase_elsewhere, values_in, values_of

STEP_MESSAGES = 200
MAX_STEPS = 50
# What is searched for elsewhere takes time by its number.
MAX_FACTS = 1_000


async def expunge_message(services: OperationServices, actor: Actor, message: Message) -> bool:
    """Deletes a message's payload and its copies in attempts; pending deliveries are canceled. Returns False
    where there was nothing to delete.
    """
    line = audit_line(services, actor, AuditAction.MESSAGE_EXPUNGE, message.id, app_id=message.app_id)
    deleted = await services.store.expunge_message(message.id, now_ms=services.clock.now_ms(), audit_line=line)
    await services.store.clear_log()
    return deleted


async def expunge_attempt(services: OperationServices, actor: Actor, app_id: str, attempt_id: str) -> None:
    """Deletes what the destination answered to an attempt."""
    line = audit_line(services, actor, AuditAction.ATTEMPT_EXPUNGE, attempt_id, app_id=app_id)
    await services.store.expunge_attempt(attempt_id, audit_line=line)
    await services.store.clear_log()


class Erased(Record):
    """`messages` is how many there were; `report` is None while some are left."""

    messages: int
    report: Report | None


async def expunge_customer(services: OperationServices, actor: Actor, app_id: str, customer_key: str) -> Erased:
    """Deletes a customer's data, STEP_MESSAGES * MAX_STEPS messages at most, and looks for what identifies the
    customer in everything else.
    """
    # The line does not name the customer: the key is deleted too.
    line = audit_line(services, actor, AuditAction.CUSTOMER_EXPUNGE, app_id, app_id=app_id)
    store, messages, done = services.store, 0, False
    values = values_in(await store.facts_of_customer(app_id, customer_key, limit=MAX_FACTS))
    for _ in range(MAX_STEPS):
        bodies = await store.bodies_of_customer(app_id, customer_key, after_seq=0, limit=STEP_MESSAGES)
        values |= values_of(customer_key, bodies)
        step = await store.expunge_customer(
            app_id, customer_key, now_ms=services.clock.now_ms(), limit=STEP_MESSAGES, audit_line=line
        )
        messages += step
        done = step < STEP_MESSAGES
        if done:
            break
    # What is masked may be in the audit log itself, so who asked for it is known, with messages or without.
    alone = None if messages else msgspec.structs.replace(line, detail="0 messages")
    report = await erase_elsewhere(store, app_id, values, services.clock.now_ms(), audit_line=alone)
    return Erased(messages=messages, report=report if done else None)


async def expunge_application(services: OperationServices, actor: Actor, app_id: str) -> Task:
    """Starts a task that deletes the payloads of all messages that the application has now."""
    task_id = services.ids.new("qtask")
    return await services.store.add_task(
        NewTask(id=task_id, app_id=app_id, kind=TaskKind.PURGE, created_at_ms=services.clock.now_ms()),
        audit_line=audit_line(services, actor, AuditAction.APPLICATION_PURGE, app_id, app_id=app_id, detail=task_id),
    )
