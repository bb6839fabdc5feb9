"""The store's port to Redis: commands, scripts, and what their failures mean."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from ..core.ports import ReplyLost, Spent, run_sync
from ..errors import StoreUnavailable
from .breaker import Breaker
from .layout import KeyLayout
from .redis_scripts import FOUND_EPOCH, RAISE_MARK, SPEND, Script
from .redis_wire import (
    Crowded,
    LoopWire,
    NotSent,
    Refused,
    ReplyGone,
    ReplyLate,
    ReplyNotAwaited,
    ScriptUnknown,
    ValueUnreadable,
    Wire,
    WireError,
)

_EPOCH = "epoch"
_OUTCOMES = {1: Spent.FIRST, 0: Spent.REPLAYED, -1: Spent.OTHER_EPOCH}


class RedisPort:
    """A `Store` over a wire; the same code for both flavours."""

    def __init__(
        self,
        wire: Wire,
        *,
        layout: KeyLayout,
        breaker: Breaker,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wire = wire
        self._layout = layout
        self._breaker = breaker
        self._monotonic = monotonic

    @property
    def keeps_epoch(self) -> bool:
        """Yes: Redis can come back empty, or older than it was, while we live."""
        return True

    @property
    def is_blank(self) -> bool:
        """No: what Redis holds is not known without asking it."""
        return False

    def peek(self, names: Sequence[str]) -> None:
        """Nothing, for the same reason."""

    async def read(self, names: Sequence[str], *, within: float) -> Sequence[str | None]:
        """The values of `names`; a key of another type than string counts as absent."""
        if not names:
            return ()
        try:
            reply = await self._read_reply(("MGET", *map(self._layout.key, names)), within=within)
        except WireError as error:
            raise store_error(error) from error
        return _texts(reply, len(names))

    async def raise_mark(self, name: str, number: int, *, keep_seconds: int, within: float) -> str:
        """Keep the larger number, and the longer life, under `name`; the epoch, whose seq this has raised."""
        values = (str(max(0, number)), str(max(1, keep_seconds)), _new_incarnation())
        try:
            reply = await self._run(RAISE_MARK, (_EPOCH, name), values, within=within)
        except WireError as error:
            raise store_error(error) from error
        return _text(reply)

    async def spend(self, name: str, nonce: str, *, epoch: str | None, keep_seconds: int, within: float) -> Spent:
        """Put `nonce` under `name` if it is absent and the epoch still continues `epoch`."""
        values = (epoch or "", f"1|{nonce}", str(max(1, keep_seconds)), _new_incarnation())
        try:
            reply = await self._run(SPEND, (_EPOCH, name), values, within=within)
        except WireError as error:
            raise store_error(error, lost=ReplyLost) from error
        if not isinstance(reply, int) or reply not in _OUTCOMES:
            raise ReplyLost
        return _OUTCOMES[reply]

    async def found_epoch(self, observed: str | None, *, trusted: bool, within: float) -> str:
        """Write a new epoch if the present one is still `observed`; the epoch that stands afterwards."""
        values = (observed or "", _new_incarnation(), "trusted" if trusted else "")
        try:
            reply = await self._run(FOUND_EPOCH, (_EPOCH,), values, within=within)
        except WireError as error:
            raise store_error(error) from error
        return _text(reply)

    async def _read_reply(self, command: Sequence[str], *, within: float) -> Any:
        # A connection that lay idle while the server restarted dies under the first command. A read may be asked
        # again; a write may not, for it may have been done.
        end = self._monotonic() + within
        try:
            return await self._reply(command, within=within)
        except ReplyGone as gone:
            left = end - self._monotonic()
            if isinstance(gone, (ReplyLate, ReplyNotAwaited)) or left <= 0:
                raise
        return await self._reply(command, within=left)

    async def _run(self, script: Script, names: Sequence[str], values: Sequence[str], *, within: float) -> Any:
        end = self._monotonic() + within
        rest = (str(len(names)), *map(self._layout.key, names), *values)
        try:
            return await self._reply(("EVALSHA", script.digest, *rest), within=within)
        except ScriptUnknown:
            left = end - self._monotonic()
        return await self._reply(("EVAL", script.text, *rest), within=left)

    async def _reply(self, command: Sequence[str], *, within: float) -> Any:
        if not self._breaker.admits():
            raise NotSent("the breaker is open")
        try:
            reply = await self._wire.execute(*command, within=within)
        except WireError as error:
            self._count(error)
            raise
        self._breaker.succeeded()
        return reply

    def _count(self, error: WireError) -> None:
        if isinstance(error, Refused):
            self._breaker.succeeded()
        elif not isinstance(error, (Crowded, ReplyNotAwaited)):
            self._breaker.failed()


class AsyncRedisPort(RedisPort):
    """The port of one event loop."""

    def __init__(self, wire: LoopWire, *, layout: KeyLayout, breaker: Breaker) -> None:
        super().__init__(wire, layout=layout, breaker=breaker)
        self._loop_wire = wire

    async def aclose(self) -> None:
        """Close the connections; the next use opens new ones."""
        await self._loop_wire.close()

    def abandon(self) -> None:
        """Close the sockets of a loop that is closed itself."""
        self._loop_wire.abandon()


class SyncRedisPort(RedisPort):
    """The port of one process, over a wire that never suspends."""

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        run_sync(self._wire.close())


def store_error(error: WireError, *, lost: type[StoreUnavailable] = StoreUnavailable) -> StoreUnavailable:
    """What the core hears of a failure; `lost` where the command may have been done."""
    if isinstance(error, ValueUnreadable):
        return StoreUnavailable("store_unreadable")
    return lost() if isinstance(error, ReplyGone) else StoreUnavailable()


def _new_incarnation() -> str:
    return secrets.token_urlsafe(12)


def _texts(reply: object, count: int) -> list[str | None]:
    values = cast("list[object]", reply)
    if not isinstance(reply, list) or len(values) != count:
        raise StoreUnavailable("store_unreadable")
    return [None if value is None else _text(value) for value in values]


def _text(value: object) -> str:
    text = _decoded(value) if isinstance(value, bytes) else None
    if text is None:
        raise StoreUnavailable("store_unreadable")
    return text


def _decoded(value: bytes) -> str | None:
    # Not raised from within the except block: a UnicodeDecodeError carries the value along.
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
