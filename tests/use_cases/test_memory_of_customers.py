"""What is remembered of customers, in a running Nicobar: shown, and deleted with the customer."""

from __future__ import annotations

import re
from types import SimpleNamespace

from nicobar.model import DeliveryState
from nicobar.use_cases.erase import expunge_customer
from nicobar.web.api.overview import overview
from support.api import make_token
from support.installation import furnish, installation
from support.pages import set_up, visiting
from support.stated import body_of

HANDLER = 'function handler(webhook) { webhook.payload = nicobar.event("paid", {}); return webhook; }'
ADA = {"customer_id": "cus_0NrGUvS2Ttok5CWuKFYPv", "email": "ada@northpine.example", "name": "Ada"}

OWNER = SimpleNamespace(name="owner")


def services_of(nicobar):
    runtime = nicobar.runtime
    return SimpleNamespace(store=runtime.store, clock=runtime.clock, ids=runtime.ids)


async def test_deliveries_without_an_identity_are_counted_and_linked(tmp_path):
    async with installation(tmp_path) as nicobar, visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        endpoint, address = await furnish(nicobar, HANDLER, identify_by="email")
        body = body_of("dunning.started", nicobar.runtime.clock.now_ms(), customer_id=ADA["customer_id"])
        await nicobar.send(address, body, "evt_1")
        attempt = (await nicobar.next_recorded()).attempt
        assert (attempt.state, attempt.reason.code) == (DeliveryState.CANCELED, "no_identity")
        _, page, _ = await visitor.ask("GET", "/")
        assert "1 delivery is sent once a later event identifies its customer." in page
        assert f"/logs?state=canceled&amp;endpoint={endpoint.id}" in page
        snapshot = nicobar.runtime.configuration.snapshot
        shown = await overview.handler(
            application=snapshot.applications[0], snapshot=snapshot, services=services_of(nicobar), hours=1
        )
        assert [item.no_identity for item in shown.endpoints] == [1]


async def test_what_a_handler_read_of_the_ledger_is_shown_everywhere(tmp_path):
    code = """function handler(webhook) {
      webhook.payload = nicobar.event("paid", {mail: webhook.customer.email, facts: webhook.facts.length});
      return webhook;
    }"""
    async with installation(tmp_path, redact="email") as nicobar, visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        endpoint, address = await furnish(nicobar, code, identify_by="email")
        body = body_of("payment.succeeded", nicobar.runtime.clock.now_ms(), payment_id="pay_1", customer=ADA)
        await nicobar.send(address, body, "evt_1")
        recorded = await nicobar.next_recorded()
        message_id, attempt_id = recorded.message.id, recorded.attempt.id
        for path in (
            f"/logs/{message_id}",
            f"/webhooks/{endpoint.id}/attempts/{attempt_id}",
            f"/webhooks/{endpoint.id}/testing?message={message_id}",
            f"/webhooks/{endpoint.id}/transformation/dry-run?message={message_id}",
        ):
            status, page, _ = await visitor.ask("GET", path)
            assert (status, page.count("subscriptions_active")) == (200, 1), path
            assert ADA["email"] not in page, path
        app = f"{nicobar.url}/api/v1/app/default"
        headers = {"authorization": f"Bearer {await make_token(nicobar)}"}
        async with visitor.http.get(f"{app}/msg/{message_id}/attempt/{attempt_id}", headers=headers) as answer:
            snapshot = (await answer.json())["snapshot"]
        assert (snapshot["customer"]["ids"], snapshot["customer"]["email"]) == ([ADA["customer_id"]], "***")
        assert [fact["kind"] for fact in snapshot["facts"]] == ["customer", "payment"]
        async with visitor.http.post(
            f"{app}/endpoint/{endpoint.id}/transformation/test", headers=headers, json={"messages": 1}
        ) as answer:
            assert (await answer.json())["results"][0]["snapshot"] == snapshot
        _, page, _ = await visitor.ask("GET", f"/webhooks/{endpoint.id}/testing?send=1")
        test_id = re.search(r'name="test_id" value="(\w+)"', page)[1]
        sent = {"test_id": test_id, "sample_type": "payment.succeeded"}
        assert (await visitor.send(f"/webhooks/{endpoint.id}/testing/send", **sent))[0] == 303
        assert [activity.data["facts"] for activity in nicobar.state.activities if activity.name == "paid"] == [2, 2]


async def test_a_deleted_customer_is_not_remembered_nor_named_by_disputes(tmp_path):
    async with installation(tmp_path) as nicobar:
        _, address = await furnish(nicobar, HANDLER, identify_by="email")
        now_ms, store = nicobar.runtime.clock.now_ms(), nicobar.runtime.store
        dispute = body_of("dispute.opened", now_ms, dispute_id="dp_early", payment_id="pay_0NgxABT7cxeziV")
        payment = body_of("payment.succeeded", now_ms, payment_id="pay_0NgxABT7cxeziV", customer=ADA)
        for event_id, body in (("evt_1", dispute), ("evt_2", payment)):
            await nicobar.send(address, body, event_id)
            await nicobar.next_recorded()
        app_id = nicobar.runtime.configuration.snapshot.applications[0].id
        erased = await expunge_customer(services_of(nicobar), OWNER, app_id, ADA["customer_id"])
        assert erased.report.is_clean
        assert (erased.messages, erased.report.without_customer) == (1, 1)
        for event_id, body in (("evt_1", dispute), ("evt_2", payment)):
            await nicobar.send(address, body, event_id)  # a repetition
        assert await store.facts_of_customer(app_id, ADA["customer_id"], limit=10) == []
        after_ms = nicobar.runtime.clock.now_ms() + 1
        later = body_of("payment.succeeded", after_ms, payment_id="pay_later", customer=ADA)
        await nicobar.send(address, later, "evt_3")
        known = await store.facts_of_customer(app_id, ADA["customer_id"], limit=10)
        assert [fact.key.rpartition("/")[2] for fact in known] == [ADA["customer_id"], "pay_later"]
