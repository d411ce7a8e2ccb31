"""What the emulator's App API and its control paths answer, over HTTP."""

from __future__ import annotations

import aiohttp
import pytest

from nicobar.addresses import AllowedAddresses
from nicobar.connectors import inspection
from nicobar.connectors.customerio.app_api import AppApi
from nicobar.connectors.inspection import Profile
from nicobar.connectors.transport import HttpTransport
from nicobar.emulator.app import create_app
from nicobar.emulator.campaign import Campaign, Trigger
from nicobar.emulator.state import State
from nicobar.emulator.workspace import Identifiers, Workspace
from nicobar.model import RequestRecord
from nicobar.web.serving import Server

NOW = 1_789_000_000
ADA = "ada+1@northpine.example"
KEY = {"authorization": "Bearer demo-app-key"}
TRACK = {"authorization": aiohttp.encode_basic_auth("demo-site", "demo-key")}
THANKS = Campaign(title="Thanks", trigger=Trigger.EVENT, name="paid", subject="Thanks", delay_s=86_400)
FAILED = {"type": "failed_attribute_change"}


class Service:
    def __init__(self, server: Server, state: State, http: aiohttp.ClientSession) -> None:
        self.url = server.url
        self.state = state
        self._http = http

    def send(self, action: str, who: str, **fields: object) -> None:
        self.state.accept({"type": "person", "action": action, "identifiers": {"id": who}, **fields})

    async def ask(self, method: str, path: str, body: object = None, headers=KEY, **query: object):
        async with self._http.request(method, self.url + path, json=body, headers=headers, params=query) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, status: int = 200, **query: object):
        found, answer = await self.ask("GET", path, **query)
        assert found == status, answer
        return answer


@pytest.fixture
async def service():
    now = [float(NOW)]
    state = State(now=lambda: now[0])
    server = await Server.start(create_app(state, campaigns=[THANKS]), "127.0.0.1", 0, shutdown_s=0)
    async with aiohttp.ClientSession() as http:
        it = Service(server, state, http)
        it.send("identify", "user_42", attributes={"email": ADA, "seats": 3})
        yield it
    await server.stop()


async def test_people_are_found_by_address(service):
    person = {"id": "user_42", "email": ADA, "cio_id": "000000000001"}
    assert await service.get("/v1/customers", email=ADA.upper()) == {"results": [person]}
    assert await service.get("/v1/customers", email="jun@northpine.example") == {"results": []}
    answer = await service.get("/v1/customers/user_42/attributes")
    assert answer["customer"]["identifiers"] == person
    assert answer["customer"]["attributes"]["seats"] == "3"
    for who, kind in ((ADA, "email"), ("cio_000000000001", "cio_id")):
        assert await service.get(f"/v1/customers/{who}/attributes", id_type=kind) == answer
    await service.get("/v1/customers/nobody/attributes", status=404)
    await service.get("/v1/customers/user_42/attributes", status=400, id_type="name")


async def test_a_shared_address_finds_everyone_and_identifies_none(service):
    service.state.reset()
    service.state.put_workspace(Workspace(identifiers=Identifiers.ID))
    for who in ("a", "b"):
        service.send("identify", who, attributes={"email": ADA})
    answer = await service.get("/v1/customers", email=ADA)
    assert [person["id"] for person in answer["results"]] == ["a", "b"]
    await service.get(f"/v1/customers/{ADA}/attributes", status=400, id_type="email")


async def test_failed_changes_are_activities_of_the_person(service):
    service.send("event", "cus_1", name="paid", attributes={"amount": 5})
    service.send("identify", "cus_1", attributes={"email": ADA})
    answer = await service.get("/v1/customers/cus_1/activities")
    assert [activity["type"] for activity in answer["activities"]] == ["failed_attribute_change", "event"]
    assert answer["activities"][0]["data"] == {"email": {"from": None, "to": ADA}}
    assert answer["activities"][1] == {
        "id": f"{1:026d}",
        "type": "event",
        "name": "paid",
        "timestamp": NOW,
        "data": {"amount": 5},
        "customer_id": "cus_1",
        "customer_identifiers": {"id": "cus_1", "email": None, "cio_id": "000000000002"},
    }
    for path, query in (("/v1/customers/cus_1/activities", FAILED), ("/v1/activities", FAILED)):
        (activity,) = (await service.get(path, **query))["activities"]
        assert (activity["type"], activity["customer_id"]) == ("failed_attribute_change", "cus_1")
    assert len((await service.get("/v1/activities", name="email"))["activities"]) == 1


