"""What can be done with event types, and through which interfaces."""

from __future__ import annotations

from nicobar.audit import AuditAction
from nicobar.model import EventType
from nicobar.store import Change, PutEventType
from support.parity import Interface, Operation, World, api, file, form

NAME = "order/made"
PATH = "/api/v1/event-type/order%2Fmade/retry-schedule"
PAGE = "/catalogue/order%2Fmade"
TOO_SHORT = "Invalid retry schedule: the delay 10ms is out of range. Use delays from 1s to 1d."


def entry(text: str) -> str:
    return f'[[event_types]]\nname = "{NAME}"\ndescription = "An order."\n{text}\n'


def existing(_world: World) -> list[Change]:
    return [PutEventType(event_type=EventType(name=NAME, description="An order.", retry_after_ms=(5_000,)))]


OPERATIONS = (
    Operation(
        "set an event type's retry schedule",
        (AuditAction.EVENT_TYPE_UPDATE,),
        existing,
        {
            Interface.API: api("PUT", PATH, {"retrySchedule": [{"secs": 90}, {"secs": 7_200}]}),
            Interface.DASHBOARD: form(PAGE, retries=" 90s, 2h"),
            Interface.FILE: file(entry('retry_schedule = ["90s", "2h"]')),
        },
    ),
    Operation(
        "remove an event type's retry schedule",
        (AuditAction.EVENT_TYPE_UPDATE,),
        existing,
        {
            Interface.API: api("PUT", PATH, {"retrySchedule": None}),
            Interface.DASHBOARD: form(PAGE, retries=""),
            Interface.FILE: file(entry("")),
        },
    ),
    Operation(
        "set an event type's retry schedule out of bounds",
        (),
        existing,
        {
            Interface.API: api("PUT", PATH, {"retrySchedule": [{"secs": 0, "nanos": 10_000_000}]}),
            Interface.DASHBOARD: form(PAGE, retries="10ms"),
            Interface.FILE: file(entry('retry_schedule = ["10ms"]')),
        },
        error=TOO_SHORT,
    ),
)
