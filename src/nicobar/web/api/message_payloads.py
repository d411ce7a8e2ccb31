"""Message payloads: raw payload and deletion."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from nicobar.model import Application, Message
from nicobar.raw_payloads import raw_payload
from nicobar.use_cases import erase
from nicobar.use_cases.deliveries import count_unfinished
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.deletion_preview import DELETED, WOULD, DryRun, DryRunOut, done, effect, would
from nicobar.web.api.listing import MessageKey
from nicobar.web.api.message_bodies import message_of, payload_of, redactor_for
from nicobar.web.api.messages import TAGS
from nicobar.web.api.shapes import Moment, Shape, Uid, moment, text_of_reason
from nicobar.web.api.tasks import TaskStartedOut, started
from nicobar.web.operations import Response, ResponseSpec, delete, get, post

MAX_EXPUNGED_AT_ONCE = 100


class MessageRawPayloadOut(Shape):
    """The unchanged payload, as text."""

    payload: str


class MessageRevisionOut(Shape):
    """Another payload with the same event ID from the same source, as text. It is not delivered."""

    timestamp: Moment
    payload: str


class MessageRevisionsOut(Shape):
    """The other payloads, oldest first: at most 10, and 2 MiB in total. `unreadable` says why the message's own
    payload cannot be read, null if it can.
    """

    data: list[MessageRevisionOut]
    unreadable: str | None


class ExpungeStatus(StrEnum):
    EXPUNGED = "expunged"
    NOT_FOUND = "not-found"


class BulkExpungeIn(Shape):
    """IDs or `eventId`s of messages. Maximum 100."""

    ids: Annotated[list[Uid], Meta(max_length=MAX_EXPUNGED_AT_ONCE)] = []


class BulkExpungeOut(Shape):
    """The result for each ID."""

    results: dict[str, ExpungeStatus]


@get(
    "/api/v1/app/{app_id}/msg/{msg_id}/raw",
    id="v1.message.get-raw-payload",
    tags=TAGS,
    summary="Get raw message payload",
)
async def get_raw_payload(
    *, application: Application, services: Services, caller: Caller, msg_id: MessageKey
) -> MessageRawPayloadOut:
    """Returns the payload of a message as text, or the raw payload that is sent instead: unchanged for a token with
    write access, otherwise with personal data masked.
    """
    found = await message_of(services, application, msg_id)
    if (raw := raw_payload(found.params)) is not None:
        redactor = redactor_for(services, caller, found)
        return MessageRawPayloadOut(
            payload=raw.text if redactor is None else redactor.event(raw.text.encode()).decode()
        )
    payload = _masked(services, caller, found) if found.expunged_at_ms is None else payload_of(found)
    return MessageRawPayloadOut(payload=payload.decode("utf-8", "replace"))


@get(
    "/api/v1/app/{app_id}/msg/{msg_id}/revisions",
    id="nicobar.message.revisions",
    tags=TAGS,
    summary="List other payloads of message",
)
async def list_revisions(
    *, application: Application, services: Services, caller: Caller, msg_id: MessageKey
) -> MessageRevisionsOut:
    """Returns the other payloads that the source sent with the message's event ID, and why its own cannot be
    read.
    """
    found = await message_of(services, application, msg_id)
    why = services.configuration.reread(found)[1]
    return MessageRevisionsOut(
        data=[
            MessageRevisionOut(
                timestamp=moment(revision.accepted_at_ms),
                payload=_masked(services, caller, msgspec.structs.replace(found, body=revision.body)).decode(
                    "utf-8", "replace"
                ),
            )
            for revision in await services.store.revisions(found.id)
        ],
        unreadable=None if why is None else text_of_reason(why),
    )


def _masked(services: Services, caller: Caller, message: Message) -> bytes:
    redactor = redactor_for(services, caller, message)
    return message.body if redactor is None else redactor.event(message.body)


@delete(
    "/api/v1/app/{app_id}/msg/{msg_id}/content",
    id="v1.message.expunge-content",
    tags=TAGS,
    summary="Delete message payload",
    status=200,
    responses=DELETED,
)
async def expunge_message(
    *,
    application: Application,
    services: Services,
    caller: Caller,
    msg_id: MessageKey,
    dry_run: DryRun = False,
) -> Response[DryRunOut | None]:
    """Deletes the payload of a message and its copies in attempts, and cancels unfinished deliveries."""
    found = await message_of(services, application, msg_id)
    if dry_run:
        return would(messages=_has_payload(found), deliveries=await count_unfinished(services.store, found))
    await erase.expunge_message(services, caller, found)
    return done()


def _has_payload(message: Message) -> int:
    return int(message.expunged_at_ms is None)


@post(
    "/api/v1/app/{app_id}/msg/bulk-expunge",
    id="v1.message.bulk-expunge-content",
    tags=TAGS,
    summary="Delete message payloads",
    status=200,
)
async def expunge_messages(
    *,
    application: Application,
    services: Services,
    caller: Caller,
    data: BulkExpungeIn,
    dry_run: DryRun = False,
) -> BulkExpungeOut | DryRunOut:
    """Deletes the payloads of up to 100 messages and cancels their unfinished deliveries. With `dryRun`, returns the
    number of messages and deliveries, and deletes nothing.
    """
    if dry_run:
        named = [await services.store.find_message(application.id, key) for key in data.ids]
        messages = {item.id: item for item in named if item is not None}.values()
        return effect(
            messages=sum(map(_has_payload, messages)),
            deliveries=await count_unfinished(services.store, *messages),
        )
    results: dict[str, ExpungeStatus] = {}
    for key in dict.fromkeys(data.ids):
        found = await services.store.find_message(application.id, key)
        results[key] = ExpungeStatus.EXPUNGED if found else ExpungeStatus.NOT_FOUND
        if found is not None:
            await erase.expunge_message(services, caller, found)
    return BulkExpungeOut(results=results)


@post(
    "/api/v1/app/{app_id}/msg/expunge-all-contents",
    id="v1.message.expunge-all-contents",
    tags=TAGS,
    summary="Delete all message payloads",
    status=202,
    responses={
        202: ResponseSpec(TaskStartedOut, description="The task has started."),
        200: WOULD,
    },
)
async def expunge_all_messages(
    *, application: Application, services: Services, caller: Caller, dry_run: DryRun = False
) -> Response[TaskStartedOut | DryRunOut]:
    """Deletes the payloads of all current messages of an application and cancels unfinished deliveries. Runs as a
    background task; `messagesPurged` is the number of messages so far.
    """
    if dry_run:
        count = await services.store.count_expunge(application.id)
        return Response(effect(messages=count.messages, deliveries=count.deliveries), status=200)
    task = await erase.expunge_application(services, caller, application.id)
    return Response(started(task), status=202)


OPERATIONS = (get_raw_payload, list_revisions, expunge_message, expunge_messages, expunge_all_messages)
