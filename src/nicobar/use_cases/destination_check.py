"""Checks of a destination before it is stored: its address, and the host that credentials belong to."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from nicobar.addresses import AllowedAddresses, origin_of
from nicobar.connectors import FieldKind
from nicobar.connectors.fields import address_error
from nicobar.connectors.registry import connector
from nicobar.errors import UserError
from nicobar.model import Endpoint, Setting
from nicobar.people import outline, rule_of
from nicobar.store import PutEndpoint


def check_address(
    allowed: AllowedAddresses,
    kind: str,
    settings: Mapping[str, Setting],
    before: Mapping[str, Setting] | None = None,
) -> None:
    """Raises UserError for a URL whose host is an address that requests may not reach. An endpoint that has this
    origin already may keep it, so that its other settings can be changed: its deliveries are on hold.
    """
    url = connector(kind).url(settings)
    if before is not None and origin_of(url) == origin_of(connector(kind).url(before)):
        return
    refused = allowed.refused_literal(url)
    if refused is not None:
        raise address_error(refused)


def check_stored(
    kind: str,
    settings: Mapping[str, Setting],
    before: Mapping[str, Setting],
    *,
    credentials: Collection[str] = (),
    headers: Collection[str] = (),
    variables: Collection[str] = (),
    kind_before: str | None = None,
) -> None:
    """Raises UserError if stored credentials, headers or secret variables (given by name) would be sent to a host
    that they were not entered for. A signing secret may stay: it is never sent, and anyone with access to the URL may
    read it. `kind_before` is the connector of the settings `before`, the same one by default.
    """
    old = connector(kind_before or kind).credentials_host(before)
    new = connector(kind).credentials_host(settings)
    names = [
        *sent_secrets(kind, credentials),
        *(f"header {name}" for name in headers),
        *(f"variable {name}" for name in variables),
    ]
    if old != new and names:
        raise UserError(
            "credentials_host_changed",
            "The stored credentials belong to %(old)s and are not sent to %(new)s.",
            "Enter these again, or remove them: %(names)s.",
            old=old,
            new=new,
            names=", ".join(names),
        )


def sent_secrets(kind: str, names: Collection[str]) -> list[str]:
    """The credentials that are sent with requests, in the order of the form."""
    fields = connector(kind).fields
    return [
        field.name for field in fields if field.kind is FieldKind.SECRET and not field.signs and field.name in names
    ]


def redirected(before: Endpoint, after: PutEndpoint) -> str:
    """The change of an endpoint's URL, and of what identifies people there, for the audit log; empty without one."""
    return "; ".join(filter(None, (_moved(before, after), _identified(before, after))))


def _moved(before: Endpoint, after: PutEndpoint) -> str:
    """Paths and queries may hold secrets, so only origins are named."""
    old = connector(before.connector).url(before.settings)
    new = connector(after.connector).url(after.settings)
    if old == new:
        return ""
    if origin_of(old) == origin_of(new):
        return f"URL changed at {origin_of(new)}"
    return f"URL changed from {origin_of(old)} to {origin_of(new)}"


def _identified(before: Endpoint, after: PutEndpoint) -> str:
    old, new = (outline(rule_of(endpoint.settings)) for endpoint in (before, after))
    return "" if old == new else f"identify_by changed from {old} to {new}"
