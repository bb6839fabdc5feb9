"""A server that was restarted or replaced: noticed by whoever knew the old one, at the next check."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from bearerguard import AuthError, RedisStore, SettingsError, StoreUnavailable, TokenRevoked, Verifier
from bearerguard.core.denylist import Revocations
from bearerguard.core.ports import run_sync
from bearerguard.events import Event, StoreForgot, StoreMetEmpty, StoreUnwatched
from bearerguard.sinks import add_sink
from bearerguard.stores.redis.server import ASK_AGAIN_SECONDS, ServerWatch
from bearerguard.stores.redis.wire import Crowded, NotPermitted, NotSent, ReplyLate, ReplyNotAwaited, WireError
from tests.fault_proxy import FaultProxy
from tests.hostile import GOOD, Clock
from tests.revoking import HORIZON, STEM, Desk, Office, office_of, seconds_until, shop_settings, token
from tests.servers import RedisServer, free_port, redis_binaries, start_redis
from tests.store_calls import Flavour

LONG_ON_OTHER_SERVERS = True

EPOCH_KEY = f"{STEM}epoch"
WELL_AGAIN = 2 * 1.0
WITHIN = 0.5


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    """Every event."""
    told: list[Event] = []
    stop = add_sink(told.append)
    yield told
    stop()


@pytest.fixture
def server(own_redis_server: RedisServer) -> RedisServer:
    """A server that is this test's alone."""
    return own_redis_server


@pytest.fixture
def office(flavour: Flavour, server: RedisServer) -> Iterator[Office]:
    """Over that server, at a clock that stands still at the server's own time."""
    with office_of(server.url, flavour) as office:
        office.clock.now = int(time.time())
        yield office


@pytest.fixture
def another(server: RedisServer) -> Iterator[RedisServer]:
    """A second server of the same make; whichever follows the other need not wait for it."""
    binary = next(binary for binary in redis_binaries() if binary.name == server.name)
    second = start_redis(binary, "--repl-diskless-sync-delay", "0")
    server.cli("CONFIG", "SET", "repl-diskless-sync-delay", 0)
    yield second
    second.close()


def issued(office: Office, age: float = 60, **changes: Any) -> str:
    """A token that was issued `age` seconds ago, and lives for as long as one can."""
    at = office.clock.now - age
    return token(**{"iat": at, "exp": at + HORIZON, "jti": f"j{age}"} | changes)


def restart_with_all(server: RedisServer) -> None:
    """Nothing is lost, which nobody can know."""
    server.cli("SAVE")
    server.restart(empty=False)


def epoch_of(server: RedisServer) -> tuple[int, str, int]:
    version, since, incarnation, seq = server.cli("GET", EPOCH_KEY).decode().split("|")
    assert version == "1"
    return int(since), incarnation, int(seq)


def run_of(server: RedisServer) -> str:
    return str(server.cli("INFO", "server")["run_id"])


def settled(ask: Callable[[], str]) -> str:
    """What is said once the server is reached again."""
    said: list[str] = []

    def is_said() -> bool:
        said.append(ask())
        return said[-1] != "store_unavailable"

    seconds_until(is_said, at_most=WELL_AGAIN)
    return said[-1]


def losses(heard: Sequence[Event]) -> int:
    return sum(isinstance(event, StoreForgot) for event in heard)


# --- Restarts --------------------------------------------------------------------------------------------------------


def test_a_server_that_restarts_with_all_its_data_is_taken_to_have_lost_some(
    office: Office, server: RedisServer, heard: list[Event]
) -> None:
    desk, gone, kept = office.desk(), issued(office, 61), issued(office, sub="bob")
    desk.denylist.revoke(desk.verify(gone))
    assert (desk.verdict(gone), desk.verdict(kept)) == ("revoked", GOOD)
    restart_with_all(server)
    assert settled(lambda: desk.verdict(kept)) == "memory_lost"
    assert [desk.verdict(gone), desk.verdict(kept)] == ["memory_lost"] * 2
    assert losses(heard) == 1
    office.clock.now = epoch_of(server)[0] + 11
    assert desk.verdict(issued(office, 0)) == GOOD
    assert desk.verdict(kept) == "memory_lost"


