"""What a fleet shares through Redis: entries with the marks that revoke them, claims, tombstones, plain commands."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bearerguard.core.ports import Entries, Recollection
from bearerguard.errors import StoreUnavailable
from bearerguard.stores import RedisStore
from bearerguard.stores.redis.plain_entries import named_in
from tests.scripted_redis import Command, Hangup, scripted_redis
from tests.servers import RedisServer, free_port
from tests.store_calls import WITHIN, Calls, Flavour, calls_to

LONG_ON_OTHER_SERVERS = True
NAMES = ("d:token", "u:user-1", "t:tenant_2")
ENTRY = f"1|{' '.join(NAMES)}|the body | with a bar"
OTHER = "1|d:token|another body"
NAME = "o:one"


def key(name: str) -> str:
    return f"bearerguard:{{bearerguard}}:{name}"


class Shared:
    """The methods of a port's entries as plain calls."""

    def __init__(self, calls: Calls) -> None:
        entries = calls.port.entries
        assert entries is not None
        self.entries: Entries = entries
        self.run = calls.run

    def recall(self, claim: str = "mine", *, claim_seconds: float = 60, within: float = WITHIN) -> Recollection:
        found: Recollection = self.run(
            self.entries.recall(NAME, claim=claim, claim_seconds=claim_seconds, within=within)
        )
        return found

    def keep(self, entry: str = ENTRY, claim: str = "mine", *, seconds: float = 60, over: bool = False) -> None:
        self.run(self.entries.keep(NAME, entry, claim=claim, seconds=seconds, over=over, within=WITHIN))

    def retire(self, claim: str = "mine") -> None:
        self.run(self.entries.retire(NAME, claim=claim, within=WITHIN))

    def release(self, claim: str = "mine") -> None:
        self.run(self.entries.release(NAME, claim=claim, within=WITHIN))

    def drop(self, entry: str = ENTRY) -> None:
        self.run(self.entries.drop(NAME, entry, within=WITHIN))


@pytest.fixture
def shared(flavour: Flavour, redis_server: RedisServer) -> Iterator[Shared]:
    with calls_to(RedisStore(redis_server.url), flavour) as calls:
        yield Shared(calls)


@pytest.fixture
def own(flavour: Flavour, own_redis_server: RedisServer) -> Iterator[Shared]:
    with calls_to(RedisStore(own_redis_server.url), flavour) as calls:
        yield Shared(calls)


@pytest.fixture
def plain(flavour: Flavour, own_redis_server: RedisServer) -> Iterator[Shared]:
    """Entries for a user who may run no scripts."""
    own_redis_server.cli("ACL", "SETUSER", "plain", "on", ">pw", "~bearerguard:*", "+@all", "-@scripting")
    with calls_to(RedisStore(own_redis_server.url.replace("redis://", "redis://plain:pw@")), flavour) as calls:
        yield Shared(calls)


def unavailable(call: Callable[[], object], reason: str = "store_unavailable") -> None:
    with pytest.raises(StoreUnavailable) as caught:
        call()
    assert caught.value.reason == reason


# --- Entries ---------------------------------------------------------------------------------------------------------


def test_recalls_an_entry_with_the_marks_under_its_names(shared: Shared, redis_server: RedisServer) -> None:
    redis_server.cli("MSET", key("epoch"), "1|0|a|7", key("u:user-1"), "1|5", key("t:another"), "1|6")
    shared.keep()
    found = shared.recall()
    assert (found.epoch, found.entry, found.leads) == ("1|0|a|7", ENTRY, True)
    assert tuple(found.names) == NAMES
    assert [*found.marks] == [None, "1|5", None]
    assert 59 <= found.seconds_left <= 60


def test_recalls_an_entry_under_which_nothing_is_marked(shared: Shared) -> None:
    shared.keep()
    found = shared.recall()
    assert (found.epoch, found.entry, tuple(found.names)) == (None, ENTRY, NAMES)
    assert [*found.marks] == [None, None, None]


