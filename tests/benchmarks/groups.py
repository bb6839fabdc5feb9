"""The groups of in-process rows: an app, the tokens that it is asked with, and who protects it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from . import contestants_asgi, contestants_blocklist, contestants_fastapi, contestants_shopify, contestants_wsgi
from . import provider as providers
from .doors import Builders, behind_asgi, behind_wsgi
from .harness import FASTAPI, FIRST_SIGHT, FLASK_AND_REDIS, IN_PROCESS_HIT, INTROSPECTION, REPEAT, SHOPIFY, Scenario
from .redis_server import redis_url
from .tokens import ALGORITHMS, signer

SIGHTS = (FIRST_SIGHT, REPEAT)


class Source(Protocol):
    """Where the tokens of a row come from."""

    def token(self) -> str:
        """A good token that was never seen before."""
        ...

    def bad_tokens(self) -> Iterable[tuple[str, str]]:
        """What is wrong, and a token of that kind."""
        ...


@dataclass(frozen=True, slots=True)
class LineUp:
    """Who takes part, and with which tokens."""

    source: Source
    builders: Builders
    admits: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Contestant -> bad tokens that it is known to let in; a note below the table tells of them."""


Opened = Callable[[str, asyncio.Runner], AbstractContextManager[LineUp]]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one app and one sort of tokens."""

    door: str
    algorithms: Sequence[str]
    sights: Sequence[str]
    line_up: Opened

    def scenarios(self) -> list[Scenario]:
        """Its rows."""
        return [Scenario(self.door, name, sight) for sight in self.sights for name in self.algorithms]


@contextmanager
def _signed_asgi(algorithm: str, runner: asyncio.Runner) -> Iterator[LineUp]:
    signs = signer(algorithm)
    yield LineUp(signs, behind_asgi(contestants_asgi.CONTESTANTS, signs, runner), contestants_asgi.ADMITS)


@contextmanager
def _signed_wsgi(algorithm: str, _: asyncio.Runner) -> Iterator[LineUp]:
    signs = signer(algorithm)
    yield LineUp(signs, behind_wsgi(contestants_wsgi.CONTESTANTS, signs))


@contextmanager
def _opaque_asgi(_: str, runner: asyncio.Runner) -> Iterator[LineUp]:
    with providers.running(runner) as provider:
        yield LineUp(provider, behind_asgi(contestants_asgi.OPAQUE, provider, runner))


@contextmanager
def _opaque_wsgi(_: str, runner: asyncio.Runner) -> Iterator[LineUp]:
    with providers.running(runner) as provider:
        yield LineUp(provider, behind_wsgi(contestants_wsgi.OPAQUE, provider))


@contextmanager
def _fastapi(algorithm: str, runner: asyncio.Runner) -> Iterator[LineUp]:
    signs = signer(algorithm)
    yield LineUp(signs, behind_asgi(contestants_fastapi.CONTESTANTS, signs, runner))


@contextmanager
def _shopify(_: str, __: asyncio.Runner) -> Iterator[LineUp]:
    tokens = contestants_shopify.ShopifyTokens()
    yield LineUp(tokens, behind_wsgi(contestants_shopify.CONTESTANTS, tokens), contestants_shopify.ADMITS)


@contextmanager
def _flask_and_redis(algorithm: str, _: asyncio.Runner) -> Iterator[LineUp]:
    with redis_url() as url, ExitStack() as opened:
        tokens = contestants_blocklist.Revocable(signer(algorithm), url, opened)
        yield LineUp(tokens, behind_wsgi(contestants_blocklist.CONTESTANTS, tokens))


GROUPS = (
    Group("ASGI", ALGORITHMS, SIGHTS, _signed_asgi),
    Group("WSGI", ALGORITHMS, SIGHTS, _signed_wsgi),
    Group("ASGI", (INTROSPECTION,), (IN_PROCESS_HIT,), _opaque_asgi),
    Group("WSGI", (INTROSPECTION,), (IN_PROCESS_HIT,), _opaque_wsgi),
    Group(FASTAPI, ("HS256", "RS256"), SIGHTS, _fastapi),
    Group(SHOPIFY, ("HS256",), SIGHTS, _shopify),
    Group(FLASK_AND_REDIS, ("HS256",), SIGHTS, _flask_and_redis),
)


def group_of(scenario: Scenario) -> Group:
    """The group that a row belongs to."""
    return next(one for one in GROUPS if one.door == scenario.door and scenario.algorithm in one.algorithms)
