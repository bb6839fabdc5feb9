"""The application of the crews, over a store of which each process has a replica; it may be used before they fork."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from bearerguard import OpaqueTokens, RedisStore, SignedTokens, Verifier
from tests.crews import CACHE_SECONDS, AsgiCrew, CrewVerifier, WsgiCrew, used
from tests.houses import settings
from tests.opaque_houses import Place


def replica_verifier(place: Place) -> CrewVerifier:
    """Takes signed and opaque tokens alike."""
    signed, opaque = settings(name="session"), place.settings(name="access", cache_seconds=CACHE_SECONDS)
    store = RedisStore(place.store, replica=True)
    return Verifier[SignedTokens | OpaqueTokens](signed, opaque, store=store, any_kind=True)


def _prepared() -> CrewVerifier:
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    return replica_verifier(Place.of_environment())


def __getattr__(name: str) -> Any:
    """The applications are built where a server asks for them, and nowhere else."""
    apps: dict[str, Callable[[], Any]] = {
        "asgi_app": lambda: AsgiCrew(_prepared()),
        "wsgi_app": lambda: WsgiCrew(_prepared()),
        "used_asgi_app": lambda: AsgiCrew(used(_prepared())),
        "used_wsgi_app": lambda: WsgiCrew(used(_prepared())),
    }
    if name not in apps:
        raise AttributeError(name)
    globals()[name] = apps[name]()
    return globals()[name]
