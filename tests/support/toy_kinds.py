"""The kinds that the guides on adding a source and a connector build, made from the guides' own code blocks."""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

import nicobar.connectors
import nicobar.sources
from nicobar.connectors import Connector
from nicobar.connectors.registry import CONNECTORS
from nicobar.sources import SourceKind
from nicobar.sources.registry import SOURCES

GUIDES = Path(__file__).parents[2] / "docs" / "how-to"
SOURCE_GUIDE, CONNECTOR_GUIDE = "add-a-source.md", "add-a-connector.md"
_FILE = re.compile(r"`src/nicobar/([^`]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files_of(guide: str) -> dict[str, str]:
    """The guide's code blocks, by the path below `src/nicobar` in the line above each."""
    return dict(_FILE.findall((GUIDES / guide).read_text("utf-8")))


@cache
def toy_source() -> SourceKind:
    """The guide's source. It is in the registry only within `registered`."""
    return _build(SOURCE_GUIDE, nicobar.sources, "acme_shop").AcmeShop()


@cache
def toy_connector() -> Connector:
    """The guide's connector. It is in the registry only within `registered`."""
    return _build(CONNECTOR_GUIDE, nicobar.connectors, "acme_mail").AcmeMail()


@contextmanager
def registered() -> Iterator[None]:
    """Runs the guides' lines in the registries, and removes the kinds at the end."""
    toy_source(), toy_connector()
    sources, connectors = list(SOURCES), list(CONNECTORS)
    try:
        for guide, path in ((SOURCE_GUIDE, "sources/registry.py"), (CONNECTOR_GUIDE, "connectors/registry.py")):
            exec(files_of(guide)[path], {"SOURCES": SOURCES, "CONNECTORS": CONNECTORS})
        yield
    finally:
        SOURCES[:], CONNECTORS[:] = sources, connectors


def _build(guide: str, package: ModuleType, folder: str) -> ModuleType:
    """Writes the guide's folder into a directory that becomes a part of the package, and imports it."""
    root = Path(tempfile.mkdtemp(prefix="nicobar-toy-"))
    for path, content in files_of(guide).items():
        _, *parts = path.split("/")
        if parts[0] == folder:
            file = root.joinpath(*parts)
            file.parent.mkdir(exist_ok=True)
            file.write_text(content, "utf-8")
    package.__path__.append(str(root))
    return importlib.import_module(f"{package.__name__}.{folder}")
