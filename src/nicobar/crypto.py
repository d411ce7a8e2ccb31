"""Secrets at rest (AES-256-GCM), tokens, passwords, and the signature of Standard Webhooks."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from nicobar.errors import StoreUnusable, UserError

_KEY_BYTES = 32
_KEY = re.compile(rf"[0-9A-Fa-f]{{{2 * _KEY_BYTES}}}")
_KEY_ID_DOMAIN = b"nicobar key id 1\0"
_NONCE_BYTES = 12
WEBHOOK_SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that the specification gives every signing secret
_MIN_WEBHOOK_KEY_BYTES = 16
TOKEN_PREFIX = "nbr_"  # noqa: S105 - the prefix of every token, so that leak scanners can find them


_PASSWORDS = PasswordHasher()


class Vault:
    """Seals secrets with one key. What is sealed names its use (`purpose`), so that a sealed text copied into
    another row does not open there.
    """

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)
        self.key_id = key_id(key)

    def __repr__(self) -> str:
        return "Vault(***)"

    def seal(self, plain: bytes, purpose: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, purpose.encode())

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        """Raises StoreUnusable when it was sealed with another key or for another purpose."""
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
        except (InvalidTag, ValueError) as error:
            raise StoreUnusable(
                "secret_unreadable",
                f"The secrets of {purpose} were encrypted with another key.",
                "Restore the secret.key that belongs to this database, or enter these secrets again.",
            ) from error


def new_key() -> bytes:
    return secrets.token_bytes(_KEY_BYTES)


def read_key(text: str) -> bytes | None:
    """The key of a hexadecimal text, None for any other text."""
    return bytes.fromhex(text) if _KEY.fullmatch(text) else None


def key_id(key: bytes) -> str:
    """An id of the key that does not reveal it: half of a hash over the key and the purpose of the hash."""
    return hashlib.sha256(_KEY_ID_DOMAIN + key).hexdigest()[:32]


def new_token() -> str:
    """An API token with 192 bits of randomness. It is shown once; only its hash is kept."""
    return TOKEN_PREFIX + secrets.token_urlsafe(24)


def new_url_token() -> str:
    """The unguessable part of a source's URL, 144 bits."""
    return secrets.token_urlsafe(18)


def hash_token(token: str) -> str:
    """SHA-256 in hexadecimal. A slow hash would add nothing: a token has too much randomness to be guessed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def hash_password(password: str) -> str:
    """Argon2id with the library's own cost, which is RFC 9106's second choice: 64 MiB, some 50 ms."""
    return _PASSWORDS.hash(password)


def is_password(password: str, kept: str) -> bool:
    """Whether it is the password that was hashed. The time is the same either way."""
    try:
        return _PASSWORDS.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False


def webhook_secret_key(secret: str) -> bytes:
    """The HMAC key of a Standard Webhooks secret, `whsec_` and base64.

    Raises UserError, without the secret in it, when it has another form. The specification asks for 24 to 64
    bytes; shorter ones down to 16 are in use and accepted.
    """
    text = secret.strip().removeprefix(WEBHOOK_SECRET_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _MIN_WEBHOOK_KEY_BYTES:
        raise UserError(
            "secret_malformed",
            "Invalid signing secret: must be %(webhook_secret_prefix)s and base64 of at least "
            "%(min_webhook_key_bytes)s bytes.",
            "Copy the whole secret from the sender's dashboard, including the prefix.",
            webhook_secret_prefix=WEBHOOK_SECRET_PREFIX,
            min_webhook_key_bytes=_MIN_WEBHOOK_KEY_BYTES,
        )
    return key


def new_webhook_secret() -> str:
    """A signing secret of 24 random bytes."""
    return WEBHOOK_SECRET_PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def standard_webhooks_signature(key: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    """Base64 of HMAC-SHA256 over `<id>.<timestamp>.<body>`, without the version before it.

    Source: the specification at standardwebhooks.com, section "Signature scheme".
    """
    content = b".".join((event_id.encode(), timestamp.encode(), body))
    return base64.b64encode(hmac.digest(key, content, "sha256")).decode()
