"""How the Redis ports ask: through the breaker, scripts by their digest, reads once more, and what replies mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, cast

from ...errors import StoreUnavailable
from ...rules.epochs import Memory
from ..breaker import Breaker
from ..layout import KeyLayout
from .scripts import Script
from .server import Evicts
from .wire import (
    Crowded,
    Moved,
    NotSent,
    Refused,
    ReplyGone,
    ReplyLate,
    ReplyNotAwaited,
    ScriptUnknown,
    Unconfirmed,
    ValueUnreadable,
    Wire,
    WireError,
)


class RedisCommands:
    """Commands and scripts over a wire; each ends within its seconds and raises a `WireError`."""

    def __init__(
        self,
        wire: Wire,
        *,
        layout: KeyLayout,
        breaker: Breaker,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.layout = layout
        self.monotonic = monotonic
        self._wire = wire
        self._breaker = breaker

    @property
    def memory(self) -> Memory | None:
        """Whose memory has been asked of late."""
        return self._wire.memory

    async def ask(self, *command: str, within: float, is_write: bool = False) -> Any:
        """The reply to a command, which is sent once, or to the server that it should have been sent to."""
        end = self.monotonic() + within
        try:
            return await self._asked(command, within, is_write=is_write)
        except Moved:
            left = end - self.monotonic()
        return await self._asked(command, left, is_write=is_write)

    async def _asked(self, command: tuple[str, ...], within: float, *, is_write: bool) -> Any:
        if not self._breaker.admits():
            raise NotSent("the breaker is open")
        try:
            reply = await self._wire.execute(*command, within=within, is_write=is_write)
        except WireError as error:
            self._count(error)
            raise
        self._breaker.succeeded()
        return reply

    async def read(self, *command: str, within: float) -> Any:
        """The reply to a command that may be done twice."""
        # A connection that lay idle while the server restarted dies under the first command. A read may be asked
        # again; a write may not, for it may have been done.
        end = self.monotonic() + within
        try:
            return await self.ask(*command, within=within)
        except ReplyGone as gone:
            left = end - self.monotonic()
            if isinstance(gone, (ReplyLate, ReplyNotAwaited)) or left <= 0:
                raise
        return await self.ask(*command, within=left)

    async def write(self, script: Script, names: Sequence[str], values: Sequence[str], *, within: float) -> Any:
        """What a script returns whose writes must last."""
        return await self._ran(partial(self.ask, is_write=True), script, names, values, within)

    async def run(
        self, script: Script, names: Sequence[str], values: Sequence[str], *, within: float, twice: bool = False
    ) -> Any:
        """What a script returns; `twice` says that it may be done twice."""
        return await self._ran(self.read if twice else self.ask, script, names, values, within)

    async def _ran(
        self,
        send: Callable[..., Coroutine[Any, Any, Any]],
        script: Script,
        names: Sequence[str],
        values: Sequence[str],
        within: float,
    ) -> Any:
        end = self.monotonic() + within
        rest = (str(len(names)), *map(self.layout.key, names), *values)
        try:
            return await send("EVALSHA", script.digest, *rest, within=within)
        except ScriptUnknown:
            left = end - self.monotonic()
        return await send("EVAL", script.text, *rest, within=left)

    def _count(self, error: WireError) -> None:
        if isinstance(error, (Refused, Evicts, Unconfirmed)):
            self._breaker.succeeded()
        elif not isinstance(error, (Crowded, ReplyNotAwaited)):
            self._breaker.failed()


def store_error(error: WireError, *, lost: type[StoreUnavailable] = StoreUnavailable) -> StoreUnavailable:
    """What the core hears of a failure; `lost` where the command may have been done."""
    if isinstance(error, ValueUnreadable):
        return StoreUnavailable("store_unreadable")
    if isinstance(error, Evicts):
        return StoreUnavailable("store_evicts")
    if isinstance(error, Unconfirmed) and lost is StoreUnavailable:
        return StoreUnavailable("store_unconfirmed")
    return lost() if isinstance(error, ReplyGone) else StoreUnavailable()


def text_or_nothing(value: object) -> str | None:
    """A value that may be absent, as text."""
    return None if value is None else text_of(value)


def text_of(value: object) -> str:
    """A value as text."""
    text = decoded(value) if isinstance(value, bytes) else None
    if text is None:
        raise StoreUnavailable("store_unreadable")
    return text


def texts_of(reply: object, count: int) -> list[str | None]:
    """So many values, each of which may be absent."""
    return [text_or_nothing(value) for value in parts_of(reply, count)]


def parts_of(reply: object, count: int) -> list[object]:
    """The parts of a reply that has so many."""
    parts = cast("list[object]", reply)
    if not isinstance(reply, list) or len(parts) != count:
        raise StoreUnavailable("store_unreadable")
    return parts


def decoded(value: bytes) -> str | None:
    """The text that these bytes are; None where they are none."""
    # Not raised from within the except block: a UnicodeDecodeError carries the value along.
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
