"""The API's own OpenAPI 3.1 document, made from the handlers, and a page that shows it without anything from
elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from litestar import Litestar, Response, get
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig

import nicobar
from nicobar.use_cases.services import Services
from nicobar.web.api.examples import example_of
from nicobar.web.api.idempotency import MAX_KEY_CHARS
from nicobar.web.api.lookups import DEPENDENCIES
from nicobar.web.api.middleware import OPEN
from nicobar.web.api.shapes import ErrorOut, ValidationErrorOut

_TITLE = "Nicobar"
_ABOUT = "Shaped as the public Svix API, so that its clients work with this server's address and a token."
_PAGES = Environment(
    loader=PackageLoader("nicobar.web.api", "templates"), autoescape=select_autoescape(), undefined=StrictUndefined
)
_PAGES.filters["json"] = lambda value: msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_ERRORS = {
    400: "The request cannot be read.",
    401: "There is no token that is valid.",
    403: "The token may not do that.",
    404: "There is no such thing, or the token may not see it.",
    408: "The body took too long to arrive.",
    409: "It conflicts with what is there.",
    413: "The body is too large.",
    422: "Something in the request does not fit.",
    429: "Too many requests; Retry-After says how long to wait.",
    503: "Nothing was done; it may work later.",
}
_DONE = {
    200: "As asked for.",
    201: "It was made.",
    202: "It is kept, and will be done.",
    204: "It was done.",
}
_IDEMPOTENCY_KEY = {
    "name": "idempotency-key",
    "in": "header",
    "required": False,
    "description": "The same key and the same request give the answer that was given before, for 12 hours.",
    "schema": {"type": "string", "maxLength": MAX_KEY_CHARS},
}
# What Litestar says of a status where nobody says more.
_LITESTAR = {HTTPStatus(status).description for status in _DONE}
_SCHEMAS = "#/components/schemas/"
_MODULES = re.compile(r"(?:^|(?<=_))(?:[a-z_]+\.)+")
# Python's own JSON types; a document is a dictionary of anything.
Document = dict[str, Any]


def _nobody() -> Services:
    """Stands for the services where handlers are described and never called."""
    raise AssertionError


def make_document(handlers: Sequence[HTTPRouteHandler]) -> Document:
    """The document of these handlers."""
    app = Litestar(
        list(handlers),
        dependencies={**DEPENDENCIES, "services": Provide(_nobody, sync_to_thread=False)},
        openapi_config=OpenAPIConfig(
            title=_TITLE, version=nicobar.__version__, description=_ABOUT, use_handler_docstrings=True
        ),
        logging_config=None,
    )
    document: Document = app.openapi_schema.to_schema()
    document["servers"] = [{"url": "/"}]
    # msgspec's own schemas of the bodies: they say exactly what is checked, defaults included.
    bodies = [*(body for handler in handlers for body in _bodies(handler)), ErrorOut, ValidationErrorOut]
    _, schemas = msgspec.json.schema_components(bodies, ref_template=f"{_SCHEMAS}{{name}}")
    _link(document["paths"], schemas, document["components"]["schemas"])
    document["components"] = {
        "schemas": dict(sorted(schemas.items())),
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    for path, item in document["paths"].items():
        for method, operation in item.items():
            _complete(operation, path, method)
            if body := operation.get("requestBody"):
                _close(body["content"]["application/json"]["schema"], schemas)
                body["required"] = _has_required(body["content"]["application/json"]["schema"], schemas)
            for content in _contents(operation):
                content["example"] = example_of(content["schema"], schemas)
    return document


def _close(part: object, schemas: Document) -> None:
    """Says of every object in a request that it has no other fields, which `checks.py` holds."""
    if isinstance(part, list):
        for item in part:
            _close(item, schemas)
    elif isinstance(part, dict):
        if "$ref" in part:
            named = schemas[str(part["$ref"]).removeprefix(_SCHEMAS)]
            if "properties" in named and "additionalProperties" not in named:
                named["additionalProperties"] = False
                _close(named["properties"], schemas)
        else:
            for entry in part.values():
                _close(entry, schemas)


def _has_required(schema: Document, schemas: Document) -> bool:
    """Whether a body may not be empty: an empty one is read as `{}`."""
    if "$ref" in schema:
        return bool(schemas[str(schema["$ref"]).removeprefix(_SCHEMAS)].get("required"))
    choices = (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
    return all(_has_required(choice, schemas) for choice in choices)


def _contents(operation: Document) -> Iterator[Document]:
    """The bodies of an operation, in and out, as far as they are JSON."""
    for body in (operation.get("requestBody", {}), *operation["responses"].values()):
        content = body.get("content", {}).get("application/json")
        if content and content.get("schema"):
            yield content


def _link(part: object, schemas: Document, others: Document) -> None:
    """Makes every reference lead to a schema: Litestar writes a generic type's argument with its module, and knows
    the types of parameters.
    """
    if isinstance(part, list):
        for item in part:
            _link(item, schemas, others)
    elif isinstance(part, dict):
        for entry in part.values():
            _link(entry, schemas, others)
        if "$ref" in part:
            name = str(part["$ref"]).removeprefix(_SCHEMAS)
            plain = _MODULES.sub("", name)
            if plain not in schemas:
                schemas[plain] = others[name]
            part["$ref"] = _SCHEMAS + plain


def _bodies(handler: HTTPRouteHandler) -> Iterator[Any]:
    """The types of a handler's bodies, in and out."""
    hints = get_type_hints(handler.fn)
    given = [
        hints.get("data"),
        hints["return"],
        *(spec.data_container for spec in (handler.responses or {}).values()),
    ]
    for hint in given:
        body = get_args(hint)[0] if get_origin(hint) is Response else hint
        several = get_args(body) if isinstance(body, UnionType) else (body,)
        yield from (item for item in several if item not in {None, type(None), bytes, str})


