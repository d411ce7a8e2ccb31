"""Publishing, restoring and switching off a transformation: the same through the API and the dashboard."""

from __future__ import annotations

import pytest

from nicobar.store import AddTransformation, EnableTransformation
from nicobar.store.history import AuditFilter
from support.api import make_token
from support.handlers import ORDER_PAID
from support.installation import furnish, installation
from support.pages import set_up, visiting

SECOND = ORDER_PAID.replace("Order Paid", "Order Settled")


class Interface:
    """Restores versions of one endpoint through the API or the dashboard."""

    def __init__(self, name, nicobar, visitor, token):
        self.name, self.nicobar, self.visitor, self.token = name, nicobar, visitor, token

    async def restore(self, endpoint_id, version) -> int:
        if self.name == "dashboard":
            path = f"/webhooks/{endpoint_id}/transformation/restore"
            status, _, _ = await self.visitor.send(path, version=str(version))
            return status
        path = f"/api/v1/app/default/endpoint/{endpoint_id}/transformation/version/{version}/restore"
        headers = {"authorization": f"Bearer {self.token}"}
        async with self.visitor.http.post(self.nicobar.url + path, headers=headers) as answer:
            return answer.status

    async def change(self, *changes):
        await self.nicobar.runtime.store.change(changes)
        await self.nicobar.runtime.configuration.refresh()

    async def endpoint(self):
        return (await self.nicobar.runtime.store.snapshot()).endpoints[0]

    async def audited(self):
        found = await self.nicobar.runtime.store.audit(AuditFilter(), limit=20)
        return [(line.action, line.detail) for line in found.items if line.action.partition(".")[0] != "user"]


@pytest.fixture(params=["api", "dashboard"])
async def interface(request, tmp_path):
    async with installation(tmp_path) as nicobar, visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        yield Interface(request.param, nicobar, visitor, await make_token(nicobar))


async def test_restoring_publishes_and_switches_on(interface):
    endpoint, _ = await furnish(interface.nicobar, ORDER_PAID)
    await interface.change(
        AddTransformation(endpoint_id=endpoint.id, code=SECOND, created_at_ms=2),
        EnableTransformation(endpoint_id=endpoint.id, enabled=False),
    )
    assert await interface.restore(endpoint.id, 1) in {200, 303}
    after = await interface.endpoint()
    assert (after.transformation.version, after.transformation.code) == (3, ORDER_PAID)
    assert after.transformation_enabled
    assert await interface.audited() == [("transformation.restore", "version 1")]


async def test_restoring_the_version_that_runs_changes_nothing(interface):
    endpoint, _ = await furnish(interface.nicobar, ORDER_PAID)
    assert await interface.restore(endpoint.id, 1) in {200, 303}
    assert (await interface.endpoint()).transformation.version == 1
    assert await interface.audited() == []


async def test_code_that_cannot_run_is_not_restored(interface):
    endpoint, _ = await furnish(interface.nicobar, ORDER_PAID)
    await interface.change(
        AddTransformation(endpoint_id=endpoint.id, code="function handler(", created_at_ms=2),
        AddTransformation(endpoint_id=endpoint.id, code=SECOND, created_at_ms=3),
    )
    assert await interface.restore(endpoint.id, 2) == 422
    assert (await interface.endpoint()).transformation.version == 3
    assert await interface.audited() == []
