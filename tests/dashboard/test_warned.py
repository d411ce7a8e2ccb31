"""Deliveries with warnings: in each list with the first warning, in counts, and through the API."""

from __future__ import annotations

import re
from html import unescape

import aiohttp

from nicobar.connectors.registry import CONNECTORS, find_recipe
from nicobar.model import DeliveryState
from nicobar.store import Draft
from support.api import make_token
from support.installation import furnish, installation
from support.pages import set_up, visiting
from support.server import ADA

# Two warnings about one event, none about the other.
HANDLER = """
function handler(webhook) {
  const isPaid = webhook.eventType === "payment.succeeded";
  webhook.payload = nicobar.event("paid", isPaid ? {recipient: "x", reply_to: "y"} : {});
  return webhook;
}
"""
OUTCOME = re.compile(r'class="state [a-z]+"><span class="shape" aria-hidden="true">(.)</span> ([a-z ]+)</span>')
FIRST = 'The property "recipient" overrides the address in the campaign\'s emails.'


async def test_deliveries_with_warnings_are_an_outcome_of_their_own(tmp_path):
    async with installation(tmp_path) as nicobar, visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        endpoint, address = await furnish(nicobar, HANDLER)
        warned = await nicobar.send_sample(address, "payment.succeeded", "evt_1")
        plain = await nicobar.send_sample(address, "payment.failed", "evt_2")
        assert {warned.attempt.state, plain.attempt.state} == {DeliveryState.SUCCESS}

        async def page(path: str) -> str:
            status, text, _ = await visitor.ask("GET", path)
            assert status == 200, path
            return unescape(text)

        lists = ["/logs", f"/webhooks/{endpoint.id}/deliveries"]
        for path in [*lists, f"/customers/timeline?key={ADA.key}"]:
            text = await page(path)
            assert {("●", "delivered"), ("◐", "delivered with warnings")} <= set(OUTCOME.findall(text)), path
            assert (text.count(FIRST), text.count('"reply_to" overrides')) == (1, 0), path
        for path in lists:
            listed = [await page(f"{path}?state={state}") for state in ("warned", "succeeded")]
            assert [warned.message.id in text for text in listed] == [True, True], path
            assert [plain.message.id in text for text in listed] == [False, True], path
        for path in (f"/logs/{warned.message.id}", f"/webhooks/{endpoint.id}/attempts/{warned.attempt.id}"):
            assert ("◐", "delivered with warnings") in OUTCOME.findall(await page(path)), path
        for path in ("/", "/webhooks", f"/webhooks/{endpoint.id}"):
            assert re.search(r'state=warned".{,120}1 with warnings', await page(path)), path
        assert await through_the_api(nicobar, endpoint.id, warned.message.id) == [warned.message.id]


async def through_the_api(nicobar, endpoint_id: str, message_id: str) -> list[str]:
    """The messages with warnings, after a look at every place that names them."""
    headers = {"authorization": f"Bearer {await make_token(nicobar)}"}
    app = nicobar.runtime.configuration.snapshot.applications[0].uid
    async with aiohttp.ClientSession(f"{nicobar.url}/api/v1/app/{app}/", headers=headers) as http:

        async def ask(path: str):
            async with http.get(path) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        of_endpoint = f"endpoint/{endpoint_id}"
        every = (await ask(f"{of_endpoint}/msg"))["data"]
        assert {item["id"]: item["hasWarnings"] for item in every}[message_id] is True
        # The status is what the public API has.
        assert {item["statusText"] for item in every} == {"success"}
        others = (await ask(f"{of_endpoint}/msg?has_warnings=false"))["data"]
        assert [item["hasWarnings"] for item in others] == [False]
        (destination,) = (await ask(f"msg/{message_id}/endpoint"))["data"]
        (attempt,) = (await ask(f"attempt/msg/{message_id}"))["data"]
        assert [destination["hasWarnings"], attempt["hasWarnings"]] == [True, True]
        stats = await ask(f"{of_endpoint}/stats")
        assert (stats["success"], stats["withWarnings"]) == (2, 1)
        hours = (await ask("stats/overview"))["hours"]
        assert [sum(hour[name] for hour in hours) for name in ("success", "withWarnings")] == [2, 1]
        return [item["id"] for item in (await ask(f"{of_endpoint}/msg?has_warnings=true"))["data"]]


