"""Errors of the API say what is wrong, with the value, and what to do."""

from __future__ import annotations

import pytest

from support.api import asking


@pytest.fixture
async def api(tmp_path):
    async with asking(tmp_path) as it:
        yield it


async def text_of(api, method: str, path: str, body: object = None) -> str:
    """The text of an error."""
    detail = (await api.ask(method, path, body)).body["detail"]
    return detail if isinstance(detail, str) else " ".join(item["msg"] for item in detail)


async def test_a_missing_object_is_named(api):
    assert await text_of(api, "GET", "/api/v1/app/shop") == (
        'Application "shop" not found. Check the ID and the scope of the token.'
    )


async def test_an_invalid_parameter_is_explained_with_its_value(api):
    texts = {
        "limit=999": 'limit must be at most 250, not "999".',
        "limit=x": 'limit must be an integer, not "x".',
        "with_content=maybe": 'with_content must be true or false, not "maybe".',
        "before=soon": 'before is not a time: "soon". Use RFC 3339: 2026-03-01T09:30:00Z.',
        "iterator=zzz": 'Invalid iterator "zzz". Use the iterator of a previous page.',
        f"tag={'x' * 200}": "tag must have at most 128 characters.",
    }
    assert {query: await text_of(api, "GET", f"{api.app}/msg?{query}") for query in texts} == texts
    assert await text_of(api, "GET", "/api/v1/app?order=up") == (
        'order must be one of ascending, descending, not "up".'
    )
    assert await text_of(api, "GET", f"{api.app}/customer/timeline") == "key is required."


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, 'The body is missing the field "name".'),
        ({"name": ""}, "name must have at least 1 character."),
        ({"name": 5}, "name must be text, not an integer."),
        ({"name": "a", "uid": "a b"}, r"uid must match the pattern ^[a-zA-Z0-9\-_.]+$."),
        ({"name": "a", "metadata": {"a": 5}}, "a value in metadata must be text, not an integer."),
        ([], "The body must be an object, not a list."),
        (b"{nonsense", "The body is not valid JSON: object keys must be strings (byte 1). Send JSON in UTF-8."),
        (b'{"name": "', "The body is not valid JSON: it ends too early. Send JSON in UTF-8."),
    ],
)
async def test_an_invalid_body_is_explained(api, body, text):
    assert await text_of(api, "POST", "/api/v1/app", body) == text


async def test_numbers_and_enums_are_quoted_and_secrets_are_not(api):
    token = {"name": "ci", "scope": "wide"}
    assert (await text_of(api, "POST", "/api/v1/auth/token", token)).endswith('application_messages, not "wide".')
    endpoint = {"url": "http://127.0.0.1:9/", "throttleRate": 0}
    assert await text_of(api, "POST", f"{api.app}/endpoint", endpoint) == "throttleRate must be at least 1, not 0."
    endpoint = {"url": "http://127.0.0.1:9/", "secret": "hunter2"}
    assert "hunter2" not in await text_of(api, "POST", f"{api.app}/endpoint", endpoint)
