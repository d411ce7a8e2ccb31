"""Shows a payload whole, with its personal data."""

from __future__ import annotations

from nicobar.audit import AuditAction
from nicobar.model import Message
from nicobar.use_cases.edit import Actor, OperationServices, audit_line


async def reveal_message(services: OperationServices, actor: Actor, message: Message) -> bytes:
    """The payload, once the audit log says who saw it."""
    line = audit_line(services, actor, AuditAction.MESSAGE_REVEAL, message.id, app_id=message.app_id)
    await services.store.add_audit_line(line)
    return message.body
