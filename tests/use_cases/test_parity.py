"""Every operation, through every interface that offers it: the same answer, the same state, the same audit line."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_asyncio

from nicobar.audit import AuditAction
from support.parity import NEW_SECRET, SECRET, Interface, Operation, outcome, world
from use_cases import (
    alert_target_operations,
    application_operations,
    delivery_operations,
    endpoint_operations,
    event_type_operations,
    source_operations,
)

OPERATIONS: tuple[Operation, ...] = (
    *alert_target_operations.OPERATIONS,
    *application_operations.OPERATIONS,
    *delivery_operations.OPERATIONS,
    *endpoint_operations.OPERATIONS,
    *event_type_operations.OPERATIONS,
    *source_operations.OPERATIONS,
)
TESTS = Path(__file__).parent.parent
ENVIRONMENT = {"SECRET": SECRET, "NEW_SECRET": NEW_SECRET, "SITE_ID": "demo-site", "API_KEY": "demo-key"}
API, DASHBOARD, COMMAND, FILE = Interface
# Which acts are offered where. `Nicobar` itself pauses, resumes and disables endpoints too.
OFFERED: dict[AuditAction, set[Interface]] = {
    AuditAction.ALERT_TARGET_CREATE: {API, DASHBOARD, FILE},
    AuditAction.ALERT_TARGET_UPDATE: {API, DASHBOARD, FILE},
    AuditAction.ALERT_TARGET_DELETE: {API, DASHBOARD},
    AuditAction.ALERT_TARGET_TEST: {API, DASHBOARD},
    AuditAction.APPLICATION_CREATE: {API},
    AuditAction.APPLICATION_UPDATE: {API},
    AuditAction.APPLICATION_DELETE: {API},
    AuditAction.ENDPOINT_CREATE: {API, DASHBOARD, FILE},
    AuditAction.ENDPOINT_UPDATE: {API, DASHBOARD, COMMAND, FILE},
    AuditAction.ENDPOINT_PAUSE: {API, DASHBOARD},
    AuditAction.ENDPOINT_RESUME: {API, DASHBOARD, COMMAND},
    AuditAction.ENDPOINT_ENABLE: {API, DASHBOARD, COMMAND, FILE},
    AuditAction.ENDPOINT_DISABLE: {API, DASHBOARD, FILE},
    AuditAction.ENDPOINT_DELETE: {API, DASHBOARD, FILE},
    AuditAction.ENDPOINT_ROTATE_SECRET: {API, DASHBOARD},
    AuditAction.ENDPOINT_SET_HEADERS: {API},
    AuditAction.ENDPOINT_CHECK: {API, DASHBOARD},
    AuditAction.ENDPOINT_SEND_EXAMPLE: {API},
    AuditAction.EVENT_TYPE_UPDATE: {API, DASHBOARD, FILE},
    AuditAction.TRANSFORMATION_UPDATE: {API, DASHBOARD, FILE},
    AuditAction.TRANSFORMATION_RESTORE: {API, DASHBOARD},
    AuditAction.MESSAGE_RESEND: {API, DASHBOARD, COMMAND},
    AuditAction.MESSAGE_EXPUNGE: {API, DASHBOARD, COMMAND},
    AuditAction.CUSTOMER_EXPUNGE: {API, DASHBOARD, COMMAND},
    AuditAction.TOKEN_CREATE: {API, DASHBOARD, COMMAND},
    AuditAction.TOKEN_REVOKE: {API, DASHBOARD, COMMAND},
    AuditAction.SOURCE_CREATE: {API, DASHBOARD, FILE},
    AuditAction.SOURCE_UPDATE: {API, DASHBOARD, FILE},
    AuditAction.SOURCE_ROTATE_SECRET: {DASHBOARD, COMMAND},
    AuditAction.SOURCE_END_OLDER_SECRET: {DASHBOARD},
    AuditAction.SOURCE_ROTATE_TOKEN: {API, DASHBOARD},
    AuditAction.SOURCE_DELETE: {API, DASHBOARD, FILE},
}


# Acts whose operations are compared, or done through the one interface that offers them, in other tests.
TESTED_IN: dict[str, set[AuditAction]] = {
    "use_cases/test_interfaces_agree.py": {
        AuditAction.ENDPOINT_RECOVER,
        AuditAction.ENDPOINT_REPLAY_MISSING,
        AuditAction.ENDPOINT_BULK_REPLAY,
    },
    "api/test_configuration.py": {
        AuditAction.EVENT_TYPE_CREATE,
        AuditAction.EVENT_TYPE_DELETE,
        AuditAction.EVENT_TYPE_EXPUNGE,
        AuditAction.EVENT_TYPE_IMPORT,
    },
    "api/test_endpoints.py": {AuditAction.ENDPOINT_CANCEL_PENDING},
    "api/test_history.py": {AuditAction.ATTEMPT_EXPUNGE, AuditAction.APPLICATION_PURGE},
    "dashboard/test_failures.py": {AuditAction.ENDPOINT_REPLAY_FAILURES},
    "dashboard/test_people_merges.py": {
        AuditAction.ENDPOINT_INSPECT,
        AuditAction.ENDPOINT_MERGE,
        AuditAction.MERGE_CANCEL,
    },
    "dashboard/test_personal_data.py": {AuditAction.MESSAGE_REVEAL},
    "dashboard/test_portal.py": {
        AuditAction.PORTAL_CREATE,
        AuditAction.PORTAL_EXPIRE,
        AuditAction.PORTAL_LOGOUT,
    },
    "dashboard/test_provider_sign_in.py": {
        AuditAction.USER_LINK_IDENTITY,
        AuditAction.USER_SIGN_IN,
        AuditAction.USER_REFUSE_SIGN_IN,
    },
    "dashboard/test_replays.py": {AuditAction.TASK_CANCEL},
    "dashboard/test_testing.py": {AuditAction.ENDPOINT_SEND_TEST},
    "use_cases/test_key_rotation.py": {AuditAction.KEY_REPLACE},
    "dashboard/test_users.py": {
        AuditAction.USER_CREATE,
        AuditAction.USER_INVITE,
        AuditAction.USER_WITHDRAW_LINK,
        AuditAction.USER_OFFER_PASSWORD,
        AuditAction.USER_SET_PASSWORD,
        AuditAction.USER_SET_ROLE,
        AuditAction.USER_END_SESSIONS,
        AuditAction.USER_REMOVE,
    },
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def it(tmp_path_factory):
    """One installation for all operations: each begins with nothing in it but its own start."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in ENVIRONMENT.items():
            environment.setenv(name, value)
        async with world(tmp_path_factory.mktemp("parity")) as made:
            yield made


@pytest.mark.asyncio(loop_scope="session")
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


def test_every_audit_action_is_tested():
    elsewhere = set().union(*TESTED_IN.values())
    assert set(AuditAction) == elsewhere | OFFERED.keys()
    assert not elsewhere & OFFERED.keys()
    assert all((TESTS / path).is_file() for path in TESTED_IN)
