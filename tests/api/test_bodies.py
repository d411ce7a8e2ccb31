"""A body whose fields are all optional may be left out; any other says which field is missing."""

from __future__ import annotations

import re

import pytest

from api.test_document import DOCUMENT, OPERATIONS, things
from support.api import asking

HANDLER = "function handler(webhook) { return webhook; }"


def required(operation) -> bool:
    body = operation.get("requestBody", {"required": False})
    return bool(body["required"])


def test_the_document_says_which_bodies_may_be_left_out():
    may = {
        operation["operationId"]
        for _, _, operation in OPERATIONS
        if "requestBody" in operation and not required(operation)
    }
    assert {"nicobar.endpoint.pause", "v1.authentication.app-portal-access", "v1.message.search"} <= may
    assert not {"v1.endpoint.recover", "v1.message.create", "v1.application.create"} & may
    assert DOCUMENT["components"]["schemas"]["EndpointIn"]["additionalProperties"] is False


async def test_every_operation_without_its_body_works_or_names_a_field(tmp_path):
    async with asking(tmp_path, HANDLER) as api:
        known = await things(api)
        values = {
            "app_id": known["application"],
            "endpoint_id": known["endpoint"],
            "source_id": known["source"],
            "msg_id": known["message"],
            "event_type_name": "payment.succeeded",
            "version": "1",
        }
        wrong = {}
        for method, path, operation in OPERATIONS:
            if "requestBody" not in operation:
                continue
            answer = await api.ask(method, path.format(**values))
            if required(operation):
                said = str(answer.body)
                right = answer.status == 422 and "missing required field" in said
            else:
                # Where one of several fields is needed, the answer names it.
                right = answer.status != 400
                if answer.status == 422:
                    right = len(answer.body["detail"][0]["loc"]) > 1
            if not right:
                wrong[operation["operationId"]] = (answer.status, answer.body)
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
        assert answer.body["detail"][0]["msg"] == "Object missing required field `since`"


async def test_every_operation_without_a_body_rejects_one(tmp_path):
    bodies = ((b'{"made_up": 1}', 422), (b"[1]", 422), (b'"x"', 422), (b"not json", 400), (b"\xff", 400))
    without = {
        operation["operationId"]: (method, re.sub(r"{\w+}", "nobody", path.replace("{version}", "1")))
        for method, path, operation in OPERATIONS
        if "requestBody" not in operation
    }
    assert {"v1.message.expunge-all-contents", "v1.application.delete", "v1.endpoint.get"} <= set(without)
    wrong = {}
    async with asking(tmp_path, HANDLER) as api:
        for name, (method, path) in without.items():
            for body, status in bodies:
                answer = await api.ask(method, path, body, content_type="application/json")
                if answer.status != status:
                    wrong[name, body] = (answer.status, answer.body)
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
