"""What every store promises the dashboard: users, sessions, the one link, drafts."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.store import Draft, User, UserRole
from nicobar.store.sqlite import SqliteStore

OPEN = {"sqlite": lambda path: SqliteStore.open(path / "nicobar.db", now_ms=1_700_000_000_000)}
OWNER = User(id="usr_1", name="owner", role=UserRole.OWNER, password_hash="$argon2id$1", created_at_ms=5)
DRAFT = Draft(
    id="draft_1",
    app_id="app_1",
    connector="customerio",
    name="Customer.io",
    updated_at_ms=10,
    sealed_credentials=b"\0sealed",
    settings={"region": "eu", "keep_profile": False},
    event_types=("a.b",),
    variables={"K": "V"},
    code="function handler() {}",
    endpoint_id="ep_1",
)


@pytest.fixture(params=OPEN)
async def store(request, tmp_path):
    it = await OPEN[request.param](tmp_path)
    yield it
    await it.close()


async def test_a_link_is_good_once_until_it_ends_and_the_next_one_ends_it(store):
    assert not await store.is_setup("a", now_ms=0)
    await store.offer_setup("a", expires_at_ms=100)
    await store.offer_setup("b", expires_at_ms=100)
    assert not await store.is_setup("a", now_ms=0)
    assert await store.is_setup("b", now_ms=99)
    assert not await store.is_setup("b", now_ms=100)
    assert not await store.set_up("b", OWNER, now_ms=100)
    assert not await store.set_up("a", OWNER, now_ms=0)
    assert await store.user("owner") is None
    assert await store.set_up("b", OWNER, now_ms=99)
    assert not await store.set_up("b", OWNER, now_ms=99)
    assert await store.user("owner") == OWNER


async def test_a_session_lasts_until_it_ends_is_signed_out_or_the_password_changes(store):
    await store.offer_setup("link", expires_at_ms=100)
    await store.set_up("link", OWNER, now_ms=0)
    for session in ("one", "two"):
        await store.add_session(session, OWNER.id, now_ms=0, expires_at_ms=50)
    assert await store.session_user("one", now_ms=49) == OWNER
    assert await store.session_user("one", now_ms=50) is None
    assert await store.session_user("other", now_ms=0) is None
    await store.remove_session("one")
    assert await store.session_user("one", now_ms=0) is None
    await store.offer_setup("again", expires_at_ms=100)
    changed = msgspec.structs.replace(OWNER, id="usr_2", password_hash="$argon2id$2")
    assert await store.set_up("again", changed, now_ms=0)
    assert await store.session_user("two", now_ms=0) is None
    known = await store.user("owner")
    assert (known.id, known.password_hash) == (OWNER.id, "$argon2id$2")


async def test_a_draft_is_kept_as_it_is_replaced_and_forgotten_when_it_is_old(store):
    await store.put_draft(DRAFT, forget_before_ms=0)
    assert await store.draft(DRAFT.id) == DRAFT
    changed = msgspec.structs.replace(DRAFT, name="Journeys", updated_at_ms=20, code="")
    await store.put_draft(changed, forget_before_ms=15)
    assert await store.draft(DRAFT.id) == changed
    await store.put_draft(msgspec.structs.replace(DRAFT, id="draft_2", updated_at_ms=40), forget_before_ms=30)
    assert await store.draft(DRAFT.id) is None
    await store.remove_draft("draft_2")
    assert await store.draft("draft_2") is None


async def test_an_endpoint_s_draft_is_the_one_that_was_changed_last(store):
    older = msgspec.structs.replace(DRAFT, id="draft_9", updated_at_ms=5)
    other = msgspec.structs.replace(DRAFT, id="draft_3", updated_at_ms=50, endpoint_id="ep_2")
    fresh = msgspec.structs.replace(DRAFT, id="draft_4", updated_at_ms=60, endpoint_id=None)
    for one in (DRAFT, older, other, fresh):
        await store.put_draft(one, forget_before_ms=0)
    assert await store.draft_of("app_1", "ep_1") == DRAFT
    assert await store.draft_of("app_1", "ep_3") is None
    assert await store.draft_of("app_2", "ep_1") is None
