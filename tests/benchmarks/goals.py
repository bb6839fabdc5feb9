"""What the project asks of itself, as ratios within one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .crowds import CrowdResult
from .harness import FIRST_SIGHT, OURS, REPEAT, Figures, Result
from .redis_rows import RedisResult
from .servers import Throughput

_MOST_OVERHEAD_TIMES_FLOOR = {"HS256": 1.5, "RS256": 1.3, "EdDSA": 1.15}
_MOST_TIMES_BARE = {"ASGI": 1.40, "WSGI": 1.18}
_LEAST_SHARE_OF_BARE = {FIRST_SIGHT: 0.65, REPEAT: 0.80}
_MOST_TIMES_CLIENT = 1.25
_MOST_ROUND_TRIPS = 1.0
_MOST_CALLS_OF_A_CROWD = 1.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One goal, and what was measured."""

    goal: str
    measured: float | None
    """None: bearerguard was not in the row."""
    limit: float
    at_least: bool = False

    def met(self, slack: float = 1.0) -> bool:
        """Whether the goal is met, or missed by no more than the factor `slack`."""
        if self.measured is None:
            return False
        return self.measured >= self.limit / slack if self.at_least else self.measured <= self.limit * slack

    def better_of(self, other: Verdict | None) -> Verdict:
        """The better of two measurements of the same goal."""
        if other is None or other.measured is None:
            return self
        if self.measured is None:
            return other
        return self if (self.measured < other.measured) != self.at_least else other


def verdicts(
    results: Iterable[Result],
    throughput: Iterable[Throughput] = (),
    redis: Iterable[RedisResult] = (),
    crowds: Iterable[CrowdResult] = (),
) -> list[Verdict]:
    """Every goal that this run can speak about."""
    return [
        *(_in_process(result) for result in results),
        *(verdict for result in redis for verdict in _with_redis(result)),
        *(_of_crowd(result) for result in crowds),
        *(_behind_uvicorn(one) for one in throughput if one.contestant == OURS),
    ]


def _behind_uvicorn(one: Throughput) -> Verdict:
    goal = f"uvicorn, {one.algorithm}, {one.sight}: requests/s, share of the bare app"
    return Verdict(goal, one.share_of_bare, _LEAST_SHARE_OF_BARE[one.sight], at_least=True)


def _with_redis(result: RedisResult) -> Iterator[Verdict]:
    """Only who is not a yardstick has its round trips counted."""
    for one in result.figures:
        if one.round_trips is not None:
            goal = f"{result.row}, {one.contestant}"
            yield Verdict(f"{goal}: x that client's own call", one.times_client, _MOST_TIMES_CLIENT)
            yield Verdict(f"{goal}: round trips per check", one.round_trips, _MOST_ROUND_TRIPS)


def _of_crowd(result: CrowdResult) -> Verdict:
    calls = next((one.calls for one in result.figures if one.contestant == OURS), None)
    return Verdict(f"{result.row}: calls to the provider", calls, _MOST_CALLS_OF_A_CROWD)


def _in_process(result: Result) -> Verdict:
    scenario = result.scenario
    if scenario.sight == FIRST_SIGHT:
        limit = _MOST_OVERHEAD_TIMES_FLOOR[scenario.algorithm]
        return Verdict(f"{scenario}: overhead x floor's", _ours(result, lambda f: f.overhead_times_floor), limit)
    return Verdict(f"{scenario}: total x bare", _ours(result, lambda f: f.times_bare), _MOST_TIMES_BARE[scenario.door])


def _ours(result: Result, ratio: Callable[[Figures], float]) -> float | None:
    figures = result.of(OURS)
    return None if figures is None else ratio(figures)
