"""`receive → verify → store`. A returned event is on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import msgspec

from nicobar import facts
from nicobar.clock import Clock
from nicobar.errors import Refusal, StoreBusy, StoreError
from nicobar.ids import IdFactory
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.model import IDEMPOTENCY_KEY_PREFIX, Event, Json, Record, Source
from nicobar.pipeline.alert_types import Alert, AlertType
from nicobar.pipeline.alerts import Alerts
from nicobar.pipeline.configuration import API_SOURCE_ID, Configuration, OpenSource, Unusable, mode_text
from nicobar.pipeline.subscriptions import account_of
from nicobar.pipeline.unreadable import read_event
from nicobar.reasons import reason
from nicobar.sources import SourceKind
from nicobar.store import Appended, Audited, NewMessage, Queue

# Senders retry on their own schedule; those that read Retry-After may retry soon.
RETRY_AFTER_S = 5
REFUSED_TO_TELL = 3
# A customer's email or name is stored with the message up to this length.
MAX_KEPT_CHARS = 500
MAX_ENCODING_CHARS = 50


class Posted(Record):
    """An event posted to the API, with its body unchanged. `event_id` defaults to one made of the `idempotency_key`,
    or else to the message's id. `only` is the `seq` of the single endpoint that gets the event, whatever its filter;
    by default, all subscribed endpoints do. `id` is the message's, if the caller has created one.
    """

    app_id: str
    event_type: str
    body: bytes
    event_id: str | None = None
    idempotency_key: str = ""
    channels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    params: Json = None
    deliver_at_ms: int | None = None
    only: int | None = None
    id: str | None = None


class _Read(Record):
    """An event, as its source's kind reads it from a body when it is accepted."""

    kind: SourceKind
    event: Event
    body: bytes
    at_ms: int
    mode: str


