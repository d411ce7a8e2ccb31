"""Retry schedules: the delay before each retry of a delivery, in milliseconds, and their form as text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nicobar.errors import UserError

MAX_RETRIES = 20
MIN_RETRY_DELAY_MS = 1_000
MAX_RETRY_DELAY_MS = 24 * 3_600_000
MAX_RETRY_TOTAL_MS = 7 * 24 * 3_600_000
EXAMPLE = "5s, 5m, 30m, 2h, 5h, 10h, 10h"

_NO_RETRIES = "none"
_MAX_DIGITS = 12
_MAX_SHOWN_CHARS = 40
_UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DELAY = re.compile(rf"([0-9]{{1,{_MAX_DIGITS}}}) *(ms|[dhms])", re.IGNORECASE)


def read_schedule(text: str) -> tuple[int, ...]:
    """The delays of a text such as `5s, 5m, 2h`; `none` for no retries. Raises UserError."""
    if text.strip().lower() == _NO_RETRIES:
        return ()
    return read_delays(text.split(","))


def read_delays(texts: Sequence[str]) -> tuple[int, ...]:
    """The delays of texts such as `5s`. Raises UserError."""
    delays = tuple(_delay_ms(text.strip()) for text in texts)
    check_schedule(delays)
    return delays


def schedule_text(delays_ms: Sequence[int]) -> str:
    """The text that `read_schedule` reads as these delays."""
    return ", ".join(map(delay_text, delays_ms)) or _NO_RETRIES


def delay_text(delay_ms: int) -> str:
    """A delay in the largest unit that divides it, such as `90s`."""
    unit = next(unit for unit, unit_ms in _UNITS_MS.items() if delay_ms % unit_ms == 0)
    return f"{delay_ms // _UNITS_MS[unit]}{unit}"


def check_schedule(delays_ms: Sequence[int]) -> None:
    """Raises UserError for more retries, or shorter or longer delays, than there may be."""
    if len(delays_ms) > MAX_RETRIES:
        raise UserError(
            "retry_schedule_invalid",
            "Invalid retry schedule: %(retries)s retries.",
            "Use at most %(max_retries)s.",
            retries=len(delays_ms),
            max_retries=MAX_RETRIES,
        )
    for delay_ms in delays_ms:
        if not MIN_RETRY_DELAY_MS <= delay_ms <= MAX_RETRY_DELAY_MS:
            raise UserError(
                "retry_schedule_invalid",
                "Invalid retry schedule: the delay %(delay)s is out of range.",
                "Use delays from %(shortest)s to %(longest)s.",
                delay=_shortened(delay_text(delay_ms)),
                shortest=delay_text(MIN_RETRY_DELAY_MS),
                longest=delay_text(MAX_RETRY_DELAY_MS),
            )
    if sum(delays_ms) > MAX_RETRY_TOTAL_MS:
        raise UserError(
            "retry_schedule_invalid",
            "Invalid retry schedule: the delays add up to %(total)s.",
            "Use at most %(longest)s in total.",
            total=_total_text(sum(delays_ms)),
            longest=delay_text(MAX_RETRY_TOTAL_MS),
        )


def _delay_ms(text: str) -> int:
    found = _DELAY.fullmatch(text)
    if found is None:
        raise UserError(
            "retry_schedule_invalid",
            "Invalid retry schedule: %(delay)s is not a delay.",
            "Separate delays by commas, each a number with a unit (s, m, h or d), such as %(example)s. "
            "For no retries, use none.",
            delay=repr(_shortened(text)),
            example=EXAMPLE,
        )
    return int(found[1]) * _UNITS_MS[found[2].lower()]


def _total_text(total_ms: int) -> str:
    """A sum of delays, such as `7d1s`."""
    parts = []
    for unit, unit_ms in _UNITS_MS.items():
        count, total_ms = divmod(total_ms, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}…"
