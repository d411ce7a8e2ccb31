"""The sentences of the state, which are English, as templates that the page translates."""

from __future__ import annotations

import re

from nicobar.reasons import Reason, plain, reason
from nicobar.web.language import noop

TEMPLATES = (
    # Why a campaign sent nothing.
    noop("an event with this id was already accepted"),
    noop("a page view with this id was already accepted"),
    noop("a screen view with this id was already accepted"),
    noop("the campaign waits for `%(name)s`; received: `%(received)s`"),
    noop("no campaign waits for `%(name)s`"),
    noop("the event is older than 72 hours"),
    noop("the campaign is stopped"),
    noop("the campaign is a draft"),
    noop("the campaign's messages wait as drafts until a user sends them"),
    noop("%(field)s is %(value)s, which is not a time in Unix seconds; the campaign requires: %(required)s"),
    noop("%(field)s is missing; the campaign requires: %(required)s"),
    noop("%(field)s is %(value)s; the campaign requires: %(required)s"),
    noop("the person is not in segment %(number)s"),
    noop("the person is in segment %(number)s"),
    noop("the person has already received this campaign"),
    noop("the person received this campaign less than %(days)s days ago"),
    noop("the person left the campaign: `%(name)s` was received"),
    noop("the person left the campaign: the person changed"),
    noop("the person was deleted"),
    noop("the person was merged into %(primary)s; that person had entered the campaign before"),
    noop("the person has no email address"),
    noop("the person is unsubscribed"),
    noop("the email uses %(field)s, which is missing"),
    # Why a call had no effect.
    noop("the person is suppressed"),
    noop("no person has this cio_id"),
    noop("_update never creates a person"),
    noop("the call is older than the profile's latest edit"),
    noop("the workspace identifies people by %(kind)s only, not by %(other)s"),
    # Why an identifier did not change.
    noop("the person has the id %(id)s, which changes only by cio_id"),
    noop("the person has the address %(address)s, which changes only by id or cio_id"),
    noop("the workspace does not allow updates to email using ID"),
    noop("it belongs to %(person)s"),
    noop("it is suppressed"),
)
_PLACE = re.compile(r"%\((\w+)\)s")


def as_reason(text: str) -> Reason:
    """A sentence of the state with its template; an unknown one is returned unchanged."""
    for template, pattern in _PATTERNS:
        found = pattern.fullmatch(text)
        if found is not None:
            return reason("", template, **found.groupdict())
    return plain(text)


def is_known(text: str) -> bool:
    return any(pattern.fullmatch(text) for _, pattern in _PATTERNS)


def _pattern(template: str) -> re.Pattern[str]:
    parts = _PLACE.split(template)
    # Texts and the names of places alternate.
    return re.compile(
        "".join(f"(?P<{part}>.*?)" if place % 2 else re.escape(part) for place, part in enumerate(parts)), re.DOTALL
    )


_PATTERNS = tuple((template, _pattern(template)) for template in TEMPLATES)
