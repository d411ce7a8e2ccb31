"""The Customer.io connector: sent calls, corrections, and the meaning of responses."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.connectors import Blocked, Deferred, Delivered, Finding, NoResponse, Origin, Refused, Response
from nicobar.connectors.customerio import CustomerIo
from nicobar.errors import UserError
from nicobar.model import Call, Customer, Level
from nicobar.reasons import plain
from support.json_counts import counted

ADA = Customer(key="cus_1", email="ada@northpine.example", name="Ada")
ENTITY = "https://track.customer.io/api/v2/entity"
SECRETS = {"site_id": "site-5d1f", "api_key": "key-99ab"}


def destination(**settings):
    return CustomerIo().open(settings, SECRETS)


def origin(customer=ADA, test=""):
    return Origin(
        message_id="msg_1",
        endpoint_id="ep_1",
        occurred_at_ms=1_789_000_000_123,
        now_ms=9,
        customer=customer,
        test=test,
    )


def person(action: str, **more: object) -> dict[str, object]:
    return {"type": "person", "action": action, "identifiers": {"id": "cus_1"}, **more}


def call(payload: object, url: str = ENTITY, method: str = "POST") -> Call:
    return Call(method=method, url=url, headers={}, payload=payload)


def bodies(prepared) -> list[dict[str, object]]:
    return [msgspec.json.decode(call.body) for call in prepared.calls]


def answer(status: int, body: bytes = b"{}\n", **headers: str) -> Response:
    return Response(status=status, headers=headers, body=body, duration_ms=1)


def rules(prepared, level=None) -> list[str]:
    return [verdict.rule for verdict in prepared.verdicts if level in {None, verdict.level}]


def test_unknown_action_with_a_name_is_sent_as_event():
    prepared = destination().prepare([call(person("plan_begun", name="Plan Begun"))], origin())
    profile, event = bodies(prepared)
    assert (profile["action"], profile["attributes"]) == ("identify", {"email": ADA.email, "name": "Ada"})
    assert (event["action"], event["name"], event["timestamp"]) == ("event", "Plan Begun", 1_789_000_000)
    assert len(event["id"]) == 26
    verdict = next(verdict for verdict in prepared.verdicts if verdict.rule == "action_corrected")
    assert (verdict.level, verdict.path) == (Level.CORRECTION, "[0].payload.action")
    assert "plan_begun" in str(verdict.reason)
    assert 'action: "event"' in verdict.reason.fix()


def test_event_id_is_stable_across_attempts_and_unique_by_position():
    calls = [call([person("event", name="a"), person("event", name="a")])]
    first, second = bodies(destination(keep_profile=False).prepare(calls, origin()))
    assert first["id"] != second["id"]
    assert bodies(destination(keep_profile=False).prepare(calls, origin()))[0]["id"] == first["id"]


def test_given_ulid_and_timestamp_stay_but_other_ids_change():
    given_id = "01K4VJ0W00QF7D2S9N3B6X8C1M"
    kept = destination(keep_profile=False).prepare(
        [call(person("event", name="a", id=given_id, timestamp=5)), call(person("event", name="a", id="order-7"))],
        origin(),
    )
    first, second = bodies(kept)
    assert (first["id"], first["timestamp"]) == (given_id, 5)
    assert second["id"] != "order-7"
    assert rules(kept, Level.CORRECTION) == ["event_id_corrected"]
    assert rules(kept, Level.ADDITION) == ["timestamp_added"]


def sent_id(message: str = "msg_1", at_ms: int = 1_789_000_000_123, **event: object) -> object:
    about = msgspec.structs.replace(origin(), message_id=message, occurred_at_ms=at_ms)
    given = person("event", **{"name": "a", "id": "order-7", **event})
    (body,) = bodies(destination(keep_profile=False).prepare([call(given)], about))
    return body["id"]


def test_natural_id_identifies_the_event_across_messages():
    first_id = sent_id()
    assert sent_id("msg_2", at_ms=1_789_000_999_000, attributes={"n": 1}) == first_id
    assert sent_id("msg_2", identifiers={"id": "cus_2"}) != first_id, "of another person"
    assert sent_id("msg_2", name="b") != first_id, "of another name"
    assert sent_id("msg_2", id="order-8") != first_id


def test_natural_id_identifies_the_event_in_v1_too():
    def sent(message: str, who: str) -> object:
        url = f"https://track.customer.io/api/v1/customers/{who}/events"
        about = msgspec.structs.replace(origin(), message_id=message)
        return bodies(destination().prepare([call({"name": "a", "id": "order-7"}, url)], about))[0]["id"]

    assert sent("msg_1", "cus_1") == sent("msg_2", "cus_1") != sent("msg_2", "cus_2")
    assert sent("msg_1", "order%2D7") != sent("msg_2", "order%2D7"), "it is the person's own id"


@pytest.mark.parametrize("mistaken", ["cus_1", "", 5, {}, ["order-7"]])
def test_id_that_is_the_persons_does_not_merge_events(mistaken):
    assert sent_id("msg_1", id=mistaken) != sent_id("msg_2", id=mistaken)


def test_profile_precedes_the_event_once_until_it_changes():
    it = destination()
    event = [call(person("event", name="a"))]
    first = it.prepare(event, origin())
    assert [body["action"] for body in bodies(first)] == ["identify", "event"]
    it.read(first.calls, answer(200))
    assert [body["action"] for body in bodies(it.prepare(event, origin()))] == ["event"]
    changed = Customer(key="cus_1", email="new@northpine.example")
    assert [body["action"] for body in bodies(it.prepare(event, origin(changed)))] == ["identify", "event"]


def actions(prepared) -> list[object]:
    return [body.get("action") for body in bodies(prepared)]


EVENT = [call(person("event", name="a"))]
OTHERS = [
    call(person("identify", attributes={"email": "other@northpine.example"})),
    call(person("delete")),
    call({**person("merge"), "primary": {"id": "cus_1"}, "secondary": {"id": "cus_2"}}),
    call({"type": "person", "action": "merge", "primary": {"id": "cus_2"}, "secondary": {"id": "cus_1"}}),
    call(person("suppress")),
    call({"email": "other@northpine.example"}, "https://track.customer.io/api/v1/customers/cus_1", "PUT"),
    call(None, "https://track.customer.io/api/v1/customers/cus_1", "DELETE"),
    call(None, "https://track.customer.io/api/v1/customers/cus%5F1/suppress"),
    call(
        {"primary": {"id": "cus_1"}, "secondary": {"id": "cus_2"}},
        "https://track.customer.io/api/v1/merge_customers",
    ),
]


def test_profile_is_sent_on_every_change():
    it = destination()
    for email in ("a@northpine.example", "b@northpine.example", "a@northpine.example"):
        prepared = it.prepare(EVENT, origin(Customer(key="cus_1", email=email)))
        assert actions(prepared) == ["identify", "event"]
        it.read(prepared.calls, answer(200))


@pytest.mark.parametrize("other", OTHERS, ids=lambda item: f"{item.method} {item.url[-12:]} {str(item.payload)[:40]}")
def test_profile_is_resent_after_calls_that_may_change_it(other):
    it = destination()
    it.read(it.prepare(EVENT, origin()).calls, answer(200))
    assert actions(it.prepare(EVENT, origin())) == ["event"]
    changing = it.prepare([other], origin())
    assert changing.calls, changing.verdicts
    it.read(changing.calls, NoResponse(reason=plain("timed out after 15000 ms"), duration_ms=15_000))
    assert actions(it.prepare(EVENT, origin())) == ["identify", "event"], "it may have arrived all the same"


def test_profiles_are_remembered_in_the_order_of_a_request():
    it = destination()
    calls = [*it.prepare(EVENT, origin()).calls, *it.prepare([OTHERS[0]], origin()).calls]
    it.read(calls, answer(200))
    assert actions(it.prepare(EVENT, origin())) == ["identify", "event"]


@pytest.mark.parametrize("customer", [None, Customer(key="cus_1"), Customer(key="cus_2", email="x@y.example")])
def test_no_profile_is_guessed(customer):
    assert len(destination().prepare([call(person("event", name="a"))], origin(customer)).calls) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/api/v2/entity",
        "https://track.customer.io.evil.example/api/v2/entity",
        "https://track.customer.io@evil.example/api/v2/entity",
        "http://track.customer.io/api/v2/entity",
        "https://track.customer.io/../x",
        "/api/v2/entity",
        "",
    ],
)
def test_credentials_go_to_no_other_host(url):
    prepared = destination().prepare([call(person("identify"), url)], origin())
    assert (prepared.calls, rules(prepared)) == ((), ["host"])


def test_a_hard_coded_host_goes_to_the_endpoint_s_own():
    it = destination(base_url="http://127.0.0.1:9", keep_profile=False)
    (item,) = it.prepare([call(person("event", name="a"))], origin()).calls
    assert it.pack([item]).url == "http://127.0.0.1:9/api/v2/entity"
    it = destination(region="eu")
    (item,) = it.prepare([call({"plan": "a"}, "https://track.customer.io/api/v1/customers/5", "PUT")], origin()).calls
    request = it.pack([item])
    assert (request.method, request.url) == ("PUT", "https://track-eu.customer.io/api/v1/customers/5")
    assert not item.batchable


def test_several_calls_share_a_batch_of_exactly_their_bytes():
    it = destination()
    calls = it.prepare([call(person("event", name="a"))], origin()).calls
    request = it.pack(calls)
    assert request.url.endswith("/api/v2/batch")
    assert msgspec.json.decode(request.body) == {"batch": [msgspec.json.decode(call.body) for call in calls]}
    assert request.headers["authorization"] == "Basic c2l0ZS01ZDFmOmtleS05OWFi"
    assert request.shown_headers["authorization"] == "***"


def test_calls_keep_the_order_of_the_handler():
    calls = [
        call({"plan": "a"}, "https://track.customer.io/api/v1/customers/5", "PUT"),
        call(person("event", name="first")),
        call(None, "https://track.customer.io/api/v1/customers/6", "DELETE"),
        call({"batch": [person("event", name="second"), person("event", name="third")]}),
    ]
    prepared = destination(keep_profile=False).prepare(calls, origin())
    names = [msgspec.json.decode(call.body)["name"] if call.batchable else call.method for call in prepared.calls]
    assert names == ["PUT", "first", "DELETE", "second", "third"]


def outcomes(it, count: int, response) -> list[object]:
    calls = it.prepare([call([person("event", name=str(n)) for n in range(count)])], origin(None)).calls
    return it.read(calls, response)


def test_207_fails_only_the_listed_items():
    body = b'{"errors":[{"batch_index":1,"reason":"required","field":"name","message":"no"}]}'
    first, second, third = outcomes(destination(), 3, answer(207, body))
    assert (first, third) == (Delivered(), Delivered())
    assert isinstance(second, Refused)
    assert "required name no" in str(second.reason)


@pytest.mark.parametrize("body", [b'{"errors":{"a":1}}', b'{"errors":"x"}', b'{"errors":[{"batch_index":7}]}'])
def test_inconsistent_errors_in_a_200_count_too(body):
    assert all(
        isinstance(outcome, Deferred) and outcome.alone for outcome in outcomes(destination(), 3, answer(200, body))
    )
    (alone,) = outcomes(destination(), 1, answer(200, body))
    assert isinstance(alone, Deferred)
    assert alone.foreign


@pytest.mark.parametrize("body", [b'{"meta":{"error":"no"}}', b'{"meta":{"errors":["no"]}}'])
def test_an_error_of_v1_inside_a_200_rejects_the_call(body):
    assert isinstance(outcomes(destination(), 1, answer(200, body))[0], Refused)
    assert all(
        isinstance(outcome, Deferred) and outcome.alone for outcome in outcomes(destination(), 2, answer(200, body))
    )


@pytest.mark.parametrize(
    "body", [b"{}", b"{}\n", b'{"errors":null}', b'{"errors":[]}', b'{"warnings":[1],"meta":{}}']
)
def test_an_object_without_errors_accepts_every_call(body):
    assert outcomes(destination(), 3, answer(200, body)) == [Delivered()] * 3


FOREIGN = [
    b"",
    b" \n",
    b"<html>sign in</html>",
    b'{"err',
    b'{"errors":[{"batch_index":0',
    b"[]",
    b'["ok"]',
    b'"ok"',
    b"ok",
    b"1",
    b"true",
    b"null",
    b"{} {}",
    b"\xef\xbb\xbf{}",
    b"\x1f\x8b\x08\x00",
    b"\xff",
    b"[" * 100_000,
    b'{"error":"blocked by policy"}',
]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 207, 226, 299])
@pytest.mark.parametrize("body", FOREIGN, ids=lambda body: repr(body[:12]))
def test_foreign_response_is_an_outage(status, body):
    for count in (1, 3):
        for outcome in outcomes(destination(), count, answer(status, body)):
            assert isinstance(outcome, Deferred)
            assert (outcome.failing, outcome.foreign, outcome.alone) == (True, True, False)
            assert f"The response (status {status}) is " in str(outcome.reason)
            assert "not from Customer.io" in str(outcome.reason)


def test_the_start_of_a_foreign_answer_is_in_the_reason():
    (result,) = outcomes(destination(), 1, answer(200, b"<p>" + b"x" * 5_000))
    assert str(result.reason).endswith(f"It starts with: <p>{'x' * 297}")


@pytest.mark.parametrize("body", [b"{" + b" " * 99 + b"}", b'{"errors":[]}', b'{"errors":[{"batch_index":0}]}'])
def test_an_answer_beyond_the_bound_is_never_success(body):
    cut = msgspec.structs.replace(answer(200, body), truncated=True)
    assert all(isinstance(outcome, Deferred) and outcome.foreign for outcome in outcomes(destination(), 2, cut))


FORM = call({"data": {"email": "ada@northpine.example"}}, "https://track.customer.io/api/v1/forms/f1/submit")
V1_EVENT = call({"name": "a"}, "https://track.customer.io/api/v1/customers/cus_1/events")


def test_an_empty_answer_is_success_only_where_it_is_documented():
    for prepared_call, status, kind in (
        (FORM, 204, Delivered),
        (FORM, 200, Deferred),
        (FORM, 202, Deferred),
        (V1_EVENT, 204, Deferred),
        (V1_EVENT, 200, Deferred),
    ):
        it = destination()
        (outcome,) = it.read(it.prepare([prepared_call], origin(None)).calls, answer(status, b""))
        assert type(outcome) is kind, (prepared_call.url, status)


async def checked(body: bytes, status: int = 200, *, truncated: bool = False):
    class Answering:
        async def send(self, _request):
            return msgspec.structs.replace(answer(status, body), truncated=truncated)

    return await destination().check_credentials(Answering())


@pytest.mark.parametrize(
    "body", [*FOREIGN, b"{}", b'{"region":null}', b'{"region":["us"]}', b'{"region":{}}', b'{"region":"mars"}']
)
async def test_a_foreign_answer_does_not_make_credentials_good(body):
    found = await checked(body)
    assert (found.ok, found.finding) == (False, Finding.NO_ANSWER)
    assert "not from Customer.io" in str(found.reason)


async def test_the_documented_answer_makes_credentials_good():
    body = b'{"url":"https://track.customer.io","region":"us","environment_id":1}'
    assert (await checked(body)).finding is Finding.GOOD
    assert not (await checked(body, truncated=True)).ok


@pytest.mark.parametrize("status", [404, 405])
def test_a_call_of_v1_that_is_not_found_is_retried(status):
    it = destination()
    (outcome,) = it.read(it.prepare([V1_EVENT], origin(None)).calls, answer(status))
    assert isinstance(outcome, Deferred)
    assert (outcome.failing, outcome.reached) == (False, True)


@pytest.mark.parametrize("status", [302, 401, 403, 404])
def test_reason_of_a_hold_contains_the_response(status):
    (result,) = outcomes(destination(), 1, answer(status, b"go away"))
    assert f"responded with {status}: go away" in str(result.reason)
    assert "Check" in str(result.reason)


def test_errors_inside_a_200_count_too():
    body = b'{"errors":[{"reason":"invalid","field":"name"}]}'
    assert isinstance(outcomes(destination(), 1, answer(200, body))[0], Refused)


@pytest.mark.parametrize(
    "body",
    [
        b'{"errors":[{"reason":"x"}]}',
        b'{"errors":[{"batch_index":9}]}',
        b'{"errors":[5]}',
        b'{"errors":[]}',
        b'{"errors":{}}',
        b'{"errors":null}',
        b'{"errors":"name is missing"}',
        b'{"errors":[{"batch_index":-1,"reason":"x"}]}',
        b'{"errors":[{"batch_index":true,"reason":"x"}]}',
        b'{"errors":[{"batch_index":1.0,"reason":"x"}]}',
        b'{"errors":[{"batch_index":"1","reason":"x"}]}',
        b'{"errors":[{"batch_index":1,"reason":"x"},{"batch_index":1,"reason":"y"}]}',
        b'{"errors":[{"batch_index":1,"reason":"x"},null]}',
        b'{"errors":[{"batch_index":0},{"batch_index":1},{"batch_index":2},{"batch_index":3}]}',
        b"{}",
    ],
)
def test_unnamed_rejection_is_searched_in_smaller_requests(body):
    assert all(
        isinstance(outcome, Deferred) and outcome.alone for outcome in outcomes(destination(), 3, answer(207, body))
    )


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_rejected_batch_is_split_and_rejected_call_is_final(status):
    assert all(
        isinstance(outcome, Deferred) and outcome.alone for outcome in outcomes(destination(), 2, answer(status))
    )
    assert isinstance(outcomes(destination(), 1, answer(status))[0], Refused)


@pytest.mark.parametrize("status", [301, 302, 308, 401, 402, 403, 404, 405, 407])
def test_configuration_errors_block_the_endpoint(status):
    assert all(isinstance(outcome, Blocked) for outcome in outcomes(destination(), 2, answer(status)))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_temporary_errors_are_retried(status):
    (result,) = outcomes(destination(), 1, answer(status, b"", **{"retry-after": "7"}))
    assert isinstance(result, Deferred)
    assert (result.retry_after_ms, result.throttled, result.alone) == (7_000, status == 429, False)


def test_missing_response_is_retried():
    (result,) = outcomes(destination(), 1, NoResponse(reason=plain("timed out after 15000 ms"), duration_ms=15_000))
    assert isinstance(result, Deferred)
    assert "timed out" in str(result.reason)


@pytest.mark.parametrize(
    ("settings", "credentials", "word"),
    [
        ({}, {"site_id": "a"}, "api_key"),
        ({}, {"site_id": "a:b", "api_key": "c"}, "colon"),
        ({"region": "mars"}, SECRETS, "region"),
        ({"base_url": "ftp://x"}, SECRETS, "base_url"),
        ({"base_url": "http://u:p@x"}, SECRETS, "base_url"),
        ({"color": "red"}, SECRETS, "color"),
        ({"keep_profile": "yes"}, SECRETS, "keep_profile"),
        ({}, {"site_id": "a", "api_key": "ключ"}, "api_key"),
    ],
)
def test_invalid_settings_are_named(settings, credentials, word):
    with pytest.raises(UserError, match=word) as caught:
        CustomerIo().open(settings, credentials)
    assert "key-99ab" not in str(caught.value)


def test_test_events_have_their_own_ids_and_plain_profiles():
    ulid = "01J8ZQ6V5M3X5T9W8Y7R4K2N1P"
    calls = [
        call(person("event", name="a", id=ulid)),
        call(person("event", name="b", attributes={"amount": 5})),
        call(person("identify", attributes={"email": "ada@northpine.example"})),
        call({"name": "c", "data": {}}, "https://track.customer.io/api/v1/customers/cus_1/events"),
    ]
    real = bodies(destination().prepare(calls, origin()))
    test = bodies(destination().prepare(calls, origin(test="t1")))
    again = bodies(destination().prepare(calls, origin(test="t2")))
    assert [item.get("attributes", item.get("data")) for item in test] == [
        {"nicobar_test": True},
        {"amount": 5, "nicobar_test": True},
        {"email": "ada@northpine.example"},
        {"nicobar_test": True},
    ]
    ids = [candidate["id"] for ones in (real, test, again) for candidate in ones if "id" in candidate]
    assert len(set(ids)) == len(ids) == 9
    assert all(len(item) == 26 for item in ids)


def test_an_unencoded_question_mark_in_an_id_is_rejected():
    it = destination(keep_profile=False)
    base = "https://track.customer.io/api/v1/customers"
    for path in ("q?x=1", "q?x=1/events", "q?"):
        prepared = it.prepare([call({"plan": "pro"}, f"{base}/{path}", "PUT")], origin())
        assert prepared.calls == (), path
        assert prepared.verdicts[0].reason.fix() == "Encode the id: encodeURIComponent(id).", path
    encoded = call({"plan": "pro"}, f"{base}/q%3Fx%3D1", "PUT")
    assert it.prepare([encoded], origin()).calls[0].url == f"{base}/q%3Fx%3D1"


@pytest.mark.parametrize(
    "url",
    [
        "https://track.customer.io.evil.example/api/v2/entity",
        "https://track.customer.io:8443/api/v2/entity",
        "http://track.customer.io/api/v2/entity",
        "https://x.track.customer.io/api/v2/entity",
        "https://track.customer.io@evil.example/api/v2/entity",
        "https://track.customer.io\\@evil.example/api/v2/entity",
        "https://track.customer.io//evil.example/api/v2/entity",
        "https://track.customer.io/../api/v2/entity",
        "https://evil.example/api/v2/entity",
    ],
)
def test_a_look_alike_host_never_gets_credentials(url):
    it = destination(keep_profile=False)
    payload = {"type": "person", "identifiers": {"id": "u"}, "action": "event", "name": "paid"}
    calls = it.prepare(
        [Call(method="POST", url=url, headers={"Host": "evil.example"}, payload=payload)], origin()
    ).calls
    for call in calls:
        request = it.pack([call])
        assert request.url == "https://track.customer.io/api/v2/entity"
        assert "host" not in {name.lower() for name in request.headers}


def test_each_call_is_encoded_once_and_never_decoded_again():
    it = destination()
    own = [call(person("event", name=name, attributes={"items": [1, 2]})) for name in "ab"]
    with counted("encode", lambda value: isinstance(value, dict) and "action" in value) as encoded:
        prepared = it.prepare(own, origin())
    assert actions(prepared) == ["identify", "event", "event"]
    assert len(encoded) == 3
    sent = {call.body for call in prepared.calls}
    with counted("decode", lambda content: content in sent) as decoded:
        it.read(prepared.calls, answer(200))
    assert decoded == []
    assert actions(it.prepare(own, origin())) == ["event", "event"], "the profile is known now"
