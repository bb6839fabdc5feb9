"""The in-process rows: who takes part, whether they answer rightly, and the interleaved run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from . import contestants_asgi, contestants_wsgi
from .harness import (
    BARE,
    FIRST_SIGHT,
    FLOOR,
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
from .tokens import ALGORITHMS, Signer, signer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DOORS = ("ASGI", "WSGI")
SIGHTS = (FIRST_SIGHT, REPEAT)


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
    return [one for one in every if all(word.lower() in str(one).lower() for word in words)]


def measure(chosen: list[Scenario], size: Size) -> Iterator[Result]:
    """One result per scenario, as they come."""
    with asyncio.Runner() as runner:
        for scenario in chosen:
            yield _row(scenario, size, runner)


def _row(scenario: Scenario, size: Size, runner: asyncio.Runner) -> Result:
    signs = signer(scenario.algorithm)
    contestants, left_out = _line_up(scenario.door, signs, size, runner)
    if scenario.sight == FIRST_SIGHT:
        rounds = rounds_of_fresh_tokens(signs.tokens(size.rounds * (size.block + WARM_UP)), rounds=size.rounds)
    else:
        rounds = rounds_of_one_token(signs.token(), rounds=size.rounds, block=size.block)
    return Result(scenario, summary(interleaved(contestants, rounds)), left_out)


def _line_up(door: str, signs: Signer, size: Size, runner: asyncio.Runner) -> tuple[dict[str, Serve], dict[str, str]]:
    contestants: dict[str, Serve] = {}
    left_out: dict[str, str] = {}
    for name, build in _builders(door, runner).items():
        if not size.peers and name not in (BARE, FLOOR, OURS):
            continue
        try:
            contestants[name] = build(signs)
        except LeftOut as reason:
            left_out[name] = str(reason)
        except ImportError as error:
            left_out[name] = f"{error.name} cannot be imported"
        else:
            check_answers(name, contestants[name], signs)
    return contestants, left_out


def _builders(door: str, runner: asyncio.Runner) -> Mapping[str, Callable[[Signer], Serve]]:
    if door == "ASGI":
        return {name: partial(_behind_asgi, build, runner) for name, build in contestants_asgi.CONTESTANTS.items()}
    return {name: partial(_behind_wsgi, build) for name, build in contestants_wsgi.CONTESTANTS.items()}


def _behind_asgi(build: Callable[[Signer], ASGIApp], runner: asyncio.Runner, signs: Signer) -> Serve:
    return contestants_asgi.AsgiServe(build(signs), runner)


def _behind_wsgi(build: Callable[[Signer], WSGIApplication], signs: Signer) -> Serve:
    return contestants_wsgi.WsgiServe(build(signs))


def check_answers(name: str, serve: Serve, signs: Signer) -> None:
    """WrongAnswer unless `name` lets good tokens in, twice, and, bare apart, keeps every bad one out."""
    good = signs.token()
    _expect(name, serve, [good, good], 200, "a good token")
    if name == BARE:
        return
    logging.disable()
    try:
        _expect_refusals(name, serve, signs)
    finally:
        logging.disable(logging.NOTSET)


def _expect_refusals(name: str, serve: Serve, signs: Signer) -> None:
    _expect(name, serve, [None], 401, "no token")
    for what, token in signs.bad_tokens():
        _expect(name, serve, [token], 401, f"a token that is bad: {what}")


def _expect(name: str, serve: Serve, tokens: list[str | None], status: int, what: str) -> None:
    answered = set(serve(tokens).statuses)
    if answered != {status}:
        raise WrongAnswer(f"{name} answered {sorted(answered)} to {what}; expected {status}")
