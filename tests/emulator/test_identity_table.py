"""Whom events reach: every setting of a workspace, every answer to what identifies people, who is there before, the
published handlers, unmodified, and each recipe. Handlers run in the sandbox, once for each answer; an emulated
workspace takes what they send in each cell. The rules below say what must come of it, and which cells are impossible.
"""

from __future__ import annotations

import base64
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from nicobar import facts
from nicobar.connectors.customerio.recipes import RECIPES
from nicobar.emulator.app import create_app
from nicobar.emulator.campaign import Campaign, Trigger
from nicobar.emulator.people import Person
from nicobar.emulator.state import State
from nicobar.emulator.workspace import IdConflict, Identifiers, Workspace
from nicobar.model import Customer
from nicobar.pipeline.transform import Ready, transform
from nicobar.sources.dodo import DodoPayments
from nicobar.sources.samples import fresh
from nicobar.use_cases.dry_run import dry_target
from nicobar.use_cases.sample_events import pasted
from support.asgi import ask
from support.handlers import ORDER_PAID, PERSON_STATE, PLAN_LIFE
from support.views import view_of

NOW_MS = 1_789_000_000_000
DODO = DodoPayments()
TYPES = {event_type.name: event_type for event_type in DODO.event_types()}
CUSTOMER_ID, USER_ID, ADDRESS = "cus_1", "user_42", "ada@northpine.example"
ADA = Customer(key=CUSTOMER_ID, email=f" {ADDRESS.title()}", name="Ada")
AUTHORIZATION = "Basic " + base64.b64encode(b"demo-site:demo-key").decode()
PAGE = Path(__file__).parents[2] / "docs/explanation/identity.md"

PUBLISHED = {"order paid": ORDER_PAID, "plan life": PLAN_LIFE, "person state": PERSON_STATE}
# What happens, and which events a handler makes of it. Dodo names no address and no metadata in dunning events.
STORIES = {
    "order paid": (("payment.succeeded",), ("Order Paid",)),
    "plan life": (("subscription.active",), ("Plan Begun",)),
    "person state": (("payment.succeeded",), ()),
    "journeys": (
        ("payment.succeeded", "dunning.started"),
        ("payment_succeeded", "first_payment_succeeded", "dunning_started"),
    ),
    "welcome": (("payment.succeeded",), ("first_payment_succeeded",)),
    "subscription_life_cycle": (("subscription.active",), ("subscription_started",)),
    "payment_failure": (("payment.failed", "dunning.started"), ("payment_failed", "dunning_started")),
    "customer_attributes": (("payment.succeeded",), ()),
}
# Answers, what a checkout passes with each, and the person that they make of the customer.
METADATA, FALLBACK = "metadata.user_id", "metadata.user_id, without it"
ANSWERS = {
    "": ("id", CUSTOMER_ID),
    "customer_id": ("id", CUSTOMER_ID),
    "email": ("email", ADDRESS),
    METADATA: ("id", USER_ID),
    FALLBACK: ("email", ADDRESS),
}
# Who is there before, and how the app identifies them.
UNKNOWN = "unknown"
BEFORE: dict[str, dict[str, str]] = {
    UNKNOWN: {},
    "email": {"email": ADDRESS},
    "own ID and email": {"id": USER_ID, "email": ADDRESS},
    "own ID": {"id": USER_ID},
    "Dodo's ID": {"id": CUSTOMER_ID},
}


class Cell(NamedTuple):
    workspace: Workspace
    answer: str
    before: str
    handler: str


class Result(NamedTuple):
    """What a workspace has at the end: how many people; the identifiers of the one who had the calls; whether that is
    the known person, with the same id, and the same address if there was one; whether an identifier could not be
    changed; and how many emails went to the address.
    """

    people: int
    reached: dict[str, str | None] | None
    is_known: bool
    fails: bool
    emails: int


def workspaces() -> Iterator[Workspace]:
    for identifiers, conflict, merges, updates in itertools.product(
        Identifiers, IdConflict, (True, False), (True, False)
    ):
        yield Workspace(
            identifiers=identifiers, id_conflict=conflict, automatic_merging=merges, email_updates_by_id=updates
        )


def cells() -> Iterator[Cell]:
    for workspace, answer, before, handler in itertools.product(workspaces(), ANSWERS, BEFORE, STORIES):
        if may_be(workspace, before):
            yield Cell(workspace, answer, before, handler)


