"""What a handler has read of the ledger, as it is stored with its attempt and shown."""

from __future__ import annotations

import msgspec

from nicobar.model import Json
from nicobar.pipeline.handler_runs import LedgerView

# A person with 20 subscriptions fits.
MAX_SNAPSHOT_BYTES = 32 * 1024
# If it is too large, so many items of each list are kept.
_MAX_ITEMS = (20, 5, 1, 0)


def snapshot_text(view: LedgerView) -> str:
    """The view as JSON, at most MAX_SNAPSHOT_BYTES; `is_cut` says that lists have lost their ends. It is not
    compressed: deleting a customer's data finds texts in what is stored.
    """
    content = msgspec.json.encode(view)
    if len(content) <= MAX_SNAPSHOT_BYTES:
        return content.decode()
    whole: Json = msgspec.json.decode(content)
    for max_items in _MAX_ITEMS:
        cut = _cut(whole, max_items)
        content = msgspec.json.encode({**(cut if isinstance(cut, dict) else {}), "is_cut": True})
        if len(content) <= MAX_SNAPSHOT_BYTES:
            return content.decode()
    return '{"is_cut":true}'


def _cut(value: Json, max_items: int) -> Json:
    match value:
        case list():
            return [_cut(item, max_items) for item in value[:max_items]]
        case dict():
            return {name: _cut(item, max_items) for name, item in value.items()}
        case _:
            return value
