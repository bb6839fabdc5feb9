"""One-time use in the core: one winner, also where a reply is lost, and never one in doubt."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from bearerguard import MemoryStore, StoreUnavailable, TokenReplayed
from tests.hostile import GOOD, NOW
from tests.revoking import STEM, Desk, Office, emptied, every_office, office_of, shop_settings, token
from tests.scripted_redis import Command, Hangup, bulk, scripted_redis
from tests.servers import RedisServer
from tests.store_calls import Flavour

# The token of `token()`, as it is kept for good.
SPENT_KEY = f"{STEM}s:6DzaJWUriFqLP6qvBCEhRCK3zc5KPhA3Q7MsDvxcJSI"
EPOCH_KEY = f"{STEM}epoch"
MARGIN = 4200
LEEWAY = 10
DEADLINE = 2 * 0.5


@pytest.fixture(params=every_office(), ids="-".join)
def office(request: pytest.FixtureRequest) -> Iterator[Office]:
    place, flavour = request.param
    store = MemoryStore() if place == "memory" else emptied(request.getfixturevalue("redis_servers")[place])
    with office_of(store, flavour) as office:
        yield office


@pytest.fixture
def redis_office(flavour: Flavour, redis_server: RedisServer) -> Iterator[Office]:
    with office_of(redis_server.url, flavour) as office:
        yield office


# --- Once ------------------------------------------------------------------------------------------------------------


def test_a_token_is_spent_once_in_all_processes(office: Office) -> None:
    one, other = office.desk(), office.desk()
    assert [desk.spend(token()) for desk in (one, one, other)] == [GOOD, "replayed", "replayed"]
    assert [desk.spend(token(jti="another")) for desk in (other, one)] == [GOOD, "replayed"]


def test_a_spent_token_is_no_revoked_one(office: Office) -> None:
    desk = office.desk()
    assert (desk.spend(token()), desk.verdict(token())) == (GOOD, GOOD)
    assert desk.denylist.status(desk.verify(token())) == "active"


def test_a_revoked_token_is_not_spent(office: Office) -> None:
    desk = office.desk()
    desk.denylist.revoke_user("ana")
    assert desk.spend(token()) == "revoked"
    assert desk.spend(token(sub="bob")) == GOOD


def test_a_replay_is_401_with_words_of_its_own() -> None:
    desk = Office(MemoryStore()).desk()
    desk.spend(token())
    with pytest.raises(TokenReplayed) as caught:
        desk.claim(token())
    assert (caught.value.status, caught.value.code, caught.value.reason) == (401, "invalid_token", "replayed")
    assert caught.value.description == "the token has already been used"


def test_each_authority_spends_alone(office: Office) -> None:
    desks = [office.desk(shop_settings(authority=authority)) for authority in "AB"]
    assert [desk.spend(token()) for desk in desks] == [GOOD, GOOD]


def test_a_token_without_an_id_is_spent_by_what_was_signed(office: Office) -> None:
    desk, text = office.desk(), token(jti=...)
    assert [desk.spend(text), desk.spend(text), desk.spend(token(jti=..., iat=NOW - 9))] == [GOOD, "replayed", GOOD]


def test_two_hundred_threads_have_one_winner() -> None:
    desk = Office(MemoryStore()).desk()
    text = token()
    with ThreadPoolExecutor(200) as pool:
        outcomes = [*pool.map(lambda _: desk.spend(text), range(200))]
    assert (outcomes.count(GOOD), outcomes.count("replayed")) == (1, 199)


# --- How long --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "changes", "seconds"),
    [
        pytest.param({}, {"exp": NOW + 77}, 77 + LEEWAY + MARGIN, id="exp"),
        pytest.param({"leeway": 0}, {"exp": NOW + 0.9}, 1 + MARGIN, id="nearly over"),
        pytest.param({"max_age": 60}, {"exp": NOW + 3000, "iat": NOW}, 60 + LEEWAY + MARGIN, id="max_age"),
    ],
)
def test_redis_keeps_a_spent_token_to_its_end(
    redis_office: Office, redis_server: RedisServer, kind: dict[str, float], changes: dict[str, float], seconds: float
) -> None:
    redis_office.clock.now -= 0.5
    assert redis_office.desk(shop_settings(**kind)).spend(token(**changes)) == GOOD
    assert seconds - 5 < redis_server.cli("TTL", SPENT_KEY) <= seconds + 1


def test_redis_keeps_a_nonce_and_no_more(redis_office: Office, redis_server: RedisServer) -> None:
    nonces = set()
    for _ in range(2):
        redis_server.flush()
        assert redis_office.desk().spend(token()) == GOOD
        version, _, nonce = redis_server.cli("GET", SPENT_KEY).decode().partition("|")
        nonces.add(nonce)
        assert version == "1"
        assert len(nonce) >= 16
    assert len(nonces) == 2


# --- The epoch -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "epoch",
    [
        pytest.param(None, id="lost"),
        pytest.param("1|0|another|9", id="another incarnation"),
        pytest.param("1|0|{incarnation}|0", id="an older snapshot"),
        pytest.param("1|1800000000|new|0", id="founded anew"),
    ],
)
def test_a_store_that_forgot_since_the_check_spends_nothing(
    redis_office: Office, redis_server: RedisServer, epoch: str | None
) -> None:
    desk = redis_office.desk()
    desk.denylist.revoke_user("bob")

    def forget() -> None:
        incarnation = redis_server.cli("GET", EPOCH_KEY).decode().split("|")[2]
        redis_server.flush()
        if epoch is not None:
            redis_server.cli("SET", EPOCH_KEY, epoch.format(incarnation=incarnation))

    assert desk.spend(token(), between=forget) == "token_state_unknown"
    assert redis_server.cli("EXISTS", SPENT_KEY) == 0


def test_writes_since_the_check_are_no_obstacle(redis_office: Office, redis_server: RedisServer) -> None:
    def write() -> None:
        redis_server.cli("SET", EPOCH_KEY, raised(redis_server.cli("GET", EPOCH_KEY).decode()))

    assert redis_office.desk().spend(token(), between=write) == GOOD


def raised(epoch: str) -> str:
    """The epoch after ten more writes."""
    stem, _, seq = epoch.rpartition("|")
    return f"{stem}|{int(seq) + 10}"


@pytest.mark.parametrize("value", [b"2|nonce", b"", b"1|", b"\xff"])
def test_a_spent_token_that_cannot_be_read_is_spent(
    redis_office: Office, redis_server: RedisServer, value: bytes
) -> None:
    redis_server.cli("SET", SPENT_KEY, value)
    assert redis_office.desk().spend(token()) == "replayed"
    assert redis_server.cli("GET", SPENT_KEY) == value


# --- Replies that are lost -------------------------------------------------------------------------------------------


def encoded(command: Command) -> bytes:
    """A command as Redis reads it."""
    return b"*%d\r\n%b" % (len(command), b"".join(map(bulk, command)))


def reply_of(server: RedisServer, command: Command) -> bytes:
    """The reply of a real server, to the byte."""
    end = bulk(b"that was the whole reply")
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(encoded(command) + encoded([b"ECHO", b"that was the whole reply"]))
        reply = b""
        while not reply.endswith(end):
            reply += connection.recv(65_536)
    return reply.removesuffix(end)


def claims_a_token(command: Command) -> bool:
    return command[0].startswith(b"EVAL") and any(b":s:" in part for part in command)


class Wiretap:
    """Stands between us and a real server; claims go through, and their replies go astray."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.before: Callable[[], object] = lambda: None
        self.goes_through = True
        self.reads_after = True
        self.lost = 0

    def __call__(self, command: Command) -> Iterable[bytes]:
        if self.lost and not self.reads_after:
            raise Hangup
        if not claims_a_token(command):
            return [reply_of(self.server, command)]
        self.before()
        reply = reply_of(self.server, command) if self.goes_through else b""
        if reply.startswith(b"-NOSCRIPT"):
            return [reply]
        self.lost += 1
        raise Hangup


