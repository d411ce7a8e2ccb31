"""Every page and form, opened by every kind of visitor, with ids that exist and forms that are complete. Who may open
what is listed here, not read from the rows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import pytest_asyncio

from nicobar.model import Scope, UserRole
from nicobar.store import RemoveSource
from nicobar.web.dashboard.app import OPERATIONS
from nicobar.web.operations import Operation
from support.access import World, fresh_name, furnished, is_marked
from support.installation import PASSWORD

VISITORS = ("viewer", "editor", "owner", "link", "reading link", "other link", "other reading link")
# None of these is signed in.
STRANGERS = (
    "nobody",
    "unknown session",
    "expired session",
    "session of a removed user",
    "administrator's token",
    "expired link",
    "revoked link",
)
_LINKS = {
    "link": Scope.APPLICATION,
    "reading link": Scope.APPLICATION_READ_ONLY,
    "other link": Scope.APPLICATION,
    "other reading link": Scope.APPLICATION_READ_ONLY,
}
OK = 0  # a page, or a form that was accepted
# The columns are those of VISITORS.
#             users          links     other links
RIGHTS = {
    "open":   (OK, OK, OK,   OK, OK,   OK, OK),
    "look":   (OK, OK, OK,   OK, OK,   OK, OK),  # each at their own application
    "see":    (OK, OK, OK,   OK, OK,   404, 404),
    "try":    (OK, OK, OK,   OK, 403,  404, 403),  # changes nothing, but runs code
    "run":    (403, OK, OK,  OK, 403,  404, 403),
    "change": (403, OK, OK,  OK, 403,  404, 403),
    "add":    (403, OK, OK,  OK, 403,  OK, 403),
    "user":   (OK, OK, OK,   404, 404, 404, 404),
    "owner":  (403, 403, OK, 404, 404, 404, 404),
    "absent": (404, 404, 404, 404, 404, 404, 404),  # there is no provider to sign in with
}  # fmt: skip
OF = {
    "open": """
        GET /setup/{token} · POST /setup/{token} · GET /login · POST /login · POST /logout · GET /app-portal
        POST /app-portal · POST /preferences · GET /static/{name}""",
    "absent": "GET /login/oidc · GET /login/oidc/callback",
    "look": """
        GET / · GET /webhooks · GET /catalogue · GET /catalogue/{name} · GET /logs · GET /failures · GET /customers
        GET /queue · GET /sources · GET /keys · GET /customers/timeline""",
    "see": """
        GET /webhooks/{endpoint_id} · GET /webhooks/{endpoint_id}/first · GET /webhooks/{endpoint_id}/settings
        GET /webhooks/{endpoint_id}/transformation · GET /webhooks/{endpoint_id}/people
        GET /webhooks/{endpoint_id}/campaigns
        GET /webhooks/{endpoint_id}/merges · GET /webhooks/{endpoint_id}/merges/count
        GET /webhooks/{endpoint_id}/merges/{merge_id} · GET /webhooks/{endpoint_id}/merges/{merge_id}/progress
        GET /webhooks/{endpoint_id}/replays · GET /webhooks/{endpoint_id}/replays/count
        GET /webhooks/{endpoint_id}/replays/{task_id} · GET /webhooks/{endpoint_id}/replays/{task_id}/progress
        GET /webhooks/{endpoint_id}/attempts/{attempt_id} · GET /webhooks/{endpoint_id}/deliveries
        GET /logs/{message_id} · GET /failures/group · GET /failures/replays/{task_id} · GET /sources/{source_id}""",
    "try": """
        GET /webhooks/{endpoint_id}/testing · GET /webhooks/{endpoint_id}/testing/sent/{test_id}
        GET /webhooks/{endpoint_id}/transformation/dry-run""",
    "run": "POST /webhooks/{endpoint_id}/testing",
    "change": """
        POST /webhooks/{endpoint_id}/secret · POST /webhooks/{endpoint_id}/test-secret
        POST /webhooks/{endpoint_id}/sample · POST /webhooks/{endpoint_id}/pause · POST /webhooks/{endpoint_id}/resume
        POST /webhooks/{endpoint_id}/fix
        POST /webhooks/{endpoint_id}/enable · POST /webhooks/{endpoint_id}/settings
        POST /webhooks/{endpoint_id}/rotate-secret · POST /webhooks/{endpoint_id}/disable
        GET /webhooks/{endpoint_id}/delete · POST /webhooks/{endpoint_id}/delete · GET /webhooks/drafts/{draft_id}
        GET /webhooks/{endpoint_id}/people/change · POST /webhooks/{endpoint_id}/people
        GET /webhooks/drafts/{draft_id}/people · POST /webhooks/drafts/{draft_id}/people
        POST /webhooks/drafts/{draft_id} · POST /webhooks/drafts/{draft_id}/create
        POST /webhooks/drafts/{draft_id}/discard · GET /webhooks/drafts/{draft_id}/code
        POST /webhooks/drafts/{draft_id}/code · POST /webhooks/drafts/{draft_id}/text
        POST /webhooks/drafts/{draft_id}/notes · POST /webhooks/{endpoint_id}/code
        GET /webhooks/drafts/{draft_id}/test · POST /webhooks/drafts/{draft_id}/test
        POST /webhooks/drafts/{draft_id}/test/send · POST /webhooks/{endpoint_id}/testing/send
        GET /webhooks/drafts/{draft_id}/test/sent/{test_id} · POST /webhooks/{endpoint_id}/transformation/restore
        POST /webhooks/{endpoint_id}/replays · POST /webhooks/{endpoint_id}/replays/{task_id}/cancel
        POST /logs/{message_id}/reveal · POST /logs/{message_id}/failed-changes
        POST /webhooks/{endpoint_id}/people/advice · POST /webhooks/drafts/{draft_id}/people/advice
        POST /webhooks/{endpoint_id}/merges · POST /webhooks/{endpoint_id}/merges/{merge_id}/cancel
        POST /webhooks/{endpoint_id}/campaigns · POST /webhooks/drafts/{draft_id}/campaigns
        GET /logs/{message_id}/resend · POST /logs/{message_id}/resend · GET /logs/{message_id}/expunge
        POST /logs/{message_id}/expunge · GET /failures/replay · POST /failures/replay
        POST /failures/replays/{task_id}/cancel
        POST /sources/{source_id}/secret · POST /sources/{source_id}/test-secret · POST /sources/{source_id}/end-older
        POST /sources/{source_id}/ledger
        GET /sources/{source_id}/address · POST /sources/{source_id}/address · POST /sources/{source_id}/sample
        GET /sources/{source_id}/delete · POST /sources/{source_id}/delete""",
    "add": """
        GET /webhooks/new · GET /webhooks/new/{kind} · POST /webhooks/new/{kind} · GET /sources/new
        POST /sources/new · GET /customers/expunge · POST /customers/expunge""",
    "user": """
        GET /settings · GET /settings/account · POST /settings/account/password · POST /settings/account/sign-out
        GET /settings/users · GET /settings/tokens · GET /settings/alerts · GET /settings/retention
        GET /settings/audit · GET /settings/about""",
    "owner": """
        POST /settings/users/invite · POST /settings/users/withdraw · POST /settings/users/{user_id}/link
        POST /settings/users/{user_id}/role · GET /settings/users/{user_id}/remove
        POST /settings/users/{user_id}/remove · POST /settings/tokens · GET /settings/tokens/{token_id}/revoke
        POST /settings/tokens/{token_id}/revoke · POST /settings/alerts/test · POST /settings/alerts/targets
        GET /settings/alerts/targets/{target_id} · POST /settings/alerts/targets/{target_id}
        POST /settings/alerts/targets/{target_id}/test · GET /settings/alerts/targets/{target_id}/delete
        POST /settings/alerts/targets/{target_id}/delete · POST /catalogue/{name}""",
}
ROW = {
    row: RIGHTS[kind]
    for kind, rows in OF.items()
    for row in map(str.strip, rows.replace("\n", "·").split("·"))
    if row
}
# Of one application, though its address names none: others' links see nothing there.
QUERIES = {
    "GET /failures/group": "?endpoint=<endpoint_id>&failure=<failure>",
    "GET /failures/replay": "?endpoint=<endpoint_id>&failure=<failure>",
    "GET /customers/timeline": "?key=<key>",
    "GET /customers/expunge": "?key=<key>",
    "GET /logs/{message_id}/resend": "?to=<endpoint_id>",
    "GET /webhooks/{endpoint_id}/people/change": "?identify=email",
    "GET /webhooks/{endpoint_id}/replays/count": "?kind=recover&since=24h",
}
CODE = {"code": "function handler(webhook) { return webhook; }", "variables": ""}
REPLAY = {"kind": "recover", "since": "24h"}
SECRET = {"secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}
SAMPLE = {"event_type": "payment.succeeded"}
TARGET = {"name": "<new>", "kind": "webhook", "address": "<emulator>/hooks"}
HOOK = {"name": "<new>", "field_url": "<emulator>/hooks"}
FORMS = {
    "POST /setup/{token}": {"password": PASSWORD, "again": PASSWORD},
    "POST /login": {"username": "<user>", "password": PASSWORD},
    "POST /app-portal": {"key": "<link>"},
    "POST /preferences": {"theme": "dark"},
    "POST /webhooks/{endpoint_id}/secret": SECRET,
    "POST /webhooks/{endpoint_id}/sample": SAMPLE,
    "POST /webhooks/{endpoint_id}/settings": HOOK,
    "POST /webhooks/{endpoint_id}/people": {"identify": "email"},
    "POST /webhooks/{endpoint_id}/merges": {"expected": "0"},
    "POST /webhooks/drafts/{draft_id}/people": {"identify": "email"},
    "POST /webhooks/drafts/{draft_id}": HOOK,
    "POST /webhooks/drafts/{draft_id}/code": CODE,
    "POST /webhooks/drafts/{draft_id}/text": CODE,
    "POST /webhooks/drafts/{draft_id}/notes": CODE,
    "POST /webhooks/drafts/{draft_id}/test": {"body": '{"type": "order.never"}'},
    "POST /webhooks/{endpoint_id}/testing": {"body": '{"type": "order.never"}'},
    "POST /webhooks/drafts/{draft_id}/test/send": {"test_id": "<test_id>", "sample_type": "payment.succeeded"},
    "POST /webhooks/{endpoint_id}/testing/send": {"test_id": "<test_id>", "sample_type": "payment.succeeded"},
    "POST /webhooks/{endpoint_id}/transformation/restore": {"version": "1"},
    "POST /webhooks/{endpoint_id}/replays": REPLAY,
    "POST /logs/{message_id}/failed-changes": {"to": "<endpoint_id>"},
    "POST /logs/{message_id}/resend": {"to": "<endpoint_id>"},
    "POST /failures/replay": {"endpoint": "<endpoint_id>", "failure": "<failure>"},
    "POST /customers/expunge": {"key": "<key>"},
    "POST /sources/{source_id}/secret": SECRET,
    "POST /sources/{source_id}/sample": SAMPLE,
    "POST /webhooks/new/{kind}": {**HOOK, "field_secret": SECRET["secret"]},
    "POST /sources/new": {"name": "<new>", "kind": "dodo-payments", **SECRET},
    "POST /settings/account/password": {
        "present": PASSWORD,
        "password": "another pigeon's way",
        "again": "another pigeon's way",
    },
    "POST /settings/users/invite": {"name": "<new>", "role": "viewer"},
    "POST /settings/users/withdraw": {"name": "<invited>"},
    "POST /settings/users/{user_id}/role": {"role": "viewer"},
    "POST /settings/tokens": {"name": "<new>", "scope": "read_only"},
    "POST /settings/alerts/targets": TARGET,
    "POST /settings/alerts/targets/{target_id}": TARGET,
    "POST /catalogue/{name}": {"retries": "1m, 5m"},
}


def row_of(operation: Operation) -> str:
    return f"{operation.method} {operation.plain_path}"


def filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"<{name}>", value).replace(f"{{{name}}}", value)
    return text


async def new_endpoint(world: World) -> dict[str, str]:
    return {"endpoint_id": await world.endpoint(world.app_id, fresh_name())}


async def silent_source(world: World) -> dict[str, str]:
    """Without a secret; the only one, since an endpoint's page takes the first."""
    for source in (await world.store.snapshot()).sources:
        if source.app_id == world.app_id:
            await world.change(RemoveSource(source_id=source.id))
    return {"source_id": await world.source(world.app_id, fresh_name(), secrets=())}


