"""`…/endpoint/{endpoint_id}/msg/test-attempt`: sends a message to one endpoint, and returns its first attempt."""

from __future__ import annotations

import asyncio

import msgspec

from nicobar.errors import Refusal
from nicobar.model import Application, Endpoint
from nicobar.store.history import AttemptFilter, MessageAttempt
from nicobar.use_cases.endpoints import check_enabled
from nicobar.use_cases.services import Services
from nicobar.web.api.attempt_bodies import MessageAttemptOut, attempt_shown, url_of
from nicobar.web.api.deletion_preview import WOULD, DryRun, DryRunOut, effect
from nicobar.web.api.endpoints import ONE
from nicobar.web.api.errors import Invalid
from nicobar.web.api.listing import Expanded
from nicobar.web.api.messages import TAGS, MessageIn, check_new, posted_of
from nicobar.web.operations import Response, ResponseSpec, post

# Clients give up after 30 s or later.
MAX_WAIT_MS = 25_000
LOOK_EVERY_MS = 100


@post(
    f"{ONE}/msg/test-attempt",
    id="v1.message.test-attempt",
    tags=TAGS,
    summary="Send message and wait for its attempt",
    status=201,
    responses={201: ResponseSpec(MessageAttemptOut, description="Attempted."), 200: WOULD},
)
async def attempt_message(
    *,
    application: Application,
    endpoint: Endpoint,
    services: Services,
    data: MessageIn,
    body: bytes,
    idempotency_key: str,
    expanded_statuses: Expanded = False,
    dry_run: DryRun = False,
) -> Response[MessageAttemptOut | DryRunOut]:
    """Sends an event to this endpoint only, whatever its filter, and returns its first attempt. The message is stored
    and queued like all others. 409 `attempt_pending` without an attempt within 25 seconds.
    """
    if data.deliver_at is not None:
        raise Invalid("body.deliverAt", "A test attempt is sent now, so it has no deliverAt.", "Omit the field.")
    check_enabled(endpoint)
    posted = posted_of(services, application, data, body, idempotency_key)
    if dry_run:
        await check_new(services, posted)
        return Response(effect(messages=1, deliveries=1), status=200)
    message = await services.receiver.take(msgspec.structs.replace(posted, only=endpoint.seq))
    found = await _first_attempt(services, message.id, endpoint.id)
    url = url_of(services, endpoint.id)
    return Response(attempt_shown(services, found, url, with_content=True, expanded=expanded_statuses), status=201)


async def _first_attempt(services: Services, message_id: str, endpoint_id: str) -> MessageAttempt:
    """Waits for it. Raises Refusal 409."""
    until_ms = services.clock.steady_ms() + MAX_WAIT_MS
    which = AttemptFilter()
    while True:
        found = await services.store.attempts_of_message(message_id, which, endpoint_id=endpoint_id, limit=1)
        if found.items:
            return found.items[0]
        if services.clock.steady_ms() >= until_ms:
            raise Refusal(
                409,
                "attempt_pending",
                "Message %(message_id)s is stored, and was not attempted within %(wait_s)s s: the endpoint is on "
                "hold, paused or busy, or earlier events of the customer are sent first.",
                "Read its attempts later. %(endpoint_id)s/queue says why nothing is sent.",
                message_id=message_id,
                wait_s=MAX_WAIT_MS // 1_000,
                endpoint_id=endpoint_id,
            )
        await asyncio.sleep(LOOK_EVERY_MS / 1_000)


OPERATIONS = (attempt_message,)
