"""What a soak says at its end: to people, to machines, and to docs/reliability.md."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from tests.marked_pages import DOCS

from .run import Outcome

MARKER = "soak"
PAGE = DOCS / "reliability.md"


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """The figures under their own names."""
    count = outcome.ledger.count
    return {
        "surroundings": _surroundings(outcome),
        "orders": asdict(outcome.orders),
        "seconds": round(outcome.seconds, 1),
        "decisions": count.decisions,
        "violations": dict(count.violations),
        "unexplained": count.unexplained,
        "told": outcome.ledger.told,
        "verdicts": dict(count.verdicts),
        "fleets": dict(count.fleets),
        "due": dict(count.due),
        "revocations": dict(count.revocations),
        "faults": dict(count.faults),
        "milliseconds": _milliseconds(outcome),
        "growths": [asdict(growth) for growth in outcome.growths],
    }


def as_json(outcome: Outcome) -> str:
    """The same as text."""
    return json.dumps(as_dict(outcome), indent=2) + "\n"


def as_markdown(outcome: Outcome) -> str:
    """Tables for the page."""
    said, count = as_dict(outcome), outcome.ledger.count
    rows = {
        "decisions": f"{count.decisions:,} in {outcome.seconds / 60:.0f} minutes",
        "answers": _listed(said["verdicts"]),
        "of them only a refusal was right": f"{count.due['must not pass']:,}",
        "of them only a pass was right": f"{count.due['must pass']:,}",
        "revocations": _listed(said["revocations"]),
        "faults": _listed(_grouped(said["faults"])),
        **{_WORDS.get(name, name): f"{count.violations[name]:,}" for name in _SORTS},
        "503 outside of any fault": f"{count.unexplained:,}",
        **{f"slowest, {name}": _slowest(figures) for name, figures in said["milliseconds"].items()},
        "memory of the oldest workers": _grown(outcome, "megabytes", " MB"),
        "descriptors of the oldest workers": _grown(outcome, "descriptors", ""),
    }
    lines = [f"The last run: {said['surroundings']}.", "", "| what | figure |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items())])


_SORTS = ("wrong accept", "wrong 401", "no answer", "broken answer", "late")
_WORDS = {"wrong accept": "wrong accepts", "wrong 401": "wrong 401s", "late": "answers over the bound"}
_WORDS |= {"broken answer": "500s and the like", "no answer": "requests that nobody answered"}


def _surroundings(outcome: Outcome) -> str:
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    return f"{when}, {outcome.redis}, {machine}, seed {outcome.orders.seed}"


def _milliseconds(outcome: Outcome) -> dict[str, dict[str, float]]:
    count = outcome.ledger.count
    return {
        name: {
            "p50": statistics.median(count.durations[name]) * 1000,
            "most": count.slowest[name] * 1000,
            "bound": count.bounds[name] * 1000,
        }
        for name in sorted(count.slowest)
    }


def _slowest(figures: Mapping[str, float]) -> str:
    return f"{figures['most']:,.0f} ms, of {figures['bound']:,.0f} (p50 {figures['p50']:.0f})"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items(), key=lambda item: -item[1]))


def _grouped(faults: Mapping[str, int]) -> dict[str, int]:
    grouped = Counter[str]()
    for name, number in faults.items():
        sort = next((sort for begin, sort in _GROUPS.items() if name.startswith(begin)), name)
        grouped[sort] += number
    return grouped


_GROUPS = {"the provider": "of the provider", "the wire to Redis": "of the wire to Redis"}


def _grown(outcome: Outcome, what: str, unit: str) -> str:
    oldest = sorted(outcome.growths, key=lambda growth: -growth.seconds)[:2]
    pairs = [getattr(growth, what) for growth in oldest]
    return ", ".join(f"from {before:.0f} to {after:.0f}{unit}" for before, after in pairs)