async def new_asking_endpoint(world: World) -> dict[str, str]:
    """Whose connector asks what identifies people."""
    return {"endpoint_id": await world.endpoint(world.app_id, fresh_name(), kind="customerio")}


async def new_source(world: World) -> dict[str, str]:
    return {"source_id": await world.source(world.app_id, fresh_name())}


async def new_target(world: World) -> dict[str, str]:
    return {"target_id": await world.target()}


async def new_draft(world: World) -> dict[str, str]:
    return {"draft_id": await world.draft(world.app_id)}


async def new_merging_endpoint(world: World) -> dict[str, str]:
    endpoint_id = await world.endpoint(world.app_id, fresh_name(), kind="customerio", identify_by="email")
    return {"endpoint_id": endpoint_id}


async def new_merge(world: World) -> dict[str, str]:
    """Of an endpoint to which nothing is sent, so that it stays."""
    endpoint_id = await world.endpoint(
        world.app_id, fresh_name(), kind="customerio", identify_by="email", disabled=True
    )
    return {"endpoint_id": endpoint_id, "merge_id": await world.merge(endpoint_id)}


async def new_asking_draft(world: World) -> dict[str, str]:
    return {"draft_id": await world.draft(world.app_id, kind="customerio")}


async def new_task(world: World) -> dict[str, str]:
    return {"task_id": await world.task(world.app_id, world.values["endpoint_id"])}


