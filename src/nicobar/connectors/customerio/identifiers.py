"""Writes identifiers as text. Customer.io accepts numbers too and stores their digits, but its specification names
text only: text is right by both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from nicobar.connectors.customerio import rules
from nicobar.connectors.customerio.error_checks import as_identifier, shown
from nicobar.connectors.customerio.track_api import V1Call
from nicobar.model import Json, Verdict

EMAIL = "email"
_PEOPLE = ("identifiers", "primary", "secondary")


def with_texts(path: str, item: dict[str, Json], verdicts: list[Verdict]) -> dict[str, Json]:
    """An object of v2 whose identifiers are text."""
    if item.get("type") == "delivery":
        return item
    changed: dict[str, Json] = {}
    for field in _PEOPLE:
        if (given := item.get(field)) is not None and (texts := _texts(given)) is not given:
            changed[field] = texts
            verdicts.extend(_corrected(f"{path}.{field}", given))
    if (related := item.get("cio_relationships")) is not None:
        texts = _relationships(f"{path}.cio_relationships", related, verdicts)
        if texts is not related:
            changed["cio_relationships"] = texts
    return {**item, **changed} if changed else item


def with_texts_v1(path: str, call: V1Call, payload: Json, verdicts: list[Verdict]) -> Json:
    """The body of a call of v1 whose identifiers are text."""
    if not isinstance(payload, dict):
        return payload
    if call.body == "merge":
        return with_texts(path, payload, verdicts)
    change = _V1_BODIES.get(call.body)
    changed = change(path, payload, verdicts) if change else {}
    return {**payload, **changed} if changed else payload


def with_addresses(path: str, item: dict[str, Json], verdicts: list[Verdict]) -> dict[str, Json]:
    """An object of v2 whose person has an email address without spaces around it: they would make it another one."""
    if item.get("type") != "person":
        return item
    changed: dict[str, Json] = {}
    for field in ("identifiers", *(("attributes",) if item.get("action") == "identify" else ())):
        given = item.get(field)
        if isinstance(given, dict) and (trimmed := with_address(f"{path}.{field}", given, verdicts)) is not given:
            changed[field] = trimmed
    return {**item, **changed} if changed else item


def with_address(path: str, values: dict[str, Json], verdicts: list[Verdict]) -> dict[str, Json]:
    """The same for identifiers or attributes; the same object if nothing needs to be changed."""
    given = values.get(EMAIL)
    if not isinstance(given, str) or (trimmed := given.strip()) == given or not trimmed:
        return values
    verdicts.append(
        rules.EMAIL_TRIMMED.at(
            f"{path}.{EMAIL}",
            "Nicobar removes the spaces around the email address: with them, it would be another address.",
            "Nothing to do. To remove them yourself, use trim().",
        )
    )
    return {**values, EMAIL: trimmed}


def _identify(path: str, payload: dict[str, Json], verdicts: list[Verdict]) -> dict[str, Json]:
    wrapped = payload.get("cio_relationships")
    related = wrapped.get("relationships") if isinstance(wrapped, dict) else None
    texts = _relationships(f"{path}.cio_relationships.relationships", related, verdicts)
    if texts is related or not isinstance(wrapped, dict):
        return {}
    return {"cio_relationships": {**wrapped, "relationships": texts}}


def _event(path: str, payload: dict[str, Json], verdicts: list[Verdict]) -> dict[str, Json]:
    given = payload.get("anonymous_id")
    text = as_identifier(given)
    if text is given:
        return {}
    verdicts.append(_verdict(f"{path}.anonymous_id", "anonymous_id", given))
    return {"anonymous_id": text}


def _segment(path: str, payload: dict[str, Json], verdicts: list[Verdict]) -> dict[str, Json]:
    ids = payload.get("ids")
    if not isinstance(ids, list):
        return {}
    texts = [as_identifier(value) for value in ids]
    changed = [number for number, text in enumerate(texts) if text is not ids[number]]
    if not changed:
        return {}
    # One verdict for all of them: a list may have a thousand.
    verdicts.append(_verdict(f"{path}.ids[{changed[0]}]", "ids", ids[changed[0]]))
    return {"ids": texts}


def _form(path: str, payload: dict[str, Json], verdicts: list[Verdict]) -> dict[str, Json]:
    data = payload.get("data")
    texts = _texts(data)
    if texts is data:
        return {}
    verdicts.extend(_corrected(f"{path}.data", data))
    return {"data": texts}


_V1_BODIES: dict[str, Callable[[str, dict[str, Json], list[Verdict]], dict[str, Json]]] = {
    "identify": _identify,
    "event": _event,
    "segment": _segment,
    "form": _form,
}


def _relationships(path: str, related: Json, verdicts: list[Verdict]) -> Json:
    if not isinstance(related, list):
        return related
    texts: list[Json] = []
    is_changed = False
    for number, entry in enumerate(related):
        given = entry.get("identifiers") if isinstance(entry, dict) else None
        if isinstance(entry, dict) and (identifiers := _texts(given)) is not given:
            verdicts.extend(_corrected(f"{path}[{number}].identifiers", given))
            texts.append({**entry, "identifiers": identifiers})
            is_changed = True
        else:
            texts.append(entry)
    return texts if is_changed else related


def _texts(given: Json) -> Json:
    """The same object if nothing needs to be changed."""
    if not isinstance(given, dict):
        return given
    for value in given.values():
        if not isinstance(value, str):
            break
    else:
        return given
    texts = {name: as_identifier(value) for name, value in given.items()}
    return texts if any(texts[name] is not value for name, value in given.items()) else given


def _corrected(path: str, given: Json) -> Iterator[Verdict]:
    for name, value in given.items() if isinstance(given, Mapping) else ():
        if as_identifier(value) is not value:
            yield _verdict(f"{path}.{name}", name, value)


def _verdict(path: str, name: str, value: Json) -> Verdict:
    return rules.IDENTIFIER_AS_TEXT.at(
        path,
        "Customer.io stores identifiers as text. Nicobar sends `%(field)s` %(given)s as text.",
        "Nothing to do. To send it as text yourself, use String(value).",
        field=name,
        given=shown(value),
    )
