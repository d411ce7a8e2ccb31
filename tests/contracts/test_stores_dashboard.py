"""What every store promises the dashboard: users, sessions, links, drafts."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.errors import ConfigurationError, StoreMoved
from nicobar.model import Identity
from nicobar.store import (
    AddUser,
    Audited,
    CleanUp,
    Draft,
    EndSessions,
    PasswordLink,
    PutIdentity,
    PutLink,
    RemoveDraft,
    RemoveLink,
    RemoveUser,
    SetPassword,
    SetRole,
    User,
    UserRole,
)
from nicobar.store.history import AuditFilter

OWNER = User(id="usr_1", name="owner", role=UserRole.OWNER, password_hash="$argon2id$1", created_at_ms=5)
EDITOR = User(id="usr_ada", name="ada", role=UserRole.EDITOR, password_hash="$argon2id$1", created_at_ms=6)
SAID = Audited(at_ms=1, actor="user owner", action="user.create", app_id=None, subject="usr_1")
DRAFT = Draft(
    id="draft_1",
    app_id="app_1",
    connector="customerio",
    name="Customer.io",
    updated_at_ms=10,
    sealed_credentials=b"\0sealed",
    settings={"region": "eu", "keep_profile": False, "event_names": {"a": "b"}},
    event_types=("a.b",),
    variables={"K": "V"},
    code="function handler() {}",
    endpoint_id="ep_1",
)


def link(sha256: str, name: str = "owner", role: UserRole = UserRole.OWNER, until_ms: int = 100) -> PasswordLink:
    return PasswordLink(name=name, sha256=sha256, role=role, created_at_ms=1, expires_at_ms=until_ms)


async def put_link(store, *args, **kwargs):
    await store.change([PutLink(link=link(*args, **kwargs))])


async def add_user(store, user):
    await put_link(store, f"of {user.name}", user.name, user.role)
    assert await store.set_up(f"of {user.name}", user, SAID, now_ms=0)


async def test_a_link_works_once_and_is_revoked_by_the_next(store):
    assert await store.link("a", now_ms=0) is None
    await put_link(store, "a")
    await put_link(store, "b")
    assert await store.link("a", now_ms=0) is None
    assert await store.link("b", now_ms=99) == link("b")
    assert await store.link("b", now_ms=100) is None
    assert not await store.set_up("b", OWNER, SAID, now_ms=100)
    assert not await store.set_up("a", OWNER, SAID, now_ms=0)
    assert not await store.set_up("b", EDITOR, SAID, now_ms=0), "it is another one's"
    assert await store.user("owner") is None
    assert await store.set_up("b", OWNER, SAID, now_ms=99)
    assert not await store.set_up("b", OWNER, SAID, now_ms=99)
    assert await store.user("owner") == OWNER
    assert [item.action for item in (await store.audit(AuditFilter(), limit=5)).items] == [SAID.action]


async def test_valid_links_are_listed_and_can_be_revoked(store):
    await put_link(store, "a", "zoe", UserRole.VIEWER)
    await put_link(store, "b", "ada", UserRole.EDITOR, until_ms=50)
    assert [link.name for link in await store.links(now_ms=49)] == ["ada", "zoe"]
    assert [link.name for link in await store.links(now_ms=50)] == ["zoe"]
    await store.change([RemoveLink(name="zoe")])
    assert await store.links(now_ms=0) == [link("b", "ada", UserRole.EDITOR, until_ms=50)]


async def test_changing_a_role_revokes_the_link(store):
    await add_user(store, OWNER)
    await add_user(store, EDITOR)
    await put_link(store, "a", "ada", UserRole.EDITOR)
    await store.change([SetRole(user_id=EDITOR.id, role=UserRole.VIEWER)])
    assert await store.links(now_ms=0) == []
    await put_link(store, "b", "ada", UserRole.OWNER)
    promoted = msgspec.structs.replace(EDITOR, id="usr_new", role=UserRole.OWNER, password_hash="$argon2id$4")
    assert await store.set_up("b", promoted, SAID, now_ms=0)
    assert await store.user("ada") == msgspec.structs.replace(promoted, id=EDITOR.id)


async def test_users_change_and_go_and_somebody_stays_owner(store):
    await add_user(store, OWNER)
    await add_user(store, EDITOR)
    assert await store.users() == [EDITOR, OWNER]
    for change in (SetRole(user_id=OWNER.id, role=UserRole.VIEWER), RemoveUser(user_id=OWNER.id)):
        with pytest.raises(ConfigurationError, match="owner"):
            await store.change([change])
    assert await store.users() == [EDITOR, OWNER]
    promoted = msgspec.structs.replace(EDITOR, role=UserRole.OWNER, password_hash="$argon2id$3")
    changed = SetPassword(user_id=EDITOR.id, password_hash=promoted.password_hash)
    await store.change([SetRole(user_id=EDITOR.id, role=UserRole.OWNER), changed])
    assert await store.user("ada") == promoted
    for session in ("one", "two"):
        await store.add_session(session, OWNER.id, now_ms=0, expires_at_ms=50)
    await store.change([EndSessions(user_id=OWNER.id)])
    assert await store.session_user("one", now_ms=0) is None
    await store.add_session("three", OWNER.id, now_ms=0, expires_at_ms=50)
    await put_link(store, "new", "owner")
    await store.change([RemoveUser(user_id=OWNER.id)])
    assert await store.users() == [promoted]
    assert await store.session_user("three", now_ms=0) is None
    assert await store.links(now_ms=0) == []
    with pytest.raises(ConfigurationError, match="no user"):
        await store.change([RemoveUser(user_id=OWNER.id)])


async def test_a_provider_s_subject_is_one_user_until_they_are_removed(store):
    await add_user(store, OWNER)
    await store.change([AddUser(user=EDITOR)])
    with pytest.raises(StoreMoved):
        await store.change([AddUser(user=msgspec.structs.replace(EDITOR, id="usr_2"))])
    ada = Identity(issuer="https://sso.example", subject="s", user_id=EDITOR.id, created_at_ms=7)
    await store.change([PutIdentity(identity=ada)])
    assert await store.identity_user("https://sso.example", "s") == EDITOR
    assert await store.identity_user("https://other.example", "s") is None
    assert await store.identities("https://sso.example") == [ada]
    owner = msgspec.structs.replace(ada, user_id=OWNER.id)
    with pytest.raises(StoreMoved):
        await store.change([PutIdentity(identity=owner)])
    await store.change([RemoveUser(user_id=EDITOR.id)])
    assert await store.identity_user("https://sso.example", "s") is None
    await store.change([PutIdentity(identity=owner)])
    assert await store.identity_user("https://sso.example", "s") == OWNER


async def test_sessions_end_by_time_sign_out_or_password_change(store):
    await add_user(store, OWNER)
    for session in ("one", "two"):
        await store.add_session(session, OWNER.id, now_ms=0, expires_at_ms=50)
    assert await store.session_user("one", now_ms=49) == OWNER
    assert await store.session_user("one", now_ms=50) is None
    assert await store.session_user("other", now_ms=0) is None
    await store.remove_session("one")
    assert await store.session_user("one", now_ms=0) is None
    await put_link(store, "again")
    changed = msgspec.structs.replace(OWNER, id="usr_2", password_hash="$argon2id$2")
    assert await store.set_up("again", changed, SAID, now_ms=0)
    assert await store.session_user("two", now_ms=0) is None
    known = await store.user("owner")
    assert (known.id, known.role, known.password_hash) == (OWNER.id, UserRole.OWNER, "$argon2id$2")


async def test_what_retention_took_last_stays_until_it_takes_something_again(store):
    assert await store.last_clean_up() is None
    await store.keep_clean_up(ended_at_ms=1, emptied=0, forgotten=0)
    assert await store.last_clean_up() == CleanUp(ended_at_ms=1, took_at_ms=None, emptied=0, forgotten=0)
    await store.keep_clean_up(ended_at_ms=2, emptied=3, forgotten=0)
    await store.keep_clean_up(ended_at_ms=3, emptied=0, forgotten=0)
    assert await store.last_clean_up() == CleanUp(ended_at_ms=3, took_at_ms=2, emptied=3, forgotten=0)
    await store.keep_clean_up(ended_at_ms=4, emptied=0, forgotten=5)
    assert await store.last_clean_up() == CleanUp(ended_at_ms=4, took_at_ms=4, emptied=0, forgotten=5)
    assert await store.size_bytes() > 0


async def test_drafts_are_stored_replaced_and_deleted_when_old(store):
    await store.put_draft(DRAFT, forget_before_ms=0)
    assert await store.draft(DRAFT.id) == DRAFT
    changed = msgspec.structs.replace(DRAFT, name="Journeys", updated_at_ms=20, code="", revision=1)
    await store.put_draft(changed, forget_before_ms=15)
    assert await store.draft(DRAFT.id) == changed
    await store.put_draft(msgspec.structs.replace(DRAFT, id="draft_2", updated_at_ms=40), forget_before_ms=30)
    assert await store.draft(DRAFT.id) is None
    await store.remove_draft("draft_2")
    assert await store.draft("draft_2") is None


async def test_a_draft_changed_elsewhere_is_not_replaced(store):
    await store.put_draft(DRAFT, forget_before_ms=0)
    first = msgspec.structs.replace(DRAFT, code="first", revision=1)
    await store.put_draft(first, forget_before_ms=0)
    for late in (msgspec.structs.replace(DRAFT, code="second", revision=1), DRAFT):
        with pytest.raises(StoreMoved, match="another window"):
            await store.put_draft(late, forget_before_ms=0)
    assert await store.draft(DRAFT.id) == first
    await store.remove_draft(DRAFT.id)
    with pytest.raises(StoreMoved):
        await store.put_draft(msgspec.structs.replace(first, revision=2), forget_before_ms=0)
    assert await store.draft(DRAFT.id) is None


async def test_nothing_is_made_from_a_draft_that_moved(store):
    await store.put_draft(DRAFT, forget_before_ms=0)
    await store.put_draft(msgspec.structs.replace(DRAFT, revision=1), forget_before_ms=0)
    version = await store.version()
    with pytest.raises(StoreMoved, match="another window"):
        await store.change([PutLink(link=link("a")), RemoveDraft(draft_id=DRAFT.id, revision=0)])
    assert await store.version() == version
    assert await store.link("a", now_ms=0) is None
    assert await store.draft(DRAFT.id) is not None
    await store.change([RemoveDraft(draft_id=DRAFT.id, revision=1)])
    assert await store.draft(DRAFT.id) is None
    with pytest.raises(StoreMoved, match="another window"):
        await store.change([RemoveDraft(draft_id=DRAFT.id, revision=1)])


async def test_an_endpoint_s_draft_is_the_latest_one(store):
    older = msgspec.structs.replace(DRAFT, id="draft_9", updated_at_ms=5)
    other = msgspec.structs.replace(DRAFT, id="draft_3", updated_at_ms=50, endpoint_id="ep_2")
    fresh = msgspec.structs.replace(DRAFT, id="draft_4", updated_at_ms=60, endpoint_id=None)
    for item in (DRAFT, older, other, fresh):
        await store.put_draft(item, forget_before_ms=0)
    assert await store.draft_of("app_1", "ep_1") == DRAFT
    assert await store.draft_of("app_1", "ep_3") is None
    assert await store.draft_of("app_2", "ep_1") is None
    new = [
        msgspec.structs.replace(DRAFT, id=f"draft_new_{at_ms}", endpoint_id=None, updated_at_ms=at_ms)
        for at_ms in (7, 9, 8)
    ]
    for draft in new:
        await store.put_draft(draft, forget_before_ms=0)
    found = await store.unfinished_drafts("app_1", limit=2)
    assert [draft.id for draft in found] == ["draft_4", "draft_new_9"]
    assert await store.unfinished_drafts("app_2", limit=2) == []


async def test_a_draft_with_a_null_character_is_refused(store):
    with pytest.raises(ConfigurationError) as caught:
        await store.put_draft(msgspec.structs.replace(DRAFT, code="a\0b"), forget_before_ms=0)
    assert caught.value.code == "value_invalid"
    code = r"'\u0000' is written out"
    await store.put_draft(msgspec.structs.replace(DRAFT, code=code), forget_before_ms=0)
    assert (await store.draft_of("app_1", "ep_1")).code == code
