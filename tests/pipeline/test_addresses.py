"""Warnings about an address that another customer has, or that is another one than before."""

from __future__ import annotations

import msgspec

from nicobar.model import Attempt, Customer
from nicobar.sources.samples import fresh
from support.installation import furnish, installation
from support.server import TYPES

HANDLER = """
function handler(webhook) {
  webhook.payload = nicobar.event("paid", {});
  return webhook;
}
"""
MAY = {"shared_address", "changed_address"}
ABOUT_ADDRESSES = {*MAY, "no_address"}
RULES = ("", "customer_id", "email", "metadata.user", "metadata.other")


def body(now_ms: int, key: str, email: str | None) -> bytes:
    event = msgspec.json.decode(fresh(TYPES["payment.succeeded"], now_ms, Customer(key=key, email=email, name="Ada")))
    event["data"]["customer"] |= {"email": email, "metadata": {"user": f"u_{key}"}}
    return msgspec.json.encode(event)


def about_addresses(attempt: Attempt) -> list[str]:
    return [found.rule for found in attempt.verdicts if found.rule in ABOUT_ADDRESSES]


async def test_addresses_that_may_reach_nobody_are_warned_about_once(tmp_path):
    async with installation(tmp_path) as nicobar:
        rules = {}
        for rule in RULES:
            settings = {"identify_by": rule} if rule else {}
            endpoint, address = await furnish(nicobar, HANDLER, name=rule or "none", **settings)
            rules[endpoint.id] = rule
        count = 0

        async def said(key: str, email: str | None) -> dict[str, list[str]]:
            nonlocal count
            count += 1
            event = body(nicobar.runtime.clock.now_ms() + count, key, email)
            assert await nicobar.send(address, event, f"evt_{count}") == 202
            ended = [await nicobar.next_recorded() for _ in RULES]
            return {rules[item.endpoint.id]: about_addresses(item.attempt) for item in ended}

        nothing = {rule: [] for rule in RULES}
        by_id = {"": ["shared_address"], "customer_id": ["shared_address"]}
        changed = {rule: ["changed_address"] for rule in RULES if rule != "metadata.user"}
        assert await said("cus_1", "ada@shop.example") == nothing
        # The same, however it is written, and whatever became of it the first time.
        assert await said("cus_2", " ADA@shop.example") == nothing | by_id
        assert await said("cus_2", "ada@shop.example") == nothing | by_id
        # A changed address is news once; it is nobody else's.
        assert await said("cus_1", "ada@home.example") == nothing | changed
        assert await said("cus_1", "ada@home.example") == nothing
        assert await said("cus_1", None) == nothing  # the address is known
        assert await said("cus_1", "ada@shop.example") == nothing | changed | {
            rule: ["shared_address", "changed_address"] for rule in by_id
        }
