"""`…/endpoint/{endpoint_id}/campaign-check` and the like (additions to the Svix API): what a destination can be asked
about itself, with a key of its own that only reads.
"""

from __future__ import annotations

from collections.abc import Callable

from nicobar.connectors.inspection import CampaignState, FailedChange, NameFinding, Unanswered
from nicobar.model import Application, Endpoint, Level
from nicobar.store import Snapshot
from nicobar.use_cases import inspection
from nicobar.use_cases.identity_advice import advise_identity
from nicobar.use_cases.identity_preview import latest_customers
from nicobar.use_cases.sample_events import application_samples
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.endpoints import ONE, TAGS
from nicobar.web.api.listing import MessageKey
from nicobar.web.api.lookups import EndpointKey, endpoint_of
from nicobar.web.api.message_bodies import message_of, redactor_for
from nicobar.web.api.shapes import Moment, Shape, moment, text_of_reason
from nicobar.web.operations import post


class CampaignOut(Shape):
    """A campaign of the destination. `event` is the name of the event that starts it, empty for another trigger."""

    name: str
    event: str
    state: CampaignState


class NameFindingOut(Shape):
    """What the names of an event and of campaigns show: a `warning` for names that look alike, or for a campaign that
    is not running; else an `addition`, which may be intended.
    """

    level: Level
    event: str
    code: str
    detail: str
    fix: str


class CampaignCheckOut(Shape):
    """The names of the events that the endpoint sends, and the destination's campaigns. `unanswered` says
    why the destination did not report them, null if it did.
    """

    sent: list[str]
    campaigns: list[CampaignOut]
    findings: list[NameFindingOut]
    unanswered: str | None


class IdentityAdviceOut(Shape):
    """What the destination's people say about how to identify people. Of `asked` customers with an email address,
    `found` have a profile with it, `withId` of them with an id of the shop's own. `identifyBy` is the recommended
    setting, null without one; `detail` says why. `unanswered` says why the destination stopped answering, null if it
    did not.
    """

    asked: int
    found: int
    with_id: int
    identify_by: str | None
    detail: str
    unanswered: str | None


class FailedChangeOut(Shape):
    """A change of a person that the destination accepted and could not make. `detail` is what it says, as JSON."""

    at: Moment
    person: str
    attributes: list[str]
    detail: str


class FailedChangesOut(Shape):
    """Failed changes around a delivery, latest first. `unanswered` says why the destination did not report them."""

    data: list[FailedChangeOut]
    unanswered: str | None


@post(
    f"{ONE}/campaign-check",
    id="nicobar.endpoint.check-campaigns",
    tags=TAGS,
    summary="Compare event names with campaigns",
    status=200,
)
async def check_campaigns(
    *, endpoint: Endpoint, snapshot: Snapshot, services: Services, caller: Caller
) -> CampaignCheckOut:
    """Compares the names of the events that the endpoint sends for samples, and has sent lately, with those that
    running campaigns wait for. Needs the endpoint's credential `app_api_key`. Sends no event and changes nothing;
    recorded in the audit log.
    """
    asked = inspection.of_endpoint(services, endpoint)
    samples = application_samples(snapshot, endpoint.app_id)
    found = await inspection.check_names(services, caller, asked, samples)
    return CampaignCheckOut(
        sent=list(found.sent),
        campaigns=[
            CampaignOut(name=campaign.name, event=campaign.event, state=campaign.state)
            for campaign in found.campaigns
        ],
        findings=[_finding(finding) for finding in found.findings],
        unanswered=text_of_reason(found.unanswered),
    )


@post(
    f"{ONE}/identity-advice",
    id="nicobar.endpoint.advise-identity",
    tags=TAGS,
    summary="Recommend what identifies people",
    status=200,
)
async def advise(*, endpoint: Endpoint, snapshot: Snapshot, services: Services, caller: Caller) -> IdentityAdviceOut:
    """Looks up the latest 20 customers by email at the destination and recommends what identifies people. Needs the
    endpoint's credential `app_api_key`. Changes nothing; recorded in the audit log.
    """
    redaction = services.settings.redaction
    known = await latest_customers(services.store, snapshot, endpoint.app_id, redaction)
    asked = inspection.of_endpoint(services, endpoint)
    found = await advise_identity(services, caller, asked, [item.customer for item in known])
    return IdentityAdviceOut(
        asked=found.asked,
        found=found.found,
        with_id=found.with_id,
        identify_by=None if found.rule is None else str(found.rule),
        detail=found.reason.text(),
        unanswered=text_of_reason(found.unanswered),
    )


@post(
    "/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/failed-changes",
    id="nicobar.message.failed-changes",
    tags=["Message"],
    summary="Look up failed changes",
    status=200,
)
async def look_up_failed_changes(
    *,
    application: Application,
    snapshot: Snapshot,
    services: Services,
    caller: Caller,
    msg_id: MessageKey,
    endpoint_id: EndpointKey,
) -> FailedChangesOut:
    """Asks the endpoint's destination for changes of people that it accepted from this message and could not make.
    Needs the endpoint's credential `app_api_key`. Changes nothing; recorded in the audit log.
    """
    message = await message_of(services, application, msg_id)
    endpoint = endpoint_of(snapshot, application, endpoint_id)
    found = await inspection.failed_changes(services, caller, message, endpoint)
    if isinstance(found, Unanswered):
        return FailedChangesOut(data=[], unanswered=found.reason.text())
    redactor = redactor_for(services, caller, message)

    def text(value: str) -> str:
        return value if redactor is None else redactor.text(value)

    return FailedChangesOut(data=[_change(change, text) for change in found], unanswered=None)


def _finding(finding: NameFinding) -> NameFindingOut:
    return NameFindingOut(
        level=finding.level,
        event=finding.event,
        code=finding.reason.code,
        detail=finding.reason.detail(),
        fix=finding.reason.fix(),
    )


def _change(change: FailedChange, text: Callable[[str], str]) -> FailedChangeOut:
    return FailedChangeOut(
        at=moment(change.at_ms),
        person=text(change.person),
        attributes=list(change.attributes),
        detail=text(change.detail),
    )


OPERATIONS = (check_campaigns, advise, look_up_failed_changes)
