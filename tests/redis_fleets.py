"""Real fleets of Redis or Valkey on loopback: a master with replicas and Sentinels, a Cluster, a server that forgets.

    with SentinelFleet(binary) as fleet:
        store = f"redis+sentinel://{fleet.addresses}/{fleet.service}"
        fleet.kill_master()

    with ClusterFleet(binary, replicas=1) as fleet:
        move = fleet.begin_move("key", to=fleet.other_than(fleet.owner_of("key")))
        ...
        move.finish()

The processes die with the tests. They watch each other with short patience: on a machine that stands still for longer
than `down_after`, or `node_timeout`, they fail over by themselves.
"""

from __future__ import annotations

import itertools
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from tests.servers import RedisBinary, RedisServer, free_port, start_redis

LOOPBACK = "127.0.0.1"
SERVICE = "bearerguard"
SLOTS = 16_384
_PATIENCE = 30.0
_POLL = 0.02

# Replicas come and go without a dump on disk, which a restart would take for a snapshot.
_REPLICATING = ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--repl-diskless-load", "swapdb")


class _Fleet:
    """Servers of one kind, closed together."""

    def __init__(self, binary: RedisBinary, password: str | None) -> None:
        self.binary = binary
        self.password = password
        self.nodes: list[RedisServer] = []
        self._held = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def ports(self) -> list[int]:
        """The ports of all nodes, dead ones too."""
        return [node.port for node in self.nodes]

    @property
    def alive(self) -> list[RedisServer]:
        """The nodes that answer."""
        return [node for node in self.nodes if _answers(node)]

    def set_user(self, *rules: str) -> None:
        """ACL SETUSER at every node, and kept over restarts: `set_user("app", "on", ">secret", "~*", "+@all")`."""
        for node in self.nodes:
            node.cli("ACL", "SETUSER", *rules)
            node.cli("CONFIG", "REWRITE")

    def log(self, lines: int = 20) -> str:
        """What each of its servers has written last."""
        written = {server.port: server.log().splitlines()[-lines:] for server in self._servers()}
        return "\n".join("\n".join([f"--- {port}", *last]) for port, last in written.items())

    def close(self) -> None:
        """Kill them all."""
        self._held.close()

    def _servers(self) -> Sequence[RedisServer]:
        return self.nodes

    def _start(self, *options: str, port: int | None = None) -> RedisServer:
        known = ["--masterauth", self.password] if self.password else []
        node = start_redis(self.binary, *_REPLICATING, *known, *options, password=self.password, port=port)
        self._held.callback(node.close)
        self.nodes.append(node)
        return node

    def _by_port(self, port: int) -> RedisServer:
        return next(node for node in self.nodes if node.port == port)

    def _wait(self, come: Callable[[], object], what: str) -> None:
        """Ask again and again: the servers tell nobody when they have changed their minds."""
        deadline = time.monotonic() + _PATIENCE
        while not _now(come):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} has not come\n{self.log()}")
            time.sleep(_POLL)


def _now(come: Callable[[], object]) -> bool:
    with suppress(redis.RedisError):
        return bool(come())
    return False


def _answers(node: RedisServer) -> bool:
    return _now(lambda: ask(node, "PING", patience=0.5))


def ask(node: RedisServer, *command: str | int, patience: float = 1.0) -> Any:
    """One command with a short wait, for a node that may be dead or frozen."""
    waits: dict[str, Any] = {"socket_timeout": patience, "socket_connect_timeout": patience}
    with redis.Redis.from_url(node.url, **waits, retry=Retry(NoBackoff(), 0), protocol=2) as client:
        return client.execute_command(*command)


# --- Sentinel --------------------------------------------------------------------------------------------------------


