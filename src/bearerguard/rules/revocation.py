"""What is revoked: the names it is kept under, what the store's answers mean, and for how long they are kept."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache

from ..claims import Claims, origin_of
from ..encoding import base64url
from ..errors import StoreUnavailable, TokenRevoked
from .epochs import VERSION, is_number

MARGIN_SECONDS = 4200
"""An entry is kept for so long after its token's end: a clock that is wrong by an hour must bring nothing back."""


def token_identity(authority: str, token_id: str) -> str:
    """What tells a token from all others of its authority: its jti."""
    return _digest("token-id", authority, token_id)


def identity_of(claims: Claims) -> str | None:
    """What these claims' token is revoked and spent under: its jti, or else the digest of what was signed."""
    origin = origin_of(claims)
    if origin is None:
        return None
    authority, named = origin
    if isinstance(named, str):
        return token_identity(authority, named)
    return _digest("signing-input", authority, named.hex())


def token_name(identity: str) -> str:
    """Where a revoked token is kept."""
    return f"d:{identity}"


def spent_name(identity: str) -> str:
    """Where a used one-time token is kept."""
    return f"s:{identity}"


@lru_cache(maxsize=1024)
def user_name(authority: str, user: str) -> str:
    """Where a user's watermark is kept."""
    return f"u:{_digest('user', authority, user)}"


@lru_cache(maxsize=1024)
def tenant_name(authority: str, tenant: str) -> str:
    """Where a tenant's watermark is kept."""
    return f"t:{_digest('tenant', authority, tenant)}"


def denial_names(authority: str, identity: str, *, user: str | None, tenant: str | None) -> tuple[str, ...]:
    """Every name under which a token may have been revoked."""
    names = (
        token_name(identity),
        None if user is None else user_name(authority, user),
        None if tenant is None else tenant_name(authority, tenant),
    )
    return tuple(name for name in names if name is not None)


def _digest(label: str, *parts: str) -> str:
    encoded = [part.encode("utf-8") for part in (f"bearerguard/{label}", *parts)]
    return base64url(hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in encoded)).digest())


def check_marks(names: Sequence[str], values: Sequence[str | None], *, issued_at: float | None, ahead: float) -> None:
    """TokenRevoked if one of the values that the store holds under `names` says so."""
    for name, value in zip(names, values, strict=True):
        if value is not None:
            mark = marked(value)
            # A watermark revokes what was issued before it; a provider's clock may run ahead of ours.
            if name.startswith("d:") or issued_at is None or issued_at <= mark + ahead:
                raise TokenRevoked


def marked(value: str) -> int:
    """The time that a mark stands for; StoreUnavailable where it cannot be read."""
    version, _, number = value.partition("|")
    if version != VERSION or not is_number(number):
        raise StoreUnavailable("store_unreadable")
    return int(number)


def spent_nonce(value: str | None) -> str | None:
    """The nonce that a spent token is marked with."""
    if value is None:
        return None
    version, _, nonce = value.partition("|")
    if version != VERSION or not nonce:
        raise StoreUnavailable("store_unreadable")
    return nonce


def keep_seconds(until: float, *, now: float) -> int:
    """How long an entry about a token that ends at `until` is kept."""
    return max(0, math.ceil(until - now)) + MARGIN_SECONDS
