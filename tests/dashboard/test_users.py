"""Users and roles: invitations, changes, removal, and permissions on every page and form."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from support.browser import browser
from support.installation import PASSWORD, connect, examine, fits, installation, open_page, set_password
from support.pages import routes, set_up, visiting

OTHER = "another pigeon's way"


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


async def invite(owner, name: str, role: str) -> str:
    """The path of the link."""
    status, text, _ = await owner.send("/settings/users/invite", name=name, role=role)
    assert status == 201
    return urlsplit(re.search(r'id="made">([^<]+)<', text)[1]).path


async def join(visitor, path: str, password: str = OTHER) -> None:
    assert (await visitor.send(path, password=password, again=password))[0] == 303


async def sign_in(visitor, name: str, password: str) -> int:
    return (await visitor.send("/login", username=name, password=password))[0]


def filled(route: str) -> str:
    return re.sub(r"{\w+}", "x_none", route)


async def test_invited_users_set_a_password_once_and_sign_in(nicobar):
    async with visiting(nicobar) as owner, visiting(nicobar) as ada:
        await set_up(nicobar, owner)
        assert 'id="username"' not in (await ada.ask("GET", "/login"))[1], "the owner alone needs no name"
        path = await invite(owner, "ada", "editor")
        await join(ada, path)
        assert (await ada.ask("GET", path))[0] == 404
        assert (await ada.send(path, password=PASSWORD, again=PASSWORD))[0] == 404
        assert (await ada.send("/logout"))[0] == 303
        assert 'id="username"' in (await ada.ask("GET", "/login"))[1]
        assert await sign_in(ada, "ada", PASSWORD) == 422
        assert await sign_in(ada, "zoe", OTHER) == 422
        assert await sign_in(ada, "ada", OTHER) == 303
        text = (await owner.ask("GET", "/settings/audit"))[1]
        for action in ("user.invite", "user.create"):
            assert f"<code>{action}</code>" in text
        for name, role in (("ada", "viewer"), ("owner", "viewer"), ("x", "viewer"), ("zoe", "admin"), ("zoe\n", "")):
            assert (await owner.send("/settings/users/invite", name=name, role=role))[0] == 422
        path = await invite(owner, "zoe", "viewer")
        assert (await owner.send("/settings/users/withdraw", name="zoe"))[0] == 303
        assert (await owner.send("/settings/users/withdraw", name="zoe"))[0] == 404
        assert (await ada.ask("GET", path))[0] == 404


async def test_an_own_account_gives_no_more_attempts_at_other_passwords(nicobar):
    async with visiting(nicobar) as owner, visiting(nicobar) as ada:
        await set_up(nicobar, owner)
        await join(ada, await invite(owner, "ada", "viewer"))
        statuses = []
        for _ in range(6):
            await ada.send("/logout")
            statuses.append(await sign_in(ada, "owner", "a guess at it"))
            await sign_in(ada, "ada", OTHER)
        assert statuses == [422] * 5 + [429]


async def test_roles_change_immediately_and_an_owner_remains(nicobar):
    store = nicobar.runtime.store
    async with visiting(nicobar) as owner, visiting(nicobar) as ada:
        await set_up(nicobar, owner)
        await join(ada, await invite(owner, "ada", "viewer"))
        owner_user, other = await store.user("owner"), await store.user("ada")
        status, text, _ = await owner.send(f"/settings/users/{owner_user.id}/role", role="viewer")
        assert (status, "At least one owner is required" in text) == (422, True)
        assert (await owner.send(f"/settings/users/{owner_user.id}/remove"))[0] == 422
        assert (await ada.send("/sources/new", name="dodo", kind="dodo-payments"))[0] == 403
        assert (await owner.send(f"/settings/users/{other.id}/role", role="editor"))[0] == 303
        assert (await ada.send("/sources/new", name="dodo", kind="dodo-payments"))[0] == 303
        assert (await ada.send(f"/settings/users/{other.id}/role", role="owner"))[0] == 403
        # Both at once: one of them stays.
        await owner.send(f"/settings/users/{other.id}/role", role="owner")
        await asyncio.gather(
            owner.send(f"/settings/users/{other.id}/role", role="viewer"),
            ada.send(f"/settings/users/{owner_user.id}/role", role="viewer"),
        )
        assert [user.role for user in await store.users()].count("owner") == 1


async def test_removed_users_are_signed_out_and_links_reset_passwords(nicobar):
    store = nicobar.runtime.store
    async with visiting(nicobar) as owner, visiting(nicobar) as ada, visiting(nicobar) as again:
        await set_up(nicobar, owner)
        await join(ada, await invite(owner, "ada", "editor"))
        user = await store.user("ada")
        _, text, _ = await owner.send(f"/settings/users/{user.id}/link")
        path = urlsplit(re.search(r'id="made">([^<]+)<', text)[1]).path
        await join(again, path, "a third way home")
        assert (await ada.ask("GET", "/webhooks"))[0] == 303, "the old password's sessions are over"
        assert (await store.user("ada")).role == "editor"
        assert (await owner.ask("GET", f"/settings/users/{user.id}/remove"))[0] == 200
        assert (await owner.send(f"/settings/users/{user.id}/remove"))[0] == 303
        assert (await again.ask("GET", "/webhooks"))[0] == 303
        assert await sign_in(again, "ada", "a third way home") == 422
        for action in ("role", "link", "remove"):
            assert (await owner.send(f"/settings/users/{user.id}/{action}", role="viewer"))[0] == 404


async def test_users_change_their_password_and_sign_out_everywhere(nicobar):
    async with visiting(nicobar) as owner, visiting(nicobar) as elsewhere:
        await set_up(nicobar, owner)
        assert await sign_in(elsewhere, "owner", PASSWORD) == 303
        await owner.ask("GET", "/settings/account")
        form = {"present": PASSWORD, "password": OTHER, "again": OTHER}
        for wrong in ({"present": "not it at all"}, {"password": "short", "again": "short"}, {"again": PASSWORD}):
            assert (await owner.send("/settings/account/password", **form | wrong))[0] == 422
        status, _, headers = await owner.send("/settings/account/password", **form)
        assert (status, headers["location"]) == (303, "/settings/account?changed=1")
        assert (await owner.ask("GET", "/settings/account"))[0] == 200, "this browser stays"
        assert (await elsewhere.ask("GET", "/webhooks"))[0] == 303
        assert await sign_in(elsewhere, "owner", OTHER) == 303
        assert (await owner.send("/settings/account/sign-out"))[0] == 303
        for browser_ in (owner, elsewhere):
            assert (await browser_.ask("GET", "/webhooks"))[0] == 303
        await owner.ask("GET", "/login")
        assert await sign_in(owner, "owner", OTHER) == 303
        await owner.ask("GET", "/settings/account")
        statuses = [(await owner.send("/settings/account/password", present="a guess"))[0] for _ in range(6)]
        assert statuses == [422] * 5 + [429]


async def test_forms_are_rejected_cross_site(nicobar):
    async with visiting(nicobar) as owner:
        await set_up(nicobar, owner)
        before = await nicobar.runtime.store.snapshot()
        forms = [filled(route) for route in routes("POST")]
        assert len(forms) > 25
        for path in forms:
            for headers in ({}, {"sec-fetch-site": "cross-site"}, {"origin": "https://shop.example"}):
                status, text, _ = await owner.ask("POST", path, {"x": "y"}, **headers)
                assert (status, "cross_site" in text) == (403, True), path
        assert (await nicobar.runtime.store.snapshot()).version == before.version


@pytest.mark.browser
async def test_viewers_see_everything_on_a_phone_and_change_nothing(nicobar):
    findings: list[str] = []
    async with browser() as it:
        page, _ = await open_page(it)
        await set_password(page, nicobar)
        draft = await connect(page, nicobar)
        await page.goto(f"{draft}/test")
        await page.locator("form[action$=create] button").click()
        await page.wait_for_url("**/webhooks/ep_*")
        endpoint = page.url
        (source,) = (await nicobar.runtime.store.snapshot()).sources
        await page.goto(f"{nicobar.url}/settings/users")
        await page.locator("#name").fill("vera@northpine.example")
        await page.locator("main button.primary").click()
        link = await page.locator("#made").inner_text()
        await page.goto(f"{nicobar.url}/settings/tokens")
        await page.locator("#name").fill("backend")
        await page.locator("main button.primary").click()
        await page.locator("#made").wait_for()
        page, problems = await open_page(it, viewport={"width": 390, "height": 900}, reduced_motion="reduce")
        await page.goto(link)
        await expect(page.locator("main")).to_contain_text("vera@northpine.example")
        findings += await examine(page, "invited")
        await page.set_viewport_size({"width": 390, "height": 900})
        await page.locator("#password").fill(OTHER)
        await page.locator("#again").fill(OTHER)
        await page.locator("main button.primary").click()
        await page.wait_for_url(f"{nicobar.url}/")
        places = ("webhooks", "logs", "customers", "failures", "queue", "catalogue")
        tabs = ("deliveries", "testing", "transformation", "replays", "settings")
        seen = {
            "overview": nicobar.url,
            **{name: f"{nicobar.url}/{name}" for name in places},
            "endpoint": endpoint,
            **{f"endpoint-{name}": f"{endpoint}/{name}" for name in tabs},
            "source": f"{nicobar.url}/sources/{source.id}",
            **{name: f"{nicobar.url}/settings/{name}" for name in ("users", "tokens", "alerts", "audit")},
        }
        for language in ("ko", "en"):
            await page.locator(f"button[value={language}]").click()
            for name, url in seen.items():
                await page.goto(url)
                await expect(page.locator(f"html[lang={language}] main h1")).to_be_visible()
                await expect(page.locator("main form[method=post] button:enabled:visible")).to_have_count(0)
                await expect(page.locator("main .button.primary:visible, main .button.bad:visible")).to_have_count(0)
                if not await fits(page):
                    findings.append(f"{name} in {language} is wider than a phone")
        await page.goto(f"{nicobar.url}/settings/account")
        await expect(page.locator("main form button:enabled:visible")).to_have_count(2)
        await page.goto(f"{nicobar.url}/webhooks/new")
        await expect(page.locator("main code")).to_have_text("forbidden")
        await page.locator("form[action='/logout'] button").click()
        await page.locator("#username").wait_for()
        findings += await examine(page, "login-named")
    assert not findings, "\n".join(findings)
    assert not [problem for problem in problems if "status of 4" not in problem]
