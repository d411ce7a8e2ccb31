"""Read-modify-write of the configuration: on the version that was read, again where it is another one by then."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

import nicobar
from nicobar.audit import AuditAction, stored_names
from nicobar.cli.options import CommandServices
from nicobar.crypto import Vault
from nicobar.errors import StoreMoved
from nicobar.ids import IdFactory
from nicobar.model import EventType
from nicobar.settings import Settings
from nicobar.store import PutEventType
from nicobar.store.history import AuditFilter
from nicobar.use_cases.edit import MAX_ATTEMPTS, edited
from support.clock import MovingClock


@dataclass
class Actor:
    name: str = "tester"


ACTOR = Actor()


def event_type(name: str) -> PutEventType:
    return PutEventType(event_type=EventType(name=name))


@pytest.fixture
async def services(store):
    clock = MovingClock()
    return CommandServices(
        store=store,
        vault=Vault(b"k" * 32),
        clock=clock,
        ids=IdFactory(clock.now_ms),
        settings=Settings(),
        snapshot=await store.snapshot(),
    )


async def commit(edit, name):
    return await edit.commit(AuditAction.EVENT_TYPE_CREATE, name, event_type(name), app_id=None)


async def names(services) -> list[str]:
    return [item.name for item in (await services.store.snapshot()).event_types]


async def test_a_commit_on_an_old_version_changes_nothing(services):
    async with services.edit(ACTOR) as edit:
        await services.store.change([event_type("a")])
        with pytest.raises(StoreMoved):
            await commit(edit, "b")
    assert await names(services) == ["a"]
    assert (await services.store.audit(AuditFilter(), limit=5)).items == ()


async def test_an_edit_commits_once(services):
    async with services.edit(ACTOR) as edit:
        after = await commit(edit, "a")
        assert [item.name for item in after.event_types] == ["a"]
        with pytest.raises(RuntimeError):
            await commit(edit, "b")
    assert await names(services) == ["a"]


async def test_no_acts_change_no_version(services):
    async with services.edit(ACTOR) as edit:
        assert await edit.commit_acts([]) == edit.snapshot
    assert await services.store.version() == edit.snapshot.version


async def test_a_conflicting_change_is_decided_again(services):
    seen = []

    async def change(edit):
        seen.append([item.name for item in edit.snapshot.event_types])
        if len(seen) == 1:
            await services.store.change([event_type("a")])
        return await commit(edit, "b")

    await edited(services, ACTOR, change)
    assert seen == [[], ["a"]]
    assert await names(services) == ["a", "b"]
    (line,) = (await services.store.audit(AuditFilter(), limit=5)).items
    assert (line.actor, line.action, line.subject) == ("tester", "event-type.create", "b")


async def test_a_change_that_is_always_late_fails(services):
    attempts = []

    async def change(edit):
        attempts.append(1)
        await services.store.change([event_type("a")])
        await commit(edit, "b")

    with pytest.raises(StoreMoved):
        await edited(services, ACTOR, change)
    assert len(attempts) == MAX_ATTEMPTS
    assert await names(services) == ["a"]


def test_a_filter_finds_rows_under_older_names():
    assert stored_names("transformation.update") == ("transformation.update", "endpoint.transformation.update")
    assert stored_names("source.rotate-secret") == ("source.rotate-secret", "source.secret.update")
    assert stored_names("endpoint.pause") == ("endpoint.pause",)


def test_only_edits_change_the_configuration():
    source = Path(nicobar.__file__).parent
    found = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if re.search(r"(store|catalogue)\.change\(", path.read_text("utf-8"))
    }
    assert found == {
        "use_cases/edit.py",
        "pipeline/endpoint_changes.py",  # its own decisions, on a version too
        "use_cases/users.py",  # a password link, which replaces any previous one
        "cli/demo.py",  # a new database
    }
