"""SQL by name: `sql/<database>/<name>.sql`, each a single query under a sentence that says what it promises."""

from __future__ import annotations

from importlib.resources import files


def load_queries(database: str) -> dict[str, str]:
    """The queries of one database, by name."""
    folder = files("nicobar.store").joinpath("sql", database)
    return {
        file.name.removesuffix(".sql"): file.read_text("utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }
