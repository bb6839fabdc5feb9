"""Which of several client secrets to try, while one is being changed for another."""

from __future__ import annotations

from collections.abc import Sequence

from .. import sinks
from ..events import OldClientSecretUsed

NEWEST_AGAIN_SECONDS = 300.0
MOST_TRIES = 2


class SecretsInUse:
    """The one that worked last comes first, and from time to time the newest, so that it is known when that works."""

    __slots__ = ("_count", "_newest_at", "_working")

    def __init__(self, count: int) -> None:
        self._count = count
        self._working = 0
        self._newest_at = 0.0

    def to_try(self, now: float) -> Sequence[int]:
        """The index of the secret to begin with, and of the one to try where the provider refuses that."""
        first = 0 if now - self._newest_at >= NEWEST_AGAIN_SECONDS else self._working
        if first == 0:
            self._newest_at = now
        second = self._working if first == 0 and self._working else (first + 1) % self._count
        return tuple(dict.fromkeys((first, second)))[:MOST_TRIES]

    def took(self, index: int, *, refused_before: bool, component: str) -> None:
        """The provider took the secret at that index."""
        self._working = index
        if index and refused_before:
            sinks.tell(OldClientSecretUsed(component=component, index=index))
