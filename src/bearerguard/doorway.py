"""What both doors share: which requests pass, which token is judged, and how a refusal is dressed."""

from __future__ import annotations

import json
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from . import sinks
from .access import Access
from .carriers import BEARER, Header, Query
from .connections import Connections
from .core.ports import Ports
from .core.recall import Verdict
from .core.verification import Route, Verification
from .errors import AuthError, Challenge, MissingToken, SettingsError, Unavailable
from .events import TokenAccepted, TokenRefused
from .rules.credentials import Head, Presented, presented
from .rules.passage import exempt_paths, is_preflight
from .rules.resource_metadata import MetadataPage, metadata_page
from .settings import Kind, OpaqueTokens, ProtectedResource, SignedTokens
from .verifier import Verifier

Preflight: TypeAlias = Literal["pass", "refuse"]

QUERY_ANSWER_HEADERS = {"Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer"}
"""What the answer to a request carries whose token stood in the query."""


class Doorway:
    """The settings of one door, and every decision that does not depend on its framework."""

    def __init__(
        self,
        verifier: Verifier[Kind],
        *,
        exempt: Iterable[str],
        optional: bool,
        realm: str | None,
        preflight: Preflight,
        resource: ProtectedResource | None,
    ) -> None:
        self.verifier: Verifier[Kind] = _checked_verifier(verifier)
        self._exempt = exempt_paths(exempt)
        self.has_exempt: bool = bool(self._exempt.exact or self._exempt.below)
        self.verification: Verification = verifier.verification
        self.bearer_route: Route = verifier.verification.route(carrier=verifier.carriers[0])
        self.takes_bearer_alone: bool = verifier.carriers == (BEARER,) and not self.has_exempt
        self._optional = optional
        self._realm = _checked_realm(realm)
        self._passes_preflights = _checked_preflight(preflight)
        self.page: MetadataPage | None = metadata_page(resource, verifier.kinds)
        self.query_names: tuple[str, ...] = tuple(
            carrier.name for carrier in verifier.carriers if isinstance(carrier, Query)
        )
        self.longest_bearer: int = len("Bearer ") + verifier.max_bytes
        self._credential_headers = tuple(carrier.name for carrier in verifier.carriers if isinstance(carrier, Header))

    @property
    def connections(self) -> Connections:
        """Where the ports come from."""
        return self.verifier.connections

    @property
    def kinds_must_be_named(self) -> bool:
        """Whether a guard must say which kind of token it means."""
        return self.verifier.kinds_must_be_named

    def kinds_of_shape(self, shape: type[object]) -> frozenset[str]:
        """The names of the kinds whose claims are of this TypedDict."""
        return frozenset(kind.name for kind in self.verifier.kinds if kind.claims_type is shape)

    def is_exempt(self, head: Head) -> bool:
        """Whether the path is one that needs no token."""
        return self.has_exempt and self._exempt.covers(head.path)

    def is_preflight(self, head: Head) -> bool:
        """Whether this is a CORS preflight that may pass."""
        return self._passes_preflights and head.method == "OPTIONS" and is_preflight(head, self._credential_headers)

    def token(self, head: Head) -> Presented | None:
        """The token that the request presents; None for an anonymous request that may pass as one."""
        try:
            return presented(head, self.verifier.carriers, max_bytes=self.verifier.max_bytes)
        except MissingToken:
            presumed = self.verification.presumed()
            if presumed is None and not self._optional:
                raise
            return presumed

    async def verdict(self, token: Presented, ports: Ports) -> Verdict:
        """The verdict on a token."""
        return await self.verification.verdict(token.token, self.verification.route(carrier=token.carrier), ports)

    def judged(self, bearer: bytes, digest: bytes, ports: Ports) -> Coroutine[Any, Any, Verdict]:
        """The verdict on a token after "Bearer ", for which keys and the store may have to be waited for."""
        return self.verification.judged(bearer, digest, self.bearer_route, ports)

    def blamed(self, error: AuthError | Unavailable, head: Head) -> AuthError | Unavailable:
        """`error`, unless the request that carried a bad credential is at fault itself."""
        try:
            self.token(head)
        except AuthError as fault:
            return fault
        return error

    async def spend(self, access: Access, ports: Ports) -> None:
        """Claim the one-time token of a request."""
        if not isinstance(access.verdict, Verdict):
            raise MissingToken
        await self.verification.spend(access.verdict, ports)

    def tell_acceptance(self, verdict: Verdict) -> None:
        """Tell that a request passes with its token; doors ask before whether anybody listens."""
        claims = verdict.claims
        sinks.tell(TokenAccepted(kind=claims.kind, tenant=claims.tenant, seen_before=verdict.seen_before))

    def dress(self, error: AuthError | Unavailable, scopes: tuple[str, ...] = ()) -> None:
        """Give `error` the challenge and the headers that this door's answers carry, and tell of it."""
        sinks.tell(TokenRefused.of(error))
        challenge = Challenge(self._realm, scopes, None if self.page is None else self.page.url)
        error.answer_with(challenge, refusal_headers(error, self.verifier.kinds))


def refusal_headers(error: AuthError | Unavailable, kinds: Sequence[Kind]) -> Mapping[str, str]:
    """The headers that the kind of the refused token adds for this cause; the nearest class of error decides."""
    kind = kinds[0] if len(kinds) == 1 else next((one for one in kinds if one.name == error.kind), None)
    added = {} if kind is None else kind.refusal_headers or {}
    return next((added[cause] for cause in type(error).__mro__ if cause in added), {})


def only_signed(verifier: Verifier[SignedTokens]) -> Verifier[SignedTokens]:
    """`verifier`, once it is found to take signed tokens only."""
    _check_sort(verifier, "SessionTokenMiddleware", "signed", SignedTokens, instead="IntrospectionMiddleware")
    return verifier


def only_opaque(verifier: Verifier[OpaqueTokens]) -> Verifier[OpaqueTokens]:
    """`verifier`, once it is found to take opaque tokens only."""
    _check_sort(verifier, "IntrospectionMiddleware", "opaque", OpaqueTokens, instead="SessionTokenMiddleware")
    return verifier


def _check_sort(verifier: object, door: str, said: str, sort: type[Kind], *, instead: str) -> None:
    fits = [isinstance(kind, sort) for kind in _checked_verifier(verifier).kinds]
    if any(fits) and not all(fits):
        raise SettingsError(f"{door} takes {said} tokens only; use BearerMiddleware for several sorts")
    if not any(fits):
        raise SettingsError(f"{door} takes {said} tokens only; use {instead} for this verifier")


def answer_body(error: AuthError | Unavailable) -> bytes:
    """The JSON body of a refusal."""
    return json.dumps(error.body()).encode()


def _checked_verifier(verifier: Any) -> Any:
    if not isinstance(verifier, Verifier):
        raise SettingsError(f"verifier is {type(verifier).__name__}; write verifier=Verifier(...)")
    return verifier


def _checked_realm(realm: Any) -> str | None:
    if realm is not None and not (isinstance(realm, str) and realm.isascii() and realm.isprintable()):
        raise SettingsError("realm is written into a header; use printable ASCII")
    return realm


def _checked_preflight(preflight: Preflight) -> bool:
    if preflight not in ("pass", "refuse"):
        raise SettingsError(
            f"preflight is {preflight!r}; use 'pass', or 'refuse' when a CORS middleware stands outside"
        )
    return preflight == "pass"
