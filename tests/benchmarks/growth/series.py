"""The same check at several sizes of something, measured in turn, as a multiple of the smallest size."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from ..harness import WARM_UP, Serve, Served, interleaved, ratio

FLAT = 1.3
"""So many times the smallest size's time still counts as the same."""

BLOCK = 40


@dataclass(frozen=True, slots=True)
class Point:
    """What a check came to at one size."""

    size: str
    microseconds: float
    times_smallest: float


@dataclass(frozen=True, slots=True)
class Series:
    """One check at all sizes, smallest first."""

    check: str
    grows: str
    points: tuple[Point, ...]
    most: float | None = FLAT
    """How many times the smallest size's time it may take; the page explains what is not flat. None: a yardstick."""

    @property
    def growth(self) -> float:
        """How many times the smallest size's time the slowest size takes."""
        return max(point.times_smallest for point in self.points)

    def met(self, slack: float = 1.0) -> bool:
        """Whether it grows no more than it may."""
        return self.most is None or self.growth <= self.most * slack


def series(
    check: str,
    grows: str,
    contestants: Mapping[str, Serve],
    rounds: Iterable[Sequence[str]],
    *,
    most: float | None = FLAT,
) -> Series:
    """Measures the contestants, which are named for their sizes, smallest first."""
    return of_times(check, grows, interleaved(contestants, rounds), most=most)


def of_times(check: str, grows: str, times: Mapping[str, Sequence[float]], *, most: float | None = FLAT) -> Series:
    """The series that these times make; the ratios are those of each round, and then their median is taken."""
    smallest = next(iter(times.values()))
    points = tuple(Point(size, median(own), ratio(own, smallest)) for size, own in times.items())
    return Series(check, grows, points, most)


def timed(call: Callable[[str], object], tokens: Sequence[str | None]) -> Served:
    """One block of calls, in this thread."""
    nanoseconds: list[int] = []
    for token in tokens:
        started = time.perf_counter_ns()
        call(token or "")
        nanoseconds.append(time.perf_counter_ns() - started)
    return Served(nanoseconds, [200])


def calling(call: Callable[[str], object]) -> Serve:
    """Serves the tokens that everybody serves in this round."""
    return lambda tokens: timed(call, tokens)


def calling_with(call: Callable[[str], object], own: Sequence[str]) -> Serve:
    """Serves as many tokens of its own, drawn anew for each block."""
    return lambda tokens: timed(call, random.choices(own, k=len(tokens)))


def drawn(tokens: Sequence[str], rounds: int) -> list[Sequence[str]]:
    """Tokens for each round; the same one may come again."""
    return [random.choices(tokens, k=BLOCK + WARM_UP) for _ in range(rounds)]


def sized(count: int) -> str:
    """A size as people write it."""
    return f"{count:,}"
