"""Alerts the operators: by the targets that they have set, by email if it is configured, and with a message through
Nicobar itself to the endpoint that they named. One alert per cause and hour, whichever process sees it. A problem
that returns after its end was reported is a new cause.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from nicobar.clock import Clock
from nicobar.connectors import Transport
from nicobar.crypto import Vault
from nicobar.errors import StoreError, StoreUnavailable
from nicobar.ids import IdFactory
from nicobar.logs import log
from nicobar.metrics import Metrics
from nicobar.model import ALERT_SOURCE_ID, AlertResult, AlertTarget, Endpoint, Message, Record
from nicobar.pipeline.alert_mail import Mail
from nicobar.pipeline.alert_outbox import Outbox, Send
from nicobar.pipeline.alert_sending import Sending
from nicobar.pipeline.alert_types import ENDS, NO_MORE, OF_ONE_PROCESS, Alert, AlertType
from nicobar.pipeline.configuration import Configuration
from nicobar.reasons import Reason, reason
from nicobar.store import AlertLog, NewMessage, Queue

HOUR_MS = 3_600_000
# How long a process that starts knows which problems were reported before.
KNOWN_MS = 7 * 24 * HOUR_MS
MAX_REMEMBERED_CAUSES = 10_000
# Per type and endpoint or source: a handler that puts a name into each error creates one cause per event.
MAX_CAUSES_AN_HOUR = 20
# A database that hangs must not keep an alert about it.
STORE_TIMEOUT_MS = 2_000
# The ids of the recipients in the settings, beside the targets' own.
MAIL_ID, ENDPOINT_ID = "alert_mail_to", "alert_endpoint"

T = TypeVar("T")


class AlertStore(Queue, AlertLog, Protocol):
    """What alerts need of the store."""


class Told(Record):
    """Where a test alert was sent. `mail` is the result of the email, None if there is no mail server."""

    endpoint: Endpoint | None
    mail: AlertResult | None


class Alerts:
    """Never raises: an alert that cannot be sent is logged. `endpoint_name` is the name or id of the endpoint that
    gets the messages, empty for none; `on_accepted` gets its `seq`. `transport` sends to targets that are URLs.
    """

    def __init__(
        self,
        *,
        store: AlertStore,
        configuration: Configuration,
        vault: Vault,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        transport: Transport | None = None,
        endpoint_name: str = "",
        mail: Mail | None = None,
        on_accepted: Callable[[Sequence[int]], None] = lambda _seqs: None,
    ) -> None:
        self._store = store
        self._configuration = configuration
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._endpoint_name = endpoint_name
        self._mail = mail
        self._sending = Sending(vault, clock, transport, mail)
        self._on_accepted = on_accepted
        self._hour_of_cause: OrderedDict[str, int] = OrderedDict()
        self._causes: dict[tuple[AlertType, str], tuple[int, int]] = {}
        self._began_ms = clock.now_ms()
        # By kind of problem and what has it: whether the last alert was a problem, and how often that has changed.
        self._turns: dict[tuple[AlertType, str], tuple[bool, int]] = {}
        self._under_way: set[asyncio.Task[Any]] = set()
        self._stored_results: dict[str, AlertResult] = {}
        self.outbox = Outbox(clock, metrics)
        self._targets = self._current_targets()
        configuration.on_change(self._follow_targets)

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
        alert_id = f"alert_{hashlib.sha256(cause.encode()).hexdigest()[:32]}_{now_ms // HOUR_MS}"
        self._turns |= self._turned(alert)
        if not await self._is_first(alert, cause, now_ms):
            return
        log.warning(
            "alert", alert=alert.type.value, about=alert.subject_id, code=alert.reason.code, reason=alert.text
        )
        self._metrics.alerts.labels(alert.type.value, "made").inc()
        for target in self._configuration.snapshot.alert_targets:
            if not target.alert_types or alert.type.value in target.alert_types:
                self.outbox.post(target.id, alert, self._later_sender(target.id, alert_id))
        if self._mail is not None and self._mail.recipients:
            self.outbox.post(MAIL_ID, alert, self._sending.by_mail(self._mail.recipients))
        await self._send_message(alert, alert_id)

    async def tell_sent_again(self, endpoint: Endpoint, message_seqs: Sequence[int]) -> None:
        """Tells that a delivery which had failed was sent, if one of these had: of many, one in an hour."""
        hour = self._clock.now_ms() // HOUR_MS
        if self._causes.get((AlertType.ATTEMPT_RECOVERED, endpoint.id), (None, 0))[0] == hour:
            return
        try:
            message_id = await self._within_limit(self._store.failed_before(endpoint.seq, message_seqs))
        except StoreError as error:
            log.error("earlier attempts not read", endpoint_id=endpoint.id, code=error.code, detail=error.detail)
            return
        if message_id is not None:
            why = reason("attempt_recovered", "A delivery that had failed was sent after all.")
            about = Alert(type=AlertType.ATTEMPT_RECOVERED, endpoint=endpoint, reason=why, message_id=message_id)
            await self.tell(about)

    @property
    def has_mail(self) -> bool:
        """Whether a mail server is configured."""
        return self._mail is not None

    @property
    def endpoint(self) -> Endpoint | None:
        """The endpoint that gets the messages, if there is one."""
        endpoints = self._configuration.snapshot.endpoints
        return next((item for item in endpoints if self._endpoint_name in {item.id, item.uid, item.name}), None)

    async def test(self, actor: str) -> Told:
        """Sends a test alert to the recipients in the settings, and waits for the mail server. Raises StoreError."""
        log.info("test alert", actor=actor)
        to = self._endpoint()
        if to is not None:
            message = self._message(_TEST, self._ids.new("alert"), to, self._clock.now_ms())
            await self._store.append(message)
            self._on_accepted([to.seq])
        mail = self._mail
        if mail is None or not mail.recipients:
            return Told(endpoint=to, mail=None)
        await self.outbox.send_now(MAIL_ID, _TEST, self._sending.by_mail(mail.recipients))
        await self.keep_results()
        return Told(endpoint=to, mail=self.outbox.results[MAIL_ID])

    async def test_target(self, target: AlertTarget) -> AlertResult:
        """Sends a test alert to one target, once, and waits for the result. If it was sent, what waits is, too."""
        sender = self._sending.to_target(target, self._ids.new("alert"))
        if not await self.outbox.send_now(target.id, _TEST, sender):
            self.outbox.hasten(target.id)
        await self.keep_results()
        return self.outbox.results[target.id]

    async def results(self) -> Mapping[str, AlertResult]:
        """How the latest alert to each target ended, whichever process sent it. Raises StoreError."""
        found = dict(await self._store.alert_results())
        for target_id, result in self.outbox.results.items():
            if target_id not in found or found[target_id].at_ms < result.at_ms:
                found[target_id] = result
        return found

    async def latest(self) -> Mapping[str, str]:
        """The latest alert about each problem, whichever process sent it, for `ends`. Raises StoreError."""
        return await self._within_limit(self._store.latest_alerts())

    @staticmethod
    def ends(end: Alert, latest: Mapping[str, str]) -> bool:
        """Whether the latest alert about a problem was not about its end."""
        key, content = _problem(end)
        return latest.get(key, content) != content

    async def keep_results(self) -> None:
        """Stores the latest results; those that cannot be stored are stored next time."""
        for target_id, result in list(self.outbox.results.items()):
            if self._stored_results.get(target_id) == result:
                continue
            try:
                await self._within_limit(self._store.put_alert_result(target_id, result))
            except StoreError as error:
                log.error("alert result not stored", target_id=target_id, code=error.code, detail=error.detail)
                return
            self._stored_results[target_id] = result

    async def close(self) -> None:
        """Waits for the alerts being sent, within a time limit."""
        self._configuration.forget(self._follow_targets)
        await self.outbox.close()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=STORE_TIMEOUT_MS / 1000)

    def is_stray(self, message: Message, endpoint: Endpoint) -> bool:
        """Whether the message is an alert at an endpoint that gets no alerts."""
        if message.source_id != ALERT_SOURCE_ID:
            return False
        to = self.endpoint
        return to is None or to.id != endpoint.id

    async def _is_first(self, alert: Alert, cause: str, now_ms: int) -> bool:
        """Whether no other process has sent this alert; True if the database does not say so in time. Of a problem
        that ends, the latest alert counts, whenever it began.
        """
        if alert.family in ENDS and alert.type not in OF_ONE_PROCESS:
            key, content = _problem(alert)
        else:
            key, content = _key(cause), str(now_ms // HOUR_MS)
        taking = self._store.take_alert(
            key,
            content,
            now_ms=now_ms,
            again_before_ms=now_ms - HOUR_MS,
            forget_before_ms=now_ms - KNOWN_MS,
        )
        try:
            return await self._within_limit(taking)
        except StoreError as error:
            log.error("alert not compared with those of other processes", code=error.code, detail=error.detail)
            return True

    async def _send_message(self, alert: Alert, alert_id: str) -> None:
        """Stores the message for the alert endpoint; retries later if that fails."""
        to = self._endpoint()
        if to is None or (alert.endpoint is not None and to.id == alert.endpoint.id):
            return  # an endpoint cannot deliver alerts about its own failures
        message = self._message(alert, alert_id, to, self._clock.now_ms())

        async def append(_alert: Alert) -> Reason | None:
            try:
                appended = await self._within_limit(self._store.append(message))
            except StoreError as error:
                return error.reason
            if not appended.duplicate:
                self._on_accepted([to.seq])
            return None

        if await append(alert):
            self._metrics.alerts.labels(alert.type.value, "not_kept").inc()
            self.outbox.post(ENDPOINT_ID, alert, append)

    async def _within_limit(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of the store. Raises StoreError, `store_slow` if there is none in time: the work goes on."""
        task = asyncio.create_task(work, name="alert")
        self._under_way.add(task)
        task.add_done_callback(self._end)
        await asyncio.wait([task], timeout=STORE_TIMEOUT_MS / 1000)
        if not task.done():
            raise StoreUnavailable(
                "store_slow", "The database did not respond in time.", "Check its disk and its server."
            )
        return task.result()

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, since the caller may no longer wait

    def _turn(self, alert: Alert) -> str:
        """Separates a problem from an earlier one in the same hour. The process's start separates its turns from an
        earlier process's; the stored state of the endpoint or the problem keeps both from sending the same alert.
        """
        turned = self._turned(alert)
        if not turned:
            return ""
        ((_, turn),) = turned.values()
        return f"/{self._began_ms}.{turn}"

    def _turned(self, alert: Alert) -> dict[tuple[AlertType, str], tuple[bool, int]]:
        """The turn of the problem with this alert; empty if no alert reports its end."""
        if alert.family not in ENDS:
            return {}
        key = (alert.family, alert.subject_id)
        is_trouble = alert.type is not alert.family
        was_trouble, turn = self._turns.get(key, (is_trouble, 0))
        return {key: (is_trouble, turn + (is_trouble != was_trouble))}

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

    def _message(self, alert: Alert, alert_id: str, to: Endpoint, now_ms: int) -> NewMessage:
        of = alert.endpoint or alert.source or to
        return NewMessage(
            id=self._ids.new("msg"),
            app_id=of.app_id,
            source_id=ALERT_SOURCE_ID,
            event_id=alert_id,
            event_type=alert.type.value,
            customer_key=None,
            occurred_at_ms=now_ms,
            accepted_at_ms=now_ms,
            body=msgspec.json.encode({"type": alert.type.value, "data": alert.facts}),
            endpoint_seqs=(to.seq,),
        )

    def _current_targets(self) -> dict[str, AlertTarget]:
        return {target.id: target for target in self._configuration.snapshot.alert_targets}

    def _follow_targets(self) -> None:
        """Drops what waits for a deleted target; sends what waits for a changed one to its new address at once."""
        before, self._targets = self._targets, self._current_targets()
        for target_id, target in before.items():
            after = self._targets.get(target_id)
            if after is None:
                self.outbox.discard(target_id)
            elif (after.kind, after.sealed) != (target.kind, target.sealed):
                self.outbox.hasten(target_id)

    def _later_sender(self, target_id: str, alert_id: str) -> Send:
        """Sends to the target as it is then."""

        async def send(alert: Alert) -> Reason | None:
            target = self._targets.get(target_id)
            return _DELETED if target is None else await self._sending.to_target(target, alert_id)(alert)

        return send


def _problem(alert: Alert) -> tuple[str, str]:
    """The key of a problem that ends, and what is stored of an alert about it."""
    return _key(f"{alert.family.value}/{alert.subject_id}"), f"{alert.type.value}/{alert.cause}"


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_TEST = Alert(type=AlertType.TEST, reason=reason("test", "This is a test alert. No action is needed."))
_DELETED = reason("target_deleted", "The alert target was deleted.")
