"""What a protected resource says of itself, and where (RFC 9728)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from ..carriers import BEARER, Carrier, Query
from ..checks import check_url
from ..claim_rules import UNCHECKED, holds
from ..errors import SettingsError
from ..settings import Kind, ProtectedResource

PAGE_HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "max-age=3600",
    "Access-Control-Allow-Origin": "*",
}
"""What the answer with the metadata carries, besides its length."""

# Section 2 knows the ways of RFC 6750 only; the one in the query is a parameter of this name.
_METHODS: dict[Carrier, str] = {BEARER: "header", Query("access_token"): "query"}


@dataclass(frozen=True, slots=True)
class MetadataPage:
    """The metadata as a door serves it: its path below the door, its URL for challenges, its body."""

    path: str
    url: str
    body: bytes

    def is_asked_for(self, method: str, path: str) -> bool:
        """Whether an HTTP request is for this page."""
        return path == self.path and method in ("GET", "HEAD")

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        return {**PAGE_HEADERS, "Content-Length": str(len(self.body))}


def metadata_page(resource: Any, kinds: Sequence[Kind]) -> MetadataPage | None:
    """The page of a door whose verifier takes these kinds; None for a door without a resource."""
    if resource is None:
        return None
    if not isinstance(resource, ProtectedResource):
        raise SettingsError(f"resource is {resource!r}; write resource=ProtectedResource(resource='https://...')")
    check_resource(resource, kinds)
    path = unquote(well_known_path(resource.resource))
    return MetadataPage(path, metadata_url(resource.resource), metadata_document(resource, kinds))


def well_known_path(resource: str) -> str:
    """The path of the metadata, as a URL spells it.

    Section 3.1: a slash that only ends the host goes; one that ends a longer path is a part of its name.
    """
    path = urlsplit(resource).path
    return "/.well-known/oauth-protected-resource" + ("" if path == "/" else path)


def metadata_url(resource: str) -> str:
    """The URL of the metadata, which stands on the resource's own host."""
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}{well_known_path(resource)}"


def metadata_document(resource: ProtectedResource, kinds: Sequence[Kind]) -> bytes:
    """The metadata in JSON; what is not known is left out."""
    own = _kinds_for(resource, kinds)
    members: dict[str, object] = {
        "resource": resource.resource,
        "authorization_servers": list(resource.authorization_servers or _issuers(own)),
        "scopes_supported": list(resource.scopes) or None,
        "bearer_methods_supported": _bearer_methods(carrier for kind in own for carrier in kind.carriers),
        "resource_name": resource.name,
        "resource_documentation": resource.documentation,
    }
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


def _bearer_methods(carriers: Iterable[Carrier]) -> list[str]:
    return list(dict.fromkeys(_METHODS[carrier] for carrier in carriers if carrier in _METHODS))


def check_resource(resource: ProtectedResource, kinds: Sequence[Kind]) -> None:
    """SettingsError unless tokens for this resource are taken, and from the servers that it names."""
    own = _kinds_for(resource, kinds)
    if not own:
        raise SettingsError(
            f"the resource {resource.resource!r} is in the audience of no kind of this verifier; give the kind "
            f"audience={resource.resource!r}, or write the resource as the audience is written"
        )
    issuers = _issuers(own)
    if resource.authorization_servers is not None and set(resource.authorization_servers) != set(issuers):
        raise SettingsError(
            f"authorization_servers of the resource {resource.resource!r} are not the issuers of its tokens; "
            f"leave them out, or write authorization_servers={issuers!r}"
        )


def _kinds_for(resource: ProtectedResource, kinds: Sequence[Kind]) -> list[Kind]:
    """The kinds whose tokens are issued for this resource."""
    return [kind for kind in kinds if _is_audience(resource.resource, kind)]


def _is_audience(resource: str, kind: Kind) -> bool:
    if kind.audience is UNCHECKED:
        return False
    try:
        return holds(kind.audience, resource, present=True)
    except Exception as error:
        raise SettingsError(
            f"the audience of kind {kind.name!r} raised {type(error).__name__} for the resource {resource!r}; "
            "write a function that answers True or False for every text"
        ) from error


def _issuers(kinds: Iterable[Kind]) -> tuple[str, ...]:
    """Who issues the tokens of these kinds, each once."""
    return tuple(dict.fromkeys(_server(kind) for kind in kinds))


def _server(kind: Kind) -> str:
    try:
        check_url("issuer", kind.issuer)
    except SettingsError as error:
        raise SettingsError(
            f"the issuer of kind {kind.name!r} is not one https URL, so no client would know where to get a token for "
            "the resource; write issuer='https://id.example.com', or leave resource= out"
        ) from error
    return str(kind.issuer)
