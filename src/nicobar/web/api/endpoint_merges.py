"""`…/endpoint/{endpoint_id}/merge` (an addition to the Svix API): merges of people at the destination."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from nicobar.model import Endpoint
from nicobar.store import Merge, MergeStatus, Pair, PairState
from nicobar.use_cases.people_merges import MAX_PAIRS, MergePlan, cancel_merge, masked_pairs, plan_merge, start_merge
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.deletion_preview import DryRun
from nicobar.web.api.endpoints import ONE, TAGS
from nicobar.web.api.errors import not_found
from nicobar.web.api.lookups import MAX_KEY_CHARS
from nicobar.web.api.shapes import Moment, Shape, moment, text_of_reason
from nicobar.web.operations import Response, ResponseSpec, get, post

MAX_LISTED = 50
MAX_LISTED_PAIRS = 250
MergeKey = Annotated[str, Meta(description="The merge's ID.", max_length=MAX_KEY_CHARS)]


class IdentifierOut(Shape):
    """An identifier of a person at the destination: `kind` is `id` or `email`."""

    kind: str
    value: str


class MergePairOut(Shape):
    """Two people of one customer: the secondary is merged into the primary and ceases to exist. `merged` means
    that the destination accepted the merge.
    """

    customer: str
    secondary: IdentifierOut
    primary: IdentifierOut
    state: PairState
    reason: str | None


class MergeIn(Shape):
    """The number of people that a preview has counted, which confirms the merge; ignored with `dryRun`. `customer`
    limits it to one customer, by the sender's ID.
    """

    expected: Annotated[int, Meta(ge=0, le=MAX_PAIRS)] = 0
    customer: Annotated[str, Meta(max_length=MAX_KEY_CHARS)] | None = None


class MergePlanOut(Shape):
    """Preview of a merge. `people` would be merged, the first of them are `pairs`. Of the others, `unidentified` have
    no new identifier, `same` kept their identifier, and `withoutLook` can be merged with an App API key only.
    `more`: there may be others for another merge.
    """

    people: int
    pairs: list[MergePairOut]
    unidentified: int
    same: int
    without_look: int
    more: bool


class MergeOut(Shape):
    """A merge and its progress: `done` of `expected` people. `reason` says why it waits or was stopped."""

    id: str
    status: MergeStatus
    expected: int
    done: int
    counts: dict[PairState, int]
    reason: str | None
    created_at: Moment
    updated_at: Moment


class MergeListOut(Shape):
    """The endpoint's latest merges, newest first."""

    data: list[MergeOut]


class MergePairListOut(Shape):
    """A page of a merge's people. Pass `next` as `after` to get the next page; null after the last."""

    data: list[MergePairOut]
    next: int | None


@post(
    f"{ONE}/merge",
    id="nicobar.endpoint.merge",
    tags=TAGS,
    summary="Merge people",
    status=202,
    responses={
        202: ResponseSpec(MergeOut, description="The merge has started."),
        200: ResponseSpec(MergePlanOut, description="Preview, with `dryRun`. Nothing was changed."),
    },
)
async def merge_people(
    *, endpoint: Endpoint, services: Services, caller: Caller, data: MergeIn, dry_run: DryRun = False
) -> Response[MergeOut | MergePlanOut]:
    """Merges the people whom the endpoint was sent by the sender's customer ID into those as whom customers are
    identified now. Preview it with `dryRun` first: the number of people has to be confirmed. Cannot be undone. Each
    person is identified first and merged at least 60 seconds later, at the endpoint's rate. People identified by
    email are looked up with the App API key before.
    """
    if dry_run:
        plan = await plan_merge(services, endpoint, data.customer)
        if not caller.sees_payloads:
            plan = msgspec.structs.replace(plan, pairs=tuple(masked_pairs(services.settings.redaction, plan.pairs)))
        return Response(_planned(plan), status=200)
    merge = await start_merge(services, caller, endpoint, expected=data.expected, customer_key=data.customer)
    return Response(_shown(merge), status=202)


