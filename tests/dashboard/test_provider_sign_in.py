"""Sign-in with an OpenID Connect provider: who gets in, with which role, and which responses are not trusted."""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from click.testing import CliRunner
from yarl import URL

from nicobar.addresses import AllowedAddresses
from nicobar.cli import group
from nicobar.connectors.transport import HttpTransport
from nicobar.errors import Refusal, SettingsError
from nicobar.model import UserRole
from nicobar.settings import Settings, Switch
from nicobar.sign_in_rules import RoleRules
from nicobar.store import PutLink
from nicobar.store.history import AuditFilter
from nicobar.use_cases.identity_provider import IdentityProvider, UnknownKeyError, new_attempt
from nicobar.use_cases.login_limit import PER_ADDRESS
from nicobar.use_cases.signed_tokens import VerificationKeys
from nicobar.use_cases.users import new_link
from support.clock import MovingClock
from support.identity_provider import CLIENT, CLIENT_SECRET, Provider, new_key, providing
from support.installation import PASSWORD, Installation, installation
from support.pages import Visitor, set_up, visiting

RULES = {
    "oidc_owners": "olga@northpine.example, group:operators",
    "oidc_editors": "ed@northpine.example",
    "oidc_viewers": "@northpine.example",
}
MIN_WAIT_MS = 10_000


def settings_of(provider: Provider, **more: str) -> dict[str, str]:
    return {
        "oidc_issuer": provider.url,
        "oidc_client_id": CLIENT,
        "oidc_client_secret": CLIENT_SECRET,
        "oidc_provider_name": "Northpine",
        "allowed_addresses": "",  # the issuer is the operator's, whatever its address
        **RULES,
        **more,
    }


class World:
    def __init__(self, nicobar: Installation, provider: Provider) -> None:
        self.nicobar = nicobar
        self.provider = provider

    @property
    def store(self):
        return self.nicobar.runtime.store

    @asynccontextmanager
    async def visitor(self):
        await self.forget_failures()
        async with visiting(self.nicobar) as visitor:
            yield visitor

    async def begin(self, visitor: Visitor, wanted: str = "/") -> str:
        status, _, headers = await visitor.ask("GET", f"/login/oidc?next={wanted}")
        assert (status, headers["location"].partition("?")[0]) == (303, f"{self.provider.url}/authorize")
        return headers["location"]

    async def sign_in(self, visitor: Visitor, wanted: str = "/", *, header=None, key=None, **claims):
        """Through the provider, which says this of the user."""
        location = await self.begin(visitor, wanted)
        query = self.provider.grant(location, {"sub": claims.get("email"), **claims}, header=header, key=key)
        return await visitor.ask("GET", f"/login/oidc/callback?{query}")

    async def forget_failures(self) -> None:
        """Of the address that all visitors of a test have."""
        owner = f"{PER_ADDRESS.kind}/{hashlib.sha256(b'127.0.0.1').hexdigest()}"
        for slot in range(PER_ADDRESS.max_wrong):
            await self.store.drop_answer(owner, str(slot))

    async def actions(self, subject: str) -> list[str]:
        found = await self.store.audit(AuditFilter(subject=subject), limit=100)
        return [line.action for line in reversed(found.items)]


def code_of(page: str) -> str:
    """What the page says, without markup."""
    found = re.search(r'role="alert">(.*?)</div>', page, re.DOTALL)
    return re.sub(r"<[^>]+>", "", found[1]) if found else ""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def it(tmp_path_factory):
    async with providing() as provider:
        directory = tmp_path_factory.mktemp("oidc")
        async with installation(directory, **settings_of(provider)) as nicobar, visiting(nicobar) as owner:
            await set_up(nicobar, owner)
            yield World(nicobar, provider)


async def test_a_named_user_signs_in_with_the_role_of_the_rules(it):
    async with it.visitor() as visitor:
        page = (await visitor.ask("GET", "/login?next=%2Flogs"))[1]
        assert 'href="/login/oidc?next=%2Flogs"' in page
        status, _, headers = await it.sign_in(visitor, "/logs", sub="s-ed", email="Ed@Northpine.example")
        assert (status, headers["location"]) == (303, "/logs")
        (session,) = [item for item in visitor.cookies if item.startswith("nicobar_session=")]
        assert {"HttpOnly", "SameSite=Lax", "Max-Age=43200"} <= set(session.split("; "))
        assert (await visitor.ask("GET", "/sources/new"))[0] == 200, "an editor"
        account = (await visitor.ask("GET", "/settings/account"))[1]
        assert "ed@northpine.example" in account
        assert 'name="present"' not in account, "there is no password to change"
        assert (await visitor.send("/logout"))[0] == 303
        assert (await visitor.ask("GET", "/logs"))[0] == 303
    user = await it.store.user("ed@northpine.example")
    assert (user.role, user.password_hash) == (UserRole.EDITOR, "")
    assert await it.actions(user.id) == ["user.create", "user.link-identity", "user.sign-in"]
    async with it.visitor() as visitor:
        form = {"username": user.name, "password": ""}
        assert (await visitor.send("/login", **form))[0] == 422, "no password is not an empty one"


