"""Every handler error fails only its own event, with a reason, and blocks no other."""

from __future__ import annotations

import pytest

from nicobar.model import DeliveryState
from support.server import running

HANDLERS = {
    "a syntax error": ("function handler(w) {\n  return = w;\n}", "line 2"),
    "no handler": ("const other = 1;", "no function `handler"),
    "nothing": ("function handler(w) {}", "returned nothing"),
    "a string": ("function handler(w) { return 'x'; }", "returned a string"),
    "a promise": ("async function handler(w) { return w; }", "returned a promise"),
    "a cycle": ("function handler(w) { const a = {}; a.a = a; w.payload = a; return w; }", "circular"),
    "20 MB": ("function handler(w) { w.payload = 'x'.repeat(20e6); return w; }", "larger than"),
    "a deep result": (
        "function handler(w) { let x = 1; for (let i = 0; i < 992; i++) x = [x]; w.payload = x; return w; }",
        "deeper than 200 levels",
    ),
    "half a character": (
        "function handler(w) { w.payload = {a: '\\ud83d'}; return w; }",
        "[0].payload.a is not valid Unicode",
    ),
    "an endless microtask": (
        "function handler(w) { Promise.resolve().then(() => { for (;;); }); w.payload = 1; return w; }",
        "the limit of 500 ms",
    ),
    "an endless loop": ("function handler(w) { while (true); }", "the limit of 500 ms"),
    "endless recursion": ("function handler(w) { return handler(w); }", "overflowed the stack"),
    "a throw": (
        "function handler(w) {\n\n  throw new Error('no plan');\n}",
        "line 3: The handler threw Error: no plan",
    ),
}


@pytest.mark.parametrize("name", HANDLERS)
async def test_a_handler_that_fails_says_why(tmp_path, name):
    code, words = HANDLERS[name]
    async with running(tmp_path, code) as nicobar:
        await nicobar.send_sample("payment.succeeded", "evt_1")
        item = await nicobar.next_recorded()
        assert item.attempt.state is DeliveryState.FAILED
        assert words in str(item.attempt.reason)
        assert not nicobar.state.requests
