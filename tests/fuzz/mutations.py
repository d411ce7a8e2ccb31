"""Changes inputs at random, the same way each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

MAX_BYTES = 2_048
MAX_CHANGES = 6
TOKENS = (
    b"\0",
    b"\xff",
    b'"',
    b"\\",
    b"[",
    b"{",
    b"9" * 20,
    b"-",
    b".",
    b"e9",
    b"\r\n",
    b"%00",
    b"\xed\xa0\x80",
    b"=",
    b"&",
    b",",
)


def mutations(seeds: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """The seeds themselves, then changed ones."""
    yield from seeds[:count]
    random = Random(seed)
    for _ in range(count - len(seeds)):
        data = bytearray(random.choice(seeds))
        for _ in range(random.randint(1, MAX_CHANGES)):
            _change(data, random, seeds)
        yield bytes(data[:MAX_BYTES])


def _change(data: bytearray, random: Random, seeds: Sequence[bytes]) -> None:
    at = random.randint(0, len(data))
    match random.randrange(6):
        case 0:
            data[at : at + 1] = random.randbytes(1)
        case 1:
            data[at:at] = random.randbytes(random.randint(1, 16))
        case 2:
            del data[at : at + random.randint(1, 16)]
        case 3:
            data[at:at] = random.choice(TOKENS)
        case 4:
            data[at:at] = random.choice(seeds)[random.randint(0, 8) :][:64]
        case _:
            data[at:at] = data[at : at + 32]