def _complete(operation: Document, path: str, method: str) -> None:
    """Adds what the middleware and the errors bring to every operation."""
    responses = operation["responses"]
    responses.pop("400", None)  # Litestar's own; ours follows
    for status, response in responses.items():
        response.pop("headers", None)
        if response["description"] in _LITESTAR:
            response["description"] = _DONE[int(status)]
    statuses = {413, 503} if path in OPEN else set(_ERRORS)
    if method == "get":
        statuses.discard(409)
    for status in sorted(statuses):
        schema = "ValidationErrorOut" if status == HTTPStatus.UNPROCESSABLE_ENTITY else "ErrorOut"
        responses[str(status)] = {
            "description": _ERRORS[status],
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
        }
    operation["responses"] = dict(sorted(responses.items()))
    operation["security"] = [] if path in OPEN else [{"token": []}]
    if method == "post" and path not in OPEN:
        operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)


def create_document(handlers: Sequence[HTTPRouteHandler]) -> tuple[HTTPRouteHandler, ...]:
    """The handlers that show the document of all others."""
    made: list[Document] = []

    def document() -> Document:
        if not made:
            made.append(make_document(handlers))
        return made[0]

    @get("/api/v1/openapi.json", include_in_schema=False, sync_to_thread=True)
    def openapi() -> Response[bytes]:
        return Response(msgspec.json.encode(document()), media_type="application/json")

    @get("/api/v1/reference", include_in_schema=False, sync_to_thread=True)
    def reference() -> Response[str]:
        shown = _PAGES.get_template("reference.html").render(document=document(), groups=_groups(document()))
        return Response(shown, media_type="text/html", headers={"content-security-policy": CSP})

    return openapi, reference


def _groups(document: Document) -> dict[str, list[tuple[str, str, Document]]]:
    """The operations by their tag: method, path, operation."""
    groups: dict[str, list[tuple[str, str, Document]]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            groups.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    return dict(sorted(groups.items()))
