"""People at a destination: what is looked up there, and merges, on pages, over the API and on the command line."""

from __future__ import annotations

import asyncio
import re

import pytest
from click.testing import CliRunner

from nicobar.cli import group
from nicobar.connectors.transport import HttpTransport
from nicobar.emulator.campaign import Campaign
from nicobar.emulator.state import State
from nicobar.model import Customer
from nicobar.pipeline.people_merging import SETTLE_MS, PeopleMerger
from nicobar.sources.samples import fresh
from support.api import asking
from support.clock import MovingClock
from support.handlers import ORDER_PAID
from support.pages import set_up, visiting
from support.server import ADA, TYPES

ACTIONS = {"endpoint.inspect", "endpoint.merge", "merge.cancel"}
BEN = Customer(key="cus_ben", email="ben@northpine.example", name="Ben")
# Known by an id of the shop's own.
USER = {"type": "person", "action": "identify", "identifiers": {"id": "user_1"}}


class Shop:
    """A running Nicobar whose endpoint has an App API key, and a visitor."""

    def __init__(self, api, visitor):
        self.api, self.visitor, self.state = api, visitor, api.nicobar.state
        self.numbers = iter(range(1, 100))
        self.endpoint = api.nicobar.runtime.configuration.snapshot.endpoints[0]
        self.path = f"{api.app}/endpoint/{self.endpoint.id}"
        self.page = f"/webhooks/{self.endpoint.id}"

    async def set(self, **config: str):
        body = {"connector": {"kind": "customerio", "config": config}}
        answer = await self.api.ask("PATCH", self.path, body)
        assert answer.status == 200, answer.body
        await self.api.nicobar.runtime.configuration.refresh()

    async def post(self, path: str, body: object = None):
        return await self.api.ask("POST", path, body)

    async def pay(self, customer: Customer, **metadata: str):
        body = fresh(TYPES["payment.succeeded"], self.api.nicobar.runtime.clock.now_ms(), customer)
        if metadata:
            given = ",".join(f'"{name}":"{value}"' for name, value in metadata.items())
            body = re.sub(rb'"metadata":\s*\{[^}]*\}', b'"metadata":{' + given.encode() + b"}", body)
            assert given.encode() in body
        status, answer = await self.api.nicobar.send(body, f"evt_{next(self.numbers)}")
        assert status == 202
        await self.api.nicobar.next_recorded()
        self.state.settle()
        return answer["id"]

    def identifiers(self):
        return sorted((person.id or "", person.email or "") for person in self.state.people)

    async def work(self):
        """Carries out the running merge; a minute passes between its steps."""
        runtime = self.api.nicobar.runtime
        clock = MovingClock(runtime.clock.now_ms() + 10 * SETTLE_MS)
        async with HttpTransport(allowed=runtime.settings.allowed) as transport:
            merger = PeopleMerger(
                store=runtime.store,
                endpoints=lambda: runtime.configuration.endpoints,
                transport=transport,
                asking=transport,
                clock=clock,
            )
            for _ in range(5):
                await merger.turn()
                clock.move(SETTLE_MS)
        self.state.settle()

    async def audited(self):
        lines = (await self.api.ask("GET", "/api/v1/audit-log?limit=50")).body["data"]
        return [
            line["action"]
            for line in reversed(lines)
            if line["action"] in {"endpoint.inspect", "endpoint.merge", "merge.cancel"}
        ]


@pytest.fixture
async def shop(tmp_path):
    async with asking(tmp_path, ORDER_PAID, state=State()) as api, visiting(api) as visitor:
        await set_up(api.nicobar, visitor)
        yield Shop(api, visitor)