@pytest.mark.parametrize(
    ("named", "names"),
    [
        pytest.param("", (), id="none"),
        pytest.param("d:a", ("d:a",), id="one"),
        pytest.param("d:a u:b", ("d:a", "u:b"), id="two"),
        pytest.param(" d:a  u:b ", ("d:a", "u:b"), id="more spaces"),
        pytest.param("d:a u:b t:c d:e", (), id="too many"),
        pytest.param("d:a s:b", (), id="a spent token's"),
        pytest.param("d:a epoch", (), id="the epoch"),
        pytest.param("d:", (), id="half a name"),
        pytest.param("d:a:claim", (), id="more than a name"),
        pytest.param("d:a\n", (), id="a line's end"),
        pytest.param("d:ä", (), id="a letter of another alphabet"),
    ],
)
@pytest.mark.parametrize("marked", [False, True], ids=["unmarked", "marked"])
def test_reads_only_names_of_denials(
    shared: Shared, redis_server: RedisServer, named: str, names: tuple[str, ...], marked: bool
) -> None:
    for name in (*names, "s:b", "d:", "d:a:claim") if marked else ():
        redis_server.cli("SET", key(name), f"1|{name}")
    shared.keep(f"1|{named}|body")
    found = shared.recall()
    assert (found.entry, tuple(found.names)) == (f"1|{named}|body", names)
    assert [*found.marks] == [f"1|{name}" if marked else None for name in names]


def test_keeps_what_stands_unless_told_otherwise(shared: Shared) -> None:
    shared.keep(ENTRY, seconds=50)
    shared.keep(OTHER)
    found = shared.recall()
    assert found.entry == ENTRY
    assert found.seconds_left <= 50
    shared.keep(OTHER, over=True)
    assert shared.recall().entry == OTHER


def test_keeps_an_entry_for_its_seconds(shared: Shared, redis_server: RedisServer) -> None:
    shared.keep(seconds=7.5)
    assert 7000 < redis_server.cli("PTTL", key(NAME)) <= 7500
    shared.keep(seconds=0, over=True)
    assert redis_server.cli("PTTL", key(NAME)) <= 1


def test_drops_an_entry_that_is_still_the_same(shared: Shared) -> None:
    shared.keep()
    shared.drop(OTHER)
    assert shared.recall().entry == ENTRY
    shared.drop(ENTRY)
    assert shared.recall().entry is None
    shared.drop(ENTRY)


# --- Claims ----------------------------------------------------------------------------------------------------------


def test_one_of_two_who_find_nothing_leads(shared: Shared) -> None:
    assert shared.recall("mine") == Recollection(None, leads=True)
    assert shared.recall("yours") == Recollection(None, leads=False)
    assert shared.recall("mine").leads


def test_one_among_many_leads(flavour: Flavour, redis_server: RedisServer) -> None:
    with calls_to(RedisStore(redis_server.url), flavour) as calls:
        entries = Shared(calls).entries

        def recall(number: int) -> Callable[[], Any]:
            return lambda: entries.recall(NAME, claim=f"n{number}", claim_seconds=60, within=5)

        found = calls.together([recall(number) for number in range(100)])
    assert sum(one.leads for one in found if isinstance(one, Recollection)) == 1
    assert len(found) == 100


@pytest.mark.parametrize("end", ["keep", "retire", "release"])
def test_lets_its_own_claim_go(shared: Shared, redis_server: RedisServer, end: str) -> None:
    shared.recall("mine")
    getattr(shared, end)()
    assert redis_server.cli("EXISTS", key(f"{NAME}:claim")) == 0


@pytest.mark.parametrize("end", ["keep", "retire", "release"])
def test_leaves_anothers_claim(shared: Shared, redis_server: RedisServer, end: str) -> None:
    shared.recall("yours")
    getattr(shared, end)()
    assert redis_server.cli("GET", key(f"{NAME}:claim")) == b"yours"


def test_another_leads_after_a_release(shared: Shared) -> None:
    shared.recall("yours")
    shared.release("yours")
    assert shared.recall("mine").leads
    assert not shared.recall("yours").leads


def test_a_claim_ends_by_itself(shared: Shared, redis_server: RedisServer) -> None:
    shared.recall("yours", claim_seconds=2.5)
    assert 2000 < redis_server.cli("PTTL", key(f"{NAME}:claim")) <= 2500
    redis_server.cli("PEXPIRE", key(f"{NAME}:claim"), 0)
    assert shared.recall("mine").leads


