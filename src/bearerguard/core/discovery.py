"""Finding a provider's endpoints in the metadata that it publishes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .. import sinks
from ..errors import ProviderUnavailable
from ..events import MetadataUnusable, ProviderFailed, error_class
from ..rules.discovery import (
    Known,
    Mismatch,
    NoMetadata,
    UnusableEndpoint,
    after_failure,
    after_success,
    endpoint_of,
    metadata_of,
    metadata_urls,
)
from .ports import HttpAnswer, HttpRequest, Ports


class Metadata:
    """The metadata of one provider: read when it is first needed, kept, and read again behind everybody's back.

    Endpoints of other origins than the issuer's own are taken from `origins` only.
    """

    __slots__ = ("_issuer", "_known", "_monotonic", "_origins")

    def __init__(self, issuer: str, monotonic: Callable[[], float], origins: frozenset[str] = frozenset()) -> None:
        self._issuer = issuer
        self._monotonic = monotonic
        self._origins = origins
        self._known: Mapping[str, Known] = {}

    async def endpoint(self, name: str, ports: Ports, *, within: float) -> str:
        """The URL of that endpoint; ProviderUnavailable where it cannot be found out."""
        known, key = self._about(name), f"metadata {id(self)} {name}"
        wants_asking = known.wants_asking(self._monotonic())
        if known.url is None:
            if not wants_asking:
                raise ProviderUnavailable()
            return await ports.flight.once(key, lambda: self._found(name, ports, within), within=within)
        if wants_asking:
            ports.flight.behind(key, lambda: self._found(name, ports, within))
        return known.url

    def _about(self, name: str) -> Known:
        return self._known.get(name) or Known()

    async def _found(self, name: str, ports: Ports, within: float) -> str:
        """The endpoint as the metadata has it now; a failed look leaves what we know and starts the cool-down."""
        known, started = self._about(name), self._monotonic()
        if not known.wants_asking(started):  # somebody else was faster
            return _known_url(known)
        try:
            url = await self._looked_up(name, ports, ends_at=started + within)
        except (ProviderUnavailable, NoMetadata, Mismatch) as error:
            now = self._monotonic()
            self._note(name, after_failure(known, now=now))
            raise self._told(error, elapsed=now - started) from error
        self._note(name, after_success(url, now=self._monotonic()))
        return url

    def _note(self, name: str, known: Known) -> None:
        self._known = {**self._known, name: known}

    async def _looked_up(self, name: str, ports: Ports, *, ends_at: float) -> str:
        """The endpoint from the first place that names it; a place that does not answer ends the search."""
        trouble: NoMetadata | Mismatch = NoMetadata()
        for url in metadata_urls(self._issuer):
            request = HttpRequest(url, headers={"accept": "application/json"})
            answer = await ports.fetch.send(request, within=max(0.0, ends_at - self._monotonic()))
            try:
                return self._read(answer, name)
            except UnusableEndpoint:
                raise
            except Mismatch as error:
                trouble = error
            except NoMetadata as error:
                trouble = trouble if isinstance(trouble, Mismatch) else error
        raise trouble

    def _read(self, answer: HttpAnswer, name: str) -> str:
        if answer.status != 200:
            raise NoMetadata(f"status {answer.status}")
        metadata = metadata_of(answer.body, issuer=self._issuer)
        return endpoint_of(metadata, name, issuer=self._issuer, origins=self._origins)

    def _told(self, error: ProviderUnavailable | NoMetadata | Mismatch, *, elapsed: float) -> ProviderUnavailable:
        """The refusal that stands for `error`, once it has been told."""
        component = f"metadata of {self._issuer}"
        if isinstance(error, Mismatch):
            sinks.tell(MetadataUnusable(component=component, what=str(error)))
            return ProviderUnavailable("provider_mismatch")
        sinks.tell(ProviderFailed(component=component, error=error_class(error), elapsed=elapsed))
        return ProviderUnavailable()


def _known_url(known: Known) -> str:
    if known.url is None:
        raise ProviderUnavailable()
    return known.url
