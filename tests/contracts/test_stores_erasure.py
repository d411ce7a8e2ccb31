"""After a customer is erased, nothing that is stored names them, and the report has looked everywhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import psycopg
import pytest

from contracts.test_stores import claim, done, endpoint, message
from nicobar.connectors import ReadyCall
from nicobar.crypto import Vault, new_webhook_secret
from nicobar.ids import IdFactory
from nicobar.model import Breaker, BreakerState, Customer, DeliveryState, RequestRecord
from nicobar.pipeline.half_sent import HalfSent
from nicobar.reasons import reason
from nicobar.store import Audited, Draft, NewTask, PutSource, ReplayFilter, SentKey, TaskKind
from nicobar.store.history import RejectedRequest
from nicobar.use_cases.erase import expunge_customer
from support.clock import MovingClock
from support.records import make_source
from support.store import open_store  # noqa: F401

KEY, EMAIL, PHONE = "cus_solberg_17", "Mira@Solberg.example", "+47 22 55 01 99"
LICENSE, NAME, STREET = "NORTH-PINE-7F3A-99", "Mira Solberg-Østby", "Alder Court 418"
VALUES = (KEY, EMAIL, EMAIL.lower(), PHONE, "4722550199", LICENSE, NAME, STREET)
# Of another customer, with the erased one's as a part of each.
OTHER_KEY, OTHER_EMAIL = f"{KEY}0", f"x{EMAIL}"
QUOTED = reason("refused", "no %(what)s", what=f"{EMAIL} of {KEY}")
BREAKER = Breaker(state=BreakerState.OPEN, reason=QUOTED)
ACTOR = SimpleNamespace(name="editor")


def body_of(key: str, email: str, **more) -> bytes:
    customer = {"customer_id": key, "email": email, "name": NAME, "phone_number": PHONE}
    data = {"customer": customer, "billing": {"street": STREET}, "license_key": {"key": LICENSE}, **more}
    return msgspec.json.encode({"type": "a.b", "data": data})


async def erased(store, key: str = KEY):
    (app,) = (await store.snapshot()).applications
    services = SimpleNamespace(store=store, clock=MovingClock())
    return await expunge_customer(services, ACTOR, app.id, key)


def half_sent() -> bytes:
    call = ReadyCall(method="POST", url="https://a.example", headers={}, body=KEY.encode(), batchable=True)
    customer = Customer(key=KEY, email=EMAIL, name=NAME)
    return msgspec.msgpack.encode(
        HalfSent(
            url="https://a.example",
            version=1,
            app_uid="default",
            customer=customer,
            calls=(call,),
            requested=(),
            verdicts=(),
        )
    )


async def fill(store, count: int = 40) -> None:
    """One customer's data in every place that can have it."""
    (app,) = (await store.snapshot()).applications
    await store.change([await endpoint(store, "ep_1")])
    for number in range(1, count + 1):
        mine = number % 2
        text = body_of(KEY, EMAIL, note="n" * (number * 97 % 7_000)) if mine else b'{"data":{}}'
        new = message(number, KEY if mine else f"cus_{number}", body=text)
        names = {"customer_email": EMAIL, "customer_name": NAME} if mine else {}
        await store.append(msgspec.structs.replace(new, app_id=app.id, **names))
    again = message(1, KEY, event_id="evt_1", body=body_of(KEY, EMAIL, other=1))  # under the same event id
    await store.append(msgspec.structs.replace(again, app_id=app.id))
    quoted = QUOTED
    for number, one in enumerate(await claim(store, limit=count)):
        state = (DeliveryState.SUCCESS, DeliveryState.FAILED, DeliveryState.PENDING)[number % 3]
        ended = done(
            one, state, attempt=f"atmpt_{number:02}", due_at_ms=9_000 if state is DeliveryState.PENDING else None
        )
        sent = RequestRecord(method="POST", url="https://a.example", headers={"x-of": KEY}, body=f'{{"id":"{KEY}"}}')
        attempt = msgspec.structs.replace(
            ended.attempt, requests=(sent,), response=f"no {EMAIL}\n{KEY}", reason=quoted, console=(f"now {PHONE}",)
        )
        failure = f"refused {KEY}" if state is DeliveryState.FAILED else None
        keys = (
            SentKey(
                workspace="w", event_id=f"01{number}", message_id=one.message.id, endpoint_id="ep_1", sent_at_ms=1
            ),
        )
        await store.record(
            [
                msgspec.structs.replace(
                    ended,
                    attempt=attempt,
                    reason=quoted,
                    failure=failure,
                    half_sent=half_sent() if ended.due_at_ms and one.message.customer_key == KEY else None,
                    sent_keys=keys,
                    left=True,
                )
            ]
        )
    # Beside the messages.
    source = make_source_of(app)
    await store.change([source])
    refused = RejectedRequest(source_id="src_1", at_ms=1, status=401, reason=quoted, event_id=KEY)
    await store.keep_refusals([refused])
    await store.keep_breaker(1, BREAKER, term=0)
    task = NewTask(
        id="qtask_1",
        app_id=app.id,
        endpoint_seq=1,
        endpoint_id="ep_1",
        kind=TaskKind.BULK_REPLAY,
        filter=ReplayFilter(customer_key=KEY),
        created_at_ms=1,
    )
    await store.add_task(task, audit_line=audited(app, KEY))
    draft = Draft(
        id="draft_1",
        app_id=app.id,
        connector="http",
        name="x",
        updated_at_ms=1,
        sealed_credentials=b"",
        code=f"// {EMAIL}",
    )
    await store.put_draft(draft, forget_before_ms=0)
    # Without a customer: an event that cannot be read, and one whose id names the customer.
    unread = message(901, None, event_id=f"evt of {EMAIL}", body=b'{"broken": "' + KEY.encode())
    await store.append(msgspec.structs.replace(unread, app_id=app.id))
    # Sent as they are, beside an empty payload.
    raw = message(902, None, body=b"{}")
    params = {"rawPayload": f"<email>{EMAIL}</email>"}
    await store.append(msgspec.structs.replace(raw, app_id=app.id, params=params))
    tagged = message(903, None, body=b"{}")
    await store.append(msgspec.structs.replace(tagged, app_id=app.id, tags=(KEY,)))


