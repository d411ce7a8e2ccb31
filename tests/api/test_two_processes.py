"""Two processes on one database change the same things at the same time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from nicobar.runtime import run
from nicobar.settings import Role, Settings
from nicobar.use_cases.request_limit import PERIOD_S
from support.api import Api, asking

PUBLIC = ["x-one", "x-other"]
ROUNDS = 25


@asynccontextmanager
async def two(directory, max_api_requests_per_s=10_000):
    """The APIs of a process with all roles and of a second one that only serves requests."""
    rate = {"max_api_requests_per_s": max_api_requests_per_s}
    beside = Settings(data_dir=directory, port=0, role=Role.WEB, sandbox_children=1, **rate)
    async with asking(directory, **rate) as first, run(beside) as second:
        assert second.server is not None
        yield first, Api(first.nicobar, second.server.url, first.token)


async def test_partial_changes_of_one_thing_do_not_undo_one_another(tmp_path):
    async with two(tmp_path) as (first, second):
        endpoint = (await first.ask("POST", f"{first.app}/endpoint", {"url": "https://shop.example/"})).body
        path = f"{first.app}/endpoint/{endpoint['id']}"
        for number in range(ROUNDS):
            answers = await asyncio.gather(
                first.ask("PATCH", path, {"description": f"{number}"}),
                second.ask("PATCH", path, {"metadata": {"number": f"{number}"}}),
                first.ask("PATCH", f"{path}/headers", {"headers": {"x-one": f"{number}"}, "public": PUBLIC}),
                second.ask("PATCH", f"{path}/headers", {"headers": {"x-other": f"{number}"}, "public": PUBLIC}),
                second.ask("PATCH", f"{path}/transformation", {"variables": {"NUMBER": f"{number}"}}),
                first.ask("POST", f"{path}/pause", {"reason": f"{number}"}),
            )
            assert {answer.status for answer in answers} <= {200, 204}, [answer.body for answer in answers]
            after = (await first.ask("GET", path)).body
            assert (after["description"], after["metadata"]) == (f"{number}", {"number": f"{number}"})
            headers = (await second.ask("GET", f"{path}/headers")).body["headers"]
            assert headers == {"x-one": f"{number}", "x-other": f"{number}"}
            variables = (await first.ask("GET", f"{path}/transformation")).body["variables"]
            assert variables == {"NUMBER": f"{number}"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/app/{}", {"name": "Acme"}),
        ("/api/v1/app/default/endpoint/{}", {"url": "https://shop.example/"}),
        ("/ingest/api/v1/source/{}", {"name": "{}", "type": "svix", "config": {"secret": "whsec_" + "a" * 32}}),
        ("/api/v1/event-type/{}", {"description": "An order."}),
    ],
)
async def test_two_processes_create_one_object_per_uid(tmp_path, path, body):
    async with two(tmp_path) as (first, second):
        for number in range(ROUNDS):
            sent = body | ({"name": f"shop-{number}"} if "ingest" in path else {})
            answers = await asyncio.gather(
                *(api.ask("PUT", path.format(f"shop-{number}"), sent) for api in (first, second, first, second))
            )
            assert sorted(answer.status for answer in answers) == [200, 200, 200, 201], [
                answer.body for answer in answers
            ]
            assert len({answer.body.get("id", answer.body.get("name")) for answer in answers}) == 1


async def test_a_change_that_always_conflicts_is_409_with_a_fix(tmp_path, monkeypatch):
    async with two(tmp_path) as (first, _):
        store = first.nicobar.runtime.store
        real = store.change

        async def overtaken(changes):
            await real([])
            return await real(changes)

        monkeypatch.setattr(store, "change", overtaken)
        refused = await first.ask("PATCH", first.app, {"name": "New"})
        assert (refused.status, refused.body["code"]) == (409, "changed_meanwhile")
        assert refused.body["detail"].endswith("Reload and repeat the change.")
        monkeypatch.undo()
        assert (await first.ask("GET", first.app)).body["name"] == "default"
        assert (await first.ask("GET", "/api/v1/audit-log")).body["data"] == []


async def granted(api, token):
    """How many requests are answered before one is rejected."""
    requests = 0
    while (await api.ask("GET", api.app, token=token)).status == 200:
        requests += 1
    return requests


async def test_the_rate_of_a_token_holds_across_processes(tmp_path):
    max_per_s = 5
    async with two(tmp_path, max_per_s) as (first, second):
        for _ in range(ROUNDS):  # a new period may begin in the middle of a round
            token = await first.make_token()
            assert await granted(first, token) >= max_per_s * PERIOD_S
            if await granted(second, token) < max_per_s * PERIOD_S:
                return
    pytest.fail("each process grants the whole rate")
