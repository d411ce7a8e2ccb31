"""Lists: one description, of which come the pages in both directions and how far a page looks.

A list's file has parts, each under `-- part`: the `columns` of a row, `from` which tables, what is `joined` only for
the columns, `where` the list begins and ends, the `place` of a row, and the `filter` of what is asked for.
"""

from __future__ import annotations

import re

_PART = re.compile(r"^-- (columns|from|joined|where|place|filter)\n", re.MULTILINE)
_DIRECTIONS = {"after": "ASC", "before": "DESC"}


def compose(name: str, text: str) -> dict[str, str]:
    """`NAME_after` and `NAME_before` are the next `:limit` rows between the places `:above` and `:below`, oldest or
    newest first; `edge_of_NAME_after` and `edge_of_NAME_before` the last of the next `:look` rows, whether they fit
    or not, and the first behind it; `count_of_NAME` is how many rows between the two places fit.
    """
    promise, *rest = _PART.split(text)
    part = dict.fromkeys(("columns", "from", "joined", "where", "place", "filter"), "")
    part |= {key: value.strip() for key, value in zip(rest[::2], rest[1::2], strict=True)}
    place, between = part["place"], f"{part['place']} > :above AND {part['place']} < :below"
    looked_at = f"FROM {part['from']}\nWHERE {part['where']} AND {between}"
    fit = f"FROM {part['from']} {part['joined']}\nWHERE {part['where']} AND {between}\n    {part['filter']}"
    queries = {f"count_of_{name}": f"{promise}SELECT count(*) {fit}"}
    for direction, order in _DIRECTIONS.items():
        queries[f"{name}_{direction}"] = (
            f"{promise}SELECT {part['columns']}\n{fit}\nORDER BY {place} {order} LIMIT :limit"
        )
        queries[f"edge_of_{name}_{direction}"] = (
            f"{promise}SELECT {place} {looked_at}\nORDER BY {place} {order} LIMIT 2 OFFSET :look - 1"
        )
    return queries
