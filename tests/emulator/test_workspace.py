"""Whom a call reaches, in every workspace: identifiers, their changes, merging, and the order of calls."""

from __future__ import annotations

import pytest

from nicobar.emulator.campaign import Campaign, Trigger
from nicobar.emulator.effects import Ignored, Merged
from nicobar.emulator.workspace import Disorder, IdConflict, Identifiers, Workspace
from nicobar.errors import UserError
from support.world import World

ADA, JUN = "ada@northpine.example", "jun@northpine.example"
BY_ID = Workspace(identifiers=Identifiers.ID)
BY_EMAIL = Workspace(identifiers=Identifiers.EMAIL)
REPLACE = Workspace(id_conflict=IdConflict.REPLACE)
NO_MERGING = Workspace(automatic_merging=False)
FIXED_EMAIL = Workspace(email_updates_by_id=False)
NOT_ALLOWED = "the workspace does not allow updates to email using ID"
FIXED_ADDRESS = f"the person has the address {ADA}, which changes only by id or cio_id"
FIXED_ID = "the person has the id user_42, which changes only by cio_id"
UNKNOWN: tuple[object, ...] = ()
EMAIL_ONLY = ({"email": ADA},)
BOTH = ({"id": "user_42", "email": ADA},)
APART = ({"id": "cus_1"}, {"email": ADA})


def world(workspace: Workspace, *people: dict[str, str]) -> World:
    """With people of these identifiers."""
    it = World(workspace=workspace)
    for person in people:
        by = "id" if "id" in person else "email"
        rest = {kind: value for kind, value in person.items() if kind != by}
        it.send("identify", {by: person[by]}, attributes=rest)
    assert not it.failures
    return it


def people_of(it: World) -> list[tuple[str | None, str | None, str | None]]:
    """Id, address, and whether the call's attribute arrived."""
    return [(person.id, person.email, person.attributes.get("plan")) for person in it.state.people]


