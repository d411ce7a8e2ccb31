"""What facts cost where events are accepted, and what a ledger costs where they are delivered; each as a ratio to the
same work without.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from bench.processes import NICOBAR, serving
from bench.whole import Installation, install, plan_of, ready, send
from bench.work import WORK
from contracts.test_stores import claim, done, endpoint
from nicobar.ledger import History, Whom
from nicobar.ledger.person import Ledger
from nicobar.people import Person, PersonOrigin
from nicobar.store.facts import Whose
from nicobar.store.sqlite import SqliteStore
from support.stated import SOURCE, body_of, rule, stated_message

# Rounds alternate; the least of each counts, since other processes only add.
ROUNDS = 8
EVENTS = 1_000
CONNECTIONS = 10
RETURNING = 250
FACTLESS = (sys.executable, "-m", "bench.factless")
PAGE = 100
PAYMENTS = 12
PAGES = 5


async def accepting() -> None:
    with tempfile.TemporaryDirectory(dir=WORK) as directory:
        for title, customers in (("returning customers", RETURNING), ("a new customer each", None)):
            async with AsyncExitStack() as stack:
                both: list[tuple[Installation, int]] = []
                for name, nicobar in (("with", (NICOBAR,)), ("without", FACTLESS)):
                    at = await install(Path(directory) / f"{name} {title}", 9, None)
                    running = serving(at.port, at.data_dir, at.environment, "--role", "web", nicobar=nicobar)
                    both.append((at, await stack.enter_async_context(running)))
                    await ready(at.port)
                took: list[list[float]] = [[], []]
                for number in range(ROUNDS):
                    for (at, pid), times in zip(both, took, strict=True):
                        times.append(await _accept(at, pid, number, customers))
            # The first round has the work that is done once.
            with_facts, without = (min(times[1:]) for times in took)
            print(
                f"Accepting, {title}: {with_facts:,.0f} µs of CPU an event with facts, {without:,.0f} µs without: "
                f"{with_facts / without - 1:+.0%}",
                flush=True,
            )


async def _accept(at: Installation, pid: int, number: int, customers: int | None) -> float:
    """CPU time of the server, in microseconds an event."""
    of = plan_of(
        at.data_dir,
        at.port,
        at.path,
        at.secret,
        count=EVENTS,
        series=f"r{number}_",
        customers=customers,
        first_customer=0 if customers else number * EVENTS,
        connections=CONNECTIONS,
    )
    before = at.cost(pid).cpu_s
    await send(of)
    return (at.cost(pid).cpu_s - before) / EVENTS * 1e6


async def delivering() -> None:
    with tempfile.TemporaryDirectory(dir=WORK) as directory:
        it = await SqliteStore.open(Path(directory) / "bench.db", now_ms=1)
        await it.change([await endpoint(it, "ep_1")])
        for number in range(PAGE * PAYMENTS):
            who = number % PAGE
            customer = {"customer_id": f"cus_{who}", "email": f"c{who}@shop.example"}
            body = body_of(
                "payment.succeeded", number, payment_id=f"pay_{number}", customer=customer, status="succeeded",
                total_amount=1_000, currency="EUR", created_at="2026-01-01T00:00:00Z",
            )  # fmt: skip
            await it.append(stated_message(f"evt_{number}", body))
        work_us, ledger_us = [], []
        for number in range(PAGES):
            started = time.process_time()
            page = await claim(it, now_ms=10**13, limit=PAGE)
            await it.record([done(one, attempt=f"atmpt_{number}_{one.message.seq}") for one in page])
            work_us.append((time.process_time() - started) / len(page) * 1e6)
            ledger_us.append(await _read_page(it))
        await it.close()
    work, ledger = min(work_us), min(ledger_us)
    print(
        f"Delivering: {work:,.0f} µs of CPU to claim and record a delivery, {ledger:,.0f} µs for the ledger of its "
        f"customer with {PAYMENTS} payments: {ledger / work:.1f} times as much",
        flush=True,
    )


async def _read_page(it: SqliteStore) -> float:
    whose = [
        Whose(
            source_kind=SOURCE.kind,
            mode="",
            customer_key=f"cus_{number}",
            person=Person(kind="email", value=f"c{number}@shop.example", origin=PersonOrigin.EMAIL),
        )
        for number in range(PAGE)
    ]
    started = time.process_time()
    found = await it.ledger("app", rule("email"), whose)
    for one in whose:
        of = found[one]
        snapshot = Ledger(of.facts, history=History()).snapshot(
            Whom(ids=of.customer_keys, identity=None, email=None, name=None)
        )
        assert snapshot.ids == (one.customer_key,)
    return (time.process_time() - started) / PAGE * 1e6


async def ledger() -> None:
    await accepting()
    await delivering()
