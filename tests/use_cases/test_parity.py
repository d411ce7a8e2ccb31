"""Every operation, through every interface that offers it: the same answer, the same state, the same audit line."""

from __future__ import annotations

import pytest

from nicobar.audit import AuditAction
from support.parity import NEW_SECRET, SECRET, Interface, Operation, outcome, world
from use_cases import endpoint_operations, source_operations

OPERATIONS: tuple[Operation, ...] = (*endpoint_operations.OPERATIONS, *source_operations.OPERATIONS)
ENVIRONMENT = {"SECRET": SECRET, "NEW_SECRET": NEW_SECRET, "SITE_ID": "demo-site", "API_KEY": "demo-key"}
API, DASHBOARD, COMMAND, FILE = Interface
# Which acts are offered where. `Nicobar` itself pauses, resumes and disables endpoints too.
OFFERED: dict[AuditAction, set[Interface]] = {
    AuditAction.ENDPOINT_CREATE: {API, DASHBOARD, FILE},
    AuditAction.ENDPOINT_UPDATE: {API, DASHBOARD, FILE},
    AuditAction.ENDPOINT_PAUSE: {API, DASHBOARD},
    AuditAction.ENDPOINT_RESUME: {API, DASHBOARD, COMMAND},
    AuditAction.ENDPOINT_ENABLE: {API, DASHBOARD, COMMAND, FILE},
    AuditAction.ENDPOINT_DISABLE: {API, DASHBOARD, FILE},
    AuditAction.ENDPOINT_DELETE: {API, DASHBOARD, FILE},
    AuditAction.ENDPOINT_ROTATE_SECRET: {API},
    AuditAction.ENDPOINT_SET_HEADERS: {API},
    AuditAction.ENDPOINT_CHECK: {API},
    AuditAction.SOURCE_CREATE: {API, DASHBOARD, FILE},
    AuditAction.SOURCE_UPDATE: {API, FILE},
    AuditAction.SOURCE_ROTATE_SECRET: {DASHBOARD},
    AuditAction.SOURCE_END_OLDER_SECRET: {DASHBOARD},
    AuditAction.SOURCE_ROTATE_TOKEN: {API, DASHBOARD},
    AuditAction.SOURCE_DELETE: {API, DASHBOARD, FILE},
}


@pytest.fixture
async def it(tmp_path, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    async with world(tmp_path) as made:
        yield made


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_every_interface_does_the_same(it, operation):
    outcomes = {interface: await outcome(it, operation, way) for interface, way in operation.ways.items()}
    first = next(iter(outcomes.values()))
    for interface, found in outcomes.items():
        assert found.said.done is not bool(operation.error), (interface, found.said.text)
        assert operation.error in found.said.text, interface
        assert [action for action, _, _ in found.lines] == [action.value for action in operation.actions], interface
        assert found.lines == first.lines, interface
        assert found.state == first.state, interface


def test_the_table_says_where_each_act_is_offered():
    found: dict[AuditAction, set[Interface]] = {}
    for operation in OPERATIONS:
        for action in operation.actions:
            found.setdefault(action, set()).update(operation.ways)
    assert found == OFFERED


def test_every_audit_action_has_a_row():
    missing = {action.value for action in AuditAction} - {action.value for action in OFFERED}
    assert not missing
