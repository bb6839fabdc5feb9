"""Lets a verifier answer with given claims while a test runs, at every door that it stands behind."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any

from ..checks import check_text
from ..claims import Claims
from ..core.ports import Ports
from ..core.recall import Verdict
from ..core.verification import Route, Verification
from ..errors import AuthError, InvalidToken, SettingsError
from ..rules.credentials import Presented, check_token68
from ..rules.introspection import accepted_facts
from ..rules.jwt_claims import accepted
from ..settings import Kind, SignedTokens
from ..verifier import Verifier
from .payloads import Wanted, as_json, payload


@contextmanager
def authenticated_as(
    verifier: Verifier[Any],
    *,
    tenant: str | None = None,
    user: str | None = None,
    scopes: Collection[str] = (),
    kind: str | None = None,
    **claims: Any,
) -> Iterator[Claims]:
    """Let `verifier` answer every request with these claims until the block ends, with or without a token.

    ```python
    with authenticated_as(verifier, tenant="str_1", scopes={"read:orders"}):
        assert client.get("/orders").status_code == 200
    ```

    It does so at every door and in every thread, and for `verify` and `averify`. Guards still ask for scopes and kinds;
    exempt paths stay anonymous; each request counts as one with a new token, so `single_use` lets it pass. No store and
    no provider is asked. A verifier of several kinds takes the name of one as `kind`. Blocks may be nested.
    """
    chosen = _kind_of(verifier, kind)
    given = _Given(_claims(chosen, tenant, user, scopes, claims, now=verifier.clock()), math.inf)
    _take_over(verifier.verification, given)
    try:
        yield given.claims
    finally:
        _give_back(verifier.verification, given)


class _Given(Verdict):
    """A verdict that nobody has reached."""

    __slots__ = ()


class _StandIn(Verification):
    """What a verification becomes while somebody else answers for it.

    It is an object of another class then, for all doors that hold it; so what is no test pays nothing for this. Its
    class may change back at any moment, in the middle of a request too: hence no super().
    """

    __slots__ = ()

    def presumed(self) -> Presented | None:
        """A token that is none, in the first place where one could stand."""
        carriers = [carrier for carrier in self._by_carrier if carrier is not None]
        return Presented(b"", carriers[0]) if _given_to(self) else None

    async def verdict(self, token: bytes, route: Route, ports: Ports) -> Verdict:
        """The given claims."""
        return _given_for(self, route) or await Verification.verdict(self, token, route, ports)

    def recalled(self, digest: bytes, route: Route, ports: Ports) -> Verdict | None:
        """Nothing: a door that knows no more of a token than its digest must give the whole."""
        return None if _given_to(self) else Verification.recalled(self, digest, route, ports)

    async def judged(self, token: bytes, digest: bytes, route: Route, ports: Ports) -> Verdict:
        """The given claims, for whatever could be a token."""
        given = _given_for(self, route)
        if given is None:
            return await Verification.judged(self, token, digest, route, ports)
        check_token68(token)
        return given

    async def spend(self, verdict: Verdict, ports: Ports) -> None:
        """Nothing, for each request counts as one with a new token."""
        if not isinstance(verdict, _Given):
            await Verification.spend(self, verdict, ports)


_lock = Lock()
_given: dict[Verification, tuple[_Given, ...]] = {}


def _given_to(verification: Verification) -> _Given | None:
    """What is answered instead; nothing for a request that is still under way when its block has ended."""
    stack = _given.get(verification)
    return stack[-1] if stack else None


def _given_for(verification: Verification, route: Route) -> _Given | None:
    """The same; InvalidToken where the caller has asked for another kind by its name."""
    given = _given_to(verification)
    if given is None or given.claims.kind == route.only_kind:
        return given
    if route.only_kind is not None and route is verification.route(kind=route.only_kind):
        raise InvalidToken("no_route")
    return given


def _take_over(verification: Verification, given: _Given) -> None:
    with _lock:
        _given[verification] = (*_given.get(verification, ()), given)
        verification.__class__ = _StandIn


def _give_back(verification: Verification, given: _Given) -> None:
    """What stood before; blocks need not end in the order in which they began."""
    with _lock:
        left = tuple(each for each in _given[verification] if each is not given)
        if left:
            _given[verification] = left
        else:
            verification.__class__ = Verification
            del _given[verification]


def _kind_of(verifier: object, name: str | None) -> Kind:
    if not isinstance(verifier, Verifier):
        raise SettingsError(f"{type(verifier).__name__} is no verifier; write authenticated_as(verifier, ...)")
    kinds: dict[str, Kind] = {kind.name: kind for kind in verifier.kinds}
    if name is None and len(kinds) == 1:
        (name,) = kinds
    if name not in kinds:
        several = "this verifier takes several kinds" if name is None else f"{name!r} is no kind of this verifier"
        raise SettingsError(f"{several}; write kind= with one of {', '.join(map(repr, kinds))}")
    return kinds[name]


def _claims(
    kind: Kind, tenant: str | None, user: str | None, scopes: Collection[str], claims: dict[str, Any], *, now: float
) -> Claims:
    """The claims that a token of this kind would come with; SettingsError for those that it would be refused for."""
    wanted = Wanted(tenant=tenant, user=user, scopes=scopes, claims=claims, reads_back=False)
    # As JSON has them, for so they would come.
    values = json.loads(as_json("claim", payload(kind, wanted, now=now)))
    own_words = _found_by_functions(kind, tenant, user, scopes)
    unasked: dict[str, Any] = dict.fromkeys(own_words)
    found = _accepted(replace(kind, **unasked), values, now=now)
    if not own_words:
        return found
    words = {"tenant": found.tenant, "user": found.user, "scopes": found.scopes, **own_words}
    signed = secrets.token_bytes(32) if found.token_id is None else None
    return Claims(
        found.to_dict(), kind=kind.name, shape=kind.claims_type, authority=kind.vouched_by, signed=signed, **words
    )


def _found_by_functions(kind: Kind, tenant: str | None, user: str | None, scopes: Collection[str]) -> dict[str, Any]:
    """What the test names and functions of the settings would find; they know no such claims, and are not asked."""
    for name, value in (("tenant", tenant), ("user", user)):
        if value is not None:
            check_text(name, value)
    given = (("tenant", tenant, kind.tenant), ("user", user, kind.user), ("scopes", frozenset(scopes), kind.scopes))
    return {name: value for name, value, source in given if value and callable(source)}


def _accepted(kind: Kind, values: dict[str, Any], *, now: float) -> Claims:
    nobodys = secrets.token_bytes(32)
    try:
        if isinstance(kind, SignedTokens):
            return accepted(values, kind, signing_input=nobodys, now=now)[0]
        return accepted_facts(values, kind, token=nobodys, now=now)[0]
    except AuthError as refusal:
        reason = refusal.reason
    raise SettingsError(f"kind {kind.name!r} would refuse such claims ({reason}); give those that a good token has")
