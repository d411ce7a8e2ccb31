"""The parent holds every limit itself: what a child says is checked, and a bad answer costs only its event."""

from __future__ import annotations

import resource
import sys

import pytest

from nicobar.nesting import MAX_DEPTH_LEVELS
from nicobar.pipeline.transform import Stopped, transform
from nicobar.sandbox import Bounds, Broken, Calls, Canceled, Failure, Job, Result, Untouched, children
from nicobar.sandbox.pool import MAX_IDLE_CHILDREN, SandboxPool
from nicobar.sources.dodo import DodoPayments
from nicobar.use_cases.dry_run import dry_target
from nicobar.use_cases.handler_check import why_it_cannot_run
from nicobar.use_cases.sample_events import pasted, samples_of
from support.sandbox_jobs import job, payload

GOOD = "function handler(w) { w.payload = {type: 'person'}; return w; }"

# A child that answers the jobs whose code is GOOD as the real one does, and runs the others as Python: lies.
LIAR = """
import json, os, sys
import msgspec
from nicobar.sandbox import child, starter
from nicobar.sandbox.wire import LENGTH_BYTES, Batch, Greeting, Kind, Reply, frame, frame_length, read

def say(data):
    view = memoryview(data)
    while view:
        view = view[os.write(child.CONNECTION, view):]

def framed(content):
    say(len(content).to_bytes(4, "big") + content)

def starts():
    return open(sys.argv[1]).read().count("started")

def serve(*, walled):
    contexts = child._Contexts()
    with open(sys.argv[1], "a") as notes:
        notes.write("started\\n")
    say(frame(Greeting(pid=os.getpid())))
    before = None
    apps = set()
    while head := child._receive(LENGTH_BYTES):
        batch = read(child._receive(frame_length(head)), Batch)
        for index, job in enumerate(batch.jobs):
            number = batch.first_number + index
            code = batch.codes[job.code_id]
            apps.add(job.app_id)
            call = b'{"method":"POST","url":"u","headers":{},"payload":1}'
            honest = Reply(number=number, kind=Kind.CALLS, calls=b"[" + call + b"]")
            answer = lambda **lies: say(frame(msgspec.structs.replace(honest, **lies)))
            call_with = lambda old, new: answer(calls=honest.calls.replace(old, new))
            if code == GOOD:
                reply = contexts.run(job, code, batch.bounds, number)
                before = reply
                say(frame(reply))
            else:
                exec(code, globals() | locals())

child.serve = serve
starter.main()
"""


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    return tmp_path_factory.mktemp("liars") / "starts"


@pytest.fixture(scope="module")
async def liars(notes):
    with pytest.MonkeyPatch.context() as patch:
        script = LIAR.replace("== GOOD", f"== {GOOD!r}")
        patch.setattr(children, "STARTER", (sys.executable, "-c", script, str(notes)))
        async with SandboxPool(children=1, bounds=Bounds(wall_ms=120_000)) as pool:
            await pool.check_wall()
            yield pool


def starts(notes) -> int:
    return notes.read_text().count("started")