def may_be(workspace: Workspace, before: str) -> bool:
    """Whether a workspace can have such a person: everybody needs an identifier of its own."""
    return before == UNKNOWN or any(workspace.identifies(kind) for kind in BEFORE[before])


# --- what must come of it ---


def why_impossible(identifiers: Identifiers, answer: str, before: str) -> str:
    """Why no call can reach the known person, as documented. Empty where it must be reached: with one profile, no
    failure and no changed identifier.
    """
    kind, value = ANSWERS[answer]
    if not Workspace(identifiers=identifiers).identifies(kind):
        return "not an identifier"
    if before == UNKNOWN or BEFORE[before].get(kind) == value:
        return ""
    return "another identifier"


def expected(cell: Cell) -> Result:
    """By Customer.io's documentation, and by its two readings where it disagrees with itself."""
    kind, value = ANSWERS[cell.answer]
    known = BEFORE[cell.before]
    people = int(bool(known))
    if not cell.workspace.identifies(kind):  # no call has an effect
        return Result(people, None, is_known=False, fails=False, emails=0)
    # With the sender's id, handlers and the added profile set the address; with the app's id, that is up to the app.
    sets_address = value == CUSTOMER_ID
    person = {kind: value, **({"email": ADDRESS} if sets_address else {})}
    is_known = fails = False
    if known.get(kind) == value:
        person, is_known = person | known, True
    elif sets_address and "email" in known and cell.workspace.identifies("email"):
        # The address leads to the known person, who gets the sender's id, unless it has another id that stays.
        if "id" in known and cell.workspace.id_conflict is IdConflict.KEEP:
            person, people, fails = {kind: value}, 2, True
    else:
        people += 1
    reached = {"id": person.get("id"), "email": person.get("email")}
    emails = len(STORIES[cell.handler][1]) if reached["email"] else 0
    return Result(people, reached, is_known, fails, emails)


# --- what comes of it ---


async def sent(sandbox, answer: str, handler: str) -> bytes:
    """What a story sends to a workspace: one batch."""
    rule = {"identify_by": METADATA if answer == FALLBACK else answer} if answer else {}
    code = PUBLISHED.get(handler) or next(recipe.code for recipe in RECIPES if recipe.name == handler)
    target = dry_target("customerio", code, settings=rule)
    stated: list[facts.StatedFact] = []
    batch: list[bytes] = []
    for number, event_type in enumerate(STORIES[handler][0]):
        value = msgspec.json.decode(fresh(TYPES[event_type], NOW_MS, ADA))
        value["data"] |= (
            {"metadata": {"user_id": USER_ID} if answer != FALLBACK else {}} if "metadata" in value["data"] else {}
        )
        body, event_id = msgspec.json.encode(value), f"evt_{number}"
        event = DODO.read_body(event_type, body)
        stated += facts.state(DODO.kind, event, event_id=event_id, body=body, accepted_at_ms=NOW_MS).facts
        known = {fact.key: facts.known_fact(fact) for fact in facts.merged_facts(stated)}
        view = view_of(event_type, body, ADA, NOW_MS, stated, is_history_complete=True)
        subject = msgspec.structs.replace(pasted([DODO], body, NOW_MS), known=known, view=view)
        (result,) = await transform(sandbox, target, [subject], NOW_MS)
        assert isinstance(result, Ready), (answer, handler, event_type, result)
        batch += [call.body for call in result.calls]
    return b'{"batch":[' + b",".join(batch) + b"]}"


class Emulated:
    """A workspace behind its API, emptied for each cell."""

    def __init__(self) -> None:
        self.state = State(now=lambda: NOW_MS / 1000)
        names = {name for _, events in STORIES.values() for name in events}
        self.app = create_app(
            self.state, campaigns=[Campaign(title=name, trigger=Trigger.EVENT, name=name) for name in names]
        )

    async def of(self, cell: Cell, batch: bytes) -> Result:
        self.app.reset()
        self.state.put_workspace(cell.workspace)
        known = dict(BEFORE[cell.before])
        if known:
            kind = next(kind for kind in known if cell.workspace.identifies(kind))
            first = {
                "type": "person",
                "action": "identify",
                "identifiers": {kind: known.pop(kind)},
                "attributes": known,
            }
            self.state.accept(first)
        before = next(iter(self.state.people), None)
        was = None if before is None else identifiers_of(before)
        reply = await ask(self.app, "POST", "/api/v2/batch", batch, authorization=AUTHORIZATION)
        assert (reply.status, reply.body.strip()) == (200, b"{}"), (cell, reply)
        found = self.reached(batch)
        return Result(
            people=len(self.state.people),
            reached=None if found is None else identifiers_of(found),
            is_known=found is before is not None and keeps(was or {}, identifiers_of(found)),
            fails=any(item.type == "attribute_update_failure" for item in self.state.activities),
            emails=sum(email.outcome == "sent" and same(email.to) == ADDRESS for email in self.app.campaigns.emails),
        )

    def reached(self, batch: bytes) -> Person | None:
        """The one person whom all calls are about."""
        named = {tuple(*item["identifiers"].items()) for item in msgspec.json.decode(batch)["batch"]}
        people = [person for name in named if (person := self.state.find(*name)) is not None]
        assert len({person.cio_id for person in people}) == 1 or not people
        return people[0] if people else None


