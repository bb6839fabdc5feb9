"""The world of the soak: Redis behind a proxy, two fleets of two workers, a provider, and a process that revokes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.servers import (
    NO_OWN_REDIS,
    AppServer,
    RedisBinary,
    RedisServer,
    gunicorn_server,
    redis_binaries,
    start_redis,
    uvicorn_server,
)

from .apps import PLACE_VARIABLE
from .ledger import Ledger
from .provider import Provider

_T = TypeVar("_T")

WORKERS = 2
THREADS = 8
_ROOT = Path(__file__).resolve().parents[2]


class Hands:
    """Does what blocks, in one thread that lives as long as the world: the kernel ends our servers with it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="soak hands")

    async def do(self, work: Callable[..., _T], *arguments: object) -> _T:
        """What `work` gives."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*arguments))

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown()


@dataclass(frozen=True)
class World:
    """Everything that runs."""

    hands: Hands
    redis: RedisServer
    provider: Provider
    fleets: dict[str, AppServer]
    proxy: Servant
    revoker: Servant


class Servant:
    """A process that does what it is told, one line for each order, and says a line when that is done."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()

    @classmethod
    async def hired(cls, module: str, *arguments: str) -> Servant:
        """Start one."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", module, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=_ROOT,
        )
        return cls(process)

    async def says(self) -> str:
        """The next line."""
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()

    async def does(self, **order: object) -> str:
        """What it says of an order."""
        async with self._turn:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            return await self.says()

    async def close(self) -> None:
        """End it."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def world_of(ledger: Ledger, redis_name: str = "") -> AsyncIterator[World]:
    """Start everything, over a Redis of that name or the first that is found, and end it."""
    hands, provider = Hands(), Provider(ledger.opaque)
    with ExitStack() as stack:
        stack.callback(hands.close)
        endpoint = await provider.open()
        redis = await hands.do(start_redis, _binary(redis_name))
        stack.callback(redis.close)
        proxy = await Servant.hired("tests.soak.proxy", str(redis.port))
        store = await proxy.says()
        fleets = await hands.do(_fleets, stack, {"introspection": endpoint, "store": store})
        revoker = await Servant.hired("tests.soak.revoker", store)
        try:
            yield World(hands, redis, provider, fleets, proxy, revoker)
        finally:
            await revoker.close()
            await proxy.close()
            await provider.close()


def _binary(name: str) -> RedisBinary:
    binary = next((binary for binary in redis_binaries() if name in binary.name), None)
    if binary is None:
        raise RuntimeError(NO_OWN_REDIS)
    return binary


def _fleets(stack: ExitStack, place: dict[str, str]) -> dict[str, AppServer]:
    env = {PLACE_VARIABLE: json.dumps(place)}
    threads = ("--threads", str(THREADS), "--keep-alive", "75", "--log-level", "warning")
    quiet = ("--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "75")
    uvicorn = uvicorn_server("tests.soak.apps:asgi_app", *quiet, workers=WORKERS, env=env)
    gunicorn = gunicorn_server("tests.soak.apps:wsgi_app", *threads, workers=WORKERS, env=env)
    return {"uvicorn": stack.enter_context(uvicorn), "gunicorn": stack.enter_context(gunicorn)}
