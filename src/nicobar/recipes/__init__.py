"""Ready-made handlers for Dodo Payments' events: `NAME.js`, and `NAME.md` says what to build with it."""

from __future__ import annotations

from importlib.resources import files

from nicobar.errors import UserError
from nicobar.model import Record


class Recipe(Record):
    """A handler to start from. `name` is its file's."""

    name: str
    summary: str

    @property
    def code(self) -> str:
        return files(__name__).joinpath(f"{self.name}.js").read_text("utf-8")


# The first one is the default code of a new Customer.io endpoint.
RECIPES = (
    Recipe(name="journeys", summary="Every event about a customer, as events and attributes for any journey."),
    Recipe(name="welcome", summary="A welcome mail after the first payment."),
    Recipe(name="subscription_life_cycle", summary="A subscription's whole life, with its state on the person."),
    Recipe(name="payment_failure", summary="Failed payments and dunning, until the money is there."),
    Recipe(name="customer_attributes", summary="What a customer has and has paid, as attributes for segments."),
)


def recipe(name: str) -> Recipe:
    """Raises UserError for a name that there is not."""
    for candidate in RECIPES:
        if candidate.name == name:
            return candidate
    known = ", ".join(recipe.name for recipe in RECIPES)
    raise UserError(
        "recipe_unknown", "There is no recipe %(name)s.", "There are: %(known)s.", name=repr(name), known=known
    )
