"""Alerts the operators: with a message through Nicobar itself to the endpoint that they named, and by email if it is
configured. One alert per cause and hour. A problem that returns after an endpoint recovered is a new cause.

The types are those of the public Svix API's operational webhooks, where it has one.
"""

from __future__ import annotations

import asyncio
import hashlib
import smtplib
import ssl
from collections import OrderedDict
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from enum import StrEnum
from urllib.parse import unquote, urlsplit

import msgspec

from nicobar.clock import Clock
from nicobar.errors import StoreError
from nicobar.ids import IdFactory
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.model import ALERT_SOURCE_ID, Endpoint, Json, Message, Record, Source
from nicobar.pipeline.configuration import Configuration
from nicobar.reasons import Reason, reason
from nicobar.store import NewMessage, Queue

HOUR_MS = 3_600_000
MAX_REMEMBERED_CAUSES = 10_000
# Per type and endpoint or source: a handler that puts a name into each error creates one cause per event.
MAX_CAUSES_AN_HOUR = 20
NO_MORE = " (Further alerts are suppressed for this hour. Run `nicobar replay failures` to list all failures.)"
MAX_MAILS_WAITING = 20
MAIL_TIMEOUT_S = 15
_SMTP, _SMTPS = "smtp", "smtps"


class AlertType(StrEnum):
    """What happened. The value is also the type of the alert message."""

    DISABLED = "endpoint.disabled"
    PAUSED = "endpoint.paused"
    FAILING = "endpoint.failing"
    RECOVERED = "endpoint.recovered"
    EXHAUSTED = "message.attempt.exhausted"
    REFUSING = "source.refusing"
    TEST = "nicobar.test"


# Whether an endpoint delivers. Every change is reported, even several within an hour.
_TROUBLE = frozenset({AlertType.DISABLED, AlertType.PAUSED, AlertType.FAILING})
_STATES = _TROUBLE | {AlertType.RECOVERED}
_TITLES = {
    AlertType.DISABLED: "Endpoint disabled",
    AlertType.PAUSED: "Endpoint on hold",
    AlertType.FAILING: "Destination failing",
    AlertType.RECOVERED: "Destination recovered",
    AlertType.EXHAUSTED: "Delivery failed",
    AlertType.REFUSING: "Source rejects requests",
    AlertType.TEST: "Test alert",
}


class Alert(Record):
    """Something that needs attention. `cause` separates the causes of one endpoint or source, `addition` follows the
    reason.
    """

    type: AlertType
    reason: Reason
    endpoint: Endpoint | None = None
    source: Source | None = None
    message_id: str | None = None
    cause: str = ""
    addition: str = ""

    @property
    def text(self) -> str:
        """The text that is sent. Without the reason's values: deleting customer data does not reach other systems."""
        return self.reason.outline() + self.addition

    @property
    def subject_id(self) -> str:
        return self.endpoint.id if self.endpoint else self.source.id if self.source else ""

    @property
    def title(self) -> str:
        """The subject of the email."""
        name = self.endpoint.name if self.endpoint else self.source.name if self.source else ""
        return f"[Nicobar] {_TITLES[self.type]}{': ' if name else ''}{name}"


class Mail(Record):
    """How emails are sent. `url` is smtp://[user:password@]host[:port], which uses STARTTLS if offered, or smtps://…"""

    url: str
    sender: str
    recipients: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Mail(***, {self.sender}, {self.recipients})"


class Told(Record):
    """Where a test alert went. `mail_error` is the kind of error, empty if the mail server accepted the email, None
    if there is no mail server.
    """

    endpoint: Endpoint | None
    mail_error: str | None


