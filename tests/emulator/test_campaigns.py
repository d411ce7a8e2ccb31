"""Who gets which email, when, and why not."""

from __future__ import annotations

import msgspec
import pytest

from nicobar.emulator import campaigns as engine
from nicobar.emulator import liquid
from nicobar.emulator.campaign import Audience, Campaign, Exit, Frequency, Segment, Trigger
from nicobar.emulator.conditions import Condition
from support.world import NOW, World

ADDRESS = {"email": "ada@northpine.example"}
DAY_S = 86_400


def campaign(**fields: object) -> Campaign:
    given = {"title": "Thanks", "trigger": Trigger.EVENT, "name": "paid", "subject": "Thanks", **fields}
    return msgspec.convert(given, Campaign)


def condition(on: str, field: str, operator: str, value: object = None) -> Condition:
    return msgspec.convert({"on": on, "field": field, "operator": operator, "value": value}, Condition)


def known(*campaigns: Campaign, segments: tuple[Segment, ...] = (), **attributes: object) -> World:
    """With Ada and her address."""
    it = World(*campaigns, segments=segments)
    it.send("identify", attributes={**ADDRESS, **attributes})
    return it


def reasons(it: World) -> list[str]:
    return [unsent.reason.value for unsent in it.unsent]


# --- names ---


@pytest.mark.parametrize("name", ["Payment Completed", "payment-completed", "PAYMENT.COMPLETED", "paymentcompleted"])
def test_a_similar_name_is_reported(name):
    it = known(campaign(name="payment_completed"))
    it.send("event", name=name, id="01K4VJ0W00QF7D2S9N3B6X8C1M")
    (unsent,) = it.unsent
    assert unsent.why == f"the campaign waits for `payment_completed`; received: `{name}`"
    assert (unsent.reason, unsent.campaign, unsent.waits_for) == ("name_differs", "Thanks", "payment_completed")
    assert (unsent.event, unsent.event_id, unsent.activity) == (name, "01K4VJ0W00QF7D2S9N3B6X8C1M", 1)
    (email,) = it.campaigns.emails
    assert (email.number, email.outcome, email.cause.name) == (unsent.email, "not_sent", name)


def test_an_event_without_a_campaign_is_listed():
    it = known(campaign())
    it.send("event", name="other")
    it.send("page", name="other")
    (unsent,) = it.unsent
    assert (unsent.reason, unsent.campaign, unsent.why) == ("no_campaign", None, "no campaign waits for `other`")
    assert not it.campaigns.emails


# --- conditions ---


