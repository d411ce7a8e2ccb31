"""Runs one operation through each interface that offers it, from the same start, and compares the results."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qsl

import msgspec
from click.testing import CliRunner

from nicobar.audit import AuditAction
from nicobar.cli import group
from nicobar.errors import NicobarError
from nicobar.model import AlertTarget, Endpoint, Source, TargetKind
from nicobar.pipeline.alert_targets import Address, open_address, seal_address
from nicobar.pipeline.configuration import endpoint_credentials, endpoint_headers, source_secrets
from nicobar.store import (
    Change,
    PutAlertTarget,
    PutEndpoint,
    PutSource,
    RemoveAlertTarget,
    RemoveEndpoint,
    RemoveEventType,
    RemoveSource,
)
from nicobar.store.history import AuditFilter
from support.api import make_token
from support.installation import Installation, installation
from support.pages import Visitor, set_up, visiting
from support.records import make_endpoint, make_source

NAME = "journeys"
SOURCE = "shop"
TARGET = "on call"
TOKEN = "ci"
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NEW_SECRET = "whsec_0123456789abcdefghijklmnopqrstuv"
# Ids differ each time.
IDS = re.compile(r"\b(qtask|ep|msg)_[A-Za-z0-9]{27}\b")
# Names that differ each time, whatever is done.
VARYING = {"id", "seq", "token", "app_id", "created_at_ms", "updated_at_ms", "version"}


class Interface(StrEnum):
    API = "api"
    DASHBOARD = "dashboard"
    COMMAND = "command line"
    FILE = "file"


class Said(msgspec.Struct, frozen=True):
    """Whether it was done, and the text of the answer."""

    done: bool
    text: str


class Outcome(msgspec.Struct, frozen=True):
    """The effects of an operation: the actions, details and subjects of its audit lines, and the stored state."""

    said: Said
    lines: tuple[tuple[str, str, str], ...]
    state: Mapping[str, object]


@dataclass
class World:
    """An installation and what each interface needs to use it. `values` replace `<name>` in paths, bodies, forms and
    files.
    """

    nicobar: Installation
    visitor: Visitor
    token: str
    directory: Path
    values: dict[str, str] = field(default_factory=dict)
    began_at_ms: int = 0

    def filled(self, template: object) -> object:
        text = json.dumps(template)
        for name, value in self.values.items():
            text = text.replace(f"<{name}>", value)
        return json.loads(text)

    async def add(self, *changes: Change) -> None:
        await self.nicobar.runtime.store.change(changes)
        await self.nicobar.runtime.configuration.refresh()

    async def clear(self) -> None:
        snapshot = await self.nicobar.runtime.store.snapshot()
        await self.add(
            *(RemoveEndpoint(endpoint_id=endpoint.id) for endpoint in snapshot.endpoints),
            *(RemoveSource(source_id=source.id) for source in snapshot.sources),
            *(RemoveAlertTarget(target_id=target.id) for target in snapshot.alert_targets),
            *(RemoveEventType(name=event_type.name) for event_type in snapshot.event_types),
        )

    def endpoint(self, **fields) -> PutEndpoint:
        """An endpoint to start with; `values` get its id."""
        runtime = self.nicobar.runtime
        spec = {
            "name": NAME,
            "kind": "http",
            "settings": {"url": f"{self.nicobar.emulator.url}/hooks"},
            "credentials": {"secret": SECRET},
            "references": {"secret": "SECRET"},
            **fields,
        }
        made = make_endpoint(
            vault=runtime.vault, ids=runtime.ids, app_id=runtime.configuration.snapshot.applications[0].id, **spec
        )
        if made.name == NAME:
            self.values["endpoint"] = made.id
        return made

    def source(self, **fields) -> PutSource:
        """A source to start with; `values` get its id."""
        runtime = self.nicobar.runtime
        spec = {"name": SOURCE, "kind": "dodo-payments", "secrets": (SECRET,), "references": ("SECRET",), **fields}
        made = make_source(
            vault=runtime.vault, ids=runtime.ids, app_id=runtime.configuration.snapshot.applications[0].id, **spec
        )
        if made.name == SOURCE:
            self.values["source"] = made.id
        return PutSource(source=made)

    def target(self, *, address: str, secret: str) -> PutAlertTarget:
        """A webhook that gets alerts, to start with; `values` get its id."""
        runtime = self.nicobar.runtime
        key = self.values["target"] = runtime.ids.new("alt")
        sealed = seal_address(runtime.vault, key, Address(address=address, secret=secret))
        made = AlertTarget(
            id=key,
            name=TARGET,
            kind=TargetKind.WEBHOOK,
            sealed=sealed,
            has_secret=True,
            references={"secret": "SECRET"},
        )
        return PutAlertTarget(target=made)

    async def state(self) -> dict[str, object]:
        snapshot = await self.nicobar.runtime.store.snapshot()
        vault = self.nicobar.runtime.vault
        return {
            "endpoints": sorted(
                (_endpoint_state(vault, endpoint) for endpoint in snapshot.endpoints), key=lambda item: item["name"]
            ),
            "sources": sorted(
                (_source_state(vault, source) for source in snapshot.sources), key=lambda item: item["name"]
            ),
            "event types": [_without_varying(msgspec.to_builtins(item)) for item in snapshot.event_types],
            "alert targets": [_target_state(vault, target) for target in snapshot.alert_targets],
            "message": await self._message_state(),
            "tokens": [
                (token.scope, token.app_id, token.expires_at_ms, token.revoked_at_ms is not None)
                for token in await self.nicobar.runtime.store.tokens()
                if token.name == TOKEN and token.created_at_ms >= self.began_at_ms
            ],
        }

    async def _message_state(self) -> object:
        store = self.nicobar.runtime.store
        message = await store.message(self.values.get("message", ""))
        if message is None:
            return None
        deliveries = await store.deliveries(message.id)
        is_expunged = message.expunged_at_ms is not None
        return (
            is_expunged,
            message.customer_key is None,
            [(delivery.state, delivery.reason) for delivery in deliveries],
        )

    async def lines(self, after: int) -> tuple[int, tuple[tuple[str, str, str], ...]]:
        """The last line's number, and the lines after that one, without their actor."""
        items = []
        last = after
        while page := (await self.nicobar.runtime.store.audit(AuditFilter(), after=str(last), limit=100)).items:
            items += page
            last = max(line.seq for line in page)
        names = {value: name for name, value in self.values.items()}
        lines = [
            (line.action, IDS.sub(r"\1", line.detail), names.get(line.subject, line.subject.partition("_")[0]))
            for line in items
        ]
        return last, tuple(lines)


