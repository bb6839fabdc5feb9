"""How a fetched key set ages: when it is fresh, when it may be asked for again, when it is trusted no more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..encoding import strict_json_object
from ..keys import JwksKeys
from ..keys.jwk import keys_of_set, prepared
from .jws import KeyRing

REFRESH_AHEAD = 0.8
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?(\d{1,9})", re.IGNORECASE)
_NEVER = -1e18


class KeySet(NamedTuple):
    """The keys we hold, and the times that matter; replaced whole, never edited. Times are monotonic."""

    ring: KeyRing = KeyRing(())
    epoch: int = 0
    good_at: float = _NEVER
    lifetime: float = 0
    ask_again_at: float = _NEVER
    failures: int = 0

    def is_trusted(self, source: JwksKeys, now: float) -> bool:
        """Whether tokens may still be verified with these keys."""
        return now - self.good_at <= source.max_stale

    def wants_refresh(self, now: float) -> bool:
        """Whether the set should be fetched anew behind the back of those who use it."""
        return now >= self.good_at + self.lifetime * REFRESH_AHEAD and self.may_ask(now)

    def may_ask(self, now: float) -> bool:
        """Whether the cool-down is over."""
        return now >= self.ask_again_at

    def is_recent(self, source: JwksKeys, now: float) -> bool:
        """Whether the last good fetch is so young that a key it lacks does not exist."""
        return now - self.good_at <= source.cool_down


def after_success(
    held: KeySet, source: JwksKeys, ring: KeyRing, *, new_epoch: int, lifetime: float, now: float
) -> KeySet:
    """The set after a good fetch; it gets the new epoch, which no other ring ever has, when the keys are others."""
    if ring.thumbprints() == held.ring.thumbprints():
        return KeySet(held.ring, held.epoch, now, lifetime, now + source.cool_down)
    return KeySet(ring, new_epoch, now, lifetime, now + source.cool_down)


def after_failure(held: KeySet, source: JwksKeys, *, now: float) -> KeySet:
    """The set after a failed fetch. While nothing trusted is held, we ask again sooner, in doubling steps."""
    failures = held.failures + 1
    patient = held.is_trusted(source, now)
    pause = source.cool_down if patient else min(source.cool_down, 2.0 ** min(failures - 1, 16))
    return held._replace(failures=failures, ask_again_at=now + pause)


def ring_of_document(body: bytes, algorithms: Iterable[str]) -> KeyRing:
    """The keys of a fetched document; ValueError where none of them fits, which is a failed fetch."""
    keys = prepared(keys_of_set(strict_json_object(body)), algorithms)
    if not keys:
        raise ValueError("no key of the set fits the algorithms")
    return KeyRing(keys)


def lifetime_of(headers: Mapping[str, str], source: JwksKeys) -> float:
    """How long the answer says that it is fresh, inside 60 s and one hour."""
    said = _MAX_AGE.search(headers.get("cache-control", ""))
    return min(3600.0, max(60.0, float(said[1]))) if said else source.lifetime
