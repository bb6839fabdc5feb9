"""A verifier at a clock that stands still, and good tokens for it: what the hostile tests begin with and then spoil."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bearerguard import AuthError, SharedSecrets, SignedTokens, StaticKeys, Unavailable, Verifier
from tests.minting import SECRET, PrivateKey, SigningKey, base64url, private_key, public_jwk, signature

NOW = 1_800_000_000
ISSUER = "https://id.example.com"
AUDIENCE = "https://orders.example.com"

GOOD = "good"


class Clock:
    """A clock that goes when a test moves it."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def claims(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Claims that every rule accepts, with these changed; one that is changed to `...` is left out."""
    whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ana", "iat": NOW - 10, "exp": NOW + 300, "jti": "5f7c0f5e"}
    return {name: value for name, value in {**whole, **(changes or {})}.items() if value is not ...}


def settings(**changes: Any) -> SignedTokens:
    """Settings for such claims under HS256."""
    fields: dict[str, Any] = {
        "keys": SharedSecrets(SECRET),
        "algorithms": ("HS256",),
        "issuer": ISSUER,
        "audience": AUDIENCE,
    }
    return SignedTokens(**fields | changes)


def verifier(*, clock: Clock | None = None, monotonic: Clock | None = None, **changes: Any) -> Verifier[SignedTokens]:
    """A verifier of those settings, at a clock that stands still."""
    return Verifier(settings(**changes), clock=clock or Clock(), monotonic=monotonic or Clock(0))


def key_of(alg: str, name: str = "first") -> PrivateKey:
    """The private key of that name, the same for every call."""
    return private_key(alg, name)


def static(alg: str, **changes: Any) -> Verifier[SignedTokens]:
    """A verifier of such claims under the public half of `key_of(alg)`."""
    fields: dict[str, Any] = {"keys": StaticKeys(public_jwk(key_of(alg))), "algorithms": (alg,)}
    return verifier(**fields | changes)


def verdict(judge: Verifier[SignedTokens], token: Any) -> str:
    """The reason word with which a token is refused; `GOOD` for one that is not. Nothing but our own errors passes."""
    try:
        judge.verify(token)
    except (AuthError, Unavailable) as refusal:
        return refusal.reason
    return GOOD


def sealed(header: str, payload: str, *, key: SigningKey = SECRET, alg: str = "HS256") -> str:
    """A token of two segments as they are, whatever they spell, under a signature that is good for that spelling."""
    signing_input = f"{header}.{payload}"
    return f"{signing_input}.{base64url(signature(signing_input.encode(), key=key, alg=alg))}"
