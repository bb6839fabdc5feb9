"""What a fleet shares through Redis: entries, each read in one step with the marks that may revoke it."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias, TypeVar

from ...core.ports import Recollection
from ...errors import StoreUnavailable
from ...rules.epochs import Memory
from .commands import RedisCommands, decoded, store_error, text_of, text_or_nothing, texts_of
from .plain_entries import TOMBSTONE_SECONDS, PlainEntries, milliseconds, named_in
from .scripts import KEEP, RECALL, RELEASE, RETIRE
from .wire import NotPermitted, WireError

_PLAIN_SECONDS = 30.0
_HIT = re.compile(rb"([0-9]{1,15}) (-1|[0-9]{1,9}) ")

_T = TypeVar("_T")
_Work: TypeAlias = Callable[["_ScriptedEntries | PlainEntries", float], Coroutine[Any, Any, _T]]


class RedisEntries:
    """`Entries` in Redis: by scripts, or by plain commands for a while where the server's user may not run scripts."""

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands
        self._scripted = _ScriptedEntries(commands)
        self._plain = PlainEntries(commands)
        self._monotonic = commands.monotonic
        self._plain_until = 0.0

    @property
    def memory(self) -> Memory | None:
        """Whose memory has been asked of late."""
        return self._commands.memory

    async def recall(self, name: str, *, claim: str, claim_seconds: float, within: float) -> Recollection:
        """The entry under `name`; where there is none, whether the caller leads with its `claim`."""
        return await self._outcome(
            lambda way, left: way.recall(name, claim=claim, claim_seconds=claim_seconds, within=left), within
        )

    async def keep(self, name: str, entry: str, *, claim: str, seconds: float, over: bool, within: float) -> None:
        """Put `entry` under `name`, where nothing stands or `over` it, and let the claim go."""
        await self._outcome(
            lambda way, left: way.keep(name, entry, claim=claim, seconds=seconds, over=over, within=left), within
        )

    async def retire(self, name: str, *, claim: str, within: float) -> None:
        """Put a tombstone over an entry or where another claim stands, and let the own claim go."""
        await self._outcome(lambda way, left: way.retire(name, claim=claim, within=left), within)

    async def release(self, name: str, *, claim: str, within: float) -> None:
        """Let the claim go."""
        await self._outcome(lambda way, left: way.release(name, claim=claim, within=left), within)

    async def drop(self, name: str, entry: str, *, within: float) -> None:
        """Take the entry away, if it still is this one."""
        await self._outcome(lambda way, left: way.drop(name, entry, within=left), within)

    async def _outcome(self, work: _Work[_T], within: float) -> _T:
        end = self._monotonic() + within
        try:
            if self._monotonic() >= self._plain_until:
                try:
                    return await work(self._scripted, within)
                except NotPermitted:
                    self._plain_until = self._monotonic() + _PLAIN_SECONDS
            return await work(self._plain, end - self._monotonic())
        except WireError as error:
            raise store_error(error) from error


class _ScriptedEntries:
    """One script for each method, each of which raises a `WireError`."""

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands

    async def recall(self, name: str, *, claim: str, claim_seconds: float, within: float) -> Recollection:
        values = (claim, milliseconds(claim_seconds))
        # It may be done twice, for a claim of its own holds nobody up.
        return _recollection(await self._commands.run(RECALL, (name,), values, within=within, twice=True))

    async def keep(self, name: str, entry: str, *, claim: str, seconds: float, over: bool, within: float) -> None:
        values = (claim, entry, milliseconds(seconds), "over" if over else "")
        await self._commands.run(KEEP, (name,), values, within=within)

    async def retire(self, name: str, *, claim: str, within: float) -> None:
        await self._commands.run(RETIRE, (name,), (claim, milliseconds(TOMBSTONE_SECONDS)), within=within)

    async def release(self, name: str, *, claim: str, within: float) -> None:
        await self._commands.run(RELEASE, (f"{name}:claim",), (claim,), within=within)

    async def drop(self, name: str, entry: str, *, within: float) -> None:
        await self._commands.run(RELEASE, (name,), (entry,), within=within)


def _recollection(reply: Any) -> Recollection:
    match reply:
        case bytes():
            return _hit(reply, None)
        case [bytes(hit), *marks]:
            return _hit(hit, marks)
        case [int(leads), epoch, int(unreadable)]:
            return Recollection(text_or_nothing(epoch), leads=leads == 1, is_unreadable=unreadable == 1)
    raise StoreUnavailable("store_unreadable")


def _hit(hit: bytes, marks: list[object] | None) -> Recollection:
    match = _HIT.match(hit)
    if match is None:
        raise StoreUnavailable("store_unreadable")
    begin, size = match.end(), int(match[2])
    epoch = None if size < 0 else text_of(hit[begin : begin + size])
    entry = decoded(hit[begin + max(0, size) :])
    names = None if entry is None else named_in(entry)
    if names is None:
        return Recollection(epoch, is_unreadable=True)
    return Recollection(epoch, entry, int(match[1]) / 1000, names, _marks(marks, len(names)))


def _marks(marks: list[object] | None, count: int) -> Sequence[str | None]:
    return (None,) * count if marks is None else texts_of(marks, count)