class SentinelFleet(_Fleet):
    """A master, its replicas, and Sentinels that watch them and make another the master."""

    def __init__(
        self,
        binary: RedisBinary,
        *,
        replicas: int = 2,
        sentinels: int = 3,
        password: str | None = None,
        sentinel_password: str | None = None,
        down_after: float = 1.0,
    ) -> None:
        super().__init__(binary, password)
        self.service = SERVICE
        self.sentinel_password = sentinel_password
        self.sentinels: list[RedisServer] = []
        try:
            self._start_nodes(replicas)
            self._start_sentinels(sentinels, round(down_after * 1000))
        except BaseException:
            self.close()
            raise

    @property
    def sentinel_ports(self) -> list[int]:
        """Where the Sentinels listen."""
        return [sentinel.port for sentinel in self.sentinels]

    @property
    def addresses(self) -> str:
        """The Sentinels as URLs name them: "127.0.0.1:1,127.0.0.1:2"."""
        return ",".join(f"{LOOPBACK}:{port}" for port in self.sentinel_ports)

    @property
    def master(self) -> RedisServer:
        """The one that the first Sentinel that answers calls the master, dead or alive."""
        sentinel = next(sentinel for sentinel in self.sentinels if _answers(sentinel))
        return self._by_port(self._master_port(sentinel))

    @property
    def replicas(self) -> list[RedisServer]:
        """All the others, dead or alive."""
        master = self.master
        return [node for node in self.nodes if node is not master]

    def failover(self) -> RedisServer:
        """Make another the master, with everybody well; gives the new one when the Sentinels agree.

        The old one holds itself for a master for a while yet, up to 10 s with Redis 6.2: see `demote`.
        """
        old = self.master
        self._wait(lambda: ask(self.sentinels[0], "SENTINEL", "FAILOVER", self.service), "a failover")
        return self.wait_for_other_master(old)

    def demote(self, old: RedisServer) -> None:
        """Make an old master a replica now, as the Sentinels would in the end."""
        self._let_follow([old])
        self._order(old, "REPLICAOF", LOOPBACK, self.master.port)
        self.wait_until_replica(old)

    def kill_master(self) -> RedisServer:
        """Kill it, and give the one that has been promoted; `restart` and `demote` the old one to have it back."""
        old = self.master
        old.kill()
        return self.wait_for_other_master(old)

    def freeze_master(self) -> RedisServer:
        """Freeze it until another has been promoted, and give that; `thaw()` the old one to have two for a while."""
        old = self.master
        old.freeze()
        return self.wait_for_other_master(old)

    def wait_for_other_master(self, old: RedisServer) -> RedisServer:
        """Return when every living Sentinel names another, and that is one; gives it."""
        self._wait(lambda: "master" in map(_role, self._alive_but(old)), "a promotion")
        self._let_follow(self._alive_but(old))
        self._wait(lambda: self._agreed_port() not in (None, old.port), "another master")
        new = self.master
        self._wait(lambda: _role(new) == "master", "the new master's role")
        return new

    def wait_until_replica(self, node: RedisServer) -> None:
        """Return when the node follows the master, as the Sentinels tell it to in the end."""
        self._wait(lambda: _follows(node, self.master), "a replica")

    def wait_synced(self) -> None:
        """Return when every living replica has everything that the master has now."""
        self._wait(self._are_synced, "a fleet in step")

    def pause_replication(self) -> None:
        """Let the replicas hear no more from the master: they live on, lag, and can be promoted as they are.

        It ends when another is the master, too.
        """
        replicas = [node for node in self.replicas if _answers(node)]
        for replica in replicas:
            # For a wrong password they are sent away once a second; without the right to SYNC they ask on and on.
            replica.cli("CONFIG", "SET", "masterauth", secrets.token_hex(8))
        self.master.cli("CLIENT", "KILL", "TYPE", "replica")
        for replica in replicas:
            self._wait(partial(_is_unlinked, replica), "the end of a link")

    def resume_replication(self) -> None:
        """Let the replicas catch up with the master."""
        self._let_follow(self.alive)
        self.wait_synced()

    def _alive_but(self, old: RedisServer) -> list[RedisServer]:
        return [node for node in self.nodes if node is not old and _answers(node)]

    def _are_synced(self) -> bool:
        master = self.master
        offset = ask(master, "INFO", "replication")["master_repl_offset"]
        return all(_has_got(node, master, offset) for node in self.alive if node is not master)

    def _let_follow(self, nodes: Sequence[RedisServer]) -> None:
        for node in nodes:
            self._order(node, "CONFIG", "SET", "masterauth", self.password or "")

    def _order(self, node: RedisServer, *command: str | int) -> None:
        """Say it again where the connection was cut: Sentinels cut all of a node to which they give another role."""
        self._wait(partial(ask, node, *command), f"an answer to {command[0]}")

    def _servers(self) -> Sequence[RedisServer]:
        return [*self.nodes, *self.sentinels]

    def _start_nodes(self, replicas: int) -> None:
        master, *others = [self._start() for _ in range(1 + replicas)]
        for other in others:
            other.cli("REPLICAOF", LOOPBACK, master.port)
            other.cli("CONFIG", "REWRITE")
        for other in others:
            self._wait(partial(_follows, other, master), "a first replica")

    def _start_sentinels(self, count: int, down_after: int) -> None:
        named = [(free_port(), secrets.token_hex(20)) for _ in range(count)]
        for port, name in named:
            others = [other for other in named if other[1] != name]
            lines = self._sentinel_lines(name, others, down_after, quorum=count // 2 + 1)
            sentinel = start_redis(
                self.binary, "--sentinel", port=port, password=self.sentinel_password, config="\n".join(lines)
            )
            self._held.callback(sentinel.close)
            self.sentinels.append(sentinel)
        for sentinel in self.sentinels:
            self._hurry(sentinel)
        self._wait(self._are_met, "a quorum that knows its replicas")

    def _sentinel_lines(
        self, name: str, others: Sequence[tuple[int, str]], down_after: int, *, quorum: int
    ) -> list[str]:
        # They are told of each other, who would else take seconds to meet.
        master, *replicas = self.ports
        return [
            f"sentinel myid {name}",
            f"sentinel monitor {self.service} {LOOPBACK} {master} {quorum}",
            f"sentinel down-after-milliseconds {self.service} {down_after}",
            f"sentinel failover-timeout {self.service} 2000",
            *([f"sentinel auth-pass {self.service} {self.password}"] if self.password else ()),
            *([f"sentinel sentinel-pass {self.sentinel_password}"] if self.sentinel_password else ()),
            *(f"sentinel known-replica {self.service} {LOOPBACK} {port}" for port in replicas),
            *(f"sentinel known-sentinel {self.service} {LOOPBACK} {port} {other}" for port, other in others),
        ]

    def _hurry(self, sentinel: RedisServer) -> None:
        """Let it look around more often, where it can: not before Redis 7."""
        with suppress(redis.ResponseError):
            sentinel.cli("SENTINEL", "DEBUG", "INFO-PERIOD", 200, "PUBLISH-PERIOD", 200, "ASK-PERIOD", 200)

    def _are_met(self) -> bool:
        others = {b"num-slaves": len(self.nodes) - 1, b"num-other-sentinels": len(self.sentinels) - 1}
        views = [self._view(sentinel) for sentinel in self.sentinels]
        return all(view[b"flags"] == b"master" for view in views) and all(
            int(view[name]) == count for view in views for name, count in others.items()
        )

    def _agreed_port(self) -> int | None:
        """The master of all, once no Sentinel is about to make another: one that is would not hear of yet another."""
        views = [self._view(sentinel) for sentinel in self.sentinels if _answers(sentinel)]
        named = {(int(view[b"port"]), view[b"flags"]) for view in views}
        port, flags = named.pop()
        return port if not named and flags == b"master" else None

    def _view(self, sentinel: RedisServer) -> dict[bytes, bytes]:
        words = ask(sentinel, "SENTINEL", "MASTER", self.service)
        return dict(zip(words[::2], words[1::2], strict=True))

    def _master_port(self, sentinel: RedisServer) -> int:
        address = ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
        return int(address[1])


def _role(node: RedisServer) -> str:
    return str(ask(node, "INFO", "replication")["role"])


def _is_linked(replica: RedisServer) -> bool:
    return bool(ask(replica, "INFO", "replication").get("master_link_status") == "up")


def _is_unlinked(replica: RedisServer) -> bool:
    return not _is_linked(replica)


def _follows(replica: RedisServer, master: RedisServer) -> bool:
    seen = ask(replica, "INFO", "replication")
    return bool(seen.get("master_port") == master.port and seen["master_link_status"] == "up")


def _has_got(replica: RedisServer, master: RedisServer, offset: int) -> bool:
    return _follows(replica, master) and ask(replica, "INFO", "replication")["slave_repl_offset"] >= offset


# --- Cluster ---------------------------------------------------------------------------------------------------------


class ClusterFleet(_Fleet):
    """Masters that share the slots, each with as many replicas as asked for."""

    def __init__(
        self,
        binary: RedisBinary,
        *,
        masters: int = 3,
        replicas: int = 0,
        password: str | None = None,
        node_timeout: float = 1.0,
    ) -> None:
        super().__init__(binary, password)
        self._ids: dict[int, str] = {}
        try:
            for _ in range(masters * (1 + replicas)):
                self._start_node(round(node_timeout * 1000))
            self._join(masters)
        except BaseException:
            self.close()
            raise

    @property
    def addresses(self) -> str:
        """The nodes as URLs name them: "127.0.0.1:1,127.0.0.1:2"."""
        return ",".join(f"{LOOPBACK}:{port}" for port in self.ports)

    @property
    def masters(self) -> list[RedisServer]:
        """Those who have slots, as a living node sees it."""
        owners = self._owners(self.alive[0])
        return [node for node in self.nodes if node.port in set(owners)]

    def owner_of(self, key: str | bytes) -> RedisServer:
        """The node that has the key's slot, as a living node sees it."""
        return self._owner(key_slot(_bytes(key)))

    def other_than(self, node: RedisServer) -> RedisServer:
        """Another master."""
        return next(master for master in self.masters if master is not node)

    def replicas_of(self, master: RedisServer) -> list[RedisServer]:
        """Those that follow it, dead or alive."""
        said = ask(self.alive[0], "CLUSTER", "REPLICAS", self._ids[master.port])
        return [self._by_port(int(line.split()[1].split(b"@")[0].rpartition(b":")[2])) for line in said]

    def begin_move(self, key: str | bytes, *, to: RedisServer) -> SlotMove:
        """Begin to move the key's slot: its keys are where they were, and the target takes them with ASKING."""
        move = SlotMove(self, key_slot(_bytes(key)), self.owner_of(key), to)
        move.begin()
        return move

    def move_slot(self, key: str | bytes, *, to: RedisServer) -> None:
        """Move the key's slot with all its keys, and return when every node knows."""
        self.begin_move(key, to=to).finish()

    def failover(self, of: RedisServer) -> RedisServer:
        """Let a replica of this master, which is well, take over; gives the new one when all agree."""
        slot, replica = self._slot_of(of), self.replicas_of(of)[0]
        self._wait(lambda: _is_linked(replica), "a replica that is linked")
        self._wait(lambda: ask(replica, "CLUSTER", "FAILOVER"), "a failover")
        new = self._successor(of, slot)
        self._wait(lambda: of in self.replicas_of(new), "the old master as a replica")
        return new

    def kill_master(self, master: RedisServer) -> RedisServer:
        """Kill one that has replicas, and give the one that has taken over, when all agree."""
        slot = self._slot_of(master)
        master.kill()
        return self._successor(master, slot)

    def wait_until_well(self) -> None:
        """Return when every living node says so, and all say the same."""
        self._wait(self._is_well, "a cluster that is well")

    def wait_until_down(self) -> None:
        """Return when every living node says CLUSTERDOWN, as after a master without replica was killed."""
        self._wait(lambda: {_state(node) for node in self.alive} == {"fail"}, "a cluster that is down")

    def id_of(self, node: RedisServer) -> str:
        """What the cluster calls it."""
        return self._ids[node.port]

    def wait_until_owned(self, slot: int, by: RedisServer) -> None:
        """Return when every living node knows whose slot it is."""
        self._wait(lambda: {self._owners(node)[slot] for node in self.alive} == {by.port}, "the slot's new owner")

    def _slot_of(self, master: RedisServer) -> int:
        return self._owners(self.alive[0]).index(master.port)

    def _successor(self, old: RedisServer, slot: int) -> RedisServer:
        self._wait(lambda: self._owners(self.alive[0])[slot] != old.port, "a successor")
        self.wait_until_well()
        return self._owner(slot)

    def _owner(self, slot: int) -> RedisServer:
        port = self._owners(self.alive[0])[slot]
        return next(node for node in self.nodes if node.port == port)

    def _start_node(self, node_timeout: int) -> None:
        node = self._start(
            *("--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout)),
            *("--cluster-replica-validity-factor", "0"),
            port=_port_with_bus(),
        )
        self._ids[node.port] = node.cli("CLUSTER", "MYID").decode()

    def _join(self, masters: int) -> None:
        for epoch, node in enumerate(self.nodes, 1):
            node.cli("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for one, other in itertools.combinations(self.nodes, 2):
            one.cli("CLUSTER", "MEET", LOOPBACK, other.port)
        bounds = [SLOTS * number // masters for number in range(masters + 1)]
        for node, (first, end) in zip(self.nodes, itertools.pairwise(bounds), strict=False):
            node.cli("CLUSTER", "ADDSLOTS", *range(first, end))
        for number, replica in enumerate(self.nodes[masters:]):
            self._follow(replica, self.nodes[number % masters])
        self.wait_until_well()
        for replica in self.nodes[masters:]:
            self._wait(partial(_is_linked, replica), "a first replica")

    def _follow(self, replica: RedisServer, master: RedisServer) -> None:
        self._wait(lambda: ask(replica, "CLUSTER", "REPLICATE", self._ids[master.port]), "a master that is known")

    def _is_well(self) -> bool:
        alive = self.alive
        views = {tuple(self._owners(node)) for node in alive}
        return {_state(node) for node in alive} == {"ok"} and len(views) == 1 and None not in views.pop()

    def _owners(self, node: RedisServer) -> list[int | None]:
        """The port that this node believes to have each slot."""
        owners: list[int | None] = [None] * SLOTS
        for first, last, master, *_ in ask(node, "CLUSTER", "SLOTS"):
            owners[first : last + 1] = [master[1]] * (last + 1 - first)
        return owners


@dataclass(frozen=True)
class SlotMove:
    """A slot on its way from one master to another."""

    fleet: ClusterFleet
    slot: int
    source: RedisServer
    target: RedisServer

    def begin(self) -> None:
        """From here on the source says ASK for keys that it does not have."""
        self.target.cli("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self.fleet.id_of(self.source))
        self.source.cli("CLUSTER", "SETSLOT", self.slot, "MIGRATING", self.fleet.id_of(self.target))

    def send_keys(self, *keys: str | bytes) -> None:
        """Send these keys over, or all: with some here and some there, commands of both hear TRYAGAIN."""
        for key in keys or self._keys_here():
            self._send(key)

    def finish(self) -> None:
        """Send the keys that are left, give the slot to the target, and return when every node knows."""
        self.send_keys()
        for node in (self.target, self.source):
            node.cli("CLUSTER", "SETSLOT", self.slot, "NODE", self.fleet.id_of(self.target))
        self.fleet.wait_until_owned(self.slot, self.target)

    def give_up(self) -> None:
        """Bring back what has been sent, and leave the slot where it was."""
        self.source.cli("CLUSTER", "SETSLOT", self.slot, "STABLE")
        SlotMove(self.fleet, self.slot, self.target, self.source).send_keys()
        self.target.cli("CLUSTER", "SETSLOT", self.slot, "STABLE")

    def _keys_here(self) -> list[bytes]:
        return list(self.source.cli("CLUSTER", "GETKEYSINSLOT", self.slot, 100_000))

    def _send(self, key: str | bytes) -> None:
        password = self.fleet.password
        auth: Sequence[str] = ("AUTH", password) if password else ()
        self.source.cli("MIGRATE", LOOPBACK, self.target.port, "", 0, 5000, *auth, "KEYS", key)


def _state(node: RedisServer) -> str:
    return "ok" if b"cluster_state:ok" in ask(node, "CLUSTER", "INFO") else "fail"


def _bytes(key: str | bytes) -> bytes:
    return key.encode() if isinstance(key, str) else key


def _port_with_bus() -> int:
    """A free port whose bus, 10000 further, is free too and outside the range of outgoing connections."""
    while True:
        port = free_port()
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port + 10_000))
            if port < 22_700:
                return port


# --- A server that forgets -------------------------------------------------------------------------------------------


def take_snapshot(server: RedisServer) -> None:
    """Keep what the server has now for `restart_from_snapshot`."""
    server.cli("SAVE")


def restart_from_snapshot(server: RedisServer) -> None:
    """Kill it and start it anew on its port with what the snapshot kept: what came later is lost."""
    server.restart(empty=False)


def restart_empty(server: RedisServer) -> None:
    """Kill it and start it anew on its port with nothing."""
    server.restart(empty=True)


def set_policy(server: RedisServer, policy: str, *, maxmemory: int | None = None) -> None:
    """Say what it does when memory is short: "noeviction", "allkeys-lru", ..."""
    server.cli("CONFIG", "SET", "maxmemory-policy", policy)
    if maxmemory is not None:
        server.cli("CONFIG", "SET", "maxmemory", maxmemory)


def fill_to_oom(server: RedisServer, *, policy: str = "noeviction") -> None:
    """Let it have no memory left: every write is refused with OOM, or evicts something where the policy says so."""
    set_policy(server, policy, maxmemory=server.cli("INFO", "memory")["used_memory"] + 1_000_000)
    filler = "x" * 50_000
    for number in range(100):
        try:
            server.cli("SET", f"filler:{number}", filler)
        except redis.OutOfMemoryError:
            server.cli("CONFIG", "SET", "maxmemory", 1)
            return
    if policy == "noeviction":
        raise RuntimeError("the server is not full")


def empty_from_oom(server: RedisServer) -> None:
    """Give it memory again, and take out what filled it."""
    server.cli("CONFIG", "SET", "maxmemory", 0)
    server.cli("DEL", *(f"filler:{number}" for number in range(100)))
