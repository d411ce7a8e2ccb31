"""Merges of people: who carries them out, in which steps, and what stops them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import msgspec
import pytest

from contracts.test_stores import endpoint, message
from contracts.test_stores_merges import begun, pair, states
from nicobar.connectors import NoResponse, Response
from nicobar.connectors.customerio import CustomerIo
from nicobar.people import Identifier
from nicobar.pipeline.people_merging import SETTLE_MS, STEP_MS, PeopleMerger, rule_text
from nicobar.reasons import plain
from nicobar.store import MergeStatus, PairState
from support.clock import MovingClock
from support.store import open_store

WAITING, IDENTIFIED, MERGED = PairState.WAITING, PairState.IDENTIFIED, PairState.MERGED
SECRETS = {"site_id": "s", "api_key": "k"}
APP_KEY = {**SECRETS, "app_api_key": "a"}
OK = Response(status=200, headers={}, body=b"{}", duration_ms=1)


@pytest.fixture
async def store(tmp_path):
    """Of one database: `test_stores_merges.py` says what all of them promise."""
    opened = await open_store(tmp_path)
    yield opened
    await opened.close()


class Scene:
    """A merger with a destination whose answers are prepared."""

    def __init__(self, store, rule="metadata.user_id", credentials=SECRETS, **endpoint):
        destination = CustomerIo().open({"identify_by": rule}, credentials)
        fields = {"disabled": False, "paused_reason": None, "max_messages_per_s": None} | endpoint
        self.opened = SimpleNamespace(destination=destination, endpoint=SimpleNamespace(**fields))
        self.store, self.rule = store, rule_text(destination.identity_rule)
        self.clock = MovingClock()
        self.endpoints = {1: self.opened}
        self.requests, self.answers, self.people = [], [], {}
        self.merger = self.open()

    def open(self):
        return PeopleMerger(
            store=self.store,
            endpoints=lambda: self.endpoints,
            transport=self,
            asking=self,
            clock=self.clock,
        )

    async def send(self, request):
        if request.method == "GET":
            found = self.people.get(request.url.partition("email=")[2].replace("%40", "@"), [])
            return found if isinstance(found, Response) else answer({"results": found})
        self.requests.append(json.loads(request.body))
        return self.answers.pop(0) if self.answers else OK

    async def refused_address(self, _url):
        return None

    async def turn(self, after_ms=STEP_MS):
        self.clock.move(after_ms)
        await self.merger.turn()
        return await self.store.merge("mrg_1")

    def sent(self):
        """The actions of all calls, in order."""
        calls = [call for request in self.requests for call in request.get("batch", [request])]
        return [call["action"] for call in calls]


def answer(body, status=200):
    return Response(status=status, headers={}, body=json.dumps(body).encode(), duration_ms=1)


async def test_primaries_are_identified_and_merged_a_minute_later(store):
    it = Scene(store)
    merge = await begun(store, rule=it.rule)
    await it.turn()
    assert it.requests == [
        {
            "batch": [
                {"type": "person", "action": "identify", "identifiers": {"id": f"user_{n}"}, "attributes": {}}
                for n in (1, 2)
            ]
        }
    ]
    await it.turn(SETTLE_MS - STEP_MS)
    assert (it.sent(), await states(store, merge)) == (["identify"] * 2, [IDENTIFIED] * 2)
    await it.turn()
    assert it.requests[-1]["batch"][0] == {
        "type": "person",
        "action": "merge",
        "primary": {"id": "user_1"},
        "secondary": {"id": "cus_1"},
    }
    assert await states(store, merge) == [MERGED] * 2
    assert ((await it.turn()).status, len(it.requests)) == (MergeStatus.FINISHED, 2)


async def test_a_merge_goes_on_where_another_process_stopped(store):
    it = Scene(store, max_messages_per_s=1)
    merge = await begun(store, rule=it.rule)
    await it.turn()
    assert (it.sent(), await states(store, merge)) == (["identify"], [IDENTIFIED, WAITING]), "at the endpoint's rate"
    it.merger = it.open()
    await it.turn()
    await it.turn(SETTLE_MS)
    it.merger = it.open()
    await it.turn()
    await it.turn(SETTLE_MS)
    assert ((await it.turn()).status, it.sent()) == (MergeStatus.FINISHED, ["identify"] * 2 + ["merge"] * 2)


async def test_a_canceled_merge_sends_nothing_more(store):
    it = Scene(store, max_messages_per_s=1)
    merge = await begun(store, rule=it.rule)
    await it.turn()
    await store.cancel_merge("mrg_1", now_ms=1)
    await it.turn(2 * SETTLE_MS)
    assert (it.sent(), await states(store, merge)) == (["identify"], [PairState.CANCELED] * 2)


@pytest.mark.parametrize("state", [{"disabled": True}, {"paused_reason": plain("paused")}])
async def test_nothing_is_sent_while_the_endpoint_is_stopped(store, state):
    it = Scene(store, **state)
    await begun(store, rule=it.rule)
    assert ((await it.turn()).status, it.requests) == (MergeStatus.RUNNING, [])


async def test_a_changed_rule_or_a_deleted_endpoint_stops_the_merge(store):
    it = Scene(store)
    merge = await begun(store, rule="email email")
    stopped = await it.turn()
    assert (stopped.status, stopped.reason.code, it.requests) == (MergeStatus.STOPPED, "rule_changed", [])
    assert await states(store, merge) == [PairState.CANCELED] * 2
    await begun(store, merge_id="mrg_2", rule=it.rule)
    it.endpoints = {}
    await it.turn()
    assert (await store.merge("mrg_2")).reason.code == "endpoint_removed"


async def test_refused_calls_are_told_by_customer_and_the_others_go_on(store):
    it = Scene(store)
    merge = await begun(store, pair(1), pair(2), pair(3), rule=it.rule)
    errors = [{"batch_index": 1, "reason": "invalid", "field": "identifiers", "message": "no"}]
    it.answers = [answer({"errors": errors}, 207)]
    await it.turn()
    assert await states(store, merge) == [IDENTIFIED, PairState.REJECTED, IDENTIFIED]
    refused = (await store.merge_pairs(merge.seq, after=1, limit=1))[0]
    assert "invalid identifiers no" in str(refused.reason)


async def test_a_batch_refused_as_a_whole_is_taken_apart(store):
    it = Scene(store)
    merge = await begun(store, rule=it.rule)
    it.answers = [answer({"errors": []}, 400), answer({"errors": []}, 400), OK]
    for _ in range(3):
        await it.turn()
    assert await states(store, merge) == [PairState.REJECTED, IDENTIFIED]


@pytest.mark.parametrize(
    "outage",
    [
        Response(status=503, headers={}, body=b"", duration_ms=1),
        Response(status=429, headers={"retry-after": "1"}, body=b"", duration_ms=1),
        Response(status=401, headers={}, body=b"", duration_ms=1),
        NoResponse(reason=plain("timed out"), duration_ms=1),
    ],
)
async def test_an_outage_is_waited_out_and_said(store, outage):
    it = Scene(store)
    merge = await begun(store, rule=it.rule)
    it.answers = [outage]
    waiting = await it.turn()
    assert (waiting.status, waiting.reason is not None) == (MergeStatus.RUNNING, True)
    await it.turn(SETTLE_MS - STEP_MS)
    assert len(it.requests) == 1, "no storm of requests"
    await it.turn()
    assert (await states(store, merge), (await store.merge("mrg_1")).reason) == ([IDENTIFIED] * 2, None)


async def test_a_customer_with_unfinished_deliveries_is_skipped(store):
    await store.change([await endpoint(store, "ep_1")])
    (app,) = (await store.snapshot()).applications
    await store.append(msgspec.structs.replace(message(1, "cus_1", endpoints=(1,)), app_id=app.id))
    it = Scene(store)
    merge = await begun(store, rule=it.rule)
    await it.turn()
    await it.turn(SETTLE_MS)
    assert await states(store, merge) == [PairState.SKIPPED, MERGED]
    assert (await store.merge_pairs(merge.seq, after=0, limit=1))[0].reason.code == "merge_unfinished"


@pytest.mark.parametrize(
    ("people", "state", "code"),
    [
        ([{"id": "user_9", "email": "u1@northpine.example"}], MERGED, None),
        ([{"id": None, "email": "u1@northpine.example"}], MERGED, None),
        ([{"id": "cus_1", "email": "u1@northpine.example"}], MERGED, "merge_one_person"),
        ([], PairState.SKIPPED, "merge_nobody"),
        ([{"id": "a", "email": ""}, {"id": "b", "email": ""}], PairState.SKIPPED, "merge_ambiguous"),
        (Response(status=429, headers={}, body=b"", duration_ms=1), IDENTIFIED, None),
    ],
)
async def test_nobody_is_merged_with_themselves(store, people, state, code):
    it = Scene(store, "email", APP_KEY)
    it.people = {"u1@northpine.example": people}
    merge = await begun(store, pair(1, "email"), rule=it.rule)
    await it.turn()
    await it.turn(SETTLE_MS)
    (found,) = await store.merge_pairs(merge.seq, after=0, limit=1)
    assert (found.state, found.reason.code if found.reason else None) == (state, code)
    assert ("merge" in it.sent()) is (state is MERGED and code is None)


async def test_without_an_app_api_key_nobody_is_merged_by_email(store):
    it = Scene(store, "email")
    merge = await begun(store, pair(1, "email"), rule=it.rule)
    await it.turn()
    await it.turn(SETTLE_MS)
    assert (await states(store, merge), it.sent()) == ([PairState.SKIPPED], ["identify"])


async def test_a_clock_that_is_set_shortens_no_wait(store):
    it = Scene(store)
    await begun(store, rule=it.rule)
    await it.turn()
    it.clock.set_by(10 * SETTLE_MS)
    await it.turn()
    assert it.sent() == ["identify"] * 2
    await it.turn(SETTLE_MS)
    assert it.sent() == ["identify"] * 2 + ["merge"] * 2


@pytest.mark.parametrize("set_by", [10 * SETTLE_MS, -10 * SETTLE_MS])
async def test_another_process_waits_a_minute_by_no_clock_that_is_set(store, set_by):
    it = Scene(store)
    await begun(store, rule=it.rule)
    await it.turn()
    it.merger = it.open()
    it.clock.set_by(set_by)
    await it.turn()
    assert it.sent() == ["identify"] * 2
    await it.turn(SETTLE_MS)
    assert it.sent() == ["identify"] * 2 + ["merge"] * 2


@pytest.mark.parametrize(
    ("owner", "state", "code"),
    [
        (None, MERGED, None),
        ("cus_1", MERGED, None),
        ("user_1", MERGED, "merge_one_person"),
        ("user_9", PairState.SKIPPED, "merge_other_person"),
    ],
)
async def test_an_earlier_address_of_somebody_else_is_not_merged(store, owner, state, code):
    it = Scene(store, credentials=APP_KEY)
    address = "ada@northpine.example"
    it.people = {address: [{"id": owner, "email": address}]}
    earlier = msgspec.structs.replace(pair(1), secondary=Identifier(kind="email", value=address))
    merge = await begun(store, earlier, rule=it.rule)
    await it.turn()
    await it.turn(SETTLE_MS)
    (found,) = await store.merge_pairs(merge.seq, after=0, limit=1)
    assert (found.state, found.reason.code if found.reason else None) == (state, code)
    assert ("merge" in it.sent()) is (state is MERGED and code is None)
