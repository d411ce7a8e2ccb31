"""What a handler may rely on, and what it can never do to another event."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from nicobar.errors import SandboxError
from nicobar.sandbox import Bounds, Broken, Calls, Canceled, Failure, Untouched, child
from nicobar.sandbox.pool import SandboxPool
from nicobar.sandbox.replies import judge
from nicobar.sandbox.wire import MAX_WARNING_CHARS, MAX_WARNINGS
from support.json_counts import counted
from support.patience import PATIENCE_S
from support.sandbox_jobs import job, payload

GOOD = "function handler(w) { w.payload = {type: 'person'}; return w; }"
# Built so that no engine finishes it and none can interrupt it.
STUCK = "function handler(w) { const a = new Array(2e7).fill(0); while (true) a.sort(); }"
BACKTRACKS = "const handler = () => /^(a+)+$/.test('a'.repeat(99) + 'b');"


@pytest.fixture(scope="module")
def bounds():
    return Bounds(run_ms=150)


@pytest.fixture(scope="module")
async def pool(bounds):
    async with SandboxPool(children=1, bounds=bounds) as it:
        yield it


async def test_the_webhook_has_what_the_contract_names(pool):
    code = (
        "function handler(w) { const p = w.payload; w.payload = [w.method, w.url, w.eventType, p, w.env]; return w; }"
    )
    assert await payload(pool, code, variables={"PLAN": "pro"}) == [
        "POST",
        "https://track.example/entity",
        "payment.succeeded",
        {"data": {"a": 1}},
        {"PLAN": "pro"},
    ]


async def test_an_untouched_event_is_told_from_a_changed_one(pool):
    results = await pool.run(
        [job("const handler = (w) => w;"), job("var handler = w => ({...w, payload: w.payload});")]
    )
    assert all(isinstance(result, Untouched) for result in results)


async def test_cancel_and_an_empty_list_are_no_call(pool):
    codes = ("w.cancel = true; return w;", "return [];", "w.cancel = true; return [w];")
    results = await pool.run([job(f"function handler(w) {{ {code} }}") for code in codes])
    assert all(isinstance(result, Canceled) for result in results)


async def test_a_list_gives_several_calls_in_order(pool):
    code = """function handler(w) {
      return [{url: "https://a.example", method: "put", headers: {"X-Plan": 7}, payload: 1}, {payload: {b: 2}}]; }"""
    (result,) = await pool.run([job(code)])
    assert isinstance(result, Calls)
    first, second = result.calls
    assert (first.method, first.url, first.headers, first.payload) == ("PUT", "https://a.example", {"X-Plan": "7"}, 1)
    assert (second.method, second.url, second.payload) == ("POST", "https://track.example/entity", {"b": 2})


@pytest.mark.parametrize(
    ("code", "failure", "line"),
    [
        ("function handler(w) {\n  let = ;\n}", Failure.SYNTAX_ERROR, 2),
        ("}); (function () {", Failure.SYNTAX_ERROR, 1),
        ("export default function handler(w) { return w; }", Failure.SYNTAX_ERROR, 1),
        ("const x = 1;", Failure.NO_HANDLER, None),
        ("const handler = 1;", Failure.NO_HANDLER, None),
        ("function handler(w) {}", Failure.BAD_RESULT, None),
        ("function handler(w) { return null; }", Failure.BAD_RESULT, None),
        ("function handler(w) { return 'text'; }", Failure.BAD_RESULT, None),
        ("function handler(w) { return [1]; }", Failure.BAD_RESULT, None),
        ("function handler(w) { return {url: 'x'}; }", Failure.BAD_RESULT, None),
        ("async function handler(w) { return w; }", Failure.BAD_RESULT, None),
        ("function handler(w) { w.payload = 10n; return w; }", Failure.BAD_RESULT, None),
        ("function handler(w) { w.payload = '\\ud800'; return w; }", Failure.BAD_RESULT, None),
        ("function handler(w) { w.method = 'GET'; return w; }", Failure.BAD_RESULT, None),
        ("function handler(w) { w.headers = {'a b': 1}; return w; }", Failure.BAD_RESULT, None),
        ("function handler(w) { w.headers = {a: 'x\\r\\ny'}; return w; }", Failure.BAD_RESULT, None),
        ("\n\nfunction handler(w) { throw new TypeError('no'); }", Failure.THREW, 3),
        ("function handler(w) { throw {toString() { throw 1; }}; }", Failure.THREW, None),
        ("function handler(w) {\n return w.payload.data.b.c; }", Failure.THREW, 2),
        ("function handler(w) { while (true); }", Failure.TIMED_OUT, 1),
        ("function handler(w) { return handler(w); }", Failure.STACK_OVERFLOW, 1),
        ("function handler(w) { const a = []; while (true) a.push('x'.repeat(1e6) + a.length); }", None, None),
        ("// " + "x" * 51_200, Failure.CODE_TOO_LARGE, None),
    ],
)
async def test_every_failure_is_named(pool, code, failure, line):
    (result,) = await pool.run([job(code)])
    assert isinstance(result, Broken)
    assert result.failure == (failure or result.failure)
    if failure is None:
        assert result.failure in {Failure.OUT_OF_MEMORY, Failure.TIMED_OUT}
    if line is not None:
        assert result.line == line
    assert str(result.reason).endswith((".", "}", "no", "undefined", "shown]")), result.reason


async def test_an_output_over_its_bound_never_leaves_the_child(pool):
    (result,) = await pool.run([job("function handler(w) { w.payload = 'x'.repeat(600000); return w; }")])
    assert isinstance(result, Broken)
    assert result.failure is Failure.OUTPUT_TOO_LARGE


async def test_large_event_is_returned_whole(pool):
    body = b'{"data":"' + b"x" * 400_000 + b'"}'
    assert await payload(pool, "function handler(w) { w.payload = [w.payload.data]; return w; }", body=body) == [
        "x" * 400_000
    ]


@pytest.mark.parametrize(
    "leave",
    [
        "leak = 1;",
        "globalThis.leak = 1;",
        "this.leak = 1;",
        "(0, eval)('var leak = 1');",
        "new Function('leak = 1')();",
        "globalThis[Symbol.for('leak')] = 1;",
        "Object.prototype.leak = 1;",
        "Array.prototype.push = null;",
        "JSON.stringify = () => 'leak';",
        "Object.defineProperty(globalThis, 'leak', {value: 1});",
        "Object.setPrototypeOf(globalThis, {leak: 1});",
        "Object.preventExtensions(globalThis);",
        "(function* () {}).constructor.prototype.leak = 1;",
        "Object.getPrototypeOf(async function () {}).leak = 1;",
        "nicobar.leak = 1; nicobar.money.leak = 1;",
        "console.log = null;",
        "Date.now = () => 5; Math.random = () => 5;",
        "''.__proto__.leak = 1; (5).__proto__.leak = 1;",
        "Error.prepareStackTrace = () => 'leak';",
        "counter += 1; seen.push(1);",
        "Promise.resolve().then(() => { globalThis.leak = 1; });",
    ],
)
async def test_an_event_leaves_no_trace_for_the_next_one(pool, leave):
    code = """
    let counter = 0;
    const seen = [];
    function handler(w) {
      const found = [counter, seen.length, typeof leak, typeof globalThis[Symbol.for("leak")],
        ({}).leak, [].push === null,
        JSON.stringify(1), typeof nicobar.leak, typeof nicobar.money.leak, typeof console.log, Date.now(), "".leak,
        Reflect.ownKeys(globalThis).length, Object.isExtensible(globalThis)];
      try { LEAVE } catch (error) { if (!(error instanceof TypeError)) throw error; }
      w.payload = found;
      return w;
    }""".replace("LEAVE", leave)
    first = await payload(pool, code)
    assert first[:3] == [0, 0, "undefined"]
    assert await payload(pool, code) == first
    assert await payload(pool, code) == first


async def test_own_objects_may_have_names_of_built_in_ones(pool):
    code = """
    class PlanError extends Error { constructor(m) { super(m); this.name = "PlanError"; this.message = "other"; } }
    function handler(w) {
      const o = {}; o.toString = () => "mine"; o.constructor = 1;
      w.payload = [new PlanError("x").name, `${o}`, o.constructor, w.payload.toString, Object.keys(w.payload)];
      return w; }"""
    body = b'{"toString":"a","constructor":"b","__proto__":"c"}'
    assert await payload(pool, code, body=body) == [
        "PlanError",
        "mine",
        1,
        "a",
        ["toString", "constructor", "__proto__"],
    ]


async def test_time_and_random_numbers_are_the_same_on_every_attempt(pool):
    code = "function handler(w) { w.payload = [Date.now(), new Date().toISOString(), Math.random()]; return w; }"
    first = await payload(pool, code)
    assert first[:2] == [1_700_000_000_000, "2023-11-14T22:13:20.000Z"]
    assert await payload(pool, code) == first
    assert (await payload(pool, code, seed="other"))[2] != first[2]


async def test_helpers_know_currencies_and_times(pool):
    code = """function handler(w) { w.payload = [nicobar.money(4980, "JPY"), nicobar.money(1234, "KWD"),
      nicobar.money(3154, "USD"), nicobar.unix("2026-09-14T08:12:09.417302Z"), nicobar.unix(null),
      nicobar.event("paid", {a: 1}), nicobar.identify({b: 2})]; return w; }"""
    about = {"type": "person", "identifiers": {"id": "cus_1"}}
    assert await payload(pool, code) == [
        4980,
        1.234,
        31.54,
        1789373529,
        None,
        {**about, "action": "event", "name": "paid", "attributes": {"a": 1}},
        {**about, "action": "identify", "attributes": {"b": 2}},
    ]


@pytest.mark.parametrize("call", ["event('')", "event('a', [])", "exact(5)"])
async def test_helpers_reject_invalid_calls(pool, call):
    (result,) = await pool.run([job(f"function handler(w) {{ w.payload = nicobar.{call}; return w; }}")])
    assert isinstance(result, Broken)
    assert "nicobar." in str(result.reason)


UNUSABLE = {
    "money('5', 'USD')": "money_amount",
    "money(5.5, 'USD')": "money_amount",
    "money(null, 'USD')": "money_amount",
    "money({toString() { throw 1; }}, 'USD')": "money_amount",
    "money(5, 'XYZ')": "money_currency",
    "money(5, '')": "money_currency",
    "money(5)": "money_currency",
    "money(5, 'constructor')": "money_currency",
    "unix('soon')": "unix_time",
    "unix('')": "unix_time",
    "unix(1789373529)": "unix_time",
    "unix('2024-02-30T00:00:00Z')": "unix_time",
    "unix('2023-02-29')": "unix_time",
    "unix('2024-13-01')": "unix_time",
}


@pytest.mark.parametrize("call", UNUSABLE)
async def test_value_that_a_helper_cannot_use_is_left_out(pool, call):
    code = f"function handler(w) {{ w.payload = {{a: nicobar.{call}, b: nicobar.{call}}}; return w; }}"
    (result,) = await pool.run([job(code)])
    assert isinstance(result, Calls), result
    assert result.calls[0].payload == {}
    assert [why.code for why in result.warnings] == [UNUSABLE[call]]


LOCAL = {
    "(49.9).toLocaleString('en-US', {style: 'currency', currency: 'USD'})": 1,
    "new Date(0).toLocaleDateString('en-US', {month: 'long'})": 1,
    "'a'.localeCompare('b', 'de')": 1,
    "'I'.toLocaleLowerCase('tr')": 1,
    "(49.9).toLocaleString()": 0,
    "'a'.localeCompare('b')": 0,
    "'z'.localeCompare('ä')": 1,
}


@pytest.mark.parametrize("expression", LOCAL)
async def test_ignored_languages_are_warned_about(pool, expression):
    (result,) = await pool.run([job(f"function handler(w) {{ w.payload = {{a: {expression}}}; return w; }}")])
    assert [why.code for why in result.warnings] == ["locale_ignored"] * LOCAL[expression]
    assert "a" in result.calls[0].payload


async def test_warnings_of_helpers_are_bounded(pool):
    many = "for (let i = 0; i < 99; i++) nicobar.unix(`${i}x`.repeat(999));"
    code = f"function handler(w) {{ {many} w.payload = 1; return w; }}"
    (result,) = await pool.run([job(code)])
    assert len(result.warnings) == MAX_WARNINGS
    assert all(len(why.values["given"]) <= MAX_WARNING_CHARS + 1 for why in result.warnings)


async def test_helpers_read_lower_case_and_early_times(pool):
    code = """function handler(w) { w.payload = [nicobar.money(4990, "usd"), nicobar.money(1, "jpy"),
      nicobar.unix("2024-02-29"), nicobar.unix("1969-12-31T23:59:59Z")]; return w; }"""
    (result,) = await pool.run([job(code)])
    assert result.calls[0].payload == [49.9, 1, 1709164800, -1]
    assert [why.code for why in result.warnings] == ["unix_before_1970"]


async def test_what_the_handler_says_is_kept_and_bounded(pool):
    code = """function handler(w) { console.log("a", {b: 1}); console.error(new Error("c"));
      console.log("x".repeat(5000)); for (let i = 0; i < 100; i++) console.warn(i); w.payload = 1; return w; }"""
    (result,) = await pool.run([job(code)])
    assert result.console[:2] == ('a {"b":1}', "error: Error: c")
    assert len(result.console[2]) == 1_001
    assert len(result.console) == 51
    assert result.console[-1] == "… 53 more lines"


@pytest.mark.slow
async def test_hanging_handler_fails_alone_and_its_process_is_replaced():
    kills: list[str] = []
    bounds = Bounds(run_ms=60_000, cpu_ms=60_000, wall_ms=3_000)
    async with SandboxPool(children=1, bounds=bounds, on_kill=kills.append) as pool:
        results = await pool.run([job(GOOD), job(GOOD), job(BACKTRACKS), job(GOOD), job(GOOD)])
    assert [type(result) for result in results] == [Calls, Calls, Broken, Calls, Calls]
    assert (results[2].failure, results[2].may_pass) == (Failure.TIMED_OUT, True)
    assert kills == ["timed_out"]


@pytest.mark.parametrize("native", [STUCK, BACKTRACKS])
async def test_cpu_time_stops_uninterruptible_code(native):
    kills: list[str] = []
    bounds = Bounds(run_ms=60_000, cpu_ms=300, wall_ms=60_000, memory_bytes=1024 * 1024 * 1024)
    async with SandboxPool(children=1, bounds=bounds, on_kill=kills.append) as pool:
        results = await pool.run([job(GOOD), job(native), job(native), job(GOOD)])
    assert [type(result) for result in results] == [Calls, Broken, Broken, Calls]
    assert [(result.failure, result.may_pass) for result in results[1:3]] == [(Failure.TIMED_OUT, False)] * 2
    assert kills == ["timed_out"] * 2


@pytest.mark.slow
async def test_short_events_do_not_share_one_time_limit():
    short = "function handler(w) { let n = 0; while (n < 2e5) n += 1; w.payload = {n}; return w; }"
    async with SandboxPool(children=1, bounds=Bounds(cpu_ms=400)) as pool:
        results = await pool.run([job(short)] * 100)
    assert {type(result) for result in results} == {Calls}


@pytest.mark.slow
async def test_a_process_killed_twice_fails_only_its_event():
    bounds = Bounds(run_ms=60_000, cpu_ms=60_000, wall_ms=60_000)
    loop_forever = "function handler(w) { while (true); }"
    others = _child_pids()
    async with SandboxPool(children=1, bounds=bounds) as pool:
        assert isinstance((await pool.run([job(GOOD)]))[0], Calls)
        pending = asyncio.create_task(pool.run([job(GOOD), job(loop_forever), job(GOOD)]))
        first = await _busy_child(others)
        os.kill(first, signal.SIGKILL)
        while first in _child_pids():
            await asyncio.sleep(0)
        os.kill(await _busy_child(others), signal.SIGKILL)
        results = await pending
    assert [type(result) for result in results] == [Calls, Broken, Calls]
    assert (results[1].failure, results[1].may_pass) == (Failure.CRASHED, False)
    assert _child_pids() == others


async def test_starter_that_was_killed_is_replaced(bounds):
    async with SandboxPool(children=1, bounds=bounds) as pool:
        assert isinstance((await pool.run([job(GOOD)]))[0], Calls)
        process = pool._children._starter.process
        process.kill()
        await process.wait()
        results = await pool.run([job(GOOD), job(GOOD), job(GOOD, app_id="app_2")])
    assert [type(result) for result in results] == [Calls] * 3


async def test_an_event_does_not_fail_for_the_end_of_the_starter():
    bounds = Bounds(run_ms=60_000, cpu_ms=60_000, wall_ms=60_000)
    async with SandboxPool(children=1, bounds=bounds) as pool:
        pending = asyncio.create_task(pool.run([job("function handler(w) { while (true); }", app_id="app_1")]))
        children, ended = pool._children, set()
        for _ in range(2):
            while not (running := {it for it in children._connected if it.app_id == "app_1"} - ended):
                await asyncio.sleep(0)
            ended |= running
            children._starter.process.kill()
            await children._starter.process.wait()
        with pytest.raises(SandboxError, match="ended while handlers ran"):
            await pending


@pytest.mark.parametrize("turns", range(8))
def test_a_pool_closed_while_it_starts_leaves_no_process(turns):
    async def start_and_close() -> None:
        async with SandboxPool(children=1):
            for _ in range(turns):
                await asyncio.sleep(0)

    others = _child_pids()
    uvloop.run(start_and_close())
    assert _child_pids() == others


async def _busy_child(others: set[int]) -> int:
    while True:
        for pid in _child_pids() - others:
            if _busy(pid):
                return pid
        await asyncio.sleep(0)


ORPHANING = """
import asyncio, os
from nicobar.sandbox import Bounds, Job
from nicobar.sandbox.pool import SandboxPool

