"""Every operation of the API, as its document describes it, and how to ask each of them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from nicobar.web.api import app
from nicobar.web.api.openapi import make_document
from support.api import Answer, Api

DOCUMENT = make_document(app.OPERATIONS)
HANDLER = "function handler(webhook) { return webhook; }"


@dataclass(frozen=True)
class Documented:
    """An operation; `details` is its part of the document."""

    method: str
    path: str
    details: dict[str, Any]

    @property
    def id(self) -> str:
        return self.details["operationId"]

    @property
    def is_open(self) -> bool:
        return not self.details["security"]

    @property
    def has_body(self) -> bool:
        return "requestBody" in self.details

    @property
    def needs_body(self) -> bool:
        return self.has_body and self.details["requestBody"]["required"]

    @property
    def example(self) -> Any:
        """The example of its body; None without one."""
        return self.details["requestBody"]["content"]["application/json"]["example"] if self.has_body else None

    def address(self, values: Mapping[str, str]) -> str:
        """Its path, with the parameters that the query must have."""
        needed = [
            item["name"] for item in self.details.get("parameters", ()) if item["in"] == "query" and item["required"]
        ]
        query = urlencode({name: values[name] for name in needed})
        return f"{self.path.format(**values)}?{query}"


OPERATIONS = [
    Documented(method.upper(), path, details)
    for path, methods in DOCUMENT["paths"].items()
    for method, details in methods.items()
]


# What the query of some operations must have.
_QUERY = {"since": "2026-03-01T09:30:00Z", "until": "2026-03-02T09:30:00Z", "key": "cus_1", "text": "cus_1"}
# For path parameters of objects that need not exist.
UNKNOWN = {name: "nobody" for operation in OPERATIONS for name in re.findall(r"{(\w+)}", operation.path)} | {
    "version": "1",
    **_QUERY,
}


async def create_things(api: Api) -> dict[str, str]:
    """Creates one of each, and returns what fills the parameters of the paths."""
    snapshot = api.nicobar.runtime.configuration.snapshot
    endpoint_id = snapshot.endpoints[0].id
    _, sent = await api.nicobar.send_sample("payment.succeeded", "evt_1")
    await api.nicobar.next_recorded()
    task = await api.ask("POST", f"{api.app}/endpoint/{endpoint_id}/recover", {"since": "2020-01-01T00:00:00Z"})
    attempts = await api.ask("GET", f"{api.app}/attempt/msg/{sent['id']}")
    return {
        "app_id": api.app_id,
        "endpoint_id": endpoint_id,
        "source_id": snapshot.sources[0].id,
        "msg_id": str(sent["id"]),
        "attempt_id": attempts.body["data"][0]["id"],
        "task_id": task.body["id"],
        "event_type_name": "payment.succeeded",
        "version": "1",
        "connector_id": "customerio",
        "target_id": "alt_x",
        "token_id": "tok_x",
        "merge_id": "merge_x",
        **_QUERY,
    }


async def ask_each(
    api: Api,
    operations: Iterable[Documented],
    values: dict[str, str],
    body: Callable[[Documented], object] = lambda operation: operation.example,
    *,
    query: str = "",
    **headers: str,
) -> AsyncIterator[tuple[Documented, Answer]]:
    """Asks each operation in turn; `values` fill the parameters of its path, and `query` is added to its query."""
    for operation in operations:
        address = f"{operation.address(values)}&{query}".rstrip("&")
        yield operation, await api.ask(operation.method, address, body(operation), **headers)
