"""What is known of a customer at an endpoint: what its handler would read as `webhook.customer`, now."""

from __future__ import annotations

from typing import Protocol

import msgspec

from nicobar.facts import About, complete, fact_key
from nicobar.ledger import Snapshot
from nicobar.masking import MASK
from nicobar.model import Customer, FactKind, Record
from nicobar.pipeline.configuration import Configuration, OpenEndpoint, mode_text
from nicobar.pipeline.ledgers import Question, known_people
from nicobar.redaction import Redaction
from nicobar.store import Facts


class CustomerLedger(Record):
    """A customer by the facts of one kind of source in one mode, which is empty where it is not stated."""

    source_kind: str
    mode: str
    snapshot: Snapshot


class LedgerServices(Protocol):
    """What it takes to read the ledger."""

    @property
    def store(self) -> Facts: ...
    @property
    def configuration(self) -> Configuration: ...


async def customer_ledgers(
    services: LedgerServices, target: OpenEndpoint, app_id: str, customer_key: str
) -> tuple[CustomerLedger, ...]:
    """Of each kind and mode of the application's sources that knows the customer and that the endpoint takes. Raises
    StoreError.
    """
    questions = await questions_about(services, target, app_id, customer_key)
    found = await known_people(services.store, services.configuration, target, app_id, questions)
    return tuple(
        CustomerLedger(source_kind=question.source_kind, mode=question.mode, snapshot=of.snapshot)
        for question, of in zip(questions, found, strict=True)
    )


async def questions_about(
    services: LedgerServices, target: OpenEndpoint, app_id: str, customer_key: str
) -> list[Question]:
    """A question for each kind and mode of the application's sources that knows the customer and that the endpoint
    takes. Raises StoreError.
    """
    sources = services.configuration.snapshot.sources
    modes = {(source.kind, mode_text(source)) for source in sources if source.app_id == app_id}
    scopes = sorted(scope for scope in modes if target.endpoint.mode in {None, scope[1]})
    keys = [fact_key(kind, FactKind.CUSTOMER, customer_key, mode) for kind, mode in scopes]
    known = dict(await services.store.facts(app_id, keys)) if keys else {}
    questions = []
    for (kind, mode), key in zip(scopes, keys, strict=True):
        own = Customer(key=customer_key)
        customer = complete(About(source_kind=kind, customer=own, mode=mode), known).customer
        if key in known and customer is not None:
            questions.append(Question(source_kind=kind, mode=mode, customer=customer))
    return questions


def masked_snapshot(redaction: Redaction, snapshot: Snapshot) -> Snapshot:
    """The snapshot as people see it: what is masked in a customer's events is masked here."""
    person = {"email": snapshot.email, "name": snapshot.name}
    body = msgspec.json.encode({"data": {"customer": person}})
    shown = msgspec.json.decode(redaction.of(()).redactor(body).event(body))["data"]["customer"]
    if shown == person:
        return snapshot
    hides_email, hides_name = (shown[field] != person[field] for field in ("email", "name"))
    identity = snapshot.identity
    if hides_email and identity is not None and identity.kind == "email":
        identity = msgspec.structs.replace(identity, value=MASK)
    return msgspec.structs.replace(
        snapshot,
        **shown,
        first_name=MASK if hides_name and snapshot.first_name else snapshot.first_name,
        identity=identity,
    )
