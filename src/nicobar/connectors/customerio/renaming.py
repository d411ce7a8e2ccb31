"""The names under which a handler's events and attributes are sent: an endpoint's settings `event_names`,
`attribute_names` and `name_prefix`. Applied last, so that event ids and warnings are about the handler's own names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from nicobar.connectors.customerio import rules, track_api
from nicobar.connectors.customerio.corrections import TEST_ATTRIBUTE
from nicobar.connectors.customerio.identification import BILLING_NAMES
from nicobar.connectors.customerio.track_api import V1Call
from nicobar.errors import UserError
from nicobar.model import Json, Record, Setting, Verdict

MAX_NAMES = 300
MAX_PRODUCT_NAMES = 1_000
MAX_PRODUCT_NAME_BYTES = 256
MAX_SHOWN_NAMES = 10
# What Customer.io reads itself, what describes a person everywhere, and what Nicobar adds or looks up.
_RESERVED = frozenset(
    {
        *track_api.READ_ATTRIBUTES,
        *track_api.OWN_ATTRIBUTES,
        *track_api.EVENT_IDENTIFIERS,
        *track_api.MAIL_PROPERTIES,
        *BILLING_NAMES.values(),
        "created_at",
        "name",
        "first_name",
        "last_name",
        TEST_ATTRIBUTE,
    }
)
_RESERVED_PREFIXES = ("_", "cio_")
# The attribute of the sender's customer id, which each source kind names.
_CUSTOMER_ID = "_customer_id"
_PREFIX = re.compile(r"(?!_|cio_)\w[\w -]{0,49}")


def is_reserved(name: str) -> bool:
    """Whether an attribute is never renamed, and none is renamed to it."""
    return name in _RESERVED or name.startswith(_RESERVED_PREFIXES) or name.endswith(_CUSTOMER_ID)


class Names(Record):
    """New names by the handler's. `prefix` is for the events and the attributes of people that have none: events and
    people are shared with the merchant's own app, the attributes of an event are not.
    """

    events: dict[str, str] = {}
    attributes: dict[str, str] = {}
    prefix: str = ""

    def of_object(self, path: str, item: dict[str, Json], verdicts: list[Verdict]) -> dict[str, Json]:
        """The v2 object to send: itself if nothing in it is renamed."""
        kind, action = item.get("type"), item.get("action")
        if kind not in ("person", "object") or not isinstance(action, str):
            return item
        is_identify = action in {"identify", "identify_anonymous"}
        if not is_identify and action not in track_api.EVENT_TYPES:
            return item
        if (kind, action) == ("person", "event"):
            item = self._event(path, item, verdicts)
        attributes = item.get("attributes")
        if isinstance(attributes, dict):
            prefix = self.prefix if kind == "person" and is_identify else ""
            renamed = self._attributes(f"{path}.attributes", attributes, prefix, verdicts)
            item = item if renamed is attributes else {**item, "attributes": renamed}
        return item

    def of_request(self, path: str, call: V1Call, payload: Json, verdicts: list[Verdict]) -> Json:
        """The payload of a v1 request to send: itself if nothing in it is renamed."""
        if not isinstance(payload, dict):
            return payload
        if call.body == "identify":
            return self._attributes(path, payload, self.prefix, verdicts)
        if call.body != "event":
            return payload
        if payload.get("type", "event") == "event":
            payload = self._event(path, payload, verdicts)
        data = payload.get("data")
        if isinstance(data, dict):
            renamed = self._attributes(f"{path}.data", data, "", verdicts)
            payload = payload if renamed is data else {**payload, "data": renamed}
        return payload

    def _event(self, path: str, item: dict[str, Json], verdicts: list[Verdict]) -> dict[str, Json]:
        name = item.get("name")
        if not isinstance(name, str) or not name.strip():  # an error
            return item
        new = self.events.get(name, self.prefix + name)
        if new == name:
            return item
        verdicts.append(
            rules.NAMES_CHANGED.at(
                f"{path}.name",
                "Nicobar sends the event as %(given)s.",
                "To send the handler's name, change `event_names` and `name_prefix` in the endpoint's settings.",
                given=new,
            )
        )
        return {**item, "name": new}

    def _attributes(
        self, path: str, attributes: dict[str, Json], prefix: str, verdicts: list[Verdict]
    ) -> dict[str, Json]:
        new = {name: self._attribute(name, prefix) for name in attributes}
        changed = [f"{name} → {to}" for name, to in new.items() if to != name]
        if not changed:
            return attributes
        verdicts.append(
            rules.NAMES_CHANGED.at(
                path,
                "Nicobar sends attributes under other names: %(given)s.",
                "To send the handler's names, change `attribute_names` and `name_prefix` in the endpoint's settings.",
                given=", ".join(changed[:MAX_SHOWN_NAMES]) + (", …" if len(changed) > MAX_SHOWN_NAMES else ""),
            )
        )
        chosen = {to: name for name, to in new.items() if name in self.attributes}
        renamed: dict[str, Json] = {}
        for name, value in attributes.items():
            to = new[name]
            if chosen.get(to, name) != name:
                verdicts.append(_taken(f"{path}.{name}", name, chosen[to], to))
                continue
            renamed[to] = value
        return renamed

    def _attribute(self, name: str, prefix: str) -> str:
        if is_reserved(name):
            return name
        new = self.attributes.get(name, prefix + name)
        return name if is_reserved(new) else new


def _taken(path: str, name: str, other: str, to: str) -> Verdict:
    return rules.NAME_TAKEN.at(
        path,
        "`attribute_names` gives %(other)s the name %(to)s, which %(name)s has, too. Nicobar omits %(name)s.",
        "Choose another name in the endpoint's settings.",
        name=name,
        other=other,
        to=to,
    )


def read_names(values: Mapping[str, Setting]) -> Names:
    """The names of an endpoint's settings. Raises UserError."""
    prefix = str(values["name_prefix"])
    if prefix and not _PREFIX.fullmatch(prefix):
        raise UserError(
            "names_invalid",
            "Invalid name_prefix: %(given)s.",
            "Use up to 50 letters, digits, underscores, hyphens and spaces. Start with a letter or a digit, and not "
            "with cio_.",
            given=repr(prefix[:MAX_PRODUCT_NAME_BYTES]),
        )
    events = read_map("event_names", values, MAX_NAMES, track_api.MAX_EVENT_NAME_BYTES)
    attributes = read_map("attribute_names", values, MAX_NAMES, track_api.MAX_ATTRIBUTE_NAME_BYTES)
    for name, to in attributes.items():
        for given in (name, to):
            if is_reserved(given):
                raise UserError(
                    "names_invalid",
                    "attribute_names contains %(given)s, a name that Customer.io or Nicobar reads.",
                    "Remove the line, or choose another name.",
                    given=repr(given),
                )
    if len(set(attributes.values())) < len(attributes):
        twice = next(to for to in attributes.values() if list(attributes.values()).count(to) > 1)
        raise UserError(
            "names_invalid",
            "attribute_names gives two attributes the name %(given)s.",
            "Choose different names: of two attributes with one name, only one would be sent.",
            given=repr(twice),
        )
    return Names(events=events, attributes=attributes, prefix=prefix)


def read_map(setting: str, values: Mapping[str, Setting], max_names: int, max_bytes: int) -> dict[str, str]:
    """The names of one setting. Raises UserError."""
    names = values[setting]
    if not isinstance(names, dict):
        return {}
    if len(names) > max_names:
        raise UserError(
            "names_invalid",
            "%(setting)s has more than %(max_names)s names.",
            "Remove some.",
            setting=setting,
            max_names=max_names,
        )
    for name, to in names.items():
        if "=" in name or not _is_usable(name, max_bytes) or not _is_usable(to, max_bytes):
            raise UserError(
                "names_invalid",
                "Invalid name in %(setting)s: %(given)s.",
                "Names have 1 to %(max_bytes)s bytes, without line breaks and without spaces at either end. The name "
                "to replace cannot contain an equals sign.",
                setting=setting,
                given=repr(f"{name} = {to}"[: 2 * MAX_PRODUCT_NAME_BYTES]),
                max_bytes=max_bytes,
            )
    return names


def _is_usable(name: str, max_bytes: int) -> bool:
    is_one_line = name.isprintable() and name == name.strip() != ""
    return is_one_line and len(name.encode("utf-8", "surrogatepass")) <= max_bytes
