"""Lists: one description, of which come the pages in both directions and how far a page looks.

A list's file has parts, each under `-- part`: the `columns` of a row, `from` which tables, what is `joined` only for
the columns, the key that it is a list `of`, `where` else it begins and ends, the `place` of a row, and the `filter`
of what is asked for. Parts that are missing are those of the list that it is `like`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_PART = re.compile(r"^-- (like|columns|from|joined|of|where|place|filter)\n", re.MULTILINE)
_EQUAL = re.compile(r"(\S+) = (:\w+)")
_DIRECTIONS = {"after": "ASC", "before": "DESC"}


def compose(texts: Mapping[str, str], *, by_whole_keys: bool) -> dict[str, str]:
    """The queries of all lists. `NAME_after` and `NAME_before` are the next `:limit` rows between the places `:above`
    and `:below`, oldest or newest first; `edge_of_NAME_after` and `edge_of_NAME_before` the last of the next `:look`
    rows, whether they match or not, and the first behind it; `count_of_NAME` is how many rows between the two places
    match.

    By whole keys: rows are compared and ordered by the key that the list is of and by their place together, an order
    that only the list's own index has. A database that chooses by statistics might otherwise walk an index that has
    the places alone, over the rows of all applications.
    """
    queries: dict[str, str] = {}
    for name in texts:
        queries |= _compose(name, _parts(texts, name), by_whole_keys=by_whole_keys)
    return queries


def _parts(texts: Mapping[str, str], name: str) -> dict[str, str]:
    promise, *rest = _PART.split(texts[name])
    own = {key: value.strip() for key, value in zip(rest[::2], rest[1::2], strict=True)}
    known = _parts(texts, own["like"]) if "like" in own else dict.fromkeys(("joined", "of", "where", "filter"), "")
    return known | own | {"promise": promise}


def _compose(name: str, part: Mapping[str, str], *, by_whole_keys: bool) -> dict[str, str]:
    place, promise = part["place"], part["promise"]
    between, order = f"{place} > :above AND {place} < :below", [place]
    if part["of"] and by_whole_keys:
        columns, values = zip(*_EQUAL.findall(part["of"]), strict=True)
        order = [*columns, place]
        key = f"({', '.join(order)})"
        between = f"{key} > ({', '.join(values)}, :above) AND {key} < ({', '.join(values)}, :below)"
    elif part["of"]:
        between = f"{part['of']} AND {between}"
    where = f"{part['where']} AND {between}" if part["where"] else between
    looked_at = f"FROM {part['from']}\nWHERE {where}"
    fit = f"FROM {part['from']} {part['joined']}\nWHERE {where}\n    {part['filter']}"
    queries = {f"count_of_{name}": f"{promise}SELECT count(*) {fit}"}
    for direction, way in _DIRECTIONS.items():
        by = ", ".join(f"{column} {way}" for column in order)
        queries[f"{name}_{direction}"] = f"{promise}SELECT {part['columns']}\n{fit}\nORDER BY {by} LIMIT :limit"
        queries[f"edge_of_{name}_{direction}"] = (
            f"{promise}SELECT {place} {looked_at}\nORDER BY {by} LIMIT 2 OFFSET :look - 1"
        )
    return queries
