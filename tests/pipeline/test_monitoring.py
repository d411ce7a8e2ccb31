"""The table of faults in the documentation is right: each fault is seen where the table says."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from nicobar.errors import StoreError
from nicobar.pipeline import readiness
from nicobar.pipeline.configuration import seal_credentials, seal_source_secrets
from nicobar.pipeline.problems import HOUR_MS, LOOKS_TO_TELL
from nicobar.sandbox import children, pool
from pipeline.test_problems import OTHER, Waiting, watched
from pipeline.test_readiness import metric, ready, store_row
from support.handlers import ORDER_PAID
from support.store import FULL, failing_store

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "monitor.md").read_text("utf-8")
ROWS = {
    cells[0]: cells
    for line in PAGE.partition("## What each fault looks like")[2].splitlines()
    if line.startswith("| ") and len(cells := [cell.strip() for cell in line.strip("| ").split(" | ")]) == 7
}
del ROWS["fault"]
Fault = Callable[..., AbstractAsyncContextManager[None]]


@asynccontextmanager
async def store_that_fails(nicobar, _monkeypatch, promise: str = "check") -> AsyncIterator[None]:
    with failing_store(nicobar.runtime.store, promise, FULL), failing_store(nicobar.runtime.store, "append", FULL):
        yield


@asynccontextmanager
async def store_that_hangs(nicobar, monkeypatch) -> AsyncIterator[None]:
    """As a server that takes requests and never responds."""
    released = asyncio.Event()

    async def hang(*_arguments: object, **_named: object) -> None:
        await released.wait()

    with monkeypatch.context() as patch, failing_store(nicobar.runtime.store, "append", FULL):
        patch.setattr(readiness, "READY_TIMEOUT_MS", 10)
        patch.setattr(nicobar.runtime.store, "check", hang)
        yield
    released.set()


@asynccontextmanager
async def damage(nicobar, _monkeypatch) -> AsyncIterator[None]:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    with failing_store(nicobar.runtime.store, "append", nicobar.runtime.store._database.errors.note(error)):
        yield


@asynccontextmanager
async def replaced_file(nicobar, _monkeypatch) -> AsyncIterator[None]:
    path = nicobar.runtime.settings.data_dir / "nicobar.db"
    aside = path.with_name("aside.db")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


@asynccontextmanager
async def low_disk(_nicobar, monkeypatch) -> AsyncIterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=100, free=4))
        yield


@asynccontextmanager
async def foreign_source(nicobar, _monkeypatch) -> AsyncIterator[None]:
    (source,) = nicobar.runtime.configuration.snapshot.sources
    store_row(nicobar, "UPDATE sources SET sealed_secrets = ?", seal_source_secrets(OTHER, source.id, ["whsec_x"]))
    await nicobar.runtime.configuration.refresh()
    yield


@asynccontextmanager
async def foreign_endpoint(nicobar, _monkeypatch) -> AsyncIterator[None]:
    (endpoint,) = nicobar.runtime.configuration.snapshot.endpoints
    store_row(nicobar, "UPDATE endpoints SET sealed_credentials = ?", seal_credentials(OTHER, endpoint.id, {}))
    await nicobar.runtime.configuration.refresh()
    yield


@asynccontextmanager
async def no_handlers(_nicobar, _monkeypatch) -> AsyncIterator[None]:
    """From the start: a handler process that runs keeps running."""
    yield


@asynccontextmanager
async def unread_queue(nicobar, _monkeypatch) -> AsyncIterator[None]:
    lanes = nicobar.runtime.worker.failing_lanes
    nicobar.runtime.worker.failing_lanes = lambda: {"customerio": "The disk is full."}
    yield
    nicobar.runtime.worker.failing_lanes = lanes


@asynccontextmanager
async def ended_task(nicobar, _monkeypatch) -> AsyncIterator[None]:
    ended = asyncio.create_task(asyncio.sleep(0), name="retention")
    await ended
    nicobar.runtime._tasks.append(ended)
    yield
    nicobar.runtime._tasks.remove(ended)


@asynccontextmanager
async def old_event(nicobar, _monkeypatch) -> AsyncIterator[None]:
    runtime = nicobar.runtime
    runtime.store.waiting_since = Waiting(runtime.clock.now_ms() - 2 * HOUR_MS).waiting_since
    yield


@asynccontextmanager
async def wrong_secret(nicobar, _monkeypatch) -> AsyncIterator[None]:
    wrong = {"webhook-id": "evt_1", "webhook-timestamp": "1", "webhook-signature": "v1,x"}
    for _ in range(3):
        assert (await nicobar.send(b"{}", headers=wrong))[0] == 401
    yield


FAULTS: dict[str, Fault] = {
    "Disk full, read-only or failing": store_that_fails,
    "Disk nearly full": low_disk,
    "Database damaged": damage,
    "Database files deleted or replaced": replaced_file,
    "PostgreSQL unreachable or hanging": store_that_hangs,
    "Source cannot be used": foreign_source,
    "Endpoint cannot be used": foreign_endpoint,
    "Wrong signing secret": wrong_secret,
    "Handlers cannot run": no_handlers,
    "Queue cannot be read": unread_queue,
    "Background task ended": ended_task,
    "Events wait for too long": old_event,
}
# Faults that these tests produce.
TESTED_IN = {
    "Database locked by another process": "e2e/test_readiness.py",
    "Limit of open files reached": "store/test_sqlite.py",
    "Key missing or foreign": "e2e/test_keys.py",
    "Clock wrong by over 5 minutes": "pipeline/test_clock_changes.py",
    "Destination down": "pipeline/test_breaker.py",
    "Another server responds in its place": "pipeline/test_breaker.py",
    "Credentials rejected": "pipeline/test_holds.py",
    "Delivery failed permanently": "pipeline/test_alerts.py",
    "Second worker of a SQLite file": "pipeline/test_standby.py",
}
# Here a fake takes the place of the part that logs these.
NOT_LOGGED_HERE = {"Queue cannot be read", "Events wait for too long"}


def test_every_fault_of_the_table_is_tested():
    assert set(ROWS) == FAULTS.keys() | TESTED_IN.keys()
    for path in TESTED_IN.values():
        assert (ROOT / "tests" / path).is_file()


def test_every_log_event_of_the_table_exists():
    code = "".join(path.read_text("utf-8") for path in (ROOT / "src" / "nicobar").rglob("*.py"))
    known = set(re.findall(r'\blog\.\w+\(\s*"([^"]+)"', code))
    named = {event for cells in ROWS.values() for event in re.findall(r"`([^`]+)`", cells[4])}
    assert named <= known


@pytest.mark.parametrize("name", FAULTS)
async def test_fault_is_seen_where_the_table_says(tmp_path, monkeypatch, name):
    with capture_logs() as log:
        probe = await _see_fault(tmp_path, monkeypatch, name)
    if name in NOT_LOGGED_HERE:
        return
    (event,) = re.findall(r"`([^`]+)`", ROWS[name][4])
    lines = [line for line in log if line["event"] == event]
    assert lines
    if event == "readiness":
        assert set(re.findall(r"`(\w+)`", probe)) <= {line["part"] for line in lines}


async def _see_fault(tmp_path, monkeypatch, name: str) -> str:
    """Brings the fault about; returns what the table says about the probe."""
    _, senders, probe, metric_cell, _, alert, _ = ROWS[name]
    own_sandbox = FAULTS[name] is no_handlers
    if own_sandbox:
        monkeypatch.setattr(children, "STARTER", ("/nowhere/python",))
    async with watched(tmp_path, ORDER_PAID, own_sandbox=own_sandbox) as (nicobar, problems, told):
        runtime = nicobar.runtime
        runtime.alerts.tell = told.tell
        if own_sandbox:
            monkeypatch.setattr(problems, "_readiness", runtime.readiness(pool.SandboxPool(children=1)))
        async with FAULTS[name](nicobar, monkeypatch):
            for _ in range(LOOKS_TO_TELL):
                with suppress(StoreError):  # of the backlog; `run` logs it
                    await problems.look()
            status, parts = await ready(nicobar)
            told_types = told.types()
            (metric_name,) = re.findall(r"`(\w+)`", metric_cell)
            if senders != "401":
                sent, _ = await nicobar.send_sample("payment.succeeded", "evt_2")
                assert str(sent) == senders
            lines = await metric(nicobar, metric_name)
        assert str(status) == probe.split()[0]
        for part in re.findall(r"`(\w+)`", probe):
            assert parts[part][0] != "ok"
        assert any(not line.endswith(" 0.0") for line in lines), lines
        assert told_types == re.findall(r"`([\w.]+)`", alert)
    return probe