Way = Callable[[World], Awaitable[Said]]
Start = Callable[[World], list[Change]]
Prepare = Callable[[World], Awaitable[None]]


async def no_more(world: World) -> None:
    """Adds nothing to the configuration."""


@dataclass(frozen=True)
class Operation:
    """A row of the table. `actions` are its audit lines, in order; `start` is the stored configuration, to
    which `prepare` adds other data; `error` is every interface's answer if the operation fails.
    """

    name: str
    actions: tuple[AuditAction, ...]
    start: Start
    ways: Mapping[Interface, Way]
    error: str = ""
    prepare: Prepare = no_more


def api(method: str, path: str, body: object = None) -> Way:
    async def ask(world: World) -> Said:
        url = world.nicobar.url + str(world.filled(path))
        headers = {"authorization": f"Bearer {world.token}"}
        async with world.visitor.http.request(method, url, json=world.filled(body), headers=headers) as answer:
            text = await answer.text()
            if answer.status < 400:
                return Said(done=True, text=text)
            detail = json.loads(text)["detail"]
            return Said(
                done=False, text=detail if isinstance(detail, str) else " ".join(item["msg"] for item in detail)
            )

    return ask


def form(*paths: str, **fields: str | tuple[str, ...]) -> Way:
    """Sends the form to the first path, and to the others the fields of their queries; in these, `<draft>` is where
    the form led.
    """

    async def ask(world: World) -> Said:
        filled = {name: world.filled(value) for name, value in fields.items()}
        for number, path in enumerate(paths):
            place, _, query = str(world.filled(path)).partition("?")
            status, text, headers = await world.visitor.send(place, **(dict(parse_qsl(query)) if number else filled))
            if status >= 400:
                return Said(done=False, text=html.unescape(re.sub(r"<[^>]+>", "", text)))
            world.values["draft"] = re.sub("/(code|people)$", "", headers.get("location", ""))
        return Said(done=True, text=text)

    return ask


