"""Nothing that one event does reaches the next event of the same code."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nicobar.sandbox import Bounds, Broken, Calls, Failure
from nicobar.sandbox.child import _Contexts
from nicobar.sandbox.pool import SandboxPool
from nicobar.sandbox.replies import judge
from support.sandbox_jobs import job, payload

REACHABLE = Path(__file__).with_name("reachable.txt")

# Each channel: declarations at the top of the code, an expression that reads, statements that write. Those of WITHIN
# carry a value inside one event, which shows that the reading works; the others are closed there too.
WITHIN = {
    "a top-level let": ("let cache = {};", "Object.keys(cache)", "cache.leak = 1;"),
    "a top-level var": ("var count = 0;", "count", "count += 1;"),
    "a top-level array": ("const list = [,,1];", "[list.length, 0 in list]", "list[0] = 1; list.length = 9;"),
    "a closure": (
        "const c = (() => { let n = 0; return {get: () => n, add: () => n++}; })();",
        "c.get()",
        "c.add();",
    ),
    "a property of the handler": ("", "handler.leak", "handler.leak = 1;"),
    "a property of the handler's prototype": ("", "handler.prototype.leak", "handler.prototype.leak = 1;"),
    "a property of another function": ("function f() {}", "f.leak", "f.leak = 1;"),
    "a static field": ("class K { static n = 0; }", "K.n", "K.n += 1;"),
    "a private static field": ("class K { static #n = 0; static n() { return K.#n++; } }", "K.n()", "K.n();"),
    "the lastIndex of a hoisted expression": ("const rx = /a/g;", "rx.lastIndex", "rx.test('xa');"),
    "a compiled expression": ("const rx = /a/;", "rx.source", "rx.compile('leak');"),
    "a hoisted generator": (
        "const g = (function* () { let n = 0; while (true) yield n++; })();",
        "g.next().value",
        "",
    ),
    "a hoisted iterator": ("const i = [1, 2, 3, 4, 5].values();", "i.next().value", ""),
    "a hoisted date": ("const d = new Date(0);", "d.getTime()", "d.setTime(5);"),
    "a hoisted buffer": ("const b = new Uint8Array(4);", "b[0]", "b[0] = 7;"),
    "a map with a built-in key": ("const m = new WeakMap();", "m.get(Math)", "m.set(Math, 1);"),
    "a template object": (
        "const m = new WeakSet(); const tag = (s) => s; const f = () => tag`leak`;",
        "m.has(f())",
        "m.add(f());",
    ),
    "a symbol of the registry": ("const o = {};", "o[Symbol.for('leak')]", "o[Symbol.for('leak')] = 1;"),
    "a disposable stack": ("const s = new DisposableStack();", "s.disposed", "s.dispose();"),
    "the environment": ("", "w.env.leak", "w.env.leak = 1;"),
    "the parameters": ("", "w.transformationsParams.leak", "w.transformationsParams.leak = 1;"),
    "the order of chance": ("", "Math.random()", ""),
    "a global of sloppy code": ("", "typeof leak", "leak = 1;"),
    "a global through this": ("", "typeof leak", "this.leak = 1;"),
    "a global var of an indirect eval": ("", "typeof leak", "(0, eval)('var leak = 1');"),
    "a global function of an indirect eval": ("", "typeof leak", "(0, eval)('function leak() {}');"),
    "a global of a function constructor": ("", "typeof leak", "new Function('leak = 1')();"),
    "a global with a symbol for a name": (
        "",
        "globalThis[Symbol.for('leak')]",
        "globalThis[Symbol.for('leak')] = 1;",
    ),
    "a getter on the global object": (
        "",
        "globalThis.leak",
        "Object.defineProperty(globalThis, 'leak', {get: () => 1, configurable: true});",
    ),
    "a getter on the global object for good": (
        "",
        "globalThis.leak",
        "Object.defineProperty(globalThis, 'leak', {get: () => 1});",
    ),
    "a getter by the old name": ("", "globalThis.leak", "__defineGetter__.call(globalThis, 'leak', () => 1);"),
    "a global that hides an inherited one": (
        "",
        "globalThis.toString === Object.prototype.toString",
        "toString = 1;",
    ),
    "the prototype of the global object": ("", "globalThis.leak", "Object.setPrototypeOf(globalThis, {leak: 1});"),
    "a proxy as that prototype": (
        "",
        "globalThis.leak",
        "globalThis.__proto__ = new Proxy(Object.prototype, {get: () => 1});",
    ),
    "the global object closed": (
        "",
        "Object.isExtensible(globalThis)",
        "Object.preventExtensions(globalThis);",
    ),
    "names that are not there": (
        "",
        (
            "[typeof WeakRef, typeof FinalizationRegistry, typeof Atomics, typeof SharedArrayBuffer, typeof Intl,"
            " typeof performance, typeof queueMicrotask, typeof setTimeout, typeof WebAssembly, typeof std]"
        ),
        "WeakRef = Atomics = SharedArrayBuffer = Intl = class Leak {};",
    ),
    "a rejection without a handler": ("", "typeof leak", "Promise.reject(new Error('leak')); leak = 1;"),
}
OTHERS = {
    "a private field on a built-in object": (
        (
            "class B { constructor(o) { return o; } }"
            "class K extends B { #leak; static has(o) { return #leak in o; } static put(o) { new K(o); } }"
        ),
        "[K.has(Math), K.has(globalThis), K.has(Object.prototype)]",
        "K.put(Math); K.put(Object.prototype);",
    ),
    "a block-scoped name of an indirect eval": ("", "typeof leak", "(0, eval)('let leak = 1; class Leak {}');"),
    "the accessors of the ledger": (
        "const of = (w) => Object.getOwnPropertyDescriptor(w, 'customer');",
        "[of(w).get.leak, of(w).set.leak]",
        "of(w).get.leak = 1; of(w).set.leak = 1;",
    ),
    "statics of expressions": (
        "",
        "[RegExp.$1, RegExp.lastMatch, RegExp.input, RegExp['$&'], RegExp.lastParen, RegExp.leftContext]",
        "/(l)eak/.exec('xleak'); RegExp.input = 'leak'; RegExp.$1 = 'leak';",
    ),
    "a hole in an array": ("", "[[, 1][0], [][5]]", "Array.prototype[0] = 1; Object.prototype[5] = 1;"),
    "Object.prototype": ("", "({}).leak", "Object.prototype.leak = 1; ({}).__proto__.leak = 1;"),
    "Function.prototype": ("", "(() => 1).leak", "Function.prototype.leak = 1; (() => 1).__proto__.leak = 1;"),
    "a setter of a built-in object": (
        "",
        "[({}).toString === Object.prototype.toString, String({})]",
        "Object.getOwnPropertyDescriptor(Object.prototype, 'toString').set.call(Object.prototype, () => 'leak');",
    ),
    "a built-in method": ("", "[[].push.name, JSON.stringify(1)]", "Array.prototype.push = JSON.stringify = null;"),
    "a built-in method redefined": (
        "",
        "[1].map.name",
        "Object.defineProperty(Array.prototype, 'map', {value: function leak() {}});",
    ),
    "a species": (
        "",
        "Array[Symbol.species] === Array",
        "Object.defineProperty(Array, Symbol.species, {value: Map});",
    ),
    "prototypes that only syntax reaches": (
        "",
        "[(function* () {})().leak, (async () => {}).leak, [].values().leak, 'a'.matchAll(/a/g).leak]",
        (
            "for (const o of [(function* () {})(), async () => {}, [].values(), 'a'.matchAll(/a/g)])"
            " { try { let p = o; while ((p = Object.getPrototypeOf(p))) p.leak = 1; } catch {} }"
        ),
    ),
    "tags of iterators": (
        "",
        "[Iterator.prototype[Symbol.toStringTag], Iterator.prototype.constructor.name]",
        "Iterator.prototype[Symbol.toStringTag] = 'leak'; Iterator.prototype.constructor = Map;",
    ),
    "clock and chance replaced": (
        "",
        "[Date.now(), Date.now.name, Math.random.name]",
        "Date.now = Math.random = () => 5;",
    ),
    "the console": ("", "[typeof console.log, console.leak]", "console.leak = 1; console.log = null;"),
    "the helpers": ("", "[nicobar.leak, nicobar.money.leak]", "nicobar.leak = 1; nicobar.money.leak = 1;"),
    "prepareStackTrace": (
        "",
        "[Error.prepareStackTrace, typeof new Error('x').stack]",
        "Error.prepareStackTrace = (e, sites) => sites;",
    ),
    "prepareStackTrace by Reflect": (
        "",
        "[Error.prepareStackTrace, typeof new Error('x').stack]",
        (
            "Reflect.set(Error, 'prepareStackTrace', (e, s) => s);"
            "Reflect.set(class extends Error {}, 'prepareStackTrace', (e, s) => s);"
        ),
    ),
    "prepareStackTrace by defineProperty": (
        "",
        "[Error.prepareStackTrace, typeof new Error('x').stack]",
        "Object.defineProperty(Error, 'prepareStackTrace', {value: (e, s) => s});",
    ),
    "prepareStackTrace by its own setter": (
        "",
        "[Error.prepareStackTrace, typeof new Error('x').stack]",
        "Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace').set.call({}, (e, s) => s);",
    ),
    "prepareStackTrace of a subclass": (
        "class E extends Error { static prepareStackTrace(e, s) { return s; } }",
        "[typeof new Error('x').stack, typeof new E('x').stack, typeof new TypeError('x').stack]",
        "TypeError.prepareStackTrace = E.prepareStackTrace = (e, s) => s; new E('x').stack;",
    ),
    "a captured stack": (
        "",
        "(() => { const o = {}; Error.captureStackTrace(o); return typeof o.stack; })()",
        "Error.captureStackTrace(Error.prototype); Error.captureStackTrace(Math); Error.captureStackTrace(handler);",
    ),
    "stackTraceLimit": (
        "const deep = (n) => n ? deep(n - 1) : new Error('x').stack.split('\\n').length;",
        "[Error.stackTraceLimit, deep(30)]",
        (
            "Error.stackTraceLimit = 1; Reflect.set(Error, 'stackTraceLimit', 1);"
            "Reflect.set(class extends Error {}, 'stackTraceLimit', 1);"
        ),
    ),
    "the setter of stack": (
        "",
        "[Math.stack, Error.stack, typeof Object.getOwnPropertyDescriptor(Error.prototype, 'stack').get.call(Error)]",
        (
            "for (const o of [Math, Error, Error.prototype, TypeError.prototype, globalThis.console])"
            " { try { Object.getOwnPropertyDescriptor(Error.prototype, 'stack').set.call(o, 'leak'); } catch {} }"
        ),
    ),
    "a job": ("", "typeof leak", "Promise.resolve().then(() => { globalThis.leak = 1; });"),
    "a chain of jobs": (
        "",
        "typeof leak",
        "(async () => { for (let n = 0; n < 9; n++) await n; globalThis.leak = 1; })();",
    ),
    "a job that waits for another": (
        "",
        "typeof leak",
        "let go; new Promise((r) => { go = r; }).then(() => { globalThis.leak = 1; }); go();",
    ),
    "an async generator": (
        "",
        "typeof leak",
        "(async () => { for await (const n of (async function* () { yield 1; })()) globalThis.leak = n; })();",
    ),
    "a thenable": ("", "typeof leak", "Promise.resolve({then() { globalThis.leak = 1; }});"),
    "a dynamic import": ("", "typeof leak", "import('leak').catch(() => { globalThis.leak = 1; });"),
}


@pytest.fixture(scope="module")
def bounds():
    return Bounds(run_ms=300, wall_ms=120_000)


@pytest.fixture(scope="module")
async def pool(bounds):
    async with SandboxPool(children=1, bounds=bounds) as it:
        yield it


def channel_code(top: str, read: str, write: str) -> str:
    return f"""{top}
    const read = (w) => {{ try {{ return [{read}].map((v) => v === undefined ? "undefined" : v); }}
      catch (error) {{ return String(error.name); }} }};
    function handler(w) {{
      const before = read(w);
      if (w.payload.write) {{ try {{ (function () {{ {write} }})(); }} catch (error) {{}} }}
      w.payload = {{before, after: read(w)}};
      return w;
    }}"""


async def test_next_event_reads_nothing_through_any_channel(pool):
    wrong = {}
    for name, channel in (WITHIN | OTHERS).items():
        code = channel_code(*channel)
        written = await payload(pool, code, body=b'{"write":true}', params={})
        later = [await payload(pool, code, body=b'{"write":false}', params={}) for _ in range(2)]
        carried = written["after"] != written["before"]
        if [item["before"] for item in later] != [written["before"]] * 2 or carried is not (name in WITHIN):
            wrong[name] = (written, later)
    assert wrong == {}


@pytest.mark.parametrize("end", ["throw new Error('x');", "while (true);", "(function f() { f(); })();", "return 1;"])
async def test_an_event_that_fails_leaves_nothing(pool, end):
    code = (
        "let n = 0; function handler(w) { const before = [typeof leak, n]; leak = 1; n = 1;"
        "if (w.payload.fail) { END } w.payload = before; return w; }"
    ).replace("END", end)
    (failed,) = await pool.run([job(code, body=b'{"fail":true}')])
    assert isinstance(failed, Broken)
    assert await payload(pool, code, body=b'{"fail":false}') == ["undefined", 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "loop",
    [
        "Promise.resolve().then(() => { globalThis.leak = 1; for (;;); });",
        "(async () => { globalThis.leak = 1; for (;;) await 0; })();",
        "const again = () => { globalThis.leak = 1; Promise.resolve().then(again); }; again();",
        "globalThis.leak = 1; Promise.resolve().then(function again() { return Promise.resolve().then(again); });",
        "Promise.resolve().then(() => { for (;;); }).then(() => {}); Promise.resolve().then(() => { leak = 1; });",
    ],
)
async def test_a_microtask_that_loops_always_times_out(pool, loop):
    code = (
        "function handler(w) { const before = typeof leak; if (w.payload.loop) { LOOP }"
        " w.payload = before; return w; }"
    ).replace("LOOP", loop)
    results = await pool.run([job(code, body=b'{"loop":true}')] * 3)
    assert [(result.failure, result.may_pass) for result in results] == [(Failure.TIMED_OUT, False)] * 3
    assert await payload(pool, code, body=b'{"loop":false}') == "undefined"


async def test_code_never_runs_under_another_code_s_id(pool):
    first = await payload(pool, "function handler(w) { w.payload = 1; return w; }", code_id="same")
    second = await payload(pool, "function handler(w) { w.payload = 2; return w; }", code_id="same")
    assert (first, second) == (1, 2)


@pytest.mark.parametrize(
    "ask",
    [
        "Error.prepareStackTrace = (e, sites) => sites.map((site) => site.getFunction());",
        "Reflect.set(Error, 'prepareStackTrace', (e, sites) => sites.map((site) => site.getFunction()));",
        "Object.defineProperty(Error, 'prepareStackTrace', {value: (e, s) => s.map((c) => c.getFunction())});",
        "class E extends Error { static prepareStackTrace(e, sites) { return sites; } } throw new E('x');",
    ],
)
async def test_handler_gets_none_of_our_functions(pool, ask):
    code = """function handler(w) {
      const kinds = []; const look = (error) => kinds.push(typeof error.stack);
      try { ASK } catch (error) { look(error); }
      for (const E of [Error, TypeError, RangeError, SyntaxError, AggregateError, SuppressedError, InternalError]) {
        look(new E([], "x")); const target = {}; Error.captureStackTrace(target); look(target);
      }
      try { null.x; } catch (error) { look(error); }
      try { JSON.parse("{"); } catch (error) { look(error); }
      const callers = [];
      for (const name of ["caller", "arguments"]) {
        try { callers.push(handler[name] ?? null, arguments.callee[name] ?? null); } catch { callers.push(null); }
      }
      const from = []; const trap = new Proxy({}, {get(t, k, receiver) { from.push(receiver === trap); }});
      console.log(trap);
      w.payload = {kinds: [...new Set(kinds)], callers: [...new Set(callers)], from: [...new Set(from)]};
      return w; }""".replace("ASK", ask)
    assert await payload(pool, code) == {"kinds": ["string"], "callers": [None], "from": [True]}


async def test_a_reason_still_names_the_handler_s_line(pool):
    code = """Error.stackTraceLimit = 0;
    Error.prepareStackTrace = () => "mine";
    function deep(n) { if (n) return deep(n - 1);
      throw new TypeError("no"); }
    function handler(w) {
      return deep(4); }"""
    (result,) = await pool.run([job(code)])
    assert (result.failure, result.line, str(result.reason)) == (
        Failure.THREW,
        4,
        "line 4: The handler threw TypeError: no",
    )


WALK = """
  const paths = new Map([[globalThis, "globalThis"]]);
  const queue = [globalThis];
  const visit = (value, path) => {
    if (Object(value) === value && !paths.has(value)) { paths.set(value, path); queue.push(value); }
  };
  const named = (key) => typeof key === "symbol" ? `[${key.description}]` : `.${key}`;
  const walk = (at) => { while (queue.length) { const owner = queue.shift(); at(owner, paths.get(owner)); } };
  const into = (owner, path) => {
    visit(Object.getPrototypeOf(owner), `${path}.<prototype>`);
    for (const key of Reflect.ownKeys(owner)) {
      const property = Reflect.getOwnPropertyDescriptor(owner, key);
      visit(property.value, path + named(key));
      visit(property.get, `${path}${named(key)}.<get>`);
      visit(property.set, `${path}${named(key)}.<set>`);
    }
  };
  const instances = {
    generator: (function* () {})(), asyncGenerator: (async function* () {})(), asyncFunction: async () => {},
    arguments: (function () { "use strict"; return arguments; })(), error: new Error("x"),
    exception: new DOMException("x"), aggregate: new AggregateError([], "x"), array: [].values(), expression: /a/,
    matches: /a/[Symbol.matchAll]("a"), map: new Map().entries(), set: new Set().values(),
    text: ""[Symbol.iterator](),
    helper: [].values().map((x) => x), wrap: Iterator.from({next() { return {done: true}; }}),
  };
  const hidden = () => { for (const name of Object.keys(instances)) {
    const value = instances[name];
    for (let next = Object.getPrototypeOf(value), path = name; next !== null; next = Object.getPrototypeOf(next)) {
      path += ".<prototype>";
      if (!(next === value.constructor?.prototype && !Object.isFrozen(next) && Reflect.ownKeys(next).length === 0)) {
        visit(next, path);
      }
    }
  } };