@contextmanager
def tapped(server: RedisServer, flavour: Flavour) -> Iterator[tuple[Wiretap, Desk]]:
    """A desk behind a wiretap."""
    tap = Wiretap(server)
    with scripted_redis(tap) as between, office_of(between.url, flavour) as office:
        yield tap, office.desk()


def test_a_claim_whose_reply_was_lost_is_read_back(flavour: Flavour, redis_server: RedisServer) -> None:
    with tapped(redis_server, flavour) as (tap, desk):
        assert desk.spend(token()) == GOOD
        assert tap.lost == 1
        assert [desk.spend(token()), desk.spend(token())] == ["replayed", "replayed"]
        assert tap.lost == 3


def test_a_claim_that_came_second_is_a_replay_although_its_reply_was_lost(
    flavour: Flavour, redis_server: RedisServer
) -> None:
    with tapped(redis_server, flavour) as (tap, desk):
        tap.before = lambda: redis_server.cli("SET", SPENT_KEY, "1|of somebody else", "NX")
        assert desk.spend(token()) == "replayed"
        assert redis_server.cli("GET", SPENT_KEY) == b"1|of somebody else"


@pytest.mark.parametrize("goes_through", [True, False], ids=["was done", "was not done"])
def test_a_claim_that_cannot_be_read_back_is_503(
    flavour: Flavour, redis_server: RedisServer, goes_through: bool
) -> None:
    with tapped(redis_server, flavour) as (tap, desk):
        tap.reads_after, tap.goes_through = False, goes_through
        assert desk.spend(token()) == "token_state_unknown"
    assert redis_server.cli("EXISTS", SPENT_KEY) == goes_through


def test_a_claim_that_is_not_there_may_still_come(flavour: Flavour, redis_server: RedisServer) -> None:
    with tapped(redis_server, flavour) as (tap, desk):
        tap.goes_through = False
        assert desk.spend(token()) == "token_state_unknown"


def test_a_claim_read_back_as_rubbish_is_503(flavour: Flavour, redis_server: RedisServer) -> None:
    with tapped(redis_server, flavour) as (tap, desk):
        tap.goes_through = False
        tap.before = lambda: redis_server.cli("SET", SPENT_KEY, "2|other version")
        assert desk.spend(token()) == "token_state_unknown"


def test_an_unknown_outcome_says_so_and_when_to_try_again(flavour: Flavour, redis_server: RedisServer) -> None:
    with tapped(redis_server, flavour) as (tap, desk):
        tap.reads_after = False
        with pytest.raises(StoreUnavailable) as caught:
            desk.claim(token())
    assert (caught.value.status, caught.value.headers()["Retry-After"]) == (503, "1")
    assert "may be spent" in caught.value.body()["detail"]


@pytest.mark.timed
def test_a_server_that_freezes_before_the_claim_is_503_in_time(flavour: Flavour, own_redis_server: RedisServer) -> None:
    with office_of(own_redis_server.url, flavour) as office:
        desk = office.desk()
        desk.verify(token())
        started: list[float] = []

        def freeze() -> None:
            own_redis_server.freeze()
            started.append(time.perf_counter())

        assert desk.spend(token(), between=freeze) == "token_state_unknown"
        assert time.perf_counter() - started[0] < DEADLINE
        own_redis_server.thaw()
