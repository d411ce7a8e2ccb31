"""Pages of lists: any cursor is a place or rejected, and walking on from page to page shows each item once."""

from __future__ import annotations

from fuzz.choices import Choices
from nicobar.store.history import Page
from nicobar.web.api.errors import Invalid
from nicobar.web.api.listing import page_of_found, span_of
from nicobar.web.api.paging import Ordering, page_of_all, read_iterator, write_iterator
from nicobar.web.dashboard.paging import shown

SEEDS = (b"\0Pm1zZ18x", b"\0PG1zZ18x", b"\1" + bytes(range(24)), b"\0====", b"\0\xff\xfe", b"\3\7\2" * 10)


def run(data: bytes) -> None:
    it = Choices(data)
    if it.flag():
        check_walk(it)
        return
    text = it.rest().decode("utf-8", "replace")
    try:
        place = read_iterator(text)
    except Invalid as error:
        assert error.loc == ["query", "iterator"]
        return
    if place.key is not None:
        again = read_iterator(write_iterator(place.key, backwards=place.backwards))
        assert again == place
        span = span_of(place)
        assert place.key in {span["before"], span["after"]}
    found: Page[str] = Page(items=("b", "a"), next=it.pick((None, "a")))
    page = page_of_found(found, place=place, key=str, shape=str)
    assert sorted(page.data) == ["a", "b"]
    listed = shown(found, before=None if it.flag() else 5, after=it.pick((None, 5)), key=str)
    assert set(listed.items) == {"a", "b"}


def check_walk(it: Choices) -> None:
    order, limit = it.pick(list(Ordering)), 1 + it.byte() % 4
    items = sorted({it.text(3) for _ in range(it.byte() % 12)}, reverse=order is Ordering.DESCENDING)
    items = [item for item in items if item]
    seen: list[str] = []
    iterator: str | None = None
    for _ in range(len(items) + 2):
        page = page_of_all(items, iterator=iterator, limit=limit, order=order, key=str, shape=str)
        seen += page.data
        if page.done:
            break
        iterator = page.iterator
    assert seen == items
    if len(items) > limit:
        # And back again.
        last = page_of_all(items, iterator=page.prev_iterator, limit=limit, order=order, key=str, shape=str)
        assert last.data == items[max(0, len(items) - len(page.data) - limit) : len(items) - len(page.data)]
