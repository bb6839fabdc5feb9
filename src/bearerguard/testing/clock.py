"""A clock that stands still until a test moves it."""

from __future__ import annotations

import time
from threading import Lock

from ..checks import check_time


class Clock:
    """A clock for `Verifier(clock=...)`, `mint(now=clock())` and `FakeProvider(clock=...)`, in seconds since 1970.

    ```python
    clock = Clock()
    verifier = Verifier(settings, clock=clock, monotonic=clock)
    clock.advance(61)
    ```

    It begins at the time of this machine, or at `now`. As `monotonic=` it also ages what the verifier remembers.
    """

    def __init__(self, now: float | None = None) -> None:
        self._lock = Lock()
        self.now = time.time() if now is None else now

    def __repr__(self) -> str:
        return f"<Clock {self._now!r}>"

    def __call__(self) -> float:
        """The time that it shows."""
        return self._now

    @property
    def now(self) -> float:
        """The time that it shows; set it to any other."""
        return self._now

    @now.setter
    def now(self, now: float) -> None:
        check_time("now", now)
        self._now = now

    def advance(self, seconds: float) -> float:
        """Move it, back where `seconds` are negative; the time that it shows now."""
        with self._lock:
            self.now = self._now + seconds
            return self._now
