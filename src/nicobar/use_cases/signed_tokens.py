"""Verifies the ID tokens of a provider. The only place that knows their library, which the extra `oidc` installs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from joserfc import jwt
from joserfc.errors import BadSignatureError, ClaimError, InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

from nicobar.logs import log
from nicobar.use_cases.identity_provider import UnknownKeyError, UntrustedTokenError

# How far the clocks of the provider and of this machine may differ.
CLOCK_SKEW_S = 120
MAX_KEYS = 100
MAX_SUBJECT_CHARS = 255
# With a public key only: a key that is known to both sides, or none, proves nothing here.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_PUBLIC_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})


class VerificationKeys:
    """The public keys of a provider. Keys that cannot verify signatures are skipped."""

    def __init__(self, found: Sequence[Mapping[str, Any]]) -> None:
        keys: list[Key] = []
        for item in found[:MAX_KEYS]:
            if str(item.get("kty")) not in _PUBLIC_KEY_TYPES or item.get("use", "sig") != "sig":
                continue
            try:
                keys.append(JWKRegistry.import_key(dict(item)))
            except (JoseError, ValueError, TypeError, KeyError):
                log.warning("key of the sign-in provider skipped", kid=str(item.get("kid"))[:64])
        self._keys = KeySet(keys)

    def claims(self, id_token: str, *, issuer: str, client_id: str, nonce: str, now_s: int) -> Mapping[str, Any]:
        """The claims of a token that the provider signed for this client and this sign-in. Raises UnknownKeyError and
        UntrustedTokenError.
        """
        try:
            claims = jwt.decode(id_token, self._keys, ALGORITHMS).claims
        except (InvalidKeyIdError, BadSignatureError) as error:
            raise UnknownKeyError from error
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise UntrustedTokenError(type(error).__name__) from error
        rules = jwt.JWTClaimsRegistry(
            now=now_s,
            leeway=CLOCK_SKEW_S,
            iss={"essential": True, "value": issuer},
            sub={"essential": True},
            aud={"essential": True, "value": client_id},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            rules.validate(claims)
        except ClaimError as error:
            raise UntrustedTokenError(error.claim) from error
        _check_form(claims, client_id)
        return claims


def _check_form(claims: Mapping[str, Any], client_id: str) -> None:
    """What the library leaves open. A token for several audiences names the one that it was issued to: OpenID Connect
    Core, 3.1.3.7.
    """
    audience, party = claims["aud"], claims.get("azp")
    has_others = isinstance(audience, list) and set(audience) != {client_id}
    if (party is not None and party != client_id) or (has_others and party is None):
        raise UntrustedTokenError("azp")
    if not isinstance(claims["nonce"], str):
        raise UntrustedTokenError("nonce")
    if len(claims["sub"]) > MAX_SUBJECT_CHARS:
        raise UntrustedTokenError("sub")