"""

INVENTORY = (
    "function handler(w) {"
    + WALK
    + """
  const rows = []; const broken = [];
  const at = (owner, path) => {
    rows.push(path);
    const fresh = /^(generator|asyncGenerator)\\.<prototype>$/.test(path);
    if (owner !== globalThis && !fresh && !Object.isFrozen(owner)) broken.push(`${path} is not frozen`);
    for (const key of Reflect.ownKeys(owner)) {
      const {set} = Reflect.getOwnPropertyDescriptor(owner, key);
      const whose = String(set).includes("native code") ? " of the engine" : "";
      if (set) rows.push(`${path}${named(key)} has a setter${whose}`);
    }
    into(owner, path);
  };
  walk(at); hidden(); walk(at);
  for (const key of Reflect.ownKeys(globalThis)) {
    const property = Reflect.getOwnPropertyDescriptor(globalThis, key);
    if (property.writable || property.configurable || property.set) broken.push(`globalThis${named(key)} can change`);
  }
  w.payload = {rows, broken};
  return w;
}"""
)


async def test_everything_reachable_is_known_and_frozen(pool):
    found = await payload(pool, INVENTORY)
    assert found["broken"] == []
    rows = sorted(found["rows"])
    reachable = REACHABLE.read_text("utf-8").splitlines()
    added, removed = sorted(set(rows) - set(reachable)), sorted(set(reachable) - set(rows))
    assert (added, removed) == ([], []), (
        "What a handler can reach has changed. Make sure that nothing added keeps state from one event to the next, "
        f"then change {REACHABLE.name}."
    )


# Receivers and arguments of every kind, none of which brings a prototype of its own.
VALUES = """
  const plain = (make) => { make.prototype = undefined; return make(); };
  const values = () => [undefined, null, 1, "ab", Symbol("s"), 1n, {}, [1, [2]], () => [1], new Map([[{}, 1]]),
    new Set([1]), new WeakMap(), new WeakSet(), /a/g, new Date(0), new Error("x"), new ArrayBuffer(8),
    new ArrayBuffer(8, {maxByteLength: 16}), new Uint8Array(8), new DataView(new ArrayBuffer(8)),
    plain(function* () { yield 1; }), plain(async function* () {}), [1].values(), [1].values().map((x) => x),
    Iterator.from({next() { return {done: true}; }}), new Map().entries(), new Set().values(), ""[Symbol.iterator](),
    /a/g[Symbol.matchAll]("a"), new Proxy({}, {}), Object("a"), new DisposableStack(), Error, Math, Object.prototype,
    Error.prototype, Iterator.prototype, TypeError];
  const argument_lists = (own) => [[], [1], ["a"], [(x) => x], [{}], [[[1], 2]], [/a/g], [[1].values()], [own],
    [{a: [1]}, (x) => x], [own, "a", {value: 1}], [own, "a", 5]];
