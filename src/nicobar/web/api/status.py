"""The states of deliveries and tries as the public Svix API numbers them."""

from __future__ import annotations

from enum import IntEnum

from nicobar.model import DeliveryState


class MessageStatus(IntEnum):
    """0 success, 1 pending, 2 fail, 3 sending, 4 canceled."""

    SUCCESS = 0
    PENDING = 1
    FAIL = 2
    SENDING = 3
    CANCELED = 4


class StatusCodeClass(IntEnum):
    """The hundreds of an answer's HTTP status; 0 where no answer came."""

    NONE = 0
    C1XX = 100
    C2XX = 200
    C3XX = 300
    C4XX = 400
    C5XX = 500


_STATUS_OF_STATE = {
    DeliveryState.SUCCESS: MessageStatus.SUCCESS,
    DeliveryState.PENDING: MessageStatus.PENDING,
    DeliveryState.FAILED: MessageStatus.FAIL,
    DeliveryState.SENDING: MessageStatus.SENDING,
    DeliveryState.CANCELED: MessageStatus.CANCELED,
}


def status_of(state: DeliveryState, *, expanded: bool) -> MessageStatus:
    """Without `expanded`, what was canceled is shown as a success, as clients of before that status expect."""
    status = _STATUS_OF_STATE[state]
    return MessageStatus.SUCCESS if status is MessageStatus.CANCELED and not expanded else status


def status_of_attempt(state: DeliveryState, *, expanded: bool) -> MessageStatus:
    """A try that another one follows has failed itself."""
    return status_of(DeliveryState.FAILED if state is DeliveryState.PENDING else state, expanded=expanded)


def states_of(status: MessageStatus, *, expanded: bool) -> tuple[DeliveryState, ...]:
    """The states that are shown as this status."""
    return tuple(state for state in DeliveryState if status_of(state, expanded=expanded) is status)


def attempt_states_of(status: MessageStatus, *, expanded: bool) -> tuple[DeliveryState, ...]:
    """The states of tries that are shown as this status; none where no try can have it."""
    return tuple(state for state in DeliveryState if status_of_attempt(state, expanded=expanded) is status)


def text_of(status: MessageStatus) -> str:
    return status.name.lower()