class Alerts:
    """Never raises: an alert that cannot be sent is logged. `endpoint_name` is the name or id of the endpoint that
    gets the messages, empty for none; `on_accepted` gets its `seq`.
    """

    def __init__(
        self,
        *,
        queue: Queue,
        configuration: Configuration,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        endpoint_name: str = "",
        mail: Mail | None = None,
        on_accepted: Callable[[Sequence[int]], None] = lambda _seqs: None,
    ) -> None:
        self._queue = queue
        self._configuration = configuration
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._endpoint_name = endpoint_name
        self._mail = mail
        self._on_accepted = on_accepted
        self._hour_of_cause: OrderedDict[str, int] = OrderedDict()
        self._causes: dict[tuple[AlertType, str], tuple[int, int]] = {}
        self._began_ms = clock.now_ms()
        # By endpoint: whether the last alert was a problem, and how often that has changed.
        self._turns: dict[str, tuple[bool, int]] = {}
        self._mails: set[asyncio.Task[str]] = set()

    async def tell(self, alert: Alert) -> None:
        now_ms = self._clock.now_ms()
        cause = f"{alert.type.value}/{alert.subject_id}/{alert.cause}{self._turn(alert)}"
        if not self._is_new(cause, now_ms // HOUR_MS):
            return
        causes = self._count_causes(alert, now_ms // HOUR_MS)
        if causes > MAX_CAUSES_AN_HOUR:
            self._metrics.alerts.labels(alert.type.value, "left_out").inc()
            return
        if causes == MAX_CAUSES_AN_HOUR:
            alert = msgspec.structs.replace(alert, addition=NO_MORE)
        to = self._endpoint()
        if to is not None and alert.endpoint is not None and to.id == alert.endpoint.id:
            to = None  # an endpoint cannot deliver alerts about its own failures
        if to is not None and not await self._keep(alert, cause, to, now_ms):
            return
        self._turns |= self._turned(alert)
        log.warning(
            "alert", alert=alert.type.value, about=alert.subject_id, code=alert.reason.code, reason=alert.text
        )
        self._metrics.alerts.labels(alert.type.value, "made").inc()
        if self._mail is not None:
            self._send_mail(self._mail, alert)

    @property
    def endpoint(self) -> Endpoint | None:
        """The endpoint that gets the messages, if there is one."""
        endpoints = self._configuration.snapshot.endpoints
        return next((item for item in endpoints if self._endpoint_name in {item.id, item.uid, item.name}), None)

    async def test(self, actor: str) -> Told:
        """Sends a test alert everywhere, and waits for the mail server. Raises StoreError."""
        log.info("test alert", actor=actor)
        alert = Alert(type=AlertType.TEST, reason=reason("test", "This is a test alert. No action is needed."))
        to = self._endpoint()
        if to is not None:
            await self._queue.append(self._message(alert, self._ids.new("alert"), to, self._clock.now_ms()))
            self._on_accepted([to.seq])
        return Told(
            endpoint=to, mail_error=None if self._mail is None else await self._deliver_mail(self._mail, alert)
        )

    async def close(self) -> None:
        """Waits for the emails being sent, each of which has a timeout."""
        if self._mails:
            await asyncio.wait(self._mails)

    def is_stray(self, message: Message, endpoint: Endpoint) -> bool:
        """Whether the message is an alert at an endpoint that gets no alerts."""
        if message.source_id != ALERT_SOURCE_ID:
            return False
        to = self.endpoint
        return to is None or to.id != endpoint.id

    async def _keep(self, alert: Alert, cause: str, to: Endpoint, now_ms: int) -> bool:
        """Stores the message for the endpoint; False if that failed or the same alert was sent this hour."""
        try:
            appended = await self._queue.append(self._message(alert, cause, to, now_ms))
        except StoreError as error:
            self._hour_of_cause.pop(cause, None)
            self._metrics.alerts.labels(alert.type.value, "not_kept").inc()
            log.error("alert not stored", alert=alert.type.value, code=error.code, detail=error.detail)
            return False
        if appended.duplicate:  # another process, or this one before its restart
            return False
        self._on_accepted([to.seq])
        return True

    def _turn(self, alert: Alert) -> str:
        """Separates an endpoint's problem from an earlier one in the same hour. The process's start separates its
        turns from an earlier process's; the endpoint's stored state keeps both from sending the same alert.
        """
        turned = self._turned(alert)
        return f"/{self._began_ms}.{turned[alert.subject_id][1]}" if turned else ""

    def _turned(self, alert: Alert) -> dict[str, tuple[bool, int]]:
        """The endpoint's turn with this alert; empty if the alert is not about an endpoint's state."""
        if alert.type not in _STATES:
            return {}
        is_trouble = alert.type in _TROUBLE
        was_trouble, turn = self._turns.get(alert.subject_id, (is_trouble, 0))
        return {alert.subject_id: (is_trouble, turn + (is_trouble != was_trouble))}

    def _is_new(self, cause: str, hour: int) -> bool:
        if self._hour_of_cause.get(cause) == hour:
            return False
        self._hour_of_cause[cause] = hour
        self._hour_of_cause.move_to_end(cause)
        if len(self._hour_of_cause) > MAX_REMEMBERED_CAUSES:
            self._hour_of_cause.popitem(last=False)
        return True

    def _count_causes(self, alert: Alert, hour: int) -> int:
        """The number of causes of the same kind in this hour, including this one."""
        key = (alert.type, alert.subject_id)
        counted_hour, count = self._causes.get(key, (hour, 0))
        count = count + 1 if counted_hour == hour else 1
        self._causes[key] = (hour, count)
        return count

    def _endpoint(self) -> Endpoint | None:
        found = self.endpoint
        if found is None and self._endpoint_name:
            log.error("alert endpoint not found", setting="alert_endpoint", name=self._endpoint_name)
        return found

    def _message(self, alert: Alert, cause: str, to: Endpoint, now_ms: int) -> NewMessage:
        about: dict[str, Json] = {"reason": alert.text, "code": alert.reason.code}
        if alert.endpoint:
            about |= {"endpointId": alert.endpoint.id, "endpointName": alert.endpoint.name}
        if alert.source:
            about |= {"sourceId": alert.source.id, "sourceName": alert.source.name}
        if alert.message_id:
            about["msgId"] = alert.message_id
        of = alert.endpoint or alert.source or to
        digest = hashlib.sha256(cause.encode()).hexdigest()[:32]
        return NewMessage(
            id=self._ids.new("msg"),
            app_id=of.app_id,
            source_id=ALERT_SOURCE_ID,
            event_id=f"alert_{digest}_{now_ms // HOUR_MS}",
            event_type=alert.type.value,
            customer_key=None,
            occurred_at_ms=now_ms,
            accepted_at_ms=now_ms,
            body=msgspec.json.encode({"type": alert.type.value, "data": about}),
            endpoint_seqs=(to.seq,),
        )

    def _send_mail(self, mail: Mail, alert: Alert) -> None:
        if len(self._mails) >= MAX_MAILS_WAITING:
            self._metrics.alerts.labels(alert.type.value, "mail_dropped").inc()
            log.error("alert email not sent", alert=alert.type.value, reason="too many emails are queued")
            return
        task = asyncio.create_task(self._deliver_mail(mail, alert), name="alert email")
        self._mails.add(task)
        task.add_done_callback(self._mails.discard)

    async def _deliver_mail(self, mail: Mail, alert: Alert) -> str:
        """The kind of error, empty for none."""
        try:
            await asyncio.to_thread(send_mail, mail, alert)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            # The server's text may quote the credentials; the kind of error does not.
            self._metrics.alerts.labels(alert.type.value, "mail_failed").inc()
            log.error("alert email not sent", alert=alert.type.value, error=type(error).__name__)
            return type(error).__name__
        self._metrics.alerts.labels(alert.type.value, "mailed").inc()
        return ""


def _text_of_mail(alert: Alert) -> str:
    facts = {
        "Event": alert.type.value,
        "Code": alert.reason.code,
        "Endpoint": alert.endpoint.id if alert.endpoint else None,
        "Source": alert.source.id if alert.source else None,
        "Message": alert.message_id,
    }
    lines = [f"{label}: {value}" for label, value in facts.items() if value]
    return "\n".join([alert.text, "", *lines, "", "Each cause is reported at most once per hour.", ""])


def send_mail(mail: Mail, alert: Alert) -> None:
    """Sends one email. Raises OSError, SMTPException or ValueError."""
    letter = EmailMessage()
    letter["Subject"] = alert.title
    letter["From"] = mail.sender
    letter["To"] = ", ".join(mail.recipients)
    letter.set_content(_text_of_mail(alert))
    url = urlsplit(mail.url)
    if url.scheme not in {_SMTP, _SMTPS} or not url.hostname:
        raise ValueError(url.scheme)
    context = ssl.create_default_context()
    client: smtplib.SMTP
    if url.scheme == _SMTPS:
        client = smtplib.SMTP_SSL(url.hostname, url.port or 465, timeout=MAIL_TIMEOUT_S, context=context)
    else:
        client = smtplib.SMTP(url.hostname, url.port or 25, timeout=MAIL_TIMEOUT_S)
    with client:
        client.ehlo()
        if url.scheme == _SMTP and client.has_extn("starttls"):
            client.starttls(context=context)
            client.ehlo()
        if url.username:
            client.login(unquote(url.username), unquote(url.password or ""))
        client.send_message(letter)
