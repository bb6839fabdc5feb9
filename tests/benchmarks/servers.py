"""The uvicorn rows: real servers in processes of their own, requests per second, taking turns."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from starlette.types import ASGIApp

from . import contestants_asgi
from .harness import BARE, FIRST_SIGHT, FLOOR, OURS, REPEAT
from .load import requests_per_second
from .tokens import shared_secret

ALGORITHM = "HS256"
ROUNDS = 40
REQUESTS_A_ROUND = 500

_FACTORIES = {BARE: "bare", FLOOR: "floor", OURS: "bearerguard"}
_ROOT = Path(__file__).resolve().parents[2]


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
        ports = {name: stack.enter_context(_server(_FACTORIES[name])) for name in contestants}
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


@contextmanager
def _server(factory: str) -> Iterator[int]:
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", f"{__name__}:{factory}", "--port", str(port)]
    quiet = ["--no-access-log", "--log-level", "warning"]
    process = subprocess.Popen(command + quiet, cwd=_ROOT, env=os.environ | {"PYTHONPATH": _python_path()})
    try:
        _wait_until_open(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


def _python_path() -> str:
    return os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("uvicorn did not start")
