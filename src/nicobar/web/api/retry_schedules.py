"""`…/event-type/{event_type_name}/retry-schedule`."""

from __future__ import annotations

from nicobar.pipeline.retry import RETRY_AFTER_MS
from nicobar.store import Snapshot
from nicobar.use_cases import event_types
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller, Needs
from nicobar.web.api.durations import RetrySchedule, delays_of, durations
from nicobar.web.api.event_types import ONE, TAGS, NameKey
from nicobar.web.api.shapes import Shape
from nicobar.web.asgi import decode_slashes
from nicobar.web.operations import get, put


class RetryScheduleInOut(Shape):
    """The delay before each retry. With `null`, an event type has the schedule of the endpoint."""

    retry_schedule: RetrySchedule | None = None


@get(
    f"{ONE}/retry-schedule",
    id="v1.event-type.get-retry-schedule",
    tags=TAGS,
    summary="Get retry schedule",
    needs=Needs.ANY_READER,
)
async def get_retry_schedule(event_type_name: NameKey, snapshot: Snapshot, services: Services) -> RetryScheduleInOut:
    """Returns the delay before each retry of deliveries of an event type: its own schedule, or else that of the
    settings, which endpoints may replace.
    """
    event_types.find_event_type(snapshot, decode_slashes(event_type_name))
    schedule = services.configuration.retry_after_ms(None, decode_slashes(event_type_name))
    return RetryScheduleInOut(retry_schedule=durations(RETRY_AFTER_MS if schedule is None else schedule))


@put(
    f"{ONE}/retry-schedule",
    id="v1.event-type.set-retry-schedule",
    tags=TAGS,
    summary="Set retry schedule",
    status=200,
)
async def set_retry_schedule(
    *, event_type_name: NameKey, data: RetryScheduleInOut, services: Services, caller: Caller
) -> RetryScheduleInOut:
    """Sets the delay before each retry of deliveries of an event type, whatever the endpoint. `null` removes it.
    Deliveries that already wait for a retry keep its time.
    """
    name = decode_slashes(event_type_name)
    changed = await event_types.set_retry_schedule(services, caller, name, delays_of(data.retry_schedule))
    return RetryScheduleInOut(retry_schedule=durations(changed.retry_after_ms))


OPERATIONS = (get_retry_schedule, set_retry_schedule)
