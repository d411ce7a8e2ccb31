"""Every operation of the API, asked by every kind of caller about one application, with ids that exist and valid
bodies. Who may do what is listed here by the operations' ids, not read from the rows.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest_asyncio

from nicobar.model import Scope
from nicobar.web.api import app
from support.access import World, fresh_name, furnished, is_marked
from support.operations import OPERATIONS, Documented

_EACH = ("writer", "reader", "link", "reading link", "sender")
CALLERS = ("administrator", "auditor", *(f"own {one}" for one in _EACH), *(f"other {one}" for one in _EACH))
# None of these is a token.
STRANGERS = (
    "nobody",
    "unknown token",
    "session of an owner",
    "expired administrator",
    "revoked administrator",
    "expired link",
    "token of a deleted application",
)
_SCOPES = {
    "writer": {"scope": Scope.APPLICATION},
    "reader": {"scope": Scope.APPLICATION_READ_ONLY},
    "link": {"scope": Scope.APPLICATION, "portal": True},
    "reading link": {"scope": Scope.APPLICATION_READ_ONLY, "portal": True},
    "sender": {"scope": Scope.APPLICATION_MESSAGES},
}
OK = 0  # a success
# The columns are those of CALLERS.
#              wide     own                        other
RIGHTS = {
    "open":     (OK, OK,    OK, OK, OK, OK, OK,       OK, OK, OK, OK, OK),
    "read":     (OK, OK,    OK, OK, OK, OK, 403,      404, 404, 404, 404, 403),
    "run":      (OK, 403,   OK, 403, OK, 403, 403,    404, 403, 404, 403, 403),
    "try":      (OK, 403,   OK, 403, OK, 403, 403,    OK, 403, OK, 403, 403),
    "write":    (OK, 403,   OK, 403, OK, 403, 403,    404, 403, 404, 403, 403),
    "backend":  (OK, 403,   OK, 403, 403, 403, 403,   404, 403, 403, 403, 403),
    "send":     (OK, 403,   OK, 403, OK, 403, OK,     404, 403, 404, 403, 404),
    # Of all applications, or each caller's own part.
    "shared":   (OK, OK,    OK, OK, OK, OK, 403,      OK, OK, OK, OK, 403),
    "own part": (OK, 403,   OK, 403, OK, 403, 403,    OK, 403, OK, 403, 403),
    "look":     (OK, OK,    403, 403, 403, 403, 403,  403, 403, 403, 403, 403),
    "manage":   (OK, 403,   403, 403, 403, 403, 403,  403, 403, 403, 403, 403),
    "itself":   (403, 403,  403, 403, OK, OK, 403,    403, 403, OK, OK, 403),
}  # fmt: skip
OF = {
    "open": "v1.health.get",
    "read": """
        v1.application.get v1.endpoint.list v1.endpoint.get v1.endpoint.get-headers v1.endpoint.transformation.get
        nicobar.transformation.version.list nicobar.transformation.version.get nicobar.transformation.version.diff
        nicobar.endpoint.queue v1.endpoint.get_connector v1.ingest.source.get v1.message.list v1.message.precheck
        v1.message.search v1.message.events v1.message.get v1.message.get-raw-payload nicobar.message.revisions
        v1.message-attempt.list-by-endpoint v1.message-attempt.count-by-endpoint v1.message-attempt.list-by-msg
        v1.message-attempt.get v1.message-attempt.get-headers v1.message-attempt.list-attempted-messages
        v1.message-attempt.list-attempted-destinations v1.endpoint.get-stats v1.endpoint.get-attempt-stats
        v1.application.stats.attempts v1.stats.app-attempts nicobar.application.overview v1.background-task.get
        v1.ingest.log.list nicobar.customer.list nicobar.customer.lookup nicobar.customer.timeline
        nicobar.customer.ledger
        nicobar.failure-group.list nicobar.failure-group.count nicobar.endpoint.merge.list nicobar.endpoint.merge.get
        nicobar.endpoint.merge.people""",
    "run": "v1.endpoint.transformation.simulate",
    "try": "v1.connector.simulate",
    "write": """
        v1.endpoint.create v1.endpoint.upsert v1.endpoint.patch v1.endpoint.delete v1.endpoint.get-secret
        v1.endpoint.rotate-secret v1.endpoint.set-headers v1.endpoint.patch-headers v1.endpoint.transformation.patch
        nicobar.transformation.version.restore v1.endpoint.recover v1.endpoint.replay-missing v1.endpoint.bulk-replay
        nicobar.endpoint.identify nicobar.endpoint.pause nicobar.endpoint.resume nicobar.endpoint.cancel-pending
        nicobar.endpoint.check nicobar.endpoint.check-campaigns nicobar.message.failed-changes
        nicobar.endpoint.advise-identity
        nicobar.endpoint.merge nicobar.endpoint.merge.cancel
        v1.message.test-attempt
        v1.endpoint.send-example v1.ingest.source.upsert v1.ingest.source.patch v1.ingest.source.delete
        v1.ingest.source.rotate-token v1.message.expunge-content v1.message.bulk-expunge-content
        v1.message.expunge-all-contents v1.message-attempt.expunge-content v1.message-attempt.resend
        nicobar.background-task.cancel nicobar.customer.expunge nicobar.failure-group.replay
        nicobar.transformation.test""",
    "backend": """
        v1.application.upsert v1.application.patch v1.application.delete v1.authentication.app-portal-access
        v1.authentication.dashboard-access v1.authentication.expire-all v1.authentication.create-message-token""",
    "send": "v1.message.create",
    "shared": """
        v1.application.list v1.connector.list v1.connector.get v1.event-type.list
        nicobar.event-type.export v1.event-type.get v1.event-type.get-retry-schedule v1.ingest.source.list
        v1.statistics.endpoint-count v1.application.count-active v1.background-task.list nicobar.audit-log.list""",
    "own part": "v1.ingest.source.create",
    "look": """
        nicobar.token.list v1.statistics.aggregate-app-stats v1.statistics.aggregate-event-types
        nicobar.alert-target.list nicobar.alert-target.get""",
    "manage": """
        v1.application.create v1.event-type.create v1.event-type.import-openapi v1.event-type.upsert
        v1.event-type.patch v1.event-type.delete v1.event-type.set-retry-schedule nicobar.token.create
        nicobar.token.revoke nicobar.alert-target.create nicobar.alert-target.patch nicobar.alert-target.delete
        nicobar.alert-target.test""",
    "itself": "v1.authentication.logout",
}
ROW = {operation_id: RIGHTS[kind] for kind, ids in OF.items() for operation_id in ids.split()}
# Without a place in the document.
UNDOCUMENTED = {"/api/v1/openapi.json", "/api/v1/reference", "/api/v1/health/ping"}
HOOK = {"url": "<emulator>/hooks"}
SOURCE = {"name": "<new>", "type": "dodo-payments", "config": {"secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}}
TARGET = {"name": "<new>", "kind": "webhook", "address": "<emulator>/hooks"}
SINCE = {"since": "<since>"}
# In place of the document's example.
BODIES: dict[str, object] = {
    "v1.application.create": {"name": "New", "uid": "<new>"},
    "v1.application.upsert": {"name": "New"},
    "v1.application.patch": {"name": "New"},
    "v1.endpoint.create": {**HOOK, "eventTypes": ["order.never"]},
    "v1.endpoint.upsert": HOOK,
    "v1.endpoint.rotate-secret": {},
    "v1.endpoint.patch-headers": {"headers": {"x-shop": "1"}},
    "v1.endpoint.recover": SINCE,
    "v1.endpoint.replay-missing": SINCE,
    "v1.endpoint.bulk-replay": SINCE,
    "v1.event-type.create": {"name": "<new>", "description": "New"},
    "v1.ingest.source.create": SOURCE,
    "v1.ingest.source.upsert": SOURCE,
    "v1.ingest.source.patch": {"name": "<new>"},
    "v1.authentication.app-portal-access": {},
    "v1.authentication.expire-all": {},
    "v1.authentication.create-message-token": {"name": "<new>", "expiry": 60},
    "nicobar.token.create": {"name": "<new>", "scope": "read_only"},
    "v1.message.create": {"eventType": "order.never", "payload": {}},
    "v1.message.test-attempt": {"eventType": "order.never", "payload": {}},
    "v1.message.search": {"limit": 1},
    "v1.message.bulk-expunge-content": {"ids": ["<msg_id>"]},
    "v1.statistics.aggregate-app-stats": {**SINCE, "until": "<until>"},
    "nicobar.endpoint.merge": {},
    "nicobar.customer.expunge": {"key": "<key>"},
    "nicobar.failure-group.count": {"failure": "<failure>"},
    "nicobar.failure-group.replay": {"failure": "<failure>"},
    "nicobar.transformation.test": {"code": "function handler(webhook) { return webhook; }", "messages": 1},
    "nicobar.alert-target.create": TARGET,
    "nicobar.alert-target.patch": {"name": "<new>"},
}


async def new_endpoint(world: World) -> dict[str, str]:
    return {"endpoint_id": await world.endpoint(world.app_id, fresh_name())}


async def new_asking_endpoint(world: World) -> dict[str, str]:
    """Whose connector asks what identifies people."""
    return {"endpoint_id": await world.endpoint(world.app_id, fresh_name(), kind="customerio")}


async def new_merging_endpoint(world: World) -> dict[str, str]:
    endpoint_id = await world.endpoint(world.app_id, fresh_name(), kind="customerio", identify_by="email")
    return {"endpoint_id": endpoint_id}


async def new_merge(world: World) -> dict[str, str]:
    """Of an endpoint to which nothing is sent, so that it stays."""
    endpoint_id = await world.endpoint(
        world.app_id, fresh_name(), kind="customerio", identify_by="email", disabled=True
    )
    return {"endpoint_id": endpoint_id, "merge_id": await world.merge(endpoint_id)}


async def new_source(world: World) -> dict[str, str]:
    return {"source_id": await world.source(world.app_id, fresh_name())}


async def new_target(world: World) -> dict[str, str]:
    return {"target_id": await world.target()}


async def new_task(world: World) -> dict[str, str]:
    return {"task_id": await world.task(world.app_id, world.values["endpoint_id"])}


async def new_message(world: World) -> dict[str, str]:
    msg_id, attempt_id = await world.message("order.placed", fresh_name("cus"))
    return {"msg_id": msg_id, "attempt_id": attempt_id}


async def new_failure(world: World) -> dict[str, str]:
    await world.message("order.broken", fresh_name("cus"))
    return {}


async def new_token(world: World) -> dict[str, str]:
    await world.token(None, Scope.READ_ONLY)
    return {"token_id": (await world.store.tokens())[-1].id}


async def new_event_type(world: World) -> dict[str, str]:
    name = fresh_name("order")
    await world.call("POST", "/api/v1/event-type", {"name": name, "description": "x"}, world.values["admin"])
    return {"event_type_name": name}


async def new_application(world: World) -> dict[str, str]:
    return {"app_id": await world.application()}


# What each success uses up.
USED_UP: dict[str, Callable[[World], Awaitable[dict[str, str]]]] = {
    "v1.application.delete": new_application,
    "v1.authentication.expire-all": new_application,
    "v1.endpoint.delete": new_endpoint,
    "v1.endpoint.rotate-secret": new_endpoint,
    "nicobar.endpoint.identify": new_asking_endpoint,
    "nicobar.endpoint.merge": new_merging_endpoint,
    "nicobar.endpoint.merge.cancel": new_merge,
    "v1.event-type.patch": new_event_type,
    "v1.event-type.delete": new_event_type,
    "v1.ingest.source.delete": new_source,
    "nicobar.token.revoke": new_token,
    "nicobar.alert-target.delete": new_target,
    "nicobar.background-task.cancel": new_task,
    "v1.message.expunge-content": new_message,
    "v1.message.bulk-expunge-content": new_message,
    "v1.message-attempt.resend": new_message,
    "v1.message-attempt.expunge-content": new_message,
    "nicobar.failure-group.replay": new_failure,
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(tmp_path_factory):
    async with furnished(tmp_path_factory.mktemp("access")) as it:
        yield it


async def token_of(world: World, caller: str, app_id: str) -> str:
    of, _, kind = caller.partition(" ")
    if of in {"own", "other"}:
        return await world.token(app_id if of == "own" else world.other_id, **_SCOPES[kind])
    if caller in {"unknown token", "session of an owner"}:
        return "nbr_unknown" if of == "unknown" else world.values["session"]
    if caller == "token of a deleted application":
        return await world.gone_application_token()
    now_ms = world.now_ms()
    rest: dict[str, dict[str, object]] = {
        "administrator": {"scope": Scope.ADMIN},
        "auditor": {"scope": Scope.READ_ONLY},
        "expired administrator": {"scope": Scope.ADMIN, "expires_at_ms": now_ms},
        "revoked administrator": {"scope": Scope.ADMIN, "revoked_at_ms": now_ms},
        "expired link": {"scope": Scope.APPLICATION, "portal": True, "expires_at_ms": now_ms},
    }
    return await world.token(app_id, **rest[caller]) if caller in rest else ""


def body_of(operation: Documented, values: dict[str, str]) -> object:
    if not operation.has_body:
        return None
    text = json.dumps(BODIES.get(operation.id, operation.example))
    for name, value in {**values, "new": fresh_name()}.items():
        text = text.replace(f"<{name}>", value)
    return json.loads(text)


def told(wrong: dict[tuple[str, str], tuple[object, ...]]) -> str:
    return "\n".join(f"{row} by {caller}: {found}" for (row, caller), found in wrong.items())


def test_every_operation_has_a_row():
    assert set(ROW) == {operation.id for operation in OPERATIONS}
    assert sum(len(ids.split()) for ids in OF.values()) == len(ROW), "an operation has one row"
    assert {row.path for row in app._SERVED if not row.id} == UNDOCUMENTED


async def test_refused_callers_get_the_documented_answer_and_change_nothing(world):
    """Everybody who may not, asked about what exists."""
    tokens = {caller: await token_of(world, caller, world.app_id) for caller in (*CALLERS, *STRANGERS)}
    before = await world.state()
    wrong = {}
    asked = 0
    for operation in OPERATIONS:
        expected = dict(zip(CALLERS, ROW[operation.id], strict=True))
        expected |= dict.fromkeys(STRANGERS, 401 if ROW[operation.id] is not RIGHTS["open"] else OK)
        for caller, status in expected.items():
            if status is OK:
                continue
            asked += 1
            body = body_of(operation, world.values)
            answer = await world.call(operation.method, operation.address(world.values), body, tokens[caller])
            documented = str(answer.status) in operation.details["responses"]
            if answer.status != status or not documented or is_marked(answer.body):
                wrong[operation.id, caller] = (answer.status, status, answer.body[:160])
    assert not wrong, told(wrong)
    assert await world.state() == before
    assert asked > 1_400


async def test_allowed_callers_succeed_and_see_their_own(world):
    """Everybody who may; others' callers see nothing of this application."""
    tokens = {caller: await token_of(world, caller, world.app_id) for caller in (*CALLERS, *STRANGERS)}
    wrong = {}
    asked = 0
    for path in UNDOCUMENTED:
        assert (await world.call("GET", path, None, "")).status < 300, path
    # What only reads first, while everything is there.
    for operation in sorted(OPERATIONS, key=lambda item: (item.method != "GET", item.method == "DELETE")):
        row = dict(zip(CALLERS, ROW[operation.id], strict=True))
        if ROW[operation.id] is RIGHTS["open"]:
            row |= dict.fromkeys(STRANGERS, OK)
        for caller, status in row.items():
            if status is not OK:
                continue
            asked += 1
            for _ in range(2):  # a replay may end before it is canceled
                new = await USED_UP[operation.id](world) if operation.id in USED_UP else {}
                values = world.values | new
                token = tokens[caller]
                if "app_id" in new or ROW[operation.id] is RIGHTS["itself"]:
                    token = await token_of(world, caller, values["app_id"])
                answer = await world.call(
                    operation.method, operation.address(values), body_of(operation, values), token
                )
                if answer.status != 409 or operation.id not in USED_UP:
                    break
            sees_too_much = caller.startswith("other") and is_marked(answer.body)
            if not 200 <= answer.status < 300 or sees_too_much:
                wrong[operation.id, caller] = (answer.status, answer.body[:160])
    assert not wrong, told(wrong)
    assert asked > 450
