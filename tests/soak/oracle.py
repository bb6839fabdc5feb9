"""The oracle: which answers are permitted to a request, by what is known of its token and of the faults.

All functions here are pure. Times are seconds of one clock, the wall clock that the fleet judges by as well. What was
revoked, withdrawn or spent has two edges: it *may* show from the moment in which somebody began to do it, and it
*must* show to every request that is sent after somebody was told that it is done.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

AHEAD_SECONDS = 1.0
"""The `iat_leeway` of the fleet's settings: so far ahead of ours the issuer's clock may be."""

LEEWAY_SECONDS = 1.0
"""The `leeway` of the fleet's signed tokens; opaque ones have none."""

CACHE_SECONDS = 3.0
"""The `cache_seconds` of the fleet's opaque tokens."""

HEALING_SECONDS = 2.0
"""So long after a fault has ended requests may still suffer from it."""

MAY_LAND_SECONDS = 5.0
"""So late a revocation may be done, and with a time that much later, where nobody was told how it ended."""


class Verdict(StrEnum):
    """What a request was answered."""

    PASSED = "passed"
    LACKS_SCOPE = "lacks scope"
    EXPIRED = "expired"
    REVOKED = "revoked"
    REPLAYED = "replayed"
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"
    LOST = "lost"
    BROKEN = "broken"


class Need(StrEnum):
    """What a request cannot do without; a fault takes some of it away."""

    WORKER = "worker"
    READS = "reads"
    WRITES = "writes"
    SCRIPTS = "scripts"
    PROVIDER = "provider"


class Door(StrEnum):
    """What the route asks, beside a good token."""

    PLAIN = "plain"
    SCOPED = "scoped"
    ONCE = "once"


_OF_THE_STORE = (Verdict.PASSED, Verdict.LACKS_SCOPE, Verdict.REVOKED, Verdict.REPLAYED)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that was broken on purpose; it ends at infinity while it lasts."""

    name: str
    takes: frozenset[Need]
    began_at: float
    ended_at: float = math.inf

    def is_felt(self, need: Need, sent_at: float, answered_at: float) -> bool:
        """Whether a request of that time may lack what the fault takes."""
        return need in self.takes and self.began_at <= answered_at and sent_at <= self.ended_at + HEALING_SECONDS


@dataclass(frozen=True, slots=True)
class Loss:
    """The store lost its memory: between `began_at` and `gone_at` it went, until `back_at` it was away.

    It was noticed at the latest by the first check that the store has answered since.
    """

    began_at: float
    gone_at: float = math.inf
    back_at: float = math.inf
    noticed_at: float = math.inf

    def may_refuse(self, issued_at: float, answered_at: float) -> bool:
        """Whether a token of that time may be refused since it may have been revoked in the lost memory."""
        return self.began_at <= answered_at and issued_at < self.noticed_at + 1 + AHEAD_SECONDS

    def is_noticed_by(self, verdict: Verdict, sent_at: float) -> bool:
        """Whether a request of that time has this answer from the store."""
        return self.back_at <= sent_at and verdict in _OF_THE_STORE

    def must_refuse(self, issued_at: float, sent_at: float) -> bool:
        """Whether it must be: it was issued before the loss, and is shown after it."""
        return issued_at <= self.began_at and self.gone_at <= sent_at


@dataclass(frozen=True, slots=True)
class Revocation:
    """A revocation of a token, or of all that were `issued_before` for one user or tenant.

    It was begun and has ended; whether it is done is known where it is confirmed.
    """

    began_at: float
    ended_at: float = math.inf
    confirmed: bool = False
    is_watermark: bool = True

    def may_refuse(self, issued_at: float, answered_at: float) -> bool:
        """Whether a token of that time may be refused for it."""
        if self.began_at > answered_at:
            return False
        slack = 0.0 if self.confirmed else MAY_LAND_SECONDS
        return not self.is_watermark or issued_at < self.ended_at + 1 + slack + AHEAD_SECONDS

    def must_refuse(self, issued_at: float, sent_at: float, *, is_forgotten: bool = False) -> bool:
        """Whether it must be; where the store has forgotten it, the epoch refuses for it, but for the last second."""
        if not self.confirmed or self.ended_at > sent_at:
            return False
        latest = math.ceil(self.began_at) + AHEAD_SECONDS
        return not self.is_watermark or issued_at < latest or (issued_at == latest and not is_forgotten)


@dataclass(frozen=True, slots=True)
class Uses:
    """What became of the other attempts to use a token once."""

    passed: int = 0
    unknown: int = 0
    under_way: int = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """A token as a request shows it: what it is, and what was done about it so far."""

    issued_at: float = 0.0
    ends_at: float = math.inf
    is_opaque: bool = False
    is_flawed: bool = False
    has_scope: bool = True
    withdrawn_at: float | None = None
    revocations: Sequence[Revocation] = ()
    uses: Uses = field(default_factory=Uses)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: what it asked for, and when it was sent and answered."""

    door: Door
    sent_at: float
    answered_at: float


