"""The store's port to Redis: commands, scripts, and what their failures mean."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from ...core.ports import ReplyLost, Spent, StorePolicy, run_sync
from ...errors import StoreUnavailable
from ...rules.epochs import Memory
from ..breaker import Breaker
from ..layout import KeyLayout
from .commands import RedisCommands, store_error, text_of, texts_of
from .entries import RedisEntries
from .gathered import Gathered, Read
from .gathered_threads import GatheredThreads
from .narrow import NarrowWire
from .replica import DenylistReplica
from .scripts import FOUND_EPOCH, RAISE_MARK, SPEND
from .wire import LoopWire, Wire, WireError

_EPOCH = "epoch"
_OUTCOMES = {1: Spent.FIRST, 0: Spent.REPLAYED, -1: Spent.OTHER_EPOCH}


_USUAL = StorePolicy()


class _StateUnknown(StoreUnavailable):
    """A one-time token may be spent, and nothing that the store says by now can tell."""

    default_reason = "token_state_unknown"


class RedisPort:
    """A `Store` over a wire; the same code for both flavours."""

    def __init__(
        self,
        wire: Wire,
        *,
        layout: KeyLayout,
        breaker: Breaker,
        policy: StorePolicy = _USUAL,
        replica: DenylistReplica | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy
        self._replica = replica
        self._wire = wire
        self._commands = RedisCommands(wire, layout=layout, breaker=breaker, monotonic=monotonic)
        self._key = layout.key
        self._entries = RedisEntries(self._commands)
        self._read: Read = self._gathering()

    @property
    def keeps_epoch(self) -> bool:
        """Yes: Redis can come back empty, or older than it was, while we live."""
        return True

    @property
    def memory(self) -> Memory | None:
        """Whose memory has been asked of late."""
        return self._wire.memory

    @property
    def entries(self) -> RedisEntries:
        """What the fleet shares for a while."""
        return self._entries

    @property
    def is_blank(self) -> bool:
        """No: what Redis holds is not known without asking it."""
        return False

    def peek(self, names: Sequence[str]) -> Sequence[str | None] | None:
        """What the replica knows of `names`, where there is one that is fresh."""
        return None if self._replica is None else self._replica.peek(names)

    async def get_ready(self, *, within: float) -> None:
        """Connect, so that what is wrong with the server is heard of before the first request."""
        self.peek(())
        try:
            await self._commands.ask("PING", within=within)
        except WireError as error:
            raise store_error(error) from error

    def read(self, names: Sequence[str], *, within: float) -> Coroutine[Any, Any, Sequence[str | None]]:
        """The values of `names`, read together with what others ask for; a key that is no string counts as absent."""
        return self._read(names, within=within)

    def _gathering(self) -> Read:
        """How reads are shared with others; not at all, where nobody else is around."""
        return self._read_alone

    async def _read_alone(self, names: Sequence[str], *, within: float) -> Sequence[str | None]:
        if not names:
            return ()
        try:
            reply = await self._commands.read("MGET", *map(self._key, names), within=within)
        except WireError as error:
            raise store_error(error) from error
        return texts_of(reply, len(names))

    async def raise_mark(self, name: str, number: int, *, keep_seconds: int, within: float) -> str:
        """Keep the larger number, and the longer life, under `name`; the epoch, whose seq this has raised."""
        trusted = "trusted" if self.policy.first_start == "trust" else ""
        values = (str(max(0, number)), str(max(1, keep_seconds)), self._new_incarnation(), trusted)
        try:
            reply = await self._commands.write(RAISE_MARK, (_EPOCH, name), values, within=within)
        except WireError as error:
            raise store_error(error) from error
        return text_of(reply)

    async def spend(self, name: str, nonce: str, *, epoch: str | None, keep_seconds: int, within: float) -> Spent:
        """Put `nonce` under `name` if it is absent and the epoch still continues `epoch`."""
        values = (epoch or "", f"1|{nonce}", str(max(1, keep_seconds)), self._new_incarnation())
        # A nonce that is read back proves nothing while no replica has it.
        lost = _StateUnknown if self._wire.is_replicated else ReplyLost
        try:
            reply = await self._commands.write(SPEND, (_EPOCH, name), values, within=within)
        except WireError as error:
            raise store_error(error, lost=lost) from error
        if not isinstance(reply, int) or reply not in _OUTCOMES:
            raise lost
        return _OUTCOMES[reply]

    async def found_epoch(self, observed: str | None, *, trusted: bool, later_than: int = 0, within: float) -> str:
        """Write a new epoch if the present one is still `observed`; the epoch that stands afterwards."""
        values = (observed or "", self._new_incarnation(), "trusted" if trusted else "", str(later_than + 1))
        try:
            reply = await self._commands.run(FOUND_EPOCH, (_EPOCH,), values, within=within)
        except WireError as error:
            raise store_error(error) from error
        return text_of(reply)

    def _new_incarnation(self) -> str:
        """The name of a memory that begins now; it tells in which run of the server it began."""
        memory = self._wire.memory
        return f"{'' if memory is None else memory.tag}_{secrets.token_urlsafe(12)}"


class AsyncRedisPort(RedisPort):
    """The port of one event loop."""

    def __init__(
        self,
        wire: LoopWire,
        *,
        layout: KeyLayout,
        breaker: Breaker,
        policy: StorePolicy = _USUAL,
        replica: DenylistReplica | None = None,
    ) -> None:
        super().__init__(wire, layout=layout, breaker=breaker, policy=policy, replica=replica)
        self._loop_wire = wire
        self._gathered = Gathered(self._read_alone)
        self._read = self._gathered.read
        self._entries = RedisEntries(RedisCommands(NarrowWire(wire), layout=layout, breaker=breaker))

    async def aclose(self) -> None:
        """Close the connections; the next use opens new ones."""
        await self._gathered.aclose()
        await self._loop_wire.close()
        if self._replica is not None:
            self._replica.close()

    def abandon(self) -> None:
        """Close the sockets of a loop that is closed itself."""
        self._loop_wire.abandon()


class SyncRedisPort(RedisPort):
    """The port of one process, over a wire that never suspends."""

    def _gathering(self) -> Read:
        return GatheredThreads(self._read_alone).read

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        run_sync(self._wire.close())
        if self._replica is not None:
            self._replica.close()
