"""The way of a token: seen before? else routed, verified and judged; then asked of the denylist, every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from ..carriers import Carrier
from ..claims import Claims, identity_of
from ..errors import AuthError, InvalidToken, SettingsError
from ..rules.credentials import carriers_in_order
from ..rules.jws import JoseHeader, SignedText, jose_header, json_segment, taken_apart
from ..rules.jwt_claims import accepted, check_each_time, check_time
from ..rules.routing import kind_for, kinds_of
from ..settings import Kind
from .denylist import Revocations
from .keys import keys_of
from .ports import Ports, Store
from .recall import Recall, Seen

MAX_HEADERS = 256


@dataclass(frozen=True, slots=True)
class Verdict:
    """A token that may be used now, and the epoch of the store that was asked about it."""

    seen: Seen
    epoch: str | None

    @property
    def claims(self) -> Claims:
        """What the token says."""
        return self.seen.claims


class SignedJudge:
    """Judges signed tokens of one kind."""

    __slots__ = ("_clock", "_headers", "_keys", "_recall", "kind")

    def __init__(self, kind: Kind, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self.kind = kind
        self._keys = keys_of(kind, monotonic)
        self._recall = Recall(kind.remember_tokens)
        self._clock = clock
        self._headers: dict[bytes, JoseHeader] = {}

    def recalled(self, digest: bytes, route: Route, ports: Ports) -> Seen | None:
        """The token, if it was seen on this route and its key is still trusted; InvalidToken if its time is over."""
        seen = self._recall.find(digest)
        if seen is None or seen.route is not route or seen.key_epoch != self._keys.epoch(ports):
            return None
        check_time(seen.starts_at, seen.dies_at, now=self._clock())
        return seen

    async def judged(self, text: SignedText, digest: bytes, route: Route, ports: Ports) -> Seen:
        """The token, once its key and its claims are found good."""
        header = self._header(text.header)
        verified = await self._keys.verified(header, text, ports)
        self._keep_header(text.header, header)
        values = json_segment(text.payload)
        good = accepted(values, self.kind, signing_input=text.signing_input, now=self._clock())
        seen = Seen(self.kind, good.claims, good.starts_at, good.dies_at, verified.key_epoch, good.names, route)
        self._recall.keep(digest, seen)
        return seen

    def _header(self, segment: bytes) -> JoseHeader:
        header = self._headers.get(segment) or jose_header(segment)
        if header.algorithm not in self.kind.algorithms:
            raise InvalidToken("bad_algorithm")
        if self.kind.typ is not None and header.typ != self.kind.typ:
            raise InvalidToken("bad_type")
        return header

    def _keep_header(self, segment: bytes, header: JoseHeader) -> None:
        """Only headers that a key has verified are kept, so that nobody can crowd them out."""
        if len(self._headers) >= MAX_HEADERS:
            self._headers = {}
        self._headers[segment] = header


class Route:
    """The kinds among which a token is judged: those of one carrier, or one kind that the caller names."""

    __slots__ = ("judges", "max_bytes", "only_kind")

    def __init__(self, judges: Sequence[SignedJudge]) -> None:
        self.judges = tuple(judges)
        self.max_bytes = max(judge.kind.max_bytes for judge in judges)
        self.only_kind = judges[0].kind.name if len(judges) == 1 else None

    def judge_of(self, text: SignedText, size: int) -> SignedJudge:
        """The judge of the one kind that the token can be of."""
        if len(self.judges) == 1:
            return self.judges[0]
        kind = kind_for(json_segment(text.payload), [judge.kind for judge in self.judges])
        if size > kind.max_bytes:
            raise InvalidToken("too_large")
        return next(judge for judge in self.judges if judge.kind is kind)


class Verification:
    """Several kinds of token behind one question: may this token be used now?"""

    __slots__ = ("_by_carrier", "_by_kind", "_revocations")

    def __init__(
        self,
        kinds: Sequence[Kind],
        revocations: Revocations,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        judges = {kind.name: SignedJudge(kind, clock, monotonic) for kind in kinds}
        routes: dict[tuple[Kind, ...], Route] = {}
        self._revocations = revocations
        self._by_kind = {name: Route([judge]) for name, judge in judges.items()}
        self._by_carrier: dict[Carrier | None, Route] = {}
        for carrier in (None, *carriers_in_order(kind.carriers for kind in kinds)):
            among = kinds_of(carrier, kinds)
            names = tuple(kind.name for kind in among)
            self._by_carrier[carrier] = routes.setdefault(among, Route([judges[name] for name in names]))

    def route(self, *, carrier: Carrier | None = None, kind: str | None = None) -> Route:
        """The route of a token that came in `carrier`, or in none; or of one that the caller knows to be of `kind`."""
        if kind is None:
            return self._by_carrier[carrier]
        if kind not in self._by_kind:
            raise SettingsError(f"{kind!r} is no kind of this verifier; it has {', '.join(map(repr, self._by_kind))}")
        return self._by_kind[kind]

    async def verdict(self, token: str, route: Route, ports: Ports) -> Verdict:
        """The token's claims, if every rule holds now; else AuthError, or Unavailable where we could not find out."""
        kind = route.only_kind
        try:
            seen = await self._seen(token, route, ports)
            kind = seen.kind.name
            return await self._checked(seen, ports.store)
        except AuthError as error:
            error.kind = error.kind or kind
            raise

    async def _checked(self, seen: Seen, store: Store) -> Verdict:
        """What is asked each time: is the token revoked, and do the kind's own checks hold?"""
        kind = seen.kind
        epoch = await self._revocations.check(
            seen.names, store, issued_at=seen.claims.issued_at, leeway=kind.iat_leeway or 0.0, horizon=kind.horizon
        )
        if kind.each_time:
            check_each_time(seen.claims, kind)
        return Verdict(seen, epoch)

    async def spend(self, verdict: Verdict, ports: Ports) -> None:
        """Claim a token whose verdict is known for one use; TokenReplayed if it was used before."""
        identity = identity_of(verdict.claims)
        if identity is None:
            raise InvalidToken("not_single_use")
        await self._revocations.spend(identity, ports.store, epoch_read=verdict.epoch, dies_at=verdict.seen.dies_at)

    async def _seen(self, token: str, route: Route, ports: Ports) -> Seen:
        if len(token) > route.max_bytes:
            raise InvalidToken("too_large")
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        for judge in route.judges:
            seen = judge.recalled(digest, route, ports)
            if seen is not None:
                return seen
        text = taken_apart(token, max_bytes=route.max_bytes)
        judge = route.judge_of(text, len(token))
        try:
            return await judge.judged(text, digest, route, ports)
        except AuthError as error:
            error.kind = judge.kind.name
            raise
