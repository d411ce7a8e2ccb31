"""The fuzz targets by name. A target is a module in `targets` with `SEEDS`, some small inputs, and `run`, which gets
any bytes and raises nothing.
"""

from __future__ import annotations

from pathlib import Path


def target_names() -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parent / "targets").glob("*.py"))
