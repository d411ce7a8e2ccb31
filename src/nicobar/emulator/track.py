"""The v2 calls of the Track API: what they answer, and what they do to the emulator's state."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from typing import Annotated, Any

import msgspec
from litestar import Request, Response
from msgspec import Meta

from nicobar.emulator.contract import MAX_BATCH_BYTES, MAX_ITEM_BYTES, Fault, faults
from nicobar.emulator.state import SeenRequest, State
from nicobar.model import Json, Record

# Litestar's request knows its user, its token and its state; there are none here.
Asked = Request[Any, Any, Any]


class Faults(Record):
    """What the next `times` requests meet instead of an answer, or before it (`delay_ms`)."""

    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    retry_after_s: Annotated[int, Meta(ge=0, le=86_400)] | None = None
    delay_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    times: Annotated[int, Meta(ge=0, le=1_000_000)] = 1


class _Work(Record):
    """What became of a request's objects."""

    items: int = 0
    errors: tuple[dict[str, Json], ...] = ()
    refused: int = 0
    duplicates: int = 0


class TrackApi:
    """Answers around `state`; `plan` holds the fault that is switched on, if any."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.plan: list[Faults] = []

    async def take(self, request: Asked, *, batch: bool) -> Response[bytes]:
        body = await request.body()
        fault = await self._meet_fault()
        done, answer = (_Work(), fault) if fault else self._answer(request, body, batch=batch)
        headers = {name: "***" if name == "authorization" else value for name, value in request.headers.items()}
        self._state.note(
            SeenRequest(
                at_ms=time.time_ns() // 1_000_000,
                method=request.method,
                path=request.url.path,
                headers=headers,
                status=answer.status_code or 200,
                items=done.items,
                refused=done.refused,
                duplicates=done.duplicates,
            )
        )
        return answer

    async def _meet_fault(self) -> Response[bytes] | None:
        if not self.plan:
            return None
        fault = self.plan[0]
        self.plan[:] = [msgspec.structs.replace(fault, times=fault.times - 1)] if fault.times > 1 else []
        await asyncio.sleep(fault.delay_ms / 1000)
        if fault.status is None:
            return None
        answer = reply(fault.status, {"meta": {"error": "a fault that was switched on"}})
        if fault.retry_after_s is not None:
            answer.headers["retry-after"] = str(fault.retry_after_s)
        return answer

    def _answer(self, request: Asked, body: bytes, *, batch: bool) -> tuple[_Work, Response[bytes]]:
        if not known(request, self._state):
            return _Work(), unauthorized()
        if len(body) > (MAX_BATCH_BYTES if batch else MAX_ITEM_BYTES):
            return _Work(), _refused("invalid", "", "the request is too large")
        try:
            value: Json = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _Work(), _refused("invalid", "", "the body is not JSON")
        items = (value.get("batch") if isinstance(value, dict) else None) if batch else [value]
        if not isinstance(items, list) or not items:
            return _Work(), _refused("required", "batch", "batch has to be a list that is not empty")
        done = self._apply(items, batch=batch)
        if not done.errors:
            return done, ok()
        return done, reply(207 if batch else 400, {"errors": list(done.errors)})

    def _apply(self, items: list[Json], *, batch: bool) -> _Work:
        """Takes the good ones, lists the others."""
        errors: list[dict[str, Json]] = []
        refused = duplicates = 0
        for index, item in enumerate(items):
            found = list(faults(item))
            if len(msgspec.json.encode(item)) > MAX_ITEM_BYTES:
                found.append(Fault(reason="invalid", field="", message="the item is larger than 32 KB"))
            for one in found:
                where: dict[str, Json] = {"batch_index": index} if batch else {}
                errors.append({**where, "reason": one.reason, "field": one.field, "message": one.message})
            if found:
                refused += 1
            elif isinstance(item, dict):
                duplicates += not self._state.apply(item, int(time.time()))
        return _Work(items=len(items), errors=tuple(errors), refused=refused, duplicates=duplicates)


def known(request: Asked, state: State) -> bool:
    """Whether the credentials are the emulator's. The Go client writes base64 for URLs; both alphabets are taken."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    try:
        given = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True).decode()
    except (binascii.Error, ValueError):
        return False
    return scheme.lower() == "basic" and given == ":".join(state.credentials)


def ok() -> Response[bytes]:
    """The three bytes that were recorded from the live API."""
    return Response(b"{}\n", media_type="application/json; charset=utf-8", status_code=200)


def unauthorized() -> Response[bytes]:
    return reply(401, {"meta": {"error": "Unauthorized request"}})


def reply(status: int, value: Json) -> Response[bytes]:
    return Response(msgspec.json.encode(value), media_type="application/json; charset=utf-8", status_code=status)


def _refused(reason: str, field: str, message: str) -> Response[bytes]:
    return reply(400, {"errors": [{"reason": reason, "field": field, "message": message}]})
