"""The actions of the audit log: one name per action, the same for every interface."""

from __future__ import annotations

from enum import StrEnum


class AuditAction(StrEnum):
    """A noun and a verb, as stored in the audit log."""

    ALERT_TARGET_CREATE = "alert-target.create"
    ALERT_TARGET_UPDATE = "alert-target.update"
    ALERT_TARGET_DELETE = "alert-target.delete"
    ALERT_TARGET_TEST = "alert-target.test"
    APPLICATION_CREATE = "application.create"
    APPLICATION_UPDATE = "application.update"
    APPLICATION_DELETE = "application.delete"
    APPLICATION_PURGE = "application.purge_content"
    ATTEMPT_EXPUNGE = "attempt.expunge"
    CUSTOMER_EXPUNGE = "customer.expunge"
    ENDPOINT_CREATE = "endpoint.create"
    ENDPOINT_UPDATE = "endpoint.update"
    ENDPOINT_PAUSE = "endpoint.pause"
    ENDPOINT_RESUME = "endpoint.resume"
    ENDPOINT_ENABLE = "endpoint.enable"
    ENDPOINT_DISABLE = "endpoint.disable"
    ENDPOINT_DELETE = "endpoint.delete"
    ENDPOINT_ROTATE_SECRET = "endpoint.rotate-secret"  # noqa: S105 - an action's name
    ENDPOINT_SET_HEADERS = "endpoint.set-headers"
    ENDPOINT_CHECK = "endpoint.check"
    ENDPOINT_INSPECT = "endpoint.inspect"
    ENDPOINT_MERGE = "endpoint.merge"
    ENDPOINT_SEND_EXAMPLE = "endpoint.send-example"
    ENDPOINT_SEND_TEST = "endpoint.test.send"
    ENDPOINT_CANCEL_PENDING = "endpoint.cancel-pending"
    ENDPOINT_RECOVER = "endpoint.recover"
    ENDPOINT_REPLAY_MISSING = "endpoint.replay"
    ENDPOINT_BULK_REPLAY = "endpoint.bulk-replay"
    ENDPOINT_REPLAY_FAILURES = "endpoint.replay_failures"
    EVENT_TYPE_CREATE = "event-type.create"
    EVENT_TYPE_UPDATE = "event-type.update"
    EVENT_TYPE_DELETE = "event-type.delete"
    EVENT_TYPE_EXPUNGE = "event-type.expunge"
    EVENT_TYPE_IMPORT = "event-type.import"
    KEY_REPLACE = "key.replace"
    MERGE_CANCEL = "merge.cancel"
    MESSAGE_EXPUNGE = "message.expunge"
    MESSAGE_RESEND = "message.resend"
    MESSAGE_REVEAL = "message.reveal"
    PORTAL_CREATE = "portal.create"
    PORTAL_EXPIRE = "portal.expire"
    PORTAL_LOGOUT = "portal.logout"
    SOURCE_CREATE = "source.create"
    SOURCE_UPDATE = "source.update"
    SOURCE_DELETE = "source.delete"
    SOURCE_ROTATE_SECRET = "source.rotate-secret"  # noqa: S105 - an action's name
    SOURCE_END_OLDER_SECRET = "source.end-older-secret"  # noqa: S105 - an action's name
    SOURCE_ROTATE_TOKEN = "source.rotate-token"  # noqa: S105 - an action's name
    TASK_CANCEL = "task.cancel"
    TOKEN_CREATE = "token.create"  # noqa: S105 - an action's name
    TOKEN_REVOKE = "token.revoke"  # noqa: S105 - an action's name
    TRANSFORMATION_UPDATE = "transformation.update"
    TRANSFORMATION_RESTORE = "transformation.restore"
    USER_CREATE = "user.create"
    USER_INVITE = "user.invite"
    USER_WITHDRAW_LINK = "user.withdraw-link"
    USER_OFFER_PASSWORD = "user.offer-password"  # noqa: S105 - an action's name
    USER_SET_PASSWORD = "user.set-password"  # noqa: S105 - an action's name
    USER_SET_ROLE = "user.set-role"
    USER_END_SESSIONS = "user.end-sessions"
    USER_LINK_IDENTITY = "user.link-identity"
    USER_SIGN_IN = "user.sign-in"
    USER_REFUSE_SIGN_IN = "user.refuse-sign-in"
    USER_REMOVE = "user.remove"


# Names that earlier versions wrote. Rows keep them; a filter by the current name finds them too.
OLDER_NAMES = {
    AuditAction.TRANSFORMATION_UPDATE: "endpoint.transformation.update",
    AuditAction.TRANSFORMATION_RESTORE: "endpoint.transformation.restore",
    AuditAction.SOURCE_ROTATE_SECRET: "source.secret.update",
}


def stored_names(action: str) -> tuple[str, ...]:
    """The names under which rows of this action are stored."""
    older = {new.value: old for new, old in OLDER_NAMES.items()}.get(action)
    return (action, older) if older else (action,)
