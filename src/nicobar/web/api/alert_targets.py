"""`/api/v1/alert-target` (an addition to the Svix API): where alerts are sent."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from nicobar.errors import Conflict, StoreUnusable, UserError
from nicobar.model import AlertResult, AlertTarget, TargetKind
from nicobar.pipeline.alert_targets import open_address, shown_address
from nicobar.pipeline.alert_types import AlertType
from nicobar.use_cases import alert_targets
from nicobar.use_cases.alert_targets import (
    TargetAddress,
    TargetName,
    TargetPatch,
    TargetSecret,
    TargetSpec,
    find_target,
)
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.deletion_preview import DELETED, DryRun, DryRunOut, done, would
from nicobar.web.api.errors import Invalid
from nicobar.web.api.lookups import MAX_KEY_CHARS
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, Order, Ordering, page_of_all
from nicobar.web.api.shapes import Moment, Page, Shape, moment, text_of_reason
from nicobar.web.operations import Response, delete, get, patch, post

TAGS = ["Alert Target"]
_FIELDS = {
    "address_invalid": "address",
    "address_not_allowed": "address",
    "secret_invalid": "secret",
    "secret_malformed": "secret",
}
PATH = "/api/v1/alert-target"
ONE = f"{PATH}/{{target_id}}"

TargetId = Annotated[str, Meta(pattern=r"^alt_[A-Za-z0-9]{27}$", examples=["alt_2yZwUhtgs5Ai8T9yRQJXA0000aa"])]
TargetKey = Annotated[str, Meta(description="The alert target's ID.", max_length=MAX_KEY_CHARS)]
# Of all types; an empty list means all of them.
AlertTypes = Annotated[list[AlertType], Meta(max_length=len(AlertType))]


class AlertTargetIn(Shape):
    """The target to create. `address` is an email address or a URL; PagerDuty's own by default. `secret` signs the
    requests of a webhook (`whsec_…`, optional) or is the routing key of PagerDuty. `alertTypes` defaults to all.
    """

    name: TargetName
    kind: TargetKind
    address: TargetAddress = ""
    secret: TargetSecret = ""
    alert_types: AlertTypes = []


class AlertTargetPatch(Shape):
    """The fields to change. A secret is not kept for another kind or address."""

    name: TargetName | UnsetType = UNSET
    kind: TargetKind | UnsetType = UNSET
    address: TargetAddress | UnsetType = UNSET
    secret: TargetSecret | UnsetType = UNSET
    alert_types: AlertTypes | UnsetType = UNSET


class AlertResultOut(Shape):
    """How the latest alert ended. `error` is null if it was sent."""

    at: Moment
    alert_type: str
    error: str | None


class AlertTargetOut(Shape):
    """A target of alerts. The path of a URL is masked, since it may be a secret; `address` is null if it cannot be
    read with the current key.
    """

    id: TargetId
    name: str
    kind: TargetKind
    address: str | None
    has_secret: bool
    alert_types: list[str]
    created_at: Moment
    updated_at: Moment
    last_result: AlertResultOut | None


def shown(services: Services, target: AlertTarget, results: Mapping[str, AlertResult]) -> AlertTargetOut:
    try:
        address = shown_address(target.kind, open_address(services.vault, target).address)
    except StoreUnusable:
        address = None
    return AlertTargetOut(
        id=target.id,
        name=target.name,
        kind=target.kind,
        address=address,
        has_secret=target.has_secret,
        alert_types=list(target.alert_types),
        created_at=moment(target.created_at_ms),
        updated_at=moment(target.updated_at_ms),
        last_result=_result(results[target.id]) if target.id in results else None,
    )


@get(PATH, id="nicobar.alert-target.list", tags=TAGS, summary="List alert targets")
async def list_targets(
    *, services: Services, limit: Limit = DEFAULT_LIMIT, iterator: Iterator = None, order: Order = None
) -> Page[AlertTargetOut]:
    """Lists alert targets, with the result of the latest alert to each."""
    results = await services.alerts.results()
    return page_of_all(
        list((await services.snapshot()).alert_targets),
        iterator=iterator,
        limit=limit,
        order=order or Ordering.ASCENDING,
        key=lambda target: target.id,
        shape=lambda target: shown(services, target, results),
    )


@post(PATH, id="nicobar.alert-target.create", tags=TAGS, summary="Create alert target")
async def create_target(*, data: AlertTargetIn, services: Services, caller: Caller) -> AlertTargetOut:
    """Creates an alert target. It is used within a second."""
    spec = TargetSpec(
        name=data.name,
        kind=data.kind,
        address=data.address,
        secret=data.secret,
        alert_types=tuple(data.alert_types),
    )

    async def change(edit: Edit) -> AlertTarget:
        with _located():
            return await alert_targets.create(edit, spec)

    return shown(services, await edited(services, caller, change), {})


@get(ONE, id="nicobar.alert-target.get", tags=TAGS, summary="Get alert target")
async def get_target(target_id: TargetKey, services: Services) -> AlertTargetOut:
    """Returns an alert target."""
    target = find_target(await services.snapshot(), target_id)
    return shown(services, target, await services.alerts.results())


@patch(ONE, id="nicobar.alert-target.patch", tags=TAGS, summary="Update alert target")
async def patch_target(
    *, target_id: TargetKey, data: AlertTargetPatch, services: Services, caller: Caller
) -> AlertTargetOut:
    """Changes the given fields. Omitted fields keep their values."""
    wanted = TargetPatch(
        name=data.name,
        kind=data.kind,
        address=data.address,
        secret=data.secret,
        alert_types=data.alert_types if isinstance(data.alert_types, UnsetType) else tuple(data.alert_types),
    )

    async def change(edit: Edit) -> AlertTarget:
        with _located():
            return await alert_targets.update(edit, target_id, wanted)

    return shown(services, await edited(services, caller, change), await services.alerts.results())


@delete(
    ONE, id="nicobar.alert-target.delete", tags=TAGS, summary="Delete alert target", status=200, responses=DELETED
)
async def delete_target(
    *, target_id: TargetKey, services: Services, caller: Caller, dry_run: DryRun = False
) -> Response[DryRunOut | None]:
    """Deletes an alert target."""

    async def change(edit: Edit) -> Response[DryRunOut | None]:
        if dry_run:
            find_target(edit.snapshot, target_id)
            return would()
        await alert_targets.delete(edit, target_id)
        return done()

    return await edited(services, caller, change)


@post(f"{ONE}/test", id="nicobar.alert-target.test", tags=TAGS, summary="Send test alert", status=200)
async def test_target(*, target_id: TargetKey, services: Services, caller: Caller) -> AlertResultOut:
    """Sends the alert `nicobar.test` and returns the result, within 15 seconds."""
    return _result(await alert_targets.send_test(services, caller, target_id))


def _result(result: AlertResult) -> AlertResultOut:
    error = text_of_reason(result.reason)
    return AlertResultOut(at=moment(result.at_ms), alert_type=result.alert_type, error=error)


@contextmanager
def _located() -> Generator[None]:
    """Adds the field of the body to errors about its value."""
    try:
        yield
    except Conflict:
        raise
    except UserError as error:
        field = _FIELDS.get(error.code)
        if field is None:
            raise
        raise Invalid(f"body.{field}", error.detail, error.fix, code=error.code) from error


OPERATIONS = (list_targets, create_target, get_target, patch_target, delete_target, test_target)
