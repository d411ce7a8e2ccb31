"""Two applications with one of everything each, and everybody who may ask about the first one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from nicobar.audit import AuditAction
from nicobar.crypto import hash_password, hash_token, new_url_token
from nicobar.model import AlertTarget, Application, Scope, TargetKind, User, UserRole
from nicobar.people import Identifier
from nicobar.pipeline.alert_targets import Address, seal_address
from nicobar.store import (
    AddTransformation,
    Audited,
    Draft,
    NewMerge,
    NewTask,
    Pair,
    PutAlertTarget,
    PutApplication,
    PutLink,
    PutSource,
    RemoveApplication,
    RemoveUser,
    ReplayFilter,
    TaskKind,
    TaskStatus,
)
from nicobar.store.history import AuditFilter, Change
from nicobar.use_cases.users import new_link
from support.api import make_token
from support.asgi import Reply, ask
from support.installation import PASSWORD, SAME_ORIGIN, SECRET
from support.records import make_endpoint, make_source
from support.server import Running, running

HANDLER = """function handler(webhook) {
  if (webhook.eventType === "order.broken") throw new Error("broken");
  return webhook;
}"""
# In what belongs to the first application, and in no address: no other caller may see it.
MARK = "seen by its own application alone"
EMAIL = "seen.by.its.own@northpine.example"
FOREVER_MS = 10**15
_CANCELED = {TaskStatus.CANCELING, TaskStatus.CANCELED}
_COUNT = itertools.count(1)


def is_marked(body: bytes) -> bool:
    return MARK.encode() in body or EMAIL.encode() in body


def fresh_name(prefix: str = "n") -> str:
    return f"{prefix}-{next(_COUNT)}"


@dataclass
class World:
    """`app_id` is the application that is asked about. `values` fill addresses and bodies."""

    nicobar: Running
    app: Any
    app_id: str = ""
    other_id: str = ""
    values: dict[str, str] = field(default_factory=dict)
    password_hash: str = ""

    @property
    def store(self):
        return self.nicobar.runtime.store

    def now_ms(self) -> int:
        return self.nicobar.runtime.clock.now_ms()

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        return await ask(self.app, method, path, body, host="127.0.0.1", **headers)

    async def call(self, method: str, path: str, body: object, token: str, **headers: str) -> Reply:
        """A request to the API."""
        sent = {} if not token else {"authorization": f"Bearer {token}"}
        content = b"" if body is None else msgspec.json.encode(body)
        return await self.ask(method, path, content, content_type="application/json", **sent, **headers)

    async def visit(self, method: str, path: str, fields: dict[str, str] | None, session: str) -> Reply:
        """A page or a form of a browser with this session."""
        sent = {} if not session else {"cookie": f"nicobar_session={quote(session)}"}
        form = urlencode(fields or {}).encode()
        kind = "application/x-www-form-urlencoded"
        return await self.ask(method, path, form, content_type=kind, **SAME_ORIGIN, **sent)

    async def change(self, *changes: Any) -> None:
        await self.store.change(changes)
        await self.nicobar.runtime.configuration.refresh()

    async def token(self, app_id: str | None, scope: Scope, **fields: object) -> str:
        wide = scope in {Scope.ADMIN, Scope.READ_ONLY}
        return await make_token(self.nicobar, scope=scope, app_id=None if wide else app_id, **fields)

    async def application(self) -> str:
        app_id = self.nicobar.runtime.ids.new("app")
        await self.change(PutApplication(application=Application(id=app_id, uid=fresh_name("uid"), name="Other")))
        return app_id

    async def endpoint(
        self,
        app_id: str,
        name: str,
        event_types: Sequence[str] = ("order.other",),
        *,
        kind: str = "http",
        disabled: bool = False,
        **settings: str,
    ) -> str:
        runtime = self.nicobar.runtime
        connection = self._connection(kind)
        made = make_endpoint(
            vault=runtime.vault,
            ids=runtime.ids,
            app_id=app_id,
            name=name,
            kind=kind,
            settings=connection["settings"] | settings,
            credentials=connection["credentials"],
            disabled=disabled,
            retry_after_ms=(),
            event_types=tuple(event_types),
        )
        await self.change(made, AddTransformation(endpoint_id=made.id, code=HANDLER, created_at_ms=1))
        return made.id

    async def source(self, app_id: str, name: str, secrets: Sequence[str] = (SECRET,)) -> str:
        runtime = self.nicobar.runtime
        made = make_source(
            vault=runtime.vault, ids=runtime.ids, app_id=app_id, name=name, kind="dodo-payments", secrets=secrets
        )
        await self.change(PutSource(source=made))
        return made.id

    async def target(self) -> str:
        runtime = self.nicobar.runtime
        key = runtime.ids.new("alt")
        sealed = seal_address(runtime.vault, key, Address(address=f"{self.nicobar.emulator.url}/hooks", secret=""))
        made = AlertTarget(id=key, name=fresh_name(), kind=TargetKind.WEBHOOK, sealed=sealed)
        await self.change(PutAlertTarget(target=made))
        return key

    def _connection(self, kind: str) -> dict[str, dict[str, str]]:
        url = self.nicobar.emulator.url
        if kind == "http":
            return {"settings": {"url": f"{url}/hooks"}, "credentials": {"secret": SECRET}}
        return {"settings": {"base_url": url}, "credentials": {"site_id": "demo-site", "api_key": "demo-key"}}

    async def draft(self, app_id: str, *, kind: str = "http") -> str:
        """Of a new endpoint."""
        vault = self.nicobar.runtime.vault
        key = self.nicobar.runtime.ids.new("draft")
        made = Draft(
            id=key,
            app_id=app_id,
            connector=kind,
            name=f"{MARK} {key}",
            settings=self._connection(kind)["settings"],
            updated_at_ms=self.now_ms(),
            sealed_credentials=vault.seal(msgspec.json.encode(self._connection(kind)["credentials"]), key),
            code=HANDLER,
        )
        await self.store.put_draft(made, forget_before_ms=0)
        return key

    async def task(self, app_id: str, endpoint_id: str) -> str:
        """A replay that no worker was told about."""
        snapshot = await self.store.snapshot()
        (seq,) = [item.seq for item in snapshot.endpoints if item.id == endpoint_id]
        made = NewTask(
            id=self.nicobar.runtime.ids.new("qtask"),
            app_id=app_id,
            endpoint_seq=seq,
            endpoint_id=endpoint_id,
            kind=TaskKind.RECOVER,
            filter=ReplayFilter(since_ms=1, until_ms=2),
            new_ids=False,
            expected=0,
            created_at_ms=self.now_ms(),
        )
        await self.store.add_task(made)
        return made.id

    async def merge(self, endpoint_id: str) -> str:
        """A running merge of people who do not exist."""
        (endpoint,) = [item for item in (await self.store.snapshot()).endpoints if item.id == endpoint_id]
        pair = Pair(
            customer_key="cus_7",
            secondary=Identifier(kind="id", value="cus_7"),
            primary=Identifier(kind="id", value=MARK),
        )
        made = NewMerge(
            id=self.nicobar.runtime.ids.new("mrg"),
            app_id=endpoint.app_id,
            endpoint_seq=endpoint.seq,
            endpoint_id=endpoint.id,
            rule="email email",
            created_at_ms=self.now_ms(),
            pairs=(pair,),
        )
        await self.store.add_merge(made)
        return made.id

    async def message(self, event_type: str, customer: str) -> tuple[str, str]:
        """Of the first application, and its attempt at the endpoint that gets everything."""
        payload = {"type": event_type, "data": {"customer": {"customer_id": customer, "email": EMAIL}, "note": MARK}}
        body = {"eventType": event_type, "eventId": fresh_name("evt"), "payload": payload}
        answer = await self.call("POST", f"/api/v1/app/{self.app_id}/msg", body, self.values["admin"])
        assert answer.status == 202, answer.body
        while True:
            recorded = await self.nicobar.next_recorded()
            if (recorded.message.id, recorded.endpoint.id) == (answer.json["id"], self.values["endpoint_id"]):
                return answer.json["id"], recorded.attempt.id

    async def user(self, role: UserRole) -> tuple[User, str]:
        """A new user, and a session of theirs."""
        name = fresh_name(role.value)
        now_ms = self.now_ms()
        link, path = new_link(name, role, now_ms)
        user = User(
            id=self.nicobar.runtime.ids.new("usr"),
            name=name,
            role=role,
            password_hash=self.password_hash,
            created_at_ms=now_ms,
        )
        line = Audited(
            at_ms=now_ms, actor="test", action=AuditAction.USER_CREATE.value, app_id=None, subject=user.id, detail=""
        )
        await self.change(PutLink(link=link))
        assert await self.store.set_up(hash_token(path.rpartition("/")[2]), user, line, now_ms=now_ms)
        return user, await self.session(user)

    async def session(self, user: User, *, expires_at_ms: int = FOREVER_MS) -> str:
        session = new_url_token()
        await self.store.add_session(hash_token(session), user.id, now_ms=self.now_ms(), expires_at_ms=expires_at_ms)
        return session

    async def setup_token(self) -> str:
        link, path = new_link(fresh_name("invited"), UserRole.VIEWER, self.now_ms())
        await self.change(PutLink(link=link))
        return path.rpartition("/")[2]

    async def state(self) -> object:
        """Everything of the installation and the first application that a request could change, but for when tokens
        were last used.
        """
        store = self.store
        snapshot = await store.snapshot()
        lines = [line for line in await self._changes() if line.app_id != self.other_id]
        tasks = await store.tasks(app_ids=[self.app_id], before_seq=None, after_seq=None, limit=100)
        return (
            snapshot.applications,
            [item for item in (*snapshot.sources, *snapshot.endpoints) if item.app_id == self.app_id],
            (snapshot.event_types, snapshot.alert_targets),
            [line.seq for line in lines],
            [msgspec.structs.replace(token, last_used_at_ms=None) for token in await store.tokens()],
            await store.users(),
            await store.links(now_ms=self.now_ms()),
            await store.draft(self.values["draft_id"]),
            [(task.id, task.status in _CANCELED) for task in tasks],
            await store.deliveries(self.values["msg_id"]),
            await store.message(self.values["msg_id"]),
        )

    async def _changes(self) -> list[Change]:
        changes: list[Change] = []
        before: str | None = None
        while True:
            page = await self.store.audit(AuditFilter(), before=before, limit=100)
            changes += page.items
            if page.next is None:
                return changes
            before = page.next

    async def gone_application_token(self) -> str:
        """Of an application that was deleted."""
        app_id = await self.application()
        token = await self.token(app_id, Scope.APPLICATION)
        await self.change(RemoveApplication(app_id=app_id))
        return token

    async def removed_user_session(self) -> str:
        user, session = await self.user(UserRole.OWNER)
        await self.change(RemoveUser(user_id=user.id))
        return session


@asynccontextmanager
async def furnished(directory: Path) -> AsyncIterator[World]:
    async with running(directory, None, max_api_requests_per_s=100_000) as nicobar:
        server = nicobar.runtime.server
        world = World(nicobar, server._server.config.app._app)
        world.app_id = nicobar.runtime.configuration.snapshot.applications[0].id
        world.password_hash = await asyncio.to_thread(hash_password, PASSWORD)
        world.values["admin"] = await world.token(None, Scope.ADMIN)
        world.other_id = await world.application()
        own = {
            "source_id": await world.source(world.app_id, MARK),
            "endpoint_id": await world.endpoint(world.app_id, MARK, event_types=()),
        }
        world.values |= own
        await world.source(world.other_id, "other")
        await world.endpoint(world.other_id, "other")
        _, session = await world.user(UserRole.OWNER)
        broken, _ = await world.message("order.broken", "cus_7")
        msg_id, attempt_id = await world.message("order.placed", "cus_7")
        groups = await world.store.failure_groups(world.app_id)
        world.values |= {
            "app_id": world.app_id,
            "msg_id": msg_id,
            "message_id": msg_id,
            "attempt_id": attempt_id,
            "failure": next(group.failure for group in groups if group.message_id == broken),
            "draft_id": await world.draft(world.app_id),
            "task_id": await world.task(world.app_id, own["endpoint_id"]),
            "target_id": await world.target(),
            "merge_id": await world.merge(own["endpoint_id"]),
            "token_id": (await world.store.tokens())[0].id,
            "user_id": (await world.user(UserRole.VIEWER))[0].id,
            "version": "1",
            "connector_id": "customerio",
            "event_type_name": "payment.succeeded",
            "emulator": nicobar.emulator.url,
            "session": session,
            "key": "cus_7",
            "text": "cus_7",
            "since": "2026-01-01T00:00:00Z",
            "until": "2026-01-02T00:00:00Z",
        }
        yield world
