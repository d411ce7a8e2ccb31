"""Finds customers by what a user knows of them: an email address, or the id of one of their objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nicobar.facts import KnownFact
from nicobar.store.history import Page, Seen

# Messages among which a page of the latest customers is found.
MAX_LOOKED_AT = 20_000


class Lookup(Protocol):
    """Customers of an application, and the facts that name them."""

    async def facts_like(self, app_id: str, prefixes: Sequence[str], *, limit: int) -> list[KnownFact]:
        """Up to `limit` facts whose keys begin with one of these, by key."""
        ...

    async def customers_with_email(self, app_id: str, prefix: str, *, limit: int) -> list[KnownFact]:
        """Up to `limit` customers whose address begins with this, by address, as `people.email_identifier` writes
        it.
        """
        ...

    async def latest_customers(self, app_id: str, *, before: int | None = None, limit: int) -> Page[Seen]:
        """Customers by their latest messages, newest first; `next` is for `before`, None at the end. Looks at
        MAX_LOOKED_AT messages, so that a page can be short.
        """
        ...

    async def latest_of_customers(self, app_id: str, keys: Sequence[str]) -> list[Seen]:
        """These customers with their latest messages, in the order given; without those who have none."""
        ...
