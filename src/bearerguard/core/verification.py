"""The way of a token: seen before? else routed, verified and judged; then asked of the denylist, every time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Protocol

from ..carriers import Carrier
from ..errors import AuthError, InvalidToken, SettingsError, StoreUnavailable, Unavailable
from ..events import PassedUnchecked, TokenOutlivesHorizon
from ..rules.acceptance import check_each_time, check_time
from ..rules.credentials import Presented, carriers_in_order
from ..rules.revocation import identity_of
from ..rules.routing import check_is_for, kind_for, kinds_of
from ..settings import Kind, SignedTokens
from ..sinks import tell
from .denylist import Reading, Revocations
from .introspection import OpaqueJudge
from .ports import Ports, Store
from .recall import Judged, Recall, Seen, Verdict
from .signed import SignedJudge


class Judge(Protocol):
    """Whoever judges the tokens of one kind."""

    @property
    def kind(self) -> Kind:
        """The settings of these tokens."""
        ...

    @property
    def most_remembered(self) -> int:
        """How many of them may be remembered."""
        ...

    async def judged(self, token: bytes, digest: bytes, table: Recall, ports: Ports, /) -> Judged:
        """The token, once it is found good and remembered in `table`."""
        ...


class Route:
    """The kinds among which a token is judged, and the tokens that were seen there.

    The kinds are those of one carrier, or the one that the caller names. A token that was seen on one route is a
    stranger on the others.
    """

    __slots__ = ("_clock", "_recalls", "_tables", "beside_signed", "found", "judges", "max_bytes", "only_kind")

    def __init__(self, judges: Sequence[Judge], clock: Callable[[], float], *, beside_signed: bool) -> None:
        self.judges: tuple[Judge, ...] = tuple(judges)
        self.beside_signed: bool = beside_signed
        self.max_bytes: int = max(judge.kind.max_bytes for judge in judges)
        self.only_kind: str | None = judges[0].kind.name if len(judges) == 1 else None
        self._recalls = {judge.kind.name: Recall(judge.most_remembered) for judge in judges}
        self._tables = tuple(self._recalls.values())
        self.found: Callable[[bytes], Seen | None] = (
            self._tables[0].find if len(self._tables) == 1 else self._found_in_all
        )
        self._clock = clock

    def recalled(self, digest: bytes, ports: Ports) -> Seen | None:
        """The token, if it was seen here and its key is still trusted; InvalidToken if its time is over."""
        seen = self.found(digest)
        if seen is None or not seen.stands(ports):
            return None
        check_time(seen.starts_at, seen.dies_at, now=self._clock())
        return seen

    def _found_in_all(self, digest: bytes) -> Seen | None:
        for recall in self._tables:
            seen = recall.find(digest)
            if seen is not None:
                return seen
        return None

    def judge_of(self, token: bytes) -> Judge:
        """Who judges this token, as the one kind that it can be."""
        if len(token) > self.max_bytes:
            raise InvalidToken("too_large")
        judge = self.judges[0] if len(self.judges) == 1 else self._judge_among_several(token)
        if self.beside_signed:
            check_is_for(judge.kind, token)
        return judge

    def table_of(self, judge: Judge) -> Recall:
        """Where the tokens are remembered that this judge finds good."""
        return self._recalls[judge.kind.name]

    def _judge_among_several(self, token: bytes) -> Judge:
        kind = kind_for(token, [judge.kind for judge in self.judges])
        if len(token) > kind.max_bytes:
            raise InvalidToken("too_large")
        return next(judge for judge in self.judges if judge.kind is kind)


class Verification:
    """Several kinds of token behind one question: may this token be used now?"""

    __slots__ = ("_by_carrier", "_by_kind", "_clock", "_revocations")

    def __init__(
        self,
        kinds: Sequence[Kind],
        revocations: Revocations,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        judges = {kind.name: _judge(kind, revocations, clock, monotonic) for kind in kinds}
        self._revocations = revocations
        self._clock = clock
        beside_signed = any(isinstance(kind, SignedTokens) for kind in kinds)
        self._by_kind = {name: Route([judge], clock, beside_signed=beside_signed) for name, judge in judges.items()}
        self._by_carrier: dict[Carrier | None, Route] = {}
        routes: dict[tuple[Kind, ...], Route] = {}
        for carrier in (None, *carriers_in_order(kind.carriers for kind in kinds)):
            among = kinds_of(carrier, kinds)
            if among not in routes:
                routes[among] = Route([judges[kind.name] for kind in among], clock, beside_signed=beside_signed)
            self._by_carrier[carrier] = routes[among]

    def route(self, *, carrier: Carrier | None = None, kind: str | None = None) -> Route:
        """The route of a token that came in `carrier`, or in none; or of one that the caller knows to be of `kind`."""
        if kind is None:
            return self._by_carrier[carrier]
        if kind not in self._by_kind:
            raise SettingsError(f"{kind!r} is no kind of this verifier; it has {', '.join(map(repr, self._by_kind))}")
        return self._by_kind[kind]

    def presumed(self) -> Presented | None:
        """What a request without a token is taken to present: nothing, unless a test has put another in our place."""
        return None

    async def verdict(self, token: bytes, route: Route, ports: Ports) -> Verdict:
        """The token's claims, if every rule holds now; else AuthError, or Unavailable where we could not find out."""
        digest = sha256(token).digest()
        return self.recalled(digest, route, ports) or await self.judged(token, digest, route, ports)

    def recalled(self, digest: bytes, route: Route, ports: Ports) -> Verdict | None:
        """The verdict on a token that was seen before, where nobody need be waited for; else None.

        It is what `judged` would say: time, key, revocation and the kind's own checks are looked at each time.
        """
        seen = route.found(digest)
        if seen is None or not seen.starts_at <= self._clock() < seen.dies_at:
            return None
        if seen.backing is not None and not seen.stands(ports):
            return None
        try:
            if not (ports.store.is_blank or self._revocations.knows_unrevoked(seen, ports.store)):
                return None
            if seen.each_time:
                check_each_time(seen.claims, seen.kind)
        except AuthError as error:
            error.kind = seen.claims.kind
            raise
        seen.seen_before = True
        return seen

    async def judged(self, token: bytes, digest: bytes, route: Route, ports: Ports) -> Verdict:
        """The verdict on a token that was not recalled: keys and the store may have to be waited for."""
        judge: Judge | None = None
        seen: Seen | None = None
        try:
            seen, reading, is_clear = route.recalled(digest, ports), None, False
            if seen is not None:
                seen.seen_before = True
            else:
                judge = route.judge_of(token)
                seen, reading = await judge.judged(token, digest, route.table_of(judge), ports)
                self._tell_if_it_outlives_its_horizon(seen)
                is_clear = ports.store.is_blank or self._revocations.knows_unrevoked(seen, ports.store)
            epoch = None if is_clear else await self._asked_epoch(seen, ports.store, reading)
            if seen.each_time:
                check_each_time(seen.claims, seen.kind)
        except (AuthError, Unavailable) as error:
            _name_the_kind(error, route, judge, seen)
            raise
        return seen if epoch is None else Verdict(seen.claims, seen.dies_at, epoch, seen_before=seen.seen_before)

    def _tell_if_it_outlives_its_horizon(self, seen: Seen) -> None:
        horizon, claims = seen.kind.horizon, seen.claims
        if horizon is not None and claims.expires_at is not None:
            begins_at = self._clock() if claims.issued_at is None else claims.issued_at
            if claims.expires_at - begins_at > horizon:
                tell(TokenOutlivesHorizon(kind=seen.kind.name))

    async def _asked_epoch(self, seen: Seen, store: Store, reading: Reading | None) -> str | None:
        """The epoch of the store, which was asked; TokenRevoked if it knows of a revocation.

        Nothing where it could not be asked, and its policy lets everybody pass who passes all other checks.
        """
        try:
            return await self._revocations.check(seen, store, reading)
        except StoreUnavailable as error:
            if not store.policy.lets_pass(error):
                raise
            tell(PassedUnchecked(dependency="store", kind=seen.kind.name))
            return None

    async def spend(self, verdict: Verdict, ports: Ports) -> None:
        """Claim a token whose verdict is known for one use; TokenReplayed if it was used before."""
        identity = identity_of(verdict.claims)
        if identity is None or verdict.dies_at == math.inf:
            raise InvalidToken("not_single_use")
        epoch = verdict.epoch
        if epoch is None and ports.store.keeps_epoch:
            epoch = await self._revocations.check(self._seen_again(verdict), ports.store)
        await self._revocations.spend(identity, ports.store, epoch_read=epoch, dies_at=verdict.dies_at)

    def _seen_again(self, verdict: Verdict) -> Seen:
        """The token of a verdict that was reached without asking the store."""
        kind = self._by_kind[verdict.claims.kind].judges[0].kind
        return Seen(kind, verdict.claims, -math.inf, verdict.dies_at)


def _name_the_kind(error: AuthError | Unavailable, route: Route, judge: Judge | None, seen: Seen | None) -> None:
    """Say of which kind the token is, as far as that was known; a store that fails does so for all kinds."""
    if seen is not None:
        error.kind = error.kind or (seen.claims.kind if isinstance(error, AuthError) else None)
    else:
        error.kind = route.only_kind if judge is None else judge.kind.name


def _judge(kind: Kind, revocations: Revocations, clock: Callable[[], float], monotonic: Callable[[], float]) -> Judge:
    if isinstance(kind, SignedTokens):
        return SignedJudge(kind, clock, monotonic)
    return OpaqueJudge(kind, revocations, clock, monotonic)
