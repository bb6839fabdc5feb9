"""The floor of opaque tokens: asks the provider, remembers its answer for a minute, checks what bearerguard checks.

Like the other floor it is a measure, and no library: one provider, one audience, one thread, no store but a dict.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from types import MappingProxyType
from typing import Any, NamedTuple

from .floor import MOST_BYTES, MOST_SEEN, Claims, Refused, json_object, moment, names

MOST_SECONDS = 60

_TOKEN68 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"

Ask = Callable[[bytes], bytes]
"""The body of the provider's answer about a token."""


class Remembered(NamedTuple):
    """What is kept of an active token."""

    claims: Claims
    token_id: str
    starts_at: float
    dies_at: float
    sent_at: float
    fresh_until: float
    over_at: float
    """The end of its freshness on the monotonic clock: no step of the other one makes it longer."""


class OpaqueFloor:
    """One provider, one issuer, one audience; a table of answers; a denylist."""

    def __init__(self, ask: Ask, *, issuer: str, audience: str) -> None:
        self._ask = ask
        self._issuer = issuer
        self._audience = audience
        self.denied: dict[str, float] = {}
        self._young: dict[bytes, Remembered] = {}
        self._old: dict[bytes, Remembered] = {}

    def verify(self, token: bytes) -> Claims:
        """The claims of `token`; what time and revocation can change is checked on every call."""
        now = time.time()
        mark = sha256(token).digest()
        known = self._young.get(mark) or self._old.get(mark)
        if known is None or not (known.sent_at <= now < known.fresh_until and time.monotonic() < known.over_at):
            known = self._asked(token)
            self._keep(mark, known)
        elif not known.starts_at <= now < known.dies_at:
            raise Refused(401, "the token's time is over")
        denied_until = self.denied.get(known.token_id)
        if denied_until is not None and denied_until > now:
            raise Refused(401, "the token has been revoked")
        return known.claims

    def _keep(self, mark: bytes, known: Remembered) -> None:
        if len(self._young) >= MOST_SEEN // 2:
            self._old, self._young = self._young, {}
        self._young[mark] = known

    def _asked(self, token: bytes) -> Remembered:
        bare = token.rstrip(b"=")
        if len(token) > MOST_BYTES or not bare or bare.translate(None, _TOKEN68):
            raise Refused(401, "too large, or a letter that no token has")
        sent_at, asked_at = time.time(), time.monotonic()
        try:
            facts = json_object(self._ask(token))
        except (ValueError, RecursionError) as error:
            raise Refused(503, "the provider's answer cannot be read") from error
        if facts.pop("active", None) is not True:
            raise Refused(401, "not active")
        return self.read(facts, sent_at, asked_at)

    def read(self, facts: dict[str, Any], sent_at: float, asked_at: float) -> Remembered:
        """What is remembered of a token with these facts, if they are good."""
        dies_at = moment(facts, "exp")
        starts_at = moment(facts, "nbf") if "nbf" in facts else 0.0
        if not starts_at <= time.time() < dies_at:
            raise Refused(401, "expired, or not yet valid")
        if facts.setdefault("iss", self._issuer) != self._issuer or not names(facts.get("aud"), self._audience):
            raise Refused(401, "issued by or for somebody else")
        if "cnf" in facts or facts.get("token_type", "Bearer") != "Bearer":
            raise Refused(401, "bound to a key, or no access token")
        token_id = facts.get("jti")
        if not isinstance(token_id, str) or not 0 < len(token_id) <= 256:
            raise Refused(401, "no usable id")
        fresh = min(MOST_SECONDS, dies_at - sent_at)
        claims = MappingProxyType(facts)
        return Remembered(claims, token_id, starts_at, dies_at, sent_at, sent_at + fresh, asked_at + fresh)
