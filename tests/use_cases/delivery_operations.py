"""What can be done with transformations, deliveries and tokens, and through which interfaces."""

from __future__ import annotations

import html
import re
from http import HTTPStatus

import msgspec

from nicobar.audit import AuditAction
from nicobar.crypto import hash_token, new_token
from nicobar.model import Scope, Token
from nicobar.reasons import plain
from nicobar.store import AddTransformation, Change, EnableTransformation, NewMessage, PauseEndpoint, PutToken
from nicobar.use_cases.deliveries import CANCELED
from support.parity import NAME, TOKEN, Interface, Operation, Said, World, api, command, file, form
from use_cases.endpoint_operations import entry

APP = "/api/v1/app/default"
TRANSFORMATION = f"{APP}/endpoint/<endpoint>/transformation"
PAGE = "/webhooks/<endpoint>"
FIRST = "function handler(webhook) { webhook.payload = {first: true}; return webhook; }"
SECOND = "function handler(webhook) { webhook.payload = {second: true}; return webhook; }"
BROKEN = "function handler(webhook) {"
TOKENS = "/api/v1/auth/token"


def without_code(world: World) -> list[Change]:
    return [world.source(), world.endpoint()]


def switched_off(world: World) -> list[Change]:
    """The first version is broken, the second one good; the third one does not run."""
    endpoint = world.endpoint()
    versions = [
        AddTransformation(endpoint_id=endpoint.id, code=code, created_at_ms=1) for code in (BROKEN, FIRST, SECOND)
    ]
    return [world.source(), endpoint, *versions, EnableTransformation(endpoint_id=endpoint.id, enabled=False)]


def with_code(world: World) -> list[Change]:
    endpoint = world.endpoint()
    return [world.source(), endpoint, AddTransformation(endpoint_id=endpoint.id, code=FIRST, created_at_ms=1)]


def paused(world: World) -> list[Change]:
    """Nothing leaves, so that the state of a delivery is what the operation left."""
    endpoint = world.endpoint()
    return [
        world.source(),
        endpoint,
        PauseEndpoint(endpoint_id=endpoint.id, reason=plain("moving house"), by_hand=True),
    ]


def disabled(world: World) -> list[Change]:
    return [world.source(), world.endpoint(disabled=True)]


def nothing(world: World) -> list[Change]:
    return [world.source()]


async def canceled_message(world: World) -> None:
    """A message whose delivery was canceled."""
    runtime = world.nicobar.runtime
    (endpoint,) = runtime.configuration.snapshot.endpoints
    now_ms = runtime.clock.now_ms()
    message_id = runtime.ids.new("msg")
    world.values |= {"message": message_id, "customer": f"cus_{message_id}"}
    message = NewMessage(
        id=message_id,
        app_id=endpoint.app_id,
        source_id="api",
        event_id=message_id,
        event_type="payment.succeeded",
        customer_key=world.values["customer"],
        occurred_at_ms=now_ms,
        accepted_at_ms=now_ms,
        body=b'{"type":"payment.succeeded","data":{}}',
        endpoint_seqs=(endpoint.seq,),
    )
    await runtime.store.append(message)
    await runtime.store.cancel_pending(endpoint.seq, now_ms=now_ms, limit=10, reason=CANCELED)


async def no_tokens(world: World) -> None:
    """Those of earlier operations are revoked."""
    runtime = world.nicobar.runtime
    now_ms = runtime.clock.now_ms()
    tokens = [token for token in await runtime.store.tokens() if token.name == TOKEN and not token.revoked_at_ms]
    await world.add(*(PutToken(token=msgspec.structs.replace(token, revoked_at_ms=now_ms)) for token in tokens))
    world.began_at_ms = now_ms


async def one_token(world: World) -> None:
    await no_tokens(world)
    token = Token(
        id=world.nicobar.runtime.ids.new("tok"),
        name=TOKEN,
        sha256=hash_token(new_token()),
        created_at_ms=world.began_at_ms,
        scope=Scope.ADMIN,
    )
    world.values["ci"] = token.id
    await world.add(PutToken(token=token))


async def publish_draft(world: World) -> Said:
    """The editor: a draft of the endpoint is begun, its code kept, and the draft published."""
    begun = await form(f"{PAGE}/code")(world)
    assert begun.done, begun.text
    draft = world.values["draft"]
    await world.visitor.ask("GET", "/webhooks")
    await world.visitor.send(f"{draft}/code", code=SECOND, variables="", action="check")
    status, text, _ = await world.visitor.send(f"{draft}/create")
    return Said(done=status == HTTPStatus.SEE_OTHER, text=html.unescape(re.sub(r"<[^>]+>", "", text)))


async def apply_handler(world: World) -> Said:
    (world.directory / "parity.js").write_text(SECOND, "utf-8")
    return await file(entry('handler = "parity.js"'))(world)


