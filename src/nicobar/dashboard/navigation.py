"""Where one can go: the places of the navigation, and the tabs of an endpoint's page."""

from __future__ import annotations

from nicobar.dashboard.language import noop
from nicobar.model import Record


class Place(Record):
    """A page of the navigation. After `g`, `key` goes there."""

    path: str
    key: str
    title: str


class Tab(Record):
    """A page of one endpoint: `path` comes after its address."""

    path: str
    title: str


PLACES = (
    Place(path="/webhooks", key="w", title=noop("Webhooks")),
    Place(path="/catalogue", key="e", title=noop("Event catalogue")),
)
TABS = (
    Tab(path="", title=noop("Overview")),
    Tab(path="/testing", title=noop("Testing")),
    Tab(path="/transformation", title=noop("Transformation")),
    Tab(path="/replays", title=noop("Replays")),
    Tab(path="/settings", title=noop("Settings")),
)
