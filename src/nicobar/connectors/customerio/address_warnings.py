"""Warnings about a customer's email address that depend on the workspace's settings, which Nicobar does not read:
they say "may".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import unquote

from nicobar.connectors import Origin
from nicobar.connectors.customerio import rules
from nicobar.connectors.customerio.identification import Identification
from nicobar.connectors.customerio.parts import ObjectPart, SinglePart
from nicobar.model import Json, Verdict
from nicobar.people import email_identifier


def address_warnings(
    parts: Sequence[ObjectPart | SinglePart], origin: Origin, identification: Identification
) -> Iterator[Verdict]:
    """Warnings about calls that give the customer an address which another one has, or which is a new one; one of
    each kind. Customer.io answers 200 and may leave the person without it.
    """
    address = email_identifier(origin.customer.email) if origin.customer else ""
    if not address or not (origin.shares_address or origin.changed_address):
        return
    given = next((path for part in parts if (path := _given_by(part, address))), None)
    if given is not None and origin.shares_address:
        yield rules.SHARED_ADDRESS.at(
            given,
            "Another customer of the sender has the same email address. If the workspace uses email as an "
            "identifier, Customer.io may leave this person without it, and then sends no emails.",
            'Set "Identify people by" (`identify_by`) to email or to an ID of your own: both customers are then one '
            "person.",
        )
    if given is not None and origin.changed_address:
        yield rules.CHANGED_ADDRESS.at(
            given,
            "The customer's email address is another one than before. Customer.io may not change it through the id.",
            "Allow updates to email using the ID in Customer.io's workspace settings, or change the address there.",
        )
    elif origin.changed_address and (path := _about(parts, identification)):
        yield rules.CHANGED_ADDRESS.at(
            path,
            "The customer's email address is another one than before. Customer.io may create a new person for it; "
            "the earlier person keeps the history.",
            "Merge the two people on the customer's page, or identify people by an ID of your own (`identify_by`).",
        )


def _given_by(part: ObjectPart | SinglePart, address: str) -> str | None:
    """Where a call gives this address to a person who is identified by something else."""
    if isinstance(part, ObjectPart):
        identifiers, attributes = part.item.get("identifiers"), part.item.get("attributes")
        is_identify = part.item.get("type") == "person" and part.item.get("action") == "identify"
        path = f"{part.path or '[0].payload'}.attributes.email"
    else:
        identifiers, attributes = _of_path(part), part.payload
        is_identify = part.call.body == "identify"
        path = f"{part.path}.email"
    if not is_identify or not isinstance(attributes, dict) or not isinstance(identifiers, dict):
        return None
    is_same = _is_address(attributes.get("email"), address) and not _is_address(identifiers.get("email"), address)
    return path if is_same else None


def _about(parts: Sequence[ObjectPart | SinglePart], identification: Identification) -> str | None:
    """Where a call is about the customer, who is identified by the address."""
    if identification.person is None or identification.person.kind != "email":
        return None
    for part in parts:
        identifiers = part.item.get("identifiers") if isinstance(part, ObjectPart) else _of_path(part)
        if identification.is_person(identifiers):
            return f"{part.path or '[0].payload'}.identifiers" if isinstance(part, ObjectPart) else part.path
    return None


def _of_path(part: SinglePart) -> Json:
    """The person in the path of a v1 call: an address, or something else."""
    segments = part.url_path.partition("?")[0].split("/")
    if part.call.segments[0] != "customers":
        return None
    value = unquote(segments[4])
    return {"email": value} if "@" in value else {"id": value}


def _is_address(value: Json, address: str) -> bool:
    return isinstance(value, str) and email_identifier(value) == address
