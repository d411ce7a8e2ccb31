"""`webhook.customer` and `webhook.facts`: read only if the handler asks, and never changed."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.sandbox import Bounds, Broken, Calls, NeedsLedger
from nicobar.sandbox.pool import SandboxPool
from nicobar.sandbox.replies import InvalidReply, judge
from nicobar.sandbox.wire import Kind, Reply
from support.sandbox_jobs import job

LEDGER = msgspec.json.encode(
    {"customer": {"status": "active", "totals": [{"paid": 5}]}, "facts": [{"kind": "payment", "fields": {"a": 1}}]}
)
OTHER = msgspec.json.encode({"customer": {"status": "none", "totals": None}, "facts": []})
READS = "function handler(w) { w.payload = [w.customer.status, w.facts.length]; return w; }"


@pytest.fixture(scope="module")
async def pool():
    async with SandboxPool(children=1, bounds=Bounds(run_ms=150)) as it:
        yield it


async def only(pool: SandboxPool, code: str, **more: object) -> object:
    (result,) = await pool.run([job(code, **more)])
    return result


@pytest.mark.parametrize(
    "code",
    [
        READS,
        "function handler(w) { try { w.facts; } catch {} w.payload = 1; return w; }",
        "function handler(w) { try { const {customer} = w; } catch { return []; } }",
        "function handler(w) { try { w.customer; } catch { throw new Error('mine'); } }",
        "function handler(w) { Object.getOwnPropertyDescriptor(w, 'customer').get(); }",
    ],
)
async def test_handler_that_reads_the_ledger_asks_for_it(pool, code):
    assert await only(pool, code) == NeedsLedger()


@pytest.mark.parametrize(
    "code",
    [
        "const handler = (w) => ({...w, payload: Object.keys(w)});",
        "function handler(w) { console.log(w); w.payload = JSON.parse(JSON.stringify(w)); return w; }",
        "function handler(w) { w.payload = ['customer' in w, 'facts' in w]; return w; }",
        "function handler(w) { w.customer = {id: 7}; w.payload = {...w.customer}; return w; }",
        "'use strict'; function handler(w) { w.facts = 1; delete w.facts; w.payload = [w.facts]; return w; }",
    ],
)
@pytest.mark.parametrize("ledger", [None, LEDGER])
async def test_handler_that_reads_none_uses_none(pool, code, ledger):
    result = await only(pool, code, ledger=ledger)
    assert isinstance(result, Calls), result
    assert not result.used_ledger


async def test_each_event_reads_its_own_ledger(pool):
    results = await pool.run([job(READS, ledger=LEDGER), job(READS, ledger=OTHER), job(READS)])
    assert [result.calls[0].payload for result in results[:2]] == [["active", 1], ["none", 0]]
    assert all(result.used_ledger for result in results[:2])
    assert results[2] == NeedsLedger()


@pytest.mark.parametrize(
    "change",
    [
        "w.customer.status = 'x';",
        "w.customer.totals[0].paid = 6;",
        "w.customer.totals.push(1);",
        "w.facts.length = 0;",
        "w.facts[0].fields.a = 2;",
        "delete w.customer.status;",
        "Object.defineProperty(w.facts[0], 'kind', {value: 'x'});",
    ],
)
async def test_handler_cannot_change_the_ledger(pool, change):
    code = f"'use strict'; function handler(w) {{ {change} return []; }}"
    result = await only(pool, code, ledger=LEDGER)
    assert isinstance(result, Broken)
    assert "TypeError" in str(result.reason)
    assert result.used_ledger


@pytest.mark.parametrize(
    ("reply", "has_ledger"),
    [
        (Reply(number=1, kind=Kind.NEEDS_LEDGER), True),
        (Reply(number=1, kind=Kind.CANCELED, used_ledger=True), False),
    ],
)
def test_reply_that_contradicts_its_job_is_rejected(reply, has_ledger):
    with pytest.raises(InvalidReply):
        judge(reply, 1, Bounds(), has_ledger=has_ledger)
