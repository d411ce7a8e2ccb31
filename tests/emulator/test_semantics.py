"""What the emulator's accepted calls do, by the documentation."""

from __future__ import annotations

import pytest

from nicobar.emulator.campaign import Campaign, Frequency, Trigger
from nicobar.emulator.effects import Ignored, Repeated
from support.world import NOW, World

ULID = "01K4VJ0W00QF7D2S9N3B6X8C1M"


ADDRESS = {"email": "Ada@northpine.example"}
HELLO = Campaign(title="Hello", trigger=Trigger.EVENT, name="paid", subject="Hello {{customer.email}}")


def test_ids_are_case_sensitive_and_addresses_are_not():
    it = World()
    it.send("identify", attributes=ADDRESS)
    assert it.state.find("email", "ada@NORTHPINE.example") is it.ada()
    assert it.state.find("id", "ADA") is None


def test_a_known_address_without_an_id_gets_the_new_id():
    it = World()
    it.send("identify", {"email": "ada@northpine.example"}, attributes={"plan": "pro"})
    it.send("identify", attributes=ADDRESS)
    assert len(it.state.people) == 1
    assert (it.ada().attributes["plan"], it.ada().id) == ("pro", "ada")


def test_another_profile_s_address_is_not_reassigned_but_logged():
    it = World()
    it.send("identify", {"id": "jun"}, attributes=ADDRESS)
    it.send("identify", attributes={**ADDRESS, "plan": "pro"})
    assert (it.ada().email, it.ada().attributes) == (None, {"plan": "pro"})
    assert list(it.state.activities)[-1].type == "attribute_update_failure"


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_removed_address_is_free_for_another_profile(nothing):
    it = World(HELLO)
    it.send("identify", attributes={**ADDRESS, "phone": "+15551234567"})
    it.send("identify", attributes={"email": nothing, "phone": nothing})
    it.send("event", name="paid")
    assert it.mails == [(None, "the person has no email address")]
    assert (it.ada().email, it.ada().phone, it.ada().attributes) == (None, None, {})
    assert it.state.find("email", ADDRESS["email"]) is None
    it.send("identify", {"id": "jun"}, attributes=ADDRESS)
    assert it.state.find("email", ADDRESS["email"]).id == "jun"


def test_a_non_text_identifier_is_stored_as_text():
    it = World()
    it.send("identify", attributes=ADDRESS)
    it.send("identify", attributes={"phone": 5, "email": 7})
    assert (it.ada().phone, it.ada().email, it.ada().attributes) == ("5", "7", {"phone": "5", "email": "7"})
    assert it.state.find("email", ADDRESS["email"]) is None


def test_an_id_is_removed_only_by_cio_id():
    it = World()
    it.send("identify")
    it.send("identify", attributes={"id": None})
    assert it.ada() is not None
    assert list(it.state.activities)[-1].type == "attribute_update_failure"
    it.send("identify", {"cio_id": it.ada().cio_id}, attributes={"id": None})
    assert it.state.find("id", "ada") is None
    assert len(it.state.people) == 1


def test_emails_and_segments_find_a_profile_by_address_alone():
    it = World(HELLO, Campaign(title="New", trigger=Trigger.SEGMENT, name="email", subject="{{customer.email}}"))
    it.send("identify", {"email": "ada@northpine.example"})
    it.send("event", {"email": "ada@northpine.example"}, name="paid")
    it.send("event", {"email": "jun@northpine.example"}, name="paid")
    assert [(email.subject, email.why_not) for email in it.campaigns.emails] == [
        ("ada@northpine.example", None),
        ("Hello ada@northpine.example", None),
        ("Hello jun@northpine.example", None),
    ]


def test_a_person_without_an_id_has_none_in_emails():
    it = World(Campaign(title="Hi", trigger=Trigger.EVENT, name="paid", subject="{{customer.id}}"))
    it.send("event", {"email": "ada@northpine.example"}, name="paid")
    it.send("event", {"id": "jun"}, name="paid", attributes={"recipient": "jun@northpine.example"})
    assert [why for _, why in it.mails] == ["the email uses customer.id, which is missing", None]


def test_an_update_never_makes_a_person():
    it = World()
    it.send("identify", attributes={"_update": True, "plan": "pro"})
    assert it.state.find("id", "ada") is None
    assert isinstance(it.effects[-1], Ignored)


def test_an_existing_identifier_is_changed_only_by_cio_id():
    it = World()
    it.send("identify")
    it.send("identify", attributes={"id": "other"})
    assert it.ada() is not None
    it.send("identify", {"cio_id": it.ada().cio_id}, attributes={"id": "other"})
    assert (it.state.find("id", "ada"), it.state.find("id", "other") is None) == (None, False)


