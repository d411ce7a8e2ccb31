"""What a destination can be asked about itself. Asking only reads, is never a part of a delivery, and happens only
when a user wants it. A destination that cannot be asked, or has no key for it, has no `Inspection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from nicobar.connectors import Transport
from nicobar.connectors.event_names import near_misses
from nicobar.model import Level, Record, RequestRecord
from nicobar.reasons import Reason, reason


class Profile(Record):
    """A person that a destination has. An identifier that is not set is empty."""

    id: str = ""
    email: str = ""


class CampaignState(StrEnum):
    """Whether a campaign starts. UNKNOWN is a state that the destination does not document."""

    RUNNING = "running"
    DRAFT = "draft"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


class Campaign(Record):
    """A campaign. `event` is the name of the event that starts it, empty for one that something else starts."""

    name: str
    event: str
    state: CampaignState


class FailedChange(Record):
    """A change of a person that the destination accepted and could not make. `person` is the identifier that was
    asked for, `attributes` are the names of what was not changed, `detail` is what the destination says, as JSON.
    """

    at_ms: int
    person: str
    attributes: tuple[str, ...]
    detail: str


class Unanswered(Record):
    """The destination did not say; `reason` says why. Whatever was asked for is then unknown, not absent."""

    reason: Reason


class Inspection(Protocol):
    """Questions to one destination. Never raises for the network or for what the destination answers."""

    async def people(self, transport: Transport, email: str) -> tuple[Profile, ...] | Unanswered:
        """The people with this email address."""
        ...

    async def campaigns(self, transport: Transport) -> tuple[Campaign, ...] | Unanswered:
        """The campaigns, in whatever state."""
        ...

    async def failures(
        self, transport: Transport, requests: Sequence[RequestRecord], since_ms: int, until_ms: int
    ) -> tuple[FailedChange, ...] | Unanswered:
        """The failed changes within this time of the people that these requests named, latest first."""
        ...

    def event_names(self, requests: Sequence[RequestRecord]) -> tuple[str, ...]:
        """The names of the events in these requests that could start a campaign, in their order, each once."""
        ...


class NameFinding(Record):
    """What comparing names shows about one event, `event`: a WARNING if an event will start nothing that waits for a
    name like it; else an ADDITION, which may well be intended.
    """

    level: Level
    event: str
    reason: Reason


def compare_names(sent: Sequence[str], campaigns: Sequence[Campaign]) -> tuple[NameFinding, ...]:
    """Where the names of events that are sent, and those that start campaigns, do not meet; warnings first."""
    triggers = [campaign for campaign in campaigns if campaign.event]
    running = [campaign for campaign in triggers if campaign.state is CampaignState.RUNNING]
    found = [_of_sent(name, triggers, running) for name in dict.fromkeys(sent)]
    told = {item.event for item in found if item is not None and item.level is Level.WARNING}
    found += [_of_campaign(campaign, sent) for campaign in running if not told & {*near_misses(campaign.event, sent)}]
    order = list(Level)
    return tuple(sorted(filter(None, found), key=lambda item: order.index(item.level)))


def _of_sent(name: str, triggers: Sequence[Campaign], running: Sequence[Campaign]) -> NameFinding | None:
    if any(campaign.event == name for campaign in running):
        return None
    near = near_misses(name, [campaign.event for campaign in running])
    if near:
        why = reason(
            "event_name_near",
            'No running campaign uses %(event)s, which is sent. Campaign "%(campaign)s" waits for %(near)s.',
            "Destinations compare names exactly: use the same name in the handler and in the campaign.",
            event=name,
            near=near[0],
            campaign=next(campaign.name for campaign in running if campaign.event == near[0]),
        )
        return NameFinding(level=Level.WARNING, event=name, reason=why)
    waiting = next((campaign for campaign in triggers if campaign.event == name), None)
    if waiting is not None:
        why = reason(
            "event_campaign_off",
            'No running campaign uses %(event)s, which is sent. Campaign "%(campaign)s" uses it and is not running '
            "(%(state)s).",
            "Start the campaign if its emails should be sent.",
            event=name,
            campaign=waiting.name,
            state=waiting.state.value,
        )
        return NameFinding(level=Level.WARNING, event=name, reason=why)
    why = reason("event_unused", "No running campaign uses %(event)s, which is sent.", event=name)
    return NameFinding(level=Level.ADDITION, event=name, reason=why)


def _of_campaign(campaign: Campaign, sent: Sequence[str]) -> NameFinding | None:
    if campaign.event in sent:
        return None
    near = near_misses(campaign.event, sent)
    if near:
        why = reason(
            "campaign_name_near",
            'Campaign "%(campaign)s" waits for %(event)s. The event that is sent is %(near)s.',
            "Destinations compare names exactly: use the same name in the handler and in the campaign.",
            event=campaign.event,
            campaign=campaign.name,
            near=near[0],
        )
        return NameFinding(level=Level.WARNING, event=campaign.event, reason=why)
    why = reason(
        "campaign_waits",
        'Campaign "%(campaign)s" waits for %(event)s, which this endpoint does not send.',
        event=campaign.event,
        campaign=campaign.name,
    )
    return NameFinding(level=Level.ADDITION, event=campaign.event, reason=why)
