"""The store of one process: its own memory."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

from ..core.ports import Spent, StorePolicy
from ..errors import StoreUnavailable
from ..journal import logger
from .forks import tell_after_fork

_SWEPT_PER_WRITE = 4
_POLICY = StorePolicy()
_FORKED = (
    "a MemoryStore was taken over by a forked process: each process now has a memory of its own, so a token that is "
    'revoked or used in one still passes in the others; use store="redis://..." where several processes serve one app'
)


class _Entry(NamedTuple):
    value: str
    ends_at: float


class MemoryStore:
    """Revocations and spent tokens in this process's memory: good for one process, gone when it ends.

    ```python
    Verifier(settings, store=MemoryStore())  # the same as store="memory://"
    ```

    It is a port of either flavour itself: nothing in it waits.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._entries: dict[str, _Entry] = {}
        # One (end, name) for each entry; an entry that lives longer by now is put back when its turn comes.
        self._ends: list[tuple[float, str]] = []
        self._lock = Lock()
        self._forked = False
        tell_after_fork(self)

    def __repr__(self) -> str:
        return "MemoryStore()"

    @property
    def keeps_epoch(self) -> bool:
        """No: this memory is lost only together with the process that would notice."""
        return False

    @property
    def memory(self) -> None:
        """Nothing, for the same reason."""

    @property
    def policy(self) -> StorePolicy:
        """What is usual; nothing of it comes to pass here."""
        return _POLICY

    @property
    def entries(self) -> None:
        """Nothing: what a process finds out, its verifiers remember themselves."""

    def sync_port(self) -> MemoryStore:
        """The port for blocking code."""
        return self

    def async_port(self) -> MemoryStore:
        """The port for the running event loop."""
        return self

    def close(self) -> None:
        """Nothing is open; what is remembered stays."""

    async def aclose(self) -> None:
        """Nothing is open; what is remembered stays."""

    def abandon(self) -> None:
        """Nothing is open; what is remembered stays."""

    async def get_ready(self, *, within: float) -> None:
        """It always is."""

    async def read(self, names: Sequence[str], *, within: float) -> Sequence[str | None]:  # noqa: ARG002
        """The values of `names`; None for a name that is absent."""
        return self.peek(names)

    @property
    def is_blank(self) -> bool:
        """Whether nothing at all is remembered."""
        return not (self._entries or self._forked)

    def peek(self, names: Sequence[str]) -> Sequence[str | None]:
        """The same, for nothing in here waits."""
        if self._forked:
            self._warn_of_fork()
        # On the path of every request, where hardly ever anything is revoked: this line answers nearly all of them.
        if self._entries.keys().isdisjoint(names):
            return (None,) * len(names)
        now = self._monotonic()
        return [self._value(name, now) for name in names]

    async def raise_mark(self, name: str, number: int, *, keep_seconds: int, within: float) -> None:  # noqa: ARG002
        """Keep the larger number, and the longer life, under `name`."""
        with self._writing() as now:
            present = self._value(name, now)
            marked = max(0, number) if present is None else max(number, _number(present))
            self._put(name, f"1|{marked}", now + max(1, keep_seconds))

    async def spend(
        self,
        name: str,
        nonce: str,
        *,
        epoch: str | None,  # noqa: ARG002
        keep_seconds: int,
        within: float,  # noqa: ARG002
    ) -> Spent:
        """Put `nonce` under `name` if it is absent."""
        with self._writing() as now:
            if self._value(name, now) is not None:
                return Spent.REPLAYED
            self._put(name, f"1|{nonce}", now + max(1, keep_seconds))
            return Spent.FIRST

    async def found_epoch(self, observed: str | None, *, trusted: bool, later_than: int = 0, within: float) -> str:
        """Never called: a store that keeps no epoch has none to found."""
        raise NotImplementedError("a MemoryStore keeps no epoch")

    def after_fork(self) -> None:
        """Another thread may have held the lock when this process was made."""
        self._lock = Lock()
        self._forked = True

    def _warn_of_fork(self) -> None:
        self._forked = False
        logger.warning(_FORKED)

    def _value(self, name: str, now: float) -> str | None:
        entry = self._entries.get(name)
        return None if entry is None or entry.ends_at <= now else entry.value

    @contextmanager
    def _writing(self) -> Generator[float, None, None]:
        if self._forked:
            self._warn_of_fork()
        with self._lock:
            now = self._monotonic()
            self._sweep(now)
            yield now

    def _put(self, name: str, value: str, ends_at: float) -> None:
        present = self._entries.get(name)
        if present is None:
            heapq.heappush(self._ends, (ends_at, name))
        else:
            ends_at = max(ends_at, present.ends_at)
        self._entries[name] = _Entry(value, ends_at)

    def _sweep(self, now: float) -> None:
        # A few at a time, so that no write waits for all that has ended; more than one, so that the sweep keeps up.
        for _ in range(_SWEPT_PER_WRITE):
            if not self._ends or self._ends[0][0] > now:
                return
            self._settle(self._ends[0][1], now)

    def _settle(self, name: str, now: float) -> None:
        ends_at = self._entries[name].ends_at
        if ends_at > now:
            heapq.heapreplace(self._ends, (ends_at, name))
        else:
            heapq.heappop(self._ends)
            del self._entries[name]


def _number(value: str) -> int:
    version, _, number = value.partition("|")
    if version != "1" or not (number.isascii() and number.isdigit()):
        raise StoreUnavailable("store_unreadable")
    return int(number)
