"""The command line: `python -m tests.benchmarks.growth`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.marked_pages import write_section
from tests.site import plots

from . import denylists, in_flight, key_sets, tables
from .report import MARKER, PAGE, as_dict, as_markdown
from .series import Series

ROUNDS = 60
ROUNDS_AT_ONCE = 5

SUBJECTS: dict[str, Callable[[], Iterator[Series]]] = {
    "denylist": lambda: denylists.measured(ROUNDS),
    "table": lambda: tables.measured(ROUNDS),
    "keys": lambda: key_sets.measured(ROUNDS),
    "users": lambda: in_flight.measured(ROUNDS_AT_ONCE),
}


def main() -> int:
    """Do what the command line asks; 1 where something grows that should not."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[*SUBJECTS], default=[*SUBJECTS], help="only these subjects")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures there")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md, and the plot")
    options = parser.parse_args()
    if options.write and len(options.only) < len(SUBJECTS):
        parser.error("--write needs all subjects; leave --only out")
    found = [one for name in options.only for one in _told(name)]
    print(as_markdown(found))
    if options.json:
        options.json.write_text(json.dumps(as_dict(found), indent=2) + "\n", encoding="utf-8")
    if options.write:
        write_section(PAGE, MARKER, as_markdown(found))
        plots.renew()
    return 0 if all(one.met() for one in found) else 1


def _told(subject: str) -> Iterator[Series]:
    print(f"measuring {subject}", file=sys.stderr)
    for one in SUBJECTS[subject]():
        print(f"  {one.check}: {one.growth:.2f}", file=sys.stderr)
        yield one


if __name__ == "__main__":
    sys.exit(main())