def test_a_durable_server_that_restarts_is_known_again(office: Office, server: RedisServer, heard: list[Event]) -> None:
    desk, gone, kept = office.desk(durable=True), issued(office, 61), issued(office, sub="bob")
    desk.denylist.revoke(desk.verify(gone))
    assert desk.verdict(kept) == GOOD
    restart_with_all(server)
    assert settled(lambda: desk.verdict(kept)) == GOOD
    assert desk.verdict(gone) == "revoked"
    assert desk.spend(issued(office, 3, sub="carl")) == GOOD
    assert losses(heard) == 0


def test_a_durable_server_that_comes_back_older_has_forgotten(office: Office, server: RedisServer) -> None:
    desk, gone = office.desk(durable=True), issued(office)
    held = desk.verify(gone)
    server.cli("SAVE")
    desk.denylist.revoke(held)
    server.restart(empty=False)
    assert settled(lambda: desk.verdict(gone)) == "memory_lost"


def test_an_epoch_tells_in_which_run_it_was_begun(office: Office, server: RedisServer) -> None:
    desk = office.desk()
    desk.verify(issued(office))
    assert epoch_of(server)[1].startswith(f"{run_of(server)[:12]}_")
    restart_with_all(server)
    assert settled(lambda: desk.verdict(issued(office))) == "memory_lost"
    assert epoch_of(server)[1].startswith(f"{run_of(server)[:12]}_")


def test_a_durable_store_names_no_run(office: Office, server: RedisServer) -> None:
    office.desk(durable=True).verify(issued(office))
    assert epoch_of(server)[1].startswith("_")


def test_each_process_that_knew_the_server_tells_of_the_loss_once_and_they_agree(
    office: Office, server: RedisServer, heard: list[Event]
) -> None:
    desks = [office.desk() for _ in range(3)]
    assert [desk.verdict(issued(office)) for desk in desks] == [GOOD] * 3
    restart_with_all(server)
    assert settled(lambda: desks[0].verdict(issued(office))) == "memory_lost"
    founded = epoch_of(server)
    for _ in range(3):
        assert [desk.verdict(issued(office)) for desk in desks] == ["memory_lost"] * 3
    assert epoch_of(server) == founded
    assert losses(heard) == 1


def test_a_process_that_never_saw_the_old_server_believes_those_that_did(
    office: Office, server: RedisServer, heard: list[Event]
) -> None:
    """Alone it takes the restarted server as it is: that is what it knows."""
    knew, old = office.desk(), issued(office)
    assert knew.verdict(old) == GOOD
    restart_with_all(server)
    new = office.desk()
    assert new.verdict(old) == GOOD
    assert settled(lambda: knew.verdict(old)) == "memory_lost"
    assert new.verdict(old) == "memory_lost"
    assert office.desk().verdict(old) == "memory_lost"
    assert losses(heard) == 1


@pytest.mark.parametrize("in_the_same_second", [False, True], ids=["in another second", "in the same second"])
def test_of_two_restarts_each_is_noticed_though_by_different_processes(
    office: Office, server: RedisServer, heard: list[Event], in_the_same_second: bool
) -> None:
    first, second, old = office.desk(), office.desk(), issued(office)
    assert [first.verdict(old), second.verdict(old)] == [GOOD] * 2
    restart_with_all(server)
    assert settled(lambda: first.verdict(old)) == "memory_lost"
    since, incarnation, _ = epoch_of(server)
    between = issued(office, iat=since + 1, exp=since + 600, jti="between")
    office.clock.now = since + 11
    if not in_the_same_second:
        seconds_until(lambda: server.cli("TIME")[0] > since, at_most=2)
    restart_with_all(server)
    assert settled(lambda: second.verdict(between)) == "memory_lost"
    assert settled(lambda: first.verdict(between)) == "memory_lost"
    later = epoch_of(server)
    assert later[0] > since
    assert later[1].startswith(f"{run_of(server)[:12]}_")
    assert later[1] != incarnation
    assert [first.verdict(old), second.verdict(old), office.desk().verdict(old)] == ["memory_lost"] * 3
    assert epoch_of(server) == later
    assert losses(heard) >= 2


# --- Another server in its place -------------------------------------------------------------------------------------


