"""Examples of request and response bodies, composed of the examples of their fields."""

from __future__ import annotations

from typing import Any

from nicobar.connectors.registry import CONNECTORS
from nicobar.sources.registry import SOURCES

# Python's own JSON types; a schema is a dictionary of anything.
Schema = dict[str, Any]

MAX_DEPTH = 12
_REF = "#/components/schemas/"
_BY_TYPE: dict[str, Any] = {"string": "text", "integer": 1, "number": 1.5, "boolean": False, "null": None}
# Examples of fields by name, for types without examples.
_BY_NAME: dict[str, Any] = {
    "appId": "app_2yZwUhtgs5Ai8T9yRQJXA0000aa",
    "ingestUrl": "https://events.example.com/in/Qm9zJ2dKcXlhVw",
    "kind": SOURCES[0].kind,
    "name": "shop-live",
    "orgId": "org_2yZwUhtgs5Ai8T9yRQJXA0000aa",
    "type": "svix",
    "uid": "unique-identifier",
    "actor": "token ci",
    "action": "message.resend",
    "body": '{"type":"person","action":"event","name":"paid"}',
    "code": "threw",
    "channels": "project_123",
    "console": "amount: 4990",
    "customerKey": "cus_8FzYfU2mLQ3pB5x1nV0aT",
    "detail": "The destination accepted the credentials.",
    "eventId": "order-7",
    "eventType": "payment.succeeded",
    "failure": "line 3: threw",
    "iterator": "Pm1zZ18yeVp3VWh0",
    "key": "cus_8FzYfU2mLQ3pB5x1nV0aT",
    "latestEventType": "payment.succeeded",
    "method": "POST",
    "prevIterator": "PG1zZ18yeVp3VWh0",
    "reason": "line 3: The handler threw TypeError: undefined is not an object",
    "responseStatusCode": 200,
    "response": "{}",
    "sourceId": "src_2yZwUhtgs5Ai8T9yRQJXA0000aa",
    "statusText": "success",
    "subject": "msg_2yZwUhtgs5Ai8T9yRQJXA0000aa",
    "tags": "vip",
    "url": "https://example.com/webhook/",
}

# Examples of bodies that cannot have all fields at once, by schema.
_BODIES: dict[str, Any] = {
    "EndpointIn": {
        "url": "https://example.com/webhook/",
        "description": "The shop",
        "eventTypes": ["payment.succeeded"],
    },
    "EndpointUpsertIn": {
        "description": "Emails",
        "connector": {
            "kind": CONNECTORS[0].kind,
            "config": {field.name: "***" for field in CONNECTORS[0].fields if field.required},
        },
    },
    "EndpointPatch": {"description": "The shop", "throttleRate": 50},
    "MessageIn": {
        "eventType": "payment.succeeded",
        "eventId": "order-7",
        "payload": {"type": "payment.succeeded", "data": {"total_amount": 4990}},
    },
    "TransformationSimulateIn": {
        "code": "function handler(webhook) { return webhook; }",
        "eventType": "payment.succeeded",
        "payload": {"type": "payment.succeeded", "data": {"total_amount": 4990}},
        "ledgerState": "first_purchase",
    },
    "TokenIn": {"name": "ci", "scope": "read_only", "expiresAt": "2030-01-01T00:00:00Z"},
    "EventTypeImportOpenApiIn": {
        "spec": {"openapi": "3.1.0", "webhooks": {"order.placed": {"post": {"description": "An order was placed."}}}}
    },
}


def example_of(schema: Schema, schemas: Schema, *, name: str = "", depth: int = 0) -> Any:
    """A value that matches the schema. `schemas` are the schemas it may refer to, `name` is the field."""
    if "$ref" in schema:
        body = schema["$ref"].removeprefix(_REF)
        return _BODIES.get(body) or example_of(schemas[body], schemas, name=name, depth=depth + 1)
    for given in ("examples", "enum"):
        if given in schema:
            return schema[given][0]
    if choices := (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        some = [choice for choice in choices if choice.get("type") != "null"]
        left_empty = depth == 0 and len(some) < len(choices)  # the body may be null
        return {} if left_empty else example_of((some or choices)[0], schemas, name=name, depth=depth)
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {}) if depth < MAX_DEPTH else {}
            return {
                field: example_of(item, schemas, name=field, depth=depth + 1) for field, item in properties.items()
            }
        case "array":
            return [example_of(schema["items"], schemas, name=name, depth=depth + 1)] if schema.get("items") else []
        case kind:
            return _plain(schema, str(kind), name)


def _plain(schema: Schema, kind: str, name: str) -> Any:
    example = _BY_NAME.get(name)
    if schema.get("format") == "date-time":
        return "2026-03-01T09:30:00Z"
    if example is not None and isinstance(example, str) == (kind == "string"):
        return example
    return schema.get("minimum", _BY_TYPE.get(kind, {}))
