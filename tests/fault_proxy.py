"""A TCP proxy that breaks when it is told to: it stands before a real Redis, or a provider that speaks HTTP.

    with FaultProxy(redis_server.port) as proxy:
        client = redis.Redis.from_url(proxy.url)
        proxy.lose_replies(only=b"EVALSHA", times=1)
        ...
        proxy.wait_until_struck(1)
        proxy.heal()

One fault is in force at a time, from when the method that switches it on returns until the next is switched on, for
open connections too: what is held back (`delay`, `drip`) is passed on, or not, as the new fault says.

What a client says until it hears an answer, and the answer, are one exchange. `only` narrows a fault to exchanges in
which the client says these bytes, and `times` to the next so many of those; without `only`, a client's handshake is one
too. A connection that lost bytes in silence stays silent for good, as a stream with a hole in it does.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from tests.background_server import CHUNK, LOOPBACK, BackgroundServer, connected_to, reset_on_close

Ending = Literal["close", "reset", "silence"]
Side = Literal["commands", "replies"]


class FaultProxy:
    """Listens on a port of its own and passes everything on, both ways, until a fault is switched on."""

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.struck = 0
        self.in_force: Fault = Fault()
        self._server = BackgroundServer("fault proxy", lambda client: _Line(self, client).serve())
        self.port = self._server.port

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The server behind it, as redis-py names it."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def http_url(self) -> str:
        """The same for HTTP, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def connections(self) -> int:
        """How many clients have connected since the proxy began."""
        return self._server.connections

    @property
    def open_connections(self) -> int:
        """How many clients are connected now."""
        return self._server.open_connections

    # --- Faults

    def heal(self) -> None:
        """Pass everything on, and listen again after `refuse`."""
        self._switch_on(Fault())

    def refuse(self, *, cut: bool = True) -> None:
        """Nobody listens on the port, which stays ours; open connections are reset, or go on where not `cut`."""
        self._server.run(self._refuse(cut))

    def reset_connections(self) -> None:
        """Reset every connection that is open now; the fault in force stays."""
        self._server.run(self._server.reset_all())

    def reset_new_connections(self, times: float = math.inf) -> None:
        """Take each new connection, or the next so many, and reset it."""
        self._switch_on(_ResetNew(b"", times))

    def reset(self, only: bytes = b"", times: float = math.inf) -> None:
        """Reset a connection at its next command, which does not reach the server."""
        self._switch_on(_Reset(only, times))

    def black_hole(self, only: bytes = b"", times: float = math.inf) -> None:
        """Take new connections, swallow everything, and never answer, also what the server has begun to."""
        self._switch_on(_BlackHole(only, times))

    def delay(self, seconds: float, only: bytes = b"", times: float = math.inf, *, of: Side = "replies") -> None:
        """Hold each chunk back so long; commands held back come to the server even when their client has gone."""
        self._switch_on(_Delay(only, times, seconds, of))

    def drip(self, size: int = 1, every: float = 0.02, only: bytes = b"", times: float = math.inf) -> None:
        """Answer with so many bytes at a time, and a pause before each."""
        self._switch_on(_Drip(only, times, size, every))

    def truncate(self, after: int, only: bytes = b"", times: float = math.inf, *, then: Ending = "close") -> None:
        """Cut each answer off after so many bytes."""
        self._switch_on(_Truncate(only, times, after, then))

    def corrupt(self, change: Callable[[bytes], bytes], only: bytes = b"", times: float = math.inf) -> None:
        """Give what `change` makes of each chunk of an answer: `flipped()`, `replaced(b"abc", b"xyz")`."""
        self._switch_on(_Corrupt(only, times, change))

    def answer(self, reply: bytes, only: bytes = b"", times: float = math.inf) -> None:
        """Answer each command with these bytes, such as an error of the protocol; the server hears nothing."""
        self._switch_on(_Answer(only, times, reply))

    def lose_replies(self, only: bytes = b"", times: float = math.inf, *, then: Ending = "reset") -> None:
        """Let the server do it, wait for its answer, drop that, and end the connection."""
        self._switch_on(_LoseReplies(only, times, then))

    # --- Waiting

    def wait_until_struck(self, count: int) -> None:
        """Return when faults have struck so many exchanges, or connections, since the proxy began."""
        self._server.wait(lambda: self.struck >= count)

    def wait_for_connections(self, count: int) -> None:
        """Return when so many clients have connected since the proxy began."""
        self._server.wait(lambda: self.connections >= count)

    def wait_for_open_connections(self, count: int) -> None:
        """Return when exactly so many clients are connected."""
        self._server.wait(lambda: self.open_connections == count)

    def close(self) -> None:
        """Reset every connection, give the port back and end the thread."""
        self._server.close()

    # --- Inside the loop

    def count_strike(self) -> None:
        """Note that the fault in force has struck once more."""
        self._server.tell(self._strike)

    def _strike(self) -> None:
        self.struck += 1

    def _switch_on(self, fault: Fault) -> None:
        self._server.run(self._put_in_force(fault))

    async def _put_in_force(self, fault: Fault) -> None:
        self._server.listen()
        self.in_force.replaced.set()
        self.in_force = fault

    async def _refuse(self, cut: bool) -> None:
        await self._put_in_force(Fault())
        self._server.refuse()
        if cut:
            await self._server.reset_all()


