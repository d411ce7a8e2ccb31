"""Messages and attempts through the real Svix client; operations it lacks, through plain HTTP."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from svix.api import (
    MessageAttemptListAttemptedDestinationsOptions,
    MessageAttemptListAttemptedMessagesOptions,
    MessageAttemptListByEndpointOptions,
    MessageAttemptListByMsgOptions,
    MessageCreateOptions,
    MessageListOptions,
)
from svix.api.message import message_in_raw
from svix.exceptions import HttpError, HTTPValidationError
from svix.models import (
    BulkExpungeContentsIn,
    EndpointIn,
    MessageIn,
    MessagePrecheckIn,
    MessageStatus,
    StatusCodeClass,
)

from nicobar.model import Scope
from nicobar.reasons import plain
from nicobar.store import DisableEndpoint, PauseEndpoint
from nicobar.web.api import attempted_messages
from nicobar.web.asgi import headers_of, read_body, send_json
from support.api import asking
from support.http import serving
from support.patience import PATIENCE_MS, PATIENCE_S
from support.server import ADA
from support.svix_clients import async_client, blocking_client

HANDLER = """function handler(webhook) {
  if (webhook.eventType === "bad") { throw new Error("no"); }
  if (webhook.eventType === "left.out") { webhook.cancel = true; return webhook; }
  webhook.payload = nicobar.event("paid", {plan: (webhook.transformationsParams || {}).plan || "none"});
  return webhook;
}"""
PAYLOAD = {"data": {"customer": {"customer_id": ADA.key, "email": ADA.email, "name": ADA.name}}}
EVERYTHING = MessageListOptions(with_content=True)


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path, HANDLER) as it:
        yield it


@pytest.fixture
async def svix(api):
    async with async_client(api) as it:
        yield it


@pytest.fixture
def endpoint_id(api):
    return api.nicobar.runtime.configuration.snapshot.endpoints[0].id


def event(event_type="payment.succeeded", **fields) -> MessageIn:
    return MessageIn(**{"event_type": event_type, "payload": PAYLOAD, **fields})


async def send(svix, api, event_type="payment.succeeded", *, wait=True, **fields):
    made = await svix.message.create("default", event(event_type, **fields), MessageCreateOptions(with_content=True))
    if wait:
        await api.nicobar.next_recorded()
    return made


async def refused(awaitable) -> tuple[int, str]:
    with pytest.raises(HttpError) as caught:
        await awaitable
    return caught.value.status_code, caught.value.code


async def test_a_created_message_is_delivered_and_found_by_both_ids(svix, api):
    made = await send(
        svix, api, event_id="order-7", channels=["red"], tags=["vip"], transformations_params={"plan": "pro"}
    )
    assert (made.event_id, made.channels, made.tags, made.payload) == ("order-7", ["red"], ["vip"], PAYLOAD)
    assert abs(made.timestamp - datetime.now(UTC)) < timedelta(minutes=1)
    for key in (made.id, "order-7"):
        assert (await svix.message.get("default", key)).id == made.id
    (sent,) = [activity for activity in api.nicobar.state.activities if activity.name == "paid"]
    assert sent.data == {"plan": "pro"}


async def test_a_message_without_an_event_id_has_none(svix, api):
    made = await send(svix, api)
    assert made.event_id is None
    assert (await api.ask("GET", f"{api.app}/msg/{made.id}")).body["customerKey"] == ADA.key


async def test_event_id_is_accepted_once(svix, api):
    first = await send(svix, api, event_id="order-7")
    with pytest.raises(HttpError) as caught:
        await send(svix, api, event_id="order-7")
    assert (caught.value.status_code, caught.value.code) == (409, "event_id_exists")
    assert first.id in caught.value.detail


async def test_a_payload_is_kept_byte_for_byte(api):
    raw = b'{"amount": 1.50, "big": 123456789012345678901234567890, "data":  {}}'
    answer = await api.ask("POST", f"{api.app}/msg", b'{"eventType":"a.b","payload":' + raw + b"}")
    assert answer.status == 202
    text = (await api.ask("GET", f"{api.app}/msg/{answer.body['id']}/raw")).body["payload"]
    assert text.encode() == raw


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"eventType": "a b"}, "eventType"),
        ({"payload": [1]}, "payload"),
        ({"payload": None}, "payload"),
        ({"eventId": "a b"}, "eventId"),
        ({"channels": []}, "channels"),
        ({"channels": ["a b"]}, "channels"),
        ({"tags": ["a", "b", "c", "d", "e", "f"]}, "tags"),
        ({"deliverAt": "2020-01-01T00:00:00Z"}, "deliverAt"),
        ({"deliverAt": "2020-01-01T00:00:00"}, "deliverAt"),
    ],
)
async def test_an_invalid_value_is_422_and_names_the_field(api, change, field):
    answer = await api.ask("POST", f"{api.app}/msg", {"eventType": "a.b", "payload": {}, **change})
    assert answer.status == 422, answer
    assert field in str(answer.body["detail"][0])


async def test_a_message_can_be_scheduled(svix, api):
    later = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
    made = await send(svix, api, deliver_at=later, wait=False)
    assert made.deliver_at == later
    (destination,) = (await svix.message_attempt.list_attempted_destinations("default", made.id)).data
    assert destination.next_attempt == later


async def test_messages_are_listed_in_pages_both_ways(svix, api):
    made = [(await send(svix, api)).id for _ in range(5)]
    first = await svix.message.list("default", MessageListOptions(limit=2))
    assert ([entry.id for entry in first.data], first.done) == (made[:2:-1], False)
    assert first.data[0].payload == {}, "the client leaves contents out"
    second = await svix.message.list("default", MessageListOptions(limit=2, iterator=first.iterator))
    third = await svix.message.list("default", MessageListOptions(limit=2, iterator=second.iterator))
    assert ([entry.id for entry in third.data], third.done) == (made[:1], True)
    back = await svix.message.list("default", MessageListOptions(limit=2, iterator=third.prev_iterator))
    assert ([entry.id for entry in back.data], back.done) == (made[2:0:-1], False)
    assert [entry.id for entry in second.data] == made[2:0:-1]
    again = await svix.message.list("default", MessageListOptions(limit=2, iterator=third.iterator))
    assert (again.data, again.done) == ([], True)


async def test_messages_are_filtered(svix, api):
    plain = await send(svix, api)
    special = await send(svix, api, "c.d", channels=["red"], tags=["vip"])

    async def found(**which):
        return [entry.id for entry in (await svix.message.list("default", MessageListOptions(**which))).data]

    assert await found(event_types=["c.d", "e.f"]) == [special.id]
    assert await found(channel="red") == [special.id]
    assert await found(tag="vip") == [special.id]
    assert await found(before=special.timestamp) == [plain.id]
    assert await found(after=plain.timestamp) == [special.id]
    assert await found(after=special.timestamp) == []
    body = {"event_types": ["c.d"], "with_content": True}
    searched = await api.ask("POST", f"{api.app}/msg/search", body)
    assert [(item["id"], item["payload"]) for item in searched.body["data"]] == [(special.id, PAYLOAD)]
    by_text = await api.ask("GET", f"{api.app}/msg?contains={ADA.email}&limit=1")
    assert [item["id"] for item in by_text.body["data"]] == [special.id]
    assert (await api.ask("GET", f"{api.app}/msg?contains=nobody")).body["data"] == []
    assert len((await api.ask("GET", f"{api.app}/msg?customer={ADA.key}")).body["data"]) == 2


async def test_a_stream_of_messages_resumes_where_it_ended(svix, api):
    made = [(await send(svix, api)).id for _ in range(3)]
    first = (await api.ask("GET", f"{api.app}/events?limit=2")).body
    assert ([item["id"] for item in first["data"]], first["done"]) == (made[:2], False)
    second = (await api.ask("GET", f"{api.app}/events?limit=2&iterator={first['iterator']}")).body
    assert ([item["id"] for item in second["data"]], second["done"]) == (made[2:], True)
    nothing = (await api.ask("GET", f"{api.app}/events?iterator={second['iterator']}")).body
    assert (nothing["data"], nothing["done"]) == ([], True)
    new = await send(svix, api, "c.d")
    more = (await api.ask("GET", f"{api.app}/events?event_types=c.d&iterator={nothing['iterator']}")).body
    assert [item["id"] for item in more["data"]] == [new.id]


async def test_an_empty_application_s_stream_begins_with_its_first_message(svix, api):
    empty = (await api.ask("GET", f"{api.app}/events")).body
    made = await send(svix, api)
    more = (await api.ask("GET", f"{api.app}/events?iterator={empty['iterator']}")).body
    assert [item["id"] for item in more["data"]] == [made.id]


async def test_whether_an_endpoint_would_get_a_message_is_told_beforehand(svix, api):
    wanted = await svix.message.precheck("default", MessagePrecheckIn(event_type="a.b"))
    assert wanted.active
    assert not (await svix.message.precheck(await other_app(api), MessagePrecheckIn(event_type="a.b"))).active


async def other_app(api) -> str:
    return (await api.ask("POST", "/api/v1/app", {"name": "Other", "uid": "other"})).body["uid"]


async def test_an_erased_message_is_empty_everywhere_and_cannot_be_resent(svix, api, endpoint_id):
    made = await send(svix, api, event_id="order-7")
    await svix.message.expunge_content("default", "order-7")
    assert (await svix.message.list("default", EVERYTHING)).data[0].payload == {"expired": True}
    attempt = (await svix.message_attempt.list_by_msg("default", made.id)).data[0]
    shown = (await api.ask("GET", f"{api.app}/msg/{made.id}/attempt/{attempt.id}")).body
    assert (shown["requests"], shown["response"], shown["reason"]) == ([], "", "expunged")
    assert await refused(svix.message_attempt.resend("default", made.id, endpoint_id)) == (409, "message_expunged")
    two = await svix.message.bulk_expunge_content("default", BulkExpungeContentsIn(ids=[made.id, "nobody"]))
    assert {key: str(value) for key, value in two.results.items()} == {made.id: "expunged", "nobody": "not-found"}


async def attempted_messages_are_listed_by_endpoint_and_message_with_requests(svix, api, endpoint_id):
    made = await send(svix, api)
    failed = await send(svix, api, "bad")
    left_out = await send(svix, api, "left.out")
    listed = await svix.message_attempt.list_by_endpoint(
        "default", endpoint_id, MessageAttemptListByEndpointOptions(with_content=True, with_msg=True)
    )
    assert [(entry.msg_id, str(entry.status_text), entry.msg.event_type) for entry in listed.data] == [
        (left_out.id, "canceled", "left.out"),
        (failed.id, "fail", "bad"),
        (made.id, "success", "payment.succeeded"),
    ]
    sent = listed.data[2]
    assert (sent.endpoint_id, sent.response_status_code, int(sent.trigger_type)) == (endpoint_id, 200, 0)
    assert sent.url.startswith(api.nicobar.emulator.url)
    assert listed.data[1].url == api.nicobar.runtime.configuration.endpoints[1].destination.url
    (own,) = (await svix.message_attempt.list_by_msg("default", made.id)).data
    assert own.id == sent.id
    assert (await svix.message_attempt.get("default", made.id, own.id)).response == sent.response
    for key in (failed.id, "nobody"):
        assert (await refused(svix.message_attempt.get("default", key, own.id)))[0] == 404
    full = (await api.ask("GET", f"{api.app}/msg/{failed.id}/attempt/{listed.data[1].id}")).body
    assert (full["reason"], full["transformationVersion"]) == ("line 2: The handler threw Error: no", 1)


async def attempted_messages_are_filtered(svix, api, endpoint_id):
    made = await send(svix, api, channels=["red"], tags=["vip"])
    failed = await send(svix, api, "bad")
    left_out = await send(svix, api, "left.out")

    async def found(**which):
        options = MessageAttemptListByEndpointOptions(**which)
        return [
            entry.msg_id
            for entry in (await svix.message_attempt.list_by_endpoint("default", endpoint_id, options)).data
        ]

    assert await found(status=MessageStatus.SUCCESS) == [made.id]
    assert await found(status=MessageStatus.SUCCESS, expanded_statuses=False) == [left_out.id, made.id]
    assert await found(status=MessageStatus.FAIL) == [failed.id]
    assert await found(status=MessageStatus.CANCELED) == [left_out.id]
    assert await found(status=MessageStatus.PENDING) == []
    assert await found(status_code_class=StatusCodeClass.CODE2XX) == [made.id]
    assert await found(status_code_class=StatusCodeClass.CODE_NONE) == [left_out.id, failed.id]
    assert await found(channel="red") == [made.id]
    assert await found(tag="vip") == [made.id]
    assert await found(event_types=["bad"]) == [failed.id]
    assert await found(before=datetime.now(UTC) - timedelta(hours=1)) == []
    assert len(await found(after=datetime.now(UTC) - timedelta(hours=1))) == 3
    message_attempt_list_by_msg_option = MessageAttemptListByMsgOptions(
        endpoint_id=endpoint_id, status=MessageStatus.FAIL
    )
    assert (
        len((await svix.message_attempt.list_by_msg("default", failed.id, message_attempt_list_by_msg_option)).data)
        == 1
    )
    count = await api.ask("GET", f"{api.app}/attempt/endpoint/{endpoint_id}/count?status=2")
    assert count.body == {"count": 1, "approximated": False}
    assert (await api.ask("GET", f"{api.app}/attempt/endpoint/{endpoint_id}/count?status=1")).body["count"] == 0
    assert (await api.ask("GET", f"{api.app}/attempt/endpoint/{endpoint_id}?status=7")).status == 422


async def test_messages_and_endpoints_show_their_delivery_status(svix, api, endpoint_id):
    made = await send(svix, api)
    failed = await send(svix, api, "bad")
    listed = await svix.message_attempt.list_attempted_messages("default", endpoint_id)
    assert [(entry.id, str(entry.status_text)) for entry in listed.data] == [
        (failed.id, "fail"),
        (made.id, "success"),
    ]
    only = MessageAttemptListAttemptedMessagesOptions(status=MessageStatus.FAIL, with_content=True, limit=1)
    (attempted,) = (await svix.message_attempt.list_attempted_messages("default", endpoint_id, only)).data
    assert (attempted.id, attempted.payload) == (failed.id, PAYLOAD)
    page = await svix.message_attempt.list_attempted_destinations(
        "default", made.id, MessageAttemptListAttemptedDestinationsOptions(limit=1)
    )
    (destination,) = page.data
    assert (destination.id, str(destination.status_text), page.done) == (endpoint_id, "success", True)


async def test_an_attempt_s_headers_are_shown_without_credentials(svix, api):
    made = await send(svix, api)
    (attempt,) = (await svix.message_attempt.list_by_msg("default", made.id)).data
    headers = (await api.ask("GET", f"{api.app}/msg/{made.id}/attempt/{attempt.id}/headers")).body
    assert (headers["sensitive"], headers["sentHeaders"]["authorization"]) == (["authorization"], "***")
    assert headers["sentHeaders"]["content-type"] == "application/json"
    assert ["content-length", "3"] in headers["responseHeaders"]


async def test_response_bodies_can_be_deleted(svix, api):
    made = await send(svix, api)
    (attempt,) = (await svix.message_attempt.list_by_msg("default", made.id)).data
    await svix.message_attempt.expunge_content("default", made.id, attempt.id)
    assert (await svix.message_attempt.get("default", made.id, attempt.id)).response == ""
    headers = (await api.ask("GET", f"{api.app}/msg/{made.id}/attempt/{attempt.id}/headers")).body
    assert headers["responseHeaders"] is None
    assert (await refused(svix.message_attempt.expunge_content("default", "other", attempt.id)))[0] == 404


async def test_a_message_is_resent_or_repeated_with_new_ids(svix, api, endpoint_id):
    made = await send(svix, api)
    await svix.message_attempt.resend("default", made.id, endpoint_id)
    await api.nicobar.next_recorded()
    attempts = (await svix.message_attempt.list_by_msg("default", made.id)).data
    assert [int(attempt.trigger_type) for attempt in attempts] == [1, 0]
    assert events(api) == 1, "Customer.io leaves out what it has seen"
    path = f"{api.app}/msg/{made.id}/endpoint/{endpoint_id}/resend?new_ids=true"
    again = await api.ask("POST", path)
    assert (again.status, again.body) == (202, {})
    await api.nicobar.next_recorded()
    assert events(api) == 2


def events(api) -> int:
    return sum(activity.name == "paid" for activity in api.nicobar.state.activities)


async def test_a_resend_that_changes_nothing_says_why(svix, api, endpoint_id):
    await change(api, PauseEndpoint(endpoint_id=endpoint_id, reason=plain("a test")))
    first = await send(svix, api, wait=False)
    second = await send(svix, api, wait=False)
    resend = svix.message_attempt.resend
    assert (await refused(resend("default", "nobody", endpoint_id)))[0] == 404
    assert (await refused(resend("default", first.id, "nobody")))[0] == 404
    assert await refused(resend("default", second.id, endpoint_id)) == (409, "delivery_behind")
    timeline = (await api.ask("GET", f"{api.app}/customer/timeline?key={ADA.key}")).body["data"]
    assert timeline[0]["deliveries"][0]["behind"] == first.id
    await resend("default", first.id, endpoint_id)
    await change(api, DisableEndpoint(endpoint_id=endpoint_id, reason=plain("a test")))
    assert await refused(resend("default", first.id, endpoint_id)) == (409, "endpoint_disabled")


async def test_waiting_deliveries_say_why(svix, api, endpoint_id):
    async def waiting(message) -> dict[str, object]:
        destinations = await api.ask("GET", f"{api.app}/msg/{message.id}/endpoint")
        return destinations.body["data"][0]["waiting"]

    later = await send(svix, api, deliver_at=datetime.now(UTC) + timedelta(hours=2), wait=False)
    due = (await api.ask("GET", f"{api.app}/msg/{later.id}")).body["deliverAt"]
    wait = {"cause": "later", "until": due, "behind": None, "reason": None, "overtakenAt": None}
    assert await waiting(later) == wait
    await change(api, PauseEndpoint(endpoint_id=endpoint_id, reason=plain("a test"), by_hand=True))
    for path in (f"endpoint/{endpoint_id}/msg", f"customer/timeline?key={ADA.key}"):
        (row,) = (await api.ask("GET", f"{api.app}/{path}")).body["data"]
        found = row["waiting"] if "waiting" in row else row["deliveries"][0]["waiting"]
        assert found == {"cause": "paused", "until": None, "behind": None, "reason": "a test", "overtakenAt": None}
    await change(api, PauseEndpoint(endpoint_id=endpoint_id, reason=None))
    await svix.message_attempt.resend("default", later.id, endpoint_id)
    await api.nicobar.next_recorded()
    assert await waiting(later) is None


async def change(api, *changes):
    await api.nicobar.runtime.store.change(changes)
    await api.nicobar.runtime.configuration.refresh()


async def test_resending_a_scheduled_message_delivers_it_at_once(svix, api, endpoint_id):
    waiting = await send(svix, api, deliver_at=datetime.now(UTC) + timedelta(hours=2), wait=False)
    await svix.message_attempt.resend("default", waiting.id, endpoint_id)
    assert (await api.nicobar.next_recorded()).message.id == waiting.id


async def test_a_token_of_one_application_sees_nothing_of_another(svix, api):
    made = await send(svix, api, event_id="order-7")
    other = await other_app(api)
    app_id = (await api.ask("GET", "/api/v1/app/other")).body["id"]
    token = await api.make_token(scope=Scope.APPLICATION, app_id=app_id)
    for path in (f"{api.app}/msg", f"{api.app}/msg/{made.id}", f"/api/v1/app/{other}/msg/{made.id}"):
        assert (await api.ask("GET", path, token=token)).status == 404, path
    assert (await api.ask("GET", f"/api/v1/app/{other}/msg/order-7", token=token)).status == 404
    assert (await api.ask("GET", f"/api/v1/app/{other}/msg", token=token)).body["data"] == []


async def test_a_reading_token_searches_and_sends_nothing(api):
    reader = await api.make_token(scope=Scope.READ_ONLY)
    assert (await api.ask("POST", f"{api.app}/msg/search", {}, token=reader)).status == 200
    body = {"eventType": "a.b", "payload": {}}
    assert (await api.ask("POST", f"{api.app}/msg", body, token=reader)).status == 403
    assert (await api.ask("GET", f"{api.app}/msg")).body["data"] == []


async def test_the_client_that_blocks_works_as_well(api):
    def use() -> list[str]:
        with blocking_client(api) as svix:
            made = svix.message.create("default", event(event_id="order-7"))
            found = svix.message.get("default", "order-7")
            listed = svix.message.list("default", EVERYTHING).data
            return [made.id, found.id, listed[0].id]

    first, *others = await asyncio.to_thread(use)
    assert others == [first, first]


async def test_an_empty_page_after_a_long_search_continues(svix, api, monkeypatch):
    monkeypatch.setattr("nicobar.store.history.MAX_LOOK", 2)
    special = await send(svix, api, tags=["vip"])
    for _ in range(5):
        await send(svix, api)
    pages = [await svix.message.list("default", MessageListOptions(tag="vip"))]
    while not pages[-1].done:
        iterator = pages[-1].iterator
        pages.append(await svix.message.list("default", MessageListOptions(tag="vip", iterator=iterator)))
    assert [[entry.id for entry in page.data] for page in pages] == [[], [], [special.id]]


async def test_wrong_parameters_are_422(api):
    for query in ("limit=0", "limit=251", "iterator=x", "before=yesterday", "after=0.5", "with_content=perhaps"):
        answer = await api.ask("GET", f"{api.app}/msg?{query}")
        assert (answer.status, answer.body["code"]) == (422, "validation"), query


async def test_the_client_tells_validation_apart(svix):
    with pytest.raises(HTTPValidationError):
        await svix.message.create("default", event("a b"))


class Inbox:
    """A receiver of webhooks: each body with its media type."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue()

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            while (kind := (await receive())["type"]) != "lifespan.shutdown":
                await send({"type": f"{kind}.complete"})
            await send({"type": f"{kind}.complete"})
            return
        headers = headers_of(scope)
        body = await read_body(headers, receive, max_bytes=1_000_000, timeout_ms=PATIENCE_MS)
        self.received.put_nowait((body, headers["content-type"]))
        await send_json(send, 200, {})


