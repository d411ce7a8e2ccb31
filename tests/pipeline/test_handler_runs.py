"""When the ledger is read for a handler, and what becomes of what it has read."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.ledger import EventFact, Snapshot
from nicobar.model import Message
from nicobar.pipeline.handler_runs import LedgerView
from nicobar.pipeline.snapshots import MAX_SNAPSHOT_BYTES, snapshot_text
from nicobar.pipeline.transform import Ready, Stopped, transform
from nicobar.use_cases.dry_run import dry_target
from nicobar.use_cases.sample_events import past

READS = "function handler(w) { w.payload = [w.customer.status, w.facts[0].fields.amount]; return w; }"
READS_SOMETIMES = """function handler(w) {
  w.payload = w.payload.ask ? w.customer.status : "unasked"; return w; }"""
BLIND = "function handler(w) { w.payload = 1; return w; }"


class Reader:
    """A ledger in which each customer's status is their key; remembers what it was asked."""

    def __init__(self) -> None:
        self.codes: set[str] = set()
        self.asked: list[list[str]] = []

    def is_needed(self, code_id: str) -> bool:
        return code_id in self.codes

    def need(self, code_id: str) -> None:
        self.codes.add(code_id)

    async def views(self, _target, subjects):
        self.asked.append([subject.message.id for subject in subjects])
        return [view(subject.message.id) for subject in subjects]


def view(status: str) -> LedgerView:
    customer = Snapshot(ids=("cus_1",), identity=None, history_complete=False, known_since=None, status=status)
    fact = EventFact(
        kind="payment", id="pay_1", key=None, occurred_at=1, fields={"amount": 5}, is_current=True, previous={}
    )
    return LedgerView(customer=customer, facts=(fact,))


def subject(message_id: str, body: bytes = b"{}"):
    message = Message(
        seq=1,
        id=message_id,
        app_id="app_1",
        source_id="src_1",
        event_id=message_id,
        event_type="made.up",
        customer_key="cus_1",
        occurred_at_ms=1,
        accepted_at_ms=1,
        body=body,
    )
    return past(message, None)


async def bodies(sandbox, code, subjects, reader=None) -> list[bytes]:
    results = await transform(sandbox, dry_target("http", code), subjects, 1, reader)
    assert all(isinstance(result, Ready) for result in results), results
    return [result.calls[0].body for result in results]


async def test_ledger_is_read_once_for_a_page(sandbox):
    reader = Reader()
    subjects = [subject("msg_1"), subject("msg_2")]
    assert await bodies(sandbox, READS, subjects, reader) == [b'["msg_1",5]', b'["msg_2",5]']
    assert reader.asked == [["msg_1", "msg_2"]]


async def test_ledger_is_not_read_for_a_handler_without_need(sandbox):
    reader = Reader()
    (result,) = await transform(sandbox, dry_target("http", BLIND), [subject("msg_1")], 1, reader)
    assert (result.snapshot, reader.asked, reader.codes) == ("", [], set())


async def test_only_events_that_ask_read_the_ledger_first(sandbox):
    reader = Reader()
    subjects = [subject("msg_1"), subject("msg_2", b'{"ask": true}')]
    assert await bodies(sandbox, READS_SOMETIMES, subjects, reader) == [b'"unasked"', b'"msg_2"']
    assert reader.asked == [["msg_2"]]
    # From then on, the code has it from the start.
    assert await bodies(sandbox, READS_SOMETIMES, subjects, reader) == [b'"unasked"', b'"msg_2"']
    assert reader.asked == [["msg_2"], ["msg_1", "msg_2"]]


@pytest.mark.parametrize("known", [False, True])
async def test_result_has_what_its_handler_has_read(sandbox, known):
    reader = Reader()
    target = dry_target("http", READS_SOMETIMES)
    if known:
        reader.need(f"{target.endpoint.id}/{target.endpoint.transformation.version}")
    subjects = [subject("msg_1"), subject("msg_2", b'{"ask": true}')]
    unasked, asked = await transform(sandbox, target, subjects, 1, reader)
    assert (unasked.snapshot, asked.snapshot) == ("", snapshot_text(view("msg_2")))


async def test_failure_has_what_its_handler_has_read(sandbox):
    code = "function handler(w) { w.facts; throw new Error('no'); }"
    (stopped,) = await transform(sandbox, dry_target("http", code), [subject("msg_1")], 1, Reader())
    assert isinstance(stopped, Stopped)
    assert stopped.snapshot == snapshot_text(view("msg_1"))


async def test_repaired_body_is_run_with_its_ledger(sandbox):
    code = "function handler(w) { w.payload = [w.customer.status, w.payload.half]; return w; }"
    broken = subject("msg_1", b'{"half": "\\ud83d"}')
    assert await bodies(sandbox, code, [broken], Reader()) == ['["msg_1","\ufffd"]'.encode()]


def test_snapshot_is_bounded_and_says_so():
    customer = msgspec.structs.replace(
        view("active").customer, ids=tuple(f"cus_{number}" for number in range(10_000))
    )
    large = snapshot_text(LedgerView(customer=customer, facts=view("active").facts))
    kept = msgspec.json.decode(large)
    assert len(large.encode()) <= MAX_SNAPSHOT_BYTES
    assert (kept["is_cut"], len(kept["customer"]["ids"]), kept["customer"]["status"]) == (True, 20, "active")
    text = LedgerView(facts=(msgspec.structs.replace(view("active").facts[0], fields={"note": "x" * 40_000}),))
    assert msgspec.json.decode(snapshot_text(text)) == {"customer": None, "facts": [], "is_cut": True}
