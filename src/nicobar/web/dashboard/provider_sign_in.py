"""`/login/oidc`, `/login/oidc/callback`: sign in with the OpenID Connect provider of the settings."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from nicobar.errors import NicobarError, Refusal
from nicobar.use_cases.identity_provider import IdentityProvider, new_attempt
from nicobar.use_cases.login_limit import count_at_provider, forgive
from nicobar.use_cases.provider_sign_in import ATTEMPT_MS, open_attempt, seal_attempt, sign_in_identity, use_once
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context, not_found
from nicobar.web.dashboard.pages import redirect
from nicobar.web.dashboard.sign_in import failed_sign_in, local_page, signed_in
from nicobar.web.dashboard.visitor import ATTEMPT, Visitor, cookie
from nicobar.web.operations import Response, get

CALLBACK = "/login/oidc/callback"
MAX_PARAMETERS = 50
_DENIED = frozenset({"access_denied", "login_required", "interaction_required", "consent_required"})


@get("/login/oidc", status=303, needs=Needs.NOTHING)
async def begin(context: Context, visitor: Visitor, next: str = "/") -> Response[bytes]:  # noqa: A002 - its name in the address
    """Leads to the provider."""
    provider = _provider(context)
    wanted = local_page(next)
    attempt = new_attempt(wanted, expires_at_ms=context.now_ms() + ATTEMPT_MS)
    try:
        location = await provider.authorization_url(attempt, _redirect_url(context))
    except Refusal as problem:
        return await failed_sign_in(context, visitor, problem, wanted)
    sealed = seal_attempt(context.services, attempt)
    return redirect(location, cookie(ATTEMPT, sealed, secure=visitor.secure, max_age_s=ATTEMPT_MS // 1000))


@get(CALLBACK, status=303, needs=Needs.NOTHING)
async def finish(context: Context, visitor: Visitor) -> Response[bytes]:
    """Signs in the user that the provider names. Providers add parameters of their own, so none is unknown."""
    provider = _provider(context)
    ended = cookie(ATTEMPT, "", secure=visitor.secure, max_age_s=0)
    wanted = "/"
    store = context.services.store
    try:
        given = _parameters(visitor)
        attempt = open_attempt(context.services, visitor.attempt, given.get("state", ""))
        wanted = attempt.next_page
        counted = await count_at_provider(store, address=visitor.address, now_ms=context.now_ms())
        await use_once(store, attempt, context.now_ms())
        await provider.check_issuer(given.get("iss"))
        _check_answer(given)
        identity = await provider.identity(given["code"], attempt, _redirect_url(context))
        user = await sign_in_identity(context.services, provider.settings, identity)
    except NicobarError as problem:
        return await failed_sign_in(context, visitor, problem, wanted, ended)
    await forgive(store, counted)
    answer = await signed_in(context, visitor, user, wanted, lasting_ms=provider.settings.session_ms)
    return redirect(wanted, *answer.cookies, ended)


def _provider(context: Context) -> IdentityProvider:
    """Raises Refusal 404 without one."""
    if context.services.provider is None:
        raise not_found("page")
    return context.services.provider


def _redirect_url(context: Context) -> str:
    """Where the provider sends the browser; never what a request calls this server."""
    return context.services.public_url + CALLBACK


def _parameters(visitor: Visitor) -> dict[str, str]:
    """Those of the callback, each once. Raises Refusal 400."""
    try:
        values = parse_qs(urlsplit(visitor.path).query, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        values = {}
    return {name: texts[0] for name, texts in values.items() if len(texts) == 1}


def _check_answer(given: dict[str, str]) -> None:
    """Raises Refusal 403 unless the provider answered with a code."""
    if given.get("code") and "error" not in given:
        return
    if given.get("error") in _DENIED:
        raise Refusal(
            403, "sign_in_canceled", "You did not sign in at the provider, or it did not allow it.", "Start again."
        )
    raise Refusal(
        403,
        "sign_in_failed",
        "The sign-in provider reported an error.",
        "Start again. If it lasts, check the provider's log and oidc_scopes.",
    )


OPERATIONS = (begin, finish)
