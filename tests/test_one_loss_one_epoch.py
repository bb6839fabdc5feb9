"""A memory that was lost once is told of once: whoever hears of it late begins no epoch of his own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from bearerguard import AuthError, Verifier
from bearerguard.settings import SignedTokens
from tests.houses import settings, token
from tests.servers import RedisServer

Act = Callable[[Verifier[SignedTokens]], object]


@pytest.fixture
def early_and_late(own_redis_server: RedisServer) -> Iterator[tuple[Verifier[SignedTokens], Verifier[SignedTokens]]]:
    """Two processes' verifiers that have seen the store."""
    with (
        Verifier(settings(), store=own_redis_server.url) as early,
        Verifier(settings(), store=own_redis_server.url) as late,
    ):
        for verifier in (early, late):
            verifier.verify(token())
        yield early, late


def epoch_of(server: RedisServer) -> bytes:
    """Since when, and which one: the epoch without the count of its writes."""
    (key,) = [key for key in server.cli("KEYS", "*") if key.endswith(b"epoch")]
    value: bytes = server.cli("GET", key)
    return value.rpartition(b"|")[0]


def refused(verifier: Verifier[SignedTokens]) -> str:
    try:
        verifier.verify(token(iat=int(time.time()) - 60))
    except AuthError as refusal:
        return refusal.reason
    return "passed"


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(lambda late: refused(late), id="a check"),
        pytest.param(lambda late: late.denylist.revoke_id("another", until=time.time() + 60), id="a revocation"),
    ],
)
@pytest.mark.parametrize("empty", [pytest.param(True, id="empty"), pytest.param(False, id="from a snapshot")])
def test_begins_one_epoch_for_one_loss_whatever_the_late_one_does_first(
    early_and_late: tuple[Verifier[SignedTokens], Verifier[SignedTokens]],
    own_redis_server: RedisServer,
    first: Act,
    empty: bool,
) -> None:
    early, late = early_and_late
    own_redis_server.cli("SAVE")
    early.denylist.revoke_id("some", until=time.time() + 60)
    own_redis_server.restart(empty=empty)
    assert refused(early) == "memory_lost"
    begun = epoch_of(own_redis_server)
    first(late)
    assert refused(late) == "memory_lost"
    assert epoch_of(own_redis_server) == begun
