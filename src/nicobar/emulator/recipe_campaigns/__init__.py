"""The campaigns that the recipes' guides describe, as files: `NAME.json` for each recipe."""

from __future__ import annotations

from importlib.resources import files

import msgspec

from nicobar.emulator.campaign import Campaign

NAMES = ("journeys", "welcome", "subscription_life_cycle", "payment_failure", "customer_attributes")


def read_campaigns(name: str) -> list[Campaign]:
    """The campaigns of one of NAMES."""
    return msgspec.json.decode(files(__package__).joinpath(f"{name}.json").read_bytes(), type=list[Campaign])
