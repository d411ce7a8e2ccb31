"""The short form of `make chaos`, and that its judge would see what must not happen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from chaos.judge import Verdict, judge
from chaos.load import Sent
from chaos.run import Report
from nicobar.model import Customer

TESTS = Path(__file__).parents[1]
# Steps 0, 1 twice (two calls), nothing at 2, 3; the profile's word comes with 3; 4 was never acknowledged.
EVENTS = ["payment.succeeded", "payment.failed", "payment.processing", "subscription.updated", "payment.succeeded"]
WHOLE = ["0.0", "1.0", "1.1", "3.0"]


# Far more than needed: the run ends with its last planned death, even on a slow machine.
MAX_S = 600


@pytest.mark.slow
@pytest.mark.timeout(2 * MAX_S)
def test_kills_at_any_stage_lose_duplicate_or_reorder_nothing(tmp_path):
    report = short_run(tmp_path)
    assert report.verdict == Verdict(lost=0, duplicates=0, order_violations=0, strangers=0, stale_profiles=0)
    assert (report.unfinished, report.orphans, report.surprises) == (0, 0, ())
    assert report.missed == ()
    assert sum(report.faults.values()) > 0


def short_run(directory: Path) -> Report:
    with subprocess.Popen(
        [sys.executable, "-m", "chaos.run", "--seed=20", "--kills=1", f"--max-seconds={MAX_S}", "--json"],
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


def test_an_activity_without_an_event_is_detected():
    (activity,) = [{"person": "cus_2", "data": {"place": 0, "part": 0}}]
    assert judge([Sent(Customer(key="cus_1"))], [activity], []).strangers == 1
