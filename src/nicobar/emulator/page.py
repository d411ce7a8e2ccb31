"""The emulator's page. It works without JavaScript; JavaScript keeps it up to date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from nicobar.emulator.campaigns import Campaigns
from nicobar.emulator.faults import Fault
from nicobar.emulator.state import State
from nicobar.model import Json

ROWS = 100
CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_pages = Environment(
    loader=PackageLoader("nicobar.emulator", "templates"), autoescape=select_autoescape(), undefined=StrictUndefined
)
_pages.filters["json"] = lambda value: msgspec.json.encode(value).decode()


def render(state: State, campaigns: Campaigns, faults: Sequence[Fault], settings: Mapping[str, Json]) -> str:
    """The whole page, newest first."""
    return _pages.get_template("emulator.html").render(
        people=list(islice(reversed(state.people), ROWS)),
        activities=list(islice(reversed(state.activities), ROWS)),
        requests=list(islice(reversed(state.requests), ROWS)),
        emails=list(islice(reversed(campaigns.emails), ROWS)),
        campaigns=campaigns.campaigns,
        counts={
            "mails": sum(email.why_not is None for email in campaigns.emails),
            "people": len(state.people),
            "activities": len(state.activities),
            "requests": len(state.requests),
        },
        suppressed=[
            f"{kind} {value}" for kind, value in islice(reversed(state.people.suppressed), ROWS) if kind != "cio_id"
        ],
        forgotten=sorted(state.forgotten.items()),
        faults=faults,
        settings=settings,
        version=state.version,
        moment=_moment,
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
