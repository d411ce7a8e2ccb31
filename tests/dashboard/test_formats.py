"""Numbers, dates and relative times in every language, as the Unicode CLDR has them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from babel.dates import format_skeleton, format_timedelta
from babel.numbers import format_decimal, format_percent
from playwright.async_api import expect

from nicobar.web.api.shapes import moment
from nicobar.web.dashboard.formats import formats
from nicobar.web.dashboard.language import LANGUAGES
from nicobar.web.dashboard.pages import environment, iso
from support.browser import browser
from support.installation import installation, open_page, set_password

NOW_MS = 1_789_000_000_123  # September 10, 2026, 00:26:40.123
SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
every_language = pytest.mark.parametrize("language", LANGUAGES)


def shown(language: str, template: str, **values) -> str:
    return environment(language).from_string("{{ " + template + " }}").render(**values)


@every_language
@pytest.mark.parametrize("value", [0, 1, 2, 999, 1_000, 1_234_567])
def test_numbers_are_those_of_the_language(language, value):
    assert formats(language).number(value) == format_decimal(value, locale=language)
    assert formats(language).number(value + 0.5, 2) == format_decimal(value + 0.5, "#,##0.00", locale=language)


@every_language
@pytest.mark.parametrize(("at_ms", "year"), [(253_402_387_199_000, "9999"), (-62_135_596_860_000, "1")])
def test_times_beyond_the_calendar_are_shown_as_its_ends(language, at_ms, year):
    assert year in formats(language).exact(at_ms)
    assert iso(at_ms).startswith(year.zfill(4))
    assert moment(at_ms).year == int(year)


@every_language
@pytest.mark.parametrize("value", [0, 0.1, 12.34, 100])
def test_percentages_are_those_of_the_language(language, value):
    one_decimal = format_percent(1, locale=language).replace("100", format_decimal(value, "0.0", locale=language))
    assert formats(language).percent(value) == one_decimal


def test_small_share_is_not_shown_as_zero():
    assert formats("en").percent(0.04) == "< 0.1%"
    assert shown("en", "value | percent", value=0.04) == "&lt; 0.1%"


@pytest.mark.parametrize(
    ("count", "size"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1_023, "1,023 B"),
        (1_024, "1.0 KiB"),
        (1_536_000, "1.5 MiB"),
        (2**40, "1.0 TiB"),
        (2**54, "16,384.0 TiB"),
    ],
)
def test_sizes_are_in_the_largest_unit(count, size):
    assert {formats(language).size(count) for language in LANGUAGES} == {size}


@pytest.mark.parametrize(
    ("ms", "english", "korean"),
    [
        (0, "0 ms", "0 ms"),
        (1, "1 ms", "1 ms"),
        (9_999, "9,999 ms", "9,999 ms"),
        (10_000, "10 s", "10초"),
        (599_999, "599 s", "599초"),
        (600_000, "10 min", "10분"),
        (100_000_000, "1,666 min", "1,666분"),
    ],
)
def test_durations_change_their_unit(ms, english, korean):
    assert (formats("en").duration(ms), formats("ko").duration(ms)) == (english, korean)


@pytest.mark.parametrize(
    ("passed_ms", "english", "korean"),
    [
        (-HOUR_MS, "just now", "방금"),
        (59 * SECOND_MS, "just now", "방금"),
        (60 * SECOND_MS, "1 min ago", "1분 전"),
        (90 * MINUTE_MS, "1 h ago", "1시간 전"),
        (26 * HOUR_MS, "1 day ago", "1일 전"),
        (40 * DAY_MS, "40 days ago", "40일 전"),
        (1_000 * DAY_MS, "1,000 days ago", "1,000일 전"),
    ],
)
def test_past_times_are_relative(passed_ms, english, korean):
    at_ms = NOW_MS - passed_ms
    assert (formats("en").ago(at_ms, NOW_MS), formats("ko").ago(at_ms, NOW_MS)) == (english, korean)


@pytest.mark.parametrize(
    ("left_ms", "english", "korean"),
    [
        (-HOUR_MS, "within a minute", "1분 이내"),
        (59 * SECOND_MS, "within a minute", "1분 이내"),
        (60 * SECOND_MS, "in 1 min", "1분 후"),
        (90 * MINUTE_MS, "in 1 h", "1시간 후"),
        (26 * HOUR_MS, "in 1 day", "1일 후"),
        (40 * DAY_MS, "in 40 days", "40일 후"),
    ],
)
def test_future_times_are_relative(left_ms, english, korean):
    at_ms = NOW_MS + left_ms
    assert (formats("en").ahead(at_ms, NOW_MS), formats("ko").ahead(at_ms, NOW_MS)) == (english, korean)


@pytest.mark.parametrize(("unit", "ms"), [("minute", MINUTE_MS), ("hour", HOUR_MS), ("day", DAY_MS)])
@pytest.mark.parametrize("count", [1, 2, 23])
def test_korean_relative_times_are_those_of_the_cldr(unit, ms, count):
    texts = [
        format_timedelta(sign * count * ms // 1_000, unit, threshold=1_000, add_direction=True, locale="ko")
        for sign in (-1, 1)
    ]
    korean = formats("ko")
    assert [korean.ago(NOW_MS - count * ms, NOW_MS), korean.ahead(NOW_MS + count * ms, NOW_MS)] == texts


def test_times_have_a_date_and_a_zone():
    english, korean = formats("en"), formats("ko")
    assert english.exact(NOW_MS) == "Sep 10, 2026, 00:26:40.123 UTC"
    assert korean.exact(NOW_MS) == "2026년 9월 10일 00:26:40.123 UTC"
    assert english.day(NOW_MS) == "Sep 10, 2026, 00:26 UTC"
    assert korean.day(NOW_MS) == "2026년 9월 10일 00:26 UTC"
    assert english.clock(NOW_MS) == korean.clock(NOW_MS) == "00:26 UTC"


@every_language
@pytest.mark.parametrize("month", range(1, 13))
def test_dates_are_those_of_the_cldr(language, month):
    at = datetime(2026, month, 3, 4, 5, tzinfo=UTC)
    date = format_skeleton("yMMMd", at, locale=language)
    assert formats(language).day(int(at.timestamp() * 1_000)).startswith(date)


@pytest.mark.parametrize(
    ("count", "english", "korean"),
    [
        (0, "0 event types", "이벤트 유형 0개"),
        (1, "1 event type", "이벤트 유형 1개"),
        (2, "2 event types", "이벤트 유형 2개"),
        (1_234_567, "1,234,567 event types", "이벤트 유형 1,234,567개"),
    ],
)
def test_counted_texts_have_the_plural_of_the_language(count, english, korean):
    template = 'ngettext("%(num)s event type", "%(num)s event types", count)'
    assert (shown("en", template, count=count), shown("ko", template, count=count)) == (english, korean)


def test_values_of_counted_texts_are_escaped():
    template = 'ngettext("Replay %(num)s event to %(name)s?", "Replay %(num)s events to %(name)s?", 1_000, name=name)'
    assert shown("en", template, name="<b>") == "Replay 1,000 events to &lt;b&gt;?"


@pytest.mark.browser
async def test_times_use_the_browser_s_zone_and_page_s_language(tmp_path):
    clock = r"\d\d:\d\d:\d\d"
    date = {"en-US": r"[A-Z][a-z]{2} \d{1,2}, \d{4},", "ko-KR": r"\d{4}년 \d{1,2}월 \d{1,2}일"}
    local = {"en-US": rf"{clock} GMT\+9", "ko-KR": r"\d{1,2}시 \d{1,2}분 \d{1,2}초 GMT\+9"}
    text = {"en-US": "just now", "ko-KR": "방금"}
    async with installation(tmp_path) as nicobar, browser() as it:
        page, problems = await open_page(it, locale="en-US", timezone_id="Asia/Seoul")
        await set_password(page, nicobar)
        session = await page.context.cookies()
        for locale, day in date.items():
            page, more = await open_page(it, locale=locale, timezone_id="Asia/Seoul")
            await page.context.add_cookies(session)
            await page.goto(f"{nicobar.url}/settings/users")
            added = page.locator("main time").first
            await expect(added).to_have_text(text[locale])
            title = re.compile(rf"^{day} {local[locale]} · {day} {clock}\.\d{{3}} UTC$")
            await expect(added).to_have_attribute("title", title)
            assert not more
        assert not problems
