"""The verifier that users hold: one or several kinds of token, one store, one denylist."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

from .access import as_raised
from .carriers import Carrier
from .claims import Claims
from .connections import Connections
from .core.denylist import STORE_SECONDS, Revocations
from .core.ports import StorePolicy, run_sync
from .core.verification import Route, Verification
from .denylist import Denylist
from .errors import AuthError, InvalidToken, MissingToken, SettingsError, StoreUnavailable, Unavailable
from .journal import logger
from .keys import JwksKeys
from .rules.credentials import carriers_in_order
from .rules.routing import check_routes, kinds_overlap
from .settings import Kind, OpaqueTokens, SignedTokens
from .sinks import told_if_unavailable
from .stores import StoreLike

KindT = TypeVar("KindT", bound=Kind, covariant=True)


class Verifier(Generic[KindT]):
    """Verifies tokens of one or several kinds.

    ```python
    verifier = Verifier(
        whatalo.session_tokens(client_id="wcl_...", client_secret="..."),
        store="redis://localhost:6379/0",
    )
    claims = verifier.verify(token)             # await verifier.averify(token) in async code
    ```

    Building one does no I/O, so a module is a fine place for it. Without `store=` revocations live in this process.
    """

    def __init__(
        self,
        first: KindT,
        /,
        *more: KindT,
        store: StoreLike | str = "memory://",
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        any_kind: bool = False,
    ) -> None:
        kinds = (first, *more)
        _check_kinds(kinds)
        self.kinds: tuple[KindT, ...] = kinds
        self.clock = clock
        self.carriers: tuple[Carrier, ...] = carriers_in_order(kind.carriers for kind in kinds)
        self.max_bytes: int = max(kind.max_bytes for kind in kinds)
        self.kinds_must_be_named: bool = len(kinds) > 1 and not any_kind
        self.connections: Connections = Connections(store, monotonic)
        revocations = Revocations(clock)
        self.verification: Verification = Verification(kinds, revocations, clock, monotonic)
        self.denylist: Denylist = Denylist.of_verifier(kinds, self.connections, revocations, clock)
        self._kind_must_be_named_in_bodies = kinds_overlap(kinds)
        _say_what_is_unchecked(kinds)
        _say_what_is_open(kinds, self.connections.store_policy)
        if self.connections.are_shared:
            _say_what_is_not_shared(kinds)

    def __repr__(self) -> str:
        return f"<Verifier {', '.join(kind.name for kind in self.kinds)}>"

    def verify(self, token: str, *, kind: str | None = None) -> Claims:
        """The claims of a token that did not come through a door; AuthError or Unavailable if it is refused."""
        try:
            text, route = self._from_body(token, kind)
            return run_sync(self.verification.verdict(text, route, self.connections.blocking())).claims
        except (AuthError, Unavailable) as error:
            raise as_raised(error) from error.__cause__

    async def averify(self, token: str, *, kind: str | None = None) -> Claims:
        """The claims of a token that did not come through a door; AuthError or Unavailable if it is refused."""
        try:
            text, route = self._from_body(token, kind)
            return (await self.verification.verdict(text, route, self.connections.of_this_loop())).claims
        except (AuthError, Unavailable) as error:
            raise as_raised(error) from error.__cause__

    def _from_body(self, token: object, kind: str | None) -> tuple[bytes, Route]:
        if kind is None and self._kind_must_be_named_in_bodies:
            raise SettingsError(
                "several kinds of this verifier take the same issuer, so nobody knows which one this token should be; "
                f"write verify(token, kind={self.kinds[0].name!r})"
            )
        if token is None or token == "":
            raise MissingToken
        if not isinstance(token, str):
            raise InvalidToken("malformed")
        route = self.verification.route(kind=kind)
        if len(token) > route.max_bytes:
            raise InvalidToken("too_large")
        return token.encode("utf-8", "surrogatepass"), route

    async def aget_ready(self) -> None:
        """Load what the first request would have to wait for, and meet the store; a door does so when the app starts.

        A store that cannot be asked yet is no reason not to start; one that the settings refuse is a SettingsError.
        """
        if any(isinstance(kind, OpaqueTokens) or isinstance(kind.keys, JwksKeys) for kind in self.kinds):
            self.connections.bring_in_http()
        try:
            with told_if_unavailable("store"):
                await self.connections.of_this_loop().store.get_ready(within=STORE_SECONDS)
        except StoreUnavailable as error:
            if error.reason == "store_evicts":
                raise SettingsError(f'{error}; set maxmemory-policy noeviction, or write on_eviction="warn"') from error

    def close(self) -> None:
        """Close the connections of blocking code; the next use opens new ones."""
        self.connections.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop; the next use opens new ones."""
        await self.connections.aclose()

    def __enter__(self) -> Verifier[KindT]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Verifier[KindT]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _check_kinds(kinds: tuple[Kind, ...]) -> None:
    for kind in kinds:
        if not isinstance(kind, (SignedTokens, OpaqueTokens)):
            raise SettingsError(
                f"{type(kind).__name__} is no settings object; write Verifier(SignedTokens(...)) or use a preset "
                "from bearerguard.platforms"
            )
    check_routes(kinds)


def _say_what_is_unchecked(kinds: tuple[Kind, ...]) -> None:
    for kind in kinds:
        for claim in kind.unchecked:
            logger.log(logging.WARNING, "kind %s: the %s of tokens is not checked (UNCHECKED)", kind.name, claim)
        for warning in kind.warnings:
            logger.log(logging.WARNING, "kind %s: %s", kind.name, warning)


def _say_what_is_open(kinds: tuple[Kind, ...], store: StorePolicy) -> None:
    text = 'kind %s: while %s cannot be asked, %s pass (on_failure="open")'
    for kind in kinds:
        if store.on_failure == "open":
            logger.log(logging.WARNING, text, kind.name, "the store", "revoked tokens")
        if isinstance(kind, OpaqueTokens) and kind.on_failure == "open":
            logger.log(logging.WARNING, text, kind.name, "the provider", "tokens that were good before")
        if isinstance(kind, SignedTokens) and isinstance(kind.keys, JwksKeys) and kind.keys.on_failure == "open":
            logger.log(logging.WARNING, text, kind.name, "the key set", "tokens of keys that may be withdrawn")


def _say_what_is_not_shared(kinds: tuple[Kind, ...]) -> None:
    for kind in kinds:
        if isinstance(kind, OpaqueTokens) and not kind.may_share:
            text = "kind %s: the client secret has fewer than 32 bytes, so answers are remembered in each process alone"
            logger.log(logging.WARNING, text, kind.name)
