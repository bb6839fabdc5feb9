"""What a verifier of some settings says of a token, at the moment at which the tests of the presets stand still."""

from __future__ import annotations

from bearerguard import AuthError, Claims, Verifier
from bearerguard.settings import Kind

NOW = 1_800_000_010

GOOD = "good"


def claims_of(token: str, *kinds: Kind, now: float = NOW) -> Claims:
    """The claims of a token that is good."""
    with Verifier(*kinds, clock=lambda: now) as verifier:
        return verifier.verify(token)


def verdict(token: str, *kinds: Kind, now: float = NOW) -> str:
    """The reason why a token is refused; `GOOD` for one that is not."""
    try:
        claims_of(token, *kinds, now=now)
    except AuthError as refusal:
        return refusal.reason
    return GOOD


def changed(payload: dict[str, object], changes: dict[str, object]) -> dict[str, object]:
    """`payload` with these claims changed; one that is changed to `...` is left out."""
    return {name: value for name, value in {**payload, **changes}.items() if value is not ...}
