"""Which emails the campaigns would have sent, and why one was not sent. Follows:
https://docs.customer.io/journeys/campaign-triggers.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import assert_never

from nicobar.emulator.activities import Activity
from nicobar.emulator.campaign import (
    Audience,
    Campaign,
    CampaignState,
    Email,
    Exit,
    Frequency,
    Outcome,
    Segment,
    Sending,
    Silence,
    Trigger,
    Unsent,
    Waiting,
)
from nicobar.emulator.conditions import Given, unmet
from nicobar.emulator.effects import Changed, Effect, Happened, Ignored, Joined, Merged, Repeated
from nicobar.emulator.outbox import About, Journey, Outbox, Refusal, about
from nicobar.emulator.people import Person

MAX_CAMPAIGNS = 100
MAX_SEGMENTS = 100
# Beyond it, the email that is due next is sent early; for one person, the email that waits longest.
MAX_WAITING = 100_000
MAX_WAITING_OF_PERSON = 100
# How many recipients of campaigns are remembered.
MAX_MAILED = 100_000
# https://docs.customer.io/journeys/importing-old-data.
MAX_TRIGGER_AGE_S = 72 * 3_600
DAY_S = 86_400
_MIN_HEAP = 100
_A = {"event": "an event", "page": "a page view", "screen": "a screen view"}
_BETWEEN_WORDS = str.maketrans("", "", " _-.")


class Campaigns:
    """Decides which effects start a campaign. `now` returns Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._campaigns: list[Campaign] = []
        self._by_event: dict[str, list[Campaign]] = {}
        self._ids: dict[str, int] = {}
        self._segments: dict[str, Segment] = {}
        self.reset()

    @property
    def campaigns(self) -> tuple[Campaign, ...]:
        return tuple(self._campaigns)

    @property
    def emails(self) -> Sequence[Email]:
        return self._outbox.emails

    @property
    def unsent(self) -> Sequence[Unsent]:
        return self._outbox.unsent

    @property
    def segments(self) -> tuple[Segment, ...]:
        return tuple(self._segments.values())

    def put(self, campaigns: Sequence[Campaign]) -> None:
        """Replaces all, at most MAX_CAMPAIGNS. A title keeps its id. Emails that wait keep their campaign."""
        self._campaigns = list(campaigns)
        self._by_event = {}
        highest = max(self._ids.values(), default=0)
        for campaign in campaigns:
            if campaign.title not in self._ids:
                highest += 1
            self._ids.setdefault(campaign.title, highest)
            if campaign.trigger is Trigger.EVENT:
                self._by_event.setdefault(plain(campaign.name), []).append(campaign)
        titles = {campaign.title for campaign in campaigns}
        self._ids = {title: number for title, number in self._ids.items() if title in titles}

    def put_segments(self, segments: Sequence[Segment]) -> None:
        """Replaces all data-driven segments, at most MAX_SEGMENTS."""
        self._segments = {str(segment.id): segment for segment in segments}

    def id_of(self, campaign: Campaign) -> int:
        return self._ids[campaign.title]

    def reset(self) -> None:
        """Deletes the emails; keeps the campaigns and segments."""
        self._outbox = Outbox(self._now)
        # When a person last entered a campaign, by its title and the person's cio_id.
        self._entered: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._due: list[tuple[float, int]] = []
        self._journeys: dict[int, Journey] = {}
        self._next_journey = 1
        self._journeys_of: dict[str, dict[int, None]] = {}

    def waiting(self, limit: int) -> tuple[Waiting, ...]:
        """The emails that wait for a delay, those due first first."""
        due = heapq.nsmallest(limit, (item for item in self._due if item[1] in self._journeys))
        return tuple(self._journeys[number].waiting(at) for at, number in due)

    @property
    def waiting_count(self) -> int:
        return len(self._journeys)

    def is_in(self, number: str, person: Person, attributes: Mapping[str, str], now: float) -> bool:
        """Whether a person with these attributes is in the segment with this number."""
        segment = self._segments.get(number)
        if segment is None:
            return number in person.segments
        return not unmet(segment.conditions, Given(event={}, person=attributes, is_in=lambda _: False, now=now))

    # --- what happens ---

    def settle(self) -> bool:
        """Sends the emails whose delay has ended, in the order of their times. Whether there were any."""
        is_due = bool(self._due) and self._due[0][0] <= self._now()
        while self._due and self._due[0][0] <= self._now():
            self._next_due()
        return is_due

    def _next_due(self) -> None:
        at, number = heapq.heappop(self._due)
        if number in self._journeys:
            self._send(self._end(number), at)

    def consider(self, effect: Effect) -> None:
        if isinstance(effect, Merged):
            # First of all, so that emails that are due now go to the primary.
            self._merge(effect.primary, effect.secondary)
        self.settle()
        match effect:
            case Happened(person=person, activity=activity):
                self._leave(person, activity)
                self._on_event(person, activity)
            case Repeated():
                why = f"{_A[effect.known_as]} with this id was already accepted"
                self._refuse_call(effect, effect.about, Silence.DUPLICATE, why)
            case Ignored(why=why):
                self._refuse_call(effect, None, Silence.IGNORED, why)
            case Changed(person=person, before=before):
                self._leave(person, None)
                for campaign in self._entered_by_change(person, before):
                    self._enter(Journey(campaign, person, None, self._now()))
            case Joined(person=person, segment=number):
                for campaign in self._that_follow(number):
                    self._enter(Journey(campaign, person, None, self._now()))
            case Merged():
                pass
            case _:
                assert_never(effect)

    def _refuse_call(self, call: Repeated | Ignored, person: Person | None, reason: Silence, why: str) -> None:
        for campaign in self._of_event(call.kind, call.name):
            what = About(key=call.person, person=person, event=call.name, event_id=call.event_id, data=call.data)
            self._outbox.refuse(campaign, what, Refusal(reason=reason, why=why), self._now())

    def _that_follow(self, segment: str) -> list[Campaign]:
        return [item for item in self._campaigns if item.trigger is Trigger.ENTERS and item.name == segment]

    def time_passed(self, people: Iterable[Person], before: float) -> None:
        """People enter segments when the clock is moved."""
        moving = [number for number, segment in self._segments.items() if segment.depends_on_time]
        campaigns = [campaign for number in moving for campaign in self._that_follow(number)]
        for person in people if campaigns else ():
            for campaign in campaigns:
                was_in = self.is_in(campaign.name, person, person.attributes, before)
                if not was_in and self.is_in(campaign.name, person, person.attributes, self._now()):
                    self._enter(Journey(campaign, person, None, self._now()))

    def _entered_by_change(self, person: Person, before: Mapping[str, str]) -> Iterator[Campaign]:
        now = self._now()
        for campaign in self._campaigns:
            if campaign.trigger is Trigger.SEGMENT:
                if _has(campaign, person.attributes) and not _has(campaign, before):
                    yield campaign
            elif campaign.trigger is Trigger.ENTERS and campaign.name in self._segments:
                was_in = self.is_in(campaign.name, person, before, now)
                if not was_in and self.is_in(campaign.name, person, person.attributes, now):
                    yield campaign

    def _of_event(self, kind: str, name: str) -> list[Campaign]:
        """The campaigns that wait for this event, or one whose name differs in case or between words only. Event
        triggers ignore page and screen views.
        """
        return self._by_event.get(plain(name), []) if kind == "event" and name else []

    def _on_event(self, person: Person, activity: Activity) -> None:
        if activity.type != "event":
            return
        campaigns = self._of_event(activity.type, activity.name)
        if not campaigns:
            self._outbox.no_campaign(about(person, activity))
        for campaign in campaigns:
            journey = Journey(campaign, person, activity, self._now())
            if campaign.name != activity.name:
                # Whether names are compared exactly is not documented; a difference in case, spaces, `_`, `-` or `.`
                # is almost certainly a mistake.
                why = f"the campaign waits for `{campaign.name}`; received: `{activity.name}`"
                self._refuse(journey, self._now(), Silence.NAME_DIFFERS, why)
            elif self._now() - activity.timestamp > MAX_TRIGGER_AGE_S:
                self._refuse(journey, self._now(), Silence.TOO_OLD, "the event is older than 72 hours")
            else:
                self._enter(journey)

    # --- journeys ---

    def _enter(self, journey: Journey) -> None:
        """A person with a matching trigger enters the campaign, if its state, conditions and frequency allow it."""
        campaign = journey.campaign
        now = self._now()
        if campaign.state is CampaignState.STOPPED:
            self._refuse(journey, now, Silence.STOPPED, "the campaign is stopped")
        elif why := unmet(campaign.conditions, self._given(journey, now)):
            self._refuse(journey, now, Silence.CONDITION, why)
        elif why := self._too_often(journey, now):
            self._refuse(journey, now, Silence.FREQUENCY, why)
        else:
            if campaign.state is CampaignState.RUNNING:
                self._entered[journey.key] = now
                self._entered.move_to_end(journey.key)
                if len(self._entered) > MAX_MAILED:
                    self._entered.popitem(last=False)
            if not campaign.delay_s:
                self._send(journey, now)
                return
            self._wait(journey, now + campaign.delay_s)

    def _wait(self, journey: Journey, due: float) -> None:
        while len(self._journeys) >= MAX_WAITING:
            self._next_due()
        while len(own := self._journeys_of.get(journey.person.cio_id, {})) >= MAX_WAITING_OF_PERSON:
            self._send(self._end(next(iter(own))), self._now())
        # Those that left are still in the heap until there are more of them than others.
        if len(self._due) > 2 * len(self._journeys) + _MIN_HEAP:
            self._due = [item for item in self._due if item[1] in self._journeys]
            heapq.heapify(self._due)
        number = self._next_journey
        self._next_journey += 1
        self._journeys[number] = journey
        self._journeys_of.setdefault(journey.person.cio_id, {})[number] = None
        heapq.heappush(self._due, (due, number))

    def _too_often(self, journey: Journey, now: float) -> str:
        at = self._entered.get(journey.key)
        campaign = journey.campaign
        if at is None or campaign.frequency is Frequency.EVERY_TIME:
            return ""
        if campaign.frequency is Frequency.ONCE:
            return "the person has already received this campaign"
        is_too_soon = now - at < (campaign.days or 0) * DAY_S
        return f"the person received this campaign less than {campaign.days} days ago" if is_too_soon else ""

    def _end(self, number: int) -> Journey:
        """Removes a journey that waits."""
        journey = self._journeys.pop(number)
        own = self._journeys_of[journey.person.cio_id]
        del own[number]
        if not own:
            del self._journeys_of[journey.person.cio_id]
        return journey

    def _leave(self, person: Person, activity: Activity | None) -> None:
        """Ends the person's journeys that wait and whose campaign has an exit for this event, or this change."""
        now = self._now()
        event = activity.data if activity else {}
        given = Given(event=event, person=person.attributes, is_in=self._segments_of(person, now), now=now)
        for number in list(self._journeys_of.get(person.cio_id, ())):
            journey = self._journeys[number]
            for leaving in journey.campaign.exits:
                if _fits(leaving, activity) and not unmet(leaving.conditions, given):
                    happened = f"`{activity.name}` was received" if activity else "the person changed"
                    why = f"the person left the campaign: {happened}"
                    self._refuse(self._end(number), now, Silence.EXITED, why)
                    break

    def _merge(self, primary: Person, secondary: Person) -> None:
        """The primary inherits the secondary's journeys, except those of campaigns that it entered itself:
        https://docs.customer.io/integrations/api/track/tag/track-customers/merge/.
        """
        entered = {
            campaign.title for campaign in self._campaigns if (campaign.title, primary.cio_id) in self._entered
        }
        entered |= {self._journeys[number].campaign.title for number in self._journeys_of.get(primary.cio_id, {})}
        for campaign in self._campaigns:
            at = self._entered.pop((campaign.title, secondary.cio_id), None)
            if at is not None:
                self._entered.setdefault((campaign.title, primary.cio_id), at)
        for number in list(self._journeys_of.get(secondary.cio_id, {})):
            journey = self._journeys[number]
            waits = journey.since + journey.campaign.delay_s > self._now()
            if waits and journey.campaign.title in entered:
                why = f"the person was merged into {primary.key}; that person had entered the campaign before"
                self._refuse(self._end(number), self._now(), Silence.DELETED, why)
        for number in self._journeys_of.pop(secondary.cio_id, {}):
            self._journeys[number].person = primary
            self._journeys_of.setdefault(primary.cio_id, {})[number] = None

    def _send(self, journey: Journey, at: float) -> None:
        campaign, person = journey.campaign, journey.person
        if person.is_deleted:
            self._give_up(journey, Silence.DELETED, "the person was deleted", at)
        elif not (journey.data.get("recipient") or person.email):
            self._give_up(journey, Silence.NO_ADDRESS, "the person has no email address", at)
        elif person.unsubscribed and campaign.audience is Audience.SUBSCRIBED:
            self._give_up(journey, Silence.UNSUBSCRIBED, "the person is unsubscribed", at)
        elif missing := self._outbox.missing(journey):
            # Customer.io does not send an email whose Liquid uses a value that is missing.
            self._give_up(journey, Silence.MISSING_FIELD, f"the email uses {missing}, which is missing", at)
        elif campaign.state is CampaignState.DRAFT:
            why = "the campaign is a draft"
            self._refuse(journey, at, Silence.DRAFT_CAMPAIGN, why, Outcome.WOULD)
        elif campaign.sending is Sending.AS_DRAFT:
            why = "the campaign's messages wait as drafts until a user sends them"
            self._refuse(journey, at, Silence.DRAFT_MESSAGE, why, Outcome.DRAFT)
        else:
            self._outbox.send(journey, at)

    def _give_up(self, journey: Journey, reason: Silence, why: str, at: float) -> None:
        """A person who got no email has not received the campaign."""
        self._entered.pop(journey.key, None)
        self._refuse(journey, at, reason, why)

    def _refuse(
        self, journey: Journey, at: float, reason: Silence, why: str, outcome: Outcome = Outcome.NOT_SENT
    ) -> None:
        refusal = Refusal(reason=reason, why=why, outcome=outcome)
        self._outbox.refuse(journey.campaign, journey.about, refusal, at)

    def _given(self, journey: Journey, now: float) -> Given:
        is_in = self._segments_of(journey.person, now)
        return Given(event=journey.data, person=journey.person.attributes, is_in=is_in, now=now)

    def _segments_of(self, person: Person, now: float) -> Callable[[str], bool]:
        return lambda number: self.is_in(number, person, person.attributes, now)


def plain(name: str) -> str:
    """A name without case, spaces, `_`, `-` and `.`, in which most mistaken names are equal."""
    return name.casefold().translate(_BETWEEN_WORDS) or name


def _has(campaign: Campaign, attributes: Mapping[str, str]) -> bool:
    value = attributes.get(campaign.name)
    return value is not None and campaign.value in {None, "", value}


def _fits(leaving: Exit, activity: Activity | None) -> bool:
    if activity is None:
        return leaving.event is None
    return activity.type == "event" and leaving.event == activity.name
