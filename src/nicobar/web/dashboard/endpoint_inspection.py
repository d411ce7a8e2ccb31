"""`/webhooks/{id}/campaigns`: the names of the events that an endpoint sends, beside those that campaigns wait for.
`…/people/advice`: what the people there say about how to identify them. Only forms ask the destination.
"""

from __future__ import annotations

from nicobar.errors import NicobarError
from nicobar.model import Endpoint
from nicobar.use_cases.identity_advice import advise_identity
from nicobar.use_cases.identity_preview import latest_customers
from nicobar.use_cases.inspection import Asked, CampaignCheck, check_names, of_endpoint
from nicobar.web.dashboard.context import Context, find_endpoint
from nicobar.web.dashboard.endpoint_bench import bench_of_draft
from nicobar.web.dashboard.filters import address
from nicobar.web.dashboard.pages import page
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post


@get("/webhooks/{endpoint_id}/campaigns")
async def show(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Explains the comparison and offers it."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    return _page(visitor, f"/webhooks/{endpoint.id}", of_endpoint(context.services, endpoint))


@post("/webhooks/{endpoint_id}/campaigns", status=200)
async def compared(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Asks the destination and compares."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    asked = of_endpoint(context.services, endpoint)
    checked = await check_names(context.services, visitor, asked, await context.samples())
    return _page(visitor, f"/webhooks/{endpoint.id}", asked, checked)


@post("/webhooks/drafts/{draft_id}/campaigns", status=200)
async def compared_draft(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The same for a draft's code."""
    bench = await bench_of_draft(context, draft_id)
    asked = Asked(opened=bench.at, app_id=bench.app_id, subject_id=bench.subject_id)
    checked = await check_names(context.services, visitor, asked, await context.samples())
    return _page(visitor, f"/webhooks/drafts/{draft_id}", asked, checked, is_draft=True)


@post("/webhooks/{endpoint_id}/people/advice", status=200)
async def advised(endpoint_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Looks up the latest customers and recommends what identifies people."""
    endpoint = find_endpoint(await context.snapshot(), endpoint_id)
    asked = of_endpoint(context.services, endpoint)
    return await _advice(context, visitor, f"/webhooks/{endpoint.id}/people", asked)


@post("/webhooks/drafts/{draft_id}/people/advice", status=200)
async def advised_draft(draft_id: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """The same for the endpoint of a draft."""
    bench = await bench_of_draft(context, draft_id)
    asked = Asked(opened=bench.at, app_id=bench.app_id, subject_id=bench.subject_id)
    return await _advice(context, visitor, f"/webhooks/drafts/{draft_id}/people", asked)


async def _advice(context: Context, visitor: Visitor, back: str, asked: Asked) -> Response[bytes]:
    services = context.services
    known = await latest_customers(
        services.store, await context.snapshot(), asked.app_id, services.settings.redaction
    )
    advice = await advise_identity(services, visitor, asked, [item.customer for item in known])
    rule = advice.rule
    return page(
        visitor,
        "identity_advice.html",
        advice=advice,
        destination=asked.opened.connector.name,
        back=back,
        use_link=None if rule is None else address(back, identify=rule.by.value, key=rule.key),
        again=back + "/advice",
    )


def can_be_asked(context: Context, endpoint: Endpoint) -> bool:
    """Whether something can be looked up at the endpoint's destination. Not where it cannot even be opened."""
    try:
        return of_endpoint(context.services, endpoint).opened.destination.inspection is not None
    except NicobarError:
        return False


async def draft_can_be_asked(context: Context, draft_id: str) -> bool:
    """The same for the endpoint of a draft."""
    try:
        return (await bench_of_draft(context, draft_id)).at.destination.inspection is not None
    except NicobarError:
        return False


def _page(
    visitor: Visitor, here: str, asked: Asked, checked: CampaignCheck | None = None, *, is_draft: bool = False
) -> Response[bytes]:
    return page(
        visitor,
        "endpoint_campaigns.html",
        endpoint=asked.opened.endpoint,
        destination=asked.opened.connector.name,
        can_ask=asked.opened.destination.inspection is not None,
        here=here,
        is_draft=is_draft,
        checked=checked,
    )


OPERATIONS = (show, compared, compared_draft, advised, advised_draft)
