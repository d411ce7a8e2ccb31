"""No thread of a store is the first to use a record type: two at once crash msgspec 0.22.0."""

from __future__ import annotations

import ast
from pathlib import Path

import nicobar.store


def test_stores_convert_to_types_described_at_import():
    found = [
        f"{path.name}:{node.lineno}"
        for path in Path(nicobar.store.__file__).parent.rglob("*.py")
        for function in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and describes_a_type(node)
    ]
    assert found == []


def describes_a_type(call: ast.Call) -> bool:
    called = ast.unparse(call.func)
    kinds = [keyword.value for keyword in call.keywords if keyword.arg == "type"]
    # A type of Python's own has no description that is kept.
    return (
        called == "msgspec.convert"
        or called.endswith(".Decoder")
        or (called.endswith("decode") and any(not ast.unparse(kind).islower() for kind in kinds))
    )
