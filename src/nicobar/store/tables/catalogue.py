"""The configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from nicobar.conversion import converter
from nicobar.errors import ConfigurationError, StoreMoved, StoreUnavailable
from nicobar.model import AlertTarget, Application, Attempt, Delivery, EventType, Message, Mode, Source
from nicobar.store.catalogue import (
    AddTransformation,
    AddUser,
    Audited,
    BasedOn,
    Change,
    DisableEndpoint,
    EnableTransformation,
    EndSessions,
    PauseEndpoint,
    PutAlertTarget,
    PutApplication,
    PutEndpoint,
    PutEventType,
    PutIdentity,
    PutLink,
    PutSource,
    PutToken,
    RemoveAlertTarget,
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
from nicobar.store.session import Row, Session
from nicobar.store.stored_reasons import read_attempt, reason_column
from nicobar.store.tables.base import Tables, existing, json_text, write_audit_line
from nicobar.store.tables.drafts import remove_unchanged
from nicobar.store.tables.history import deliveries_of_messages
from nicobar.store.tables.keys import sealing_key
from nicobar.store.tables.rows import CONTENT, Content, endpoint, message, settings_to_store, texts

_EVENT_TYPE = msgspec.json.Decoder(EventType)
_TARGET_COLUMNS = ("id", "name", "sealed")


class CatalogueTables(Tables):
    """`Catalogue` over a database."""

    async def version(self) -> int:
        return int(existing(await self._row("catalogue_version"))[0])

    async def snapshot(self) -> Snapshot:
        try:
            return await self._database.read(_snapshot)
        except msgspec.MsgspecError as error:
            raise StoreUnavailable(
                "configuration_unreadable",
                f"A stored source, endpoint, application, event type or alert target cannot be read: {error}.",
                "Restore a backup of the database; nicobar doctor lists damage.",
            ) from error

    async def change(self, changes: Sequence[Change]) -> int:
        return await self._database.write(lambda session: _change_all(session, changes))

    async def message(self, message_id: str) -> Message | None:
        row = await self._row("message", {"id": message_id})
        return None if row is None else message(row)

    async def deliveries(self, message_id: str) -> list[Delivery]:
        return (await self._database.read(lambda session: deliveries_of_messages(session, [message_id])))[message_id]

    async def attempts(self, message_id: str, endpoint_id: str) -> list[Attempt]:
        of = {"message_ids": [message_id], "endpoint_id": endpoint_id}
        return [read_attempt(content) for _, _, content in await self._rows("attempts_of_deliveries", of)]


def _snapshot(session: Session) -> Snapshot:
    (version,) = existing(session.row("catalogue_version"))
    return Snapshot(
        version=version,
        applications=tuple(_application(row) for row in session.rows("applications")),
        sources=tuple(_source(row) for row in session.rows("sources")),
        endpoints=tuple(endpoint(row) for row in session.rows("endpoints")),
        event_types=tuple(_EVENT_TYPE.decode(row[0]) for row in session.rows("event_types")),
        alert_targets=tuple(_alert_target(row) for row in session.rows("alert_targets")),
        key=sealing_key(session),
        removed_modes={source_id: Mode(mode) for source_id, mode in session.rows("removed_sources")},
    )


_to_alert_target = converter(AlertTarget)


def _alert_target(row: Row) -> AlertTarget:
    values = dict(zip(_TARGET_COLUMNS, row, strict=False))
    return _to_alert_target(values | msgspec.json.decode(row[len(_TARGET_COLUMNS)]))


def _application(row: Row) -> Application:
    content = CONTENT.decode(row[2])
    return Application(id=row[0], uid=row[1], name=content.name, details=content.details)


def _source(row: Row) -> Source:
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
        mode=None if row[10] is None else Mode(row[10]),
        history_complete_since_ms=row[11],
    )


def _change_all(session: Session, changes: Sequence[Change]) -> int:
    # First, since it holds the one row: changes of the configuration are made one after the other.
    (version,) = existing(session.row("next_catalogue_version"))
    for change in changes:
        _change(session, change, int(version) - 1)
    return int(version)


def _change(session: Session, change: Change, known_version: int) -> None:  # noqa: C901, PLR0912 - a branch for each kind of change
    def run(query: str, /, **values: object) -> None:
        session.run(query, values)

    def row(query: str, /, **values: object) -> Row | None:
        return session.row(query, values)

    match change:
        case PutApplication(application=one):
            run(
                "put_application",
                id=one.id,
                uid=one.uid,
                content=json_text(Content(name=one.name, details=one.details)),
            )
        case RemoveApplication(app_id=app_id):
            run("remove_endpoints_of_application", app_id=app_id)
            run("remove_sources_of_application", app_id=app_id)
            _known(row("remove_application", id=app_id), "application", app_id)
        case PutSource(source=source):
            _put_source(session, source)
        case RemoveSource(source_id=source_id):
            _remove_source(session, source_id)
        case PutEndpoint():
            run("put_endpoint", **_endpoint_columns(session, change))
        case RemoveEndpoint(endpoint_id=endpoint_id):
            _known(row("remove_endpoint", id=endpoint_id), "endpoint", endpoint_id)
        case AddTransformation(endpoint_id=endpoint_id, code=code, created_at_ms=created_at_ms):
            made = row("add_transformation", id=endpoint_id, code=code, created_at_ms=created_at_ms)
            _known(made, "endpoint", endpoint_id)
        case PauseEndpoint(endpoint_id=endpoint_id, reason=reason, by_hand=by_hand):
            (text,) = _known(row("endpoint_content", id=endpoint_id), "endpoint", endpoint_id)
            content = msgspec.structs.replace(CONTENT.decode(text), paused_by_hand=by_hand)
            run("pause_endpoint", id=endpoint_id, reason=reason_column(reason), content=json_text(content))
        case DisableEndpoint(endpoint_id=endpoint_id, reason=reason):
            _known(row("disable_endpoint", id=endpoint_id, reason=reason_column(reason)), "endpoint", endpoint_id)
        case EnableTransformation(endpoint_id=endpoint_id, enabled=enabled):
            changed = row("enable_transformation", id=endpoint_id, enabled=enabled)
            _known(changed, "endpoint", endpoint_id)
        case PutAlertTarget() | RemoveAlertTarget():
            _change_alert_target(session, change)
        case PutEventType(event_type=event_type):
            run("put_event_type", name=event_type.name, content=json_text(event_type))
        case RemoveEventType(name=name):
            _known(row("remove_event_type", name=name), "event type", name)
        case PutToken(token=token):
            run("put_token", **msgspec.structs.asdict(token) | {"scope": token.scope.value})
        case BasedOn(version=version):
            _check_version(known_version, version)
        case SetRole() | SetPassword() | RemoveUser() | EndSessions() | PutLink() | RemoveLink():
            _change_people(session, change)
        case AddUser() | PutIdentity():
            _add_person(session, change)
        case RemoveDraft(draft_id=draft_id, revision=revision):
            remove_unchanged(session, draft_id, revision)
        case Audited():
            write_audit_line(session, change)
        case _:
            assert_never(change)


def _put_source(session: Session, source: Source) -> None:
    known = session.row("mode_of_source", {"id": source.id})
    names = ("id", "app_id", "name", "kind", "token", "uid", "older_until_ms", "history_complete_since_ms", "mode")
    session.run(
        "put_source",
        {name: getattr(source, name) for name in names}
        | {
            "sealed_secrets": source.sealed_secrets,
            "secret_references": json_text(source.secret_references),
            "content": json_text(Content(details=source.details)),
        },
    )
    if known is None or tuple(known) == (source.kind, source.mode):
        return
    # What its messages have stated belongs to another mode now.
    session.run("begin_rebuild")
    was, now = (f"{kind}/{mode or ''}/" for kind, mode in (known, (source.kind, source.mode)))
    session.run("rekey_unidentified", {"source_id": source.id, "app_id": source.app_id, "was": was, "now": now})


def _remove_source(session: Session, source_id: str) -> None:
    session.run("keep_mode_of_source", {"id": source_id})
    session.run("remove_source", {"id": source_id})


def _change_alert_target(session: Session, change: PutAlertTarget | RemoveAlertTarget) -> None:
    if isinstance(change, RemoveAlertTarget):
        session.run("remove_alert_target", {"id": change.target_id})
        session.run("remove_alert_result", {"id": change.target_id})
        return
    content = msgspec.structs.asdict(change.target)
    columns = {name: content.pop(name) for name in _TARGET_COLUMNS}
    session.run("put_alert_target", columns | {"content": json_text(content)})


def _endpoint_columns(session: Session, change: PutEndpoint) -> dict[str, object]:
    row = session.row("endpoint", {"id": change.id})
    known = endpoint(row) if row else None
    resumed = known is not None and ends_pause(known, change)
    values: dict[str, object] = msgspec.structs.asdict(change) | {"resumed": resumed}
    content = Content(
        channels=change.channels,
        details=change.details,
        paused_by_hand=known is not None and known.paused_by_hand,
    )
    del values["channels"], values["details"]
    values["settings"] = settings_to_store(change.settings)
    for name in (
        "settings",
        "credential_references",
        "event_types",
        "variables",
        "variable_references",
        "public_headers",
        "business_ids",
        "brand_ids",
    ):
        values[name] = json_text(values[name])
    if change.retry_after_ms is not None:
        values["retry_after_ms"] = json_text(change.retry_after_ms)
    return values | {"content": json_text(content)}


def _check_version(known_version: int, based_on: int) -> None:
    if known_version != based_on:
        raise _moved()


def _moved() -> StoreMoved:
    return StoreMoved(
        "changed_meanwhile",
        "The configuration was changed elsewhere at the same time. Nothing was changed.",
        "Reload and repeat the change.",
    )


def _change_people(
    session: Session, change: SetRole | SetPassword | RemoveUser | EndSessions | PutLink | RemoveLink
) -> None:
    def run(query: str, /, **values: object) -> None:
        session.run(query, values)

    def row(query: str, /, **values: object) -> Row | None:
        return session.row(query, values)

    match change:
        case SetRole(user_id=user_id, role=role):
            (name,) = _known(row("set_role", id=user_id, role=role.value), "user", user_id)
            _check_owner(row("an_owner"))
            run("remove_link", name=name)
        case SetPassword(user_id=user_id, password_hash=password_hash):
            _known(row("set_password", id=user_id, password_hash=password_hash), "user", user_id)
        case RemoveUser(user_id=user_id):
            (name,) = _known(row("remove_user", id=user_id), "user", user_id)
            _check_owner(row("an_owner"))
            run("remove_sessions_of_user", user_id=user_id)
            run("remove_identities_of_user", user_id=user_id)
            run("remove_link", name=name)
        case EndSessions(user_id=user_id):
            run("remove_sessions_of_user", user_id=user_id)
        case PutLink(link=link):
            run("put_link", **msgspec.structs.asdict(link) | {"role": link.role.value})
        case RemoveLink(name=name):
            run("remove_link", name=name)
        case _:
            assert_never(change)


def _add_person(session: Session, change: AddUser | PutIdentity) -> None:
    if isinstance(change, AddUser):
        user = change.user
        added = session.row("add_user", msgspec.structs.asdict(user) | {"role": user.role.value})
    else:
        added = session.row("put_identity", msgspec.structs.asdict(change.identity))
    if added is None:
        raise _moved()


def _check_owner(row: Row | None) -> None:
    if row is None:
        raise ConfigurationError("owner_last", "At least one owner is required.", "Make another user an owner first.")


def _known(row: Row | None, what: str, key: str) -> Row:
    if row is None:
        code = f"{what.replace(' ', '_')}_unknown"
        raise ConfigurationError(code, f"There is no {what} {key}.", "It may have been removed meanwhile.")
    return row
