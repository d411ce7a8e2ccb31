"""The emulator's state and campaigns without HTTP, on a clock that tests move."""

from __future__ import annotations

from nicobar.emulator.campaign import Campaign, Email, Segment, Unsent
from nicobar.emulator.campaigns import Campaigns
from nicobar.emulator.people import Person
from nicobar.emulator.state import State
from nicobar.emulator.workspace import Workspace

NOW = 1_789_000_000


class World:
    def __init__(
        self, *campaigns: Campaign, segments: tuple[Segment, ...] = (), workspace: Workspace | None = None
    ) -> None:
        self.at = float(NOW)
        self.state = State(now=lambda: self.at)
        if workspace is not None:
            self.state.put_workspace(workspace)
        self.campaigns = Campaigns(self.state.now)
        self.campaigns.put(campaigns)
        self.campaigns.put_segments(segments)
        self.effects: list[object] = []
        self.state.listeners += [self.campaigns.consider, self.effects.append]

    def send(self, action: str, who: dict[str, object] | None = None, **fields: object) -> bool:
        identifiers = {"id": "ada"} if who is None else who
        return self.state.accept({"type": "person", "action": action, "identifiers": identifiers, **fields})

    def wait(self, seconds: float) -> None:
        self.at += seconds
        self.settle()

    def settle(self) -> None:
        self.state.settle()
        self.campaigns.settle()

    def ada(self) -> Person:
        found = self.state.find("id", "ada")
        assert found is not None
        return found

    @property
    def failures(self) -> list[tuple[str, object, str]]:
        """Person, attribute and reason of each attribute update that failed."""
        return [
            (activity.person, activity.data["attribute"], str(activity.data["why"]))
            for activity in self.state.activities
            if activity.type == "attribute_update_failure"
        ]

    @property
    def sent(self) -> list[Email]:
        return [email for email in self.campaigns.emails if email.why_not is None]

    @property
    def unsent(self) -> list[Unsent]:
        return list(self.campaigns.unsent)

    @property
    def mails(self) -> list[tuple[str | None, str | None]]:
        return [(email.to, email.why_not) for email in self.campaigns.emails]
