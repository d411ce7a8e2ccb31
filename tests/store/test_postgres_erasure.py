"""What is erased while it is being sent again, and events whose first message is deleted meanwhile."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from contracts.test_stores import claim, done, endpoint, message
from contracts.test_stores_replays import finish, post
from nicobar.model import DeliveryState
from nicobar.store import Resent
from nicobar.store.postgres import PostgresStore
from nicobar.store.postgres.connection import PostgresSession, connect, transaction
from nicobar.store.postgres.hot import append_many
from nicobar.store.tables.retention import expunge

# Long enough that a write without a lock would be over.
WAITING_S = 0.1
REPLAY = {"message_seqs": [1], "endpoint_seq": 1, "now_ms": 100, "new_ids": False}
REPLAY |= {"edition": 0, "replay_key": "", "task_seq": None, "order_keys": "{}"}


@pytest.fixture
async def store(url):
    opened = PostgresStore(url)
    await opened.change([await endpoint(opened, "ep_1")])
    yield opened
    await opened.close()


@pytest.mark.parametrize("sent_before", [True, False])
async def test_a_customer_erased_during_a_resend_leaves_nothing(store, url, sent_before):
    (app,) = (await store.snapshot()).applications
    await post(store, 1, "cus", endpoints=(1,) if sent_before else ())
    await finish(store, DeliveryState.SUCCESS)
    with connect(url) as other, transaction(other, 10_000) as session:
        session.lock(1, order_all=True)
        assert session.run("replay_deliveries", REPLAY) == 1
        erasing = asyncio.create_task(store.expunge_customer(app.id, "cus", now_ms=200, limit=10))
        await asyncio.wait([erasing], timeout=WAITING_S)
    assert await erasing == 1
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT state, customer_key FROM deliveries").fetchall()
    assert rows == [("canceled", None)]
    assert await claim(store) == []


async def test_a_message_emptied_during_a_resend_is_not_sent(store, url):
    await post(store, 1, "cus")
    await finish(store, DeliveryState.SUCCESS)
    with connect(url) as other, transaction(other, 10_000) as session:
        assert expunge(session, [1], 200) == 1
        resending = asyncio.create_task(store.resend("msg_1", "ep_1", now_ms=300, new_ids=False))
        await asyncio.wait([resending], timeout=WAITING_S)
    assert await resending is Resent.EXPUNGED
    assert [delivery.state for delivery in await store.deliveries("msg_1")] == [DeliveryState.SUCCESS]
    assert await claim(store) == []


async def test_an_event_id_that_was_just_forgotten_is_a_new_one(store, url):
    class Forgetful(PostgresSession):
        """Another process deletes the message and its event id before they can be looked at."""

        def rows(self, name, values=None):
            if name == "find_events":
                with psycopg.connect(url) as other:
                    other.execute("DELETE FROM messages WHERE id = 'msg_1'")
                    other.execute("DELETE FROM event_ids WHERE message_id = 'msg_1'")
            return super().rows(name, values or {})

    await store.append(message(1, event_id="same"))
    await store.record([done(item) for item in await claim(store)])
    with connect(url) as connection, transaction(connection, 10_000):
        group = [(message(2), None), (message(3, event_id="same"), None), (message(4, event_id="same"), None)]
        appended = append_many(Forgetful(connection), group)
    assert [(item.message_id, item.duplicate) for item in appended] == [
        ("msg_2", False),
        ("msg_3", False),
        ("msg_3", True),
    ]
