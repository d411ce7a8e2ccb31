"""The connectors, one per line. The first is the default of `nicobar transform`."""

from __future__ import annotations

from collections.abc import Sequence

from nicobar.connectors import Connector, Recipe
from nicobar.connectors.customerio import CustomerIo
from nicobar.connectors.http import HttpEndpoint
from nicobar.errors import UserError
from nicobar.suggestions import closest

CONNECTORS: list[Connector] = [
    CustomerIo(),
    HttpEndpoint(),
]


def connector(kind: str) -> Connector:
    """Raises UserError for an unknown kind."""
    for candidate in CONNECTORS:
        if candidate.kind == kind:
            return candidate
    raise UserError(
        "unknown_connector",
        "Unknown connector %(kind)s.",
        "Available connectors: %(kinds)s.",
        kind=repr(kind),
        kinds=", ".join(candidate.kind for candidate in CONNECTORS),
    )


def recipes(connectors: Sequence[Connector], source_kinds: Sequence[str] = ()) -> tuple[Recipe, ...]:
    """The connectors' recipes, for `source_kinds` if there are any, else all."""
    every = tuple(recipe for connector in connectors for recipe in connector.recipes)
    return tuple(recipe for recipe in every if recipe.source_kind in source_kinds) or every


def find_recipe(name: str, connectors: Sequence[Connector]) -> Recipe:
    """Raises UserError for an unknown name."""
    every = recipes(connectors)
    for recipe in every:
        if recipe.name == name:
            return recipe
    names = ", ".join(recipe.name for recipe in every)
    if close := closest(name, [recipe.name for recipe in every]):
        raise UserError(
            "recipe_unknown", "Unknown recipe %(name)s.", "Did you mean %(close)s?", name=repr(name), close=close
        )
    raise UserError(
        "recipe_unknown", "Unknown recipe %(name)s.", "Available recipes: %(known)s.", name=repr(name), known=names
    )


def better_recipe(kind: str, rule: str) -> Recipe | None:
    """The recipe of a connector to use instead of code that this rule warns about, if there is one."""
    offered = (recipe for candidate in CONNECTORS if candidate.kind == kind for recipe in candidate.recipes)
    return next((recipe for recipe in offered if rule in recipe.instead_of), None)


def default_code(connector: Connector, source_kinds: Sequence[str] = ()) -> str:
    """The initial code of a new endpoint: the first recipe; empty if the connector has none."""
    return next((recipe.code for recipe in recipes([connector], source_kinds)), "")
