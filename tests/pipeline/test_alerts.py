"""Alerts: one per cause and hour, through Nicobar and by email, without secrets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from nicobar.crypto import Vault, new_webhook_secret
from nicobar.errors import SettingsError
from nicobar.ids import IdFactory
from nicobar.metrics import Metrics
from nicobar.model import DeliveryState
from nicobar.pipeline.alert_mail import Mail
from nicobar.pipeline.alert_outbox import RETRY_AFTER_MS
from nicobar.pipeline.alert_types import NO_MORE, Alert, AlertType
from nicobar.pipeline.alerts import HOUR_MS, MAX_CAUSES_AN_HOUR, Alerts
from nicobar.pipeline.configuration import Configuration
from nicobar.reasons import Reason, plain, reason
from nicobar.setting_sources import read_settings
from nicobar.store import Claim, NewMessage, NewTask, PutSource, ReplayFilter, Resent, TaskKind, TaskStatus
from nicobar.store.history import MessageFilter
from support.clock import MovingClock
from support.patience import PATIENCE_S
from support.records import make_endpoint, make_source
from support.server import running
from support.store import failing_store, open_store

VAULT = Vault(b"k" * 32)
UNAUTHORIZED, X, Y = (reason("c", text) for text in ("401", "x", "y"))


class Office:
    """An SMTP server that keeps the received emails."""

    def __init__(self) -> None:
        self.letters: list[str] = []
        self.came = asyncio.Event()

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - the library's name
        self.letters.append(envelope.content.decode())
        self.came.set()
        return "250 OK"


@asynccontextmanager
async def office(password: str):
    def check(_server, _session, _envelope, _mechanism, given):
        return AuthResult(success=given.password == password.encode(), handled=False)

    it = Office()
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(it, authenticator=check, auth_require_tls=False), "127.0.0.1", 0
    )
    try:
        yield it, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def world(tmp_path, **more):
    clock = MovingClock()
    store = await open_store(tmp_path, clock.now_ms())
    ids = IdFactory(clock.now_ms)
    (app,) = (await store.snapshot()).applications
    endpoints = [
        make_endpoint(
            vault=VAULT,
            ids=ids,
            app_id=app.id,
            name=name,
            kind="http",
            settings={"url": "https://ops.example"},
            credentials={"secret": new_webhook_secret()},
        )
        for name in ("shop", "ops")
    ]
    source = make_source(
        vault=VAULT, ids=ids, app_id=app.id, name="dodo", kind="dodo-payments", secrets=[new_webhook_secret()]
    )
    await store.change([*endpoints, PutSource(source=source)])
    configuration = Configuration(store, VAULT, clock)
    await configuration.refresh()

    def alerts(**given) -> Alerts:
        return Alerts(
            store=store,
            configuration=configuration,
            vault=VAULT,
            clock=clock,
            ids=ids,
            metrics=Metrics(),
            **given,
        )

    try:
        yield alerts, clock, store, configuration.snapshot
    finally:
        await store.close()


async def waiting(store, endpoint_seq: int, now_ms: int) -> list[dict[str, object]]:
    claimed = await store.claim(
        Claim(endpoint_seq=endpoint_seq, term=0, now_ms=now_ms, limit=100, max_bytes=10**6, lease_ms=1)
    )
    return [msgspec.json.decode(item.message.body) for item in claimed]


async def test_one_cause_is_told_once_an_hour(tmp_path):
    async with world(tmp_path) as (alerts, clock, store, snapshot):
        shop, ops = snapshot.endpoints
        woken: list[int] = []
        it = alerts(endpoint_name="ops", on_accepted=woken.extend)
        paused = Alert(type=AlertType.PAUSED, endpoint=shop, reason=UNAUTHORIZED)
        for _ in range(5):
            await it.tell(paused)
        await alerts(endpoint_name=ops.id).tell(paused)  # another process, or this one after a restart
        await it.tell(Alert(type=AlertType.EXHAUSTED, endpoint=shop, reason=X, cause="threw: x", message_id="msg_1"))
        await it.tell(Alert(type=AlertType.EXHAUSTED, endpoint=shop, reason=Y, cause="threw: y", message_id="msg_2"))
        about = {"code": "c", "endpointId": shop.id, "endpointName": "shop"}
        assert await waiting(store, ops.seq, clock.now_ms()) == [
            {"type": "endpoint.paused", "data": {"reason": "401", **about}},
            {"type": "message.attempt.exhausted", "data": {"reason": "x", "msgId": "msg_1", **about}},
            {"type": "message.attempt.exhausted", "data": {"reason": "y", "msgId": "msg_2", **about}},
        ]
        assert woken == [ops.seq] * 3
        clock.move(HOUR_MS)
        await it.tell(paused)
        assert len(await waiting(store, ops.seq, clock.now_ms())) == 4
        assert await waiting(store, shop.seq, clock.now_ms()) == [], "nobody else gets it"


@pytest.mark.parametrize("trouble", [AlertType.PAUSED, AlertType.FAILING])
@pytest.mark.parametrize("restarts", [False, True])
async def test_trouble_that_returns_within_the_hour_is_told_again(tmp_path, trouble, restarts):
    async with world(tmp_path) as (alerts, clock, store, snapshot):
        shop, ops = snapshot.endpoints
        it = alerts(endpoint_name="ops")
        kinds = [trouble, AlertType.RECOVERED] * 3
        for kind in kinds:
            for _ in range(2):
                await it.tell(Alert(type=kind, endpoint=shop, reason=X))
            clock.move(1_000)
            if restarts:
                it = alerts(endpoint_name="ops")
        assert [item["type"] for item in await waiting(store, ops.seq, clock.now_ms())] == kinds


async def test_an_endpoint_that_keeps_changing_becomes_no_storm(tmp_path):
    async with world(tmp_path) as (alerts, clock, store, snapshot):
        shop, ops = snapshot.endpoints
        it = alerts(endpoint_name="ops")
        for _ in range(50):
            for kind in (AlertType.PAUSED, AlertType.RECOVERED):
                await it.tell(Alert(type=kind, endpoint=shop, reason=X))
        queued = await waiting(store, ops.seq, clock.now_ms())
        assert len(queued) == 2 * MAX_CAUSES_AN_HOUR
        assert queued[-2]["data"]["reason"] == f"x{NO_MORE}"
        clock.move(HOUR_MS)
        await it.tell(Alert(type=AlertType.PAUSED, endpoint=shop, reason=X))
        assert len(await waiting(store, ops.seq, clock.now_ms())) == 2 * MAX_CAUSES_AN_HOUR + 1


async def test_failures_that_all_differ_become_no_storm(tmp_path):
    async with world(tmp_path) as (alerts, clock, store, snapshot):
        shop, ops = snapshot.endpoints
        it = alerts(endpoint_name="ops")
        for hour in (1, 2):
            for number in range(100):
                entry = Alert(type=AlertType.EXHAUSTED, endpoint=shop, reason=X, cause=f"threw: {number}/{hour}")
                await it.tell(entry)
            queued = await waiting(store, ops.seq, clock.now_ms())
            assert len(queued) == hour * MAX_CAUSES_AN_HOUR
            assert [item["data"]["reason"] for item in queued[-2:]] == ["x", f"x{NO_MORE}"]
            clock.move(HOUR_MS)
        await it.tell(Alert(type=AlertType.PAUSED, endpoint=shop, reason=UNAUTHORIZED))
        assert len(await waiting(store, ops.seq, clock.now_ms())) == 2 * MAX_CAUSES_AN_HOUR + 1


async def test_alerts_and_emails_contain_no_values(tmp_path):
    async with world(tmp_path) as (alerts, clock, store, snapshot), office("x") as (post, port):
        shop, ops = snapshot.endpoints
        mail = Mail(url=f"smtp://127.0.0.1:{port}", sender="nicobar@shop.example", recipients=("ops@shop.example",))
        it = alerts(endpoint_name="ops", mail=mail)
        rejected = reason(
            "rejected_required", "Customer.io rejected the call: %(text)s.", "Add %(name)s.", text="Ada", name="Ada"
        )
        await it.tell(Alert(type=AlertType.EXHAUSTED, endpoint=shop, reason=rejected, cause="refused"))
        (queued,) = await waiting(store, ops.seq, clock.now_ms())
        assert queued["data"]["reason"] == "Customer.io rejected the call: …. Add …."
        assert queued["data"]["code"] == "rejected_required"
        async with asyncio.timeout(PATIENCE_S):
            await post.came.wait()
        await it.close()
        assert "Ada" not in post.letters[0]
        assert "rejected_required" in post.letters[0]


SECRET = "Kowalski"
MISSING = reason("missing", "%(name)s is missing.", "Add %(name)s.", name=SECRET, location=f"[0].payload.{SECRET}")


@pytest.mark.parametrize(
    ("why", "outline"),
    [
        (reason("threw", "The handler threw %(error)s", error=SECRET, location=3), "line 3: The handler threw …"),
        (MISSING, "… is missing. Add …."),
        (reason("given_up", "After %(tries)s: %(reason)s", tries=8, reason=MISSING), "After …: … is missing. Add …."),
        (plain(SECRET), "…"),
        (Reason(code="c", template="%(nobody)s, 5 %% of %(name)s", values={"name": SECRET}), "…, 5 % of …"),
        (reason("c", "All of it, 100%."), "All of it, 100%."),
    ],
)
def test_outline_has_texts_and_lines_but_no_values(why, outline):
    assert why.outline() == outline
    assert SECRET not in why.outline()


async def test_endpoint_gets_no_alerts_about_itself(tmp_path):
    async with world(tmp_path) as (alerts, clock, store, snapshot):
        _, ops = snapshot.endpoints
        await alerts(endpoint_name="ops").tell(Alert(type=AlertType.PAUSED, endpoint=ops, reason=UNAUTHORIZED))
        assert await waiting(store, ops.seq, clock.now_ms()) == []


async def test_alert_that_was_not_stored_is_stored_later(tmp_path):
    async with world(tmp_path) as (alerts, clock, store, snapshot):
        shop, ops = snapshot.endpoints
        it = alerts(endpoint_name="ops")
        with failing_store(store, "append"):
            async with asyncio.timeout(PATIENCE_S):
                waits = asyncio.create_task(clock.next_wait())
                await it.tell(Alert(type=AlertType.PAUSED, endpoint=shop, reason=UNAUTHORIZED))
                await waits
        clock.move(RETRY_AFTER_MS[0])
        await it.close()
        assert len(await waiting(store, ops.seq, clock.now_ms())) == 1


async def test_email_is_sent_and_its_credentials_stay_private(tmp_path, capsys):
    async with world(tmp_path) as (alerts, _, _, snapshot), office("pa/ss w") as (post, port):
        url = f"smtp://nicobar:pa%2Fss%20w@127.0.0.1:{port}"
        mail = Mail(url=url, sender="nicobar@shop.example", recipients=("ops@shop.example", "ada@shop.example"))
        assert "pa" not in repr(mail)
        it = alerts(mail=mail)
        shop, _ = snapshot.endpoints
        await it.tell(Alert(type=AlertType.DISABLED, endpoint=shop, reason=reason("c", "Disabled after 5 days.")))
        async with asyncio.timeout(PATIENCE_S):
            await post.came.wait()
        await it.close()
        (letter,) = post.letters
        assert "Subject: [Nicobar] Endpoint disabled: shop" in letter
        assert "To: ops@shop.example, ada@shop.example" in letter
        assert "Disabled after 5 days." in letter
        wrong = alerts(mail=msgspec.structs.replace(mail, url=url.replace("pa%2Fss%20w", "hunter2hunter2")))
        await wrong.tell(Alert(type=AlertType.PAUSED, endpoint=shop, reason=UNAUTHORIZED))
        await wrong.close()
        assert len(post.letters) == 1
    output = capsys.readouterr()
    assert "alert not sent" in output.out + output.err
    assert "hunter2" not in output.out + output.err


@pytest.mark.parametrize(
    "given",
    [
        {"alert_smtp_url": "smtp://mail.example"},
        {"alert_mail_to": "a@shop.example", "alert_mail_from": "b@shop.example"},
        {"alert_smtp_url": "http://x", "alert_mail_to": "a@shop.example", "alert_mail_from": "b@shop.example"},
    ],
)
def test_incomplete_email_settings_are_an_error_without_the_url(given):
    with pytest.raises(SettingsError) as caught:
        read_settings(given, environment={})
    assert "mail.example" not in str(caught.value)


async def test_three_invalid_signatures_in_a_row_raise_an_alert(tmp_path):
    async with running(tmp_path, None) as nicobar:
        store, hours = nicobar.runtime.store, nicobar.runtime.alerts._hour_of_cause
        wrong = {"webhook-id": "evt_1", "webhook-timestamp": "1", "webhook-signature": "v1,x"}
        for number, refused in enumerate((2, 2, 3)):
            for _ in range(refused):
                assert (await nicobar.send(b"{}", headers=wrong))[0] == 401
            assert len(hours) == int(refused == 3)
            assert (await nicobar.send_sample("payment.succeeded", f"evt_{number}"))[0] == 202
        assert await store.backlog() == []


async def test_without_an_alert_endpoint_no_message_is_stored(tmp_path, capsys):
    async with world(tmp_path) as (alerts, _, store, snapshot):
        shop, ops = snapshot.endpoints
        everything = MessageFilter(alerts=True)
        await alerts().tell(Alert(type=AlertType.PAUSED, endpoint=shop, reason=UNAUTHORIZED))
        await alerts(endpoint_name="gone").tell(Alert(type=AlertType.PAUSED, endpoint=shop, reason=UNAUTHORIZED))
        await alerts(endpoint_name="ops").tell(Alert(type=AlertType.PAUSED, endpoint=ops, reason=UNAUTHORIZED))
        assert (await store.messages(shop.app_id, everything, limit=10)).items == ()
    assert capsys.readouterr().out.count("endpoint.paused") == 2, "the second process repeats nothing"


def old_alert(alerts, app_id: str, endpoint_seqs: tuple[int, ...], now_ms: int) -> NewMessage:
    """A message as earlier versions kept it for every alert, at endpoints to which a replay has moved it."""
    return NewMessage(
        id=alerts._ids.new("msg"),
        app_id=app_id,
        source_id="operational",
        event_id=f"alert_{now_ms}",
        event_type="message.attempt.exhausted",
        customer_key=None,
        occurred_at_ms=now_ms,
        accepted_at_ms=now_ms,
        body=b'{"type":"message.attempt.exhausted","data":{"reason":"x"}}',
        endpoint_seqs=endpoint_seqs,
    )


async def test_no_replay_counts_or_moves_an_alert(tmp_path):
    async with world(tmp_path) as (alerts, clock, store, snapshot):
        shop, ops = snapshot.endpoints
        it = alerts(endpoint_name="ops")
        kept = await store.append(old_alert(it, shop.app_id, (), clock.now_ms()))
        await store.append(old_alert(it, shop.app_id, (shop.seq, ops.seq), clock.now_ms() + 1))
        await store.cancel_pending(shop.seq, now_ms=clock.now_ms(), limit=10, reason=plain("a test"))
        await store.cancel_pending(ops.seq, now_ms=clock.now_ms(), limit=10, reason=plain("a test"))
        missing = ReplayFilter(missing=True, states=())
        finished = ReplayFilter(states=(DeliveryState.CANCELED,))
        for number, (endpoint, which) in enumerate(
            (item, two) for item in (shop, ops) for two in (missing, finished)
        ):
            assert (await store.count_replay(endpoint.seq, which)).deliveries == 0
            task = NewTask(
                id=f"qtask_{number}",
                app_id=shop.app_id,
                kind=TaskKind.BULK_REPLAY,
                created_at_ms=0,
                endpoint_seq=endpoint.seq,
                endpoint_id=endpoint.id,
                filter=which,
            )
            await store.add_task(task)
            done = await store.work_on_task(task.id, now_ms=clock.now_ms(), limit=10)
            assert (done.status, done.moved) == (TaskStatus.FINISHED, 0)
            assert await waiting(store, endpoint.seq, clock.now_ms()) == []
        resent = await store.resend(kept.message_id, shop.id, now_ms=clock.now_ms(), new_ids=False)
        assert resent is Resent.UNKNOWN


async def test_alert_queued_for_an_ordinary_endpoint_is_canceled(tmp_path):
    async with running(tmp_path, "function handler(webhook) { return webhook; }") as nicobar:
        runtime = nicobar.runtime
        (endpoint,) = runtime.configuration.snapshot.endpoints
        stray = old_alert(runtime.alerts, endpoint.app_id, (endpoint.seq,), runtime.clock.now_ms())
        await runtime.store.append(stray)
        runtime.worker.wake([endpoint.seq])
        recorded = await nicobar.next_recorded()
        assert recorded.attempt.state is DeliveryState.CANCELED
        assert str(recorded.attempt.reason) == "this endpoint does not receive alerts"
        assert recorded.attempt.requests == ()
