"""The connector's contract and the emulator's were written apart from each other; they agree on every call."""

from __future__ import annotations

import copy
import json
from urllib.parse import parse_qs, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nicobar.addresses import AllowedAddresses
from nicobar.connectors import Delivered, Finding, Origin
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.customerio.error_checks import check
from nicobar.connectors.customerio.error_checks_v1 import check_v1
from nicobar.connectors.customerio.track_api import ACTIONS, V1_CALLS, V1_ROOT, v1_call
from nicobar.connectors.payload import encoded
from nicobar.connectors.transport import HttpTransport
from nicobar.emulator import v1
from nicobar.emulator.app import create_app
from nicobar.emulator.contract import Mode, problems
from nicobar.emulator.state import State
from nicobar.model import Call
from nicobar.web.serving import Server
from support.track_calls import FIELDS, TEAM, ULID, V1_BODIES

JUNK = st.sampled_from(
    [
        None, True, False, 0, 1, -1, 1.5, 1e400, 10**11 - 1, 10**11, 10**13, 10**20, "", " ", "x", "ios", "event",
        "page",
        "identify", "merge", "opened", "person", "object",
        "delivery", "x" * 101, "é" * 51, "x" * 151, "é" * 75 + "x",
        "x" * 1_001, "x" * 33_000, "+15551234567", "+1", "+0123456", "cio_03000001", "03000001", ULID, ULID.lower(),
        "8" + ULID[1:], "2026-09-14T08:12:24Z", "1", "01", "0", [], [None], ["a"], ["a"] * 1_001, {}, {"id": "a"},
        {"id": ""}, {"id": 5}, {"email": "a@b.example"}, {"phone": "+15551234567"}, {"phone": "030 12"},
        {"cio_id": "03"},
        {"cio_id": "cio_03"}, {"anonymous_id": "a"}, {"id": "a", "email": "b"}, TEAM, {"cio_object_id": "obj"},
        {"object_type_id": "team", "object_id": "a"}, {"object_type_id": 1, "object_id": "a"}, {"object_id": "a"},
        {"device_token": "t"}, {"token": "t"}, {"token": "t", "platform": "nokia"}, {f"a{n}": n for n in range(301)},
        {"x" * 151: 1}, {"a": "x" * 1_001}, {"a": ["x" * 990, "y"]}, {"": ""}, {"_update": True},
        {"a": "x" * 100_001},
        [{"identifiers": TEAM}], [{"identifiers": {"id": "a"}}], [{"identifiers": {"anonymous_id": "a"}}],
        "add_relationships", "delete_relationships", {"action": "add_relationships", "relationships": []},
        {"relationships": [{"identifiers": TEAM}]}, {"action": "delete_relationships"},
        [{"identifiers": TEAM, "relationship_attributes": 5}], [{"identifiers": TEAM}] * 50,
        [{"identifiers": {"phone": "+15551234567"}}],
    ]
)  # fmt: skip


def v2_bases() -> list[dict[str, object]]:
    bases = []
    for kind, actions in ACTIONS.items():
        for name, action in actions.items():
            given_fields = {field: FIELDS[field] for field in (*action.required, *action.optional)}
            bases.append({"type": kind, "action": name, **given_fields})
            if kind == "object" and "identifiers" in given_fields:
                bases[-1]["identifiers"] = TEAM
                people = {"anonymous_id": "a"} if name == "identify_anonymous" else {"id": "ada"}
                if "cio_relationships" in given_fields:
                    bases[-1]["cio_relationships"] = [{"identifiers": people}]
            if kind == "delivery":
                bases[-1] |= {"name": "opened", "attributes": {"device_token": "t"}}
    return bases


