"""What a parent sends to its child: any event becomes a frame that the child reads."""

from __future__ import annotations

from fuzz.choices import Choices
from nicobar.sandbox import Bounds, Job
from nicobar.sandbox.wire import LENGTH_BYTES, Batch, frame, frame_length, read

SEEDS = (bytes(30), bytes(range(80)), b"\xff" * 40)


def run(data: bytes) -> None:
    it = Choices(data)
    numbers = (2**64, -(2**63) - 1, 10**400, -(10**309), 2**53 + 1, 1.5, "a", None)
    params = {"a": it.json(values=numbers)}
    body = it.chunk()
    jobs = [
        Job(
            code_id="ep/1",
            code="",
            body=body,
            event_type=it.text(20),
            url="https://track.example/",
            now_ms=it.number(2**40),
            occurred_at_ms=it.number(2**64 - 1),
            seed=it.text(20),
            customer_key=it.pick((None, "", it.text(20))),
            variables={it.text(7): it.text(20)},
            params=params,
            exact={"a\nb": "9" * 30},
        )
    ]
    made = frame(Batch(bounds=Bounds(), first_number=it.number(2**32), codes={"ep/1": it.text(60)}, jobs=tuple(jobs)))
    assert frame_length(made[:LENGTH_BYTES]) == len(made) - LENGTH_BYTES
    again = read(made[LENGTH_BYTES:], Batch)
    assert again.jobs[0].body == body
    assert again.jobs[0].event_type == jobs[0].event_type
