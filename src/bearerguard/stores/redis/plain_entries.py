"""Entries for a user of Redis who may run no scripts: two reads for one, and nobody waits for another."""

from __future__ import annotations

import math
import re

from ...core.ports import Recollection
from .commands import RedisCommands, decoded, parts_of, text_or_nothing, texts_of
from .wire import Refused

TOMBSTONE_SECONDS = 60

_MOST_NAMES = 3
_TOMBSTONE = b"0"
_ENTRY = re.compile(r"1\|([^|]*)\|")
_DENIAL = re.compile(r"[dut]:[A-Za-z0-9_-]+")


class PlainEntries:
    """The commands nearest to each script; there are no claims, so whoever finds nothing leads.

    What a script does in one step these do in two, where it does no harm: an entry that was written in between may
    be dropped, and is found out anew.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands
        self._key = commands.layout.key

    async def recall(self, name: str, *, claim: str, claim_seconds: float, within: float) -> Recollection:  # noqa: ARG002
        """The entry under `name`, its life unknown; the epoch is read again together with its marks."""
        end = self._commands.monotonic() + within
        epoch, value = parts_of(await self._read("epoch", name, within=within), 2)
        entry = decoded(value) if isinstance(value, bytes) else None
        names = None if entry is None else named_in(entry)
        if names is None:
            return Recollection(text_or_nothing(epoch), is_unreadable=value not in (None, _TOMBSTONE))
        reply = await self._read("epoch", *names, within=end - self._commands.monotonic())
        present, *marks = texts_of(reply, 1 + len(names))
        return Recollection(present, entry, math.inf, names, marks)

    async def keep(self, name: str, entry: str, *, claim: str, seconds: float, over: bool, within: float) -> None:  # noqa: ARG002
        """Put `entry` under `name`, where nothing stands or `over` it."""
        condition = () if over else ("NX",)
        await self._commands.ask("SET", self._key(name), entry, "PX", milliseconds(seconds), *condition, within=within)

    async def retire(self, name: str, *, claim: str, within: float) -> None:  # noqa: ARG002
        """Put a tombstone: without claims nobody knows whether an answer that is still on its way says otherwise."""
        end, key = self._commands.monotonic() + within, self._key(name)
        try:
            await self._commands.ask("SET", key, "0", "PX", milliseconds(TOMBSTONE_SECONDS), within=within)
        except Refused:
            # An entry goes even where there is no memory for its tombstone.
            await self._commands.ask("DEL", key, within=end - self._commands.monotonic())
            raise

    async def release(self, name: str, *, claim: str, within: float) -> None:
        """Nothing: there are no claims."""

    async def drop(self, name: str, entry: str, *, within: float) -> None:
        """Take the entry away, if it was this one a moment ago."""
        end = self._commands.monotonic() + within
        (present,) = parts_of(await self._read(name, within=within), 1)
        if present == entry.encode():
            await self._commands.ask("DEL", self._key(name), within=end - self._commands.monotonic())

    async def _read(self, *names: str, within: float) -> object:
        reply: object = await self._commands.read("MGET", *map(self._key, names), within=within)
        return reply


def named_in(entry: str) -> tuple[str, ...] | None:
    """The names in an entry as the script finds them, none at all where one is no denial's; None for no entry."""
    match = _ENTRY.match(entry)
    if match is None:
        return None
    names = tuple(name for name in match[1].split(" ") if name)
    return names if len(names) <= _MOST_NAMES and all(map(_DENIAL.fullmatch, names)) else ()


def milliseconds(seconds: float) -> str:
    """A life as Redis takes it: never none at all."""
    return str(max(1, int(seconds * 1000)))