async def main():
    async with SandboxPool(children=1, bounds=Bounds(run_ms=600_000, cpu_ms=600_000, wall_ms=600_000)) as pool:
        job = dict(code_id="a", body=b"{}", event_type="", url="", now_ms=1, occurred_at_ms=1, seed="")
        await pool.run([Job(code="function handler(w) { return []; }", **job)])
        running = asyncio.create_task(pool.run([Job(**job | {"code_id": "b"}, code=CODE)]))
        starter = int(open(f"/proc/self/task/{os.getpid()}/children").read())
        print(starter, open(f"/proc/{starter}/task/{starter}/children").read(), flush=True)
        await running
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("busy", [False, True])
def test_a_process_whose_parent_is_killed_ends_with_it(busy):
    code = "function handler(w) { while (true); }" if busy else "function handler(w) { return []; }"
    script = ORPHANING.replace("CODE", repr(code))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        try:
            pids = [int(pid) for pid in parent.stdout.readline().split()]
            handles = [os.pidfd_open(pid) for pid in pids]
            while busy and not any(map(_busy, pids)):
                pass
        finally:
            parent.kill()
    for handle in handles:
        ended, _, _ = select.select([handle], [], [], PATIENCE_S)
        os.close(handle)
        assert ended


async def test_many_events_and_callers_share_the_processes(bounds):
    async with SandboxPool(children=2, bounds=bounds) as pool:
        many, few = await asyncio.gather(pool.run([job(GOOD)] * 500), pool.run([job(GOOD)] * 5))
    assert all(isinstance(result, Calls) for result in [*many, *few])
    assert (len(many), len(few)) == (500, 5)


