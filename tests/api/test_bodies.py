"""A body is optional if all its fields are; any other error names the missing field."""

from __future__ import annotations

import pytest

from support.api import asking
from support.operations import DOCUMENT, HANDLER, OPERATIONS, UNKNOWN, ask_each, create_things


def test_the_document_marks_optional_bodies():
    may = {operation.id for operation in OPERATIONS if operation.has_body and not operation.needs_body}
    assert {"nicobar.endpoint.pause", "v1.authentication.app-portal-access", "v1.message.search"} <= may
    assert not {"v1.endpoint.recover", "v1.message.create", "v1.application.create"} & may
    assert DOCUMENT["components"]["schemas"]["EndpointIn"]["additionalProperties"] is False


async def test_every_operation_without_its_body_works_or_names_a_field(tmp_path):
    async with asking(tmp_path, HANDLER) as api:
        values = await create_things(api)
        with_bodies = [operation for operation in OPERATIONS if operation.has_body]
        wrong = {}
        async for operation, answer in ask_each(api, with_bodies, values, lambda _: None):
            if operation.needs_body:
                right = answer.status == 422 and "is missing the field" in str(answer.body)
            else:
                # Where one of several fields is needed, the answer names it.
                right = answer.status != 400
                if answer.status == 422:
                    right = len(answer.body["detail"][0]["loc"]) > 1
            if not right:
                wrong[operation.id] = (answer.status, answer.body)
        assert wrong == {}


@pytest.mark.parametrize("body", [b"", b" \n"])
async def test_pausing_needs_no_body(tmp_path, body):
    async with asking(tmp_path, HANDLER) as api:
        (endpoint,) = api.nicobar.runtime.configuration.snapshot.endpoints
        path = f"{api.app}/endpoint/{endpoint.id}"
        assert (await api.ask("POST", f"{path}/pause", body)).status == 204
        assert (await api.ask("GET", f"{path}/queue")).body["pausedReason"] == "paused by hand"
        answer = await api.ask("POST", f"{path}/recover", body)
        assert answer.status == 422
        assert answer.body["detail"][0]["msg"] == 'The body is missing the field "since".'


async def test_every_operation_without_a_body_rejects_one(tmp_path):
    bodies = ((b'{"made_up": 1}', 422), (b"[1]", 422), (b'"x"', 422), (b"not json", 400), (b"\xff", 400))
    without = [operation for operation in OPERATIONS if not operation.has_body]
    names = {operation.id for operation in without}
    assert {"v1.message.expunge-all-contents", "v1.application.delete", "v1.endpoint.get"} <= names
    wrong = {}
    async with asking(tmp_path, HANDLER) as api:
        for body, status in bodies:
            answers = ask_each(api, without, UNKNOWN, lambda _, body=body: body, content_type="application/json")
            async for operation, answer in answers:
                if answer.status != status:
                    wrong[operation.id, body] = (answer.status, answer.body)
    assert wrong == {}


async def test_an_operation_without_a_body_accepts_an_empty_one(tmp_path):
    async with asking(tmp_path, HANDLER) as api:
        for body in (b"", b" \n", b"{}", b" {} ", b"null"):
            for method, path, status in (
                ("GET", f"{api.app}/msg", 200),
                ("POST", f"{api.app}/msg/expunge-all-contents", 202),
                ("DELETE", f"{api.app}/endpoint/nobody", 404),
            ):
                answer = await api.ask(method, path, body, content_type="application/json")
                assert (body, path, answer.status) == (body, path, status)
