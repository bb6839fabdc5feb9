"""What a run says: Markdown for people, JSON for machines, and the section of docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tests.marked_pages import DOCS

from .crowds import CrowdResult
from .goals import Verdict, verdicts
from .harness import Result
from .in_flight import InFlightResult
from .pyjwts import old_version
from .redis_rows import RedisResult
from .servers import Throughput
from .tables import crowd_table, goals_table, in_flight_table, in_process_tables, redis_table, throughput_tables

MARKER = "bench"
PAGE = DOCS / "performance.md"
PYTHON = (3, 11)
"""Whose run the page shows whole; that of another Python has a marker of its own, and tells its goals only."""

_PACKAGES = (
    "starlette",
    "flask",
    "werkzeug",
    "PyJWT",
    "cryptography",
    "fastapi",
    "flask-jwt-extended",
    "Authlib",
    "ShopifyAPI",
    "mcp",
    "fastmcp",
    "redis",
    "hiredis",
    "httpx",
    "uvicorn",
    "gunicorn",
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
    in_flight: Sequence[InFlightResult] = ()
    surroundings: dict[str, str] = field(default_factory=lambda: _surroundings())

    @property
    def verdicts(self) -> list[Verdict]:
        return verdicts(self.results, self.throughput, self.redis, self.crowds, self.in_flight)

    def to_dict(self) -> dict[str, Any]:
        """The same facts for machines; scenarios and figures under their own names."""
        return {
            "surroundings": self.surroundings,
            "results": [asdict(one) for one in self.results],
            "redis": [asdict(one) for one in self.redis],
            "crowds": [asdict(one) for one in self.crowds],
            "in_flight": [asdict(one) for one in self.in_flight],
            "throughput": [asdict(one) for one in self.throughput],
            "verdicts": [asdict(one) | {"met": one.met()} for one in self.verdicts],
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_markdown(self) -> str:
        """Tables, without a heading above them: the page that takes them has its own."""
        parts = [_measured_on(self.surroundings), *in_process_tables(self.results)]
        parts += [redis_table(one) for one in self.redis] + [in_flight_table(one) for one in self.in_flight]
        parts += [crowd_table(one) for one in self.crowds]
        parts += throughput_tables(self.throughput)
        parts.append(f"### Goals\n\n{goals_table(self.verdicts)}")
        return "\n\n".join(parts) + "\n"

    def goals_to_markdown(self) -> str:
        """The goals alone, for a run beside the one that the page shows whole."""
        return f"{_measured_on(self.surroundings)}\n\n{goals_table(self.verdicts)}\n"

    def section(self, python: tuple[int, int]) -> tuple[str, str]:
        """The marker of this run in the page, and what belongs there."""
        if python == PYTHON:
            return MARKER, self.to_markdown()
        return f"{MARKER}-{'.'.join(map(str, python))}", self.goals_to_markdown()


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
    facts["PyJWT"] += f" and {older}" if (older := old_version()) else ""
    return facts


def _measured_on(facts: dict[str, str]) -> str:
    packages = ", ".join(f"{name} {facts[name]}" for name in _PACKAGES if name in facts)
    return f"Measured on {facts['date']} with {facts['python']} on {facts['system']}: {packages}."
