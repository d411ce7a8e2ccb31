"""`/api/v1/connector`: the built-in connectors."""

from __future__ import annotations

import hashlib
from typing import Annotated

from msgspec import Meta

import nicobar
from nicobar.connectors import Connector, Field, FieldKind
from nicobar.connectors.registry import CONNECTORS, connector, default_code
from nicobar.ksuid import EPOCH_S, ksuid_text
from nicobar.model import Endpoint, Setting
from nicobar.web.api.auth import Needs
from nicobar.web.api.endpoints import ONE
from nicobar.web.api.errors import not_found
from nicobar.web.api.lookups import MAX_KEY_CHARS
from nicobar.web.api.paging import DEFAULT_LIMIT, Iterator, Limit, OrderByName, Ordering, page_of_all
from nicobar.web.api.shapes import Moment, Page, Shape, moment
from nicobar.web.operations import get

TAGS = ["Connector"]
_MADE_AT_MS = 1_767_225_600_000
_EPOCH_BYTES = (_MADE_AT_MS // 1000 - EPOCH_S).to_bytes(4, "big")


class FieldOut(Shape):
    """A field of an endpoint's `connector.config`. `kind` is `text`, `secret`, `url`, `choice`, `switch` or `map`
    (texts by names).
    """

    name: str
    label: str
    kind: FieldKind
    help: str
    required: bool
    choices: list[str]
    default: Setting | None


class ConnectorOut(Shape):
    """A connector. `uid` is the value for `connector.kind` of an endpoint, `fields` are the fields of its
    `connector.config`, and `transformation` is the default code of a new endpoint.
    """

    id: str
    org_id: str
    uid: str
    kind: str
    name: str
    description: str
    instructions: str
    transformation: str
    created_at: Moment
    updated_at: Moment
    transformation_updated_at: Moment
    product_type: str
    fields: list[FieldOut]


def shown(connector: Connector) -> ConnectorOut:
    made = moment(_MADE_AT_MS)
    return ConnectorOut(
        id=_stable_id("trtmpl", connector.kind),
        org_id=_stable_id("org", "nicobar"),
        uid=connector.kind,
        kind=connector.public_kind,
        name=connector.name,
        description=connector.summary,
        instructions="\n".join(f"{field.label}: {field.help}" for field in connector.fields),
        transformation=default_code(connector) or "function handler(webhook) {\n  return webhook;\n}\n",
        created_at=made,
        updated_at=made,
        transformation_updated_at=made,
        product_type="Dispatch",
        fields=[_field(field) for field in connector.fields],
    )


def _field(field: Field) -> FieldOut:
    return FieldOut(
        name=field.name,
        label=field.label,
        kind=field.kind,
        help=field.help,
        required=field.required,
        choices=list(field.choices),
        default=field.default,
    )


def _stable_id(prefix: str, name: str) -> str:
    """An ID in the format of the field, the same in every installation."""
    digest = hashlib.sha256(f"{nicobar.__name__}/{name}".encode()).digest()
    return f"{prefix}_{ksuid_text(_EPOCH_BYTES + digest[:16])}"


@get(
    "/api/v1/connector",
    id="v1.connector.list",
    tags=TAGS,
    summary="List connectors",
    needs=Needs.ANY_READER,
)
async def list_connectors(
    *,
    limit: Limit = DEFAULT_LIMIT,
    iterator: Iterator = None,
    order: OrderByName = None,
    product_type: Annotated[str | None, Meta(description="Filter by `productType`.")] = None,
) -> Page[ConnectorOut]:
    """Lists the connectors and their configuration fields, by kind. Connectors are built into Nicobar."""
    return page_of_all(
        [item for item in map(shown, CONNECTORS) if product_type in {None, item.product_type}],
        iterator=iterator,
        limit=limit,
        order=order or Ordering.ASCENDING,
        key=lambda item: item.uid,
        shape=lambda item: item,
    )


@get(
    "/api/v1/connector/{connector_id}",
    id="v1.connector.get",
    tags=TAGS,
    summary="Get connector",
    needs=Needs.ANY_READER,
)
async def get_connector(
    connector_id: Annotated[str, Meta(description="The connector's ID or kind.", max_length=MAX_KEY_CHARS)],
) -> ConnectorOut:
    """Returns a connector."""
    for candidate in CONNECTORS:
        if connector_id in {candidate.kind, _stable_id("trtmpl", candidate.kind)}:
            return shown(candidate)
    raise not_found("connector", connector_id)


@get(
    f"{ONE}/connector",
    id="v1.endpoint.get_connector",
    tags=["Endpoint"],
    summary="Get endpoint connector",
)
async def get_endpoint_connector(endpoint: Endpoint) -> ConnectorOut:
    """Returns the connector of an endpoint."""
    return shown(connector(endpoint.connector))


OPERATIONS = (list_connectors, get_connector, get_endpoint_connector)
