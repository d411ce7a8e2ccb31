"""Bounds of what an owner can set, the same through every interface, and the errors for values outside of them."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from nicobar.errors import UserError
from nicobar.model import Record

MAX_NAME_CHARS = 256
MIN_SOURCE_NAME_CHARS = 2
MAX_UID_CHARS = 256
MAX_SOURCE_UID_CHARS = 60
MAX_EVENT_TYPES = 500
MAX_CHANNELS = 10
MAX_MESSAGES_PER_S = 65_535
MAX_HEADERS = 50
MAX_HEADER_NAME_CHARS = 256
MAX_HEADER_VALUE_CHARS = 4_096
MAX_SETTING_CHARS = 65_536
MAX_VARIABLES = 100
MAX_VARIABLE_CHARS = 8_192
MAX_SOURCE_SECRETS = 2
MAX_PAUSE_REASON_CHARS = 500

UID_PATTERN = re.compile(r"[a-zA-Z0-9\-_.]{1,256}")
Uid = Annotated[
    str,
    Meta(
        pattern=r"^[a-zA-Z0-9\-_.]+$",
        min_length=1,
        max_length=MAX_UID_CHARS,
        description="Your own id for it.",
        examples=["unique-identifier"],
    ),
]
EventTypeName = Annotated[
    str,
    Meta(
        pattern=r"^[\w\-./]+$",
        min_length=1,
        max_length=256,
        description="The event type's name: letters and digits of any script, and `. - _ /`.",
        examples=["payment.succeeded"],
    ),
]
Channel = Annotated[
    str, Meta(pattern=r"^[a-zA-Z0-9\-_.:+]+$", min_length=1, max_length=128, examples=["project_123"])
]
MetadataValue = Annotated[str, Meta(max_length=4_096)]
Metadata = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=256)], MetadataValue],
    Meta(max_length=50, description="Texts of your own, by name."),
]
Description = Annotated[str, Meta(max_length=65_536)]
EndpointName = Annotated[
    str, Meta(min_length=1, max_length=MAX_NAME_CHARS, description="Display name; defaults to the uid, or the id.")
]
MessagesPerS = Annotated[int, Meta(ge=1, le=MAX_MESSAGES_PER_S, description="Maximum messages per second.")]
SettingValue = Annotated[str, Meta(max_length=MAX_SETTING_CHARS)] | int | bool
Settings = dict[str, SettingValue]
HeaderName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9!#$%&'*+\-.^_`|~]+$", max_length=MAX_HEADER_NAME_CHARS)]
HeaderValue = Annotated[str, Meta(pattern=r"^[ -~]*$", max_length=MAX_HEADER_VALUE_CHARS)]
VariableName = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
VariableValue = Annotated[str, Meta(max_length=MAX_VARIABLE_CHARS)]
Variables = Annotated[dict[VariableName, VariableValue], Meta(max_length=MAX_VARIABLES)]
SourceName = Annotated[str, Meta(min_length=MIN_SOURCE_NAME_CHARS, max_length=MAX_NAME_CHARS, examples=["shop-live"])]
SourceUid = Annotated[
    str,
    Meta(
        pattern=r"^(?!src_)[a-zA-Z0-9_\-]+$",
        min_length=1,
        max_length=MAX_SOURCE_UID_CHARS,
        description="Your own id for it.",
    ),
]


def check_bounds(record: Record) -> None:
    """Raises UserError for a value outside its bounds: records that are built in code have not been checked."""
    given = {
        field: value for field in record.__struct_fields__ if (value := getattr(record, field)) is not msgspec.UNSET
    }
    try:
        msgspec.convert(given, type(record))
    except msgspec.ValidationError as error:
        found = re.search(r"`\$\.(\w+)", str(error))
        raise out_of_bounds(found[1] if found else "") from error


def out_of_bounds(field: str) -> UserError:  # noqa: PLR0911 - an error for each field
    """The error for a field of a record whose value is outside its bounds."""
    match field:
        case "name":
            return UserError("name_invalid", f"A name has 1 to {MAX_NAME_CHARS} characters.", "Choose another name.")
        case "source_name":
            return UserError(
                "name_invalid",
                f"The name of a source has {MIN_SOURCE_NAME_CHARS} to {MAX_NAME_CHARS} characters.",
                "Choose another name.",
            )
        case "uid":
            return UserError(
                "uid_invalid",
                "A uid has letters, digits, '-', '_' and '.' only, and a limited length.",
                "Choose another uid.",
            )
        case "max_messages_per_s":
            return UserError(
                "rate_invalid",
                f"The rate is not a whole number from 1 to {MAX_MESSAGES_PER_S}.",
                "Give the messages per second.",
            )
        case "event_types":
            return UserError(
                "event_types_invalid",
                f"The filter has an invalid event type, or more than {MAX_EVENT_TYPES}.",
                "Change the filter.",
            )
        case "settings":
            return UserError(
                "settings_invalid", f"A setting has more than {MAX_SETTING_CHARS} characters.", "Change the setting."
            )
        case "variables":
            return UserError(
                "variables_invalid",
                f"A variable is invalid, or there are more than {MAX_VARIABLES}.",
                f"Names have at most {MAX_NAME_CHARS} characters, values at most {MAX_VARIABLE_CHARS}.",
            )
        case "headers":
            return UserError(
                "headers_invalid",
                f"A header is invalid, or there are more than {MAX_HEADERS}.",
                f"Values have at most {MAX_HEADER_VALUE_CHARS} printable ASCII characters.",
            )
        case "secrets":
            return UserError(
                "secrets_invalid",
                f"A source has at most {MAX_SOURCE_SECRETS} signing secrets.",
                "Leave the oldest ones out.",
            )
        case _:
            return UserError("value_invalid", f"The value of {field} is outside its limits.", "Change the value.")
