"""Every error as an answer: `{"code","detail"}`; 422 with a `detail` for each thing that does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

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
from nicobar.observe import log
from nicobar.web.api.shapes import ErrorOut, ValidationDetail, ValidationErrorOut

# Litestar's request knows its user, its token and its state; there are none here.
Asked = Request[Any, Any, Any]
Reply = Response[ErrorOut | ValidationErrorOut]
RETRY_AFTER_S = 1
# Where `check_request` leaves the names that parameters have on the wire, in an ASGI scope.
ALIASES = "nicobar.aliases"
_CODES = {400: "request_invalid", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


def not_found(what: str) -> Refusal:
    """What a thing that is not there is answered with, and one that the token may not see."""
    return Refusal(404, "not_found", f"There is no such {what}.", "Check its id.")


def conflict(detail: str, fix: str = "") -> Refusal:
    return Refusal(409, "conflict", detail, fix)


def forbidden() -> Refusal:
    return Refusal(403, "forbidden", "This token may not do that.", "Use a token with a wider scope.")


class Invalid(NicobarError):
    """A request whose field `loc` (such as `body.url`) does not fit."""

    def __init__(self, loc: str, detail: str, fix: str = "", *, code: str = "value_error") -> None:
        super().__init__(code, detail, fix)
        self.loc = loc.split(".")


class UnknownNames(NicobarError):
    """A request with names that its operation does not have, each with the names that it has."""

    def __init__(self, details: Sequence[ValidationDetail]) -> None:
        super().__init__("unknown_name", " ".join(detail.msg for detail in details), "")
        self.details = list(details)


def answer_to(error: NicobarError) -> tuple[int, ErrorOut | ValidationErrorOut, dict[str, str]]:  # noqa: PLR0911 - an answer for each kind of error
    """The status, the body and the headers that say what an error means to whoever asked."""
    match error:
        case Refusal():
            headers = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
            return error.status, _plain(error), headers
        case Invalid():
            return 422, _invalid(error, error.loc), {}
        case UnknownNames():
            return 422, ValidationErrorOut(code="validation", detail=error.details), {}
        case Conflict() | ConfigurationError(code="conflict") | StoreMoved():
            return 409, _plain(error), {}
        case ConfigurationError() if error.code.endswith("_unknown"):
            return 404, _plain(error), {}
        case UserError():
            return 422, _invalid(error, ["body"]), {}
        case StoreBusy() | StoreUnavailable() | SandboxError():
            return 503, _plain(error), {"retry-after": str(RETRY_AFTER_S)}
        case _:
            return 500, _plain(error), {}


def _plain(error: NicobarError) -> ErrorOut:
    return ErrorOut(code=error.code, detail=str(error))


def _invalid(error: NicobarError, loc: list[str]) -> ValidationErrorOut:
    return ValidationErrorOut(code="validation", detail=[ValidationDetail(loc=loc, msg=str(error), type=error.code)])


def _nicobar_error(request: Asked, error: NicobarError) -> Reply:
    status, body, headers = answer_to(error)
    if status >= 500:  # noqa: PLR2004 - our own failures, which whoever runs Nicobar wants to see
        log.error("request failed", path=request.url.path, code=error.code, detail=error.detail)
    return Response(body, status_code=status, headers=headers)


def _validation(request: Asked, error: ValidationException) -> Reply:
    extra = error.extra if isinstance(error.extra, list) else []
    aliases: Mapping[str, str] = request.scope.get(ALIASES) or {}  # type: ignore[assignment] # a value of ours
    found = [_detail(item, aliases) for item in extra if isinstance(item, Mapping)]
    detail = found or [ValidationDetail(loc=["request"], msg=error.detail, type="value_error")]
    return Response(ValidationErrorOut(code="validation", detail=detail), status_code=422)


def _detail(item: Mapping[str, object], aliases: Mapping[str, str]) -> ValidationDetail:
    key = str(item.get("key") or "")
    key = aliases.get(key, key)
    source = item.get("source")
    return ValidationDetail(
        loc=[str(getattr(source, "value", source) or "body"), *(part for part in key.split(".") if part)],
        msg=str(item.get("message") or ""),
        type="value_error",
    )


def _http_error(request: Asked, error: HTTPException) -> Reply:
    code = _CODES.get(error.status_code, "request_invalid")
    if error.status_code in {404, 405}:
        detail = f"{request.method} {request.url.path}: {error.detail}. The addresses are in the reference, docs/."
    else:
        detail = error.detail
    return Response(
        ErrorOut(code=code, detail=detail), status_code=error.status_code, headers=dict(error.headers or {})
    )


def _surprise(request: Asked, error: Exception) -> Reply:
    log.error("request failed", path=request.url.path, exc_info=error)
    body = ErrorOut(code="internal", detail="Something went wrong here. The log says what.")
    return Response(body, status_code=500)


def encoded(body: ErrorOut | ValidationErrorOut) -> bytes:
    return msgspec.json.encode(body)


HANDLERS: ExceptionHandlersMap = {
    NicobarError: _nicobar_error,
    ValidationException: _validation,
    HTTPException: _http_error,
    Exception: _surprise,
}
