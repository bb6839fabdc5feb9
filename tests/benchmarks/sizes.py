"""How much room everything takes in Redis: `python -m tests.benchmarks.sizes`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Any

import flask

from bearerguard import RedisStore, SignedTokens, Verifier, single_use
from bearerguard.flask import init_app
from bearerguard.rules.revocation import MARGIN_SECONDS
from bearerguard.wsgi import SessionTokenMiddleware
from tests.houses import settings, token
from tests.marked_pages import DOCS, write_section
from tests.servers import RedisServer, redis_binaries, start_redis

from . import provider
from .ours import introspecting

MARKER = "sizes"
PAGE = DOCS / "deployment.md"

MANY = 16_384
LINES = 12_000
"""More than the log keeps, so that it is full."""

Sizes = Mapping[str, float]

TENANT, TOKEN, ONCE, ANSWER, LOG = (
    "a revoked tenant or user",
    "a revoked token",
    "a one-time token that was used",
    "a remembered answer of a provider",
    "the log of the last 10,000 revocations, once",
)


@dataclass(frozen=True)
class Fleet:
    """Somebody's use of the store, for an example of what it comes to."""

    says: str
    revoked: int = 0
    used_per_second: float = 0
    tokens_per_minute: int = 0
    life: float = 300

    def bytes(self, sizes: Sizes) -> float:
        """All of it together."""
        used = self.used_per_second * (self.life + MARGIN_SECONDS)
        kept = self.revoked * sizes[TENANT] + used * sizes[ONCE] + self.tokens_per_minute * sizes[ANSWER]
        return kept + sizes[LOG]


FLEETS = (
    Fleet("1,000 shops that were revoked within the last 75 minutes, and nothing else", revoked=1000),
    Fleet("10 one-time calls a second, with tokens of 5 minutes", used_per_second=10),
    Fleet("100 of them a second", used_per_second=100),
    Fleet("20,000 different opaque tokens a minute", tokens_per_minute=20_000),
)


def measure() -> tuple[str, Sizes]:
    """The server's name, and bytes for each sort of entry."""
    binary = redis_binaries()[0]
    server = start_redis(binary)
    try:
        return binary.name, dict(_sizes(server))
    finally:
        server.close()


def _sizes(server: RedisServer) -> Iterator[tuple[str, float]]:
    with Verifier(settings(), store=RedisStore(server.url)) as verifier:
        _revoke_tenants(verifier, "first", LINES)
        yield LOG, float(server.cli("MEMORY", "USAGE", "bearerguard:{bearerguard}:log", "SAMPLES", 0))
        yield TENANT, _grown(server, lambda: _revoke_tenants(verifier, "second", MANY), MANY)
        yield TOKEN, _grown(server, lambda: _revoke_tokens(verifier), MANY)
        yield ONCE, _grown(server, lambda: _use(verifier), MANY)
    yield ANSWER, _of_answers(server)


def _grown(server: RedisServer, work: Callable[[], object], count: int) -> float:
    before = _used_by(server)
    work()
    return (_used_by(server) - before) / count


def _used_by(server: RedisServer) -> int:
    memory = server.cli("INFO", "memory")
    return int(memory["used_memory_dataset"]) + int(memory["used_memory_overhead"])


def _revoke_tenants(verifier: Verifier[SignedTokens], name: str, count: int) -> None:
    for number in range(count):
        verifier.denylist.revoke_tenant(f"{name}-{number}")


def _revoke_tokens(verifier: Verifier[SignedTokens]) -> None:
    until = time.time() + 300
    for number in range(MANY):
        verifier.denylist.revoke_id(f"token-{number}", until=until)


def _use(verifier: Verifier[SignedTokens]) -> None:
    app = flask.Flask(__name__)
    init_app(app, SessionTokenMiddleware, verifier=verifier)
    app.add_url_rule("/once", view_func=single_use(lambda: ""))
    client = app.test_client()
    for _ in range(MANY):
        answer: Any = client.get("/once", headers={"Authorization": f"Bearer {token()}"})
        if answer.status_code != 200:
            raise RuntimeError(f"a one-time token was answered {answer.status_code}")


def _of_answers(server: RedisServer) -> float:
    """What one entry takes by itself: so many at once would end before they are counted."""
    with asyncio.Runner() as runner, provider.running(runner) as asked:
        introspecting(asked, store=RedisStore(server.url)).verify(asked.token())
        (key,) = server.cli("KEYS", "bearerguard:{bearerguard}:i:*")
        return float(server.cli("MEMORY", "USAGE", key, "SAMPLES", 0))


def as_markdown(server: str, sizes: Sizes) -> str:
    """The tables for the page."""
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    order = (TENANT, TOKEN, ONCE, ANSWER)
    rows = [f"| {name} | {_rounded(sizes[name])} bytes | {_lives(name)} |" for name in order]
    rows.append(f"| {LOG} | {sizes[LOG] / 1e6:.1f} MB | always |")
    fleets = [f"| {fleet.says} | {max(1, ceil(fleet.bytes(sizes) / 1e6))} MB |" for fleet in FLEETS]
    kept = ["| what is kept | room | for how long |", "|---|---|---|", *rows]
    comes_to = ["| so this comes to | room |", "|---|---|", *fleets]
    return "\n".join([f"Measured on {when} with {server}:", "", *kept, "", *comes_to])


def _lives(name: str) -> str:
    return {
        TENANT: "as long as a token of its can live, and 70 minutes more",
        TOKEN: "to the end of the token, and 70 minutes more",
        ONCE: "to the end of the token, and 70 minutes more",
        ANSWER: "a minute at most",
    }[name]


def _rounded(size: float) -> int:
    return ceil(size / 10) * 10


def main() -> int:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sizes", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/deployment.md")
    options = parser.parse_args()
    section = as_markdown(*measure())
    print(section)
    if options.write:
        write_section(PAGE, MARKER, section)
    return 0


if __name__ == "__main__":
    sys.exit(main())
