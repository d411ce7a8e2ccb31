"""The OpenID Connect provider that users sign in with: its discovery document, its keys, and what it says of a user.
Authorization code flow with PKCE: OpenID Connect Core 1.0, RFC 7636 and RFC 9207.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from nicobar.addresses import origin_of
from nicobar.clock import Clock
from nicobar.connectors import NoResponse, Request, Response, Transport
from nicobar.errors import Refusal, SettingsError
from nicobar.logs import log
from nicobar.model import Record
from nicobar.reasons import Reason, reason
from nicobar.sign_in_rules import OidcSettings, is_safe_url

if TYPE_CHECKING:
    from nicobar.use_cases.signed_tokens import VerificationKeys

DISCOVERY = "/.well-known/openid-configuration"
# How long the discovery document and the keys are used without asking again.
DOCUMENT_MS = 10 * 60_000
# Visitors who are not signed in cause requests to the provider: after a failure, and for an unknown key, none sooner.
MIN_WAIT_MS = 10_000
MAX_GROUPS = 1_000
_ERROR_CODE = re.compile(r"[a-z_]{1,64}")
_FORM = "application/x-www-form-urlencoded"

T = TypeVar("T")
Claims = Mapping[str, Any]  # JSON of a provider, as the library returns it


class UnknownKeyError(Exception):
    """None of the keys verifies the signature: the provider may have rotated them."""


class UntrustedTokenError(Exception):
    """The token is not the provider's word for this sign-in. Its text names what is wrong, without values."""


