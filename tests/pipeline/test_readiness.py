"""What cannot be opened, claimed or run: senders are told to retry, deliveries wait, `/readyz` names the part."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import asynccontextmanager, closing
from types import SimpleNamespace

import pytest

from nicobar.crypto import Vault
from nicobar.errors import StoreUnavailable
from nicobar.model import DeliveryState
from nicobar.pipeline import backlog_gauges
from nicobar.pipeline.configuration import seal_credentials, seal_source_secrets
from nicobar.runtime import run
from nicobar.sandbox import children
from nicobar.settings import Role, Settings
from nicobar.store import RemoveEndpoint
from nicobar.store.queue import Backlog
from support.handlers import ORDER_PAID
from support.patience import PATIENCE_S
from support.server import running
from support.store import failing_store

OTHER = Vault(b"o" * 32)


def store_row(nicobar, sql: str, *values: object) -> list[tuple]:
    """Changes the configuration behind the server's back; returns what it was told to read."""
    path = nicobar.runtime.settings.data_dir / "nicobar.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rows = connection.execute(sql, values).fetchall()
        connection.execute("UPDATE catalogue SET version = version + 1")
        return rows


async def ready(nicobar, query: str = "") -> tuple[int, dict[str, tuple[str, str]]]:
    async with nicobar.http.get(f"{nicobar.runtime.server.url}/readyz{query}") as answer:
        body = await answer.json()
        assert (body["status"] == "ready") is (answer.status == 200)
        assert (body.get("code"), bool(body.get("detail"))) == (
            (None, False) if answer.status == 200 else ("not_ready", True)
        )
        return answer.status, {item["name"]: (item["state"], item["detail"]) for item in body["parts"]}


async def metric(nicobar, name: str) -> list[str]:
    async with nicobar.http.get(f"{nicobar.runtime.server.url}/metrics") as answer:
        return [line for line in (await answer.text()).splitlines() if line.startswith(name)]


BROKEN_SOURCES = {
    "sealed with another key": ("sealed_secrets", lambda source: seal_source_secrets(OTHER, source.id, ["whsec_x"])),
    "cut": ("sealed_secrets", lambda source: source.sealed_secrets[:20]),
    "empty": ("sealed_secrets", lambda _: b""),
    "of an unknown kind": ("kind", lambda _: "carrier-pigeon"),
}


@pytest.mark.parametrize("how", [*BROKEN_SOURCES, "not a list", "not a secret"])
async def test_unusable_source_answers_503_and_loses_nothing(tmp_path, how):
    async with running(tmp_path, None) as nicobar:
        (source,) = nicobar.runtime.configuration.snapshot.sources
        if how == "not a list":
            column, value = "sealed_secrets", nicobar.runtime.vault.seal(b'{"a": "whsec_hidden"}', source.id)
        elif how == "not a secret":
            column, value = "sealed_secrets", seal_source_secrets(nicobar.runtime.vault, source.id, ["hidden!"])
        else:
            column, make = BROKEN_SOURCES[how]
            value = make(source)
        store_row(nicobar, f"UPDATE sources SET {column} = ?", value)
        await nicobar.runtime.configuration.refresh()
        async with nicobar.http.post(nicobar.url, data=b"{}") as answer:
            body = await answer.json()
            assert (answer.status, answer.headers["retry-after"]) == (503, "5"), body
            assert body["code"] == "source_unavailable"
            assert "hidden" not in body["detail"]
        assert await metric(nicobar, 'nicobar_source_unusable{source="dodo"} 1.0')
        status, parts = await ready(nicobar)
        assert (status, parts["sources"][0]) == (503, "failed"), "there is no other source"
        assert "dodo" in parts["sources"][1]
        kept = getattr(source, column)
        store_row(nicobar, f"UPDATE sources SET {column} = ?", kept)
        await nicobar.runtime.configuration.refresh()
        assert (await nicobar.send_sample("payment.succeeded", "evt_1"))[0] == 202
        assert not await metric(nicobar, "nicobar_source_unusable{")
        assert (await ready(nicobar))[0] == 200


async def test_one_broken_source_of_two_leaves_the_process_ready(tmp_path):
    async with running(tmp_path, None) as nicobar:
        store_row(
            nicobar,
            "INSERT INTO sources (id, app_id, name, kind, token, sealed_secrets, secret_references) "
            "SELECT id || 'x', app_id, 'broken', kind, token || 'x', sealed_secrets, secret_references FROM sources",
        )
        await nicobar.runtime.configuration.refresh()
        async with nicobar.http.post(f"{nicobar.url}x", data=b"{}") as answer:
            assert answer.status == 503
        status, parts = await ready(nicobar)
        assert (status, parts["sources"][0]) == (200, "degraded")
        assert (await nicobar.send_sample("payment.succeeded", "evt_1"))[0] == 202


