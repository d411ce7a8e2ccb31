"""A process of its own: counts how often files have some bytes. Reads the files and the bytes, as hexadecimal digits,
from standard input, so that no list of processes shows them.
"""

from __future__ import annotations

import json
import sys

CHUNK_BYTES = 16 * 1024 * 1024


def count(name: str, values: list[bytes]) -> int:
    """How often one of the values is in the file; those that cross the end of a chunk are counted too."""
    overlap = max(map(len, values), default=1) - 1
    found, before = 0, b""
    with open(name, "rb") as file:  # noqa: PTH123 - runs without the package
        while chunk := file.read(CHUNK_BYTES):
            content = before + chunk
            for value in values:
                # Without what the chunk before has counted.
                found += content.count(value) - (before.count(value) if before else 0)
            before = content[-overlap:] if overlap else b""
    return found


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    wanted = [bytes.fromhex(value) for value in asked["values"]]
    json.dump({name: count(name, wanted) for name in asked["files"]}, sys.stdout)