async def test_activities_are_paged_newest_first(service):
    for number in range(5):
        service.send("event", "user_42", name=f"n{number}")
    seen: list[str] = []
    start = ""
    for _ in range(3):
        query = {"limit": 2, **({"start": start} if start else {})}
        answer = await service.get("/v1/customers/user_42/activities", **query)
        seen += [activity["name"] for activity in answer["activities"]]
        start = answer["next"]
    assert (seen, start) == (["n4", "n3", "n2", "n1", "n0"], "")
    for wrong in ({"limit": 0}, {"limit": 101}, {"limit": "x"}, {"start": "x"}, {"start": "9" * 50}):
        await service.get("/v1/activities", status=400, **wrong)


async def test_campaigns_name_their_events_and_states(service):
    segment = {"title": "Pro", "trigger": "enters_segment", "name": "7", "state": "draft", "subject": "Pro"}
    body = [{"title": "Thanks", "trigger": "event", "name": "paid"}, segment]
    assert (await service.ask("PUT", "/emulator/campaigns", body))[0] == 200
    campaigns = (await service.get("/v1/campaigns"))["campaigns"]
    shown = [(row["id"], row["name"], row["state"], row["active"], row.get("event_name")) for row in campaigns]
    assert shown == [(1, "Thanks", "running", True, "paid"), (2, "Pro", "draft", False, None)]
    assert campaigns[1]["trigger_segment_ids"] == [7]
    assert await service.get("/v1/campaigns/2") == {"campaign": campaigns[1]}
    await service.get("/v1/campaigns/3", status=404)


async def test_segments_are_listed_with_their_people(service):
    many = [{"on": "person", "field": "seats", "operator": "greater", "value": 2}]
    assert (await service.ask("PUT", "/emulator/segments", [{"id": 7, "name": "Large", "conditions": many}]))[
        0
    ] == 200
    service.state.put_in_segment("9", ("id:user_42",), adds=True)
    listed = (await service.get("/v1/segments"))["segments"]
    assert [(row["id"], row["name"], row["type"]) for row in listed] == [
        (7, "Large", "dynamic"),
        (9, "Segment 9", "manual"),
    ]
    assert (await service.get("/v1/customers/user_42/segments"))["segments"] == listed
    assert await service.get("/v1/segments/9") == {"segment": listed[1]}
    _, shown = await service.ask("GET", "/emulator/segments")
    assert (shown["segments"][0]["name"], shown["manual"]) == ("Large", {"9": 1})


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer x"}, TRACK])
async def test_only_the_app_api_key_reads(service, headers):
    status, answer = await service.ask("GET", "/v1/customers?email=x", headers=headers)
    assert (status, answer["errors"][0]["status"]) == (401, "401")
    assert all(item.headers.get("authorization", "***") == "***" for item in service.state.requests)


async def test_the_connector_reads_what_the_emulator_shows(service):
    service.send("identify", "cus_1", attributes={"email": ADA})
    asked = AppApi(service.url, "demo-app-key")
    sent = RequestRecord(method="POST", url="", headers={}, body='{"type":"person","identifiers":{"id":"cus_1"}}')
    async with HttpTransport(allowed=AllowedAddresses.read("127.0.0.1")) as transport:
        assert await asked.people(transport, ADA) == (Profile(id="user_42", email=ADA),)
        assert await asked.campaigns(transport) == (
            inspection.Campaign(name="Thanks", event="paid", state=inspection.CampaignState.RUNNING),
        )
        (failed,) = await asked.failures(transport, [sent], 0, 2 * NOW * 1_000)
    assert (failed.person, failed.attributes, failed.at_ms) == ("cus_1", ("email",), NOW * 1_000)


async def test_nothing_can_be_written(service):
    for method in ("POST", "PUT", "DELETE"):
        assert (await service.ask(method, "/v1/customers", {}))[0] == 404
    assert (await service.ask("GET", "/v1/weather"))[0] == 404
    assert [item.method for item in service.state.requests] == ["POST", "PUT", "DELETE", "GET"]


