"""Verdicts of the contract check, as the API returns them."""

from __future__ import annotations

from nicobar.model import Level, Verdict
from nicobar.web.api.shapes import Shape


class VerdictOut(Shape):
    """A verdict of the destination's contract on a call. `path` is the field, `source` documents the rule."""

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
