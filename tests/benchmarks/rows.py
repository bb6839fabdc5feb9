"""The in-process rows: who takes part, whether they answer rightly, and the interleaved run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from .groups import GROUPS, LineUp, Source, group_of
from .harness import (
    BARE,
    FIRST_SIGHT,
    FLOOR,
    OURS,
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
    return [one for group in GROUPS for one in group.scenarios() if has_words(str(one), words)]


def has_words(title: str, words: tuple[str, ...]) -> bool:
    """Whether every one of `words` is in the title of a row."""
    return all(word.lower() in title.lower() for word in words)


def measure(chosen: list[Scenario], size: Size) -> Iterator[Result]:
    """One result per scenario, as they come."""
    with asyncio.Runner() as runner:
        for scenario in chosen:
            yield _measured(scenario, size, runner)


def _measured(scenario: Scenario, size: Size, runner: asyncio.Runner) -> Result:
    try:
        with group_of(scenario).line_up(scenario.algorithm, runner) as line_up:
            return _row(scenario, size, line_up)
    except LeftOut as reason:
        return Result(scenario, (), {"everybody": str(reason)})


def _row(scenario: Scenario, size: Size, line_up: LineUp) -> Result:
    entrants = Entrants(line_up, peers=size.peers)
    source = line_up.source
    if scenario.sight == FIRST_SIGHT:
        tokens = [source.token() for _ in range(size.rounds * (size.block + WARM_UP))]
        rounds = rounds_of_fresh_tokens(tokens, rounds=size.rounds)
    else:
        rounds = rounds_of_one_token(source.token(), rounds=size.rounds, block=size.block)
    return Result(scenario, summary(interleaved(entrants.contestants, rounds)), entrants.left_out, entrants.lets_in)


class Entrants:
    """Those who have been set up and have answered rightly, and what must be said of the others."""

    def __init__(self, line_up: LineUp, *, peers: bool) -> None:
        self.contestants: dict[str, Serve] = {}
        self.left_out: dict[str, str] = {}
        self.lets_in: dict[str, tuple[str, ...]] = {}
        for name in line_up.builders:
            if peers or name in (BARE, FLOOR, OURS):
                self._try(name, line_up)

    def _try(self, name: str, line_up: LineUp) -> None:
        try:
            serve = line_up.builders[name]()
        except LeftOut as reason:
            self.left_out[name] = str(reason)
        except ImportError as error:
            self.left_out[name] = f"{error.name} cannot be imported"
        else:
            admitted = check_answers(name, serve, line_up.source, line_up.admits.get(name, ()))
            self.contestants[name] = serve
            if admitted:
                self.lets_in[name] = admitted


def check_answers(name: str, serve: Serve, source: Source, admits: Collection[str] = ()) -> tuple[str, ...]:
    """WrongAnswer unless `name` lets good tokens in, twice, and, bare apart, keeps every bad one out.

    What it is known to let in, it may; what it has let in of that comes back.
    """
    good = source.token()
    _expect(name, serve, [good, good], 200, "a good token")
    if name == BARE:
        return ()
    logging.disable()
    try:
        return _admitted(name, serve, source, admits)
    finally:
        logging.disable(logging.NOTSET)


def _admitted(name: str, serve: Serve, source: Source, admits: Collection[str]) -> tuple[str, ...]:
    _expect(name, serve, [None], 401, "no token")
    admitted = []
    for what, token in source.bad_tokens():
        if what in admits and set(serve([token]).statuses) == {200}:
            admitted.append(what)
        else:
            _expect(name, serve, [token], 401, f"a token that is bad: {what}")
    return tuple(admitted)


def _expect(name: str, serve: Serve, tokens: list[str | None], status: int, what: str) -> None:
    answered = set(serve(tokens).statuses)
    if answered != {status}:
        raise WrongAnswer(f"{name} answered {sorted(answered)} to {what}; expected {status}")
