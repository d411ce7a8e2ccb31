"""What the emulator holds is bounded; the oldest goes first and is counted; nothing takes longer for being full."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicobar.emulator import campaigns, pending, people, state
from nicobar.emulator.campaign import Campaign, Exit, Frequency, Trigger
from nicobar.emulator.campaigns import Campaigns
from nicobar.emulator.state import State
from nicobar.emulator.workspace import IdConflict, Identifiers, Workspace

NOW = 1_789_000_000


@pytest.fixture
def it():
    return State(now=lambda: NOW)


def send(it: State, action: str, who: str, **fields: object) -> bool:
    return it.accept({"type": "person", "action": action, "identifiers": {"id": who}, **fields})


def test_segments_beyond_the_limit_drop_the_oldest(it, monkeypatch):
    monkeypatch.setattr(people, "MAX_SEGMENTS", 2)
    send(it, "identify", "ada")
    for number in ("1", "2", "3"):
        it.put_in_segment(number, ("id:ada",), adds=True)
    assert list(it.people.segments) == ["2", "3"]
    assert it.find("id", "ada").segments == {"2", "3"}
    assert it.forgotten == {"segments": 1}


def test_a_segment_drops_its_first_and_deleted_members(it, monkeypatch):
    monkeypatch.setattr(people, "MAX_SEGMENT_PEOPLE", 2)
    for who in ("ada", "jun", "kim"):
        send(it, "identify", who)
        it.put_in_segment("7", (f"id:{who}", "id:nobody"), adds=True)
    ids = [it.find("id", who).cio_id for who in ("jun", "kim")]
    assert list(it.people.segments["7"]) == ids
    assert it.forgotten == {"people in a segment": 1}
    send(it, "delete", "jun")
    assert list(it.people.segments["7"]) == ids[1:]
    it.put_in_segment("7", ("id:kim",), adds=False)
    it.put_in_segment("8", ("id:kim",), adds=False)
    assert not it.people.segments, "an empty one is none"


def test_the_suppression_list_drops_the_oldest(it, monkeypatch):
    monkeypatch.setattr(people, "MAX_SUPPRESSED", 2)
    for who in ("ada", "jun", "kim"):
        send(it, "suppress", who)
    assert list(it.people.suppressed) == [("id", "jun"), ("id", "kim")]
    assert it.forgotten == {"suppressed identifiers": 1}
    send(it, "identify", "ada")
    assert it.find("id", "ada") is not None


def test_people_activities_requests_and_event_ids_drop_the_oldest(it, monkeypatch):
    monkeypatch.setattr(people, "MAX_PEOPLE", 2)
    for name in ("MAX_OBJECTS", "MAX_ACTIVITIES", "MAX_EVENT_IDS"):
        monkeypatch.setattr(state, name, 2)
    it.reset()
    for number, who in enumerate(("ada", "jun", "kim")):
        send(it, "event", who, name="paid", id=f"01K4VJ0W00QF7D2S9N3B6X8C{number}M")
        it.accept({"type": "object", "action": "identify", "identifiers": {"object_type_id": "1", "object_id": who}})
    assert [person.key for person in it.people] == ["jun", "kim"]
    assert [activity.person for activity in it.activities] == ["jun", "kim"]
    assert list(it.objects) == ["1/jun", "1/kim"]
    assert it.forgotten == {"people": 1, "activities": 1, "event ids": 1, "objects": 1}
    assert send(it, "event", "ada", name="paid", id="01K4VJ0W00QF7D2S9N3B6X8C0M"), "it is not known any more"
    anonymous = {"type": "person", "action": "event", "name": "looked", "id": "01K4VJ0W00QF7D2S9N3B6X8C3M"}
    it.accept(anonymous, "anon")
    assert it.forgotten["event ids"] == 3, "those of anonymous events count too"


def test_a_person_has_so_many_attributes_devices_and_relationships(it, monkeypatch):
    monkeypatch.setattr(state, "MAX_ATTRIBUTES", 2)
    monkeypatch.setattr(state, "MAX_DEVICES", 2)
    monkeypatch.setattr(state, "MAX_RELATIONSHIPS", 2)
    for number in range(3):
        team = {"object_type_id": "1", "object_id": str(number)}
        send(it, "identify", "ada", attributes={f"a{number}": number}, cio_relationships=[{"identifiers": team}])
        send(it, "add_device", "ada", device={"token": str(number), "platform": "ios"})
        it.accept(
            {"type": "object", "action": "identify", "identifiers": team, "attributes": {"n": 1, "m": 2, "o": 3}}
        )
    send(it, "identify", "ada", attributes={"a1": "changed"})
    ada = it.find("id", "ada")
    assert ada.attributes == {"a0": "0", "a1": "changed"}, "the first ones stay, and can change"
    assert (list(ada.devices), list(ada.relationships)) == (["1", "2"], ["1/1", "1/2"])
    assert it.objects["1/0"] == {"n": "1", "m": "2"}
    assert it.forgotten == {"attributes": 4, "devices": 1, "relationships": 1}


def test_queued_changes_beyond_the_bound_apply_early_in_order(it, monkeypatch):
    monkeypatch.setattr(pending, "MAX_PENDING", 2)
    it.settle_ms = 60_000
    for plan in ("a", "b", "c"):
        send(it, "identify", "ada", attributes={"plan": plan})
    assert (it.find("id", "ada").attributes["plan"], it.pending) == ("a", 2)


def test_a_campaign_for_once_remembers_so_many(it, monkeypatch):
    monkeypatch.setattr(campaigns, "MAX_MAILED", 2)
    followed = Campaigns(it.now)
    followed.put([Campaign(title="Hi", trigger=Trigger.EVENT, name="paid", frequency=Frequency.ONCE, subject="Hi")])
    it.listeners.append(followed.consider)
    for who in ("ada", "jun", "kim", "kim", "ada"):
        send(it, "identify", who, attributes={"email": f"{who}@northpine.example"})
        send(it, "event", who, name="paid")
    assert [email.why_not is None for email in followed.emails] == [True, True, True, False, True]


WHO = st.one_of(
    st.sampled_from([{"id": item} for item in "abcd"]),
    st.sampled_from([{"email": "A@x.example"}, {"email": "b@x.example"}, {"cio_id": "000000000001"}]),
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["id", "email", "phone", "anonymous_id", "plan"]),
    st.sampled_from([None, "", "a", "b", "a@x.example", "B@x.example", 5]),
    max_size=3,
)
PERSON = st.fixed_dictionaries(
    {
        "type": st.just("person"),
        "action": st.sampled_from(["identify", "identify", "event", "delete", "suppress", "unsuppress", "merge"]),
        "name": st.just("paid"),
        "identifiers": WHO,
        "primary": WHO,
        "secondary": WHO,
        "attributes": ATTRIBUTES,
    }
)
WORK = st.one_of(
    st.tuples(PERSON, st.none()),
    st.tuples(st.just({"type": "person", "action": "event", "name": "looked"}), st.sampled_from(["a", "b"])),
    st.tuples(st.sampled_from(["1", "2", "3"]), st.sampled_from(["id:a", "id:b", "id:c", "email:a@x.example"])),
)


@given(
    work=st.lists(WORK, max_size=40),
    workspace=st.builds(
        Workspace,
        identifiers=st.sampled_from(Identifiers),
        id_conflict=st.sampled_from(IdConflict),
        automatic_merging=st.booleans(),
        email_updates_by_id=st.booleans(),
    ),
)
def test_indexes_of_people_and_activities_match_the_stored_ones(work, workspace):
    small = {"MAX_PEOPLE": 3, "MAX_SEGMENTS": 2, "MAX_SEGMENT_PEOPLE": 2, "MAX_SUPPRESSED": 3}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small.items():
            patch.setattr(people, name, value)
        patch.setattr(state, "MAX_ACTIVITIES", 5)
        it = State(now=lambda: NOW)
        it.put_workspace(workspace)
        for what, whose in work:
            if isinstance(what, str):
                it.put_in_segment(what, (whose,), adds=True)
            else:
                it.accept(what, whose)
    kinds = [kind for kind in ("id", "email", "phone", "cio_id") if workspace.identifies(kind)]
    names = [(person, kind, getattr(person, kind)) for person in it.people for kind in kinds]
    assert all(it.find(kind, value) is person for person, kind, value in names if value is not None)
    assert len(it.people._names) == sum(value is not None for _, _, value in names)
    for person in it.people:
        assert not person.is_deleted
        assert all(person.attributes.get(kind) == getattr(person, kind) for kind in ("email", "phone"))
        assert person.segments == {number for number, joined in it.people.segments.items() if person.cio_id in joined}
        assert person.email is None or person in it.people.with_address(person.email.swapcase())
    shared = [person for person in it.people if person.email and not workspace.identifies("email")]
    assert sum(map(len, it.people._shared.values())) == len(shared)
    cio_ids = {person.cio_id for person in it.people}
    assert all(joined and joined.keys() <= cio_ids for joined in it.people.segments.values())
    found = [row for owner in it.activities._owned for row in it.activities.of(owner)]
    assert [activity for _, activity in sorted(found, key=lambda row: row[0])] == list(it.activities)
    assert len(it.people) <= 3
    assert len(it.people.segments) <= 2
    assert len(it.people.suppressed) <= 3
    assert len(it.activities) <= 5


def steps(work) -> int:
    """How many lines of Python run."""
    count = 0

    def line(_frame, event, _argument):
        nonlocal count
        count += event == "line"
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def full(others: int) -> State:
    """A person with an anonymous id and two events under it, among the given number of others with all data."""
    it = State(now=lambda: NOW)
    for number in range(others):
        send(it, "identify", f"other{number}", attributes={"email": f"o{number}@northpine.example"})
        send(it, "event", f"other{number}", name="paid")
        it.put_in_segment("7", (f"id:other{number}",), adds=True)
        it.accept({"type": "person", "action": "event", "name": "looked"}, f"other{number}")
        send(it, "suppress", f"away{number}")
    for _ in range(2):
        it.accept({"type": "person", "action": "event", "name": "looked"}, "anon")
    send(it, "identify", "ada", attributes={"email": "ada@northpine.example"})
    it.put_in_segment("7", ("id:ada",), adds=True)
    return it


def test_campaigns_work_for_one_person_not_for_all():
    counts = []
    for others in (10, 1_000):
        it = State(now=lambda: NOW)
        followed = Campaigns(it.now)
        waits = Campaign(title="Hi", trigger=Trigger.EVENT, name="paid", delay_s=60, exits=(Exit(event="left"),))
        followed.put([waits])
        it.listeners.append(followed.consider)
        for number in range(others):
            send(it, "event", f"other{number}", name="paid")
        counts.append(steps(lambda it=it: [send(it, "event", "ada", name=name) for name in ("paid", "left")]))
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize(
    "work",
    [
        lambda it: send(it, "identify", "ada", attributes={"anonymous_id": "anon"}),
        lambda it: send(it, "delete", "ada"),
        lambda it: send(it, "suppress", "ada"),
        lambda it: it.put_in_segment("7", ("id:ada",), adds=False),
        lambda it: it.accept(
            {"type": "person", "action": "merge", "primary": {"id": "jun"}, "secondary": {"id": "ada"}}
        ),
    ],
    ids=["associate", "delete", "suppress", "leave a segment", "merge"],
)
def test_work_grows_with_touched_items_not_stored_ones(work):
    counts = []
    for others in (10, 1_000):
        it = full(others)
        send(it, "identify", "jun")
        counts.append(steps(lambda it=it: work(it)))
    assert counts[0] == counts[1] > 0
