"""Payloads that are no JSON, such as XML: text that receivers get unchanged.

They are posted in the parameters of a message, as the public clients' `message_in_raw` does.
"""

from __future__ import annotations

from nicobar.errors import UserError
from nicobar.model import Json, Record

RAW_PAYLOAD = "rawPayload"
MAX_CONTENT_TYPE_CHARS = 256
_HEADERS, _CONTENT_TYPE = "headers", "content-type"
_DEFAULT_TYPE = "application/json"  # as for all other payloads


class RawPayload(Record):
    """What is sent instead of a message's payload, and the media type that it is sent as."""

    text: str
    content_type: str


def raw_payload(params: Json) -> RawPayload | None:
    """The raw payload in the parameters of a message; None without one. Raises UserError for one that cannot be
    sent unchanged.
    """
    if not isinstance(params, dict) or RAW_PAYLOAD not in params:
        return None
    text = params[RAW_PAYLOAD]
    if not isinstance(text, str):
        raise UserError("raw_payload_invalid", "rawPayload is not text.", "Send the payload as a JSON string.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            "raw_payload_invalid",
            "rawPayload has half of a surrogate pair, which cannot be sent unchanged.",
            "Send whole characters.",
        ) from error
    return RawPayload(text=text, content_type=_content_type(params.get(_HEADERS)))


def _content_type(headers: Json) -> str:
    """The media type in the parameters' headers. Others would be lost, so they are rejected."""
    if headers is None:
        return _DEFAULT_TYPE
    if not isinstance(headers, dict) or any(name.lower() != _CONTENT_TYPE for name in headers) or len(headers) > 1:
        raise UserError(
            "raw_payload_invalid",
            "The headers of a raw payload have other entries than content-type.",
            "Send other headers with the endpoint, or set them in its transformation.",
        )
    given = next(iter(headers.values()), _DEFAULT_TYPE)
    if not isinstance(given, str) or not _is_header_value(given):
        raise UserError(
            "raw_payload_invalid",
            "Invalid content-type %(given)s of a raw payload.",
            "Send a media type, such as application/xml.",
            given=repr(given)[:MAX_CONTENT_TYPE_CHARS],
        )
    return given


def _is_header_value(text: str) -> bool:
    return 0 < len(text) <= MAX_CONTENT_TYPE_CHARS and text.isascii() and text.isprintable()