async def test_a_recipe_replaces_code_and_nothing_is_lost(tmp_path):
    async with installation(tmp_path) as nicobar, visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        endpoint, _ = await furnish(nicobar, HANDLER)
        recipe = find_recipe("customer_attributes", CONNECTORS)

        async def use(path: str, **form: str) -> Draft:
            status, _, headers = await visitor.send(path, **form)
            assert status == 303
            draft = await nicobar.runtime.store.draft_of(endpoint.app_id, endpoint.id)
            assert headers["location"] == f"/webhooks/drafts/{draft.id}/code"
            return draft

        choice = {"action": f"recipe:{recipe.name}"}
        # From a page of the endpoint: the published code stays, and is beside the recipe.
        draft = await use(f"/webhooks/{endpoint.id}/code", **choice)
        assert (draft.code, draft.replaced_code) == (recipe.code, HANDLER)
        # From the editor: what was typed is kept.
        editor = f"/webhooks/drafts/{draft.id}/code"
        draft = await use(editor, code="typed", variables="", seen=draft.text_id, **choice)
        assert (draft.code, draft.replaced_code) == (recipe.code, "typed")
        # From the test of a draft: so is what was saved.
        draft = await use(editor, action="restore")
        assert (draft.code, draft.replaced_code) == ("typed", recipe.code)
        draft = await use(editor, **choice)
        assert (draft.code, draft.replaced_code) == (recipe.code, "typed")
        status, _, _ = await visitor.send(f"/webhooks/{endpoint.id}/code", action="recipe:none")
        assert status == 422


TOTALS = """
function handler(webhook) {
  if (webhook.eventType === "payment.succeeded") {
    const {customer, total_amount, created_at} = webhook.payload.data;
    webhook.payload = {
      type: "person", identifiers: {id: customer.customer_id}, action: "identify",
      attributes: {email: customer.email, total_spent: total_amount / 100, customer_since: nicobar.unix(created_at)}
    };
  }
  return webhook;
}
"""


async def test_totals_of_one_event_are_sent_with_the_recipe_beside_the_warning(tmp_path):
    async with installation(tmp_path) as nicobar, visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        endpoint, address = await furnish(nicobar, TOTALS)
        sent = await nicobar.send_sample(address, "payment.succeeded", "evt_1")
        assert sent.attempt.is_warned
        body = sent.attempt.requests[0].body
        assert '"total_spent"' in body
        assert '"customer_since"' in body
        _, _, headers = await visitor.send(f"/webhooks/{endpoint.id}/code")
        editor = headers["location"]
        of_endpoint = f'<form method="post" action="/webhooks/{endpoint.id}/code">'
        of_draft = f'<form method="post" action="{editor}">'
        button = '<button name="action" value="recipe:customer_attributes">'
        for path, form in (
            (f"/logs/{sent.message.id}", of_endpoint),
            (f"/webhooks/{endpoint.id}/attempts/{sent.attempt.id}", of_endpoint),
            (f"/webhooks/{endpoint.id}/testing?sample_type=payment.succeeded", of_endpoint),
            (f"{editor.removesuffix('/code')}/test?sample_type=payment.succeeded", of_draft),
            (editor, '<button form="code-form" name="action" value="recipe:customer_attributes">'),
        ):
            status, text, _ = await visitor.ask("GET", path)
            assert status == 200, path
            assert text.count("recipe:customer_attributes") == 2, path  # total_spent and customer_since
            assert (form + button if form.startswith("<form") else form) in text, path
        status, text, _ = await visitor.send(editor.removesuffix("/code") + "/notes", code=TOTALS, variables="")
        assert (status, "recipe:customer_attributes" in text) == (200, True)
