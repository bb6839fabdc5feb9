"""What a Redis server says of itself, and what follows for its use. No redis in here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from ...events import StoreEvicts, StoreUnwatched
from ...rules.epochs import Memory, is_same_memory
from ...sinks import tell
from .wire import Crowded, NotSent, Refused, ReplyNotAwaited, WireError

OnEviction: TypeAlias = Literal["warn", "refuse"]
"""What is done with a server that drops keys for want of memory: it is used, with a warning, or it is not."""

QUESTION = ("INFO",)
ASK_AGAIN_SECONDS = 30.0
KEEPS_ALL = "noeviction"

_NO_HISTORY = "0" * 40


class Evicts(NotSent):
    """The server may drop keys for want of memory, and the settings refuse such a one."""


class ServerWatch:
    """What one process knows of a store's server. It is asked on each new connection, and every 30 s.

    A connection that was opened before another server took its place is of an older `generation`, and must be dropped.
    """

    def __init__(
        self,
        *,
        is_durable: bool = False,
        is_replicated: bool = False,
        on_eviction: OnEviction = "warn",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_replicated = is_replicated
        self.generation: int = 0
        self._is_durable = is_durable
        self._on_eviction = on_eviction
        self._monotonic = monotonic
        self._seen: Memory | None = None
        self._asked_at: float | None = None
        self._eviction = KEEPS_ALL
        self._is_unwatched = False
        self._moved_from: str | None = None

    @property
    def memory(self) -> Memory | None:
        """Whose memory was asked of late; None where it is said never to be lost, or where the server does not say."""
        return None if self._is_durable else self._seen

    def now(self) -> float:
        """The time by the clock of this watch."""
        return self._monotonic()

    def is_due(self) -> bool:
        """Whether it is time to ask again."""
        return self._asked_at is None or self._monotonic() - self._asked_at >= ASK_AGAIN_SECONDS

    def note(self, answer: object, *, asked_at: float | None = None) -> int:
        """The generation of the connection over which a server said this; a `WireError` where it must not be used."""
        now = self._monotonic()
        if isinstance(answer, WireError) and not isinstance(answer, Refused):
            raise Crowded(str(answer)) if isinstance(answer, ReplyNotAwaited) else NotSent(str(answer))
        if isinstance(answer, bytes):
            self._note_server(_fields(answer), asked_at=now if asked_at is None else asked_at)
        else:
            self._note_watched(False)
        self._asked_at = now
        return self.generation

    def leave(self, *, hands_over: bool = False) -> None:
        """The server is not the one to ask any more; it may have said that another has all it had."""
        self.generation += 1
        self._moved_from = self._seen.run if hands_over and self._seen is not None else None

    def _note_watched(self, is_watched: bool) -> None:
        if not is_watched and not self._is_unwatched:
            tell(StoreUnwatched())
        self._is_unwatched = not is_watched

    def _note_server(self, fields: Mapping[str, str], *, asked_at: float) -> None:
        # A proxy may answer for several servers; two runs that nobody names are not the same one.
        is_named = bool(fields.get("run_id"))
        self._note_watched(is_named)
        if is_named:
            self._note_memory(fields, asked_at=asked_at)
        self._note_eviction(fields.get("maxmemory_policy", KEEPS_ALL))

    def _note_memory(self, fields: Mapping[str, str], *, asked_at: float) -> None:
        heir_of = self._moved_from
        if self._seen is not None and self._seen.run == fields["run_id"]:
            heir_of = self._seen.heir_of
        up_since = self._monotonic() + 1 - _uptime(fields)
        memory = _memory(fields, asked_at, up_since, is_replicated=self.is_replicated, heir_of=heir_of)
        if self.is_replicated and not memory.leads:
            raise NotSent("the server is a replica")
        if not is_same_memory(self._seen, memory):
            self.leave()
        self._seen, self._moved_from = memory, None

    def _note_eviction(self, policy: str) -> None:
        if policy != KEEPS_ALL and policy != self._eviction:
            tell(StoreEvicts(policy=policy))
        self._eviction = policy
        if policy != KEEPS_ALL and self._on_eviction == "refuse":
            self._asked_at = None
            raise Evicts("Evicts")


def _memory(
    fields: Mapping[str, str], seen_at: float, up_since: float, *, is_replicated: bool, heir_of: str | None
) -> Memory:
    before = fields.get("master_replid2", _NO_HISTORY)
    return Memory(
        run=fields["run_id"],
        history=fields.get("master_replid", ""),
        history_before=None if before == _NO_HISTORY else before,
        leads=fields.get("role") != "slave",
        up_since=up_since,
        seen_at=seen_at,
        is_replicated=is_replicated,
        heir_of=heir_of,
    )


def _uptime(fields: Mapping[str, str]) -> int:
    """How long the server has been up. Two times that were cut to the second, so it may be a second less."""
    seconds = fields.get("uptime_in_seconds", "")
    return int(seconds) if seconds.isascii() and seconds.isdigit() else 0


def _fields(info: bytes) -> Mapping[str, str]:
    pairs = (line.partition(":") for line in info.decode("utf-8", "replace").splitlines())
    return {name: value for name, colon, value in pairs if colon}