class Receiver:
    """Accepts events from sources and from the API. `on_accepted` gets the endpoints that have new work."""

    def __init__(
        self,
        *,
        configuration: Configuration,
        queue: Queue,
        ids: IdFactory,
        clock: Clock,
        metrics: Metrics,
        alerts: Alerts,
        on_accepted: Callable[[Sequence[int]], None],
    ) -> None:
        self._configuration = configuration
        self._queue = queue
        self._ids = ids
        self._clock = clock
        self._metrics = metrics
        self._alerts = alerts
        self._on_accepted = on_accepted
        self._refused_in_a_row: dict[str, int] = {}

    async def source(self, token: str) -> OpenSource:
        """Raises Refusal 404 for an unknown token, 503 for a source that cannot be opened and while the catalogue
        cannot be read.
        """
        try:
            found = await self._configuration.source(token)
        except StoreError as error:
            raise unavailable(error) from error
        if found is None:
            raise Refusal(
                404,
                "unknown_token",
                "There is no source at this URL.",
                "Copy the source's URL from its page in Nicobar, or from the output of `nicobar apply`.",
            )
        if isinstance(found, Unusable):
            log.error("event not stored", source_id=found.id, code=found.error.code, detail=found.error.detail)
            raise Refusal(
                503,
                "source_unavailable",
                "This source's signing secrets cannot be read. Nothing was accepted.",
                "Retry later. Operators: run `nicobar doctor` to find the cause.",
                retry_after_s=RETRY_AFTER_S,
            )
        return found

    async def receive(self, source: OpenSource, headers: Mapping[str, str], body: bytes) -> Appended:
        """`headers` have lower-case names. A signed event that cannot be read is stored, too. Raises Refusal 401 or
        409 for a request that is rejected, 503 when it could not be stored.
        """
        now_ms = self._clock.now_ms()
        started_ms = self._clock.steady_ms()
        try:
            verified = source.kind.verify(headers, body, source.live_secrets(now_ms), now_ms)
        except Refusal as refusal:
            if refusal.status == 401:  # noqa: PLR2004 - the status of an invalid signature
                await self._note_refused(source.source, refusal)
            raise _of_compressed(refusal, headers) from refusal
        if self._refused_in_a_row.pop(source.source.id, 0) >= REFUSED_TO_TELL:
            why = reason("source_accepting", "The source accepts requests again.")
            await self._alerts.tell(Alert(type=AlertType.ACCEPTING, source=source.source, reason=why))
        event, unread = read_event(source.kind, headers, body)
        # An event whose type is not known may be for any endpoint.
        mode = mode_text(source.source)
        endpoint_seqs = (
            self._configuration.wanting(source.source.app_id, event.event_type, account=account_of(event, mode))
            if unread is None
            else self._configuration.enabled(source.source.app_id, mode)
        )
        message = self._message(
            self._ids.new("msg"),
            source.source.app_id,
            source.source.id,
            verified.event_id,
            _Read(kind=source.kind, event=event, body=body, at_ms=now_ms, mode=mode),
            endpoint_seqs,
        )
        try:
            appended = await self._queue.append(message)
        except StoreError as error:
            raise unavailable(error) from error
        if appended.taken:
            raise Refusal(
                409,
                "event_id_taken",
                "Event ID %(event_id)s is already used by message %(message_id)s from another source. "
                "This event was not stored.",
                "Use ids that are unique across senders, such as UUIDs.",
                event_id=verified.event_id,
                message_id=appended.message_id,
            )
        self._metrics.receive_seconds.observe((self._clock.steady_ms() - started_ms) / 1000)
        outcome = "duplicate" if appended.duplicate else "accepted" if unread is None else "unreadable"
        self._metrics.received.labels(source.source.name, outcome).inc()
        log.info(
            outcome,
            message_id=appended.message_id,
            source_id=source.source.id,
            event_id=verified.event_id,
            event_type=event.event_type,
        )
        if appended.revised:
            log.warning("other body stored", message_id=appended.message_id, event_id=verified.event_id)
        if unread is not None:
            log.warning(
                "event not readable",
                message_id=appended.message_id,
                code=unread.code,
                detail=unread.without_texts().detail(),
            )
        if not appended.duplicate:
            self._on_accepted(endpoint_seqs)
        return appended

    def subscribed(self, posted: Posted) -> tuple[int, ...]:
        """The endpoints that would get an event of the API."""
        return self._read(posted)[1]

    def _read(self, posted: Posted) -> tuple[_Read, tuple[int, ...]]:
        """An event of the API, and the endpoints that get it."""
        kind = self._configuration.application_kind(posted.app_id)
        mode = self._configuration.application_mode(posted.app_id, kind.kind)
        event = kind.read_body(posted.event_type, posted.body)
        read = _Read(kind=kind, event=event, body=posted.body, at_ms=self._clock.now_ms(), mode=mode)
        if posted.only is not None:
            return read, (posted.only,)
        account = account_of(event, mode)
        return read, self._configuration.wanting(posted.app_id, posted.event_type, posted.channels, account)

    async def take(self, posted: Posted, *, audit_line: Audited | None = None) -> NewMessage:
        """Stores an event of the API and its line in the audit log. Raises Refusal 409 for an event id that the
        application already has, 503 when the event could not be stored.
        """
        read, endpoint_seqs = self._read(posted)
        message_id = posted.id or self._ids.new("msg")
        event_id = event_id_of(posted) or message_id
        message = self._message(message_id, posted.app_id, API_SOURCE_ID, event_id, read, endpoint_seqs)
        message = msgspec.structs.replace(
            message,
            channels=posted.channels,
            tags=posted.tags,
            params=posted.params,
            deliver_at_ms=posted.deliver_at_ms,
        )
        try:
            appended = await self._queue.append(message, audit_line=audit_line)
        except StoreError as error:
            raise unavailable(error) from error
        if appended.duplicate:
            raise event_id_exists(posted, appended.message_id)
        self._metrics.received.labels(API_SOURCE_ID, "accepted").inc()
        log.info(
            "accepted",
            message_id=message.id,
            source_id=API_SOURCE_ID,
            event_id=message.event_id,
            event_type=message.event_type,
        )
        self._on_accepted(message.endpoint_seqs)
        return message

    def _message(  # noqa: PLR0917 - what an event is stored with
        self,
        message_id: str,
        app_id: str,
        source_id: str,
        event_id: str,
        read: _Read,
        endpoint_seqs: tuple[int, ...],
    ) -> NewMessage:
        event, customer = read.event, read.event.customer
        stated = facts.state(
            read.kind.kind,
            event,
            event_id=event_id,
            body=read.body,
            accepted_at_ms=read.at_ms,
            mode=read.mode,
        )
        if stated.is_ahead:
            log.warning("event from the future", message_id=message_id, event_id=event_id)
        return NewMessage(
            id=message_id,
            app_id=app_id,
            source_id=source_id,
            event_id=event_id,
            event_type=event.event_type,
            customer_key=customer.key if customer else None,
            customer_email=_kept(customer.email) if customer else None,
            customer_name=_kept(customer.name) if customer else None,
            occurred_at_ms=read.at_ms if event.occurred_at_ms is None else event.occurred_at_ms,
            accepted_at_ms=read.at_ms,
            body=read.body,
            endpoint_seqs=endpoint_seqs,
            about=stated.about,
            facts=stated.facts,
            rules=self._configuration.identity_rules(endpoint_seqs),
        )

    async def _note_refused(self, source: Source, refusal: Refusal) -> None:
        """One invalid signature may come from anyone; several in a row mean that the secret is wrong."""
        in_a_row = self._refused_in_a_row[source.id] = self._refused_in_a_row.get(source.id, 0) + 1
        if in_a_row >= REFUSED_TO_TELL:
            why = reason(
                "source_refusing",
                "The last %(count)s requests were rejected: %(reason)s",
                count=in_a_row,
                reason=refusal.reason,
            )
            await self._alerts.tell(Alert(type=AlertType.REFUSING, source=source, reason=why))


