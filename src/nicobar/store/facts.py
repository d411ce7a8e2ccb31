"""What events have stated: see `nicobar/facts.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from nicobar.facts import KnownFact, StatedFact

# Customers with the same addresses as others that one query finds.
MAX_SHARING = 500
# Messages of a customer among which the one before with an address is found.
MAX_BEFORE = 100


class Facts(Protocol):
    """Facts of an application, by key. `append` states those of its message."""

    async def facts(self, app_id: str, keys: Sequence[str]) -> Mapping[str, KnownFact]:
        """The facts with these keys, those of the payments that they belong to, and those of the customers of all of
        these, as far as they are known.
        """
        ...

    async def people(self, app_id: str, keys: Sequence[str], emails: Sequence[str]) -> list[KnownFact]:
        """The facts of the customers with these keys, and of MAX_SHARING others with one of these addresses, as
        `people.email_identifier` writes them.
        """
        ...

    async def addresses_before(self, seqs: Sequence[int]) -> Mapping[int, str]:
        """The email address that the customer of each of these messages had in the message before, as it was written.
        Those without one, and those whose messages before were deleted, are omitted. Looks at MAX_BEFORE messages.
        """
        ...

    async def put_facts(self, app_id: str, facts: Sequence[StatedFact]) -> None:
        """Merges facts with what is stored."""
        ...