@pytest.mark.parametrize(
    ("operator", "wanted", "value", "is_met"),
    [
        ("equals", "renewal", "renewal", True), ("equals", "renewal", "Renewal", False),
        ("equals", 5, "5.0", True), ("equals", True, True, True), ("equals", "x", None, False),
        ("not_equals", "renewal", "new", True), ("not_equals", "renewal", None, True),
        ("not_equals", 5, 5.0, False),
        ("exists", None, 0, True), ("exists", None, None, False), ("not_exists", None, None, True),
        ("not_exists", None, "", False),
        ("greater", 0, 49.5, True), ("greater", 0, "0.00", False), ("greater", 0, "1,234.50", False),
        ("greater", 0, True, False), ("less", 5, -1, True), ("less", 5, None, False),
        ("greater", 0, 10**400, True), ("equals", "x", -(10**400), False),
        ("contains", "north", "northpine", True), ("contains", "x", ["x", "y"], True), ("contains", "x", None, False),
        ("before", "now", NOW - 1, True), ("before", "now", NOW, False), ("after", "-7d", NOW - 6 * DAY_S, True),
        ("after", "+1h", NOW + 3_599, False), ("after", NOW, str(NOW + 1), True),
        ("after", "-7d", "2026-09-14T08:12:24Z", False), ("before", "now", (NOW - 1) * 1_000, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("on", ["event", "person"])
def test_conditions_compare_as_documented(on, operator, wanted, value, is_met):
    if on == "person" and value == "":
        return  # An attribute that is set to empty text is removed.
    it = known(
        campaign(conditions=(condition(on, "x", operator, wanted),)), **({"x": value} if on == "person" else {})
    )
    it.send("event", name="paid", attributes={"x": value} if on == "event" and value is not None else {})
    assert (len(it.sent), reasons(it)) == ((1, []) if is_met else (0, ["condition"]))


def test_nested_values_are_reached_with_dots():
    fits = (condition("event", "plan.name", "equals", "pro"), condition("person", "address.country", "equals", "KR"))
    it = known(campaign(conditions=fits), address={"country": "KR"})
    it.send("event", name="paid", attributes={"plan": {"name": "pro"}})
    it.send("event", name="paid", attributes={"plan": "pro"})
    assert (len(it.sent), reasons(it)) == (1, ["condition"])


def test_an_unmet_condition_says_what_it_found():
    it = known(campaign(conditions=(condition("event", "ends_at", "after", "now"),)))
    it.send("event", name="paid", attributes={"ends_at": "2026-09-14"})
    (unsent,) = it.unsent
    expected = (
        "event.ends_at is `2026-09-14`, which is not a time in Unix seconds; the campaign requires: after `now`"
    )
    assert unsent.why == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"operator": "exists", "value": 1}, {"operator": "equals"}, {"operator": "greater", "value": "many"},
        {"operator": "before", "value": "tomorrow"}, {"operator": "equals", "value": 1, "typo": 1},
        {"on": "segment", "operator": "equals", "value": "7"}, {"on": "weather", "operator": "exists"},
    ],
)  # fmt: skip
def test_a_condition_without_a_meaning_is_rejected(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"on": "event", "field": "amount", **wrong}, Condition)


@pytest.mark.parametrize(
    "wrong",
    [
        {"frequency": "every_days"}, {"days": 3}, {"exits": [{}]}, {"delay_s": -1}, {"typo": 1},
        {"trigger": "segment", "conditions": [{"on": "event", "field": "a", "operator": "exists"}]},
    ],
)  # fmt: skip
def test_a_campaign_without_a_meaning_is_rejected(wrong):
    with pytest.raises(msgspec.ValidationError):
        campaign(**wrong)


# --- states and people ---


@pytest.mark.parametrize(
    ("fields", "outcome", "reason"),
    [
        ({"state": "draft"}, "would", "draft_campaign"),
        ({"state": "stopped"}, "not_sent", "stopped"),
        ({"sending": "as_draft"}, "draft", "draft_message"),
    ],
)
def test_drafts_show_what_they_would_have_sent(fields, outcome, reason):
    it = known(campaign(**fields, subject="For {{event.amount}}", body="<p>{{customer.email}}</p>"))
    it.send("event", name="paid", attributes={"amount": 5})
    (email,) = it.campaigns.emails
    assert (email.outcome, email.reason, email.subject, email.body) == (
        outcome,
        reason,
        "For 5",
        f"<p>{ADDRESS['email']}</p>",
    )
    assert (it.sent, reasons(it)) == ([], [reason])


@pytest.mark.parametrize(
    ("value", "counts"), [(True, True), ("TRUE", True), (1, True), ("1", True), ("yes", False), (False, False)]
)
def test_unsubscribed_people_get_campaigns_for_everyone(value, counts):
    it = known(campaign(), campaign(title="Receipt", audience=Audience.EVERYONE.value), unsubscribed=value)
    it.send("event", name="paid")
    assert [email.campaign for email in it.sent] == (["Receipt"] if counts else ["Thanks", "Receipt"])
    assert reasons(it) == (["unsubscribed"] if counts else [])


# --- time ---


