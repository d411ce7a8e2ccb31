"""The pages of the navigation, and the tabs of an endpoint."""

from __future__ import annotations

from nicobar.model import Record
from nicobar.web.dashboard.language import noop


class Place(Record):
    """A page of the navigation; `g` and then `key` opens it. Visitors with a link do not see pages that are
    `for_users`.
    """

    path: str
    key: str
    title: str
    for_users: bool = False


class Tab(Record):
    """A page of one endpoint: `path` is appended to its URL. Visitors who may not run code do not see one that `runs`
    it.
    """

    path: str
    title: str
    runs: bool = False


PLACES = (
    Place(path="/", key="o", title=noop("Overview")),
    Place(path="/webhooks", key="w", title=noop("Webhooks")),
    Place(path="/logs", key="l", title=noop("Logs")),
    Place(path="/customers", key="c", title=noop("Customers")),
    Place(path="/failures", key="f", title=noop("Failures")),
    Place(path="/sources", key="r", title=noop("Sources")),
    Place(path="/catalogue", key="e", title=noop("Event types")),
    Place(path="/queue", key="q", title=noop("Queue")),
    Place(path="/settings", key="s", title=noop("Settings"), for_users=True),
)
TABS = (
    Tab(path="", title=noop("Overview")),
    Tab(path="/deliveries", title=noop("Deliveries")),
    Tab(path="/testing", title=noop("Testing"), runs=True),
    Tab(path="/transformation", title=noop("Transformation")),
    Tab(path="/replays", title=noop("Replays")),
    Tab(path="/settings", title=noop("Settings")),
)
# The pages of the installation's settings.
SETTINGS = (
    Tab(path="/settings/account", title=noop("Account")),
    Tab(path="/settings/users", title=noop("Users")),
    Tab(path="/settings/tokens", title=noop("API tokens")),
    Tab(path="/settings/alerts", title=noop("Alerts")),
    Tab(path="/settings/retention", title=noop("Retention")),
    Tab(path="/settings/audit", title=noop("Audit log")),
    Tab(path="/settings/about", title=noop("About")),
)
