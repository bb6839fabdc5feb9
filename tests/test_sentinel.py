"""A store that Sentinels watch: what was confirmed stays refused, whoever is the master, and it heals by itself."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from bearerguard import Claims, RedisStore, Verifier
from bearerguard.stores.redis.places import FRESH_SECONDS
from bearerguard.stores.redis.wire import SILENCE_SECONDS
from tests.fault_proxy import FaultProxy
from tests.fleet_desks import (
    OF_AGE,
    STEADY,
    UNKNOWN,
    WELL_AGAIN,
    Post,
    age,
    confirm_what_is_written,
    each_binary,
    heard_on_waking,
    offices_over,
    posts_over,
    refusal_of,
    sentinel_that_names,
    settle,
    some_prefix,
    stay_right_through,
    token_of_now,
)
from tests.hostile import GOOD
from tests.redis_fleets import SentinelFleet, take_snapshot
from tests.revoking import Desk, Twins, seconds_until, shop_settings
from tests.servers import RedisServer, free_port, own_redis_names
from tests.test_redis_bounds import black_hole

# For so long a master that Sentinels named counts for one, and a Sentinel may take a while to answer: twice.
NAMED_ANEW = 2 * (1.0 + 0.1)

APP = ("app", "on", ">app", "~*", "+@all")


standing_fleet = each_binary(SentinelFleet)
# Nobody is promoted here: its one Sentinel is patient.
locked_fleet = each_binary(
    lambda binary: SentinelFleet(
        binary, replicas=1, sentinels=1, password="data", sentinel_password="watch", down_after=60
    )
)


# For what is ours alone, whatever the servers are.
with_one_server = pytest.mark.parametrize("standing_fleet", own_redis_names()[:1] or ["no server found"], indirect=True)


@pytest.fixture
def fleet(standing_fleet: SentinelFleet) -> Iterator[SentinelFleet]:
    """A master, two replicas and three Sentinels, all well; put right again after the test."""
    wait_for_replicas(standing_fleet)
    yield standing_fleet
    mend(standing_fleet)


@pytest.fixture
def patient_fleet(locked_fleet: SentinelFleet) -> SentinelFleet:
    """A master, a replica and a Sentinel, all well, with passwords; the same stays the master."""
    wait_for_replicas(locked_fleet)
    return locked_fleet


def wait_for_replicas(fleet: SentinelFleet) -> None:
    """Return when all replicas confirm what is written.

    And when all are so old that whoever is promoted was there, without doubt, when the master was last asked.
    """
    count, master = len(fleet.replicas), fleet.master
    seconds_until(lambda: min(map(age, fleet.nodes)) >= OF_AGE, at_most=10)
    seconds_until(lambda: confirm_what_is_written(master, replicas=count), at_most=10)


def mend(fleet: SentinelFleet) -> None:
    """Wake, start and demote whoever needs it."""
    for node in fleet.nodes:
        with suppress(ProcessLookupError):
            node.thaw()
    alive = fleet.alive
    for node in fleet.nodes:
        if node not in alive:
            node.restart()
    for replica in fleet.replicas:
        fleet.demote(replica)
    fleet.wait_synced()


def url_of(fleet: SentinelFleet, *, login: str = "", ports: Sequence[int] | None = None, more: str = "") -> str:
    """The fleet as URLs name it, with the Sentinels at these ports where they are given."""
    places = ",".join(f"127.0.0.1:{port}" for port in ports or fleet.sentinel_ports)
    return f"redis+sentinel://{login}{places}/{fleet.service}{more}"


@contextmanager
def posts_of_clients(fleet: SentinelFleet, *, login: str = "") -> Iterator[list[Post]]:
    """A post of each flavour over a client of a user's own."""
    with ExitStack() as stack:
        posts = []
        for office in stack.enter_context(offices_over(url_of(fleet, login=login))):
            client = stack.enter_context(client_of_ones_own(fleet, office._runner, login=login))
            prefix = some_prefix()
            verifier = Verifier(shop_settings(), store=RedisStore(client, prefix=prefix), clock=office.clock)
            posts.append(Post(office, Desk(verifier, office._runner), prefix))
        yield posts


