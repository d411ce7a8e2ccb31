"""Sends deliveries for which no person was identified, once a later event, or another setting of the endpoint, says
who the customer is.
"""

from __future__ import annotations

import asyncio

from nicobar.clock import Clock
from nicobar.facts import complete
from nicobar.logs import log
from nicobar.people import IdentityRule, Person, order_key, resolve
from nicobar.pipeline.configuration import Configuration, OpenEndpoint
from nicobar.store import Facts
from nicobar.store.facts import Identified, Unidentified

# Facts may be stated by any process, of an event that the endpoint does not get.
LOOK_AGAIN_MS = 5_000
# One look covers so many facts that deliveries wait for.
STEP_FACTS = 500


class Identifying:
    """The deliveries of one endpoint that wait for an identity. `signal` is set once there is something to do."""

    def __init__(
        self, *, facts: Facts, configuration: Configuration, clock: Clock, term: int, signal: asyncio.Event
    ) -> None:
        self._facts = facts
        self._configuration = configuration
        self._clock = clock
        self._term = term
        self._signal = signal
        # When to look, by the steady clock; None while nothing waits. What an earlier process has left is looked at
        # first.
        self._look_at_ms: int | None = clock.steady_ms()
        # By what people were identified when all that waits was looked at, in a tuple; an earlier process may have
        # used another rule.
        self._looked_by: tuple[IdentityRule | None] | None = None

    def begin(self) -> None:
        """A delivery waits for an identity now."""
        if self._look_at_ms is None:
            self._look_at_ms = self._clock.steady_ms() + LOOK_AGAIN_MS

    async def follow(self, target: OpenEndpoint) -> int | None:
        """Queues what waits no longer; returns the milliseconds until the next look, None if nothing waits. Raises
        StoreError.
        """
        if self._look_at_ms is None:
            # Nothing waits. What comes is looked at by the rule of then.
            self._looked_by = (target.destination.identity_rule,)
            return None
        now_ms = self._clock.steady_ms()
        is_changed = self._looked_by != (target.destination.identity_rule,)
        if is_changed or self._look_at_ms <= now_ms:
            self._look_at_ms = now_ms + LOOK_AGAIN_MS
            if not await self._facts.has_unidentified(target.endpoint.seq):
                self._look_at_ms = None
            elif await self._look(target):
                self._look_at_ms = now_ms
                self._signal.set()
        return None if self._look_at_ms is None else max(1, self._look_at_ms - now_ms)

    async def _look(self, target: OpenEndpoint) -> bool:
        """Whether there may be more to look at now."""
        endpoint, rule = target.endpoint, target.destination.identity_rule
        now_ms = self._clock.now_ms()
        if self._looked_by != (rule,):
            await self._facts.recheck_unidentified(endpoint.seq, term=self._term)
            self._looked_by = (rule,)
        found = await self._facts.unidentified(endpoint.seq, now_ms=now_ms, limit=STEP_FACTS)
        if not found:
            return False
        identified = await self._identified(target, found)
        known = {item.message_seq for item in identified}
        queued = await self._facts.settle_unidentified(
            endpoint.seq,
            term=self._term,
            now_ms=now_ms,
            identified=identified,
            others=[item for item in found if item.message_seq not in known],
        )
        if queued:
            log.info("deliveries identified", endpoint_id=endpoint.id, deliveries=queued)
        return sum(len(item.news) for item in found) == STEP_FACTS

    async def _identified(self, target: OpenEndpoint, found: list[Unidentified]) -> list[Identified]:
        """Those whose person is known now, and those of an endpoint that no longer needs to know."""
        rule = target.destination.identity_rule
        messages = [self._configuration.reread(item.message)[0] for item in found if item.message]
        waiting = [(message, self._configuration.about(message)) for message in messages]
        keys = dict.fromkeys(key for _, about in waiting for key in about.wanted)
        known = await self._facts.facts(target.endpoint.app_id, list(keys)) if keys else {}
        identified = []
        for message, about in waiting:
            customer = complete(about, known).customer
            if rule is None or isinstance(resolve(rule, customer), Person):
                customer_key = message.customer_key or (customer.key if customer else None)
                key = order_key(rule, customer)
                identified.append(Identified(message_seq=message.seq, order_key=key, customer_key=customer_key))
        return identified
