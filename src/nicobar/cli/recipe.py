"""`nicobar recipe`: ready-made handlers to start from."""

from __future__ import annotations

import click

from nicobar.connectors.registry import CONNECTORS, find_recipe, recipes


@click.command()
@click.argument("name", required=False)
def recipe(name: str | None) -> None:
    """Print a ready-made handler, or list them. For example: nicobar recipe NAME > handler.js"""
    if name is None:
        for recipe in recipes(CONNECTORS):
            click.echo(f"{recipe.name:<26}{recipe.summary}")
        return
    click.echo(find_recipe(name, CONNECTORS).code, nl=False)