@contextmanager
def client_of_ones_own(fleet: SentinelFleet, runner: asyncio.Runner | None, *, login: str = "") -> Iterator[Any]:
    """A client that asks the Sentinels itself, as redis-py's users build it."""
    retry = (Retry if runner is None else AsyncRetry)(NoBackoff(), 0)
    options: dict[str, Any] = {"socket_timeout": 0.25, "socket_connect_timeout": 0.25, "retry": retry}
    options["username"], _, options["password"] = login.rstrip("@").partition(":") if login else (None, "", None)
    kind: Any = redis.sentinel.Sentinel if runner is None else redis.asyncio.sentinel.Sentinel
    sentinels = kind([("127.0.0.1", port) for port in fleet.sentinel_ports], **options)
    client = sentinels.master_for(fleet.service)
    try:
        yield client
    finally:
        for each in (client, *sentinels.sentinels):
            Twins(each, runner).close()


@contextmanager
def every_post(fleet: SentinelFleet) -> Iterator[list[Post]]:
    """Posts over the fleet's URL and over clients of a user's own, of either flavour."""
    with posts_over(url_of(fleet)) as ours, posts_of_clients(fleet) as theirs:
        yield [*ours, *theirs]


# --- Failover --------------------------------------------------------------------------------------------------------

OVER: dict[str, Callable[[SentinelFleet], AbstractContextManager[list[Post]]]] = {
    "url": lambda fleet: posts_over(url_of(fleet)),
    "client": posts_of_clients,
}


@pytest.mark.timed
@pytest.mark.parametrize("fault", [SentinelFleet.failover, SentinelFleet.kill_master], ids=["well", "killed"])
def test_what_was_confirmed_stays_refused_when_another_takes_over_from_a_master_that_is(
    fleet: SentinelFleet, fault: Callable[[SentinelFleet], object]
) -> None:
    with every_post(fleet) as posts:
        stay_right_through(partial(fault, fleet), posts)
        revoke_and_spend_more(posts)


@pytest.mark.timed
@pytest.mark.parametrize("way", OVER)
def test_a_frozen_master_that_wakes_up_beside_another_is_not_read_from(fleet: SentinelFleet, way: str) -> None:
    """Who asked meanwhile has left it; who did not still has connections to it."""
    with OVER[way](fleet) as awake, OVER[way](fleet) as idle:
        old, lates = fleet.master, accepted(idle)
        stay_right_through(partial(fleet.freeze_master), awake)
        for post, late in zip(idle, lates, strict=True):
            post.revoke_elsewhere(late)
        assert set(heard_on_waking(old, idle, lates)) <= {"revoked", *UNKNOWN}
        settle([*awake, *idle])


@with_one_server
@pytest.mark.timed
def test_a_master_that_the_sentinels_have_given_up_is_soon_read_from_no_more(fleet: SentinelFleet) -> None:
    """It lives, we reach it, and it holds itself for the master: only the Sentinels know better."""
    fleet.set_user(*APP)
    first = FaultProxy(fleet.sentinel_ports[0])
    with (
        first,
        posts_over(url_of(fleet, login="app:app@")) as posts,
        posts_over(url_of(fleet, login="app:app@", ports=[first.port, *fleet.sentinel_ports[1:]])) as hampered,
        cut_off_from_sentinels(fleet) as old,
    ):
        lates, hampered_lates = accepted(posts), accepted(hampered)
        first.black_hole()
        fleet.wait_for_other_master(old)
        assert_soon_refused(posts, lates, at_most=NAMED_ANEW)
        # The first time goes by with asking a Sentinel that does not answer.
        assert_soon_refused(hampered, hampered_lates, at_most=2 * NAMED_ANEW)
        settle([*posts, *hampered])


