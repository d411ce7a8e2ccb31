"""ID tokens and keys of a sign-in provider: a token is this provider's word for this sign-in, or it is rejected."""

from __future__ import annotations

import base64
import json

from joserfc import jwt
from joserfc.jwk import OKPKey

from fuzz.choices import HOSTILE, Choices
from nicobar.errors import SettingsError
from nicobar.sign_in_rules import RoleRules, is_safe_url, plain_email
from nicobar.use_cases.identity_provider import UnknownKeyError, UntrustedTokenError
from nicobar.use_cases.signed_tokens import CLOCK_SKEW_S, MAX_SUBJECT_CHARS, VerificationKeys

NOW_S = 1_790_000_000
ISSUER, CLIENT, NONCE = "https://login.northpine.example", "nicobar", "a-nonce"
KEY, OTHER_KEY = OKPKey.generate_key("Ed25519"), OKPKey.generate_key("Ed25519")
PUBLIC = KEY.as_dict(private=False) | {"kid": "1"}
KEYS = VerificationKeys([PUBLIC])
CLAIMS = {"iss": ISSUER, "sub": "u1", "aud": CLIENT, "exp": NOW_S + 60, "iat": NOW_S, "nonce": NONCE}
NAMES = (*CLAIMS, "azp", "nbf", "email", "kid", "alg", "kty", "use", "crv", "x")
VALUES = (
    ISSUER, CLIENT, [CLIENT], [CLIENT, "other"], NONCE, [NONCE], NOW_S, NOW_S - 200, NOW_S + 10**9, "none", "HS256",
    "OKP", "RSA", "oct", *HOSTILE,
)  # fmt: skip
SEEDS = (bytes(12), bytes(range(50)), b"\1\0" + bytes(range(40)), b"\2\3\0\1\1\2\4" * 7, b"\3a.b.c")


def run(data: bytes) -> None:
    it = Choices(data)
    kind = it.byte() % 4
    keys = KEYS
    if kind == 3:
        token = it.text()
    else:
        token = signed(it.changed(CLAIMS, NAMES, VALUES), OTHER_KEY if kind == 2 and it.flag() else KEY)
        if kind == 1:
            token = with_header(token, it)
    if it.byte() % 8 == 7:
        changed = [it.changed(PUBLIC, NAMES, VALUES) for _ in range(it.byte() % 3)]
        keys = VerificationKeys([key for key in changed if isinstance(key, dict)])
    try:
        claims = keys.claims(token, issuer=ISSUER, client_id=CLIENT, nonce=NONCE, now_s=NOW_S)
    except (UnknownKeyError, UntrustedTokenError):
        pass
    else:
        assert (claims["iss"], claims["nonce"]) == (ISSUER, NONCE)
        assert claims["aud"] == CLIENT or CLIENT in claims["aud"]
        assert isinstance(claims["sub"], str)
        assert 0 < len(claims["sub"]) <= MAX_SUBJECT_CHARS
        assert claims["exp"] >= NOW_S - CLOCK_SKEW_S
        assert token.split(".")[2] == signed(claims, KEY).split(".")[2] or kind != 2
    check_rules(it)


def signed(claims: object, key: OKPKey) -> str:
    content = claims if isinstance(claims, dict) else {}
    return jwt.encode({"alg": "Ed25519", "kid": "1"}, json.loads(json.dumps(content)), key, ["Ed25519"])


def with_header(token: str, it: Choices) -> str:
    """The token with another header, or with other parts."""
    header, payload, signature = token.split(".")
    given = json.dumps(it.changed({"alg": "Ed25519", "kid": "1"}, NAMES, VALUES)).encode()
    new = base64.urlsafe_b64encode(given).decode().rstrip("=")
    return it.pick(
        (f"{new}.{payload}.{signature}", f"{new}.{payload}.", f"{header}.{payload}", f"{new}.{it.text(9)}.x")
    )


def check_rules(it: Choices) -> None:
    texts = (
        "ada@northpine.example",
        "@northpine.example",
        "group:a",
        "group:",
        "@",
        "a@b@c",
        "",
        "ADA@northpine.example",
    )
    entries = [",".join(it.pick((*texts, it.text(12))) for _ in range(it.byte() % 3)) for _ in range(3)]
    _ = is_safe_url(it.text(30))
    email = it.pick((*texts, it.text(12)))
    try:
        rules = RoleRules.read(owners=entries[0], editors=entries[1], viewers=entries[2])
    except SettingsError as error:
        assert error.detail
        return
    role = rules.role_of(email, ["a"])
    if not any(text.strip() for text in ",".join(entries).split(",")):
        assert role is None
    assert plain_email(email) is None or plain_email(email) == email.lower()
