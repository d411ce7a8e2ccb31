"""`/api/v1/app`: applications."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nicobar.ids import is_id, made_at_ms
from nicobar.model import Application
from nicobar.store import Snapshot
from nicobar.use_cases import applications
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.deletion_preview import DELETED, DryRun, DryRunOut, done, unfinished, would
from nicobar.web.api.lookups import AppKey, application_of, check_new_uid, find
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, NoPlay, Order, Ordering, page_of_all
from nicobar.web.api.shapes import AppId, Metadata, Moment, Page, Shape, Uid, Unsupported, moment, patched
from nicobar.web.operations import Response, ResponseSpec, delete, get, patch, post, put

TAGS = ["Application"]
Name = Annotated[str, Meta(min_length=1, max_length=256, examples=["My first application"])]


class ApplicationIn(Shape):
    """The application to create or replace."""

    name: Name
    uid: Uid | None = None
    metadata: Metadata | None = {}
    throttle_rate: Unsupported = None
    rate_limit: Unsupported = None


class ApplicationPatch(Shape):
    """The fields to change. Omitted fields keep their values."""

    name: Name | UnsetType = UNSET
    uid: Uid | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET
    throttle_rate: Unsupported = None
    rate_limit: Unsupported = None


class ApplicationOut(Shape):
    """An application."""

    id: AppId
    name: str
    created_at: Moment
    updated_at: Moment
    metadata: dict[str, str]
    uid: Uid | None = None


_CREATED = ResponseSpec(ApplicationOut, description="Created.")
_EXISTS = ResponseSpec(ApplicationOut, description="Already exists.")


def shown(application: Application) -> ApplicationOut:
    return ApplicationOut(
        id=application.id,
        uid=None if application.uid == application.id else application.uid,
        name=application.name or application.uid,
        metadata=application.details.metadata,
        created_at=moment(application.details.created_at_ms or made_at_ms(application.id)),
        updated_at=moment(application.details.updated_at_ms or made_at_ms(application.id)),
    )


@get("/api/v1/app", id="v1.application.list", tags=TAGS, summary="List applications", needs=Needs.OWN)
async def list_applications(
    *,
    snapshot: Snapshot,
    caller: Caller,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    order: Order = None,
    exclude_apps_with_no_endpoints: Annotated[
        bool, Meta(description="Exclude applications without endpoints. Defaults to false.")
    ] = False,
    exclude_apps_with_disabled_endpoints: Annotated[
        bool, Meta(description="Exclude applications whose endpoints are all disabled. Defaults to false.")
    ] = False,
    exclude_apps_with_svix_play_endpoints: NoPlay = None,  # noqa: ARG001 - there are none
) -> Page[ApplicationOut]:
    """Lists applications, newest first by default. A token limited to one application gets only that application."""
    found = [application for application in snapshot.applications if caller.sees(application.id)]
    if exclude_apps_with_no_endpoints:
        found = [item for item in found if any(other.app_id == item.id for other in snapshot.endpoints)]
    if exclude_apps_with_disabled_endpoints:
        found = [item for item in found if not _only_disabled(snapshot, item)]
    return page_of_all(
        found,
        iterator=iterator,
        limit=limit,
        order=order or Ordering.DESCENDING,
        key=lambda item: item.id,
        shape=shown,
    )


def _only_disabled(snapshot: Snapshot, application: Application) -> bool:
    own = [endpoint for endpoint in snapshot.endpoints if endpoint.app_id == application.id]
    return bool(own) and all(item.disabled for item in own)


@post(
    "/api/v1/app",
    id="v1.application.create",
    tags=TAGS,
    summary="Create application",
    responses={200: _EXISTS},
)
async def create_application(
    *,
    data: ApplicationIn,
    services: Services,
    caller: Caller,
    get_if_exists: Annotated[
        bool, Meta(description="Return the existing application if the uid is in use. Defaults to false.")
    ] = False,
) -> Response[ApplicationOut]:
    """Creates an application. With `get_if_exists`, an existing application with the same uid is returned (200)."""

    async def change(edit: Edit) -> Response[ApplicationOut]:
        application = None if data.uid is None else find(edit.snapshot.applications, data.uid)
        if application is not None and get_if_exists:
            return Response(shown(application), status=200)
        return Response(shown(await _put(edit, data, None)), status=201)

    return await edited(services, caller, change)


@get("/api/v1/app/{app_id}", id="v1.application.get", tags=TAGS, summary="Get application")
async def get_application(application: Application) -> ApplicationOut:
    """Returns an application."""
    return shown(application)


@put(
    "/api/v1/app/{app_id}",
    id="v1.application.upsert",
    tags=TAGS,
    summary="Create or replace application",
    needs=Needs.BACKEND,
    responses={201: _CREATED},
)
async def upsert_application(
    app_id: AppKey, data: ApplicationIn, services: Services, caller: Caller
) -> Response[ApplicationOut]:
    """Replaces an application, or creates it. If the body has no uid, the uid in the path is used."""

    async def change(edit: Edit) -> Response[ApplicationOut]:
        application = find(edit.snapshot.applications, app_id)
        if application is None and (caller.app_id is not None or is_id(app_id, "app")):
            application = application_of(edit.snapshot, caller, app_id)  # raises 404
        if application is None:
            check_new_uid(app_id, "path.app_id")
        else:
            application_of(edit.snapshot, caller, app_id)
        new = data
        if application is None or application.id != app_id:
            new = msgspec.structs.replace(data, uid=data.uid or app_id)
        return Response(shown(await _put(edit, new, application)), status=200 if application else 201)

    return await edited(services, caller, change)


@patch(
    "/api/v1/app/{app_id}",
    id="v1.application.patch",
    tags=TAGS,
    summary="Update application",
    needs=Needs.BACKEND,
)
async def patch_application(
    app_id: AppKey, data: ApplicationPatch, services: Services, caller: Caller
) -> ApplicationOut:
    """Changes the given fields. Omitted fields keep their values."""

    async def change(edit: Edit) -> Application:
        application = application_of(edit.snapshot, caller, app_id)
        current = ApplicationIn(
            name=application.name or application.uid,
            uid=None if application.uid == application.id else application.uid,
            metadata=application.details.metadata,
        )
        return await _put(edit, patched(current, data), application)

    return shown(await edited(services, caller, change))


@delete(
    "/api/v1/app/{app_id}",
    id="v1.application.delete",
    tags=TAGS,
    summary="Delete application",
    needs=Needs.BACKEND,
    status=200,
    responses=DELETED,
)
async def delete_application(
    *, app_id: AppKey, services: Services, caller: Caller, dry_run: DryRun = False
) -> Response[DryRunOut | None]:
    """Deletes an application, its endpoints and its sources. Its messages are kept for the retention period. The last
    application cannot be deleted (409).
    """

    async def change(edit: Edit) -> Response[DryRunOut | None]:
        application = application_of(edit.snapshot, caller, app_id)
        applications.check_not_last(edit.snapshot)
        if dry_run:
            own = [endpoint for endpoint in edit.snapshot.endpoints if endpoint.app_id == application.id]
            return would(deliveries=await unfinished(services.store, *own))
        await applications.delete(edit, application)
        return done()

    return await edited(services, caller, change)


async def _put(edit: Edit, data: ApplicationIn, stored: Application | None) -> Application:
    return await applications.put(edit, stored, name=data.name, uid=data.uid, metadata=data.metadata or {})


OPERATIONS = (
    list_applications,
    create_application,
    get_application,
    upsert_application,
    patch_application,
    delete_application,
)
