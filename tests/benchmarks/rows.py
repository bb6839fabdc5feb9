"""The in-process rows: who takes part, whether they answer rightly, and the interleaved run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from . import contestants_asgi, contestants_wsgi, provider
from .harness import (
    BARE,
    FIRST_SIGHT,
    FLOOR,
    IN_PROCESS_HIT,
    INTROSPECTION,
    OURS,
    REPEAT,
    WARM_UP,
    LeftOut,
    Result,
    Scenario,
    Serve,
    WrongAnswer,
    interleaved,
    rounds_of_fresh_tokens,
    rounds_of_one_token,
    summary,
)
from .provider import Provider
from .tokens import ALGORITHMS, Signer, signer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DOORS = ("ASGI", "WSGI")
SIGHTS = (FIRST_SIGHT, REPEAT)

Source = Signer | Provider
"""Where the tokens of a row come from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured per row."""

    rounds: int
    block: int = 40
    peers: bool = True


FULL = Size(rounds=200)
QUICK = Size(rounds=60, peers=False)


def scenarios(words: tuple[str, ...] = ()) -> list[Scenario]:
    """All rows, or those whose name contains every one of `words`."""
    every = [Scenario(door, name, sight) for door in DOORS for sight in SIGHTS for name in ALGORITHMS]
    every += [Scenario(door, INTROSPECTION, IN_PROCESS_HIT) for door in DOORS]
    return [one for one in every if has_words(str(one), words)]


def has_words(title: str, words: tuple[str, ...]) -> bool:
    """Whether every one of `words` is in the title of a row."""
    return all(word.lower() in title.lower() for word in words)


def measure(chosen: list[Scenario], size: Size) -> Iterator[Result]:
    """One result per scenario, as they come."""
    with asyncio.Runner() as runner:
        for scenario in chosen:
            yield _row(scenario, size, runner)


def _row(scenario: Scenario, size: Size, runner: asyncio.Runner) -> Result:
    with _source(scenario, runner) as source:
        contestants, left_out = _line_up(scenario.door, source, size, runner)
        if scenario.sight == FIRST_SIGHT:
            tokens = [source.token() for _ in range(size.rounds * (size.block + WARM_UP))]
            rounds = rounds_of_fresh_tokens(tokens, rounds=size.rounds)
        else:
            rounds = rounds_of_one_token(source.token(), rounds=size.rounds, block=size.block)
        return Result(scenario, summary(interleaved(contestants, rounds)), left_out)


@contextmanager
def _source(scenario: Scenario, runner: asyncio.Runner) -> Iterator[Source]:
    if scenario.algorithm == INTROSPECTION:
        with provider.running(runner) as asked:
            yield asked
    else:
        yield signer(scenario.algorithm)


def _line_up(door: str, source: Source, size: Size, runner: asyncio.Runner) -> tuple[dict[str, Serve], dict[str, str]]:
    contestants: dict[str, Serve] = {}
    left_out: dict[str, str] = {}
    for name, build in _builders(door, source, runner).items():
        if not size.peers and name not in (BARE, FLOOR, OURS):
            continue
        try:
            contestants[name] = build()
        except LeftOut as reason:
            left_out[name] = str(reason)
        except ImportError as error:
            left_out[name] = f"{error.name} cannot be imported"
        else:
            check_answers(name, contestants[name], source)
    return contestants, left_out


def _builders(door: str, source: Source, runner: asyncio.Runner) -> Mapping[str, Callable[[], Serve]]:
    if door == "ASGI":
        return {name: partial(_behind_asgi, build, runner) for name, build in _asgi_apps(source).items()}
    return {name: partial(_behind_wsgi, build) for name, build in _wsgi_apps(source).items()}


def _asgi_apps(source: Source) -> Mapping[str, Callable[[], ASGIApp]]:
    if isinstance(source, Provider):
        return {name: partial(build, source) for name, build in contestants_asgi.OPAQUE.items()}
    return {name: partial(build, source) for name, build in contestants_asgi.CONTESTANTS.items()}


def _wsgi_apps(source: Source) -> Mapping[str, Callable[[], WSGIApplication]]:
    if isinstance(source, Provider):
        return {name: partial(build, source) for name, build in contestants_wsgi.OPAQUE.items()}
    return {name: partial(build, source) for name, build in contestants_wsgi.CONTESTANTS.items()}


def _behind_asgi(build: Callable[[], ASGIApp], runner: asyncio.Runner) -> Serve:
    return contestants_asgi.AsgiServe(build(), runner)


def _behind_wsgi(build: Callable[[], WSGIApplication]) -> Serve:
    return contestants_wsgi.WsgiServe(build())


def check_answers(name: str, serve: Serve, source: Source) -> None:
    """WrongAnswer unless `name` lets good tokens in, twice, and, bare apart, keeps every bad one out."""
    good = source.token()
    _expect(name, serve, [good, good], 200, "a good token")
    if name == BARE:
        return
    logging.disable()
    try:
        _expect_refusals(name, serve, source)
    finally:
        logging.disable(logging.NOTSET)


def _expect_refusals(name: str, serve: Serve, source: Source) -> None:
    _expect(name, serve, [None], 401, "no token")
    for what, token in source.bad_tokens():
        _expect(name, serve, [token], 401, f"a token that is bad: {what}")


def _expect(name: str, serve: Serve, tokens: list[str | None], status: int, what: str) -> None:
    answered = set(serve(tokens).statuses)
    if answered != {status}:
        raise WrongAnswer(f"{name} answered {sorted(answered)} to {what}; expected {status}")
