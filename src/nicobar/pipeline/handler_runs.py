"""Runs an endpoint's handler on messages. It runs without the ledger first, which is read only if it asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from nicobar.ledger import EventFact, Snapshot
from nicobar.model import Endpoint, Record
from nicobar.pipeline.configuration import OpenEndpoint
from nicobar.pipeline.exact_numbers import exact_texts, find_rounded
from nicobar.pipeline.unreadable import repaired
from nicobar.sandbox import Broken, Job, NeedsLedger, Result, Sandbox, Untouched

if TYPE_CHECKING:
    from nicobar.pipeline.transform import Subject

# The handler's text and numbers as it gets them from a repaired body.
_REPAIRED = (
    "warning: the event has text with half of a surrogate pair, or a number that is too large. "
    "The handler gets U+FFFD or null instead."
)


class LedgerView(Record):
    """What a handler reads of the ledger: `webhook.customer`, None where the customer of the event is not known, and
    `webhook.facts`.
    """

    customer: Snapshot | None = None
    facts: tuple[EventFact, ...] = ()


NO_LEDGER = LedgerView()


class LedgerReader(Protocol):
    """Reads the ledger for handlers."""

    def is_needed(self, code_id: str) -> bool:
        """Whether this code has asked for the ledger before."""
        ...

    def need(self, code_id: str) -> None: ...

    async def views(self, target: OpenEndpoint, subjects: Sequence[Subject]) -> list[LedgerView]:
        """What the handler of an endpoint reads for each of the messages. Raises StoreError."""
        ...


class HandlerRun(Record):
    """The result of one message, and what the handler has read of the ledger for it; None if it has read nothing."""

    result: Result
    view: LedgerView | None = None


async def run_handler(
    sandbox: Sandbox, target: OpenEndpoint, subjects: Sequence[Subject], ledger: LedgerReader | None
) -> list[HandlerRun]:
    """The handler's results, which may be about repaired bodies. Raises SandboxError and StoreError."""
    endpoint = target.endpoint
    if not subjects or endpoint.transformation is None or not endpoint.transformation_enabled:
        return [HandlerRun(result=Untouched(console=(), duration_us=0)) for _ in subjects]
    runs = _Runs(sandbox, target, subjects, ledger)
    results = await runs.run(dict.fromkeys(range(len(subjects))))
    # Rare: JavaScript reads such bodies, and fails if it passes on what is wrong in them.
    repaired_bodies = {
        place: body
        for place, result in results.items()
        if isinstance(result, Broken) and (body := repaired(subjects[place].message.body)) is not None
    }
    for place, again in (await runs.run(repaired_bodies)).items():
        results[place] = msgspec.structs.replace(again, console=(_REPAIRED, *again.console))
    return [
        HandlerRun(result=results[place], view=runs.views[place] if results[place].used_ledger else None)
        for place in range(len(subjects))
    ]


class _Runs:
    """Runs of a page's messages, by their place in it. `views` are those that were read."""

    def __init__(
        self, sandbox: Sandbox, target: OpenEndpoint, subjects: Sequence[Subject], ledger: LedgerReader | None
    ) -> None:
        self._sandbox = sandbox
        self._target = target
        self._subjects = subjects
        self._ledger = ledger
        self.views = {place: item.view for place, item in enumerate(subjects) if item.view is not None}

    async def run(self, bodies: Mapping[int, bytes | None]) -> dict[int, Result]:
        """The results of the messages in these places, with these bodies, or their own."""
        if self._ledger is not None and self._ledger.is_needed(code_id(self._target.endpoint)):
            await self._read(bodies)
        results: dict[int, Result] = {}
        left = dict(bodies)
        while left:
            jobs = [self._job(place, body) for place, body in left.items()]
            for place, result in zip(tuple(left), await self._sandbox.run(jobs), strict=True):
                if not isinstance(result, NeedsLedger):
                    results[place] = result
                    del left[place]
                elif place in self.views:  # the sandbox rejects such a reply
                    raise AssertionError(place)
            await self._read(left)
            if left and self._ledger is not None:
                self._ledger.need(code_id(self._target.endpoint))
        return results

    async def _read(self, bodies: Mapping[int, bytes | None]) -> None:
        """Reads what the messages in these places need, in one query."""
        unread = [place for place in bodies if place not in self.views]
        if self._ledger is None:
            self.views.update(dict.fromkeys(unread, NO_LEDGER))
        elif unread:
            found = await self._ledger.views(self._target, [self._subjects[place] for place in unread])
            self.views.update(zip(unread, found, strict=True))

    def _job(self, place: int, body: bytes | None) -> Job:
        subject, endpoint, view = self._subjects[place], self._target.endpoint, self.views.get(place)
        message = subject.message
        _, code = _version(endpoint)
        return Job(
            # Code of no endpoint yet shares a process with no other.
            app_id=endpoint.app_id or code_id(endpoint),
            code_id=code_id(endpoint),
            code=code,
            body=message.body if body is None else body,
            event_type=message.event_type,
            url=self._target.destination.url,
            now_ms=message.accepted_at_ms,
            occurred_at_ms=message.occurred_at_ms,
            seed=_seed(subject, endpoint),
            customer_key=subject.customer.key if subject.customer else None,
            variables={**endpoint.variables, **self._target.secret_variables},
            params=message.params,
            exact=exact_texts(find_rounded(message.body)),
            identifies=self._target.destination.identity_rule is not None,
            ledger=None if view is None else msgspec.json.encode(view),
        )


def code_id(endpoint: Endpoint) -> str:
    """Names the code of an endpoint's handler."""
    version, _ = _version(endpoint)
    return f"{endpoint.id}/{version}"


def _seed(subject: Subject, endpoint: Endpoint) -> str:
    """The seed of `Math.random`: the event, so that a handler's random ids are the same wherever the event is
    delivered. A delivery of the earlier scheme keeps its initial seed.
    """
    message = subject.message
    if subject.replay_key is None:
        return f"{message.id}/{endpoint.id}"
    return f"{subject.app_uid}/{message.event_id or message.id}"


def _version(endpoint: Endpoint) -> tuple[int, str]:
    if endpoint.transformation is None:  # the caller has asked
        raise AssertionError(endpoint.id)
    return endpoint.transformation.version, endpoint.transformation.code
