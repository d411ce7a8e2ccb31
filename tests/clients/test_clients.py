"""The real public clients of the Track API, against the emulator: what they call works, what they expect comes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from async_customerio import AsyncCustomerIO, AsyncCustomerIOError
from customerio import CustomerIO, CustomerIOException

from nicobar.emulator.app import create_app
from nicobar.emulator.certificate import write_certificate
from nicobar.emulator.state import State
from nicobar.web.serving import Server
from support.patience import PATIENCE_S

NODE = Path(__file__).parent / "node"
ULID = "01K4VJ0W00QF7D2S9N3B6X8C1M"


class Emulator:
    def __init__(self, state: State, server: Server) -> None:
        self.state = state
        self.server = server

    def names(self) -> list[str]:
        return [activity.name for activity in self.state.activities]


@pytest.fixture
async def emulator():
    state = State()
    server = await Server.start(create_app(state), "127.0.0.1", 0)
    yield Emulator(state, server)
    await server.stop()


@pytest.fixture
async def secure(tmp_path, monkeypatch):
    """The same over https, its certificate trusted in the way in which each client is told to."""
    path = tmp_path / "emulator.pem"
    write_certificate(path)
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(path))
    state = State()
    server = await Server.start(create_app(state), "127.0.0.1", 0, certificate=path)
    yield Emulator(state, server)
    await server.stop()


async def test_the_python_client_finds_everything_it_calls(secure):
    client = CustomerIO("demo-site", "demo-key", host="127.0.0.1", port=secure.server.port, retries=0)
    state = secure.state

    def act() -> None:
        client.identify("ada/1", email="ada@northpine.example", plan="pro")
        client.track("ada/1", "paid", {"amount": 5}, id=ULID)
        client.track("ada/1", "paid", {"amount": 5}, id=ULID)
        client.track_anonymous("anon", "looked")
        client.pageview("ada/1", "/pricing", title="Pricing")
        client.backfill("ada/1", "began", 1_700_000_000)
        client.add_device("ada/1", "token/1", "ios")

    await asyncio.to_thread(act)
    ada = state.find("id", "ada/1")
    assert ada is not None
    assert (ada.email, ada.attributes["plan"], list(ada.devices)) == ("ada@northpine.example", "pro", ["token/1"])
    assert secure.names() == ["paid", "looked", "", "began"]

    def act_more() -> None:
        client.delete_device("ada/1", "token/1")
        client.identify("jun", email="jun@hanbit.example")
        client.merge_customers("id", "ada/1", "email", "jun@hanbit.example")
        event = {"type": "person", "action": "event", "identifiers": {"id": "ada/1"}, "name": "batched"}
        client.batch([event])
        client.suppress("ada/1")
        client.track("ada/1", "unheard")
        client.unsuppress("ada/1")
        client.delete("nobody")
        client.close()

    await asyncio.to_thread(act_more)
    assert (state.find("id", "jun"), state.find("id", "ada/1")) == (None, None)
    assert secure.names()[-1] == "batched"
    assert {request.status for request in state.requests} == {200}


async def test_the_python_client_raises_rejections_as_errors(secure):
    wrong = CustomerIO("demo-site", "wrong", host="127.0.0.1", port=secure.server.port, retries=0)
    with pytest.raises(CustomerIOException, match="401"):
        await asyncio.to_thread(wrong.identify, "ada")
    right = CustomerIO("demo-site", "demo-key", host="127.0.0.1", port=secure.server.port, retries=0)
    with pytest.raises(CustomerIOException, match="400"):
        await asyncio.to_thread(right.track, "ada", "")
    wrong.close()
    right.close()


async def test_the_async_client_finds_everything_it_calls(secure):
    client = AsyncCustomerIO("demo-site", "demo-key", host="127.0.0.1", port=secure.server.port, retries=0)
    ada, jun, team = {"id": "ada"}, {"id": "jun"}, {"object_type_id": "1", "object_id": "team"}
    related = [{"identifiers": team}]
    v2 = client.v2
    calls = [
        client.identify("ada", email="ada@northpine.example"),
        client.track("ada", "paid", amount=5),
        client.track_anonymous("anon", "looked"),
        client.pageview("ada", "/pricing"),
        client.backfill("ada", "began", 1_700_000_000),
        client.add_device("ada", "token", "ios"),
        client.delete_device("ada", "token"),
        client.add_to_segment(7, ["ada"]),
        client.remove_from_segment(7, ["ada"]),
        client.submit_form("form", email="jun@hanbit.example"),
        client.report_metric("delivery", "opened"),
        client.report_push_metric("delivery", "device", "opened"),
        client.unsubscribe("delivery"),
        client.get_region(),
        v2.identify_person(jun, email="jun2@hanbit.example"),
        v2.track_person_event(jun, "v2_paid", amount=5),
        v2.person_pageview(jun, "/"),
        v2.person_screen(jun, "home"),
        v2.add_person_device(jun, "token/2", "android"),
        v2.delete_person_device(jun, "token/2"),
        v2.identify_object(team, name="Team"),
        v2.add_person_relationships(jun, related),
        v2.delete_person_relationships(jun, related),
        v2.add_object_relationships(team, [{"identifiers": jun}]),
        v2.delete_object_relationships(team, [{"identifiers": jun}]),
        v2.delete_object(team),
        v2.merge_persons(ada, jun),
        v2.suppress_person(ada),
        v2.unsuppress_person(ada),
        v2.delete_person(ada),
        client.merge_customers("id", "ada", "id", "jun"),
        client.suppress("ada"),
        client.unsuppress("ada"),
        client.delete("ada"),
    ]
    for call in calls:
        await call
    assert {request.status for request in secure.state.requests} == {200, 204}
    assert len(secure.state.requests) == len(calls)
    assert {"paid", "looked", "began", "v2_paid", "home"} <= set(secure.names())
    with pytest.raises(AsyncCustomerIOError):
        await v2.track_object_event(team, "not_in_the_specification")
    await client.close()


async def test_the_javascript_client_finds_everything_it_calls(emulator):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = await asyncio.create_subprocess_exec(
        "node", "operations.mjs", emulator.server.url, cwd=NODE, env=environment, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE_S):
        output, _ = await process.communicate()
    outcomes = {item["name"]: item for item in map(json.loads, output.splitlines())}
    assert len(outcomes) == 21
    failed = {name: result for name, result in outcomes.items() if "error" in result}
    assert set(failed) == {"entityRefused"}, failed
    assert failed["entityRefused"]["status"] == 400
    assert outcomes["getAccountRegion"]["answer"]["region"] == "us"
    assert [outcome["batch_index"] for outcome in outcomes["batchInPart"]["answer"]["errors"]] == [1]
    assert {"paid", "again", "looked"} <= set(emulator.names())
    assert emulator.state.find("id", "ada/1") is None
