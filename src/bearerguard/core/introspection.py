"""Judging opaque tokens: by what the fleet has found out, or else by what the provider says."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..errors import InvalidToken, ProviderUnavailable, StoreUnavailable
from ..events import PassedUnchecked
from ..rules.acceptance import check_time
from ..rules.introspection import accepted_facts, check_shape
from ..rules.introspection_entries import Answer, EntryKeys, Forged
from ..settings import OpaqueTokens
from ..sinks import tell
from .answer_shelf import AnswerShelf
from .denylist import STORE_SECONDS, Reading, Revocations
from .ports import Ports
from .provider import Provider, Said
from .recall import Judged, Recall, Seen

PAUSE_SECONDS = 0.025
PART_TO_WAIT = 0.5
"""For this part of the deadline we wait for another process that asks about the same token."""

MOST_ASKING = 288
"""As many as may be under way and may wait at the provider. It holds before the store is asked: what strangers make up
must not crowd out the checks of those who are known."""

OPEN_SECONDS = 3600.0
"""For so long after the provider was asked its answer may stand in for a new one, where the settings say so."""

REPRIEVE_SECONDS = 1.0
"""For so long such a token passes before the provider is tried again."""

MOST_GONE = 1024
"""So many inactive tokens are known as such, to keep out an answer about one that was asked for before."""


class AnswerLife:
    """How long a remembered answer stands. It runs on both clocks, so that no step of either makes it longer."""

    __slots__ = ("_clock", "_ends_at", "_monotonic", "_open_until", "_over_at", "_sent_at")

    def __init__(
        self,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        *,
        sent_at: float,
        ends_at: float,
        over_at: float,
        open_until: float | None = None,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._sent_at = sent_at
        self._ends_at = ends_at
        self._over_at = over_at
        if open_until is None:
            open_until = monotonic() + OPEN_SECONDS - max(0.0, clock() - sent_at)
        self._open_until = open_until

    def epoch(self, _: Ports) -> int | None:
        """Zero while the answer stands; once it is over it stays so, wherever a clock is set."""
        if self._sent_at <= self._clock() < self._ends_at and self._monotonic() < self._over_at:
            return 0
        self._over_at = -math.inf
        return None

    def reprieve(self) -> AnswerLife | None:
        """A little more life for an answer that cannot be had anew; nothing for one that is too old for that."""
        now, monotonic_now = self._clock(), self._monotonic()
        if not 0 <= now - self._sent_at < OPEN_SECONDS or monotonic_now >= self._open_until:
            return None
        return AnswerLife(
            self._clock,
            self._monotonic,
            sent_at=self._sent_at,
            ends_at=now + REPRIEVE_SECONDS,
            over_at=monotonic_now + REPRIEVE_SECONDS,
            open_until=self._open_until,
        )

    def seconds_left(self) -> float:
        """For how long the answer stands from now on, by the clock that is stricter."""
        now = self._clock()
        return min(self._ends_at - now, self._over_at - self._monotonic()) if now >= self._sent_at else 0.0


class OpaqueJudge:
    """Judges opaque tokens of one kind."""

    __slots__ = ("_clock", "_entry_keys", "_gone", "_monotonic", "_provider", "_revocations", "_tables", "kind")

    def __init__(
        self,
        kind: OpaqueTokens,
        revocations: Revocations,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.kind: OpaqueTokens = kind
        self._clock = clock
        self._monotonic = monotonic
        self._provider = Provider(kind, clock, monotonic)
        self._revocations = revocations
        self._entry_keys: tuple[str, EntryKeys] | None = None
        self._tables: set[Recall] = set()
        self._gone: dict[bytes, float] = {}

    @property
    def most_remembered(self) -> int:
        """How many tokens this process may remember."""
        return self.kind.remember_tokens if self.kind.cache_seconds else 0

    async def judged(self, token: bytes, digest: bytes, table: Recall, ports: Ports) -> Judged:
        """The token, if the provider calls it active and its claims are good."""
        check_shape(token, self.kind)
        readings: list[Reading] = []
        seen = await ports.flight.once(
            f"token {id(table)} {digest.hex()}",
            lambda: self._found_out(token, digest, table, ports, readings),
            within=self.kind.deadline + STORE_SECONDS,
            # Whoever is known is not locked out by strangers, also when it is time to ask about him again.
            most=MOST_ASKING if table.find(digest) is None else None,
        )
        # Only who found it out has read the marks just now; for those who waited, they may have changed since.
        return seen, readings[0] if readings else None

    async def _found_out(
        self, token: bytes, digest: bytes, table: Recall, ports: Ports, readings: list[Reading]
    ) -> Seen:
        """The token as it stands in the table once this ends: whoever comes later finds it there."""
        seen = table.find(digest)
        if seen is not None and seen.stands(ports):
            return seen  # somebody else was faster
        self._tables.add(table)
        started = self._monotonic()
        try:
            seen = await self._asked_around(token, digest, ports, readings)
        except InvalidToken:
            self._forget(digest)
            raise
        except ProviderUnavailable:
            seen = self._reprieved(digest, table)
            if seen is None:
                raise
        if self._gone.get(digest, -math.inf) <= started:
            table.keep(digest, seen)
        return seen

    def _reprieved(self, digest: bytes, table: Recall) -> Seen | None:
        """A token that was good when the provider was last asked, where the settings let it pass now that it is not."""
        known = table.find(digest) if self.kind.on_failure == "open" else None
        life = known.backing.reprieve() if known is not None and isinstance(known.backing, AnswerLife) else None
        if known is None or life is None:
            return None
        check_time(known.starts_at, known.dies_at, now=self._clock())
        tell(PassedUnchecked(dependency="provider", kind=self.kind.name))
        return known.backed_by(life)

    def _forget(self, digest: bytes) -> None:
        """Remember the token nowhere, and no answer that was asked for before this moment."""
        for table in tuple(self._tables):
            table.forget(digest)
        if len(self._gone) >= MOST_GONE:
            self._gone = {}
        self._gone[digest] = self._monotonic()

    async def _asked_around(self, token: bytes, digest: bytes, ports: Ports, readings: list[Reading]) -> Seen:
        """The token as the fleet has found it out, or else as the provider says."""
        ends_at = self._monotonic() + self.kind.deadline
        endpoint = await self._provider.endpoint(ports, within=self.kind.deadline)
        shelf = self._shelf(digest, endpoint, ports)
        try:
            reading, seen = (None, None) if shelf is None else await self._recalled(token, shelf, ports)
        except StoreUnavailable as error:
            if not ports.store.policy.lets_pass(error):
                raise
            shelf = reading = seen = None
        if shelf is None or reading is None:
            return self._judged_answer(token, await self._provider.said(token, endpoint, ports, ends_at=ends_at))[0]
        if seen is None:
            return await self._asked(token, endpoint, shelf, ports, ends_at=ends_at)
        readings.append(reading)
        return seen

    def _shelf(self, digest: bytes, endpoint: str, ports: Ports) -> AnswerShelf | None:
        entries = ports.store.entries
        if entries is None or not (self.kind.may_share and self.kind.cache_seconds):
            return None
        return AnswerShelf(entries, self._keys_at(endpoint), self.kind.name, digest)

    def _keys_at(self, endpoint: str) -> EntryKeys:
        known = self._entry_keys
        if known is None or known[0] != endpoint:
            self._entry_keys = known = (endpoint, EntryKeys(self.kind, endpoint))
        return known[1]

    async def _recalled(self, token: bytes, shelf: AnswerShelf, ports: Ports) -> tuple[Reading, Seen | None]:
        """What the fleet knows of the token, after a while in which another process may be finding it out."""
        now = self._monotonic()
        waits_until = now + self.kind.deadline * PART_TO_WAIT
        while True:
            reading = await self._revocations.recall(
                shelf.name, shelf.entries, claim=shelf.claim, claim_seconds=self.kind.deadline
            )
            seen = await self._of_entry(token, reading, shelf, read_at=now)
            now = self._monotonic()
            if seen is not None or reading.recollection.leads or now >= waits_until:
                return reading, seen
            await ports.flight.pause(PAUSE_SECONDS)
            now = self._monotonic()

    async def _of_entry(self, token: bytes, reading: Reading, shelf: AnswerShelf, *, read_at: float) -> Seen | None:
        """The token as the entry has it, judged anew; None where there is none that is fresh and ours."""
        entry = reading.recollection.entry
        if entry is None:
            if reading.recollection.is_unreadable:
                shelf.note_unreadable()
            return None
        try:
            answer, names = shelf.read(entry)
        except Forged:
            await shelf.forget_forged(entry)
            return None
        seen = self._judged_entry(token, answer, reading.recollection.seconds_left, read_at)
        # The marks that were read must be those of this very token, else they say nothing about it.
        return seen if seen is not None and seen.names == names == tuple(reading.recollection.names) else None

    async def _asked(self, token: bytes, endpoint: str, shelf: AnswerShelf, ports: Ports, *, ends_at: float) -> Seen:
        try:
            said = await self._provider.said(token, endpoint, ports, ends_at=ends_at)
            seen, life = self._judged_answer(token, said)
        except Exception as error:
            is_inactive = isinstance(error, InvalidToken) and error.reason == "inactive"
            await (shelf.retire() if is_inactive else shelf.release())
            raise
        await self._share(shelf, said.answer, seen, life)
        return seen

    async def _share(self, shelf: AnswerShelf, answer: Answer | None, seen: Seen, life: AnswerLife) -> None:
        seconds = life.seconds_left()
        if answer is None or seconds <= 0:
            await shelf.release()
        else:
            await shelf.share(answer, seen.names, seconds=seconds)

    def _judged_answer(self, token: bytes, said: Said) -> tuple[Seen, AnswerLife]:
        if said.answer is None:
            raise InvalidToken("inactive")
        return self._seen(token, said.answer, over_at=said.asked_at + said.answer.seconds)

    def _judged_entry(self, token: bytes, answer: Answer, seconds_left: float, read_at: float) -> Seen | None:
        """The token as another process found it out; its copy lives no longer than the entry, by either clock."""
        fresh = min(seconds_left, answer.fresh_for(now=self._clock(), at_most=self.kind.cache_seconds))
        return self._seen(token, answer, over_at=read_at + fresh)[0] if fresh > 0 else None

    def _seen(self, token: bytes, answer: Answer, *, over_at: float) -> tuple[Seen, AnswerLife]:
        claims, starts_at, dies_at = accepted_facts(answer.facts, self.kind, token=token, now=self._clock())
        ends_at = answer.sent_at + min(answer.seconds, self.kind.cache_seconds)
        life = AnswerLife(self._clock, self._monotonic, sent_at=answer.sent_at, ends_at=ends_at, over_at=over_at)
        seen = Seen(self.kind, claims, starts_at, dies_at, life)
        if seen.issued_at is not None:
            # A token that the provider has called active was issued by then, whatever it says of itself.
            seen.issued_at = min(seen.issued_at, answer.sent_at)
        return seen, life