def assert_soon_refused(posts: Sequence[Post], tokens: Sequence[str], *, at_most: float) -> None:
    """What is revoked elsewhere is let in for so long and no longer, and not again."""
    for post, text in zip(posts, tokens, strict=True):
        post.revoke_elsewhere(text)
        seconds_until(partial(is_revoked, post, text), at_most=at_most)
    assert {post.desk.verdict(text) for post, text in zip(posts, tokens, strict=True)} == {"revoked"}


def is_revoked(post: Post, text: str) -> bool:
    return post.desk.verdict(text) == "revoked"


@contextmanager
def cut_off_from_sentinels(fleet: SentinelFleet) -> Iterator[RedisServer]:
    """The master, with which the Sentinels cannot speak any more, while users of their own can."""
    old = fleet.master
    with redis.Redis.from_url(old.url.replace("redis://", "redis://app:app@")) as client:
        client.execute_command("ACL", "SETUSER", "default", "-ping", "-info", "-publish", "-replicaof", "-slaveof")
        try:
            yield old
        finally:
            client.execute_command("ACL", "SETUSER", "default", "+@all")


def accepted(posts: Sequence[Post]) -> list[str]:
    """For each post a token that it has just let in."""
    tokens = [post.token() for post in posts]
    assert [post.desk.verdict(text) for post, text in zip(posts, tokens, strict=True)] == [GOOD] * len(posts)
    return tokens


def revoke_and_spend_more(posts: Sequence[Post]) -> None:
    """What was there before is not all that works."""
    for post in posts:
        more = Post(post.office, post.desk, post.prefix)
        assert more.says() == post.says() == STEADY


# --- Writes that no replica confirms ---------------------------------------------------------------------------------


@pytest.mark.timed
def test_what_no_replica_confirms_is_not_promised(fleet: SentinelFleet) -> None:
    with every_post(fleet) as posts:
        tokens = [(post, held_by(post), post.token()) for post in posts]
        for replica in fleet.replicas:
            replica.freeze()
        for post, held, once in tokens:
            for revoke in ways_to_revoke(post):
                assert refusal_of(partial(revoke, held)) == "store_unconfirmed"
            assert post.spends(once) == "token_state_unknown"
            assert post.spends(once) in {"replayed", "token_state_unknown"}
            assert post.desk.verdict(post.kept) == GOOD
        for replica in fleet.replicas:
            replica.thaw()
        settle(posts)
        assert [post.spends(once) for post, _, once in tokens] == ["replayed"] * len(tokens)
        revoke_and_spend_more(posts)


def held_by(post: Post) -> Claims:
    """The claims of a token that the post has let in, of a user and a tenant of their own."""
    held: Claims = post.desk.verify(post.token(sub="bob", tenant="str_2"))
    return held


def ways_to_revoke(post: Post) -> list[Callable[[Claims], object]]:
    denylist = post.desk.denylist
    return [
        denylist.revoke,
        lambda held: denylist.revoke_id(held.token_id, until=post.office.clock.now + 60),
        lambda held: denylist.revoke_user(held.user),
        lambda held: denylist.revoke_tenant(held.tenant),
    ]


@pytest.mark.timed
def test_a_replica_that_lags_takes_over_and_what_it_missed_is_missed(fleet: SentinelFleet) -> None:
    """Who has seen more than it knows holds it for a loss. Nobody else was promised more than it knows."""
    with posts_over(url_of(fleet)) as wise, posts_over(url_of(fleet)) as others:
        fleet.pause_replication()
        lates = {post: post.token() for post in (*wise, *others)}
        for post, late in lates.items():
            assert refusal_of(partial(post.revoke, late), deadlines=2) == "store_unconfirmed"
        assert [post.desk.verdict(lates[post]) for post in wise] == ["revoked", "revoked"]
        fleet.kill_master()
        for post in wise:
            seconds_until(partial(knows, post), at_most=WELL_AGAIN)
            assert (post.desk.verdict(lates[post]), *post.says()) == ("memory_lost",) * 4
            post.office.clock.now = time.time() + 20
            assert post.desk.verdict(post.token()) == GOOD
        for post in others:
            seconds_until(partial(knows, post), at_most=WELL_AGAIN)
            assert post.says() in (STEADY, ("memory_lost",) * 3)


