"""When to stop asking a store that does not answer, and when to try it again."""

from __future__ import annotations

import time
from collections.abc import Callable

FAILURES = 5
PAUSE_SECONDS = 0.5


class Breaker:
    """After `failures` in a row nobody is let through, but for one probe every `pause` seconds.

    A probe that is never reported on, because its caller went away, holds nobody up: the next pause brings another.
    """

    __slots__ = ("_failures", "_limit", "_monotonic", "_pause", "_shut_until")

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        pause: float = PAUSE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._pause = pause
        self._monotonic = monotonic
        self._failures = 0
        self._shut_until = 0.0

    def admits(self) -> bool:
        """Whether the store may be asked now; where it is shut, whoever hears yes is the probe."""
        if self._failures < self._limit:
            return True
        now = self._monotonic()
        if now < self._shut_until:
            return False
        self._shut_until = now + self._pause
        return True

    def succeeded(self) -> None:
        """The store answered, whatever it said."""
        self._failures = 0

    def failed(self) -> None:
        """The store did not answer."""
        self._failures += 1
        # Only the failure that shuts it counts the pause: a slow probe must not make the next one later still.
        if self._failures == self._limit:
            self._shut_until = self._monotonic() + self._pause
