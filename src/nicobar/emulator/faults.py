"""Faults that can be injected: the failures of a destination."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from nicobar.model import Record

MAX_FAULTS = 100


class Reset(StrEnum):
    """When the connection is reset: before the request is accepted, or after, so that the sender cannot know."""

    BEFORE = "before"
    AFTER = "after"


class Fault(Record):
    """Applies to the next `times` requests, after a delay of `delay_ms`. `status` is the response, and nothing is
    accepted; 300 to 399 with `location`; 200 has errors in its body. `body` replaces the response body, as a proxy
    would. `refuse_item` rejects only that item, counted from 0, with 207 (400 for a request with one item) or with
    `status`.
    """

    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    retry_after_s: Annotated[int, Meta(ge=0, le=86_400)] | None = None
    location: Annotated[str, Meta(pattern=r"^https?://[!-~]+$", max_length=2_000)] | None = None
    body: Annotated[str, Meta(max_length=10_000)] | None = None
    refuse_item: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    reset: Reset | None = None
    delay_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    times: Annotated[int, Meta(ge=0, le=1_000_000)] = 1

    @property
    def summary(self) -> str:
        """A short description for the page."""
        words = [
            f"{self.delay_ms} ms delay" if self.delay_ms else "",
            f"status {self.status}" if self.status is not None else "",
            "custom body" if self.body is not None else "",
            f"Retry-After {self.retry_after_s} s" if self.retry_after_s is not None else "",
            f"item {self.refuse_item} rejected" if self.refuse_item is not None else "",
            f"connection reset {self.reset} accepting" if self.reset else "",
        ]
        return ", ".join(filter(None, words)) or "no effect"


class Faults:
    """Pending faults, in order."""

    def __init__(self) -> None:
        self._coming: deque[Fault] = deque()

    @property
    def coming(self) -> tuple[Fault, ...]:
        return tuple(self._coming)

    def put(self, faults: Sequence[Fault]) -> None:
        """Replaces all, at most MAX_FAULTS."""
        self._coming = deque(fault for fault in faults if fault.times)

    def next(self) -> Fault | None:
        """The fault for the current request."""
        if not self._coming:
            return None
        fault = self._coming.popleft()
        if fault.times > 1:
            self._coming.appendleft(msgspec.structs.replace(fault, times=fault.times - 1))
        return fault
