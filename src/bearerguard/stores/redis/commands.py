"""How the Redis ports ask: through the breaker, scripts by their digest, reads once more, and what replies mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias, cast

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

Reply: TypeAlias = Coroutine[Any, Any, Any]


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

    def ask(self, *command: str, within: float) -> Reply:
        """The reply to a command, which is sent once, or to the server that it should have been sent to."""
        return self._sent(command, within)

    def read(self, *command: str, within: float) -> Reply:
        """The reply to a command that may be done twice."""
        return self._sent(command, within, twice=True)

    def write(self, script: Script, names: Sequence[str], values: Sequence[str], *, within: float) -> Reply:
        """What a script returns whose writes must last."""
        return self._ran(script, names, values, within, is_write=True)

    def run(
        self, script: Script, names: Sequence[str], values: Sequence[str], *, within: float, twice: bool = False
    ) -> Reply:
        """What a script returns; `twice` says that it may be done twice."""
        return self._ran(script, names, values, within, twice=twice)

    async def _ran(
        self, script: Script, names: Sequence[str], values: Sequence[str], within: float, **ways: bool
    ) -> Any:
        end = self.monotonic() + within
        rest = (str(len(names)), *map(self.layout.key, names), *values)
        try:
            return await self._sent(("EVALSHA", script.digest, *rest), within, **ways)
        except ScriptUnknown:
            left = end - self.monotonic()
        return await self._sent(("EVAL", script.text, *rest), left, **ways)

    async def _sent(
        self, command: tuple[str, ...], within: float, *, is_write: bool = False, twice: bool = False
    ) -> Any:
        end, left, moves = self.monotonic() + within, within, True
        while True:
            if not self._breaker.admits():
                raise NotSent("the breaker is open")
            try:
                reply = await self._wire.execute(*command, within=left, is_write=is_write)
            except WireError as error:
                self._count(error)
                left = end - self.monotonic()
                if moves and isinstance(error, Moved):
                    moves = False
                elif twice and left > 0 and _may_be_done_again(error):
                    moves, twice = True, False
                else:
                    raise
            else:
                self._breaker.succeeded()
                return reply

    def _count(self, error: WireError) -> None:
        if isinstance(error, (Refused, Evicts, Unconfirmed)):
            self._breaker.succeeded()
        elif not isinstance(error, (Crowded, ReplyNotAwaited)):
            self._breaker.failed()


def _may_be_done_again(error: WireError) -> bool:
    """Whether a read that failed so is worth a second try.

    A connection that lay idle while the server restarted dies under the first command. A write may not be asked again,
    for it may have been done.
    """
    return isinstance(error, ReplyGone) and not isinstance(error, (ReplyLate, ReplyNotAwaited))


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
    return [None if value is None else text_of(value) for value in parts_of(reply, count)]


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
