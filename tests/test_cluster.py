"""A store in a cluster: what was confirmed stays refused wherever its slot goes, and it is found again by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import pytest

from bearerguard.stores.layout import KeyLayout
from tests.fault_proxy import FaultProxy
from tests.fleet_desks import (
    OF_AGE,
    STEADY,
    UNKNOWN,
    WELL_AGAIN,
    Post,
    age,
    assert_right_or_unknown,
    cluster_that_names,
    confirm_what_is_written,
    each_binary,
    heard_on_waking,
    offices_over,
    post_in,
    posts_over,
    refusal_of,
    settle,
    some_prefix,
    stay_right_through,
    token_of_now,
)
from tests.hostile import GOOD
from tests.introspecting import court_of, fresh, says
from tests.redis_fleets import ClusterFleet
from tests.revoking import seconds_until
from tests.scripted_redis import Command, scripted_redis
from tests.servers import RedisServer, free_port
from tests.store_calls import Flavour

FLAVOURS: tuple[Flavour, ...] = ("sync", "async")


standing_cluster = each_binary(lambda binary: ClusterFleet(binary, replicas=1))


@pytest.fixture
def cluster(standing_cluster: ClusterFleet) -> Iterator[ClusterFleet]:
    """Three masters with a replica each, all well and of age; put right again after the test."""
    seconds_until(lambda: min(map(age, standing_cluster.nodes)) >= OF_AGE, at_most=10)
    yield standing_cluster
    alive = standing_cluster.alive
    for node in standing_cluster.nodes:
        if node not in alive:
            node.restart()
    standing_cluster.wait_until_well()
    for master in standing_cluster.masters:
        if not standing_cluster.replicas_of(master):
            lend_a_replica(standing_cluster, to=master)
        seconds_until(partial(confirm_what_is_written, master), at_most=10)


def lend_a_replica(cluster: ClusterFleet, *, to: RedisServer) -> None:
    """Let another master's replica, of one that has most of them, follow this one; return when it confirms."""
    others = [cluster.replicas_of(master) for master in cluster.masters if master is not to]
    replica = max(others, key=len)[0]
    replica.cli("CLUSTER", "REPLICATE", cluster.id_of(to))
    seconds_until(partial(confirm_what_is_written, to), at_most=10)


def url_of(cluster: ClusterFleet, *ports: int) -> str:
    """The cluster as URLs name it, by all its nodes or by those at these ports."""
    return f"redis+cluster://{','.join(f'127.0.0.1:{port}' for port in ports or cluster.ports)}"


def epoch_key(prefix: str) -> str:
    return KeyLayout(prefix).key("epoch")


def prefix_at(cluster: ClusterFleet, owner: RedisServer) -> str:
    """A prefix whose slot this node has."""
    return next(prefix for prefix in iter(some_prefix, "") if cluster.owner_of(epoch_key(prefix)) is owner)


@contextmanager
def posts_at(cluster: ClusterFleet, owner: RedisServer, *, url: str = "") -> Iterator[list[Post]]:
    """A post of each flavour, each with a slot of its own that this node has."""
    with offices_over(url or url_of(cluster)) as offices:
        yield [post_in(office, prefix_at(cluster, owner)) for office in offices]


def accepted(posts: Sequence[Post]) -> list[str]:
    """For each post a token that it has just let in."""
    tokens = [post.token() for post in posts]
    assert [post.desk.verdict(text) for post, text in zip(posts, tokens, strict=True)] == [GOOD] * len(posts)
    return tokens


def goes_on(posts: Sequence[Post]) -> None:
    """What was there before is not all that works."""
    for post in posts:
        more = Post(post.office, post.desk, post.prefix)
        assert more.says() == post.says() == STEADY


# --- Slots that move -------------------------------------------------------------------------------------------------


def test_what_was_confirmed_stays_refused_while_its_slot_moves(cluster: ClusterFleet) -> None:
    """And none of it is held for a loss: the new node says so little of the old one's memory as a strange one does."""
    owner = cluster.masters[0]
    with posts_at(cluster, owner) as posts:
        moves = [cluster.begin_move(epoch_key(post.prefix), to=cluster.other_than(owner)) for post in posts]
        assert_right_or_unknown(posts)
        for post, move in zip(posts, moves, strict=True):
            move.send_keys(epoch_key(post.prefix))
        assert_right_or_unknown(posts)
        for move in moves:
            move.send_keys()
        assert_right_or_unknown(posts)
        for move in moves:
            move.finish()
        settle(posts)
        goes_on(posts)