async def test_the_request_carries_state_nonce_and_a_challenge(it):
    async with it.visitor() as visitor:
        asked = parse_qs(urlsplit(await it.begin(visitor)).query)
        assert asked["redirect_uri"] == [f"{it.nicobar.url}/login/oidc/callback"]
        assert (asked["response_type"], asked["code_challenge_method"]) == (["code"], ["S256"])
        assert asked["scope"] == ["openid email"]
        again = parse_qs(urlsplit(await it.begin(visitor)).query)
        for name in ("state", "nonce", "code_challenge"):
            assert again[name] != asked[name]
            assert len(asked[name][0]) >= 32
        (kept, _) = [item for item in visitor.cookies if item.startswith("nicobar_sign_in=")]
        assert asked["state"][0] not in kept
        assert {"HttpOnly", "SameSite=Lax"} <= set(kept.split("; "))


async def test_a_linked_user_is_known_by_subject_not_by_email(it):
    async with it.visitor() as visitor:
        await it.sign_in(visitor, sub="s-ida", email="ida@northpine.example")
        user = await it.store.user("ida@northpine.example")
        assert user.role is UserRole.VIEWER
        # Another address, which the rules name otherwise.
        await it.sign_in(visitor, sub="s-ida", email="ida@elsewhere.example", groups=["operators"])
        assert (await it.store.identity_user(it.provider.url, "s-ida")).id == user.id
        assert (await it.store.user("ida@northpine.example")).role is UserRole.OWNER
        assert await it.store.user("ida@elsewhere.example") is None
        assert (await visitor.ask("GET", "/settings/users"))[1].count("single sign-on</span>") >= 1
    async with it.visitor() as visitor:
        # The address has a new holder, who is not the old one.
        status, page, _ = await it.sign_in(visitor, sub="s-other", email="ida@northpine.example")
        assert (status, "another account" in code_of(page)) == (403, True)


async def test_an_invited_user_is_linked_by_email_once(it):
    async with it.visitor() as owner, it.visitor() as visitor:
        await owner.send("/login", username="owner", password=PASSWORD)
        _, text, _ = await owner.send("/settings/users/invite", name="Una@northpine.example", role="editor")
        path = urlsplit(re.search(r'id="made">([^<]+)<', text)[1]).path
        assert (await visitor.send(path, password=PASSWORD, again=PASSWORD))[0] == 303
        user = await it.store.user("Una@northpine.example")
        assert (await it.sign_in(visitor, sub="s-una", email="una@northpine.example"))[0] == 303
    assert (await it.store.identity_user(it.provider.url, "s-una")).id == user.id
    assert (await it.actions(user.id))[-3:] == ["user.link-identity", "user.set-role", "user.sign-in"]


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"email": "eve@elsewhere.example"}, "has no access"),
        ({"email": "eve@sub.northpine.example"}, "has no access"),
        ({"email": "eve@northpine.example.elsewhere.example"}, "has no access"),
        ({"email": "olga@northpine.example", "email_verified": False}, "has not verified"),
        ({"email": "olga@northpine.example", "email_verified": "true"}, "has not verified"),
        ({"email": "olga@northpine.example", "email_verified": None}, "has not verified"),
        ({"sub": "s-1", "email": None}, "did not return an email"),
        ({"sub": "s-1", "email": ["olga@northpine.example"]}, "did not return an email"),
        ({"sub": "s-1", "email": "o\u212aga@northpine.example"}, "did not return an email"),
        ({"sub": "s-1", "email": None, "groups": ["operators"]}, "did not return an email"),
    ],
)
async def test_nobody_gets_in_who_is_not_named_and_verified(it, claims, said):
    async with it.visitor() as visitor:
        before = await it.store.users()
        status, page, _ = await it.sign_in(visitor, **claims)
        assert (status, said in code_of(page)) == (403, True), code_of(page)
        assert (await visitor.ask("GET", "/logs"))[0] == 303
        assert await it.store.users() == before


