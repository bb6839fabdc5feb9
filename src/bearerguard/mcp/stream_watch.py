"""Watches a request that is being answered: ends its stream when its token ends, or is found revoked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from ..asgi.watch import Cause, Message, Receive, Send, Watch, patiently
from ..core.recall import Verdict
from ..denylist import Denylist
from ..errors import TokenRevoked
from .messages import Asked, as_event, error_answer

FINISH_SECONDS = 300.0
"""For how long the answer to one call may still be written after the end of its token."""

Refuse: TypeAlias = Callable[[Cause], Awaitable[None]]


class StreamWatch(Watch):
    """Stands between an MCP server and one HTTP request.

    A stream that waits for whatever happens ends with its token. The answer to a call was asked for with a good token,
    so it may be written to its end, unless the token is revoked.
    """

    what = "stream"

    def __init__(
        self,
        receive: Receive,
        send: Send,
        ask_again: Callable[[], Awaitable[Verdict]],
        recheck_seconds: float | None,
        clock: Callable[[], float],
        *,
        asked: Asked,
        denylist: Denylist,
        refuse: Refuse,
        dress: Callable[[Cause], None],
    ) -> None:
        super().__init__(receive, send, ask_again, recheck_seconds, clock)
        self._asked = asked
        self._denylist = denylist
        self._refuse = refuse
        self._dress = dress
        self._has_begun = self._is_stream = False

    def _pause(self, dies_at: float) -> float:
        return super()._pause(self._last_end(dies_at) if self._clock() >= dies_at else dies_at)

    async def _still_good(self, verdict: Verdict) -> Verdict:
        now = self._clock()
        if now < verdict.dies_at or now >= self._last_end(verdict.dies_at):
            return await super()._still_good(verdict)
        if self._recheck_seconds is not None and await patiently(lambda: self._status(verdict)) == "revoked":
            raise TokenRevoked
        return verdict

    async def _status(self, verdict: Verdict) -> str:
        return await self._denylist.astatus(verdict.claims)

    def _last_end(self, dies_at: float) -> float:
        return dies_at + FINISH_SECONDS if self._asked.is_a_call else dies_at

    async def _end(self, cause: Cause) -> None:
        # An answer that is no stream has nothing to wait for any more.
        if self._is_stream or not self._has_begun:
            await super()._end(cause)

    async def _receive(self) -> Message:
        message = await super()._receive()
        self._asked.hear(message)
        return message

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self._cut.done():
            self._has_begun, self._is_stream = True, _is_stream(message)
        await super()._send(message)

    def _ends(self, message: Message) -> bool:
        if message["type"] == "http.response.body":
            return not message.get("more_body", False)
        return bool(message["type"] == "http.disconnect")

    def _disconnect(self) -> Message:
        return {"type": "http.disconnect"}

    def _tell(self, cause: Cause) -> None:
        self._dress(cause)

    async def _say_goodbye(self, cause: Cause) -> None:
        if not self._has_begun:
            await self._refuse(cause)
            return
        last = b"" if self._asked.id is None else as_event(error_answer(cause, self._asked.id))
        await self._send_to_server({"type": "http.response.body", "body": last})


def _is_stream(head: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in head["headers"]
    )
