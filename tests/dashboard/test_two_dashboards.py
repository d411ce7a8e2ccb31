"""Two processes on one database serve one dashboard."""

from __future__ import annotations

import re

import pytest

from nicobar.runtime import run
from nicobar.settings import Role, Settings
from nicobar.use_cases.login_limit import PER_ADDRESS
from support.handlers import ORDER_PAID
from support.installation import PASSWORD, furnish, installation
from support.pages import Visitor, set_up, visiting
from support.server import DEFAULTS


@pytest.fixture
async def installed(tmp_path):
    async with installation(tmp_path) as it, visiting(it) as visitor:
        await set_up(it, visitor)
        yield it, visitor


@pytest.fixture
def nicobar(installed):
    return installed[0]


@pytest.fixture
def owner(installed):
    """A visitor who is signed in."""
    return installed[1]


@pytest.fixture
async def other_url(nicobar, tmp_path):
    """Where a second process of the same installation listens."""
    settings = Settings(**DEFAULTS | {"data_dir": tmp_path, "role": Role.WEB})
    async with run(settings) as other:
        assert other.server is not None
        yield other.server.url


async def test_wrong_passwords_count_across_processes(nicobar, other_url):
    async with visiting(nicobar) as visitor:
        beside = Visitor(other_url, visitor.http)
        for number in range(PER_ADDRESS.max_wrong):
            chosen = (visitor, beside)[number % 2]
            await chosen.ask("GET", "/login")
            assert (await chosen.send("/login", password="wrong"))[0] == 422
        for chosen in (visitor, beside):
            await chosen.ask("GET", "/login")
            assert (await chosen.send("/login", password=PASSWORD))[0] == 429


async def test_every_process_shows_a_test_event_that_was_sent_once(nicobar, owner, other_url):
    endpoint, _ = await furnish(nicobar, ORDER_PAID)
    here = f"/webhooks/{endpoint.id}/testing"
    visitor, beside = owner, Visitor(other_url, owner.http)
    _, text, _ = await visitor.ask("GET", f"{here}?send=1")
    test_id = re.search(r'name="test_id" value="(\w+)"', text)[1]
    sent = {"test_id": test_id, "sample_type": "payment.succeeded"}
    assert (await visitor.send(f"{here}/send", **sent))[0] == 303
    await beside.ask("GET", here)
    assert (await beside.send(f"{here}/send", **sent))[0] == 303
    for chosen in (visitor, beside):
        status, text, _ = await chosen.ask("GET", f"{here}/sent/{test_id}")
        assert status == 200
        assert "Order Paid" in text
    assert len(nicobar.state.activities) == 1