def test_an_unknown_cio_id_is_dropped():
    it = World()
    it.send("event", {"cio_id": "nobody"}, name="paid")
    assert not it.state.activities
    assert not it.state.people


def test_deleted_profiles_can_be_recreated_but_suppressed_ones_cannot():
    it = World()
    it.send("identify", attributes={**ADDRESS, "plan": "pro"})
    it.send("delete")
    it.send("identify", attributes={"seats": 3})
    assert it.ada().attributes == {"seats": "3"}
    it.send("identify", attributes=ADDRESS)
    it.send("suppress")
    it.send("identify", {"email": "ada@northpine.example"})
    assert not it.state.people, "by the other identifier neither"
    it.send("unsuppress")
    it.send("identify")
    assert it.ada().attributes == {}
    it.send("identify", {"email": "ADA@northpine.example"})
    assert len(it.state.people) == 2, "all identifiers are free again"


def test_a_suppressed_address_belongs_to_no_profile():
    it = World(HELLO)
    it.send("identify", {"id": "jun"}, attributes=ADDRESS)
    it.send("suppress", {"id": "jun"})
    it.send("identify", attributes={**ADDRESS, "plan": "pro"})
    assert (it.ada().email, it.ada().attributes) == (None, {"plan": "pro"})
    assert list(it.state.activities)[-1].type == "attribute_update_failure"
    it.send("event", name="paid")
    assert it.mails == [(None, "the person has no email address")]


def test_a_merge_adds_missing_data_and_deletes_the_secondary_profile():
    it = World()
    it.send("identify", attributes={"plan": "pro"})
    it.send("identify", {"id": "old"}, attributes={"plan": "free", "seats": "5", **ADDRESS})
    it.send("add_device", {"id": "old"}, device={"token": "t", "platform": "ios"})
    it.send("event", {"id": "old"}, name="recent")
    it.send("event", {"id": "old"}, name="ancient", timestamp=NOW - 40 * 86_400)
    it.state.put_in_segment("7", ("id:old",), adds=True)
    merge = {"type": "person", "action": "merge", "primary": {"id": "ada"}, "secondary": {"id": "old"}}
    it.state.accept({**merge, "primary": {"id": "nobody"}})
    assert it.state.find("id", "old") is not None, "the primary has to exist"
    it.state.accept(merge)
    ada = it.ada()
    assert it.state.find("id", "old") is None
    assert (ada.email, ada.attributes["plan"], ada.attributes["seats"]) == (ADDRESS["email"], "pro", "5")
    assert list(ada.devices) == ["t"]
    assert [activity.name for activity in it.state.activities if activity.person == "ada"] == ["recent"]
    assert ada.cio_id in it.state.people.segments["7"]


def test_relationships_and_objects_follow_their_calls():
    it = World()
    team = {"object_type_id": "1", "object_id": "team"}
    it.send("identify", cio_relationships=[{"identifiers": team, "relationship_attributes": {"role": "owner"}}])
    assert it.ada().relationships == {"1/team": {"role": "owner"}}
    it.send("delete_relationships", cio_relationships=[{"identifiers": team}])
    assert it.ada().relationships == {}
    it.state.accept(
        {"type": "object", "action": "identify", "identifiers": team, "attributes": {"name": "Team", "n": 5}}
    )
    assert it.state.objects["1/team"] == {"name": "Team", "n": "5"}


def test_accepted_calls_take_effect_later_and_in_order():
    it = World()
    it.state.settle_ms = 2_000
    it.send("identify", attributes={"plan": "a"})
    it.send("identify", attributes={"plan": "b"})
    it.state.settle()
    assert (it.state.find("id", "ada"), it.state.pending) == (None, 2)
    it.at += 2
    it.state.settle()
    assert (it.ada().attributes["plan"], it.state.pending) == ("b", 0)


def test_segment_changes_are_queued_too():
    it = World()
    it.state.settle_ms = 2_000
    it.send("identify")
    it.state.put_in_segment("7", ("id:ada",), adds=True)
    assert it.state.pending == 2
    it.at += 2
    it.state.settle()
    assert list(it.state.people.segments["7"]) == [it.ada().cio_id]


def test_a_relationship_that_ends_makes_no_object():
    it = World()
    item = {"type": "object", "action": "delete_relationships", "identifiers": {"cio_object_id": "team"}}
    it.state.accept({**item, "cio_relationships": [{"identifiers": {"id": "ada"}}]})
    assert not it.state.objects


def test_a_shorter_wait_keeps_the_order():
    it = World()
    it.state.settle_ms = 2_000
    it.send("identify", attributes={"plan": "old"})
    it.state.settle_ms = 0
    it.send("identify", attributes={"plan": "new"})
    it.at += 2
    it.state.settle()
    assert it.ada().attributes["plan"] == "new"


