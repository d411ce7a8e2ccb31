"""The ledger that a dry run on messages reads, if another is chosen than the stored one."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from nicobar.errors import UserError
from nicobar.use_cases.chosen_ledgers import STORED, LedgerChoice
from nicobar.use_cases.dry_run_messages import run_messages
from nicobar.use_cases.ledger_states import LedgerState
from support.shared import SANDBOX
from support.stated import body_of, stated_message
from support.worker import VAULT, world

READS = """function handler(w) {
  const {ids, email, status, history_complete: complete, subscriptions} = w.customer;
  const plan = subscriptions.map((one) => one.product_name);
  w.payload = [nicobar.event("a", {ids, email, status, complete, plan, facts: w.facts.map((fact) => fact.id)})];
  return w;
}"""
CUSTOMERS = {
    "evt_1": {"customer_id": "cus_1", "email": "ada@northpine.example"},
    "evt_2": {"customer_id": "cus_2", "email": "mira@northpine.example"},
}


async def ran(it, choice: LedgerChoice) -> dict[str, object]:
    """What the handler reads for the message about cus_1."""
    configuration = it.worker._configuration
    services = SimpleNamespace(
        store=it.store, configuration=configuration, vault=VAULT, sandbox=await SANDBOX.get(), clock=it.clock
    )
    (target,) = configuration.endpoints.values()
    (found,) = (await run_messages(services, target.endpoint, messages=1, choice=choice)).results
    return msgspec.json.decode(found.calls[-1].body)["attributes"] | {"snapshot": found.snapshot}


async def accept_all(it) -> None:
    (endpoint,), (source,) = it.snapshot.endpoints, it.snapshot.sources
    for event_id in ("evt_2", "evt_1"):
        kind, data = ("subscription.active", {"subscription_id": "sub_2", "status": "active", "product_id": "pdt_1"})
        if event_id == "evt_1":
            kind, data = "payment.succeeded", {"payment_id": "pay_1", "status": "succeeded"}
        new = stated_message(
            event_id,
            body_of(kind, it.clock.now_ms(), customer=CUSTOMERS[event_id], **data),
            message_id=it.ids.new("msg"),
            app_id=endpoint.app_id,
            source_id=source.id,
            endpoints=(endpoint.seq,),
            accepted_at_ms=it.clock.now_ms(),
        )
        await it.store.append(new)
        it.worker.wake(new.endpoint_seqs)
        await it.next_recorded()


async def test_a_dry_run_reads_the_chosen_ledger(tmp_path):
    async with world(tmp_path, handler=READS) as it:
        await it.change_endpoint(settings={"keep_profile": False, "product_names": {"pdt_1": "Pro"}})
        await accept_all(it)
        stored = await ran(it, STORED)
        trial = await ran(it, LedgerChoice(state=LedgerState.TRIAL))
        other = await ran(it, LedgerChoice(customer_key="cus_2"))
        with pytest.raises(UserError, match="cus_9"):
            await ran(it, LedgerChoice(customer_key="cus_9"))
    assert (stored["ids"], stored["status"], stored["complete"]) == (["cus_1"], "none", False)
    assert (trial["ids"], trial["status"], trial["complete"]) == (["cus_1"], "active", True)
    assert (other["ids"], other["status"], other["plan"]) == (["cus_2"], "active", ["Pro"])
    for read in (stored, trial, other):
        assert "pay_1" in read["facts"]


async def test_another_customer_s_data_are_masked(tmp_path):
    async with world(tmp_path, handler=READS) as it:
        await accept_all(it)
        other = await ran(it, LedgerChoice(customer_key="cus_2"))
    assert "mira@northpine.example" not in str(other)
