"""The local Track API behaves as the documented one, over real HTTP."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from nicobar.emulator import people
from nicobar.emulator.app import create_app
from nicobar.emulator.contract import problems
from nicobar.emulator.state import State
from nicobar.errors import UserError
from nicobar.web.serving import Server
from support.browser import browser, new_page

FIELDS = ("type", "action", "name", "identifiers", "attributes", "timestamp", "id")
FIELD = st.recursive(
    st.sampled_from(["person", "object", "event", "identify", "merge", "suppress"])
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "email", "_update"]), inner, max_size=2)
    ),
    max_leaves=6,
)
AUTH = aiohttp.encode_basic_auth("demo-site", "demo-key")
ULID = "01K4VJ0W00QF7D2S9N3B6X8C1M"


class Emulator:
    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.http = http

    async def ask(self, method: str, path: str, body: object = None, auth: str = AUTH):
        headers = {"authorization": auth}
        async with self.http.request(method, self.server.url + path, json=body, headers=headers) as answer:
            text = await answer.text()
            is_json = "json" in answer.headers["content-type"]
            return answer.status, await answer.json() if is_json else text, answer.headers

    async def entity(self, **item: object):
        return (await self.ask("POST", "/api/v2/entity", {"type": "person", "identifiers": {"id": "u1"}, **item}))[:2]

    async def person(self) -> dict[str, str]:
        _, answer, _ = await self.ask("GET", "/emulator/people")
        return answer["people"][0]["attributes"]

    async def count(self) -> int:
        _, answer, _ = await self.ask("GET", "/emulator/activities")
        return answer["count"]


@pytest.fixture
async def emulator():
    # At the end it waits for no answer that is still to come.
    server = await Server.start(create_app(State()), "127.0.0.1", 0, shutdown_s=0)
    async with aiohttp.ClientSession() as http:
        yield Emulator(server, http)
    await server.stop()


async def test_success_is_the_recorded_three_bytes(emulator):
    body = {"type": "person", "action": "identify", "identifiers": {"id": "u1"}}
    headers = {"authorization": AUTH}
    async with emulator.http.post(f"{emulator.server.url}/api/v2/entity", json=body, headers=headers) as answer:
        assert (answer.status, await answer.read()) == (200, b"{}\n")


@pytest.mark.parametrize("auth", ["", "Basic", "Basic !", "Basic bm9ib2R5Omtub3du", "Bearer x"])
async def test_unknown_credentials_are_401_everywhere(emulator, auth):
    for method, path in (("GET", "/auth"), ("GET", "/api/v1/accounts/region"), ("POST", "/api/v2/batch")):
        status, answer, _ = await emulator.ask(method, path, {}, auth)
        assert (status, answer) == (401, {"meta": {"error": "Unauthorized request"}})


async def test_both_alphabets_of_base64_are_accepted():
    server = await Server.start(create_app(State(site_id="s>?>", api_key="k?>?")), "127.0.0.1", 0)
    plain = aiohttp.encode_basic_auth("s>?>", "k?>?")
    async with aiohttp.ClientSession() as http:
        for auth in (plain, plain.replace("+", "-").replace("/", "_")):
            assert (await Emulator(server, http).ask("GET", "/auth", None, auth))[0] == 200
    await server.stop()


async def test_the_region_is_told(emulator):
    _, answer, _ = await emulator.ask("GET", "/api/v1/accounts/region")
    assert (answer["region"], answer["environment_id"]) == ("us", 1)


async def test_a_batch_accepts_valid_items_and_lists_invalid_ones(emulator):
    item = {"type": "person", "identifiers": {"id": "u1"}, "action": "event"}
    batch = [{**item, "name": "a"}, item, {**item, "name": "b"}, {**item, "action": "made_up", "name": "c"}]
    status, answer, _ = await emulator.ask("POST", "/api/v2/batch", {"batch": batch})
    assert status == 207
    assert [(entry["batch_index"], entry["field"]) for entry in answer["errors"]] == [(1, "name"), (3, "action")]
    assert await emulator.count() == 2


@pytest.mark.parametrize("body", [{}, {"batch": []}, {"batch": 5}, [], "x", {"batch": ["x" * 500_000]}])
async def test_a_batch_that_is_none_is_400(emulator, body):
    assert (await emulator.ask("POST", "/api/v2/batch", body))[0] == 400


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"type": "people"}, "type"),
        ({"type": []}, "type"),
        ({"action": []}, "action"),
        ({"action": {}, "type": "object"}, "action"),
        ({"action": "payment_completed", "name": "x"}, "action"),
        ({"action": "event"}, "name"),
        ({"action": "event", "name": "x", "id": "order-7"}, "id"),
        ({"action": "event", "name": "x", "timestamp": "2026"}, "timestamp"),
        ({"action": "identify", "identifiers": {"id": "a", "email": "b"}}, "identifiers"),
        ({"action": "identify", "identifiers": {"id": True}}, "identifiers.id"),
        ({"action": "identify", "attributes": []}, "attributes"),
    ],
)
async def test_undocumented_calls_are_400_and_change_nothing(emulator, item, field):
    status, answer = await emulator.entity(**item)
    assert (status, answer["errors"][0]["field"]) == (400, field)
    assert await emulator.count() == 0


async def test_a_repeated_event_id_adds_nothing(emulator):
    for _ in range(2):
        assert (await emulator.entity(action="event", name="paid", id=ULID))[0] == 200
    assert await emulator.count() == 1
    _, answer, _ = await emulator.ask("GET", "/emulator/requests")
    assert [item["duplicates"] for item in answer["requests"]] == [0, 1]
    assert all(item["headers"]["authorization"] == "***" for item in answer["requests"])


async def test_attributes_are_texts_null_removes_and_old_edits_are_dropped(emulator):
    await emulator.entity(action="identify", attributes={"plan": "pro", "seats": 3, "old": "x"}, timestamp=100)
    await emulator.entity(action="identify", attributes={"old": None}, timestamp=200)
    await emulator.entity(action="identify", attributes={"plan": "free"}, timestamp=150)
    assert await emulator.person() == {"plan": "pro", "seats": "3"}


async def test_a_suppressed_person_is_gone_until_unsuppressed(emulator):
    await emulator.entity(action="suppress")
    await emulator.entity(action="event", name="paid")
    assert await emulator.count() == 0
    await emulator.entity(action="unsuppress")
    await emulator.entity(action="event", name="paid")
    assert await emulator.count() == 1


IDENTIFY = {"type": "person", "action": "identify", "identifiers": {"id": "u1"}}
EVENT = {"type": "person", "action": "event", "identifiers": {"id": "u1"}, "name": "paid"}


async def test_faults_occur_as_configured_and_the_state_can_be_cleared(emulator):
    fault = {"status": 429, "retry_after_s": 3, "times": 2}
    assert (await emulator.ask("PUT", "/emulator/faults", fault))[0] == 200
    for status in (429, 429, 200):
        answer = await emulator.ask("POST", "/api/v2/entity", IDENTIFY)
        assert answer[0] == status
        assert answer[2].get("retry-after") == ("3" if status == 429 else None)
    assert (await emulator.ask("PUT", "/emulator/faults", {"status": 9}))[0] == 422
    await emulator.ask("DELETE", "/emulator/state")
    assert (await emulator.ask("GET", "/emulator/people"))[1]["count"] == 0


async def test_several_faults_come_one_after_the_other(emulator):
    await emulator.ask("PUT", "/emulator/faults", [{"status": 503}, {"status": 500, "times": 2}, {"status": 401}])
    statuses = [(await emulator.ask("POST", "/api/v2/entity", EVENT))[0] for _ in range(5)]
    assert statuses == [503, 500, 500, 401, 200]
    assert await emulator.count() == 1


async def test_only_a_reset_after_acceptance_has_an_effect(emulator):
    for reset, count in (("before", 0), ("after", 1)):
        await emulator.ask("PUT", "/emulator/faults", {"reset": reset})
        with pytest.raises(aiohttp.ClientConnectionError):
            await emulator.ask("POST", "/api/v2/entity", EVENT)
        assert await emulator.count() == count


async def test_a_redirect_names_another_host_and_stores_nothing(emulator):
    await emulator.ask("PUT", "/emulator/faults", {"status": 301})
    url = f"{emulator.server.url}/api/v2/entity"
    async with emulator.http.post(url, json=EVENT, headers={"authorization": AUTH}, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["location"]) == (301, "https://track-eu.customer.io/api/v2/entity")
    assert await emulator.count() == 0


@pytest.mark.parametrize(("status", "answered"), [(None, 207), (200, 200)])
async def test_one_item_of_a_batch_is_rejected_alone(emulator, status, answered):
    await emulator.ask("PUT", "/emulator/faults", {"refuse_item": 1, "status": status})
    answer_status, answer, _ = await emulator.ask(
        "POST", "/api/v2/batch", {"batch": [{**EVENT, "name": n} for n in "abc"]}
    )
    assert (answer_status, [item["batch_index"] for item in answer["errors"]]) == (answered, [1])
    assert await emulator.count() == 2


async def test_a_200_may_carry_errors(emulator):
    await emulator.ask("PUT", "/emulator/faults", {"status": 200})
    status, answer = await emulator.entity(action="event", name="paid")
    assert (status, bool(answer["errors"])) == (200, True)
    assert await emulator.count() == 0


async def test_a_fault_may_answer_as_a_proxy_does(emulator):
    page = "<html>sign in</html>"
    await emulator.ask("PUT", "/emulator/faults", {"status": 200, "body": page})
    headers = {"authorization": AUTH}
    async with emulator.http.post(f"{emulator.server.url}/api/v2/entity", json=EVENT, headers=headers) as answer:
        assert (answer.status, await answer.text()) == (200, page)
    assert await emulator.count() == 0


async def test_a_slow_answer_is_delayed(emulator):
    await emulator.ask("PUT", "/emulator/faults", {"delay_ms": 60_000})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await emulator.ask("POST", "/api/v2/entity", EVENT)


async def test_observed_is_looser_than_strict(emulator):
    loose = {"action": "event", "name": "paid", "id": "order-7", "timestamp": "2026-09-14"}
    assert (await emulator.entity(**loose))[0] == 400
    assert (await emulator.ask("PUT", "/emulator/settings", {"mode": "observed"}))[0] == 200
    assert (await emulator.entity(**loose))[0] == 200
    assert (await emulator.entity(action="event", name="looked", identifiers={"anonymous_id": "a"}))[0] == 200
    assert (await emulator.ask("GET", "/emulator/settings"))[1] == {"mode": "observed", "settle_ms": 0}
    assert (await emulator.ask("PUT", "/emulator/settings", {"mode": "lenient"}))[0] == 422


V1 = "/api/v1/customers/ada%2F1"


@pytest.mark.parametrize(("mode", "status"), [("strict", 200), ("observed", 400)])
async def test_another_id_in_the_body_is_only_rejected_when_observed(emulator, mode, status):
    await emulator.ask("PUT", "/emulator/settings", {"mode": mode})
    for body, expected in (({"id": "jun"}, status), ({"id": "ada"}, 200), ({"plan": "pro"}, 200)):
        assert (await emulator.ask("PUT", "/api/v1/customers/ada", body))[0] == expected
    assert (await emulator.ask("PUT", "/api/v1/customers/ada@northpine.example", {"id": "kim"}))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", V1, {"email": "ada@northpine.example"}, 200),
        ("PUT", V1, [], 400),
        ("PUT", V1, {"cio_relationships": {"action": [], "relationships": []}}, 400),
        ("POST", "/api/v1/forms/f/submit", {"data": {"email": "a@b.example", "created_at": "9" * 5_000}}, 204),
        ("PUT", V1, {"n": "x" * 1_001}, 400),
        ("PUT", "/api/v1/customers/" + "x" * 151, {}, 400),
        ("PUT", "/api/v1/customers/caf%E9", {}, 400),
        ("PUT", "/api/v1/customers/100%", {}, 400),
        ("PUT", "/api/v1/customers/%20", {}, 400),
        ("DELETE", V1, None, 200),
        ("DELETE", V1, {}, 200),
        ("POST", V1 + "/events", {"name": "paid", "data": {}}, 200),
        ("POST", V1 + "/events", {"name": "paid", "data": None}, 400),
        ("POST", V1 + "/events", {"name": "paid", "data": "text"}, 400),
        ("POST", V1 + "/events", {"data": {}}, 400),
        ("POST", V1 + "/events", {"name": "paid", "type": "click"}, 400),
        ("POST", "/api/v1/events", {"name": "looked", "anonymous_id": "a"}, 200),
        ("PUT", V1 + "/devices", {"device": {"id": "t", "platform": "ios"}}, 200),
        ("PUT", V1 + "/devices", {"device": {"id": "t"}}, 400),
        ("DELETE", V1 + "/devices/t%2F1", None, 200),
        ("POST", "/api/v1/merge_customers", {"primary": {"id": "a"}, "secondary": {"email": "b"}}, 200),
        ("POST", "/api/v1/merge_customers", {"primary": {"id": "a", "email": "c"}, "secondary": {"id": "b"}}, 400),
        ("POST", "/api/v1/segments/1/add_customers", {"ids": ["a"]}, 200),
        ("POST", "/api/v1/segments/1/add_customers", {"ids": []}, 400),
        ("POST", "/api/v1/segments/1/add_customers?id_type=email", {"ids": ["a@b.example"]}, 200),
        ("POST", "/api/v1/forms/f/submit", {"data": {"email": "a@b.example"}}, 204),
        ("POST", "/api/v1/forms/f/submit", {"data": {"email": "a@b.example", "id": "a"}}, 400),
        ("POST", "/api/v1/nothing", {}, 404),
        ("POST", V1, {}, 404),
        ("PUT", "/api/v1/customers/", {}, 404),
    ],
)
async def test_the_calls_of_v1(emulator, method, path, body, status):
    headers = {"authorization": AUTH, "content-type": "application/json"}
    url = URL(emulator.server.url + path, encoded=True)
    sent = None if body is None else json.dumps(body)
    async with emulator.http.request(method, url, data=sent, headers=headers) as answer:
        text = await answer.text()
        assert answer.status == status, text
        assert text == {200: "{}\n", 204: ""}.get(status, text)
    if status in {400, 404}:
        assert set(json.loads(text)) == {"meta"}


async def test_an_encoded_slash_belongs_to_the_identifier(emulator):
    url = URL(emulator.server.url + V1, encoded=True)
    async with emulator.http.put(url, json={"plan": "pro"}, headers={"authorization": AUTH}) as answer:
        assert answer.status == 200
    _, answer, _ = await emulator.ask("GET", "/emulator/people")
    assert [item["id"] for item in answer["people"]] == ["ada/1"]


async def test_reports_of_deliveries_need_no_credentials(emulator):
    for path in ("/api/v1/metrics", "/api/v1/push/events", "/unsubscribe/d"):
        assert (await emulator.ask("POST", path, {}, ""))[0] == 200


async def test_answers_have_the_recorded_headers(emulator):
    _, _, headers = await emulator.ask("POST", "/api/v2/entity", IDENTIFY)
    assert headers["cache-control"] == "no-cache, no-store, must-revalidate, max-age=0"
    assert (headers["access-control-allow-origin"], headers["status"], headers["via"]) == (
        "*",
        "200 OK",
        "1.1 google",
    )
    assert headers["content-length"] == "3"


async def test_wording_that_is_made_up_here_is_labeled(emulator):
    await emulator.entity(action="made_up")
    await emulator.entity(action="identify")
    _, answer, _ = await emulator.ask("GET", "/emulator/requests")
    assert [item["invented"] for item in answer["requests"]] == [True, False]


async def test_recorded_error_texts_are_the_live_ones(emulator):
    long = {**IDENTIFY, "attributes": {"note": "x" * 1_001}}
    nobody = {**IDENTIFY, "identifiers": {"id": True}}
    status, answer, _ = await emulator.ask("POST", "/api/v2/batch", {"batch": [long, IDENTIFY, nobody]})
    assert (status, answer["errors"]) == (
        207,
        [
            {
                "batch_index": 0,
                "reason": "invalid",
                "field": "attributes.note",
                "message": "property value cannot be longer than 1000 bytes",
            },
            {
                "batch_index": 2,
                "reason": "invalid",
                "field": "identifiers.id",
                "message": "must be a string or a number",
            },
        ],
    )
    many = {f"a{number}": 1 for number in range(300)}
    for path, body, meta in (
        (V1, {"a": "x" * 1_001}, {"error": "value for attribute 'a' cannot be longer than 1000 bytes"}),
        (V1 + "/events", {"data": {}}, {"error": "event name must not be blank"}),
        (V1 + "/events", {"name": "a", "data": ""}, {"error": "event data must be a hash"}),
        (
            V1,
            {**many, "x" * 151: 1},
            {
                "errors": [
                    "cannot identify more than 300 attributes in one request",
                    "attribute name cannot be longer than 150 bytes",
                ]
            },
        ),
    ):
        method = "POST" if path.endswith("events") else "PUT"
        assert (await emulator.ask(method, path, body))[:2] == (400, {"meta": meta})
    _, answer, _ = await emulator.ask("GET", "/emulator/requests")
    assert not any(item["invented"] for item in answer["requests"])


async def test_numbers_identify_as_their_text(emulator):
    for who in ({"id": 432}, {"id": "432"}, {"anonymous_id": 5}):
        assert (await emulator.entity(action="event", name="paid", identifiers=who))[0] == 200
    _, answer, _ = await emulator.ask("GET", "/emulator/activities")
    assert [item["person"] for item in answer["activities"]] == ["432", "432", "anonymous:5"]
    assert (await emulator.ask("GET", "/emulator/people"))[1]["count"] == 1


CAMPAIGN = {"title": "Welcome", "trigger": "event", "name": "paid", "subject": "Hello {{customer.email}}"}


async def test_campaigns_and_their_emails_work_over_http(emulator):
    assert (await emulator.ask("PUT", "/emulator/campaigns", [CAMPAIGN]))[0] == 200
    assert (await emulator.ask("PUT", "/emulator/campaigns", [{"title": "x"}]))[0] == 422
    await emulator.entity(action="identify", attributes={"email": "ada@northpine.example"})
    _, before, _ = await emulator.ask("GET", "/emulator/version")
    await emulator.entity(action="event", name="paid")
    _, after, _ = await emulator.ask("GET", "/emulator/version")
    _, answer, _ = await emulator.ask("GET", "/emulator/emails")
    assert [(item["subject"], item["why_not"]) for item in answer["emails"]] == [
        ("Hello ada@northpine.example", None)
    ]
    assert after["version"] > before["version"]


FORM = {"title": "x", "trigger": "event", "name": "y", "subject": "z"}
CHANGES = [
    ("POST", "/campaigns", FORM),
    ("PUT", "/emulator/settings", "{}"),
    ("PUT", "/emulator/faults", "[]"),
    ("PUT", "/emulator/campaigns", "[]"),
    ("DELETE", "/emulator/state", None),
]


async def changed(emulator, change, **headers: str) -> int:
    method, path, body = change
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    url = emulator.server.url + path
    async with emulator.http.request(method, url, data=body, headers=headers, allow_redirects=False) as answer:
        if answer.status == 403:
            assert (await answer.json())["code"] == "cross_origin"
        return answer.status


@pytest.mark.parametrize("change", CHANGES, ids=lambda item: f"{item[0]} {item[1]}")
async def test_pages_of_other_sites_change_nothing(emulator, change):
    port = emulator.server.port
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{port + 1}"},
        {"origin": "https://[::1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        # A name that was made to lead here: to the browser it is the page's own origin.
        {"origin": f"http://evil.example:{port}", "host": f"evil.example:{port}", "sec_fetch_site": "same-origin"},
        {"origin": f"http://127.0.0.1.evil.example:{port}", "host": f"127.0.0.1.evil.example:{port}"},
    ):
        assert await changed(emulator, change, **headers) == 403, headers


@pytest.mark.parametrize("change", CHANGES, ids=lambda item: f"{item[0]} {item[1]}")
async def test_the_own_page_and_scripts_change_what_they_like(emulator, change):
    port = emulator.server.port
    for headers in (
        {},
        {"host": "whatever.example"},
        {"sec_fetch_site": "none"},
        *(
            {"origin": f"http://{host}", "host": host, "sec_fetch_site": "same-origin"}
            for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", f"emulator:{port}", "192.0.2.7")
        ),
    ):
        assert await changed(emulator, change, **headers) in {200, 303}, headers


async def test_the_name_that_it_listens_on_is_its_own(emulator):
    server = await Server.start(create_app(State(), host="emulator.northpine.example"), "127.0.0.1", 0)
    own, other = f"emulator.northpine.example:{server.port}", f"other.northpine.example:{server.port}"
    it = Emulator(server, emulator.http)
    assert await changed(it, CHANGES[0], origin=f"http://{own}", host=own) == 303
    assert await changed(it, CHANGES[0], origin=f"http://{other}", host=other) == 403
    await server.stop()


async def test_the_track_api_and_read_requests_ignore_the_origin(emulator):
    headers = {"authorization": AUTH, "origin": "https://shop.example", "sec-fetch-site": "cross-site"}
    async with emulator.http.post(f"{emulator.server.url}/api/v2/entity", json=EVENT, headers=headers) as answer:
        assert answer.status == 200
    async with emulator.http.get(f"{emulator.server.url}/emulator/people", headers=headers) as answer:
        assert (answer.status, (await answer.json())["count"]) == (200, 1)


async def test_a_form_is_checked(emulator):
    assert await changed(emulator, ("POST", "/campaigns", FORM)) == 303
    assert await changed(emulator, ("POST", "/campaigns", {**FORM, "trigger": "moon"})) == 422
    _, answer, _ = await emulator.ask("GET", "/emulator/campaigns")
    assert [item["title"] for item in answer["campaigns"]] == ["x"]


@given(item=st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, FIELD)))
def test_every_item_is_accepted_or_rejected(item):
    if not list(problems(item)):
        assert State().accept(item) in {True, False}


@pytest.mark.parametrize("limit", ["0", "-1", "x", "9" * 30])
async def test_a_limit_that_is_none_is_400(emulator, limit):
    for what in ("people", "activities", "requests"):
        assert (await emulator.ask("GET", f"/emulator/{what}?limit={limit}"))[0] == 400


async def test_a_port_in_use_is_a_readable_error(emulator):
    with pytest.raises(UserError, match="--port"):
        await Server.start(create_app(State()), "127.0.0.1", emulator.server.port)


@pytest.mark.browser
async def test_dns_rebinding_changes_nothing_in_a_real_browser(emulator):
    await emulator.ask("PUT", "/emulator/campaigns", [CAMPAIGN])
    async with browser("--host-resolver-rules=MAP evil.example 127.0.0.1") as it:
        page = await new_page(it)
        await page.goto(f"http://evil.example:{emulator.server.port}/campaigns")
        await page.get_by_role("button", name="Remove Welcome").click()
        await page.get_by_text("cross_origin").wait_for()
        # Another site's form, which needs no leave of the emulator's to be sent.
        target = f"{emulator.server.url}/campaigns"
        await page.goto(f"http://evil.example:{emulator.server.port}/emulator/version")
        async with page.expect_response(target) as answered:
            await page.evaluate(
                """(url) => {
                    const form = document.createElement("form");
                    Object.assign(form, {method: "post", action: url});
                    const field = document.createElement("input");
                    Object.assign(field, {name: "remove", value: "Welcome"});
                    form.append(field);
                    document.body.append(form);
                    form.submit();
                }""",
                target,
            )
        assert (await answered.value).status == 403
    _, answer, _ = await emulator.ask("GET", "/emulator/campaigns")
    assert len(answer["campaigns"]) == 1


async def test_campaigns_and_faults_beyond_the_maximum_are_rejected(emulator):
    many = [{**CAMPAIGN, "title": str(number)} for number in range(101)]
    assert (await emulator.ask("PUT", "/emulator/campaigns", many))[0] == 422
    assert (await emulator.ask("PUT", "/emulator/campaigns", many[:100]))[0] == 200
    assert (await emulator.ask("PUT", "/emulator/faults", [{"status": 500}] * 101))[0] == 422
    assert await changed(emulator, ("POST", "/campaigns", FORM)) == 422
    assert await changed(emulator, ("POST", "/campaigns", {**FORM, "title": "7"})) == 303, (
        "it takes the place of another"
    )
    _, answer, _ = await emulator.ask("GET", "/emulator/campaigns")
    assert len(answer["campaigns"]) == 100


async def test_dropped_items_are_shown_and_reported(emulator, monkeypatch):
    monkeypatch.setattr(people, "MAX_SUPPRESSED", 1)
    await emulator.entity(action="suppress")
    await emulator.entity(action="suppress", identifiers={"id": "u2"})
    _, answer, _ = await emulator.ask("GET", "/emulator/version")
    assert answer["forgotten"] == {"suppressed identifiers": 1}
    _, html, _ = await emulator.ask("GET", "/")
    assert "Limit reached, oldest entries deleted: suppressed identifiers 1" in html
    _, html, _ = await emulator.ask("GET", "/people")
    assert "Suppressed: id u2<" in html
