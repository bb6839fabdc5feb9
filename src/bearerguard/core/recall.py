"""The table of tokens seen before: what was verified once need not be verified again, only re-checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from ..claims import Claims
from ..rules.revocation import denial_names, identity_of
from ..settings import Kind
from .denylist import Reading
from .ports import Ports


class Backing(Protocol):
    """What a verdict rests on, and what may come to an end before the token does."""

    def epoch(self, ports: Ports, /) -> int | None:
        """A verdict stands while this is what it was when the verdict was reached. Never waits."""
        ...


class Verdict:
    """A token that may be used now, and the epoch of the store that was asked about it, where there is one."""

    __slots__ = ("claims", "companion", "dies_at", "epoch", "seen_before")

    def __init__(self, claims: Claims, dies_at: float, epoch: str | None = None, *, seen_before: bool = False) -> None:
        self.companion: tuple[object, object] | None = None
        """The user and the grants that a door makes of these claims once, for all requests that bring the token."""
        self.claims: Claims = claims
        self.dies_at: float = dies_at
        self.epoch: str | None = epoch
        self.seen_before: bool = seen_before


class Seen(Verdict):
    """A verified token, without the token: its claims, and what time, its backing and revocation can change about them.

    While nothing has changed it is the verdict, too. One with no `backing` rests on the settings alone.
    """

    __slots__ = ("_names", "backed_at", "backing", "each_time", "issued_at", "kind", "starts_at")

    def __init__(
        self,
        kind: Kind,
        claims: Claims,
        starts_at: float,
        dies_at: float,
        backing: Backing | None = None,
        backed_at: int = 0,
    ) -> None:
        super().__init__(claims, dies_at)
        self.kind: Kind = kind
        self.starts_at: float = starts_at
        self.backing: Backing | None = backing
        self.backed_at: int = backed_at
        self.each_time: Sequence[Callable[[Claims], bool]] = kind.each_time
        self.issued_at: float | None = claims.issued_at
        self._names: tuple[str, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which the store would know of its revocation."""
        if self._names is None:
            kind, claims = self.kind, self.claims
            identity = identity_of(claims) or ""
            self._names = denial_names(kind.vouched_by, identity, user=claims.user, tenant=claims.tenant)
        return self._names

    def backed_by(self, backing: Backing) -> Seen:
        """The same token, with a verdict that rests on something else."""
        seen = Seen(self.kind, self.claims, self.starts_at, self.dies_at, backing)
        seen.issued_at = self.issued_at
        return seen

    def stands(self, ports: Ports) -> bool:
        """Whether what the verdict rests on is still what it was."""
        return self.backing is None or self.backing.epoch(ports) == self.backed_at

    @property
    def ahead(self) -> float:
        """How far ahead of ours the clock of its issuer may be."""
        return self.kind.ahead

    @property
    def lives(self) -> float | None:
        """For how long it is accepted at most, where that is known."""
        horizon = self.kind.horizon
        return None if horizon is None else horizon + self.kind.leeway


Judged: TypeAlias = tuple[Seen, Reading | None]
"""A token that was judged just now, and the marks about it, where they were read in the same step."""


class Recall:
    """At most `most` tokens by their digest, in two generations: the older one is dropped whole.

    Single dictionary operations are atomic, and a generation is replaced, never cleared, so no lock is needed.
    """

    __slots__ = ("_half", "_older", "_younger")

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._younger: dict[bytes, Seen] = {}
        self._older: dict[bytes, Seen] = {}

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)

    def find(self, digest: bytes) -> Seen | None:
        """What is remembered of a token."""
        seen = self._younger.get(digest)
        if seen is None:
            seen = self._older.get(digest)
            if seen is not None:
                self.keep(digest, seen)
        return seen

    def forget(self, digest: bytes) -> None:
        """Remember a token no longer."""
        self._younger.pop(digest, None)
        self._older.pop(digest, None)

    def keep(self, digest: bytes, seen: Seen) -> None:
        """Remember a token."""
        if len(self._younger) >= self._half:
            self._older, self._younger = self._younger, {}
        if self._half:
            self._younger[digest] = seen
