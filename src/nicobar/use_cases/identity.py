"""What identifies people at an endpoint's destination: whether a user has said so, and what a change means."""

from __future__ import annotations

from nicobar.connectors import IdentityQuestion
from nicobar.connectors.registry import connector
from nicobar.errors import UserError
from nicobar.model import Endpoint, Record
from nicobar.people import IDENTIFY_BY, Fallback, IdentityRule, read_rule, rule_of, with_rule
from nicobar.store import Draft, Snapshot
from nicobar.use_cases import endpoints
from nicobar.use_cases.edit import Edit, OperationServices
from nicobar.use_cases.endpoint_records import EndpointPatch
from nicobar.use_cases.identity_preview import IdentityPreview, latest_customers, preview

MAX_SHOWN_CHARS = 120
# Campaigns are started by events up to this age.
RESENT_SPAN_MS = 72 * 3_600_000


class IdentityChange(Record):
    """A change of what identifies people at an endpoint. `waiting` deliveries keep their order and will use the new
    identifier.
    """

    before: IdentityRule | None
    after: IdentityRule | None
    preview: IdentityPreview
    waiting: int


def unanswered(configured: Endpoint | Draft) -> IdentityQuestion | None:
    """The question what identifies people, if the connector asks it and it is not answered."""
    question = connector(configured.connector).identity_question
    return question if rule_of(configured.settings) is None else None


def rule_for(identify_by: str, fallback: str = Fallback.EMAIL.value) -> IdentityRule:
    """Raises UserError for settings that are no rule."""
    rule = read_rule(identify_by, fallback)
    if rule is None:
        raise UserError(
            "field_invalid",
            "Invalid value for %(name)s: %(given)s.",
            "Use metadata.KEY, email or customer_id; as fallback, use email or reject.",
            name=IDENTIFY_BY,
            given=repr(identify_by[:MAX_SHOWN_CHARS]),
        )
    return rule


async def examine(
    services: OperationServices, snapshot: Snapshot, endpoint: Endpoint, after: IdentityRule | None
) -> IdentityChange:
    """What the change would do; changes nothing. Raises UserError for a connector that does not ask."""
    _check_asks(endpoint)
    before = rule_of(endpoint.settings)
    known = await latest_customers(services.store, snapshot, endpoint.app_id, services.settings.redaction)
    backlog = await services.store.backlog(endpoint.seq)
    return IdentityChange(
        before=before,
        after=after,
        preview=preview(known, before, after),
        waiting=sum(waiting.unfinished for waiting in backlog),
    )


async def identify(edit: Edit, endpoint: Endpoint, rule: IdentityRule) -> Endpoint:
    """Changes what identifies people. Raises UserError for a connector that does not ask."""
    _check_asks(endpoint)
    return await endpoints.update(edit, endpoint, EndpointPatch(settings=with_rule(endpoint.settings, rule)))


def _check_asks(endpoint: Endpoint) -> None:
    if connector(endpoint.connector).identity_question is None:
        raise UserError(
            "identity_unsupported",
            "Endpoint %(name)s has no setting that identifies people.",
            "Its transformation decides whom its calls are about.",
            name=endpoint.name,
        )