@pytest.mark.parametrize(
    ("claims", "what"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"aud": "another client"}, "aud"),
        ({"aud": [CLIENT, "another client"]}, "azp"),
        ({"aud": [CLIENT], "azp": "another client"}, "azp"),
        ({"iss": "https://elsewhere.example"}, "iss"),
        ({"exp": 1_000}, "exp"),
        ({"exp": None}, "exp"),
        ({"iat": 4_000_000_000}, "iat"),
        ({"nbf": 4_000_000_000}, "nbf"),
        ({"sub": None}, "sub"),
        ({"sub": "s" * 256}, "sub"),
        ({"sub": 7}, "sub"),
    ],
)
async def test_a_token_for_anything_else_is_not_trusted(it, claims, what):
    async with it.visitor() as visitor:
        status, page, _ = await it.sign_in(visitor, **{"sub": "s-olga", "email": "olga@northpine.example", **claims})
        assert (status, f"invalid: {what}." in code_of(page)) == (403, True), code_of(page)
        assert (await visitor.ask("GET", "/logs"))[0] == 303


@pytest.mark.parametrize("forged", ["none", "shared secret", "public key as secret", "another key"])
async def test_a_token_that_the_provider_did_not_sign_is_not_trusted(it, forged):
    header, key = {
        "none": ({"alg": "none"}, b""),
        "shared secret": ({"alg": "HS256", "kid": "first"}, CLIENT_SECRET.encode()),
        "public key as secret": ({"alg": "HS256", "kid": "first"}, it.provider.keys[0].as_pem(private=False)),
        "another key": ({"alg": "ES256", "kid": "first"}, new_key("first")),
    }[forged]
    async with it.visitor() as visitor:
        status, page, _ = await it.sign_in(
            visitor, sub="s-olga", email="olga@northpine.example", header=header, key=key
        )
        assert (status, "response is invalid" in code_of(page)) == (403, True), code_of(page)
        assert (await visitor.ask("GET", "/logs"))[0] == 303


async def test_a_sign_in_belongs_to_one_browser_and_counts_once(it):
    claims = {"sub": "s-olga", "email": "olga@northpine.example"}
    over = (400, True)

    async def callback(visitor: Visitor, query: str) -> tuple[int, bool]:
        status, page, _ = await visitor.ask("GET", f"/login/oidc/callback?{query}")
        return status, "has expired, was used" in code_of(page)

    async with it.visitor() as visitor, it.visitor() as other:
        query = it.provider.grant(await it.begin(visitor), claims)
        assert await callback(other, query) == over, "no cookie"
        await it.begin(other)
        assert await callback(other, query) == over, "of another sign-in"
        assert await callback(visitor, query.replace("state=", "state=x")) == over
        assert await callback(visitor, query + "&state=x") == over, "two of them"
        query = it.provider.grant(await it.begin(visitor), claims)
        kept = visitor.http.cookie_jar.filter_cookies(URL(it.nicobar.url))["nicobar_sign_in"].value
        assert (await callback(visitor, query))[0] == 303
        other.http.cookie_jar.update_cookies({"nicobar_sign_in": kept}, URL(it.nicobar.url))
        assert await callback(other, query) == over, "used"
        assert (await other.ask("GET", "/logs"))[0] == 303


async def test_another_provider_s_or_a_refused_answer_is_no_sign_in(it):
    async with it.visitor() as visitor:
        for change, status, said in (
            (lambda query: re.sub("iss=.*", "iss=https://elsewhere.example", query), 403, "invalid: iss"),
            (lambda query: re.sub("&iss=.*", "", query), 403, "invalid: iss"),
            (lambda query: query + "&error=access_denied", 403, "You did not sign in"),
            (lambda query: re.sub("code=[^&]*", "error=server_error", query), 403, "reported an error"),
            (lambda query: re.sub("code=[^&]*", "code=unknown", query), 403, "rejected the sign-in: invalid_grant"),
        ):
            query = it.provider.grant(await it.begin(visitor), {"sub": "s", "email": "olga@northpine.example"})
            answer = await visitor.ask("GET", f"/login/oidc/callback?{change(query)}")
            assert (answer[0], said in code_of(answer[1])) == (status, True), code_of(answer[1])
        assert (await visitor.ask("GET", "/logs"))[0] == 303


