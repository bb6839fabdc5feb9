"""The time as the demo knows it: the machine's, and as much more as somebody has let pass."""

from __future__ import annotations

import time

MOST_AHEAD = 10 * 366 * 86_400.0


class PassingTime:
    """Called like `time.time`; the provider and the verifier ask it."""

    def __init__(self) -> None:
        self.ahead: float = 0.0

    def __call__(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.ahead

    def let_pass(self, seconds: float) -> None:
        """Go so far ahead, and never more than ten years in all."""
        self.ahead = min(MOST_AHEAD, self.ahead + seconds)

    def go_back(self) -> None:
        """Be the machine's time again."""
        self.ahead = 0.0