def flipped(at: int = 0, mask: int = 0xFF) -> Callable[[bytes], bytes]:
    """Turn the bits of one byte over."""
    return lambda reply: reply[:at] + bytes([reply[at] ^ mask]) + reply[at + 1 :] if at < len(reply) else reply


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Put other bytes where these are."""
    return lambda reply: reply.replace(old, new)


# --- One client's connection -----------------------------------------------------------------------------------------


class _Over(Exception):
    """The connection is over."""


@dataclass(eq=False)
class _Exchange:
    """What the client said until it heard an answer, what it has heard, and the fault that struck."""

    asked: bytes = b""
    heard: int = 0
    is_answered: bool = False
    struck_by: Fault | None = None


class _Line:
    """One client, its connection to the server, and what goes over them."""

    def __init__(self, proxy: FaultProxy, client: socket.socket) -> None:
        self.exchange = _Exchange()
        self.is_dead = False
        self._proxy = proxy
        self._client = client
        self._server: socket.socket | None = None
        self._loop = asyncio.get_running_loop()

    async def serve(self) -> None:
        """Pass on what comes, until one end has had enough."""
        try:
            await self._in_force().opened(self)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._commands())
                ways.create_task(self._replies())
        except* _Over:
            pass
        except* OSError:
            reset_on_close(self._client)
        finally:
            if self._server is not None:
                self._server.close()

    async def connect(self) -> None:
        """Reach the server."""
        self._server = await connected_to(self._proxy.upstream_port)

    async def to_server(self, chunk: bytes) -> None:
        """Put bytes on the server's wire."""
        if self._server is not None:
            await self._loop.sock_sendall(self._server, chunk)

    async def to_client(self, chunk: bytes) -> None:
        """Put bytes on the client's wire."""
        self.exchange.heard += len(chunk)
        await self._loop.sock_sendall(self._client, chunk)

    def end(self, ending: Ending) -> None:
        """Be over for the client, in one of three ways."""
        if ending == "silence":
            self.is_dead = True
            return
        if ending == "reset":
            reset_on_close(self._client)
        raise _Over

    async def _commands(self) -> None:
        while chunk := await self._loop.sock_recv(self._client, CHUNK):
            if self.exchange.is_answered:
                self.exchange = _Exchange()
            self.exchange.asked = (self.exchange.asked + chunk)[-2 * CHUNK :]
            while chunk:
                chunk = await self._in_force().command(self, chunk)
        if self.is_dead or self._server is None:
            raise _Over
        self._server.shutdown(socket.SHUT_WR)

    async def _replies(self) -> None:
        if self._server is None:
            return
        while chunk := await self._loop.sock_recv(self._server, CHUNK):
            self.exchange.is_answered = True
            while chunk:
                chunk = await self._in_force().reply(self, chunk)
        if not self.is_dead:
            await self._in_force().hung_up(self)

    def _in_force(self) -> Fault:
        if self.is_dead:
            return _BlackHole()
        fault = self._proxy.in_force
        if self.exchange.struck_by is fault:
            return fault
        if not fault.strikes(self.exchange):
            return Fault()
        fault.times -= 1
        self.exchange.struck_by = fault
        if type(fault) is not Fault:
            self._proxy.count_strike()
        return fault


