"""What every store keeps of events that are sent to it again: other bodies, and ids made of natural keys."""

from __future__ import annotations

import msgspec
import pytest

from contracts.test_stores import claim, done, endpoint, message
from nicobar.model import DeliveryState
from nicobar.store import SentKey
from nicobar.store.queue import MAX_REVISIONS, MAX_REVISIONS_BYTES

DAY_MS = 24 * 3_600_000


@pytest.fixture
async def store(store):
    await store.change([await endpoint(store, "ep_1")])
    return store


async def again(store, body: bytes, *, at_ms: int = 20, **changes: object):
    new = message(9, event_id="evt_1", body=body, accepted_at_ms=at_ms)
    return await store.append(msgspec.structs.replace(new, **changes))


async def bodies(store) -> list[bytes]:
    return [revision.body for revision in await store.revisions("msg_1")]


async def test_other_body_of_one_source_is_kept_beside_the_first(store):
    await store.append(message(1, body=b"first"))
    appended = await again(store, b"second")
    assert (appended.message_id, appended.duplicate, appended.taken, appended.revised) == ("msg_1", True, False, True)
    for body, at_ms in ((b"second", 30), (b"third", 40)):
        assert (await again(store, body, at_ms=at_ms)).revised
    assert not (await again(store, b"first")).revised
    assert await bodies(store) == [b"second", b"third"]
    assert (await again(store, b"fourth", source_id="other")).taken
    assert await bodies(store) == [b"second", b"third"]
    assert len(await claim(store)) == 1, "nothing is sent for them"


async def test_revisions_of_a_message_are_bounded(store):
    await store.append(message(1, body=b"first"))
    for number in range(MAX_REVISIONS + 5):
        await again(store, b"%d" % number, at_ms=100 + number)
    assert await bodies(store) == [b"%d" % number for number in range(MAX_REVISIONS)]
    await store.append(message(2, body=b"first"))
    half = b"x" * (MAX_REVISIONS_BYTES // 2)
    for at_ms, body in enumerate((half, half + b"y", b"small")):
        await again(store, body, at_ms=at_ms, event_id="evt_2")
    assert [len(revision.body) for revision in await store.revisions("msg_2")] == [len(half), len(b"small")]


@pytest.mark.parametrize("how", ["message", "customer", "retention", "forgotten"])
async def test_revisions_are_deleted_with_their_message(store, how):
    await store.append(message(1, body=b"first", endpoints=()))
    await store.append(message(2, body=b"first", endpoints=(), accepted_at_ms=5_000))
    await again(store, b"second")
    if how == "message":
        await store.expunge_message("msg_1", now_ms=50)
    elif how == "customer":
        await store.expunge_customer("app", "cus_1", now_ms=50, limit=10)
    else:
        step = store.expunge_old if how == "retention" else store.forget_old
        await step(before_ms=1_000, now_ms=6_000, after_seq=0, limit=10)
    assert await bodies(store) == []
    if how == "message":
        assert not (await again(store, b"third")).revised
        assert await bodies(store) == []


def key(event_id: str, message_id: str, at_ms: int = 100, workspace: str = "w") -> SentKey:
    return SentKey(
        workspace=workspace, event_id=event_id, message_id=message_id, endpoint_id="ep_1", sent_at_ms=at_ms
    )


async def send(store, number: int, *keys: SentKey) -> None:
    await store.append(message(number))
    (claimed,) = await claim(store)
    finished = done(claimed, DeliveryState.SUCCESS, attempt=f"atmpt_{number}")
    accepted_ids = tuple(item.event_id for item in keys)
    await store.record([msgspec.structs.replace(finished, sent_keys=keys, accepted_ids=accepted_ids)])


async def test_first_message_of_a_natural_key_is_known(store):
    await send(store, 1, key("id_1", "msg_1"), key("id_2", "msg_1", workspace="other"))
    await send(store, 2, key("id_1", "msg_2", 200), key("id_3", "msg_2", 200))
    found = await store.sent_keys(["w"], ["id_1", "id_2", "id_3", "id_4"])
    assert {event_id: item.message_id for event_id, item in found.items()} == {"id_1": "msg_1", "id_3": "msg_2"}
    assert set(await store.sent_keys(["w", "other"], ["id_1", "id_2"])) == {"id_1", "id_2"}
    assert await store.sent_keys([], ["id_1"]) == {}
    assert await store.accepted_ids(["msg_1", "msg_2", "msg_3"]) == {
        ("msg_1", "ep_1"): ("id_1", "id_2"),
        ("msg_2", "ep_1"): ("id_1", "id_3"),
    }


async def test_natural_keys_outlive_their_message(store):
    await send(store, 1, key("id_1", "msg_1"))
    await send(store, 2, key("id_2", "msg_2", 5 * DAY_MS))
    await store.expunge_message("msg_1", now_ms=50)
    await store.expunge_old(before_ms=1_000, now_ms=6_000, after_seq=0, limit=10)
    await store.forget_old(before_ms=1_000, now_ms=6_000, after_seq=0, limit=10)
    assert set(await store.sent_keys(["w"], ["id_1", "id_2"])) == {"id_1", "id_2"}
    assert await store.forget_sent_keys(before_ms=DAY_MS, limit=10) == 1
    assert set(await store.sent_keys(["w"], ["id_1", "id_2"])) == {"id_2"}
