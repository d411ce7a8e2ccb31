"""Who gets in, and what a browser is told."""

from __future__ import annotations

import re
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from nicobar.crypto import hash_token
from nicobar.errors import Refusal
from nicobar.use_cases.login_limit import PER_ADDRESS, PER_BROWSER, PER_USER, count_attempt, forgive
from nicobar.use_cases.passwords import MAX_WAITING_HASHES, PasswordWork
from nicobar.use_cases.sign_in import user_with_password
from support.installation import PASSWORD, SAME_ORIGIN, furnish, installation
from support.pages import set_up, visiting


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


async def test_the_link_sets_the_password_once_and_stores_its_hash(nicobar, tmp_path):
    async with visiting(nicobar) as visitor:
        path = await set_up(nicobar, visitor)
        assert (await visitor.ask("GET", "/webhooks"))[0] == 200
        assert (await visitor.ask("GET", path))[0] == 404
        assert (await visitor.send(path, password="another one", again="another one"))[0] == 404
    token = path.rpartition("/")[2].encode()
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("nicobar.db*"))
    assert token not in kept
    assert PASSWORD.encode() not in kept
    assert b"$argon2id$" in kept


@pytest.mark.parametrize(("password", "again"), [("short", "short"), (PASSWORD, "something else"), ("x" * 1001,) * 2])
async def test_an_unsuitable_password_is_requested_again(nicobar, password, again):
    path = urlsplit(nicobar.runtime.setup_url).path
    async with visiting(nicobar) as visitor:
        await visitor.ask("GET", path)
        assert (await visitor.send(path, password=password, again=again))[0] == 422
        await set_up(nicobar, visitor)


async def test_signed_out_visitors_see_and_change_nothing(nicobar):
    async with visiting(nicobar) as owner:
        await set_up(nicobar, owner)
    async with visiting(nicobar) as visitor:
        for path in ("/", "/webhooks", "/webhooks/new", "/webhooks/ep_x", "/webhooks/drafts/draft_x/code?x=1"):
            status, text, headers = await visitor.ask("GET", path)
            assert (status, text) == (303, "")
            assert headers["location"].startswith("/login")
        status, _, headers = await visitor.ask("POST", "/webhooks/new/customerio", {"name": "x"})
        assert (status, headers["location"]) == (303, "/login?next=%2Fwebhooks%2Fnew%2Fcustomerio")
        assert not nicobar.runtime.configuration.snapshot.endpoints


async def test_a_form_shown_before_signing_in_again_still_works(nicobar):
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        _, text, _ = await visitor.ask("GET", "/webhooks/new/customerio")
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))
        fields |= {"name": "x", "field_site_id": "s", "field_api_key": "k", "field_region": "us"}
        await visitor.send("/logout")
        assert (await visitor.send("/webhooks/new/customerio", **fields))[0] == 303
        assert (await visitor.send("/login", password=PASSWORD))[0] == 303
        status, _, headers = await visitor.send("/webhooks/new/customerio", **fields)
        assert (status, headers["location"].startswith("/webhooks/drafts/")) == (303, True)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://shop.example"},
        {"origin": "null"},
        {},
    ],
)
async def test_signing_in_from_another_site_is_rejected(nicobar, headers):
    async with visiting(nicobar) as owner:
        path = await set_up(nicobar, owner)
    async with visiting(nicobar) as visitor:
        for form in ("/login", path, "/app-portal", "/preferences"):
            status, text, _ = await visitor.ask("POST", form, {"password": PASSWORD}, **headers)
            assert (status, "cross_site" in text, visitor.cookies) == (403, True, [])
        assert (await visitor.ask("POST", "/login", {"password": PASSWORD}, origin=nicobar.url))[0] == 303


async def test_a_rejected_form_is_explained_in_the_visitor_s_language(nicobar):
    async with visiting(nicobar) as visitor:
        for language, words in (("en", "was not sent from a page of this server"), ("ko", "이 서버의 페이지에서")):
            headers = {"origin": "https://shop.example", "accept-language": language}
            assert words in (await visitor.ask("POST", "/login", {}, **headers))[1]