# --- Faults ----------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Fault:
    """None at all: everything is passed on. Those below say what they do instead.

    `command` and `reply` give the bytes that are still to be passed on, for the fault that is in force by then.
    """

    only: bytes = b""
    times: float = math.inf
    replaced: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def strikes(self, exchange: _Exchange) -> bool:
        """Whether this exchange is one that it is meant for; before a word is said, only a fault for all is."""
        is_meant = self.only in exchange.asked if exchange.asked else self.is_for_all
        return is_meant and self.times > 0

    @property
    def is_for_all(self) -> bool:
        """Whether it is narrowed by nothing."""
        return not self.only and math.isinf(self.times)

    async def opened(self, line: _Line) -> None:
        """A client has connected."""
        await line.connect()

    async def command(self, line: _Line, chunk: bytes) -> bytes:
        """The client has said something."""
        await line.to_server(chunk)
        return b""

    async def reply(self, line: _Line, chunk: bytes) -> bytes:
        """The server has answered something."""
        await line.to_client(chunk)
        return b""

    async def hung_up(self, line: _Line) -> None:
        """The server has ended the connection."""
        line.end("close")

    async def is_replaced_within(self, seconds: float) -> bool:
        """Wait so long, or until another fault is in force."""
        with suppress(TimeoutError):
            return await asyncio.wait_for(self.replaced.wait(), seconds)
        return False


class _ResetNew(Fault):
    def strikes(self, exchange: _Exchange) -> bool:
        return not exchange.asked and exchange.heard == 0 and self.times > 0

    async def opened(self, line: _Line) -> None:
        line.end("reset")


class _Reset(Fault):
    async def command(self, line: _Line, chunk: bytes) -> bytes:
        line.end("reset")
        return b""


class _BlackHole(Fault):
    async def opened(self, line: _Line) -> None:
        line.end("silence")

    async def command(self, line: _Line, chunk: bytes) -> bytes:
        line.end("silence")
        return b""

    reply = command

    async def hung_up(self, line: _Line) -> None:
        line.end("silence")


@dataclass(eq=False)
class _Delay(Fault):
    seconds: float = 0
    side: Side = "replies"

    async def command(self, line: _Line, chunk: bytes) -> bytes:
        if self.side == "commands" and await self.is_replaced_within(self.seconds):
            return chunk
        return await super().command(line, chunk)

    async def reply(self, line: _Line, chunk: bytes) -> bytes:
        if self.side == "replies" and await self.is_replaced_within(self.seconds):
            return chunk
        return await super().reply(line, chunk)


@dataclass(eq=False)
class _Drip(Fault):
    size: int = 1
    every: float = 0

    async def reply(self, line: _Line, chunk: bytes) -> bytes:
        for start in itertools.count(0, self.size):
            if start >= len(chunk) or await self.is_replaced_within(self.every):
                return chunk[start:]
            await line.to_client(chunk[start : start + self.size])
        return b""


@dataclass(eq=False)
class _Truncate(Fault):
    after: int = 0
    ending: Ending = "close"

    async def reply(self, line: _Line, chunk: bytes) -> bytes:
        await line.to_client(chunk[: max(0, self.after - line.exchange.heard)])
        if line.exchange.heard >= self.after:
            line.end(self.ending)
        return b""


@dataclass(eq=False)
class _Corrupt(Fault):
    change: Callable[[bytes], bytes] = bytes

    async def reply(self, line: _Line, chunk: bytes) -> bytes:
        return await super().reply(line, self.change(chunk))


@dataclass(eq=False)
class _Answer(Fault):
    with_this: bytes = b""

    async def command(self, line: _Line, chunk: bytes) -> bytes:
        line.exchange.is_answered = True
        await line.to_client(self.with_this)
        return b""


@dataclass(eq=False)
class _LoseReplies(Fault):
    ending: Ending = "reset"

    async def reply(self, line: _Line, chunk: bytes) -> bytes:
        line.end(self.ending)
        return b""
