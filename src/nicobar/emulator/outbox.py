"""The emails that campaigns made, and why they made none. Both are bounded; the oldest go first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from nicobar.emulator import liquid
from nicobar.emulator.activities import Activity
from nicobar.emulator.campaign import Campaign, Email, Outcome, Silence, Unsent, Waiting
from nicobar.emulator.people import Person
from nicobar.model import Json, Record

MAX_EMAILS = 10_000
MAX_UNSENT = 10_000


class Journey:
    """A person on the way to a campaign's email, since a time in Unix seconds. `cause` is None for a segment."""

    def __init__(self, campaign: Campaign, person: Person, cause: Activity | None, since: float) -> None:
        self.campaign = campaign
        self.person = person
        self.cause = cause
        self.since = since

    @property
    def key(self) -> tuple[str, str]:
        return self.campaign.title, self.person.cio_id

    @property
    def about(self) -> About:
        return about(self.person, self.cause) if self.cause else About(key=self.person.key, person=self.person)

    @property
    def data(self) -> dict[str, Json]:
        return self.cause.data if self.cause else {}

    def waiting(self, due: float) -> Waiting:
        return Waiting(
            campaign=self.campaign.title,
            person=self.person.key,
            cio_id=self.person.cio_id,
            due=int(due),
            since=int(self.since),
            cause=self.cause,
        )


class About(Record):
    """Whom an email is about, and what caused it. `key` is the identifier to display; `person` is None if there is
    none. `event` is empty for a segment. A call without effect makes no activity, so its event has no `cause`.
    """

    key: str
    person: Person | None
    event: str = ""
    event_id: str | None = None
    data: dict[str, Json] = {}
    cause: Activity | None = None

    @property
    def cio_id(self) -> str:
        return self.person.cio_id if self.person else ""


def about(person: Person, cause: Activity) -> About:
    """A person who did something."""
    return About(key=person.key, person=person, event=cause.name, event_id=cause.id, data=cause.data, cause=cause)


class Refusal(Record):
    """Why an email is not sent."""

    reason: Silence
    why: str
    outcome: Outcome = Outcome.NOT_SENT


class Outbox:
    """`now` returns Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.emails: deque[Email] = deque(maxlen=MAX_EMAILS)
        self.unsent: deque[Unsent] = deque(maxlen=MAX_UNSENT)
        self._next_number = 1

    def missing(self, journey: Journey) -> str:
        """The first variable of the email without a value; empty if there is none."""
        campaign = journey.campaign
        return liquid.missing(f"{campaign.subject}\n{campaign.body}", _values(journey.data, journey.person))

    def send(self, journey: Journey, at: float) -> None:
        self._add(_email(journey.campaign, journey.about, at))

    def refuse(self, campaign: Campaign, what: About, refusal: Refusal, at: float) -> None:
        email = _email(campaign, what, at)
        number = self._add(
            msgspec.structs.replace(email, outcome=refusal.outcome, reason=refusal.reason, why_not=refusal.why)
        )
        unsent = _unsent(what, refusal, at)
        self.unsent.append(
            msgspec.structs.replace(unsent, campaign=campaign.title, waits_for=campaign.name, email=number)
        )

    def no_campaign(self, what: About) -> None:
        refusal = Refusal(reason=Silence.NO_CAMPAIGN, why=f"no campaign waits for `{what.event}`")
        self.unsent.append(_unsent(what, refusal, self._now()))

    def _add(self, email: Email) -> int:
        number = self._next_number
        self._next_number += 1
        self.emails.append(msgspec.structs.replace(email, number=number))
        return number


def _unsent(what: About, refusal: Refusal, at: float) -> Unsent:
    """Without a campaign and an email."""
    return Unsent(
        at=int(at),
        reason=refusal.reason,
        why=refusal.why,
        person=what.key,
        cio_id=what.cio_id,
        campaign=None,
        waits_for=None,
        event=what.event,
        event_id=what.event_id,
        activity=what.cause.number if what.cause else None,
        email=None,
    )


def _email(campaign: Campaign, what: About, at: float) -> Email:
    recipient = what.data.get("recipient")
    values, is_html = _values(what.data, what.person), "</" in campaign.body
    return Email(
        campaign=campaign.title,
        person=what.key,
        to=recipient if isinstance(recipient, str) else what.person.email if what.person else None,
        subject=liquid.render(campaign.subject, values),
        data=what.data,
        at=int(at),
        cio_id=what.cio_id,
        body=liquid.render(campaign.body, values, html=is_html),
        is_html=is_html,
        cause=what.cause,
    )


def _values(data: Mapping[str, Json], person: Person | None) -> dict[str, Mapping[str, Json]]:
    own: dict[str, Json] = dict(person.attributes) if person else {}
    return {"event": data, "customer": {**own, "id": person.id if person else None}}
