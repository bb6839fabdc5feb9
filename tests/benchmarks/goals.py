"""What the project asks of itself, as ratios within one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .crowds import CrowdResult
from .harness import BARE, FIRST_SIGHT, FLOOR, IN_PROCESS_HIT, OURS, REPEAT, Figures, Result, Scenario
from .in_flight import TASKS, InFlightResult
from .redis_rows import BY_CLIENT, BY_URL, RedisResult
from .servers import UVICORN, Throughput

_MOST_OVERHEAD_TIMES_FLOOR = {"HS256": 1.5, "RS256": 1.3, "EdDSA": 1.15}
_MOST_TIMES_BARE = {"ASGI": 1.40, "WSGI": 1.18}
_LEAST_SHARE_OF_BARE = {FIRST_SIGHT: 0.65, REPEAT: 0.80}
_MOST_TIMES_CLIENT = 1.25
_MOST_ROUND_TRIPS = 1.0
_MOST_TIMES_FASTEST = 1.0
_MOST_CALLS_OF_A_CROWD = 1.0
_LEAST_TIMES_CHEAPER = 4.0
_MOST_COMMANDS = 1.0

BESIDE_FLOOR = {
    ("ASGI", FIRST_SIGHT): 1.40,
    ("WSGI", FIRST_SIGHT): 1.40,
    ("ASGI", REPEAT): 1.28,
    ("WSGI", REPEAT): 1.05,
    ("ASGI", IN_PROCESS_HIT): 1.28,
    ("WSGI", IN_PROCESS_HIT): 1.05,
}
"""What each door takes now: at first sight the overhead, else the whole request, as a multiple of the floor's."""

_WORSE = {FIRST_SIGHT: 1.25, REPEAT: 1.1, IN_PROCESS_HIT: 1.1}
"""How many times that a test run lets pass, which shares its machine. In a whole request the app is the most of it."""


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
    in_flight: Iterable[InFlightResult] = (),
) -> list[Verdict]:
    """Every goal that this run can speak about."""
    return [
        *(verdict for result in results for verdict in _in_process(result)),
        *(verdict for result in redis for verdict in _with_redis(result)),
        *(_of_crowd(result) for result in crowds),
        *(verdict for result in in_flight if result.row == TASKS for verdict in _in_flight(result)),
        *(_behind_uvicorn(one) for one in throughput if (one.server, one.contestant) == (UVICORN, OURS)),
    ]


def has_goal(scenario: Scenario) -> bool:
    """Whether the goals speak of a row by itself, and not only of the other libraries in it."""
    return scenario.door in _MOST_TIMES_BARE


def beside_floor(result: Result) -> Verdict:
    """What a test run asks: is bearerguard still as near to the floor as it was?"""
    scenario = result.scenario
    limit = BESIDE_FLOOR[scenario.door, scenario.sight] * _WORSE[scenario.sight]
    if scenario.sight == FIRST_SIGHT:
        return Verdict(f"{scenario}: overhead x floor's", _ours(result, lambda f: f.overhead_times_floor), limit)
    return Verdict(f"{scenario}: total x floor", _ours(result, lambda f: f.times_floor), limit)


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


def _in_flight(result: InFlightResult) -> Iterator[Verdict]:
    for one in result.figures:
        if one.contestant in (BY_URL, BY_CLIENT):
            goal = f"{result.row}, {one.contestant}"
            yield Verdict(f"{goal}: x cheaper than EXISTS for each", one.times_cheaper, _LEAST_TIMES_CHEAPER, True)
            yield Verdict(f"{goal}: commands", one.commands, _MOST_COMMANDS)


def _in_process(result: Result) -> Iterator[Verdict]:
    if has_goal(result.scenario):
        yield _by_itself(result)
    others = [one for one in result.figures if one.contestant not in (BARE, FLOOR) and OURS not in one.contestant]
    if others:
        fastest = min(others, key=lambda one: one.times_bare)
        goal = f"{result.scenario}: total x {fastest.contestant}"
        yield Verdict(goal, _ours(result, lambda f: f.times_bare / fastest.times_bare), _MOST_TIMES_FASTEST)


def _by_itself(result: Result) -> Verdict:
    scenario = result.scenario
    if scenario.sight == FIRST_SIGHT:
        limit = _MOST_OVERHEAD_TIMES_FLOOR[scenario.algorithm]
        return Verdict(f"{scenario}: overhead x floor's", _ours(result, lambda f: f.overhead_times_floor), limit)
    return Verdict(f"{scenario}: total x bare", _ours(result, lambda f: f.times_bare), _MOST_TIMES_BARE[scenario.door])


def _ours(result: Result, ratio: Callable[[Figures], float]) -> float | None:
    figures = result.of(OURS)
    return None if figures is None else ratio(figures)
