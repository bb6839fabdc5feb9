"""The floor as each group of rows has it: in front of these tokens, of Shopify's, and with its denylist in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .floor import Claims, FloorVerifier, Refused, Seen, signature_check
from .tokens import AUDIENCE, ISSUER, Signer


def floor_verifier(signer: Signer) -> FloorVerifier:
    """The floor that accepts the tokens of `signer`."""
    check = signature_check(signer.algorithm, signer.public)
    return FloorVerifier(signer.algorithm, check, issuer=ISSUER, audience=AUDIENCE)


class ShopifyFloor(FloorVerifier):
    """The floor for session tokens of one shop: that shop's admin issues them, for that shop and a member of staff."""

    def __init__(self, secret: str, *, shop: str, audience: str) -> None:
        super().__init__("HS256", signature_check("HS256", secret), issuer=f"https://{shop}/admin", audience=audience)
        self._dest = f"https://{shop}"

    def _read(self, claims: dict[str, Any], now: float) -> Seen:
        staff, session = claims.get("sub"), claims.get("sid")
        if claims.get("dest") != self._dest:
            raise Refused(401, "for another shop")
        if not isinstance(staff, str) or not staff.isdecimal() or not isinstance(session, str) or not session.split():
            raise Refused(401, "no member of staff, or no session")
        return super()._read(claims, now)


class RedisFloor:
    """The floor, and one MGET per check: the id, the user and the tenant of the token, and the store's epoch."""

    def __init__(self, inner: FloorVerifier, client: Any) -> None:
        self._inner = inner
        self._client = client

    def verify(self, token: bytes) -> Claims:
        """The claims of `token`; Redis is asked on every call."""
        claims = self._inner.verify(token)
        if any(value is not None for value in self._client.mget(denied_names(claims))):
            raise Refused(401, "the token has been revoked")
        return claims


def denied_names(claims: Claims) -> Sequence[str]:
    """The keys that revoke a token, as the floor keeps them."""
    return f"floor:d:{claims['jti']}", f"floor:u:{claims['sub']}", f"floor:t:{claims['tenant']}", "floor:epoch"
