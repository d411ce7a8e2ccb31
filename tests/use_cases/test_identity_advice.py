"""Which identifier the people of a destination speak for."""

from __future__ import annotations

import pytest

from nicobar.connectors.inspection import Profile, Unanswered
from nicobar.model import Customer
from nicobar.reasons import plain
from nicobar.use_cases.identity_advice import advise


class Workspace:
    """People by email; None: no answer."""

    def __init__(self, people):
        self.people_by_email = people
        self.asked = []

    async def people(self, _transport, email):
        self.asked.append(email)
        found = self.people_by_email.get(email, ())
        return Unanswered(reason=plain("busy")) if found is None else found


def customer(number, **metadata):
    return Customer(key=f"cus_{number}", email=f" U{number}@northpine.example", metadata=metadata)


def profile(number, own_id=""):
    return {f"u{number}@northpine.example": (Profile(id=own_id, email=f"u{number}@northpine.example"),)}


async def advised(people, *customers):
    found = await advise(None, Workspace(people), customers)
    return (None if found.rule is None else str(found.rule)), found


async def test_the_metadata_that_equals_their_ids_is_recommended():
    people = {k: v for n in range(17) for k, v in profile(n, own_id=str(100 + n)).items()} | profile(
        17, own_id="other"
    )
    customers = [customer(n, user_id=100 + n, cart=f"c{n}") for n in range(20)]
    rule, found = await advised(people, *customers)
    assert (rule, found.asked, found.found, found.with_id) == ("metadata.user_id", 20, 18, 18)
    assert str(found.reason) == (
        "17 of 20 customers have a profile with their email address and an ID that equals metadata.user_id. "
        "Use metadata.user_id."
    )


@pytest.mark.parametrize(
    ("people", "rule", "code"),
    [
        ({}, None, "advice_nobody"),
        (profile(1), "email", "advice_email"),
        (profile(1, own_id="own_7"), "email", "advice_other_ids"),
        (profile(1, own_id="cus_1"), None, "advice_sender_ids"),
    ],
)
async def test_without_equal_metadata_the_people_decide(people, rule, code):
    advice = await advised(people, customer(1, user_id="7"))
    assert (advice[0], advice[1].reason.code) == (rule, code)


async def test_metadata_is_compared_exactly_and_needs_a_majority():
    people = profile(1, own_id="A") | profile(2, own_id="B") | profile(3, own_id="C")
    rule, _ = await advised(people, customer(1, k="A"), customer(2, k="b"), customer(3, k=True))
    assert rule == "email"


async def test_asks_for_at_most_twenty_and_stops_unanswered():
    workspace = Workspace({f"u{n}@northpine.example": () for n in range(30)})
    found = await advise(None, workspace, [customer(n) for n in range(30)] + [Customer(key="x", email="none")])
    assert (found.asked, len(workspace.asked), found.unanswered) == (20, 20, None)
    stopping = Workspace({**profile(0, own_id="A"), "u1@northpine.example": None})
    found = await advise(None, stopping, [customer(n) for n in range(9)])
    assert (found.asked, len(stopping.asked), str(found.unanswered)) == (1, 2, "busy")