@pytest.fixture
def place(server: RedisServer) -> Iterator[FaultProxy]:
    """An address behind which servers can be exchanged; connections stay with whom they were made to."""
    with FaultProxy(server.port) as place:
        yield place


@pytest.fixture
def office_at_place(flavour: Flavour, place: FaultProxy) -> Iterator[Office]:
    with office_of(place.url, flavour) as office:
        office.clock.now = int(time.time())
        yield office


def open_eight(desk: Desk, office: Office) -> None:
    """Ask eight things at the same moment, each over a connection of its own."""
    wire: Any = desk.run(_wire_of)
    if office._runner is not None:
        desk.run(lambda _: _eight_tasks(wire))
        return
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(lambda _: run_sync(wire.execute("ECHO", "hi", within=WITHIN)), range(8))] == [b"hi"] * 8


async def _wire_of(ports: Any) -> Any:
    return ports.store._wire


async def _eight_tasks(wire: Any) -> None:
    assert await asyncio.gather(*(wire.execute("ECHO", "hi", within=WITHIN) for _ in range(8))) == [b"hi"] * 8


def asked(server: RedisServer) -> int:
    """How many reads it has answered."""
    stats = server.cli("INFO", "commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("mget", "echo"))


def test_a_server_that_takes_the_place_of_another_has_not_its_memory(
    office_at_place: Office, place: FaultProxy, another: RedisServer
) -> None:
    desk, old = office_at_place.desk(), issued(office_at_place)
    assert desk.verdict(old) == GOOD
    place.upstream_port = another.port
    place.reset_connections()
    assert settled(lambda: desk.verdict(old)) == "memory_lost"
    assert epoch_of(another)[1].startswith(f"{run_of(another)[:12]}_")


def test_no_connection_to_the_old_server_is_used_once_the_new_one_was_met(
    office_at_place: Office, place: FaultProxy, server: RedisServer, another: RedisServer
) -> None:
    """The old one goes on answering those who are still connected, and knows nothing of what is revoked from now on."""
    desk, text = office_at_place.desk(), issued(office_at_place)
    held = desk.verify(text)
    open_eight(desk, office_at_place)
    assert place.open_connections >= 2
    place.upstream_port = another.port
    watch: Any = vars(desk.itself.connections.store)["_watch"]
    watch.note(f"run_id:{run_of(another)}\r\n".encode())
    before = asked(server)
    assert desk.verdict(text) == "memory_lost"
    desk.denylist.revoke(held)
    open_eight(desk, office_at_place)
    assert {desk.verdict(text) for _ in range(20)} == {"memory_lost"}
    assert asked(server) == before
    assert asked(another) >= 20


def test_a_server_that_was_anothers_replica_has_another_memory(
    office: Office, server: RedisServer, another: RedisServer
) -> None:
    desk, old = office.desk(), issued(office)
    desk.denylist.revoke_user("bob")
    assert desk.verdict(old) == GOOD
    another.cli("SET", EPOCH_KEY, server.cli("GET", EPOCH_KEY))
    server.cli("REPLICAOF", "127.0.0.1", another.port)
    seconds_until(lambda: server.cli("INFO", "replication").get("master_link_status") == "up", at_most=20)
    server.cli("REPLICAOF", "NO", "ONE")
    server.cli("CLIENT", "KILL", "TYPE", "normal")
    assert settled(lambda: desk.verdict(old)) == "memory_lost"


def test_a_server_that_was_to_be_a_replica_and_was_not_has_forgotten_nothing(
    office: Office, server: RedisServer, heard: list[Event]
) -> None:
    desk, gone, kept = office.desk(), issued(office, 61), issued(office, sub="bob")
    desk.denylist.revoke(desk.verify(gone))
    server.cli("REPLICAOF", "127.0.0.1", free_port())
    server.cli("CLIENT", "KILL", "TYPE", "normal")
    assert [settled(lambda: desk.verdict(kept)), desk.verdict(gone)] == [GOOD, "revoked"]
    server.cli("REPLICAOF", "NO", "ONE")
    server.cli("CLIENT", "KILL", "TYPE", "normal")
    assert [settled(lambda: desk.verdict(kept)), desk.verdict(gone)] == [GOOD, "revoked"]
    assert losses(heard) == 0


def test_a_server_whose_first_replica_comes_has_forgotten_nothing(
    office: Office, server: RedisServer, another: RedisServer, heard: list[Event]
) -> None:
    desk, gone, kept = office.desk(), issued(office, 61), issued(office, sub="bob")
    desk.denylist.revoke(desk.verify(gone))
    before = server.cli("INFO", "replication")["master_replid"]
    another.cli("REPLICAOF", "127.0.0.1", server.port)
    seconds_until(lambda: another.cli("INFO", "replication").get("master_link_status") == "up", at_most=20)
    assert server.cli("INFO", "replication")["master_replid"] != before
    server.cli("CLIENT", "KILL", "TYPE", "normal")
    assert [settled(lambda: desk.verdict(kept)), desk.verdict(gone)] == [GOOD, "revoked"]
    assert losses(heard) == 0


# --- What the settings say -------------------------------------------------------------------------------------------


def test_while_unavailable_nobody_passes_until_all_that_was_lost_has_ended(
    office: Office, server: RedisServer, heard: list[Event]
) -> None:
    kind = shop_settings(leeway=10, iat_leeway=30)
    desk = office.desk(kind, on_amnesia="unavailable")
    patient = issued(office, exp=office.clock.now + 10 * HORIZON)
    assert desk.verdict(patient) == GOOD
    server.flush()
    since_before = int(server.cli("TIME")[0])
    with pytest.raises(StoreUnavailable) as caught:
        desk.verify(patient)
    assert (caught.value.reason, caught.value.status) == ("memory_lost", 503)
    since = epoch_of(server)[0]
    assert since >= since_before
    for after in (1, 31, 1 + 30 + HORIZON + 10 - 1):
        office.clock.now = since + after
        later = issued(office, 0, jti=f"later {after}")
        assert [desk.verdict(patient), desk.verdict(later)] == ["memory_lost"] * 2
    office.clock.now = since + 1 + 30 + HORIZON + 10
    assert [desk.verdict(patient), desk.verdict(issued(office, 0))] == [GOOD, GOOD]
    assert losses(heard) == 1


def test_while_unavailable_a_one_time_token_is_not_claimed(office: Office, server: RedisServer) -> None:
    desk = office.desk(on_amnesia="unavailable")
    desk.verify(issued(office))
    assert desk.spend(issued(office, 61), lambda: server.flush()) == "token_state_unknown"
    assert desk.spend(issued(office, 62)) == "memory_lost"


def test_a_new_process_hears_of_unavailability_from_the_store(office: Office, server: RedisServer) -> None:
    knew = office.desk(on_amnesia="unavailable")
    knew.verify(issued(office))
    server.flush()
    assert knew.verdict(issued(office)) == "memory_lost"
    with pytest.raises(StoreUnavailable):
        office.desk(on_amnesia="unavailable").verify(issued(office, -1))
    with pytest.raises(TokenRevoked):
        office.desk().verify(issued(office))


def test_an_empty_store_can_be_taken_for_one_that_forgot(
    office: Office, server: RedisServer, heard: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    desk, old = office.desk(first_start="refuse"), issued(office)
    assert desk.verdict(old) == "memory_lost"
    since = epoch_of(server)[0]
    assert abs(since - time.time()) < 10
    office.clock.now = since + 11
    assert [desk.verdict(old), desk.verdict(issued(office, 0))] == ["memory_lost", GOOD]
    assert [office.desk().verdict(old), office.desk(first_start="refuse").verdict(old)] == ["memory_lost"] * 2
    assert heard == [StoreMetEmpty(trusted=False)]
    assert [line.levelname for line in caplog.records] == ["WARNING"]
    assert "tokens issued before now are refused" in caplog.text


def test_an_empty_store_that_is_not_trusted_and_takes_no_writes_is_503(office: Office, server: RedisServer) -> None:
    server.cli("REPLICAOF", "127.0.0.1", free_port())
    refusing, trusting = office.desk(first_start="refuse"), office.desk()
    assert [refusing.verdict(issued(office)) for _ in range(3)] == ["store_unavailable"] * 3
    assert trusting.verdict(issued(office)) == GOOD
    server.cli("REPLICAOF", "NO", "ONE")
    assert settled(lambda: refusing.verdict(issued(office))) == "memory_lost"


def test_an_empty_store_that_is_not_trusted_stays_so_when_the_first_thing_is_a_revocation(office: Office) -> None:
    """What it held before is as unknown as if a check had come first."""
    desk = office.desk(first_start="refuse")
    desk.denylist.revoke_user("bob")
    assert desk.verdict(issued(office)) == "memory_lost"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"on_amnesia": "ignore"}, "on_amnesia is 'ignore'; use 'refuse' or 'unavailable'"),
        ({"first_start": True}, "first_start is True; use 'trust' or 'refuse'"),
        ({"on_failure": "fail"}, "on_failure is 'fail'; use 'closed' or 'open'"),
        ({"on_eviction": None}, "on_eviction is None; use 'warn' or 'refuse'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_says_what_to_write_instead(option: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        RedisStore("redis://127.0.0.1:1", **option)
    assert str(caught.value) == said


# --- One-time tokens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [True, False], ids=["empty", "with all"])
def test_a_one_time_token_is_not_claimed_where_the_server_restarted_after_the_check(
    office: Office, server: RedisServer, empty: bool
) -> None:
    desk, once = office.desk(), issued(office, jti="once")
    desk.denylist.revoke_user("bob")

    def restart() -> None:
        server.cli("SAVE")
        server.restart(empty=empty)

    assert desk.spend(once, restart) in ("token_state_unknown", "store_unavailable")
    assert settled(lambda: desk.spend(once)) == "memory_lost"
    office.clock.now = epoch_of(server)[0] + 11
    later = issued(office, 0, jti="later")
    assert [desk.spend(later), desk.spend(later)] == [GOOD, "replayed"]


def test_a_one_time_token_that_was_used_up_passes_no_second_time_where_the_server_forgot_it(
    office: Office, server: RedisServer
) -> None:
    """Whoever used it up was another process, so seq tells this one nothing."""
    desk, once = office.desk(), issued(office, jti="once")
    assert desk.verdict(once) == GOOD

    def use_up_and_forget() -> None:
        server.cli("SAVE")
        with Verifier(shop_settings(), store=server.url, clock=office.clock) as elsewhere:
            assert Desk(elsewhere, None).spend(once) == GOOD
        server.restart(empty=False)

    assert desk.spend(once, use_up_and_forget) in ("token_state_unknown", "store_unavailable")
    assert settled(lambda: desk.spend(once)) == "memory_lost"


# --- Somebody else notices at the very same moment -------------------------------------------------------------------


class Overtaken:
    """A port at which another check of the same process runs to its end before an answer is looked at."""

    def __init__(self, store: Any, meanwhile: Callable[[], object]) -> None:
        self._store = store
        self._meanwhile = meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, names: Sequence[str], *, within: float) -> Any:
        answer = await self._store.read(names, within=within)
        self._meanwhile()
        return answer

    async def spend(self, *arguments: Any, **options: Any) -> Any:
        answer = await self._store.spend(*arguments, **options)
        self._meanwhile()
        return answer


