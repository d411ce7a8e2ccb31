"""Who asks: bearer tokens, and what each may do. What a token may not see is answered as what is not there."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Scope as AsgiScope

from nicobar.errors import Refusal
from nicobar.model import Record, Scope, Token
from nicobar.store import Access
from nicobar.use_cases.token_uses import TokenUses
from nicobar.use_cases.tokens import live_token
from nicobar.web.api.errors import forbidden

CALLER = "nicobar.caller"  # where the caller stands in an ASGI scope
_BEARER = "bearer "


class Needs(StrEnum):
    """What an operation needs beyond what its method and its path say; stands in a handler's `opt` as `needs`.

    Without it, GET needs a token that may read and everything else one that may write; a path without an application
    needs one for all applications.
    """

    READING = "reading"  # a POST that changes nothing
    ANY_READER = "any_reader"  # reading, of what every application may see
    OWN = "own"  # the handler itself keeps to the application of the caller
    SELF = "self"  # concerns the token itself
    BACKEND = "backend"  # not for a link to the dashboard
    WRITING = "writing"  # a GET that shows a secret
    MESSAGES = "messages"  # makes messages, which a token may be limited to


class Caller(Record):
    """Whose token it is, and what that may do."""

    token: Token

    @property
    def name(self) -> str:
        """As the audit log shows it. A link to the dashboard has the same name as there."""
        if self.token.portal:
            return f"link {self.token.session_id or self.token.id}"
        return f"token {self.token.name}"

    @property
    def app_id(self) -> str | None:
        """The one application that it is limited to."""
        return self.token.app_id

    @property
    def may_write(self) -> bool:
        return self.token.scope in {Scope.ADMIN, Scope.APPLICATION}

    def sees(self, app_id: str | None) -> bool:
        """Whether things of this application are there for the caller; None: of no application."""
        return self.app_id is None or self.app_id == app_id


async def caller_of(headers: Mapping[str, str], access: Access, uses: TokenUses, now_ms: int) -> Caller:
    """Whose token the request carries. Raises Refusal 401, the same for every reason."""
    given = headers.get("authorization", "")
    if given[: len(_BEARER)].lower() != _BEARER:
        raise _unknown()
    token = await live_token(access, uses, given[len(_BEARER) :].strip(), now_ms)
    if token is None:
        raise _unknown()
    return Caller(token=token)


def _unknown() -> Refusal:
    return Refusal(
        401,
        "authentication_failed",
        "The request carries no token that is valid.",
        "Send the header Authorization: Bearer TOKEN; nicobar token create NAME makes one.",
    )


def current_caller(scope: AsgiScope) -> Caller:
    """For handlers: whose request it is."""
    caller = scope.get(CALLER)
    if not isinstance(caller, Caller):  # the middleware lets nobody in without one
        raise _unknown()
    return caller


def allowed(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Raises Refusal 403 for what no thing's existence decides: the scope of the token and the kind of operation."""
    caller = current_caller(connection.scope)
    needs = handler.opt.get("needs")
    if needs == Needs.SELF:
        return
    if caller.token.scope is Scope.APPLICATION_MESSAGES:
        if needs != Needs.MESSAGES:
            raise forbidden()
        return
    reads = needs in {Needs.READING, Needs.ANY_READER} or (
        connection.scope.get("method") in {"GET", "HEAD", "OPTIONS"} and needs != Needs.WRITING
    )
    if (not reads and not caller.may_write) or (needs == Needs.BACKEND and caller.token.portal):
        raise forbidden()
    if caller.app_id is None or "app_id" in connection.path_params or needs in {Needs.ANY_READER, Needs.OWN}:
        return
    raise forbidden()