def knows(post: Post) -> bool:
    """Whether the store can be asked again."""
    return post.desk.verdict(post.kept) not in UNKNOWN


@with_one_server
@pytest.mark.timed
def test_checks_go_on_however_many_revocations_are_not_confirmed(fleet: SentinelFleet) -> None:
    with posts_over(url_of(fleet)) as posts:
        for replica in fleet.replicas:
            replica.freeze()
        for post in posts:
            for number in range(6):
                call = partial(post.desk.denylist.revoke_id, f"x{number}", until=post.office.clock.now + 60)
                assert refusal_of(call) == "store_unconfirmed"
            assert post.desk.verdict(post.kept) == GOOD


@pytest.mark.timed
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda proxy: proxy.black_hole(only=b"WAIT"), id="never comes"),
        pytest.param(lambda proxy: proxy.reset(only=b"WAIT"), id="is not asked for"),
        pytest.param(lambda proxy: proxy.lose_replies(only=b"WAIT"), id="is lost"),
        pytest.param(lambda proxy: proxy.answer(b"-NOPERM no\r\n", only=b"WAIT"), id="may not be asked for"),
        pytest.param(lambda proxy: proxy.answer(b"+OK\r\n", only=b"WAIT"), id="is none"),
    ],
)
def test_nothing_is_promised_when_the_confirmation(
    patient_fleet: SentinelFleet, fault: Callable[[FaultProxy], None]
) -> None:
    with (
        FaultProxy(patient_fleet.master.port) as proxy,
        sentinel_that_names(proxy.port, login=":data@") as url,
        posts_over(url) as posts,
    ):
        fault(proxy)
        for post in posts:
            held, once = held_by(post), post.token()
            assert refusal_of(partial(post.desk.denylist.revoke, held)) == "store_unconfirmed"
            assert post.spends(once) == "token_state_unknown"
            assert post.desk.verdict(post.kept) == GOOD


# --- A master that restarts ------------------------------------------------------------------------------------------


def test_a_master_that_restarts_from_its_snapshot_has_forgotten(patient_fleet: SentinelFleet) -> None:
    """It claims its own history, as a replica does that takes over; only, it was not there when it was last asked.

    It says since when it is there in whole seconds: it starts just before one is full, and is asked just after.
    """
    master = patient_fleet.master
    with posts_over(patient_url(patient_fleet)) as posts, posts_over(patient_url(patient_fleet), durable=True) as sure:
        take_snapshot(master)
        lates = accepted(posts)
        seconds_until(lambda: 0.4 < time.time() % 1 < 0.5, at_most=2)
        hang_up(master)
        assert [post.desk.verdict(late) for post, late in zip(posts, lates, strict=True)] == [GOOD, GOOD]
        for post, late in zip(posts, lates, strict=True):
            post.revoke_elsewhere(late)
        master.restart(empty=False)
        seconds_until(lambda: time.time() % 1 < 0.3, at_most=2)
        for post, late in zip(posts, lates, strict=True):
            seconds_until(partial(knows, post), at_most=WELL_AGAIN)
            assert (post.desk.verdict(late), *post.says()) == ("memory_lost",) * 4
        settle(sure)


def hang_up(server: RedisServer) -> None:
    """End every connection that a client has to it."""
    server.cli("CLIENT", "KILL", "TYPE", "normal")


# --- Sentinels that do not answer ------------------------------------------------------------------------------------


@contextmanager
def nobody() -> Iterator[int]:
    yield free_port()


@contextmanager
def frozen() -> Iterator[int]:
    with FaultProxy(free_port()) as proxy:
        proxy.black_hole()
        yield proxy.port


@contextmanager
def too_busy() -> Iterator[int]:
    with black_hole() as url:
        yield urlsplit(url).port or 0


@contextmanager
def mad() -> Iterator[int]:
    with FaultProxy(free_port()) as proxy:
        proxy.answer(b"+PONG\r\n")
        yield proxy.port


