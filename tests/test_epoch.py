"""A Redis that forgot: noticed at the next check, and what it may have forgotten is refused."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from bearerguard import SettingsError, StoreUnavailable, TokenRevoked, Verifier
from bearerguard.core.denylist import Revocations
from bearerguard.core.ports import Ports, Spent, Store, StorePolicy, run_sync
from bearerguard.stores import RedisStore
from tests.hostile import GOOD
from tests.revoking import (
    HORIZON,
    STEM,
    Desk,
    Office,
    office_of,
    refused_after,
    seconds_until,
    shop_settings,
    token,
)
from tests.servers import RedisServer, free_port
from tests.store_calls import Flavour

EPOCH_KEY = f"{STEM}epoch"

# What FAULTS.md allows, twice: the machine may be busy.
AT_ONCE = 2 * 0.1
DEADLINE = 2 * 0.5
WELL_AGAIN = 2 * 1.0


@pytest.fixture
def office(flavour: Flavour, redis_server: RedisServer) -> Iterator[Office]:
    """Over a server that can be emptied, at a clock that stands still at the server's own time."""
    with office_of(redis_server.url, flavour) as office:
        office.clock.now = int(time.time())
        yield office


@pytest.fixture
def own_office(flavour: Flavour, own_redis_server: RedisServer) -> Iterator[Office]:
    """Over a server that can be killed."""
    with office_of(own_redis_server.url, flavour) as office:
        office.clock.now = int(time.time())
        yield office


def epoch_of(server: RedisServer) -> tuple[int, str, int]:
    """Since when, which one, how many writes; read off the key, which must spell nothing else."""
    version, since, incarnation, seq = server.cli("GET", EPOCH_KEY).decode().split("|")
    assert version == "1"
    return int(since), incarnation, int(seq)


def token_at(office: Office, age: float = 0, **changes: Any) -> str:
    """A token that was issued `age` seconds ago, and lives for as long as one can."""
    issued = office.clock.now - age
    return token(**{"iat": issued, "exp": issued + HORIZON, "jti": f"j{age}"} | changes)


# --- Founding --------------------------------------------------------------------------------------------------------


