"""Where a provider's metadata stands, which endpoint it names, and how that ages (RFC 8414, OpenID Discovery)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ..checks import check_url, origin_of_url
from ..encoding import strict_json_object
from ..errors import SettingsError

LIFETIME_SECONDS = 3600.0
LONGEST_PAUSE_SECONDS = 5.0


class NoMetadata(ValueError):
    """What was answered is no metadata at all."""


class Mismatch(ValueError):
    """Metadata that cannot be used with our settings; its text names the setting to look at."""


class UnusableEndpoint(Mismatch):
    """Our provider's own metadata sends us where we do not go."""


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """Where the metadata of `issuer` may stand, in the order in which to ask.

    RFC 8414, section 3.1, puts its path between host and path; OpenID Connect puts its own behind.
    """
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    )


def metadata_of(body: bytes, *, issuer: str) -> dict[str, Any]:
    """The metadata that a body spells, if it is that of `issuer` and no other's (RFC 8414, section 3.3)."""
    try:
        metadata = strict_json_object(body)
    except ValueError as error:
        raise NoMetadata("the answer is no JSON object") from error
    if metadata.get("issuer") != issuer:
        raise Mismatch("the metadata names another issuer; write issuer= in the settings exactly as it does")
    return metadata


def endpoint_of(metadata: Mapping[str, Any], name: str, *, issuer: str, origins: Set[str]) -> str:
    """The endpoint of that name, if it is https and of the issuer's origin or one of `origins`."""
    url = metadata.get(name)
    if url is None:
        raise Mismatch(f"the metadata names no {name}; give the endpoint in the settings")
    try:
        check_url(name, url)
    except SettingsError as error:
        raise UnusableEndpoint(f"the metadata's {name} is no https URL; give the endpoint in the settings") from error
    if origin_of_url(url) not in {origin_of_url(issuer), *origins}:
        raise UnusableEndpoint(
            f"the metadata's {name} is of another origin than the issuer; "
            "allow that origin in the settings, or give the endpoint there"
        )
    return str(url)


class Known(NamedTuple):
    """What we know of one endpoint, and the times that matter; replaced whole, never edited. Times are monotonic."""

    url: str | None = None
    ages_at: float = -math.inf
    ask_again_at: float = -math.inf
    failures: int = 0

    def wants_asking(self, now: float) -> bool:
        """Whether there is no endpoint, or one that aged, and the cool-down is over."""
        return now >= self.ages_at and now >= self.ask_again_at


def after_success(url: str, *, now: float) -> Known:
    """What we know once the metadata was read."""
    return Known(url, now + LIFETIME_SECONDS)


def after_failure(known: Known, *, now: float) -> Known:
    """What we still know; we ask again in doubling steps."""
    pause = min(LONGEST_PAUSE_SECONDS, 2.0 ** min(known.failures, 16))
    return Known(known.url, known.ages_at, now + pause, known.failures + 1)
