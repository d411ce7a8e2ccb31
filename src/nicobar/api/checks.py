"""Reads a request as strictly as the document says. Litestar turns 0 into false and "1" into a number in bodies too,
and a number in a query into a time.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Any, NamedTuple, get_args

import msgspec
from litestar.handlers.base import BaseRouteHandler

from nicobar.api.errors import Asked, Invalid
from nicobar.errors import Refusal
from nicobar.nesting import MAX_DEPTH_LEVELS, is_deeper

_PLACE = re.compile(r" - at `(?:key in )?\$?([^`]*)`$")
_NUMBER = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", re.IGNORECASE)


class _Expected(NamedTuple):
    """What a handler takes: the type of its body, and the query parameters that are times."""

    body: Any
    times: tuple[str, ...]


async def check_request(request: Asked) -> None:
    """Raises Invalid for what does not fit, Refusal 400 for what is not JSON."""
    expected = _expected(request.route_handler)
    for name in expected.times:
        if _NUMBER.fullmatch(request.query_params.get(name, "")):
            raise Invalid(f"query.{name}", "It is not a time.", "Write it as RFC 3339 does: 2026-03-01T09:30:00Z.")
    body = await request.body()
    if expected.body is None or (not body and NoneType in get_args(expected.body)):
        return
    if is_deeper(body):
        raise Refusal(
            400,
            "body_too_deep",
            f"The body's JSON is nested deeper than {MAX_DEPTH_LEVELS} levels.",
            "Send less nesting.",
        )
    try:
        msgspec.json.decode(body, type=expected.body)
    except msgspec.ValidationError as error:
        place = _PLACE.search(str(error))
        parts = re.split(r"[.\[\]]+", place[1]) if place else []
        loc = ".".join(["body", *(part for part in parts if part)])
        raise Invalid(loc, _PLACE.sub("", str(error))) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refusal(400, "request_invalid", "The body is not JSON.", "Send JSON, in UTF-8.") from error


@cache
def _expected(handler: BaseRouteHandler) -> _Expected:
    fields = handler.parsed_fn_signature.parameters
    times = tuple(
        str(getattr(field.kwarg_definition, "name", None) or name)
        for name, field in fields.items()
        if datetime in {field.annotation, *get_args(field.annotation)}
    )
    return _Expected(fields["data"].annotation if "data" in fields else None, times)