@dataclass(frozen=True, slots=True)
class Troubles:
    """What was broken around the time of a request."""

    faults: Sequence[Fault] = ()
    losses: Sequence[Loss] = ()


def permitted(asked: Asked, token: Shown, troubles: Troubles) -> frozenset[Verdict]:
    """The answers that are right; any other is a violation."""
    if token.is_flawed:
        return frozenset([Verdict.INVALID, *_lost(asked, troubles)])
    return frozenset(
        [
            *_lost(asked, troubles),
            *_ended(asked, token),
            *(_while_it_lives(asked, token, troubles) if _may_live(asked, token) else _of_the_provider(asked, token)),
            *_unavailable(asked, token, troubles),
        ]
    )


def _may_live(asked: Asked, token: Shown) -> bool:
    return asked.sent_at < token.ends_at


def _lost(asked: Asked, troubles: Troubles) -> Iterable[Verdict]:
    """Who kills a worker gets no answer from it."""
    if _suffers(asked, [Need.WORKER], troubles):
        yield Verdict.LOST


def _ended(asked: Asked, token: Shown) -> Iterable[Verdict]:
    if asked.answered_at >= token.ends_at:
        yield Verdict.EXPIRED


def _of_the_provider(asked: Asked, token: Shown) -> Iterable[Verdict]:
    """What the provider says of a token that has ended, or that it has withdrawn."""
    is_over = asked.answered_at >= token.ends_at
    is_withdrawn = token.withdrawn_at is not None and token.withdrawn_at <= asked.answered_at
    if token.is_opaque and (is_over or is_withdrawn):
        yield Verdict.INVALID


def _unavailable(asked: Asked, token: Shown, troubles: Troubles) -> Iterable[Verdict]:
    """503 is right where something was missing; a signed token that has ended needs nothing to be refused."""
    if (token.is_opaque or _may_live(asked, token)) and _suffers(asked, needs(asked.door, token), troubles):
        yield Verdict.UNAVAILABLE


def needs(door: Door, token: Shown) -> frozenset[Need]:
    """What a request with this token needs at this door."""
    opaque = [Need.SCRIPTS, Need.PROVIDER] if token.is_opaque else []
    once = [Need.SCRIPTS, Need.WRITES] if door is Door.ONCE else []
    return frozenset([Need.READS, *opaque, *once])


def _suffers(asked: Asked, wanted: Iterable[Need], troubles: Troubles) -> bool:
    return any(fault.is_felt(need, asked.sent_at, asked.answered_at) for fault in troubles.faults for need in wanted)


def _while_it_lives(asked: Asked, token: Shown, troubles: Troubles) -> Iterable[Verdict]:
    yield from _of_the_provider(asked, token)
    grounds: tuple[Revocation | Loss, ...] = (*token.revocations, *troubles.losses)
    if any(ground.may_refuse(token.issued_at, asked.answered_at) for ground in grounds):
        yield Verdict.REVOKED
    if _must_be_refused(asked, token, troubles):
        return
    if token.withdrawn_at is None or asked.sent_at <= token.withdrawn_at + CACHE_SECONDS:
        yield from _at_the_route(asked.door, token)


def _must_be_refused(asked: Asked, token: Shown, troubles: Troubles) -> bool:
    last_loss = max((loss.gone_at for loss in troubles.losses), default=-math.inf)
    return any(loss.must_refuse(token.issued_at, asked.sent_at) for loss in troubles.losses) or any(
        one.must_refuse(token.issued_at, asked.sent_at, is_forgotten=one.began_at <= last_loss)
        for one in token.revocations
    )


def _at_the_route(door: Door, token: Shown) -> Iterable[Verdict]:
    if door is not Door.ONCE:
        yield Verdict.PASSED if token.has_scope or door is Door.PLAIN else Verdict.LACKS_SCOPE
        return
    if not token.uses.passed:
        yield Verdict.PASSED
    if token.uses != Uses():
        yield Verdict.REPLAYED


def replays_are_explained(replays: int, uses: Uses) -> bool:
    """Whether somebody may have used a token, of which so many were told, once all attempts have ended."""
    return not replays or uses.passed > 0 or uses.unknown > 0


# --- Bounds in time --------------------------------------------------------------------------------------------------

STORE_SECONDS = 0.5
PROVIDER_SECONDS = 2.0
BUSY_FACTOR = 2.0
"""A busy machine may take twice as long."""


def bound_seconds(door: Door, token: Shown) -> float:
    """How long an answer may take. One-time use asks the store once more, an opaque token up to three times."""
    steps = 1 + (door is Door.ONCE) + (2 if token.is_opaque else 0)
    return BUSY_FACTOR * (steps * STORE_SECONDS + (PROVIDER_SECONDS if token.is_opaque else 0.0))


QUEUE_SECONDS = 2.0
"""How much longer it may take until the caller has the answer: servers, sockets and the caller itself have queues."""

REVOKING_SECONDS = BUSY_FACTOR * STORE_SECONDS
"""How long a revocation may take."""