async def test_failed_sign_ins_are_limited_like_wrong_passwords(it):
    async with it.visitor() as visitor:
        statuses = []
        for _ in range(PER_ADDRESS.max_wrong + 1):
            query = it.provider.grant(await it.begin(visitor), {})
            statuses.append((await visitor.ask("GET", f"/login/oidc/callback?{query}x"))[0])
        assert statuses[-1] == 429
        asked = it.provider.asked["/token"]
        status, page, headers = await it.sign_in(visitor, sub="s-olga", email="olga@northpine.example")
        assert (status, "Too many failed sign-ins" in code_of(page), it.provider.asked["/token"]) == (
            429,
            True,
            asked,
        )
        assert int(headers["retry-after"]) > 0


async def test_after_signing_in_no_other_site_is_opened(it):
    async with it.visitor() as visitor:
        for wanted in ("https://elsewhere.example", "//elsewhere.example", "/%5Celsewhere.example"):
            claims = {"sub": "s-olga", "email": "olga@northpine.example"}
            assert (await it.sign_in(visitor, wanted, **claims))[2]["location"] == "/"


async def test_who_is_no_longer_named_is_signed_out_everywhere(it):
    async with it.visitor() as visitor, it.visitor() as elsewhere:
        claims = {"sub": "s-rex", "email": "rex@northpine.example"}
        await it.sign_in(visitor, **claims)
        assert (await visitor.ask("GET", "/logs"))[0] == 200
        assert (await it.sign_in(elsewhere, **claims | {"email": "rex@elsewhere.example"}))[0] == 403
        assert (await visitor.ask("GET", "/logs"))[0] == 303
    user = await it.store.user("rex@northpine.example")
    assert (await it.actions(user.id))[-1] == "user.refuse-sign-in"


async def test_an_email_comes_from_user_info_only_about_the_same_subject(it):
    it.provider.document["userinfo_endpoint"] = f"{it.provider.url}/userinfo"
    async with asking(it.provider, MovingClock()) as ask:
        it.provider.user_info = {"sub": "s-uwe", "email": "uwe@northpine.example", "email_verified": True}
        found = await ask({"sub": "s-uwe", "email_verified": None})
        assert (found.email, found.is_verified) == ("uwe@northpine.example", True)
        found = await ask({"sub": "s-uwe", "email": "other@northpine.example", "email_verified": None})
        assert (found.email, found.is_verified) == ("other@northpine.example", False), "not one's word for another's"
        with pytest.raises(Refusal, match="invalid: sub"):
            await ask({"sub": "s-eve"})
    del it.provider.document["userinfo_endpoint"]


@asynccontextmanager
async def asking(provider: Provider, clock: MovingClock):
    """The client alone, at a time that the test sets."""
    values = Settings(**settings_of(provider))
    async with HttpTransport(allowed=AllowedAddresses.of_url(provider.url)) as transport:
        client = IdentityProvider.open(values.oidc, transport, clock)

        async def ask(claims: dict[str, object]):
            provider.now_s = clock.now_ms() // 1000
            attempt = new_attempt("/", expires_at_ms=0)
            location = await client.authorization_url(attempt, "https://nicobar.example/login/oidc/callback")
            query = parse_qs(provider.grant(location, claims))
            return await client.identity(query["code"][0], attempt, "https://nicobar.example/login/oidc/callback")

        yield ask


async def test_rotated_keys_are_fetched_once_and_not_too_often():
    async with providing() as provider, asking(provider, clock := MovingClock()) as ask:
        await ask({"sub": "s"})
        provider.keys = [new_key("second")]
        with pytest.raises(Refusal, match="invalid: key"):
            await ask({"sub": "s"})
        clock.move(MIN_WAIT_MS)
        assert (await ask({"sub": "s"})).subject == "s"
        assert provider.asked["/keys"] == 2
        await ask({"sub": "s"})
        assert (provider.asked["/keys"], provider.asked["/.well-known/openid-configuration"]) == (2, 1)


async def test_a_failure_is_kept_for_ten_seconds_and_the_document_for_ten_minutes():
    path = "/.well-known/openid-configuration"
    async with providing() as provider, asking(provider, clock := MovingClock()) as ask:
        provider.answers[path] = (500, [], b"")
        for _ in range(3):
            with pytest.raises(Refusal, match="responded with 500"):
                await ask({"sub": "s"})
        assert provider.asked[path] == 1
        del provider.answers[path]
        clock.move(MIN_WAIT_MS)
        await ask({"sub": "s"})
        provider.answers[path] = (500, [], b"")
        clock.move(10 * 60_000 - 1)
        await ask({"sub": "s"})
        assert provider.asked[path] == 2
        clock.move(1)
        with pytest.raises(Refusal, match="responded with 500"):
            await ask({"sub": "s"})


