"""A filter that cannot be applied is an error: a list never shows everything instead."""

from __future__ import annotations

import pytest

from support.installation import installation
from support.pages import set_up, visiting

UNKNOWN = (
    "/logs?since=26/11/2026",
    "/logs?until=2026-02-30",
    "/logs?zone=Mars/X",
    "/logs?iterator=zzz",
    "/logs?state=delivered",
    "/logs?event_type=a.b",
    "/settings/audit?since=yesterday",
    "/settings/audit?actors=ci",
    "/customers?email=ada@northpine.example",
    "/failures?endpoint_id=ep_1",
)


@pytest.fixture
async def nicobar(tmp_path):
    async with installation(tmp_path) as it:
        yield it


async def test_an_invalid_filter_is_an_error(nicobar):
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        shown = {}
        for path in UNKNOWN:
            status, text, _ = await visitor.ask("GET", path)
            name = path.partition("?")[2].partition("=")
            if status != 422 or not (name[0] in text or name[2] in text):
                shown[path] = status
        assert shown == {}
        _, text, _ = await visitor.ask("GET", "/logs?event_type=a.b")
        assert "Unknown filter: event_type." in text
        _, text, _ = await visitor.ask("GET", "/logs?since=26/11/2026")
        assert "Invalid date: 26/11/2026." in text
        assert "Use the format 2026-03-01." in text


async def test_valid_filters_are_applied(nicobar):
    async with visiting(nicobar) as visitor:
        await set_up(nicobar, visitor)
        for path in ("/logs?since=2026-11-26&until=&zone=Asia/Seoul&state=failed", "/logs?since=%202026-11-26%20"):
            assert (await visitor.ask("GET", path))[0] == 200