async def test_a_raw_message_arrives_as_it_is(api, svix):
    inbox = Inbox()
    async with serving(inbox) as server:
        await svix.endpoint.create("default", EndpointIn(url=f"{server.url}/hooks", event_types=["invoice.paid"]))
        raw = message_in_raw("invoice.paid", "<paid>é 1.10</paid>", "application/xml")
        made = await svix.message.create("default", raw)
        async with asyncio.timeout(PATIENCE_S):
            assert await inbox.received.get() == ("<paid>é 1.10</paid>".encode(), "application/xml")
    shown = await api.ask("GET", f"{api.app}/msg/{made.id}/raw")
    assert shown.body == {"payload": "<paid>é 1.10</paid>"}


async def test_personal_data_of_raw_messages_is_masked_for_readers(api):
    reader = await api.make_token(scope=Scope.READ_ONLY)
    xml, json = "<order><phone>+47 22 55 01 99</phone></order>", '{"data":{"billing":{"street":"Alder Court 418"}}}'
    for raw, shown in ((xml, xml.replace("+47 22 55 01 99", "***")), (json, json.replace("Alder Court 418", "***"))):
        body = {"eventType": "invoice.paid", "payload": {}, "transformationsParams": {"rawPayload": raw}}
        made = await api.ask("POST", f"{api.app}/msg", body)
        path = f"{api.app}/msg/{made.body['id']}/raw"
        assert (await api.ask("GET", path)).body == {"payload": raw}
        assert (await api.ask("GET", path, token=reader)).body == {"payload": shown}


