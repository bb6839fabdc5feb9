"""The command: `python -m tests.benchmarks` from the root of the repository."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from tests.marked_pages import PageError, write_section
from tests.site import plots

from . import crowds, in_flight, redis_rows, rows, servers, short
from .goals import Verdict, has_goal, verdicts
from .harness import LeftOut, Result, Scenario
from .report import PAGE, Report

SLACK = 1.1


def main() -> int:
    options = _options()
    chosen = _Chosen(tuple(options.only))
    if options.quick and chosen.with_goal:
        return _quick(chosen.with_goal, options.slack)
    if options.quick or not chosen.any:
        print("no row has all the words of --only", file=sys.stderr)
        return 2
    report = _report(chosen, options.rounds, with_servers=options.servers)
    print(report.to_markdown())
    if options.json:
        options.json.write_text(report.to_json(), encoding="utf-8")
    return _write(report) if options.write else 0


class _Chosen:
    """The rows that have all the words of `--only`."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.scenarios = rows.scenarios(words)
        self.redis = [row for row in redis_rows.ROWS if rows.has_words(str(row), words)]
        self.in_flight = [row for row in in_flight.ROWS if rows.has_words(str(row), words)]
        self.crowds = [row for row in crowds.ROWS if rows.has_words(str(row), words)]
        self.with_goal = [one for one in self.scenarios if has_goal(one)]
        self.any = bool(self.scenarios or self.redis or self.in_flight or self.crowds)


def _report(chosen: _Chosen, rounds: int, *, with_servers: bool) -> Report:
    return Report(
        _told(rows.measure(chosen.scenarios, rows.Size(rounds=rounds))),
        redis=_told(_if_possible(redis_rows.measure(chosen.redis, rounds))),
        in_flight=_told(_if_possible(in_flight.measure(chosen.in_flight, max(rounds // 4, 1)))),
        crowds=_told(crowds.measure(chosen.crowds)),
        throughput=_told(servers.measure()) if with_servers else (),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="What protection costs, as ratios.")
    parser.add_argument(
        "--only", metavar="WORD", nargs="+", default=(), help="rows with all these words: ASGI, HS256, repeat"
    )
    parser.add_argument("--rounds", type=int, default=rows.FULL.rounds, help="rounds per row (default: %(default)s)")
    parser.add_argument("--servers", action="store_true", help="also requests/s behind uvicorn and gunicorn")
    parser.add_argument("--json", metavar="FILE", type=Path, help="the same facts for machines")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"check the goals in this process only, each by the best of {short.ATTEMPTS}",
    )
    parser.add_argument("--slack", metavar="FACTOR", type=float, default=SLACK,
                        help="with --quick, fail above goal x FACTOR (default: %(default)s)")  # fmt: skip
    options = parser.parse_args()
    if options.quick and (options.write or options.servers or options.json):
        parser.error("--quick only checks; leave out --write, --servers and --json")
    if options.write and options.only:
        parser.error("--write keeps a whole run; leave out --only")
    return options


class _Titled(Protocol):
    @property
    def title(self) -> str: ...


_Titled_T = TypeVar("_Titled_T", bound=_Titled)


def _told(results: Iterable[_Titled_T]) -> list[_Titled_T]:
    """All of them, and a line for each as it comes."""
    found = []
    for result in results:
        print(f"measured {result.title}", file=sys.stderr)
        found.append(result)
    return found


def _if_possible(results: Iterator[_Titled_T]) -> Iterator[_Titled_T]:
    try:
        yield from results
    except LeftOut as reason:
        print(f"left out the rows with a Redis: {reason}", file=sys.stderr)


def _write(report: Report) -> int:
    try:
        write_section(PAGE, *report.section(sys.version_info[:2]))
    except PageError as error:
        print(error, file=sys.stderr)
        return 1
    plots.renew()
    return 0


def _quick(chosen: Sequence[Scenario], slack: float) -> int:
    best = short.best(chosen, _goal, rows.QUICK)
    for verdict in best:
        print(_line(verdict, slack))
    return 0 if all(verdict.met(slack) for verdict in best) else 1


def _goal(result: Result) -> Verdict:
    return verdicts([result])[0]


def _line(verdict: Verdict, slack: float) -> str:
    measured = "not measured" if verdict.measured is None else f"{verdict.measured:.2f}"
    word = "ok" if verdict.met() else f"within {slack} x the goal" if verdict.met(slack) else "TOO SLOW"
    return f"{verdict.goal}: {measured} (goal {verdict.limit}) {word}"


if __name__ == "__main__":
    sys.exit(main())
