"""An installation with nothing in it, a local Customer.io, and somebody at a browser."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from playwright.async_api import Browser, Locator, Page

from browsing import serious_findings
from nicobar.emulator.app import create_app
from nicobar.emulator.state import State
from nicobar.pipeline.deliver import Recorded
from nicobar.runtime import Runtime, run
from nicobar.serving import Server
from nicobar.settings import Settings
from nicobar.sources.samples import fresh
from running import ADA, DODO, TYPES

PASSWORD = "a pigeon finds its way"
EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{7*7}}%(x)s"
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


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
        async with asyncio.timeout(20):
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


@asynccontextmanager
async def installation(directory: Path, **settings: object) -> AsyncIterator[Installation]:
    state = State()
    emulator = await Server.start(create_app(state), "127.0.0.1", 0)
    recorded: asyncio.Queue[Recorded] = asyncio.Queue()
    values = Settings(**{"port": 0, "data_dir": directory, "sandbox_children": 1, "shutdown_ms": 5_000} | settings)
    try:
        async with run(values, recorded.put_nowait) as runtime:
            yield Installation(runtime, state, emulator, recorded)
    finally:
        await emulator.stop()


async def open_page(it: Browser, **options: object) -> tuple[Page, list[str]]:
    """A page of a browser that knows nothing yet, and what goes wrong on it."""
    context = await it.new_context(**{"viewport": {"width": 1440, "height": 900}, "locale": "en-GB"} | options)
    page = await context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
    return page, problems


async def set_password(page: Page, nicobar: Installation) -> None:
    assert nicobar.runtime.setup_url is not None
    await page.goto(nicobar.runtime.setup_url)
    await page.locator("#password").fill(PASSWORD)
    await page.locator("#again").fill(PASSWORD)
    await page.locator("main button.primary").click()
    await page.wait_for_url("**/webhooks")


async def connect(page: Page, nicobar: Installation, *, name: str = "Customer.io", key: str = "demo-key") -> str:
    """Fills in the form of Customer.io and goes on; returns the draft's address."""
    await page.goto(f"{nicobar.url}/webhooks/new/customerio")
    await page.locator("#name").fill(name)
    await page.locator("#field_site_id").fill("demo-site")
    await page.locator("#field_api_key").fill(key)
    await page.locator("summary").click()
    await page.locator("#field_base_url").fill(nicobar.emulator.url)
    await page.locator("button[value=next]").click()
    await page.wait_for_url("**/code")
    return page.url.removesuffix("/code")


def code_editor(page: Page, name: str = "Code") -> Locator:
    """The editor of code; never the textarea that it takes the place of once it is loaded."""
    return page.locator(".cm-content").and_(page.get_by_role("textbox", name=name))


async def examine(page: Page, name: str, *, width: int, scheme: str) -> list[str]:
    """What a page has that keeps somebody from using it; with pictures, where they are asked for, in both schemes."""
    found = await serious_findings(page)
    if not await page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
        found.append(f"{name} is wider than {width}")
    await shoot(page, f"{name}-{width}-{scheme}")
    if os.environ.get("SCREENSHOTS"):
        other = "dark" if scheme == "light" else "light"
        await page.emulate_media(color_scheme=other)
        found += await serious_findings(page)
        await shoot(page, f"{name}-{width}-{other}")
        await page.emulate_media(color_scheme=scheme)
    return found


async def shoot(page: Page, name: str) -> None:
    """A picture for people, where SCREENSHOTS names a directory."""
    if where := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=f"{where}/{name}.png", full_page=True)