async def test_a_clock_that_is_set_back_keeps_no_old_keys_or_failures():
    path = "/.well-known/openid-configuration"
    async with providing() as provider, asking(provider, clock := MovingClock()) as ask:
        provider.answers[path] = (500, [], b"")
        with pytest.raises(Refusal, match="responded with 500"):
            await ask({"sub": "s"})
        del provider.answers[path]
        clock.set_by(-86_400_000)
        clock.move(MIN_WAIT_MS)
        await ask({"sub": "s"})
        provider.keys = [new_key("second")]
        clock.set_by(-86_400_000)
        clock.move(MIN_WAIT_MS)
        assert (await ask({"sub": "s"})).subject == "s"


async def test_clocks_may_differ_by_two_minutes():
    async with providing() as provider, asking(provider, clock := MovingClock()) as ask:
        now_s = clock.now_ms() // 1000
        assert await ask({"sub": "s", "iat": now_s + 110, "nbf": now_s + 110})
        assert await ask({"sub": "s", "exp": now_s - 110})
        for wrong in ({"iat": now_s + 130}, {"exp": now_s - 130}):
            with pytest.raises(Refusal, match="invalid"):
                await ask({"sub": "s", **wrong})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"issuer": "https://elsewhere.example"}, "its issuer is"),
        ({"token_endpoint": "http://elsewhere.example/token"}, "not an https:// URL"),
        ({"jwks_uri": "http://127.0.0.1:1/keys"}, "not an https:// URL"),
        ({"authorization_endpoint": "https://elsewhere.example/\r\nx-y: z"}, "not an https:// URL"),
        ({"jwks_uri": None}, "not what OpenID Connect requires"),
        ({"jwks_uri": "https://127.0.0.1:1/keys"}, "not public"),
        ({"token_endpoint": "https://169.254.169.254/token"}, "not public"),
    ],
)
async def test_a_discovery_document_cannot_lead_elsewhere(document, said):
    async with providing() as provider, asking(provider, MovingClock()) as ask:
        provider.document = document
        with pytest.raises(Refusal, match=said):
            await ask({"sub": "s"})


async def test_redirects_of_a_provider_are_not_followed():
    async with providing() as provider, asking(provider, MovingClock()) as ask:
        location = f"{provider.url}/elsewhere".encode()
        provider.answers["/keys"] = (302, [(b"location", location)], b"")
        with pytest.raises(Refusal, match="responded with 302"):
            await ask({"sub": "s"})
        assert provider.asked["/elsewhere"] == 0


async def test_a_provider_that_is_down_is_said_and_not_asked_again(tmp_path):
    async with providing() as provider:
        settings = settings_of(provider)
    async with installation(tmp_path, **settings) as nicobar, visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        await visitor.send("/logout")
        for _ in range(2):
            status, page, headers = await visitor.ask("GET", "/login/oidc?next=/logs")
            assert (status, headers["retry-after"]) == (503, "10")
            assert "cannot be reached: connection refused" in code_of(page)
            assert 'name="password"' in page, "passwords still work"


