"""Two people at a destination who are one: the secondary is merged into the primary and ceases to exist. That cannot
be undone, so only users begin it.
"""

from __future__ import annotations

from typing import Protocol

from nicobar.connectors import ReadyCall
from nicobar.people import Identifier
from nicobar.reasons import Reason


class PeopleMerging(Protocol):
    """The calls of a merge. A Reason instead of a call says why the destination would reject it."""

    def identify_call(self, primary: Identifier) -> ReadyCall | Reason:
        """Creates the primary if no person has the identifier, and changes nothing else."""
        ...

    def merge_call(self, primary: Identifier, secondary: Identifier) -> ReadyCall | Reason: ...
