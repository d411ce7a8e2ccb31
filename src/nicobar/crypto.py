"""Secrets at rest (AES-256-GCM), tokens, passwords, and the signatures of Standard Webhooks."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import re
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from nicobar.errors import StoreUnusable, UserError

_KEY_BYTES = 32
_KEY = re.compile(rf"[0-9A-Fa-f]{{{2 * _KEY_BYTES}}}")
_KEY_ID_DOMAIN = b"nicobar key id 1\0"
_KEY_ID_BYTES = 16
# During a rotation there are two; backups may need older ones.
MAX_KEYS = 4
_SEALED_BY = b"nbk1"
SEALED_PREFIX_BYTES = len(_SEALED_BY) + _KEY_ID_BYTES
_NONCE_BYTES = 12
WEBHOOK_SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that the specification gives every signing secret
PRIVATE_KEY_PREFIX = "whsk_"
PUBLIC_KEY_PREFIX = "whpk_"
MIN_WEBHOOK_KEY_BYTES = 16
_ED25519_BYTES = 32
TOKEN_PREFIX = "nbr_"  # noqa: S105 - the prefix of every token, so that leak scanners can find them


_PASSWORDS = PasswordHasher()


class Vault:
    """Seals secrets with one of its keys, and opens what any of them has sealed. What is sealed names its use
    (`purpose`), so that a sealed text copied into another row does not open there.

    `names_keys`: what is sealed begins with the id of its key. A single key that never replaced another one seals
    without, as the versions before did, so that they can run beside this one.
    """

    def __init__(self, *keys: bytes, names_keys: bool = False) -> None:
        self._keys = {key_id(key): AESGCM(key) for key in keys}
        self._sealing = next(iter(self._keys))
        self._names_keys = names_keys or len(self._keys) > 1

    def __repr__(self) -> str:
        return "Vault(***)"

    @property
    def key_id(self) -> str:
        """The id of the key that seals."""
        return self._sealing

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of all keys, in the order that they were given."""
        return tuple(self._keys)

    def seal_with(self, wanted: str, *, names_keys: bool) -> None:
        """From now on seals with the key of this id. Without that key, sealing raises StoreUnusable."""
        self._sealing = wanted
        self._names_keys = names_keys or len(self._keys) > 1

    def check_seals(self) -> None:
        """Raises StoreUnusable where this process lacks the key that the database is used with now."""
        self._sealing_key()

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Raises StoreUnusable as `check_seals`."""
        aead = self._sealing_key()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        prefix = sealed_prefix(self._sealing) if self._names_keys else b""
        return prefix + nonce + aead.encrypt(nonce, plain, purpose.encode())

    def _sealing_key(self) -> AESGCM:
        aead = self._keys.get(self._sealing)
        if aead is None:
            raise StoreUnusable(
                "key_replaced",
                f"The key of this database was replaced by {self._sealing}, which this process does not have.",
                "Add that key to NICOBAR_SECRET_KEY or secret.key, and restart this process.",
            )
        return aead

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        """Raises StoreUnusable when it was sealed with another key or for another purpose."""
        return self._open(sealed, purpose)[1]

    def key_of(self, sealed: bytes, purpose: str) -> str:
        """The id of the key that sealed this. Raises StoreUnusable as `unseal`."""
        return self._open(sealed, purpose)[0]

    def _open(self, sealed: bytes, purpose: str) -> tuple[str, bytes]:
        for known, aead in self._keys.items():
            content = sealed.removeprefix(sealed_prefix(known))
            with contextlib.suppress(InvalidTag, ValueError):
                return known, aead.decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], purpose.encode())
        named = sealed[len(_SEALED_BY) : SEALED_PREFIX_BYTES].hex() if sealed.startswith(_SEALED_BY) else ""
        raise StoreUnusable(
            "secret_unreadable",
            f"The secrets of {purpose} were encrypted with another key{named and f', {named}'}.",
            "If the key was replaced, restart this process with the new one too: keys are read at the start. If it "
            "is lost, restore the secret.key that belongs to this database, or enter these secrets again.",
        )


def sealed_prefix(of_key_id: str) -> bytes:
    """The first bytes of what a key has sealed, where they name the key."""
    return _SEALED_BY + bytes.fromhex(of_key_id)


def new_key() -> bytes:
    return secrets.token_bytes(_KEY_BYTES)


def read_keys(text: str) -> tuple[bytes, ...]:
    """The keys of hexadecimal texts separated by commas or white space, at most MAX_KEYS; none for any other text."""
    parts = re.split(r"[\s,]+", text)
    if len(parts) > MAX_KEYS or not all(_KEY.fullmatch(part) for part in parts):
        return ()
    return tuple(dict.fromkeys(bytes.fromhex(part) for part in parts))


def key_id(key: bytes) -> str:
    """An id of the key that does not reveal it: half of a hash over the key and the purpose of the hash."""
    return hashlib.sha256(_KEY_ID_DOMAIN + key).hexdigest()[: 2 * _KEY_ID_BYTES]


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
    """The HMAC key of a Standard Webhooks secret, `whsec_` and base64. Without the prefix only the standard alphabet
    counts, since a key of another service, such as `sk_live_…`, would pass for URL-safe base64.

    Raises UserError, without the secret in it, when it has another form. The specification asks for 24 to 64
    bytes; shorter ones down to 16 are in use and accepted.
    """
    text = secret.strip()
    bare = text.removeprefix(WEBHOOK_SECRET_PREFIX)
    key = read_base64(bare) or b""
    if len(key) < MIN_WEBHOOK_KEY_BYTES or (bare == text and ("_" in text or "-" in text)):
        raise UserError(
            "secret_malformed",
            "Invalid signing secret: must be %(webhook_secret_prefix)s and base64 of at least "
            "%(min_webhook_key_bytes)s bytes.",
            "Copy the whole secret from the sender's dashboard, including the prefix.",
            webhook_secret_prefix=WEBHOOK_SECRET_PREFIX,
            min_webhook_key_bytes=MIN_WEBHOOK_KEY_BYTES,
        )
    return key


def read_base64(text: str) -> bytes | None:
    """The bytes of base64 in the standard or the URL-safe alphabet, with or without padding; None for other text."""
    bare = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def new_webhook_secret(*, ed25519: bool = False) -> str:
    """A signing secret: 24 random bytes, or a new ed25519 key."""
    if not ed25519:
        return WEBHOOK_SECRET_PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()
    private = Ed25519PrivateKey.generate()
    both = private.private_bytes_raw() + private.public_key().public_bytes_raw()
    return PRIVATE_KEY_PREFIX + base64.b64encode(both).decode()


class WebhookKey:
    """Signs by Standard Webhooks: with HMAC-SHA256 (`v1`) for a `whsec_` secret, with ed25519 (`v1a`) for a private
    key `whsk_`, which is the seed, alone or followed by its public key. Raises UserError for a malformed one.
    """

    def __init__(self, secret: str) -> None:
        self._private = _private_key(secret) if is_private_key(secret) else None
        self._key = webhook_secret_key(secret) if self._private is None else b""

    def __repr__(self) -> str:
        return "WebhookKey(***)"

    @property
    def public_key(self) -> str | None:
        """What verifies the signatures, `whpk_` and base64; None for HMAC, where the secret itself does."""
        if self._private is None:
            return None
        return PUBLIC_KEY_PREFIX + base64.b64encode(self._private.public_key().public_bytes_raw()).decode()

    def sign(self, event_id: str, timestamp: str, body: bytes) -> str:
        """A signature with its version: `v1,…` or `v1a,…`."""
        if self._private is None:
            return f"v1,{base64.b64encode(hmac_signature(self._key, event_id, timestamp, body)).decode()}"
        signature = self._private.sign(_signed_content(event_id, timestamp, body))
        return f"v1a,{base64.b64encode(signature).decode()}"


def is_private_key(secret: str) -> bool:
    """Whether a signing secret is a private ed25519 key."""
    return secret.startswith(PRIVATE_KEY_PREFIX)


def is_public_key(secret: str) -> bool:
    """Whether a secret is a public ed25519 key, which verifies and cannot sign."""
    return secret.startswith(PUBLIC_KEY_PREFIX)


def hmac_signature(key: bytes, event_id: str, timestamp: str, body: bytes) -> bytes:
    """HMAC-SHA256 over `<id>.<timestamp>.<body>`.

    Source: the specification at standardwebhooks.com, section "Signature scheme".
    """
    return hmac.digest(key, _signed_content(event_id, timestamp, body), "sha256")


def read_public_key(text: str) -> Ed25519PublicKey:
    """The key of `whpk_` and base64. Raises UserError for other text."""
    raw = read_base64(text.strip().removeprefix(PUBLIC_KEY_PREFIX)) or b""
    if len(raw) != _ED25519_BYTES:
        raise UserError(
            "secret_malformed",
            "Invalid public key: must be %(prefix)s and base64 of %(bytes)s bytes.",
            "Copy the whole key, including the prefix.",
            prefix=PUBLIC_KEY_PREFIX,
            bytes=_ED25519_BYTES,
        )
    return Ed25519PublicKey.from_public_bytes(raw)


def is_signed_by(key: Ed25519PublicKey, signature: bytes, event_id: str, timestamp: str, body: bytes) -> bool:
    """Whether this is the key's ed25519 signature."""
    try:
        key.verify(signature, _signed_content(event_id, timestamp, body))
    except InvalidSignature:
        return False
    return True


def _private_key(secret: str) -> Ed25519PrivateKey:
    raw = read_base64(secret.strip().removeprefix(PRIVATE_KEY_PREFIX)) or b""
    seed, public = raw[:_ED25519_BYTES], raw[_ED25519_BYTES:]
    key = Ed25519PrivateKey.from_private_bytes(seed) if len(seed) == _ED25519_BYTES else None
    if key is None or public not in {b"", key.public_key().public_bytes_raw()}:
        raise UserError(
            "secret_malformed",
            "Invalid ed25519 key: must be %(prefix)s and base64.",
            "Use the 32 bytes of the key, or these followed by the 32 bytes of its public key.",
            prefix=PRIVATE_KEY_PREFIX,
        )
    return key


def _signed_content(event_id: str, timestamp: str, body: bytes) -> bytes:
    return b".".join((event_id.encode(), timestamp.encode(), body))
