"""Takes the screenshots in `docs/`: `make screenshots`. Needs Chromium, like the tests of the dashboard."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser

from nicobar.reasons import Reason
from nicobar.store.history import RejectedRequest
from support.browser import browser
from support.drafts import write_code
from support.installation import Installation, connect, furnish, installation, open_page, set_password
from support.shared import close_all

DOCS = Path(__file__).resolve().parents[1] / "docs"
HOUR_MS = 3_600_000
# Attempts per hour of the day before, oldest first: delivered, canceled.
HOURS = [(206 + 88 * (hour * 5 % 7) - 60 * (hour % 3), 20 + 3 * (hour % 5)) for hour in range(23)]
OUTAGE_HOUR = 17

WITH_MISTAKES = """// A welcome email after the first payment, and another one if a payment fails.
function handler(webhook) {
  const payment = webhook.payload.data;

  if (webhook.eventType === "payment.succeeded") {
    webhook.payload = nicobar.event("payment_succeeded", {
      amount: nicobar.money(payment.total_amount, payment.currency),
      currency: payment.currency,
    });
  }
  if (webhook.eventType === "payment.failed") {
    webhook.payload = nicobar.event("payment_failed", {
      amount: nicobar.money(payment.total_amount, payment.currency),
      reason: payment.error_message,
    });
    webhook.payload.timestamp = payment.created_at;
  }
  if (webhook.eventType === "subscription.cancelled") {
    webhook.payload = nicobar.identify({ plan: null, left_at: "today" });
    webhook.payload.attributes = "none";
  }
  return webhook;
}
"""
FAILING = """function handler(webhook) {
  if (webhook.eventType === "payment.failed") {
    throw new Error("no reason given");
  }
  if (webhook.eventType === "payment.succeeded") webhook.payload = nicobar.event("payment_succeeded", {});
  return webhook;
}
"""


async def shoot_editor(it: Browser, locale: str, path: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with installation(Path(directory)) as nicobar:
            page, _ = await open_page(it, locale=locale, viewport={"width": 1440, "height": 900})
            await set_password(page, nicobar)
            draft = await connect(page, nicobar)
            await write_code(page, draft, WITH_MISTAKES)
            await page.goto(f"{draft}/code")
            await page.locator(".cm-lintRange-error").first.wait_for()
            await page.screenshot(path=path)


async def shoot_overview(it: Browser, path: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with installation(Path(directory)) as nicobar:
            page, _ = await open_page(it, viewport={"width": 1440, "height": 900})
            await set_password(page, nicobar)
            _, address = await furnish(nicobar, FAILING)
            add_history(Path(directory) / "nicobar.db", nicobar.runtime.clock.now_ms())
            await nicobar.send_sample(address, "payment.succeeded", "evt_1")
            await nicobar.send_sample(address, "payment.failed", "evt_2")
            await add_problems(nicobar, address)
            await page.goto(nicobar.url)
            await page.locator("svg rect").first.wait_for()
            await page.screenshot(path=path)


def add_history(database: Path, now_ms: int) -> None:
    """Counts of attempts in the last day."""
    start_ms = now_ms // HOUR_MS * HOUR_MS - len(HOURS) * HOUR_MS
    counts = [(hour, "success", delivered) for hour, (delivered, _) in enumerate(HOURS)]
    counts += [(hour, "canceled", canceled) for hour, (_, canceled) in enumerate(HOURS)]
    counts += [(OUTAGE_HOUR, "pending", 28)]
    rows = [
        (1, start_ms + hour * HOUR_MS, "payment.succeeded", state, count, 20 * count, 30 * count, 90)
        for hour, state, count in counts
    ]
    with sqlite3.connect(database) as connection:
        connection.executemany(
            "INSERT INTO tallies "
            "(endpoint_seq, at_ms, event_type, state, attempts, duration_ms, latency_ms, latency_max_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )


async def add_problems(nicobar: Installation, address: str) -> None:
    """An endpoint on hold with three deliveries, and a rejected request."""
    paused, _ = await furnish(nicobar, FAILING, name="Shop back office")
    reason = "Customer.io rejects the credentials (401). Check the Site ID and the API key."
    await nicobar.pause(paused, reason, by_hand=False)
    for number in range(3):
        await nicobar.send_sample(address, "payment.succeeded", f"evt_held_{number}")
    rejected = RejectedRequest(
        source_id=nicobar.runtime.configuration.snapshot.sources[0].id,
        at_ms=nicobar.runtime.clock.now_ms(),
        status=401,
        reason=Reason(code="signature_mismatch", template="The signature matches none of the source's secrets."),
        event_id="evt_9",
    )
    await nicobar.runtime.store.keep_refusals([rejected])


async def shoot_emulator(it: Browser, path: Path) -> None:
    """The emulator's page after `nicobar demo`."""
    command = (Path(sys.executable).with_name("nicobar"), "demo", "--port", "0", "--emulator-port", "0")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        url = await read_emulator_url(process)
        page, _ = await open_page(it, viewport={"width": 1440, "height": 1000})
        await page.goto(url)
        await page.screenshot(path=path)
    finally:
        process.terminate()
        await process.wait()


async def read_emulator_url(process: asyncio.subprocess.Process) -> str:
    """The URL in the demo's output, once everything is delivered."""
    output = ""
    while process.stdout is not None and (line := await process.stdout.readline()):
        output += line.decode()
        found = re.search(r"^Emulator +(\S+)$.* delivered, ", output, re.MULTILINE | re.DOTALL)
        if found:
            return found[1]
    raise SystemExit("nicobar demo failed.")


async def main() -> None:
    try:
        async with browser() as it:
            await shoot_editor(it, "en-US", DOCS / "dashboard.png")
            await shoot_editor(it, "ko-KR", DOCS / "dashboard.ko.png")
            await shoot_overview(it, DOCS / "overview.png")
            await shoot_emulator(it, DOCS / "emulator.png")
    finally:
        await close_all()


if __name__ == "__main__":
    asyncio.run(main())
