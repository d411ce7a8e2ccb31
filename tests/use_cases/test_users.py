"""The users of the dashboard, and the links that set their passwords."""

from __future__ import annotations

import pytest

from nicobar.cli.options import COMMAND_LINE, open_services
from nicobar.crypto import hash_token
from nicobar.settings import Settings
from nicobar.store.history import AuditFilter
from nicobar.use_cases.passwords import PasswordWork
from nicobar.use_cases.users import offer_owner_link, set_up_user


@pytest.fixture
async def services(tmp_path):
    async with open_services(Settings(data_dir=tmp_path), create=True, quiet=True) as it:
        yield it


async def test_a_requested_password_link_is_in_the_audit_log(services):
    path = await offer_owner_link(services, COMMAND_LINE)
    link = await services.store.link(hash_token(path.rpartition("/")[2]), now_ms=services.clock.now_ms())
    password = "a pigeon finds its way"
    owner, is_new = await set_up_user(services, link, password, password, work=PasswordWork())
    assert is_new
    assert await set_up_user(services, link, password, password, work=PasswordWork()) is None, "a link is used once"
    await offer_owner_link(services, COMMAND_LINE)
    found = await services.store.audit(AuditFilter(), limit=10)
    assert [(line.actor, line.action, line.subject) for line in found.items] == [
        ("command line", "user.offer-password", owner.id),
        ("user owner", "user.create", owner.id),
        ("command line", "user.offer-password", "owner"),
    ]
