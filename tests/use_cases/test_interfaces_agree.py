"""The command line, the API and the dashboard answer alike about an endpoint's state, and write one audit line."""

from __future__ import annotations

import asyncio
import json
import re

import msgspec
import pytest

from cli.test_commands import nicobar as command
from nicobar.reasons import plain
from nicobar.store import PauseEndpoint, TaskKind
from nicobar.store.history import AuditFilter
from nicobar.use_cases.endpoint_records import unchanged
from support.api import make_token
from support.handlers import ORDER_PAID
from support.installation import furnish, installation
from support.pages import set_up, visiting

INTERFACES = ("command line", "api", "dashboard")
NAME = "journeys"
OLD = "2026-01-01T00:00:00Z"
# For each interface: arguments of the command, path and body of the API, path and form of the page.
OPERATIONS = {
    "resume": (("resume", NAME), ("/resume", None), ("/resume", {})),
    "recover": (
        ("replay", "recover", NAME, "--since", OLD, "--yes"),
        ("/recover", {"since": OLD}),
        ("/replays", {"kind": "recover", "since": OLD}),
    ),
    "missing": (
        ("replay", "missing", NAME, "--since", OLD, "--yes"),
        ("/replay-missing", {"since": OLD}),
        ("/replays", {"kind": "missing", "since": OLD}),
    ),
    "bulk": (
        ("replay", "bulk", NAME, "--since", OLD, "--yes"),
        ("/bulk-replay", {"since": OLD}),
        ("/replays", {"kind": "bulk", "since": OLD}),
    ),
}


class Everywhere:
    """One installation, asked through one of its interfaces."""

    def __init__(self, nicobar, visitor, token, directory, interface):
        self.nicobar, self.visitor, self.token = nicobar, visitor, token
        self.directory, self.interface = directory, interface

    async def ask(self, arguments, api, form) -> tuple[bool, str]:
        """Whether the operation succeeded, and its answer."""
        if self.interface == "command line":
            done = await asyncio.to_thread(command, self.directory, *arguments, "--data-dir", str(self.directory))
            assert "Traceback" not in done.stderr
            await self.nicobar.runtime.configuration.refresh()  # without waiting for the next refresh
            return done.returncode == 0, done.stdout + done.stderr
        if self.interface == "api":
            path, body = api
            method = "PATCH" if body and "disabled" in body else "POST"
            url, headers = self.nicobar.url + path, {"authorization": f"Bearer {self.token}"}
            async with self.visitor.http.request(method, url, json=body, headers=headers) as answer:
                text = await answer.text()
                assert answer.status in {200, 202, 204, 409}, text
                return answer.status != 409, json.loads(text)["detail"] if answer.status == 409 else text
        path, fields = form
        status, text, _ = await self.visitor.send(path, **fields)
        assert status in {303, 409}, text
        return status == 303, re.sub(r"<[^>]+>", "", text)

    async def operate(self, name, endpoint) -> tuple[bool, str]:
        arguments, (path, body), (page, fields) = OPERATIONS[name]
        api = (f"/api/v1/app/default/endpoint/{endpoint.id}{path}", body)
        return await self.ask(arguments, api, (f"/webhooks/{endpoint.id}{page}", fields))

    async def resend(self, message_id, endpoint) -> tuple[bool, str]:
        path = f"/api/v1/app/default/msg/{message_id}/endpoint/{endpoint.id}/resend"
        form = (f"/logs/{message_id}/resend", {"to": endpoint.id})
        return await self.ask(("replay", "resend", message_id, NAME), (path, None), form)

    async def change(self, *changes) -> None:
        await self.nicobar.runtime.store.change(changes)
        await self.nicobar.runtime.configuration.refresh()

    async def actions(self) -> list[str]:
        found = await self.nicobar.runtime.store.audit(AuditFilter(), limit=20)
        return [
            item.action for item in reversed(found.items) if item.action.partition(".")[0] in {"endpoint", "message"}
        ]


