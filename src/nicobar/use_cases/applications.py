"""Applications: the default one, and the record of a new or a changed one."""

from __future__ import annotations

from collections.abc import Mapping

from nicobar.ids import IdFactory
from nicobar.model import Application, Details
from nicobar.store import Snapshot

DEFAULT_UID = "default"


def default_application(snapshot: Snapshot) -> Application:
    """The application that is meant where none is named: `default`, or the oldest where none has that uid."""
    named = (application for application in snapshot.applications if application.uid == DEFAULT_UID)
    return next(named, snapshot.applications[0])


def make_application(
    *,
    ids: IdFactory,
    now_ms: int,
    name: str,
    uid: str | None = None,
    metadata: Mapping[str, str] | None = None,
    known: Application | None = None,
) -> Application:
    """An application, with the id of the `known` one that it replaces."""
    app_id = known.id if known else ids.new("app")
    return Application(
        id=app_id,
        uid=uid or app_id,
        name=name,
        details=Details(
            metadata=dict(metadata or {}),
            created_at_ms=known.details.created_at_ms if known else now_ms,
            updated_at_ms=now_ms,
        ),
    )
