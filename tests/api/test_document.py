"""The API's own document names everything that it offers."""

from __future__ import annotations

import re

import jsonschema_rs

from asking import asking
from nicobar.api.app import API_HANDLERS, OPEN_HANDLERS


async def test_the_document_and_the_page_are_served_to_anybody_and_have_every_operation(tmp_path):
    async with asking(tmp_path) as api:
        document = await api.ask("GET", "/api/v1/openapi.json", token="")
        page = await api.ask("GET", "/api/v1/reference", token="")
    assert (document.status, page.status) == (200, 200)
    assert document.body["openapi"].startswith("3.1")
    schemas = document.body["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/([^\"']+)", str(document.body))) <= schemas.keys()
    assert "Page_MessageOut_" in schemas
    assert not [name for name in schemas if "." in name]
    operations = [one for item in document.body["paths"].values() for one in item.values()]
    assert {one["operationId"] for one in operations} == {one.operation_id for one in (*OPEN_HANDLERS, *API_HANDLERS)}
    for one in operations:
        assert one["summary"], one
        assert one["description"], one["operationId"]
        assert one["tags"], one["operationId"]
        assert any(status.startswith("2") for status in one["responses"]), one["operationId"]
        assert one["operationId"].encode() in page.body or one["summary"].encode() in page.body
        for body in (one.get("requestBody", {}), *one["responses"].values()):
            for content in body.get("content", {}).values():
                schema = {**content["schema"], "components": document.body["components"]}
                jsonschema_rs.validate(schema, content["example"], validate_formats=True)
