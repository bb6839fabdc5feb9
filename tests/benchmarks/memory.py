"""What a process keeps besides the requests that it serves: `python -m tests.benchmarks.memory [--write]`."""

from __future__ import annotations

import argparse
import gc
import json
import platform
import sys
import time
import tracemalloc
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from urllib.parse import parse_qs

from bearerguard import InvalidToken, MemoryStore, OpaqueTokens, Verifier
from bearerguard.asgi.users import attach
from bearerguard.core.introspection import MOST_GONE
from bearerguard.core.ports import HttpAnswer, HttpRequest, Ports, run_sync
from bearerguard.core.signed import MAX_HEADERS
from bearerguard.io.flights import SyncFlight
from bearerguard.platforms import shopify, whatalo
from bearerguard.rules.acceptance import scope_set
from bearerguard.rules.revocation import tenant_name, user_name
from bearerguard.settings import Kind
from bearerguard.testing import mint
from bearerguard.testing.payloads import Wanted, payload
from tests.marked_pages import DOCS, section_of, write_section

MARKER = "memory"
PAGE = DOCS / "performance.md"

MOST_TOKENS = 10_000
MOST_WORDS = 1024
REVOKED = 10_000

SECRET = "a client secret of more than thirty-two bytes, as they are"

Bring = Callable[[int], object]
"""Lets the n-th different thing come along."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing that a process keeps for later."""

    what: str
    most: int | None
    """None: as many as there are revocations that have not run out."""
    begin: Callable[[int], Bring]
    """Whatever is there before the first of them, and which brings them; it is told how many may be kept."""
    can_be_set: bool = False
    """Whether the settings say how many may be kept."""


def bytes_held(kept: Kept, *, most: int, come: int) -> int:
    """What is held after so many different ones came along, of which so many may be kept."""
    bring = kept.begin(most)
    bring(0)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(1, come + 1):
            bring(number)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def bytes_per_entry(kept: Kept, most: int) -> float:
    """What each takes when there are as many as there may be."""
    return bytes_held(kept, most=most, come=most - 1) / (most - 1)


def bytes_at_worst(kept: Kept) -> float:
    """The same for the table of the page; where others take the place of the first ones, afterwards if that is more."""
    most = kept.most or REVOKED
    afterwards = 0.0 if kept.most is None or kept.can_be_set else bytes_held(kept, most=most, come=3 * most) / most
    return max(bytes_per_entry(kept, most), afterwards)


# --- Tokens ----------------------------------------------------------------------------------------------------------


class _Answers:
    """A provider without a network: it calls every token active but those that say otherwise."""

    def __init__(self, facts: Callable[[str], Mapping[str, object]]) -> None:
        self._facts = facts

    async def send(self, request: HttpRequest, *, within: float) -> HttpAnswer:
        """What it says of the token in the request's form."""
        (token,) = parse_qs((request.body or b"").decode())["token"]
        return HttpAnswer(200, {}, json.dumps(self._facts(token)).encode())


def _door(kind: Kind, facts: Callable[[str], Mapping[str, object]] = lambda _: {}) -> Callable[[str], None]:
    """Does with a token what a door does that has found it in a request."""
    _fill_names()
    verifier = Verifier(kind)
    # While nothing at all is revoked, nobody asks, and less is kept.
    verifier.denylist.revoke_id("somebody else's", until=time.time() + 3600)
    verification, route = verifier.verification, verifier.verification.route()
    ports = Ports(verifier.connections.blocking().store, _Answers(facts), SyncFlight())

    def passed(token: str) -> None:
        attach({}, run_sync(verification.verdict(token.encode(), route, ports)))

    return passed


def _fill_names() -> None:
    """The names that are kept for all verifiers of the process are counted by themselves."""
    for number in range(MOST_WORDS):
        user_name("others", f"{number}")
        tenant_name("others", f"{number}")


def _shopify_session(most: int) -> Bring:
    kind = shopify.admin(client_id="e0b4a3c2d1f5", client_secret=SECRET, remember_tokens=most)
    door = _door(kind)
    return lambda number: door(
        mint(kind, tenant=f"shop-{number:06}.myshopify.com", user=f"{number:011}", jti=_id(), sid=_id())
    )


def _whatalo_session(most: int) -> Bring:
    kind = whatalo.session_tokens(client_id="wcl_5f2a9c71", client_secret=SECRET, remember_tokens=most)
    door = _door(kind)
    return lambda number: door(mint(kind, tenant=f"str_{number:08}", sub=f"str_{number:08}", jti=_id()))


def _id() -> str:
    return str(uuid.uuid4())


