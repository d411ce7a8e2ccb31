"""`…/endpoint/{endpoint_id}/send-example`: sends an example event."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from nicobar.audit import AuditAction
from nicobar.model import Endpoint, EventType, Json
from nicobar.pipeline.receive import Posted
from nicobar.sources.registry import application_kind
from nicobar.store import Snapshot
from nicobar.use_cases.edit import audit_line
from nicobar.use_cases.endpoints import check_enabled
from nicobar.use_cases.event_types import all_event_types
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.deletion_preview import WOULD, DryRun, DryRunOut, effect
from nicobar.web.api.endpoints import ONE, TAGS
from nicobar.web.api.errors import Invalid
from nicobar.web.api.message_bodies import MessageOut
from nicobar.web.api.message_bodies import shown as shown_message
from nicobar.web.api.shapes import EventTypeName, Shape, Unsupported
from nicobar.web.operations import Response, ResponseSpec, post


class EventExampleIn(Shape):
    """The example to send. `exampleIndex` selects one of the `examples` in the event type's schema. Defaults to 0."""

    event_type: EventTypeName
    example_index: Annotated[int, Meta(ge=0, le=1_000)] = 0
    payload: Unsupported = None


@post(
    f"{ONE}/send-example",
    id="v1.endpoint.send-example",
    tags=TAGS,
    summary="Send example event",
    status=202,
    responses={202: ResponseSpec(MessageOut, description="Accepted."), 200: WOULD},
)
async def send_example(
    *,
    endpoint: Endpoint,
    data: EventExampleIn,
    snapshot: Snapshot,
    services: Services,
    caller: Caller,
    dry_run: DryRun = False,
) -> Response[MessageOut | DryRunOut]:
    """Sends an example of an event type to this endpoint only, with the current time."""
    item = all_event_types(snapshot).get(data.event_type)
    example = None if item is None else _example(item, data.example_index)
    if item is None or example is None:
        raise Invalid(
            "body.eventType",
            f'The event type "{data.event_type}" has no example {data.example_index}.',
            "Use an event type that has examples.",
        )
    check_enabled(endpoint)
    if dry_run:
        return Response(effect(messages=1, deliveries=1), status=200)
    with_example = msgspec.structs.replace(item, example=example)
    kind = application_kind(snapshot.sources, endpoint.app_id)
    message_id = services.ids.new("msg")
    detail = f"{item.name} as {message_id}"
    message = await services.receiver.take(
        Posted(
            id=message_id,
            app_id=endpoint.app_id,
            event_type=item.name,
            body=kind.sample(with_example, services.clock.now_ms(), event_id=message_id),
            only=endpoint.seq,
        ),
        audit_line=audit_line(
            services, caller, AuditAction.ENDPOINT_SEND_EXAMPLE, endpoint.id, app_id=endpoint.app_id, detail=detail
        ),
    )
    return Response(shown_message(message, with_content=True), status=202)


def _example(event_type: EventType, index: int) -> Json:
    schema = next(iter(event_type.schemas.values()), None) if isinstance(event_type.schemas, dict) else None
    examples = schema.get("examples") if isinstance(schema, dict) else None
    if isinstance(examples, list) and index < len(examples):
        return examples[index]
    return event_type.example if index == 0 else None


OPERATIONS = (send_example,)
