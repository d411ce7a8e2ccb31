"""What kept answers are sealed for: those to idempotent requests, and the results of test events, kept like them."""

from __future__ import annotations

_TEST = "test/"


def test_owner(subject_id: str) -> str:
    """Stands in for the token of a test event's result."""
    return f"{_TEST}{subject_id}"


def answer_purpose(token_id: str, key: str, request: str) -> str:
    """The purpose of an answer, by its place."""
    return f"{token_id}/{key}" if token_id.startswith(_TEST) else f"answer/{token_id}/{request}"
