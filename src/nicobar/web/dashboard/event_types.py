"""`/catalogue`: the event types, what they mean, what is in them, and which recipe handles them."""

from __future__ import annotations

from datetime import datetime

from nicobar.connectors.registry import CONNECTORS, recipes
from nicobar.model import EventType, Json, Record
from nicobar.sources.registry import first_source
from nicobar.use_cases.dry_run import Samples, sample
from nicobar.use_cases.recipe_coverage import Use, recipe_uses
from nicobar.web.asgi import decode_slashes
from nicobar.web.dashboard.context import Context, current_application, not_found
from nicobar.web.dashboard.language import noop
from nicobar.web.dashboard.pages import page, translate
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get

MAX_DEPTH = 8
MAX_SHOWN_CHARS = 60
# What the field's name does not say by itself.
_MEANINGS = {
    "type": noop("the event type"),
    "timestamp": noop("when it happened, not when it was sent"),
    "data": noop("what it is about, as it is when it is sent"),
    "payload_type": noop("which kind of thing data is"),
    "customer": noop("whom it is about; events of one customer keep their order"),
    "customer_id": noop("the sender's id of the customer"),
    "metadata": noop("what you gave at the checkout; values are texts, numbers or yes and no"),
    "currency": noop("says how many decimals an amount has"),
    "total_amount": noop("in the currency's smallest unit, tax included"),
    "settlement_amount": noop("what you get, in the smallest unit of settlement_currency"),
    "recurring_pre_tax_amount": noop("for each period, before tax, in the currency's smallest unit"),
    "tax": noop("in the currency's smallest unit"),
    "amount": noop("in the currency's smallest unit"),
    "error_message": noop("why a payment failed, in words"),
    "error_code": noop("why a payment failed, to choose a mail by"),
    "next_billing_date": noop("when the next payment is due"),
    "previous_billing_date": noop("when this period began"),
    "charge_type": noop("a first payment, a renewal, a change of plan"),
    "retry_attempt": noop("how often a renewal was tried again"),
}


class Leaf(Record):
    """A field of an event: `kind` is a JSON type, or `time` for a text that is one; `example` is short. A list's
    fields are those of its first item.
    """

    name: str
    kind: str
    example: str
    meaning: str
    fields: tuple[Leaf, ...] = ()


_KINDS = {
    "text": noop("text"),
    "time": noop("time"),
    "number": noop("number"),
    "whole number": noop("whole number"),
    "yes or no": noop("yes or no"),
    "object": noop("object"),
    "list": noop("list"),
    "null": noop("null here, may be more"),
}


@get("/catalogue")
async def show_all(context: Context, visitor: Visitor, q: str = "", recipe: str = "") -> Response[bytes]:
    """The event types, narrowed by what is looked for and by the recipe that handles them."""
    samples = await context.samples()
    uses = await _uses(context, samples)
    wanted = q.strip().casefold()
    event_types = await _known(context, samples)
    found = [
        item
        for item in event_types.values()
        if wanted in searched(visitor, item)
        and (not recipe or any(use.recipe == recipe for use in uses.get(item.name, ())))
    ]
    return page(
        visitor,
        "event_types.html",
        types=found,
        every=len(event_types),
        uses=uses,
        searched=lambda item: searched(visitor, item),
        recipes=recipes(CONNECTORS, [kind.kind for kind in samples.kinds]),
        q=q,
        recipe=recipe,
    )


@get("/catalogue/{name}")
async def show(name: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """One event type: when it fires, its fields, an example, and what can be done with it."""
    samples = await context.samples()
    name = decode_slashes(name)
    item = (await _known(context, samples)).get(name)
    if item is None:
        raise not_found("event type")
    has_sample = name in samples.types
    snapshot = await context.snapshot()
    app_id = current_application(snapshot).id
    example: Json = item.example
    if has_sample:
        example = sample(samples, name, context.now_ms()).message.body.decode()
    return page(
        visitor,
        "event_type.html",
        one=item,
        has_sample=has_sample,
        fields=tree(item.example),
        kinds=_KINDS,
        example=example,
        uses=(await _uses(context, samples)).get(name, ()),
        endpoints=[other for other in snapshot.endpoints if other.app_id == app_id],
        source=first_source(snapshot.sources, app_id),
    )


def searched(visitor: Visitor, event_type: EventType) -> str:
    return f"{event_type.name} {event_type.description} {translate(visitor, event_type.description)}".casefold()


def tree(example: Json) -> tuple[Leaf, ...]:
    """The fields of an event as its example has them."""
    return _fields(example, 0) if isinstance(example, dict) else ()


def _fields(values: dict[str, Json], depth: int) -> tuple[Leaf, ...]:
    return tuple(_leaf(name, value, depth) for name, value in values.items())


def _leaf(name: str, value: Json, depth: int) -> Leaf:
    inner = value[0] if isinstance(value, list) and value else value
    fields = _fields(inner, depth + 1) if isinstance(inner, dict) and depth < MAX_DEPTH else ()
    return Leaf(name=name, kind=_kind(value), example=_example(value), meaning=_MEANINGS.get(name, ""), fields=fields)


def _kind(value: Json) -> str:  # noqa: PLR0911 - one a kind
    match value:
        case None:
            return "null"
        case bool():
            return "yes or no"
        case int():
            return "whole number"
        case float():
            return "number"
        case str():
            return "time" if _is_time(value) else "text"
        case list():
            return "list"
        case _:
            return "object"


def _is_time(text: str) -> bool:
    try:
        return "T" in text and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def _example(value: Json) -> str:
    match value:
        case None | dict() | list():
            return ""
        case bool():
            return "true" if value else "false"
        case _:
            text = str(value)
            return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}…"


async def _known(context: Context, samples: Samples) -> dict[str, EventType]:
    """Those that the sources have, and those that were added."""
    added = {
        event_type.name: event_type
        for event_type in (await context.snapshot()).event_types
        if not event_type.archived
    }
    return {**dict(sorted(added.items())), **samples.types}


async def _uses(context: Context, samples: Samples) -> dict[str, tuple[Use, ...]]:
    """Found once for the same samples, as long as this process runs: recipes do not change."""
    names = tuple(samples.types)
    if names in context.recipe_uses:
        return context.recipe_uses[names]
    services = context.services
    found, whole = await recipe_uses(services.sandbox, samples, context.now_ms(), services.clock.steady_ms)
    if whole:
        context.recipe_uses[names] = found
    return found


OPERATIONS = (show_all, show)
