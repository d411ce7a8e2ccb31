"""What the ready-made handlers make of each event type, found by running them on its sample."""

from __future__ import annotations

from collections.abc import Callable

from nicobar.connectors import Connector
from nicobar.connectors.registry import CONNECTORS, recipes
from nicobar.model import Record
from nicobar.pipeline.transform import Ready
from nicobar.sandbox import Sandbox
from nicobar.use_cases.dry_run import DryRun, dry_target, run_samples
from nicobar.use_cases.ledger_states import LedgerState
from nicobar.use_cases.sample_events import Samples


class Use(Record):
    """A recipe that handles a type, and what it sends: what the connector calls each of its calls."""

    recipe: str
    summary: str
    sends: tuple[str, ...]


async def recipe_uses(
    sandbox: Sandbox, samples: Samples, now_ms: int, steady_ms: Callable[[], int]
) -> tuple[dict[str, tuple[Use, ...]], bool]:
    """The recipes that handle each event type; False if the time was up before all were run. Raises SandboxError."""
    found: dict[str, tuple[Use, ...]] = {}
    is_complete = True
    for connector in CONNECTORS:
        for recipe in recipes([connector], [kind.kind for kind in samples.kinds]):
            at = dry_target(connector.kind, recipe.code)
            findings = await run_samples(sandbox, at, samples, now_ms, steady_ms, states=tuple(LedgerState))
            is_complete = is_complete and not findings.stopped
            sends: dict[str, dict[str, None]] = {}
            for dry_run in (*findings.dry_runs, *findings.varied):
                name = dry_run.subject.message.event_type
                sends.setdefault(name, {}).update(dict.fromkeys(_sends(connector, dry_run)))
            for name, calls in sends.items():
                if calls:
                    use = Use(recipe=recipe.name, summary=recipe.summary, sends=tuple(calls))
                    found[name] = (*found.get(name, ()), use)
    return found, is_complete


def _sends(connector: Connector, dry_run: DryRun) -> tuple[str, ...]:
    if not isinstance(dry_run.result, Ready):
        return ()
    return tuple(map(connector.describe, dry_run.result.calls))
