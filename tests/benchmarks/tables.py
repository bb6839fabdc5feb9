"""The tables of a report, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .crowds import CrowdResult
from .goals import Verdict
from .harness import Figures, Result
from .in_flight import InFlightResult
from .load import CONNECTIONS
from .redis_rows import RedisResult
from .servers import THREADS, UVICORN, Throughput


def in_process_tables(results: Sequence[Result]) -> list[str]:
    """A table for each door and sight, below its heading, with what must be said of who is not in it."""
    groups: dict[str, list[Result]] = {}
    for one in results:
        groups.setdefault(f"{one.scenario.door}, {one.scenario.sight}", []).append(one)
    return [f"### {title}\n\n{_in_process_table(group)}{_notes(group)}" for title, group in groups.items()]


def _in_process_table(results: Iterable[Result]) -> str:
    heads = ("", "", "time", "overhead", "total, x bare", "overhead, x floor's", "total, x floor")
    rows = [(result.scenario.algorithm, *_cells(figures)) for result in results for figures in result.figures]
    return _table(heads, rows, align="llrrrrr")


def _cells(figures: Figures) -> tuple[str, ...]:
    return (
        figures.contestant,
        f"{figures.microseconds:.1f} us",
        f"{figures.overhead:+.1f} us",
        f"{figures.times_bare:.2f}",
        f"{figures.overhead_times_floor:.2f}",
        f"{figures.times_floor:.2f}",
    )


def _notes(results: Sequence[Result]) -> str:
    rows: dict[tuple[str, str], list[str]] = {}
    for one in results:
        for reason in one.left_out.items():
            rows.setdefault(reason, []).append(one.scenario.algorithm)
    admitted = {name: bad for one in results for name, bad in one.lets_in.items()}
    notes = [f"Left out of {', '.join(those)}: {name} ({why})." for (name, why), those in rows.items()]
    notes += [f"{name} lets in bad tokens that the others refuse: {', '.join(bad)}." for name, bad in admitted.items()]
    return "".join(f"\n\n{note}" for note in notes)


def redis_table(result: RedisResult) -> str:
    """A row with a Redis, below its heading."""
    heads = ("", "time", "x that client's own call", "round trips")
    rows = [
        (one.contestant, f"{one.microseconds:.1f} us", f"{one.times_client:.2f}", _number(one.round_trips))
        for one in result.figures
    ]
    return f"### {result.row}\n\n{_table(heads, rows, align='lrrr')}\n\nThe client's own call is {result.command}."


def crowd_table(result: CrowdResult) -> str:
    """A crowd, below its heading."""
    heads = ("", "calls to the provider", "time for all", "x bearerguard's")
    rows = [
        (one.contestant, str(one.calls), f"{one.milliseconds:.0f} ms", f"{one.times_ours:.1f}")
        for one in result.figures
    ]
    return f"### {result.row}\n\n{_table(heads, rows, align='lrrr')}"


def in_flight_table(result: InFlightResult) -> str:
    """Checks in flight, below their heading."""
    heads = ("", "time for all", "x cheaper than EXISTS for each", "commands")
    rows = [
        (one.contestant, f"{one.milliseconds:.1f} ms", f"{one.times_cheaper:.2f}", str(one.commands))
        for one in result.figures
    ]
    return f"### {result.row}\n\n{_table(heads, rows, align='lrrr')}\n\nEach check reads {result.keys} keys."


def throughput_tables(throughput: Iterable[Throughput]) -> list[str]:
    """A table for each server, below its heading."""
    return [_throughput_table(server, rows) for server, rows in _by_server(throughput).items()]


def _by_server(throughput: Iterable[Throughput]) -> dict[str, list[Throughput]]:
    found: dict[str, list[Throughput]] = {}
    for one in throughput:
        found.setdefault(one.server, []).append(one)
    return found


def _throughput_table(server: str, throughput: Iterable[Throughput]) -> str:
    heads = ("", "", "", "requests/s", "share of bare")
    rows = [
        (one.algorithm, one.sight, one.contestant, f"{one.per_second:,.0f}", f"{one.share_of_bare:.0%}")
        for one in throughput
    ]
    workers = "one process" if server == UVICORN else f"one process of {THREADS} threads"
    return f"### {server}, {workers}, {CONNECTIONS} connections\n\n{_table(heads, rows, align='lllrr')}"


def goals_table(found: Iterable[Verdict]) -> str:
    """What is asked of bearerguard, and what came of it."""
    rows = [(one.goal, _number(one.measured), _limit(one), _word(one)) for one in found]
    return _table(("bearerguard", "measured", "goal", ""), rows, align="lrrl")


def _number(measured: float | None) -> str:
    return "-" if measured is None else f"{measured:.2f}"


def _limit(verdict: Verdict) -> str:
    return f"{'>=' if verdict.at_least else '<='} {verdict.limit:.2f}"


def _word(verdict: Verdict) -> str:
    if verdict.measured is None:
        return "not measured"
    return "met" if verdict.met() else "**missed**"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, align: str) -> str:
    rules = ["--:" if side == "r" else "---" for side in align]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rules, *rows))
