"""Every error as an answer: `{"code","detail"}`; 422 with a `detail` for each invalid part."""

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

RETRY_AFTER_S = 1


def not_found(what: str) -> Refusal:
    """What a thing that is not there is answered with, and one that the token may not see."""
    return Refusal(404, "not_found", f"There is no such {what}.", "Check its id.")


def conflict(detail: str, fix: str = "") -> Refusal:
    return Refusal(409, "conflict", detail, fix)


def forbidden() -> Refusal:
    return Refusal(403, "forbidden", "This token may not do that.", "Use a token with a wider scope.")


class Invalid(NicobarError):
    """A request with an invalid field `loc`, such as `body.url`."""

    def __init__(self, loc: str, detail: str, fix: str = "", *, code: str = "value_error") -> None:
        super().__init__(code, detail, fix)
        self.loc = loc.split(".")


class InvalidRequest(NicobarError):
    """A request in which several things can be wrong."""

    def __init__(self, details: Sequence[ValidationDetail]) -> None:
        super().__init__("validation", " ".join(detail.msg for detail in details), "")
        self.details = list(details)


def render(scope: Message, error: NicobarError) -> Response[ErrorOut | ValidationErrorOut]:  # noqa: ARG001 - a Render
    """The answer to a request that failed."""
    status, body = answer_to(error)
    headers: dict[str, str] = {}
    if status == 401:  # noqa: PLR2004 - the status that asks for this header
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, StoreBusy | StoreUnavailable | SandboxError):
        headers["retry-after"] = str(RETRY_AFTER_S)
    return Response(body, status=status, headers=headers)


def answer_to(error: NicobarError) -> tuple[int, ErrorOut | ValidationErrorOut]:  # noqa: PLR0911 - an answer for each kind of error
    """The status and the body that say what an error means to the caller."""
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
