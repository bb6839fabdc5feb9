"""Watches an open WebSocket: closes it when its token ends, or is found revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

from .. import sinks
from ..core.recall import Verdict
from ..errors import AuthError, StoreUnavailable, TokenExpired, Unavailable
from ..events import ComponentFailed, WebSocketClosed, error_class

Message: TypeAlias = Any
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

LOOK_AT_THE_CLOCK_SECONDS = 30.0
SECOND_TRY_SECONDS = 0.5
CLOSE_SECONDS = 1.0
WAS_CUT = "the WebSocket was closed, because its token ended"


class ConnectionCut(OSError):
    """Raised by `send` after the WebSocket was closed, as the ASGI specification asks."""


class Watch:
    """Stands between an application and its WebSocket."""

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
        self._cut = asyncio.get_running_loop().create_future()
        self._arriving: asyncio.Future[Message] | None = None

    async def run(self, verdict: Verdict, app: Callable[[Receive, Send], Awaitable[None]]) -> None:
        """Run the application until it ends; the WebSocket is closed before, if its token ends first."""
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
            except AuthError as refusal:
                return await self._close(1008, refusal)
            except Unavailable as failure:
                return await self._close(1013, failure)
            except Exception as surprise:
                sinks.tell(ComponentFailed(component="WebSocket watch", error=error_class(surprise), elapsed=0))
                return await self._close(1011, StoreUnavailable())

    def _pause(self, dies_at: float) -> float:
        often = LOOK_AT_THE_CLOCK_SECONDS if self._recheck_seconds is None else self._recheck_seconds
        return max(0.0, min(often, dies_at - self._clock()))

    async def _still_good(self, verdict: Verdict) -> Verdict:
        if self._clock() >= verdict.dies_at:
            raise TokenExpired
        if self._recheck_seconds is None:
            return verdict
        try:
            return await self._ask_again()
        except Unavailable:
            await asyncio.sleep(SECOND_TRY_SECONDS)
            return await self._ask_again()

    async def _close(self, code: int, cause: AuthError | Unavailable) -> None:
        if self._is_over:
            return
        sinks.tell(WebSocketClosed(code=code, reason=cause.reason))
        self._cut.set_result(code)
        # First whatever the application is sending is broken off; then the server hears of one thing only.
        await asyncio.sleep(0)
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._send_to_server({"type": "websocket.close", "code": code, "reason": cause.error})

    async def _receive(self) -> Message:
        if self._arriving is None:
            self._arriving = asyncio.ensure_future(self._receive_from_server())
            self._arriving.add_done_callback(_forgive)
        await asyncio.wait((self._arriving, self._cut), return_when=asyncio.FIRST_COMPLETED)
        if self._cut.done():
            return {"type": "websocket.disconnect", "code": self._cut.result()}
        message, self._arriving = self._arriving.result(), None
        if message["type"] == "websocket.disconnect":
            self._is_over = True
        return message

    async def _send(self, message: Message) -> None:
        if self._cut.done():
            raise ConnectionCut(WAS_CUT)
        if message["type"] == "websocket.close":
            self._is_over = True
        leaving = asyncio.ensure_future(self._send_to_server(message))
        leaving.add_done_callback(_forgive)
        try:
            await asyncio.wait((leaving, self._cut), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
        if not leaving.done():
            raise ConnectionCut(WAS_CUT)
        leaving.result()


def _forgive(ended: asyncio.Future[Message]) -> None:
    """Look at how it ended, so that nothing complains of an error that nobody is left to hear."""
    if not ended.cancelled():
        ended.exception()
