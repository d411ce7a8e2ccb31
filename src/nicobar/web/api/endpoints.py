"""`/api/v1/app/{app_id}/endpoint`: endpoints."""

from __future__ import annotations

import msgspec

from nicobar.connectors import FieldKind
from nicobar.connectors.registry import connector
from nicobar.ids import is_id, made_at_ms
from nicobar.model import Application, Endpoint, Mode
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.store import Snapshot
from nicobar.use_cases import endpoints
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.deletion_preview import DELETED, DryRun, DryRunOut, done, unfinished, would
from nicobar.web.api.durations import Duration, durations
from nicobar.web.api.endpoint_bodies import (
    MASKED,
    ConfigValue,
    EndpointConnector,
    EndpointIn,
    EndpointPatch,
    EndpointUpsertIn,
    located,
    patch_of,
    spec_of,
    where,
    with_newer_names,
)
from nicobar.web.api.lookups import AppKey, EndpointKey, application_of, check_new_uid, endpoint_of, find
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, Order, Ordering, page_of_all
from nicobar.web.api.shapes import EndpointId, Moment, Page, Shape, Uid, moment, text_of_reason
from nicobar.web.operations import Response, ResponseSpec, delete, get, patch, post, put

TAGS = ["Endpoint"]
PATH = "/api/v1/app/{app_id}/endpoint"
ONE = "/api/v1/app/{app_id}/endpoint/{endpoint_id}"


class EndpointOut(Shape):
    """An endpoint. `pausedReason` is set while the endpoint is paused or on hold. `disabledReason` is set if Nicobar
    disabled the endpoint, after days of failures or because its URL returned 410. `retrySchedule` is null if the
    endpoint has the schedule of the settings. `mode`, `businessIds` and `brandIds` are null without that limit.
    """

    id: EndpointId
    url: str
    description: str
    disabled: bool
    created_at: Moment
    updated_at: Moment
    metadata: dict[str, str]
    name: str
    connector: EndpointConnector
    uid: Uid | None = None
    throttle_rate: int | None = None
    event_types: list[str] | None = None
    channels: list[str] | None = None
    paused_reason: str | None = None
    disabled_reason: str | None = None
    retry_schedule: list[Duration] | None = None
    mode: Mode | None = None
    business_ids: list[str] | None = None
    brand_ids: list[str] | None = None
    # Clients before 2.0 require `version`, and read the two older names.
    version: int = 1
    filter_types: list[str] | None = None
    rate_limit: int | None = None


_CREATED = ResponseSpec(EndpointOut, description="Created.")


def shown(services: Services, endpoint: Endpoint) -> EndpointOut:
    opened = services.configuration.endpoints.get(endpoint.seq)
    return EndpointOut(
        id=endpoint.id,
        url=opened.destination.url if opened else connector(endpoint.connector).url(endpoint.settings),
        description=endpoint.details.description,
        disabled=endpoint.disabled,
        created_at=moment(endpoint.details.created_at_ms or made_at_ms(endpoint.id)),
        updated_at=moment(endpoint.details.updated_at_ms or made_at_ms(endpoint.id)),
        metadata=endpoint.details.metadata,
        name=endpoint.name,
        connector=EndpointConnector(kind=endpoint.connector, config=_shown_config(endpoint, opened)),
        uid=endpoint.uid,
        throttle_rate=endpoint.max_messages_per_s,
        event_types=list(endpoint.event_types) or None,
        channels=list(endpoint.channels) or None,
        paused_reason=text_of_reason(endpoint.paused_reason),
        disabled_reason=text_of_reason(endpoint.disabled_reason),
        retry_schedule=durations(endpoint.retry_after_ms),
        mode=endpoint.mode,
        business_ids=list(endpoint.business_ids) or None,
        brand_ids=list(endpoint.brand_ids) or None,
        filter_types=list(endpoint.event_types) or None,
        rate_limit=endpoint.max_messages_per_s,
    )


def _shown_config(endpoint: Endpoint, opened: OpenEndpoint | None) -> dict[str, ConfigValue]:
    """The settings, and `***` for credentials that are set; for those that must be, if they cannot be read."""
    fields = connector(endpoint.connector).fields
    needed = {field.name for field in fields if field.kind is FieldKind.SECRET and field.required}
    secrets = dict.fromkeys(sorted(needed if opened is None else opened.credential_names), MASKED)
    settings = {
        name: value if isinstance(value, bool | dict) else str(value) for name, value in endpoint.settings.items()
    }
    return secrets | settings


