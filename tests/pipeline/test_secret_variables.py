"""Secret variables and headers: sent as they are, and in nothing that is stored."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.connectors import Response
from nicobar.model import DeliveryState
from nicobar.store import AddTransformation
from nicobar.use_cases.endpoint_records import EndpointPatch, changed
from support.store import ask_sql
from support.worker import OK, VAULT, status, the_endpoint, world

KEY = 'k"y-läng/and+secret'
HEADER = "header-value-of-the-shop"
SPREAD = """function handler(webhook) {
  const key = webhook.env.KEY;
  console.log("key", key, JSON.stringify({key}));
  webhook.headers = {"x-from-code": "a " + encodeURIComponent(key)};
  webhook.payload = {name: key, text: `in ${key}`, inner: JSON.stringify({key}), url: encodeURIComponent(key)};
  return webhook;
}"""
THROWS = 'function handler(webhook) { console.error(webhook.env.KEY); throw new Error("no " + webhook.env.KEY); }'
WARNS = """function handler(webhook) {
  webhook.payload = [nicobar.event("paid", {at: nicobar.unix(webhook.env.KEY)}), nicobar.event(webhook.env.KEY)];
  return webhook;
}"""
EVENT = """function handler(webhook) {
  const key = webhook.env.KEY;
  webhook.payload = nicobar.event("paid", {text: `in ${key}`, inner: JSON.stringify({key})});
  return webhook;
}"""
NEW = "function handler(webhook) { webhook.payload = {name: 'new'}; return webhook; }"
FORMS = ["läng/and", "l\\u00e4ng", "l%C3%A4ng", HEADER]


async def set_secrets(it, variables, handler: str | None = None, **more) -> None:
    endpoint = await the_endpoint(it)
    patch = EndpointPatch(secret_variables=variables, **more)
    changes = [changed(endpoint, patch, vault=VAULT, now_ms=2)]
    if handler is not None:
        changes.append(AddTransformation(endpoint_id=endpoint.id, code=handler, created_at_ms=2))
    await it.store.change(changes)
    await it.worker._configuration.refresh()


def stored(directory, database: str = "sqlite") -> str:
    """Everything in the tables of the database."""
    tables = ask_sql(directory, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    rows = [ask_sql(directory, f"SELECT * FROM {name}") for (name,) in tables]
    return "\n".join(
        value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        for table in rows
        for row in table
        for value in row
    )


def assert_nothing_stored(directory) -> None:
    everything = stored(directory)
    assert not [form for form in FORMS if form in everything]


async def test_what_is_sent_has_the_values_and_nothing_stored_has_them(tmp_path, capsys):
    async with world(tmp_path, kind="http") as it:
        await set_secrets(it, {"KEY": KEY}, SPREAD, headers={"x-shop": HEADER})
        requests = []
        send = it.network.send

        async def echo(request):
            requests.append(request)
            await send(request)
            body = b"got " + request.body + repr(request.headers).encode()
            return Response(status=400, headers={"x-echo": f"{KEY} {HEADER}"}, body=body, duration_ms=1)

        it.network.send = echo
        await it.accept("a")
        recorded = await it.next_recorded()
        (request,) = requests
        assert msgspec.json.decode(request.body)["text"] == f"in {KEY}"
        assert request.headers["x-shop"] == HEADER
        assert "%C3%A4" in request.headers["x-from-code"]
        assert recorded.attempt.requests[0].headers["x-shop"] == "***"
        assert recorded.attempt.console == ('key *** {"key":"***"}',)
        assert "***" in recorded.attempt.response
        assert_nothing_stored(tmp_path)
    output = capsys.readouterr()
    assert not [form for form in FORMS if form in output.out + output.err]


@pytest.mark.parametrize(("kind", "handler"), [("http", THROWS), ("customerio", WARNS)], ids=["throws", "verdicts"])
async def test_failures_and_verdicts_do_not_quote_secret_variables(tmp_path, kind, handler):
    async with world(tmp_path, kind=kind) as it:
        await set_secrets(it, {"KEY": KEY}, handler)
        await it.accept("a")
        attempt = (await it.next_recorded()).attempt
        assert "***" in str(attempt)
        assert_nothing_stored(tmp_path)


@pytest.mark.parametrize("kind", ["http", "customerio"])
async def test_a_half_sent_attempt_is_repeated_without_storing_values(tmp_path, kind):
    code = SPREAD if kind == "http" else EVENT
    async with world(tmp_path, kind=kind) as it:
        await set_secrets(it, {"KEY": KEY}, code)
        it.network.answer = lambda _items: status(503)
        await it.accept("a")
        first = await it.network.sent.get()
        await it.next_recorded()
        assert_nothing_stored(tmp_path)
        await set_secrets(it, {}, NEW)
        it.network.answer = lambda _items: OK
        await it.move(6_000)
        assert await it.network.sent.get() == first
        recorded = await it.next_recorded()
        assert recorded.attempt.state is DeliveryState.SUCCESS
        assert recorded.attempt.transformation_version == 2
        assert_nothing_stored(tmp_path)


async def test_a_half_sent_attempt_runs_again_once_its_variable_is_gone(tmp_path):
    async with world(tmp_path, kind="http") as it:
        await set_secrets(it, {"KEY": KEY}, SPREAD)
        it.network.answer = lambda _items: status(503)
        await it.accept("a")
        await it.network.sent.get()
        await it.next_recorded()
        await set_secrets(it, {"KEY": None}, NEW)
        it.network.answer = lambda _items: OK
        await it.move(6_000)
        assert await it.network.next() == ["new"]


async def test_a_changed_short_variable_changes_nothing_else_of_a_half_sent_attempt(tmp_path):
    """Its value may stand in ids, times and words by chance."""
    async with world(tmp_path, kind="http") as it:
        await set_secrets(it, {"KEY": "a"}, SPREAD)
        it.network.answer = lambda _items: status(503)
        await it.accept("a")
        await it.network.sent.get()
        await it.next_recorded()
        await set_secrets(it, {"KEY": "b"}, NEW)
        it.network.answer = lambda _items: OK
        await it.move(6_000)
        assert await it.network.next() == ["new"]


async def test_an_unchanged_short_variable_is_put_back(tmp_path):
    async with world(tmp_path, kind="http") as it:
        await set_secrets(it, {"KEY": "a"}, SPREAD)
        it.network.answer = lambda _items: status(503)
        await it.accept("a")
        first = await it.network.sent.get()
        await it.next_recorded()
        it.network.answer = lambda _items: OK
        await it.move(6_000)
        assert await it.network.sent.get() == first


async def test_a_public_header_is_shown_in_attempts(tmp_path):
    async with world(tmp_path, kind="http") as it:
        await set_secrets(it, {}, headers={"x-shop": "shop-1", "x-team": "team-1"}, public_headers=("x-shop",))
        await it.accept("a")
        headers = (await it.next_recorded()).attempt.requests[0].headers
        assert (headers["x-shop"], headers["x-team"]) == ("shop-1", "***")
