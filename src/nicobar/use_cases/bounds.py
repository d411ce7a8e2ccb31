"""Limits of names, lists and other values, the same in every interface, and the errors for values outside them."""

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
MAX_SENDER_IDS = 100
MAX_SENDER_ID_CHARS = 256
MAX_MESSAGES_PER_S = 65_535
MAX_HEADERS = 50
MAX_HEADER_NAME_CHARS = 256
MAX_HEADER_VALUE_CHARS = 4_096
MAX_SETTING_CHARS = 65_536
MAX_SETTING_NAMES = 1_000
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
        description="Your own id.",
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
SenderId = Annotated[
    str,
    Meta(pattern=r"^[^\s,]+$", min_length=1, max_length=MAX_SENDER_ID_CHARS, examples=["bus_0NQldTgMalr0lMlleIqsX"]),
]
MetadataValue = Annotated[str, Meta(max_length=4_096)]
Metadata = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=256)], MetadataValue],
    Meta(max_length=50, description="Your own key-value pairs."),
]
Description = Annotated[str, Meta(max_length=65_536)]
EndpointName = Annotated[
    str, Meta(min_length=1, max_length=MAX_NAME_CHARS, description="Display name; defaults to the uid, or the id.")
]
MessagesPerS = Annotated[int, Meta(ge=1, le=MAX_MESSAGES_PER_S, description="Maximum messages per second.")]
SettingNames = Annotated[
    dict[Annotated[str, Meta(max_length=MAX_NAME_CHARS)], Annotated[str, Meta(max_length=MAX_NAME_CHARS)]],
    Meta(max_length=MAX_SETTING_NAMES),
]
SettingValue = Annotated[str, Meta(max_length=MAX_SETTING_CHARS)] | int | bool | SettingNames
Settings = dict[str, SettingValue]
HeaderName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9!#$%&'*+\-.^_`|~]+$", max_length=MAX_HEADER_NAME_CHARS)]
HeaderValue = Annotated[str, Meta(pattern=r"^[ -~]*$", max_length=MAX_HEADER_VALUE_CHARS)]
VariableName = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
VariableValue = Annotated[str, Meta(max_length=MAX_VARIABLE_CHARS)]
SecretVariableValue = Annotated[str, Meta(min_length=1, max_length=MAX_VARIABLE_CHARS)]
SecretVariables = Annotated[dict[VariableName, SecretVariableValue], Meta(max_length=MAX_VARIABLES)]
Variables = Annotated[dict[VariableName, VariableValue], Meta(max_length=MAX_VARIABLES)]
SourceName = Annotated[str, Meta(min_length=MIN_SOURCE_NAME_CHARS, max_length=MAX_NAME_CHARS, examples=["shop-live"])]
SourceUid = Annotated[
    str,
    Meta(
        pattern=r"^(?!src_)[a-zA-Z0-9_\-]+$",
        min_length=1,
        max_length=MAX_SOURCE_UID_CHARS,
        description="Your own id.",
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


def out_of_bounds(field: str) -> UserError:  # noqa: C901, PLR0911 - an error for each field
    """The error for a field of a record whose value is outside its bounds."""
    match field:
        case "name":
            return UserError(
                "name_invalid",
                "Invalid name: must have 1 to %(max_name_chars)s characters.",
                "Choose another name.",
                max_name_chars=MAX_NAME_CHARS,
            )
        case "source_name":
            return UserError(
                "name_invalid",
                "Invalid source name: must have %(min_source_name_chars)s to %(max_name_chars)s characters.",
                "Choose another name.",
                min_source_name_chars=MIN_SOURCE_NAME_CHARS,
                max_name_chars=MAX_NAME_CHARS,
            )
        case "uid":
            return UserError(
                "uid_invalid",
                "Invalid uid: only letters, digits, '-', '_' and '.' are allowed.",
                "Use at most %(max_uid_chars)s characters, or %(max_source_uid_chars)s for a source.",
                max_uid_chars=MAX_UID_CHARS,
                max_source_uid_chars=MAX_SOURCE_UID_CHARS,
            )
        case "max_messages_per_s":
            return UserError(
                "rate_invalid",
                "Invalid rate: must be an integer from 1 to %(max_messages_per_s)s.",
                "Enter the messages per second.",
                max_messages_per_s=MAX_MESSAGES_PER_S,
            )
        case "event_types":
            return UserError(
                "event_types_invalid",
                "The filter has an invalid event type, or more than %(max_event_types)s event types.",
                "Change the filter.",
                max_event_types=MAX_EVENT_TYPES,
            )
        case "business_ids" | "brand_ids":
            return UserError(
                "scope_invalid",
                "The ID of a business or brand is invalid, or there are more than %(max_sender_ids)s.",
                "Enter IDs as the sender writes them, without spaces and commas.",
                max_sender_ids=MAX_SENDER_IDS,
            )
        case "mode":
            return UserError("mode_invalid", "Unknown mode.", "Use live or test.")
        case "settings":
            return UserError(
                "settings_invalid",
                "A setting is longer than %(max_setting_chars)s characters, has more than %(max_setting_names)s "
                "names, or has a name of more than %(max_name_chars)s characters.",
                "Shorten it.",
                max_setting_chars=MAX_SETTING_CHARS,
                max_setting_names=MAX_SETTING_NAMES,
                max_name_chars=MAX_NAME_CHARS,
            )
        case "variables" | "secret_variables":
            return UserError(
                "variables_invalid",
                "A variable is too long, a secret one is empty, or there are more than %(max_variables)s variables.",
                "Names can have up to %(max_name_chars)s characters, values up to %(max_variable_chars)s.",
                max_variables=MAX_VARIABLES,
                max_name_chars=MAX_NAME_CHARS,
                max_variable_chars=MAX_VARIABLE_CHARS,
            )
        case "headers":
            return UserError(
                "headers_invalid",
                "A header is invalid, or there are more than %(max_headers)s headers.",
                "Values can have up to %(max_header_value_chars)s printable ASCII characters.",
                max_headers=MAX_HEADERS,
                max_header_value_chars=MAX_HEADER_VALUE_CHARS,
            )
        case "secrets":
            return UserError(
                "secrets_invalid",
                "A source can have at most %(max_source_secrets)s signing secrets.",
                "Remove the oldest ones.",
                max_source_secrets=MAX_SOURCE_SECRETS,
            )
        case _:
            return UserError(
                "value_invalid", "The value of %(field)s is out of range.", "Change the value.", field=field
            )