async def test_without_passwords_only_the_operator_s_link_is_left(tmp_path):
    async with (
        providing() as provider,
        installation(tmp_path, **settings_of(provider, password_sign_in=Switch.OFF)) as nicobar,
        visiting(nicobar) as owner,
        visiting(nicobar) as visitor,
    ):
        world = World(nicobar, provider)
        await set_up(nicobar, owner)
        page = (await visitor.ask("GET", "/login"))[1]
        assert 'name="password"' not in page
        assert "Sign in with Northpine" in page
        for path, form in (
            ("/login", {"username": "owner", "password": PASSWORD}),
            ("/settings/account/password", {"present": PASSWORD, "password": "x" * 12, "again": "x" * 12}),
            ("/settings/users/invite", {"name": "una", "role": "viewer"}),
            (f"/settings/users/{(await world.store.user('owner')).id}/link", {}),
        ):
            status, text, _ = await (visitor if path == "/login" else owner).send(path, **form)
            assert (status, "password_sign_in_off" in text) == (403, True), path
        assert 'name="present"' not in (await owner.ask("GET", "/settings/account"))[1]
        assert (await world.sign_in(visitor, sub="s", email="olga@northpine.example"))[0] == 303
        link, path = new_link("una", UserRole.VIEWER, nicobar.runtime.clock.now_ms())
        await world.store.change([PutLink(link=link)])
        assert (await visitor.ask("GET", path))[0] == 404, "made before"
        arguments = ["password-link", "--data-dir", str(tmp_path)]
        made = await asyncio.to_thread(CliRunner().invoke, group, arguments)
        await visitor.send("/logout")
        path = urlsplit(made.output.strip()).path
        assert (await visitor.send(path, password=PASSWORD, again=PASSWORD))[0] == 303
        assert "owner</strong>" in (await visitor.ask("GET", "/settings/account"))[1]
        assert (await world.sign_in(visitor, sub="s", email="olga@northpine.example"))[0] == 303
        user = await world.store.user("owner")
        assert (await visitor.send(f"/settings/users/{user.id}/remove"))[0] == 303
        status, page, _ = await world.sign_in(visitor, sub="s", email="oleg@northpine.example")
        assert (status, "At least one owner is required" in code_of(page)) == (422, True), "the rules say viewer"


def test_roles_are_read_from_rules():
    rules = RoleRules.read(owners="Olga@X.example", editors="group:Writers", viewers="@x.example")
    assert rules.role_of("olga@x.example", ()) is UserRole.OWNER
    assert rules.role_of("a@X.EXAMPLE", ["Writers"]) is UserRole.EDITOR
    assert rules.role_of("a@x.example", ["writers"]) is UserRole.VIEWER
    for email in ("a@y.example", "a@b@x.example", "x.example", "@x.example", "", "a@x.example@y.example"):
        assert rules.role_of(email, ()) is None, email
    rules = RoleRules.read(owners="group:a@x.example", editors="", viewers="")
    assert rules.role_of("group:a@x.example", ()) is None, "no group"
    assert RoleRules.read(owners="", editors="", viewers="").role_of("a@x.example", ["Writers"]) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"oidc_issuer": "http://sso.northpine.example"}, "must be an https:// URL"),
        ({"oidc_issuer": "https://sso.northpine.example?x=1"}, "must be an https:// URL"),
        ({"oidc_issuer": "https://user@sso.northpine.example"}, "must be an https:// URL"),
        ({"oidc_issuer": "https://[bad"}, "must be an https:// URL"),
        ({"oidc_issuer": ""}, "oidc_issuer is not set"),
        ({"oidc_client_id": ""}, "needs oidc_client_id"),
        (dict.fromkeys(RULES, ""), "needs oidc_client_id, and"),
        ({"oidc_owners": "@northpine.example"}, "not an email or group:NAME"),
        ({"oidc_viewers": "*"}, "not an email, @domain or group:NAME"),
        ({"oidc_viewers": "@"}, "not an email, @domain or group:NAME"),
    ],
)
def test_incomplete_settings_are_an_error(change, said):
    values = settings_of(Provider(url="https://sso.northpine.example")) | change
    with pytest.raises(SettingsError, match=re.escape(said)):
        _ = Settings(**values).oidc


async def test_without_the_extra_nicobar_does_not_start(monkeypatch):
    monkeypatch.setitem(sys.modules, "nicobar.use_cases.signed_tokens", None)
    values = Settings(**settings_of(Provider(url="https://sso.northpine.example")))
    with pytest.raises(SettingsError, match=re.escape("pip install 'nicobar[oidc]'")):
        IdentityProvider.open(values.oidc, HttpTransport(), MovingClock())


def test_nobody_is_locked_out_by_settings():
    with pytest.raises(SettingsError, match="No user could sign in"):
        _ = Settings(password_sign_in=Switch.OFF).oidc


# {"alg":"Ed25519","kid":"1"}, {} and no signature.
NO_TOKEN = "eyJhbGciOiJFZDI1NTE5Iiwia2lkIjoiMSJ9.e30.AAAA"


@pytest.mark.parametrize("key", [{}, {"kty": {}}, {"kty": []}, {"kty": "OKP"}, {"kty": "RSA", "n": 5, "e": None}])
def test_a_key_that_is_none_is_skipped(key):
    with pytest.raises(UnknownKeyError):
        VerificationKeys([key]).claims(NO_TOKEN, issuer="", client_id="", nonce="", now_s=0)
