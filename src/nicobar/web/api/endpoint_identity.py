"""`…/endpoint/{endpoint_id}/identity` (an addition to the Svix API): what identifies people at the destination."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from nicobar.people import MAX_METADATA_KEY_CHARS, METADATA_PREFIX, Fallback, IdentityRule, NoIdentity, PersonOrigin
from nicobar.use_cases.edit import Edit, edited
from nicobar.use_cases.identity import IdentityChange, examine, identify, rule_for
from nicobar.use_cases.identity_preview import Resolved
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.deletion_preview import DryRun
from nicobar.web.api.endpoints import ONE, TAGS
from nicobar.web.api.lookups import AppKey, EndpointKey, application_of, endpoint_of
from nicobar.web.api.shapes import Shape, text_of_reason
from nicobar.web.operations import put

MAX_RULE_CHARS = len(METADATA_PREFIX) + MAX_METADATA_KEY_CHARS


class IdentityIn(Shape):
    """What identifies people: `metadata.KEY`, `email` or `customer_id`. `identifyFallback` is for customers without
    an id in the metadata: they are identified by `email`, or nothing is sent for them (`reject`).
    """

    identify_by: Annotated[str, Meta(min_length=1, max_length=MAX_RULE_CHARS, examples=["metadata.user_id"])]
    identify_fallback: Fallback = Fallback.EMAIL


class PersonOut(Shape):
    """Who a customer is at the destination. `kind` is `id` or `email`, `origin` where the value is from. Without an
    identity, both are null, and `reason` says why.
    """

    kind: str | None
    value: str | None
    origin: PersonOrigin | None
    reason: str | None


class IdentifiedCustomerOut(Shape):
    """A customer before and after the change; null where the transformation decides."""

    customer: str
    before: PersonOut | None
    after: PersonOut | None
    changes: bool


class IdentityOut(Shape):
    """A change of what identifies people. `before` is null if nothing was set. `waiting` deliveries keep their order
    and use the new identifier. `customers` are the latest ones, newest first. Maximum 20. `metadataKeys` are names in
    their metadata whose values could be an id.
    """

    before: IdentityIn | None
    after: IdentityIn
    waiting: int
    customers: list[IdentifiedCustomerOut]
    metadata_keys: list[str]


@put(f"{ONE}/identity", id="nicobar.endpoint.identify", tags=TAGS, summary="Set identifier of people", status=200)
async def put_identity(
    *,
    app_id: AppKey,
    endpoint_id: EndpointKey,
    data: IdentityIn,
    services: Services,
    caller: Caller,
    dry_run: DryRun = False,
) -> IdentityOut:
    """Sets what identifies people at the destination, and returns the latest customers as identified before and
    after. With `dryRun`, changes nothing. People under the previous identifier stay at the destination. Event
    ids do not change.
    """
    rule = rule_for(data.identify_by, data.identify_fallback)

    async def change(edit: Edit) -> IdentityChange:
        endpoint = endpoint_of(edit.snapshot, application_of(edit.snapshot, caller, app_id), endpoint_id)
        found = await examine(services, edit.snapshot, endpoint, rule)
        if not dry_run:
            await identify(edit, endpoint, rule)
        return found

    return _shown(await edited(services, caller, change), rule)


def _shown(change: IdentityChange, rule: IdentityRule) -> IdentityOut:
    return IdentityOut(
        before=None if change.before is None else _rule(change.before),
        after=_rule(rule),
        waiting=change.waiting,
        customers=[
            IdentifiedCustomerOut(
                customer=item.key,
                before=None if item.before is None else _person(item.before),
                after=None if item.after is None else _person(item.after),
                changes=item.changes,
            )
            for item in change.preview.customers
        ],
        metadata_keys=list(change.preview.metadata_keys),
    )


def _rule(rule: IdentityRule) -> IdentityIn:
    return IdentityIn(identify_by=str(rule), identify_fallback=rule.fallback)


def _person(resolved: Resolved) -> PersonOut:
    if isinstance(resolved, NoIdentity):
        return PersonOut(kind=None, value=None, origin=None, reason=text_of_reason(resolved.reason))
    return PersonOut(kind=resolved.kind, value=resolved.value, origin=resolved.origin, reason=None)


OPERATIONS = (put_identity,)