async def test_unknown_token_is_503_while_the_catalogue_is_unreadable(tmp_path):
    async with running(tmp_path, None) as nicobar:
        with failing_store(nicobar.runtime.store, "version"):
            nicobar.runtime.configuration._checked_at_ms = None
            for _ in range(5):
                async with nicobar.http.post(nicobar.url + "x", data=b"{}") as answer:
                    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            assert (await nicobar.send_sample("payment.succeeded", "evt_1"))[0] == 202, "known sources work"
            status, parts = await ready(nicobar)
            assert (status, parts["catalogue"][0]) == (200, "degraded")
        await nicobar.runtime.configuration.refresh()
        async with nicobar.http.post(nicobar.url + "x", data=b"{}") as answer:
            assert answer.status == 404


async def test_a_malformed_catalogue_keeps_the_last_good_one(tmp_path):
    async with running(tmp_path, None) as nicobar:
        store_row(nicobar, "UPDATE sources SET content = '{'")
        with pytest.raises(StoreUnavailable):
            await nicobar.runtime.configuration.refresh()
        assert (await nicobar.send_sample("payment.succeeded", "evt_1"))[0] == 202
        assert (await ready(nicobar))[1]["catalogue"][0] == "degraded"


@pytest.mark.parametrize("how", ["another key", "malformed credentials", "unknown connector", "missing credential"])
async def test_deliveries_of_an_unusable_endpoint_wait_visibly(tmp_path, how):
    async with running(tmp_path, ORDER_PAID) as nicobar:
        runtime = nicobar.runtime
        (endpoint,) = runtime.configuration.snapshot.endpoints
        column, value = {
            "another key": ("sealed_credentials", seal_credentials(OTHER, endpoint.id, {})),
            "malformed credentials": ("sealed_credentials", runtime.vault.seal(b"[1]", endpoint.id)),
            "unknown connector": ("connector", "carrier-pigeon"),
            "missing credential": ("sealed_credentials", seal_credentials(runtime.vault, endpoint.id, {})),
        }[how]
        store_row(nicobar, f"UPDATE endpoints SET {column} = ?", value)
        await runtime.configuration.refresh()
        assert (await nicobar.send_sample("payment.succeeded", "evt_1"))[0] == 202
        assert await metric(nicobar, 'nicobar_endpoint_unusable{endpoint="customerio"} 1.0')
        assert await metric(nicobar, 'nicobar_backlog_deliveries{endpoint="customerio"} 1.0')
        status, parts = await ready(nicobar)
        assert (status, parts["endpoints"][0]) == (200, "failed")
        assert "customerio" in parts["endpoints"][1]
        assert (await ready(nicobar, "?delivery=1"))[0] == 503
        store_row(nicobar, f"UPDATE endpoints SET {column} = ?", getattr(endpoint, column))
        await runtime.configuration.refresh()
        assert (await nicobar.next_recorded()).attempt.state is DeliveryState.SUCCESS
        assert (await ready(nicobar, "?delivery=1"))[0] == 200


async def test_a_deleted_endpoint_has_no_backlog_any_more(tmp_path):
    async with running(tmp_path, ORDER_PAID) as nicobar:
        runtime = nicobar.runtime
        (endpoint,) = runtime.configuration.snapshot.endpoints
        assert await metric(nicobar, 'nicobar_backlog_deliveries{endpoint="customerio"} 0.0')
        await runtime.store.change([RemoveEndpoint(endpoint_id=endpoint.id)])
        await runtime.configuration.refresh()
        assert not await metric(nicobar, 'nicobar_backlog_deliveries{endpoint="customerio"}')
        assert not await metric(nicobar, 'nicobar_backlog_oldest_age_seconds{endpoint="customerio"}')


