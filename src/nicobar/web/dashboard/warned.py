"""What deliveries with warnings were warned about, for lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from nicobar.model import Delivery, Message
from nicobar.reasons import Reason
from nicobar.web.dashboard.context import Context

# By message, then by endpoint.
Warnings: TypeAlias = Mapping[str, Mapping[str, Reason]]
NO_WARNINGS: Warnings = MappingProxyType({})


async def first_warnings(context: Context, listed: Iterable[tuple[Message, Sequence[Delivery]]]) -> Warnings:
    """The first warning of each delivery that has some, with personal data masked. Attempts are only read for those;
    what was deleted has no text any more.
    """
    warned = {
        message.id: (message, [found.endpoint_id for found in deliveries if found.warned])
        for message, deliveries in listed
        if any(found.warned for found in deliveries)
    }
    if not warned:
        return NO_WARNINGS
    attempts = await context.services.store.attempts_of_deliveries(list(warned))
    warnings: dict[str, dict[str, Reason]] = {}
    for message_id, (message, endpoint_ids) in warned.items():
        redactor = context.services.configuration.redactor(message)
        for endpoint_id in endpoint_ids:
            tried = attempts.get((message_id, endpoint_id))
            why = redactor.attempt(tried[-1]).first_warning if tried else None
            if why is not None:
                warnings.setdefault(message_id, {})[endpoint_id] = why
    return warnings