@pytest.mark.parametrize(
    "stands",
    [pytest.param(("SET", "x"), id="without an end"), pytest.param(("LPUSH", "x"), id="of another type")],
)
def test_waits_for_no_claim_that_is_nobodys(shared: Shared, redis_server: RedisServer, stands: tuple[str, str]) -> None:
    redis_server.cli(stands[0], key(f"{NAME}:claim"), stands[1])
    assert shared.recall("mine").leads
    assert not shared.recall("yours").leads


# --- Tombstones ------------------------------------------------------------------------------------------------------


def test_retires_nothing_where_nothing_stands(shared: Shared, redis_server: RedisServer) -> None:
    shared.recall()
    shared.retire()
    assert redis_server.cli("DBSIZE") == 0


def test_retires_an_entry_and_keeps_it_away(shared: Shared, redis_server: RedisServer) -> None:
    shared.keep()
    shared.retire()
    assert redis_server.cli("GET", key(NAME)) == b"0"
    assert 59_000 < redis_server.cli("PTTL", key(NAME)) <= 60_000
    shared.keep()
    found = shared.recall()
    assert (found.entry, found.leads) == (None, True)
    shared.keep(over=True)
    assert shared.recall().entry == ENTRY


def test_retires_what_another_is_about_to_keep(shared: Shared) -> None:
    shared.recall("yours")
    shared.retire("mine")
    shared.keep(ENTRY, "yours")
    assert shared.recall().entry is None


def test_a_tombstone_is_none_to_be_dropped_as_an_entry(shared: Shared, redis_server: RedisServer) -> None:
    shared.keep()
    shared.retire()
    shared.drop(ENTRY)
    assert redis_server.cli("GET", key(NAME)) == b"0"


# --- What cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("SET", key(NAME), "", "EX", 60), id="empty"),
        pytest.param(("SET", key(NAME), "2|d:token|body", "EX", 60), id="another version"),
        pytest.param(("SET", key(NAME), "1|d:token", "EX", 60), id="cut off"),
        pytest.param(("SET", key(NAME), "0|", "EX", 60), id="like a tombstone"),
        pytest.param(("SET", key(NAME), ENTRY), id="without an end"),
        pytest.param(("SET", key(NAME), "0"), id="tombstone without an end"),
        pytest.param(("LPUSH", key(NAME), ENTRY), id="of another type"),
    ],
)
def test_what_is_no_entry_is_found_out_anew_and_replaced(
    shared: Shared, redis_server: RedisServer, command: tuple[str | int, ...]
) -> None:
    redis_server.cli(*command)
    is_text = command[0] == "SET" and command[2] != "0"
    assert shared.recall("mine") == Recollection(None, leads=True, is_unreadable=is_text)
    assert not shared.recall("yours").leads
    shared.keep()
    assert shared.recall().entry == ENTRY


def test_an_entry_that_is_no_text_is_none(shared: Shared, redis_server: RedisServer) -> None:
    redis_server.cli("MSET", key(NAME), b"1|d:token|\xff", key("epoch"), "1|0|a|7", key("d:token"), b"\xff")
    redis_server.cli("EXPIRE", key(NAME), 60)
    assert shared.recall() == Recollection("1|0|a|7", leads=True, is_unreadable=True)
    shared.keep(over=True)
    redis_server.cli("DEL", key("d:token"))
    assert shared.recall().entry == ENTRY


@pytest.mark.parametrize("name", ["epoch", "d:token"])
def test_a_mark_that_is_no_text_is_an_error(shared: Shared, redis_server: RedisServer, name: str) -> None:
    shared.keep()
    redis_server.cli("SET", key(name), b"1|\xff")
    unavailable(shared.recall, "store_unreadable")


def test_an_epoch_that_is_no_text_is_an_error_without_an_entry(shared: Shared, redis_server: RedisServer) -> None:
    redis_server.cli("SET", key("epoch"), b"\xff")
    unavailable(shared.recall, "store_unreadable")


