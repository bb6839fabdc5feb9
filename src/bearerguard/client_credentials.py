"""Calling APIs in the application's own name: an `httpx.Auth` that fetches, keeps and renews access tokens."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from .access import as_raised
from .checks import check_origin
from .connections import Connections
from .core.client_credentials import AccessTokens
from .core.ports import Ports, run_sync
from .errors import SettingsError, Unavailable
from .io.auth import Auth, authorize, can_be_sent_again, origin_of_request, refuses
from .io.flights import AsyncFlight
from .journal import logger
from .keys import SharedSecrets
from .rules.token_request import TokenRequest
from .settings import ClientAuth
from .settings.fields import a_tuple
from .stores import StoreLike

_T = TypeVar("_T")


class ClientCredentials(Auth):
    """Access tokens of the application itself (RFC 6749, section 4.4), for the clients of httpx and httpx2.

    ```python
    erp = ClientCredentials(
        token_url="https://auth.jtl-cloud.com/oauth2/token",
        client_id="...",
        client_secret="...",
        origins={"https://api.jtl-cloud.com"},      # the token is sent to nobody else
    )
    httpx.Client(auth=erp).get("https://api.jtl-cloud.com/erp/v2/...")
    ```

    A token is fetched when it is first needed, shared by all callers, replaced `margin` seconds before its end, and
    renewed once when an API answers 401. With `store=` the processes of a fleet share it, sealed with a key that is
    made from the client secret. Where no token can be had, `ProviderUnavailable` is raised.
    """

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str | SharedSecrets,
        token_url: str | None = None,
        issuer: str | None = None,
        client_auth: ClientAuth = "client_secret_basic",
        scope: str | None = None,
        resource: str | None = None,
        extra: Mapping[str, str] | None = None,
        origins: AbstractSet[str],
        store: StoreLike | None = None,
        margin: float = 60,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._request = TokenRequest(
            client_id=client_id,
            client_secret=client_secret,
            token_url=token_url,
            issuer=issuer,
            client_auth=client_auth,
            scope=scope,
            resource=resource,
            extra=extra,
            margin=margin,
        )
        self.origins: frozenset[str] = _checked_origins(origins)
        self._connections = Connections("memory://" if store is None else store, monotonic)
        self._tokens = AccessTokens(self._request, clock, monotonic)
        if self._connections.are_shared and not self._request.may_share:
            logger.warning(
                "client %r: the client secret has fewer than 32 bytes, so each process fetches its own access token",
                client_id,
            )

    def __repr__(self) -> str:
        place = self._request.token_url or self._request.issuer
        return f"<ClientCredentials {self._request.client_id!r} at {place!r}>"

    def token(self) -> str:
        """An access token that is good, as far as we know."""
        return self._now(self._tokens.current)

    async def atoken(self) -> str:
        """An access token that is good, as far as we know."""
        return await self._soon(self._tokens.current)

    def close(self) -> None:
        """Close the connections of blocking code; the next use opens new ones."""
        self._connections.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop; the next use opens new ones."""
        await self._connections.aclose()

    def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """The same as `sync_auth_flow`."""
        return self.sync_auth_flow(request)

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """The request with a token, and once more with another one if the API refuses it."""
        self._check_origin(request)
        token = self.token()
        authorize(request, token)
        if refuses((yield request), token) and self.lets_go_of(token) and can_be_sent_again(request):
            authorize(request, self.token())
            yield request

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """The request with a token, and once more with another one if the API refuses it."""
        self._check_origin(request)
        token = await self.atoken()
        authorize(request, token)
        if refuses((yield request), token) and self.lets_go_of(token) and can_be_sent_again(request):
            authorize(request, await self.atoken())
            yield request

    async def token_over(self, ports: Ports, /, *, within: float) -> str:
        """An access token, fetched over another's connections; the store is always our own."""
        return await self._tokens.current(self._with_own_store(ports), within=within)

    def lets_go_of(self, refused: str) -> bool:
        """Drop a token that an API has refused, if it is the one we hold; False where it is too soon for another."""
        return self._tokens.lets_go_of(refused)

    def _check_origin(self, request: Any) -> None:
        origin = origin_of_request(request)
        if origin not in self.origins:
            raise SettingsError(
                f"the access token of {self._request.client_id!r} is not sent to {origin}; if it may be, "
                f"add it to ClientCredentials(origins={{{origin!r}, ...}}), else use a client without this auth"
            )

    def _with_own_store(self, ports: Ports) -> Ports:
        is_async = isinstance(ports.flight, AsyncFlight)
        own = self._connections.of_this_loop() if is_async else self._connections.blocking()
        return ports._replace(store=own.store, flight=own.flight)

    def _now(self, work: Callable[[Ports], Coroutine[Any, Any, _T]]) -> _T:
        try:
            return run_sync(work(self._connections.blocking()))
        except Unavailable as error:
            raise as_raised(error) from error.__cause__

    async def _soon(self, work: Callable[[Ports], Coroutine[Any, Any, _T]]) -> _T:
        try:
            return await work(self._connections.of_this_loop())
        except Unavailable as error:
            raise as_raised(error) from error.__cause__


def _checked_origins(origins: Any) -> frozenset[str]:
    checked = frozenset(a_tuple("origins", origins))
    if not checked:
        raise SettingsError("origins is empty, so the token could be sent to nobody; write {'https://api.example.com'}")
    for origin in checked:
        check_origin("origins", origin)
    return checked