def test_an_empty_store_is_trusted_when_it_is_first_met(
    office: Office, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert office.desk().verdict(token_at(office)) == GOOD
    since, incarnation, seq = epoch_of(redis_server)
    assert (since, seq) == (0, 0)
    assert len(incarnation) >= 16
    assert redis_server.cli("PTTL", EPOCH_KEY) == -1
    assert [(line.levelname, line.name) for line in caplog.records] == [("WARNING", "bearerguard")]
    assert "the store is empty" in caplog.text


def test_a_store_that_has_an_epoch_is_met_without_a_word(
    office: Office, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    office.denylist().revoke_user("ana")
    founded = epoch_of(redis_server)
    assert office.desk().verdict(token_at(office, sub="bob")) == GOOD
    assert epoch_of(redis_server) == founded
    assert caplog.records == []


def test_every_write_raises_seq_and_no_check_does(office: Office, redis_server: RedisServer) -> None:
    desk = office.desk()
    held = desk.verify(token_at(office))
    writes: Sequence[Callable[[], object]] = (
        lambda: desk.denylist.revoke(held),
        lambda: desk.denylist.revoke(held),
        lambda: desk.denylist.revoke_id("x", until=office.clock.now),
        lambda: desk.denylist.revoke_user("x"),
        lambda: desk.denylist.revoke_tenant("x", issued_before=0),
        lambda: desk.spend(token_at(office, 1, sub="carl", tenant="str_3")),
    )
    first = epoch_of(redis_server)
    for number, write in enumerate(writes, start=1):
        write()
        desk.verdict(token_at(office))
        desk.denylist.status(held)
        assert epoch_of(redis_server) == (first[0], first[1], first[2] + number)


def test_processes_that_meet_an_empty_store_at_once_found_one_epoch(office: Office, redis_server: RedisServer) -> None:
    desks = [office.desk() for _ in range(4)]
    assert [desk.verdict(token_at(office)) for desk in desks] == [GOOD] * 4
    office.denylist().revoke_tenant("str_1")
    assert [desk.verdict(token_at(office)) for desk in desks] == ["revoked"] * 4
    since, _, seq = epoch_of(redis_server)
    assert (since, seq) == (0, 1)


# --- Forgetting ------------------------------------------------------------------------------------------------------


def forget_all(server: RedisServer) -> None:
    server.flush()


def forget_all_and_be_written_to(server: RedisServer) -> None:
    """Another process revokes before anybody notices; what it writes begins an epoch, like in a new store."""
    server.flush()
    server.cli("SET", EPOCH_KEY, "1|0|another|1")


def forget_the_latest(server: RedisServer) -> None:
    """An older snapshot: the same epoch, and fewer writes."""
    since, incarnation, _ = epoch_of(server)
    server.flush()
    server.cli("SET", EPOCH_KEY, f"1|{since}|{incarnation}|0")


FORGETTING = [forget_all, forget_all_and_be_written_to, forget_the_latest]


@pytest.mark.parametrize("forget", FORGETTING)
def test_tokens_of_before_the_loss_are_refused_and_later_ones_are_not(
    office: Office, redis_server: RedisServer, forget: Callable[[RedisServer], None]
) -> None:
    desk, gone, kept = office.desk(), token_at(office, 60), token_at(office, 60, jti="kept", sub="bob")
    desk.denylist.revoke(desk.verify(gone))
    assert (desk.verdict(gone), desk.verdict(kept)) == ("revoked", GOOD)
    forget(redis_server)
    assert (desk.verdict(gone), desk.verdict(kept)) == ("memory_lost", "memory_lost")
    since = epoch_of(redis_server)[0]
    assert office.clock.now <= since <= time.time()
    later = token_at(office, jti="later", iat=since + 11)
    office.clock.now = since + 11
    assert (desk.verdict(later), desk.verdict(kept)) == (GOOD, "memory_lost")


@pytest.mark.parametrize("forget", FORGETTING)
def test_a_process_that_starts_afterwards_refuses_them_too(
    office: Office, redis_server: RedisServer, forget: Callable[[RedisServer], None]
) -> None:
    first, old = office.desk(), token_at(office, 60)
    first.denylist.revoke(first.verify(old))
    assert first.verdict(old) == "revoked"
    forget(redis_server)
    assert first.verdict(token_at(office, 30)) == "memory_lost"
    second = office.desk()
    assert second.verdict(old) == "memory_lost"
    assert second.verdict(token_at(office, iat=epoch_of(redis_server)[0] + 11, exp=office.clock.now + 100)) in (
        GOOD,
        "not_yet_valid",
    )


def test_two_losses_in_one_second_are_two(office: Office, redis_server: RedisServer) -> None:
    """The clock of the store, which is cut to the second, cannot tell them apart; nobody must wait for it."""
    first, second = office.desk(), office.desk()
    assert [desk.verdict(token_at(office, 60)) for desk in (first, second)] == ["good"] * 2
    for _ in range(5):
        redis_server.flush()
        said = [desk.verdict(token_at(office, 60)) for desk in (first, second, first)]
        assert said == ["memory_lost"] * 3


def test_a_loss_is_told_of_although_the_clock_of_the_store_was_set_back(
    office: Office, redis_server: RedisServer
) -> None:
    desk, old = office.desk(), token_at(office, 60)
    ahead = int(office.clock.now) + 3600
    redis_server.cli("SET", EPOCH_KEY, f"1|{ahead}|an-epoch-of-an-hour-ahead|7")
    assert desk.verdict(old) == "memory_lost"
    redis_server.flush()
    assert desk.verdict(old) == "memory_lost"
    assert epoch_of(redis_server)[0] == ahead + 1


@pytest.mark.parametrize("forget", FORGETTING)
def test_whoever_notices_first_the_others_agree(
    office: Office, redis_server: RedisServer, forget: Callable[[RedisServer], None]
) -> None:
    desks = [office.desk() for _ in range(3)]
    for desk in desks:
        desk.denylist.revoke_user("bob")
    assert [desk.verdict(token_at(office, 30)) for desk in desks] == [GOOD] * 3
    forget(redis_server)
    for _ in range(3):
        assert [desk.verdict(token_at(office, 30)) for desk in desks] == ["memory_lost"] * 3
    assert epoch_of(redis_server)[2] == 0


def test_says_so_once_a_second_and_with_an_error(
    office: Office, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    desk = office.desk()
    desk.denylist.revoke_user("bob")
    desk.verify(token_at(office))
    caplog.clear()
    redis_server.flush()
    for _ in range(20):
        assert desk.verdict(token_at(office)) == "memory_lost"
    assert [line.levelname for line in caplog.records] == ["ERROR"]
    assert "lost its memory" in caplog.text


def test_a_token_without_iat_is_refused(office: Office, redis_server: RedisServer) -> None:
    desk, ageless = office.desk(), token_at(office, iat=...)
    assert desk.verdict(ageless) == GOOD
    redis_server.flush()
    assert desk.verdict(ageless) == "memory_lost"


def test_what_is_revoked_after_the_loss_is_revoked(office: Office, redis_server: RedisServer) -> None:
    desk = office.desk()
    desk.verify(token_at(office))
    redis_server.flush()
    assert desk.verdict(token_at(office)) == "memory_lost"
    later = epoch_of(redis_server)[0] + 20
    office.clock.now = later
    gone, kept = token_at(office, jti="gone"), token_at(office, jti="kept")
    desk.denylist.revoke(desk.verify(gone))
    assert (desk.verdict(gone), desk.verdict(kept)) == ("revoked", GOOD)


def test_tells_the_status_of_a_token_it_may_have_forgotten(office: Office, redis_server: RedisServer) -> None:
    desk = office.desk()
    held = desk.verify(token_at(office))
    redis_server.flush()
    assert desk.denylist.status(held) == "revoked"


@pytest.mark.parametrize(
    ("iat_leeway", "issued_after", "verdict"),
    [
        pytest.param(0, 0, "memory_lost", id="in that second"),
        pytest.param(0, 1, GOOD, id="a second later"),
        pytest.param(30, 30, "memory_lost", id="by a clock that runs ahead"),
        pytest.param(30, 31, GOOD, id="later than a clock may run ahead"),
        pytest.param(None, 10, "memory_lost", id="leeway, where no iat_leeway is given"),
        pytest.param(None, 11, GOOD, id="beyond leeway"),
    ],
)
def test_the_clock_of_the_issuer_may_run_ahead(
    office: Office, redis_server: RedisServer, iat_leeway: float | None, issued_after: float, verdict: str
) -> None:
    desk = office.desk(shop_settings(iat_leeway=iat_leeway))
    desk.verify(token_at(office))
    redis_server.flush()
    assert desk.verdict(token_at(office)) == "memory_lost"
    office.clock.now = epoch_of(redis_server)[0] + issued_after
    assert desk.verdict(token_at(office)) == verdict


def test_an_unknown_horizon_never_ends(office: Office, redis_server: RedisServer) -> None:
    desk = office.desk(shop_settings(assumed_lifetime=None))
    patient = token_at(office, exp=office.clock.now + 10 * 365 * 86_400)
    assert desk.verdict(patient) == GOOD
    redis_server.flush()
    assert desk.verdict(patient) == "memory_lost"
    office.clock.now += 9 * 365 * 86_400
    assert desk.verdict(patient) == "memory_lost"


def test_after_the_horizon_nothing_is_refused_for_the_loss(office: Office, redis_server: RedisServer) -> None:
    desk = office.desk(shop_settings(leeway=0))
    long_lived = token_at(office, exp=office.clock.now + 10 * HORIZON)
    assert desk.verdict(long_lived) == GOOD
    redis_server.flush()
    assert desk.verdict(long_lived) == "memory_lost"
    office.clock.now = epoch_of(redis_server)[0] + HORIZON
    assert desk.verdict(long_lived) == "memory_lost"
    office.clock.now += 1
    assert desk.verdict(long_lived) == GOOD


@pytest.mark.parametrize(
    ("leeway", "iat_leeway"),
    [
        pytest.param(0, 0, id="no leeway"),
        pytest.param(10, None, id="as by default"),
        pytest.param(10, 0, id="exp only"),
        pytest.param(0, 30, id="iat only, as Whatalo's"),
        pytest.param(300, 300, id="widest"),
    ],
)
def test_a_token_that_was_revoked_before_the_loss_is_never_accepted_again(
    office: Office, redis_server: RedisServer, leeway: float, iat_leeway: float | None
) -> None:
    """Its issuer's clock may run ahead by all that is allowed, and it may be used to its last moment."""
    kind = shop_settings(leeway=leeway, iat_leeway=iat_leeway, max_lifetime=60)
    desk, issued = office.desk(kind), office.clock.now + kind.ahead
    gone = token(iat=issued, exp=issued + 60)
    desk.denylist.revoke(desk.verify(gone))
    assert desk.verdict(gone) == "revoked"
    redis_server.flush()
    verdicts = {desk.verdict(gone)}
    while "expired" not in verdicts:
        office.clock.now += 5
        verdicts.add(desk.verdict(gone))
    assert verdicts == {"memory_lost", "expired"}


# --- Real servers that come back -------------------------------------------------------------------------------------


def test_a_server_that_restarts_empty_has_forgotten(own_office: Office, own_redis_server: RedisServer) -> None:
    first, gone, kept = own_office.desk(), token_at(own_office, 60), token_at(own_office, 60, jti="kept", sub="bob")
    first.denylist.revoke_user("ana")
    assert (first.verdict(gone), first.verdict(kept)) == ("revoked", GOOD)
    own_redis_server.restart(empty=True)
    seconds_until(lambda: first.verdict(gone) == "memory_lost", at_most=WELL_AGAIN)
    second = own_office.desk()
    assert (second.verdict(gone), second.verdict(kept)) == ("memory_lost", "memory_lost")
    since = epoch_of(own_redis_server)[0]
    own_office.clock.now = since + 11
    later = token_at(own_office, jti="later")
    assert (first.verdict(later), second.verdict(later)) == (GOOD, GOOD)
    own_office.clock.now = since + HORIZON + 30
    latest = token_at(own_office, jti="latest")
    assert (first.verdict(latest), second.verdict(latest)) == (GOOD, GOOD)


def test_a_durable_server_that_restarts_has_forgotten_nothing(
    own_office: Office, own_redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    desk, gone, kept = (
        own_office.desk(durable=True),
        token_at(own_office, 60),
        token_at(own_office, 60, jti="kept", sub="bob"),
    )
    desk.denylist.revoke(desk.verify(gone))
    assert desk.verdict(kept) == GOOD
    own_redis_server.cli("SAVE")
    own_redis_server.restart(empty=False)
    seconds_until(lambda: desk.verdict(gone) == "revoked", at_most=WELL_AGAIN)
    assert (desk.verdict(gone), desk.verdict(kept)) == ("revoked", GOOD)
    assert "lost its memory" not in caplog.text


@pytest.mark.parametrize("looked", [True, False], ids=["a check in between", "no check in between"])
def test_a_server_that_restarts_from_an_older_snapshot_has_forgotten(
    own_office: Office, own_redis_server: RedisServer, looked: bool
) -> None:
    """Whoever wrote a revocation knows of it, whether or not a check has read it back."""
    desk, gone, kept = own_office.desk(), token_at(own_office, 60), token_at(own_office, 60, jti="kept", sub="bob")
    held = desk.verify(gone)
    own_redis_server.cli("SAVE")
    desk.denylist.revoke(held)
    if looked:
        assert desk.verdict(gone) == "revoked"
    own_redis_server.restart(empty=False)
    seconds_until(lambda: desk.verdict(gone) != "store_unavailable", at_most=WELL_AGAIN)
    assert (desk.verdict(gone), desk.verdict(kept)) == ("memory_lost", "memory_lost")


@pytest.mark.parametrize("looked", [True, False], ids=["a check in between", "no check in between"])
def test_a_server_that_restarts_from_an_older_snapshot_lets_no_spent_token_pass_again(
    own_office: Office, own_redis_server: RedisServer, looked: bool
) -> None:
    desk, once = own_office.desk(), token_at(own_office, 60)
    desk.denylist.revoke_user("bob")
    assert desk.verdict(once) == GOOD
    own_redis_server.cli("SAVE")
    assert desk.spend(once) == GOOD
    if looked:
        assert desk.verdict(once) == GOOD
    own_redis_server.restart(empty=False)
    seconds_until(lambda: desk.verdict(once) != "store_unavailable", at_most=WELL_AGAIN)
    assert desk.spend(once) == "memory_lost"


# --- No false alarm --------------------------------------------------------------------------------------------------


def check_many(desk: Desk, office: Office, times: int = 200) -> list[object]:
    """Checks and revocations all at once; what each gives, or raises."""
    if desk.run(_is_blocking):
        with ThreadPoolExecutor(16) as pool:
            return [*pool.map(lambda number: _outcome(desk.itself, office, number), range(times))]
    return desk.run(lambda _: _gathered(desk.itself, office, times))


async def _is_blocking(ports: Ports) -> bool:
    return not hasattr(ports.store, "aclose")


def _outcome(verifier: Verifier[Any], office: Office, number: int) -> object:
    try:
        if number % 5:
            return verifier.verify(token_at(office, number % 7))
        verifier.denylist.revoke_id(f"x{number}", until=office.clock.now)
    except Exception as error:
        return error
    return None


async def _gathered(verifier: Verifier[Any], office: Office, times: int) -> list[object]:
    return await asyncio.gather(*(_async_outcome(verifier, office, number) for number in range(times)))


async def _async_outcome(verifier: Verifier[Any], office: Office, number: int) -> object:
    try:
        if number % 5:
            return await verifier.averify(token_at(office, number % 7))
        await verifier.denylist.arevoke_id(f"x{number}", until=office.clock.now)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("is_new", [True, False], ids=["new store", "known store"])
def test_replies_that_overtake_each_other_are_no_loss_of_memory(
    office: Office, redis_server: RedisServer, is_new: bool, caplog: pytest.LogCaptureFixture
) -> None:
    desk = office.desk()
    if not is_new:
        desk.verify(token_at(office))
    for _ in range(2):
        assert kinds_of(check_many(desk, office)) <= {"Claims", "NoneType", TOO_MANY}
    since, _, seq = epoch_of(redis_server)
    assert since == 0
    assert 0 < seq <= 80
    assert "lost its memory" not in caplog.text


# A machine that is too busy keeps some waiting for too long.
TOO_MANY = "StoreUnavailable"


def kinds_of(outcomes: Sequence[object]) -> set[str]:
    """The names of the classes of what came of many calls."""
    return {type(outcome).__name__ for outcome in outcomes}


def test_many_checks_at_once_notice_one_loss(
    office: Office, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    desk = office.desk()
    desk.denylist.revoke_user("bob")
    check_many(desk, office)
    redis_server.flush()
    assert kinds_of(check_many(desk, office)) - {TOO_MANY} == {"TokenRevoked", "NoneType"}
    assert epoch_of(redis_server)[0] > 0


@dataclass(frozen=True)
class Asked:
    """A token that is asked about."""

    issued_at: float
    names: Sequence[str] = ("d:x",)
    ahead: float = 0
    lives: float = HORIZON


class Meddled:
    """A port at which another process is always quicker: it writes just before an epoch is founded."""

    keeps_epoch = True
    is_blank = False
    entries = None
    memory = None
    policy = StorePolicy()

    def __init__(self, store: Store, meddle: Callable[[], object]) -> None:
        self._store = store
        self._meddle = meddle

    def peek(self, names: Sequence[str]) -> None:
        """As Redis."""

    async def get_ready(self, *, within: float) -> None: ...

    async def read(self, names: Sequence[str], *, within: float) -> Sequence[str | None]:
        return await self._store.read(names, within=within)

    async def raise_mark(self, name: str, number: int, *, keep_seconds: int, within: float) -> None:
        await self._store.raise_mark(name, number, keep_seconds=keep_seconds, within=within)

    async def spend(self, name: str, nonce: str, *, epoch: str | None, keep_seconds: int, within: float) -> Spent:
        return await self._store.spend(name, nonce, epoch=epoch, keep_seconds=keep_seconds, within=within)

    async def found_epoch(self, observed: str | None, *, trusted: bool, later_than: int = 0, within: float) -> str:
        self._meddle()
        return await self._store.found_epoch(observed, trusted=trusted, later_than=later_than, within=within)


@pytest.mark.parametrize("forget", FORGETTING)
@pytest.mark.parametrize("who", ["a revocation", "a new process"])
def test_a_loss_is_noticed_although_somebody_writes_meanwhile(
    redis_server: RedisServer, forget: Callable[[RedisServer], None], who: str
) -> None:
    """What they write begins an epoch that was always, like in a new store, and it must not be taken for one."""
    now = int(time.time())
    store = RedisStore(redis_server.url)
    port = store.sync_port()
    ours, theirs = Revocations(lambda: now), Revocations(lambda: now)

    def check(revocations: Revocations, at: Store) -> None:
        run_sync(revocations.check(Asked(now - 60), at))

    def revoke() -> None:
        run_sync(port.raise_mark("d:another", now, keep_seconds=60, within=0.5))

    check(ours, port)
    revoke()
    check(ours, port)
    forget(redis_server)
    meddled = Meddled(port, revoke if who == "a revocation" else lambda: settled_check(check, theirs, port))
    for _ in range(3):
        with pytest.raises((TokenRevoked, StoreUnavailable)):
            check(ours, meddled)
    for _ in range(2):
        with pytest.raises(TokenRevoked):
            check(ours, port)
    port.close()


def settled_check(check: Callable[[Revocations, Store], None], revocations: Revocations, port: Store) -> None:
    """A check by another process, whatever comes of it."""
    try:
        check(revocations, port)
    except TokenRevoked:
        return


# --- Servers that take no writes -------------------------------------------------------------------------------------


def make_read_only(server: RedisServer) -> None:
    """A replica whose master is gone: it answers, and takes no writes."""
    server.cli("CONFIG", "SET", "replica-read-only", "yes")
    server.cli("REPLICAOF", "127.0.0.1", str(free_port()))


def make_full(server: RedisServer) -> None:
    server.cli("CONFIG", "SET", "maxmemory", "1")


@pytest.mark.parametrize("spoil", [make_read_only, make_full])
def test_a_server_that_takes_no_writes_goes_on_answering_checks(
    own_office: Office, own_redis_server: RedisServer, spoil: Callable[[RedisServer], None]
) -> None:
    desk, gone, kept = own_office.desk(), token_at(own_office), token_at(own_office, jti="kept", sub="bob")
    held = desk.verify(gone)
    desk.denylist.revoke(held)
    spoil(own_redis_server)
    for _ in range(10):
        assert (desk.verdict(gone), desk.verdict(kept)) == ("revoked", GOOD)
    for call in (
        lambda: desk.denylist.revoke(held),
        lambda: desk.denylist.revoke_id("x", until=own_office.clock.now),
        lambda: desk.denylist.revoke_user("x"),
        lambda: desk.denylist.revoke_tenant("x"),
    ):
        reason, seconds = refused_after(call)
        assert reason == "store_unavailable"
        assert seconds < DEADLINE
    started = time.perf_counter()
    assert desk.spend(kept) == "store_unavailable"
    assert time.perf_counter() - started < DEADLINE
    assert (desk.verdict(gone), desk.verdict(kept)) == ("revoked", GOOD)


def test_an_empty_server_that_takes_no_writes_answers_checks(own_office: Office, own_redis_server: RedisServer) -> None:
    make_read_only(own_redis_server)
    desk = own_office.desk()
    for _ in range(3):
        assert desk.verdict(token_at(own_office)) == GOOD
    assert desk.spend(token_at(own_office)) == "store_unavailable"


def test_a_server_that_forgot_and_takes_no_writes_is_503(own_office: Office, own_redis_server: RedisServer) -> None:
    desk = own_office.desk()
    assert desk.verdict(token_at(own_office)) == GOOD
    own_redis_server.flush()
    make_read_only(own_redis_server)
    for _ in range(3):
        assert desk.verdict(token_at(own_office)) == "store_unavailable"


# --- Servers that do not answer --------------------------------------------------------------------------------------


@pytest.mark.timed
def test_nobody_listens(flavour: Flavour) -> None:
    with office_of(f"redis://127.0.0.1:{free_port()}/0", flavour) as office:
        desk = office.desk()
        for _ in range(10):
            reason, seconds = refused_after(partial(desk.verify, token()))
            assert (reason, seconds < AT_ONCE) == ("store_unavailable", True)
        for method in ("revoke_user", "revoke_tenant"):
            reason, seconds = refused_after(partial(getattr(desk.denylist, method), "x"))
            assert (reason, seconds < AT_ONCE) == ("store_unavailable", True)


@pytest.mark.timed
@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_a_server_that_is_gone_is_503_and_well_again_when_it_is_back(
    own_office: Office, own_redis_server: RedisServer, fault: str
) -> None:
    desk = own_office.desk(durable=True)
    known, gone = token_at(own_office, sub="bob"), token_at(own_office, 1)
    desk.denylist.revoke_user("ana", issued_before=own_office.clock.now - 1)
    assert (desk.verdict(known), desk.verdict(gone)) == (GOOD, "revoked")
    own_redis_server.cli("SAVE")
    getattr(own_redis_server, {"killed": "kill", "frozen": "freeze"}[fault])()
    for text in (known, gone, token_at(own_office, 2)):
        reason, seconds = refused_after(partial(desk.verify, text))
        assert (reason, seconds < DEADLINE) == ("store_unavailable", True)
    reason, seconds = refused_after(lambda: desk.denylist.revoke_user("x"))
    assert (reason, seconds < DEADLINE) == ("store_unavailable", True)
    if fault == "killed":
        own_redis_server.restart(empty=False)
    else:
        own_redis_server.thaw()
    seconds_until(lambda: desk.verdict(known) == GOOD, at_most=WELL_AGAIN)
    assert desk.verdict(gone) == "revoked"


def test_503_says_when_to_try_again_and_carries_no_challenge(flavour: Flavour) -> None:
    with office_of(f"redis://127.0.0.1:{free_port()}/0", flavour) as office, pytest.raises(StoreUnavailable) as caught:
        office.desk().verify(token())
    refusal = caught.value
    assert refusal.status == 503
    assert 1 <= int(refusal.headers()["Retry-After"]) <= 5
    assert refusal.headers()["Cache-Control"] == "no-store"
    assert "WWW-Authenticate" not in refusal.headers()
    assert not hasattr(refusal, "challenge")


def test_a_wrong_token_is_refused_without_the_store(flavour: Flavour) -> None:
    with office_of(f"redis://127.0.0.1:{free_port()}/0", flavour) as office:
        assert office.desk().verdict(token(aud="https://elsewhere.example.com")) == "wrong_audience"
        with pytest.raises(SettingsError):
            office.desk().denylist.revoke_user("")


def test_a_warning_names_the_component_the_error_and_the_time(
    flavour: Flavour, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with office_of(f"redis://127.0.0.1:{free_port()}/0", flavour) as office:
        desk = office.desk()
        for _ in range(20):
            desk.verdict(token())
    lines = [line.getMessage() for line in caplog.records if line.getMessage().startswith("store failed after")]
    assert 1 <= len(lines) <= 2
    assert lines[0].endswith(" s: NotSent")
