"""The rights that the page on deployment asks for are enough, and none of them is one too many."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from bearerguard import StoreUnavailable, Verifier
from bearerguard.events import Event, ReplicaDropped, StoreFailed, StoreUnwatched
from bearerguard.sinks import add_sink
from tests.fleet_desks import confirm_what_is_written, each_binary, sentinel_that_names, token_of_now
from tests.hostile import GOOD
from tests.introspecting import court_of, fresh, kept_in, says
from tests.redis_fleets import ClusterFleet
from tests.revoking import Desk, Office, office_of, refused_after, seconds_until, shop_settings
from tests.servers import RedisServer, open_redis
from tests.store_calls import Flavour

LONG_ON_OTHER_SERVERS = True

PAGE = (Path(__file__).parents[1] / "docs" / "deployment.md").read_text()

(LINE,) = re.findall(r"^ACL SETUSER (bearerguard on .*)$", PAGE, re.MULTILINE)
RIGHTS = tuple(word for word in LINE.split() if word.startswith("+"))
LOGIN_RULES = tuple(word for word in LINE.split() if not word.startswith("+"))
(PASSWORD,) = (word[1:] for word in LOGIN_RULES if word.startswith(">"))
LOGIN = f"bearerguard:{PASSWORD}@"


def more_for(setting: str) -> tuple[str, ...]:
    """The rights that the page adds for a setting."""
    (more,) = re.findall(rf"^- .*{re.escape(setting)}.*: `(\+[^`]+)`$", PAGE, re.MULTILINE)
    return tuple(more.split())


def let_in(server: RedisServer, rights: Sequence[str]) -> str:
    """Give the user of the page these rights and no others; the URL for that user."""
    server.cli("ACL", "SETUSER", "bearerguard", "reset")
    server.cli("ACL", "SETUSER", *LOGIN_RULES, *rights)
    return server.url.replace("redis://", f"redis://{LOGIN}")


def all_but(rights: Sequence[str], one: str) -> tuple[str, ...]:
    return tuple(right for right in rights if right != one)


acl_server = each_binary(lambda binary: closing(open_redis(binary.name)))


@contextmanager
def complaints() -> Iterator[list[Event]]:
    """What is told of that rights may be the reason for."""
    told: list[Event] = []
    kinds = (StoreFailed, StoreUnwatched, ReplicaDropped)
    stop = add_sink(lambda event: told.append(event) if isinstance(event, kinds) else None)
    try:
        yield told
    finally:
        stop()


# --- One server ------------------------------------------------------------------------------------------------------


def goes_well(tour: Callable[[], bool]) -> bool:
    """Whether all that is done on a tour comes out as it should, and nobody complains."""
    with complaints() as told:
        try:
            return tour() and told == []
        except StoreUnavailable:
            return False


def all_that_is_done(server: RedisServer, url: str, flavour: Flavour) -> bool:
    """Everything that a store is for, with a loss in the middle; whether it comes out as it should."""
    server.flush()
    server.cli("SCRIPT", "FLUSH")
    started = asyncio.run(_is_ready(url))
    with office_of(url, flavour) as office:
        office.clock.now = int(server.cli("TIME")[0])
        return started and _denylist_works(server, office) and _entries_work(server, url, flavour)


async def _is_ready(url: str) -> bool:
    """What the door does when an app starts."""
    async with Verifier(shop_settings(), store=url) as verifier:
        await verifier.aget_ready()
    return True


def _denylist_works(server: RedisServer, office: Office) -> bool:
    desk, text, gone = office.desk(), token_of_now(office), token_of_now(office, sub="bob")
    # Twice, for the second time a mark is raised that is there.
    for _ in range(2):
        desk.denylist.revoke_user("bob")
    before = [desk.verdict(text), desk.spend(text), desk.spend(text), desk.verdict(gone)]
    server.flush()
    after = desk.verdict(text)
    office.clock.now += 60
    return [*before, after, desk.verdict(token_of_now(office))] == [
        *(GOOD, GOOD, "replayed", "revoked"),
        *("memory_lost", GOOD),
    ]


def _entries_work(server: RedisServer, url: str, flavour: Flavour) -> bool:
    server.flush()
    with court_of(says(jti="one"), flavour, url) as court:
        text, (first, second) = fresh(), (court.judge(real_time=True), court.judge(real_time=True))
        verdicts = [first.verdict(text), second.verdict(text)]
        claims_left = [key for key in kept_in(server) if key.endswith(":claim")]
        first.denylist.revoke(first.verify(text))
        return (*verdicts, second.verdict(text), court.asked, claims_left) == (GOOD, GOOD, "revoked", 1, [])


def test_the_rights_that_the_page_names_are_enough(acl_server: RedisServer, flavour: Flavour) -> None:
    url = let_in(acl_server, RIGHTS)
    assert goes_well(partial(all_that_is_done, acl_server, url, flavour))


@pytest.mark.parametrize("right", RIGHTS)
def test_without_one_of_them_something_fails_or_is_said(acl_server: RedisServer, right: str) -> None:
    url = let_in(acl_server, all_but(RIGHTS, right))
    assert not goes_well(partial(all_that_is_done, acl_server, url, "sync"))


def test_without_info_all_is_done_and_it_is_said(acl_server: RedisServer, flavour: Flavour) -> None:
    url = let_in(acl_server, all_but(RIGHTS, "+info"))
    with complaints() as told:
        assert all_that_is_done(acl_server, url, flavour)
    assert {type(event) for event in told} == {StoreUnwatched}


def test_has_no_rights_outside_of_its_prefix(acl_server: RedisServer, flavour: Flavour) -> None:
    acl_server.flush()
    with office_of(let_in(acl_server, RIGHTS), flavour) as office:
        assert office.desk(prefix="another:").verdict(token_of_now(office)) == "store_unavailable"
        assert office.desk(prefix="bearerguard:shop:").verdict(token_of_now(office)) == GOOD


# --- Settings that need more -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "changed"),
    [
        pytest.param("another database than 0", lambda url: url.removesuffix("/0") + "/3", id="another database"),
        pytest.param("`client_name=` in the URL", lambda url: f"{url}?client_name=shop", id="a client's name"),
    ],
)
def test_a_setting_of_the_url_needs_one_right_more(
    acl_server: RedisServer, flavour: Flavour, setting: str, changed: Callable[[str], str]
) -> None:
    (right,) = more_for(setting)
    for rights, expected in ((RIGHTS, "store_unavailable"), ((*RIGHTS, right), GOOD)):
        with office_of(changed(let_in(acl_server, rights)), flavour) as office:
            assert office.desk().verdict(token_of_now(office)) == expected


FOR_REPLICA = more_for("`RedisStore(url, replica=True)`")


@pytest.mark.parametrize("missing", ["none", *FOR_REPLICA])
def test_a_replica_in_the_process_needs_all_that_the_page_adds(acl_server: RedisServer, missing: str) -> None:
    url = let_in(acl_server, all_but((*RIGHTS, *FOR_REPLICA), missing))
    with complaints() as told, office_of(url, "sync") as office:
        office.clock.now = int(acl_server.cli("TIME")[0])
        desk = office.desk(replica=True)
        desk.denylist.revoke_user("bob")
        is_followed = partial(is_known_without_asking, desk, token_of_now(office))
        if missing == "none":
            seconds_until(is_followed, at_most=5)
            assert told == []
        else:
            seconds_until(lambda: is_followed() or told != [], at_most=5)
            assert {type(event) for event in told} == {ReplicaDropped}
            assert desk.verdict(token_of_now(office)) == GOOD


def is_known_without_asking(desk: Desk, text: str) -> bool:
    """Whether a check of this token asks nobody."""
    assert desk.verdict(text) == GOOD
    return desk.itself.connections.blocking().store.peek(("u:one",)) is not None


# --- Fleets ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def followed(acl_server: RedisServer) -> Iterator[RedisServer]:
    """The server, once it has a replica that confirms what is written."""
    replica = open_redis(acl_server.name)
    try:
        acl_server.cli("CONFIG", "SET", "repl-diskless-sync-delay", 0)
        replica.cli("REPLICAOF", "127.0.0.1", acl_server.port)
        seconds_until(partial(confirm_what_is_written, acl_server), at_most=20)
        yield acl_server
    finally:
        replica.close()


@pytest.mark.timed
def test_a_master_that_sentinels_watch_needs_one_right_more(followed: RedisServer, flavour: Flavour) -> None:
    followed.flush()
    (right,) = more_for("`redis+sentinel://`")
    for rights, expected in ((RIGHTS, "store_unconfirmed"), ((*RIGHTS, right), GOOD)):
        let_in(followed, rights)
        with sentinel_that_names(followed.port, login=LOGIN) as url, office_of(url, flavour) as office:
            desk, text = office.desk(), token_of_now(office)
            assert desk.verdict(text) == GOOD
            revoked = partial(refused_after, partial(desk.denylist.revoke_user, "bob"))
            # A replica may take its time to confirm.
            seconds_until(lambda revoked=revoked, expected=expected: revoked()[0] == expected, at_most=5)  # type: ignore[misc]


small_cluster = each_binary(lambda binary: ClusterFleet(binary, masters=1, replicas=1))


@pytest.mark.timed
def test_a_cluster_needs_two_rights_more(small_cluster: ClusterFleet, flavour: Flavour) -> None:
    more = more_for("`redis+cluster://`")
    url = f"redis+cluster://{LOGIN}127.0.0.1:{small_cluster.ports[0]}"
    seconds_until(partial(confirm_what_is_written, small_cluster.nodes[0]), at_most=10)
    heard = {}
    for missing in ("none", *more):
        small_cluster.set_user("bearerguard", "reset", *LOGIN_RULES[1:], *all_but((*RIGHTS, *more), missing))
        with office_of(url, flavour) as office:
            desk = office.desk(prefix="bearerguard:shop:")
            heard[missing] = (
                desk.verdict(token_of_now(office)),
                refused_after(partial(desk.denylist.revoke_user, "bob"))[0],
            )
    assert heard == {
        "none": (GOOD, GOOD),
        "+wait": (GOOD, "store_unconfirmed"),
        "+cluster|slots": ("store_unavailable", "store_unavailable"),
    }