def _access_tokens(**changes: int) -> OpaqueTokens:
    return whatalo.access_tokens(
        client_id="cli_5f2a9c71",
        client_secret=SECRET,
        audience="https://orders.example.com",
        introspection_endpoint="https://app.whatalo.com/oauth/introspect",
        **changes,  # type: ignore[arg-type]
    )


def _whatalo_access(most: int) -> Bring:
    kind = _access_tokens(remember_tokens=most)

    def facts(token: str) -> Mapping[str, object]:
        wanted = Wanted(tenant=f"str_{token[-8:]}", user=f"usr_{token[-8:]}")
        return {"active": True, **payload(kind, wanted, now=time.time())}

    door = _door(kind, facts)
    return lambda number: door(_opaque(number))


def _inactive(_: int) -> Bring:
    door = _door(_access_tokens(), lambda _: {"active": False})

    def bring(number: int) -> None:
        try:
            door(_opaque(number))
        except InvalidToken:
            return
        raise RuntimeError("an inactive token passed")

    return bring


def _opaque(number: int) -> str:
    return f"{uuid.uuid4().hex}---{number:08}"


# --- Words -----------------------------------------------------------------------------------------------------------


def _headers(_: int) -> Bring:
    kind = shopify.admin(client_id="e0b4a3c2d1f5", client_secret=SECRET, remember_tokens=0)
    door = _door(kind)
    return lambda number: door(mint(kind, headers={"kid": f"key-{number:032}"}))


def _users(_: int) -> Bring:
    user_name.cache_clear()
    return lambda number: user_name("shopify:e0b4a3c2d1f5", f"usr_{number:08}")


def _tenants(_: int) -> Bring:
    tenant_name.cache_clear()
    return lambda number: tenant_name("shopify:e0b4a3c2d1f5", f"shop-{number:08}.myshopify.com")


def _scopes(_: int) -> Bring:
    return lambda number: scope_set(f"read:orders write:orders read:shop-{number}")


def _revocations(_: int) -> Bring:
    store = MemoryStore()
    return lambda number: run_sync(store.raise_mark(f"d:{number:043}", 1, keep_seconds=4500, within=1))


KEPT = (
    Kept("a Shopify session token, for each kind", MOST_TOKENS, _shopify_session, can_be_set=True),
    Kept("a Whatalo session token, for each kind", MOST_TOKENS, _whatalo_session, can_be_set=True),
    Kept(
        "what a provider said of a Whatalo access token, for each kind", MOST_TOKENS, _whatalo_access, can_be_set=True
    ),
    Kept("an opaque token that is not active, for each kind", MOST_GONE, _inactive),
    Kept("a header of a signed token, for each kind", MAX_HEADERS, _headers),
    Kept("the name under which a user would be revoked", MOST_WORDS, _users),
    Kept("the name under which a tenant would be revoked", MOST_WORDS, _tenants),
    Kept("a set of scopes", MOST_WORDS, _scopes),
    Kept("a revocation in a MemoryStore", None, _revocations),
)


# --- The page --------------------------------------------------------------------------------------------------------


def measure() -> dict[str, float]:
    """Bytes per entry of each sort, when there are as many as there may be."""
    return {kept.what: bytes_at_worst(kept) for kept in KEPT}


def as_markdown(sizes: Mapping[str, float]) -> str:
    """The table for the page; a twentieth is added, for the sizes of Python's objects differ a little by version."""
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    head = ["| what is kept in a process | most entries | bytes per entry | so at most |", "| --- | --: | --: | --: |"]
    rows = [_row(kept, _rounded(sizes[kept.what] * 1.05)) for kept in KEPT]
    return "\n".join([f"Measured on {when} with CPython {platform.python_version()}:", "", *head, *rows])


def _row(kept: Kept, each: int) -> str:
    most = "-" if kept.most is None else f"{kept.most:,}"
    in_all = "-" if kept.most is None else _in_all(kept.most * each)
    return f"| {kept.what} | {most} | {each:,} | {in_all} |"


def _in_all(size: int) -> str:
    return f"{ceil(size / 1e6)} MB" if size >= 1e6 else f"{ceil(size / 1000)} kB"


def _rounded(size: float) -> int:
    return ceil(size / 10) * 10


def stated() -> dict[str, int]:
    """Bytes per entry, as the page has them."""
    section = section_of(PAGE.read_text(encoding="utf-8"), MARKER)
    rows = [[cell.strip() for cell in line.split("|")] for line in section.splitlines() if line.startswith("| ")]
    return {row[1]: int(row[3].replace(",", "")) for row in rows if row[3].replace(",", "").isdigit()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.memory", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args(arguments)
    section = as_markdown(measure())
    print(section)
    if options.write:
        write_section(PAGE, MARKER, section)
    return 0


if __name__ == "__main__":
    sys.exit(main())
