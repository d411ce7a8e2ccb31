"""A real Chromium, one for each test process, and what pages are checked with in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright, expect

from support.patience import PATIENCE_MS
from support.shared import Shared

AXE = Path(__file__).parents[2] / "assets" / "node_modules" / "axe-core" / "axe.min.js"
# The first opens no windows: a page uses a fifth of the CPU time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@asynccontextmanager
async def browser(*arguments: str) -> AsyncIterator[Browser]:
    """The test process's browser, with nothing left in it by earlier tests; one of its own with `arguments`."""
    if arguments:
        async with _launch(*arguments) as own:
            yield own
        return
    shared = await _SHARED.get()
    try:
        yield shared
    finally:
        for context in shared.contexts:
            await context.close()


@asynccontextmanager
async def _launch(*arguments: str) -> AsyncIterator[Browser]:
    path = os.environ.get("TEST_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)))
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", *arguments], timeout=PATIENCE_MS
        )
        yield launched
        await launched.close()


_SHARED = Shared(_launch)


async def new_page(it: Browser, **options: object) -> Page:
    """A page of a context of its own."""
    page = await it.new_page(**options)
    page.set_default_timeout(PATIENCE_MS)
    return page


async def serious_findings(page: Page) -> list[str]:
    """The accessibility violations that axe-core finds on the page."""
    if not await page.evaluate("'axe' in window"):
        source = AXE.read_text("utf-8")
        # The browser then has it for the pages that follow: it is large to send and to compile each time.
        await page.add_init_script(source)
        await page.evaluate(source)
    found = await page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{page.url}: {item['id']}: {item['help']}: {[node['html'][:200] for node in item['nodes']]}"
        for item in found["violations"]
        if item["impact"] in {"serious", "critical"}
    ]
