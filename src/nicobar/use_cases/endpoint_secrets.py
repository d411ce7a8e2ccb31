"""What of an endpoint is secret: variables that are marked so, and headers unless they are marked public."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from msgspec import UnsetType

from nicobar.connectors import is_credential
from nicobar.crypto import Vault
from nicobar.errors import StoreUnusable, UserError
from nicobar.pipeline.configuration import endpoint_variables, seal_variables
from nicobar.store import PutEndpoint
from nicobar.use_cases.bounds import MAX_VARIABLES, out_of_bounds


def with_variables(
    put: PutEndpoint,
    vault: Vault,
    *,
    variables: Mapping[str, str] | UnsetType,
    secret: Mapping[str, str | None] | UnsetType,
    references: Mapping[str, str] | UnsetType,
) -> PutEndpoint:
    """The endpoint with these variables; unset ones stay. Secret ones that are not named stay, and None removes one.
    A variable that becomes secret is no longer a plain one. Raises UserError for a name that is both.
    """
    given = {} if isinstance(secret, UnsetType) else secret
    stored = _stored(put, vault, may_be_lost=bool(given))
    after = {name: value for name, value in stored.items() if name not in given}
    after |= {name: value for name, value in given.items() if value is not None}
    if isinstance(variables, UnsetType):
        plain = {name: value for name, value in put.variables.items() if name not in after}
    else:
        plain = dict(variables)
    check_variables(plain, after)
    if isinstance(references, UnsetType):
        references = {name: env for name, env in put.variable_references.items() if name not in given}
    return msgspec.structs.replace(
        put,
        variables=plain,
        # Unchanged ones keep their bytes, so that nothing counts as a change.
        sealed_variables=put.sealed_variables if after == stored else seal_variables(vault, put.id, after),
        variable_references={name: env for name, env in references.items() if name in after},
    )


def kept_variables(put: PutEndpoint, vault: Vault, secret: Mapping[str, str | None] | UnsetType) -> list[str]:
    """The names of stored secret variables that a change does not set or remove."""
    given = {} if isinstance(secret, UnsetType) else secret
    return [name for name in _stored(put, vault, may_be_lost=True) if name not in given]


def check_variables(plain: Collection[str], secret: Collection[str]) -> None:
    """Raises UserError for a name that is both, and for too many."""
    both = sorted(set(plain) & set(secret))
    if both:
        raise UserError(
            "variable_secret",
            "%(names)s is a secret variable.",
            "Change its value under the secret variables, or remove it there first.",
            names=", ".join(both),
        )
    if len(plain) + len(secret) > MAX_VARIABLES:
        raise out_of_bounds("variables")


def checked_public(
    public: Collection[str], headers: Mapping[str, str], kept: Collection[str] = ()
) -> tuple[str, ...]:
    """The names of public headers, in lower case, without those of no header. Raises UserError for headers that carry
    credentials, and for those of `kept` (in lower case): their stored values would be revealed.
    """
    names = {name.lower() for name in headers}
    wanted = tuple(dict.fromkeys(name.lower() for name in public if name.lower() in names))
    for name in wanted:
        if is_credential(name):
            raise UserError(
                "header_secret",
                "Header %(name)s carries credentials and cannot be public.",
                "Leave it secret.",
                name=name,
            )
        if name in kept:
            raise UserError(
                "header_secret",
                "Header %(name)s is secret, and its value is not shown.",
                "To make it public, enter its value.",
                name=name,
            )
    return wanted


def _stored(put: PutEndpoint, vault: Vault, *, may_be_lost: bool) -> dict[str, str]:
    """The stored ones. Sealed with a lost key they are none if new ones are given, which is the cure."""
    try:
        return endpoint_variables(vault, put)
    except StoreUnusable:
        if not may_be_lost:
            raise
        return {}
