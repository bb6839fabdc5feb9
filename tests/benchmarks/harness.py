"""The measuring itself: contestants take turns in small blocks, and medians and ratios come out."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

BARE = "bare app"
FLOOR = "floor"
OURS = "bearerguard"

FASTAPI = "FastAPI"
SHOPIFY = "Shopify session token"
FLASK_AND_REDIS = "Flask with Redis"

INTROSPECTION = "introspection"
"""Stands where other rows have the algorithm: opaque tokens have none."""

FIRST_SIGHT = "first sight"
REPEAT = "repeat"
IN_PROCESS_HIT = "in-process hit"

WARM_UP = 4
"""Requests before each timed block, to bring the contestant's code back into the processor's caches."""


@dataclass(frozen=True, slots=True)
class Served:
    """One block of requests that a contestant has answered."""

    nanoseconds: Sequence[int]
    statuses: Sequence[int]

    @property
    def microseconds(self) -> float:
        """The median of the block: a request that the machine interrupted does not count."""
        return median(self.nanoseconds) / 1000


Serve = Callable[[Sequence[str | None]], Served]
"""Answers one request per token, in turn; None is a request without a token."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a row of results is about."""

    door: str
    algorithm: str
    sight: str

    def __str__(self) -> str:
        return f"{self.door}, {self.algorithm}, {self.sight}"


@dataclass(frozen=True, slots=True)
class Figures:
    """What one contestant came to."""

    contestant: str
    microseconds: float
    overhead: float
    """Microseconds per request over the bare app."""
    times_bare: float
    overhead_times_floor: float
    """The ratio that the goals speak of: overhead over the floor's overhead."""
    times_floor: float
    """The whole request over the whole request behind the floor."""


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario, measured."""

    scenario: Scenario
    figures: tuple[Figures, ...]
    left_out: Mapping[str, str]
    """Contestant -> why it is not in the row."""
    lets_in: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Contestant -> bad tokens that it accepts."""

    @property
    def title(self) -> str:
        """Which row this is."""
        return str(self.scenario)

    def of(self, contestant: str) -> Figures | None:
        return next((one for one in self.figures if one.contestant == contestant), None)


class LeftOut(Exception):
    """A contestant cannot take part in a row; the message says why."""


class WrongAnswer(Exception):
    """A contestant did not answer as it must, so its time would mean nothing."""


def interleaved(contestants: Mapping[str, Serve], rounds: Iterable[Sequence[str]]) -> dict[str, list[float]]:
    """Microseconds per request of each contestant, the median of each round.

    In each round every contestant serves the same tokens, in an order that is drawn anew.
    """
    order = list(contestants)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    with _all_there_is_frozen():
        for tokens in rounds:
            random.shuffle(order)
            for name in order:
                times[name].append(_block(name, contestants[name], tokens))
    return times


@contextmanager
def _all_there_is_frozen() -> Iterator[None]:
    """Keep the collector from what is there already; what a test run has frozen before stays so."""
    is_frozen = gc.get_freeze_count() > 0
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if not is_frozen:
            gc.unfreeze()


def _block(name: str, serve: Serve, tokens: Sequence[str]) -> float:
    serve(tokens[:WARM_UP])
    served = serve(tokens[WARM_UP:])
    if set(served.statuses) != {200}:
        raise WrongAnswer(f"{name} answered {sorted(set(served.statuses))} to good tokens")
    return served.microseconds


def rounds_of_fresh_tokens(tokens: Sequence[str], *, rounds: int) -> list[Sequence[str]]:
    """A share of `tokens` for each round; no token is in two rounds."""
    share = len(tokens) // rounds
    return [tokens[at : at + share] for at in range(0, share * rounds, share)]


def rounds_of_one_token(token: str, *, rounds: int, block: int) -> list[Sequence[str]]:
    """The same token in every request of every round."""
    return [[token] * (block + WARM_UP)] * rounds


def summary(times: Mapping[str, Sequence[float]]) -> tuple[Figures, ...]:
    """Medians and ratios, in the order of `times`; the bare app and the floor must be among them.

    Overheads and ratios are taken within each round, between neighbours in time, and then their median is.
    """
    bare, floor = times[BARE], times[FLOOR]
    floor_overhead = _overhead(floor, bare)
    return tuple(
        Figures(
            contestant=name,
            microseconds=median(own),
            overhead=_overhead(own, bare),
            times_bare=ratio(own, bare),
            overhead_times_floor=_overhead(own, bare) / floor_overhead,
            times_floor=ratio(own, floor),
        )
        for name, own in times.items()
    )


def _overhead(own: Sequence[float], bare: Sequence[float]) -> float:
    return median(mine - other for mine, other in zip(own, bare, strict=True))


def ratio(own: Sequence[float], other: Sequence[float]) -> float:
    """How many times the other's time, taken within each round."""
    return median(mine / theirs for mine, theirs in zip(own, other, strict=True))
