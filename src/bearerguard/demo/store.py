"""A store in memory that can be stopped, and then is like a Redis that nobody reaches."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.ports import Spent
from ..errors import StoreUnavailable
from ..sinks import told_if_unavailable
from ..stores import MemoryStore


class StoppableStore(MemoryStore):
    """What a `MemoryStore` is, while it is not stopped; and it can be made to forget."""

    def __init__(self) -> None:
        super().__init__()
        self.is_stopped: bool = False
        self._memory = MemoryStore()

    def forget(self) -> None:
        """Begin with an empty memory."""
        self._memory = MemoryStore()

    @property
    def is_blank(self) -> bool:
        """Whether nothing at all is remembered; nobody knows while it is stopped."""
        return not self.is_stopped and self._memory.is_blank

    def peek(self, names: Sequence[str]) -> Sequence[str | None]:
        """The values of `names`; every check asks for them here."""
        with told_if_unavailable("store"):
            return self._reached().peek(names)

    async def read(self, names: Sequence[str], *, within: float) -> Sequence[str | None]:
        """The values of `names`."""
        return await self._reached().read(names, within=within)

    async def raise_mark(self, name: str, number: int, *, keep_seconds: int, within: float) -> None:
        """Keep the larger number, and the longer life, under `name`."""
        await self._reached().raise_mark(name, number, keep_seconds=keep_seconds, within=within)

    async def spend(self, name: str, nonce: str, *, epoch: str | None, keep_seconds: int, within: float) -> Spent:
        """Put `nonce` under `name` if it is absent."""
        return await self._reached().spend(name, nonce, epoch=epoch, keep_seconds=keep_seconds, within=within)

    def _reached(self) -> MemoryStore:
        if self.is_stopped:
            raise StoreUnavailable from ConnectionRefusedError("the store is stopped")
        return self._memory
