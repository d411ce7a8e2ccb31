"""Types shared by the API's bodies, with the names and limits of the public Svix API: camelCase names, RFC 3339
times.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from nicobar.clock import utc_time
from nicobar.model import Record
from nicobar.reasons import Reason
from nicobar.use_cases import bounds

T = TypeVar("T")


class Shape(Record, rename="camel"):
    """A body. `request_checks.py` rejects requests with unknown fields."""


class Page(Shape, Generic[T]):
    """One page of a list. Pass `iterator` as the parameter `iterator` to get the next page, or `prevIterator` to get
    the previous page. `done` is true if there are no more items in that direction.
    """

    data: list[T]
    iterator: str | None
    prev_iterator: str | None
    done: bool


class ErrorOut(Shape):
    """An error. `code` is stable. `detail` explains what happened and what to do."""

    code: Annotated[str, Meta(examples=["not_found"])]
    detail: Annotated[str, Meta(examples=['Application "shop" not found. Check the ID and the scope of the token.'])]


class ValidationDetail(Shape):
    """An invalid parameter or field: its location (`loc`), an explanation (`msg`) and the kind of error (`type`)."""

    loc: Annotated[list[str], Meta(examples=[["body", "name"]])]
    msg: Annotated[str, Meta(examples=["name must have at least 1 character."])]
    type: Annotated[str, Meta(examples=["value_error"])]


class ValidationErrorOut(Shape):
    """A validation error, with each invalid parameter or field."""

    code: Annotated[str, Meta(examples=["validation"])]
    detail: list[ValidationDetail]


UID_PATTERN = bounds.UID_PATTERN
Uid = bounds.Uid
EventTypeName = bounds.EventTypeName
Channel = bounds.Channel
MetadataValue = bounds.MetadataValue
Metadata = bounds.Metadata
Description = bounds.Description
_ID = r"[A-Za-z0-9]{27}$"
AppId = Annotated[str, Meta(pattern=rf"^app_{_ID}", examples=["app_2yZwUhtgs5Ai8T9yRQJXA0000aa"])]
EndpointId = Annotated[str, Meta(pattern=rf"^ep_{_ID}", examples=["ep_2yZwUhtgs5Ai8T9yRQJXA0000aa"])]
SourceId = Annotated[str, Meta(pattern=rf"^src_{_ID}", examples=["src_2yZwUhtgs5Ai8T9yRQJXA0000aa"])]
MessageId = Annotated[str, Meta(pattern=rf"^msg_{_ID}", examples=["msg_2yZwUhtgs5Ai8T9yRQJXA0000aa"])]
LedgerCustomerId = Annotated[
    str, Meta(min_length=1, max_length=256, description="The sender's ID of a customer whose ledger is read.")
]
TaskId = Annotated[str, Meta(pattern=rf"^qtask_{_ID}", examples=["qtask_2yZwUhtgs5Ai8T9yRQJXA0000aa"])]
TokenId = Annotated[str, Meta(pattern=r"^tok_[A-Za-z0-9]{27}$", examples=["tok_2yZwUhtgs5Ai8T9yRQJXA0000aa"])]
Tag = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9\-_./\\#]+$", min_length=1, max_length=128, examples=["project_1337"])]
# A field of the public Svix API without an effect here; accepting a value would promise one.
Unsupported = Annotated[None, Meta(description="Not supported. Must be null or omitted.")]
Moment = Annotated[datetime, Meta(tz=True, examples=["2026-03-01T09:30:00Z"])]


def moment(at_ms: int) -> datetime:
    """A time in Unix milliseconds as the API returns it."""
    return utc_time(at_ms)


S = TypeVar("S", bound=Record)


def patched(current: S, changes: Record) -> S:
    """The record with the given fields replaced."""
    given = {
        name: value for name in changes.__struct_fields__ if (value := getattr(changes, name)) is not msgspec.UNSET
    }
    return msgspec.structs.replace(current, **given)


def given_names(names: Sequence[str] | None) -> tuple[str, ...]:
    """A filter as stored: empty means all."""
    return tuple(dict.fromkeys(names or ()))


def text_of_reason(why: Reason | None) -> str | None:
    """A reason as the API returns it: in English, with its values."""
    return None if why is None else why.text()
