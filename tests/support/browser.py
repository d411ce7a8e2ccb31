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

# Only what is reported leaves the page: all that axe-core says of it is large, and costs as much as its work.
_FIND = """async (disabled) => {
  const rules = Object.fromEntries(disabled.map((id) => [id, {enabled: false}]));
  const {violations} = await axe.run({resultTypes: ["violations"], rules});
  return violations
    .filter(({impact}) => impact === "serious" || impact === "critical")
    .map(({id, help, nodes}) => `${id}: ${help}: ${JSON.stringify(nodes.map(({html}) => html.slice(0, 200)))}`);
}"""
# The rules whose violations are minor or moderate. axe-core refuses a name that it does not have.
_NEVER_SERIOUS = [
    "aria-allowed-role",
    "aria-deprecated-role",
    "empty-table-header",
    "focus-order-semantics",
    "form-field-multiple-labels",
    "heading-order",
    "hidden-content",
    "html-xml-lang-mismatch",
    "image-redundant-alt",
    "landmark-banner-is-top-level",
    "landmark-contentinfo-is-top-level",
    "landmark-main-is-top-level",
    "landmark-no-duplicate-banner",
    "landmark-no-duplicate-contentinfo",
    "landmark-no-duplicate-main",
    "landmark-one-main",
    "landmark-unique",
    "meta-viewport-large",
    "no-autoplay-audio",
    "page-has-heading-one",
    "presentation-role-conflict",
    "region",
    "server-side-image-map",
    "skip-link",
    "table-duplicate-name",
]


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
    return [f"{page.url}: {finding}" for finding in await page.evaluate(_FIND, _NEVER_SERIOUS)]
