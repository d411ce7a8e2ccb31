"""`/webhooks/{id}/attempts/{id}`: one try of a delivery, with everything that is known of it."""

from __future__ import annotations

from litestar import Response, get
from litestar.params import FromPath

from nicobar.model import ALERT_SOURCE_ID
from nicobar.web.dashboard.context import GivenContext, find_endpoint, not_found
from nicobar.web.dashboard.pages import page
from nicobar.web.dashboard.visitor import GivenVisitor


@get("/webhooks/{endpoint_id:str}/attempts/{attempt_id:str}")
async def attempt(
    endpoint_id: FromPath[str], attempt_id: FromPath[str], context: GivenContext, visitor: GivenVisitor
) -> Response[bytes]:
    """Request, answer, verdicts, console, and the event itself."""
    known = find_endpoint(await context.snapshot(), endpoint_id)
    store = context.services.store
    found = await store.attempt(attempt_id)
    if (
        found is None
        or found.endpoint_id != known.id
        or (found.message.source_id == ALERT_SOURCE_ID and not visitor.sees_alerts)
    ):
        raise not_found("attempt")
    message = await store.message(found.message.id)
    return page(
        visitor,
        "attempt.html",
        endpoint=known,
        tried=found,
        attempt=found.attempt,
        message=message or found.message,
        now_ms=context.now_ms(),
    )


HANDLERS = (attempt,)
