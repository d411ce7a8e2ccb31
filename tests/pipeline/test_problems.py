"""What stops the work is told to the operators: each fault, and its end."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import asynccontextmanager
from types import SimpleNamespace

import msgspec
import pytest
from structlog.testing import capture_logs

from contracts.test_stores import endpoint, message
from nicobar.crypto import Vault
from nicobar.errors import StoreUnavailable
from nicobar.metrics import Metrics
from nicobar.model import AlertTarget, TargetKind
from nicobar.pipeline.alert_outbox import Outbox
from nicobar.pipeline.alert_targets import Address, seal_address
from nicobar.pipeline.alert_types import Alert, AlertType
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.configuration import seal_credentials, seal_source_secrets
from nicobar.pipeline.problems import BACKLOG_EVERY_MS, HOUR_MS, LOOKS_TO_TELL, Problems
from nicobar.reasons import reason
from nicobar.sandbox import children, pool
from nicobar.store import PauseEndpoint, PutAlertTarget
from nicobar.use_cases.endpoints import pause_reason
from pipeline.test_readiness import store_row
from support.clock import MovingClock
from support.handlers import ORDER_PAID
from support.server import running
from support.shared import SANDBOX
from support.store import STORES, drop_store, failing_store, open_store

OTHER = Vault(b"o" * 32)


class Told:
    """The alerts that were told, instead of their sender."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.outbox = SimpleNamespace(sent=0, lost=0, waiting=0)

    async def tell(self, alert: Alert) -> None:
        self.alerts.append(alert)

    async def latest(self) -> dict[str, str]:
        return {}

    ends = staticmethod(Alerts.ends)

    async def keep_results(self) -> None:
        """Nothing is sent."""

    def types(self) -> list[str]:
        found, self.alerts = [alert.type.value for alert in self.alerts], []
        return found


@asynccontextmanager
async def watched(tmp_path, handler=None, **settings):
    """A running Nicobar, its problems and what they tell. Each look is a test's own."""
    async with running(tmp_path, handler, **settings) as nicobar:
        runtime, told = nicobar.runtime, Told()
        readiness = runtime.readiness(await SANDBOX.get())
        problems = Problems(
            readiness=readiness,
            store=runtime.store,
            configuration=runtime.configuration,
            alerts=told,
            clock=runtime.clock,
            host="db1",
            backlog_limit_ms=HOUR_MS,
        )
        try:
            yield nicobar, problems, told
        finally:
            await readiness.close()


async def looks(problems: Problems) -> None:
    for _ in range(LOOKS_TO_TELL):
        await problems.look()


async def test_a_healthy_process_tells_nothing(tmp_path):
    async with watched(tmp_path, ORDER_PAID) as (_, problems, told):
        for _ in range(3):
            await looks(problems)
        assert told.types() == []


async def test_store_that_fails_once_is_no_problem(tmp_path):
    async with watched(tmp_path) as (nicobar, problems, told):
        with failing_store(nicobar.runtime.store, "check"):
            await problems.look()
        await looks(problems)
        assert told.types() == []


async def test_store_that_cannot_be_written_is_told_until_it_can(tmp_path):
    async with watched(tmp_path) as (nicobar, problems, told):
        with failing_store(nicobar.runtime.store, "check"):
            await looks(problems)
            await looks(problems)
            (alert,) = told.alerts
            assert (alert.type.value, alert.host) == ("store.failing", "db1")
            assert "The disk is full." in alert.text
            told.types()
            told.outbox.sent, told.outbox.lost = 3, 1
        await looks(problems)
        (alert,) = told.alerts
        assert alert.type.value == "store.recovered"
        assert "Alerts sent meanwhile: 3, lost: 1." in alert.text


async def test_damaged_database_is_told_at_once_and_once(tmp_path):
    async with watched(tmp_path) as (nicobar, problems, told):
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        nicobar.runtime.store._database.errors.note(error)
        for _ in range(3):
            await problems.look()
        (alert,) = told.alerts
        assert alert.type.value == "store.damaged"
        assert "malformed" in alert.text


async def test_nearly_full_disk_is_told_until_it_has_space(tmp_path, monkeypatch):
    async with watched(tmp_path) as (_, problems, told):
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=100, free=4))
            await looks(problems)
            assert told.types() == ["disk.low"]
        await looks(problems)
        assert told.types() == ["disk.recovered"]


async def test_sandbox_that_cannot_start_is_told(tmp_path, monkeypatch):
    async with watched(tmp_path) as (_, problems, told):
        with monkeypatch.context() as patch:
            patch.setattr(children, "STARTER", ("/nowhere/python",))
            broken = pool.SandboxPool(children=1)
            problems._readiness._sandbox = broken
            await looks(problems)
            assert told.types() == ["sandbox.failing"]
        problems._readiness._sandbox = await SANDBOX.get()
        await looks(problems)
        assert told.types() == ["sandbox.recovered"]


async def test_background_task_that_ended_is_told(tmp_path):
    async with watched(tmp_path) as (nicobar, problems, told):
        ended = asyncio.create_task(asyncio.sleep(0), name="retention")
        await ended
        nicobar.runtime._tasks.append(ended)
        await looks(problems)
        (alert,) = told.alerts
        assert alert.type.value == "process.failing"
        assert "retention" in alert.text