def make_source_of(app):
    vault = Vault(b"k" * 32)
    made = make_source(
        vault=vault,
        ids=IdFactory(lambda: 1),
        app_id=app.id,
        name="dodo",
        kind="dodo-payments",
        secrets=[new_webhook_secret()],
    )
    return PutSource(source=msgspec.structs.replace(made, id="src_1"))


def audited(app, text: str) -> Audited:
    return Audited(at_ms=1, actor="a", action="task.cancel", app_id=app.id, subject="s", detail=f"for {text}")


def stored_text(store, directory: Path) -> bytes:
    """Everything that a database has: the bytes of its files, or all tables of a server as text."""
    if hasattr(store._database, "files"):
        return b"".join(file.read_bytes() for file in sorted(directory.iterdir()) if "nicobar.db" in file.name)
    found = []
    with psycopg.connect(store._database._readers._url) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
        ).fetchall()
        for (table,) in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"').fetchall():
                found += [item if isinstance(item, bytes) else str(item).encode() for item in row]
    return b"\n".join(found)


def named(text: bytes) -> list[str]:
    return [value for value in VALUES if value.encode() in text]


async def test_an_erased_customer_is_in_no_table_and_no_byte_of_the_file(store, tmp_path):
    await fill(store)
    assert set(named(stored_text(store, tmp_path))) == set(VALUES) - {EMAIL.lower(), "4722550199"}
    done = await erased(store)
    assert (done.messages, done.report.without_customer) == (20, 3)
    assert done.report.is_clean, done.report
    assert (done.report.files is None) is not hasattr(store._database, "files")
    assert named(stored_text(store, tmp_path)) == []


async def test_nobody_with_a_similar_id_or_address_is_changed(store, tmp_path):
    await fill(store, count=4)
    (app,) = (await store.snapshot()).applications
    theirs = message(50, OTHER_KEY, body=body_of(OTHER_KEY, OTHER_EMAIL))
    naming = message(51, "cus_friend", body=b'{"data":{"invited_by":"%s"}}' % KEY.encode())
    for each in (theirs, naming):
        await store.append(msgspec.structs.replace(each, app_id=app.id))
    report = (await erased(store)).report
    for each in (theirs, naming):
        assert (await store.message(each.id)).body == each.body
    assert report.other_messages == (naming.id, theirs.id) if PHONE in report.other_messages else (naming.id,)
    assert [place.name for place in report.tables] == ["messages"]


@pytest.mark.parametrize("key", ["template", "response", "half_open", "failed", "3"])
async def test_a_customer_named_like_a_part_of_records_breaks_none(store, key):
    await fill(store, count=4)
    (app,) = (await store.snapshot()).applications
    await store.keep_breaker(1, msgspec.structs.replace(BREAKER, state=BreakerState.HALF_OPEN, failures=3), term=0)
    task = NewTask(
        id="qtask_2",
        app_id=app.id,
        endpoint_seq=1,
        endpoint_id="ep_1",
        kind=TaskKind.BULK_REPLAY,
        filter=ReplayFilter(states=(DeliveryState.FAILED,), tag="x"),
        created_at_ms=1,
    )
    await store.add_task(task, audit_line=audited(app, ""))
    await store.append(msgspec.structs.replace(message(60, key), app_id=app.id))
    before = (await store.breakers(), await store.attempts("msg_1", "ep_1"), await store.task("qtask_2"))
    assert (await erased(store, key)).messages == 1
    assert before == (
        await store.breakers(),
        await store.attempts("msg_1", "ep_1"),
        await store.task("qtask_2"),
    )
