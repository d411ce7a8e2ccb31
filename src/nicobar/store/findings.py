"""What a check of a database's server found."""

from __future__ import annotations

from enum import StrEnum

from nicobar.model import Record


class Level(StrEnum):
    """`NOTE`: works; the operator decides. `BAD`: does not work, or loses data."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


class Finding(Record):
    """`fix`: what to do, empty for a good one."""

    name: str
    level: Level
    detail: str
    fix: str = ""