async def test_a_merge_is_previewed_confirmed_and_carried_out(shop):
    shop.state.accept({**USER, "attributes": {"plan": "team"}})
    await shop.pay(ADA)
    await shop.pay(BEN)
    refused = await shop.visitor.ask("GET", f"{shop.page}/merges/count")
    assert (refused[0], "identifies people by the sender" in refused[1]) == (409, True)
    await shop.set(identify_by="metadata.user_id", identify_fallback="reject")
    await shop.pay(ADA, user_id="user_1")
    assert [item[0] for item in shop.identifiers()] == ["cus_ada", "cus_ben", "user_1"]
    status, text, _ = await shop.visitor.ask("GET", f"{shop.page}/merges/count")
    assert (status, "Merge 1 person?" in text, "cus_ada" in text, "user_1" in text) == (200, True, True, True)
    for typed, wrong in (("2", 409), ("", 422), ("one", 422)):
        assert (await shop.visitor.send(f"{shop.page}/merges", expected=typed))[0] == wrong
    status, _, headers = await shop.visitor.send(f"{shop.page}/merges", expected="1")
    assert (status, await shop.audited()) == (303, ["endpoint.merge"])
    again = await shop.visitor.send(f"{shop.page}/merges", expected="1")
    assert (again[0], "is running" in again[1]) == (409, True)
    await shop.work()
    assert [item[0] for item in shop.identifiers()] == ["cus_ben", "user_1"]
    person = shop.state.find("id", "user_1")
    assert (person.attributes["plan"], "email" in person.attributes or person.email == ADA.email) == ("team", True)
    status, text, _ = await shop.visitor.ask("GET", headers["location"])
    assert (status, "completed" in text, "merged" in text) == (200, True, True)
    assert "No people to merge" in (await shop.visitor.ask("GET", f"{shop.page}/merges/count"))[1], "nobody twice"


async def test_the_api_previews_starts_shows_and_cancels_a_merge(shop):
    await shop.pay(ADA)
    unsupported = await shop.post(f"{shop.path}/merge?dryRun=true", {})
    assert (unsupported.status, unsupported.body["code"]) == (409, "merge_unsupported")
    await shop.set(identify_by="metadata.user_id")
    await shop.pay(ADA, user_id="user_1")
    preview = (await shop.post(f"{shop.path}/merge?dryRun=true", {})).body
    assert (preview["people"], preview["unidentified"], preview["pairs"][0]["primary"]) == (
        1,
        0,
        {"kind": "id", "value": "user_1"},
    )
    assert (await shop.post(f"{shop.path}/merge", {"expected": 2})).body["code"] == "merge_count_changed"
    started = await shop.post(f"{shop.path}/merge", {"expected": 1, "customer": "cus_ada"})
    assert (started.status, started.body["status"]) == (202, "running")
    one = f"{shop.path}/merge/{started.body['id']}"
    canceled = await shop.post(f"{one}/cancel")
    assert (canceled.status, canceled.body["status"]) == (202, "canceled")
    assert (await shop.post(f"{one}/cancel")).body["code"] == "merge_ended"
    assert (await shop.api.ask("GET", one)).body["status"] == "canceled"
    people = (await shop.api.ask("GET", f"{one}/people")).body
    assert (people["data"][0]["state"], people["next"]) == ("canceled", None)
    assert [item["id"] for item in (await shop.api.ask("GET", f"{shop.path}/merge")).body["data"]] == [
        started.body["id"]
    ]
    assert (await shop.api.ask("GET", f"{shop.path}/merge/mrg_x")).status == 404
    assert await shop.audited() == ["endpoint.merge", "merge.cancel"]


async def test_the_command_line_merges_after_the_number_is_confirmed(shop, tmp_path):
    await shop.pay(ADA)
    await shop.set(identify_by="metadata.user_id")
    await shop.pay(ADA, user_id="user_1")

    async def nicobar(*arguments):
        run = await asyncio.to_thread(CliRunner().invoke, group, ["merge", *arguments, "--data-dir", str(tmp_path)])
        return run.exit_code, run.output if run.exception is None else f"{run.output}{run.exception}"

    code, output = await nicobar("start", "customerio", "--dry-run")
    assert (code, "cus_ada: id cus_ada -> id user_1" in output, "cannot be undone" in output) == (0, True, True)
    assert "no terminal" in (await nicobar("start", "customerio"))[1]
    assert "not confirmed" in (await nicobar("start", "customerio", "--confirm", "3"))[1]
    code, output = await nicobar("start", "customerio", "--confirm", "1")
    merge_id = re.search(r"mrg_\w+", output)[0]
    assert merge_id in (await nicobar("list", "customerio"))[1]
    assert "id cus_ada -> id user_1" in (await nicobar("show", merge_id))[1]
    assert "canceled" in (await nicobar("cancel", merge_id))[1]
    assert "not found" in (await nicobar("cancel", "mrg_x"))[1]


