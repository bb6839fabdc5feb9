"""The table of tokens seen before: what was verified once need not be verified again, only re-checked."""

from __future__ import annotations

from dataclasses import dataclass

from ..claims import Claims
from ..settings import Kind


@dataclass(frozen=True, slots=True)
class Seen:
    """A verified token, without the token: its claims, and what time, keys and revocation can change about them.

    It holds for the route that it was verified on, and for no other.
    """

    kind: Kind
    claims: Claims
    starts_at: float
    dies_at: float
    key_epoch: int
    names: tuple[str, ...]
    route: object


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

    def keep(self, digest: bytes, seen: Seen) -> None:
        """Remember a token."""
        if len(self._younger) >= self._half:
            self._older, self._younger = self._younger, {}
        if self._half:
            self._younger[digest] = seen
