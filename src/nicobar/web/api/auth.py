"""Authentication by bearer tokens, and their scopes. Objects outside the scope of a token are not found (404)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from nicobar.errors import Refusal
from nicobar.model import Record, Scope, Token
from nicobar.store import Access
from nicobar.use_cases.token_uses import TokenUses
from nicobar.use_cases.tokens import live_token
from nicobar.web.api.errors import forbidden
from nicobar.web.asgi import Message
from nicobar.web.operations import Operation

CALLER = "nicobar.caller"  # the key of the caller in an ASGI scope
_BEARER = "bearer "


class Needs(StrEnum):
    """The access that an operation requires, if it differs from the default.

    By default, GET requires read access and other methods write access; a path without an application requires a
    token for all applications.
    """

    NOTHING = "nothing"  # no token
    READING = "reading"  # read access, for a POST that changes nothing
    RUNNING = "running"  # write access, to run code of the request that changes nothing
    ANY_READER = "any_reader"  # read access, to data that all applications share
    OWN = "own"  # the handler filters by the application of the caller
    SELF = "self"  # any token, for an operation on the token itself
    BACKEND = "backend"  # any token but that of a dashboard link
    WRITING = "writing"  # write access, for a GET that returns a secret
    MESSAGES = "messages"  # creating messages, which a token can be limited to


class Caller(Record):
    """The token of a request, and its scope."""

    token: Token

    @property
    def name(self) -> str:
        """The name in the audit log. A dashboard link has the same name as in the dashboard."""
        if self.token.portal:
            return f"link {self.token.session_id or self.token.id}"
        return f"token {self.token.name}"

    @property
    def app_id(self) -> str | None:
        """The application that the token is limited to, if any."""
        return self.token.app_id

    @property
    def may_write(self) -> bool:
        return self.token.scope in {Scope.ADMIN, Scope.APPLICATION}

    @property
    def sees_payloads(self) -> bool:
        """Whether payloads are shown whole, with personal data: to the tokens of backends that may write. A dashboard
        link is for people, to whom the dashboard shows them.
        """
        return self.may_write and not self.token.portal

    def sees(self, app_id: str | None) -> bool:
        """Whether the caller can access objects of this application; None for objects of no application."""
        return self.app_id is None or self.app_id == app_id


async def caller_of(headers: Mapping[str, str], access: Access, uses: TokenUses, now_ms: int) -> Caller:
    """The caller, by the token of the request. Raises Refusal 401, the same for every reason."""
    given = headers.get("authorization", "")
    if given[: len(_BEARER)].lower() != _BEARER:
        raise unauthenticated()
    token = await live_token(access, uses, given[len(_BEARER) :].strip(), now_ms)
    if token is None:
        raise unauthenticated()
    return Caller(token=token)


def unauthenticated() -> Refusal:
    return Refusal(
        401,
        "authentication_failed",
        "Missing or invalid API token.",
        "Send the header Authorization: Bearer TOKEN. Create a token with nicobar token create NAME.",
    )


def caller_in(scope: Message) -> Caller | None:
    """The caller of a request; None for an operation that requires no token."""
    caller = scope.get(CALLER)
    return caller if isinstance(caller, Caller) else None


def check_access(caller: Caller, operation: Operation) -> None:
    """Raises Refusal 403 if the scope of the token does not allow the operation, whatever its object."""
    needs = operation.needs
    if needs is Needs.SELF:
        return
    if caller.token.scope is Scope.APPLICATION_MESSAGES:
        if needs is not Needs.MESSAGES:
            raise _scope_too_narrow(caller)
        return
    reads = needs in {Needs.READING, Needs.ANY_READER} or (
        operation.method in {"GET", "OPTIONS"} and needs is not Needs.WRITING
    )
    if not reads and not caller.may_write:
        raise _scope_too_narrow(caller)
    if needs is Needs.BACKEND and caller.token.portal:
        raise forbidden("Dashboard links do not allow this request.", "Use an API token.")
    if (
        caller.app_id is None
        or "app_id" in operation.path_names
        or needs in {Needs.ANY_READER, Needs.OWN, Needs.RUNNING}
    ):
        return
    raise forbidden(
        f"This token is limited to the application {caller.app_id}, but this request concerns all applications.",
        "Use a token for all applications.",
    )


def _scope_too_narrow(caller: Caller) -> Refusal:
    return forbidden(
        f"The scope {caller.token.scope} of this token does not allow this request.",
        "Use a token with a wider scope.",
    )
