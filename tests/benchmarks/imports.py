"""How long `import bearerguard` takes, beside what it needs of Python: `python -m tests.benchmarks.imports`."""

from __future__ import annotations

import argparse
import json
import platform
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import bearerguard
from tests.marked_pages import DOCS, write_section

from .harness import ratio

MARKER = "imports"
PAGE = DOCS / "performance.md"

ROUNDS = 40
MOST_TIMES_PYTHONS = 2.0

OURS, PYTHONS, NOTHING = "import bearerguard", "import what it brings of Python's own", "python -c pass"

_SOURCE = str(Path(bearerguard.__file__).resolve().parents[1])

# Without the site: what is installed beside us may load anything at the start. What every Python loads for its site is
# there before the clock runs.
_PYTHON = (sys.executable, "-I", "-S", "-c")
_READY = f"import sys, time, site; sys.path.insert(0, {_SOURCE!r}); before = set(sys.modules)\n"
_BROUGHT = _READY + "import bearerguard; print(*(name for name in sys.modules if name not in before))"
_TIMED = _READY + (
    "work = compile({statement!r}, '', 'exec'); started = time.perf_counter_ns(); exec(work); "
    "print(time.perf_counter_ns() - started)"
)


@dataclass(frozen=True, slots=True)
class Imports:
    """What was measured; in each round fresh interpreters took turns."""

    modules: int
    """How many modules of Python's own are brought in."""
    own_modules: int
    milliseconds: Mapping[str, float]
    """Of the import alone, inside an interpreter that runs."""
    whole_milliseconds: Mapping[str, float]
    """Of the whole process, from its start to its end."""
    times_pythons: float

    @property
    def is_good(self) -> bool:
        """Whether our part takes no longer than Python's."""
        return self.times_pythons <= MOST_TIMES_PYTHONS


def measure(rounds: int = ROUNDS) -> Imports:
    """Imports us, and imports what we import, in turn; each in an interpreter of its own."""
    ours, pythons = modules_brought()
    statements = {OURS: "import bearerguard", PYTHONS: f"import {', '.join(pythons)}", NOTHING: "pass"}
    scripts = {name: _TIMED.format(statement=statement) for name, statement in statements.items()}
    inside: dict[str, list[float]] = {name: [] for name in scripts}
    whole: dict[str, list[float]] = {name: [] for name in scripts}
    order = list(scripts)
    for _ in range(rounds + 1):
        random.shuffle(order)
        for name in order:
            started = time.perf_counter_ns()
            inside[name].append(int(_said(scripts[name])) / 1e6)
            whole[name].append((time.perf_counter_ns() - started) / 1e6)
    # The first round writes what Python compiles.
    inside, whole = ({name: own[1:] for name, own in times.items()} for times in (inside, whole))
    return Imports(len(pythons), len(ours), _medians(inside), _medians(whole), ratio(inside[OURS], inside[PYTHONS]))


def modules_brought() -> tuple[Sequence[str], Sequence[str]]:
    """Our modules and Python's that the import loads, in the order in which it does."""
    names = _said(_BROUGHT).split()
    ours = [name for name in names if name.partition(".")[0] == "bearerguard"]
    return ours, [name for name in names if name not in ours]


def _said(script: str) -> str:
    return subprocess.run([*_PYTHON, script], capture_output=True, text=True, timeout=60, check=True).stdout


def _medians(times: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: median(own) for name, own in times.items()}


def as_markdown(found: Imports) -> str:
    """The table for the page."""
    when, python = datetime.now(UTC).strftime("%Y-%m-%d"), platform.python_version()
    head = ["| | the import alone | the whole process |", "| --- | --: | --: |"]
    rows = [
        f"| `{name}` | {found.milliseconds[name]:.1f} ms | {found.whole_milliseconds[name]:.0f} ms |"
        if name != PYTHONS
        else f"| {name}: {found.modules} modules | {found.milliseconds[name]:.1f} ms "
        f"| {found.whole_milliseconds[name]:.0f} ms |"
        for name in (OURS, PYTHONS, NOTHING)
    ]
    verdict = "met" if found.is_good else "**missed**"
    goal = f"`{OURS}` takes {found.times_pythons:.2f} times as long; the goal is {MOST_TIMES_PYTHONS:g}: {verdict}."
    return "\n".join([f"Measured on {when} with CPython {python}:", "", *head, *rows, "", goal])


def main() -> int:
    """Do what the command line asks; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.imports", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures there")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    found = measure()
    print(as_markdown(found))
    if options.json:
        options.json.write_text(json.dumps(asdict(found), indent=2) + "\n", encoding="utf-8")
    if options.write:
        write_section(PAGE, MARKER, as_markdown(found))
    return 0 if found.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