async def test_a_changed_address_is_shown_and_merged_for_one_customer(shop):
    await shop.set(identify_by="email", app_api_key="demo-app-key")
    await shop.pay(ADA)
    await shop.pay(Customer(key=ADA.key, email="ada@new.example", name=ADA.name))
    assert shop.identifiers() == [("", "ada@new.example"), ("", ADA.email)]
    text = (await shop.visitor.ask("GET", f"/customers/timeline?key={ADA.key}"))[1]
    assert ("At the destinations" in text, f"merges/count?customer={ADA.key}" in text) == (True, True)
    assert "No people to merge" in (await shop.visitor.ask("GET", f"{shop.page}/merges/count"))[1]
    text = (await shop.visitor.ask("GET", f"{shop.page}/merges/count?customer={ADA.key}"))[1]
    assert "Merge 1 person?" in text
    assert (await shop.visitor.send(f"{shop.page}/merges", expected="1", customer=ADA.key))[0] == 303
    await shop.work()
    assert shop.identifiers() == [("", "ada@new.example")]
    text = (await shop.visitor.ask("GET", f"/customers/timeline?key={ADA.key}"))[1]
    assert ("At the destinations" in text, f"merges/count?customer={ADA.key}" in text) == (True, False)
    text = (await shop.visitor.ask("GET", f"{shop.page}/merges/count?customer={ADA.key}"))[1]
    assert "No people to merge" in text, "the person who remains would be merged with itself"


async def test_an_address_of_another_customer_is_not_merged_away(shop):
    await shop.set(identify_by="email", app_api_key="demo-app-key")
    await shop.pay(ADA)
    await shop.pay(Customer(key="cus_other", email=ADA.email, name="Other"))
    await shop.pay(Customer(key=ADA.key, email="ada@new.example", name=ADA.name))
    assert "No people to merge" in (await shop.visitor.ask("GET", f"{shop.page}/merges/count?customer={ADA.key}"))[1]


async def test_by_email_nobody_is_merged_without_looking(shop):
    shop.state.accept({**USER, "attributes": {"email": ADA.email}})
    await shop.pay(ADA)
    await shop.pay(BEN)
    await shop.set(identify_by="email")
    preview = (await shop.post(f"{shop.path}/merge?dryRun=true", {})).body
    assert (preview["people"], preview["withoutLook"]) == (0, 2)
    await shop.set(app_api_key="demo-app-key")
    assert (await shop.post(f"{shop.path}/merge", {"expected": 2})).status == 202
    await shop.work()
    merge = (await shop.api.ask("GET", f"{shop.path}/merge")).body["data"][0]
    assert merge["counts"] == {"merged": 2}, "Ben was one person"
    assert shop.identifiers() == [("cus_ben", BEN.email), ("user_1", ADA.email)]


