"""The connectors: a line each. The first one is the default of `nicobar transform`."""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.connectors import Connector, Recipe
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.http import HttpEndpoint
from nicobar.errors import UserError

CONNECTORS: list[Connector] = [
    CustomerIo(),
    HttpEndpoint(),
]


def connector(kind: str) -> Connector:
    """Raises UserError for a kind that does not exist."""
    for candidate in CONNECTORS:
        if candidate.kind == kind:
            return candidate
    raise UserError(
        "unknown_connector",
        "There is no connector %(kind)s.",
        "The connectors are %(kinds)s.",
        kind=repr(kind),
        kinds=", ".join(candidate.kind for candidate in CONNECTORS),
    )


def recipes(connectors: Sequence[Connector], source_kinds: Sequence[str] = ()) -> tuple[Recipe, ...]:
    """The connectors' ready-made handlers. With `source_kinds` those that are for them; all if none is."""
    every = tuple(recipe for connector in connectors for recipe in connector.recipes)
    return tuple(recipe for recipe in every if recipe.source_kind in source_kinds) or every


def find_recipe(name: str, connectors: Sequence[Connector]) -> Recipe:
    """Raises UserError for a name that does not exist."""
    every = recipes(connectors)
    for recipe in every:
        if recipe.name == name:
            return recipe
    names = ", ".join(recipe.name for recipe in every)
    raise UserError(
        "recipe_unknown", "There is no recipe %(name)s.", "There are: %(known)s.", name=repr(name), known=names
    )


def default_code(connector: Connector, source_kinds: Sequence[str] = ()) -> str:
    """The code that a new endpoint begins with: the first recipe; empty if the connector has none."""
    return next((recipe.code for recipe in recipes([connector], source_kinds)), "")