@pytest.mark.parametrize(
    ("workspace", "before", "who", "given", "expected"),
    [
        # By id, with the address.
        (Workspace(), UNKNOWN, {"id": "cus_1"}, {"email": ADA},
         ([("cus_1", ADA, "pro")], [])),
        (Workspace(), EMAIL_ONLY, {"id": "cus_1"}, {"email": ADA.upper()},
         ([("cus_1", ADA.upper(), "pro")], [])),
        (Workspace(), BOTH, {"id": "cus_1"}, {"email": ADA},
         ([("user_42", ADA, None), ("cus_1", None, "pro")], [("cus_1", "email", "it belongs to user_42")])),
        (REPLACE, BOTH, {"id": "cus_1"}, {"email": ADA},
         ([("cus_1", ADA, "pro")], [])),
        (Workspace(), APART, {"id": "cus_1"}, {"email": ADA},
         ([("cus_1", ADA, "pro")], [])),
        (NO_MERGING, APART, {"id": "cus_1"}, {"email": ADA},
         ([("cus_1", None, "pro"), (None, ADA, None)], [("cus_1", "email", f"it belongs to {ADA}")])),
        (REPLACE, ({"id": "cus_1"}, *BOTH), {"id": "cus_1"}, {"email": ADA},
         ([("cus_1", None, "pro"), ("user_42", ADA, None)], [("cus_1", "email", "it belongs to user_42")])),
        (Workspace(), ({"id": "cus_1", "email": JUN}, {"email": ADA}), {"id": "cus_1"}, {"email": ADA},
         ([("cus_1", JUN, "pro"), (None, ADA, None)], [("cus_1", "email", f"it belongs to {ADA}")])),
        # A changed address.
        (Workspace(), BOTH, {"id": "user_42"}, {"email": JUN},
         ([("user_42", JUN, "pro")], [])),
        (FIXED_EMAIL, BOTH, {"id": "user_42"}, {"email": JUN},
         ([("user_42", ADA, "pro")], [("user_42", "email", NOT_ALLOWED)])),
        (FIXED_EMAIL, BOTH, {"id": "user_42"}, {"email": None},
         ([("user_42", ADA, "pro")], [("user_42", "email", NOT_ALLOWED)])),
        (FIXED_EMAIL, BOTH, {"id": "user_42"}, {"email": ADA.upper()},
         ([("user_42", ADA.upper(), "pro")], [])),
        (Workspace(), EMAIL_ONLY, {"email": ADA}, {"email": JUN},
         ([(None, ADA, "pro")], [(ADA, "email", FIXED_ADDRESS)])),
        # By address.
        (Workspace(), UNKNOWN, {"email": ADA}, {},
         ([(None, ADA, "pro")], [])),
        (Workspace(), BOTH, {"email": ADA.upper()}, {},
         ([("user_42", ADA, "pro")], [])),
        (Workspace(), EMAIL_ONLY, {"email": ADA}, {"id": "cus_1"},
         ([("cus_1", ADA, "pro")], [])),
        (Workspace(), BOTH, {"email": ADA}, {"id": "cus_1"},
         ([("user_42", ADA, "pro")], [("user_42", "id", FIXED_ID)])),
        (REPLACE, BOTH, {"email": ADA}, {"id": "cus_1"},
         ([("user_42", ADA, "pro")], [("user_42", "id", FIXED_ID)])),
        (Workspace(), ({"id": "cus_1"},), {"email": ADA}, {"id": "cus_1"},
         ([("cus_1", ADA, "pro")], [])),
        (Workspace(), BOTH, {"email": JUN}, {"id": "user_42"},
         ([("user_42", ADA, None), (None, JUN, "pro")], [(JUN, "id", "it belongs to user_42")])),
        (REPLACE, BOTH, {"email": JUN}, {"id": "user_42"},
         ([("user_42", JUN, "pro")], [])),
        (Workspace(), APART, {"email": ADA}, {"id": "cus_1"},
         ([("cus_1", ADA, "pro")], [])),
        # Ids only: several people may share an address.
        (BY_ID, BOTH, {"id": "cus_1"}, {"email": ADA},
         ([("user_42", ADA, None), ("cus_1", ADA, "pro")], [])),
        (BY_ID, BOTH, {"id": "user_42"}, {"email": JUN},
         ([("user_42", JUN, "pro")], [])),
        (BY_ID, BOTH, {"email": ADA}, {},
         ([("user_42", ADA, None)], [])),
        # Addresses only: an id is an attribute.
        (BY_EMAIL, EMAIL_ONLY, {"email": ADA}, {"id": "cus_1"},
         ([(None, ADA, "pro")], [])),
        (BY_EMAIL, EMAIL_ONLY, {"id": "cus_1"}, {"email": ADA},
         ([(None, ADA, None)], [])),
        (BY_EMAIL, EMAIL_ONLY, {"email": ADA}, {"email": JUN},
         ([(None, ADA, "pro")], [(ADA, "email", FIXED_ADDRESS)])),
    ],
)  # fmt: skip
def test_an_identify_reaches_the_documented_person(workspace, before, who, given, expected):
    it = world(workspace, *before)
    it.send("identify", who, attributes={**given, "plan": "pro"})
    assert (people_of(it), it.failures) == expected


@pytest.mark.parametrize(("workspace", "kind"), [(BY_ID, "email"), (BY_EMAIL, "id")])
def test_an_identifier_that_is_off_has_no_effect(workspace, kind):
    it = World(Campaign(title="Hi", trigger=Trigger.EVENT, name="paid", subject="Hi"), workspace=workspace)
    for action in ("identify", "event", "delete"):
        assert it.send(action, {kind: ADA}, name="paid")
    assert not it.state.people
    assert all(isinstance(effect, Ignored) for effect in it.effects)
    (unsent,) = it.unsent
    assert (unsent.reason, unsent.why) == (
        "ignored",
        f"the workspace identifies people by {'id' if kind == 'email' else 'email'} only, not by {kind}",
    )


def test_an_id_is_an_attribute_where_addresses_identify():
    it = world(BY_EMAIL)
    it.send("identify", {"email": ADA}, attributes={"id": "cus_1"})
    it.send("identify", {"email": ADA}, attributes={"id": "cus_2"})
    (ada,) = it.state.people
    assert (ada.id, ada.attributes["id"], it.failures) == (None, "cus_2", [])


def test_a_shared_address_is_found_for_all_and_free_again():
    it = world(BY_ID, {"id": "a", "email": ADA}, {"id": "b", "email": ADA.upper()})
    assert [person.id for person in it.state.people.with_address(ADA)] == ["a", "b"]
    it.send("delete", {"id": "a"})
    it.send("suppress", {"id": "b"})
    assert it.state.people.with_address(ADA) == []
    it.send("identify", {"id": "c"}, attributes={"email": ADA})
    assert [person.id for person in it.state.people.with_address(ADA)] == ["c"]


