"""`nicobar recipe`: ready-made handlers to start from."""

from __future__ import annotations

import click

from nicobar.recipes import RECIPES
from nicobar.recipes import recipe as find


@click.command()
@click.argument("name", required=False)
def recipe(name: str | None) -> None:
    """Print a ready-made handler (nicobar recipe NAME > handler.js), or say which there are."""
    if name is None:
        for recipe in RECIPES:
            click.echo(f"{recipe.name:<26}{recipe.summary}")
        return
    click.echo(find(name).code, nl=False)
