"""The fleets fail over, lag, move their slots and forget as real ones do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import AskError, ClusterDownError, MovedError, NoPermissionError, TryAgainError
from redis.retry import Retry
from redis.sentinel import Sentinel

from tests.fleet_desks import each_binary
from tests.redis_fleets import (
    ClusterFleet,
    SentinelFleet,
    empty_from_oom,
    fill_to_oom,
    restart_empty,
    restart_from_snapshot,
    set_policy,
    take_snapshot,
)
from tests.servers import RedisServer

pytestmark = pytest.mark.long
PASSWORD = "a password for the test"


sentinel_fleet = each_binary(SentinelFleet)
locked_fleet = each_binary(lambda binary: SentinelFleet(binary, replicas=1, password="data", sentinel_password="watch"))
cluster_fleet = each_binary(lambda binary: ClusterFleet(binary, replicas=1))
bare_cluster = each_binary(lambda binary: ClusterFleet(binary, password="data"))


def asks_for_a_password(port: int) -> bool:
    with redis.Redis(port=port, retry=Retry(NoBackoff(), 0)) as stranger:
        try:
            return not stranger.ping()
        except redis.AuthenticationError:
            return True


# --- Sentinel --------------------------------------------------------------------------------------------------------


def known_to(fleet: SentinelFleet, **options: Any) -> Any:
    """What redis-py, which has no types here, knows of the fleet by its Sentinels."""
    kwargs = {"password": fleet.sentinel_password} if fleet.sentinel_password else {}
    addresses = [("127.0.0.1", port) for port in fleet.sentinel_ports]
    sentinel: Callable[..., Any] = Sentinel
    return sentinel(addresses, sentinel_kwargs=kwargs, **options)


def test_sentinels_name_the_master_and_its_replicas(sentinel_fleet: SentinelFleet) -> None:
    fleet = sentinel_fleet
    sentinel = known_to(fleet)
    assert sentinel.discover_master(fleet.service) == ("127.0.0.1", fleet.master.port)
    assert {port for _, port in sentinel.discover_slaves(fleet.service)} == {node.port for node in fleet.replicas}
    assert len(fleet.replicas) == 2


def test_replicas_have_what_the_master_has(sentinel_fleet: SentinelFleet) -> None:
    sentinel_fleet.master.cli("SET", "key", "value")
    sentinel_fleet.wait_synced()
    assert [replica.cli("GET", "key") for replica in sentinel_fleet.replicas] == [b"value", b"value"]


def test_a_failover_makes_another_the_master(sentinel_fleet: SentinelFleet) -> None:
    fleet = sentinel_fleet
    old = fleet.master
    old.cli("SET", "before", "kept")
    fleet.wait_synced()
    new = fleet.failover()
    assert new is fleet.master is not old
    assert new.cli("GET", "before") == b"kept"
    fleet.demote(old)
    with pytest.raises(redis.ReadOnlyError):
        old.cli("SET", "key", "value")


def test_a_master_that_is_killed_is_replaced_by_a_replica_that_lags(sentinel_fleet: SentinelFleet) -> None:
    fleet = sentinel_fleet
    old = fleet.master
    old.cli("SET", "confirmed", "kept")
    fleet.wait_synced()
    fleet.pause_replication()
    old.cli("SET", "unconfirmed", "lost")
    new = fleet.kill_master()
    assert new is not old
    assert new.cli("MGET", "confirmed", "unconfirmed") == [b"kept", None]
    old.restart()
    fleet.demote(old)
    fleet.wait_synced()


def test_replication_goes_on_after_a_pause(sentinel_fleet: SentinelFleet) -> None:
    sentinel_fleet.pause_replication()
    with redis.Redis.from_url(sentinel_fleet.master.url) as client:
        client.set("late", "yes")
        assert client.wait(1, 50) == 0
        assert [replica.cli("GET", "late") for replica in sentinel_fleet.replicas] == [None, None]
        sentinel_fleet.resume_replication()
        assert client.wait(2, 5000) == 2
    assert [replica.cli("GET", "late") for replica in sentinel_fleet.replicas] == [b"yes", b"yes"]


def test_a_frozen_master_comes_back_as_one_too_many(sentinel_fleet: SentinelFleet) -> None:
    old = sentinel_fleet.master
    new = sentinel_fleet.freeze_master()
    old.thaw()
    assert new is sentinel_fleet.master is not old
    sentinel_fleet.demote(old)
    assert old in sentinel_fleet.replicas


def test_a_locked_fleet_asks_for_its_passwords(locked_fleet: SentinelFleet) -> None:
    fleet = locked_fleet
    fleet.set_user("app", "on", f">{PASSWORD}", "~app:*", "+get", "+set")
    for port in (fleet.master.port, *fleet.sentinel_ports):
        assert asks_for_a_password(port)
    new = fleet.failover()
    client = known_to(fleet, username="app", password=PASSWORD).master_for(fleet.service)
    with client:
        assert client.set("app:key", "value")
        with pytest.raises(NoPermissionError):
            client.set("another", "value")
    assert new.cli("GET", "app:key") == b"value"


# --- Cluster ---------------------------------------------------------------------------------------------------------


def client_of(fleet: ClusterFleet) -> RedisCluster:
    return RedisCluster.from_url(f"redis://127.0.0.1:{fleet.ports[0]}")


def test_a_cluster_shares_the_slots(cluster_fleet: ClusterFleet) -> None:
    assert len(cluster_fleet.masters) == 3
    assert [len(cluster_fleet.replicas_of(master)) for master in cluster_fleet.masters] == [1, 1, 1]
    with client_of(cluster_fleet) as client:
        for number in range(20):
            assert client.set(f"shared:{number}", number)
    for number in range(20):
        assert cluster_fleet.owner_of(f"shared:{number}").cli("GET", f"shared:{number}") == b"%d" % number
    assert all(master.cli("DBSIZE") for master in cluster_fleet.masters)


def test_a_slot_moves_with_its_keys(cluster_fleet: ClusterFleet) -> None:
    source = cluster_fleet.owner_of("{moved}1")
    target = cluster_fleet.other_than(source)
    source.cli("MSET", "{moved}1", "one", "{moved}2", "two")
    cluster_fleet.move_slot("{moved}1", to=target)
    assert cluster_fleet.owner_of("{moved}1") is target
    assert target.cli("MGET", "{moved}1", "{moved}2") == [b"one", b"two"]
    with pytest.raises(MovedError) as moved:
        source.cli("GET", "{moved}1")
    assert moved.value.port == target.port


def test_a_slot_can_be_looked_at_while_it_moves(cluster_fleet: ClusterFleet) -> None:
    source = cluster_fleet.owner_of("{moving}1")
    target = cluster_fleet.other_than(source)
    source.cli("MSET", "{moving}1", "one", "{moving}2", "two")
    move = cluster_fleet.begin_move("{moving}1", to=target)
    assert source.cli("MGET", "{moving}1", "{moving}2") == [b"one", b"two"]
    move.send_keys("{moving}1")
    with pytest.raises(AskError):
        source.cli("GET", "{moving}1")
    with pytest.raises((TryAgainError, AskError)):
        source.cli("MGET", "{moving}1", "{moving}2")
    with client_of(cluster_fleet) as client:
        assert client.get("{moving}1") == b"one"
    move.finish()
    assert target.cli("MGET", "{moving}1", "{moving}2") == [b"one", b"two"]


def test_a_move_can_be_given_up(cluster_fleet: ClusterFleet) -> None:
    source = cluster_fleet.owner_of("{stays}1")
    source.cli("MSET", "{stays}1", "one", "{stays}2", "two")
    move = cluster_fleet.begin_move("{stays}1", to=cluster_fleet.other_than(source))
    move.send_keys("{stays}1")
    move.give_up()
    assert source.cli("MGET", "{stays}1", "{stays}2") == [b"one", b"two"]
    assert cluster_fleet.owner_of("{stays}1") is source


def test_a_replica_takes_over_when_it_is_told_to(cluster_fleet: ClusterFleet) -> None:
    old = cluster_fleet.owner_of("key")
    new = cluster_fleet.failover(old)
    assert new is cluster_fleet.owner_of("key") is not old
    assert cluster_fleet.replicas_of(new) == [old]


def test_a_replica_takes_over_when_its_master_is_killed(cluster_fleet: ClusterFleet) -> None:
    old = cluster_fleet.owner_of("key")
    new = cluster_fleet.kill_master(old)
    assert new is cluster_fleet.owner_of("key") is not old
    assert new.cli("SET", "key", "value")
    old.restart()
    cluster_fleet.wait_until_well()


def test_a_cluster_with_a_password_and_without_replicas_is_down_when_one_is(bare_cluster: ClusterFleet) -> None:
    source = bare_cluster.owner_of("key")
    target = bare_cluster.other_than(source)
    source.cli("SET", "key", "value")
    bare_cluster.move_slot("key", to=target)
    assert asks_for_a_password(target.port)
    source.kill()
    bare_cluster.wait_until_down()
    with pytest.raises(ClusterDownError):
        target.cli("GET", "key")
    source.restart()
    bare_cluster.wait_until_well()
    assert target.cli("GET", "key") == b"value"


# --- A server that forgets -------------------------------------------------------------------------------------------


def test_comes_back_from_an_older_snapshot(own_redis_server: RedisServer) -> None:
    own_redis_server.cli("SET", "early", "kept")
    take_snapshot(own_redis_server)
    own_redis_server.cli("SET", "late", "lost")
    restart_from_snapshot(own_redis_server)
    assert own_redis_server.cli("MGET", "early", "late") == [b"kept", None]
    restart_empty(own_redis_server)
    assert own_redis_server.cli("DBSIZE") == 0


def test_has_no_memory_left(own_redis_server: RedisServer) -> None:
    own_redis_server.cli("SET", "key", "value")
    fill_to_oom(own_redis_server)
    with pytest.raises(redis.OutOfMemoryError):
        own_redis_server.cli("SET", "another", "value")
    with pytest.raises(redis.ResponseError, match="maxmemory"):
        own_redis_server.cli("EVAL", "return redis.call('SET', KEYS[1], 'value')", 1, "another")
    assert own_redis_server.cli("GET", "key") == b"value"
    empty_from_oom(own_redis_server)
    assert own_redis_server.cli("SET", "another", "value")
    assert own_redis_server.cli("DBSIZE") == 2


def test_evicts_where_its_policy_says_so(own_redis_server: RedisServer) -> None:
    for number in range(100):
        own_redis_server.cli("SET", f"key:{number}", "x" * 1000, "EX", 1000)
    set_policy(own_redis_server, "volatile-ttl", maxmemory=1)
    with suppress(redis.OutOfMemoryError):
        own_redis_server.cli("SET", "another", "value")
    assert own_redis_server.cli("DBSIZE") < 100
