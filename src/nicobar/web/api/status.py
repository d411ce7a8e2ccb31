"""The states of deliveries and attempts as numbered in the public Svix API."""

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
    """The class of the response status, such as 200 or 400. 0 means no response."""

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
    """Without `expanded`, canceled is returned as success: older clients do not have that status."""
    status = _STATUS_OF_STATE[state]
    return MessageStatus.SUCCESS if status is MessageStatus.CANCELED and not expanded else status


def status_of_attempt(state: DeliveryState, *, expanded: bool) -> MessageStatus:
    """An attempt that is retried has failed."""
    return status_of(DeliveryState.FAILED if state is DeliveryState.PENDING else state, expanded=expanded)


def states_of(status: MessageStatus, *, expanded: bool) -> tuple[DeliveryState, ...]:
    """The states that are returned as this status."""
    return tuple(state for state in DeliveryState if status_of(state, expanded=expanded) is status)


def attempt_states_of(status: MessageStatus, *, expanded: bool) -> tuple[DeliveryState, ...]:
    """The states of attempts that are returned as this status; empty if no attempt can have it."""
    return tuple(state for state in DeliveryState if status_of_attempt(state, expanded=expanded) is status)


def text_of(status: MessageStatus) -> str:
    return status.name.lower()
