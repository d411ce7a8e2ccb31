"""Keyboard shortcuts, and the list of them."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from nicobar.web.dashboard.language import catalogue
from nicobar.web.dashboard.navigation import PLACES
from support.browser import browser
from support.installation import examine, installation, open_page, set_password

pytestmark = pytest.mark.browser


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


async def press(page, key: str, code: str, **more: object) -> None:
    """A key event while a Korean input method is on."""
    event = {"key": key, "code": code, "bubbles": True, **more}
    await page.evaluate("(event) => document.body.dispatchEvent(new KeyboardEvent('keydown', event))", event)


@pytest.mark.parametrize(("locale", "language"), [("en-GB", "en"), ("ko-KR", "ko")])
async def test_the_shortcuts_dialog_is_complete_and_returns_the_focus(nicobar, locale, language):
    say = catalogue(language).gettext
    async with browser() as it:
        page, problems = await open_page(it, locale=locale, reduced_motion="reduce")
        await set_password(page, nicobar)
        dialog = page.get_by_role("dialog", name=say("Keyboard shortcuts"))
        add = page.get_by_role("link", name=say("Add endpoint")).first
        await add.focus()
        await page.keyboard.press("?")
        await expect(dialog).to_be_visible()
        for place in PLACES:
            await expect(dialog).to_contain_text(say(place.title))
        findings = await examine(page, f"keys-{language}")
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await expect(add).to_be_focused()
        link = page.locator("[data-keys]")
        await link.click()
        await expect(dialog).to_be_visible()
        await dialog.get_by_role("button", name=say("Close")).click()
        await expect(dialog).to_be_hidden()
        await expect(link).to_be_focused()
        # While one types, a key is a letter.
        await page.goto(f"{nicobar.url}/sources/new")
        await page.locator("#name").press_sequentially("gs?/")
        await expect(page.locator("#name")).to_have_value("gs?/")
        await expect(dialog).to_be_hidden()
        # With a Korean input method on, the letters are others and the keys are the same.
        await page.locator("h1").click()
        await press(page, "?", "Slash", shiftKey=True)
        await expect(dialog).to_be_visible()
        await page.keyboard.press("Escape")
        await press(page, "ㅎ", "KeyG")
        await press(page, "ㅈ", "KeyW")
        await page.wait_for_url("**/webhooks")
        await page.goto(f"{nicobar.url}/settings/audit")
        await press(page, "Process", "Slash")
        await expect(page.locator("#actor")).to_be_focused()
        assert not findings, findings
        assert not problems


async def test_without_javascript_the_shortcuts_are_a_page(nicobar):
    async with browser() as it:
        page, _ = await open_page(it, java_script_enabled=False)
        await set_password(page, nicobar)
        await page.locator("[data-keys]").click()
        await page.wait_for_url("**/keys")
        await expect(page.locator("main .keys div")).to_have_count(len(PLACES) + 3)
        await expect(page.locator("dialog")).to_be_hidden()
