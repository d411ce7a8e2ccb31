"""What every connector promises. Another one joins by its line in `CONNECTORS` alone."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nicobar.addresses import RefusedAddress
from nicobar.connectors import Blocked, Deferred, Delivered, Finding, Gone, NoResponse, Origin, Refused, Response
from nicobar.connectors.registry import CONNECTORS, connector
from nicobar.errors import UserError
from nicobar.model import Call, Customer, Level
from nicobar.reasons import plain
from support.toy_kinds import toy_connector

ORIGIN = Origin(
    message_id="msg_1",
    endpoint_id="ep_1",
    occurred_at_ms=1_789_000_000_123,
    now_ms=1_789_000_000_999,
    customer=Customer(key="cus_1", email="ada@northpine.example", name="Ada"),
)
every_connector = pytest.mark.parametrize("tested", [*CONNECTORS, toy_connector()], ids=lambda item: item.kind)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
ENTITY = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["person", "object", "delivery"]) | JSON,
        "action": st.sampled_from(["event", "identify", "merge", "other"]) | JSON,
        "name": JSON,
        "identifiers": st.fixed_dictionaries({"id": st.text()}) | JSON,
        "attributes": JSON,
        "timestamp": JSON,
        "id": JSON,
        "batch": JSON,
    },
)


def opened(item):
    return item.open(item.example.settings, item.example.credentials)


def good(it, number: int) -> Call:
    payload = {"type": "person", "action": "event", "name": f"n{number}", "identifiers": {"id": "cus_2"}}
    return Call(method="POST", url=it.url, headers={}, payload=payload)


def answer(status: int, body: bytes = b"", **headers: str) -> Response:
    return Response(status=status, headers=headers, body=body, duration_ms=1)


@pytest.mark.slow
@every_connector
@given(
    payloads=st.lists(JSON | ENTITY, min_size=1, max_size=3),
    path=st.sampled_from(["", "", "/api/v1/x", "x", "/../x"]),
    method=st.sampled_from(["POST", "PUT", "DELETE"]),
)
@example(payloads=[{"action": []}], path="", method="POST")
@example(payloads=[{"type": "person", "action": []}], path="", method="POST")
@example(payloads=[{"type": "person", "batch": []}], path="", method="POST")
@example(payloads=[[]], path="", method="POST")
@example(payloads=["\ud800"], path="", method="PUT")
@example(payloads=[10**5000], path="", method="POST")
def test_any_payload_gives_the_same_calls_or_errors(tested, payloads, path, method):
    it = opened(tested)
    asked = [Call(method=method, url=it.url + path, headers={}, payload=payload) for payload in payloads]
    prepared = it.prepare(asked, ORIGIN)
    assert it.prepare(asked, ORIGIN) == prepared
    assert bool(prepared.calls) is not any(verdict.level is Level.ERROR for verdict in prepared.verdicts)
    assert all(
        verdict.path and verdict.reason.detail() and verdict.reason.fix() and verdict.source
        for verdict in prepared.verdicts
    )
    for call in prepared.calls:
        assert not {"authorization", "content-length", "host"} & {name.lower() for name in call.headers}
        assert it.pack([call]).body == call.body


@every_connector
@given(status=st.integers(100, 599), body=st.binary() | JSON.map(lambda value: repr(value).encode()))
def test_every_answer_gives_each_call_an_outcome(tested, status, body):
    it = opened(tested)
    calls = it.prepare([good(it, number) for number in range(3)], ORIGIN).calls
    assert len(calls) == 3
    together = list(calls) if it.batch_bounds else [calls[0]]
    outcomes = it.read(together, answer(status, body))
    assert len(outcomes) == len(together)
    assert all(isinstance(outcome, Delivered | Refused | Deferred | Blocked | Gone) for outcome in outcomes)


@every_connector
def test_calls_stay_in_the_handler_s_order(tested):
    it = opened(tested)
    prepared = it.prepare([good(it, number) for number in range(9)], ORIGIN)
    places = [next(n for n in range(9) if f'"n{n}"'.encode() in call.body) for call in prepared.calls]
    assert places == list(range(9))


@every_connector
@pytest.mark.parametrize(
    ("given_answer", "kind"),
    [
        (answer(200, b"{}"), Delivered),
        (answer(408), Deferred),
        (answer(425), Deferred),
        (answer(429), Deferred),
        (answer(500), Deferred),
        (answer(503), Deferred),
        (NoResponse(reason=plain("connection refused"), duration_ms=1), Deferred),
    ],
    ids=lambda value: str(getattr(value, "status", "")) or getattr(value, "__name__", "none"),
)
def test_what_the_answers_of_http_mean(tested, given_answer, kind):
    it = opened(tested)
    calls = it.prepare([good(it, 0)], ORIGIN).calls
    (outcome,) = it.read(calls, given_answer)
    assert type(outcome) is kind
    assert kind is Delivered or outcome.reason


@every_connector
@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [
        ({"retry-after": "7"}, 7_000),
        ({"retry-after": "999999999999"}, 86_400_000),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:27:30 GMT"}, 30_000),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": "Wed, 21 Oct 2026 07:27:30 GMT"}, 0),
        ({"retry-after": "9" * 5_000}, 86_400_000),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, 86_400_000),
        ({"retry-after": "Mon, 01 Jan 0001 00:00:00 +2359"}, 0),
        ({"retry-after": "\u0667"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_what_the_destination_asks_to_be_waited_is_read(tested, headers, wait_ms):
    it = opened(tested)
    calls = it.prepare([good(it, 0)], ORIGIN).calls
    (outcome,) = it.read(calls, answer(429, **headers))
    assert (outcome.throttled, outcome.retry_after_ms) == (True, wait_ms)


@every_connector
def test_blocked_own_address_puts_the_endpoint_on_hold(tested):
    it = opened(tested)
    calls = it.prepare([good(it, 0)], ORIGIN).calls
    refused = RefusedAddress(host="crm.internal", entry="crm.internal:80")
    outcomes = it.read(calls, NoResponse(reason=plain("x"), duration_ms=1, refused=refused))
    assert all(isinstance(outcome, Blocked) for outcome in outcomes)
    assert all("add crm.internal:80 to allowed_addresses" in str(outcome.reason) for outcome in outcomes)


class Nowhere:
    """A transport to a host that may not be reached."""

    refused = RefusedAddress(host="crm.internal", entry="crm.internal:80")

    async def send(self, _request):
        return NoResponse(reason=plain("x"), duration_ms=1, refused=self.refused)

    async def refused_address(self, _url):
        return self.refused


@every_connector
async def test_a_check_names_the_address_to_allow(tested):
    checkup = await opened(tested).check_credentials(Nowhere())
    assert (checkup.ok, checkup.finding) == (False, Finding.REFUSED_ADDRESS)
    assert "NICOBAR_ALLOWED_ADDRESSES=crm.internal:80" in str(checkup.reason)


@every_connector
def test_secrets_are_never_displayed(tested):
    it = opened(tested)
    prepared = it.prepare([good(it, 0)], ORIGIN)
    request = it.pack(prepared.calls)
    shown = request.shown_headers
    for secret in tested.example.credentials.values():
        assert secret not in repr((prepared, shown, request.url, request.body, it, request))


@pytest.mark.parametrize(
    "name", ["Authorization", "X-Api-Key", "cookie", "Proxy-Authorization", "x-auth-token", "X-Shop-Secret"]
)
def test_a_credential_that_a_handler_sets_is_masked(name):
    it = opened(connector("http"))
    call = Call(method="POST", url=it.url, headers={name: "s3cr3t-value", "x-plan": "pro"}, payload={})
    request = it.pack(it.prepare([call], ORIGIN).calls)
    assert request.headers[name.lower()] == "s3cr3t-value"
    assert request.shown_headers == {**request.headers, name.lower(): "***"}
    assert "s3cr3t-value" not in repr(request)


@every_connector
@pytest.mark.parametrize("damage", ["unknown setting", "unknown credential", "missing", "not a text"])
def test_invalid_fields_are_named_without_secrets(tested, damage):
    settings, secrets = dict(tested.example.settings), dict(tested.example.credentials)
    name = next(field.name for field in tested.fields if field.name in secrets)
    match damage:
        case "unknown setting":
            settings["color"] = "red"
        case "unknown credential":
            secrets["color"] = "red-secret"
        case "missing":
            del secrets[name]
        case _:
            secrets[name] = "žluťoučký"
    with pytest.raises(UserError) as caught:
        tested.open(settings, secrets)
    assert caught.value.fix
    assert "color" in str(caught.value) or name in str(caught.value)
    assert not any(
        secret in str(caught.value) for secret in (*tested.example.credentials.values(), "red-secret", "žluť")
    )


def test_unknown_kind_error_lists_the_available_kinds():
    with pytest.raises(UserError, match="customerio"):
        connector("carrier-pigeon")


@every_connector
def test_its_texts_are_sentences_and_its_recipes_have_code(tested):
    assert tested.name
    assert 1 <= len(tested.monogram) <= 5
    assert tested.setup
    texts = (tested.summary, *tested.setup, *tested.test_notes, *(recipe.summary for recipe in tested.recipes))
    assert all(text.endswith(".") for text in texts)
    assert all("function handler" in recipe.code for recipe in tested.recipes)


@every_connector
def test_every_prepared_call_is_described(tested):
    it = opened(tested)
    (*_, call) = it.prepare([good(it, 0)], ORIGIN).calls
    assert tested.describe(call)
    assert len(tested.describe(call)) < 50