def test_marks_of_another_type_are_absent_as_everywhere(shared: Shared, redis_server: RedisServer) -> None:
    shared.keep()
    for name in ("epoch", "d:token"):
        redis_server.cli("LPUSH", key(name), "1|5")
    found = shared.recall()
    assert (found.epoch, found.entry, [*found.marks]) == (None, ENTRY, [None, None, None])


def test_an_epoch_may_be_any_text(shared: Shared, redis_server: RedisServer) -> None:
    shared.keep()
    for epoch in ("", " ", "7 8 9", "1|0|ä|7\n", "-1"):
        redis_server.cli("SET", key("epoch"), epoch)
        found = shared.recall()
        assert (found.epoch, found.entry) == (epoch, ENTRY)


_HOSTILE = st.one_of(
    st.text(),
    st.text().map(lambda text: f"1|{text}|"),
    st.lists(
        st.one_of(st.from_regex(r"[dutse]:[A-Za-z0-9_:-]*", fullmatch=True), st.sampled_from(["epoch", "", "d:a\n"]))
    ).map(lambda names: f"1|{' '.join(names)}|body"),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entry=_HOSTILE)
@example(entry="1|d:x\0|")
@example(entry="1|\0|body\0")
def test_no_entry_is_worse_than_none_and_none_names_what_is_no_denial(
    shared: Shared, redis_server: RedisServer, entry: str
) -> None:
    redis_server.flush()
    redis_server.cli("SET", key(NAME), entry, "EX", 60)
    names = named_in(entry)
    for name in names or ():
        redis_server.cli("SET", key(name), name)
    found = shared.recall()
    nothing = Recollection(None, is_unreadable=entry != "0")
    assert found == (nothing if names is None else _recalled(entry, names, found.seconds_left))
    assert all(name[:2] in ("d:", "u:", "t:") for name in found.names)


def _recalled(entry: str, names: tuple[str, ...], seconds_left: float) -> Recollection:
    # The marks prove that the script found the same names.
    return Recollection(None, entry, seconds_left, names, [*names] if names else ())


# --- Servers that take no writes -------------------------------------------------------------------------------------


def _fill(server: RedisServer) -> None:
    server.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.cli("CONFIG", "SET", "maxmemory", "1")


def test_recalls_where_there_is_no_memory_left(own: Shared, own_redis_server: RedisServer) -> None:
    own.keep()
    _fill(own_redis_server)
    assert own.recall().entry == ENTRY
    own.drop()
    assert own.recall("mine").leads
    assert own.recall("yours").leads
    unavailable(own.keep)


def test_an_entry_goes_even_where_no_tombstone_can_be_put(own: Shared, own_redis_server: RedisServer) -> None:
    own.recall()
    own_redis_server.cli("SET", key(NAME), ENTRY, "EX", 60)
    _fill(own_redis_server)
    unavailable(own.retire)
    assert own_redis_server.cli("DBSIZE") == 0


def test_lets_its_claim_go_where_nothing_can_be_kept(own: Shared, own_redis_server: RedisServer) -> None:
    own.recall()
    _fill(own_redis_server)
    unavailable(own.keep)
    assert own_redis_server.cli("DBSIZE") == 0


def test_recalls_from_a_server_that_became_a_replica(own: Shared, own_redis_server: RedisServer) -> None:
    own.keep()
    own_redis_server.cli("REPLICAOF", "127.0.0.1", free_port())
    assert own.recall().entry == ENTRY
    for call in (own.retire, own.drop, lambda: own.keep(over=True)):
        unavailable(call)
    own_redis_server.cli("REPLICAOF", "NO", "ONE")
    own.drop()
    own_redis_server.cli("REPLICAOF", "127.0.0.1", free_port())
    assert own.recall("mine").leads
    assert own.recall("yours").leads


# --- One round trip --------------------------------------------------------------------------------------------------


def _commands_during(server: RedisServer, call: Callable[[], object]) -> list[str]:
    """What clients sent while `call` ran, without what scripts did."""
    mark = uuid.uuid4().hex
    with redis.Redis.from_url(server.url, socket_timeout=5) as client, client.monitor() as monitor:
        call()
        server.cli("ECHO", mark)
        seen: list[str] = []
        while not seen or mark not in seen[-1]:
            command: Any = monitor.next_command()
            if command["client_type"] != "lua":
                seen.append(command["command"])
    return [command.split()[0] for command in seen[:-1] if not command.startswith(("CLIENT", "HELLO", "INFO"))]


