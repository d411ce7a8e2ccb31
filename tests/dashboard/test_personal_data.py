"""Who sees personal data: on pages and over the API, and what the audit log says about it."""

from __future__ import annotations

import msgspec
import pytest
from svix.api import AppPortalAccessIn

from nicobar.model import Scope
from nicobar.store.location import locate
from support.api import asking
from support.handlers import ORDER_PAID
from support.pages import set_up, visiting
from support.svix_clients import async_client

PHONE, CARD = "+12065550143", "4242"
EVENT = {
    "type": "payment.succeeded",
    "data": {
        "card_last_four": CARD,
        "customer": {"customer_id": "cus_1", "email": "ada@northpine.example", "phone_number": PHONE},
    },
}


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path, ORDER_PAID) as it:
        yield it


@pytest.fixture
async def message_id(api) -> str:
    _, answer = await api.nicobar.send(msgspec.json.encode(EVENT))
    await api.nicobar.next_recorded()
    again = msgspec.json.encode(EVENT | {"again": True})
    await api.nicobar.send(again)
    return str(answer["id"])


async def test_pages_show_personal_data_on_request_and_the_audit_log_says_so(api, message_id):
    async with visiting(api) as visitor:
        await set_up(api.nicobar, visitor)
        for path in (f"/logs/{message_id}", f"/logs?q={PHONE[1:]}", "/customers/timeline?key=cus_1"):
            status, text, _ = await visitor.ask("GET", path)
            assert (status, PHONE in text, CARD in text.replace("/logs?q", "")) == (200, False, False), path
        assert "***" in (await visitor.ask("GET", f"/logs/{message_id}"))[1]
        status, whole, _ = await visitor.send(f"/logs/{message_id}/reveal")
        assert (status, whole.count(PHONE) >= 2, CARD in whole) == (200, True, True)
        assert f'name="back" value="/logs/{message_id}"' in whole, "a chosen language leads back to the message"
    lines = (await api.ask("GET", "/api/v1/audit-log?limit=5")).body["data"]
    assert [line["subject"] for line in lines if line["action"] == "message.reveal"] == [message_id]


async def test_a_later_payload_alone_can_have_personal_data(api):
    _, answer = await api.nicobar.send(b'{"type":"order.placed","data":{}}')
    await api.nicobar.next_recorded()
    await api.nicobar.send(msgspec.json.encode({"type": "order.placed", "data": {"phone": PHONE}}))
    async with visiting(api) as visitor:
        await set_up(api.nicobar, visitor)
        _, text, _ = await visitor.ask("GET", f"/logs/{answer['id']}")
        assert (PHONE in text, "Show personal data" in text) == (False, True)


async def test_only_writers_get_whole_payloads_from_the_api(api, message_id):
    reader = await api.make_token(scope=Scope.READ_ONLY)
    async with async_client(api) as client:
        links = [
            (await client.authentication.app_portal_access("default", AppPortalAccessIn(read_only=read_only))).token
            for read_only in (True, False)
        ]
    paths = [f"{api.app}/msg", f"{api.app}/events"]
    paths += [f"{api.app}/msg/{message_id}{end}" for end in ("", "/raw", "/revisions")]
    for path in paths:
        assert PHONE in str((await api.ask("GET", path)).body), path
        for token in (reader, *links):
            shown = await api.ask("GET", path, token=token)
            assert (shown.status, PHONE in str(shown.body), f"'{CARD}'" in str(shown.body)) == (200, False, False)
            assert "***" in str(shown.body), path
    assert PHONE not in str((await api.ask("GET", f"{api.app}/attempt/msg/{message_id}")).body)


async def test_a_reader_learns_no_masked_value_by_searching(api, message_id):
    reader = await api.make_token(scope=Scope.READ_ONLY)
    for text, is_found in ((CARD, False), (PHONE[1:], False), ("ada@northpine.example", True)):
        for token, finds in ((None, True), (reader, is_found)):
            found = await api.ask("GET", f"{api.app}/msg?contains={text}&with_content=false", token=token)
            assert [item["id"] for item in found.body["data"]] == ([message_id] if finds else []), text
    async with visiting(api) as visitor:
        await set_up(api.nicobar, visitor)
        _, page, _ = await visitor.ask("GET", f"/logs?q=data.card_last_four+%3D+{CARD}")
        assert f"/logs/{message_id}" in page, "an editor finds the event"


async def test_a_deletion_is_reported_with_the_backups_that_keep_the_data(api, message_id, tmp_path):
    place = tmp_path / "before.db"
    locate(api.nicobar.runtime.settings.database).back_up(place, force=False, now_ms=1_000)
    async with visiting(api) as visitor:
        await set_up(api.nicobar, visitor)
        status, page, _ = await visitor.send("/customers/expunge", key="cus_1")
    assert (status, str(place) in page, PHONE in page) == (200, True, False)
    assert 'name="back" value="/customers"' in page, "a chosen language does not ask for another deletion"
    erased = (await api.ask("POST", f"{api.app}/customer/expunge", {"key": "cus_nobody"})).body
    assert (erased["messages"], erased["done"], erased["report"]["clean"]) == (0, True, True)
    assert erased["report"]["backups"] == [{"path": str(place), "takenAt": "1970-01-01T00:00:01Z"}]
    mine = await api.make_token(scope=Scope.APPLICATION, app_id=api.app_id)
    other = await api.ask("POST", f"{api.app}/customer/expunge", {"key": "cus_nobody"}, token=mine)
    assert other.body["report"]["backups"][0]["path"] is None, "a tenant does not see the operator's files"