def test_an_email_waits_for_its_delay():
    it = known(campaign(delay_s=2 * DAY_S))
    it.send("event", name="paid")
    it.wait(2 * DAY_S - 1)
    (waiting,) = it.campaigns.waiting(10)
    assert (it.sent, waiting.due, waiting.campaign, waiting.person) == ([], NOW + 2 * DAY_S, "Thanks", "ada")
    it.wait(5)
    assert ([email.at for email in it.sent], it.campaigns.waiting(10)) == ([NOW + 2 * DAY_S], ())


def test_delays_end_in_the_order_of_their_times():
    it = known(campaign(delay_s=DAY_S), campaign(title="Soon", delay_s=60))
    it.send("event", name="paid")
    it.wait(10 * DAY_S)
    assert [email.campaign for email in it.sent] == ["Soon", "Thanks"]


def test_an_exit_ends_a_journey_that_waits():
    leave = Exit(event="recovered", conditions=(condition("event", "amount", "greater", 0),))
    it = known(campaign(delay_s=DAY_S, exits=(msgspec.to_builtins(leave),)))
    it.send("event", name="paid")
    it.send("event", name="recovered", attributes={"amount": 0})
    it.send("page", name="recovered", attributes={"amount": 5})
    assert it.campaigns.waiting_count == 1
    it.send("event", name="recovered", attributes={"amount": 5})
    it.wait(2 * DAY_S)
    assert (it.sent, it.campaigns.waiting_count) == ([], 0)
    (exited,) = [unsent for unsent in it.unsent if unsent.campaign]
    assert (exited.reason, exited.why, exited.event) == (
        "exited",
        "the person left the campaign: `recovered` was received",
        "paid",
    )


def test_a_change_of_the_person_ends_a_journey_too():
    leave = {"conditions": [{"on": "person", "field": "status", "operator": "equals", "value": "active"}]}
    it = known(campaign(delay_s=DAY_S, exits=[leave]))
    it.send("event", name="paid")
    it.send("identify", attributes={"status": "active"})
    assert (it.campaigns.waiting_count, reasons(it)) == (0, ["exited"])


def test_a_person_who_was_deleted_gets_nothing_later():
    it = known(campaign(delay_s=DAY_S))
    it.send("event", name="paid")
    it.send("delete")
    it.wait(DAY_S)
    assert (it.sent, reasons(it)) == ([], ["deleted"])


def test_a_merge_moves_journeys_and_history():
    once = campaign(title="Once", frequency=Frequency.ONCE.value)
    it = World(campaign(delay_s=DAY_S), once)
    it.send("identify", {"email": ADDRESS["email"]})
    it.send("event", {"email": ADDRESS["email"]}, name="paid")
    it.send("identify")
    it.send("identify", attributes=ADDRESS)
    it.send("event", name="paid")
    it.wait(DAY_S)
    assert [(email.campaign, email.person) for email in it.sent] == [
        ("Once", ADDRESS["email"]),
        ("Thanks", "ada"),
        ("Thanks", "ada"),
    ]
    assert reasons(it) == ["frequency"]


@pytest.mark.parametrize("delay_s", [0, DAY_S])
def test_a_merge_ends_journeys_that_the_primary_entered_too(delay_s):
    it = World(campaign(delay_s=2 * DAY_S))
    it.send("identify", {"id": "eve"}, attributes={"email": "eve@northpine.example"})
    it.send("identify", attributes=ADDRESS)
    it.send("event", name="paid")
    it.wait(delay_s)
    it.send("event", {"id": "eve"}, name="paid")
    it.state.accept({"type": "person", "action": "merge", "primary": {"id": "ada"}, "secondary": {"id": "eve"}})
    it.wait(3 * DAY_S)
    assert [email.person for email in it.sent] == ["ada"]
    assert reasons(it) == ["deleted"]


