"""Rows of operations: their routes, the arguments of their handlers, and their answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import pytest
from msgspec import Meta
from structlog.testing import capture_logs

from nicobar.errors import Refusal, StoreUnavailable
from nicobar.model import Record
from nicobar.web.api.errors import render
from nicobar.web.middleware.errors import Errors
from nicobar.web.middleware.response_headers import ResponseHeaders
from nicobar.web.operations import Operation, Response, get, post
from nicobar.web.parameters import Name, read_path, read_query
from nicobar.web.providers import Handlers, Provider
from nicobar.web.routing import Routes
from support.asgi import ask


class Item(Record):
    name: str


@get("/items/{key}")
async def show_item(key: str, suffix: str) -> Item:
    return Item(name=key + suffix)


@get("/items/new")
async def show_new() -> Response[str]:
    return Response("new", media_type="text/plain", cookies=("a=1", "b=2"))


@post("/items/{key}")
async def change_item(key: str) -> None:
    raise Refusal(409, "conflict", f"{key} is being changed.", "Retry.", retry_after_s=2)


@post("/items/{key}/links")
async def fail_at_link(key: str) -> None:
    raise RuntimeError


@post("/items")
async def fail() -> None:
    raise RuntimeError("secret")


async def supply_suffix(request: str) -> str:
    return f" of {request}"


OPERATIONS = [show_item, show_new, change_item, fail_at_link, fail]


def application():
    handlers: Handlers[str] = Handlers(OPERATIONS, {"suffix": Provider(supply_suffix)})

    async def call(operation: Operation, scope) -> Response:
        arguments, _ = read_path(handlers.signature(operation).path, scope["path_params"])
        return await handlers.call(operation, scope["method"], arguments)

    def render(scope, error) -> Response:
        status = error.status if isinstance(error, Refusal) else 500
        return Response({"code": error.code, "detail": str(error)}, status=status)

    return Errors(Routes(OPERATIONS, call), render)


async def test_a_handler_gets_path_parameters_and_provided_values():
    answer = await ask(application(), "GET", "/items/a")
    assert (answer.status, answer.json) == (200, {"name": "a of GET"})
    assert answer.headers["content-type"] == "application/json"
    assert (await ask(application(), "GET", "/items/a/")).status == 200


async def test_a_named_path_precedes_a_parameter():
    answer = await ask(application(), "GET", "/items/new")
    assert (answer.body, answer.headers["content-type"]) == (b"new", "text/plain")


async def test_other_methods_get_the_allowed_ones():
    answer = await ask(application(), "DELETE", "/items/a")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, OPTIONS, POST")
    answer = await ask(application(), "OPTIONS", "/items/a")
    assert (answer.status, answer.headers["allow"], answer.body) == (204, "GET, OPTIONS, POST", b"")
    assert "content-length" not in answer.headers


async def test_errors_become_answers():
    answer = await ask(application(), "POST", "/items/a")
    assert (answer.status, answer.headers["retry-after"], answer.json["code"]) == (409, "2", "conflict")
    answer = await ask(application(), "GET", "/nothing")
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    answer = await ask(application(), "POST", "/items")
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert b"secret" not in answer.body


async def test_a_failure_is_logged_without_what_the_path_holds():
    with capture_logs() as lines:
        assert (await ask(application(), "POST", "/items/secret/links")).status == 500
    assert [(line["event"], line["path"]) for line in lines] == [("request failed", "/items/{key}/links")]


async def test_the_api_logs_each_failure_once():
    async def call(operation: Operation, scope) -> Response:
        if operation is fail:
            raise RuntimeError
        raise StoreUnavailable("full", "The disk is full.", "Free some space.")

    app = Errors(Routes(OPERATIONS, call), render)
    for method, path, code, is_shown in (("POST", "/items", "internal", True), ("GET", "/items/a", "full", False)):
        with capture_logs() as lines:
            await ask(app, method, path)
        assert [(line["code"], line["exc_info"] is not None) for line in lines] == [(code, is_shown)]


async def test_an_application_names_missing_routes_itself():
    def no_route(scope, status) -> Refusal:
        return Refusal(status, "no_page", "There is no such page.", "")

    def render(scope, error) -> Response:
        return Response({"code": error.code}, status=error.status)

    answer = await ask(Errors(Routes([show_new], None), render, no_route=no_route), "POST", "/items/new")
    assert (answer.status, answer.json["code"], answer.headers["allow"]) == (405, "no_page", "GET, OPTIONS")


async def test_headers_are_added_unless_an_answer_has_its_own():
    async def call(operation: Operation, scope) -> Response:
        return Response("x", headers={"cache-control": "public"} if scope["path"] == "/a" else {})

    routes = Routes([get("/a")(show_new), get("/b")(show_new)], call)
    app = ResponseHeaders(routes, always={"x-frame": "no"}, unless_set={"cache-control": "no-store"})
    for path, cached in (("/a", "public"), ("/b", "no-store")):
        answer = await ask(app, "GET", path)
        assert (answer.headers["x-frame"], answer.headers["cache-control"]) == ("no", cached)


async def list_items(
    *,
    limit: Annotated[int, Meta(ge=1, le=9)] = 5,
    since: datetime | None = None,
    kinds: list[str] | None = None,
    is_new: Annotated[bool, Name("isNew", "is_new")] = False,
    key: str,
) -> None: ...


def read(**values: list[str]):
    signature = get("/items")(list_items).signature(())
    return read_query(signature.query, values)


def test_a_query_is_read_by_the_types_of_its_parameters():
    arguments, wrong = read(limit=["3"], kinds=["a", "b"], is_new=["true"], isNew=["0"], key=["x", "y"])
    assert arguments == {"limit": 3, "kinds": ["a", "b"], "is_new": True, "key": "y"}
    assert wrong == []
    arguments, _ = read(since=["2026-03-01T09:30:00Z"], key=["x"])
    assert arguments["since"].year == 2026


def test_every_wrong_query_parameter_is_named():
    arguments, wrong = read(limit=["10"], since=["12"], isNew=["perhaps"])
    assert arguments == {}
    assert [(item.place, item.name) for item in wrong] == [
        ("query", "limit"),
        ("query", "since"),
        ("query", "isNew"),
        ("query", "key"),
    ]
    assert wrong[0].reason == 'must be at most 9, not "10"'


async def show_unsupplied(services: Item) -> None: ...


def test_an_argument_that_nothing_supplies_is_an_error():
    with pytest.raises(TypeError, match="services"):
        Handlers([get("/")(show_unsupplied)], {})
