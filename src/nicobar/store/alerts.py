"""What processes share about alerts: which of them sends one, and how the latest to each target ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from nicobar.model import AlertResult


class AlertLog(Protocol):
    """Which alerts were sent. The targets are a part of the configuration."""

    async def take_alert(
        self, problem: str, content: str, *, now_ms: int, again_before_ms: int, forget_before_ms: int
    ) -> bool:
        """Whether the caller is the first to claim this alert about a problem, and so has to send it: the
        latest one about the problem, if there is one, had another content, or is older than `again_before_ms`.
        """
        ...

    async def latest_alerts(self) -> Mapping[str, str]:
        """The content of the latest alert about each problem."""
        ...

    async def put_alert_result(self, target_id: str, result: AlertResult) -> None:
        """Stores how the latest alert to a target ended."""
        ...

    async def alert_results(self) -> Mapping[str, AlertResult]:
        """How the latest alert to each target ended, by the target's id."""
        ...

    async def failed_before(self, endpoint_seq: int, message_seqs: Sequence[int]) -> str | None:
        """The id of the first of these messages whose delivery to the endpoint had failed permanently; None if there
        is none.
        """
        ...

    async def waiting_since(self, *, now_ms: int) -> Mapping[int, int]:
        """Since when the oldest pending delivery of each endpoint waits, Unix ms, by the endpoint's `seq`. Messages
        that are to be sent later do not wait.
        """
        ...
