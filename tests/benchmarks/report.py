"""What a run says: Markdown for people, JSON for machines, and the section of docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tests.marked_pages import DOCS

from .crowds import CrowdResult
from .goals import Verdict, verdicts
from .harness import Figures, Result
from .load import CONNECTIONS
from .redis_rows import RedisResult
from .servers import Throughput

MARKER = "bench"
PAGE = DOCS / "performance.md"

_PACKAGES = (
    "bearerguard",
    "starlette",
    "flask",
    "werkzeug",
    "PyJWT",
    "cryptography",
    "flask-jwt-extended",
    "mcp",
    "fastmcp",
    "redis",
    "hiredis",
    "httpx",
    "uvicorn",
    "httptools",
    "uvloop",
)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one run found out."""

    results: Sequence[Result]
    throughput: Sequence[Throughput] = ()
    redis: Sequence[RedisResult] = ()
    crowds: Sequence[CrowdResult] = ()
    surroundings: dict[str, str] = field(default_factory=lambda: _surroundings())

    @property
    def verdicts(self) -> list[Verdict]:
        return verdicts(self.results, self.throughput, self.redis, self.crowds)

    def to_dict(self) -> dict[str, Any]:
        """The same facts for machines; scenarios and figures under their own names."""
        return {
            "surroundings": self.surroundings,
            "results": [asdict(one) for one in self.results],
            "redis": [asdict(one) for one in self.redis],
            "crowds": [asdict(one) for one in self.crowds],
            "throughput": [asdict(one) for one in self.throughput],
            "verdicts": [asdict(one) | {"met": one.met()} for one in self.verdicts],
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_markdown(self) -> str:
        """Tables, without a heading above them: the page that takes them has its own."""
        parts = [_measured_on(self.surroundings), *_in_process_tables(self.results)]
        parts += [_redis_table(one) for one in self.redis] + [_crowd_table(one) for one in self.crowds]
        if self.throughput:
            parts.append(_throughput_table(self.throughput))
        parts.append(_goals_table(self.verdicts))
        return "\n\n".join(parts) + "\n"


def _surroundings() -> dict[str, str]:
    facts = {
        "date": datetime.now(UTC).date().isoformat(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
    }
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return facts


def _measured_on(facts: dict[str, str]) -> str:
    packages = ", ".join(f"{name} {facts[name]}" for name in _PACKAGES if name in facts)
    return f"Measured on {facts['date']} with {facts['python']} on {facts['system']}: {packages}."


def _in_process_tables(results: Sequence[Result]) -> list[str]:
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


def _notes(results: Iterable[Result]) -> str:
    rows: dict[tuple[str, str], list[str]] = {}
    for one in results:
        for reason in one.left_out.items():
            rows.setdefault(reason, []).append(one.scenario.algorithm)
    return "".join(f"\n\nLeft out of {', '.join(those)}: {name} ({why})." for (name, why), those in rows.items())


def _redis_table(result: RedisResult) -> str:
    heads = ("", "time", "x that client's own call", "round trips")
    rows = [
        (one.contestant, f"{one.microseconds:.1f} us", f"{one.times_client:.2f}", _number(one.round_trips))
        for one in result.figures
    ]
    return f"### {result.row}\n\n{_table(heads, rows, align='lrrr')}\n\nThe client's own call is {result.command}."


def _crowd_table(result: CrowdResult) -> str:
    heads = ("", "calls to the provider", "time for all", "x bearerguard's")
    rows = [
        (one.contestant, str(one.calls), f"{one.milliseconds:.0f} ms", f"{one.times_ours:.1f}")
        for one in result.figures
    ]
    return f"### {result.row}\n\n{_table(heads, rows, align='lrrr')}"


def _throughput_table(throughput: Iterable[Throughput]) -> str:
    heads = ("", "", "", "requests/s", "share of bare")
    rows = [
        (one.algorithm, one.sight, one.contestant, f"{one.per_second:,.0f}", f"{one.share_of_bare:.0%}")
        for one in throughput
    ]
    return f"### uvicorn, one process, {CONNECTIONS} connections\n\n{_table(heads, rows, align='lllrr')}"


def _goals_table(found: Iterable[Verdict]) -> str:
    rows = [(one.goal, _number(one.measured), _limit(one), _word(one)) for one in found]
    return f"### Goals\n\n{_table(('bearerguard', 'measured', 'goal', ''), rows, align='lrrl')}"


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