def _children_of(pid: int) -> list[int]:
    # It may have ended.
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    return []


def _child_pids() -> set[int]:
    """The processes that run handlers, and those that start them."""
    starters = _children_of(os.getpid())
    return {*starters, *(child for starter in starters for child in _children_of(starter))}


def _busy(pid: int) -> bool:
    """Whether it has run for a second and more since it started, which none of the short handlers needs."""
    with suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return int(fields[11]) / os.sysconf("SC_CLK_TCK") > 1.0
    return False


async def test_results_keep_the_order_of_the_jobs(bounds):
    async with SandboxPool(children=2, bounds=bounds) as pool:
        code = "function handler(w) { w.payload = {n: w.payload.data}; return w; }"
        jobs = [job(code, body=b'{"data":%d}' % number, code_id=str(number % 3)) for number in range(200)]
        results = await pool.run(jobs)
    assert [result.calls[0].payload for result in results] == [{"n": number} for number in range(200)]


@pytest.mark.parametrize(("text", "number"), [("1e20", 1e20), ("-(2 ** 70)", -(2.0**70))])
async def test_numbers_beyond_64_bits_become_javascript_numbers(pool, text, number):
    assert await payload(pool, f"function handler(w) {{ w.payload = {{n: {text}}}; return w; }}") == {"n": number}


