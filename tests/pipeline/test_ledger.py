"""What messages of an earlier version said is remembered too."""

from __future__ import annotations

import msgspec
import pytest
from click.testing import CliRunner

from nicobar.cli import group
from nicobar.pipeline import ledger
from nicobar.pipeline.ledger import Ledger
from support.stated import body_of, stated_message
from support.store import STORES
from support.worker import world

CUSTOMER, PAYMENT = "dodo-payments//customer/cus_1", "dodo-payments//payment/pay_1"
ADA = {"customer_id": "cus_1", "email": "ada@northpine.example"}
SAID = [
    body_of("payment.succeeded", 1, payment_id="pay_1", customer=ADA, metadata={"user": 1}),
    body_of("payment.succeeded", 2, payment_id="pay_2", customer=ADA | {"name": "Ada"}, metadata={"user": 2}),
    b"not json",
]


async def accept_as_before(it):
    """What version 13 stores of events."""
    (endpoint,), (source,) = it.snapshot.endpoints, it.snapshot.sources
    stated = [stated_message(f"evt_{n}", body, endpoints=()) for n, body in enumerate(SAID[:2])]
    unreadable = msgspec.structs.replace(stated[0], id="msg_x", event_id="x", body=SAID[2])
    for new in (*stated, msgspec.structs.replace(unreadable, event_type="nicobar.unreadable", customer_key=None)):
        known = {"app_id": endpoint.app_id, "source_id": source.id, "facts": (), "about": None}
        await it.store.append(msgspec.structs.replace(new, **known))
    return endpoint.app_id, stated


@pytest.mark.parametrize("database", STORES)
async def test_facts_of_stored_messages_are_as_if_stated_when_accepted(tmp_path, database, monkeypatch):
    monkeypatch.setattr(ledger, "STEP_MESSAGES", 1)
    async with world(tmp_path, database=database) as it:
        app_id, stated = await accept_as_before(it)
        assert await it.store.facts(app_id, [CUSTOMER, PAYMENT]) == {}
        work = Ledger(store=it.store, configuration=it.worker._configuration, clock=it.clock)
        assert await work.step() is None
        for _ in range(2):  # the second time adds nothing
            begun = await it.store.begin_rebuild()
            assert (begun.after_seq, begun.until_seq, begun.ended_at_ms) == (0, 3, None)
            steps = 0
            while (at := await work.step()) is not None:
                steps += 1
                assert at.messages == steps
            assert steps == 3
        for new in stated:
            await it.store.put_facts("as accepted", new.facts)
        keys = [fact.key for new in stated for fact in new.facts]
        assert await it.store.facts(app_id, keys) == await it.store.facts("as accepted", keys)


@pytest.mark.parametrize("database", STORES)
async def test_an_erasure_during_a_step_stays_one(tmp_path, database):
    async with world(tmp_path, database=database) as it:
        app_id, stated = await accept_as_before(it)
        await it.store.begin_rebuild()

        class Erasing:
            """The store, in which a user deletes the customer once the messages were read."""

            def __getattr__(self, name):
                return getattr(it.store, name)

            async def messages_to_state(self, *args, **bounds):
                page = await it.store.messages_to_state(*args, **bounds)
                assert await it.store.expunge_customer(app_id, "cus_1", now_ms=1, limit=10) == 2
                return page

        await Ledger(store=Erasing(), configuration=it.worker._configuration, clock=it.clock).step()
        assert await it.store.facts(app_id, [fact.key for new in stated for fact in new.facts]) == {}


async def test_a_process_goes_on_where_another_one_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "STEP_MESSAGES", 1)
    async with world(tmp_path) as it:
        await accept_as_before(it)
        at = await it.store.begin_rebuild()
        works = [Ledger(store=it.store, configuration=it.worker._configuration, clock=it.clock) for _ in range(2)]
        await works[0].step()
        await it.store.move_rebuild(at, after_seq=3, messages=3, now_ms=1)  # too late
        assert [(await work.step()).messages for work in (works[1], works[0])] == [2, 3]


def test_the_command_reads_all_messages(tmp_path):
    runner = CliRunner()
    flags = [f"--data-dir={tmp_path}"]
    (tmp_path / "n.toml").write_text("")
    assert runner.invoke(group, ["migrate", *flags]).exit_code == 0
    result = runner.invoke(group, ["ledger", "rebuild", *flags])
    assert (result.exit_code, result.output) == (0, "● 0 messages read.\n")
