"""Size and load time of dashboard pages in a real browser with an empty cache."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from playwright.async_api import Page

from bench.work import WORK
from nicobar.model import Customer
from nicobar.web.dashboard.navigation import PLACES, TABS
from support.browser import browser
from support.drafts import deliver, make_endpoint
from support.installation import installation, open_page, set_password

ROUNDS = 5
MESSAGES = 60
MAX_PAGE_BYTES = 150_000
MAX_EDITOR_BYTES = 400_000
CODE = "function handler(webhook) { webhook.payload = nicobar.event('paid', {}); return webhook; }\n"
_PAINT = """new Promise((tell) => new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (one.name === "first-contentful-paint") tell(one.startTime);
}).observe({type: "paint", buffered: true}))"""


async def dashboard() -> None:
    """Raises SystemExit for a page that is heavier than it may be."""
    heavy: list[str] = []
    with tempfile.TemporaryDirectory(dir=WORK) as directory:
        async with installation(Path(directory)) as nicobar, browser() as it:
            page, _ = await open_page(it)
            await set_password(page, nicobar)
            endpoint, address = await make_endpoint(page, nicobar, CODE)
            for number in range(MESSAGES):
                customer = Customer(key=f"cus_{number % 9}", email=f"{number % 9}@shop.example")
                await deliver(nicobar, address, "payment.succeeded", f"evt_b{number}", customer)
            await page.goto(endpoint)
            await page.locator("form[action$='/code'] button").click()
            await page.wait_for_url("**/drafts/*/code")
            draft = page.url.removesuffix("/code")
            paths = dict.fromkeys(nicobar.url + place.path for place in PLACES)
            paths |= dict.fromkeys(endpoint + tab.path for tab in TABS)
            more = ("/webhooks/new", "/webhooks/new/customerio", "/catalogue/payment.succeeded")
            paths |= dict.fromkeys(nicobar.url + item for item in more)
            paths |= dict.fromkeys((f"{endpoint}/transformation/dry-run", f"{draft}/test", f"{draft}/code"))
            print(
                f"{'page':<34} {'first paint':>12} {'page':>9} {'editor':>9}   (medians of {ROUNDS}, nothing cached)"
            )
            for path in paths:
                paint_ms, plain, editor = await _measure(page, path)
                name = path.replace(endpoint, "/webhooks/…").replace(draft, "/webhooks/drafts/…")
                name = name.replace(nicobar.url, "")
                size = f"{editor / 1000:>6.0f} KB" if editor else "        -"
                print(f"{name:<34} {paint_ms:>9.0f} ms {plain / 1000:>6.0f} KB {size}", flush=True)
                if plain > MAX_PAGE_BYTES or editor > MAX_EDITOR_BYTES:
                    heavy.append(name)
    if heavy:
        raise SystemExit(f"Heavier than {MAX_PAGE_BYTES} bytes, or than {MAX_EDITOR_BYTES} with the editor: {heavy}")


async def _measure(page: Page, path: str) -> tuple[float, int, int]:
    """Milliseconds to the first contentful paint, bytes of the page, bytes of the editor."""
    sizes: dict[str, int] = {}
    page.on("response", lambda answer: sizes.update({answer.url: int(answer.headers.get("content-length", "0"))}))
    session = await page.context.new_cdp_session(page)
    paints = []
    for _ in range(ROUNDS):
        await page.goto("about:blank")
        sizes.clear()
        await session.send("Network.clearBrowserCache")
        await page.goto(path, wait_until="load")
        paints.append(await page.evaluate(_PAINT))
        if path.endswith("/code"):
            await page.locator(".cm-content").wait_for()
    plain = sum(size for url, size in sizes.items() if "/vendor/" not in url)
    return statistics.median(paints), plain, sum(sizes.values()) - plain
