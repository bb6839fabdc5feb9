"""A look at a Redis server itself, for whoever examines it: what it says, how soon, and what it lets us do."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...rules.epochs import EPOCH_NAME
from ..layout import KeyLayout
from .commands import decoded
from .scripts import Script
from .wire import NotPermitted, Refused, ScriptUnknown, Unconfirmed, Wire, WireError

VISIT_SECONDS = 0.5

# KEYS: two that nobody else uses. Each command that is refused is told, with what the server says; nothing stays
# behind, and nothing is written that could not be taken away again.
_TRIAL = Script("""
local told = {}
local function try(name, ...)
  local reply = redis.pcall(name, ...)
  if type(reply) == "table" and reply.err then told[#told + 1] = name .. " " .. reply.err end
  return not (type(reply) == "table" and reply.err)
end
try("time")
try("get", KEYS[1])
try("pttl", KEYS[1])
try("set", KEYS[1], "1|0", "PX", "5000")
if try("del", KEYS[1], KEYS[2]) then
  try("xadd", KEYS[2], "MAXLEN", "~", "10", "*", "name", "trial")
  redis.pcall("del", KEYS[1], KEYS[2])
end
return told
""")


@dataclass(frozen=True, slots=True)
class Trial:
    """What the server would not do: commands that the user may not give, and what it says of the other refusals.

    Where the user may not touch keys of this prefix at all, they are `out_of_reach`.
    """

    forbidden: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    out_of_reach: bool = False


@dataclass(frozen=True, slots=True)
class ServerTime:
    """The time by the clock of the server, and by ours just before and after it was asked."""

    theirs: float
    ours_before: float
    ours_after: float


class RedisVisit:
    """One server, looked at over connections that no verifier uses. Every question ends within half a second."""

    def __init__(self, wire: Wire, layout: KeyLayout, shown: str) -> None:
        self.shown: str = shown
        self.prefix: str = layout.prefix
        self._wire = wire
        self._key = layout.key

    @property
    def is_replicated(self) -> bool:
        """Whether a write counts only once another server has it."""
        return self._wire.is_replicated

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()

    async def round_trip(self) -> float:
        """How long the server takes for an answer."""
        started = time.perf_counter()
        await self._ask("PING")
        return time.perf_counter() - started

    async def facts(self) -> Mapping[str, str] | None:
        """What the server says of itself; None where we may not ask."""
        try:
            reply = await self._ask("INFO")
        except Refused:
            return None
        pairs = (line.partition(":") for line in _text(reply).splitlines())
        return {name: value for name, colon, value in pairs if colon}

    async def setting(self, name: str) -> str | None:
        """A line of its configuration; None where we may not ask."""
        try:
            reply = await self._ask("CONFIG", "GET", name)
        except Refused:
            return None
        return _text(reply[1]) if isinstance(reply, list) and len(reply) == 2 else None

    async def server_time(self) -> ServerTime:
        """The time by its clock."""
        before = time.time()
        seconds, micros = await self._ask("TIME")
        return ServerTime(int(seconds) + int(micros) / 1_000_000, before, time.time())

    async def epoch(self) -> str | None:
        """The epoch that stands in the store; None where there is none."""
        (reply,) = await self._ask("MGET", self._key(EPOCH_NAME))
        return None if reply is None else _text(reply)

    async def trial(self, *, follows: bool) -> Trial:
        """What of all that a store does the user may not do; one that `follows` has a replica of the denylist."""
        forbidden = await self._forbidden(follows=follows)
        if "eval" in forbidden:
            return Trial(forbidden)
        keys = [self._key(f"doctor:{secrets.token_urlsafe(9)}{part}") for part in ("", ":log")]
        try:
            told = list(map(_text, await self._ask("EVAL", _TRIAL.text, str(len(keys)), *keys, is_write=True)))
        except Unconfirmed:
            return Trial(forbidden, ("UNCONFIRMED",))
        except NotPermitted:
            return Trial(tuple(name for name in forbidden if name != "mget"), out_of_reach=True)
        denied = tuple(line.partition(" ")[0] for line in told if _is_denied(line))
        return Trial((*forbidden, *denied), tuple(_word(line) for line in told if not _is_denied(line)))

    async def _forbidden(self, *, follows: bool) -> tuple[str, ...]:
        questions: dict[str, tuple[str, ...]] = {
            "mget": ("MGET", self._key(EPOCH_NAME)),
            "evalsha": ("EVALSHA", "0" * 40, "0"),
            "eval": ("EVAL", "return 1", "0"),
        }
        if follows:
            log = self._key("log")
            questions |= {
                "scan": ("SCAN", "0", "MATCH", self._key("none"), "COUNT", "1"),
                "xrange": ("XRANGE", log, "-", "+", "COUNT", "1"),
                "xrevrange": ("XREVRANGE", log, "+", "-", "COUNT", "1"),
                "xread": ("XREAD", "COUNT", "1", "STREAMS", log, "$"),
            }
        if self.is_replicated:
            questions["wait"] = ("WAIT", "0", "1")
        return tuple([name for name, question in questions.items() if await self._is_forbidden(question)])

    async def _is_forbidden(self, question: tuple[str, ...]) -> bool:
        try:
            await self._ask(*question)
        except NotPermitted:
            return True
        except ScriptUnknown:
            return False
        return False

    async def _ask(self, *command: str, is_write: bool = False) -> Any:
        return await self._wire.execute(*command, within=VISIT_SECONDS, is_write=is_write)


_DENIALS = ("NOPERM", "can't run this command", "can't access", "no permissions")


def _is_denied(line: str) -> bool:
    """Whether a script was told that its user may not do that; each server has words of its own."""
    return any(words in line for words in _DENIALS)


def _word(line: str) -> str:
    """The code with which a server refuses, such as OOM or READONLY."""
    return next((word for word in line.replace("-", " ").split()[1:] if word.isupper()), "ERR")


def _text(value: object) -> str:
    text = decoded(value) if isinstance(value, bytes) else None
    if text is None:
        raise WireError("the reply cannot be read")
    return text
