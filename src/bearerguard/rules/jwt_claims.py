"""The inside of a signed token: which claims are accepted, once a key has verified them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from ..claims import Claims
from ..errors import InvalidToken
from ..settings import SignedTokens
from .acceptance import MISSING, check_time, claims_of, missing_claim, time_claim


def accepted(
    values: dict[str, Any], settings: SignedTokens, *, signing_input: bytes, now: float
) -> tuple[Claims, float, float]:
    """The claims that `values` make under `settings`, and from when and until when they are good.

    InvalidToken names the first rule that they break.
    """
    if settings.nullable:
        values = {name: value for name, value in values.items() if value is not None or name not in settings.nullable}
    check_required(values, settings.required)
    starts_at, dies_at = life(values, settings)
    check_time(starts_at, dies_at, now=now)
    signed = None if "jti" in values else sha256(signing_input).digest()
    return claims_of(values, settings, settings.audience_claim, signed), starts_at, dies_at


def check_required(values: Mapping[str, Any], required: Sequence[str]) -> None:
    """InvalidToken unless each of these claims is there, and neither empty nor null."""
    if all(map(values.get, required)):
        return
    for name in required:
        if values.get(name) in MISSING:
            raise missing_claim(name)


def life(values: Mapping[str, Any], settings: SignedTokens) -> tuple[float, float]:
    """From when and until when a token with these claims is good, leeway and all."""
    leeway = settings.leeway
    expires, issued, starts = time_claim(values, "exp"), time_claim(values, "iat"), time_claim(values, "nbf")
    if settings.max_lifetime is not None:
        check_lifetime(expires, issued, settings.max_lifetime)
    # PyJWT cuts the fraction of an exp off, and so do we: it must never be the stricter one.
    dies_at = math.inf if expires is None else math.floor(expires) + leeway
    if settings.max_age is not None:
        if issued is None:
            raise missing_claim("iat")
        dies_at = min(dies_at, issued + settings.max_age + leeway)
    starts_at = -math.inf if starts is None else starts - leeway
    if issued is not None:
        starts_at = max(starts_at, issued - settings.ahead)
    return starts_at, dies_at


def check_lifetime(expires: float | None, issued: float | None, longest: float) -> None:
    """InvalidToken for a token that lives longer, or does not say since when."""
    if expires is None:
        return
    if issued is None:
        raise missing_claim("iat")
    if expires - issued > longest:
        raise InvalidToken("lifetime_too_long")
