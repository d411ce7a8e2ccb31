"""`/webhooks/{id}/attempts/{id}`: one attempt of a delivery in full."""

from __future__ import annotations

from nicobar.model import ALERT_SOURCE_ID
from nicobar.web.dashboard.context import Context, find_endpoint, not_found
from nicobar.web.dashboard.pages import page
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get


@get("/webhooks/{endpoint_id}/attempts/{attempt_id}")
async def attempt(endpoint_id: str, attempt_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Request, response, verdicts, console output and the event."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    store = context.services.store
    found = await store.attempt(attempt_id)
    if (
        found is None
        or found.endpoint_id != endpoint.id
        or (found.message.source_id == ALERT_SOURCE_ID and not visitor.sees_alerts)
    ):
        raise not_found("attempt")
    message = await store.message(found.message.id) or found.message
    redactor = context.services.configuration.redactor(message)
    return page(
        visitor,
        "attempt.html",
        endpoint=endpoint,
        tried=found,
        attempt=redactor.attempt(found.attempt),
        payload=redactor.event(message.body),
        now_ms=context.now_ms(),
    )


OPERATIONS = (attempt,)