def identifiers_of(person: Person) -> dict[str, str | None]:
    return {
        "id": person.id or person.attributes.get("id"),
        "email": None if person.email is None else same(person.email),
    }


def same(address: str | None) -> str:
    return (address or "").strip().casefold()


def keeps(was: dict[str, str | None], now: dict[str, str | None]) -> bool:
    return was["id"] == now["id"] and was["email"] in {None, now["email"]}


async def test_every_cell_of_the_table(sandbox):
    emulated = Emulated()
    batches = {(answer, handler): await sent(sandbox, answer, handler) for answer in ANSWERS for handler in STORIES}
    for (answer, handler), batch in batches.items():
        names = tuple(item["name"] for item in msgspec.json.decode(batch)["batch"] if item["action"] == "event")
        assert names == STORIES[handler][1], (answer, handler)
    wrong: dict[Cell, tuple[Result, Result]] = {}
    for cell in cells():
        found = await emulated.of(cell, batches[cell.answer, cell.handler])
        if found != expected(cell):
            wrong[cell] = found, expected(cell)
    few = dict(itertools.islice(wrong.items(), 3))
    assert not wrong, (few, Counter((cell.handler, cell.answer, cell.before) for cell in wrong).most_common(20))


def test_known_people_are_reached_wherever_they_can_be():
    """The rules promise it: one profile, no failure, no changed identifier; and nowhere else."""
    for cell in cells():
        result = expected(cell)
        is_good = result.people == 1 and not result.fails and (result.is_known or cell.before == UNKNOWN)
        assert is_good is not bool(why_impossible(cell.workspace.identifiers, cell.answer, cell.before)), cell


# --- the page ---

SHOWN_ANSWERS = {
    "email": "`email`",
    METADATA: "`metadata.KEY`",
    FALLBACK: "`metadata.KEY`, without it",
    "customer_id": "`customer_id`, or none",
}


def test_the_page_shows_the_table():
    page = PAGE.read_text("utf-8")
    for line in [*shown_rows(), *shown_counts()]:
        assert line in page, f"docs/explanation/identity.md lacks:\n{line}"


def shown_rows() -> Iterator[str]:
    yield f"| workspace | known by | {' | '.join(SHOWN_ANSWERS.values())} |"
    yield "|---" * (len(SHOWN_ANSWERS) + 2) + "|"
    for identifiers in Identifiers:
        for before in BEFORE:
            if may_be(Workspace(identifiers=identifiers), before):
                found = (
                    " or ".join(dict.fromkeys(outcomes(identifiers, answer, before))) for answer in SHOWN_ANSWERS
                )
                yield f"| {identifiers} | {before} | {' | '.join(found)} |"


def outcomes(identifiers: Identifiers, answer: str, before: str) -> Iterator[str]:
    """What comes of an event, by both readings of the documentation."""
    for conflict in IdConflict:
        cell = Cell(Workspace(identifiers=identifiers, id_conflict=conflict), answer, before, "order paid")
        result = expected(cell)
        if result.reached is None:
            yield "no effect"
        elif before == UNKNOWN:
            yield "new" if result.emails else "new, no email"
        elif result.is_known:
            yield "●" if result.emails else "●, no email"
        elif result.people == 1:
            yield "gets Dodo's ID"
        else:
            yield "second person" if result.emails else "second person, no email"


def shown_counts() -> Iterator[str]:
    every = list(cells())
    reasons = Counter(why_impossible(cell.workspace.identifiers, cell.answer, cell.before) for cell in every)
    yield f"Of {len(every):,} cells, {reasons['']:,} reach that person."
    yield f"In {reasons['not an identifier']:,}, the workspace does not use the identifier"
    yield f"in {reasons['another identifier']:,}, the person has another one"
