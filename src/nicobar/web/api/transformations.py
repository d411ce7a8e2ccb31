"""`…/endpoint/{endpoint_id}/transformation`: the transformation of an endpoint, its versions, and dry runs."""

from __future__ import annotations

import difflib
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nicobar.connectors import preview_headers
from nicobar.errors import UserError
from nicobar.facts import about
from nicobar.ids import stable_ulid
from nicobar.model import DeliveryState, Endpoint, Json, Message
from nicobar.pipeline.configuration import API_SOURCE_ID, OpenEndpoint, endpoint_variables, open_endpoint
from nicobar.pipeline.customers import completed
from nicobar.pipeline.transform import Ready, Subject, Transformed, masked, shown, transform
from nicobar.sandbox import Bounds
from nicobar.sources import SourceKind
from nicobar.store.history import Version
from nicobar.use_cases import transformations
from nicobar.use_cases.bounds import MAX_VARIABLES, SecretVariableValue, VariableName, VariableValue
from nicobar.use_cases.chosen_ledgers import LedgerChoice, chosen_ledger
from nicobar.use_cases.dry_run import dry_target, unpublished
from nicobar.use_cases.ledger_states import LedgerState
from nicobar.use_cases.services import Services
from nicobar.use_cases.transformations import MAX_VERSION, TransformationPatch
from nicobar.web.api.attempt_bodies import snapshot_shown
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.endpoint_bodies import DEFAULT_KIND, MASKED, Kind
from nicobar.web.api.endpoints import ONE
from nicobar.web.api.errors import Invalid
from nicobar.web.api.listing import page_of_found, span_of
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, read_iterator
from nicobar.web.api.rejected_requests import numbered
from nicobar.web.api.shapes import (
    Channel,
    EventTypeName,
    LedgerCustomerId,
    Moment,
    Page,
    Shape,
    moment,
    text_of_reason,
)
from nicobar.web.api.verdicts import VerdictOut, verdict_shown
from nicobar.web.operations import get, patch, post

TAGS = ["Transformation"]
PATH = f"{ONE}/transformation"

Code = Annotated[
    str,
    Meta(
        min_length=10,
        max_length=Bounds().code_chars,
        description="JavaScript with a function `handler(webhook)`.",
        examples=["function handler(webhook) { return webhook; }"],
    ),
]
Variables = Annotated[
    dict[VariableName, VariableValue],
    Meta(max_length=MAX_VARIABLES, description="Variables for the handler, in `webhook.env`. Maximum 100."),
]
SecretVariables = Annotated[
    dict[VariableName, SecretVariableValue | None],
    Meta(max_length=MAX_VARIABLES, description="Secret variables for the handler, in `webhook.env`."),
]
VersionNumber = Annotated[int, Meta(ge=1, le=MAX_VERSION, description="The version number.")]


class EndpointTransformationOut(Shape):
    """The transformation of an endpoint. `version` starts at 1. `code` and `version` are null without a
    transformation. `secretVariables` are the names of secret variables, whose values are not returned.
    """

    code: str | None = None
    enabled: bool = False
    variables: dict[str, str] | None = None
    secret_variables: list[str] = []
    updated_at: Moment | None = None
    version: int | None = None


class EndpointTransformationPatch(Shape):
    """The fields to change. Omitted fields keep their values. New code is published as a new version. `code: null`
    disables the transformation and keeps its versions. `secretVariables` (an addition to the Svix API) are encrypted
    and never returned; omitted ones and those with `***` keep their values, null removes one.
    """

    code: Code | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    variables: Variables | UnsetType | None = UNSET
    secret_variables: SecretVariables | UnsetType = UNSET


class SimulateIn(Shape):
    """What both simulations take."""

    code: Code
    event_type: EventTypeName
    payload: dict[str, Any]
    channels: list[Channel] | None = None
    variables: Variables | None = None
    ledger_state: LedgerState | None = None


class TransformationSimulateIn(SimulateIn):
    """The code and the event to run it on. `payload` is the complete payload. `ledgerState` (a typical
    state) or `ledgerCustomerId` (the sender's ID of another customer; it has priority) selects the ledger that the
    handler reads instead of the stored one of the event's customer (additions to the Svix API).
    """

    ledger_customer_id: LedgerCustomerId | None = None


class ConnectorSimulateIn(SimulateIn):
    """The code, the event to run it on, and the connector (an addition to the Svix API). `connector` defaults to
    `http`. `ledgerState` as for an endpoint.
    """

    connector: Kind = DEFAULT_KIND


class CallOut(Shape):
    """A call that would be sent. Headers with credentials or a signature are returned as `***`."""

    method: str
    url: str
    headers: dict[str, str]
    payload: str


