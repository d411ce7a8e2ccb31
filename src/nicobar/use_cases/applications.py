"""Operations on applications."""

from __future__ import annotations

from collections.abc import Mapping

from nicobar.audit import AuditAction
from nicobar.errors import Conflict
from nicobar.ids import IdFactory
from nicobar.model import Application, Details
from nicobar.store import PutApplication, RemoveApplication, Snapshot
from nicobar.use_cases.edit import Edit

DEFAULT_UID = "default"


def default_application(snapshot: Snapshot) -> Application:
    """The application that is used if none is named: `default`, or the oldest if none has that uid."""
    named = (application for application in snapshot.applications if application.uid == DEFAULT_UID)
    return next(named, snapshot.applications[0])


def make_application(
    *,
    ids: IdFactory,
    now_ms: int,
    name: str,
    uid: str | None = None,
    metadata: Mapping[str, str] | None = None,
    replaced: Application | None = None,
) -> Application:
    """An application, with the id of the application that it replaces."""
    app_id = replaced.id if replaced else ids.new("app")
    return Application(
        id=app_id,
        uid=uid or app_id,
        name=name,
        details=Details(
            metadata=dict(metadata or {}),
            created_at_ms=replaced.details.created_at_ms if replaced else now_ms,
            updated_at_ms=now_ms,
        ),
    )


async def put(
    edit: Edit,
    replaced: Application | None,
    *,
    name: str,
    uid: str | None,
    metadata: Mapping[str, str],
) -> Application:
    """Creates an application, or replaces one. Raises Conflict for the uid of another one."""
    others = [other for other in edit.snapshot.applications if other != replaced]
    if uid is not None and any(uid in {other.id, other.uid} for other in others):
        raise Conflict("An application with the uid %(uid)s already exists.", "Choose another uid.", uid=uid)
    application = make_application(
        ids=edit.services.ids,
        now_ms=edit.services.clock.now_ms(),
        name=name,
        uid=uid,
        metadata=metadata,
        replaced=replaced,
    )
    action = AuditAction.APPLICATION_UPDATE if replaced else AuditAction.APPLICATION_CREATE
    await edit.commit(action, application.id, PutApplication(application=application), app_id=application.id)
    return application


def check_not_last(snapshot: Snapshot) -> None:
    """Raises Conflict if there is only one application."""
    if len(snapshot.applications) == 1:
        raise Conflict("The last application cannot be deleted.", "Create another one first.")


async def delete(edit: Edit, application: Application) -> None:
    """Deletes an application with its endpoints and sources. Raises Conflict for the last one."""
    check_not_last(edit.snapshot)
    change = RemoveApplication(app_id=application.id)
    await edit.commit(AuditAction.APPLICATION_DELETE, application.id, change, app_id=application.id)
