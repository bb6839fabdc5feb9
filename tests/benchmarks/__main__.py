"""The command: `python -m tests.benchmarks` from the root of the repository."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from tests.marked_pages import PageError, write_section
from tests.site import plots

from . import crowds, redis_rows, rows, servers
from .goals import Verdict, verdicts
from .harness import LeftOut, Scenario
from .redis_rows import RedisResult
from .report import MARKER, PAGE, Report

ATTEMPTS = 5
SLACK = 1.1


def main() -> int:
    options = _options()
    words = tuple(options.only)
    chosen = rows.scenarios(words)
    if options.quick and chosen:
        return _quick(chosen, options.slack)
    stores = [row for row in redis_rows.ROWS if rows.has_words(str(row), words)]
    throngs = [row for row in crowds.ROWS if rows.has_words(str(row), words)]
    if options.quick or not (chosen or stores or throngs):
        print("no row has all the words of --only", file=sys.stderr)
        return 2
    report = Report(
        _told(rows.measure(chosen, rows.Size(rounds=options.rounds))),
        redis=_told(_if_possible(redis_rows.measure(stores, options.rounds))),
        crowds=_told(crowds.measure(throngs)),
        throughput=servers.measure() if options.servers else (),
    )
    print(report.to_markdown())
    if options.json:
        options.json.write_text(report.to_json(), encoding="utf-8")
    return _write(report) if options.write else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="What protection costs, as ratios.")
    parser.add_argument(
        "--only", metavar="WORD", nargs="+", default=(), help="rows with all these words: ASGI, HS256, repeat"
    )
    parser.add_argument("--rounds", type=int, default=rows.FULL.rounds, help="rounds per row (default: %(default)s)")
    parser.add_argument("--servers", action="store_true", help="also requests/s behind uvicorn")
    parser.add_argument("--json", metavar="FILE", type=Path, help="the same facts for machines")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    parser.add_argument(
        "--quick", action="store_true", help=f"check the in-process goals only, best of up to {ATTEMPTS} short runs"
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


def _if_possible(results: Iterator[RedisResult]) -> Iterator[RedisResult]:
    try:
        yield from results
    except LeftOut as reason:
        print(f"left out the rows with a Redis: {reason}", file=sys.stderr)


def _write(report: Report) -> int:
    try:
        write_section(PAGE, MARKER, report.to_markdown())
    except PageError as error:
        print(error, file=sys.stderr)
        return 1
    plots.renew()
    return 0


def _quick(chosen: Sequence[Scenario], slack: float) -> int:
    """Each goal by the best of several short runs; what is within its goal is not measured again."""
    best: dict[Scenario, Verdict] = {}
    for _ in range(ATTEMPTS):
        still = [one for one in chosen if one not in best or not best[one].met()]
        for result in rows.measure(still, rows.QUICK):
            best[result.scenario] = verdicts([result])[0].better_of(best.get(result.scenario))
    for verdict in best.values():
        print(_line(verdict, slack))
    return 0 if all(verdict.met(slack) for verdict in best.values()) else 1


def _line(verdict: Verdict, slack: float) -> str:
    measured = "not measured" if verdict.measured is None else f"{verdict.measured:.2f}"
    word = "ok" if verdict.met() else f"within {slack} x the goal" if verdict.met(slack) else "TOO SLOW"
    return f"{verdict.goal}: {measured} (goal {verdict.limit}) {word}"


if __name__ == "__main__":
    sys.exit(main())
