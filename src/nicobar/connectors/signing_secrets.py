"""The value of a connector's field that signs: the current secret, and previous secrets with their expiry."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from nicobar.connectors import Field, FieldKind
from nicobar.crypto import WebhookKey, is_private_key, new_webhook_secret
from nicobar.errors import UserError
from nicobar.model import Record

MAX_SECRETS = 4


class SignatureScheme(StrEnum):
    """How requests are signed: with a secret that the receiver has too, or with a private key."""

    HMAC = "hmac"
    ED25519 = "ed25519"


class SigningSecret(Record):
    """A secret and its expiry (Unix ms); None for the current secret."""

    secret: str
    until_ms: int | None = None


def signing_field(fields: Sequence[Field]) -> str | None:
    """The name of the field that signs; None for a connector that does not sign its requests."""
    return next((field.name for field in fields if field.kind is FieldKind.SECRET and field.signs), None)


def read_secrets(text: str) -> tuple[SigningSecret, ...]:
    """The secrets in a field that signs, the current secret first. Raises UserError."""
    secrets: list[SigningSecret] = []
    for part in text.split():
        secret, _, until = part.partition("@")
        WebhookKey(secret)
        if bool(secrets) is not until.isdecimal():
            raise UserError(
                "secret_malformed", "Invalid signing secret.", "Enter one secret that starts with whsec_ or whsk_."
            )
        secrets.append(SigningSecret(secret=secret, until_ms=int(until) if until else None))
    if not 0 < len(secrets) <= MAX_SECRETS:
        raise UserError(
            "secret_malformed",
            "Expected 1 to %(max_secrets)s signing secrets, got %(secrets)s.",
            "Keep only the secrets that are still in use.",
            secrets=len(secrets),
            max_secrets=MAX_SECRETS,
        )
    return tuple(secrets)


def new_secret(scheme: SignatureScheme) -> str:
    """A random secret."""
    return new_webhook_secret(ed25519=scheme is SignatureScheme.ED25519)


def scheme_of(text: str) -> SignatureScheme:
    """The scheme of the current secret in a field that signs. Raises UserError."""
    current = read_secrets(text)[0].secret
    return SignatureScheme.ED25519 if is_private_key(current) else SignatureScheme.HMAC


def verification_key(text: str) -> str:
    """What a receiver verifies signatures of the current secret with: the secret itself, or the public key. Raises
    UserError.
    """
    current = read_secrets(text)[0].secret
    return WebhookKey(current).public_key or current


def rotated(text: str, new: str, *, now_ms: int, until_ms: int) -> str:
    """The value of a field that signs with a new current secret. The previous secret signs too until `until_ms`;
    older ones keep their expiry. Raises UserError for an invalid secret.
    """
    current, *older = read_secrets(text)
    kept = [SigningSecret(secret=current.secret, until_ms=until_ms), *older]
    live = [item for item in kept if item.until_ms is not None and item.until_ms > now_ms and item.secret != new]
    parts = [new, *(f"{item.secret}@{item.until_ms}" for item in live)]
    changed = " ".join(parts[:MAX_SECRETS])
    read_secrets(changed)
    return changed
