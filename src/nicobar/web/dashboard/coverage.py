"""The event types that a handler sends for, shown beside every verdict on it."""

from __future__ import annotations

import hashlib

import msgspec

from nicobar.errors import NicobarError
from nicobar.logs import log
from nicobar.model import Endpoint
from nicobar.pipeline.configuration import OpenEndpoint, open_endpoint
from nicobar.use_cases.dry_run import Coverage, Findings, run_samples
from nicobar.use_cases.ledger_states import LedgerState
from nicobar.use_cases.sample_events import VARIED, Samples
from nicobar.web.dashboard.context import Context, KnownCoverage
from nicobar.web.dashboard.visitor import Visitor

MAX_KEPT = 500
# A failed or stopped run may be due to a busy machine and is repeated after this time.
DOUBTFUL_MS = 60_000


async def findings_of(context: Context, at: OpenEndpoint) -> Findings:
    """Runs the handler on a sample of each event type. Raises SandboxError."""
    services, samples = context.services, await context.samples()
    found = await run_samples(
        services.sandbox,
        at,
        samples,
        context.now_ms(),
        services.clock.steady_ms,
        variants=VARIED,
        states=tuple(LedgerState),
    )
    key = _key(samples, at.endpoint)
    context.coverages.pop(key, None)
    doubtful = found.stopped or found.coverage.failed > 0
    context.coverages[key] = KnownCoverage(
        coverage=found.coverage, at_ms=services.clock.steady_ms(), doubtful=doubtful
    )
    while len(context.coverages) > MAX_KEPT:
        del context.coverages[next(iter(context.coverages))]
    return found


async def coverage_of(context: Context, at: OpenEndpoint) -> Coverage:
    """A summary of `findings_of`, cached. Raises SandboxError."""
    kept = context.coverages.get(_key(await context.samples(), at.endpoint))
    if kept is None or (kept.doubtful and context.services.clock.steady_ms() - kept.at_ms >= DOUBTFUL_MS):
        return (await findings_of(context, at)).coverage
    return kept.coverage


async def coverage_of_endpoint(context: Context, visitor: Visitor, endpoint: Endpoint) -> Coverage | None:
    """What an endpoint sends for. None if that cannot be determined: its page must still load. For a visitor who may
    not run code, it is what others have found.
    """
    if not visitor.may_run:
        kept = context.coverages.get(_key(await context.samples(), endpoint))
        return kept.coverage if kept else None
    try:
        return await coverage_of(context, open_endpoint(context.services.vault, endpoint))
    except NicobarError as error:
        log.warning("coverage not found", endpoint_id=endpoint.id, code=error.code, detail=error.detail)
        return None


def is_known_silent(context: Context, samples: Samples, endpoint: Endpoint) -> bool:
    """Whether the endpoint is known to send nothing. Runs no code, because the list of all endpoints calls this."""
    found = context.coverages.get(_key(samples, endpoint))
    return found is not None and found.coverage.is_silent


def _key(samples: Samples, endpoint: Endpoint) -> str:
    """Everything that decides what a handler does with a sample."""
    code = endpoint.transformation.code if endpoint.transformation and endpoint.transformation_enabled else None
    decides = [
        list(samples.types),
        endpoint.connector,
        code,
        sorted(endpoint.variables.items()),
        endpoint.sealed_variables.hex(),
        sorted(endpoint.event_types),
        repr(endpoint.settings),
    ]
    return hashlib.sha256(msgspec.json.encode(decides)).hexdigest()
