"""Stored secrets get another key while other processes change them."""

from __future__ import annotations

import pytest

from nicobar.audit import AuditAction
from nicobar.cli.options import CommandServices
from nicobar.connectors.signing_secrets import new_secret
from nicobar.crypto import SEALED_PREFIX_BYTES, Vault, key_id, new_webhook_secret, sealed_prefix
from nicobar.errors import StoreMoved, StoreUnusable, UserError
from nicobar.ids import IdFactory
from nicobar.model import TargetKind
from nicobar.pipeline.alert_targets import Address, open_address
from nicobar.pipeline.configuration import Configuration, secrets_of, source_secrets
from nicobar.settings import Settings
from nicobar.store import Draft
from nicobar.store.history import AuditFilter
from nicobar.use_cases import alert_targets, endpoints, sources
from nicobar.use_cases.edit import edited
from nicobar.use_cases.endpoint_records import EndpointPatch, EndpointSpec
from nicobar.use_cases.key_rotation import MAX_PASSES, STEP_VALUES, key_uses, rotate_key
from nicobar.use_cases.lookups import endpoint_of_id
from nicobar.use_cases.sealed_answers import answer_purpose
from nicobar.use_cases.sealed_answers import test_owner as owner_of_tests
from support.clock import MovingClock
from support.store import run_sql

OLD, NEW = b"o" * 32, b"n" * 32
SECRET = new_webhook_secret()
ANSWERS = [("tok_1", "key", "request"), (owner_of_tests("ep_1"), "test", "")]


class Actor:
    name = "tester"