async def new_message(world: World) -> dict[str, str]:
    return {"message_id": (await world.message("order.placed", fresh_name("cus")))[0]}


async def new_failure(world: World) -> dict[str, str]:
    await world.message("order.broken", fresh_name("cus"))
    return {}


async def new_user(world: World) -> dict[str, str]:
    return {"user_id": (await world.user(UserRole.VIEWER))[0].id}


async def new_link(world: World) -> dict[str, str]:
    return {"token": await world.setup_token()}


async def new_invitation(world: World) -> dict[str, str]:
    await world.setup_token()
    return {"invited": (await world.store.links(now_ms=world.now_ms()))[-1].name}


async def new_token(world: World) -> dict[str, str]:
    await world.token(None, Scope.READ_ONLY)
    return {"token_id": (await world.store.tokens())[-1].id}


# What each success uses up.
USED_UP: dict[str, Callable[[World], Awaitable[dict[str, str]]]] = {
    "POST /setup/{token}": new_link,
    "POST /webhooks/{endpoint_id}/delete": new_endpoint,
    "GET /webhooks/{endpoint_id}/people": new_asking_endpoint,
    "GET /webhooks/{endpoint_id}/people/change": new_asking_endpoint,
    "POST /webhooks/{endpoint_id}/people": new_asking_endpoint,
    "GET /webhooks/drafts/{draft_id}/people": new_asking_draft,
    "GET /webhooks/{endpoint_id}/merges/count": new_merging_endpoint,
    "POST /webhooks/{endpoint_id}/merges": new_merging_endpoint,
    "POST /webhooks/{endpoint_id}/merges/{merge_id}/cancel": new_merge,
    "POST /webhooks/drafts/{draft_id}/people": new_asking_draft,
    "POST /webhooks/{endpoint_id}/disable": new_endpoint,
    "POST /webhooks/{endpoint_id}/pause": new_endpoint,
    "POST /webhooks/{endpoint_id}/test-secret": silent_source,
    "POST /sources/{source_id}/test-secret": silent_source,
    "POST /logs/{message_id}/resend": new_message,
    "POST /webhooks/drafts/{draft_id}/create": new_draft,
    "POST /webhooks/drafts/{draft_id}/discard": new_draft,
    "POST /webhooks/{endpoint_id}/replays/{task_id}/cancel": new_task,
    "POST /failures/replays/{task_id}/cancel": new_task,
    "POST /failures/replay": new_failure,
    "POST /logs/{message_id}/expunge": new_message,
    "POST /settings/users/withdraw": new_invitation,
    "POST /settings/users/{user_id}/remove": new_user,
    "POST /settings/tokens/{token_id}/revoke": new_token,
    "POST /settings/alerts/targets/{target_id}/delete": new_target,
    "POST /sources/{source_id}/delete": new_source,
}
# These end the visitor's own session.
ENDING = {"POST /logout", "POST /settings/account/password", "POST /settings/account/sign-out"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(tmp_path_factory):
    async with furnished(tmp_path_factory.mktemp("access")) as it:
        user, _ = await it.user(UserRole.VIEWER)
        it.values |= {
            "name": "payment.succeeded",
            "kind": "http",
            "token": await it.setup_token(),
            "user": user.name,
            "link": await it.token(it.app_id, Scope.APPLICATION, portal=True),
            "invited": (await it.store.links(now_ms=it.now_ms()))[-1].name,
            "token_id": (await it.store.tokens())[0].id,
            "test_id": "1234567890abcdef",
        }
        for where in ("/webhooks/{endpoint_id}/testing/send", "/webhooks/drafts/{draft_id}/test/send"):
            assert (await visit(it, f"POST {where}", it.values, it.values["session"])).status == 303
        yield it


async def session_of(world: World, visitor: str) -> str:
    if visitor in _LINKS:
        app_id = world.other_id if visitor.startswith("other") else world.app_id
        return await world.token(app_id, _LINKS[visitor], portal=True)
    if visitor in set(UserRole):
        return (await world.user(UserRole(visitor)))[1]
    now_ms = world.now_ms()
    if visitor == "expired session":
        return await world.session((await world.user(UserRole.OWNER))[0], expires_at_ms=now_ms)
    if visitor == "session of a removed user":
        return await world.removed_user_session()
    ended = {"expired link": "expires_at_ms", "revoked link": "revoked_at_ms"}
    if visitor in ended:
        return await world.token(world.app_id, Scope.APPLICATION, portal=True, **{ended[visitor]: now_ms})
    return {"unknown session": "unknown", "administrator's token": world.values["admin"]}.get(visitor, "")


async def visit(world: World, row: str, values: dict[str, str], session: str):
    method, _, path = row.partition(" ")
    if path.startswith("/static/"):
        values = values | {"name": "dashboard.css"}
    values = values | {"new": fresh_name()}
    fields = {name: filled(value, values) for name, value in FORMS.get(row, {}).items()}
    return await world.visit(method, filled(path + QUERIES.get(row, ""), values), fields, session)


def told(wrong: dict[tuple[str, str], tuple[object, ...]]) -> str:
    return "\n".join(f"{row} by {visitor}: {found}" for (row, visitor), found in wrong.items())


def test_every_page_has_a_row():
    assert set(ROW) == {row_of(operation) for operation in OPERATIONS}


async def test_refused_visitors_get_no_page_and_change_nothing(world):
    """Also others' links where they may do something: at their own application."""
    sessions = {visitor: await session_of(world, visitor) for visitor in (*VISITORS, *STRANGERS)}
    before = await world.state()
    wrong = {}
    asked = 0
    for row, rights in ROW.items():
        expected = dict(zip(VISITORS, rights, strict=True))
        if rights is RIGHTS["open"]:
            continue
        expected |= dict.fromkeys(STRANGERS, 404 if rights is RIGHTS["absent"] else 303)
        for visitor, status in expected.items():
            if status is OK and not visitor.startswith("other"):
                continue
            asked += 1
            answer = await visit(world, row, world.values, sessions[visitor])
            is_refused = status is OK or answer.status == status
            to_sign_in = answer.headers.get("location", "").startswith("/login") is (status == 303)
            if not is_refused or not to_sign_in or is_marked(answer.body):
                wrong[row, visitor] = (answer.status, status, answer.headers.get("location"))
    assert not wrong, told(wrong)
    assert await world.state() == before
    assert asked > 900


@pytest.mark.slow
async def test_allowed_visitors_succeed_and_see_their_own(world):
    """Everybody who may; others' links see nothing of this application."""
    sessions = {visitor: await session_of(world, visitor) for visitor in (*VISITORS, *STRANGERS)}
    statuses = {row_of(operation): operation.status for operation in OPERATIONS}
    wrong = {}
    asked = 0
    # What only reads first, while everything is there.
    for row in sorted(ROW, key=lambda item: (not item.startswith("GET"), item.endswith(("/delete", "/test-secret")))):
        expected = dict(zip(VISITORS, ROW[row], strict=True))
        if ROW[row] is RIGHTS["open"]:
            expected |= dict.fromkeys(STRANGERS, OK)
        for visitor, status in expected.items():
            if status is not OK:
                continue
            asked += 1
            values = world.values | (await USED_UP[row](world) if row in USED_UP else {})
            session = await session_of(world, visitor) if row in ENDING else sessions[visitor]
            answer = await visit(world, row, values, session)
            if answer.status == 409 and row in USED_UP:  # the replay ended before it was canceled
                answer = await visit(world, row, world.values | await USED_UP[row](world), session)
            is_done = answer.status in {statuses[row], 200, 303} and (
                row in ENDING or not answer.headers.get("location", "").startswith("/login")
            )
            sees_too_much = visitor.startswith("other") and is_marked(answer.body)
            if not is_done or sees_too_much:
                wrong[row, visitor] = (answer.status, answer.headers.get("location"), sees_too_much)
    assert not wrong, told(wrong)
    assert asked > 450
