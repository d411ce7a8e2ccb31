"""SQL by name. A database has the queries of `sql/common` and those of its own folder, which win over common ones.

A query is one file, under a sentence that says what it promises. `{name}` stands for the fragment in the file
`fragments/name.sql`; in `{name argument}` the argument takes the place of the fragment's `$`. A list is a file in
`lists/`, from which `lists.compose` makes several queries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from nicobar.store.lists import compose

# Which index they walk for an order depends on the rows in the tables.
_CHOOSES_BY_STATISTICS = {"postgres"}
_SLOT = re.compile(r"\{([a-z_]+)(?: ([a-z_]+))?\}")


@cache
def load_queries(database: str) -> Mapping[str, str]:
    """The queries of one database, by name."""
    fragments = _files(database, "fragments")

    def fill(sql: str) -> str:
        def fragment(slot: re.Match[str]) -> str:
            text = fragments[slot[1]].strip()
            return fill(text if slot[2] is None else text.replace("$", slot[2]))

        return _SLOT.sub(fragment, sql)

    queries = _files(database) | compose(_files(database, "lists"), by_whole_keys=database in _CHOOSES_BY_STATISTICS)
    return {name: fill(text).strip() for name, text in queries.items()}


@cache
def load_templates(database: str) -> Mapping[str, str]:
    """Statements about any table, by name: `{table}`, `{columns}` and the like are not filled in yet."""
    return {name: text.strip() for name, text in _files(database, "copy").items()}


def _files(database: str, *below: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in ("common", database):
        directory = files("nicobar.store").joinpath("sql", folder, *below)
        if directory.is_dir():
            found |= {
                file.name.removesuffix(".sql"): file.read_text("utf-8")
                for file in directory.iterdir()
                if file.name.endswith(".sql")
            }
    return found