@get(f"{ONE}/merge", id="nicobar.endpoint.merge.list", tags=TAGS, summary="List merges")
async def list_merges(*, endpoint: Endpoint, services: Services) -> MergeListOut:
    """Lists the endpoint's latest merges of people, newest first."""
    found = await services.store.merges(endpoint.seq, limit=MAX_LISTED)
    return MergeListOut(data=list(map(_shown, found)))


@get(f"{ONE}/merge/{{merge_id}}", id="nicobar.endpoint.merge.get", tags=TAGS, summary="Get merge")
async def get_merge(*, endpoint: Endpoint, services: Services, merge_id: MergeKey) -> MergeOut:
    """Returns a merge of people and its progress."""
    return _shown(await merge_of(services, endpoint, merge_id))


@get(
    f"{ONE}/merge/{{merge_id}}/people",
    id="nicobar.endpoint.merge.people",
    tags=TAGS,
    summary="List people of merge",
)
async def list_people(
    *,
    endpoint: Endpoint,
    services: Services,
    caller: Caller,
    merge_id: MergeKey,
    after: Annotated[int, Meta(ge=0, description="Where the page starts: `next` of the previous page.")] = 0,
) -> MergePairListOut:
    """Lists the result for each person of a merge."""
    merge = await merge_of(services, endpoint, merge_id)
    found = await services.store.merge_pairs(merge.seq, after=after, limit=MAX_LISTED_PAIRS)
    following = found[-1].number if len(found) == MAX_LISTED_PAIRS else None
    if not caller.sees_payloads:
        found = tuple(masked_pairs(services.settings.redaction, found))
    return MergePairListOut(data=list(map(_pair, found)), next=following)


@post(
    f"{ONE}/merge/{{merge_id}}/cancel",
    id="nicobar.endpoint.merge.cancel",
    tags=TAGS,
    summary="Cancel merge",
    status=202,
    responses={
        202: ResponseSpec(MergeOut, description="Canceled."),
        200: ResponseSpec(MergeOut, description="Preview."),
    },
)
async def cancel(
    *, endpoint: Endpoint, services: Services, caller: Caller, merge_id: MergeKey, dry_run: DryRun = False
) -> Response[MergeOut]:
    """Cancels a merge of people before its next step. Merged people stay merged. Returns 409 if it has
    ended.
    """
    merge = await merge_of(services, endpoint, merge_id)
    if dry_run:
        return Response(_shown(merge), status=200)
    return Response(_shown(await cancel_merge(services, caller, merge)), status=202)


async def merge_of(services: Services, endpoint: Endpoint, merge_id: str) -> Merge:
    """Raises Refusal 404."""
    found = await services.store.merge(merge_id)
    if found is None or found.endpoint_seq != endpoint.seq:
        raise not_found("merge", merge_id)
    return found


def _planned(plan: MergePlan) -> MergePlanOut:
    return MergePlanOut(
        people=len(plan.pairs),
        pairs=list(map(_pair, plan.pairs[:MAX_LISTED_PAIRS])),
        unidentified=plan.unidentified,
        same=plan.same,
        without_look=plan.without_look,
        more=plan.more,
    )


def _shown(merge: Merge) -> MergeOut:
    return MergeOut(
        id=merge.id,
        status=merge.status,
        expected=merge.expected,
        done=merge.done,
        counts=merge.counts,
        reason=text_of_reason(merge.reason),
        created_at=moment(merge.created_at_ms),
        updated_at=moment(merge.updated_at_ms),
    )


def _pair(pair: Pair) -> MergePairOut:
    return MergePairOut(
        customer=pair.customer_key,
        secondary=IdentifierOut(kind=pair.secondary.kind, value=pair.secondary.value),
        primary=IdentifierOut(kind=pair.primary.kind, value=pair.primary.value),
        state=pair.state,
        reason=text_of_reason(pair.reason),
    )


OPERATIONS = (merge_people, list_merges, get_merge, list_people, cancel)
