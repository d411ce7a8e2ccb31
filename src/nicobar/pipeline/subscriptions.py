"""Which endpoints get a message: indexed, so that the answer costs the same with ten endpoints and with thousands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nicobar.model import Endpoint


class Subscriptions:
    """The endpoints of a configuration by application, event type and channel; None stands for any."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._seqs: dict[tuple[str, str | None, str | None], list[int]] = {}
        for endpoint in endpoints:
            for event_type in _unique(endpoint.event_types):
                for channel in _unique(endpoint.channels):
                    self._seqs.setdefault((endpoint.app_id, event_type, channel), []).append(endpoint.seq)

    def of(self, app_id: str, event_type: str, channels: Sequence[str]) -> tuple[int, ...]:
        """The `seq` of each endpoint that is subscribed to such a message, in their order."""
        found = {
            seq
            for wanted in (event_type, None)
            for channel in (None, *channels)
            for seq in self._seqs.get((app_id, wanted, channel), ())
        }
        return tuple(sorted(found))


def _unique(names: Sequence[str]) -> Iterable[str | None]:
    return dict.fromkeys(names) or (None,)


def wants(endpoint: Endpoint, event_type: str, channels: Sequence[str]) -> bool:
    """Whether the endpoint is subscribed to such a message."""
    return (not endpoint.event_types or event_type in endpoint.event_types) and (
        not endpoint.channels or not set(endpoint.channels).isdisjoint(channels)
    )