@pytest.fixture(params=INTERFACES)
async def everywhere(request, tmp_path):
    async with installation(tmp_path) as nicobar, visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        yield Everywhere(nicobar, visitor, await make_token(nicobar), tmp_path, request.param)


async def stored_endpoint(everywhere, endpoint):
    snapshot = await everywhere.nicobar.runtime.store.snapshot()
    return next(candidate for candidate in snapshot.endpoints if candidate.id == endpoint.id)


async def test_a_disabled_endpoint_rejects_operations_that_would_send_nothing(everywhere):
    endpoint, address = await furnish(everywhere.nicobar, ORDER_PAID, name=NAME)
    assert await everywhere.nicobar.send(address) == 202
    message_id = (await everywhere.nicobar.next_recorded()).message.id
    await everywhere.change(msgspec.structs.replace(unchanged(endpoint), disabled=True))
    for operation in (*OPERATIONS, "resend"):
        if operation == "resend":
            done, reply = await everywhere.resend(message_id, endpoint)
        else:
            done, reply = await everywhere.operate(operation, endpoint)
        assert not done, (operation, reply)
        assert f"Endpoint {NAME} is disabled" in reply, operation
        assert f"nicobar enable {NAME}" in reply, operation
    assert (await stored_endpoint(everywhere, endpoint)).disabled
    assert await everywhere.actions() == []
    assert await everywhere.nicobar.runtime.store.open_tasks() == []


async def test_a_paused_endpoint_is_resumed_once_and_sends(everywhere):
    endpoint, address = await furnish(everywhere.nicobar, ORDER_PAID, name=NAME)
    await everywhere.change(PauseEndpoint(endpoint_id=endpoint.id, reason=plain("moving house"), by_hand=True))
    assert await everywhere.nicobar.send(address) == 202
    for _ in range(2):
        done, reply = await everywhere.operate("resume", endpoint)
        assert done, reply
    assert everywhere.interface != "command line" or f"{NAME} is neither paused nor on hold" in reply
    assert (await everywhere.nicobar.next_recorded()).attempt.state.value == "success"
    assert await everywhere.actions() == ["endpoint.resume"], "a resume that changes nothing is not in the audit log"


async def test_an_enabled_endpoint_gets_events_and_keeps_its_pause(everywhere):
    endpoint, address = await furnish(everywhere.nicobar, ORDER_PAID, name=NAME)
    await everywhere.change(
        PauseEndpoint(endpoint_id=endpoint.id, reason=plain("moving house"), by_hand=True),
        msgspec.structs.replace(unchanged(endpoint), disabled=True),
    )
    page, api = f"/webhooks/{endpoint.id}/enable", f"/api/v1/app/default/endpoint/{endpoint.id}"
    done, reply = await everywhere.ask(("enable", NAME), (api, {"disabled": False}), (page, {}))
    assert done, reply
    assert everywhere.interface != "command line" or "is still paused: moving house" in reply
    now = await stored_endpoint(everywhere, endpoint)
    assert (now.disabled, now.paused_reason) == (False, plain("moving house"))
    assert "endpoint.enable" in await everywhere.actions()
    assert (await everywhere.operate("resume", endpoint))[0]
    assert await everywhere.nicobar.send(address) == 202
    assert (await everywhere.nicobar.next_recorded()).attempt.state.value == "success"


async def test_a_resend_and_a_replay_write_the_same_audit_line(everywhere):
    endpoint, address = await furnish(everywhere.nicobar, ORDER_PAID, name=NAME)
    assert await everywhere.nicobar.send(address) == 202
    message_id = (await everywhere.nicobar.next_recorded()).message.id
    assert (await everywhere.resend(message_id, endpoint))[0]
    await everywhere.nicobar.next_recorded()
    assert (await everywhere.operate("bulk", endpoint))[0]
    await everywhere.nicobar.next_recorded()
    assert await everywhere.actions() == ["message.resend", TaskKind.BULK_REPLAY.value]
