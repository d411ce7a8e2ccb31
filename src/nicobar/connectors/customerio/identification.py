"""Whom calls are about: the sender's customer becomes the person that the endpoint's rule says, and what must not be
written to such a person is left out. Event ids are derived before, from what the handler wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote

from nicobar.connectors import Origin
from nicobar.connectors.customerio import rules, track_api
from nicobar.connectors.customerio.error_checks import as_identifier, find_action
from nicobar.connectors.customerio.person_paths import fits_path, not_in_path, of_path
from nicobar.connectors.customerio.track_api import V1Call
from nicobar.model import Json, Verdict
from nicobar.people import (
    UNKNOWN_CUSTOMER,
    IdentifyBy,
    IdentityRule,
    NoIdentity,
    Person,
    PersonOrigin,
    email_identifier,
    metadata_identifier,
    resolve,
)
from nicobar.reasons import Reason

if TYPE_CHECKING:
    from nicobar.connectors.customerio.corrections import Corrections

# The calls of a person whose identifier is replaced. Others cannot be undone, or are about a device.
REPLACED_ACTIONS = frozenset({"identify", *track_api.EVENT_TYPES, *track_api.RELATIONSHIP_ACTIONS})
REPLACED_V1_BODIES = frozenset({"identify", "event"})
# Attributes of people identified by metadata, which buyers may set: with another person's id in it, these would give
# that person the buyer's address.
OWN_NAMES = ("email", "id", "name", "phone")
BILLING_NAMES = {"email": "billing_email", "name": "billing_name", "phone": "billing_phone"}


class Identification:
    """Identifies the people of one message's calls, and adds what it changes to `verdicts`. `no_identity` says why
    no person is identified, once a call would have needed it.
    """

    def __init__(
        self,
        rule: IdentityRule | None,
        wanted: Corrections,
        origin: Origin,
        verdicts: list[Verdict],
    ) -> None:
        self._rule = rule
        self._origin = origin
        self._verdicts = verdicts
        self._wanted = wanted
        self._found = resolve(rule, origin.customer) if rule is not None else None
        self._is_told = False
        self.no_identity: Reason | None = None
        # The customer at the destination; None without a rule, and if no person is identified.
        self.person = self._found if isinstance(self._found, Person) else None
        self._is_buyer = self.person is not None and self.person.origin is PersonOrigin.METADATA
        # Whether the customer is identified by what buyers may set: then they get no email, id or name, or do
        # nevertheless.
        self.protects = self._is_buyer and not wanted.trust_metadata
        self.trusts_buyer = self._is_buyer and wanted.trust_metadata

    @property
    def replaced(self) -> Person | None:
        """The person that calls about the customer are sent for; None where they stay as the handler writes them."""
        return self.person if self._wanted.identifier else None

    @property
    def customer_identifiers(self) -> dict[str, Json]:
        """How calls name the customer; empty if they cannot."""
        customer = self._origin.customer
        if self._found is None or not self._wanted.identifier:
            return {} if customer is None else {"id": customer.key}
        return {self._found.kind: self._found.value} if isinstance(self._found, Person) else {}

    @property
    def has_invalid_address(self) -> bool:
        """Whether the customer has something for an email address that cannot be one."""
        customer = self._origin.customer
        return customer is not None and bool((customer.email or "").strip()) and not email_identifier(customer.email)

    def has_earlier_address(self, identifiers: Json) -> bool:
        """Whether an earlier event has given the person with these identifiers the customer's address: Nicobar adds
        the customer's profile to every event that has one.
        """
        is_by_sender = self._rule is None or (self.person and self.person.origin is PersonOrigin.CUSTOMER_ID)
        is_known = self._wanted.profile and self._origin.has_known_address
        return bool(is_by_sender) and is_known and self._names_customer(identifiers)

    def is_person(self, identifiers: Json) -> bool:
        """Whether these are the identifiers of the customer at the destination."""
        person = self.person
        if person is None or not isinstance(identifiers, dict) or identifiers.keys() != {person.kind}:
            return False
        given = identifiers[person.kind]
        if person.kind == "email":
            return isinstance(given, str) and email_identifier(given) == person.value
        return given == person.value

    def of_object(self, path: str, item: dict[str, Json]) -> dict[str, Json]:
        """The v2 object to send."""
        action = find_action(item)
        if action is None or self._rule is None:
            return item
        if action.type == "object":
            return self._with_related_people(path, item)
        if action.type != "person":
            return item
        if action.action not in REPLACED_ACTIONS:
            named = [item.get(field) for field in ("identifiers", "primary", "secondary")]
            self._note_kept(path, action.action, named)
            return item
        if "identifiers" not in item:  # an error
            return item
        identifiers = self._identified(f"{path}.identifiers", item["identifiers"])
        item = {**item, "identifiers": identifiers}
        attributes = item.get("attributes", {})
        if action.action == "identify" and isinstance(attributes, dict):
            kept = self._attributes(f"{path}.attributes", attributes, identifiers)
            if kept is not attributes:
                item["attributes"] = kept
        return item

    def of_request(self, path: str, call: V1Call, url_path: str, payload: Json) -> tuple[str, Json]:
        """The path and the payload of a v1 request to send; `path` is the location of the payload."""
        if self._rule is None:
            return url_path, payload
        if call.segments[0] != "customers" or call.body not in REPLACED_V1_BODIES:
            self._note_kept(path, "/".join(call.segments), self._named_by(call, url_path, payload))
            return url_path, payload
        start, _, query = url_path.partition("?")
        segments = start.split("/")
        named = self._of_path(unquote(segments[4]))
        identifiers = self._identified(f"{path.rpartition('.')[0]}.url", named)
        if identifiers is not named and isinstance(identifiers, dict):
            ((kind, value),) = identifiers.items()
            if not fits_path(kind, str(value)):
                self._verdicts.append(not_in_path(f"{path.rpartition('.')[0]}.url", kind))
                return url_path, payload
            segments[4] = quote(str(value), safe="")
            url_path = "/".join(segments) + (f"?{query}" if query else "")
        if call.body == "identify" and isinstance(payload, dict):
            payload = self._attributes(path, payload, identifiers)
        return url_path, payload

    def _of_path(self, value: str) -> dict[str, Json]:
        """The identifier in a v1 path."""
        if self._origin.customer is not None and value == self._origin.customer.key:
            return {"id": value}
        if self._is_buyer and self.person is not None and value == self.person.value:
            # A buyer has chosen which person of Customer.io that is.
            return {"id": value}
        kind, value = of_path(value)
        return {kind: value}

    def _names_customer(self, identifiers: Json) -> bool:
        customer = self._origin.customer
        if identifiers == UNKNOWN_CUSTOMER:
            return True
        if customer is None or not isinstance(identifiers, dict) or identifiers.keys() != {"id"}:
            return False
        return identifiers["id"] == customer.key

    def _identified(self, path: str, identifiers: Json) -> Json:
        """The identifiers to send for these."""
        is_unknown = identifiers == UNKNOWN_CUSTOMER
        if not is_unknown and not (self._wanted.identifier and self._names_customer(identifiers)):
            if self.is_person(identifiers):
                self._tell()
            return identifiers
        if isinstance(self._found, NoIdentity):
            self.no_identity = self._found.reason
            return identifiers
        if self._found is None:  # there is a rule
            raise AssertionError(path)
        self._tell()
        replaced: dict[str, Json] = {self._found.kind: self._found.value}
        if replaced == identifiers:
            return identifiers
        self._verdicts.append(
            rules.IDENTIFIER_REPLACED.at(
                path,
                "The endpoint identifies people by %(identify_by)s. Nicobar sends the customer's %(kind)s instead of "
                "the sender's customer ID %(customer)s.",
                'To send identifiers unchanged, turn off "Identify the customer" (`correct_identifier`) in the '
                "endpoint's settings.",
                identify_by=str(self._rule),
                kind=self._found.kind,
                customer=self._origin.customer.key if self._origin.customer else "",
            )
        )
        return replaced

    def _with_related_people(self, path: str, item: dict[str, Json]) -> dict[str, Json]:
        """An object whose relationships name people."""
        related = item.get("cio_relationships")
        if not isinstance(related, list):
            return item
        kept: list[Json] = []
        for number, one in enumerate(related):
            named = one.get("identifiers") if isinstance(one, dict) else None
            identifiers = self._identified(f"{path}.cio_relationships[{number}].identifiers", named)
            is_same = identifiers is named or not isinstance(one, dict)
            kept.append(one if is_same or not isinstance(one, dict) else {**one, "identifiers": identifiers})
        return {**item, "cio_relationships": kept}

    def _named_by(self, call: V1Call, url_path: str, payload: Json) -> Sequence[Json]:
        """The people whom a v1 request names that stays as it is."""
        if call.segments[0] == "customers":
            return [self._of_path(unquote(url_path.partition("?")[0].split("/")[4]))]
        if not isinstance(payload, dict):
            return ()
        match call.body:
            case "merge":
                return [payload.get("primary"), payload.get("secondary")]
            case "segment":
                ids = payload.get("ids")
                kind = parse_qs(url_path.partition("?")[2]).get("id_type", ["id"])
                return [{"id": it} for it in ids] if kind == ["id"] and isinstance(ids, list) else ()
            case "form":
                data = payload.get("data")
                return [{"id": data["id"]}] if isinstance(data, dict) and "id" in data else ()
        return ()

    def _note_kept(self, path: str, action: str, named: Sequence[Json]) -> None:
        """Warnings about a call whose identifiers stay as they are."""
        if self.protects and any(map(self.is_person, named)):
            self._verdicts.append(
                rules.CHOSEN_BY_METADATA.at(
                    path,
                    "The call %(action)s is about a person identified by metadata, which buyers may set: with the id "
                    "of another person in it, that person is changed. Nicobar does not change such calls.",
                    'If only your server sets the metadata, turn on "Trust the metadata" (`trust_metadata`) in the '
                    "endpoint's settings.",
                    action=action,
                )
            )
        if not (self._wanted.identifier and any(map(self._names_customer, named))):
            return
        person, customer = self.person, self._origin.customer
        if person is not None and customer is not None and (person.kind, person.value) == ("id", customer.key):
            return
        self._verdicts.append(
            rules.IDENTIFIER_KEPT.at(
                path,
                "The call %(action)s names the sender's customer ID, but the endpoint identifies people by "
                "%(identify_by)s, so it may not reach the customer. Nicobar does not change such calls.",
                "Use the identifier of your workspace in the handler.",
                action=action,
                identify_by=str(self._rule),
            )
        )

    def _attributes(self, path: str, attributes: dict[str, Json], identifiers: Json) -> dict[str, Json]:
        """The attributes that an identify call sets: the same object if they are unchanged."""
        if not self.is_person(identifiers):
            if (
                self._is_buyer
                and self.person is not None
                and as_identifier(attributes.get("id")) == self.person.value
            ):
                return self._of_other(path, attributes)
            is_own = self._gives_own_id(attributes, identifiers)
            return self._without_id(path, attributes) if is_own else attributes
        kept = self._in_one_spelling(path, attributes)
        if self.person is not None and self.person.kind == "email" and "id" in attributes:
            kept = self._without_id(path, kept)
        elif self._is_buyer:
            kept = self._of_buyer(path, attributes)
        name = self._origin.customer_id_attribute
        has_room = len(kept) < track_api.MAX_ATTRIBUTES
        if self._wanted.profile and name and name not in kept and has_room and self._origin.customer is not None:
            kept = {**kept, name: self._origin.customer.key}
            self._verdicts.append(
                rules.CUSTOMER_ID_ADDED.at(
                    f"{path}.{name}",
                    "Nicobar adds the sender's customer ID as the attribute %(name)s.",
                    'To omit it, turn off "Keep profiles up to date" (`keep_profile`) in the endpoint\'s settings.',
                    name=name,
                )
            )
        return kept

    def _gives_own_id(self, attributes: dict[str, Json], identifiers: Json) -> bool:
        """Whether a person identified by email would get the sender's customer id, though others identify people."""
        customer, rule = self._origin.customer, self._rule
        if customer is None or rule is None or rule.by is IdentifyBy.CUSTOMER_ID:
            return False
        is_by_email = isinstance(identifiers, dict) and identifiers.keys() == {"email"}
        return is_by_email and as_identifier(attributes.get("id")) == customer.key

    def _without_id(self, path: str, attributes: dict[str, Json]) -> dict[str, Json]:
        self._verdicts.append(
            rules.ID_DROPPED.at(
                f"{path}.id",
                "The person is identified by email. Nicobar omits the attribute `id`: with an id that is not your "
                "app's, your app would create a second person.",
                "Remove `id`, or send it under another name.",
            )
        )
        return {name: value for name, value in attributes.items() if name != "id"}

    def _in_one_spelling(self, path: str, attributes: dict[str, Json]) -> dict[str, Json]:
        """The attributes with the email as in the identifier: another spelling might count as a change of it."""
        email = attributes.get("email")
        person = self.person
        if person is None or person.kind != "email" or not isinstance(email, str) or email == person.value:
            return attributes
        if email_identifier(email) != person.value:
            return attributes
        self._verdicts.append(
            rules.IDENTIFIER_REPLACED.at(
                f"{path}.email",
                "The attribute `email` is the person's identifier in another spelling. Nicobar sends it trimmed and "
                "in lower case.",
                "Nothing to do.",
            )
        )
        return {**attributes, "email": person.value}

    def _of_buyer(self, path: str, attributes: dict[str, Json]) -> dict[str, Json]:
        """The attributes of a person identified by metadata."""
        given = [name for name in OWN_NAMES if name in attributes]
        if self.trusts_buyer:
            self._verdicts.extend(metadata_trusted(path, given))
        if self.trusts_buyer or not given:
            return attributes
        kept = {
            BILLING_NAMES.get(name, name): value
            for name, value in attributes.items()
            if name != "id" and not (name in BILLING_NAMES and BILLING_NAMES[name] in attributes)
        }
        self._verdicts.append(
            rules.ATTRIBUTES_RENAMED.at(
                path,
                "The person is identified by metadata, which buyers may set. Nicobar sends `email`, `name` and "
                "`phone` as `billing_email`, `billing_name` and `billing_phone`, and omits `id`. "
                "Attributes: %(names)s.",
                'If only your server sets the metadata, turn on "Trust the metadata" (`trust_metadata`) in the '
                "endpoint's settings.",
                names=", ".join(given),
            )
        )
        return kept

    def _of_other(self, path: str, attributes: dict[str, Json]) -> dict[str, Json]:
        """The attributes of a person who would get the id that the metadata says."""
        if self.trusts_buyer:
            self._verdicts.extend(metadata_trusted(path, ["id"]))
            return attributes
        self._verdicts.append(
            rules.ATTRIBUTES_RENAMED.at(
                f"{path}.id",
                "The attribute `id` is that of the metadata, which buyers may set. Nicobar omits it: with the id of "
                "another person, the two could become one.",
                'If only your server sets the metadata, turn on "Trust the metadata" (`trust_metadata`) in the '
                "endpoint's settings.",
            )
        )
        return {name: value for name, value in attributes.items() if name != "id"}

    def _tell(self) -> None:
        """Says once how the customer was identified, if it is not as the endpoint's rule says."""
        person, rule, customer = self.person, self._rule, self._origin.customer
        if self._is_told or person is None or rule is None or customer is None:
            return
        self._is_told = True
        if person.origin is PersonOrigin.FALLBACK:
            self._verdicts.append(
                rules.IDENTITY_FALLBACK.at(
                    "[0].payload",
                    "The metadata of customer %(customer)s has no %(key)s, so Nicobar identifies them by email.",
                    "Pass %(key)s in the metadata of your checkout. To send nothing instead, set `identify_fallback` "
                    "to reject.",
                    customer=customer.key,
                    key=rule.key,
                )
            )
        other = metadata_identifier(self._origin.other_metadata.get(rule.key)) if rule.key else ""
        if person.origin is PersonOrigin.METADATA and other not in {"", person.value}:
            self._verdicts.append(
                rules.SEVERAL_IDS.at(
                    "[0].payload",
                    "Customer %(customer)s was seen with two values of %(identify_by)s: %(other)s and %(value)s. The "
                    "events of one customer then go to two people.",
                    "Find out which one is right. Buyers may set the metadata of static payment links.",
                    customer=customer.key,
                    identify_by=str(rule),
                    other=other,
                    value=person.value,
                )
            )


def metadata_trusted(path: str, names: Sequence[str]) -> Iterator[Verdict]:
    """The warning that a person identified by metadata gets an email, id or name, if one is among the names."""
    given = [name for name in OWN_NAMES if name in names]
    if given:
        yield rules.METADATA_TRUSTED.at(
            path,
            "The person is identified by metadata, which buyers may set, and gets: %(names)s. With the id of "
            "another person in the metadata, that person's address changes.",
            'Unless only your server sets the metadata, turn off "Trust the metadata" (`trust_metadata`) in the '
            "endpoint's settings.",
            names=", ".join(given),
        )
