"""The reference names everything that a handler can read of the ledger."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from nicobar.ledger import EventFact, Snapshot, Subscription, Total

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference" / "ledger.md").read_text("utf-8")


@pytest.mark.parametrize("shape", [Snapshot, Total, Subscription, EventFact])
def test_the_reference_has_every_field_that_handlers_read(shape):
    rows = {
        name
        for row in re.findall(r"^\| (`.*?`) \| ", REFERENCE, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert {field.encode_name for field in msgspec.structs.fields(shape)} <= rows
