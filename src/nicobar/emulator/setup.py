"""What a workspace starts with: a file with campaigns, segments and settings, or the campaigns of a recipe."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from nicobar.emulator.campaign import Campaign, Segment
from nicobar.emulator.campaigns import MAX_CAMPAIGNS, MAX_SEGMENTS
from nicobar.emulator.recipe_campaigns import NAMES, read_campaigns
from nicobar.emulator.workspace import Workspace
from nicobar.errors import UserError

AllCampaigns = Annotated[list[Campaign], Meta(max_length=MAX_CAMPAIGNS)]
AllSegments = Annotated[list[Segment], Meta(max_length=MAX_SEGMENTS)]


class Setup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a file. A list is one of campaigns."""

    workspace: Workspace = Workspace()
    segments: AllSegments = []
    campaigns: AllCampaigns = []


def read_setup(named: str) -> Setup:
    """The campaigns of a recipe, or a JSON or TOML file. Raises UserError."""
    if named in NAMES:
        return Setup(campaigns=read_campaigns(named))
    path = Path(named)
    try:
        content = path.read_bytes()
        given = tomllib.loads(content.decode()) if path.suffix == ".toml" else msgspec.json.decode(content)
        return msgspec.convert({"campaigns": given} if isinstance(given, list) else given, Setup)
    except OSError as error:
        raise UserError(
            "campaigns_unreadable",
            f"Cannot read the campaigns {named}: {error.strerror}.",
            f"Set --campaigns to a JSON or TOML file, or to a recipe: {', '.join(NAMES)}.",
        ) from error
    # Each is an error of a decoder.
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UserError(
            "campaigns_invalid",
            f"{named} contains no campaigns: {error}.",
            "See docs/reference/emulator.md for the fields.",
        ) from error
