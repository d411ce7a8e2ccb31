"""Every operation of the API, asked by every kind of caller. What each may do is listed here by the operations' ids,
not read from the rows.
"""

from __future__ import annotations

import pytest

from nicobar.model import Scope
from support.api import asking
from support.operations import OPERATIONS, UNKNOWN, ask_each, create_things

OPEN = {"v1.health.get"}
# Changes nothing, though its method is not GET.
READING = {
    "nicobar.failure-group.count",
    "v1.message.precheck",
    "v1.message.search",
    "v1.statistics.aggregate-app-stats",
    "v1.statistics.aggregate-event-types",
}
# Changes nothing, but runs code of the request.
RUNNING = {"v1.connector.simulate", "v1.endpoint.transformation.simulate"}
# Shows a secret.
SECRET = {"v1.endpoint.get-secret"}
# Of the whole installation.
GLOBAL = {
    "nicobar.alert-target.create",
    "nicobar.alert-target.delete",
    "nicobar.alert-target.get",
    "nicobar.alert-target.list",
    "nicobar.alert-target.patch",
    "nicobar.alert-target.test",
    "nicobar.token.create",
    "nicobar.token.list",
    "nicobar.token.revoke",
    "v1.application.create",
    "v1.event-type.create",
    "v1.event-type.delete",
    "v1.event-type.import-openapi",
    "v1.event-type.patch",
    "v1.event-type.set-retry-schedule",
    "v1.event-type.upsert",
    "v1.statistics.aggregate-app-stats",
    "v1.statistics.aggregate-event-types",
}
# Not for a link to the dashboard.
BACKEND = {
    "v1.application.delete",
    "v1.application.patch",
    "v1.application.upsert",
    "v1.authentication.app-portal-access",
    "v1.authentication.create-message-token",
    "v1.authentication.dashboard-access",
    "v1.authentication.expire-all",
}
# Any token may end itself.
SELF = {"v1.authentication.logout"}
MESSAGES = {"v1.message.create"}
ALL = {operation.id for operation in OPERATIONS}
READ = ({operation.id for operation in OPERATIONS if operation.method == "GET"} | READING) - SECRET

ALLOWED = {
    "nobody": OPEN,
    "administrator": ALL,
    "reader": READ | SELF | OPEN,
    "editor of an application": ALL - GLOBAL,
    "reader of an application": (READ - GLOBAL) | SELF | OPEN,
    "link to an application": ALL - GLOBAL - BACKEND,
    "sender of messages": MESSAGES | SELF | OPEN,
}
TOKENS = {
    "reader": {"scope": Scope.READ_ONLY},
    "editor of an application": {"scope": Scope.APPLICATION},
    "reader of an application": {"scope": Scope.APPLICATION_READ_ONLY},
    "link to an application": {"scope": Scope.APPLICATION, "portal": True},
    "sender of messages": {"scope": Scope.APPLICATION_MESSAGES},
}


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path, "function handler(webhook) { return webhook; }") as it:
        yield it


async def token_of(api, caller: str) -> str:
    if caller in {"nobody", "administrator"}:
        return "" if caller == "nobody" else api.token
    fields = dict(TOKENS[caller])
    if fields["scope"] is not Scope.READ_ONLY:
        fields["app_id"] = api.app_id
    return await api.make_token(**fields)


@pytest.mark.parametrize("caller", sorted(ALLOWED))
async def test_every_operation_answers_every_caller_as_documented(api, caller):
    """An unknown name in the query is found after the caller's rights are checked, and before anything is done."""
    token = await token_of(api, caller)
    values = UNKNOWN | {"app_id": api.app_id}
    refused = 401 if caller == "nobody" else 403
    wrong = {}
    async for operation, answer in ask_each(api, OPERATIONS, values, query="nothing=1", token=token):
        expected = 422 if operation.id in ALLOWED[caller] else refused
        documented = answer.status == 422 or str(answer.status) in operation.details["responses"]
        if answer.status != expected or not documented:
            wrong[operation.id] = (answer.status, expected)
    assert wrong == {}


async def test_another_application_is_not_found(api):
    values = await create_things(api)
    other = (await api.ask("POST", "/api/v1/app", {"name": "Other"})).body
    token = await api.make_token(scope=Scope.APPLICATION, app_id=other["id"])
    of_one = {"app_id", "source_id", "task_id"}
    operations = [item for item in OPERATIONS if any(f"{{{name}}}" in item.path for name in of_one)]
    found = {
        operation.id: answer.status
        async for operation, answer in ask_each(api, operations, values, token=token)
        if answer.status != 404
    }
    assert found == {}
    assert len(operations) > 70