async def until(nicobar, part: str, state: str) -> int:
    """Asks until a part is in this state; returns the status of that answer."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            status, parts = await ready(nicobar)
            if parts[part][0] == state:
                return status


async def test_claims_that_fail_are_not_ready_until_one_succeeds(tmp_path):
    async with running(tmp_path, ORDER_PAID) as nicobar:
        with failing_store(nicobar.runtime.store, "claim"):
            assert await until(nicobar, "claims", "failed") == 503
            assert "The disk is full." in (await ready(nicobar))[1]["claims"][1]
        assert await until(nicobar, "claims", "ok") == 200


async def test_a_lane_whose_task_ended_is_not_ready(tmp_path):
    async with running(tmp_path, ORDER_PAID) as nicobar:
        worker = nicobar.runtime.worker
        async with asyncio.timeout(PATIENCE_S):
            while not worker._lanes:
                await asyncio.sleep(0)
        (task,) = set(worker._running.values()) - set(worker.tasks)
        task.cancel()
        await asyncio.wait([task])
        status, parts = await ready(nicobar)
        assert (status, parts["claims"][0]) == (503, "failed")
        assert "customerio" in parts["claims"][1]


async def test_a_background_task_that_ended_counts_for_delivery(tmp_path):
    async with running(tmp_path, None) as nicobar:
        tasks = [*nicobar.runtime._tasks, *nicobar.runtime.worker.tasks]
        assert {"retention", "replays", "rejected requests"} <= {task.get_name() for task in tasks}
        ended = asyncio.create_task(asyncio.sleep(0), name="retention")
        await ended
        nicobar.runtime._tasks.append(ended)
        status, parts = await ready(nicobar)
        assert (status, parts["tasks"][0]) == (200, "failed")
        assert "retention" in parts["tasks"][1]
        assert (await ready(nicobar, "?delivery=1"))[0] == 503


@asynccontextmanager
async def without_an_interpreter(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(children, "STARTER", ("/nowhere/python",))
        yield


async def test_broken_sandbox_is_reported_and_events_are_stored(tmp_path, monkeypatch):
    async with without_an_interpreter(monkeypatch), running(tmp_path, ORDER_PAID, own_sandbox=True) as nicobar:
        status, parts = await ready(nicobar)
        assert (status, parts["sandbox"][0]) == (200, "failed")
        assert (await ready(nicobar, "?delivery=1"))[0] == 503
        assert (await nicobar.send_sample("payment.succeeded", "evt_1"))[0] == 202


async def test_a_worker_without_handlers_is_not_ready(tmp_path, monkeypatch):
    settings = Settings(port=0, data_dir=tmp_path, role=Role.WORKER, sandbox_children=1)
    async with running(tmp_path / "beside", None) as nicobar, run(settings, origins={"port": "--port"}) as runtime:
        nicobar.runtime = runtime
        assert (await ready(nicobar))[0] == 200
    async with (
        without_an_interpreter(monkeypatch),
        running(tmp_path / "beside", None) as nicobar,
        run(settings, origins={"port": "--port"}) as runtime,
    ):
        nicobar.runtime = runtime
        status, parts = await ready(nicobar)
        assert (status, parts["sandbox"][0]) == (503, "failed")


async def test_web_process_is_ready_without_handlers(tmp_path, monkeypatch):
    async with (
        without_an_interpreter(monkeypatch),
        running(tmp_path, None, own_sandbox=True, role=Role.WEB) as nicobar,
    ):
        status, parts = await ready(nicobar)
        assert (status, parts["sandbox"][0]) == (200, "failed")
        assert "claims" not in parts


@pytest.mark.parametrize(("free", "state"), [(6, "ok"), (4, "degraded")])
async def test_little_free_disk_is_named_and_stops_nothing(tmp_path, monkeypatch, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=100, free=free))
    async with running(tmp_path, None) as nicobar:
        status, parts = await ready(nicobar, "?delivery=1")
        assert (status, parts["disk"][0]) == (200, state)


async def test_rejected_append_is_reported_until_one_succeeds(tmp_path):
    async with running(tmp_path, None) as nicobar:
        connection = nicobar.runtime.store._database._writer.connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        large = b'{"type":"a","data":"' + b"x" * 100_000 + b'"}'
        assert (await nicobar.send(large))[0] == 503
        status, parts = await ready(nicobar)
        assert (status, parts["store"][0]) == (503, "failed"), "though one row of the catalogue fits"
        assert "Free space" in parts["store"][1]
        connection.execute("PRAGMA max_page_count = 1000000")
        assert (await nicobar.send(large))[0] == 202
        assert (await ready(nicobar))[0] == 200


async def test_requests_that_come_at_once_share_one_look(tmp_path, monkeypatch):
    async with running(tmp_path, None) as nicobar:
        store = nicobar.runtime.store
        checks = []
        real = store.check

        async def counted() -> None:
            checks.append(1)
            await real()

        monkeypatch.setattr(store, "check", counted)
        answers = await asyncio.gather(*(ready(nicobar) for _ in range(10)))
        assert {status for status, _ in answers} == {200}
        assert len(checks) < 50


@pytest.mark.parametrize("how", ["hangs", "fails"])
async def test_metrics_without_the_backlog_while_the_database_cannot_be_read(tmp_path, monkeypatch, how):
    released, readings = asyncio.Event(), []

    async def read() -> list[Backlog]:
        readings.append(how)
        if how == "fails":
            raise StoreUnavailable("store_failing", "The database cannot be read.")
        await released.wait()
        return []

    async with running(tmp_path, ORDER_PAID) as nicobar:
        assert await metric(nicobar, "nicobar_backlog_deliveries{")
        monkeypatch.setattr(backlog_gauges, "BACKLOG_TIMEOUT_MS", 10)
        monkeypatch.setattr(nicobar.runtime.backlog_gauges._reading, "_work", read)
        for _ in range(3):
            assert await metric(nicobar, "nicobar_backlog_") == []
            assert await metric(nicobar, "nicobar_endpoints_held")
        assert len(readings) == (1 if how == "hangs" else 6), "requests share one reading that hangs"
        released.set()
        monkeypatch.undo()
        await nicobar.runtime.backlog_gauges.close()
        monkeypatch.setattr(nicobar.runtime.backlog_gauges._reading, "_work", nicobar.runtime.store.backlog)
        assert await metric(nicobar, "nicobar_backlog_deliveries{")
