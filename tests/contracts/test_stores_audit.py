"""What every store promises about the audit log: a change and its line are one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint, message
from nicobar.errors import NicobarError
from nicobar.model import DeliveryState
from nicobar.reasons import plain
from nicobar.store import Audited, NewTask, ReplayFilter, TaskKind
from nicobar.store.history import AuditFilter

SAID = Audited(at_ms=1, actor="somebody", action="thing.change", app_id=None, subject="thing", detail="why")
# The database refuses it.
UNSAYABLE = msgspec.structs.replace(SAID, actor=None)

Act = Callable[[Any, Audited], Awaitable[object]]


async def _start(store: Any, said: Audited) -> object:
    (app,) = (await store.snapshot()).applications
    task = NewTask(
        id="qtask_1",
        app_id=app.id,
        endpoint_seq=1,
        endpoint_id="ep_1",
        kind=TaskKind.RECOVER,
        filter=ReplayFilter(),
        new_ids=False,
        expected=1,
        created_at_ms=1,
    )
    return await store.add_task(task, audit_line=said)


async def _expunge_customer(store: Any, said: Audited) -> object:
    (app,) = (await store.snapshot()).applications
    return await store.expunge_customer(app.id, "cus_1", now_ms=200, limit=10, audit_line=said)


# None of them changes anything when it is done a second time.
ACTS: dict[str, Act] = {
    "resend": lambda store, said: store.resend("msg_1", "ep_1", now_ms=200, new_ids=False, audit_line=said),
    "cancel_pending": lambda store, said: store.cancel_pending(
        1, now_ms=200, limit=9, reason=plain("by hand"), audit_line=said
    ),
    "cancel_task": lambda store, said: store.cancel_task("qtask_0", now_ms=200, audit_line=said),
    "expunge_attempt": lambda store, said: store.expunge_attempt("atmpt_1", audit_line=said),
    "expunge_message": lambda store, said: store.expunge_message("msg_1", now_ms=200, audit_line=said),
    "expunge_customer": _expunge_customer,
    "append": lambda store, said: store.append(message(9), audit_line=said),
}


@pytest.fixture
async def store(store):
    """One message that failed, one that waits, and a replay that runs."""
    (app,) = (await store.snapshot()).applications
    await store.change([await endpoint(store, "ep_1")])
    for number in (1, 2):
        await store.append(msgspec.structs.replace(message(number), app_id=app.id))
    (one,) = await claim(store, limit=1)
    failed = done(one, DeliveryState.FAILED)
    await store.record(
        [msgspec.structs.replace(failed, attempt=msgspec.structs.replace(failed.attempt, response="Ada"))]
    )
    task = NewTask(
        id="qtask_0",
        app_id=app.id,
        endpoint_seq=1,
        endpoint_id="ep_1",
        kind=TaskKind.RECOVER,
        filter=ReplayFilter(),
        new_ids=False,
        expected=1,
        created_at_ms=1,
    )
    await store.add_task(task)
    return store


async def lines(store: Any) -> list[str]:
    return [item.detail for item in (await store.audit(AuditFilter(), limit=10)).items]


async def whole(store: Any) -> object:
    """All that an act could change."""
    return (
        [await store.message(f"msg_{number}") for number in (1, 2, 9)],
        [await store.deliveries(f"msg_{number}") for number in (1, 2, 9)],
        await store.attempts("msg_1", "ep_1"),
        await store.open_tasks(),
    )


@pytest.mark.parametrize("name", ACTS)
async def test_what_is_done_stands_in_the_log_once(store, name):
    before = await whole(store)
    await ACTS[name](store, SAID)
    assert await whole(store) != before
    assert len(await lines(store)) == 1
    await ACTS[name](store, SAID)
    assert len(await lines(store)) == 1


@pytest.mark.parametrize("name", ACTS)
async def test_what_cannot_stand_in_the_log_is_not_done(store, name):
    before = await whole(store)
    with pytest.raises(NicobarError):
        await ACTS[name](store, UNSAYABLE)
    assert (await whole(store), await lines(store)) == (before, [])


async def test_a_replay_is_asked_for_and_said_at_once(store):
    with pytest.raises(NicobarError):
        await _start(store, UNSAYABLE)
    assert await store.task("qtask_1") is None
    await _start(store, SAID)
    assert await store.task("qtask_1") is not None
    assert await lines(store) == ["why"]


async def test_what_takes_many_at_once_says_how_many(store):
    await store.cancel_pending(1, now_ms=200, limit=10, reason=plain("by hand"), audit_line=SAID)
    await _expunge_customer(store, SAID)
    assert await lines(store) == ["2 messages", "1 deliveries"]


async def test_the_log_is_no_change_of_the_configuration(store):
    version = await store.version()
    await store.resend("msg_1", "ep_1", now_ms=200, new_ids=False, audit_line=SAID)
    await store.add_audit_line(SAID)
    assert (await store.version(), len(await lines(store))) == (version, 2)
