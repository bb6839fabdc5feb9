"""The uvicorn rows: real servers in processes of their own, requests per second, taking turns."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from starlette.types import ASGIApp

from . import contestants_asgi
from .harness import BARE, FIRST_SIGHT, FLOOR, OURS, REPEAT
from .load import requests_per_second
from .process import serving
from .tokens import shared_secret

ALGORITHM = "HS256"
ROUNDS = 40
REQUESTS_A_ROUND = 500

_FACTORIES = {BARE: "bare", FLOOR: "floor", OURS: "bearerguard"}


@dataclass(frozen=True, slots=True)
class Throughput:
    """Requests per second of one contestant behind uvicorn."""

    contestant: str
    algorithm: str
    sight: str
    per_second: float
    share_of_bare: float


def bare() -> ASGIApp:
    return contestants_asgi.bare(shared_secret())


def floor() -> ASGIApp:
    return contestants_asgi.floor(shared_secret())


def bearerguard() -> ASGIApp:
    return contestants_asgi.bearerguard(shared_secret())


def measure() -> list[Throughput]:
    """Each contestant at first sight and at repeat, against the bare app under the same requests."""
    contestants = [name for name in _FACTORIES if _can_be_built(name)]
    with ExitStack() as stack:
        ports = {name: stack.enter_context(serving(f"{__name__}:{_FACTORIES[name]}")) for name in contestants}
        return [
            Throughput(name, ALGORITHM, sight, median(rates[name]), _share(rates[name], rates[BARE]))
            for sight in (FIRST_SIGHT, REPEAT)
            for rates in [_interleaved(ports, sight)]
            for name in contestants
        ]


def _can_be_built(contestant: str) -> bool:
    try:
        contestants_asgi.CONTESTANTS[contestant](shared_secret())
    except ImportError:
        return False
    return True


def _interleaved(ports: Mapping[str, int], sight: str) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in ports}
    signs = shared_secret()
    same = signs.token()
    order = list(ports)
    for _ in range(ROUNDS):
        tokens = signs.tokens(REQUESTS_A_ROUND) if sight == FIRST_SIGHT else [same] * REQUESTS_A_ROUND
        random.shuffle(order)
        for name in order:
            rates[name].append(requests_per_second(ports[name], tokens))
    return rates


def _share(own: list[float], bare: list[float]) -> float:
    return median(mine / other for mine, other in zip(own, bare, strict=True))
