"""The denylist that users hold: revoke a token, a user or a whole tenant."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Literal, TypeVar

from . import sinks
from .access import as_raised
from .checks import check_seconds, check_text, check_time
from .claims import Claims, origin_of
from .connections import Connections
from .core.denylist import Revocations
from .core.ports import Ports, run_sync
from .errors import AuthError, SettingsError, TokenRevoked, Unavailable
from .events import Revoked
from .revocable import Revocable, RevocableToken, Unsettled, lifetime, longest_horizon, spelt_by
from .rules.revocation import (
    denial_names,
    identity_of,
    keep_seconds,
    tenant_name,
    token_identity,
    token_name,
    user_name,
)
from .stores import StoreLike

_T = TypeVar("_T")

Status = Literal["active", "revoked"]


class Denylist:
    """Revokes tokens. Every method has a twin for async code, whose name begins with `a`.

    A verifier brings its own, `verifier.denylist`. A process without the secrets makes one alone, over the same store:

    ```python
    denylist = Denylist("redis://localhost:6379/0", authority="whatalo:wcl_...", horizon=300)
    denylist.revoke_tenant("str_8k2m4n6p")
    ```

    A method that returns has the store's word that it is done; where one raises `StoreUnavailable`, call it again.
    """

    def __init__(
        self,
        store: StoreLike | str,
        *,
        authority: str,
        horizon: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_text("authority", authority)
        if horizon is not None:
            check_seconds("horizon", horizon, 1, 315_360_000)
        connections = Connections(store, time.monotonic)
        self._settle([Unsettled(authority, horizon)], connections, Revocations(clock), clock)

    @classmethod
    def of_verifier(
        cls,
        kinds: Sequence[Revocable],
        connections: Connections,
        revocations: Revocations,
        clock: Callable[[], float],
    ) -> Denylist:
        """The denylist of a verifier, over the verifier's own store."""
        denylist = cls.__new__(cls)
        denylist._settle(kinds, connections, revocations, clock)
        return denylist

    def _settle(
        self,
        kinds: Sequence[Revocable],
        connections: Connections,
        revocations: Revocations,
        clock: Callable[[], float],
    ) -> None:
        self._kinds = tuple(kinds)
        self._connections = connections
        self._revocations = revocations
        self._clock = clock

    def revoke(self, claims: Claims) -> None:
        """Revoke the token that `claims` come from."""
        self._now(lambda ports: self._revoke(claims, ports))

    async def arevoke(self, claims: Claims) -> None:
        """Revoke the token that `claims` come from."""
        await self._soon(lambda ports: self._revoke(claims, ports))

    def revoke_id(self, token_id: str, *, until: float, authority: str | None = None) -> None:
        """Revoke the token whose jti is `token_id`; `until` is its exp."""
        self._now(lambda ports: self._revoke_id(token_id, until, authority, ports))

    async def arevoke_id(self, token_id: str, *, until: float, authority: str | None = None) -> None:
        """Revoke the token whose jti is `token_id`; `until` is its exp."""
        await self._soon(lambda ports: self._revoke_id(token_id, until, authority, ports))

    def revoke_user(self, user: str, *, issued_before: float | None = None, authority: str | None = None) -> None:
        """Revoke every token of `user` that was issued before that time, or before now."""
        self._now(lambda ports: self._revoke_user(user, issued_before, authority, ports))

    async def arevoke_user(
        self, user: str, *, issued_before: float | None = None, authority: str | None = None
    ) -> None:
        """Revoke every token of `user` that was issued before that time, or before now."""
        await self._soon(lambda ports: self._revoke_user(user, issued_before, authority, ports))

    def revoke_tenant(self, tenant: str, *, issued_before: float | None = None, authority: str | None = None) -> None:
        """Revoke every token of `tenant` that was issued before that time, or before now."""
        self._now(lambda ports: self._revoke_tenant(tenant, issued_before, authority, ports))

    async def arevoke_tenant(
        self, tenant: str, *, issued_before: float | None = None, authority: str | None = None
    ) -> None:
        """Revoke every token of `tenant` that was issued before that time, or before now."""
        await self._soon(lambda ports: self._revoke_tenant(tenant, issued_before, authority, ports))

    def status(self, claims: Claims) -> Status:
        """Whether the token that `claims` come from is revoked now."""
        return self._now(lambda ports: self._status(claims, ports))

    async def astatus(self, claims: Claims) -> Status:
        """Whether the token that `claims` come from is revoked now."""
        return await self._soon(lambda ports: self._status(claims, ports))

    def close(self) -> None:
        """Close the connections of blocking code; the next use opens new ones."""
        self._connections.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop; the next use opens new ones."""
        await self._connections.aclose()

    def _now(self, work: Callable[[Ports], Coroutine[Any, Any, _T]]) -> _T:
        try:
            return run_sync(work(self._connections.blocking()))
        except (AuthError, Unavailable) as error:
            raise as_raised(error) from error.__cause__

    async def _soon(self, work: Callable[[Ports], Coroutine[Any, Any, _T]]) -> _T:
        try:
            return await work(self._connections.of_this_loop())
        except (AuthError, Unavailable) as error:
            raise as_raised(error) from error.__cause__

    async def _revoke(self, claims: Claims, ports: Ports) -> None:
        now = self._clock()
        name = token_name(_identity(claims))
        keep = keep_seconds(self._end_of(claims, now), now=now)
        await self._revocations.revoke([name], int(now), ports.store, keep_seconds=keep)
        origin = origin_of(claims)
        _tell("token", () if origin is None else origin[:1])

    def _end_of(self, claims: Claims, now: float) -> float:
        if claims.expires_at is not None:
            return claims.expires_at
        return (now if claims.issued_at is None else claims.issued_at) + longest_horizon(self._kinds)

    async def _revoke_id(self, token_id: str, until: float, authority: str | None, ports: Ports) -> None:
        check_text("token_id", token_id)
        check_time("until", until)
        authorities = {kind.vouched_by for kind in self._of(authority)}
        names = {token_name(token_identity(each, token_id)) for each in authorities}
        now = self._clock()
        await self._revocations.revoke(names, int(now), ports.store, keep_seconds=keep_seconds(until, now=now))
        _tell("token", authorities)

    async def _revoke_user(self, user: str, before: float | None, authority: str | None, ports: Ports) -> None:
        kinds = self._of(authority)
        spelt = spelt_by([(kind, kind.normalised_user) for kind in kinds], user)
        names = {user_name(kind.vouched_by, text) for kind, text in spelt}
        await self._raise_watermarks(names, before, [kind for kind, _ in spelt], ports)
        _tell("user", {kind.vouched_by for kind, _ in spelt})

    async def _revoke_tenant(self, tenant: str, before: float | None, authority: str | None, ports: Ports) -> None:
        kinds = self._of(authority)
        spelt = spelt_by([(kind, kind.normalised_tenant) for kind in kinds], tenant)
        names = {tenant_name(kind.vouched_by, text) for kind, text in spelt}
        await self._raise_watermarks(names, before, [kind for kind, _ in spelt], ports)
        _tell("tenant", {kind.vouched_by for kind, _ in spelt})

    async def _raise_watermarks(
        self, names: Iterable[str], before: float | None, kinds: Sequence[Revocable], ports: Ports
    ) -> None:
        now = self._clock()
        if before is not None:
            check_time("issued_before", before)
        number = math.ceil(now if before is None else before)
        keep = keep_seconds(max(now, number) + longest_horizon(kinds), now=now)
        await self._revocations.revoke(names, number, ports.store, keep_seconds=keep)

    async def _status(self, claims: Claims, ports: Ports) -> Status:
        kind = next((kind for kind in self._kinds if kind.name == claims.kind), self._kinds[0])
        names = denial_names(kind.vouched_by, _identity(claims), user=claims.user, tenant=claims.tenant)
        try:
            await self._revocations.check(
                RevocableToken(names, claims.issued_at, kind.ahead, lifetime(kind)), ports.store
            )
        except TokenRevoked:
            return "revoked"
        return "active"

    def _of(self, authority: str | None) -> Sequence[Revocable]:
        kinds = [kind for kind in self._kinds if authority is None or kind.vouched_by == authority]
        if not kinds:
            known = ", ".join(sorted({repr(kind.vouched_by) for kind in self._kinds}))
            raise SettingsError(f"{authority!r} is no authority of this denylist; it has {known}")
        return kinds


def _tell(what: Literal["token", "user", "tenant"], authorities: Iterable[str]) -> None:
    """Tell of a revocation that the store has confirmed."""
    sinks.tell(Revoked(what=what, authorities=tuple(sorted(authorities))))


def _identity(claims: Claims) -> str:
    identity = identity_of(claims)
    if identity is None:
        raise SettingsError("these claims come from no verifier; use revoke_id(token_id, until=...)")
    return identity
