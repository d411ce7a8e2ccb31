"""Errors as responses: `{"code","detail"}`, and for 422 a `detail` with each invalid field or parameter."""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.errors import (
    ConfigurationError,
    Conflict,
    NicobarError,
    Refusal,
    SandboxError,
    StoreBusy,
    StoreMoved,
    StoreUnavailable,
    UserError,
)
from nicobar.web.api.shapes import ErrorOut, ValidationDetail, ValidationErrorOut
from nicobar.web.asgi import Message
from nicobar.web.operations import Response
from nicobar.web.query_names import shortened

RETRY_AFTER_S = 1


def not_found(what: str, key: str) -> Refusal:
    """The error for an object that does not exist, or that is outside the token's scope."""
    detail = f'{what[0].upper()}{what[1:]} "{shortened(key)}" not found.'
    return Refusal(404, "not_found", detail, "Check the ID and the scope of the token.")


def conflict(detail: str, fix: str = "") -> Refusal:
    return Refusal(409, "conflict", detail, fix)


def forbidden(detail: str, fix: str) -> Refusal:
    return Refusal(403, "forbidden", detail, fix)


class Invalid(NicobarError):
    """A request with an invalid field `loc`, such as `body.url`."""

    def __init__(self, loc: str, detail: str, fix: str = "", *, code: str = "value_error") -> None:
        super().__init__(code, detail, fix)
        self.loc = loc.split(".")


class InvalidRequest(NicobarError):
    """A request with one or more invalid parts."""

    def __init__(self, details: Sequence[ValidationDetail]) -> None:
        super().__init__("validation", " ".join(detail.msg for detail in details), "")
        self.details = list(details)


def render(scope: Message, error: NicobarError) -> Response[ErrorOut | ValidationErrorOut]:  # noqa: ARG001 - a Render
    """The response to a failed request."""
    status, body = answer_to(error)
    headers: dict[str, str] = {}
    if status == 401:  # noqa: PLR2004 - the status that requires this header
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, StoreBusy | StoreUnavailable | SandboxError):
        headers["retry-after"] = str(RETRY_AFTER_S)
    return Response(body, status=status, headers=headers)


def answer_to(error: NicobarError) -> tuple[int, ErrorOut | ValidationErrorOut]:  # noqa: PLR0911 - a response for each kind of error
    """The status and the body for an error."""
    match error:
        case Refusal():
            return error.status, _plain(error)
        case Invalid():
            return 422, _invalid(error, error.loc)
        case InvalidRequest():
            return 422, ValidationErrorOut(code=error.code, detail=error.details)
        case Conflict() | ConfigurationError(code="conflict") | StoreMoved():
            return 409, _plain(error)
        case ConfigurationError() if error.code.endswith("_unknown"):
            return 404, _plain(error)
        case UserError():
            return 422, _invalid(error, ["body"])
        case StoreBusy() | StoreUnavailable() | SandboxError():
            return 503, _plain(error)
        case _:
            return 500, _plain(error)


def _plain(error: NicobarError) -> ErrorOut:
    return ErrorOut(code=error.code, detail=str(error))


def _invalid(error: NicobarError, loc: list[str]) -> ValidationErrorOut:
    return ValidationErrorOut(code="validation", detail=[ValidationDetail(loc=loc, msg=str(error), type=error.code)])