class SignInAttempt(Record):
    """What the browser keeps between its visits to the sign-in page and to the callback. `next_page` is opened after
    it.
    """

    state: str
    nonce: str
    verifier: str
    next_page: str
    expires_at_ms: int

    @property
    def challenge(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def new_attempt(next_page: str, *, expires_at_ms: int) -> SignInAttempt:
    return SignInAttempt(
        state=secrets.token_urlsafe(24),
        nonce=secrets.token_urlsafe(24),
        verifier=secrets.token_urlsafe(48),
        next_page=next_page,
        expires_at_ms=expires_at_ms,
    )


class ProvidedIdentity(Record):
    """What a provider says of a user. `email` is empty where it says none."""

    issuer: str
    subject: str
    email: str
    is_verified: bool
    groups: tuple[str, ...]


class Metadata(msgspec.Struct, frozen=True):
    """The discovery document: https://openid.net/specs/openid-connect-discovery-1_0.html."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    token_endpoint_auth_methods_supported: list[str] = []
    authorization_response_iss_parameter_supported: bool = False


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str
    access_token: str = ""


class _TokenError(msgspec.Struct, frozen=True):
    error: str = ""


class _Keys(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


class IdentityProvider:
    """The provider of the settings. `transport` may reach it, wherever it is; addresses that its discovery document
    names elsewhere have to be public or allowed. Redirects are never followed.
    """

    def __init__(
        self,
        settings: OidcSettings,
        transport: Transport,
        clock: Clock,
        open_keys: Callable[[Sequence[Mapping[str, Any]]], VerificationKeys],
    ) -> None:
        self.settings = settings
        self._open_keys = open_keys
        self._transport = transport
        self._clock = clock
        self._lock = asyncio.Lock()
        self._metadata: Metadata | None = None
        self._metadata_at_ms = 0
        # Why the last look at the document failed.
        self._failure: Refusal | None = None
        self._failed_at_ms = 0
        self._keys: VerificationKeys | None = None
        self._keys_at_ms = 0

    @classmethod
    def open(cls, settings: OidcSettings, transport: Transport, clock: Clock) -> Self:
        """Raises SettingsError without the extra that verifies signatures."""
        try:
            from nicobar.use_cases.signed_tokens import VerificationKeys  # noqa: PLC0415 - the extra may be missing
        except ModuleNotFoundError as error:
            raise SettingsError(
                "extra_missing",
                "oidc_issuer is set, but the extra for sign-in with a provider is not installed.",
                "Install it: pip install 'nicobar[oidc]'.",
            ) from error
        return cls(settings, transport, clock, VerificationKeys)

    async def authorization_url(self, attempt: SignInAttempt, redirect_url: str) -> str:
        """Where the browser signs in. Raises Refusal 502 or 503."""
        metadata = await self._known_metadata()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self.settings.client_id,
                "redirect_uri": redirect_url,
                "scope": self.settings.scopes,
                "state": attempt.state,
                "nonce": attempt.nonce,
                "code_challenge": attempt.challenge,
                "code_challenge_method": "S256",
            },
            quote_via=quote,
        )
        sign = "&" if "?" in metadata.authorization_endpoint else "?"
        return f"{metadata.authorization_endpoint}{sign}{query}"

    async def check_issuer(self, given: str | None) -> None:
        """Checks the `iss` of a callback, so that no other provider's response is taken for this one's. Raises
        Refusal 403.
        """
        metadata = await self._known_metadata()
        if given != metadata.issuer and (
            given is not None or metadata.authorization_response_iss_parameter_supported
        ):
            raise _untrusted("iss")

    async def identity(self, code: str, attempt: SignInAttempt, redirect_url: str) -> ProvidedIdentity:
        """Exchanges the code of a callback for the user's identity. Raises Refusal 403, 502 or 503."""
        metadata = await self._known_metadata()
        tokens = await self._exchange(metadata, code, attempt, redirect_url)
        claims = await self._verified_claims(metadata, tokens.id_token, attempt.nonce)
        more: Claims = {}
        if metadata.userinfo_endpoint and tokens.access_token and "email" not in claims:
            more = await self._user_info(metadata.userinfo_endpoint, tokens.access_token, claims["sub"])
        # An email and whether it is verified are of one origin.
        of_email = claims if "email" in claims else more
        groups = claims.get(self.settings.groups_claim, more.get(self.settings.groups_claim))
        email = of_email.get("email")
        return ProvidedIdentity(
            issuer=metadata.issuer,
            subject=claims["sub"],
            email=email if isinstance(email, str) else "",
            is_verified=of_email.get("email_verified") is True,
            groups=_texts(groups),
        )

    async def _known_metadata(self) -> Metadata:
        async with self._lock:
            now_ms = self._clock.steady_ms()
            if self._metadata is not None and now_ms - self._metadata_at_ms < DOCUMENT_MS:
                return self._metadata
            if self._failure is not None and now_ms - self._failed_at_ms < MIN_WAIT_MS:
                raise self._failure.with_traceback(None)
            try:
                self._metadata = await self._fetch_metadata()
            except Refusal as failure:
                self._failure, self._failed_at_ms = failure, now_ms
                raise
            self._failure, self._metadata_at_ms = None, now_ms
            return self._metadata

    async def _fetch_metadata(self) -> Metadata:
        issuer = self.settings.issuer
        metadata = await self._get(issuer.rstrip("/") + DISCOVERY, Metadata)
        if metadata.issuer != issuer:
            raise _misconfigured(
                reason(
                    "issuer_differs",
                    "its issuer is %(found)s, but oidc_issuer is %(setting)s",
                    found=metadata.issuer,
                    setting=issuer,
                )
            )
        needed = (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri)
        for url in (*needed, *filter(None, [metadata.userinfo_endpoint])):
            # Only a provider on this machine may do without TLS, and then at its own origin.
            if not is_safe_url(url) or (not url.startswith("https://") and origin_of(url) != origin_of(issuer)):
                raise _misconfigured(
                    reason(
                        "url_unsafe", "its discovery document names %(url)s, which is not an https:// URL", url=url
                    )
                )
        return metadata

    async def _exchange(self, metadata: Metadata, code: str, attempt: SignInAttempt, redirect_url: str) -> _Tokens:
        settings = self.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_url,
            "code_verifier": attempt.verifier,
        }
        headers = {"content-type": _FORM, "accept": "application/json"}
        methods = metadata.token_endpoint_auth_methods_supported
        if not settings.client_secret:
            form["client_id"] = settings.client_id
        elif not methods or "client_secret_basic" in methods:
            pair = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret, safe='')}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": settings.client_id, "client_secret": settings.client_secret}
        request = Request(method="POST", url=metadata.token_endpoint, headers=headers, body=urlencode(form).encode())
        answer = await self._send(request)
        if answer.status in {400, 401, 403}:
            error = _read(answer, _TokenError).error
            why = error if _ERROR_CODE.fullmatch(error) else f"status {answer.status}"
            log.warning("sign-in code rejected by the provider", code=why)
            raise Refusal(
                403,
                "sign_in_rejected",
                "The sign-in provider rejected the sign-in: %(why)s.",
                "Start again. If that does not help, check oidc_client_id and oidc_client_secret.",
                why=why,
            )
        return _read(_accepted(answer), _Tokens)

    async def _verified_claims(self, metadata: Metadata, id_token: str, nonce: str) -> Claims:
        """The claims of a token that this provider signed, for this client and this sign-in."""
        expected = {
            "issuer": metadata.issuer,
            "client_id": self.settings.client_id,
            "nonce": nonce,
        }
        now_s = self._clock.now_ms() // 1000
        try:
            try:
                keys = await self._known_keys(metadata, max_age_ms=DOCUMENT_MS)
                return keys.claims(id_token, now_s=now_s, **expected)
            except UnknownKeyError:
                keys = await self._known_keys(metadata, max_age_ms=MIN_WAIT_MS)
                return keys.claims(id_token, now_s=now_s, **expected)
        except UnknownKeyError as error:
            raise _untrusted("key") from error
        except UntrustedTokenError as error:
            raise _untrusted(str(error)) from error

    async def _known_keys(self, metadata: Metadata, *, max_age_ms: int) -> VerificationKeys:
        async with self._lock:
            now_ms = self._clock.steady_ms()
            if self._keys is None or now_ms - self._keys_at_ms >= max_age_ms:
                found = await self._get(metadata.jwks_uri, _Keys)
                self._keys = self._open_keys(found.keys)
                self._keys_at_ms = now_ms
            return self._keys

    async def _user_info(self, url: str, access_token: str, subject: str) -> Claims:
        headers = {"authorization": f"Bearer {access_token}", "accept": "application/json"}
        answer = await self._send(Request(method="GET", url=url, headers=headers, body=b""))
        found = _read(_accepted(answer), dict[str, Any])
        if found.get("sub") != subject:
            raise _untrusted("sub")
        return found

    async def _get(self, url: str, wanted: type[T]) -> T:
        request = Request(method="GET", url=url, headers={"accept": "application/json"}, body=b"")
        return _read(_accepted(await self._send(request)), wanted)

    async def _send(self, request: Request) -> Response:
        answer = await self._transport.send(request)
        if isinstance(answer, NoResponse):
            log.warning("sign-in provider not reached", code=answer.reason.code, origin=origin_of(request.url))
            raise Refusal(
                503,
                "provider_unreachable",
                "The sign-in provider cannot be reached: %(why)s.",
                "Try again in a minute. If it lasts, check oidc_issuer and the network.",
                retry_after_s=MIN_WAIT_MS // 1000,
                why=answer.reason,
            )
        return answer