@pytest.mark.parametrize("what", ["source", "endpoint"])
async def test_what_cannot_be_opened_is_told_until_it_can(tmp_path, what):
    async with watched(tmp_path, ORDER_PAID) as (nicobar, problems, told):
        configuration = nicobar.runtime.configuration
        if what == "source":
            (item,) = configuration.snapshot.sources
            table, column, value = "sources", "sealed_secrets", seal_source_secrets(OTHER, item.id, ["whsec_x"])
        else:
            (item,) = configuration.snapshot.endpoints
            table, column, value = "endpoints", "sealed_credentials", seal_credentials(OTHER, item.id, {})
        store_row(nicobar, f"UPDATE {table} SET {column} = ?", value)
        await configuration.refresh()
        await problems.look()
        await problems.look()
        assert told.types() == [f"{what}.unusable"]
        store_row(nicobar, f"UPDATE {table} SET {column} = ?", getattr(item, column))
        await configuration.refresh()
        await problems.look()
        assert told.types() == [f"{what}.usable"]


def told_in(log) -> list[str]:
    return sorted(line["alert"] for line in log if line["event"] == "alert")


async def test_process_that_starts_tells_the_end_of_what_it_does_not_have(tmp_path, monkeypatch):
    async with watched(tmp_path, ORDER_PAID) as (nicobar, problems, _):
        runtime = nicobar.runtime
        (source,), (endpoint,) = runtime.configuration.snapshot.sources, runtime.configuration.snapshot.endpoints
        earlier, problems._alerts = (
            Alerts(
                store=runtime.store,
                configuration=runtime.configuration,
                vault=runtime.vault,
                clock=runtime.clock,
                ids=runtime.ids,
                metrics=Metrics(),
            )
            for _ in range(2)
        )
        why = reason("x", "x")
        await earlier.tell(Alert(type=AlertType.DISK_LOW, reason=why, host="db1"))
        await earlier.tell(Alert(type=AlertType.SOURCE_UNUSABLE, reason=why, source=source))
        await earlier.tell(Alert(type=AlertType.BACKLOG_OLD, reason=why, endpoint=endpoint, cause="24"))
        with capture_logs() as log:
            await looks(problems)
        assert told_in(log) == ["backlog.recovered", "disk.recovered", "source.usable"]
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=100, free=4))
        with capture_logs() as log:
            await looks(problems)
        assert told_in(log) == ["disk.low"], "the same as before the start, within the hour"


class Waiting:
    """A store whose only endpoint has an event that waits since then."""

    def __init__(self, since_ms: int | None) -> None:
        self.since_ms = since_ms

    async def waiting_since(self, **_named: int) -> dict[int, int]:
        return {} if self.since_ms is None else {1: self.since_ms}


async def test_backlog_is_told_at_each_limit_and_at_its_end(tmp_path):
    async with watched(tmp_path, ORDER_PAID) as (nicobar, problems, told):
        clock = problems._clock = MovingClock()
        store = nicobar.runtime.store
        waiting = Waiting(clock.now_ms())
        store.waiting_since = waiting.waiting_since

        async def after(ms: int) -> list[str]:
            clock.move(ms)
            await problems.look()
            causes = [alert.cause for alert in told.alerts]
            return list(zip(told.types(), causes, strict=True))

        assert await after(HOUR_MS - 1) == []
        assert await after(BACKLOG_EVERY_MS) == [("backlog.old", "1")]
        assert await after(BACKLOG_EVERY_MS) == []
        assert await after(23 * HOUR_MS) == [("backlog.old", "24")]
        assert await after(36 * HOUR_MS) == [("backlog.old", "60")]
        waiting.since_ms = None
        assert await after(BACKLOG_EVERY_MS) == [("backlog.recovered", "")]
        (endpoint,) = nicobar.runtime.configuration.snapshot.endpoints
        await store.change([PauseEndpoint(endpoint_id=endpoint.id, reason=pause_reason(""), by_hand=True)])
        await nicobar.runtime.configuration.refresh()
        waiting.since_ms = clock.now_ms()
        assert await after(2 * HOUR_MS) == [], "who has paused it knows"
        assert await after(22 * HOUR_MS) == [("backlog.old", "24")]


async def test_unreadable_backlog_is_raised_after_the_other_alerts(tmp_path):
    async with watched(tmp_path) as (nicobar, problems, told):
        with failing_store(nicobar.runtime.store, "waiting_since"), pytest.raises(StoreUnavailable):
            await problems.look()
        assert told.types() == []


@pytest.mark.parametrize("database", STORES)
async def test_scheduled_message_does_not_wait_before_its_time(tmp_path, database):
    store = await open_store(tmp_path, database=database)
    try:
        await store.change([await endpoint(store, "ep_1")])
        now_ms = 1_700_000_000_000
        scheduled = msgspec.structs.replace(
            message(1), deliver_at_ms=now_ms + HOUR_MS, accepted_at_ms=now_ms - HOUR_MS
        )
        await store.append(scheduled)
        assert await store.waiting_since(now_ms=now_ms) == {}
        assert await store.waiting_since(now_ms=now_ms + HOUR_MS) == {1: now_ms + HOUR_MS}
        await store.append(message(2))
        assert await store.waiting_since(now_ms=now_ms) == {1: message(2).accepted_at_ms}
    finally:
        await store.close()
        drop_store(tmp_path)


async def test_running_process_looks_by_itself_and_sends(tmp_path):
    async with running(tmp_path, None) as nicobar:
        runtime = nicobar.runtime
        assert {"problems"} <= {task.get_name() for task in runtime._tasks}
        assert isinstance(runtime.alerts.outbox, Outbox)
        sealed = seal_address(runtime.vault, "alt_1", Address(address=f"{nicobar.emulator.url}/hook"))
        hook = AlertTarget(id="alt_1", name="ops", kind=TargetKind.WEBHOOK, sealed=sealed)
        await runtime.store.change([PutAlertTarget(target=hook)])
        await runtime.configuration.refresh()
        (kept,) = runtime.configuration.snapshot.alert_targets
        assert kept == hook
        result = await runtime.alerts.test_target(kept)
        assert result.reason.code == "status", "the emulator has no such path"
