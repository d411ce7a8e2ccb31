"""A real Chromium, and what pages are checked with in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

AXE = Path(__file__).parents[2] / "assets" / "node_modules" / "axe-core" / "axe.min.js"


@asynccontextmanager
async def browser(*arguments: str) -> AsyncIterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("TEST_CHROMIUM") or next(filter(None, map(shutil.which, names)))
    async with async_playwright() as playwright:
        it = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *arguments])
        yield it
        await it.close()


async def serious_findings(page: Page) -> list[str]:
    """What axe-core finds that keeps somebody from using the page."""
    await page.evaluate(AXE.read_text("utf-8"))
    found = await page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{page.url}: {item['id']}: {item['help']}: {[node['html'][:200] for node in item['nodes']]}"
        for item in found["violations"]
        if item["impact"] in {"serious", "critical"}
    ]
