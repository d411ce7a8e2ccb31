"""Numbers, dates and relative times in the language of the page.

The patterns come from the Unicode CLDR: `make messages` writes them to `locale/<language>/formats.json`, because
the whole CLDR would take more space than Nicobar. Units and relative times are texts of the catalog.
"""

from __future__ import annotations

import gettext
from functools import cache
from importlib.resources import files

import msgspec

from nicobar.clock import utc_time
from nicobar.currencies import decimals
from nicobar.model import Record
from nicobar.web.dashboard.language import catalogue

FILE = "formats.json"
_SECOND_MS, _MINUTE_MS, _HOUR_MS, _DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
# Durations are shown in the next larger unit from these on.
_MIN_SECONDS_MS, _MIN_MINUTES_MS = 10_000, 600_000
_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_UNIT = 1024


class Patterns(Record):
    """Conventions of a language. `date` and `clock` have places such as `%(MMM)s`, named as in the CLDR; `moment`
    puts a clock time, `{0}`, and a date, `{1}`, together. `percent` has one place.
    """

    decimal: str
    group: str
    percent: str
    months: tuple[str, ...]
    date: str
    clock: str
    moment: str


class Formats:
    """The formats of one language. All times are in UTC and labeled as such."""

    def __init__(self, patterns: Patterns, translations: gettext.NullTranslations) -> None:
        self._patterns = patterns
        self._translations = translations

    def number(self, value: float, decimals: int = 0) -> str:
        swap = str.maketrans({",": self._patterns.group, ".": self._patterns.decimal})
        return f"{value:,.{decimals}f}".translate(swap)

    def money(self, minor_units: int, currency: str) -> str:
        places = decimals(currency)
        return f"{self.number(minor_units / 10**places, places)} {currency}"

    def percent(self, value: float) -> str:
        """A share in percent. A share that is not zero is not shown as zero."""
        if 0 < value < 0.1:  # noqa: PLR2004 (the smallest that one decimal shows)
            return f"< {self.percent(0.1)}"
        return self._patterns.percent.format(self.number(value, 1))

    def size(self, count: int) -> str:
        """Bytes in the largest unit that gives at least 1."""
        power = min(max(count.bit_length() - 1, 0) // 10, len(_BYTE_UNITS) - 1)
        return f"{self.number(count / _UNIT**power, 1 if power else 0)} {_BYTE_UNITS[power]}"

    def duration(self, ms: int) -> str:
        if ms < _MIN_SECONDS_MS:
            return self._counted(self._translations.ngettext("%(num)s ms", "%(num)s ms", ms), ms)
        if ms < _MIN_MINUTES_MS:
            seconds = ms // _SECOND_MS
            return self._counted(self._translations.ngettext("%(num)s s", "%(num)s s", seconds), seconds)
        minutes = ms // _MINUTE_MS
        return self._counted(self._translations.ngettext("%(num)s min", "%(num)s min", minutes), minutes)

    def ago(self, at_ms: int, now_ms: int) -> str:
        """How long ago; "just now" for times in the future."""
        passed_ms = now_ms - at_ms
        if passed_ms < _MINUTE_MS:
            return self._translations.gettext("just now")
        if passed_ms < _HOUR_MS:
            count = passed_ms // _MINUTE_MS
            text = self._translations.ngettext("%(num)s min ago", "%(num)s min ago", count)
        elif passed_ms < _DAY_MS:
            count = passed_ms // _HOUR_MS
            text = self._translations.ngettext("%(num)s h ago", "%(num)s h ago", count)
        else:
            count = passed_ms // _DAY_MS
            text = self._translations.ngettext("%(num)s day ago", "%(num)s days ago", count)
        return self._counted(text, count)

    def ahead(self, at_ms: int, now_ms: int) -> str:
        """In how long; "within a minute" for times in the past."""
        left_ms = at_ms - now_ms
        if left_ms < _MINUTE_MS:
            return self._translations.gettext("within a minute")
        if left_ms < _HOUR_MS:
            count = left_ms // _MINUTE_MS
            text = self._translations.ngettext("in %(num)s min", "in %(num)s min", count)
        elif left_ms < _DAY_MS:
            count = left_ms // _HOUR_MS
            text = self._translations.ngettext("in %(num)s h", "in %(num)s h", count)
        else:
            count = left_ms // _DAY_MS
            text = self._translations.ngettext("in %(num)s day", "in %(num)s days", count)
        return self._counted(text, count)

    def clock(self, at_ms: int) -> str:
        return f"{self._patterns.clock % self._places(at_ms)} UTC"

    def day(self, at_ms: int) -> str:
        """A date and time to the minute, for times that are days away."""
        return self._moment(at_ms, "")

    def exact(self, at_ms: int) -> str:
        """A date and time to the millisecond."""
        return self._moment(at_ms, f":{at_ms // _SECOND_MS % 60:02}{self._patterns.decimal}{at_ms % _SECOND_MS:03}")

    def _moment(self, at_ms: int, seconds: str) -> str:
        places = self._places(at_ms)
        clock = self._patterns.clock % places + seconds
        return f"{self._patterns.moment.format(clock, self._patterns.date % places)} UTC"

    def _places(self, at_ms: int) -> dict[str, str]:
        at = utc_time(at_ms)
        return {
            "y": str(at.year),
            "MMM": self._patterns.months[at.month - 1],
            "d": str(at.day),
            "HH": f"{at.hour:02}",
            "mm": f"{at.minute:02}",
        }

    def _counted(self, text: str, count: int) -> str:
        return text % {"num": self.number(count)}


def read_patterns(language: str) -> Patterns:
    """The patterns of one of LANGUAGES. Raises FileNotFoundError."""
    file = files(__package__).joinpath("locale", language, FILE)
    return msgspec.json.decode(file.read_bytes(), type=Patterns)


@cache
def formats(language: str) -> Formats:
    return Formats(read_patterns(language), catalogue(language))
