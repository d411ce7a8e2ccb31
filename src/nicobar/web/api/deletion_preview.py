"""`dryRun`: what an operation that sends, replays, cancels or deletes would do. Nothing is changed."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from nicobar.model import Endpoint
from nicobar.store.history import History
from nicobar.web.api.shapes import Shape
from nicobar.web.operations import Response, ResponseSpec
from nicobar.web.parameters import Name

DryRun = Annotated[
    bool, Name("dryRun", "dry_run"), Meta(description="Return what the operation would do (200); change nothing.")
]


class DryRunOut(Shape):
    """What the operation would do: `deliveries` that it would queue or cancel, `messages` that it would create or
    whose payload it would delete. Nothing was changed.
    """

    deliveries: int
    messages: int


WOULD = ResponseSpec(DryRunOut, description="With `dryRun`: what it would do.")
# For an operation that answers with nothing.
DELETED: dict[int, ResponseSpec] = {204: ResponseSpec(None, description="Deleted."), 200: WOULD}


def effect(*, deliveries: int = 0, messages: int = 0) -> DryRunOut:
    return DryRunOut(deliveries=deliveries, messages=messages)


def would(*, deliveries: int = 0, messages: int = 0) -> Response[DryRunOut | None]:
    return Response(effect(deliveries=deliveries, messages=messages), status=200)


def done() -> Response[DryRunOut | None]:
    return Response(None, status=204)


async def unfinished(history: History, *endpoints: Endpoint) -> int:
    """How many deliveries of these endpoints are not finished."""
    return sum([sum((await history.unfinished(endpoint.id)).values()) for endpoint in endpoints])
