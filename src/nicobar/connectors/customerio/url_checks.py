"""Why a call's URL is wrong: not of the Track API, no call of it, or an id in it that is not encoded. No such call is
sent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from nicobar.connectors.customerio import rules
from nicobar.connectors.customerio.error_checks import MAX_SHOWN_CHARS
from nicobar.connectors.customerio.track_api import ENTITY, V1Call
from nicobar.model import Call, Verdict

_PEOPLE = "/api/v1/customers/"
_OTHERS = ("/api/v1/", "/unsubscribe/")
# What ends an id, or servers read in different ways. Others, such as the | of some ids, arrive unchanged.
_NOT_ENCODED = re.compile(r"[^!-~]|[?#\\]|%(?![0-9A-Fa-f]{2})")
_WHAT_FOLLOWS_A_PERSON = frozenset({"events", "suppress", "unsuppress", "devices"})


def is_cut(call: V1Call, url: str) -> bool:
    """Whether the id in a URL would arrive as another one: a ? cuts it, a % that encodes nothing has no meaning."""
    return call.segments[0] == "customers" and (
        _NOT_ENCODED.search(url) is not None or _unreadable(url.partition(_PEOPLE)[2]) is not None
    )


def _unreadable(below: str) -> str | None:
    """The segment that servers decode in different ways or not at all: blank, dots, or not UTF-8. None if there is
    none.
    """
    for segment in below.split("/"):
        try:
            text = unquote_to_bytes(segment).decode()
        except UnicodeDecodeError:
            return segment
        if not text.strip() or text in {".", ".."}:
            return segment
    return None


def wrong_url(index: int, call: Call, path: str | None, bases: Sequence[str]) -> Verdict:
    """`path` is the path below one of `bases`, None if there is none that is safe."""
    below = next((call.url.removeprefix(base) for base in bases if call.url.startswith(f"{base}/")), None)
    if below is not None and below.startswith(_OTHERS):
        is_person = below.startswith(_PEOPLE)
        # Other calls may have a query.
        found = _NOT_ENCODED.search(below if is_person else below.partition("?")[0])
        if found is not None:
            return rules.PATH.at(
                f"[{index}].url",
                'The id in the URL contains "%(character)s", which is not encoded. It could reach another person.',
                "Encode the id: encodeURIComponent(id).",
                character=found[0],
            )
        unreadable = _unreadable(below.removeprefix(_PEOPLE)) if is_person else None
        if unreadable:
            return rules.PATH.at(
                f"[{index}].url",
                'The id "%(given)s" in the URL is blank, only dots or not UTF-8. It could reach another person.',
                "Check the field that the handler reads, and encode the id: encodeURIComponent(id).",
                given=unreadable[:MAX_SHOWN_CHARS],
            )
        if is_person and _has_slash(below.removeprefix(_PEOPLE)):
            return rules.PATH.at(
                f"[{index}].url",
                "The Track API has no %(method)s %(value)s. An id with a slash or dots must be encoded.",
                "Encode the id: encodeURIComponent(id).",
                method=call.method,
                value=below[:MAX_SHOWN_CHARS],
            )
    if path is None:
        return rules.HOST.at(
            f"[{index}].url",
            '"%(given)s" is not a URL of Customer.io\'s Track API. Credentials are only sent there.',
            "Use %(url)s.",
            given=call.url[:MAX_SHOWN_CHARS],
            url=bases[0] + ENTITY,
        )
    return rules.PATH.at(
        f"[{index}].url",
        "The Track API has no %(method)s %(value)s.",
        "Use POST %(url)s.",
        method=call.method,
        value=path[:MAX_SHOWN_CHARS],
        url=bases[0] + ENTITY,
    )


def _has_slash(below: str) -> bool:
    """Whether an id seems to be cut by a slash: a person's calls have names of their own after it."""
    parts = below.split("/")
    return ".." in parts or len(parts) > 3 or (len(parts) == 2 and parts[1] not in _WHAT_FOLLOWS_A_PERSON)  # noqa: PLR2004 - as in customers/ID/devices/TOKEN
