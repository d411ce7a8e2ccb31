"""The API's own OpenAPI 3.1 document, made from the rows of its operations, and a page that shows it without anything
from elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

import nicobar
from nicobar.web.api.auth import Needs
from nicobar.web.api.examples import example_of
from nicobar.web.api.idempotency import MAX_KEY_CHARS
from nicobar.web.api.lookups import PROVIDERS
from nicobar.web.api.shapes import ErrorOut, ValidationErrorOut
from nicobar.web.operations import Operation, Response, content_types, get
from nicobar.web.parameters import Signature

_TITLE = "Nicobar"
_ABOUT = (
    "Nicobar's API is compatible with the public Svix API: use the official Svix clients with this server's URL and "
    "an API token. Authenticate with `Authorization: Bearer TOKEN`. Lists are paginated with `limit` and `iterator`. "
    'Retry POST requests safely with an `idempotency-key`. Errors are `{"code", "detail"}`. Unknown parameters and '
    "fields are rejected."
)
_PAGES = Environment(
    loader=PackageLoader("nicobar.web.api", "templates"), autoescape=select_autoescape(), undefined=StrictUndefined
)
_PAGES.filters["json"] = lambda value: msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_ERRORS = {
    400: "The request is malformed.",
    401: "Missing or invalid API token.",
    403: "The token's scope does not allow this request.",
    404: "Not found, or outside the token's scope.",
    408: "The body did not arrive in time.",
    409: "Conflict with the current state.",
    413: "The body is too large.",
    422: "Invalid parameter or field.",
    429: "Too many requests. Retry after the time in `Retry-After`.",
    431: "The headers or the query string are too large.",
    503: "Temporarily unavailable. Nothing was changed. Retry later.",
}
_DONE = {
    200: "OK.",
    201: "Created.",
    202: "Accepted.",
    204: "Done. No content.",
}
_IDEMPOTENCY_KEY = {
    "name": "idempotency-key",
    "in": "header",
    "required": False,
    "description": "Makes retries safe: repeating a request with the same key returns the first response, for 12 "
    f"hours. Maximum {MAX_KEY_CHARS} characters.",
    "schema": {"type": "string", "maxLength": MAX_KEY_CHARS},
}
_SCHEMAS = "#/components/schemas/"
# Python's own JSON types; a document is a dictionary of anything.
Document = dict[str, Any]


def make_document(operations: Sequence[Operation]) -> Document:
    """The OpenAPI document of the documented operations."""
    rows = [operation for operation in operations if operation.documented]
    signatures = {operation: operation.signature(PROVIDERS) for operation in rows}
    schemas = _Schemas(
        [ErrorOut, ValidationErrorOut, *(kind for row in rows for kind in _types(row, signatures[row]))]
    )
    paths: dict[str, Document] = {}
    for row in rows:
        item = paths.setdefault(row.plain_path, {})
        item[row.method.lower()] = _described(row, signatures[row], schemas)
    return {
        "info": {"title": _TITLE, "version": nicobar.__version__, "description": _ABOUT},
        "openapi": "3.1.0",
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.named.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Schemas:
    """The schemas of types, which match msgspec's checks, including defaults."""

    def __init__(self, types: Sequence[Any]) -> None:
        found, self.named = msgspec.json.schema_components(types, ref_template=f"{_SCHEMAS}{{name}}")
        for schema in self.named.values():
            if "enum" in schema:
                schema.setdefault("type", "string" if isinstance(schema["enum"][0], str) else "integer")
        self._by_type = dict(zip(map(_key, types), found, strict=True))

    def of(self, kind: Any) -> Document:
        return dict(self._by_type[_key(kind)])


def _key(kind: Any) -> Any:
    """`bool | None` and `Optional[bool]` are equal, and so are types that differ only in their descriptions."""
    return str(kind)


def _types(row: Operation, signature: Signature) -> Iterator[Any]:
    """The types of an operation's parameters, request body and responses."""
    yield from (parameter.annotation for parameter in signature.query)
    yield from _path_types(row, signature).values()
    if signature.body is not None:
        yield signature.body
    for kinds in _answers(row, signature).values():
        yield from kinds


def _path_types(row: Operation, signature: Signature) -> dict[str, Any]:
    """The types of the path parameters in order: those of the handler, else those of its providers."""
    types = {parameter.argument: parameter.annotation for parameter in signature.path}
    for name in signature.given:
        types = {**PROVIDERS[name].path, **types}
    return {name: types[name] for name in row.path_names}