BELOW_V1 = [call for call in V1_CALLS if call.root == V1_ROOT]
DOTTED = [*FIELDS, "type", "action", "attributes.a", "identifiers.id", "identifiers.email", "device.token"]
DOTTED_V1 = [
    "email", "name", "_timestamp", "cio_relationships", "cio_relationships.action", "cio_relationships.relationships",
    "data", "id", "timestamp", "type", "device", "device.id", "device.platform", "primary",
    "secondary",
    "ids", "data.email", "data.id", "a",
]  # fmt: skip


def changes(places: list[str]):
    item = st.tuples(st.sampled_from(places), st.one_of(JUNK, st.just("(removed)")))
    return st.lists(item, max_size=3)


def changed(base: object, steps: list[tuple[str, object]]) -> object:
    value = copy.deepcopy(base)
    for place, new in steps:
        *outer, last = place.split(".")
        inside = value
        for name in outer:
            inside = inside.get(name) if isinstance(inside, dict) else None
        if isinstance(inside, dict):
            if new == "(removed)":
                inside.pop(last, None)
            else:
                inside[last] = copy.deepcopy(new)
    return value


def test_every_call_as_documented_is_fine_for_both():
    for item in v2_bases():
        assert not list(check("", item, encoded(item))), item
        assert not list(problems(item)), item
    assert len(v2_bases()) == 18


async def test_every_call_that_the_emulator_accepts_is_delivered():
    server = await Server.start(create_app(State()), "127.0.0.1", 0)
    given_settings = {"base_url": server.url, "keep_profile": False}
    it = CustomerIo().open(given_settings, {"site_id": "demo-site", "api_key": "demo-key"})
    base_calls = [Call(method="POST", url=it.url, headers={}, payload=item) for item in v2_bases()]
    for documented in V1_CALLS:
        url = server.url + documented.path.replace("*", "7")
        base_calls.append(Call(method=documented.method, url=url, headers={}, payload=V1_BODIES[documented.body]))
    origin = Origin(message_id="msg_1", endpoint_id="ep_1", occurred_at_ms=1, now_ms=1, customer=None)
    try:
        async with HttpTransport(allowed=AllowedAddresses.read("127.0.0.1")) as transport:
            for call in base_calls:
                prepared = it.prepare([call], origin)
                assert prepared.calls, prepared.verdicts
                answer = await transport.send(it.pack(prepared.calls))
                assert it.read(prepared.calls, answer) == [Delivered()], (call, answer)
            batch = it.prepare(base_calls[:18], origin).calls
            assert it.read(batch, await transport.send(it.pack(batch))) == [Delivered()] * 18
            assert (await it.check_credentials(transport)).finding is Finding.GOOD
    finally:
        await server.stop()


@settings(max_examples=3 * settings.default.max_examples)
@given(base=st.sampled_from(v2_bases()), steps=changes(DOTTED))
def test_both_reject_the_same_v2_objects(base, steps):
    item = changed(base, steps)
    ours, theirs = list(check("", item, encoded(item))), list(problems(item))
    assert bool(ours) is bool(theirs), (item, ours, theirs)