async def test_the_password_signs_in_and_signing_out_ends_the_session(nicobar):
    async with visiting(nicobar) as owner:
        await set_up(nicobar, owner)
    async with visiting(nicobar) as visitor:
        await visitor.ask("GET", "/login?next=/webhooks/new")
        assert (await visitor.send("/login", password="wrong", next="/webhooks/new"))[0] == 422
        status, _, headers = await visitor.send("/login", password=PASSWORD, next="/webhooks/new")
        assert (status, headers["location"]) == (303, "/webhooks/new")
        (session,) = [cooky for cooky in visitor.cookies if cooky.startswith("nicobar_session=")]
        assert "HttpOnly" in session
        assert "SameSite=Lax" in session
        assert "Secure" not in session, "this one came over plain http"
        value = session.partition("=")[2].partition(";")[0]
        now_ms = nicobar.runtime.clock.now_ms()
        assert await nicobar.runtime.store.session_user(hash_token(value), now_ms=now_ms) is not None
        await visitor.ask("GET", "/webhooks")
        assert (await visitor.send("/logout"))[0] == 303
        assert await nicobar.runtime.store.session_user(hash_token(value), now_ms=now_ms) is None
        assert (await visitor.ask("GET", "/webhooks"))[0] == 303


async def test_over_https_cookies_are_secure(tmp_path):
    async with installation(tmp_path, public_url="https://hooks.northpine.example/") as nicobar:
        assert nicobar.runtime.setup_url.startswith("https://hooks.northpine.example/setup/")
        async with visiting(nicobar) as visitor:
            await set_up(nicobar, visitor)
            await visitor.send("/preferences", language="ko")
            _, _, headers = await visitor.ask("GET", "/webhooks")
            assert headers["strict-transport-security"] == "max-age=31536000"
            assert len(visitor.cookies) == 3
            assert all("; Secure" in cooky for cooky in visitor.cookies)


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "/%0d%0ax", "//["]
)
async def test_signing_in_redirects_to_own_pages_only(nicobar, elsewhere):
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        _, _, headers = await visitor.ask("GET", f"/login?next={elsewhere}")
        assert headers["location"] == "/"
        await visitor.ask("GET", "/webhooks")
        _, _, headers = await visitor.send("/preferences", language="ko", back=elsewhere)
        assert urlsplit(headers["location"]).netloc == ""
        assert not headers["location"].startswith(("//", "/\\"))


async def test_failed_sign_in_attempts_are_limited(nicobar):
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
    async with visiting(nicobar) as visitor:
        await visitor.ask("GET", "/login")
        for _ in range(PER_ADDRESS.max_wrong):
            assert (await visitor.send("/login", password="wrong"))[0] == 422
        status, text, headers = await visitor.send("/login", password=PASSWORD)
        assert (status, int(headers["retry-after"]) > 0) == (429, True)
        assert "Too many failed sign-ins from this address: 5 within 1 min. Try again in" in text


async def test_a_browser_that_signed_in_before_has_its_own_limit(nicobar):
    store, now_ms = nicobar.runtime.store, nicobar.runtime.clock.now_ms()
    async with visiting(nicobar) as owner, visiting(nicobar) as stranger:
        await set_up(nicobar, owner)
        await owner.send("/logout")
        for number in range(PER_USER.max_wrong):
            await count_attempt(store, address=f"192.0.2.{number}", user_name="owner", now_ms=now_ms)
        status, text, _ = await stranger.send("/login", password=PASSWORD)
        assert (status, "Too many wrong passwords for this user" in text) == (429, True)
        for _ in range(PER_BROWSER.max_wrong - 1):
            assert (await owner.send("/login", password="wrong"))[0] == 422
        assert (await owner.send("/login", password=PASSWORD))[0] == 303
        await owner.send("/logout")
        for _ in range(PER_BROWSER.max_wrong):
            assert (await owner.send("/login", password="wrong"))[0] == 422
        assert (await owner.send("/login", password=PASSWORD))[0] == 429


async def test_wrong_passwords_for_a_user_count_over_all_addresses(nicobar):
    store, now_ms = nicobar.runtime.store, nicobar.runtime.clock.now_ms()

    async def attempt(number, name="owner"):
        return await count_attempt(store, address=f"192.0.2.{number}", user_name=name, now_ms=now_ms)

    right, *_ = [await attempt(number) for number in range(PER_USER.max_wrong)]
    with pytest.raises(Refusal, match="for this user: 20 within 15 min"):
        await attempt(100)
    await attempt(101, "viewer")
    await forgive(store, right)
    await attempt(102)
    with pytest.raises(Refusal, match="900 s"):
        await attempt(103)