@with_one_server
@pytest.mark.timed
@pytest.mark.parametrize("first", [nobody, frozen, too_busy, mad])
def test_a_sentinel_that_does_not_answer_is_asked_first_once(
    fleet: SentinelFleet, first: Callable[[], AbstractContextManager[int]]
) -> None:
    with first() as port, posts_over(url_of(fleet, ports=[port, *fleet.sentinel_ports])) as posts:
        hang_up(fleet.master)
        for post in posts:
            started = time.perf_counter()
            assert post.desk.verdict(post.kept) == GOOD
            assert time.perf_counter() - started < SILENCE_SECONDS


@with_one_server
@pytest.mark.timed
@pytest.mark.parametrize("fault", [FaultProxy.refuse, FaultProxy.black_hole])
def test_while_no_sentinel_answers_the_last_known_master_is_asked(
    fleet: SentinelFleet, fault: Callable[[FaultProxy], None]
) -> None:
    with ExitStack() as stack:
        proxies = [stack.enter_context(FaultProxy(port)) for port in fleet.sentinel_ports]
        url = url_of(fleet, ports=[proxy.port for proxy in proxies])
        posts = stack.enter_context(posts_over(url))
        for proxy in proxies:
            fault(proxy)
        until = time.monotonic() + 1.5 * FRESH_SECONDS
        while time.monotonic() < until:
            assert [post.says() for post in posts] == [STEADY, STEADY]
        revoke_and_spend_more(posts)
        offices = stack.enter_context(offices_over(url))
        strangers = [(office.desk(), token_of_now(office)) for office in offices]
        for desk, text in strangers:
            assert refusal_of(partial(desk.verify, text)) == "store_unavailable"
        for proxy in proxies:
            proxy.heal()
        for desk, text in strangers:
            seconds_until(lambda desk=desk, text=text: desk.verdict(text) == GOOD, at_most=WELL_AGAIN)  # type: ignore[misc]


@with_one_server
@pytest.mark.timed
def test_a_service_that_no_sentinel_knows_is_503(fleet: SentinelFleet) -> None:
    with offices_over(url_of(fleet).replace(f"/{fleet.service}", "/another")) as offices:
        for office in offices:
            assert refusal_of(partial(office.desk().verify, token_of_now(office))) == "store_unavailable"


# --- Passwords -------------------------------------------------------------------------------------------------------


def patient_url(fleet: SentinelFleet) -> str:
    return url_of(fleet, login=":data@", more="?sentinel_password=watch")


def test_logs_in_at_sentinels_and_servers(patient_fleet: SentinelFleet) -> None:
    with posts_over(patient_url(patient_fleet)) as posts:
        revoke_and_spend_more(posts)


def test_logs_in_as_users_with_few_rights(patient_fleet: SentinelFleet) -> None:
    """At a Sentinel those of the page on deployment are enough."""
    patient_fleet.set_user(*APP)
    page = Path(__file__).parents[1] / "docs" / "deployment.md"
    rights = re.findall(r"`(-@all \+sentinel\S+)`", page.read_text())[0].split()
    patient_fleet.sentinels[0].cli("ACL", "SETUSER", "asker", "on", ">asker", *rights)
    more = "?sentinel_username=asker&sentinel_password=asker"
    with posts_over(url_of(patient_fleet, login="app:app@", more=more)) as posts:
        revoke_and_spend_more(posts)


@pytest.mark.timed
@pytest.mark.parametrize(
    ("login", "more"),
    [
        pytest.param(":data@", "", id="no password for the Sentinel"),
        pytest.param(":data@", "?sentinel_password=data", id="a wrong password for the Sentinel"),
        pytest.param("", "?sentinel_password=watch", id="no password for the server"),
        pytest.param(":watch@", "?sentinel_password=watch", id="a wrong password for the server"),
    ],
)
def test_who_is_not_let_in_is_503(patient_fleet: SentinelFleet, login: str, more: str) -> None:
    with offices_over(url_of(patient_fleet, login=login, more=more)) as offices:
        for office in offices:
            assert refusal_of(partial(office.desk().verify, token_of_now(office))) == "store_unavailable"
