"""The parts of a handler's calls: objects of v2 and requests of v1. Each is corrected, encoded once, and checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import unquote

import msgspec

from nicobar.connectors.customerio import corrections, rules
from nicobar.connectors.customerio.corrections import Corrector, Occurrence
from nicobar.connectors.customerio.error_checks import check, find_action, is_same_person, shown
from nicobar.connectors.customerio.error_checks_v1 import check_v1
from nicobar.connectors.customerio.identification import Identification
from nicobar.connectors.customerio.identifiers import with_address, with_addresses, with_texts, with_texts_v1
from nicobar.connectors.customerio.person_paths import of_path
from nicobar.connectors.customerio.renaming import Names
from nicobar.connectors.customerio.track_api import BATCH, V1Call, is_ulid
from nicobar.connectors.customerio.warning_checks import Context, advise, advise_v1, no_address
from nicobar.connectors.payload import encoded
from nicobar.model import Json, Record, Verdict
from nicobar.people import UNKNOWN_CUSTOMER


class ObjectPart(Record):
    """An object of v2; `path` is its location in the handler's result. `body` is the object as JSON once it was
    corrected, None if JSON cannot represent it; `written` is the object before that, `named` the object with the
    handler's names.
    """

    path: str
    item: dict[str, Json]
    body: bytes | None = None
    written: dict[str, Json] = {}
    named: dict[str, Json] = {}

    @property
    def event_id(self) -> str:
        """The id of an event, once it was corrected; empty for other objects."""
        action = find_action(self.item)
        return _id_in(self.item) if action is not None and action.is_event else ""


class SinglePart(Record):
    """A call of v1, which is a separate request; `path` is the location of its payload, `body`, `written` and
    `named` as for an object.
    """

    path: str
    url_path: str
    call: V1Call
    payload: Json
    body: bytes | None = None
    written: Json = None
    named: Json = None

    @property
    def event_id(self) -> str:
        is_event = self.call.body == "event" and isinstance(self.payload, dict)
        return _id_in(self.payload) if is_event and isinstance(self.payload, dict) else ""


def _id_in(item: dict[str, Json]) -> str:
    """Customer.io recognizes an event by a ULID only."""
    given = item.get("id")
    return given if isinstance(given, str) and is_ulid(given) else ""


def object_parts(index: int, path: str, payload: Json, verdicts: list[Verdict]) -> Iterator[ObjectPart]:
    """The v2 objects of a payload: one, a list, or those in `batch`."""
    where = f"[{index}].payload"
    if path == BATCH or (isinstance(payload, dict) and "batch" in payload):
        payload = payload.get("batch") if isinstance(payload, dict) else None
        where += ".batch"
    if payload == []:
        verdicts.append(
            rules.EMPTY.at(where, "The list of calls is empty.", "To send nothing, set webhook.cancel = true.")
        )
    many = isinstance(payload, list)
    for number, item in enumerate(payload if isinstance(payload, list) else [payload]):
        own = f"{where}[{number}]" if many else where
        if isinstance(item, dict):
            yield ObjectPart(path=own, item=item)
        else:
            verdicts.append(
                rules.PAYLOAD.at(
                    own,
                    "The payload must be an object, but is %(given)s.",
                    "Send {type, action, identifiers, …}.",
                    given=shown(item),
                )
            )


def corrected(
    corrector: Corrector,
    identification: Identification,
    names: Names,
    part: ObjectPart | SinglePart,
    verdicts: list[Verdict],
) -> ObjectPart | SinglePart:
    """The part to send. Events get their ids first: these depend on the person and name that the handler wrote."""
    if isinstance(part, ObjectPart):
        item = corrector.correct(part.path, with_texts(part.path, part.item, verdicts))
        item = identification.of_object(part.path, with_addresses(part.path, item, verdicts))
        renamed = names.of_object(part.path, item, verdicts)
        return ObjectPart(path=part.path, item=renamed, body=encoded(renamed), written=part.item, named=item)
    payload = with_texts_v1(part.path, part.call, part.payload, verdicts)
    payload = _corrected_payload(corrector, msgspec.structs.replace(part, payload=payload))
    if part.call.body == "identify" and isinstance(payload, dict):
        payload = with_address(part.path, payload, verdicts)
    url_path, payload = identification.of_request(part.path, part.call, part.url_path, payload)
    sent = names.of_request(part.path, part.call, payload, verdicts)
    return msgspec.structs.replace(
        part, url_path=url_path, payload=sent, body=encoded(sent), written=part.payload, named=payload
    )


def _corrected_payload(corrector: Corrector, part: SinglePart) -> Json:
    if part.call.body == "event" and isinstance(part.payload, dict):
        kind, data = part.payload.get("type", "event"), part.payload.get("data")
        event = Occurrence(
            who=_person_v1(part),
            kind=kind if isinstance(kind, str) else "event",
            data="data",
            recipient=data.get("recipient") if isinstance(data, dict) else None,
        )
        return corrector.correct_event(part.path, part.payload, event)
    if part.call.body == "identify" and isinstance(part.payload, dict):
        return corrector.with_seconds(part.path, part.payload, "_timestamp")
    return part.payload


def _person_v1(part: SinglePart) -> Json:
    """The person of a v1 event: identified by the path, or anonymous in the payload."""
    segments = part.url_path.partition("?")[0].split("/")
    payload = part.payload if isinstance(part.payload, dict) else {}
    person_id = unquote(segments[4]) if part.call.segments[0] == "customers" else None
    return {corrections.V1_PATH_ID: person_id, "anonymous_id": payload.get("anonymous_id")}


def check_object(
    part: ObjectPart, people: Sequence[dict[str, Json]], context: Context, identification: Identification
) -> Iterator[Verdict]:
    """The verdicts on an object of v2; `people` are all objects sent with it."""
    if identification.no_identity is not None and _names_unknown_customer(part.item):
        return
    errors = list(check(part.path, part.item, part.body))
    yield from errors
    if errors:
        return
    yield from advise(part.path, part.named, part.written, context)
    is_event = (part.item["type"], part.item["action"]) == ("person", "event")
    # The app of a shop that has people of its own sets their address.
    who = part.item.get("identifiers")
    is_own = (identification.protects and identification.is_person(who)) or identification.has_earlier_address(who)
    if is_event and not is_own and not corrections.has_address(part.item["identifiers"], people):
        yield no_address(part.path, is_invalid=identification.has_invalid_address)


def _names_unknown_customer(item: dict[str, Json]) -> bool:
    related = item.get("cio_relationships")
    people = [one.get("identifiers") for one in related if isinstance(one, dict)] if isinstance(related, list) else []
    return UNKNOWN_CUSTOMER in (item.get("identifiers"), *people)


def check_single(part: SinglePart, context: Context) -> Iterator[Verdict]:
    if part.body is None:
        yield rules.JSON.at(
            part.path,
            "The payload cannot be converted to JSON.",
            "Send objects, lists, text, numbers, booleans and null only.",
        )
        return
    errors = list(check_v1(part.path, part.call, part.url_path, part.payload))
    yield from errors
    if not errors:
        yield from advise_v1(part.path, part.call, part.url_path, part.written, part.named, context)


def merges_too_soon(parts: Sequence[ObjectPart | SinglePart]) -> Iterator[Verdict]:
    """Warnings about merges right after the identify call of the remaining person: Customer.io may process the merge
    first, find no person, and do nothing.
    """
    for part in parts:
        primary = _merged(part)
        if primary is not None and any(is_same_person(_identified(other), primary) for other in parts):
            yield rules.MERGE_RACE.at(
                f"{part.path}.primary",
                "This message also identifies the person. Customer.io may merge before it has the person, and then "
                "does nothing.",
                "Send the merge with a later event.",
            )


def _merged(part: ObjectPart | SinglePart) -> Json:
    """The identifiers of the person who remains, for a merge."""
    if isinstance(part, ObjectPart):
        return part.item.get("primary") if part.item.get("action") == "merge" else None
    return part.payload.get("primary") if part.call.body == "merge" and isinstance(part.payload, dict) else None


def _identified(part: ObjectPart | SinglePart) -> Json:
    if isinstance(part, ObjectPart):
        is_identify = (part.item.get("type"), part.item.get("action")) == ("person", "identify")
        return part.item.get("identifiers") if is_identify else None
    if part.call.body != "identify":
        return None
    kind, value = of_path(unquote(part.url_path.partition("?")[0].split("/")[4]))
    return {kind: value}