@settings(max_examples=3 * settings.default.max_examples)
@given(
    call=st.sampled_from(BELOW_V1),
    who=st.sampled_from(["ada", "a%2F1", "cio_03", "a%40b.example", "x" * 150, "x" * 151, "%C3%A9" * 76]),
    steps=changes(DOTTED_V1),
    junk=st.one_of(st.none(), st.tuples(JUNK)),
)
def test_both_reject_the_same_v1_calls(call, who, steps, junk):
    path = "/api/v1/" + "/".join(
        who if part == "*" and call.segments[0] == "customers" else part for part in call.segments
    )
    path = path.replace("*", "7")
    body = changed(V1_BODIES[call.body], steps) if junk is None or call.body == "none" else junk[0]
    assert v1_call(call.method, path) == call
    ours = list(check_v1("", call, path, body))
    segments = [unquote(part) for part in path.removeprefix("/api/v1/").split("/")]
    read = v1.read(call.method, segments, {}, body, Mode.STRICT)
    assert read is not None
    assert bool(ours) is bool(read.problems), (path, json.dumps(body)[:300], ours, read.problems)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(DOTTED) | st.text(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(item=st.dictionaries(st.sampled_from([*FIELDS, "type", "action"]) | st.text(), JSON, max_size=8))
def test_both_judge_arbitrary_json_alike_and_never_raise(item):
    assert bool(list(check("", item, encoded(item)))) is bool(list(problems(item)))


@given(body=JSON)
def test_both_judge_arbitrary_bodies_of_v1_alike_and_never_raise(body):
    for call in BELOW_V1:
        segments = [part.replace("*", "7") for part in call.segments]
        read = v1.read(call.method, segments, {}, body, Mode.STRICT)
        assert read is not None
        ours = list(check_v1("", call, "/api/v1/" + "/".join(segments), None if call.body == "none" else body))
        assert bool(ours) is bool(read.problems), (call, body)


@pytest.mark.parametrize(
    ("related", "fine"),
    [
        ({"action": "add_relationships", "relationships": [{"identifiers": TEAM}]}, True),
        ({"action": "delete_relationships", "relationships": [{"identifiers": {"cio_object_id": "obj"}}]}, True),
        # Any size: it is not an attribute.
        ({"action": "add_relationships", "relationships": [{"identifiers": TEAM}] * 50}, True),
        ({"action": "add_relationships", "relationships": []}, True),
        ({"action": "identify", "relationships": [{"identifiers": TEAM}]}, False),
        ({"relationships": [{"identifiers": TEAM}]}, False),
        ({"action": "add_relationships"}, False),
        ({"action": "add_relationships", "relationships": {}}, False),
        ({"action": "add_relationships", "relationships": [{"identifiers": {"id": "ada"}}]}, False),
        (
            {"action": "add_relationships", "relationships": [{"identifiers": TEAM, "relationship_attributes": 5}]},
            False,
        ),
        ([{"identifiers": TEAM}], False),
        ("team", False),
        (None, False),
    ],
)
def test_both_check_the_relationships_of_v1(related, fine):
    body = {"plan": "pro", "cio_relationships": related}
    (call,) = (v1_call for v1_call in V1_CALLS if v1_call.body == "identify")
    read = v1.read("PUT", ["customers", "ada"], {}, body, Mode.STRICT)
    assert read is not None
    found = list(check_v1("[0].payload", call, "/api/v1/customers/ada", body))
    assert (bool(found), bool(read.problems)) == (not fine, not fine)


@pytest.mark.parametrize(
    ("query", "fine"),
    [
        ("", True), ("id_type=id", True), ("id_type=email", True), ("id_type=cio_id", True),
        ("id_type=%65mail", True), ("other=1", True), ("id_type=", False), ("id_type=phone", False),
        ("id_type=Email", False),
        ("id_type=email&id_type=id", False), ("id_type=email;id", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("action", ["add_customers", "remove_customers"])
def test_both_check_by_what_a_segment_names_people(action, query, fine):
    (call,) = (v1_call for v1_call in V1_CALLS if v1_call.segments[-1] == action)
    body = {"ids": ["ada@northpine.example"]}
    read = v1.read("POST", ["segments", "7", action], parse_qs(query, keep_blank_values=True), body, Mode.STRICT)
    assert read is not None
    found = list(check_v1("[0].payload", call, f"/api/v1/segments/7/{action}?{query}", body))
    assert (bool(found), bool(read.problems)) == (not fine, not fine)
    assert [item.path for item in found] == ([] if fine else ["[0].url"])


@pytest.mark.parametrize("path", ["/api/v1/x", "/api/v1/customers", "/api/v1/customers/a/b", "/api/v1/segments/1"])
def test_neither_knows_other_calls_of_v1(path):
    segments = path.removeprefix("/api/v1/").split("/")
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert v1_call(method, path) is None
        assert v1.read(method, segments, {}, {}, Mode.STRICT) is None
