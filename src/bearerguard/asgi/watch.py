"""Watches an open connection: ends it when its token ends, or is found revoked."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar, TypeAlias, TypeVar

from .. import sinks
from ..core.recall import Verdict
from ..errors import AuthError, StoreUnavailable, TokenExpired, Unavailable
from ..events import ComponentFailed, error_class

_T = TypeVar("_T")

Message: TypeAlias = Any
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

Cause: TypeAlias = AuthError | Unavailable

LOOK_AT_THE_CLOCK_SECONDS = 30.0
SECOND_TRY_SECONDS = 0.5
CLOSE_SECONDS = 1.0


class ConnectionCut(OSError):
    """Raised by `send` after the connection was ended, as the ASGI specification asks."""


class Surprised(StoreUnavailable):
    """Asking about the token failed in a way that nobody thought of."""


class Watch(ABC):
    """Stands between an application and its connection; what sort of connection it is, a subclass says."""

    what: ClassVar[str]
    """What is watched, for messages."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        ask_again: Callable[[], Awaitable[Verdict]],
        recheck_seconds: float | None,
        clock: Callable[[], float],
    ) -> None:
        self._receive_from_server = receive
        self._send_to_server = send
        self._ask_again = ask_again
        self._recheck_seconds = recheck_seconds
        self._clock = clock
        self._is_over = False
        self._cut: asyncio.Future[Cause] = asyncio.get_running_loop().create_future()
        self._arriving: asyncio.Future[Message] | None = None

    async def run(self, verdict: Verdict, app: Callable[[Receive, Send], Awaitable[None]]) -> None:
        """Run the application until it ends; the connection is ended before, if its token ends first."""
        watching = asyncio.create_task(self._watch(verdict))
        try:
            await app(self._receive, self._send)
        finally:
            self._is_over = True
            if self._cut.done():
                await asyncio.wait((watching,))
            # Not awaited: whoever cancels us here must find the application's own end, and not ours.
            watching.cancel()
            if self._arriving is not None:
                self._arriving.cancel()

    async def _watch(self, verdict: Verdict) -> None:
        while True:
            await asyncio.sleep(self._pause(verdict.dies_at))
            try:
                verdict = await self._still_good(verdict)
            except (AuthError, Unavailable) as cause:
                return await self._end(cause)
            except Exception as surprise:
                sinks.tell(ComponentFailed(component=f"{self.what} watch", error=error_class(surprise), elapsed=0))
                return await self._end(Surprised())

    def _pause(self, dies_at: float) -> float:
        often = LOOK_AT_THE_CLOCK_SECONDS if self._recheck_seconds is None else self._recheck_seconds
        return max(0.0, min(often, dies_at - self._clock()))

    async def _still_good(self, verdict: Verdict) -> Verdict:
        if self._clock() >= verdict.dies_at:
            raise TokenExpired
        return verdict if self._recheck_seconds is None else await patiently(self._ask_again)

    async def _end(self, cause: Cause) -> None:
        if self._is_over:
            return
        self._tell(cause)
        self._cut.set_result(cause)
        # First whatever the application is sending is broken off; then the server hears of one thing only.
        await asyncio.sleep(0)
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._say_goodbye(cause)

    async def _receive(self) -> Message:
        if self._arriving is None:
            self._arriving = asyncio.ensure_future(self._receive_from_server())
            self._arriving.add_done_callback(_forgive)
        await asyncio.wait((self._arriving, self._cut), return_when=asyncio.FIRST_COMPLETED)
        if self._cut.done():
            return self._disconnect()
        message, self._arriving = self._arriving.result(), None
        if self._ends(message):
            self._is_over = True
        return message

    async def _send(self, message: Message) -> None:
        if self._cut.done():
            raise ConnectionCut(self._was_cut)
        if self._ends(message):
            self._is_over = True
        leaving = asyncio.ensure_future(self._send_to_server(message))
        leaving.add_done_callback(_forgive)
        try:
            await asyncio.wait((leaving, self._cut), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
        if not leaving.done():
            raise ConnectionCut(self._was_cut)
        leaving.result()

    @property
    def _was_cut(self) -> str:
        return f"the {self.what} was closed, because its token ended"

    @abstractmethod
    def _ends(self, message: Message) -> bool:
        """Whether this is the last message of the connection, either way."""

    @abstractmethod
    def _disconnect(self) -> Message:
        """What the application hears when the connection was ended here."""

    @abstractmethod
    def _tell(self, cause: Cause) -> None:
        """Tell that the connection is ended."""

    @abstractmethod
    async def _say_goodbye(self, cause: Cause) -> None:
        """End the connection."""


async def patiently(ask: Callable[[], Awaitable[_T]]) -> _T:
    """What is answered, the second time where it could not be found out the first time."""
    try:
        return await ask()
    except Unavailable:
        await asyncio.sleep(SECOND_TRY_SECONDS)
        return await ask()


def _forgive(ended: asyncio.Future[Message]) -> None:
    """Look at how it ended, so that nothing complains of an error that nobody is left to hear."""
    if not ended.cancelled():
        ended.exception()
