"""Opaque tokens for tests: a provider that is asked about them, and verifiers that ask it, in either flavour."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from bearerguard import AuthError, Claims, Unavailable, Verifier
from bearerguard.core.ports import Ports, run_sync
from bearerguard.settings import Kind, OpaqueTokens
from tests.hostile import AUDIENCE, GOOD, ISSUER, NOW, Clock, claims
from tests.revoking import Twins
from tests.scripted_provider import Play, ScriptedProvider, json_answer
from tests.servers import RedisServer
from tests.store_calls import Flavour

_T = TypeVar("_T")

ENDPOINT = "/introspect"
CLIENT_ID = "orders-api"
CLIENT_SECRET = "the client secret, of more than thirty-two bytes"
OLD_CLIENT_SECRET = "the client secret before, as long as that one is"
OTHER_CLIENT_SECRET = "another client's secret, quite as long as the others"

START = 1_000.0
"""Where the monotonic clocks of these tests begin."""

_serial = itertools.count()


def fresh(name: str = "opaque") -> str:
    """A token that nobody has seen before, of 43 letters."""
    return f"{name}-{next(_serial)}-".ljust(43, "x")


def facts(**changes: Any) -> dict[str, Any]:
    """What a provider says of a good token, with these members changed; one that is changed to `...` is left out."""
    return claims({"active": True, **changes})


def says(**changes: Any) -> Play:
    """The provider's good answer, changed."""
    return json_answer(facts(**changes))


inactive: Play = json_answer({"active": False})


class Judge:
    """One verifier, as one process has it, called alike in blocking and in async code."""

    def __init__(self, verifier: Verifier[Kind], runner: asyncio.Runner | None) -> None:
        self.itself = verifier
        self.denylist = Twins(verifier.denylist, runner)
        self._calls = Twins(verifier, runner)
        self._runner = runner

    @property
    def in_loop(self) -> bool:
        """Whether it is called in async code."""
        return self._runner is not None

    def verify(self, text: Any, **options: Any) -> Claims:
        """The claims of a token."""
        accepted: Claims = self._calls.verify(text, **options)
        return accepted

    def verdict(self, text: Any, **options: Any) -> str:
        """`GOOD`, or the reason word with which a token is refused. Nothing but our own errors passes."""
        refusal = self.refusal(text, **options)
        return GOOD if refusal is None else refusal.reason

    def refusal(self, text: Any, **options: Any) -> AuthError | Unavailable | None:
        """What a token is refused with."""
        try:
            self.verify(text, **options)
        except (AuthError, Unavailable) as refusal:
            return refusal
        return None

    def together(self, texts: Sequence[str]) -> list[str]:
        """The verdicts on many tokens that come at once: as tasks, or each in a thread of its own."""
        if self._runner is not None:
            return self._runner.run(self._gathered(texts))
        barrier = threading.Barrier(len(texts))

        def at_once(text: str) -> str:
            barrier.wait(30)
            return self.verdict(text)

        with ThreadPoolExecutor(len(texts)) as pool:
            return [*pool.map(at_once, texts)]

    async def _gathered(self, texts: Sequence[str]) -> list[str]:
        return await asyncio.gather(*(averdict(self.itself, text) for text in texts))

    def run(self, work: Callable[[Ports], Coroutine[Any, Any, _T]]) -> _T:
        """What a coroutine over the ports of this flavour gives."""
        if self._runner is None:
            return run_sync(work(self.itself.connections.blocking()))
        return self._runner.run(self._in_loop(work))

    async def _in_loop(self, work: Callable[[Ports], Coroutine[Any, Any, _T]]) -> _T:
        return await work(self.itself.connections.of_this_loop())

    def close(self) -> None:
        """Close its connections."""
        self._calls.close()


async def averdict(verifier: Verifier[Kind], text: str) -> str:
    """`GOOD`, or the reason word with which a token is refused in async code."""
    try:
        await verifier.averify(text)
    except (AuthError, Unavailable) as refusal:
        return refusal.reason
    return GOOD


class Court:
    """A provider, the clocks, and judges over one store that ask that provider."""

    def __init__(self, provider: ScriptedProvider, store: str, runner: asyncio.Runner | None) -> None:
        self.provider = provider
        self.store = store
        self.clock = Clock(NOW)
        self.monotonic = Clock(START)
        self.runner = runner
        self._closers: list[Callable[[], object]] = []

    @property
    def asked(self) -> int:
        """How often the provider was asked about a token."""
        return self.provider.count(ENDPOINT)

    def settings(self, **changes: Any) -> OpaqueTokens:
        """Settings of tokens that this provider is asked about."""
        return opaque(self.provider, **changes)

    def judge(self, *kinds: Kind, real_time: Any = False, **changes: Any) -> Judge:
        """A new verifier, of `settings(**changes)` where no kind is given."""
        clocks: dict[str, Any] = (
            {"clock": self.clock} if real_time else {"clock": self.clock, "monotonic": self.monotonic}
        )
        first, *more = kinds or (self.settings(**changes),)
        judge = Judge(Verifier(first, *more, store=self.store, **clocks), self.runner)
        self._closers.append(judge.close)
        return judge

    def close(self) -> None:
        """Close all that was made here."""
        for close in self._closers:
            close()


def opaque(provider: ScriptedProvider, **changes: Any) -> OpaqueTokens:
    """Settings of tokens that a provider is asked about."""
    usual: dict[str, Any] = {
        "issuer": ISSUER,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "audience": AUDIENCE,
        "introspection_endpoint": provider.url(ENDPOINT),
    }
    return OpaqueTokens(**usual | changes)


@contextmanager
def court_of(play: Play, flavour: Flavour, store: str = "memory://") -> Iterator[Court]:
    """A court whose provider plays this, closed at the end."""
    with ScriptedProvider(play) as provider, asyncio.Runner() as runner:
        court = Court(provider, store, runner if flavour == "async" else None)
        try:
            yield court
        finally:
            court.close()


def commands_of(server: RedisServer, work: Callable[[], object]) -> list[str]:
    """The commands that clients send to a server while the work is done, those inside of scripts left out."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        stream = connection.makefile("rb")
        connection.sendall(b"MONITOR\r\n")
        assert stream.readline() == b"+OK\r\n"
        work()
        server.cli("ECHO", "that is all")
        lines = iter(stream.readline, b"")
        seen = [*itertools.takewhile(lambda line: b'"that is all"' not in line, lines)]
        stream.close()
    names = [line.split(b'"')[1].decode().upper() for line in seen if b" lua]" not in line]
    return [name for name in names if name not in ("CLIENT", "HELLO", "INFO")]


def kept_in(server: RedisServer) -> dict[str, Any]:
    """Every key of a server with its value, or with all entries of the log of revocations."""
    keys: list[str] = [key.decode() for key in server.cli("KEYS", "*")]
    return {
        key: server.cli("XRANGE", key, "-", "+") if key.endswith(":log") else server.cli("GET", key) for key in keys
    }


def entry_key(server: RedisServer) -> str:
    """The key of the one entry that a server holds."""
    (key,) = [key for key in kept_in(server) if ":i:" in key and not key.endswith(":claim")]
    return key