def overtaken(store: Any, meanwhile: Callable[[], object]) -> Any:
    """The port of a store, overtaken."""
    return Overtaken(store, meanwhile)


@dataclass(frozen=True)
class Asked:
    """A token that is asked about."""

    issued_at: float
    names: Sequence[str] = ("d:x",)
    ahead: float = 0
    lives: float = HORIZON


OLD_TOKEN = Asked(time.time() - 60)


def settle(revocations: Revocations, port: Any) -> None:
    """A check, whatever comes of it."""
    with suppress(AuthError):
        run_sync(revocations.check(OLD_TOKEN, port))


def test_a_check_is_not_fooled_by_another_that_noticed_the_loss_first(server: RedisServer) -> None:
    """Its marks were read from the new server before there was an epoch that tells of the loss."""
    port, ours = RedisStore(server.url).sync_port(), Revocations(time.time)
    run_sync(ours.check(OLD_TOKEN, port))
    server.cli("SAVE")
    run_sync(RedisStore(server.url).sync_port().raise_mark("d:x", 1, keep_seconds=600, within=WITHIN))
    server.restart(empty=False)
    with pytest.raises(TokenRevoked):
        run_sync(ours.check(OLD_TOKEN, overtaken(port, lambda: settle(ours, port))))
    port.close()


