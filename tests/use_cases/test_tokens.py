"""Tokens are created and revoked with the same bounds through every interface."""

from __future__ import annotations

import pytest

from nicobar.cli.options import COMMAND_LINE, open_services
from nicobar.errors import UserError
from nicobar.model import Scope
from nicobar.settings import Settings
from nicobar.store.history import AuditFilter
from nicobar.use_cases.tokens import MAX_TOKEN_NAME_CHARS, TokenSpec, create_token, revoke_token


@pytest.fixture
async def services(tmp_path):
    async with open_services(Settings(data_dir=tmp_path), create=True, quiet=True) as it:
        yield it


async def test_expiry_in_the_past_is_rejected(services):
    spec = TokenSpec(name="late", scope=Scope.ADMIN, expires_at_ms=services.clock.now_ms())
    with pytest.raises(UserError) as caught:
        await create_token(services, COMMAND_LINE, spec)
    assert caught.value.code == "time_invalid"


@pytest.mark.parametrize("name", ["", "n" * (MAX_TOKEN_NAME_CHARS + 1)])
async def test_names_have_one_bound_for_all_interfaces(services, name):
    with pytest.raises(UserError) as caught:
        await create_token(services, COMMAND_LINE, TokenSpec(name=name, scope=Scope.ADMIN))
    assert caught.value.code == "name_invalid"


async def test_creating_and_revoking_write_one_audit_line_each(services):
    token, _ = await create_token(services, COMMAND_LINE, TokenSpec(name="ci", scope=Scope.ADMIN))
    for _ in range(2):
        await revoke_token(services, COMMAND_LINE, token.id)
    found = await services.store.audit(AuditFilter(), limit=10)
    assert [(line.action, line.actor, line.subject, line.detail) for line in found.items] == [
        ("token.revoke", "command line", token.id, "ci"),
        ("token.create", "command line", token.id, "ci"),
    ]