class TransformationSimulateOut(Shape):
    """The result of a dry run: `url`, `payload` and `method` of the first call, and all `calls`. `cancel` is true if
    nothing would be sent; then `state` is `canceled` or `failed`, with `code`, `reason` and `line`. `verdicts` are
    those of the destination's contract, `console` is the handler's output, `snapshot` what the handler read of the
    ledger (null for nothing).
    """

    url: str
    payload: str
    method: str
    cancel: bool
    state: str
    calls: list[CallOut]
    verdicts: list[VerdictOut]
    console: list[str]
    snapshot: dict[str, Json] | None
    code: str | None
    reason: str | None
    line: int | None


class VersionOut(Shape):
    """A version of a transformation."""

    version: int
    created_at: Moment
    code: str | None = None


class VersionDiffOut(Shape):
    """The difference between two versions, as a unified diff."""

    version: int
    against: int
    diff: str


@get(PATH, id="v1.endpoint.transformation.get", tags=TAGS, summary="Get transformation")
async def get_transformation(endpoint: Endpoint, services: Services) -> EndpointTransformationOut:
    """Returns the transformation of an endpoint."""
    return await _shown(services, endpoint)


@patch(
    PATH,
    id="v1.endpoint.transformation.patch",
    tags=TAGS,
    summary="Update transformation",
    status=204,
)
async def patch_transformation(
    *,
    endpoint: Endpoint,
    data: EndpointTransformationPatch,
    services: Services,
    caller: Caller,
) -> None:
    """Changes the code, the variables, or whether the transformation is enabled. Code with syntax errors or without a
    handler is rejected.
    """
    code = data.code if isinstance(data.code, str) else UNSET
    enabled = False if data.code is None else data.enabled
    variables = data.variables if data.variables is UNSET else data.variables or {}
    secret = data.secret_variables
    if isinstance(secret, dict):
        secret = {name: value for name, value in secret.items() if value != MASKED}
    patch = TransformationPatch(code=code, enabled=enabled, variables=variables, secret_variables=secret)
    try:
        await transformations.update_transformation(services, caller, endpoint.id, patch)
    except UserError as error:
        where = "body.variables" if error.code.startswith("variable") else "body.code"
        raise Invalid(where, error.detail, error.fix, code=error.code) from error


@post(
    f"{PATH}/simulate",
    id="v1.endpoint.transformation.simulate",
    tags=TAGS,
    summary="Simulate transformation",
    status=200,
    needs=Needs.RUNNING,
)
async def simulate_transformation(
    *, endpoint: Endpoint, data: TransformationSimulateIn, services: Services, caller: Caller
) -> TransformationSimulateOut:
    """Runs code on an event for this endpoint, and checks the calls against the destination's contract. Nothing is
    sent. Personal data of customers is masked as in payloads.
    """
    variables = endpoint.variables if data.variables is None else data.variables
    changed = msgspec.structs.replace(
        endpoint, transformation=unpublished(data.code), transformation_enabled=True, variables=variables
    )
    choice = LedgerChoice(state=data.ledger_state, customer_key=data.ledger_customer_id or "")
    return await _simulated(services, caller, open_endpoint(services.vault, changed), data, choice)


@post(
    "/api/v1/connector/simulate",
    id="v1.connector.simulate",
    tags=["Connector"],
    summary="Simulate connector",
    status=200,
    needs=Needs.RUNNING,
)
async def simulate_connector(
    *, data: ConnectorSimulateIn, services: Services, caller: Caller
) -> TransformationSimulateOut:
    """Runs code on an event without an endpoint, and checks the calls against the connector's contract. Nothing is
    sent.
    """
    try:
        target = dry_target(data.connector, data.code, data.variables)
    except UserError as error:
        raise Invalid("body.connector", error.detail, error.fix, code=error.code) from error
    return await _simulated(services, caller, target, data, LedgerChoice(state=data.ledger_state))


async def _simulated(
    services: Services, caller: Caller, target: OpenEndpoint, data: SimulateIn, choice: LedgerChoice
) -> TransformationSimulateOut:
    kind = services.configuration.application_kind(target.endpoint.app_id)
    subject = _subject(kind, target.endpoint, data, services.clock.now_ms())
    app_id = target.endpoint.app_id
    (subject,) = await completed(services.store, services.configuration, target, app_id, [subject])
    ledger = chosen_ledger(services, app_id, choice)
    (result,) = await transform(services.sandbox, target, [subject], services.clock.now_ms(), ledger)
    if not caller.sees_payloads:
        result = masked(result, services.configuration.redactor(subject.message))
    return _outcome(target.destination.url, shown(target, result))


@get(
    f"{PATH}/version",
    id="nicobar.transformation.version.list",
    tags=TAGS,
    summary="List transformation versions",
)
async def list_versions(
    *,
    endpoint: Endpoint,
    services: Services,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    with_content: Annotated[bool, Meta(description="Include the code. Defaults to false.")] = False,
) -> Page[VersionOut]:
    """Lists the versions of an endpoint's transformation, newest first."""
    place = numbered(read_iterator(iterator))
    found = await services.store.versions(endpoint.id, **span_of(place), limit=limit, with_code=with_content)
    return page_of_found(found, place=place, key=lambda item: str(item.version), shape=_version_shown)


