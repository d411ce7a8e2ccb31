"""Who asks: bearer tokens, and what each may do. What a token may not see is answered as what is not there."""

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

CALLER = "nicobar.caller"  # where the caller stands in an ASGI scope
_BEARER = "bearer "


class Needs(StrEnum):
    """What an operation needs beyond what its method and its path say; the `needs` of its row.

    Without it, GET needs a token that may read and everything else one that may write; a path without an application
    needs one for all applications.
    """

    NOTHING = "nothing"  # not even a token
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
        raise unauthenticated()
    token = await live_token(access, uses, given[len(_BEARER) :].strip(), now_ms)
    if token is None:
        raise unauthenticated()
    return Caller(token=token)


def unauthenticated() -> Refusal:
    return Refusal(
        401,
        "authentication_failed",
        "The request carries no token that is valid.",
        "Send the header Authorization: Bearer TOKEN; nicobar token create NAME makes one.",
    )


def caller_in(scope: Message) -> Caller | None:
    """Whose request it is; None for an operation that needs no token."""
    caller = scope.get(CALLER)
    return caller if isinstance(caller, Caller) else None


def check_access(caller: Caller, operation: Operation) -> None:
    """Raises Refusal 403 for what no thing's existence decides: the scope of the token and the kind of operation."""
    needs = operation.needs
    if needs is Needs.SELF:
        return
    if caller.token.scope is Scope.APPLICATION_MESSAGES:
        if needs is not Needs.MESSAGES:
            raise forbidden()
        return
    reads = needs in {Needs.READING, Needs.ANY_READER} or (
        operation.method in {"GET", "OPTIONS"} and needs is not Needs.WRITING
    )
    if (not reads and not caller.may_write) or (needs is Needs.BACKEND and caller.token.portal):
        raise forbidden()
    if caller.app_id is None or "app_id" in operation.path_names or needs in {Needs.ANY_READER, Needs.OWN}:
        return
    raise forbidden()