async def test_the_limit_resets_after_a_minute_and_on_success(nicobar):
    store = nicobar.runtime.store
    # Recent: old entries are deleted in the background.
    start_ms = nicobar.runtime.clock.now_ms()

    async def attempt(at_ms, *, address="192.0.2.7", name="owner"):
        return await count_attempt(store, address=address, user_name=name, now_ms=start_ms + at_ms)

    for at_ms in range(PER_ADDRESS.max_wrong):
        await attempt(at_ms)
    with pytest.raises(Refusal, match="60 s"):
        await attempt(PER_ADDRESS.max_wrong)
    await attempt(PER_ADDRESS.max_wrong, address="192.0.2.8")
    # The first one is a minute old: there is room for one. Another user's password forgives nothing of the owner's.
    await forgive(store, await attempt(PER_ADDRESS.period_ms, name="viewer"))
    right = await attempt(PER_ADDRESS.period_ms)
    with pytest.raises(Refusal, match="1 s"):
        await attempt(PER_ADDRESS.period_ms)
    await forgive(store, right)
    await attempt(PER_ADDRESS.period_ms)


async def test_an_attempt_that_is_not_compared_forgives_no_other(nicobar, monkeypatch):
    it = nicobar.runtime
    passwords = PasswordWork()
    services = SimpleNamespace(store=it.store, clock=it.clock, vault=it.vault, passwords=passwords)

    async def attempt():
        return await user_with_password(services, "owner", "wrong", address="192.0.2.7", browser="")

    for _ in range(PER_ADDRESS.max_wrong - 1):
        assert await attempt() is None
    with monkeypatch.context() as patch:
        patch.setattr(passwords, "_waiting_count", MAX_WAITING_HASHES)
        for _ in range(2):
            with pytest.raises(Refusal, match="at the same time"):
                await attempt()
    assert await attempt() is None
    with pytest.raises(Refusal, match="from this address"):
        await attempt()


async def test_a_clock_that_was_ahead_locks_nobody_out(nicobar):
    store, now_ms = nicobar.runtime.store, nicobar.runtime.clock.now_ms()

    async def attempt(at_ms):
        return await count_attempt(store, address="192.0.2.7", user_name="owner", now_ms=at_ms)

    for _ in range(PER_ADDRESS.max_wrong):
        await attempt(now_ms + 86_400_000)
    for _ in range(PER_ADDRESS.max_wrong):
        await attempt(now_ms)
    with pytest.raises(Refusal, match="60 s"):
        await attempt(now_ms)


async def test_pages_have_security_headers(nicobar):
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        for path in ("/webhooks", "/webhooks/new/customerio", "/webhooks/ep_none", "/static/nothing.js"):
            _, text, headers = await visitor.ask("GET", path)
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'")
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert headers["content-type"].count("charset") == 1
            assert "strict-transport-security" not in headers
            assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|https?://(?!127)", text)
        _, text, _ = await visitor.ask("GET", "/webhooks")
        asset = re.search(r'href="(/static/dashboard.css\?v=\w+)"', text)[1]
        status, _, headers = await visitor.ask("GET", asset)
        assert (status, "immutable" in headers["cache-control"]) == (200, True)
        for path in ("/static/../app.py", "/static/vendor/editor.json", "/static/%2e%2e/app.py"):
            assert (await visitor.ask("GET", path))[0] == 404


async def test_links_never_follow_the_host_header(nicobar):
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        elsewhere = {**SAME_ORIGIN, "host": "evil.example"}
        _, text, _ = await visitor.ask(
            "POST", "/settings/users/invite", {"name": "ada", "role": "viewer"}, **elsewhere
        )
        assert "evil.example" not in text
        assert f"{nicobar.url}/setup/" in text
        _, address = await furnish(nicobar, None)
        snapshot = nicobar.runtime.configuration.snapshot
        for path in (f"/sources/{snapshot.sources[0].id}", f"/webhooks/{snapshot.endpoints[0].id}"):
            _, text, _ = await visitor.ask("GET", path, host="evil.example")
            assert ("evil.example" in text, address in text) == (False, True)


async def test_other_paths_are_not_answered_by_the_dashboard(nicobar):
    async with visiting(nicobar) as visitor:
        assert (await visitor.ask("GET", "/healthz"))[0] == 200
        assert (await visitor.ask("GET", "/api/v1/app"))[0] == 401
        status, text, _ = await visitor.ask("GET", "/nothing")
        assert (status, '"not_found"' in text) == (404, True)
        assert (await visitor.ask("POST", "/in/none", {}))[0] == 404


async def test_an_installation_with_an_owner_prints_no_link(tmp_path):
    async with installation(tmp_path) as nicobar, visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
    async with installation(tmp_path) as nicobar:
        assert nicobar.runtime.setup_url is None
