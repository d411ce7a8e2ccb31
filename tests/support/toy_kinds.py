"""The kinds that the guides on adding a source and a connector build, made from the guides' own code blocks."""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import nicobar.sources
from nicobar.sources import SourceKind
from nicobar.sources.registry import SOURCES

GUIDES = Path(__file__).parents[2] / "docs" / "how-to"
_FILE = re.compile(r"^`src/nicobar/([^`]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files_of(guide: str) -> dict[str, str]:
    """The guide's code blocks, by the path below `src/nicobar` that stands above each."""
    return dict(_FILE.findall((GUIDES / guide).read_text("utf-8")))


@cache
def toy_source() -> SourceKind:
    """The guide's source. It is in no registry: see `registered`."""
    return _build("add-a-source.md", nicobar.sources, "acme_shop").AcmeShop()


@contextmanager
def registered() -> Iterator[None]:
    """Runs the guide's lines in the registries, and takes them back."""
    sources = list(SOURCES)
    toy_source()
    try:
        exec(files_of("add-a-source.md")["sources/registry.py"], {"SOURCES": SOURCES})
        yield
    finally:
        SOURCES[:] = sources


def _build(guide, package, folder):
    """Writes the guide's folder into a directory that becomes a part of the package, and imports it."""
    root = Path(tempfile.mkdtemp(prefix="nicobar-toy-"))
    for path, content in files_of(guide).items():
        if path.startswith(f"{package.__name__.removeprefix('nicobar.')}/{folder}/"):
            file = root.joinpath(*path.split("/")[1:])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, "utf-8")
    package.__path__.append(str(root))
    return importlib.import_module(f"{package.__name__}.{folder}")