def test_a_recall_is_one_command(own: Shared, own_redis_server: RedisServer) -> None:
    own.recall("mine")
    for claim in ("mine", "yours"):
        assert _commands_during(own_redis_server, partial(own.recall, claim)) == ["EVALSHA"]
    own.keep()
    for mark in ("d:another", "d:token"):
        own_redis_server.cli("SET", key(mark), "1|5")
        assert _commands_during(own_redis_server, own.recall) == ["EVALSHA"]


def test_sends_its_scripts_anew_when_the_server_forgot_them(shared: Shared, redis_server: RedisServer) -> None:
    for call in (shared.recall, shared.keep, shared.recall, shared.retire, shared.release, shared.drop):
        redis_server.cli("SCRIPT", "FLUSH")
        call()


# --- Replies that are lost, or are none ------------------------------------------------------------------------------


def _hanging_up(answers: list[bytes | None]) -> Callable[[Command], Iterable[bytes]]:
    """A script of replies; None is a reset."""

    def answer(command: Command) -> Iterator[bytes]:
        reply = answers.pop(0)
        if reply is None:
            raise Hangup
        yield reply

    return answer


def test_asks_once_more_when_a_recollection_is_lost(flavour: Flavour) -> None:
    with (
        scripted_redis(_hanging_up([None, b"*3\r\n:1\r\n$-1\r\n:0\r\n"])) as server,
        calls_to(RedisStore(server.url), flavour) as calls,
    ):
        assert Shared(calls).recall().leads
        first, second = server.commands
        assert first == second


@pytest.mark.parametrize("method", ["keep", "retire", "release", "drop"])
def test_writes_are_never_sent_twice(flavour: Flavour, method: str) -> None:
    with (
        scripted_redis(_hanging_up([None, b":1\r\n"])) as server,
        calls_to(RedisStore(server.url), flavour) as calls,
    ):
        unavailable(getattr(Shared(calls), method))
        assert len(server.commands) == 1


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"$-1\r\n", id="nothing"),
        pytest.param(b"+OK\r\n", id="no hit"),
        pytest.param(b":1\r\n", id="a number"),
        pytest.param(b"*0\r\n", id="an empty list"),
        pytest.param(b"*3\r\n:1\r\n$-1\r\n$-1\r\n", id="too long a miss"),
        pytest.param(b"*2\r\n+5 -1 1|d:a|\r\n:7\r\n", id="a mark that is a number"),
        pytest.param(b"*3\r\n+5 -1 1|d:a|\r\n$-1\r\n$-1\r\n", id="more marks than names"),
        pytest.param(b"*1\r\n+5 -1 1|d:a|\r\n", id="fewer marks than names"),
        pytest.param(b"+-5 -1 1|d:a|\r\n", id="a life below zero"),
    ],
)
def test_a_reply_that_is_no_recollection_is_unreadable(flavour: Flavour, reply: bytes) -> None:
    with scripted_redis(_hanging_up([reply])) as server, calls_to(RedisStore(server.url), flavour) as calls:
        unavailable(Shared(calls).recall, "store_unreadable")


# --- Without the right to run scripts --------------------------------------------------------------------------------


def test_recalls_by_plain_commands_and_remembers_to(plain: Shared, own_redis_server: RedisServer) -> None:
    own_redis_server.cli("MSET", key("epoch"), "1|0|a|7", key("u:user-1"), "1|5")
    assert plain.recall("mine") == Recollection("1|0|a|7", leads=True)
    assert plain.recall("yours") == Recollection("1|0|a|7", leads=True)
    plain.keep()
    assert plain.recall() == Recollection("1|0|a|7", ENTRY, math.inf, NAMES, [None, "1|5", None])
    assert _commands_during(own_redis_server, plain.recall) == ["MGET", "MGET"]