def _accepted(answer: Response) -> Response:
    if answer.status != 200 or answer.truncated:  # noqa: PLR2004 - no other status has what was asked for
        raise _misconfigured(reason("status_unexpected", "it responded with %(status)s", status=answer.status))
    return answer


def _read(answer: Response, wanted: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=wanted)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        why = reason("response_invalid", "its response is not what OpenID Connect requires")
        raise _misconfigured(why) from error


def _texts(value: object) -> tuple[str, ...]:
    """Groups as a claim has them: a list, or one text."""
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(item for item in values[:MAX_GROUPS] if isinstance(item, str))


def _untrusted(what: str) -> Refusal:
    """The identity is not the provider's word for this sign-in. What is wrong is for the operator's log."""
    log.warning("sign-in rejected", what=what)
    return Refusal(
        403,
        "sign_in_untrusted",
        "The sign-in provider's response is invalid: %(what)s.",
        "Start again. If it lasts, check oidc_issuer, oidc_client_id and the clocks.",
        what=what,
    )


def _misconfigured(why: Reason) -> Refusal:
    log.error("sign-in provider not usable", code=why.code, detail=why.detail())
    return Refusal(
        502,
        "provider_unusable",
        "The sign-in provider cannot be used: %(why)s.",
        "Check oidc_issuer and the provider's settings.",
        why=why,
    )
