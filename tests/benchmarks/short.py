"""The short form: a few rows at a time, the best of several runs, and only ratios."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .goals import Verdict
from .harness import Result, Scenario
from .rows import Size, measure

ATTEMPTS = 5


def best(
    chosen: Sequence[Scenario],
    judge: Callable[[Result], Verdict],
    size: Size,
    *,
    attempts: int = ATTEMPTS,
) -> list[Verdict]:
    """The best verdict on each row; what is within its limit is not measured again."""
    found: dict[Scenario, Verdict] = {}
    for _ in range(attempts):
        still = [one for one in chosen if one not in found or not found[one].met()]
        for result in measure(still, size):
            found[result.scenario] = judge(result).better_of(found.get(result.scenario))
    return [found[one] for one in chosen]