async def test_params_beyond_64_bits_reach_the_handler(pool):
    code = "function handler(w) { w.payload = w.transformationsParams; return w; }"
    async with asyncio.timeout(PATIENCE_S):
        sent = {"n": 2**70, "deep": [-(2**64)]}
        found = await payload(pool, code, params=sent)
        assert (found["n"], float(found["deep"][0])) == (2.0**70, -(2.0**64))
        assert await payload(pool, code, params={"n": int("9" * 400)}) == {"n": None}


async def test_job_that_cannot_be_sent_fails_alone(pool):
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(TypeError):
            await pool.run([job(GOOD, params={"n": object()})])
        assert await payload(pool, GOOD) == {"type": "person"}


COUNTED_PARSE = """JSON.parse = ((parse) => {
  globalThis.parsed = () => count;
  let count = 0;
  return (text) => { if (text.includes("read-me-once")) count += 1; return parse(text); };
})(JSON.parse);
"""


def test_the_engine_parses_a_body_once_and_encodes_its_result(monkeypatch):
    monkeypatch.setattr(child, "_PRELUDE", COUNTED_PARSE + child._PRELUDE)
    code = "function handler(w) { w.payload = {n: parsed(), note: w.payload.note}; return w; }"
    jobs = [job(code, body=b'{"note":"read-me-once"}') for _ in range(2)]
    contexts = child._Contexts()
    with counted("encode", lambda value: "read-me-once" in str(value)) as encoded:
        replies = [contexts.run(each, code, Bounds(), number) for number, each in enumerate(jobs)]
    assert encoded == [], "what the engine wrote is measured and sent as it is"
    calls = [judge(reply, number, Bounds()).calls for number, reply in enumerate(replies)]
    assert [call.payload for (call,) in calls] == [{"n": n, "note": "read-me-once"} for n in (1, 2)]
