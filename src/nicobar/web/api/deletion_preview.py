"""`dryRun`: previews an operation that sends, replays, cancels or deletes, without changing anything."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from nicobar.model import Endpoint
from nicobar.store import Queue
from nicobar.web.api.shapes import Shape
from nicobar.web.operations import Response, ResponseSpec
from nicobar.web.parameters import Name

DryRun = Annotated[
    bool,
    Name("dryRun", "dry_run"),
    Meta(description="Preview the operation (200) without changing anything. Defaults to false."),
]


class DryRunOut(Shape):
    """Preview of an operation. `deliveries`: number of deliveries to queue or cancel. `messages`: number of messages
    to create, or whose payload to delete. Nothing was changed.
    """

    deliveries: int
    messages: int


WOULD = ResponseSpec(DryRunOut, description="Preview, with `dryRun`. Nothing was changed.")
# For an operation without a response body.
DELETED: dict[int, ResponseSpec] = {204: ResponseSpec(None, description="Deleted."), 200: WOULD}


def effect(*, deliveries: int = 0, messages: int = 0) -> DryRunOut:
    return DryRunOut(deliveries=deliveries, messages=messages)


def would(*, deliveries: int = 0, messages: int = 0) -> Response[DryRunOut | None]:
    return Response(effect(deliveries=deliveries, messages=messages), status=200)


def done() -> Response[DryRunOut | None]:
    return Response(None, status=204)


async def unfinished(queue: Queue, *endpoints: Endpoint) -> int:
    """The number of unfinished deliveries of these endpoints."""
    seqs = {endpoint.seq for endpoint in endpoints}
    return sum(waiting.unfinished for waiting in await queue.backlog() if waiting.endpoint_seq in seqs)
