"""`python -m tests.soak`: run a soak, say what came of it; exit code 1 if anything was wrong."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

from tests.marked_pages import write_section
from tests.site import plots

from .report import MARKER, PAGE, as_json, as_markdown
from .run import Orders, soaked


def main() -> int:
    """Do what the command line asks."""
    asked = _arguments()
    seed = int(time.time()) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    signal.signal(signal.SIGTERM, _end)
    orders = Orders(
        seconds=asked.seconds,
        decisions=asked.decisions,
        at_most=asked.at_most,
        per_second=asked.per_second,
        seed=seed,
        stops_at_once=asked.stop_at_first,
        only=asked.only,
        redis=asked.redis,
    )
    outcome = asyncio.run(soaked(orders, lambda text: print(text, flush=True)))
    print(as_markdown(outcome))
    if asked.json is not None:
        asked.json.write_text(as_json(outcome), encoding="utf-8")
    if asked.write and outcome.is_good:
        write_section(PAGE, MARKER, as_markdown(outcome))
        plots.renew()
    return 0 if outcome.is_good else 1


def _end(*_: object) -> None:
    """Take the servers along."""
    sys.exit(128 + signal.SIGTERM)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long at least")
    parser.add_argument("--decisions", type=int, default=0, help="how many decisions at least")
    parser.add_argument("--at-most", type=float, default=3600.0, help="how many seconds at most")
    parser.add_argument("--per-second", type=float, default=5000.0, help="how many decisions a second at most")
    parser.add_argument("--seed", type=int, help="what chance begins with")
    parser.add_argument("--only", default="", help="a part of the names of those faults of store and workers to come")
    parser.add_argument("--redis", default="", help="a part of the name of the server, such as 'redis 6.2'")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/reliability.md, if all is well")
    parser.add_argument("--stop-at-first", action="store_true", help="end with the first violation")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