def test_anonymous_activity_moves_to_the_identified_person():
    it = World()
    looked = {"type": "person", "action": "event", "name": "looked", "attributes": {}}
    it.state.accept(looked, "anon")
    assert list(it.state.activities)[-1].person == "anonymous:anon"
    it.send("identify", attributes={"anonymous_id": "anon"})
    assert [activity.person for activity in it.state.activities] == ["ada"]


WELCOME = Campaign(
    title="Welcome", trigger=Trigger.EVENT, name="paid", subject="{{event.amount}} for {{customer.plan}}"
)
PAID = {"name": "paid", "attributes": {"amount": "5.00"}}
KNOWN = {**ADDRESS, "plan": "pro"}


def test_an_event_with_the_name_sends_the_email():
    it = World(WELCOME)
    it.send("identify", attributes=KNOWN)
    it.send("event", **PAID)
    (mail,) = it.campaigns.emails
    assert (mail.to, mail.subject, mail.why_not) == (ADDRESS["email"], "5.00 for pro", None)
    assert mail.data == {"amount": "5.00"}


@pytest.mark.parametrize(
    ("profile", "event", "why"),
    [
        ({"plan": "pro"}, PAID, "no email address"),
        (KNOWN, {**PAID, "name": "Paid"}, "waits for `paid`; received: `Paid`"),
        (KNOWN, {**PAID, "timestamp": NOW - 72 * 3_600 - 1}, "older than 72 hours"),
        ({**KNOWN, "unsubscribed": True}, PAID, "unsubscribed"),
        (KNOWN, {"name": "paid"}, "event.amount"),
        (ADDRESS, PAID, "customer.plan"),
    ],
)
def test_an_unsent_email_shows_its_reason(profile, event, why):
    it = World(WELCOME)
    it.send("identify", attributes=profile)
    it.send("event", **event)
    (mail,) = it.campaigns.emails
    assert why in str(mail.why_not)


def test_72_hours_old_events_count_and_repetitions_send_nothing():
    it = World(WELCOME)
    it.send("identify", attributes=KNOWN)
    for taken in (True, False):
        assert it.send("event", **PAID, id=ULID, timestamp=NOW - 72 * 3_600) is taken
    assert it.mails[0][1] is None
    assert it.mails[1] == (ADDRESS["email"], "an event with this id was already accepted")


def test_an_email_to_a_suppressed_person_is_marked_unsent():
    it = World(WELCOME)
    it.send("suppress")
    it.send("event", **PAID)
    assert it.mails == [(None, "the person is suppressed")]


def test_a_page_view_with_the_name_is_not_an_event():
    it = World(WELCOME)
    it.send("identify", attributes=KNOWN)
    it.send("page", **PAID)
    it.send("screen", **PAID)
    assert it.mails == []


@pytest.mark.parametrize(("kind", "called"), [("page", "a page view"), ("screen", "a screen view")])
def test_a_repeated_page_view_is_not_an_event(kind, called):
    it = World(WELCOME)
    it.send("identify", attributes=KNOWN)
    for taken in (True, False):
        assert it.send(kind, **PAID, id=ULID) is taken
    assert isinstance(it.effects[-1], Repeated)
    assert (it.effects[-1].kind, it.effects[-1].known_as) == (kind, kind)
    assert it.mails == [], "no campaign waits for it"
    it.send("event", **PAID, id=ULID)
    assert it.mails == [(ADDRESS["email"], f"{called} with this id was already accepted")]
    it.send("suppress")
    it.send(kind, **PAID)
    assert len(it.mails) == 1


def test_a_repeated_anonymous_page_view_is_called_one_too():
    it = World(WELCOME)
    looked = {"type": "person", "action": "page", "name": "paid", "attributes": {}, "id": ULID}
    assert it.state.accept(looked, "anon")
    assert not it.state.accept(looked, "anon")
    assert (it.effects[-1].kind, it.mails) == ("page", [])


def test_entering_a_segment_sends_once_for_each_entry():
    it = World(Campaign(title="Bye", trigger=Trigger.SEGMENT, name="status", value="cancelled"))
    for status in ("active", "cancelled", "cancelled", "active", "cancelled"):
        it.send("identify", attributes={**ADDRESS, "status": status})
    assert [why for _, why in it.mails] == [None, None]


def test_a_campaign_for_once_sends_once_a_person():
    it = World(Campaign(title="Hi", trigger=Trigger.EVENT, name="paid", frequency=Frequency.ONCE))
    it.send("identify", attributes=ADDRESS)
    it.send("event", **PAID)
    it.send("event", **PAID)
    assert [why for _, why in it.mails] == [None, "the person has already received this campaign"]
