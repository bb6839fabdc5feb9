"""Asking a provider's introspection endpoint, in our own name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .. import sinks
from ..checks import origin_of_url
from ..errors import ProviderUnavailable
from ..events import ClientRefused, ProviderFailed, error_class
from ..rules.introspection import facts_of, introspection_form, seconds_to_keep
from ..rules.introspection_entries import Answer
from ..rules.provider_answers import knows_no_such_token, pause_asked_for, refuses_client
from ..settings import OpaqueTokens
from .discovery import Metadata
from .ports import HttpAnswer, HttpRequest, Ports
from .secrets_in_use import SecretsInUse


class Said(NamedTuple):
    """What the provider says of an active token, None for one that is not; and when it was asked (monotonic)."""

    answer: Answer | None
    asked_at: float


class Provider:
    """The introspection endpoint of one kind, asked in our own name."""

    __slots__ = ("_clock", "_kind", "_metadata", "_monotonic", "_quiet_until", "_secrets")

    def __init__(self, kind: OpaqueTokens, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._kind = kind
        self._clock = clock
        self._monotonic = monotonic
        issuer = kind.issuer if isinstance(kind.issuer, str) else ""
        self._metadata = Metadata(issuer, monotonic, frozenset(kind.endpoint_origins))
        self._quiet_until = 0.0
        self._secrets = SecretsInUse(len(kind.secrets))

    async def endpoint(self, ports: Ports, *, within: float) -> str:
        """Where to ask: as the settings say, or else the provider's metadata."""
        if self._kind.introspection_endpoint is not None:
            return self._kind.introspection_endpoint
        return await self._metadata.endpoint("introspection_endpoint", ports, within=within)

    async def said(self, token: bytes, endpoint: str, ports: Ports, *, ends_at: float) -> Said:
        """What the provider says of the token."""
        started = self._monotonic()
        if started < self._quiet_until:
            raise ProviderUnavailable()
        try:
            return await self._asked(token.decode("ascii"), endpoint, ports, ends_at)
        except ProviderUnavailable as error:
            if error.reason != "client_refused":
                self._tell_failure(error, endpoint, elapsed=self._monotonic() - started)
            raise

    def _tell_failure(self, error: ProviderUnavailable, endpoint: str, *, elapsed: float) -> None:
        component, asked = f"introspection of {self._kind.name}", origin_of_url(endpoint)
        sinks.tell(ProviderFailed(component=component, error=error_class(error), elapsed=elapsed, asked=asked))

    async def _asked(self, token: str, endpoint: str, ports: Ports, ends_at: float) -> Said:
        """The answer in the name of the secret that worked last, else of the next one."""
        known = self._kind.secrets.in_order
        for step, index in enumerate(self._secrets.to_try(self._monotonic())):
            form = introspection_form(token, self._kind, known[index])
            request = HttpRequest(endpoint, "POST", form.headers, form.body)
            sent_at, asked_at = self._clock(), self._monotonic()
            reply = await ports.fetch.send(request, within=max(0.0, ends_at - asked_at))
            if not refuses_client(reply.status, reply.body):
                self._secrets.took(index, refused_before=step > 0, component=self._kind.name)
                return Said(self._read(reply, token, sent_at), asked_at)
        sinks.tell(ClientRefused(component=self._kind.name))
        raise ProviderUnavailable("client_refused")

    def _read(self, reply: HttpAnswer, token: str, sent_at: float) -> Answer | None:
        self._quiet_until = max(self._quiet_until, self._monotonic() + pause_asked_for(reply.status, reply.headers))
        if knows_no_such_token(reply.status, reply.body):
            return None
        if reply.status != 200:
            raise ProviderUnavailable() from ValueError(f"status {reply.status}")
        try:
            facts = facts_of(reply.body, token)
        except ValueError as error:
            raise ProviderUnavailable() from error
        if facts is None:
            return None
        return Answer(facts, sent_at, seconds_to_keep(facts, at_most=self._kind.cache_seconds, sent_at=sent_at))