async def test_a_test_attempt_returns_what_the_receiver_answered(api, svix):
    inbox = Inbox()
    async with serving(inbox) as server:
        hook = await svix.endpoint.create(
            "default", EndpointIn(url=f"{server.url}/hooks", event_types=["never.sent"], uid="hook")
        )
        message = {"eventType": "invoice.paid", "payload": {"a": 1}}
        answer = await api.ask("POST", f"{api.app}/endpoint/hook/msg/test-attempt", message)
        assert (answer.status, answer.body["responseStatusCode"], answer.body["endpointId"]) == (201, 200, hook.id)
        assert (await inbox.received.get())[0] == b'{"a": 1}'
    sent = await api.ask("GET", f"{api.app}/msg/{answer.body['msgId']}/endpoint")
    assert [item["id"] for item in sent.body["data"]] == [hook.id], "no other endpoint gets it"


async def test_a_test_attempt_that_waits_says_where_its_message_is(api, endpoint_id, monkeypatch):
    monkeypatch.setattr(attempted_messages, "MAX_WAIT_MS", 0)
    await api.nicobar.runtime.store.change([PauseEndpoint(endpoint_id=endpoint_id, reason=plain("no"), by_hand=True)])
    await api.nicobar.runtime.configuration.refresh()
    path = f"{api.app}/endpoint/{endpoint_id}/msg/test-attempt"
    message = {"eventType": "payment.succeeded", "payload": PAYLOAD}
    answer = await api.ask("POST", path, message)
    assert (answer.status, answer.body["code"]) == (409, "attempt_pending")
    (stored,) = (await api.ask("GET", f"{api.app}/msg")).body["data"]
    assert stored["id"] in answer.body["detail"]
    later = {**message, "deliverAt": "2026-11-27T00:00:00Z"}
    assert (await api.ask("POST", path, later)).body["detail"][0]["loc"] == ["body", "deliverAt"]
    named = {**message, "eventId": "evt_1"}
    for query, code in (("?dryRun=true", None), ("", "attempt_pending"), ("?dryRun=true", "event_id_exists")):
        assert (await api.ask("POST", path + query, named)).body.get("code") == code
