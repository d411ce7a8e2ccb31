"""Every operation over HTTP is one row: path, parameters, responses and access. Routes, the
check of requests, the OpenAPI document and the tests of access are generated from the rows.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import UnionType
from typing import Any, Generic, TypedDict, TypeVar, Union, Unpack, get_args, get_origin

import msgspec

from nicobar.web.asgi import Message, Send
from nicobar.web.parameters import Signature, signature_of

JSON = "application/json"
_NO_CONTENT = 204
_PARAMETER = re.compile(r"{(\w+)(:\w+)?}")

# Where a request's scope has the path of its row. Logs show this path: in the request's own there may be a secret.
ROUTE_PATH = "nicobar.route_path"

T = TypeVar("T")
# A handler's own parameters are read from its signature.
Handler = Callable[..., Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Response(Generic[T]):
    """A response with more than content: bytes and text are sent unchanged, everything else as JSON. `status`
    defaults to that of its row.
    """

    content: T
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = JSON
    cookies: Sequence[str] = ()


class ResponseSpec(msgspec.Struct, frozen=True):
    """How an operation answers with one of its statuses: the type of the content, None without any."""

    content: Any
    description: str


@dataclass(frozen=True, eq=False, slots=True)
class Operation:
    """A row. `path` has parameters such as `{app_id}` or `{version:int}`; `needs` is what the caller needs beyond
    what the method says; `status` is that of an answer that has none of its own; `responses` describes the others.
    """

    method: str
    path: str
    handler: Handler
    id: str = ""
    summary: str = ""
    tags: Sequence[str] = ()
    needs: StrEnum | None = None
    status: int = 200
    responses: Mapping[int, ResponseSpec] = field(default_factory=dict)
    documented: bool = True

    @property
    def description(self) -> str:
        return " ".join((self.handler.__doc__ or "").split())

    @property
    def plain_path(self) -> str:
        """With the names of the parameters alone, as OpenAPI writes it."""
        return _PARAMETER.sub(r"{\1}", self.path)

    @property
    def path_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in _PARAMETER.findall(self.path))

    def signature(self, given_names: Collection[str]) -> Signature:
        """Raises TypeError for a handler with a parameter that nothing supplies."""
        return signature_of(self.handler, path_names=frozenset(self.path_names), given_names=frozenset(given_names))


class Details(TypedDict, total=False):
    """What a row says beside its method, path and handler."""

    id: str
    summary: str
    tags: Sequence[str]
    needs: StrEnum | None
    status: int
    responses: Mapping[int, ResponseSpec]
    documented: bool


def get(path: str, **details: Unpack[Details]) -> Callable[[Handler], Operation]:
    """Makes a handler the last part of its row."""
    return lambda handler: Operation("GET", path, handler, **details)


def post(path: str, **details: Unpack[Details]) -> Callable[[Handler], Operation]:
    """As `get`; the status defaults to 201."""
    details.setdefault("status", 201)
    return lambda handler: Operation("POST", path, handler, **details)


def put(path: str, **details: Unpack[Details]) -> Callable[[Handler], Operation]:
    """As `get`."""
    return lambda handler: Operation("PUT", path, handler, **details)


def patch(path: str, **details: Unpack[Details]) -> Callable[[Handler], Operation]:
    """As `get`."""
    return lambda handler: Operation("PATCH", path, handler, **details)


def delete(path: str, **details: Unpack[Details]) -> Callable[[Handler], Operation]:
    """As `get`; the status defaults to 204."""
    details.setdefault("status", 204)
    return lambda handler: Operation("DELETE", path, handler, **details)


def content_types(result: Any) -> tuple[Any, ...]:
    """The types that an answer's content can have, by the type that its handler returns."""
    if get_origin(result) is Response:
        (result,) = get_args(result)
    return get_args(result) if isinstance(result, UnionType) or get_origin(result) is Union else (result,)


async def send_response(send: Send, response: Response[object], status: int) -> None:
    """`status` is that of an answer without one."""
    status = response.status or status
    content = response.content
    if isinstance(content, str):
        body = content.encode()
    elif isinstance(content, bytes):
        body = content
    else:
        body = b"" if content is None else msgspec.json.encode(content)
    headers = [(name.encode(), value.encode()) for name, value in response.headers.items()]
    headers += [(b"set-cookie", cookie.encode()) for cookie in response.cookies]
    if status != _NO_CONTENT:
        headers.append((b"content-length", str(len(body)).encode()))
    if body:
        headers.append((b"content-type", response.media_type.encode()))
    start: Message = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
