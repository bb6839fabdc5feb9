"""A check against a denylist that grows: in memory, in Redis, in a replica of what is in Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing

import redis

from bearerguard import MemoryStore, RedisStore, SignedTokens, Verifier
from bearerguard.core.ports import run_sync
from bearerguard.rules.revocation import MARGIN_SECONDS
from bearerguard.stores import StoreLike
from tests.servers import redis_binaries, start_redis

from ..harness import Serve
from .series import Series, calling, drawn, series, sized
from .users import kind, tokens_of_users

SIZES = (1_000, 100_000, 1_000_000)

GROWS = "entries in the denylist"
IN_MEMORY = "a token seen before, MemoryStore"
IN_REDIS = "a token seen before, RedisStore"
IN_REPLICA = "a token seen before, RedisStore with a replica"

_KEPT_SECONDS = 600 + MARGIN_SECONDS
_PATIENCE = 300.0
_STEP = 10_000

# The entries that `revoke_id` would write, so many in one call.
_FILL = """
for number = tonumber(ARGV[2]), tonumber(ARGV[3]) do
  redis.call("SET", ARGV[1] .. string.format("%043d", number), ARGV[4], "EX", ARGV[5])
end
"""


def measured(rounds: int, sizes: Sequence[int] = SIZES) -> Iterator[Series]:
    """All three denylists, as they come."""
    yield in_memory(rounds, sizes)
    yield from with_redis(rounds, sizes)


def in_memory(rounds: int, sizes: Sequence[int] = SIZES) -> Series:
    """The denylist of one process."""
    stores = {size: MemoryStore() for size in sizes}
    for size, store in stores.items():
        _fill_memory(store, size)
    with ExitStack() as stack:
        return _compared(IN_MEMORY, stores, stack, rounds)


def with_redis(rounds: int, sizes: Sequence[int] = SIZES) -> Iterator[Series]:
    """The denylist in Redis, asked on each check; then the same one, followed by a replica."""
    server = start_redis(redis_binaries()[0], "--databases", str(len(sizes)))
    try:
        urls = {size: server.url.removesuffix("/0") + f"/{place}" for place, size in enumerate(sizes)}
        with ExitStack() as stack:
            # Who asks first founds the epoch, without which there is no replica.
            asking = {size: RedisStore(url) for size, url in urls.items()}
            verifiers = _verifiers(asking, stack)
            for size, url in urls.items():
                fill_redis(url, size)
            yield series(IN_REDIS, GROWS, verifiers, drawn(tokens_of_users(), rounds))
        with ExitStack() as stack:
            following = {size: RedisStore(url, replica=True) for size, url in urls.items()}
            yield _compared(IN_REPLICA, following, stack, rounds)
    finally:
        server.close()


def _compared(check: str, stores: Mapping[int, StoreLike], stack: ExitStack, rounds: int) -> Series:
    return series(check, GROWS, _verifiers(stores, stack), drawn(tokens_of_users(), rounds))


def _verifiers(stores: Mapping[int, StoreLike], stack: ExitStack) -> dict[str, Serve]:
    return {sized(size): calling(_ready(store, stack).verify) for size, store in stores.items()}


def _ready(store: StoreLike, stack: ExitStack) -> Verifier[SignedTokens]:
    """A verifier that has seen all the tokens, and whose replica, if it has one, knows everything."""
    verifier = stack.enter_context(closing(Verifier(kind(), store=store)))
    for text in tokens_of_users():
        verifier.verify(text)
    if isinstance(store, RedisStore) and store.has_replica:
        _await_replica(verifier)
    return verifier


def _await_replica(verifier: Verifier[SignedTokens]) -> None:
    port = verifier.connections.blocking().store
    end = time.monotonic() + _PATIENCE
    while port.peek((_name(0),)) in (None, (None,)):
        if time.monotonic() > end:
            raise RuntimeError("there is no replica")
        time.sleep(0.05)


def _name(number: int) -> str:
    return f"d:{number:043}"


def _fill_memory(store: MemoryStore, size: int) -> None:
    for number in range(size):
        run_sync(store.raise_mark(_name(number), int(time.time()), keep_seconds=_KEPT_SECONDS, within=1))


def fill_redis(url: str, size: int) -> None:
    """Revoke so many tokens; no check asks for them."""
    with redis.Redis.from_url(url) as client:
        fill = client.register_script(_FILL)
        for start in range(0, size, _STEP):
            last = min(start + _STEP, size) - 1
            fill(args=["bearerguard:{bearerguard}:d:", start, last, f"1|{int(time.time())}", _KEPT_SECONDS])
