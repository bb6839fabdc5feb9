"""Finding the key that verifies a token: among keys that stand in the settings, or in a set that is fetched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import NoReturn, Protocol

from .. import sinks
from ..checks import origin_of_url
from ..errors import InvalidToken, ProviderUnavailable
from ..events import KeysRefreshed, OldSecretUsed, PassedUnchecked, ProviderFailed, error_class
from ..keys import JwksKeys, SharedSecrets, StaticKeys
from ..rules.jws import JoseHeader, KeyRing, SignedText, verifying_key
from ..rules.key_set import KeySet, after_failure, after_success, lifetime_of, ring_of_document
from ..settings import SignedTokens
from .ports import HttpAnswer, HttpRequest, Ports


class Keys(Protocol):
    """The keys of one kind of token."""

    @property
    def can_change(self) -> bool:
        """Whether there will ever be another epoch."""
        ...

    def epoch(self, ports: Ports, /) -> int | None:
        """Which keys are trusted at this moment; None for no keys at all. Never waits."""
        ...

    def verified_at_once(self, header: JoseHeader, text: SignedText, /) -> int | None:
        """What `verified` gives, where nobody need ever be waited for; else None."""
        ...

    async def verified(self, header: JoseHeader, text: SignedText, ports: Ports, /) -> int:
        """The epoch of the keys, read before the key that verified was looked up; InvalidToken where none does."""
        ...


def keys_of(settings: SignedTokens, monotonic: Callable[[], float]) -> Keys:
    """The keys that the settings name."""
    if isinstance(settings.keys, JwksKeys):
        return FetchedKeys(settings.keys, settings, monotonic)
    return FixedKeys(settings.keys, settings.algorithms)


class FixedKeys:
    """Keys that stand in the settings."""

    __slots__ = ("_ring",)

    can_change = False

    def __init__(self, source: SharedSecrets | StaticKeys, algorithms: Sequence[str]) -> None:
        ignores_kid = isinstance(source, SharedSecrets) or source.ignores_kid
        self._ring = KeyRing(source.prepared(algorithms), ignores_kid=ignores_kid)

    def epoch(self, _: Ports) -> int | None:
        """Keys in the settings never change."""
        return 0

    def verified_at_once(self, header: JoseHeader, text: SignedText) -> int:
        """Zero, the one epoch there is, if a key verifies the signature."""
        candidates = self._ring.candidates(header)
        key = verifying_key(candidates, text)
        if key is None:
            raise InvalidToken("bad_signature" if candidates else "unknown_key")
        if key.index and key.algorithm.startswith("HS"):
            sinks.tell(OldSecretUsed(index=key.index))
        return 0

    async def verified(self, header: JoseHeader, text: SignedText, _: Ports) -> int:
        """The same: there is nothing to wait for."""
        return self.verified_at_once(header, text)


class FetchedKeys:
    """Keys that are fetched, kept and fetched again. Whoever needs a key that we hold never waits."""

    can_change = True

    __slots__ = ("_algorithms", "_epochs", "_flight_key", "_held", "_kind", "_monotonic", "_source")

    def __init__(self, source: JwksKeys, settings: SignedTokens, monotonic: Callable[[], float]) -> None:
        self._source = source
        self._algorithms = settings.algorithms
        self._kind = settings.name
        self._monotonic = monotonic
        self._held = KeySet()
        self._epochs = count(1)
        self._flight_key = f"keys {id(self)}"

    def epoch(self, ports: Ports) -> int | None:
        """The epoch of the set we hold, while it is trusted; a set that ages is fetched behind the caller's back."""
        held, now = self._held, self._monotonic()
        if not held.is_trusted(self._source, now):
            return None
        if held.wants_refresh(now):
            ports.flight.behind(self._flight_key, lambda: self._fetch(ports))
        return held.epoch

    def verified_at_once(self, header: JoseHeader, text: SignedText) -> None:
        """Nothing: the keys may have to be fetched."""

    async def verified(self, header: JoseHeader, text: SignedText, ports: Ports) -> int:
        """The epoch of the set whose key verifies the signature, after one fetch at most."""
        if self.epoch(ports) is None:
            await self._ask(ports)
        held = self._held
        key = verifying_key(held.ring.candidates(header), text)
        if key is None and held.may_ask(self._monotonic()):
            await self._ask(ports)
            held = self._held
            key = verifying_key(held.ring.candidates(header), text)
        if key is None:
            self._refuse(held, header)
        if self._makes_do() and not held.is_trusted(self._source, self._monotonic()):
            sinks.tell(PassedUnchecked(dependency="keys", kind=self._kind))
        return held.epoch

    def _refuse(self, held: KeySet, header: JoseHeader) -> NoReturn:
        if held.ring.knows(header):
            raise InvalidToken("bad_signature")
        if held.is_recent(self._source, self._monotonic()):
            raise InvalidToken("unknown_key" if header.kid else "bad_signature")
        raise ProviderUnavailable("keys_unavailable")

    async def _ask(self, ports: Ports) -> None:
        if self._held.may_ask(self._monotonic()):
            await ports.flight.once(self._flight_key, lambda: self._fetch(ports), within=self._source.seconds_in_all)
        if not (self._held.is_trusted(self._source, self._monotonic()) or self._makes_do()):
            raise ProviderUnavailable("keys_unavailable")

    def _makes_do(self) -> bool:
        """Whether we go on with keys that are too old: where the settings say so, and there are any."""
        return self._source.on_failure == "open" and bool(self._held.ring.keys)

    async def _fetch(self, ports: Ports) -> None:
        """Replace the set we hold; a failed fetch leaves its keys and starts the cool-down all the same."""
        started = self._monotonic()
        if not self._held.may_ask(started):
            return  # somebody else was faster
        try:
            answer = await self._document(ports, started)
            if answer.status != 200:
                raise ProviderUnavailable("keys_unavailable") from ValueError(f"status {answer.status}")
            ring = ring_of_document(answer.body, self._algorithms)
        except (ProviderUnavailable, ValueError) as error:
            now = self._monotonic()
            self._held = after_failure(self._held, self._source, now=now)
            sinks.tell(
                ProviderFailed(
                    component="key set",
                    error=error_class(error),
                    elapsed=now - started,
                    asked=origin_of_url(self._source.url),
                )
            )
        else:
            lifetime = lifetime_of(answer.headers, self._source)
            now, new_epoch = self._monotonic(), next(self._epochs)
            self._held = after_success(self._held, self._source, ring, new_epoch=new_epoch, lifetime=lifetime, now=now)
            sinks.tell(KeysRefreshed(kind=self._kind, keys=len(ring.keys)))

    async def _document(self, ports: Ports, started: float) -> HttpAnswer:
        """What stands at the URL; where a token is needed and refused, asked for once more with another one."""
        auth, deadline = self._source.auth, self._source.deadline
        if auth is None:
            return await ports.fetch.send(HttpRequest(self._source.url), within=deadline)
        ends_at = started + self._source.seconds_in_all
        token = await auth.token_over(ports, within=self._left(ends_at))
        answer = await self._authorized(token, ports, within=min(deadline, self._left(ends_at)))
        if answer.status == 401 and auth.lets_go_of(token):
            token = await auth.token_over(ports, within=self._left(ends_at))
            answer = await self._authorized(token, ports, within=min(deadline, self._left(ends_at)))
        return answer

    async def _authorized(self, token: str, ports: Ports, *, within: float) -> HttpAnswer:
        request = HttpRequest(self._source.url, headers={"authorization": f"Bearer {token}"})
        return await ports.fetch.send(request, within=within)

    def _left(self, ends_at: float) -> float:
        return max(0.0, ends_at - self._monotonic())
