"""Which ledger a dry run reads, in bodies."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from nicobar.use_cases.chosen_ledgers import LedgerChoice
from nicobar.use_cases.ledger_states import LedgerState
from nicobar.web.api.errors import Invalid

LedgerCustomerId = Annotated[
    str, Meta(min_length=1, max_length=256, description="The sender's ID of a customer whose ledger is read.")
]


def ledger_choice(state: LedgerState | None, customer_id: str | None) -> LedgerChoice:
    """Raises Invalid for both at once."""
    if state is not None and customer_id is not None:
        raise Invalid("body.ledgerState", "The body has both ledgerState and ledgerCustomerId.", "Omit one of them.")
    return LedgerChoice(state=state, customer_key=customer_id or "")
