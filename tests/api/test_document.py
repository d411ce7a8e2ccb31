"""The API's own OpenAPI document: complete, true of every answer, and shown by a page that needs nothing else."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import jsonschema_rs
import pytest

from asking import asking
from nicobar.api.app import API_HANDLERS, OPEN_HANDLERS
from nicobar.api.document import make_document

HERE = Path(__file__).parent
DOCUMENT = make_document((*OPEN_HANDLERS, *API_HANDLERS))
OPERATIONS = [
    (method.upper(), path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]
HANDLER = "function handler(webhook) { return webhook; }"


def test_every_operation_has_an_id_a_summary_a_description_and_its_statuses():
    assert DOCUMENT["openapi"].startswith("3.1")
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    for method, path, operation in OPERATIONS:
        assert operation["summary"], path
        assert operation["description"], path
        assert operation["tags"], path
        wanted = {"413", "503"} if not operation["security"] else {"400", "401", "403", "404", "422", "429"}
        assert wanted <= set(operation["responses"]), (method, path)
        assert all(response["description"] for response in operation["responses"].values()), path


def test_every_body_has_an_example_that_fits_its_schema():
    bodies = 0
    for _, _, operation in OPERATIONS:
        for body in (operation.get("requestBody", {}), *operation["responses"].values()):
            for content in body.get("content", {}).values():
                schema = {**content["schema"], "components": DOCUMENT["components"]}
                jsonschema_rs.validate(schema, content["example"], validate_formats=True)
                bodies += 1
    assert bodies > len(OPERATIONS)


def test_every_reference_is_there():
    names = set(re.findall(r"#/components/schemas/([\w.]+)", str(DOCUMENT["paths"])))
    assert names <= set(DOCUMENT["components"]["schemas"])
    assert not [name for name in DOCUMENT["components"]["schemas"] if "." in name]


async def test_the_document_and_its_page_need_no_token_and_nothing_from_elsewhere(tmp_path):
    async with asking(tmp_path) as api:
        served = await api.ask("GET", "/api/v1/openapi.json", token="")
        assert served.status == 200
        assert set(served.body["paths"]) == set(DOCUMENT["paths"])
        page = await api.ask("GET", "/api/v1/reference", token="")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        text = page.body.decode()
        assert all(operation["operationId"] in text for _, _, operation in OPERATIONS)
        assert not re.findall(r'(?:src|href)="(?!#|openapi\.json)', text)


@pytest.mark.timeout(600)  # thousands of requests
async def test_every_answer_is_one_that_the_document_has(tmp_path):
    """Schemathesis asks every operation what its schema allows and what it does not, with all of its checks."""
    async with asking(tmp_path, HANDLER, max_api_requests_per_s=100_000) as api:
        asked = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("st")),
            "--config-file",
            str(HERE / "schemathesis.toml"),
            "run",
            f"{api.url}/api/v1/openapi.json",
            "--header",
            f"Authorization: Bearer {api.token}",
            "--checks",
            "all",
            "--phases",
            "examples,coverage,fuzzing",
            "--seed",
            "1",
            "--no-color",
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asked.communicate()
    assert asked.returncode == 0, said.decode()[-6_000:]
    assert int(re.findall(r"(\d+) generated", said.decode())[0]) > 4_000


async def test_what_is_not_http_is_answered_in_the_shape_of_every_other_error(tmp_path):
    async with asking(tmp_path) as api:
        host, _, port = api.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"nonsense\r\n\r\n")
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith("HTTP/1.1 400")
    assert '"code":"request_invalid"' in answer
