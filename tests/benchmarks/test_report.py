"""The numbers and the page: what the bench computes, and where it writes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from .crowds import FASTMCP, CrowdFigures, CrowdResult, CrowdRow
from .goals import Verdict, beside_floor, verdicts
from .harness import BARE, FIRST_SIGHT, FLOOR, OURS, REPEAT, Result, Scenario, Served, WrongAnswer, interleaved, summary
from .in_flight import EXISTS, TASKS, THREADS, InFlightFigures, InFlightResult, InFlightRow
from .redis_rows import BY_URL, CLIENT, HIT, RedisFigures, RedisResult, RedisRow
from .report import MARKER, PYTHON, Report
from .servers import GUNICORN, UVICORN, Throughput

SURROUNDINGS = {"date": "d", "python": "p", "system": "s"}
PEER = "another library"
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


def in_flight(row: InFlightRow, times_cheaper: float, commands: int) -> InFlightResult:
    figures = InFlightFigures(EXISTS, 10.0, 1.0, 50), InFlightFigures(BY_URL, 2.0, times_cheaper, commands)
    return InFlightResult(row, 4, figures)


@pytest.mark.parametrize(
    ("row", "times_cheaper", "commands", "met"),
    [
        pytest.param(TASKS, 5.0, 1, [True, True], id="both"),
        pytest.param(TASKS, 3.9, 1, [False, True], id="too dear"),
        pytest.param(TASKS, 5.0, 2, [True, False], id="two batches"),
        pytest.param(THREADS, 0.5, 50, [], id="threads have no goal"),
    ],
)
def test_checks_in_flight_are_judged_by_their_price_and_their_commands(
    row: InFlightRow, times_cheaper: float, commands: int, met: list[bool]
) -> None:
    found = verdicts([], in_flight=[in_flight(row, times_cheaper, commands)])
    assert [one.met() for one in found] == met


@pytest.mark.parametrize(("microseconds", "met"), [(24.0, True), (23.0, False)])
def test_bearerguard_is_judged_by_the_fastest_of_the_others(microseconds: float, met: bool) -> None:
    others = {PEER: [microseconds, microseconds + 10, microseconds], "a slow one": [90.0, 95.0, 90.0]}
    _, ahead = verdicts([result(times=TIMES | others)])
    assert (ahead.goal, ahead.met()) == (f"ASGI, HS256, first sight: total x {PEER}", met)


def test_our_own_variants_are_none_of_the_others() -> None:
    (goal,) = verdicts([result(times=TIMES | {f"{OURS}, the door alone": [21.0, 22.0, 21.0]})])
    assert goal.measured == 1.4


def test_the_short_form_looks_at_the_overhead_first_and_at_the_whole_request_later() -> None:
    first, again = beside_floor(result(FIRST_SIGHT)), beside_floor(result(REPEAT))
    assert (first.measured, again.measured) == (1.4, 1.2)


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
    text = Report([result()], surroundings=SURROUNDINGS).to_markdown()
    assert all(name in text for name in (BARE, FLOOR, OURS))
    assert "| ASGI, HS256, first sight: overhead x floor's | 1.40 | <= 1.50 | met |" in text


def test_the_report_shows_what_redis_and_a_crowd_came_to() -> None:
    text = Report([], redis=[hit(1.2, 1.0)], crowds=[crowd(1)], surroundings=SURROUNDINGS).to_markdown()
    assert f"| {BY_URL} | 120.0 us | 1.20 | 1.00 |" in text
    assert f"| {FASTMCP} | 500 | 900 ms | 45.0 |" in text


def test_the_report_tells_who_lets_in_what() -> None:
    lenient = Result(Scenario("ASGI", "HS256", REPEAT), summary(TIMES), {}, {PEER: ["without an end"]})
    text = Report([lenient], surroundings=SURROUNDINGS).to_markdown()
    assert f"{PEER} lets in bad tokens that the others refuse: without an end." in text


def test_the_report_has_a_table_for_each_server() -> None:
    rates = [Throughput(server, OURS, "HS256", REPEAT, 900.0, 0.9) for server in (UVICORN, GUNICORN)]
    report = Report([], throughput=rates, surroundings=SURROUNDINGS)
    assert report.to_markdown().count("| HS256 | repeat | bearerguard | 900 | 90% |") == 2
    assert [one.goal for one in report.verdicts] == ["uvicorn, HS256, repeat: requests/s, share of the bare app"]


def test_machines_are_told_of_every_row() -> None:
    facts = Report(
        [result()], redis=[hit(1.2, 1.0)], crowds=[crowd(1)], in_flight=[in_flight(TASKS, 5.0, 1)],
        throughput=[Throughput(UVICORN, OURS, "HS256", REPEAT, 900.0, 0.9)], surroundings=SURROUNDINGS,
    ).to_dict()  # fmt: skip
    assert {name: len(rows) for name, rows in facts.items() if isinstance(rows, list)} == {
        "results": 1, "redis": 1, "in_flight": 1, "crowds": 1, "throughput": 1, "verdicts": 7,
    }  # fmt: skip


def test_the_page_shows_one_pythons_run_whole_and_the_goals_of_the_others() -> None:
    report = Report([result()], surroundings=SURROUNDINGS)
    (marker, whole), (other, goals) = report.section(PYTHON), report.section((3, 99))
    assert (marker, other) == (MARKER, "bench-3.99")
    assert ("### " in whole, "### " in goals) == (True, False)
    assert "| ASGI, HS256, first sight: overhead x floor's | 1.40 |" in goals