def test_tries_scripts_again_after_a_while(flavour: Flavour, own_redis_server: RedisServer) -> None:
    own_redis_server.cli("ACL", "SETUSER", "plain", "on", ">pw", "~bearerguard:*", "+@all", "-@scripting")
    with calls_to(RedisStore(own_redis_server.url.replace("redis://", "redis://plain:pw@")), flavour) as calls:
        shared = Shared(calls)
        entries: Any = shared.entries
        now = 1000.0
        entries._monotonic = lambda: now
        shared.recall()
        own_redis_server.cli("ACL", "SETUSER", "plain", "+@scripting")
        now += 29
        assert _commands_during(own_redis_server, shared.recall) == ["MGET"]
        now += 1
        assert _commands_during(own_redis_server, shared.recall)[0] == "EVALSHA"


def test_keeps_and_retires_by_plain_commands(plain: Shared, own_redis_server: RedisServer) -> None:
    plain.recall()
    plain.release()
    assert own_redis_server.cli("DBSIZE") == 0
    plain.retire()  # nobody knows who else asks, so a tombstone stands whatever stood there
    plain.keep()
    assert plain.recall().entry is None
    own_redis_server.flush()
    plain.keep(seconds=50)
    plain.keep(OTHER)
    assert own_redis_server.cli("GET", key(NAME)).decode() == ENTRY
    assert 49_000 < own_redis_server.cli("PTTL", key(NAME)) <= 50_000
    plain.retire()
    assert 59_000 < own_redis_server.cli("PTTL", key(NAME)) <= 60_000
    plain.keep()
    assert plain.recall().entry is None
    plain.keep(OTHER, over=True)
    assert plain.recall().entry == OTHER


def test_drops_by_plain_commands(plain: Shared, own_redis_server: RedisServer) -> None:
    plain.keep()
    plain.drop(OTHER)
    assert plain.recall().entry == ENTRY
    plain.drop()
    assert own_redis_server.cli("DBSIZE") == 0
    plain.drop()
    own_redis_server.cli("LPUSH", key(NAME), ENTRY)
    plain.drop()


@pytest.mark.parametrize("entry", [b"", b"0", b"2|d:token|body", b"1|d:token", b"1|d:token|\xff"])
def test_what_is_no_entry_is_none_for_plain_commands(
    plain: Shared, own_redis_server: RedisServer, entry: bytes
) -> None:
    own_redis_server.cli("SET", key(NAME), entry, "EX", 60)
    assert plain.recall() == Recollection(None, leads=True, is_unreadable=entry != b"0")


@pytest.mark.parametrize("name", ["epoch", "d:token"])
def test_a_mark_that_is_no_text_is_an_error_for_plain_commands(
    plain: Shared, own_redis_server: RedisServer, name: str
) -> None:
    plain.keep()
    own_redis_server.cli("SET", key(name), b"\xff")
    unavailable(plain.recall, "store_unreadable")


def test_an_entry_goes_by_plain_commands_where_no_tombstone_can_be_put(
    plain: Shared, own_redis_server: RedisServer
) -> None:
    plain.keep()
    _fill(own_redis_server)
    assert plain.recall().entry == ENTRY
    unavailable(plain.retire)
    assert own_redis_server.cli("DBSIZE") == 0
    assert plain.recall().leads


def test_a_user_without_any_rights_hears_so(flavour: Flavour, own_redis_server: RedisServer) -> None:
    own_redis_server.cli("ACL", "SETUSER", "nobody", "on", ">pw", "~other:*", "+@all")
    with calls_to(RedisStore(own_redis_server.url.replace("redis://", "redis://nobody:pw@")), flavour) as calls:
        shared = Shared(calls)
        for call in (shared.recall, shared.keep, shared.retire, shared.drop):
            unavailable(call)


# --- Nothing leaks ---------------------------------------------------------------------------------------------------


def test_no_error_carries_an_entry(own: Shared, own_redis_server: RedisServer) -> None:
    _fill(own_redis_server)
    error: BaseException | None = None
    try:
        own.keep("1||s3cret")
    except StoreUnavailable as caught:
        error = caught
    said: list[str] = []
    while error is not None:
        said.append(repr(error))
        error = error.__cause__ or error.__context__
    assert said
    assert "s3cret" not in "".join(said)
