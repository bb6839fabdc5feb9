"""Desks over a fleet of servers, and what they must go on saying whatever happens to it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import MovedError
from redis.retry import Retry

from bearerguard import StoreUnavailable
from tests.hostile import GOOD
from tests.redis_fleets import ask
from tests.revoking import HORIZON, Desk, Office, office_of, seconds_until, token
from tests.scripted_redis import scripted_redis
from tests.servers import NO_OWN_REDIS, RedisBinary, RedisServer, redis_binaries

# What FAULTS.md allows, twice: the machine may be busy.
DEADLINE = 2 * 0.5
WELL_AGAIN = 2 * 1.0

STEADY = ("revoked", "replayed", GOOD)
# In a busy machine a replica may take its time to confirm.
_PATIENCE = 5.0

UNKNOWN = {"store_unavailable", "store_unconfirmed", "token_state_unknown"}

OF_AGE = 3
"""A server says in whole seconds since when it runs; so many are enough to tell that it ran a moment ago."""

_serial = itertools.count(1)


def age(node: RedisServer) -> int:
    """For how many seconds a server has run, as it says itself."""
    return int(ask(node, "INFO", "server")["uptime_in_seconds"])


def confirm_what_is_written(master: RedisServer, *, replicas: int = 1) -> bool:
    """Whether so many replicas do; one that has just come does not for a second, whatever else it says."""
    with redis.Redis.from_url(master.url, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
        for number in range(100):
            # In a cluster only keys of its own slots are taken.
            with suppress(MovedError):
                client.set(f"written:{number}", "", px=1)
                return bool(client.wait(replicas, 100) >= replicas)
    return False


def each_binary(
    build: Callable[[RedisBinary], AbstractContextManager[object]], *, only: slice = slice(None)
) -> Callable[..., Iterator[object]]:
    """A fixture: a fleet of each server found here, or of some of them, one for the module.

    Those of all but the first server take minutes, and are for `-m long`.
    """
    binaries = {binary.name: binary for binary in redis_binaries()[only]}
    first, *others = [*binaries] or ["no server found"]

    @pytest.fixture(scope="module", params=[first, *(pytest.param(name, marks=pytest.mark.long) for name in others)])
    def fleet(request: pytest.FixtureRequest) -> Iterator[object]:
        if request.param not in binaries:
            pytest.fail(NO_OWN_REDIS)
        with build(binaries[request.param]) as fleet:
            yield fleet

    return fleet


def token_of_now(office: Office, **changes: Any) -> str:
    """A token that was issued just now, and lives for as long as one can."""
    issued = int(office.clock.now)
    return token(**{"iat": issued, "exp": issued + HORIZON, "jti": f"j{next(_serial)}"} | changes)


class Post:
    """A desk at which one token was revoked, one was spent and one let alone, all of which the store has confirmed."""

    def __init__(self, office: Office, desk: Desk, prefix: str) -> None:
        self.office = office
        self.desk = desk
        self.prefix = prefix
        self.gone, self.kept = self.token(), self.token()
        revoke_for_sure(desk, self.gone)
        seconds_until(self._has_spent_another, at_most=_PATIENCE)
        assert self.says() == STEADY

    def says(self) -> tuple[str, str, str]:
        """What it says of the three, each within the deadline."""
        return in_time(self.desk.verdict, self.gone), self.spends(self.once), in_time(self.desk.verdict, self.kept)

    def spends(self, text: str) -> str:
        """What it says when a token is to be used once, within a deadline for the check and one for the claim."""
        return in_time(self.desk.spend, text, deadlines=2)

    def is_steady(self) -> bool:
        """Whether it says what it said before."""
        return self.says() == STEADY

    def _has_spent_another(self) -> bool:
        self.once = self.token()
        return self.desk.spend(self.once) == GOOD

    def token(self, **changes: Any) -> str:
        """Another token of just now."""
        return token_of_now(self.office, **changes)

    def revoke(self, text: str) -> None:
        """Revoke a token at this desk."""
        self.desk.denylist.revoke(self.desk.verify(text))

    def revoke_elsewhere(self, text: str) -> None:
        """Revoke it as another process does, which has not been here before."""
        other = self.office.desk(prefix=self.prefix)
        revoke_for_sure(other, text)


def revoke_for_sure(desk: Desk, text: str) -> None:
    """Revoke a token, as often as it takes until that is confirmed."""
    seconds_until(lambda: desk.verdict(text) == GOOD, at_most=_PATIENCE)
    held = desk.verify(text)
    seconds_until(lambda: is_done(lambda: desk.denylist.revoke(held)), at_most=_PATIENCE)


def is_done(call: Callable[[], object]) -> bool:
    """Whether the store did what a call asked for."""
    with suppress(StoreUnavailable):
        call()
        return True
    return False


def in_time(call: Callable[[str], str], text: str, *, deadlines: int = 1) -> str:
    """What a call says; it must not take longer than so many deadlines."""
    started = time.perf_counter()
    said = call(text)
    assert time.perf_counter() - started < deadlines * DEADLINE
    return said


def some_prefix() -> str:
    """A prefix that no other test has."""
    return f"test{next(_serial)}:"


@contextmanager
def offices_over(url: str) -> Iterator[list[Office]]:
    """An office of each flavour, at the servers' own time."""
    with ExitStack() as stack:
        offices = [stack.enter_context(office_of(url, flavour)) for flavour in ("sync", "async")]
        for office in offices:
            office.clock.now = int(time.time())
        yield offices


