"""Valid parts of calls of Customer.io's Track API: the fields of version 2, and bodies of version 1 by their kind."""

from __future__ import annotations

ULID = "01K4VJ0W00QF7D2S9N3B6X8C1M"
TEAM = {"object_type_id": "1", "object_id": "team"}
FIELDS: dict[str, object] = {
    "identifiers": {"id": "ada"},
    "name": "paid",
    "attributes": {"plan": "pro", "seats": 3},
    "timestamp": 1_789_000_000,
    "id": ULID,
    "cio_relationships": [{"identifiers": TEAM, "relationship_attributes": {"role": "owner"}}],
    "device": {"token": "t", "platform": "ios"},
    "primary": {"id": "ada"},
    "secondary": {"email": "old@northpine.example"},
}
V1_BODIES: dict[str, object] = {
    "identify": {
        "email": "ada@northpine.example",
        "plan": "pro",
        "_timestamp": 1_789_000_000,
        "cio_relationships": {"action": "add_relationships", "relationships": FIELDS["cio_relationships"]},
    },
    "none": None,
    "event": {"name": "paid", "data": {"amount": 5}, "id": ULID, "timestamp": 1_789_000_000, "type": "page"},
    "device": {"device": {"id": "t", "platform": "android", "last_used": 5}},
    "merge": {"primary": {"id": "a"}, "secondary": {"email": "b"}},
    "segment": {"ids": ["a", "b"]},
    "form": {"data": {"email": "a@b.example", "name": "A"}},
    "any": {"anything": 1},
}
