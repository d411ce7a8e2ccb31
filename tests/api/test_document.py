"""The API's own OpenAPI document: complete, true of every answer, and shown by a page that needs nothing else."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from functools import cache
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import settings

from support.api import asking
from support.operations import DOCUMENT, HANDLER, OPERATIONS, ask_each, create_things
from support.patience import PATIENCE_S

HERE = Path(__file__).parent


def test_every_operation_has_id_summary_description_and_statuses():
    assert DOCUMENT["openapi"].startswith("3.1")
    ids = [operation.id for operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    for operation in OPERATIONS:
        details = operation.details
        assert all((operation.id, details["summary"], details["description"], details["tags"])), operation.path
        wanted = {"413", "503"} if operation.is_open else {"400", "401", "403", "404", "422", "429"}
        assert wanted <= set(details["responses"]), operation.id
        assert all(response["description"] for response in details["responses"].values()), operation.id


@cache
def shape(schema: str) -> jsonschema_rs.Validator:
    """What a JSON schema of the document says; most are asked for again and again."""
    complete = {**json.loads(schema), "components": DOCUMENT["components"]}
    return jsonschema_rs.validator_for(complete, validate_formats=True)


def test_every_body_has_an_example_matching_its_schema():
    bodies = 0
    for operation in OPERATIONS:
        for body in (operation.details.get("requestBody", {}), *operation.details["responses"].values()):
            for content in body.get("content", {}).values():
                shape(json.dumps(content["schema"])).validate(content["example"])
                bodies += 1
    assert bodies > len(OPERATIONS)


def test_every_reference_exists():
    names = set(re.findall(r"#/components/schemas/([\w.]+)", str(DOCUMENT["paths"])))
    assert names <= set(DOCUMENT["components"]["schemas"])
    assert not [name for name in DOCUMENT["components"]["schemas"] if "." in name]


async def test_the_document_and_its_page_need_no_token_or_network(tmp_path):
    async with asking(tmp_path) as api:
        served = await api.ask("GET", "/api/v1/openapi.json", token="")
        assert served.status == 200
        assert set(served.body["paths"]) == set(DOCUMENT["paths"])
        page = await api.ask("GET", "/api/v1/reference", token="")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        text = page.body.decode()
        assert all(operation.id in text for operation in OPERATIONS)
        assert not re.findall(r'(?:src|href)="(?!#|openapi\.json)', text)


async def test_every_example_body_is_accepted_and_answered_as_documented(tmp_path):
    async with asking(tmp_path, HANDLER) as api:
        values = await create_things(api)
        with_bodies = [operation for operation in OPERATIONS if operation.has_body]
        refused = {}
        async for operation, answer in ask_each(api, with_bodies, values):
            if answer.status in {400, 422}:
                refused[operation.id] = answer.body["detail"]
            documented = operation.details["responses"][str(answer.status)].get("content", {})
            for media_type, content in documented.items():
                assert answer.headers["content-type"].startswith(media_type), operation.id
                shape(json.dumps(content["schema"])).validate(answer.body)
    assert refused == {}


@pytest.mark.slow
@pytest.mark.timeout(1_800)  # thousands of requests
async def test_every_answer_is_one_that_the_document_has(tmp_path):
    """Schemathesis sends valid and invalid requests to every operation, with all its checks. Except for deletions,
    the requests name existing objects. The test before sends the complete examples.
    """
    async with asking(tmp_path / "data", HANDLER, max_api_requests_per_s=100_000) as api:
        config = (HERE / "schemathesis.toml").read_text("utf-8")
        config = config.replace("MAX_EXAMPLES", str(max(2, settings.default.max_examples // 50)))
        for name, value in (await create_things(api)).items():
            config = config.replace(f"THE_{name.upper()}", value)
        (tmp_path / "schemathesis.toml").write_text(config)
        schemathesis = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("st")),
            "--config-file",
            str(tmp_path / "schemathesis.toml"),
            "run",
            f"{api.url}/api/v1/openapi.json",
            "--header",
            f"Authorization: Bearer {api.token}",
            "--checks",
            "all",
            "--phases",
            "coverage,fuzzing",
            "--seed",
            "1",
            "--request-timeout",
            str(PATIENCE_S),
            "--no-color",
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await schemathesis.communicate()
    assert schemathesis.returncode == 0, output.decode()[-6_000:]
    assert int(re.findall(r"(\d+) generated", output.decode())[0]) > 3_000


async def test_invalid_http_gets_the_common_error_format(tmp_path):
    async with asking(tmp_path) as api:
        host, _, port = api.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"nonsense\r\n\r\n")
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith("HTTP/1.1 400")
    assert '"code":"request_invalid"' in answer