async def one_by_one(pool: SandboxPool, *jobs: Job) -> list[Result]:
    """So that one process runs them all until it ends."""
    return [result for each in jobs for result in await pool.run([each])]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ("say(b'\\xff\\xff\\xff\\xff' + b'x' * 100)", "4294967295 bytes"),
        ("say(b'\\x10\\x00\\x00\\x00' + b'x' * 100)", "268435456 bytes"),
        ("say(b'\\x00\\x00\\x00\\x00')", "0 bytes"),
        ("say(b'garbage of a child that has gone wrong')", "bytes"),
        ("framed(b'\\xc1' * 50)", "unreadable"),
        ("framed(b'\\x91' * 90_000)", "unreadable"),
        (
            "framed(msgspec.msgpack.encode({'number': number, 'kind': 'calls', 'console': 'no'}))",
            "unreadable",
        ),
        ("say(frame(Greeting(pid=1)))", "unreadable"),
        ("answer(number=number + 1)", "another job"),
        ("say(frame(before or msgspec.structs.replace(honest, number=1)))", "another job"),
        ("answer(console=('x',) * 52)", "console"),
        ("answer(console=('x' * 1_002,))", "console"),
        ("answer(duration_us=-5)", "unreadable"),
        ("answer(duration_us=10**15)", "unreadable"),
        ("say(frame(Reply(number=number, kind=Kind.BROKEN)))", "failure"),
        ("say(frame(Reply(number=number, kind=Kind.BROKEN, code='threw', values={'error': 'x' * 5_000})))", "reason"),
        ("say(frame(Reply(number=number, kind=Kind.BROKEN, code='crashed')))", "failure"),
        ("say(frame(Reply(number=number, kind=Kind.BROKEN, code='%(error)999999s')))", "failure"),
        (
            "say(frame(Reply(number=number, kind=Kind.BROKEN, code='threw', values=dict.fromkeys('abcde', 1))))",
            "reason",
        ),
        ("answer(calls=b'{}')", "calls"),
        ("answer(calls=b'[]')", "calls"),
        ("call_with(b'POST', b'GET')", "method"),
        (
            "call_with(b'{}', b'{\"a b\":\"c\"}')",
            "header",
        ),
        (
            "call_with(b'{}', b'{\"a\":\"b\\\\r\\\\nc\"}')",
            "header",
        ),
    ],
)
async def test_a_lying_child_fails_only_its_event(liars, notes, lie, message):
    await liars.run([job(GOOD, app_id=lie)])
    before = starts(notes)
    results = await one_by_one(liars, *[job(code, app_id=lie) for code in (GOOD, GOOD, lie, GOOD, GOOD)])
    assert [type(result) for result in results] == [Calls, Calls, Broken, Calls, Calls]
    assert [result.calls[0].payload for result in results if isinstance(result, Calls)] == [{"type": "person"}] * 4
    failed = results[2]
    assert (failed.failure, failed.may_pass) == (Failure.BAD_RESULT, False)
    assert message in str(failed.reason), failed.reason
    assert starts(notes) == before + 2, "two children were replaced: the second ran the event alone"


@pytest.mark.parametrize(
    ("lie", "failure", "message"),
    [
        (
            "answer(calls=b'[' + b','.join([call] * 12_000) + b']')",
            Failure.OUTPUT_TOO_LARGE,
            "524288 bytes",
        ),
        (
            "call_with(b':1', b':' + b'[' * 900 + b']' * 900)",
            Failure.BAD_RESULT,
            f"{MAX_DEPTH_LEVELS} levels",
        ),
        (
            "call_with(b':1', b':' + b'[' * 200_000 + b']' * 200_000)",
            Failure.BAD_RESULT,
            f"{MAX_DEPTH_LEVELS} levels",
        ),
        (
            "call_with(b':1', b':\"\\\\ud800\"')",
            Failure.BAD_RESULT,
            "[0].payload",
        ),
    ],
)
async def test_the_parent_measures_the_calls_itself(liars, lie, failure, message):
    good, failed, last = await one_by_one(liars, job(GOOD), job(lie), job(GOOD))
    assert isinstance(good, Calls)
    assert isinstance(last, Calls)
    assert (failed.failure, failed.may_pass) == (failure, False)
    assert message in str(failed.reason)


async def test_event_stays_as_received_whatever_the_child_returns(liars):
    lie = "say(frame(Reply(number=number, kind=Kind.UNTOUCHED, calls=honest.calls)))"
    (result,) = await liars.run([job(lie)])
    assert isinstance(result, Untouched)
    assert "url" not in repr(result)


async def test_the_parent_s_memory_stays_bounded(liars):
    """The child announces 256 MiB and would send them."""
    lie = "say((256 * 1024 * 1024).to_bytes(4, 'big'))\nfor _ in range(256): say(b'x' * 1024 * 1024)"
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (failed,) = await liars.run([job(lie)])
    after_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert failed.failure is Failure.BAD_RESULT
    assert after_kib - before_kib < 32 * 1024


async def test_stale_replies_reach_no_later_event(liars):
    (lied,) = await liars.run([job("say(frame(honest) * 3)")])
    results = await liars.run([job(GOOD)] * 3)
    assert isinstance(lied, Calls), "the first of the three is its own"
    assert [result.calls[0].payload for result in results] == [{"type": "person"}] * 3


async def test_a_child_serves_one_application_only(liars):
    lie = "answer(calls=honest.calls.replace(b'1}', msgspec.json.encode([os.getpid(), sorted(apps)]) + b'}'))"
    apps = [f"app_{number}" for number in range(MAX_IDLE_CHILDREN + 2)]
    seen: dict[int, list[str]] = {}
    for app_id in [*apps, *apps]:
        for result in await liars.run([job(lie, app_id=app_id)] * 2):
            pid, of_child = result.calls[0].payload
            assert of_child == [app_id]
            assert seen.setdefault(pid, of_child) == of_child
    assert len(seen) > len(apps), "the processes that were idle longest have ended"


