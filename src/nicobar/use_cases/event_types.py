"""Event types: those of the sources, and those that were added or changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from nicobar.audit import AuditAction
from nicobar.errors import Refusal
from nicobar.model import EventType, Record
from nicobar.retry_schedule import check_schedule, schedule_text
from nicobar.sources.registry import SOURCES
from nicobar.store import PutEventType, RemoveEventType, Snapshot
from nicobar.use_cases.edit import Actor, Edit, OperationServices, edited


class EventTypeSpec(Record):
    """The editable fields of an event type."""

    description: str
    archived: bool = False
    deprecated: bool = False
    schemas: dict[str, Any] | None = None
    group_name: str | None = None
    feature_flags: tuple[str, ...] = ()


class EventTypePatch(Record):
    """Changes of an event type; UNSET fields stay."""

    description: str | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    deprecated: bool | UnsetType = UNSET
    schemas: dict[str, Any] | UnsetType | None = UNSET
    group_name: str | UnsetType | None = UNSET
    feature_flags: tuple[str, ...] | UnsetType = UNSET


def all_event_types(snapshot: Snapshot) -> dict[str, EventType]:
    """By name: those of the sources, and over them those that were added or changed."""
    return _built_in() | {event_type.name: event_type for event_type in snapshot.event_types}


def find_built_in(name: str) -> EventType | None:
    """The event type that comes with a source."""
    return _built_in().get(name)


def _built_in() -> dict[str, EventType]:
    return {event_type.name: event_type for kind in SOURCES for event_type in kind.event_types()}


def find_event_type(snapshot: Snapshot, name: str) -> EventType:
    """Raises Refusal 404."""
    found = all_event_types(snapshot).get(name)
    if found is None:
        raise Refusal(404, "not_found", "Event type %(name)s not found.", "Check its name.", name=name)
    return found


def is_built_in(snapshot: Snapshot, name: str) -> bool:
    """Whether it comes with a source and was not changed."""
    return all(event_type.name != name for event_type in snapshot.event_types)


async def create_event_type(services: OperationServices, actor: Actor, name: str, spec: EventTypeSpec) -> EventType:
    """Creates an event type, or brings an archived one back. Raises Refusal 409 where there is one."""

    async def change(edit: Edit) -> EventType:
        stored = all_event_types(edit.snapshot).get(name)
        if stored is not None and not stored.archived:
            raise Refusal(
                409,
                "conflict",
                "An event type named %(name)s already exists.",
                "Change it with PUT or PATCH.",
                name=name,
            )
        return await _put(edit, name, spec, stored)

    return await edited(services, actor, change)


async def put_event_type(
    services: OperationServices, actor: Actor, name: str, spec: EventTypeSpec
) -> tuple[EventType, bool]:
    """Replaces an event type or creates it; returns whether it is new."""

    async def change(edit: Edit) -> tuple[EventType, bool]:
        stored = all_event_types(edit.snapshot).get(name)
        return await _put(edit, name, spec, stored), stored is None

    return await edited(services, actor, change)


async def update_event_type(services: OperationServices, actor: Actor, name: str, patch: EventTypePatch) -> EventType:
    """Raises Refusal 404."""

    async def change(edit: Edit) -> EventType:
        stored = find_event_type(edit.snapshot, name)
        spec = EventTypeSpec(
            description=stored.description,
            archived=stored.archived,
            deprecated=stored.deprecated,
            schemas=stored.schemas if isinstance(stored.schemas, dict) else None,
            group_name=stored.group_name,
            feature_flags=stored.feature_flags,
        )
        given = {key: value for key, value in msgspec.structs.asdict(patch).items() if value is not UNSET}
        return await _put(edit, name, msgspec.structs.replace(spec, **given), stored)

    return await edited(services, actor, change)


async def set_retry_schedule(
    services: OperationServices, actor: Actor, name: str, retry_after_ms: tuple[int, ...] | None
) -> EventType:
    """Sets the delay before each retry of the event type's deliveries, whatever the endpoint; None for that of the
    endpoint. Raises Refusal 404, and UserError for a schedule out of bounds.
    """
    check_schedule(retry_after_ms or ())

    async def change(edit: Edit) -> EventType:
        stored = find_event_type(edit.snapshot, name)
        if stored.retry_after_ms == retry_after_ms:
            return stored
        now_ms = services.clock.now_ms()
        changed = msgspec.structs.replace(stored, retry_after_ms=retry_after_ms, updated_at_ms=now_ms)
        if not changed.created_at_ms:
            changed = msgspec.structs.replace(changed, created_at_ms=now_ms)
        put = PutEventType(event_type=changed)
        detail = schedule_detail(retry_after_ms)
        await edit.commit(AuditAction.EVENT_TYPE_UPDATE, name, put, app_id=None, detail=detail)
        return changed

    return await edited(services, actor, change)


def schedule_detail(retry_after_ms: tuple[int, ...] | None) -> str:
    """A changed retry schedule as the audit log has it."""
    return "retry schedule: " + ("default" if retry_after_ms is None else schedule_text(retry_after_ms))


async def _put(edit: Edit, name: str, spec: EventTypeSpec, stored: EventType | None) -> EventType:
    now_ms = edit.services.clock.now_ms()
    event_type = EventType(
        name=name,
        description=spec.description,
        schema=stored.schema if stored else None,
        example=stored.example if stored else None,
        archived=spec.archived,
        deprecated=spec.deprecated,
        schemas=spec.schemas,
        group_name=spec.group_name,
        feature_flags=spec.feature_flags,
        created_at_ms=(stored.created_at_ms if stored else 0) or now_ms,
        updated_at_ms=now_ms,
        retry_after_ms=stored.retry_after_ms if stored else None,
    )
    action = AuditAction.EVENT_TYPE_UPDATE if stored else AuditAction.EVENT_TYPE_CREATE
    await edit.commit(action, name, PutEventType(event_type=event_type), app_id=None)
    return event_type


def check_expungeable(snapshot: Snapshot, name: str) -> None:
    """Raises Refusal 404, and 409 for an event type that comes with a source."""
    if is_built_in(snapshot, find_event_type(snapshot, name).name):
        raise Refusal(
            409,
            "conflict",
            "Event type %(name)s comes with a source and cannot be deleted.",
            "Archive it instead.",
            name=name,
        )


async def archive_event_type(services: OperationServices, actor: Actor, name: str) -> None:
    """Hides an event type; its messages are still accepted. Raises Refusal 404."""

    async def change(edit: Edit) -> None:
        stored = find_event_type(edit.snapshot, name)
        archived = msgspec.structs.replace(stored, archived=True, updated_at_ms=services.clock.now_ms())
        await edit.commit(AuditAction.EVENT_TYPE_DELETE, name, PutEventType(event_type=archived), app_id=None)

    await edited(services, actor, change)


async def expunge_event_type(services: OperationServices, actor: Actor, name: str) -> None:
    """Deletes an added event type, or the changes to one of a source. Raises as `check_expungeable`."""

    async def change(edit: Edit) -> None:
        check_expungeable(edit.snapshot, name)
        await edit.commit(AuditAction.EVENT_TYPE_EXPUNGE, name, RemoveEventType(name=name), app_id=None)

    await edited(services, actor, change)


def imported(snapshot: Snapshot, found: Sequence[EventType], now_ms: int, *, replace_all: bool) -> list[EventType]:
    """What an import of these would change. With `replace_all` those that were added and are not among them are
    archived.
    """
    stored = all_event_types(snapshot)
    wanted = [_merged(item, stored.get(item.name), now_ms) for item in found]
    if replace_all:
        names = {item.name for item in found}
        wanted += [
            msgspec.structs.replace(event_type, archived=True, updated_at_ms=now_ms)
            for event_type in snapshot.event_types
            if event_type.name not in names and not event_type.archived
        ]
    return wanted


async def import_event_types(
    services: OperationServices, actor: Actor, found: Sequence[EventType], *, replace_all: bool
) -> list[EventType]:
    """Keeps what `imported` says, and returns it."""

    async def change(edit: Edit) -> list[EventType]:
        wanted = imported(edit.snapshot, found, services.clock.now_ms(), replace_all=replace_all)
        changes = [PutEventType(event_type=item) for item in wanted]
        detail = f"{len(wanted)} event types"
        await edit.commit(AuditAction.EVENT_TYPE_IMPORT, "openapi", *changes, app_id=None, detail=detail)
        return wanted

    return await edited(services, actor, change)


def _merged(event_type: EventType, stored: EventType | None, now_ms: int) -> EventType:
    return msgspec.structs.replace(
        event_type,
        example=event_type.example if event_type.example is not None or stored is None else stored.example,
        created_at_ms=stored.created_at_ms if stored else now_ms,
        updated_at_ms=now_ms,
        retry_after_ms=stored.retry_after_ms if stored else None,
    )