@get(PATH, id="v1.endpoint.list", tags=TAGS, summary="List endpoints")
async def list_endpoints(
    *,
    application: Application,
    snapshot: Snapshot,
    services: Services,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    order: Order = None,
) -> Page[EndpointOut]:
    """Lists the endpoints of an application, newest first by default."""
    return page_of_all(
        [endpoint for endpoint in snapshot.endpoints if endpoint.app_id == application.id],
        iterator=iterator,
        limit=limit,
        order=order or Ordering.DESCENDING,
        key=lambda endpoint: endpoint.id,
        shape=lambda endpoint: shown(services, endpoint),
    )


@post(PATH, id="v1.endpoint.create", tags=TAGS, summary="Create endpoint")
async def create_endpoint(*, app_id: AppKey, data: EndpointIn, services: Services, caller: Caller) -> EndpointOut:
    """Creates an endpoint. It receives messages that are accepted from now on."""
    wanted = with_newer_names(data)

    async def change(edit: Edit) -> Endpoint:
        application = application_of(edit.snapshot, caller, app_id)
        with located(where(wanted)):
            return await endpoints.create(edit, application.id, spec_of(wanted))

    return shown(services, await edited(services, caller, change))


@get(ONE, id="v1.endpoint.get", tags=TAGS, summary="Get endpoint")
async def get_endpoint(endpoint: Endpoint, services: Services) -> EndpointOut:
    """Returns an endpoint."""
    return shown(services, endpoint)


@put(ONE, id="v1.endpoint.upsert", tags=TAGS, summary="Create or replace endpoint", responses={201: _CREATED})
async def upsert_endpoint(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    data: EndpointUpsertIn,
    services: Services,
    caller: Caller,
) -> Response[EndpointOut]:
    """Replaces an endpoint, or creates it. If the body has no uid, the uid in the path is used."""
    wanted = with_newer_names(data)

    async def change(edit: Edit) -> tuple[Endpoint, int]:
        application = application_of(edit.snapshot, caller, app_id)
        endpoint = find((item for item in edit.snapshot.endpoints if item.app_id == application.id), endpoint_id)
        if endpoint is None and is_id(endpoint_id, "ep"):
            endpoint = endpoint_of(edit.snapshot, application, endpoint_id)  # raises 404
        body = wanted
        if endpoint is None or endpoint.id != endpoint_id:
            body = msgspec.structs.replace(wanted, uid=wanted.uid or endpoint_id)
        with located(where(wanted)):
            if endpoint is not None:
                return await endpoints.update(edit, endpoint, patch_of(services.vault, endpoint, body)), 200
            check_new_uid(endpoint_id, "path.endpoint_id")
            spec = spec_of(EndpointIn(**msgspec.structs.asdict(body)))
            return await endpoints.create(edit, application.id, spec), 201

    endpoint, status = await edited(services, caller, change)
    return Response(shown(services, endpoint), status=status)


@patch(ONE, id="v1.endpoint.patch", tags=TAGS, summary="Update endpoint")
async def patch_endpoint(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    data: EndpointPatch,
    services: Services,
    caller: Caller,
) -> EndpointOut:
    """Changes the given fields. Omitted fields keep their values."""
    wanted = with_newer_names(data)

    async def change(edit: Edit) -> Endpoint:
        endpoint = endpoint_of(edit.snapshot, application_of(edit.snapshot, caller, app_id), endpoint_id)
        with located(where(wanted)):
            return await endpoints.update(edit, endpoint, patch_of(services.vault, endpoint, wanted))

    return shown(services, await edited(services, caller, change))


@delete(
    ONE,
    id="v1.endpoint.delete",
    tags=TAGS,
    summary="Delete endpoint",
    status=200,
    responses=DELETED,
)
async def delete_endpoint(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    services: Services,
    caller: Caller,
    dry_run: DryRun = False,
) -> Response[DryRunOut | None]:
    """Deletes an endpoint and cancels its unfinished deliveries. Its attempts are kept."""

    async def change(edit: Edit) -> Response[DryRunOut | None]:
        endpoint = endpoint_of(edit.snapshot, application_of(edit.snapshot, caller, app_id), endpoint_id)
        if dry_run:
            return would(deliveries=await unfinished(services.store, endpoint))
        await endpoints.delete(edit, endpoint)
        return done()

    return await edited(services, caller, change)


OPERATIONS = (
    list_endpoints,
    create_endpoint,
    get_endpoint,
    upsert_endpoint,
    patch_endpoint,
    delete_endpoint,
)
