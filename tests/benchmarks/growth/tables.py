"""A check with more and more tokens in the table of tokens seen before, and with more than it keeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from hashlib import sha256
from itertools import islice

from bearerguard import OpaqueTokens, SignedTokens, Verifier

from .. import provider
from ..harness import WARM_UP, Serve, Served, rounds_of_fresh_tokens
from ..provider import CLIENT_ID, CLIENT_SECRET, Provider
from ..tokens import AUDIENCE, ISSUER
from .series import BLOCK, Series, calling, calling_with, drawn, series, sized, timed
from .users import kind, new_token

MOST = 10_000
FEW = 100

GROWS = "tokens in the table"
STRANGERS = "full, and strangers come"
EVICTING = "full: the oldest are dropped"

LOOK = "SHA-256 of a token and a look into a dictionary"

MOST_GROWN = 2.0
"""Tokens that are spread over more memory than the processor's caches hold take longer to be found."""

_STRANGERS_PER_BLOCK = 20
_AHEAD_SECONDS = 3600.0

Judge = Verifier[SignedTokens] | Verifier[OpaqueTokens]
Make = Callable[[], Judge]


def measured(rounds: int, most: int = MOST) -> Iterator[Series]:
    """Signed tokens and opaque ones, seen before and new, as they come."""
    yield from of_sort("a signed token", partial(Verifier, kind(remember_tokens=most)), new_token, rounds, most)
    yield yardstick(rounds, most)
    with asyncio.Runner() as runner, provider.running(runner) as asked:
        yield from of_sort("an opaque token", _introspecting(asked, most), asked.token, rounds, most)


def of_sort(what: str, make: Make, mint: Callable[[], str], rounds: int, most: int) -> Iterator[Series]:
    """Tokens of one sort, seen before and new."""
    tokens = [mint() for _ in range(most)]
    with ExitStack() as stack:
        yield _seen_before(f"{what} seen before", partial(_filled, make, stack), tokens, mint, rounds)
    fresh = [mint() for _ in range(rounds * (BLOCK + WARM_UP))]
    with ExitStack() as stack:
        full = _filled(make, stack, tokens)
        contestants = {
            "0": _calling_anew(make, ()),
            sized(FEW): _calling_anew(make, tokens[:FEW]),
            EVICTING: calling(full.verify),
        }
        yield series(f"{what} never seen before", GROWS, contestants, rounds_of_fresh_tokens(fresh, rounds=rounds))


def yardstick(rounds: int, most: int) -> Series:
    """What nobody who finds a token by its hash can do without."""
    tokens = [new_token() for _ in range(most)]
    sizes = {sized(size): tokens[:size] for size in (1, FEW, most // 2)}
    contestants = {size: calling_with(_looking(own), own) for size, own in sizes.items()}
    return series(LOOK, GROWS, contestants, drawn(tokens, rounds), most=None)


def _looking(own: Sequence[str]) -> Callable[[str], object]:
    table = {sha256(text.encode()).digest(): object() for text in own}
    return lambda text: table[sha256(text.encode()).digest()]


def _introspecting(asked: Provider, most: int) -> Make:
    """Its clocks stand, for an answer is kept for a minute at most, and filling a table takes longer.

    They stand ahead of the provider's, whose tokens would else be issued in the future.
    """
    opaque = OpaqueTokens(
        issuer=ISSUER,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        audience=AUDIENCE,
        introspection_endpoint=asked.endpoint,
        remember_tokens=most,
        tenant="tenant",
        user="sub",
    )
    ahead, now = time.time() + _AHEAD_SECONDS, time.monotonic()
    return partial(Verifier, opaque, clock=lambda: ahead, monotonic=lambda: now)


def _filled(make: Make, stack: ExitStack, tokens: Sequence[str]) -> Judge:
    """A verifier that has seen these tokens."""
    verifier = stack.enter_context(closing(make()))
    for text in tokens:
        verifier.verify(text)
    return verifier


def _seen_before(
    check: str, filled: Callable[[Sequence[str]], Judge], tokens: Sequence[str], mint: Callable[[], str], rounds: int
) -> Series:
    """Where the table is full, those of the younger half are used: all of them are sure to be there."""
    half = len(tokens) // 2
    used = {"1": tokens[:1], sized(FEW): tokens[:FEW], sized(half): tokens[:half]}
    contestants = {size: calling_with(filled(own).verify, own) for size, own in used.items()}
    contestants[sized(len(tokens))] = calling_with(filled(tokens).verify, tokens[half:])
    contestants[STRANGERS] = _among_strangers(filled(tokens), tokens[-FEW:], mint)
    return series(check, GROWS, contestants, drawn(tokens, rounds), most=MOST_GROWN)


def _among_strangers(verifier: Judge, own: Sequence[str], mint: Callable[[], str]) -> Serve:
    """Serves tokens of its own while others crowd the table; only its own are timed."""

    def served(tokens: Sequence[str | None]) -> Served:
        for stranger in islice(iter(mint, None), _STRANGERS_PER_BLOCK):
            verifier.verify(stranger)
        return calling_with(verifier.verify, own)(tokens)

    return served


def _calling_anew(make: Make, seen: Sequence[str]) -> Serve:
    """Each block is served by a verifier that has seen these tokens and no others."""

    def served(tokens: Sequence[str | None]) -> Served:
        with ExitStack() as stack:
            return timed(_filled(make, stack, seen).verify, tokens)

    return served
