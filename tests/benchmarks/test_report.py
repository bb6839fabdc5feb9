"""The numbers and the page: what the bench computes, and where it writes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from .crowds import FASTMCP, CrowdFigures, CrowdResult, CrowdRow
from .goals import Verdict, verdicts
from .harness import BARE, FIRST_SIGHT, FLOOR, OURS, REPEAT, Result, Scenario, Served, WrongAnswer, interleaved, summary
from .redis_rows import BY_URL, CLIENT, HIT, RedisFigures, RedisResult, RedisRow
from .report import Report

TIMES = {BARE: [10.0, 20.0, 10.0], FLOOR: [20.0, 30.0, 20.0], OURS: [24.0, 34.0, 24.0]}


def result(sight: str = FIRST_SIGHT, times: dict[str, list[float]] = TIMES) -> Result:
    return Result(Scenario("ASGI", "HS256", sight), summary(times), {})


def test_overheads_are_medians_of_differences_within_a_round() -> None:
    ours = result().of(OURS)
    assert ours is not None
    assert (ours.microseconds, ours.overhead, ours.overhead_times_floor) == (24.0, 14.0, 1.4)
    assert (ours.times_bare, ours.times_floor) == (2.4, 1.2)


def test_every_contestant_serves_the_same_tokens_in_every_round() -> None:
    seen: dict[str, list[str | None]] = {BARE: [], FLOOR: []}

    def serve(name: str, tokens: Sequence[str | None]) -> Served:
        seen[name] += tokens
        return Served([1000], [200])

    times = interleaved({name: partial(serve, name) for name in seen}, [list("abcdef"), list("ghijkl")])
    assert seen[BARE] == seen[FLOOR] == list("abcdefghijkl")
    assert times == {BARE: [1.0, 1.0], FLOOR: [1.0, 1.0]}


def test_a_row_never_measures_an_error() -> None:
    with pytest.raises(WrongAnswer):
        interleaved({BARE: lambda tokens: Served([1], [500])}, [list("abcdef")])


def test_first_sight_is_judged_by_the_floor_and_repeat_by_the_bare_app() -> None:
    first, again = verdicts([result(FIRST_SIGHT), result(REPEAT)])
    assert (first.measured, first.met()) == (1.4, True)
    assert (again.measured, again.met()) == (2.4, False)


def hit(times_client: float, round_trips: float) -> RedisResult:
    figures = RedisFigures(CLIENT, 100.0, 1.0, None), RedisFigures(BY_URL, 120.0, times_client, round_trips)
    return RedisResult(RedisRow(HIT, "sync"), "GET of 1 key", figures)


def crowd(calls: int) -> CrowdResult:
    figures = CrowdFigures(OURS, calls, 20.0, 1.0), CrowdFigures(FASTMCP, 500, 900.0, 45.0)
    return CrowdResult(CrowdRow("tasks"), figures)


@pytest.mark.parametrize(
    ("result", "met"),
    [
        pytest.param(hit(1.2, 1.0), [True, True], id="both"),
        pytest.param(hit(1.3, 1.0), [False, True], id="too slow"),
        pytest.param(hit(1.2, 1.05), [True, False], id="a round trip more, once"),
    ],
)
def test_a_check_with_redis_is_judged_by_the_clients_call_and_its_round_trips(
    result: RedisResult, met: list[bool]
) -> None:
    assert [one.met() for one in verdicts([], redis=[result])] == met


@pytest.mark.parametrize(("calls", "met"), [(1, True), (2, False)])
def test_a_crowd_is_judged_by_its_calls(calls: int, met: bool) -> None:
    assert [one.met() for one in verdicts([], crowds=[crowd(calls)])] == [met]


def test_a_goal_that_was_not_measured_is_not_met() -> None:
    (verdict,) = verdicts([result(times={BARE: TIMES[BARE], FLOOR: TIMES[FLOOR]})])
    assert not verdict.met(slack=100)


@pytest.mark.parametrize(
    ("first", "second", "best"),
    [
        pytest.param(Verdict("", 2.0, 1.5), Verdict("", 1.4, 1.5), 1.4, id="less is better"),
        pytest.param(Verdict("", 0.7, 0.8, True), Verdict("", 0.6, 0.8, True), 0.7, id="more is better"),
        pytest.param(Verdict("", None, 1.5), Verdict("", 1.4, 1.5), 1.4, id="not measured at first"),
        pytest.param(Verdict("", 1.4, 1.5), None, 1.4, id="the only one"),
    ],
)
def test_the_better_of_two(first: Verdict, second: Verdict | None, best: float) -> None:
    assert first.better_of(second).measured == best


def test_the_report_names_every_contestant() -> None:
    text = Report([result()], surroundings={"date": "d", "python": "p", "system": "s"}).to_markdown()
    assert all(name in text for name in (BARE, FLOOR, OURS))
    assert "| ASGI, HS256, first sight: overhead x floor's | 1.40 | <= 1.50 | met |" in text


def test_the_report_shows_what_redis_and_a_crowd_came_to() -> None:
    surroundings = {"date": "d", "python": "p", "system": "s"}
    text = Report([], redis=[hit(1.2, 1.0)], crowds=[crowd(1)], surroundings=surroundings).to_markdown()
    assert f"| {BY_URL} | 120.0 us | 1.20 | 1.00 |" in text
    assert f"| {FASTMCP} | 500 | 900 ms | 45.0 |" in text