def test_a_slot_that_has_moved_is_found_in_the_same_call(cluster: ClusterFleet) -> None:
    owner = cluster.masters[0]
    with posts_at(cluster, owner) as posts, posts_at(cluster, owner) as others:
        for post in (*posts, *others):
            cluster.move_slot(epoch_key(post.prefix), to=cluster.other_than(owner))
        assert [post.says() for post in posts] == [STEADY, STEADY]
        # A revocation is the first to hear of it.
        for post in others:
            post.desk.denylist.revoke_user("bob")
            assert post.desk.verdict(post.token(sub="bob")) == "revoked"
        goes_on(others)


def test_a_move_that_is_given_up_loses_nothing(cluster: ClusterFleet) -> None:
    owner = cluster.masters[0]
    with posts_at(cluster, owner) as posts:
        for post in posts:
            move = cluster.begin_move(epoch_key(post.prefix), to=cluster.other_than(owner))
            move.send_keys()
            assert_right_or_unknown([post])
            move.give_up()
        settle(posts)


def test_a_slot_that_comes_back_is_known_again(cluster: ClusterFleet) -> None:
    owner = cluster.masters[0]
    with posts_at(cluster, owner) as posts:
        for to in (cluster.other_than(owner), owner):
            for post in posts:
                cluster.move_slot(epoch_key(post.prefix), to=to)
            goes_on(posts)