async def test_requests_beyond_the_limit_are_429(service):
    statuses = [(await service.ask("GET", "/v1/segments"))[0] for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    assert (await service.ask("PUT", "/emulator/clock", {"advance_s": 1}))[0] == 200
    await service.get("/v1/segments")
    assert (await service.ask("PUT", "/emulator/workspace", {"app_api_per_second": 0}))[0] == 200
    assert {(await service.ask("GET", "/v1/segments"))[0] for _ in range(12)} == {200}


# --- control ---


async def test_the_clock_moves_and_emails_follow(service):
    service.send("event", "user_42", name="paid")
    _, before = await service.ask("GET", "/emulator/version")
    _, emails = await service.ask("GET", "/emulator/emails")
    assert ([row["due"] for row in emails["waiting"]], emails["waiting_count"]) == ([NOW + 86_400], 1)
    assert (await service.ask("PUT", "/emulator/clock", {"advance_s": 86_400}))[0] == 200
    assert (await service.ask("GET", "/emulator/clock"))[1] == {"now": NOW + 86_400, "ahead_s": 86_400}
    _, emails = await service.ask("GET", "/emulator/emails")
    assert [(row["outcome"], row["cause"]["name"]) for row in emails["emails"]] == [("sent", "paid")]
    assert (await service.ask("GET", "/emulator/version"))[1]["version"] > before["version"]
    assert (await service.ask("PUT", "/emulator/clock", {"now": NOW + 90_000}))[0] == 200
    assert (await service.ask("DELETE", "/emulator/state"))[0] == 200
    assert (await service.ask("GET", "/emulator/clock"))[1]["now"] == NOW


async def test_the_clock_moves_only_forward(service):
    for move in ({}, {"now": NOW - 1}, {"advance_s": -1}, {"advance_s": 1, "now": NOW}, {"to": 1}, []):
        status, answer = await service.ask("PUT", "/emulator/clock", move)
        assert (status, answer["code"], service.state.now()) == (422, "request_invalid", NOW), move


async def test_omitted_workspace_fields_stay_unchanged(service):
    assert (await service.ask("PUT", "/emulator/workspace", {"id_conflict": "replace"}))[0] == 200
    assert (await service.ask("PUT", "/emulator/workspace", {"automatic_merging": False}))[0] == 200
    _, shown = await service.ask("GET", "/emulator/workspace")
    assert shown == {
        "identifiers": "email or id",
        "email_updates_by_id": True,
        "automatic_merging": False,
        "id_conflict": "replace",
        "out_of_order": "none",
        "out_of_order_seed": 1,
        "out_of_order_within_s": 60,
        "app_api_per_second": 10,
    }
    for wrong in ({"id_conflict": "both"}, {"identifier": "id only"}, [], {"app_api_per_second": -1}):
        assert (await service.ask("PUT", "/emulator/workspace", wrong))[0] == 422
    status, answer = await service.ask("PUT", "/emulator/workspace", {"identifiers": "id only"})
    assert (status, answer["code"]) == (409, "identifiers_in_use")


async def test_unsent_emails_are_listed_with_reasons(service):
    service.send("event", "user_42", name="Paid!")
    service.send("event", "user_42", name="p a_i-d.")
    _, answer = await service.ask("GET", "/emulator/unsent")
    assert [(row["reason"], row["campaign"]) for row in answer["unsent"]] == [
        ("no_campaign", None),
        ("name_differs", "Thanks"),
    ]
    assert answer["unsent"][1]["email"] == 1


async def test_paths_and_manual_segments_follow_the_workspace(service):
    body = {"plan": "pro"}
    who = "/api/v1/customers/jun@northpine.example"
    segment = "/api/v1/segments/7/add_customers"
    assert (await service.ask("POST", segment, {"ids": ["user_42"]}, headers=TRACK))[0] == 200
    assert not service.state.people.segments
    assert service.state.requests[-1].ignored
    service.state.reset()
    service.state.put_workspace(Workspace(identifiers=Identifiers.ID))
    assert (await service.ask("PUT", who, body, headers=TRACK))[0] == 200
    assert [(person.id, person.email) for person in service.state.people] == [("jun@northpine.example", None)]
    assert (await service.ask("POST", segment, {"ids": ["jun@northpine.example"]}, headers=TRACK))[0] == 200
    assert list(service.state.people.segments) == ["7"]
