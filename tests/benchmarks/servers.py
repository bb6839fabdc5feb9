"""The rows of real servers in processes of their own: requests per second, taking turns."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from tests.servers import gunicorn_server

from . import contestants_asgi, contestants_wsgi
from .contestants_asgi import FASTMCP, STARLETTE_AND_PYJWT
from .contestants_wsgi import FLASK_AND_PYJWT, FLASK_JWT_EXTENDED
from .harness import BARE, FIRST_SIGHT, FLOOR, OURS, REPEAT, LeftOut
from .load import requests_per_second
from .process import serving
from .tokens import shared_secret
from .traffic import ANSWER

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

ALGORITHM = "HS256"
ROUNDS = 24
REQUESTS_A_ROUND = 300
THREADS = 4

UVICORN = "uvicorn"
GUNICORN = "gunicorn"

_CONTESTANT = "BEARERGUARD_BENCH_CONTESTANT"
_BODY = json.dumps(ANSWER, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Throughput:
    """Requests per second of one contestant behind one server."""

    server: str
    contestant: str
    algorithm: str
    sight: str
    per_second: float
    share_of_bare: float

    @property
    def title(self) -> str:
        """What this is."""
        return f"{self.server}, {self.algorithm}, {self.sight}, {self.contestant}"


def asgi() -> ASGIApp:
    """What a uvicorn serves: the contestant that its environment names."""
    return contestants_asgi.CONTESTANTS[os.environ[_CONTESTANT]](shared_secret())


def wsgi() -> WSGIApplication:
    """What a gunicorn serves."""
    return contestants_wsgi.CONTESTANTS[os.environ[_CONTESTANT]](shared_secret())


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and who stands behind it."""

    name: str
    starting: Callable[[str], AbstractContextManager[int]]
    """The port where a contestant is served, while it is."""
    apps: Mapping[str, Callable[[Any], object]]
    contestants: tuple[str, ...]
    body: bytes


def _uvicorn(contestant: str) -> AbstractContextManager[int]:
    return serving(f"{__name__}:asgi", {_CONTESTANT: contestant})


@contextmanager
def _gunicorn(contestant: str) -> Iterator[int]:
    options = ("--worker-class", "gthread", "--threads", str(THREADS), "--log-level", "warning")
    with gunicorn_server(f"{__name__}:wsgi()", *options, env={_CONTESTANT: contestant}) as server:
        yield server.port


SERVERS = (
    Server(
        UVICORN,
        _uvicorn,
        contestants_asgi.CONTESTANTS,
        (BARE, FLOOR, OURS, STARLETTE_AND_PYJWT, FASTMCP),
        _BODY,
    ),
    Server(
        GUNICORN,
        _gunicorn,
        contestants_wsgi.CONTESTANTS,
        (BARE, FLOOR, OURS, FLASK_AND_PYJWT, FLASK_JWT_EXTENDED),
        _BODY + b"\n",
    ),
)


def measure(rounds: int = ROUNDS) -> Iterator[Throughput]:
    """Each contestant at first sight and at repeat, against the bare app under the same requests."""
    for server in SERVERS:
        contestants = [name for name in server.contestants if _can_be_built(server, name)]
        with ExitStack() as stack:
            ports = {name: stack.enter_context(server.starting(name)) for name in contestants}
            for sight in (FIRST_SIGHT, REPEAT):
                yield from _row(server, sight, _interleaved(ports, sight, server.body, rounds))


def _row(server: Server, sight: str, rates: Mapping[str, list[float]]) -> Iterator[Throughput]:
    for name, own in rates.items():
        yield Throughput(server.name, name, ALGORITHM, sight, median(own), _share(own, rates[BARE]))


def _can_be_built(server: Server, contestant: str) -> bool:
    try:
        server.apps[contestant](shared_secret())
    except (ImportError, LeftOut):
        return False
    return True


def _interleaved(ports: Mapping[str, int], sight: str, body: bytes, rounds: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in ports}
    signs = shared_secret()
    same = signs.token()
    order = list(ports)
    for _ in range(rounds):
        tokens = signs.tokens(REQUESTS_A_ROUND) if sight == FIRST_SIGHT else [same] * REQUESTS_A_ROUND
        random.shuffle(order)
        for name in order:
            rates[name].append(requests_per_second(ports[name], tokens, body))
    return rates


def _share(own: list[float], bare: list[float]) -> float:
    return median(mine / other for mine, other in zip(own, bare, strict=True))