def command(*arguments: str) -> Way:
    """The command in this process: its error is an exception."""

    async def ask(world: World) -> Said:
        given = [str(world.filled(argument)) for argument in arguments]
        return await asyncio.to_thread(_invoke, [*given, "--data-dir", str(world.directory)])

    return ask


def _invoke(arguments: list[str]) -> Said:
    result = CliRunner().invoke(group, arguments)
    if isinstance(result.exception, NicobarError):
        return Said(done=False, text=str(result.exception))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(done=result.exit_code == 0, text=result.output)


def file(text: str, *flags: str) -> Way:
    """Applies a file of this text. Its secrets come from the environment."""

    async def ask(world: World) -> Said:
        path = world.directory / "parity.toml"
        path.write_text(str(world.filled(text)), "utf-8")
        allowed = ("--allowed-addresses", world.nicobar.emulator.url.removeprefix("http://"))
        return await command("apply", str(path), *flags, *allowed)(world)

    return ask


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    async with installation(directory, max_api_requests_per_s=10_000) as nicobar, visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        made = World(nicobar, visitor, await make_token(nicobar), directory)
        made.values |= {"emulator": nicobar.emulator.url, "base": nicobar.url, "secret": SECRET, "new": NEW_SECRET}
        yield made


async def outcome(it: World, operation: Operation, way: Way) -> Outcome:
    """What comes of the operation, from its start."""
    await it.clear()
    for name in ("endpoint", "source", "target", "draft", "message", "ci"):
        it.values.pop(name, None)
    changes = operation.start(it)
    await it.add(*changes)
    await operation.prepare(it)
    before, _ = await it.lines(0)
    outcome = await way(it)
    _, lines = await it.lines(before)
    return Outcome(said=outcome, lines=lines, state=await it.state())


def _endpoint_state(vault, endpoint: Endpoint) -> dict[str, object]:
    state = msgspec.to_builtins(endpoint)
    state |= {
        "sealed_credentials": {name: _named(value) for name, value in endpoint_credentials(vault, endpoint).items()},
        "sealed_headers": endpoint_headers(vault, endpoint),
        "credential_references": None,  # the file alone has them
    }
    return _without_varying(state)


def _source_state(vault, source: Source) -> dict[str, object]:
    state = msgspec.to_builtins(source)
    secrets = [_named(secret) for secret in source_secrets(vault, source)]
    state |= {"sealed_secrets": secrets, "secret_references": None}
    return _without_varying(state)


def _target_state(vault, target: AlertTarget) -> dict[str, object]:
    to = open_address(vault, target)
    state = msgspec.to_builtins(target) | {"sealed": [to.address, to.secret], "references": None}
    return _without_varying(state)


def _named(secret: str) -> str:
    """A secret with those that are random, and the expiry of previous ones, left out."""
    parts = [part.partition("@")[0] for part in secret.split()]
    known = {SECRET, NEW_SECRET}
    return " ".join(
        f"generated {part[:5]}" if part.startswith(("whsec_", "whsk_")) and part not in known else part
        for part in parts
    )


def _without_varying(state: dict[str, object]) -> dict[str, object]:
    return {
        name: _without_varying(value) if isinstance(value, dict) else value
        for name, value in state.items()
        if name not in VARYING
    }
