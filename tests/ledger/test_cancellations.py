"""Cancellations that are scheduled, taken back, and scheduled again."""

from __future__ import annotations

import itertools
import random

from support.statements import DAY, HOUR, OPENED, event_fact, ledger, snapshot, subscription

END, LATER_END = OPENED + 30 * DAY, OPENED + 60 * DAY


def flag(at, cancel_at, event="updated", **fields):
    return subscription("sub_1", at, event=event, cancel_at=cancel_at, **fields)


BEGUN = flag(0, None, "active")
ANNOUNCED = [flag(5 * DAY, END), flag(5 * DAY + 50, END, "plan_changed"), flag(5 * DAY + 90, END, "cancelled")]
UNDONE = [flag(6 * DAY, None), flag(6 * DAY + 50, None, "plan_changed")]
AGAIN = [flag(9 * DAY, END), flag(9 * DAY + 50, END, "plan_changed")]


def names(told, *others):
    return {event_fact(one, *told, *others).cancellation for one in told}


def test_all_events_about_one_announcement_name_it_alike():
    assert len(names([*ANNOUNCED, flag(7 * DAY, END, price=3_000)], BEGUN)) == 1
    assert event_fact(BEGUN, *ANNOUNCED).cancellation is None


def test_an_announcement_after_an_undone_one_is_another():
    first, again = names(ANNOUNCED, BEGUN), names(AGAIN, BEGUN, *ANNOUNCED, *UNDONE)
    assert len(first | again) == 2
    assert names(UNDONE, BEGUN, *ANNOUNCED) == first, "the one that was undone"
    (found,) = snapshot(BEGUN, *ANNOUNCED, *UNDONE).subscriptions
    assert (found.cancel_at, found.cancel_announced_at) == (None, None)


def test_an_announcement_of_another_end_is_another():
    other = flag(35 * DAY, LATER_END)
    assert event_fact(other, BEGUN, *ANNOUNCED, *UNDONE).cancellation not in names(ANNOUNCED, BEGUN)
    moved = flag(7 * DAY, LATER_END)
    assert event_fact(moved, *ANNOUNCED).cancellation != event_fact(ANNOUNCED[0]).cancellation


def test_an_announcement_in_a_body_that_was_sent_late_is_no_other():
    late = flag(5 * DAY - HOUR // 2, END, "renewed")
    between = flag(5 * DAY - HOUR // 4, None)
    assert names(ANNOUNCED, BEGUN, late, between) == names(ANNOUNCED, BEGUN)


def test_a_cancellation_was_announced_when_it_was_first_stated():
    (found,) = snapshot(*ANNOUNCED, BEGUN).subscriptions
    assert (found.cancel_at, found.cancel_announced_at) == (END, OPENED + 5 * DAY)
    (found,) = snapshot(*ANNOUNCED, flag(5 * DAY - 1, END), BEGUN).subscriptions
    assert found.cancel_announced_at == OPENED + 5 * DAY - 1
    (found,) = snapshot(BEGUN, *ANNOUNCED, *UNDONE, *AGAIN).subscriptions
    assert found.cancel_announced_at == OPENED + 6 * DAY + 50, "not before it was undone"


def test_a_plan_change_undoes_nothing():
    assert event_fact(flag(7 * DAY, None, price=1), BEGUN).cancellation is None
    ended = subscription("sub_1", 30 * DAY, "cancelled", cancel_at=None)
    assert event_fact(ended, *ANNOUNCED).cancellation is None


def test_any_order_of_arrival_names_at_most_the_two_announcements():
    """As a recipe sends them: only where nothing newer says otherwise, and each name once."""
    life = [BEGUN, *ANNOUNCED, *UNDONE, *AGAIN]
    draw = random.Random(1)
    for _ in range(60):
        order = draw.sample(life, len(life))
        sent = set()
        for known in itertools.accumulate([one] for one in order):
            of = ledger(*known)
            (fact,) = of.event_facts(known[-1].event, known[-1].stated)
            if fact.fields["cancel_at"] is not None and "cancel_at" not in fact.outdated:
                sent.add(fact.cancellation)
        assert len(sent) <= 2
        (end,) = snapshot(*life).subscriptions
        assert (end.cancel_at, end.cancel_announced_at) == (END, OPENED + 6 * DAY + 50)


def test_only_the_latest_ends_are_remembered():
    ends = [flag(number * DAY, OPENED + number * DAY) for number in range(1, 9)]
    orders = [random.Random(number).sample(ends, len(ends)) for number in range(5)]
    contents = {tuple(fact.content for fact in ledger(*order).facts.values()) for order in orders}
    assert len(contents) == 1
    assert len(contents.pop()[0]) < 1_500
