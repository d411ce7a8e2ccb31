"""The short form of `make chaos`, and that its judge would see what must not happen."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from chaos.editions import EDITED_TYPE
from chaos.judge import Verdict, judge
from chaos.load import Sent
from chaos.plan import BY_DATABASE, points, shuffled, times
from chaos.report import Report
from chaos.scene import POSTGRESQL, SQLITE
from chaos.takeovers import Loss, Sending, TakeOvers, take_overs
from chaos.witness import Seen, View, alert, counter, gauge, part
from nicobar.model import Customer
from nicobar.settings import Role

TESTS = Path(__file__).parents[1]
# Steps 0, 1 twice (two calls), nothing at 2, 3; the profile's word comes with 3; 4 was never acknowledged.
EVENTS = ["payment.succeeded", "payment.failed", "payment.processing", "subscription.updated", "payment.succeeded"]
WHOLE = ["0.0", "1.0", "1.1", "3.0"]


# Far more than needed: the run ends with its last planned fault, even on a slow machine.
MAX_S = 600
REFUSED = 'nicobar_requests_refused_total{reason="timestamp_too_old"}'


@pytest.mark.slow
@pytest.mark.timeout(2 * MAX_S)
@pytest.mark.parametrize(
    "flags",
    [["--seed=158", "--sample=4"], ["--seed=2743", "--sample=1", "--postgresql", "--quick"]],
    ids=["sqlite", "postgresql"],
)
def test_no_kill_or_fault_loses_duplicates_reorders_or_is_silent(tmp_path, flags):
    report = short_run(tmp_path, flags)
    assert report.verdict == Verdict(lost=0, duplicates=0, order_violations=0, strangers=0, stale_profiles=0)
    assert (report.unfinished, report.orphans, report.silent, report.surprises) == (0, 0, (), ())
    assert (report.missed, sum(report.kills.values()) > 0) == ((), True)
    assert sum(report.faults.values()) > 0
    assert all(report.operations.values())


def short_run(directory: Path, flags: Sequence[str]) -> Report:
    with subprocess.Popen(
        [sys.executable, "-m", "chaos.run", *flags, "--kills=1", "--customers=4", f"--max-seconds={MAX_S}", "--json"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, _ = process.communicate(timeout=2 * MAX_S)
        except subprocess.TimeoutExpired:
            # It ends what it started.
            process.send_signal(signal.SIGINT)
            raise
    return msgspec.json.decode(out, type=Report)


@pytest.mark.parametrize(
    ("steps", "place", "seen"),
    [
        (WHOLE, "3", {}),
        ([*WHOLE, "4.0"], "3", {}),
        (["0.0", "1.0", "3.0"], "3", {"lost": 1}),
        ([], "none", {"lost": 4, "stale_profiles": 1}),
        ([*WHOLE, "1.0"], "3", {"duplicates": 1}),
        (["0.0", "1.1", "1.0", "3.0"], "3", {"order_violations": 1}),
        (["1.0", "1.1", "0.0", "3.0"], "3", {"order_violations": 1}),
        ([*WHOLE, "9.0"], "3", {"strangers": 1}),
        (["0.0", "1.0", "1.1", "2.0", "3.0"], "3", {"strangers": 1}),
        (WHOLE, "0", {"stale_profiles": 1}),
    ],
)
def test_the_judge_sees_what_must_not_happen(steps, place, seen):
    sent = Sent(Customer(key="cus_1"), events=list(EVENTS), acknowledged=4)
    activities = [{"person": "cus_1", "data": {"place": int(step[0]), "part": int(step[2])}} for step in steps]
    people = [{"id": "cus_1", "attributes": {"place": place}}]
    zeros = dict.fromkeys(msgspec.structs.asdict(judge([], [], [])), 0)
    assert msgspec.structs.asdict(judge([sent], activities, people)) == zeros | seen


def test_the_last_edition_s_calls_are_all_wanted_once_in_any_order():
    sent = Sent(Customer(key="cus_1"), events=[EDITED_TYPE, "payment.succeeded"], acknowledged=2)
    steps = [(0, 1), (0, 0), (1, 0), (0, 3)]
    assert judged(sent, steps) == {"lost": 1}
    assert judged(sent, [*steps, (0, 2)]) == {}
    assert judged(sent, [*steps, (0, 2), (0, 3)]) == {"duplicates": 1}
    assert judged(sent, [(0, 1), (1, 0), (0, 0), (0, 3), (0, 2)]) == {"order_violations": 1}


def judged(sent: Sent, steps: Sequence[tuple[int, int]]) -> dict[str, int]:
    """What is not as it should be; the profile is left out."""
    activities = [{"person": sent.customer.key, "data": {"place": place, "part": part}} for place, part in steps]
    verdict = msgspec.structs.asdict(judge([sent], activities, []))
    return {name: count for name, count in verdict.items() if count}


def test_a_fault_that_no_process_shows_is_silent():
    seen = Seen()
    seen.note("disk full", "readiness")
    seen.note("disk full", None)
    assert (seen.silent, seen.by) == (["disk full"], {"disk full": {"readiness": 1}})


@pytest.mark.parametrize(
    ("sign", "grown", "shows"),
    [
        (part("store"), {}, True),
        (part("disk"), {}, False),
        (gauge("nicobar_endpoint_paused", "a"), {}, True),
        (gauge("nicobar_endpoint_paused", "b"), {}, False),
        (counter('nicobar_requests_refused_total{reason="timestamp_too_'), {}, False),
        (counter('nicobar_requests_refused_total{reason="timestamp_too_'), {REFUSED: 1}, True),
        (alert("endpoint.failing"), {REFUSED: 1}, False),
        (alert("endpoint.failing"), {'nicobar_alerts_total{outcome="made",type="endpoint.failing"}': 1}, True),
    ],
)
def test_a_sign_is_of_its_own_fault(sign, grown, shows):
    metrics = {'nicobar_endpoint_paused{endpoint="a"}': 1, 'nicobar_endpoint_paused{endpoint="b"}': 0, REFUSED: 1}
    view = View(parts={"store": "failed", "disk": "ok"}, metrics=metrics, grown=grown)
    assert sign.shows(view) is shows


def test_each_fault_happens_as_often_as_planned():
    wanted = {point: times(point, SQLITE.kills) for point in points(Role.ALL, many=False)}
    assert Counter(shuffled(random.Random(1), wanted)) == wanted
    assert sum(wanted.values()) >= 500
    many = [points(Role.WEB, many=True), points(Role.WORKER, many=True), BY_DATABASE]
    assert sum(times(point, POSTGRESQL.kills) for each in many for point in each) >= 500


def test_canceled_deliveries_are_not_lost_but_stay_in_order():
    sent = Sent(Customer(key="cus_1"), events=list(EVENTS), acknowledged=4)
    activities = [{"person": "cus_1", "data": {"place": place, "part": 0}} for place in (3, 0)]
    verdict = judge([sent], activities, [{"id": "cus_1", "attributes": {"place": "3"}}], may_lose=True)
    assert (verdict.lost, verdict.order_violations) == (0, 1)


def test_a_take_over_ends_with_the_first_answer_that_another_worker_gets():
    first = [sending(1, "a"), sending(2, "a", accepted=True), sending(1, "b"), sending(7, "b", accepted=True)]
    second = [sending(5, "a"), sending(6, "a", accepted=True), sending(0, "c")]
    losses = [Loss(how="killed", worker=0, at_ns=4_000_000)]
    # The worker goes on with b itself, and c was never its own.
    once = TakeOvers(count=1, p50_ms=2, max_ms=2)
    assert take_overs(losses, {0: first, 1: second}) == {"killed": once, "killed alone": once}
    assert take_overs(losses, {0: first, 1: second}, outages_ns=[5_000_000]) == {"killed": once}


def sending(at_ms: int, to: str, *, accepted: bool = False) -> Sending:
    return Sending(at_ns=at_ms * 1_000_000, to=to, accepted=accepted)


def test_an_activity_without_an_event_is_detected():
    (activity,) = [{"person": "cus_2", "data": {"place": 0, "part": 0}}]
    assert judge([Sent(Customer(key="cus_1"))], [activity], []).strangers == 1