class Skipping(MovingClock):
    """Waits are over at once; `meanwhile` runs within the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile = None

    async def wait(self, signal, timeout_ms):
        self.move(timeout_ms)
        if self.meanwhile is not None:
            await self.meanwhile()
        return signal.is_set()


def process(store, *keys: bytes) -> CommandServices:
    """Another process with its own vault."""
    clock = Skipping()
    return CommandServices(
        store=store,
        vault=Vault(*keys),
        clock=clock,
        ids=IdFactory(clock.now_ms),
        settings=Settings(),
        snapshot=None,
    )


@pytest.fixture
async def filled(store, tmp_path):
    """A database with a secret in each place, sealed with the old key."""
    run_sql(tmp_path, f"INSERT INTO installation (id, installation_id, key_id) VALUES (1, 'inst_1', '{key_id(OLD)}')")
    it = process(store, OLD)
    app_id = (await store.snapshot()).applications[0].id

    async def fill(edit):
        source = sources.SourceSpec(kind="dodo-payments", name="dodo", secrets=(SECRET,))
        target = alert_targets.TargetSpec(name="hook", kind=TargetKind.WEBHOOK, address="https://alert.example/x")
        headers = EndpointSpec(
            connector="http",
            name="http",
            settings={"url": "https://shop.example/"},
            credentials={"secret": SECRET},
            headers={"x-token": "of the shop"},
        )
        acts = [
            sources.creation(it, edit.snapshot, app_id, source)[1],
            endpoints.creation(it, edit.snapshot, app_id, headers)[1],
            alert_targets.creation(it, edit.snapshot, target)[1],
        ]
        await edit.commit_acts(acts)

    await edited(it, Actor, fill)
    await put_draft(it, "draft_1")
    for token_id, key, request in ANSWERS:
        await store.begin_answer(token_id, key, request, now_ms=1, before_ms=0)
        body = it.vault.seal(b"an answer", answer_purpose(token_id, key, request))
        await store.keep_answer(token_id, key, status=200, body=body)
    return store


async def put_draft(it: CommandServices, draft_id: str) -> None:
    sealed = it.vault.seal(b'{"api_key":"kept"}', draft_id)
    draft = Draft(
        id=draft_id, app_id="app_1", connector="customerio", name="one", updated_at_ms=1, sealed_credentials=sealed
    )
    await it.store.put_draft(draft, forget_before_ms=0)


async def read_all(store, vault: Vault) -> list[object]:
    """Every secret, as its reader opens it."""
    snapshot = await store.snapshot()
    found = [source_secrets(vault, source) for source in snapshot.sources]
    found += [secrets_of(vault, endpoint) for endpoint in snapshot.endpoints]
    found += [open_address(vault, target) for target in snapshot.alert_targets]
    draft = await store.draft("draft_1")
    found.append(vault.unseal(draft.sealed_credentials, draft.id))
    for token_id, key, request in ANSWERS:
        kept = await store.answer(token_id, key)
        found.append(vault.unseal(kept.body, answer_purpose(token_id, key, request)))
    return found


EVERYTHING = [
    (SECRET,),
    ({"secret": SECRET}, {"x-token": "of the shop"}),
    Address(address="https://alert.example/x"),
    b'{"api_key":"kept"}',
    b"an answer",
    b"an answer",
]


async def test_after_a_rotation_the_new_key_alone_opens_everything(filled):
    it = process(filled, OLD, NEW)
    steps = []
    rotation = await rotate_key(it, Actor, lambda *step: steps.append(step))
    assert await read_all(filled, Vault(NEW)) == EVERYTHING
    assert (rotation.key_id, rotation.unused_key_ids, rotation.resealed) == (key_id(NEW), (key_id(OLD),), 7)
    assert steps[-1] == (7, 0)
    assert (await key_uses(filled, it.vault)).counts == {key_id(NEW): 7}
    (line,) = (await filled.audit(AuditFilter(actions=(AuditAction.KEY_REPLACE.value,)), limit=5)).items
    assert line.subject == key_id(NEW)
    again = await rotate_key(process(filled, OLD, NEW), Actor)
    assert again.resealed == 0
    back = await rotate_key(process(filled, NEW, OLD), Actor)
    assert (back.key_id, back.resealed) == (key_id(OLD), 7)


async def test_an_interrupted_rotation_continues(filled, monkeypatch):
    monkeypatch.setattr("nicobar.use_cases.key_rotation.STEP_VALUES", 2)
    it = process(filled, OLD, NEW)

    def die(done, _left):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rotate_key(it, Actor, die)
    assert (await key_uses(filled, it.vault)).counts == {key_id(OLD): 3, key_id(NEW): 4}
    assert (await filled.sealing_key()).older_key_ids == (key_id(OLD),)
    assert await read_all(filled, Vault(OLD, NEW)) == EVERYTHING
    assert (await rotate_key(process(filled, OLD, NEW), Actor)).resealed == 3
    assert (await filled.sealing_key()).older_key_ids == ()
    assert await read_all(filled, Vault(NEW)) == EVERYTHING


async def test_a_secret_that_changes_meanwhile_keeps_its_new_value(filled):
    it, other = process(filled, OLD, NEW), process(filled, OLD, NEW)
    endpoint_id = (await filled.snapshot()).endpoints[0].id
    changed = new_secret("hmac")
    read = filled.sealed_values

    async def read_then_changed(**page):
        values = await read(**page)

        async def change(edit):
            patch = EndpointPatch(credentials={"secret": changed})
            await endpoints.update(edit, endpoint_of_id(edit.snapshot, endpoint_id), patch)

        await edited(other, Actor, change)
        return values

    filled.sealed_values = read_then_changed
    await rotate_key(it, Actor)
    (endpoint,) = (await filled.snapshot()).endpoints
    assert secrets_of(Vault(NEW), endpoint)[0] == {"secret": changed}


async def test_an_edit_from_before_the_rotation_is_decided_again(filled):
    it, other = process(filled, OLD, NEW), process(filled, OLD, NEW)
    async with other.edit(Actor) as edit:
        await rotate_key(it, Actor)
        with pytest.raises(StoreMoved):
            await endpoints.update(edit, edit.snapshot.endpoints[0], EndpointPatch(name="two"))
    async with other.edit(Actor) as edit:
        patch = EndpointPatch(credentials={"secret": new_secret("hmac")})
        await endpoints.update(edit, edit.snapshot.endpoints[0], patch)
    assert (await key_uses(filled, it.vault)).counts == {key_id(NEW): 7}


async def test_of_two_rotations_at_once_one_ends_without_a_change(filled):
    first, second = process(filled, OLD, NEW), process(filled, OLD, b"m" * 32)
    read = filled.sealing_key

    async def read_then_rotated():
        found = await read()
        filled.sealing_key = read
        await rotate_key(first, Actor)
        return found

    filled.sealing_key = read_then_rotated
    with pytest.raises(StoreMoved, match="replaced by another process"):
        await rotate_key(second, Actor)
    assert await read_all(filled, Vault(NEW)) == EVERYTHING
    key = await filled.sealing_key()
    assert (key.key_id, key.older_key_ids) == (key_id(NEW), ())


async def test_what_other_processes_store_late_is_found_before_the_end(filled):
    it, late = process(filled, OLD, NEW), process(filled, OLD, NEW)
    left = [f"draft_{number}" for number in range(2, 5)]

    async def store_one():
        if left:
            await put_draft(late, left.pop())

    it.clock.meanwhile = store_one
    assert (await rotate_key(it, Actor)).resealed == 10
    assert (await key_uses(filled, it.vault)).counts == {key_id(NEW): 10}


async def test_old_key_is_needed_while_a_process_seals_with_it(filled):
    it, outdated = process(filled, OLD, NEW), process(filled, OLD)
    numbers = iter(range(100, 200))

    async def store_one():
        await put_draft(outdated, f"draft_{next(numbers)}")

    it.clock.meanwhile = store_one
    with pytest.raises(UserError, match="still encrypt"):
        await rotate_key(it, Actor)
    assert (await filled.sealing_key()).older_key_ids == (key_id(OLD),)
    assert next(numbers) == 100 + MAX_PASSES


async def test_a_process_without_the_new_key_changes_no_secret(filled):
    outdated = process(filled, OLD)
    await rotate_key(process(filled, OLD, NEW), Actor)
    async with outdated.edit(Actor) as edit:
        app_id = edit.snapshot.applications[0].id
        spec = sources.SourceSpec(kind="dodo-payments", name="two", secrets=(SECRET,))
        with pytest.raises(StoreUnusable, match=key_id(NEW)) as refused:
            sources.creation(outdated, edit.snapshot, app_id, spec)
    assert "restart this process" in refused.value.fix


async def test_endpoints_keep_what_their_destination_has_learned(filled):
    it = process(filled, OLD, NEW)
    configuration = Configuration(filled, Vault(OLD, NEW), it.clock)
    await configuration.refresh()
    ((seq, before),) = configuration.endpoints.items()
    await rotate_key(it, Actor)
    await configuration.refresh()
    assert configuration.endpoints[seq].destination is before.destination
    async with it.edit(Actor) as edit:
        patch = EndpointPatch(credentials={"secret": new_secret("hmac")})
        await endpoints.update(edit, edit.snapshot.endpoints[0], patch)
    await configuration.refresh()
    assert configuration.endpoints[seq].destination is not before.destination


async def test_values_that_no_key_opens_are_named_and_left(filled):
    await put_draft(process(filled, b"x" * 32), "draft_lost")
    it = process(filled, OLD, NEW)
    rotation = await rotate_key(it, Actor)
    assert rotation.unreadable == ("draft_lost",)
    assert (await key_uses(filled, it.vault)).unreadable == ("draft_lost",)
    assert (await filled.sealing_key()).older_key_ids == ()


@pytest.mark.parametrize("keys", [(OLD,), (NEW, OLD)], ids=["one", "new one first"])
async def test_a_rotation_without_a_new_last_key_changes_nothing(filled, keys):
    it = process(filled, *keys)
    with pytest.raises(UserError, match="no new key"):
        await rotate_key(it, Actor)
    assert (await filled.sealing_key()).key_id == key_id(OLD)


async def test_steps_are_bounded(filled):
    page = await filled.sealed_values(prefix=b"", limit=2)
    assert [value.purpose for value in page] == sorted(value.purpose for value in page)
    assert len(page) == 2
    assert STEP_VALUES <= 1_000


def test_one_key_seals_as_versions_before_and_several_name_theirs():
    sealed = Vault(OLD).seal(b"x", "p")
    assert not sealed.startswith(sealed_prefix(key_id(OLD)))
    named = Vault(OLD, NEW).seal(b"x", "p")
    assert named.startswith(sealed_prefix(key_id(OLD)))
    assert [Vault(NEW, OLD).unseal(text, "p") for text in (sealed, named)] == [b"x", b"x"]
    with pytest.raises(StoreUnusable, match=key_id(OLD)):
        Vault(NEW).unseal(named, "p")
    with pytest.raises(StoreUnusable):
        Vault(OLD).unseal(named, "another purpose")
    foreign = sealed_prefix(key_id(NEW)) + named[SEALED_PREFIX_BYTES:]
    with pytest.raises(StoreUnusable):
        Vault(OLD, NEW).unseal(foreign, "p")
