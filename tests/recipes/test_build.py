"""Recipes are files of their own, built from parts that are written once."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from nicobar.connectors.customerio.recipes import RECIPES
from nicobar.sandbox import Bounds

SCRIPT = Path(__file__).parents[2] / "scripts" / "recipes.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_recipes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("tested", RECIPES, ids=lambda item: item.name)
def test_recipe_is_what_its_parts_build(script, tested):
    assert tested.code == script.built(tested.name), "run: make recipes"
    assert len(tested.code) < Bounds().code_chars // 1.5, "users add code of their own"


def test_every_part_is_used(script):
    assert not [block for block in script.blocks() if not any(block in recipe.code for recipe in RECIPES)]