def test_cio_id_changes_to_free_identifiers():
    it = world(Workspace(), {"id": "a", "email": ADA}, {"id": "b"})
    who = {"cio_id": it.state.find("id", "a").cio_id}
    it.send("identify", who, attributes={"id": "b", "email": JUN})
    assert people_of(it) == [("a", JUN, None), ("b", None, None)]
    assert it.failures == [("a", "id", "it belongs to b")]


def test_a_failure_shows_both_values_and_the_reason():
    it = world(Workspace(), *BOTH)
    it.send("identify", {"email": ADA}, attributes={"id": 7})
    (activity,) = it.state.activities
    assert activity.data == {
        "attribute": "id",
        "value": 7,
        "from": "user_42",
        "why": FIXED_ID,
    }


def test_a_merge_starts_segment_campaigns_but_no_event_campaigns():
    it = World(
        Campaign(title="Pro", trigger=Trigger.SEGMENT, name="plan", subject="Pro"),
        Campaign(title="Paid", trigger=Trigger.EVENT, name="paid", subject="Paid"),
    )
    it.send("identify", {"email": ADA}, attributes={"plan": "pro"})
    it.send("event", {"email": ADA}, name="paid")
    it.send("identify", {"id": "cus_1"})
    it.campaigns.reset()
    it.send("identify", {"id": "cus_1"}, attributes={"email": ADA})
    assert any(isinstance(effect, Merged) for effect in it.effects)
    assert [email.campaign for email in it.sent] == ["Pro"]
    assert [activity.person for activity in it.state.activities] == ["cus_1"]


def plans(disorder: Disorder, seed: int) -> list[str]:
    """In which order identifies of the same second take effect."""
    it = World(workspace=Workspace(out_of_order=disorder, out_of_order_seed=seed))
    seen: list[str] = []
    for plan in "abcd":
        it.send("identify", attributes={"plan": plan, "email": ADA})
        it.send("event", name=f"chose {plan}")
    it.state.listeners.append(lambda _: seen.append(it.ada().attributes.get("plan", "-")))
    it.settle()
    names = [activity.name for activity in it.state.activities]
    assert (names == ["chose a", "chose b", "chose c", "chose d"]) is (disorder is Disorder.IDENTIFIES)
    return [plan for place, plan in enumerate(seen) if place == 0 or seen[place - 1] != plan]


def test_calls_out_of_order_are_reproducible():
    orders = {tuple(plans(Disorder.IDENTIFIES, seed)) for seed in range(5)}
    assert len(orders) > 1
    assert plans(Disorder.IDENTIFIES, 3) == plans(Disorder.IDENTIFIES, 3)
    assert len({tuple(plans(Disorder.ALL, seed)) for seed in range(6, 11)}) > 1


def test_identifies_that_change_places_leave_events_in_theirs():
    it = World(workspace=Workspace(out_of_order=Disorder.IDENTIFIES))
    for number in range(250):
        it.send("identify", attributes={"n": number})
    assert it.state.pending == 50, "the others took effect"
    it.settle()
    assert it.state.pending == 0


def test_calls_further_apart_than_the_window_keep_their_order():
    swapped = 0
    for seed in range(9):
        it = World(workspace=Workspace(out_of_order=Disorder.ALL, out_of_order_seed=seed, out_of_order_within_s=30))
        for plan, name in (("a", "x"), ("b", "x"), ("c", "y")):
            it.send("identify", attributes={name: plan})
            it.at += 5 if plan == "a" else 30
        it.send("identify", attributes={"y": "d"})
        it.settle()
        assert it.ada().attributes["y"] == "d"
        swapped += it.ada().attributes["x"] == "a"
    assert 0 < swapped < 9


def test_timestamps_decide_about_attributes_whatever_the_order():
    for seed in range(5):
        it = World(workspace=Workspace(out_of_order=Disorder.ALL, out_of_order_seed=seed))
        for number in range(6):
            it.send("identify", attributes={"n": number}, timestamp=1_700_000_000 + number)
        it.settle()
        assert it.ada().attributes == {"n": "5"}


def test_what_identifies_people_changes_only_without_any():
    it = world(Workspace(), *BOTH)
    it.state.put_workspace(REPLACE)
    with pytest.raises(UserError, match="DELETE /emulator/state"):
        it.state.put_workspace(BY_ID)
    it.state.reset()
    it.state.put_workspace(BY_ID)
    assert it.state.workspace is BY_ID
