"""Questions to Customer.io's App API, and what comparing names of events and campaigns shows."""

from __future__ import annotations

import json

import pytest

from nicobar.connectors import NoResponse, Response
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.inspection import Campaign, CampaignState, FailedChange, Profile, Unanswered, compare_names
from nicobar.model import Level, RequestRecord
from nicobar.reasons import plain

SECRETS = {"site_id": "site-5d1f", "api_key": "key-99ab", "app_api_key": "app-77cd"}
RUNNING, DRAFT, STOPPED = CampaignState.RUNNING, CampaignState.DRAFT, CampaignState.STOPPED


class Recorded:
    """A transport with prepared answers."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    async def send(self, request):
        self.requests.append(request)
        return self.answers.pop(0)

    async def refused_address(self, _url):
        return None


def found(body, status=200):
    return Response(status=status, headers={}, body=json.dumps(body).encode(), duration_ms=1)


def inspection(credentials=SECRETS, **settings):
    return CustomerIo().open(settings, credentials).inspection


def sent(*calls, url="https://track.customer.io/api/v2/batch"):
    return [RequestRecord(method="POST", url=url, headers={}, body="\n".join(json.dumps(call) for call in calls))]


def identify(**identifiers):
    return {"type": "person", "action": "identify", "identifiers": identifiers}


def test_without_an_app_api_key_nothing_can_be_asked():
    assert inspection({"site_id": "s", "api_key": "k"}) is None


@pytest.mark.parametrize(
    ("settings", "base"),
    [
        ({}, "https://api.customer.io"),
        ({"region": "eu"}, "https://api-eu.customer.io"),
        ({"region": "eu", "base_url": "http://127.0.0.1:8081/"}, "http://127.0.0.1:8081"),
    ],
)
async def test_each_region_and_emulator_have_their_own_base(settings, base):
    transport = Recorded(found({"campaigns": []}))
    assert await inspection(**settings).campaigns(transport) == ()
    assert transport.requests[0].url == f"{base}/v1/campaigns"


async def test_only_get_requests_with_the_app_key_alone():
    transport = Recorded(found({"results": []}), found({"campaigns": []}), found({"activities": []}))
    it = inspection()
    await it.people(transport, "ada@northpine.example")
    await it.campaigns(transport)
    await it.failures(transport, sent(identify(id="u 1")), 0, 1)
    for request in transport.requests:
        assert (request.method, request.body) == ("GET", b"")
        assert request.headers == {"authorization": "Bearer app-77cd"}
        assert "app-77cd" not in repr(request)


async def test_people_are_found_by_an_encoded_address():
    results = [
        {"id": 42, "email": "Ada+x@northpine.example", "cio_id": "a3"},
        {"id": None, "email": "ada+x@northpine.example"},
        {"id": "7", "email": "other@northpine.example"},
        "nonsense",
    ]
    transport = Recorded(found({"results": results}))
    people = await inspection().people(transport, "ada+x@northpine.example")
    assert people == (Profile(id="42", email="Ada+x@northpine.example"), Profile(email="ada+x@northpine.example"))
    assert transport.requests[0].url.endswith("/v1/customers?email=ada%2Bx%40northpine.example")


async def test_campaigns_name_their_trigger_and_state():
    listed = [
        {"id": 1, "name": "Thanks", "event_name": "paid", "state": "running", "active": True},
        {"id": 2, "name": "Later", "event_name": "ended", "state": "draft"},
        {"id": 3, "name": "Group", "trigger_segment_ids": [4], "state": "stopped"},
        {"id": 4, "event_name": "renewed", "active": True},
        {"id": 5, "state": "odd"},
    ]
    transport = Recorded(found({"campaigns": listed[:3], "next": "b"}), found({"campaigns": listed[3:]}))
    assert await inspection().campaigns(transport) == (
        Campaign(name="Thanks", event="paid", state=RUNNING),
        Campaign(name="Later", event="ended", state=DRAFT),
        Campaign(name="Group", event="", state=STOPPED),
        Campaign(name="4", event="renewed", state=RUNNING),
        Campaign(name="5", event="", state=CampaignState.UNKNOWN),
    )
    assert transport.requests[1].url.endswith("/v1/campaigns?start=b")


async def test_endless_pages_end():
    transport = Recorded(*[found({"campaigns": [], "next": "again"})] * 50)
    await inspection().campaigns(transport)
    assert len(transport.requests) == 5


async def test_failed_changes_around_the_delivery_of_its_person():
    activities = [
        {"type": "failed_attribute_change", "timestamp": 90, "data": {"id": {"from": "", "to": "u"}}},
        {"type": "failed_attribute_change", "timestamp": 100, "data": {"email": {"from": "", "to": "a@b.example"}}},
        {"type": "failed_attribute_change", "timestamp": 300, "data": {}},
        {"type": "event", "timestamp": 100, "data": {}},
        {"type": "failed_attribute_change"},
    ]
    transport = Recorded(found({"activities": activities}), found({}, status=404))
    calls = sent(identify(id="u/1"), identify(id="u/1"), identify(email="a@b.example"), {"type": "object"})
    assert await inspection().failures(transport, calls, 100_000, 200_000) == (
        FailedChange(
            at_ms=100_000, person="u/1", attributes=("email",), detail='{"email":{"from":"","to":"a@b.example"}}'
        ),
    )
    assert [request.url.partition("/v1/customers/")[2] for request in transport.requests] == [
        "u%2F1/activities?type=failed_attribute_change&id_type=id&limit=100",
        "a%40b.example/activities?type=failed_attribute_change&id_type=email&limit=100",
    ]


@pytest.mark.parametrize("at_s", [1e308, -1e308, 10**30, True, "1", None, [], {}])
async def test_times_that_are_none_are_read_as_unknown(at_s):
    activity = {"type": "failed_attribute_change", "timestamp": at_s, "data": {"id": 1}}
    transport = Recorded(found({"activities": [activity]}))
    (change,) = await inspection().failures(transport, sent(identify(id="u")), 0, 1)
    assert change.at_ms == 0


async def test_people_of_v1_paths_are_recognized():
    transport = Recorded(*[found({"activities": []})] * 3)
    base = "https://track.customer.io/api/v1/customers/"
    calls = [
        *sent({"plan": "a"}, url=f"{base}a%40b.example"),
        *sent({}, url=f"{base}cio_03/events"),
        *sent({}, url=f"{base}cus_1"),
        *sent(identify(id="***")),
    ]
    assert await inspection().failures(transport, calls, 0, 1) == ()
    assert [request.url.partition("/v1/customers/")[2].partition("&limit")[0] for request in transport.requests] == [
        "a%40b.example/activities?type=failed_attribute_change&id_type=email",
        "cio_03/activities?type=failed_attribute_change&id_type=cio_id",
        "cus_1/activities?type=failed_attribute_change&id_type=id",
    ]


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (found({}, 401), "app_api_answered_401", "App API key"),
        (found({}, 429), "app_api_answered_429", "in a minute"),
        (found({}, 301), "app_api_answered_301", "region"),
        (found({}, 500), "app_api_answered_500", "500"),
        (found({"something": 1}), "app_api_unreadable", "no list"),
        (found({"error": "x", "results": []}), "app_api_answered_200", "not a response of the App API"),
        (Response(status=200, headers={}, body=b"<html>", duration_ms=1), "app_api_answered_200", "not a response"),
        (NoResponse(reason=plain("timed out"), duration_ms=1), "app_api_no_answer", "timed out"),
    ],
)
async def test_what_was_not_answered_is_unknown_and_asked_once(answer, code, says):
    transport = Recorded(answer)
    told = await inspection().people(transport, "ada@northpine.example")
    assert isinstance(told, Unanswered)
    assert (told.reason.code, says in str(told.reason)) == (code, True)
    assert "app-77cd" not in str(told.reason)
    assert len(transport.requests) == 1


def test_near_misses_of_running_campaigns_are_warnings():
    campaigns = [
        Campaign(name="Thanks", event="payment_completed", state=RUNNING),
        Campaign(name="Old", event="Payment Completed", state=STOPPED),
        Campaign(name="Bye", event="ended", state=DRAFT),
        Campaign(name="Welcome", event="started", state=RUNNING),
        Campaign(name="Trial", event="trial", state=RUNNING),
        Campaign(name="Group", event="", state=RUNNING),
    ]
    found = compare_names(["Payment Completed", "ended", "started", "unused"], campaigns)
    assert [(item.level, item.event, item.reason.code) for item in found] == [
        (Level.WARNING, "Payment Completed", "event_name_near"),
        (Level.WARNING, "ended", "event_campaign_off"),
        (Level.ADDITION, "unused", "event_unused"),
        (Level.ADDITION, "trial", "campaign_waits"),
    ]
    assert 'Campaign "Thanks" waits for payment_completed.' in str(found[0].reason)


def test_near_miss_of_a_name_that_another_campaign_uses_is_told():
    campaigns = [Campaign(name=name, event=name, state=RUNNING) for name in ("Paid", "paid")]
    (found,) = compare_names(["paid"], campaigns)
    assert (found.level, found.event, found.reason.code) == (Level.WARNING, "Paid", "campaign_name_near")


@pytest.mark.parametrize("name", ["Payment Completed", "PAYMENT.COMPLETED", "payment-completed", "paymentCompleted"])
def test_case_spaces_and_separators_make_near_misses(name):
    (warning,) = compare_names([name], [Campaign(name="T", event="payment_completed", state=RUNNING)])
    assert warning.reason.code == "event_name_near"


async def test_requests_that_name_no_readable_person_are_not_looked_up():
    transport = Recorded()
    told = await inspection().failures(transport, sent(identify(id="***"), {"type": "object"}), 0, 1)
    assert (told.reason.code, transport.requests) == ("app_api_nobody", [])


def test_names_are_those_of_events_alone():
    person = {"type": "person", "identifiers": {"id": "u"}}
    v1 = "https://track.customer.io/api/v1/"
    requests = [
        *sent({**person, "action": "event", "name": "paid"}, {**person, "action": "page", "name": "Home"}),
        *sent({**person, "action": "identify", "name": "Ada"}, {**person, "action": "event", "name": None}),
        *sent({"name": "ended", "data": {}}, url=f"{v1}customers/u/events"),
        *sent({"name": "Home", "type": "page"}, url=f"{v1}customers/u/events"),
        *sent({"name": "asked"}, url=f"{v1}events"),
        *sent({"name": "Ada"}, url=f"{v1}customers/u"),
        RequestRecord(method="POST", url="", headers={}, body='{"type":"person","na'),
    ]
    assert inspection().event_names(requests * 2) == ("paid", "ended", "asked")
