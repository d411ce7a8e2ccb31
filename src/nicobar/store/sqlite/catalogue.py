"""The configuration in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import assert_never

import msgspec

from nicobar.errors import ConfigurationError, StoreMoved, StoreUnavailable
from nicobar.model import Application, Attempt, Delivery, EventType, Message, Source
from nicobar.store.catalogue import (
    AddTransformation,
    Audited,
    BasedOn,
    Change,
    DisableEndpoint,
    EnableTransformation,
    EndSessions,
    PauseEndpoint,
    PutApplication,
    PutEndpoint,
    PutEventType,
    PutLink,
    PutSource,
    PutToken,
    RemoveApplication,
    RemoveDraft,
    RemoveEndpoint,
    RemoveEventType,
    RemoveLink,
    RemoveSource,
    RemoveUser,
    SetPassword,
    SetRole,
    Snapshot,
    ends_pause,
)
from nicobar.store.sqlite.database import SQL, Database, json_text, write_audit_line
from nicobar.store.sqlite.drafts import remove_unchanged
from nicobar.store.sqlite.rows import CONTENT, Content, delivery, endpoint, message, texts
from nicobar.store.stored_reasons import read_attempt, reason_column

_EVENT_TYPE = msgspec.json.Decoder(EventType)


class CatalogueTables:
    """`Catalogue` over a database."""

    _database: Database

    async def version(self) -> int:
        return int((await self._database.read("catalogue_version"))[0][0])

    async def snapshot(self) -> Snapshot:
        try:
            return await self._database.look_at_one_moment(_snapshot)
        except msgspec.MsgspecError as error:
            raise StoreUnavailable(
                "configuration_unreadable",
                f"A stored source, endpoint, application or event type cannot be read: {error}.",
                "Restore a backup of the database; nicobar doctor lists damage.",
            ) from error

    async def change(self, changes: Sequence[Change]) -> int:
        return await self._database.write(lambda connection: _change_all(connection, changes))

    async def message(self, message_id: str) -> Message | None:
        rows = await self._database.read("message", {"id": message_id})
        return message(rows[0]) if rows else None

    async def deliveries(self, message_id: str) -> list[Delivery]:
        rows = await self._database.read("deliveries", {"message_id": message_id})
        return [delivery(row) for row in rows]

    async def attempts(self, message_id: str, endpoint_id: str) -> list[Attempt]:
        of = {"message_id": message_id, "endpoint_id": endpoint_id}
        return [read_attempt(row[0]) for row in await self._database.read("attempts", of)]


def _snapshot(connection: sqlite3.Connection) -> Snapshot:
    (version,) = connection.execute(SQL["catalogue_version"]).fetchone()
    return Snapshot(
        version=version,
        applications=tuple(_application(row) for row in connection.execute(SQL["applications"])),
        sources=tuple(_source(row) for row in connection.execute(SQL["sources"])),
        endpoints=tuple(endpoint(row) for row in connection.execute(SQL["endpoints"])),
        event_types=tuple(_EVENT_TYPE.decode(row[0]) for row in connection.execute(SQL["event_types"])),
    )


def _application(row: sqlite3.Row) -> Application:
    content = CONTENT.decode(row[2])
    return Application(id=row[0], uid=row[1], name=content.name, details=content.details)


def _source(row: sqlite3.Row) -> Source:
    return Source(
        id=row[0],
        app_id=row[1],
        name=row[2],
        kind=row[3],
        token=row[4],
        sealed_secrets=row[5],
        secret_references=texts(row[6]),
        uid=row[7],
        details=CONTENT.decode(row[8]).details,
        older_until_ms=row[9],
    )


def _change_all(connection: sqlite3.Connection, changes: Sequence[Change]) -> int:
    for change in changes:
        _change(connection, change)
    (version,) = connection.execute(SQL["next_catalogue_version"]).fetchone()
    return int(version)


def _change(connection: sqlite3.Connection, change: Change) -> None:  # noqa: C901, PLR0912 - a branch for each kind of change
    def run(query: str, /, **parameters: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = connection.execute(SQL[query], parameters).fetchone()
        return row

    match change:
        case PutApplication(application=one):
            run(
                "put_application",
                id=one.id,
                uid=one.uid,
                content=json_text(Content(name=one.name, details=one.details)),
            )
        case RemoveApplication(app_id=app_id):
            for (endpoint_id,) in connection.execute(SQL["endpoints_of_application"], {"app_id": app_id}).fetchall():
                _change(connection, RemoveEndpoint(endpoint_id=endpoint_id))
            run("remove_sources_of_application", app_id=app_id)
            _existing(run("remove_application", id=app_id), "application", app_id)
        case PutSource(source=source):
            run(
                "put_source",
                **{name: getattr(source, name) for name in ("id", "app_id", "name", "kind", "token", "uid")},
                older_until_ms=source.older_until_ms,
                sealed_secrets=source.sealed_secrets,
                secret_references=json_text(source.secret_references),
                content=json_text(Content(details=source.details)),
            )
        case RemoveSource(source_id=source_id):
            run("remove_source", id=source_id)
        case PutEndpoint():
            run("put_endpoint", **_endpoint_columns(connection, change))
        case RemoveEndpoint(endpoint_id=endpoint_id):
            _existing(run("remove_endpoint", id=endpoint_id), "endpoint", endpoint_id)
        case AddTransformation(endpoint_id=endpoint_id, code=code, created_at_ms=created_at_ms):
            made = run("add_transformation", id=endpoint_id, code=code, created_at_ms=created_at_ms)
            _existing(made, "endpoint", endpoint_id)
        case PauseEndpoint(endpoint_id=endpoint_id, reason=reason, by_hand=by_hand):
            paused = run("pause_endpoint", id=endpoint_id, reason=reason_column(reason), by_hand=json_text(by_hand))
            _existing(paused, "endpoint", endpoint_id)
        case DisableEndpoint(endpoint_id=endpoint_id, reason=reason):
            _existing(run("disable_endpoint", id=endpoint_id, reason=reason_column(reason)), "endpoint", endpoint_id)
        case EnableTransformation(endpoint_id=endpoint_id, enabled=enabled):
            row = run("enable_transformation", id=endpoint_id, enabled=int(enabled))
            _existing(row, "endpoint", endpoint_id)
        case PutEventType(event_type=event_type):
            run("put_event_type", name=event_type.name, content=json_text(event_type))
        case RemoveEventType(name=name):
            _existing(run("remove_event_type", name=name), "event type", name)
        case PutToken(token=token):
            run("put_token", **msgspec.structs.asdict(token) | {"scope": token.scope.value})
        case BasedOn(version=version):
            _check_version(connection, version)
        case SetRole() | SetPassword() | RemoveUser() | EndSessions() | PutLink() | RemoveLink():
            _change_people(connection, change)
        case RemoveDraft(draft_id=draft_id, revision=revision):
            remove_unchanged(connection, draft_id, revision)
        case Audited():
            write_audit_line(connection, change)
        case _:
            assert_never(change)


def _endpoint_columns(connection: sqlite3.Connection, change: PutEndpoint) -> dict[str, object]:
    row = connection.execute(SQL["endpoint"], {"id": change.id}).fetchone()
    known = endpoint(row) if row else None
    resumed = known is not None and ends_pause(known, change)
    values: dict[str, object] = msgspec.structs.asdict(change) | {"resumed": int(resumed)}
    content = Content(
        channels=change.channels,
        details=change.details,
        paused_by_hand=known is not None and known.paused_by_hand,
    )
    del values["channels"], values["details"]
    for name in ("settings", "credential_references", "event_types", "variables"):
        values[name] = json_text(values[name])
    return values | {"content": json_text(content)}


def _check_version(connection: sqlite3.Connection, version: int) -> None:
    (now,) = connection.execute(SQL["catalogue_version"]).fetchone()
    if now != version:
        raise StoreMoved(
            "changed_meanwhile",
            "The configuration was changed elsewhere at the same time; nothing was changed.",
            "Send it again.",
        )


def _change_people(
    connection: sqlite3.Connection, change: SetRole | SetPassword | RemoveUser | EndSessions | PutLink | RemoveLink
) -> None:
    def run(query: str, /, **parameters: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = connection.execute(SQL[query], parameters).fetchone()
        return row

    match change:
        case SetRole(user_id=user_id, role=role):
            (name,) = _existing(run("set_role", id=user_id, role=role.value), "user", user_id)
            _check_owner(run("an_owner"))
            run("remove_link", name=name)
        case SetPassword(user_id=user_id, password_hash=password_hash):
            _existing(run("set_password", id=user_id, password_hash=password_hash), "user", user_id)
        case RemoveUser(user_id=user_id):
            (name,) = _existing(run("remove_user", id=user_id), "user", user_id)
            _check_owner(run("an_owner"))
            run("remove_sessions_of_user", user_id=user_id)
            run("remove_link", name=name)
        case EndSessions(user_id=user_id):
            run("remove_sessions_of_user", user_id=user_id)
        case PutLink(link=link):
            run("put_link", **msgspec.structs.asdict(link) | {"role": link.role.value})
        case RemoveLink(name=name):
            run("remove_link", name=name)
        case _:
            assert_never(change)


def _check_owner(row: sqlite3.Row | None) -> None:
    if row is None:
        raise ConfigurationError("owner_last", "At least one owner is required.", "Make another user an owner first.")


def _existing(row: sqlite3.Row | None, what: str, key: str) -> sqlite3.Row:
    if row is None:
        code = f"{what.replace(' ', '_')}_unknown"
        raise ConfigurationError(code, f"There is no {what} {key}.", "It may have been removed meanwhile.")
    return row
