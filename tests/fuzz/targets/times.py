"""Times and days as people and programs write them: Unix milliseconds, or rejected."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from fuzz.choices import Choices
from nicobar.cli import options
from nicobar.errors import Refusal, UserError
from nicobar.sources.envelope import unix_ms, utc_text
from nicobar.web.api.errors import Invalid
from nicobar.web.api.listing import since, until
from nicobar.web.api.shapes import moment
from nicobar.web.dashboard.filters import day_ms, known_state, zone_of
from nicobar.web.dashboard.formats import formats

FORMS = (
    "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
    "{:04}-{:02}-{:02} {:02}:{:02}:{:02}+23:59",
    "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.123456789-12:00", "{:04}-{:02}-{:02}", "{:04}{:02}{:02}T{:02}{:02}{:02}",
    "{:04}-W{:02}-{:01}T{:02}:{:02}:{:02}", "{}-{}-{}T{}:{}:{}z",
)  # fmt: skip
ZONES = (
    "",
    "UTC",
    "Europe/Berlin",
    "Asia/Seoul",
    "../etc/passwd",
    "/etc/passwd",
    "Nowhere/At_All",
    "\0",
    "a" * 300,
    ".",
    "Europe",
)
# The last year that a time can be in, and the largest difference of a zone.
MAX_MS = 253_402_300_800_000 + 86_400_000
FORMATS = formats("en")
NOW_MS = 1_790_000_000_000
SEEDS = (
    b"\0\0\x07\xea\3\1\x09\x1e\0",
    b"\1" + b"2026-03-01T09:30:00Z",
    b"\0\2\0\1\1\1\0\0\0\1",
    b"\1" + b"0001-01-01",
    b"\1" + b"9999-12-31",
)


def run(data: bytes) -> None:
    it = Choices(data)
    zone_name = it.pick((*ZONES, it.text(20)))
    if it.flag():
        text = it.chunk(60).decode("utf-8", "replace")
    else:
        year = it.pick((2026, 1, 9999, 1970, it.number(9_999)))
        text = it.pick(FORMS).format(
            year, it.byte() % 14, it.byte() % 33, it.byte() % 26, it.byte() % 62, it.byte() % 62
        )
    at_ms = unix_ms(text)
    if at_ms is not None:
        assert unix_ms(utc_text(at_ms)) == at_ms
        assert moment(at_ms)
        assert FORMATS.exact(at_ms)
    for read in (since, until):
        try:
            found = read(text)
        except Invalid as error:
            assert error.detail
        else:
            assert found is not None
            assert abs(found) <= MAX_MS
    check_day(text, zone_name)
    check_command(it.pick((text, f"{text}d", "3d", "999999d", "1h1m")), ahead=it.flag())
    try:
        known_state(text)
    except Refusal as refusal:
        assert refusal.status == 422


def check_command(text: str, *, ahead: bool) -> None:
    try:
        at_ms = options.moment(text, NOW_MS, ahead=ahead)
    except UserError as error:
        assert error.code == "time_invalid"
    else:
        assert options.shown(at_ms)


def check_day(text: str, zone_name: str) -> None:
    try:
        zone, _ = zone_of(zone_name)
        start, end = day_ms(text, zone), day_ms(text, zone, end=True)
    except Refusal as refusal:
        assert refusal.status == 422
        return
    if start is not None and end is not None:
        assert 22 * 3_600_000 <= end - start <= 26 * 3_600_000
        if zone is UTC or (isinstance(zone, ZoneInfo) and zone.key == "UTC"):
            assert datetime.fromtimestamp(start / 1_000, UTC).hour == 0
