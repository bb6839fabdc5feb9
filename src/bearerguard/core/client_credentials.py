"""Access tokens of our own: asked for once by many callers, replaced ahead of their end or when an API refuses one."""

from __future__ import annotations

from collections.abc import Callable

from .. import sinks
from ..checks import origin_of_url
from ..errors import ProviderUnavailable
from ..events import ClientRefused, ProviderFailed, error_class
from ..rules.provider_answers import pause_asked_for, refuses_client
from ..rules.token_answer import AccessToken, Grant, Held, access_token, after_failure, grant_of
from ..rules.token_entries import TokenBox
from ..rules.token_request import TokenRequest
from .discovery import Metadata
from .ports import HttpAnswer, HttpRequest, Ports
from .secrets_in_use import SecretsInUse
from .token_shelf import TokenShelf

DEADLINE_SECONDS = 3.0
CALL_SECONDS = 2.0
RENEWAL_PAUSE_SECONDS = 5.0
_NEVER = -1e18


class AccessTokens:
    """The access tokens of one client. Whoever finds a token that is still good never waits."""

    __slots__ = (
        "_box",
        "_clock",
        "_flight_key",
        "_held",
        "_metadata",
        "_monotonic",
        "_quiet_until",
        "_refused",
        "_renew_again_at",
        "_request",
        "_says",
        "_secrets",
    )

    def __init__(self, request: TokenRequest, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._request = request
        self._clock = clock
        self._monotonic = monotonic
        self._metadata = Metadata(request.issuer, monotonic) if request.issuer is not None else None
        self._flight_key = f"access token {id(self)}"
        self._says = f"the token endpoint for {request.client_id!r}"
        self._held = Held()
        # Marked, and not taken out of what is held: so a new token that comes in at the same moment is not lost.
        self._refused: AccessToken | None = None
        self._renew_again_at = _NEVER
        self._quiet_until = _NEVER
        self._secrets = SecretsInUse(len(request.secrets))
        self._box: TokenBox | None = None

    async def current(self, ports: Ports, *, within: float = DEADLINE_SECONDS) -> str:
        """A token that is good, as far as we know; one that nears its end is replaced behind the caller's back."""
        held, now = self._held, self._monotonic()
        token = self._good(now)
        if token is None:
            return (await self._awaited(ports, within)).text
        if now >= token.refresh_at and held.may_ask(now):
            ports.flight.behind(self._flight_key, lambda: self._replaced(ports, DEADLINE_SECONDS))
        return token.text

    def lets_go_of(self, refused: str) -> bool:
        """Drop the token that an API has refused, if it is the one we hold; False where it is too soon for another."""
        token, now = self._held.token, self._monotonic()
        if token is None or token is self._refused or token.text != refused:
            return True
        if now < self._renew_again_at:
            return False
        self._renew_again_at = now + RENEWAL_PAUSE_SECONDS
        self._refused = token
        return True

    def _good(self, now: float) -> AccessToken | None:
        token = self._held.token
        return token if token is not None and token is not self._refused and now < token.ends_at else None

    async def _awaited(self, ports: Ports, within: float) -> AccessToken:
        held = self._held
        if not held.may_ask(self._monotonic()):
            raise ProviderUnavailable(held.reason)
        return await ports.flight.once(self._flight_key, lambda: self._replaced(ports, within), within=within)

    async def _replaced(self, ports: Ports, within: float) -> AccessToken:
        """A new token in place of the one we hold; a failure leaves that one and begins a pause."""
        started = self._monotonic()
        token, held = self._good(started), self._held
        if token is not None and (started < token.refresh_at or not held.may_ask(started)):
            return token  # somebody else was faster
        if not held.may_ask(started):
            raise ProviderUnavailable(held.reason)
        try:
            token = await self._found(ports, ends_at=started + within)
        except ProviderUnavailable as error:
            self._note_failure(error, started)
            raise
        self._held = Held(token)
        return token

    def _note_failure(self, error: ProviderUnavailable, started: float) -> None:
        now = self._monotonic()
        self._held = after_failure(self._held, now=now, quiet_until=self._quiet_until, reason=error.reason)
        if error.reason != "client_refused":
            url = self._request.token_url
            asked = None if url is None else origin_of_url(url)
            sinks.tell(
                ProviderFailed(component=self._says, error=error_class(error), elapsed=now - started, asked=asked)
            )

    async def _found(self, ports: Ports, *, ends_at: float) -> AccessToken:
        shelf = self._shelf(ports, ends_at)
        if shelf is None:
            return (await self._granted(ports, ends_at))[0]
        refused = None if self._refused is None else self._refused.text
        token = await shelf.found(ports.flight, other_than=refused)
        if token is not None:
            return token
        sent_at = self._clock()
        try:
            token, grant = await self._granted(ports, ends_at)
        except ProviderUnavailable:
            await shelf.release()
            raise
        await shelf.keep(grant, sent_at=sent_at)
        return token

    def _shelf(self, ports: Ports, ends_at: float) -> TokenShelf | None:
        entries = ports.store.entries
        if entries is None or not self._request.may_share:
            return None
        box = self._box = self._box or TokenBox(self._request)
        return TokenShelf(entries, box, self._clock, self._monotonic, says=self._says, ends_at=ends_at)

    async def _granted(self, ports: Ports, ends_at: float) -> tuple[AccessToken, Grant]:
        """What the endpoint grants in the name of the secret that worked last, else of the next one."""
        url, secrets = await self._endpoint(ports, ends_at), self._request.secrets.in_order
        for step, index in enumerate(self._secrets.to_try(self._monotonic())):
            form = self._request.form(secrets[index])
            asked_at = self._monotonic()
            within = max(0.0, min(CALL_SECONDS, ends_at - asked_at))
            answer = await ports.fetch.send(HttpRequest(url, "POST", form.headers, form.body), within=within)
            self._quiet_until = self._monotonic() + pause_asked_for(answer.status, answer.headers)
            if not refuses_client(answer.status, answer.body):
                grant = _grant_in(answer)
                self._secrets.took(index, refused_before=step > 0, component=self._says)
                return access_token(grant, asked_at=asked_at, margin=self._request.margin), grant
        sinks.tell(ClientRefused(component=self._says))
        raise ProviderUnavailable("client_refused")

    async def _endpoint(self, ports: Ports, ends_at: float) -> str:
        if self._metadata is None:
            return self._request.token_url or ""
        within = max(0.0, min(CALL_SECONDS, ends_at - self._monotonic()))
        return await self._metadata.endpoint("token_endpoint", ports, within=within)


def _grant_in(answer: HttpAnswer) -> Grant:
    if answer.status != 200:
        raise ProviderUnavailable() from ValueError(f"status {answer.status}")
    try:
        return grant_of(answer.body)
    except ValueError as error:
        raise ProviderUnavailable() from error