"""
# They end the context (jobs, another prototype of globalThis), make prototypes of what they are given, or memory.
LEFT_OUT = (
    "Promise|[aA]sync|setPrototypeOf|__proto__|Object\\.create|preventExtensions|freeze|seal|repeat|pad(Start|End)"
)

CALL_ALL = (
    "function handler(w) {"
    + WALK
    + VALUES
    + """
  const functions = [];
  const at = (owner, path) => { if (typeof owner === "function") functions.push([owner, path]); into(owner, path); };
  walk(at); hidden(); walk(at);
  const fresh = new Set(); let calls = 0;
  const look = (result, path) => {
    if (Object(result) !== result) return;
    let next; try { next = Object.getPrototypeOf(result); } catch { return; }
    for (; next !== null; next = Object.getPrototypeOf(next)) if (!Object.isFrozen(next)) fresh.add(path);
  };
  if (w.payload.call) for (const [f, path] of functions) {
    if (/LEFT_OUT/.test(path)) continue;
    for (const own of values()) for (const args of argument_lists(own)) {
      calls += 1;
      try { look(Reflect.apply(f, own, args), path); } catch {}
      if (own === undefined) try { look(Reflect.construct(f, args), `new ${path}`); } catch {}
    }
  }
  const digest = [];
  for (const [owner, path] of paths) for (const key of Reflect.ownKeys(owner)) {
    const property = Reflect.getOwnPropertyDescriptor(owner, key);
    let value = "value" in property ? property.value : undefined;
    if (property.get) try { value = Reflect.apply(property.get, owner, []); } catch (error) { value = error.name; }
    digest.push(`${path}${named(key)} ${typeof value} ${Object(value) === value ? paths.get(value) : String(value)}`);
  }
  const deep = (n) => n ? deep(n - 1) : new Error("x").stack;
  digest.push(deep(20), String(new Date()), Math.random(), Reflect.ownKeys(globalThis).length);
  w.payload = {calls, fresh: [...fresh], digest};
  return w;
}""".replace("LEFT_OUT", LEFT_OUT)
)


def test_calling_every_function_changes_nothing_for_the_next_event():
    bounds = Bounds(run_ms=60_000, output_bytes=4 * 1024 * 1024)
    contexts = _Contexts()

    def digest(*, call: bool) -> dict[str, object]:
        item = job(CALL_ALL, body=msgspec.json.encode({"call": call}), code_id="all")
        return calls_of(contexts, item, bounds)

    fresh = digest(call=False)["digest"]
    context = contexts._kept["all"]
    called = digest(call=True)
    assert contexts._kept.get("all") is context, "the context is kept, so that the next event shows what is left"
    assert called["calls"] > 100_000
    assert called["fresh"] == [], "prototypes that are not frozen"
    assert digest(call=False)["digest"] == fresh
    assert contexts._kept.get("all") is context


def calls_of(contexts: _Contexts, value: object, bounds: Bounds) -> dict[str, object]:
    result = judge(contexts.run(value, value.code, bounds, 1), 1, bounds)
    assert isinstance(result, Calls), result
    return result.calls[0].payload
