"""A real Nicobar and a real emulator on free ports, for the tests that need both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from nicobar.crypto import new_webhook_secret
from nicobar.emulator.app import create_app
from nicobar.emulator.state import State
from nicobar.model import Customer, Message, Setting
from nicobar.pipeline.recorder import Recorded
from nicobar.runtime import Runtime, run
from nicobar.settings import Settings
from nicobar.sources.dodo import DodoPayments
from nicobar.sources.samples import fresh
from nicobar.store import AddTransformation, PutSource
from nicobar.web.serving import Server
from support.patience import PATIENCE_S
from support.records import make_endpoint, make_source
from support.shared import SANDBOX

DODO = DodoPayments()
# The emulator and other servers of the tests listen on loopback.
DEFAULTS = {"port": 0, "sandbox_children": 1, "shutdown_ms": 5_000, "allowed_addresses": "127.0.0.0/8"}
TYPES = {event_type.name: event_type for event_type in DODO.event_types()}
ADA = Customer(key="cus_ada", email="ada@northpine.example", name="Ada Lindqvist")


@dataclass
class Running:
    runtime: Runtime
    state: State
    emulator: Server
    url: str
    secrets: list[str]
    http: aiohttp.ClientSession
    recorded: asyncio.Queue[Recorded] = field(default_factory=asyncio.Queue)

    async def send(
        self, body: bytes, event_id: str = "evt_1", *, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, object]]:
        """Posts a body, signed now unless headers are given."""
        signed = self.signed(body, event_id) if headers is None else headers
        async with self.http.post(self.url, data=body, headers=signed) as answer:
            return answer.status, await answer.json()

    def signed(self, body: bytes, event_id: str) -> Mapping[str, str]:
        """The headers of a body that is signed now."""
        return DODO.sign(event_id, body, self.secrets[0], self.runtime.clock.now_ms())

    async def send_sample(self, name: str, event_id: str, customer: Customer = ADA) -> tuple[int, dict[str, object]]:
        return await self.send(fresh(TYPES[name], self.runtime.clock.now_ms(), customer), event_id)

    async def next_recorded(self) -> Recorded:
        async with asyncio.timeout(PATIENCE_S):
            return await self.recorded.get()

    async def message(self, message_id: object) -> Message:
        found = await self.runtime.store.message(str(message_id))
        assert found is not None
        return found


@asynccontextmanager
async def running(
    directory: Path,
    handler: str | None,
    *,
    secrets: int = 1,
    endpoint_settings: Mapping[str, Setting] | None = None,
    state: State | None = None,
    emulator_port: int = 0,
    own_sandbox: bool = False,
    new_installation: bool = False,
    **settings: object,
) -> AsyncIterator[Running]:
    state = state or State()
    emulator = await Server.start(create_app(state), "127.0.0.1", emulator_port)
    recorded: asyncio.Queue[Recorded] = asyncio.Queue()
    values = Settings(**DEFAULTS | {"data_dir": directory} | settings)
    try:
        async with (
            run(
                values,
                recorded.put_nowait,
                new_installation=new_installation,
                sandbox=None if own_sandbox else await SANDBOX.get(),
            ) as runtime,
            aiohttp.ClientSession() as http,
        ):
            signing_secrets = [new_webhook_secret() for _ in range(secrets)]
            snapshot = runtime.configuration.snapshot
            app_id = snapshot.applications[0].id
            if snapshot.sources:
                token, signing_secrets = snapshot.sources[0].token, signing_secrets[:0]
            else:
                source = make_source(
                    vault=runtime.vault,
                    ids=runtime.ids,
                    app_id=app_id,
                    name="dodo",
                    kind="dodo-payments",
                    secrets=signing_secrets,
                )
                token = source.token
                changes = [PutSource(source=source)]
                if handler is not None:
                    endpoint = make_endpoint(
                        vault=runtime.vault,
                        ids=runtime.ids,
                        app_id=app_id,
                        name="customerio",
                        kind="customerio",
                        settings={"base_url": emulator.url, **(endpoint_settings or {})},
                        credentials={"site_id": "demo-site", "api_key": "demo-key"},
                    )
                    changes += [endpoint, AddTransformation(endpoint_id=endpoint.id, code=handler, created_at_ms=1)]
                await runtime.store.change(changes)
                await runtime.configuration.refresh()
            assert runtime.server is not None
            url = f"{runtime.server.url}/in/{token}"
            yield Running(runtime, state, emulator, url, signing_secrets, http, recorded)
    finally:
        await emulator.stop()
