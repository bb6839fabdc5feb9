"""Where the processes of a fleet leave each other an access token. Nothing that fails in here refuses anything."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .. import sinks
from ..errors import StoreUnavailable
from ..events import CacheForged, CacheNotKept, error_class
from ..rules.token_answer import AccessToken, Grant
from ..rules.token_entries import NotOurs, TokenBox
from .denylist import STORE_SECONDS
from .ports import Entries, Flight

PAUSE_SECONDS = 0.025
MOST_LOOKS = 40
WAIT_SECONDS = PAUSE_SECONDS * MOST_LOOKS
LEAST_STORE_SECONDS = 0.05

_T = TypeVar("_T")


class TokenShelf:
    """The place of one client's token, for one caller who may ask for a new one.

    A store that fails once is left alone by this caller: the next one may try it again.
    """

    __slots__ = ("_box", "_claim", "_clock", "_ends_at", "_entries", "_has_failed", "_monotonic", "_says")

    def __init__(
        self,
        entries: Entries,
        box: TokenBox,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        *,
        says: str,
        ends_at: float,
    ) -> None:
        self._entries = entries
        self._box = box
        self._clock = clock
        self._monotonic = monotonic
        self._says = says
        self._ends_at = ends_at
        self._claim = secrets.token_urlsafe(12)
        self._has_failed = False

    async def found(self, flight: Flight, *, other_than: str | None) -> AccessToken | None:
        """A token that another process was granted, even if that takes it a while; None where we must ask."""
        started = self._monotonic()
        name, claim_seconds = self._box.name, self._ends_at - started
        for _ in range(MOST_LOOKS):
            read_at = self._monotonic()
            seen = await self._try(
                lambda left: self._entries.recall(name, claim=self._claim, claim_seconds=claim_seconds, within=left)
            )
            if seen is None or (seen.entry is None and seen.leads) or read_at - started >= WAIT_SECONDS:
                return None
            if seen.entry is None:
                await flight.pause(PAUSE_SECONDS)
                continue
            token = self._token(seen.entry, seen.seconds_left, read_at)
            if token is not None and token.text != other_than:
                return token
            await self._drop(seen.entry)
        return None

    async def keep(self, grant: Grant, *, sent_at: float) -> None:
        """Leave a token for the others, until it should be replaced, and let those go on who wait for it."""
        seconds = self._box.seconds_kept(grant, sent_at=sent_at, now=self._clock())
        if seconds <= 1:
            await self.release()
            return
        name, entry = self._box.name, self._box.entry(grant, sent_at=sent_at)
        await self._try(
            lambda left: self._entries.keep(name, entry, claim=self._claim, seconds=seconds, over=True, within=left)
        )

    async def release(self) -> None:
        """There is no token to leave: whoever waits may ask himself."""
        await self._try(lambda left: self._entries.release(self._box.name, claim=self._claim, within=left))

    async def _drop(self, entry: str) -> None:
        await self._try(lambda left: self._entries.drop(self._box.name, entry, within=left))

    def _token(self, entry: str, seconds_left: float, read_at: float) -> AccessToken | None:
        try:
            return self._box.token(entry, seconds_left=seconds_left, now=self._clock(), read_at=read_at)
        except NotOurs:
            sinks.tell(CacheForged(component=self._says))
        except (ValueError, KeyError, TypeError):
            pass  # another version's, or half of one
        return None

    async def _try(self, work: Callable[[float], Coroutine[Any, Any, _T]]) -> _T | None:
        if self._has_failed:
            return None
        left = min(STORE_SECONDS, self._ends_at - self._monotonic())
        try:
            return await work(max(LEAST_STORE_SECONDS, left))
        except StoreUnavailable as error:
            self._has_failed = True
            sinks.tell(CacheNotKept(component=self._says, error=error_class(error)))
            return None
