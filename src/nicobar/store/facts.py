"""What events have stated: see `nicobar/facts.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from nicobar.facts import About, KnownFact, StatedFact
from nicobar.model import Message, Record
from nicobar.people import IdentityRule, Person

# A delivery without an identity is looked at once more after this, since a fact may have been stated by a transaction
# that was open when it ended. Transactions are cut long before.
LATE_MS = 60_000
# So many of an endpoint are counted.
MAX_COUNTED = 10_000


class Unidentified(Record):
    """A delivery that ended because nothing said who its customer is. `news`: how often each fact that may say so was
    stated, by key. Without a message it waits no longer, or not now: a user has requested it again.
    """

    message_seq: int
    message: Message | None
    news: dict[str, int]


class Identified(Record):
    """A delivery whose person is known now: it goes on under this order key. `customer_key` as in `Message`."""

    message_seq: int
    order_key: str | None
    customer_key: str | None


# Customers with the same addresses as others that one query finds.
MAX_SHARING = 500
# Messages of a customer among which the one before with an address is found.
MAX_BEFORE = 100


# All persons of a page have so many facts; where they have more, each is read alone.
MAX_FACTS_OF_PAGE = 50_000


class Whose(Record):
    """A person whose facts are asked for: the sender's customer id, by sources of one kind and mode, and who that is
    at the endpoint; None where no rule identifies them.
    """

    source_kind: str
    mode: str
    customer_key: str
    person: Person | None = None


class FactsOfPerson(Record):
    """`customer_keys` are the sender's ids that are the person, sorted; that of the question is always one. `facts`
    are theirs, by key. `is_whole`: these are all; otherwise facts are being rebuilt, or there are more than
    MAX_FACTS, and subscriptions come first.
    """

    customer_keys: tuple[str, ...]
    facts: tuple[StatedFact, ...]
    is_whole: bool


class Rebuild(Record):
    """How far the facts of stored messages are rebuilt: from `after_seq` to `until_seq` is left. `messages` were read
    so far; `ended_at_ms` is None while it runs.
    """

    after_seq: int
    until_seq: int
    messages: int
    ended_at_ms: int | None


class People(Protocol):
    """How deliveries of stored messages are ordered by people; the configuration knows."""

    def identity_rule(self, endpoint_seq: int) -> IdentityRule | None:
        """What identifies people at an endpoint; None if nothing says."""
        ...

    def about(self, message: Message) -> About:
        """What a message is about, read from its body."""
        ...


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

    async def facts_of_customer(self, app_id: str, customer_key: str, *, limit: int) -> list[KnownFact]:
        """Up to `limit` facts of a customer, by key."""
        ...

    async def ledger(
        self, app_id: str, rule: IdentityRule | None, whose: Sequence[Whose]
    ) -> Mapping[Whose, FactsOfPerson]:
        """All facts of the persons of a page, each also under other customer ids that the rule identifies as the same
        person: their payments, subscriptions, refunds and disputes. One query, and one for each person if there are
        more than MAX_FACTS_OF_PAGE.
        """
        ...

    async def put_facts(self, app_id: str, facts: Sequence[StatedFact]) -> None:
        """Merges facts with what is stored."""
        ...

    async def put_facts_of_messages(self, app_id: str, facts: Mapping[int, Sequence[StatedFact]]) -> None:
        """The same with what stored messages state, by their `seq`; without those that have no payload any more."""
        ...

    async def has_unidentified(self, endpoint_seq: int) -> bool:
        """Whether deliveries of an endpoint wait for what identifies their person."""
        ...

    async def unidentified(self, endpoint_seq: int, *, now_ms: int, limit: int) -> list[Unidentified]:
        """Those of them to look at: at most `limit` facts were stated since, or it is their time. In order of their
        messages.
        """
        ...

    async def recheck_unidentified(self, endpoint_seq: int, *, term: int) -> None:
        """All of them are to be looked at again: what identifies people has changed."""
        ...

    async def settle_unidentified(
        self,
        endpoint_seq: int,
        *,
        term: int,
        now_ms: int,
        identified: Sequence[Identified],
        others: Sequence[Unidentified],
    ) -> int:
        """Queues deliveries as if they had not been attempted, in the order given, each behind what its person has
        waiting; the others wait for news. Nothing unless the endpoint's lease has this term. Returns how many were
        queued.
        """
        ...

    async def count_unidentified(self, app_id: str) -> Mapping[str, int]:
        """How many deliveries of an endpoint wait for an identity, at most MAX_COUNTED, by its id; without those with
        none.
        """
        ...

    async def forget_facts(self, *, limit: int) -> int:
        """Deletes up to `limit` facts of applications that no longer exist, and of what waits at endpoints that no
        longer exist; returns how many at most of one kind.
        """
        ...

    async def rebuild(self) -> Rebuild | None:
        """None if it was never necessary."""
        ...

    async def begin_rebuild(self) -> Rebuild:
        """Begins again, with all messages that are stored now."""
        ...

    async def messages_to_state(self, at: Rebuild, *, limit: int, max_bytes: int) -> list[Message]:
        """The next messages that have a payload: at most `limit`, with bodies of at most `max_bytes` in total (the
        first always fits).
        """
        ...

    async def move_rebuild(self, at: Rebuild, *, after_seq: int, messages: int, now_ms: int) -> None:
        """The next `messages` were read, up to `after_seq`. Nothing if another process was faster."""
        ...
