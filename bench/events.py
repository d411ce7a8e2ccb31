"""Signed `payment.succeeded` webhooks, each of a customer of its own, as bytes that are ready to send."""

from __future__ import annotations

import re

from nicobar.model import Customer
from nicobar.sources.dodo import DodoPayments
from nicobar.sources.samples import fresh

EVENT_TYPE = "payment.succeeded"
DIGITS = 9
# A customer's id carries the event's number through Nicobar to the sink. Several calls of one event repeat it.
NUMBER = re.compile(rb'"cus_(\d{9})"')
MARK = b"cus_000000000"
PAYMENT = re.compile(rb'"pay_\w+"')


def requests(
    host: str,
    path: str,
    secret: str,
    *,
    series: str,
    count: int,
    now_ms: int,
    customers: int,
    first_customer: int = 0,
) -> list[bytes]:
    """Whole HTTP/1.1 requests for the events 0 to `count`, signed at `now_ms` (Unix milliseconds; accepted for
    300 s). `series` keeps the event ids of several runs apart, `first_customer` their customers. Each event has a
    payment of its own.
    """
    dodo = DodoPayments()
    sample = next(event_type for event_type in dodo.event_types() if event_type.name == EVENT_TYPE)
    template = fresh(sample, now_ms, Customer(key=MARK.decode(), email="buyer@shop.example", name="Ada Lindqvist"))
    made = []
    for number in range(count):
        buyer = first_customer + number % customers
        customer = f"cus_{buyer:0{DIGITS}}".encode()
        body = template.replace(MARK, customer).replace(b"buyer@", b"buyer%d@" % buyer)
        body = PAYMENT.sub(b'"pay_%s%d"' % (series.encode(), number), body)
        headers = dodo.sign(f"bench_{series}{number}", body, secret, now_ms)
        lines = [f"POST {path} HTTP/1.1", f"host: {host}", "content-type: application/json"]
        lines += [f"content-length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
        made.append("\r\n".join([*lines, "", ""]).encode() + body)
    return made
