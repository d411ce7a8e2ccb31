"""The hot path, bare ASGI: `POST /in/{token}`. Everything else goes to the application behind it."""

from __future__ import annotations

from nicobar.errors import Refusal
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.pipeline.receive import Receiver
from nicobar.pipeline.rejected_requests import MAX_EVENT_ID_CHARS, RefusalLog
from nicobar.web.asgi import App, GoneError, Message, Receive, Send, headers_of, plain_path, read_body, send_json

PREFIX = "/in/"


def token_of(path: str) -> str:
    """The token in a source's path. Senders that join URLs may add a slash at the end."""
    return path.removeprefix(PREFIX).rstrip("/")


class Ingress:
    """Accepts webhooks. `max_body_bytes` is checked while the body arrives; `body_timeout_ms` is for all of it."""

    def __init__(
        self,
        receiver: Receiver,
        behind: App,
        metrics: Metrics,
        refusals: RefusalLog,
        *,
        max_body_bytes: int,
        body_timeout_ms: int,
    ) -> None:
        self._receiver = receiver
        self._behind = behind
        self._metrics = metrics
        self._refusals = refusals
        self._max_body_bytes = max_body_bytes
        self._body_timeout_ms = body_timeout_ms

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not plain_path(scope).startswith(PREFIX):
            await self._behind(scope, receive, send)
            return
        try:
            await self._take(scope, receive, send)
        except GoneError:
            self._metrics.refused.labels("disconnected").inc()
        except Refusal as refusal:
            self._metrics.refused.labels(refusal.code).inc()
            await _refuse(send, refusal)

    async def _take(self, scope: Message, receive: Receive, send: Send) -> None:
        source = await self._receiver.source(token_of(plain_path(scope)))
        headers = headers_of(scope)
        try:
            _check_method(scope)
            body = await read_body(
                headers,
                receive,
                max_bytes=self._max_body_bytes,
                timeout_ms=self._body_timeout_ms,
                setting="max_body_bytes",
            )
            appended = await self._receiver.receive(source, headers, body)
        except Refusal as refusal:
            names = source.kind.id_headers
            event_id = next((headers[name] for name in names if name in headers), "")[:MAX_EVENT_ID_CHARS]
            self._refusals.note(source.source.id, refusal, event_id)
            log.warning(
                "rejected",
                source_id=source.source.id,
                code=refusal.code,
                status=refusal.status,
                detail=refusal.reason.without_texts().detail(),
                event_id=event_id,
            )
            raise
        accepted = source.kind.accepted
        if appended.duplicate:
            await send_json(send, accepted.duplicate, {"id": appended.message_id, "duplicate": True})
        else:
            await send_json(send, accepted.new, {"id": appended.message_id})


def _check_method(scope: Message) -> None:
    if scope["method"] != "POST":
        raise Refusal(
            405,
            "method_not_allowed",
            f"Method {scope['method']} is not allowed.",
            "Send webhooks with POST.",
        )


async def _refuse(send: Send, refusal: Refusal) -> None:
    headers = []
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(refusal.retry_after_s).encode()))
    if refusal.status == 405:  # noqa: PLR2004 - the status that asks for this header
        headers.append((b"allow", b"POST"))
    if refusal.status in {408, 413}:
        # The rest of the body is not read.
        headers.append((b"connection", b"close"))
    await send_json(
        send, refusal.status, {"code": refusal.code, "detail": f"{refusal.detail} {refusal.fix}".strip()}, headers
    )
