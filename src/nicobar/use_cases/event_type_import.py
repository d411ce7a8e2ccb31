"""Reads event types out of the webhooks of an OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nicobar.errors import UserError
from nicobar.model import EVENT_TYPE_NAME, EventType

_GROUP = re.compile(r"[a-zA-Z0-9\-_.]{1,256}")
_METHODS = ("post", "put", "get", "patch", "delete")


def event_types_of(document: Mapping[str, Any]) -> list[EventType]:
    """An event type for each of the document's `webhooks` (OpenAPI 3.1) or `x-webhooks`. Raises UserError."""
    webhooks = document.get("webhooks", document.get("x-webhooks"))
    if not isinstance(webhooks, dict) or not webhooks:
        raise UserError("no_webhooks", "The document has no webhooks.", "List them under `webhooks`.")
    return [_event_type(str(name), item) for name, item in webhooks.items()]


def _event_type(key: str, item: object) -> EventType:
    operation = (
        next((item[method] for method in _METHODS if method in item), None) if isinstance(item, dict) else None
    )
    if not isinstance(operation, dict):
        raise UserError("webhook_invalid", f"Webhook {key!r} has no operation.", "Add a `post` operation.")
    name = key if EVENT_TYPE_NAME.fullmatch(key) else str(operation.get("operationId", key))
    if not EVENT_TYPE_NAME.fullmatch(name):
        raise UserError(
            "webhook_invalid", f"Invalid event type name {name!r}.", "Use only letters, digits and . - _ /"
        )
    content = _content(operation)
    schema = content.get("schema")
    example = content.get("example")
    if example is None and isinstance(schema, dict):
        example = schema.get("example", _first(schema.get("examples")))
    group = operation.get("x-svix-group-name")
    return EventType(
        name=name,
        description=str(operation.get("description") or operation.get("summary") or ""),
        deprecated=operation.get("deprecated") is True,
        schemas={"1": schema} if isinstance(schema, dict) else None,
        example=example,
        group_name=group if isinstance(group, str) and _GROUP.fullmatch(group) else None,
    )


def _content(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    body = operation.get("requestBody")
    content = body.get("content") if isinstance(body, dict) else None
    media = content.get("application/json") if isinstance(content, dict) else None
    return media if isinstance(media, dict) else {}


def _first(examples: object) -> Any:
    return examples[0] if isinstance(examples, list) and examples else None