async def test_code_of_no_endpoint_shares_its_process_with_no_other():
    ran: list[Job] = []

    class Kept:
        async def run(self, jobs):
            ran.extend(jobs)
            return [Canceled(console=(), duration_us=0) for _ in jobs]

    event = pasted([DodoPayments()], b'{"type":"payment.succeeded","data":{}}', 1)
    for code in (GOOD, f"{GOOD};"):
        await transform(Kept(), dry_target("customerio", code), [event], 1)
        await why_it_cannot_run(Kept(), code, 1)
    assert len({job.app_id for job in ran} - {""}) == 4


FOREIGN = [
    "http://169.254.169.254/latest/meta-data/",
    "https://track.customer.io.attacker.example/api/v2/entity",
    "https://track.customer.io@attacker.example/api/v2/entity",
    "https://track.customer.io/api/v2/../../entity",
    "https://track.customer.io:444/api/v2/entity",
    "https://track.customer.io/api/v2/entity#x",
    "https://api.customer.io/v1/campaigns",
    "https://track.customer.io/api/v1/push/events/../../accounts/region",
    "file:///etc/passwd",
    "",
]


async def test_only_the_connector_s_urls_are_called_whatever_a_child_says(liars):
    lie = f"urls = {FOREIGN!r}; call_with(b'\"u\"', msgspec.json.encode(urls[json.loads(job.body)['n']]))"
    samples = samples_of(DodoPayments())
    bodies = [b'{"type":"payment.succeeded","data":{},"n":%d}' % number for number in range(len(FOREIGN))]
    events = [pasted(samples.kinds, body, 1) for body in bodies]
    results = await transform(liars, dry_target("customerio", lie), events, 1)
    assert [type(result) for result in results] == [Stopped] * len(FOREIGN)
    assert {result.code for result in results} == {"contract"}


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_an_event_that_ends_two_processes_fails(liars, notes, times):
    app_id = f"ends {times}"
    await liars.run([job(GOOD, app_id=app_id)])
    before = starts(notes)
    lie = f"os._exit(1) if starts() < {before + times} else say(frame(honest))"
    results = await one_by_one(liars, *[job(code, app_id=app_id) for code in (GOOD, lie, GOOD)])
    assert [type(result) for result in results] == [Calls, Calls if times == 1 else Broken, Calls]
    if times > 1:
        assert (results[1].failure, results[1].may_pass) == (Failure.CRASHED, False)
        assert "twice" in str(results[1].reason)
    assert starts(notes) == before + min(times, 2)


async def test_an_event_is_run_again_alone(liars):
    """A job among others ends its process; alone, it works."""
    lie = "os._exit(1) if len(batch.jobs) > 1 else say(frame(honest))"
    results = [*await liars.run([job(lie)]), *await liars.run([job(lie)] * 3)]
    assert [type(result) for result in results] == [Calls] * 4


DEEP = {
    "arrays": "for (let i = 0; i < LEVELS; i++) x = [x];",
    "objects": "for (let i = 0; i < LEVELS; i++) x = {a: x};",
    "alternating": "for (let i = 0; i < LEVELS; i++) x = i % 2 ? [x] : {a: x};",
    "getters": "const f = (n) => ({get a() { return n ? f(n - 1) : 1; }}); x = f(LEVELS);",
    "toJSON": "const f = (n) => ({toJSON() { return n ? {a: f(n - 1)} : 1; }}); x = f(LEVELS);",
    "proxies": "const f = (n) => new Proxy({a: 1}, {get: (t, k) => k === 'a' && n ? f(n - 1) : undefined});"
    "x = f(LEVELS);",
    "endless proxies": "const f = () => new Proxy({a: 1, b: 1}, {get: (t, k) => k.length === 1 ? f() : undefined});"
    "x = f();",
}


@pytest.fixture(scope="module")
async def _shared():
    """A pool for events that cost no process its life, and how its processes were killed."""
    kills: list[str] = []
    bounds = Bounds(run_ms=10_000, cpu_ms=30_000, wall_ms=60_000)
    async with SandboxPool(children=1, bounds=bounds, on_kill=kills.append) as pool:
        yield pool, kills


@pytest.fixture
async def pool(_shared):
    """No process may be killed."""
    pool, kills = _shared
    yield pool
    assert kills == []