OPERATIONS = (
    Operation(
        "publish code",
        (AuditAction.TRANSFORMATION_UPDATE,),
        with_code,
        {
            Interface.API: api("PATCH", TRANSFORMATION, {"code": SECOND, "enabled": True}),
            Interface.DASHBOARD: publish_draft,
            Interface.FILE: apply_handler,
        },
    ),
    Operation(
        "publish the first code",
        (AuditAction.TRANSFORMATION_UPDATE,),
        without_code,
        {
            Interface.API: api("PATCH", TRANSFORMATION, {"code": SECOND, "enabled": True}),
            Interface.DASHBOARD: publish_draft,
            Interface.FILE: apply_handler,
        },
    ),
    Operation(
        "restore a version of a transformation that is switched off",
        (AuditAction.TRANSFORMATION_RESTORE,),
        switched_off,
        {
            Interface.API: api("POST", f"{TRANSFORMATION}/version/2/restore"),
            Interface.DASHBOARD: form(f"{PAGE}/transformation/restore", version="2"),
        },
    ),
    Operation(
        "restore the version that runs",
        (),
        with_code,
        {
            Interface.API: api("POST", f"{TRANSFORMATION}/version/1/restore"),
            Interface.DASHBOARD: form(f"{PAGE}/transformation/restore", version="1"),
        },
    ),
    Operation(
        "restore a version that cannot run",
        (),
        switched_off,
        {
            Interface.API: api("POST", f"{TRANSFORMATION}/version/1/restore"),
            Interface.DASHBOARD: form(f"{PAGE}/transformation/restore", version="1"),
        },
        error="Fix the code.",
    ),
    Operation(
        "restore a version that does not exist",
        (),
        with_code,
        {
            Interface.API: api("POST", f"{TRANSFORMATION}/version/9/restore"),
            Interface.DASHBOARD: form(f"{PAGE}/transformation/restore", version="9"),
        },
        error="Version 9 not found.",
    ),
    Operation(
        "switch a transformation off",
        (AuditAction.TRANSFORMATION_UPDATE,),
        with_code,
        {Interface.API: api("PATCH", TRANSFORMATION, {"enabled": False})},
    ),
    Operation(
        "resend a message",
        (AuditAction.MESSAGE_RESEND,),
        paused,
        {
            Interface.API: api("POST", f"{APP}/msg/<message>/endpoint/<endpoint>/resend"),
            Interface.DASHBOARD: form("/logs/<message>/resend", to="<endpoint>"),
            Interface.COMMAND: command("replay", "resend", "<message>", NAME),
        },
        prepare=canceled_message,
    ),
    Operation(
        "resend a message to a disabled endpoint",
        (),
        disabled,
        {
            Interface.API: api("POST", f"{APP}/msg/<message>/endpoint/<endpoint>/resend"),
            Interface.DASHBOARD: form("/logs/<message>/resend", to="<endpoint>"),
            Interface.COMMAND: command("replay", "resend", "<message>", NAME),
        },
        error=f"Endpoint {NAME} is disabled.",
        prepare=canceled_message,
    ),
    Operation(
        "erase a message",
        (AuditAction.MESSAGE_EXPUNGE,),
        paused,
        {
            Interface.API: api("DELETE", f"{APP}/msg/<message>/content"),
            Interface.DASHBOARD: form("/logs/<message>/expunge"),
            Interface.COMMAND: command("expunge", "--message", "<message>", "--yes"),
        },
        prepare=canceled_message,
    ),
    Operation(
        "erase a customer",
        (AuditAction.CUSTOMER_EXPUNGE,),
        paused,
        {
            Interface.API: api("POST", f"{APP}/customer/expunge", {"key": "<customer>"}),
            Interface.DASHBOARD: form("/customers/expunge", key="<customer>"),
            Interface.COMMAND: command("expunge", "--customer", "<customer>", "--yes"),
        },
        prepare=canceled_message,
    ),
    Operation(
        "create a token",
        (AuditAction.TOKEN_CREATE,),
        nothing,
        {
            Interface.API: api("POST", TOKENS, {"name": TOKEN}),
            Interface.DASHBOARD: form("/settings/tokens", name=TOKEN, scope="admin", days="0"),
            Interface.COMMAND: command("token", "create", TOKEN),
        },
        prepare=no_tokens,
    ),
    Operation(
        "create a token with another one's name",
        (),
        nothing,
        {
            Interface.API: api("POST", TOKENS, {"name": TOKEN}),
            Interface.DASHBOARD: form("/settings/tokens", name=TOKEN, scope="admin", days="0"),
            Interface.COMMAND: command("token", "create", TOKEN),
        },
        error=f"A token named '{TOKEN}' already exists.",
        prepare=one_token,
    ),
    Operation(
        "create a token that has expired",
        (),
        nothing,
        {
            Interface.API: api("POST", TOKENS, {"name": TOKEN, "expiresAt": "2020-01-01T00:00:00Z"}),
            Interface.COMMAND: command("token", "create", TOKEN, "--expires", "2020-01-01T00:00:00Z"),
        },
        error="The expiry is in the past.",
        prepare=no_tokens,
    ),
    Operation(
        "revoke a token",
        (AuditAction.TOKEN_REVOKE,),
        nothing,
        {
            Interface.API: api("DELETE", f"{TOKENS}/<ci>"),
            Interface.DASHBOARD: form("/settings/tokens/<ci>/revoke"),
            Interface.COMMAND: command("token", "revoke", TOKEN),
        },
        prepare=one_token,
    ),
)