def test_a_claim_is_not_fooled_by_a_check_that_noticed_the_loss_first(server: RedisServer) -> None:
    """The token was used up in the lost memory, and nothing in the restored one knows of it."""
    port, ours = RedisStore(server.url).sync_port(), Revocations(time.time)
    dies_at = time.time() + 600
    epoch_read = run_sync(ours.check(OLD_TOKEN, port))
    server.cli("SAVE")
    theirs = Revocations(time.time)
    their_port = RedisStore(server.url).sync_port()
    their_epoch = run_sync(theirs.check(OLD_TOKEN, their_port))
    run_sync(theirs.spend("once", their_port, epoch_read=their_epoch, dies_at=dies_at))
    server.restart(empty=False)
    late = overtaken(port, lambda: settle(ours, port))
    with pytest.raises(StoreUnavailable) as caught:
        run_sync(ours.spend("once", late, epoch_read=epoch_read, dies_at=dies_at))
    assert caught.value.reason == "token_state_unknown"
    port.close()
    their_port.close()


# --- A server that does not say who it is ----------------------------------------------------------------------------


def test_works_where_info_is_forbidden_and_says_so_once(
    flavour: Flavour, server: RedisServer, heard: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    server.cli("ACL", "SETUSER", "blind", "on", ">secret", "~*", "&*", "+@all", "-info")
    with office_of(f"redis://blind:secret@127.0.0.1:{server.port}", flavour) as office:
        office.clock.now = int(time.time())
        desk, gone, kept = office.desk(), issued(office, 61), issued(office, sub="bob")
        desk.denylist.revoke(desk.verify(gone))
        for _ in range(5):
            assert [desk.verdict(gone), desk.verdict(kept)] == ["revoked", GOOD]
            server.cli("CLIENT", "KILL", "TYPE", "normal")
        once = issued(office, 3, sub="carl")
        assert [desk.spend(once), desk.spend(once)] == [GOOD, "replayed"]
        server.flush()
        assert desk.verdict(kept) == "memory_lost"
    assert epoch_of(server)[1].startswith("_")
    assert heard.count(StoreUnwatched()) == 1
    assert caplog.text.count("+info") == 1


# --- A client of the user's own --------------------------------------------------------------------------------------


@pytest.fixture
def own_desk(flavour: Flavour, server: RedisServer) -> Iterator[tuple[Desk, Office, Any]]:
    """A desk over a client of the user's own."""
    short: dict[str, Any] = {"port": server.port, "socket_timeout": 0.25, "socket_connect_timeout": 0.25}
    with asyncio.Runner() as runner, ExitStack() as stack:
        client: Any
        if flavour == "sync":
            client = redis.Redis(**short, retry=Retry(NoBackoff(), 0))
            stack.callback(client.close)
        else:
            client = redis.asyncio.Redis(**short, retry=AsyncRetry(NoBackoff(), 0))
            stack.callback(lambda: runner.run(client.aclose()))
        office = Office(server.url, runner if flavour == "async" else None)
        office.clock.now = int(time.time())
        verifier = Verifier(shop_settings(), store=RedisStore(client), clock=office.clock)
        desk = Desk(verifier, runner if flavour == "async" else None)
        yield desk, office, client
        desk.close()


def test_a_client_of_the_users_own_notices_a_restart(
    own_desk: tuple[Desk, Office, Any], server: RedisServer, heard: list[Event]
) -> None:
    desk, office, _ = own_desk
    gone, kept = issued(office, 61), issued(office, sub="bob")
    desk.denylist.revoke(desk.verify(gone))
    assert [desk.verdict(gone), desk.verdict(kept)] == ["revoked", GOOD]
    restart_with_all(server)
    assert settled(lambda: desk.verdict(kept)) == "memory_lost"
    assert [desk.verdict(gone), desk.verdict(kept)] == ["memory_lost"] * 2
    assert losses(heard) == 1


def infos(server: RedisServer) -> int:
    return int(server.cli("INFO", "commandstats").get("cmdstat_info", {"calls": 0})["calls"])


def test_a_client_of_the_users_own_is_asked_whom_it_reached_each_time_it_connects(
    own_desk: tuple[Desk, Office, Any], server: RedisServer, flavour: Flavour
) -> None:
    """Also where Python gives the new socket the place in memory, and so the id, that the old one had."""
    desk, office, client = own_desk

    async def disconnected(_: Any) -> None:
        await client.connection_pool.disconnect()

    disconnect = client.connection_pool.disconnect if flavour == "sync" else partial(desk.run, disconnected)
    text = issued(office)
    assert desk.verdict(text) == GOOD
    before, times = infos(server), 50
    for _ in range(times):
        disconnect()
        assert desk.verdict(text) == GOOD
    # One of them is our own question how many there were.
    assert infos(server) - before - 1 >= times


# --- The watch itself ------------------------------------------------------------------------------------------------


def info(run: str = "a" * 40, **fields: object) -> bytes:
    """What a server says of itself."""
    usual: dict[str, object] = {"run_id": run, "uptime_in_seconds": 50, "role": "master", "master_replid": "h1"}
    usual["master_replid2"] = "0" * 40
    return "".join(f"{name}:{value}\r\n" for name, value in (usual | fields).items()).encode()


def test_a_connection_is_of_another_generation_once_another_server_was_met() -> None:
    watch = ServerWatch(monotonic=Clock(100))
    first = watch.note(info())
    assert watch.note(info()) == first
    assert watch.note(info("b" * 40)) == first + 1
    assert watch.memory is not None
    assert watch.memory.run == "b" * 40


def test_asks_again_after_half_a_minute() -> None:
    clock = Clock(100)
    watch = ServerWatch(monotonic=clock)
    assert watch.is_due()
    watch.note(info())
    clock.now += ASK_AGAIN_SECONDS - 0.1
    assert not watch.is_due()
    clock.now += 0.2
    assert watch.is_due()
    assert ASK_AGAIN_SECONDS <= 30


@pytest.mark.parametrize(
    ("uptime", "is_same"),
    [
        pytest.param(1, False, id="restarted just now, and counts a second that began before it"),
        pytest.param(2, True, id="was up before we asked"),
    ],
)
def test_a_master_that_restarted_within_a_second_is_not_taken_for_a_replica_that_was_promoted(
    uptime: int, is_same: bool
) -> None:
    """Redis 7 claims its own old history when it restarts; uptime is cut to the second at both of its ends."""
    clock = Clock(10.9)
    watch = ServerWatch(is_replicated=True, monotonic=clock)
    watch.note(info())
    clock.now = 11.1
    watch.note(info("b" * 40, uptime_in_seconds=uptime, master_replid="h2", master_replid2="h1"))
    assert (watch.generation == 0) is is_same


def test_a_server_that_names_no_run_is_not_watched_and_that_is_said_once(heard: list[Event]) -> None:
    """A proxy that answers for others: two runs that nobody names are not the same one."""
    watch = ServerWatch()
    for _ in range(3):
        watch.note(b"redis_version:7.0.0\r\n")
    assert watch.memory is None
    assert heard == [StoreUnwatched()]
    watch.note(info())
    watch.note(b"")
    assert heard == [StoreUnwatched()] * 2
    watch.note(info("b" * 40))
    assert watch.generation == 1


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        pytest.param(ReplyLate("TimeoutError"), NotSent, id="late"),
        pytest.param(NotSent("BusyLoadingError"), NotSent, id="loading"),
        pytest.param(ReplyNotAwaited("TimeoutError"), Crowded, id="had no time"),
    ],
)
def test_a_server_that_says_nothing_of_itself_is_not_used(answer: WireError, raised: type[WireError]) -> None:
    watch = ServerWatch()
    with pytest.raises(raised):
        watch.note(answer)
    assert watch.is_due()


def test_a_server_that_may_not_say_it_is_used(heard: list[Event]) -> None:
    watch = ServerWatch()
    assert watch.note(NotPermitted("NoPermissionError")) == watch.note(NotPermitted("NoPermissionError")) == 0
    assert not watch.is_due()
    assert heard == [StoreUnwatched()]


def test_a_replica_is_not_used_where_the_master_was_asked_for() -> None:
    with pytest.raises(NotSent):
        ServerWatch(is_replicated=True).note(info(role="slave"))
    assert ServerWatch().note(info(role="slave")) == 0