@pytest.mark.parametrize("shape", DEEP)
async def test_a_deep_result_names_the_limit(pool, shape):
    depths = (MAX_DEPTH_LEVELS + 1, 988, 992, 996, 1_500, 100_000)
    steps = [DEEP[shape].replace("LEVELS", str(levels)) for levels in depths]
    codes = [f"function handler(w) {{ let x = 1; {step} w.payload = x; return w; }}" for step in steps]
    *deep, good = await pool.run([job(code) for code in [*codes, GOOD]])
    assert [(item.failure, item.may_pass) for item in deep] == [(Failure.BAD_RESULT, False)] * len(depths)
    assert {f"{MAX_DEPTH_LEVELS} levels" in str(item.reason) for item in deep} == {True}
    assert isinstance(good, Calls)


@pytest.mark.parametrize("shape", ["arrays", "objects", "alternating"])
async def test_a_result_at_the_limit_is_whole(pool, shape):
    steps = DEEP[shape].replace("LEVELS", str(MAX_DEPTH_LEVELS))
    found = await payload(pool, f"function handler(w) {{ let x = 1; {steps} w.payload = x; return w; }}")
    depth = 0
    while isinstance(found, dict | list):
        found = found["a"] if isinstance(found, dict) else found[0]
        depth += 1
    assert (depth, found) == (MAX_DEPTH_LEVELS, 1)


@pytest.mark.parametrize(
    ("make", "failure", "message"),
    [
        ("w.payload = 'x'.repeat(1e6);", Failure.OUTPUT_TOO_LARGE, "larger"),
        ("w.payload = {a: 'é'.repeat(3e5)};", Failure.OUTPUT_TOO_LARGE, "524288 bytes"),
        ("const x = {}; x.a = {b: x}; w.payload = x;", Failure.BAD_RESULT, "circular"),
        ("const x = []; x.push([x]); w.payload = x;", Failure.BAD_RESULT, "circular"),
        ("w.payload = {a: JSON.rawJSON('1e999')};", Failure.BAD_RESULT, "number"),
        ("w.payload = {a: JSON.rawJSON('1'.repeat(6000))};", Failure.BAD_RESULT, "number"),
        ("w.payload = {a: [{b: 'x\\ud800'}]};", Failure.BAD_RESULT, "[0].payload.a[0].b"),
        ("w.payload = {a: {'\\udc00': 1}};", Failure.BAD_RESULT, "[0].payload.a"),
        ("w.url = 'https://x/\\ud83d';", Failure.BAD_RESULT, "[0].url"),
        (
            "const x = {toJSON() { return JSON.stringify(x); }}; w.payload = x;",
            Failure.STACK_OVERFLOW,
            "overflowed the stack",
        ),
        ("w.payload = Array(200000).fill([]);", Failure.OUTPUT_TOO_LARGE, "larger"),
    ],
)
async def test_a_bad_result_names_what_is_wrong(pool, make, failure, message):
    (result,) = await pool.run([job(f"function handler(w) {{ {make} return w; }}")])
    assert isinstance(result, Broken)
    assert result.failure is failure
    assert message in str(result.reason)


async def test_a_wide_result_is_not_deep(pool):
    code = "function handler(w) { w.payload = Array.from({length: 50000}, () => ['[[[[']); return w; }"
    assert await payload(pool, code) == [["[[[["]] * 50_000


@pytest.mark.parametrize(
    "thrown",
    [
        "new Proxy({}, {getPrototypeOf() { throw {toString() { for (;;); }}; }})",
        "Object.assign(new Error('x'), {name: 'x'.repeat(2e6)})",
        "Object.assign(new Error('x'), {stack: 'x'.repeat(2e6)})",
        "'x'.repeat(2e6)",
        "new Error('\\ud800'.repeat(5e3))",
        "{toString() { throw new Proxy({}, {getPrototypeOf() { throw 1; }}); }}",
    ],
)
async def test_whatever_is_thrown_gives_a_short_reason(pool, thrown):
    (result,) = await pool.run([job(f"function handler(w) {{ throw {thrown}; }}")])
    assert isinstance(result, Broken)
    assert (result.failure, result.may_pass) == (Failure.THREW, False)
    assert len(str(result.reason)) < 1_100


async def test_console_lines_are_bounded_when_printing_prints(pool):
    code = """function handler(w) {
      const f = (n) => ({toJSON() { if (n) console.log(f(n - 1)); return "x".repeat(5000); }});
      console.log(f(200)); for (let n = 0; n < 60; n++) console.log("\\u{1f600}".repeat(1000));
      w.payload = 1; return w; }"""
    (result,) = await pool.run([job(code)])
    assert isinstance(result, Calls)
    assert len(result.console) == 51
    assert max(len(line) for line in result.console) <= 1_001