def _of_compressed(refusal: Refusal, headers: Mapping[str, str]) -> Refusal:
    """The same, with the likely cause of a signature that does not match a compressed body."""
    encoding = headers.get("content-encoding", "identity").strip().lower()[:MAX_ENCODING_CHARS]
    if refusal.code != "signature_mismatch" or encoding in {"", "identity"}:
        return refusal
    return Refusal(
        refusal.status,
        refusal.code,
        "The signature does not match the body, which has content-encoding %(encoding)s. The signature is checked "
        "over the bytes that were sent.",
        "Turn off compression at the sender.",
        encoding=encoding,
    )


def _kept(text: str | None) -> str | None:
    """A customer's email or name as it is stored with the message; None if it stays in the body alone, which has room
    for any text.
    """
    if text is None:
        return ""
    return None if len(text) > MAX_KEPT_CHARS or "\0" in text else text


def event_id_of(posted: Posted) -> str | None:
    """The id by which the event is recognized when it is posted again; None if it has none. The key of the request
    names the event even after a restore, and in another installation.
    """
    if posted.event_id or not posted.idempotency_key:
        return posted.event_id
    return IDEMPOTENCY_KEY_PREFIX + hashlib.sha256(posted.idempotency_key.encode("utf-8", "replace")).hexdigest()


def event_id_exists(posted: Posted, message_id: str) -> Refusal:
    if posted.event_id is None:
        return Refusal(
            409,
            "idempotency_key_reused",
            "The idempotency-key was already used for message %(message_id)s. Nothing was stored.",
            "Use a new key for each message.",
            message_id=message_id,
        )
    return Refusal(
        409,
        "event_id_exists",
        "Event ID %(event_id)s is already used by message %(message_id)s. Nothing was stored.",
        "Use a new event ID, or omit it.",
        event_id=posted.event_id,
        message_id=message_id,
    )


def unavailable(error: StoreError) -> Refusal:
    """The answer to a sender whose event could not be stored. The log has the store's own error."""
    log.error("event not stored", code=error.code, detail=error.detail, fix=error.fix)
    return Refusal(
        503,
        "too_busy" if isinstance(error, StoreBusy) else "store_unavailable",
        "The event could not be stored. Nothing was accepted.",
        "Retry.",
        retry_after_s=RETRY_AFTER_S,
    )
