"""Alerts reach their targets, in order and in each receiver's form, also while the database cannot be written."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import msgspec
import pytest

from nicobar.connectors import NoResponse, Request, Response
from nicobar.connectors.transport import HttpTransport
from nicobar.crypto import WebhookKey, new_webhook_secret
from nicobar.model import AlertTarget, TargetKind
from nicobar.pipeline import alert_outbox, alert_sending
from nicobar.pipeline import alerts as alerts_module
from nicobar.pipeline.alert_mail import Mail
from nicobar.pipeline.alert_outbox import MAX_WAITING, RETRY_AFTER_MS
from nicobar.pipeline.alert_sending import MAX_PARALLEL_MAILS
from nicobar.pipeline.alert_targets import Address, seal_address, shown_address
from nicobar.pipeline.alert_types import Alert, AlertType
from nicobar.pipeline.alerts import HOUR_MS
from nicobar.reasons import reason
from nicobar.store import PutAlertTarget, RemoveAlertTarget
from pipeline.test_alerts import UNAUTHORIZED, VAULT, office, world
from support.patience import PATIENCE_S
from support.store import failing_store

SECRET = new_webhook_secret()
FULL = reason("store_failing", "Events cannot be stored.", "Free space.")
STOPPED, GOES_ON = (
    Alert(type=kind, reason=FULL, host="db1") for kind in (AlertType.STORE_FAILING, AlertType.STORE_RECOVERED)
)


class Receiver:
    """A transport that answers with this status, None for no answer, and keeps the requests."""

    def __init__(self) -> None:
        self.status: int | None = 200
        self.requests: asyncio.Queue[Request] = asyncio.Queue()

    async def send(self, request: Request) -> Response | NoResponse:
        self.requests.put_nowait(request)
        if self.status is None:
            return NoResponse(reason=reason("connection_refused", "connection refused"), duration_ms=1)
        return Response(status=self.status, headers={}, body=b"", duration_ms=1)

    async def refused_address(self, _url: str) -> None:
        return None

    async def next(self) -> dict[str, object]:
        async with asyncio.timeout(PATIENCE_S):
            return msgspec.json.decode((await self.requests.get()).body)


def target(kind: TargetKind = TargetKind.WEBHOOK, address="https://ops.example/hook", secret="", types=(), number=1):
    key = f"alt_{number}"
    sealed = seal_address(VAULT, key, Address(address=address, secret=secret))
    return AlertTarget(id=key, name=f"target {number}", kind=kind, sealed=sealed, alert_types=types)


@asynccontextmanager
async def targets(tmp_path, *those: AlertTarget, **given):
    async with world(tmp_path) as (alerts, clock, store, _):
        receiver = given.setdefault("transport", Receiver())
        await store.change([PutAlertTarget(target=item) for item in those])
        it = alerts(**given)
        await it._configuration.refresh()
        yield it, clock, store, receiver
        await it.close()


async def test_webhook_target_gets_a_signed_alert(tmp_path):
    async with targets(tmp_path, target(secret=SECRET)) as (it, clock, _, receiver):
        await it.tell(STOPPED)
        async with asyncio.timeout(PATIENCE_S):
            request = await receiver.requests.get()
        about = {"reason": "Events cannot be stored. Free space.", "code": "store_failing", "host": "db1"}
        body = msgspec.json.decode(request.body)
        assert (body["type"], body["data"]) == ("store.failing", about)
        timestamp, alert_id = request.headers["webhook-timestamp"], request.headers["webhook-id"]
        assert timestamp == str(clock.now_ms() // 1000)
        signature = WebhookKey(SECRET).sign(alert_id, timestamp, request.body)
        assert request.headers["webhook-signature"] == signature


async def test_slack_and_pagerduty_get_their_own_form(tmp_path):
    slack = target(TargetKind.SLACK, "https://hooks.slack.example/services/T/B/x", number=1)
    pagerduty = target(TargetKind.PAGERDUTY, "https://events.pagerduty.example/v2/enqueue", "k" * 32, number=2)
    async with targets(tmp_path, slack, pagerduty) as (it, _, _, receiver):
        await it.tell(STOPPED)
        assert await receiver.next() == {
            "text": "[Nicobar] Events cannot be stored: db1\nEvents cannot be stored. Free space."
        }
        begun = await receiver.next()
        await it.tell(GOES_ON)
        await receiver.next()
        ended = await receiver.next()
        assert (begun["event_action"], ended["event_action"]) == ("trigger", "resolve")
        assert begun["dedup_key"] == ended["dedup_key"]
        assert (begun["routing_key"], begun["payload"]["source"]) == ("k" * 32, "db1")


async def test_target_gets_only_its_types(tmp_path):
    chosen = target(types=(AlertType.DISK_LOW.value,))
    async with targets(tmp_path, chosen) as (it, _, _, receiver):
        await it.tell(STOPPED)
        await it.tell(Alert(type=AlertType.DISK_LOW, reason=FULL, host="db1"))
        assert (await receiver.next())["type"] == "disk.low"
        assert receiver.requests.empty()


async def test_email_target_is_sent_without_recipients_in_the_settings(tmp_path):
    async with office("x") as (post, port):
        mail = Mail(url=f"smtp://127.0.0.1:{port}", sender="nicobar@shop.example", recipients=())
        person = target(TargetKind.EMAIL, "ops@shop.example")
        async with targets(tmp_path, person, mail=mail) as (it, _, _, _):
            await it.tell(STOPPED)
            async with asyncio.timeout(PATIENCE_S):
                await post.came.wait()
        (letter,) = post.letters
        assert "To: ops@shop.example" in letter
        assert "Host: db1" in letter


@pytest.mark.parametrize("how", ["fails", "hangs"])
async def test_alerts_leave_while_the_database_cannot_be_written(tmp_path, monkeypatch, how):
    monkeypatch.setattr(alerts_module, "STORE_TIMEOUT_MS", 10)
    hanging = asyncio.Event()

    async def hang(*_arguments, **_named):
        await hanging.wait()

    async with office("x") as (post, port):
        mail = Mail(url=f"smtp://127.0.0.1:{port}", sender="n@shop.example", recipients=("ops@shop.example",))
        async with targets(tmp_path, target(), mail=mail, endpoint_name="ops") as (it, _, store, receiver):
            for promise in ("take_alert", "append", "put_alert_result"):
                if how == "hangs":
                    monkeypatch.setattr(store, promise, hang)
            with failing_store(store, "take_alert"), failing_store(store, "append"):
                if how == "hangs":
                    monkeypatch.setattr(store, "take_alert", hang)
                    monkeypatch.setattr(store, "append", hang)
                await it.tell(STOPPED)
                await it.tell(STOPPED)
                assert (await receiver.next())["type"] == "store.failing"
                async with asyncio.timeout(PATIENCE_S):
                    await post.came.wait()
                assert receiver.requests.empty(), "once"
                assert len(post.letters) == 1
            hanging.set()


async def test_alert_is_retried_and_its_end_comes_after_it(tmp_path):
    async with targets(tmp_path, target()) as (it, clock, store, receiver):
        receiver.status = None
        waits = asyncio.create_task(clock.next_wait())
        await it.tell(STOPPED)
        await it.tell(GOES_ON)
        async with asyncio.timeout(PATIENCE_S):
            await waits
        await it.keep_results()
        assert (await store.alert_results())["alt_1"].reason.code == "connection_refused"
        receiver.status = 202
        clock.move(RETRY_AFTER_MS[0])
        received = [(await receiver.next())["type"] for _ in range(3)]
        assert received == ["store.failing", "store.failing", "store.recovered"]
        await it.close()
        await it.keep_results()
        assert (await it.results())["alt_1"].reason is None
        assert (it.outbox.sent, it.outbox.lost, it.outbox.waiting) == (2, 0, 0)


async def test_silent_target_is_given_up_and_others_are_not(tmp_path):
    async with targets(tmp_path, target(), target(number=2, types=("disk.low",))) as (it, clock, _, receiver):
        receiver.status = 500
        await it.tell(STOPPED)
        for after_ms in RETRY_AFTER_MS:
            await receiver.next()
            async with asyncio.timeout(PATIENCE_S):
                while not clock.waiting:
                    await asyncio.sleep(0)
            clock.move(after_ms)
        await receiver.next()
        async with asyncio.timeout(PATIENCE_S):
            while it.outbox.waiting:
                await asyncio.sleep(0)
        assert (it.outbox.sent, it.outbox.lost) == (0, 1)
        receiver.status = 200
        await it.tell(Alert(type=AlertType.DISK_LOW, reason=FULL, host="db1"))
        assert (await receiver.next())["type"] == (await receiver.next())["type"] == "disk.low"


async def test_alerts_that_wait_are_bounded_and_the_oldest_lost(tmp_path):
    async with targets(tmp_path, target()) as (it, _, _, receiver):
        receiver.status = None
        for number in range(MAX_WAITING + 5):
            await it.tell(Alert(type=AlertType.EXHAUSTED, reason=FULL, host=f"db{number}"))
        assert it.outbox.waiting == MAX_WAITING
        assert it.outbox.lost == 5


async def test_another_process_does_not_repeat_an_alert(tmp_path):
    async with world(tmp_path) as (alerts, clock, store, _):
        await store.change([PutAlertTarget(target=target())])
        receiver = Receiver()
        first, second = (alerts(transport=receiver) for _ in range(2))
        await first._configuration.refresh()
        for it in (first, second):
            await it.tell(STOPPED)
        assert (await receiver.next())["type"] == "store.failing"
        for it in (first, second):
            await it.close()
        assert receiver.requests.empty()
        for kind in (GOES_ON, STOPPED, GOES_ON):
            restarted = alerts(transport=receiver)
            await restarted.tell(kind)
            assert (await receiver.next())["type"] == kind.type.value, "what has changed since is told"
            await restarted.close()
        clock.move(HOUR_MS + 1)
        again = alerts(transport=receiver)
        await again.tell(GOES_ON)
        assert (await receiver.next())["type"] == "store.recovered"
        await again.close()


async def test_private_address_is_refused_and_nothing_is_sent(tmp_path):
    private = target(address="http://127.0.0.1:9/hook")
    async with HttpTransport() as transport, targets(tmp_path, private, transport=transport) as (it, _, _, _):
        assert "not public" in (await it.test_target(private)).reason.text()


@pytest.mark.parametrize("kind", [TargetKind.WEBHOOK, TargetKind.EMAIL])
async def test_target_that_cannot_be_used_has_a_result(tmp_path, kind):
    foreign = target(kind)
    broken = msgspec.structs.replace(foreign, sealed=b"") if kind is TargetKind.WEBHOOK else foreign
    async with targets(tmp_path, broken) as (it, _, store, _):
        why = (await it.test_target(broken)).reason
        assert why
        assert (await store.alert_results())[broken.id].reason == why
        await store.change([RemoveAlertTarget(target_id=broken.id)])
        assert await store.alert_results() == {}


def test_shown_address_hides_the_path_of_a_url():
    url = "https://hooks.slack.example/services/T0/B0/secret?x=secret"
    assert shown_address(TargetKind.SLACK, url) == "https://hooks.slack.example/***"
    assert shown_address(TargetKind.WEBHOOK, "https://ops.example/") == "https://ops.example/"
    assert shown_address(TargetKind.EMAIL, "ops@shop.example") == "ops@shop.example"
    assert "secret" not in repr(Address(address=url, secret="secret"))


async def test_endpoint_message_and_target_both_get_an_alert(tmp_path):
    async with targets(tmp_path, target(), endpoint_name="ops") as (it, _, store, receiver):
        shop, ops = it._configuration.snapshot.endpoints
        await it.tell(Alert(type=AlertType.PAUSED, endpoint=shop, reason=UNAUTHORIZED))
        assert (await receiver.next())["data"]["endpointName"] == "shop"
        assert [item.endpoint_seq for item in await store.backlog()] == [ops.seq]


async def waits(clock) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not clock.waiting:
            await asyncio.sleep(0)


async def test_deleted_target_gets_nothing_that_waited(tmp_path):
    async with targets(tmp_path, target()) as (it, clock, store, receiver):
        receiver.status = None
        await it.tell(STOPPED)
        await it.tell(GOES_ON)
        await receiver.next()
        await waits(clock)
        receiver.status = 200
        await store.change([RemoveAlertTarget(target_id="alt_1")])
        await it._configuration.refresh()
        clock.move(RETRY_AFTER_MS[-1])
        await it.close()
        assert receiver.requests.empty()
        assert (it.outbox.sent, it.outbox.lost, it.outbox.waiting) == (0, 2, 0)


async def test_what_waits_goes_to_the_corrected_address_at_once(tmp_path):
    async with targets(tmp_path, target()) as (it, clock, store, receiver):
        receiver.status = None
        await it.tell(STOPPED)
        await receiver.next()
        await waits(clock)
        receiver.status = 200
        await store.change([PutAlertTarget(target=target(address="https://right.example/hook"))])
        await it._configuration.refresh()
        async with asyncio.timeout(PATIENCE_S):
            assert (await receiver.requests.get()).url == "https://right.example/hook"


async def test_silent_mail_server_leaves_threads_to_others(tmp_path, monkeypatch):
    silent = threading.Event()
    monkeypatch.setattr(alert_sending, "send_mail", lambda *_: silent.wait(PATIENCE_S))
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MAX_PARALLEL_MAILS + 1))
    mail = Mail(url="smtp://127.0.0.1:9", sender="n@shop.example", recipients=())
    people = [target(TargetKind.EMAIL, "ops@shop.example", number=number) for number in range(5)]
    async with targets(tmp_path, *people, mail=mail) as (it, _, _, _):
        await it.tell(STOPPED)
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(PATIENCE_S / 2):
                await asyncio.to_thread(int)
        finally:
            silent.set()


@pytest.mark.parametrize("kind", [AlertType.TEST, AlertType.ATTEMPT_RECOVERED])
async def test_pagerduty_incident_without_a_problem_is_resolved_at_once(tmp_path, kind):
    pagerduty = target(TargetKind.PAGERDUTY, "https://events.pagerduty.example/v2/enqueue", "k" * 32)
    async with targets(tmp_path, pagerduty) as (it, _, _, receiver):
        if kind is AlertType.TEST:
            assert (await it.test_target(pagerduty)).reason is None
        else:
            await it.tell(Alert(type=kind, reason=FULL, host="db1"))
        opened, closed = await receiver.next(), await receiver.next()
        assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
        assert opened["payload"]["severity"] == "info"
        assert opened["dedup_key"] == closed["dedup_key"]


async def test_unresolved_pagerduty_test_alert_is_an_error(tmp_path, monkeypatch):
    pagerduty = target(TargetKind.PAGERDUTY, "https://events.pagerduty.example/v2/enqueue", "k" * 32)
    async with targets(tmp_path, pagerduty) as (it, _, _, receiver):
        send = receiver.send

        async def refuse_the_end(request: Request) -> Response | NoResponse:
            receiver.status = 429 if b"resolve" in request.body else 202
            return await send(request)

        monkeypatch.setattr(receiver, "send", refuse_the_end)
        assert (await it.test_target(pagerduty)).reason.values == {"status": 429}


async def test_slow_target_does_not_keep_a_process_that_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(alert_outbox, "CLOSE_TIMEOUT_MS", 1)
    async with targets(tmp_path, target()) as (it, _, _, receiver):
        never = asyncio.Event()

        async def send(_request: Request) -> Response:
            await never.wait()
            raise AssertionError

        monkeypatch.setattr(receiver, "send", send)
        await it.tell(STOPPED)
        await it.tell(GOES_ON)
        async with asyncio.timeout(PATIENCE_S):
            await it.close()
        assert (it.outbox.lost, it.outbox.waiting) == (2, 0)