async def test_failed_changes_are_shown_beside_the_delivery_on_request(shop):
    shop.state.accept({**USER, "attributes": {"email": ADA.email}})
    message_id = await shop.pay(ADA)
    page = f"/logs/{message_id}"
    assert "Look up failed changes" not in (await shop.visitor.ask("GET", page))[1]
    await shop.set(app_api_key="demo-app-key")
    before = len(shop.state.requests)
    assert "Look up failed changes" in (await shop.visitor.ask("GET", page))[1]
    assert len(shop.state.requests) == before, "a page asks for nothing"
    status, text, _ = await shop.visitor.send(f"{page}/failed-changes", to=shop.endpoint.id)
    assert (status, "cus_ada was not changed" in text, "email" in text) == (200, True, True)
    found = (await shop.post(f"{shop.api.app}/msg/{message_id}/endpoint/{shop.endpoint.id}/failed-changes")).body
    assert (found["data"][0]["person"], found["data"][0]["attributes"], found["unanswered"]) == (
        "cus_ada",
        ["email"],
        None,
    )
    assert await shop.audited() == ["endpoint.inspect"] * 2
    await shop.set(app_api_key="wrong")
    status, text, _ = await shop.visitor.send(f"{page}/failed-changes", to=shop.endpoint.id)
    assert (status, "Check the App API key" in text, "was not changed" in text) == (200, True, False)


async def test_event_names_are_compared_with_running_campaigns_on_request(shop):
    text = (await shop.visitor.ask("GET", f"{shop.page}/campaigns"))[1]
    assert "No App API key" in text
    unasked = (await shop.post(f"{shop.path}/campaign-check")).body
    assert (unasked["sent"], "no key to look things up" in unasked["unanswered"]) == ([], True)
    await shop.set(app_api_key="demo-app-key")
    await put_campaigns(shop, Campaign(title="Thanks", trigger="event", name="order_paid"))
    assert "Compare event names with campaigns" in (await shop.visitor.ask("GET", shop.page))[1]
    status, text, _ = await shop.visitor.send(f"{shop.page}/campaigns")
    assert (status, "waits for order_paid" in text, "1 warning" in text) == (200, True, True)
    found = (await shop.post(f"{shop.path}/campaign-check")).body
    assert [item["code"] for item in found["findings"]] == ["event_name_near"]
    await shop.pay(ADA)
    await put_campaigns(shop, Campaign(title="Thanks", trigger="event", name="Order Paid"))
    found = (await shop.post(f"{shop.path}/campaign-check")).body
    assert (found["findings"], found["campaigns"]) == (
        [],
        [{"name": "Thanks", "event": "Order Paid", "state": "running"}],
    )


async def test_doctor_asks_destinations_only_on_request(shop, tmp_path):
    await shop.set(app_api_key="demo-app-key", identify_by="email")
    await put_campaigns(shop, Campaign(title="Thanks", trigger="event", name="order_paid"))

    async def doctor(*arguments):
        command = ["doctor", *arguments, "--data-dir", str(tmp_path), "--allowed-addresses", "127.0.0.0/8"]
        run = await asyncio.to_thread(CliRunner().invoke, group, command)
        return [line for line in run.output.splitlines() if "campaigns of" in line]

    assert await doctor() == []
    (line,) = await doctor("--ask-destinations")
    assert line.startswith("▲ campaigns of customerio: No running campaign uses Order Paid, which is sent.")


async def put_campaigns(shop, *campaigns):
    body = [{"title": item.title, "trigger": item.trigger, "name": item.name} for item in campaigns]
    async with shop.api.nicobar.http.put(f"{shop.api.nicobar.emulator.url}/emulator/campaigns", json=body) as answer:
        assert answer.status == 200


async def test_the_people_who_are_there_recommend_the_identifier(shop):
    shop.state.accept({**USER, "attributes": {"email": ADA.email}})
    await shop.pay(ADA, user_id="user_1")
    await shop.set(app_api_key="demo-app-key")
    assert "Look up people and recommend" in (await shop.visitor.ask("GET", f"{shop.page}/people"))[1]
    status, text, _ = await shop.visitor.send(f"{shop.page}/people/advice")
    assert (status, "Use metadata.user_id." in text, "identify=metadata&amp;key=user_id" in text) == (200, True, True)
    advice = (await shop.post(f"{shop.path}/identity-advice")).body
    assert (advice["identifyBy"], advice["asked"], advice["withId"]) == ("metadata.user_id", 1, 1)
    assert await shop.audited() == ["endpoint.inspect"] * 2
