"""`/webhooks/{id}/merges`: merges of people at an endpoint's destination. Each is previewed, confirmed by its number,
and then shown with what came of each person.
"""

from __future__ import annotations

from nicobar.errors import NicobarError, Refusal, UserError
from nicobar.model import Endpoint
from nicobar.store import Merge, MergeStatus, PairState
from nicobar.use_cases.people_merges import cancel_merge, masked_pairs, plan_merge, start_merge
from nicobar.web.dashboard.context import Context, find_endpoint, not_found
from nicobar.web.dashboard.filters import MAX_CHARS, address
from nicobar.web.dashboard.language import noop
from nicobar.web.dashboard.logs import Text
from nicobar.web.dashboard.pages import page, redirect
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

MAX_LISTED = 25
PAIRS = 50
MAX_TYPED_CHARS = 7
STATUS_NAMES = {
    MergeStatus.RUNNING: noop("running"),
    MergeStatus.FINISHED: noop("completed"),
    MergeStatus.CANCELED: noop("canceled"),
    MergeStatus.STOPPED: noop("stopped"),
}
STATE_NAMES = {
    PairState.WAITING: noop("waiting"),
    PairState.IDENTIFIED: noop("identified"),
    PairState.MERGED: noop("merged"),
    PairState.REJECTED: noop("rejected"),
    PairState.SKIPPED: noop("skipped"),
    PairState.CANCELED: noop("canceled"),
}


@get("/webhooks/{endpoint_id}/merges")
async def show_all(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """What a merge is, and the endpoint's merges."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    return await _list(context, visitor, endpoint)


@get("/webhooks/{endpoint_id}/merges/count")
async def count(endpoint_id: str, context: Context, visitor: Visitor, customer: Text = "") -> Response[bytes]:
    """Previews a merge, of all customers or of one, and asks for confirmation."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    return await _preview(context, visitor, endpoint, customer)


@post("/webhooks/{endpoint_id}/merges", status=303)
async def start(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Starts the merge, if the number of people is confirmed."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    typed, customer = visitor.form.get("expected", "").strip(), visitor.form.get("customer", "")[:MAX_CHARS]
    try:
        expected = _confirmed(typed)
        merge = await start_merge(
            context.services, visitor, endpoint, expected=expected, customer_key=customer or None
        )
    except (Refusal, UserError) as problem:
        return await _preview(context, visitor, endpoint, customer, problem)
    return redirect(f"/webhooks/{endpoint.id}/merges/{merge.id}")


@get("/webhooks/{endpoint_id}/merges/{merge_id}")
async def show(
    endpoint_id: str, merge_id: str, context: Context, visitor: Visitor, after: str = ""
) -> Response[bytes]:
    """One merge: its progress, and what came of each person."""
    return await _merge_page(context, visitor, endpoint_id, merge_id, after)


@get("/webhooks/{endpoint_id}/merges/{merge_id}/progress")
async def progress(endpoint_id: str, merge_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The same, as a part of the page that is polled."""
    return await _merge_page(context, visitor, endpoint_id, merge_id, "", template="part_endpoint_merge.html")


@post("/webhooks/{endpoint_id}/merges/{merge_id}/cancel", status=303)
async def cancel(endpoint_id: str, merge_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Stops a merge before its next step. The page shows one that has ended."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    merge = await _merge(context, endpoint, merge_id)
    if merge.status is MergeStatus.RUNNING:
        await cancel_merge(context.services, visitor, merge)
    return redirect(f"/webhooks/{endpoint.id}/merges/{merge.id}")


def _confirmed(typed: str) -> int:
    """Raises UserError."""
    if not (typed.isascii() and typed.isdigit() and len(typed) <= MAX_TYPED_CHARS):
        raise UserError("merge_unconfirmed", "The number of people was not entered.", "Enter it to confirm.")
    return int(typed)


async def _list(
    context: Context, visitor: Visitor, endpoint: Endpoint, problem: NicobarError | None = None
) -> Response[bytes]:
    return page(
        visitor,
        "endpoint_merges.html",
        status=problem.status if isinstance(problem, Refusal) else 200,
        endpoint=endpoint,
        merges=await context.services.store.merges(endpoint.seq, limit=MAX_LISTED),
        status_names=STATUS_NAMES,
        problem=problem,
        now_ms=context.now_ms(),
    )


async def _preview(
    context: Context, visitor: Visitor, endpoint: Endpoint, customer: str, problem: NicobarError | None = None
) -> Response[bytes]:
    try:
        plan = await plan_merge(context.services, endpoint, customer or None)
    except Refusal as unsupported:
        return await _list(context, visitor, endpoint, unsupported)
    return page(
        visitor,
        "endpoint_merge_confirm.html",
        status=problem.status if isinstance(problem, Refusal) else 422 if problem else 200,
        endpoint=endpoint,
        plan=plan,
        shown=masked_pairs(context.services.settings.redaction, plan.pairs[:PAIRS]),
        customer=customer,
        problem=problem,
    )


async def _merge_page(  # noqa: PLR0917 - a page's values
    context: Context,
    visitor: Visitor,
    endpoint_id: str,
    merge_id: str,
    after: str,
    template: str = "endpoint_merge.html",
) -> Response[bytes]:
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    merge = await _merge(context, endpoint, merge_id)
    number = int(after) if after.isascii() and after.isdigit() else 0
    found = await context.services.store.merge_pairs(merge.seq, after=number, limit=PAIRS)
    here = f"/webhooks/{endpoint.id}/merges/{merge.id}"
    return page(
        visitor,
        template,
        endpoint=endpoint,
        merge=merge,
        here=here,
        is_open=merge.status is MergeStatus.RUNNING,
        pairs=masked_pairs(context.services.settings.redaction, found),
        following=address(here, after=str(found[-1].number)) if len(found) == PAIRS else None,
        first=here if number else None,
        status_names=STATUS_NAMES,
        state_names_of_pairs=STATE_NAMES,
        now_ms=context.now_ms(),
    )


async def _merge(context: Context, endpoint: Endpoint, merge_id: str) -> Merge:
    """Raises Refusal 404."""
    found = await context.services.store.merge(merge_id)
    if found is None or found.endpoint_seq != endpoint.seq:
        raise not_found("merge")
    return found


OPERATIONS = (show_all, count, start, show, progress, cancel)
