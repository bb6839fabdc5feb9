"""Where a fleet keeps what it found out about one token. Nothing that fails in here refuses a token."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable
from typing import NamedTuple

from .. import sinks
from ..errors import StoreUnavailable
from ..events import CacheForged, CacheNotKept, error_class
from ..rules.introspection_entries import Answer, EntryKeys
from .denylist import STORE_SECONDS
from .ports import Entries


class Recalled(NamedTuple):
    """What an entry says, and the names of denials that were read along with it."""

    answer: Answer
    names: tuple[str, ...]


class AnswerShelf:
    """The place of one token, for one caller who may find out more about it."""

    __slots__ = ("_is_spoilt", "_keys", "_kind", "claim", "entries", "name")

    def __init__(self, entries: Entries, keys: EntryKeys, kind: str, digest: bytes) -> None:
        self.entries: Entries = entries
        self._keys = keys
        self._kind = kind
        self._is_spoilt = False
        self.name: str = keys.name(digest)
        self.claim: str = secrets.token_urlsafe(12)

    def read(self, entry: str) -> Recalled:
        """What an entry says; Forged unless one who knows the client secret wrote it for this place."""
        answer, names = self._keys.answer(self.name, entry)
        return Recalled(answer, tuple(names))

    async def share(self, answer: Answer, names: tuple[str, ...], *, seconds: float) -> None:
        """Keep an answer for the others, and let those go on who wait for it."""
        entry = self._keys.entry(self.name, answer, names)
        await self._try(
            self.entries.keep(
                self.name, entry, claim=self.claim, seconds=seconds, over=self._is_spoilt, within=STORE_SECONDS
            )
        )

    async def retire(self) -> None:
        """The token is not active: an entry that says otherwise must go, and not come back."""
        await self._try(self.entries.retire(self.name, claim=self.claim, within=STORE_SECONDS))

    async def release(self) -> None:
        """Nothing was found out: whoever waits may try himself."""
        await self._try(self.entries.release(self.name, claim=self.claim, within=STORE_SECONDS))

    def note_unreadable(self) -> None:
        """What stands here is no entry at all; the next answer takes its place."""
        if not self._is_spoilt:
            self._is_spoilt = True
            sinks.tell(CacheForged(component=self._kind))

    async def forget_forged(self, entry: str) -> None:
        """Take away an entry that is not ours."""
        sinks.tell(CacheForged(component=self._kind))
        await self._try(self.entries.drop(self.name, entry, within=STORE_SECONDS))

    async def _try(self, work: Awaitable[None]) -> None:
        try:
            await work
        except StoreUnavailable as error:
            sinks.tell(CacheNotKept(component=self._kind, error=error_class(error)))
