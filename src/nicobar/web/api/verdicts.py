"""What the contract check says of a call, as the API shows it."""

from __future__ import annotations

from nicobar.model import Level, Verdict
from nicobar.web.api.shapes import Shape


class VerdictOut(Shape):
    """What the destination's contract says of a call: `path` points into it, `source` to where the fact stands."""

    level: Level
    rule: str
    path: str
    reason: str
    fix: str
    source: str


def verdict_shown(verdict: Verdict) -> VerdictOut:
    return VerdictOut(
        level=verdict.level,
        rule=verdict.rule,
        path=verdict.path,
        reason=verdict.reason.detail(),
        fix=verdict.reason.fix(),
        source=verdict.source,
    )
