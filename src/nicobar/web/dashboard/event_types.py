"""`/catalogue`: the event types, their descriptions and fields, and the recipes that handle them."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from nicobar.connectors.registry import CONNECTORS, recipes
from nicobar.errors import UserError
from nicobar.model import EventType, Json, Record
from nicobar.pipeline.retry import RETRY_AFTER_MS
from nicobar.retry_schedule import schedule_text
from nicobar.sources.registry import first_source
from nicobar.use_cases import event_types
from nicobar.use_cases.recipe_coverage import Use, recipe_uses
from nicobar.use_cases.sample_events import Samples, sample
from nicobar.web.asgi import decode_slashes
from nicobar.web.dashboard.authorization import Needs
from nicobar.web.dashboard.context import Context, current_application, not_found
from nicobar.web.dashboard.forms import read_retries
from nicobar.web.dashboard.language import noop
from nicobar.web.dashboard.pages import page, redirect, translate
from nicobar.web.dashboard.visitor import Visitor
from nicobar.web.operations import Response, get, post

MAX_DEPTH = 8
MAX_SHOWN_CHARS = 60
# What a field's name does not tell.
_MEANINGS = {
    "type": noop("event type"),
    "timestamp": noop("when the event occurred (not when it was sent)"),
    "data": noop("the object at the time of sending"),
    "payload_type": noop("type of the object in data"),
    "customer": noop("the customer; events of one customer stay in order"),
    "customer_id": noop("customer ID at the sender"),
    "metadata": noop("metadata you set at checkout; strings, numbers or booleans"),
    "currency": noop("determines how many decimals an amount has"),
    "total_amount": noop("in the currency's smallest unit, including tax"),
    "settlement_amount": noop("your proceeds, in the smallest unit of settlement_currency"),
    "recurring_pre_tax_amount": noop("per billing period, before tax, in the currency's smallest unit"),
    "tax": noop("in the currency's smallest unit"),
    "amount": noop("in the currency's smallest unit"),
    "error_message": noop("human-readable reason for the failed payment"),
    "error_code": noop("reason code of the failed payment; use it to choose an email"),
    "next_billing_date": noop("date of the next payment"),
    "previous_billing_date": noop("start of the current billing period"),
    "charge_type": noop("first payment, renewal or plan change"),
    "retry_attempt": noop("number of retries of the renewal payment"),
}


class Leaf(Record):
    """A field of an event: `kind` is a JSON type, or `timestamp` for a string that is a time; `example` is short. An
    array's fields are those of its first item.
    """

    name: str
    kind: str
    example: str
    meaning: str
    fields: tuple[Leaf, ...] = ()


_KINDS = {
    "string": noop("string"),
    "timestamp": noop("timestamp"),
    "number": noop("number"),
    "integer": noop("integer"),
    "boolean": noop("boolean"),
    "object": noop("object"),
    "array": noop("array"),
    "null": noop("null in this sample; other values possible"),
}


@get("/catalogue")
async def show_all(context: Context, visitor: Visitor, q: str = "", recipe: str = "") -> Response[bytes]:
    """The event types, filtered by a search and by recipe."""
    samples = await context.samples()
    uses = await _uses(context, samples)
    wanted = q.strip().casefold()
    every = await _event_types(context, samples)
    found = [
        item
        for item in every.values()
        if wanted in searched(visitor, item)
        and (not recipe or any(use.recipe == recipe for use in uses.get(item.name, ())))
    ]
    return page(
        visitor,
        "event_types.html",
        types=found,
        every=len(every),
        uses=uses,
        searched=lambda item: searched(visitor, item),
        recipes=recipes(CONNECTORS, [kind.kind for kind in samples.kinds]),
        q=q,
        recipe=recipe,
    )


@get("/catalogue/{name}")
async def show(name: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """One event type: when it is triggered, its fields, an example, its retry schedule, and links to test it."""
    return await _page(name, context, visitor)


@post("/catalogue/{name}", status=303, needs=Needs.OWNER)
async def set_retries(name: str, context: Context, visitor: Visitor) -> Response[bytes]:
    """Sets the retry schedule; an empty one is that of the endpoint."""
    given = visitor.form.get("retries", "").strip()
    try:
        schedule = read_retries(given)
        await event_types.set_retry_schedule(context.services, visitor, decode_slashes(name), schedule)
    except UserError as problem:
        return await _page(name, context, visitor, retries=given, problem=problem)
    return redirect(f"/catalogue/{quote(decode_slashes(name), safe='')}#retry")


async def _page(
    name: str, context: Context, visitor: Visitor, *, retries: str = "", problem: UserError | None = None
) -> Response[bytes]:
    samples = await context.samples()
    name = decode_slashes(name)
    item = (await _event_types(context, samples)).get(name)
    if item is None:
        raise not_found("event type")
    has_sample = name in samples.types
    snapshot = await context.snapshot()
    app_id = current_application(snapshot).id
    example: Json = item.example
    if has_sample:
        example = sample(samples, name, context.now_ms()).message.body.decode()
    stored = event_types.all_event_types(snapshot).get(name)
    schedule = stored.retry_after_ms if stored else None
    default = context.services.settings.retry_after_ms
    return page(
        visitor,
        "event_type.html",
        status=422 if problem else 200,
        retries=retries if problem or schedule is None else schedule_text(schedule),
        default_retries=schedule_text(RETRY_AFTER_MS if default is None else default),
        problem=problem,
        event_type=item,
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
    """The fields of an event, from its sample."""
    return _fields(example, 0) if isinstance(example, dict) else ()


def _fields(values: dict[str, Json], depth: int) -> tuple[Leaf, ...]:
    return tuple(_leaf(name, value, depth) for name, value in values.items())


def _leaf(name: str, value: Json, depth: int) -> Leaf:
    inner = value[0] if isinstance(value, list) and value else value
    fields = _fields(inner, depth + 1) if isinstance(inner, dict) and depth < MAX_DEPTH else ()
    return Leaf(name=name, kind=_kind(value), example=_example(value), meaning=_MEANINGS.get(name, ""), fields=fields)


def _kind(value: Json) -> str:  # noqa: PLR0911 - one per kind
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "timestamp" if _is_time(value) else "string"
        case list():
            return "array"
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


async def _event_types(context: Context, samples: Samples) -> dict[str, EventType]:
    """The event types of the sources, and those that were added."""
    added = {
        event_type.name: event_type
        for event_type in (await context.snapshot()).event_types
        if not event_type.archived
    }
    return {**dict(sorted(added.items())), **samples.types}


async def _uses(context: Context, samples: Samples) -> dict[str, tuple[Use, ...]]:
    """Cached per set of samples while this process runs: recipes do not change."""
    names = tuple(samples.types)
    if names in context.recipe_uses:
        return context.recipe_uses[names]
    services = context.services
    found, is_complete = await recipe_uses(services.sandbox, samples, context.now_ms(), services.clock.steady_ms)
    if is_complete:
        context.recipe_uses[names] = found
    return found


OPERATIONS = (show_all, show, set_retries)
