"""Display names of the audit log's actions."""

from __future__ import annotations

from nicobar.audit import OLDER_NAMES, AuditAction
from nicobar.web.dashboard.language import noop

_NAMES = {
    AuditAction.ALERT_TARGET_CREATE: noop("Alert target created"),
    AuditAction.ALERT_TARGET_UPDATE: noop("Alert target updated"),
    AuditAction.ALERT_TARGET_DELETE: noop("Alert target deleted"),
    AuditAction.ALERT_TARGET_TEST: noop("Test alert sent"),
    AuditAction.APPLICATION_CREATE: noop("Application created"),
    AuditAction.APPLICATION_UPDATE: noop("Application updated"),
    AuditAction.APPLICATION_DELETE: noop("Application deleted"),
    AuditAction.APPLICATION_PURGE: noop("Application content deleted"),
    AuditAction.ATTEMPT_EXPUNGE: noop("Attempt content deleted"),
    AuditAction.CUSTOMER_EXPUNGE: noop("Customer data deleted"),
    AuditAction.ENDPOINT_CREATE: noop("Endpoint created"),
    AuditAction.ENDPOINT_UPDATE: noop("Endpoint updated"),
    AuditAction.ENDPOINT_PAUSE: noop("Endpoint paused"),
    AuditAction.ENDPOINT_RESUME: noop("Endpoint resumed"),
    AuditAction.ENDPOINT_ENABLE: noop("Endpoint enabled"),
    AuditAction.ENDPOINT_DISABLE: noop("Endpoint disabled"),
    AuditAction.ENDPOINT_DELETE: noop("Endpoint deleted"),
    AuditAction.ENDPOINT_ROTATE_SECRET: noop("Endpoint signing secret rotated"),
    AuditAction.ENDPOINT_SET_HEADERS: noop("Endpoint headers updated"),
    AuditAction.ENDPOINT_CHECK: noop("Endpoint credentials checked"),
    AuditAction.ENDPOINT_SEND_EXAMPLE: noop("Sample event sent to endpoint"),
    AuditAction.ENDPOINT_SEND_TEST: noop("Test event sent"),
    AuditAction.ENDPOINT_CANCEL_PENDING: noop("Pending deliveries canceled"),
    AuditAction.ENDPOINT_RECOVER: noop("Failed deliveries replayed"),
    AuditAction.ENDPOINT_REPLAY_MISSING: noop("Missing events replayed"),
    AuditAction.ENDPOINT_BULK_REPLAY: noop("Deliveries replayed by filter"),
    AuditAction.ENDPOINT_REPLAY_FAILURES: noop("Failure group replayed"),
    AuditAction.EVENT_TYPE_CREATE: noop("Event type created"),
    AuditAction.EVENT_TYPE_UPDATE: noop("Event type updated"),
    AuditAction.EVENT_TYPE_DELETE: noop("Event type archived"),
    AuditAction.EVENT_TYPE_EXPUNGE: noop("Event type deleted"),
    AuditAction.EVENT_TYPE_IMPORT: noop("Event types imported"),
    AuditAction.MESSAGE_EXPUNGE: noop("Message payload deleted"),
    AuditAction.MESSAGE_RESEND: noop("Message resent"),
    AuditAction.PORTAL_CREATE: noop("Portal link created"),
    AuditAction.PORTAL_EXPIRE: noop("Portal links expired"),
    AuditAction.PORTAL_LOGOUT: noop("Portal session ended"),
    AuditAction.SOURCE_CREATE: noop("Source created"),
    AuditAction.SOURCE_UPDATE: noop("Source updated"),
    AuditAction.SOURCE_DELETE: noop("Source deleted"),
    AuditAction.SOURCE_ROTATE_SECRET: noop("Source signing secret rotated"),
    AuditAction.SOURCE_END_OLDER_SECRET: noop("Previous signing secret revoked"),
    AuditAction.SOURCE_ROTATE_TOKEN: noop("Source URL replaced"),
    AuditAction.TASK_CANCEL: noop("Replay canceled"),
    AuditAction.TOKEN_CREATE: noop("Token created"),
    AuditAction.TOKEN_REVOKE: noop("Token revoked"),
    AuditAction.TRANSFORMATION_UPDATE: noop("Transformation updated"),
    AuditAction.TRANSFORMATION_RESTORE: noop("Transformation version restored"),
    AuditAction.USER_CREATE: noop("User created"),
    AuditAction.USER_INVITE: noop("User invited"),
    AuditAction.USER_WITHDRAW_LINK: noop("Invite or password link revoked"),
    AuditAction.USER_OFFER_PASSWORD: noop("Password link created"),
    AuditAction.USER_SET_PASSWORD: noop("Password set"),
    AuditAction.USER_SET_ROLE: noop("User role changed"),
    AuditAction.USER_END_SESSIONS: noop("User sessions ended"),
    AuditAction.USER_REMOVE: noop("User removed"),
}
# Keyed by the stored name, including the names of earlier versions.
ACTION_NAMES: dict[str, str] = {action.value: name for action, name in _NAMES.items()} | {
    older: _NAMES[action] for action, older in OLDER_NAMES.items()
}