def _answers(row: Operation, signature: Signature) -> dict[int, tuple[Any, ...]]:
    """The possible types of the content by status; empty without content."""
    returned = tuple(kind for kind in content_types(signature.result) if kind is not type(None))
    described = {status: () if spec.content is None else (spec.content,) for status, spec in row.responses.items()}
    return {row.status: returned, **described}


def _described(row: Operation, signature: Signature, schemas: _Schemas) -> Document:
    """An operation in the document."""
    operation: Document = {
        "tags": list(row.tags),
        "summary": row.summary,
        "description": row.description,
        "operationId": row.id,
        "responses": _responses(row, signature, schemas),
        "security": [] if row.needs is Needs.NOTHING else [{"token": []}],
    }
    if parameters := list(_parameters(row, signature, schemas)):
        operation["parameters"] = parameters
    if signature.body is not None:
        schema = schemas.of(signature.body)
        _close(schema, schemas.named)
        operation["requestBody"] = {
            "required": _has_required(schema, schemas.named),
            "content": _content(schema, schemas),
        }
    return operation


def _content(schema: Document, schemas: _Schemas) -> Document:
    return {"application/json": {"schema": schema, "example": example_of(schema, schemas.named)}}


def _parameters(row: Operation, signature: Signature, schemas: _Schemas) -> Iterator[Document]:
    for name, kind in _path_types(row, signature).items():
        yield _parameter("path", name, schemas.of(kind), is_required=True)
    for parameter in signature.query:
        schema = schemas.of(parameter.annotation)
        if parameter.default is not None and not parameter.is_required:
            schema["default"] = msgspec.to_builtins(parameter.default)
        for name in parameter.names:
            yield _parameter("query", name, dict(schema), is_required=parameter.is_required)
    if row.method == "POST" and row.needs is not Needs.NOTHING:
        yield _IDEMPOTENCY_KEY


def _parameter(place: str, name: str, schema: Document, *, is_required: bool) -> Document:
    parameter: Document = {"name": name, "in": place, "required": is_required, "schema": schema}
    description = schema.pop("description", "") or next(
        (choice["description"] for choice in schema.get("anyOf", ()) if "description" in choice), ""
    )
    if description:
        parameter["description"] = description
    return parameter


def _responses(row: Operation, signature: Signature, schemas: _Schemas) -> Document:
    responses: Document = {}
    for status, kinds in _answers(row, signature).items():
        spec = row.responses.get(status)
        response: Document = {"description": spec.description if spec else _DONE[status]}
        if kinds:
            found = [schemas.of(kind) for kind in kinds]
            response["content"] = _content(found[0] if len(found) == 1 else {"oneOf": found}, schemas)
        responses[str(status)] = response
    statuses = {413, 431, 503} if row.needs is Needs.NOTHING else set(_ERRORS)
    if row.method == "GET":
        statuses.discard(409)
    for status in statuses:
        kind = ValidationErrorOut if status == HTTPStatus.UNPROCESSABLE_ENTITY else ErrorOut
        responses[str(status)] = {"description": _ERRORS[status], "content": _content(schemas.of(kind), schemas)}
    return dict(sorted(responses.items()))


def _close(part: object, schemas: Document) -> None:
    """Marks every object in a request as closed: `request_checks.py` rejects other fields."""
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
    """Whether the body is required: an empty body is read as `{}`."""
    if "$ref" in schema:
        return bool(schemas[str(schema["$ref"]).removeprefix(_SCHEMAS)].get("required"))
    choices = (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
    return all(_has_required(choice, schemas) for choice in choices)


def create_document(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """The operations that serve the document, as JSON and as a page."""
    cached: list[Document] = []

    def document() -> Document:
        if not cached:
            cached.append(make_document(operations))
        return cached[0]

    def page() -> str:
        return _PAGES.get_template("reference.html").render(document=document(), groups=_groups(document()))

    @get("/api/v1/openapi.json", documented=False, needs=Needs.NOTHING)
    async def openapi() -> Response[bytes]:
        return Response(await asyncio.to_thread(lambda: msgspec.json.encode(document())))

    @get("/api/v1/reference", documented=False, needs=Needs.NOTHING)
    async def reference() -> Response[str]:
        shown = await asyncio.to_thread(page)
        return Response(shown, media_type="text/html; charset=utf-8", headers={"content-security-policy": CSP})

    return openapi, reference


def _groups(document: Document) -> dict[str, list[tuple[str, str, Document]]]:
    """The operations by their tag: method, path, operation."""
    groups: dict[str, list[tuple[str, str, Document]]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            groups.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    return dict(sorted(groups.items()))