@contextmanager
def posts_over(url: str, **store_options: Any) -> Iterator[list[Post]]:
    """A post of each flavour, each with a prefix of its own where none is given."""
    with offices_over(url) as offices:
        yield [post_in(office, **store_options) for office in offices]


def post_in(office: Office, prefix: str | None = None, **store_options: Any) -> Post:
    """A post with this prefix, or one of its own."""
    prefix = prefix or some_prefix()
    return Post(office, office.desk(prefix=prefix, **store_options), prefix)


def stay_right_through(fault: Callable[[], object], posts: Sequence[Post], *, well_within: float = WELL_AGAIN) -> None:
    """While a fault is under way the posts are right or say that they cannot know; after it, soon, they are right."""
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(fault)
        while not wait([under_way], timeout=0.02).done:
            assert_right_or_unknown(posts)
        under_way.result()
    settle(posts, within=well_within)


def heard_on_waking(frozen: RedisServer, posts: Sequence[Post], tokens: Sequence[str]) -> list[str]:
    """What posts say of their tokens that ask a frozen server, or another, just before it wakes up."""
    with ThreadPoolExecutor(len(posts)) as pool:
        asked = [pool.submit(post.desk.verdict, text) for post, text in zip(posts, tokens, strict=True)]
        # Whoever asks the frozen one waits for its answer by now, and for a while yet.
        wait(asked, timeout=0.1)
        frozen.thaw()
        return [answer.result() for answer in asked]


def settle(posts: Sequence[Post], *, within: float = WELL_AGAIN) -> None:
    """Return when all of them are right again; what they say until then is not wrong."""
    seconds_until(lambda: assert_right_or_unknown(posts), at_most=within)


def assert_right_or_unknown(posts: Sequence[Post]) -> bool:
    """Whether all of them say what is right; saying that they cannot know is no fault, and anything else is."""
    heard = [post.says() for post in posts]
    assert [
        word for said in heard for word, right in zip(said, STEADY, strict=True) if word not in {right, *UNKNOWN}
    ] == []
    return all(said == STEADY for said in heard)


@contextmanager
def sentinel_that_names(port: int, *, login: str = "") -> Iterator[str]:
    """The URL of a store whose Sentinel names this port, whatever is there."""
    place = _array(_bulk(b"127.0.0.1"), _bulk(b"%d" % port))
    with scripted_redis(lambda _: [place]) as sentinel:
        yield sentinel.url.replace("redis://", f"redis+sentinel://{login}") + "/service"


@contextmanager
def cluster_that_names(port: int) -> Iterator[str]:
    """The URL of a store in a cluster that has one node, whatever is there."""
    slots = _array(_array(b":0\r\n", b":16383\r\n", _array(_bulk(b"127.0.0.1"), b":%d\r\n" % port)))
    with scripted_redis(lambda _: [slots]) as node:
        yield node.url.replace("redis://", "redis+cluster://")


def _array(*parts: bytes) -> bytes:
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


def _bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


def refusal_of(call: Callable[[], object], *, deadlines: int = 1) -> str:
    """The reason why a call could not be done, which it has told in time."""
    started = time.perf_counter()
    with pytest.raises(StoreUnavailable) as caught:
        call()
    assert time.perf_counter() - started < deadlines * DEADLINE
    return caught.value.reason
