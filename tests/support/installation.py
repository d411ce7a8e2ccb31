"""An empty installation, the Customer.io emulator and a browser user."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import aiohttp
from playwright.async_api import Browser, Locator, Page, Response

from nicobar.emulator.app import create_app
from nicobar.emulator.state import State
from nicobar.model import Breaker, Customer, Endpoint, Setting
from nicobar.pipeline.recorder import Recorded
from nicobar.runtime import Runtime, run
from nicobar.settings import Settings
from nicobar.sources.samples import fresh
from nicobar.store import AddTransformation, Change, PauseEndpoint, PutSource
from nicobar.store.leases import endpoint_lease
from nicobar.use_cases.endpoints import pause_reason
from nicobar.web.serving import Server
from support.browser import serious_findings
from support.patience import PATIENCE_MS, PATIENCE_S
from support.records import make_endpoint, make_source
from support.server import ADA, DEFAULTS, DODO, TYPES
from support.shared import SANDBOX

PASSWORD = "a pigeon finds its way"
# A browser's header for a form of the same server's page.
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
# A script injection, which must never run.
EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{7*7}}%(x)s"

# What pages are examined on. The last one is that of a test which opens a page without saying so.
SCREENS: tuple[tuple[int, Literal["light", "dark"]], ...] = ((390, "dark"), (1440, "light"))
PICTURED: tuple[tuple[int, Literal["light", "dark"]], ...] = ((390, "light"), (1440, "dark"), *SCREENS)


@dataclass
class Installation:
    runtime: Runtime
    state: State
    emulator: Server
    recorded: asyncio.Queue[Recorded] = field(default_factory=asyncio.Queue)

    @property
    def url(self) -> str:
        assert self.runtime.server is not None
        return self.runtime.server.url

    async def next_recorded(self) -> Recorded:
        async with asyncio.timeout(PATIENCE_S):
            return await self.recorded.get()

    async def send(
        self, address: str, body: bytes | None = None, event_id: str = "evt_1", secret: str = SECRET
    ) -> int:
        """A sender's webhook, signed now."""
        now_ms = self.runtime.clock.now_ms()
        body = body if body is not None else fresh(TYPES["payment.succeeded"], now_ms, ADA)
        async with (
            aiohttp.ClientSession() as http,
            http.post(address, data=body, headers=DODO.sign(event_id, body, secret, now_ms)) as answer,
        ):
            return answer.status

    async def send_sample(self, address: str, event_type: str, event_id: str, customer: Customer = ADA) -> Recorded:
        """A sample event of Dodo's about that customer, and its first attempt."""
        body = fresh(TYPES[event_type], self.runtime.clock.now_ms(), customer)
        assert await self.send(address, body, event_id) == 202
        return await self.next_recorded()

    async def keep_breaker(self, endpoint: Endpoint, breaker: Breaker) -> None:
        """Stores the breaker as the worker does that holds the endpoint's lease; waits until it has it."""
        store, name = self.runtime.store, endpoint_lease(endpoint.seq)
        async with asyncio.timeout(PATIENCE_S):
            while not (terms := [lease.term for lease in await store.leases() if lease.name == name]):
                await asyncio.sleep(0)
        await store.keep_breaker(endpoint.seq, breaker, term=terms[0])

    async def pause(self, endpoint: Endpoint, reason: str | None, *, by_hand: bool = True) -> None:
        """Without a reason, the endpoint resumes. A pause that is not manual is a hold."""
        why = None if reason is None else pause_reason(reason)
        change = PauseEndpoint(endpoint_id=endpoint.id, reason=why, by_hand=by_hand and reason is not None)
        await self.runtime.store.change([change])
        await self.runtime.configuration.refresh()


@asynccontextmanager
async def installation(directory: Path, **settings: object) -> AsyncIterator[Installation]:
    state = State()
    emulator = await Server.start(create_app(state), "127.0.0.1", 0)
    recorded: asyncio.Queue[Recorded] = asyncio.Queue()
    values = Settings(**DEFAULTS | {"data_dir": directory} | settings)
    try:
        async with run(values, recorded.put_nowait, sandbox=await SANDBOX.get()) as runtime:
            yield Installation(runtime, state, emulator, recorded)
    finally:
        await emulator.stop()


async def open_page(it: Browser, **options: object) -> tuple[Page, list[str]]:
    """A page of a new browser session, and the problems on it."""
    context = await it.new_context(**{"viewport": {"width": 1440, "height": 900}, "locale": "en-GB"} | options)
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
    return page, problems


