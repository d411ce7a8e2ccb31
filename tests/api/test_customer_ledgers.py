"""What is known of a customer: the API, the customer's page and a handler say the same."""

from __future__ import annotations

import json

import pytest

from nicobar.model import Customer, Scope
from support.api import asking
from support.pages import set_up, visiting
from support.server import ADA

HANDLER = """function handler(webhook) {
  const { status, totals } = webhook.customer;
  webhook.payload = nicobar.identify({ status, paid: totals && totals[0] && totals[0].paid });
  return webhook;
}"""


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path, HANDLER) as it:
        yield it


async def test_api_page_and_handler_say_the_same_of_a_customer(api):
    runtime = api.nicobar.runtime
    source, (endpoint,) = runtime.configuration.snapshot.sources[0], runtime.configuration.snapshot.endpoints
    path = f"{api.app}/endpoint/{endpoint.id}/customer?key="
    assert (await api.ask("GET", path + "nobody")).body == {"data": []}
    since = {"mode": "live", "historyCompleteSince": "2026-01-01T00:00:00Z"}
    patched = await api.ask("PATCH", f"/ingest/api/v1/source/{source.id}", since)
    assert patched.status == 200, patched.body
    for number, event_type in enumerate(("subscription.active", "payment.succeeded", "refund.succeeded")):
        await api.nicobar.send_sample(event_type, f"evt_{number}")
        await api.nicobar.next_recorded()
    (found,) = (await api.ask("GET", path + ADA.key)).body["data"]
    known = found["customer"]
    assert (found["sourceKind"], found["mode"]) == ("dodo-payments", "live")
    assert (known["email"], known["payments"], known["status"]) == (ADA.email, 1, "active")
    assert [(one["currency"], one["paid"]) for one in known["totals"]] == [("USD", 3154)]
    (person,) = api.nicobar.state.people
    assert (person.attributes["paid"], person.attributes["status"]) == ("3154", "active")
    async with visiting(api) as visitor:
        await set_up(api.nicobar, visitor)
        status, text, _ = await visitor.ask("GET", f"/customers/timeline?key={ADA.key}")
    assert status == 200
    net = f"{known['totals'][0]['net'] / 100:.2f} USD"
    for shown in ("Ledger", "· live", net, "Total spent", "active", "webhook.customer"):
        assert shown in text, shown


async def test_personal_data_is_masked_in_what_is_known(tmp_path):
    async with asking(tmp_path, HANDLER, redact="email, data.customer.name") as api, visiting(api) as visitor:
        (endpoint,) = api.nicobar.runtime.configuration.snapshot.endpoints
        await api.nicobar.send_sample(
            "payment.succeeded", "evt_1", Customer(key="cus_1", email="a@b.example", name="Ada")
        )
        await api.nicobar.next_recorded()
        await set_up(api.nicobar, visitor)
        _, text, _ = await visitor.ask("GET", "/customers/timeline?key=cus_1")
        _, title, ledger = text.partition("<code>webhook.customer</code>")
        assert (title != "", "a@b.example" in ledger, "Ada" in ledger) == (True, False, False)
        path = f"{api.app}/endpoint/{endpoint.id}/customer?key=cus_1"
        (found,) = (await api.ask("GET", path)).body["data"]
        assert found["customer"]["email"] == "a@b.example", "a backend sees payloads"
        assert found["customer"]["payments"] is None
        reader = await api.make_token(scope=Scope.READ_ONLY)
        (masked,) = (await api.ask("GET", path, token=reader)).body["data"]
        assert (masked["customer"]["email"], masked["customer"]["name"]) == ("***", "***")
        lookup = f"{api.app}/customer/lookup?text="
        for token, found in ((None, ("a@b.example", "Ada")), (reader, (None, None))):
            (item,) = (await api.ask("GET", lookup + "cus_1", token=token)).body["data"]
            assert (item["email"], item["name"]) == found
        assert (await api.ask("GET", lookup + "a@b.example", token=reader)).body == {"data": []}


async def test_ledger_of_an_entered_event_is_masked(tmp_path):
    code = "function handler(w) { w.payload = nicobar.event('paid', {to: w.customer.email}); return w; }"
    async with asking(tmp_path, code, redact="email") as api, visiting(api) as visitor:
        (endpoint,) = api.nicobar.runtime.configuration.snapshot.endpoints
        await api.nicobar.send_sample("payment.succeeded", "evt_1", Customer(key="cus_1", email="a@b.example"))
        await api.nicobar.next_recorded()
        await set_up(api.nicobar, visitor)
        await visitor.ask("GET", f"/webhooks/{endpoint.id}/testing")
        data = {"payment_id": "pay_9", "customer": {"customer_id": "cus_1"}, "phone": "555 01 99"}
        pasted = json.dumps({"type": "payment.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": data})
        status, text, _ = await visitor.send(f"/webhooks/{endpoint.id}/testing", body=pasted)
        assert (status, "a@b.example" in text, "&#34;paid&#34;" in text) == (200, False, True)
        wanted = {"code": code, "eventType": "payment.succeeded", "payload": {"data": data}}
        path = f"{api.app}/endpoint/{endpoint.id}/transformation/simulate"
        portal = await api.make_token(scope=Scope.APPLICATION, app_id=api.app_id, portal=True)
        reader = await api.make_token(scope=Scope.READ_ONLY)
        for token, more in ((reader, {}), (portal, {}), (portal, {"ledgerCustomerId": "cus_1"})):
            answer = await api.ask("POST", path, {**wanted, **more}, token=token)
            assert "a@b.example" not in json.dumps(answer.body), (token == reader, more)
        assert "a@b.example" in json.dumps((await api.ask("POST", path, wanted)).body), "a backend sees payloads"
