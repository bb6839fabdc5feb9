"""A soak of new tokens: does a process grow that sees nothing else? `python -m tests.benchmarks.fresh_tokens`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import platform
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any

from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from bearerguard import requires_token
from bearerguard.asgi import BearerMiddleware as AsgiDoor
from bearerguard.flask import init_app
from bearerguard.wsgi import BearerMiddleware as WsgiDoor
from tests.marked_pages import DOCS, write_section
from tests.soak.vitals import Growth, Vitals

from . import contestants_asgi, contestants_wsgi, provider
from .doors import AsgiServe, WsgiServe
from .harness import Serve
from .ours import introspecting, verifier_for
from .provider import Provider
from .tokens import Signer, signer
from .traffic import PATH

MARKER = "fresh-tokens"
PAGE = DOCS / "performance.md"

SAMPLES = 600
REMEMBERED = 10_000

SIGNED, OPAQUE = "signed", "opaque"
GOOD = {SIGNED: "signed, good", OPAQUE: "opaque, active"}
BLOCKS = {SIGNED: 1_000, OPAQUE: 50}
"""So many tokens at a time: an opaque one takes a call to the provider."""

Sort = Callable[[], str]
"""Makes a token that was never seen before."""


@dataclass(frozen=True, slots=True)
class Door:
    """One door, and which tokens it takes."""

    name: str
    takes: str
    serve: Serve


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    seconds: float
    shown: Mapping[str, int]
    """How many tokens of each sort."""
    wrong: int
    """How many of them were not answered as they must be."""
    growth: Growth

    @property
    def is_good(self) -> bool:
        """Whether all verdicts were right and the process did not grow."""
        return not self.wrong and self.growth.is_flat


def soaked(seconds: float, *, remember_tokens: int = REMEMBERED, seed: int = 0) -> Outcome:
    """Fills the tables, then shows new tokens to every door, as fast as they are answered."""
    chance, shown, wrong, vitals = random.Random(seed), Counter[str](), 0, Vitals()
    with _doors(remember_tokens) as (doors, sorts):
        for door in doors:
            _fill(door, sorts[door.takes][GOOD[door.takes]][0], remember_tokens)
        started = looked_at = time.monotonic()
        while (now := time.monotonic()) < started + seconds or not vitals.growths():
            door = chance.choice(doors)
            sort = chance.choice([*sorts[door.takes]])
            mint, status = sorts[door.takes][sort]
            tokens = [mint() for _ in range(BLOCKS[door.takes])]
            wrong += _wrong(door, tokens, status)
            shown[sort] += len(tokens)
            if now >= looked_at:
                vitals.look([os.getpid()])
                looked_at += seconds / SAMPLES
    (growth,) = vitals.growths()
    return Outcome(time.monotonic() - started, shown, wrong, growth)


def _fill(door: Door, mint: Sort, remember_tokens: int) -> None:
    """While the tables fill, the process grows as it must."""
    for _ in range(0, remember_tokens, BLOCKS[door.takes]):
        door.serve([mint() for _ in range(BLOCKS[door.takes])])


def _wrong(door: Door, tokens: Sequence[str], status: int) -> int:
    return sum(each != status for each in door.serve(tokens).statuses)


Sorts = Mapping[str, Mapping[str, tuple[Sort, int]]]


@contextmanager
def _doors(remember_tokens: int) -> Iterator[tuple[Sequence[Door], Sorts]]:
    own = signer("HS256")
    with asyncio.Runner() as runner, provider.running(runner) as asked:
        signed = partial(verifier_for, own, remember_tokens=remember_tokens)
        opaque = partial(introspecting, asked, remember_tokens=remember_tokens)
        doors = [
            Door("ASGI", SIGNED, AsgiServe(_starlette(signed()), runner)),
            Door("WSGI", SIGNED, WsgiServe(_flask(signed()))),
            Door("ASGI", OPAQUE, AsgiServe(_starlette(opaque()), runner)),
            Door("WSGI", OPAQUE, WsgiServe(_flask(opaque()))),
        ]
        yield doors, {SIGNED: _signed_sorts(own), OPAQUE: _opaque_sorts(asked)}


def _starlette(verifier: Any) -> Starlette:
    view = Route(PATH, requires_token(contestants_asgi.orders))
    return Starlette(routes=[view], middleware=[Middleware(AsgiDoor, verifier=verifier)])


def _flask(verifier: Any) -> Flask:
    app = Flask(__name__)
    app.add_url_rule(PATH, "orders", requires_token(contestants_wsgi.orders))
    init_app(app, WsgiDoor, verifier=verifier)
    return app


def _signed_sorts(own: Signer) -> Mapping[str, tuple[Sort, int]]:
    """Each of another user of another tenant, with a header of its own now and then."""
    numbers = count()

    def good() -> str:
        number = next(numbers)
        return own.token(sub=f"usr_{number}", tenant=f"str_{number}")

    def forged() -> str:
        head, payload, _ = good().split(".")
        return f"{head}.{payload}.{secrets.token_urlsafe(32)}"

    return {
        GOOD[SIGNED]: (good, 200),
        "signed, forged": (forged, 401),
        "signed, expired": (lambda: own.token(exp=1), 401),
        "garbage": (lambda: secrets.token_urlsafe(200), 401),
    }


def _opaque_sorts(asked: Provider) -> Mapping[str, tuple[Sort, int]]:
    return {
        GOOD[OPAQUE]: (asked.token, 200),
        "opaque, not active": (lambda: f"inactive.{secrets.token_urlsafe(32)}", 401),
    }


# --- The page --------------------------------------------------------------------------------------------------------


def as_markdown(outcome: Outcome) -> str:
    """The table for the page."""
    when, python = datetime.now(UTC).strftime("%Y-%m-%d"), platform.python_version()
    megabytes, descriptors = outcome.growth.megabytes, outcome.growth.descriptors
    rows = {
        "for how long": f"{outcome.seconds / 60:.1f} minutes",
        **{f"new tokens, {sort}": f"{number:,}" for sort, number in sorted(outcome.shown.items())},
        "wrong verdicts": f"{outcome.wrong:,}",
        "memory in the second third, in the last": f"{megabytes[0]:.1f} MB, {megabytes[1]:.1f} MB",
        "descriptors in the second third, in the last": f"{descriptors[0]:.0f}, {descriptors[1]:.0f}",
        "so the process": "stays as it is" if outcome.growth.is_flat else "**grows**",
    }
    lines = [f"Measured on {when} with CPython {python}:", "", "| what | figure |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {what} | {figure} |" for what, figure in rows.items())])


def main() -> int:
    """Do what the command line asks; 1 where the process grows or gives a wrong verdict."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fresh_tokens", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="the same doors and sorts in the same order")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    # Its lines about refused tokens are not for whoever reads this.
    logging.getLogger("bearerguard").addHandler(logging.NullHandler())
    outcome = soaked(options.minutes * 60, seed=options.seed)
    print(as_markdown(outcome))
    if options.write:
        write_section(PAGE, MARKER, as_markdown(outcome))
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
