"""What the ready-made handlers make of each event type, found by running them on its sample."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from nicobar.connectors import ReadyCall
from nicobar.model import Record
from nicobar.pipeline.transform import Ready
from nicobar.recipes import RECIPES
from nicobar.sandbox import Sandbox
from nicobar.use_cases.dry_run import DryRun, run_samples, target

_CREDENTIALS = {"site_id": "none", "api_key": "none"}


class Use(Record):
    """A recipe that handles a type, and what it sends: `identify`, or an event's name."""

    recipe: str
    summary: str
    sends: tuple[str, ...]


class _Item(msgspec.Struct):
    action: str = ""
    name: str = ""


async def recipe_uses(
    sandbox: Sandbox, now_ms: int, steady_ms: Callable[[], int]
) -> tuple[dict[str, tuple[Use, ...]], bool]:
    """The recipes that handle each event type; False if the time was up before all were run. Raises SandboxError."""
    found: dict[str, tuple[Use, ...]] = {}
    whole = True
    for recipe in RECIPES:
        at = target(kind="customerio", code=recipe.code, settings={}, credentials=_CREDENTIALS)
        findings = await run_samples(sandbox, at, now_ms, steady_ms)
        whole = whole and not findings.stopped
        for dry_run in findings.dry_runs:
            if sends := _sends(dry_run):
                name = dry_run.subject.message.event_type
                use = Use(recipe=recipe.name, summary=recipe.summary, sends=sends)
                found[name] = (*found.get(name, ()), use)
    return found, whole


def _sends(dry_run: DryRun) -> tuple[str, ...]:
    if not isinstance(dry_run.result, Ready):
        return ()
    return tuple(dict.fromkeys(_what(call) for call in dry_run.result.calls))


def _what(call: ReadyCall) -> str:
    item = msgspec.json.decode(call.body, type=_Item)
    return item.name or item.action
