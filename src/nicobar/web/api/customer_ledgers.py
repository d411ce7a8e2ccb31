"""`…/endpoint/{endpoint_id}/customer` (an addition to the Svix API): what a handler reads of a customer."""

from __future__ import annotations

import msgspec

from nicobar.ledger import Snapshot
from nicobar.model import Application, Endpoint, Json
from nicobar.pipeline.configuration import open_endpoint
from nicobar.use_cases.customer_ledger import customer_ledgers, masked_snapshot
from nicobar.use_cases.services import Services
from nicobar.web.api.auth import Caller
from nicobar.web.api.customers import TAGS, Key
from nicobar.web.api.endpoints import ONE
from nicobar.web.api.shapes import Shape
from nicobar.web.operations import get


class CustomerLedgerOut(Shape):
    """A customer by the facts of the sources of one kind and mode; `mode` is null if the sources do not state it.
    `customer` has the fields of `webhook.customer`.
    """

    source_kind: str
    mode: str | None
    customer: dict[str, Json]


class CustomerLedgerListOut(Shape):
    """Empty if nothing is known of the customer."""

    data: list[CustomerLedgerOut]


@get(f"{ONE}/customer", id="nicobar.customer.ledger", tags=TAGS, summary="Get customer ledger")
async def customer_ledger(
    *, application: Application, endpoint: Endpoint, services: Services, caller: Caller, key: Key
) -> CustomerLedgerListOut:
    """Returns what the endpoint's handler would read now as `webhook.customer` for this customer: payments,
    subscriptions and totals of all customers who are the same person there. Personal data is masked as in messages.
    """
    found = await customer_ledgers(services, open_endpoint(services.vault, endpoint), application.id, key)

    def shown(snapshot: Snapshot) -> dict[str, Json]:
        seen = snapshot if caller.sees_payloads else masked_snapshot(services.settings.redaction, snapshot)
        return msgspec.json.decode(msgspec.json.encode(seen), type=dict[str, Json])

    return CustomerLedgerListOut(
        data=[
            CustomerLedgerOut(source_kind=item.source_kind, mode=item.mode or None, customer=shown(item.snapshot))
            for item in found
        ]
    )


OPERATIONS = (customer_ledger,)
