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
    def data(self) -> dict[str, Json]:
        return self.cause.data if self.cause else {}

    @property
    def key(self) -> tuple[str, str]:
        return self.campaign.title, self.person.cio_id

    @property
    def about(self) -> About:
        name, event_id = (self.cause.name, self.cause.id) if self.cause else ("", None)
        return About(key=self.person.key, person=self.person, event=name, event_id=event_id, cause=self.cause)

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
    none. A call without effect makes no activity, so its event has no `cause`.
    """

    key: str
    person: Person | None
    event: str
    event_id: str | None
    cause: Activity | None = None

    @property
    def cio_id(self) -> str:
        return self.person.cio_id if self.person else ""


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
        self._add(_email(journey.campaign, journey.about, journey.data, at))

    def refuse(
        self, journey: Journey, reason: Silence, why: str, at: float, outcome: Outcome = Outcome.NOT_SENT
    ) -> None:
        email = _email(journey.campaign, journey.about, journey.data, at)
        email = msgspec.structs.replace(email, outcome=outcome, reason=reason, why_not=why)
        self._silence(journey.campaign, journey.about, self._add(email))

    def refuse_call(self, campaign: Campaign, about: About, data: dict[str, Json], reason: Silence, why: str) -> None:
        """The email of a call that had no effect."""
        email = _email(campaign, about, data, self._now())
        email = msgspec.structs.replace(email, outcome=Outcome.NOT_SENT, reason=reason, why_not=why)
        self._silence(campaign, about, self._add(email))

    def no_campaign(self, person: Person, cause: Activity) -> None:
        about = About(key=person.key, person=person, event=cause.name, event_id=cause.id, cause=cause)
        why, at = f"no campaign waits for `{cause.name}`", int(self._now())
        self.unsent.append(_unsent(None, about, Silence.NO_CAMPAIGN, why, at))

    def _silence(self, campaign: Campaign, about: About, email: Email) -> None:
        unsent = _unsent(campaign, about, email.reason or Silence.IGNORED, email.why_not or "", email.at)
        self.unsent.append(msgspec.structs.replace(unsent, email=email.number))

    def _add(self, email: Email) -> Email:
        numbered = msgspec.structs.replace(email, number=self._next_number)
        self._next_number += 1
        self.emails.append(numbered)
        return numbered


def _unsent(campaign: Campaign | None, about: About, reason: Silence, why: str, at: int) -> Unsent:
    return Unsent(
        at=at,
        reason=reason,
        why=why,
        person=about.key,
        cio_id=about.cio_id,
        campaign=campaign.title if campaign else None,
        waits_for=campaign.name if campaign else None,
        event=about.event,
        event_id=about.event_id,
        activity=about.cause.number if about.cause else None,
        email=None,
    )


def _email(campaign: Campaign, about: About, data: dict[str, Json], at: float) -> Email:
    recipient = data.get("recipient")
    values, is_html = _values(data, about.person), "</" in campaign.body
    return Email(
        campaign=campaign.title,
        person=about.key,
        to=recipient if isinstance(recipient, str) else about.person.email if about.person else None,
        subject=liquid.render(campaign.subject, values),
        data=data,
        at=int(at),
        cio_id=about.cio_id,
        body=liquid.render(campaign.body, values, html=is_html),
        is_html=is_html,
        cause=about.cause,
    )


def _values(data: Mapping[str, Json], person: Person | None) -> dict[str, Mapping[str, Json]]:
    own: dict[str, Json] = dict(person.attributes) if person else {}
    return {"event": data, "customer": {**own, "id": person.id if person else None}}
