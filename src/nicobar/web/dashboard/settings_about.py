"""`/settings/about`: the version, the database, and the process settings with their origin."""

from __future__ import annotations

import asyncio
import platform
import shutil

import msgspec

from nicobar import __version__
from nicobar.model import Record
from nicobar.settings import Settings, description, shown
from nicobar.store.location import locate
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context
from nicobar.web.dashboard.pages import page
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get


class SettingRow(Record):
    """A setting; the default if `origin` is empty."""

    name: str
    value: str
    origin: str
    meaning: str


@get("/settings/about", needs=Needs.USER)
async def show(context: Context, visitor: Visitor) -> Response[bytes]:
    """The page."""
    services = context.services
    settings = services.settings
    rows = [
        SettingRow(
            name=field.name,
            value=shown(settings, field.name),
            origin=services.origins.get(field.name, ""),
            meaning=description(field),
        )
        for field in msgspec.structs.fields(Settings)
    ]
    location = locate(settings.database)
    free_bytes = None
    if location.directory is not None:
        free_bytes = (await asyncio.to_thread(shutil.disk_usage, location.directory)).free
    return page(
        visitor,
        "settings_about.html",
        version=__version__,
        python=platform.python_version(),
        database=location.name,
        kind=location.kind,
        size_bytes=await services.store.size_bytes(),
        free_bytes=free_bytes,
        rows=rows,
    )


OPERATIONS = (show,)
