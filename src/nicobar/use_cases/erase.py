"""Takes people's data out: what the API and the dashboard have in common."""

from __future__ import annotations

from nicobar.model import Message
from nicobar.use_cases.edit import Actor, OperationServices

STEP_MESSAGES = 200
MAX_STEPS = 50


async def expunge_message(services: OperationServices, caller: Actor, message: Message) -> bool:
    """Deletes a message's payload and what its attempts quote of it; what is not delivered is canceled. Returns False
    where there was nothing to delete.
    """
    said = services.said(caller, "message.expunge", message.id, app_id=message.app_id)
    return await services.store.expunge_message(message.id, now_ms=services.clock.now_ms(), said=said)


async def expunge_customer(
    services: OperationServices, caller: Actor, app_id: str, customer_key: str
) -> tuple[int, bool]:
    """Takes a customer's data out, STEP_MESSAGES * MAX_STEPS messages at the most: how many it were, and whether none
    is left.
    """
    # The key itself is what is to be forgotten.
    said = services.said(caller, "customer.expunge", app_id, app_id=app_id)
    messages, done = 0, False
    for _ in range(MAX_STEPS):
        step = await services.store.expunge_customer(
            app_id, customer_key, now_ms=services.clock.now_ms(), limit=STEP_MESSAGES, said=said
        )
        messages += step
        done = step < STEP_MESSAGES
        if done:
            break
    return messages, done
