"""The local Track API behaves as the documented one, over real HTTP."""

from __future__ import annotations

import os
import shutil

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.async_api import async_playwright

from nicobar.emulator.app import create_app
from nicobar.emulator.contract import faults
from nicobar.emulator.state import State
from nicobar.errors import UserError
from nicobar.serving import Server

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
    server = await Server.start(create_app(State()), "127.0.0.1", 0)
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


async def test_both_alphabets_of_base64_are_taken():
    server = await Server.start(create_app(State(site_id="s>?>", api_key="k?>?")), "127.0.0.1", 0)
    plain = aiohttp.encode_basic_auth("s>?>", "k?>?")
    async with aiohttp.ClientSession() as http:
        for auth in (plain, plain.replace("+", "-").replace("/", "_")):
            assert (await Emulator(server, http).ask("GET", "/auth", None, auth))[0] == 200
    await server.stop()


async def test_the_region_is_told(emulator):
    _, answer, _ = await emulator.ask("GET", "/api/v1/accounts/region")
    assert (answer["region"], answer["environment_id"]) == ("us", 1)


async def test_a_batch_takes_the_good_and_lists_the_bad_by_index(emulator):
    one = {"type": "person", "identifiers": {"id": "u1"}, "action": "event"}
    batch = [{**one, "name": "a"}, one, {**one, "name": "b"}, {**one, "action": "made_up", "name": "c"}]
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
        ({"action": "identify", "identifiers": {"id": 5}}, "identifiers"),
        ({"action": "identify", "attributes": []}, "attributes"),
    ],
)
async def test_what_the_documentation_does_not_allow_is_400_and_does_nothing(emulator, item, field):
    status, answer = await emulator.entity(**item)
    assert (status, answer["errors"][0]["field"]) == (400, field)
    assert await emulator.count() == 0


async def test_a_repeated_event_id_adds_nothing(emulator):
    for _ in range(2):
        assert (await emulator.entity(action="event", name="paid", id=ULID))[0] == 200
    assert await emulator.count() == 1
    _, answer, _ = await emulator.ask("GET", "/emulator/requests")
    assert [one["duplicates"] for one in answer["requests"]] == [0, 1]
    assert all(one["headers"]["authorization"] == "***" for one in answer["requests"])


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


async def test_faults_are_met_as_often_as_asked_and_the_state_can_be_cleared(emulator):
    fault = {"status": 429, "retry_after_s": 3, "times": 2}
    assert (await emulator.ask("PUT", "/emulator/faults", fault))[0] == 200
    for status in (429, 429, 200):
        answer = await emulator.ask(
            "POST", "/api/v2/entity", {"type": "person", "action": "identify", "identifiers": {"id": "a"}}
        )
        assert answer[0] == status
        assert answer[2].get("retry-after") == ("3" if status == 429 else None)
    assert (await emulator.ask("PUT", "/emulator/faults", {"status": 9}))[0] == 422
    await emulator.ask("DELETE", "/emulator/state")
    assert (await emulator.ask("GET", "/emulator/people"))[1]["count"] == 0


@given(item=st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, FIELD)))
def test_whatever_is_sent_is_taken_or_refused(item):
    if not list(faults(item)):
        assert State().apply(item, 1_789_000_000) in {True, False}


@pytest.mark.parametrize("limit", ["0", "-1", "x", "9" * 30])
async def test_a_limit_that_is_none_is_400(emulator, limit):
    for what in ("people", "activities", "requests"):
        assert (await emulator.ask("GET", f"/emulator/{what}?limit={limit}"))[0] == 400


async def test_the_page_escapes_what_it_shows_and_allows_no_script(emulator):
    await emulator.entity(action="event", name="<script>alert(1)</script>")
    status, html, headers = await emulator.ask("GET", "/")
    assert status == 200
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert headers["content-security-policy"].startswith("default-src 'none'")


async def test_a_port_that_is_taken_is_an_error_for_people(emulator):
    with pytest.raises(UserError, match="--port"):
        await Server.start(create_app(State()), "127.0.0.1", emulator.server.port)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_fits_a_phone_and_a_desktop(emulator, scheme):
    await emulator.entity(action="identify", attributes={"email": "ada@northpine.example", "plan": "pro"})
    await emulator.entity(action="event", name="payment_succeeded", attributes={"amount": 49.5, "note": "x" * 200})
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("TEST_CHROMIUM") or next(filter(None, map(shutil.which, names)))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for width in (390, 1440):
            page = await browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            problems: list[str] = []
            page.on("console", lambda message, problems=problems: problems.append(message.text))
            await page.goto(emulator.server.url)
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert await page.get_by_text("payment_succeeded").is_visible()
            assert await page.get_by_role("heading", name="People").is_visible()
            assert not problems
            if where := os.environ.get("SCREENSHOTS"):
                await page.screenshot(path=f"{where}/emulator-{width}-{scheme}.png")
        await browser.close()
