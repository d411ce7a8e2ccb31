"""The calls by which two people are merged on a user's request: `PeopleMerging`."""

from __future__ import annotations

from nicobar.connectors import ReadyCall
from nicobar.connectors.customerio.error_checks import check
from nicobar.connectors.customerio.profiles import ItemCall, change_of
from nicobar.connectors.payload import encoded
from nicobar.model import Json, Level
from nicobar.people import Identifier
from nicobar.reasons import Reason, reason


class MergeCalls:
    """The calls for one entity URL."""

    def __init__(self, url: str) -> None:
        self._url = url

    def identify_call(self, primary: Identifier) -> ReadyCall | Reason:
        """Without attributes, so that nothing of a person who is there changes."""
        identifiers: Json = {primary.kind: primary.value}
        return self._call({"type": "person", "action": "identify", "identifiers": identifiers, "attributes": {}})

    def merge_call(self, primary: Identifier, secondary: Identifier) -> ReadyCall | Reason:
        people: dict[str, Json] = {
            "primary": {primary.kind: primary.value},
            "secondary": {secondary.kind: secondary.value},
        }
        return self._call({"type": "person", "action": "merge", **people})

    def _call(self, item: dict[str, Json]) -> ReadyCall | Reason:
        body = encoded(item)
        for verdict in check("", item, body):
            if verdict.level is Level.ERROR:
                return verdict.reason
        if body is None:
            return reason("unencodable", "The identifiers cannot be written as JSON.")
        return ItemCall(
            method="POST",
            url=self._url,
            headers={},
            body=body,
            batchable=True,
            is_event=False,
            change=change_of(item),
        )