async def set_password(page: Page, nicobar: Installation) -> None:
    """Signs the owner in, at the page of the endpoints. Not through the form, which has tests of its own: each page
    that a browser loads costs more than everything else in a test.
    """
    assert nicobar.runtime.setup_url is not None
    form = {"password": PASSWORD, "again": PASSWORD}
    async with (
        aiohttp.ClientSession() as http,
        http.post(nicobar.runtime.setup_url, data=form, headers=SAME_ORIGIN, allow_redirects=False) as answer,
    ):
        assert answer.status == 303
        cookies = answer.cookies.values()
    await page.context.add_cookies([{"name": item.key, "value": item.value, "url": nicobar.url} for item in cookies])
    await page.goto(f"{nicobar.url}/webhooks")


async def furnish(
    nicobar: Installation, handler: str | None, *, name: str = "Customer.io", **settings: Setting
) -> tuple[Endpoint, str]:
    """An endpoint with a handler, and the address of the source, which is created with the first endpoint."""
    runtime = nicobar.runtime
    app_id = runtime.configuration.snapshot.applications[0].id
    made = make_endpoint(
        vault=runtime.vault,
        ids=runtime.ids,
        app_id=app_id,
        name=name,
        kind="customerio",
        settings={"base_url": nicobar.emulator.url, **settings},
        credentials={"site_id": "demo-site", "api_key": "demo-key"},
    )
    changes: list[Change] = [made]
    if handler is not None:
        changes.append(AddTransformation(endpoint_id=made.id, code=handler, created_at_ms=runtime.clock.now_ms()))
    if not runtime.configuration.snapshot.sources:
        source = make_source(
            vault=runtime.vault, ids=runtime.ids, app_id=app_id, name="dodo", kind="dodo-payments", secrets=[SECRET]
        )
        changes.append(PutSource(source=source))
    await runtime.store.change(changes)
    await runtime.configuration.refresh()
    snapshot = runtime.configuration.snapshot
    stored = next(endpoint for endpoint in snapshot.endpoints if endpoint.id == made.id)
    return stored, f"{nicobar.url}/in/{snapshot.sources[0].token}"


async def fill_connection(
    page: Page, nicobar: Installation, *, name: str = "Customer.io", key: str = "demo-key"
) -> None:
    """Fills the form of Customer.io and continues."""
    await page.goto(f"{nicobar.url}/webhooks/new/customerio")
    await page.locator("#name").fill(name)
    await page.locator("#field_site_id").fill("demo-site")
    await page.locator("#field_api_key").fill(key)
    await page.locator("summary").click()
    await page.locator("#field_base_url").fill(nicobar.emulator.url)
    await page.locator("button[value=next]").click()


async def connect(page: Page, nicobar: Installation, *, name: str = "Customer.io") -> str:
    """Submits the form of Customer.io; returns the draft's address."""
    await fill_connection(page, nicobar, name=name)
    await page.locator("[value=email]").check()
    await page.locator("form.stack button.primary").click()
    await page.wait_for_url("**/code")
    return page.url.removesuffix("/code")


def code_editor(page: Page, name: str = "Code") -> Locator:
    """The editor of code; never the textarea that it takes the place of once it is loaded."""
    return page.locator(".cm-content").and_(page.get_by_role("textbox", name=name))


async def weight_of(page: Page, url: str) -> int:
    """How many bytes a browser that has nothing gets for a page."""
    sizes: list[int] = []

    def weigh(response: Response) -> None:
        sizes.append(int(response.headers.get("content-length", "0")))

    await page.goto("about:blank")  # requests in flight end with their page
    cdp = await page.context.new_cdp_session(page)
    await cdp.send("Network.clearBrowserCache")
    page.on("response", weigh)
    await page.goto(url, wait_until="networkidle")
    page.remove_listener("response", weigh)
    return sum(sizes)


async def examine(page: Page, name: str) -> list[str]:
    """What is wrong with a page on a dark phone and on a wide, light screen, with screenshots if requested.

    Both in one visit, since what leads to a page costs more than the page; the wide screen is left.
    """
    found: list[str] = []
    for width, scheme in PICTURED if os.environ.get("SCREENSHOTS") else SCREENS:
        await page.set_viewport_size({"width": width, "height": 900})
        await page.emulate_media(color_scheme=scheme)
        found += await serious_findings(page)
        if not await fits(page):
            found.append(f"{name} is wider than {width}")
        await shoot(page, f"{name}-{width}-{scheme}")
    return found


async def fits(page: Page) -> bool:
    """Nothing sticks out to the right of the window."""
    return bool(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


async def shoot(page: Page, name: str) -> None:
    """A picture for people, where SCREENSHOTS names a directory."""
    if where := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=f"{where}/{name}.png", full_page=True)
