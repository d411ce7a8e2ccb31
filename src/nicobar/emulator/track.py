"""The Track API over HTTP, bare ASGI: paths with encoded slashes, odd bodies and reset connections included."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Sequence
from urllib.parse import parse_qs, unquote, unquote_to_bytes

import msgspec

from nicobar.emulator import v1
from nicobar.emulator.contract import MAX_BATCH_BYTES, MAX_ITEM_BYTES, Mode, Problem, invalid, problems, required
from nicobar.emulator.faults import Fault, Faults, Reset
from nicobar.emulator.items import kept
from nicobar.emulator.state import SeenRequest, State
from nicobar.emulator.workspace import Identifiers, in_path
from nicobar.errors import Refusal
from nicobar.model import Json, Record
from nicobar.nesting import is_deeper
from nicobar.web.asgi import ABORT, GoneError, Message, Receive, Send, headers_of, read_body, send_body

BODY_TIMEOUT_MS = 30_000
PREFIXES = ("/auth", "/api/", "/unsubscribe/")
REGIONS = {"us": "track.customer.io", "eu": "track-eu.customer.io"}
# Recorded from the live API: https://github.com/customerio/customerio-node, its fixtures.
_HEADERS = [
    (b"content-type", b"application/json; charset=utf-8"),
    (b"cache-control", b"no-cache, no-store, must-revalidate, max-age=0"),
    (b"access-control-allow-origin", b"*"),
    (b"status", b"200 OK"),
    (b"via", b"1.1 google"),
]
_REJECTED_ON_PURPOSE = invalid("name", "a configured fault rejects this item")


class _Answer(Record):
    """`invented`: only the shape is documented; the text is our own."""

    status: int
    body: bytes = b"{}\n"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    items: int = 0
    refused: int = 0
    duplicates: int = 0
    invented: bool = False
    ignored: str = ""


class _Request(Record):
    """A request. `path` is still percent-encoded; `segments` are decoded one by one."""

    method: str
    path: str
    segments: tuple[str, ...]
    query: dict[str, list[str]]
    authorization: str
    body: bytes


class TrackApi:
    """The Track API on `state`, with the configured `faults`, checking in `mode`."""

    def __init__(self, state: State, *, region: str) -> None:
        self._state = state
        self._region = region
        self.faults = Faults()
        self.mode = Mode.STRICT

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        path = scope["raw_path"].decode("latin-1")
        request: _Request | None = None
        fault = None
        try:
            body = await read_body(headers, receive, max_bytes=2 * MAX_BATCH_BYTES, timeout_ms=BODY_TIMEOUT_MS)
        except GoneError:
            return
        except Refusal as refusal:
            answer = _oops(408 if refusal.status == 408 else 400, refusal.detail)  # noqa: PLR2004 - too slow
        else:
            request = _Request(
                method=scope["method"],
                path=path,
                segments=tuple(unquote(segment) for segment in path.split("/")[1:]),
                query=parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True),
                authorization=headers.get("authorization", ""),
                body=body,
            )
            fault = self.faults.next()
            if fault is not None:
                await asyncio.sleep(fault.delay_ms / 1000)
            answer = self._answer(request, fault)
        self._note(scope["method"], path, headers, answer)
        if fault is not None and fault.reset is not None:
            scope["extensions"][ABORT]()
            return
        await send_body(send, answer.status, answer.body, [*_success_headers(answer), *answer.headers])

    def _note(self, method: str, path: str, headers: dict[str, str], answer: _Answer) -> None:
        shown = {name: "***" if name == "authorization" else value for name, value in headers.items()}
        self._state.note(
            SeenRequest(
                at_ms=int(self._state.now() * 1000),
                method=method,
                path=path,
                headers=shown,
                status=answer.status,
                items=answer.items,
                refused=answer.refused,
                duplicates=answer.duplicates,
                invented=answer.invented,
                ignored=answer.ignored,
            )
        )

    def _answer(self, request: _Request, fault: Fault | None) -> _Answer:  # noqa: PLR0911 - one a call
        if fault is not None and (faulty := _faulty(request, fault)) is not None:
            return faulty
        if _needs_credentials(request) and not self._knows(request.authorization):
            return _oops(401, "Unauthorized request", invented=False)
        match (request.method, *request.segments):
            case ("GET", "auth"):
                return _Answer(status=200)
            case ("GET", "api", "v1", "accounts", "region"):
                where: Json = {"url": f"https://{REGIONS[self._region]}", "region": self._region, "environment_id": 1}
                return _Answer(status=200, body=msgspec.json.encode(where))
            case ("POST", "unsubscribe", delivery) if delivery:
                return _Answer(status=200)
            case ("POST", "api", "v2", "entity" | "batch" as kind):
                return self._v2(request.body, fault, batch=kind == "batch")
            case (_, "api", "v1", *segments):
                if not _is_encoded(request.path):
                    return _oops(400, "the path is not percent-encoded UTF-8")
                return self._v1(request, segments)
            case _:
                return _oops(404, f"there is no {request.method} {request.path[:200]}")

    def _v2(self, body: bytes, fault: Fault | None, *, batch: bool) -> _Answer:
        if len(body) > (MAX_BATCH_BYTES if batch else MAX_ITEM_BYTES):
            return _refused([invalid("", f"the request is larger than {MAX_BATCH_BYTES if batch else '32 KB'}")])
        if is_deeper(body):
            return _refused([invalid("", "the body is nested too deeply")])
        try:
            value: Json = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _refused([invalid("", "the body is not JSON")])
        items = (value.get("batch") if isinstance(value, dict) else None) if batch else [value]
        if not isinstance(items, list) or not items:
            return _refused([required("batch")])
        return self._take(items, fault, batch=batch)

    def _take(self, items: list[Json], fault: Fault | None, *, batch: bool) -> _Answer:
        """Accepts the valid items, lists the others."""
        errors: list[Json] = []
        refused = duplicates = 0
        invented = False
        for index, item in enumerate(items):
            found = list(problems(item, self.mode))
            if fault is not None and fault.refuse_item == index:
                found.append(_REJECTED_ON_PURPOSE)
            errors += [{**({"batch_index": index} if batch else {}), **_entry(item)} for item in found]
            refused += bool(found)
            invented |= not all(problem.is_live for problem in found)
            if not found and isinstance(item, dict):
                duplicates += not self._state.accept(item, _anonymous_id(item))
        status = 200 if not errors else 207 if batch else 400
        return _Answer(
            status=(fault.status if fault else None) or status,
            body=msgspec.json.encode({"errors": errors}) if errors else b"{}\n",
            items=len(items),
            refused=refused,
            duplicates=duplicates,
            invented=invented,
        )

    def _v1(self, request: _Request, segments: Sequence[str]) -> _Answer:
        if is_deeper(request.body):
            return _oops(400, "the body is nested too deeply")
        try:
            body: Json = msgspec.json.decode(request.body) if request.body.strip() else {}
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _oops(400, "the body is not JSON")
        call = v1.read(request.method, segments, request.query, body, self.mode)
        if call is None:
            return _oops(404, f"there is no {request.method} {request.path[:200]}")
        if call.problems:
            return _refused_v1(call.problems)
        ignored = ""
        if call.segment is not None and self._state.workspace.identifiers is Identifiers.EMAIL_OR_ID:
            # By the description of the two calls. Their answer then is not documented; here it is 200.
            ignored = "manual segments are not supported in workspaces that identify people by email or id"
        elif call.segment is not None:
            number, adds, names = call.segment
            self._state.put_in_segment(number, names, adds=adds)
        duplicates = sum(
            not self._state.accept(self._from_path(item, segments), call.anonymous_id) for item in call.items
        )
        body_bytes = b"" if call.status == 204 else b"{}\n"  # noqa: PLR2004 - no content
        return _Answer(status=call.status, body=body_bytes, items=1, duplicates=duplicates, ignored=ignored)

    def _from_path(self, item: dict[str, Json], segments: Sequence[str]) -> dict[str, Json]:
        """The kind of an identifier in a path depends on the workspace."""
        if segments[0] != "customers":
            return item
        return {**item, "identifiers": in_path(item["identifiers"], self._state.workspace)}

    def _knows(self, authorization: str) -> bool:
        """Whether the credentials are correct. The Go client uses URL-safe base64; both alphabets are accepted."""
        scheme, _, text = authorization.partition(" ")
        try:
            given = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True).decode()
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and given == ":".join(self._state.credentials)


def _is_encoded(path: str) -> bool:
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return False
    return re.search(r"%(?![0-9A-Fa-f]{2})", path) is None


def _needs_credentials(request: _Request) -> bool:
    """Delivery reports come from phones and email clients, which have no credentials."""
    return request.segments not in {("api", "v1", "metrics"), ("api", "v1", "push", "events")} and (
        request.segments[0] != "unsubscribe"
    )


def _faulty(request: _Request, fault: Fault) -> _Answer | None:
    """The response of a fault instead of the real one, if any."""
    if fault.reset is Reset.BEFORE:
        return _Answer(status=0, invented=True)
    if fault.status is None or fault.refuse_item is not None:
        return None
    headers: list[tuple[bytes, bytes]] = []
    if fault.retry_after_s is not None:
        headers.append((b"retry-after", str(fault.retry_after_s).encode()))
    if fault.status in range(300, 400):
        location = fault.location or f"https://{REGIONS['eu']}{request.path}"
        headers.append((b"location", location.encode("ascii", "replace")))
    if fault.status in range(200, 300):
        answer = _refused([_REJECTED_ON_PURPOSE])
    else:
        answer = _oops(fault.status, "a fault that was switched on")
    body = answer.body if fault.body is None else fault.body.encode()
    return msgspec.structs.replace(answer, status=fault.status, headers=tuple(headers), body=body)


def _anonymous_id(item: dict[str, Json]) -> str | None:
    """The specification of v2 has no anonymous people, but other senders' calls show that v2 accepts them."""
    identifiers = item.get("identifiers")
    given = identifiers.get("anonymous_id") if isinstance(identifiers, dict) else None
    return kept(given) if given is not None and item.get("type") == "person" else None


def _success_headers(answer: _Answer) -> list[tuple[bytes, bytes]]:
    return _HEADERS if answer.status in range(200, 300) else _HEADERS[:1]


def _oops(status: int, text: str, *, invented: bool = True) -> _Answer:
    return _Answer(status=status, body=msgspec.json.encode({"meta": {"error": text}}), invented=invented)


def _refused(found: Sequence[Problem]) -> _Answer:
    body = msgspec.json.encode({"errors": [_entry(item) for item in found]})
    return _Answer(status=400, body=body, items=1, refused=1, invented=True)


def _refused_v1(found: Sequence[Problem]) -> _Answer:
    """One text is `error`, several are `errors`: https://docs.customer.io/journeys/invalid-api-requests, and answers
    that other senders recorded.
    """
    texts: list[Json] = [problem.v1 or f"{problem.field}: {problem.message}" for problem in found]
    meta: Json = {"error": texts[0]} if len(texts) == 1 else {"errors": texts}
    invented = not all(problem.v1 for problem in found)
    return _Answer(status=400, body=msgspec.json.encode({"meta": meta}), items=1, refused=1, invented=invented)


def _entry(problem: Problem) -> dict[str, Json]:
    return {"reason": problem.reason, "field": problem.field, "message": problem.message}
