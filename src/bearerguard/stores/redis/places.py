"""Where the one server is that has to be asked: at a fixed place, or where Sentinels or a cluster say.

No redis in here.
"""

from __future__ import annotations

import binascii
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

from .address import Guides, Place, RedisAddress
from .wire import Moved, NotSent

Arguments: TypeAlias = Mapping[str, Any]
"""What redis-py needs to connect."""

FRESH_SECONDS = 1.0
"""For so long a master that a Sentinel named is taken for the master, though connections to it stand."""

SLOTS = 16384
MOST_NODES = 64


class Ask(Protocol):
    """One command on a connection of its own."""

    async def __call__(self, arguments: Arguments, /, *command: str) -> Any:
        """The reply. Where there is none it raises; an error that the server replies may be given or raised."""
        ...


class Finder(Protocol):
    """Finds the server."""

    @property
    def is_replicated(self) -> bool:
        """Whether others stand ready to take the server's place."""
        ...

    def is_due(self) -> bool:
        """Whether the place should be looked up again although connections to it stand."""
        ...

    async def found(self, ask: Ask) -> Arguments:
        """How to connect to it."""
        ...

    async def was_handed_over(self, ask: Ask, by: Arguments) -> bool:
        """Whether the server that was asked until now says that it gave another all it had."""
        ...

    def forget(self) -> None:
        """It was not there."""


def finder_for(address: RedisAddress, key: str) -> Finder:
    """Finds the server that has `key`."""
    if address.guides is None:
        return FixedPlace(address.arguments)
    if address.guides.service is None:
        return ByCluster(address.arguments, address.guides, key)
    return BySentinel(address.arguments, address.guides, address.guides.service)


class FixedPlace:
    """The server of a plain URL."""

    is_replicated = False

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments

    def is_due(self) -> bool:
        """Never."""
        return False

    async def found(self, ask: Ask) -> Arguments:  # noqa: ARG002
        """Where it always is."""
        return self._arguments

    async def was_handed_over(self, ask: Ask, by: Arguments) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def forget(self) -> None:
        """Nothing: there is no other place."""


class BySentinel:
    """The master that the Sentinels name."""

    is_replicated = True

    def __init__(
        self,
        arguments: Arguments,
        guides: Guides,
        service: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._arguments = arguments
        self._guides = guides
        self._service = service
        self._order = _Order(guides.places)
        self._monotonic = monotonic
        self._asked_at: float | None = None

    def is_due(self) -> bool:
        """Whether another may have become the master since."""
        return self._asked_at is not None and self._monotonic() - self._asked_at >= FRESH_SECONDS

    async def found(self, ask: Ask) -> Arguments:
        """Where the first Sentinel that answers says."""
        self._asked_at = self._monotonic()
        _, reply = await self._order.answer(ask, self._guides, ("SENTINEL", "get-master-addr-by-name", self._service))
        host, port = _place(reply)
        return {**self._arguments, "host": host, "port": port}

    async def was_handed_over(self, ask: Ask, by: Arguments) -> bool:  # noqa: ARG002
        """Never: who takes over from a master has a copy of its history, or has lost something."""
        return False

    def forget(self) -> None:
        """Nothing: for every new connection a Sentinel is asked."""


class ByCluster:
    """The master of the slot that all keys of one prefix are in."""

    is_replicated = True

    def __init__(
        self,
        arguments: Arguments,
        guides: Guides,
        key: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._arguments = arguments
        self._guides = guides
        self._key = key
        self._slot = slot_of(key)
        self._order = _Order(guides.places)
        self._monotonic = monotonic
        self._asked_at: float | None = None
        self._owner: Place | None = None

    def is_due(self) -> bool:
        """Whether another may have become the master since; a node that was frozen does not know it."""
        return self._asked_at is not None and self._monotonic() - self._asked_at >= FRESH_SECONDS

    async def found(self, ask: Ask) -> Arguments:
        """Where another node than the owner says, if there is one."""
        if self._owner is None or self.is_due():
            self._asked_at = self._monotonic()
            asked, reply = await self._order.answer(ask, self._guides, ("CLUSTER", "SLOTS"))
            self._owner = self._owner_in(_masters(reply, asked=asked))
        host, port = self._owner
        return {**self._arguments, "host": host, "port": port}

    def _owner_in(self, masters: list[tuple[int, int, Place]]) -> Place:
        self._order.add(master for _, _, master in masters)
        for low, high, master in masters:
            if low <= self._slot <= high:
                self._order.put_last(master)
                return master
        raise NotSent("no node has the slot")

    async def was_handed_over(self, ask: Ask, by: Arguments) -> bool:
        """Whether it is a master still, and says that the slot has moved: then every key was moved along."""
        info = await ask(by, "INFO", "replication")
        is_master = isinstance(info, bytes) and b"role:master" in info
        return is_master and isinstance(await ask(by, "MGET", self._key), Moved)

    def forget(self) -> None:
        """The slot has moved, or its master is gone: the next connection asks again."""
        self._owner = None


class _Order:
    """Whom to ask first: who answered last. Replaced whole, so threads need no lock."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._places = tuple(places)

    def add(self, places: Iterable[Place]) -> None:
        self._places = tuple(dict.fromkeys((*self._places, *places)))[:MOST_NODES]

    async def answer(self, ask: Ask, guides: Guides, command: tuple[str, ...]) -> tuple[Place, list[Any]]:
        """The first answer that is a list, and whose it is. Who was asked first and gave none is asked last next time.

        Not so who was asked after it: there may have been no time left to answer in.
        """
        failure: Exception = NotSent("nobody answered")
        places = self._places
        self.put_last(places[0])
        for place in places:
            arguments = {**guides.arguments, "host": place[0], "port": place[1]}
            try:
                reply = await ask(arguments, *command)
            except Exception as error:
                failure = error
                continue
            if isinstance(reply, list):
                self._put_first(place)
                return place, reply
            failure = NotSent("no place is known")
        raise failure

    def _put_first(self, place: Place) -> None:
        self._places = (place, *(other for other in self._places if other != place))

    def put_last(self, place: Place) -> None:
        """Ask this one after all others."""
        self._places = (*(other for other in self._places if other != place), place)


def slot_of(key: str) -> int:
    """The slot that a cluster keeps `key` in, which has a hash tag."""
    tag = key.partition("{")[2].partition("}")[0]
    return binascii.crc_hqx(tag.encode(), 0) % SLOTS


def _place(reply: list[Any]) -> Place:
    match reply:
        case [bytes(host), bytes(port)] if port.isdigit():
            return host.decode(), int(port)
    raise NotSent("no place is known")


def _masters(reply: list[Any], *, asked: Place) -> list[tuple[int, int, Place]]:
    """The ranges of slots and their masters. A node that does not know its own name is where it was asked."""
    found: list[tuple[int, int, Place]] = []
    for each in reply:
        match each:
            case [int(low), int(high), [host, int(port), *_], *_]:
                found.append((low, high, (host.decode() if isinstance(host, bytes) and host else asked[0], port)))
    return found