@get(
    f"{PATH}/version/{{version:int}}",
    id="nicobar.transformation.version.get",
    tags=TAGS,
    summary="Get transformation version",
)
async def get_version(*, endpoint: Endpoint, services: Services, version: VersionNumber) -> VersionOut:
    """Returns a version with its code."""
    return _version_shown(await transformations.find_version(services.store, endpoint.id, version))


@get(
    f"{PATH}/version/{{version:int}}/diff",
    id="nicobar.transformation.version.diff",
    tags=TAGS,
    summary="Compare transformation versions",
)
async def diff_versions(
    *,
    endpoint: Endpoint,
    services: Services,
    version: VersionNumber,
    against: Annotated[
        int, Meta(ge=1, le=MAX_VERSION, description="Version to compare with. Defaults to the previous version.")
    ]
    | None = None,
) -> VersionDiffOut:
    """Returns the difference between two versions as a unified diff."""
    newer = await transformations.find_version(services.store, endpoint.id, version)
    before = version - 1 if against is None else against
    older = (
        await transformations.find_version(services.store, endpoint.id, before)
        if before
        else Version(version=0, created_at_ms=0, code="")
    )
    lines = difflib.unified_diff(
        (older.code or "").splitlines(keepends=True),
        (newer.code or "").splitlines(keepends=True),
        f"version {before}",
        f"version {version}",
    )
    text = "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
    return VersionDiffOut(version=version, against=before, diff=text)


@post(
    f"{PATH}/version/{{version:int}}/restore",
    id="nicobar.transformation.version.restore",
    tags=TAGS,
    summary="Restore transformation version",
    status=200,
)
async def restore_version(
    *, endpoint: Endpoint, version: VersionNumber, services: Services, caller: Caller
) -> EndpointTransformationOut:
    """Publishes the code of an earlier version as a new version, and enables the transformation."""
    return await _shown(services, await transformations.restore_version(services, caller, endpoint.id, version))


async def _shown(services: Services, endpoint: Endpoint) -> EndpointTransformationOut:
    secret = sorted(endpoint_variables(services.vault, endpoint))
    if endpoint.transformation is None:
        return EndpointTransformationOut(variables=endpoint.variables, secret_variables=secret)
    newest = await services.store.versions(endpoint.id, limit=1)
    return EndpointTransformationOut(
        code=endpoint.transformation.code,
        enabled=endpoint.transformation_enabled,
        variables=endpoint.variables,
        secret_variables=secret,
        updated_at=moment(newest.items[0].created_at_ms),
        version=endpoint.transformation.version,
    )


def _version_shown(version: Version) -> VersionOut:
    return VersionOut(version=version.version, created_at=moment(version.created_at_ms), code=version.code)


def _subject(kind: SourceKind, endpoint: Endpoint, data: SimulateIn, now_ms: int) -> Subject:
    body = msgspec.json.encode(data.payload)
    event = kind.read_body(data.event_type, body)
    message = Message(
        seq=0,
        id=f"msg_{stable_ulid(0, body.decode())}",
        app_id=endpoint.app_id,
        source_id=API_SOURCE_ID,
        event_id="",
        event_type=data.event_type,
        customer_key=event.customer.key if event.customer else None,
        occurred_at_ms=now_ms if event.occurred_at_ms is None else event.occurred_at_ms,
        accepted_at_ms=now_ms,
        body=body,
        channels=tuple(data.channels or ()),
    )
    return Subject(
        message=message,
        customer=event.customer,
        customer_id_attribute=kind.customer_id_attribute,
        about=about(kind.kind, event),
    )


def _outcome(url: str, result: Transformed) -> TransformationSimulateOut:
    ready = isinstance(result, Ready)
    calls = [
        CallOut(
            method=call.method,
            url=call.url,
            headers=preview_headers(call.headers),
            payload=call.body.decode("utf-8", "replace"),
        )
        for call in (result.calls if isinstance(result, Ready) else ())
    ]
    first = calls[0] if calls else CallOut(method="POST", url=url, headers={}, payload="")
    stopped = None if isinstance(result, Ready) else result
    return TransformationSimulateOut(
        url=first.url,
        payload=first.payload,
        method=first.method,
        cancel=not ready,
        state="ready" if ready else (stopped.state if stopped else DeliveryState.FAILED).value,
        calls=calls,
        verdicts=[verdict_shown(verdict) for verdict in result.verdicts],
        console=list(result.console),
        snapshot=snapshot_shown(result.snapshot),
        code=stopped.code if stopped else None,
        reason=text_of_reason(stopped.reason) if stopped else None,
        line=stopped.reason.line if stopped else None,
    )


OPERATIONS = (
    get_transformation,
    patch_transformation,
    simulate_transformation,
    simulate_connector,
    list_versions,
    get_version,
    diff_versions,
    restore_version,
)
