"""Which endpoints get a message: indexed, so that the answer costs the same with ten endpoints and with thousands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nicobar.model import Endpoint, Event, Record


class SenderAccount(Record):
    """Whose a message is, as far as it says: the mode of its source, empty for none, and the business and the brand
    of the sender.
    """

    mode: str = ""
    business_id: str | None = None
    brand_id: str | None = None


def account_of(event: Event, mode: str) -> SenderAccount:
    return SenderAccount(mode=mode, business_id=event.business_id, brand_id=event.brand_id)


class Subscriptions:
    """The endpoints of a configuration by application, event type and channel; None stands for any."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._seqs: dict[tuple[str, str | None, str | None], list[int]] = {}
        self._limited: dict[int, Endpoint] = {}
        for endpoint in endpoints:
            if is_limited(endpoint):
                self._limited[endpoint.seq] = endpoint
            for event_type in _unique(endpoint.event_types):
                for channel in _unique(endpoint.channels):
                    self._seqs.setdefault((endpoint.app_id, event_type, channel), []).append(endpoint.seq)

    def of(
        self, app_id: str, event_type: str, channels: Sequence[str], account: SenderAccount | None = None
    ) -> tuple[int, ...]:
        """The `seq` of each endpoint that is subscribed to such a message, in their order; whatever its scope if the
        account is not known.
        """
        found = {
            seq
            for wanted in (event_type, None)
            for channel in (None, *channels)
            for seq in self._seqs.get((app_id, wanted, channel), ())
        }
        if account is not None and self._limited:
            found = {seq for seq in found if seq not in self._limited or takes(self._limited[seq], account)}
        return tuple(sorted(found))


def _unique(names: Sequence[str]) -> Iterable[str | None]:
    return dict.fromkeys(names) or (None,)


def wants(endpoint: Endpoint, event_type: str, channels: Sequence[str]) -> bool:
    """Whether the endpoint is subscribed to such a message."""
    return (not endpoint.event_types or event_type in endpoint.event_types) and (
        not endpoint.channels or not set(endpoint.channels).isdisjoint(channels)
    )


def is_limited(endpoint: Endpoint) -> bool:
    """Whether the endpoint has a scope."""
    return bool(endpoint.mode or endpoint.business_ids or endpoint.brand_ids)


def takes(endpoint: Endpoint, account: SenderAccount) -> bool:
    """Whether the account is within the endpoint's scope. What is not known is outside of every limit."""
    return (
        (endpoint.mode is None or endpoint.mode == account.mode)
        and (not endpoint.business_ids or account.business_id in endpoint.business_ids)
        and (not endpoint.brand_ids or account.brand_id in endpoint.brand_ids)
    )