def test_a_node_that_sends_everybody_away_is_believed_once_a_call(flavour: Flavour) -> None:
    """It names itself again and again."""

    def answer(command: Command) -> list[bytes]:
        port = int(server.url.rpartition(":")[2])
        if command[0] == b"CLUSTER":
            return [b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:%d\r\n" % port]
        return [b"-MOVED 1 127.0.0.1:%d\r\n" % port]

    with scripted_redis(answer) as server, offices_over(server.url.replace("redis://", "redis+cluster://")) as offices:
        office = offices[FLAVOURS.index(flavour)]
        assert refusal_of(partial(office.desk().verify, token_of_now(office))) == "store_unavailable"
        assert [command[0] for command in server.commands].count(b"MGET") == 2


# --- Failover --------------------------------------------------------------------------------------------------------


@pytest.mark.timed
def test_what_was_confirmed_stays_refused_when_a_replica_takes_over_from_a_node_that_is_well(
    cluster: ClusterFleet,
) -> None:
    owner = cluster.masters[0]
    with posts_at(cluster, owner) as posts:
        stay_right_through(partial(cluster.failover, owner), posts)
        goes_on(posts)


@pytest.mark.timed
def test_what_was_confirmed_stays_refused_when_a_replica_takes_over_from_a_node_that_is_killed(
    cluster: ClusterFleet,
) -> None:
    owner = cluster.masters[0]

    def kill_it() -> None:
        # It has no replica of its own at first, and nobody to confirm what is written.
        lend_a_replica(cluster, to=cluster.kill_master(owner))

    with posts_at(cluster, owner) as posts:
        stay_right_through(kill_it, posts)
        goes_on(posts)


@pytest.mark.timed
def test_a_frozen_node_that_wakes_up_beside_another_is_not_read_from(cluster: ClusterFleet) -> None:
    """Who asked meanwhile has left it; who did not still has connections to it."""
    owner = cluster.masters[0]

    def wait_until_replaced() -> None:
        (replica,) = cluster.replicas_of(owner)
        wait_until_owner(cluster, idle, replica)
        lend_a_replica(cluster, to=replica)

    with posts_at(cluster, owner) as awake, posts_at(cluster, owner) as idle:
        lates = accepted(idle)
        owner.freeze()
        try:
            stay_right_through(wait_until_replaced, awake)
            for post, late in zip(idle, lates, strict=True):
                post.revoke_elsewhere(late)
            assert set(heard_on_waking(owner, idle, lates)) <= {"revoked", *UNKNOWN}
        finally:
            owner.thaw()
        settle([*awake, *idle])


def wait_until_owner(cluster: ClusterFleet, posts: Sequence[Post], node: RedisServer) -> None:
    """Return when all these posts' slots are this node's."""
    for post in posts:
        seconds_until(lambda post=post: cluster.owner_of(epoch_key(post.prefix)) is node, at_most=20)  # type: ignore[misc]


# --- Nodes that do not answer ----------------------------------------------------------------------------------------


@pytest.mark.timed
@pytest.mark.parametrize("fault", [FaultProxy.refuse, FaultProxy.black_hole])
def test_one_seed_that_answers_is_enough(cluster: ClusterFleet, fault: Callable[[FaultProxy], None]) -> None:
    with FaultProxy(cluster.ports[0]) as first:
        fault(first)
        with posts_over(url_of(cluster, first.port, cluster.ports[1])) as posts:
            goes_on(posts)


@pytest.mark.timed
def test_nodes_that_a_seed_named_are_asked_when_no_seed_answers_any_more(cluster: ClusterFleet) -> None:
    owner = cluster.masters[0]
    with FaultProxy(cluster.masters[1].port) as seed, posts_at(cluster, owner, url=url_of(cluster, seed.port)) as posts:
        seed.refuse()
        for post in posts:
            cluster.move_slot(epoch_key(post.prefix), to=cluster.other_than(owner))
        settle(posts)
        goes_on(posts)


@pytest.mark.timed
def test_no_seed_at_all_is_503(flavour: Flavour) -> None:
    with offices_over(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}") as offices:
        office = offices[FLAVOURS.index(flavour)]
        assert refusal_of(partial(office.desk().verify, token_of_now(office))) == "store_unavailable"


SAID = [
    pytest.param("ASK 866 127.0.0.1:1", id="ASK"),
    pytest.param("TRYAGAIN Multiple keys request during rehashing of slot", id="TRYAGAIN"),
    pytest.param("CLUSTERDOWN The cluster is down", id="CLUSTERDOWN"),
    pytest.param("CLUSTERDOWN Hash slot not served", id="slot not served"),
    pytest.param("CROSSSLOT Keys in request don't hash to the same slot", id="CROSSSLOT"),
    pytest.param("MASTERDOWN Link with MASTER is down", id="MASTERDOWN"),
    pytest.param("LOADING Redis is loading the dataset in memory", id="LOADING"),
    pytest.param("MOVED 866 127.0.0.1:1", id="MOVED to nobody"),
]


@pytest.mark.timed
@pytest.mark.parametrize("said", SAID)
def test_what_a_node_says_instead_of_an_answer_is_503(redis_server: RedisServer, said: str) -> None:
    with (
        FaultProxy(redis_server.port) as proxy,
        cluster_that_names(proxy.port) as url,
        offices_over(url) as offices,
    ):
        for office in offices:
            desk, text = office.desk(), token_of_now(office)
            assert desk.verdict(text) == GOOD
            proxy.answer(f"-{said}\r\n".encode(), only=b"MGET")
            assert refusal_of(partial(desk.verify, text)) == "store_unavailable"
            proxy.answer(f"-{said}\r\n".encode(), only=b"EVAL")
            assert refusal_of(partial(desk.denylist.revoke_user, "bob")) == "store_unavailable"
            assert desk.spend(text) == "store_unavailable"
            proxy.heal()
            seconds_until(lambda desk=desk, text=text: desk.verdict(text) == GOOD, at_most=WELL_AGAIN)  # type: ignore[misc]


# --- Opaque tokens ---------------------------------------------------------------------------------------------------


def test_entries_of_opaque_tokens_are_shared_and_move_along(cluster: ClusterFleet, flavour: Flavour) -> None:
    with court_of(says(jti=fresh()), flavour, url_of(cluster)) as court:
        first, second, text = court.judge(real_time=True), court.judge(real_time=True), fresh()
        assert [judge.verdict(text) for judge in (first, second)] == [GOOD, GOOD]
        assert court.asked == 1
        owner = cluster.owner_of(epoch_key("bearerguard:"))
        cluster.move_slot(epoch_key("bearerguard:"), to=cluster.other_than(owner))
        third = court.judge(real_time=True)
        assert [judge.verdict(text) for judge in (first, second, third)] == [GOOD] * 3
        assert court.asked == 1
        held = first.verify(text)
        first.denylist.revoke(held)
        assert [judge.verdict(text) for judge in (first, second, third)] == ["revoked"] * 3