@pytest.mark.parametrize(
    ("fields", "sent_on"),
    [
        ({"frequency": "every_time"}, [0, 3, 8]),
        ({"frequency": "once"}, [0]),
        ({"frequency": "every_days", "days": 7}, [0, 8]),
    ],
)
def test_a_campaign_sends_as_often_as_it_may(fields, sent_on):
    it = known(campaign(**fields))
    for day in (0, 3, 8):
        it.at = NOW + day * DAY_S
        it.send("event", name="paid")
    assert [(email.at - NOW) // DAY_S for email in it.sent] == sent_on


def test_an_email_that_was_not_sent_does_not_count():
    it = World(campaign(frequency="once"))
    it.send("event", name="paid")
    it.send("identify", attributes=ADDRESS)
    it.send("event", name="paid")
    assert (reasons(it), len(it.sent)) == (["no_address"], 1)


# --- segments ---

ACTIVE = Segment(id=7, name="Active", conditions=(condition("person", "status", "equals", "on"),))
SOON = Segment(id=8, name="Soon", conditions=(condition("person", "renews_at", "before", "+3d"),))


def test_entering_a_segment_starts_a_campaign_once_for_each_entry():
    it = known(campaign(trigger="enters_segment", name="7"), segments=(ACTIVE,))
    for status in ("on", "on", "off", "on"):
        it.send("identify", attributes={"status": status})
    assert (len(it.sent), it.sent[0].cause) == (2, None)


def test_a_manual_segment_starts_a_campaign():
    it = known(campaign(trigger="enters_segment", name="9"))
    for _ in range(2):
        it.state.put_in_segment("9", ("id:ada",), adds=True)
    it.state.put_in_segment("9", ("id:ada",), adds=False)
    it.state.put_in_segment("9", ("id:ada",), adds=True)
    assert len(it.sent) == 2


def test_a_segment_is_a_filter():
    conditions = (condition("segment", "7", "exists"), condition("segment", "9", "not_exists"))
    it = known(campaign(conditions=conditions), segments=(ACTIVE,))
    it.send("event", name="paid")
    it.send("identify", attributes={"status": "on"})
    it.send("event", name="paid")
    it.state.put_in_segment("9", ("id:ada",), adds=True)
    it.send("event", name="paid")
    assert len(it.sent) == 1
    assert [unsent.why for unsent in it.unsent] == ["the person is not in segment 7", "the person is in segment 9"]


def test_moving_the_clock_brings_people_into_segments():
    it = known(campaign(trigger="enters_segment", name="8"), segments=(SOON, ACTIVE), renews_at=NOW + 10 * DAY_S)
    before = it.at
    it.at += 6 * DAY_S
    it.campaigns.time_passed(it.state.people, before)
    assert not it.sent
    before = it.at
    it.at += 2 * DAY_S
    it.campaigns.time_passed(it.state.people, before)
    assert len(it.sent) == 1


# --- bounds ---


def test_rendered_emails_are_bounded():
    it = known(campaign(body="{{event.text}}" * 700))
    it.send("event", name="paid", attributes={"text": "x" * 30_000})
    (email,) = it.sent
    assert len(email.body) == liquid.MAX_RENDERED_CHARS


def test_emails_that_wait_for_one_person_are_bounded(monkeypatch):
    monkeypatch.setattr(engine, "MAX_WAITING_OF_PERSON", 2)
    it = known(campaign(delay_s=DAY_S, subject="{{event.n}}"))
    for number in range(4):
        it.send("event", name="paid", attributes={"n": number})
    assert ([email.subject for email in it.sent], it.campaigns.waiting_count) == (["0", "1"], 2)


def test_emails_that_wait_are_bounded(monkeypatch):
    monkeypatch.setattr(engine, "MAX_WAITING", 2)
    monkeypatch.setattr(engine, "_MIN_HEAP", 1)
    it = known(campaign(delay_s=DAY_S, exits=[{"event": "stop"}]))
    for _ in range(4):
        it.send("event", name="paid")
    assert (it.campaigns.waiting_count, len(it.sent)) == (2, 2)
    for _ in range(20):
        it.send("event", name="stop")
        it.send("event", name="paid")
    assert it.campaigns.waiting_count == 1
    assert len(it.campaigns._due) < 10, "those that left do not stay for a day"
