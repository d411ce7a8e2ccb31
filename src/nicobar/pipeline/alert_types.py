"""What alerts are: their types, and what each says. The types are those of the public Svix API's operational
webhooks, where it has one.
"""

from __future__ import annotations

from enum import StrEnum

from nicobar.model import Endpoint, Record, Source
from nicobar.reasons import Reason


class AlertType(StrEnum):
    """What happened. The value is also the type of the alert message."""

    DISABLED = "endpoint.disabled"
    PAUSED = "endpoint.paused"
    FAILING = "endpoint.failing"
    RECOVERED = "endpoint.recovered"
    ENDPOINT_UNUSABLE = "endpoint.unusable"
    ENDPOINT_USABLE = "endpoint.usable"
    EXHAUSTED = "message.attempt.exhausted"
    ATTEMPT_RECOVERED = "message.attempt.recovered"
    BACKLOG_OLD = "backlog.old"
    BACKLOG_RECOVERED = "backlog.recovered"
    REFUSING = "source.refusing"
    ACCEPTING = "source.recovered"
    SOURCE_UNUSABLE = "source.unusable"
    SOURCE_USABLE = "source.usable"
    STORE_FAILING = "store.failing"
    STORE_RECOVERED = "store.recovered"
    STORE_DAMAGED = "store.damaged"
    DISK_LOW = "disk.low"
    DISK_RECOVERED = "disk.recovered"
    SANDBOX_FAILING = "sandbox.failing"
    SANDBOX_RECOVERED = "sandbox.recovered"
    PROCESS_FAILING = "process.failing"
    PROCESS_RECOVERED = "process.recovered"
    TEST = "nicobar.test"


# Whether an endpoint delivers. Every change is reported, even several within an hour.
_ENDPOINT_TROUBLE = frozenset({AlertType.DISABLED, AlertType.PAUSED, AlertType.FAILING})
# The type that reports the end of another.
RECOVERIES = {
    **dict.fromkeys(_ENDPOINT_TROUBLE, AlertType.RECOVERED),
    AlertType.ENDPOINT_UNUSABLE: AlertType.ENDPOINT_USABLE,
    AlertType.BACKLOG_OLD: AlertType.BACKLOG_RECOVERED,
    AlertType.REFUSING: AlertType.ACCEPTING,
    AlertType.SOURCE_UNUSABLE: AlertType.SOURCE_USABLE,
    AlertType.STORE_FAILING: AlertType.STORE_RECOVERED,
    AlertType.DISK_LOW: AlertType.DISK_RECOVERED,
    AlertType.SANDBOX_FAILING: AlertType.SANDBOX_RECOVERED,
    AlertType.PROCESS_FAILING: AlertType.PROCESS_RECOVERED,
}
ENDS = frozenset(RECOVERIES.values())
# Reported by the one process that holds the endpoint, from its stored state: a later process reports the next change.
OF_ONE_PROCESS = _ENDPOINT_TROUBLE | {AlertType.RECOVERED}
_TITLES = {
    AlertType.DISABLED: "Endpoint disabled",
    AlertType.PAUSED: "Endpoint on hold",
    AlertType.FAILING: "Destination failing",
    AlertType.RECOVERED: "Destination recovered",
    AlertType.ENDPOINT_UNUSABLE: "Endpoint cannot be used",
    AlertType.ENDPOINT_USABLE: "Endpoint can be used again",
    AlertType.EXHAUSTED: "Delivery failed",
    AlertType.ATTEMPT_RECOVERED: "Failed delivery sent",
    AlertType.BACKLOG_OLD: "Events are waiting",
    AlertType.BACKLOG_RECOVERED: "No old events are waiting",
    AlertType.REFUSING: "Source rejects requests",
    AlertType.ACCEPTING: "Source accepts requests",
    AlertType.SOURCE_UNUSABLE: "Source cannot be used",
    AlertType.SOURCE_USABLE: "Source can be used again",
    AlertType.STORE_FAILING: "Events cannot be stored",
    AlertType.STORE_RECOVERED: "Events are stored again",
    AlertType.STORE_DAMAGED: "Database damaged",
    AlertType.DISK_LOW: "Disk nearly full",
    AlertType.DISK_RECOVERED: "Disk has free space",
    AlertType.SANDBOX_FAILING: "Handlers cannot run",
    AlertType.SANDBOX_RECOVERED: "Handlers run again",
    AlertType.PROCESS_FAILING: "Nicobar does not deliver",
    AlertType.PROCESS_RECOVERED: "Nicobar delivers again",
    AlertType.TEST: "Test alert",
}
NO_MORE = " (Further alerts are suppressed for this hour. Run `nicobar replay failures` to list all failures.)"


class Alert(Record):
    """Something that needs attention, at an endpoint, a source or a host. `cause` separates the causes of one of
    these, `addition` follows the reason: a text without data of events.
    """

    type: AlertType
    reason: Reason
    endpoint: Endpoint | None = None
    source: Source | None = None
    host: str = ""
    message_id: str | None = None
    cause: str = ""
    addition: str = ""

    @property
    def text(self) -> str:
        """The text that is sent. Without the reason's values: deleting customer data does not reach other systems."""
        return self.reason.outline() + self.addition

    @property
    def subject_id(self) -> str:
        return self.endpoint.id if self.endpoint else self.source.id if self.source else self.host

    @property
    def title(self) -> str:
        """One line: the subject of the email."""
        name = self.endpoint.name if self.endpoint else self.source.name if self.source else self.host
        name = " ".join(name.split())
        return f"[Nicobar] {_TITLES[self.type]}{': ' if name else ''}{name}"

    @property
    def facts(self) -> dict[str, str]:
        """What it is about, by the names of the alert's message."""
        about = {"reason": self.text, "code": self.reason.code}
        if self.endpoint:
            about |= {"endpointId": self.endpoint.id, "endpointName": self.endpoint.name}
        if self.source:
            about |= {"sourceId": self.source.id, "sourceName": self.source.name}
        if self.host:
            about["host"] = self.host
        if self.message_id:
            about["msgId"] = self.message_id
        return about

    @property
    def family(self) -> AlertType:
        """The type that reports the end of this one; its own where nothing does."""
        return RECOVERIES.get(self.type, self.type)
