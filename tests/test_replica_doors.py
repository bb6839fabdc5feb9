"""A replica of the denylist behind real doors, in real processes: what is revoked passes no later than its bound."""

from __future__ import annotations

import gc
import http.client
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.retry import Retry as SyncRetry

from bearerguard import RedisStore, SettingsError, TokenRevoked, Verifier
from bearerguard.events import Event, PassedUnchecked, ReplicaDropped, TokenRefused
from bearerguard.sinks import add_sink
from bearerguard.stores.redis.replica_marks import Known, Mark
from tests.crew_servers import PROCESSES, Variant, variants
from tests.crews import REVOCATIONS
from tests.doors import Answer, Ask, ask_server, bearer, eventually
from tests.hostile import GOOD, Clock
from tests.houses import settings
from tests.replica_watch import (
    FLAVOURS,
    STALENESS,
    is_confirmed,
    is_of_a_replica,
    seen_while_connections_are_killed,
    watchmen,
)
from tests.revoking import HORIZON, office_of, seconds_until, shop_settings, token
from tests.servers import (
    NO_OWN_REDIS,
    AppServer,
    RedisServer,
    gunicorn_server,
    open_redis,
    own_redis_names,
    uvicorn_server,
)
from tests.store_calls import Flavour
from tests.test_store_faults import SHOPS, Shop, timed
from tests.test_workers import SORTS, WAVES, World, signed, statuses_of, world_of

LONG_ON_OTHER_SERVERS = True

BUSY = 2
"""A busy machine takes twice as long as it should."""

DEADLINE = 0.5
WELL_AGAIN = 1.0
TYPICAL = 0.1
THREAD = "bearerguard replica"
ROOT = Path(__file__).resolve().parent.parent


# --- Four workers of real servers ------------------------------------------------------------------------------------


ASGI, WSGI, USED_WSGI = (f"tests.replica_crews:{app}" for app in ("asgi_app", "wsgi_app", "used_wsgi_app"))
_THREADS = ("--worker-class", "gthread", "--threads", "8", "--keep-alive", "60")
_GREENLETS = ("--worker-class", "gevent", "--keep-alive", "60")
IN_EVERY_RUN = ("uvicorn",)
VARIANTS = (
    Variant("uvicorn", uvicorn_server, ASGI, ("--timeout-keep-alive", "60")),
    Variant("threads", gunicorn_server, WSGI, _THREADS),
    Variant("threads, used before", gunicorn_server, USED_WSGI, (*_THREADS, "--preload")),
    Variant("gevent", gunicorn_server, WSGI, _GREENLETS),
    Variant("gevent, used before", gunicorn_server, USED_WSGI, (*_GREENLETS, "--preload")),
)


class Hand:
    """One worker of a server, by a connection that it keeps open."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.pid = self.ask("/health").header("x-pid")

    def ask(self, target: str, text: str | None = None, method: str = "GET") -> Answer:
        """What it answers to a request."""
        headers = {} if text is None else dict([bearer(text)])
        self._connection.request(method, f"/crew{target}", headers=headers)
        answered = self._connection.getresponse()
        fields = [(name.lower(), value) for name, value in answered.getheaders()]
        return Answer(answered.status, fields, answered.read())

    def status(self, text: str) -> int:
        """The status that a token gets."""
        return self.ask("/anything", text).status

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@dataclass
class Crew:
    """The workers of a server, one by one."""

    world: World
    server: AppServer
    hands: Sequence[Hand]
    delays: list[float] = field(default_factory=list)

    def all_let_in(self, text: str) -> None:
        """Each of them knows a token, and lets it in."""
        for hand in self.hands:
            assert eventually(lambda hand=hand: hand.status(text) == 200)  # type: ignore[misc]

    def revoke(self, what: str, text: str) -> float:
        """Revoke through the first one, which refuses at once; when it was confirmed."""
        assert eventually(lambda: self.hands[0].ask(f"/revoke/{what}", text, "POST").status == 200)
        confirmed = time.monotonic()
        assert self.hands[0].status(text) == 401
        return confirmed


def hands_of(port: int, stack: ExitStack) -> Sequence[Hand]:
    """One connection to each worker; the kernel chooses who takes a new one."""
    hands: dict[str | None, Hand] = {}
    for _ in range(400):
        hand = Hand(port)
        if hands.setdefault(hand.pid, hand) is not hand:
            hand.close()
            continue
        stack.callback(hand.close)
        if len(hands) == PROCESSES:
            return [*hands.values()]
    raise AssertionError(f"only {len(hands)} of {PROCESSES} have come")


@pytest.fixture(scope="module")
def world(redis_servers: Mapping[str, RedisServer]) -> Iterator[World]:
    with world_of(next(iter(redis_servers.values()))) as world:
        yield world


@pytest.fixture(scope="module", params=variants(VARIANTS, in_every_run=IN_EVERY_RUN))
def crew(request: pytest.FixtureRequest, world: World) -> Iterator[Crew]:
    """Four workers, whom all tests ask before the next four come."""
    variant: Variant = request.param
    with variant.started(world.place.as_environment()) as server, ExitStack() as stack:
        yield Crew(world, server, hands_of(server.port, stack))


@pytest.mark.timed
@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("what", REVOCATIONS)
def test_all_workers_refuse_within_the_bound_what_one_has_revoked(crew: Crew, what: str, sort: str) -> None:
    text = SORTS[sort]()
    crew.all_let_in(text)
    asked = crew.world.provider.count()
    confirmed = crew.revoke(what, text)
    for hand in crew.hands[1:]:
        while hand.status(text) != 401:
            assert time.monotonic() - confirmed < BUSY * STALENESS
    assert crew.world.provider.count() == asked
    crew.all_let_in(SORTS[sort]())


@pytest.mark.timed
def test_they_mostly_refuse_in_milliseconds(crew: Crew) -> None:
    delays = []
    for _ in range(10):
        text = signed()
        crew.all_let_in(text)
        confirmed = crew.revoke("id", text)
        with ThreadPoolExecutor(PROCESSES) as pool:
            refused = [pool.submit(_refused_at, hand, text) for hand in crew.hands[1:]]
        delays += [each.result() - confirmed for each in refused]
    assert statistics.median(delays) < TYPICAL
    assert max(delays) < BUSY * STALENESS


def _refused_at(hand: Hand, text: str) -> float:
    while hand.status(text) != 401:
        time.sleep(0.001)
    return time.monotonic()


@pytest.mark.parametrize("sort", SORTS)
def test_all_workers_together_take_a_one_time_token_once(crew: Crew, sort: str) -> None:
    for _ in range(WAVES):
        text = SORTS[sort]()
        ask = Ask("/crew/once", [bearer(text)])
        with ThreadPoolExecutor(40) as pool:
            statuses = statuses_of([*pool.map(lambda _, ask=ask: ask_server(crew.server.port, ask), range(40))])
        assert statuses[200] <= 1
        assert set(statuses) <= {200, 401, 503}
        if not statuses[503]:  # the machine was fast enough to ask the store so often at once
            assert statuses == {200: 1, 401: 39}
            return
    pytest.fail("no wave was answered in time")


_COMPLAINTS = re.compile(r"ERROR|CRITICAL|Traceback|Exception ignored|ResourceWarning: (?!Enable)")
# Both servers leave their own listening socket to the garbage collector.
_LISTENER = re.compile(r"unclosed <(?!.*raddr=)(?:gevent\._)?socket.*laddr=\('127\.0\.0\.1', \d+\)>")


@pytest.mark.timed
def test_they_end_soon_when_told_to_and_leave_nothing_open(crew: Crew) -> None:
    for hand in crew.hands:
        hand.close()
    started = time.monotonic()
    assert crew.server.stop() == 0
    assert time.monotonic() - started < BUSY * 2
    log = crew.server.log()
    assert [line for line in log.splitlines() if _COMPLAINTS.search(line) and not _LISTENER.search(line)] == [], log


# --- Connections that are killed over and over -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "is_hit",
    [
        pytest.param(is_of_a_replica, id="those of replicas", marks=pytest.mark.long),
        pytest.param(lambda _: True, id="all"),
    ],
)
def test_misses_none_of_1000_in_four_processes_whose_connections_are_killed_every_30_ms(
    redis_servers: Mapping[str, RedisServer], is_hit: Callable[[Mapping[str, Any]], bool]
) -> None:
    server = next(iter(redis_servers.values()))
    server.flush()
    with watchmen(server.url, FLAVOURS) as men:
        sights, kills = seen_while_connections_are_killed(server, men, revocations=1000, is_hit=is_hit)
    assert len(kills) > 20
    assert [len(seen.sights) for seen in sights] == [1000] * PROCESSES
    assert [seen.missed for seen in sights] == [0] * PROCESSES


# --- A shop behind a door of either sort, and somebody else who revokes ----------------------------------------------


@dataclass
class Scene:
    """A shop whose store has a replica, over a Redis of the test's own; and another process of the fleet, without."""

    shop: Shop
    other: Verifier[Any]
    server: RedisServer
    clock: Clock
    told: list[Event]

    def token(self, jti: str, user: str = "bob", **changes: Any) -> str:
        return token(jti=jti, sub=user, **{"iat": self.clock.now, "exp": self.clock.now + HORIZON, **changes})

    def knows(self, text: str) -> None:
        """The shop has a replica, and lets a token in by it."""
        assert eventually(lambda: self.shop.ask(text).status == 200)
        assert eventually(lambda: sent_while(self.server, lambda: self.shop.ask(text)) == [])

    def revoke(self, text: str) -> None:
        """Revoke a token elsewhere, and wait until the shop has heard of it."""
        claims = self.other.verify(text)
        assert eventually(lambda: is_confirmed(lambda: self.other.denylist.revoke(claims)))
        seconds_until(lambda: self.shop.ask(text).status == 401, at_most=10)

    def reasons(self) -> list[str]:
        """Why tokens were refused so far."""
        return [event.reason for event in self.told if isinstance(event, TokenRefused)]

    def refusal(self, text: str) -> str:
        """The reason for which a token is refused now."""
        assert self.shop.ask(text).status == 401
        return self.reasons()[-1]

    def drops(self) -> list[str]:
        """Why replicas were dropped so far."""
        return [event.why for event in self.told if isinstance(event, ReplicaDropped)]

    def follows(self) -> bool:
        """Whether the shop's replica waits for news."""
        with redis.Redis.from_url(self.server.url) as client:
            return any(each["cmd"] == "xread" for each in client.client_list())


@contextmanager
def scene_at(
    door: str, server: RedisServer, url: str | None = None, *, of_other: Mapping[str, Any] | None = None, **options: Any
) -> Iterator[Scene]:
    told: list[Event] = []
    remove = add_sink(told.append)
    clock = Clock(int(time.time()))
    shop = SHOPS[door](
        Verifier(shop_settings(), store=RedisStore(url or server.url, replica=True, **options), clock=clock)
    )
    other = Verifier(shop_settings(), store=RedisStore(server.url, **of_other or {}), clock=clock)
    try:
        yield Scene(shop, other, server, clock, told)
    finally:
        server.thaw()
        shop.close()
        other.close()
        remove()
    assert eventually(lambda: replica_threads() == [])


def replica_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


def sent_while(server: RedisServer, work: Callable[[], object]) -> list[str]:
    """The commands that a server is sent while work is done, but for those of scripts and of who follows the log."""
    with redis.Redis.from_url(server.url) as observer, observer.monitor() as monitor:
        work()
        with redis.Redis.from_url(server.url) as other:
            other.echo("that is all")
        seen = takewhile(lambda one: not one["command"].startswith("ECHO"), iter(monitor.next_command, None))
        commands = [(one["command"].split(" "), one) for one in seen if one["client_type"] != "lua"]
        followers = {one["client_port"] for words, one in commands if words[0] == "XREAD" or words[-1] == "1001"}
        ignored = ("CLIENT", "HELLO", "INFO")
        return [words[0] for words, one in commands if one["client_port"] not in followers and words[0] not in ignored]


@pytest.fixture(params=SHOPS)
def door(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def own_server(door: str) -> Iterator[RedisServer]:
    """A server of the test's own: behind one door the first of those found here, behind the other one the last."""
    names = own_redis_names()
    if not names:
        pytest.fail(NO_OWN_REDIS)
    server = open_redis(names[0 if door == "asgi" else -1])
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def scene(door: str, own_server: RedisServer) -> Iterator[Scene]:
    with scene_at(door, own_server) as scene:
        yield scene


def test_asks_redis_nothing_while_its_replica_is_fresh(scene: Scene) -> None:
    known, new, gone = scene.token("known"), scene.token("new"), scene.token("gone")
    scene.knows(known)
    scene.revoke(gone)

    def ask() -> None:
        statuses = [scene.shop.ask(text).status for _ in range(50) for text in (known, gone)]
        assert statuses == [200, 401] * 50
        assert scene.shop.ask(new).status == 200

    assert eventually(lambda: sent_while(scene.server, ask) == [])


def test_asks_redis_for_each_one_time_use(scene: Scene) -> None:
    known = scene.token("known")
    scene.knows(known)
    sent = sent_while(scene.server, lambda: scene.shop.ask(known, "/once"))
    assert sent == ["MGET", "EVALSHA"] or sent == ["MGET", "EVALSHA", "EVAL"]
    assert scene.shop.ask(known, "/once").status == 401
    assert scene.shop.ask(known).status == 200


@pytest.mark.parametrize(
    ("names", "values"),
    [
        pytest.param((), (), id="nothing"),
        pytest.param(("epoch",), ("now",), id="the epoch alone"),
        pytest.param(("epoch", "d:a", "u:b", "t:c"), ("now", None, None, None), id="nothing revoked"),
        pytest.param(("epoch", "d:a", "u:gone"), ("now", None, "1|5"), id="something revoked"),
        pytest.param(("d:a", "epoch", "u:gone"), (None, "now", "1|5"), id="the epoch in the middle"),
        pytest.param(("epoch", "epoch", "d:a"), ("now", "now", None), id="the epoch twice"),
        pytest.param(("epoch", "d:a", "s:one"), None, id="a sort of name that it does not know"),
        pytest.param(("epoch", "u:gone", "s:one"), None, id="such a one, and something revoked"),
        pytest.param(("epochs", "d:a"), None, id="nearly the epoch"),
    ],
)
def test_what_is_known_is_said_of_marks_and_the_epoch_only(
    names: Sequence[str], values: Sequence[str | None] | None
) -> None:
    told = Known(0.0, "now", {"u:gone": Mark("1|5", 1)}).values_of(names)
    assert (told if told is None else tuple(told)) == values


@pytest.mark.timed
def test_answers_on_while_the_server_is_frozen_until_the_bound_and_then_503(scene: Scene) -> None:
    known, gone = scene.token("known"), scene.token("gone")
    scene.knows(known)
    scene.revoke(gone)
    began, frozen, known_until = time.monotonic(), freeze(scene), 0.0
    while (answer := timed(lambda: scene.shop.ask(known)))[0].status == 200:
        assert scene.shop.ask(gone).status in (401, 503)
        known_until = time.monotonic() - frozen
        assert known_until < BUSY * STALENESS
    assert known_until > STALENESS / 2
    assert time.monotonic() - began < BUSY * (STALENESS + DEADLINE)
    for text in (known, gone, known):
        answer = timed(lambda text=text: scene.shop.ask(text))  # type: ignore[misc]
        assert answer[0].status == 503
        assert answer[1] < BUSY * DEADLINE
    scene.server.thaw()
    thawed = time.monotonic()
    while scene.shop.ask(known).status != 200:
        assert time.monotonic() - thawed < BUSY * WELL_AGAIN
    assert scene.shop.ask(gone).status == 401
    assert eventually(lambda: sent_while(scene.server, lambda: scene.shop.ask(known)) == [])


def freeze(scene: Scene) -> float:
    scene.server.freeze()
    return time.monotonic()


def test_a_bound_of_its_own_is_kept(door: str, own_server: RedisServer) -> None:
    with scene_at(door, own_server, max_staleness=3.0) as scene:
        known = scene.token("known")
        scene.knows(known)
        frozen = freeze(scene)
        while scene.shop.ask(known).status == 200:
            assert time.monotonic() - frozen < 3.0 + DEADLINE
        assert time.monotonic() - frozen > 2.0


# --- A store that forgets --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loss:
    """How a store forgets, and what those who use it were told of it."""

    comes: Callable[[RedisServer], object]
    told: Mapping[str, Any] = field(default_factory=dict)
    hides_its_run: bool = False


def _as_it_was(server: RedisServer) -> None:
    server.cli("SAVE")
    server.restart(empty=False)


LOSSES = {
    "restarted with all of it": Loss(_as_it_was),
    "restarted empty": Loss(lambda server: server.restart(empty=True)),
    "restarted from an older snapshot": Loss(lambda server: server.restart(empty=False)),
    "flushed": Loss(lambda server: server.cli("FLUSHALL")),
    "restarted empty, called durable": Loss(lambda server: server.restart(empty=True), {"durable": True}),
    "restarted from an older snapshot, called durable": Loss(
        lambda server: server.restart(empty=False), {"durable": True}
    ),
    "restarted from an older snapshot, INFO forbidden": Loss(
        lambda server: server.restart(empty=False), hides_its_run=True
    ),
}


@pytest.fixture(params=[*LOSSES.values()], ids=[*LOSSES])
def loss(request: pytest.FixtureRequest) -> Loss:
    loss: Loss = request.param
    return loss


@contextmanager
def about_to_forget(door: str, server: RedisServer, loss: Loss) -> Iterator[tuple[Scene, str, str]]:
    """A shop that knows a good token, and another that was revoked after the last snapshot."""
    if loss.hides_its_run:
        server.cli("ACL", "SETUSER", "default", "-info")
        server.cli("CONFIG", "REWRITE")
    with scene_at(door, server, of_other=loss.told, **loss.told) as scene:
        known, gone = scene.token("known"), scene.token("gone")
        scene.knows(known)
        scene.knows(gone)
        scene.revoke(scene.token("gone before"))
        server.cli("SAVE")
        scene.revoke(gone)
        assert scene.reasons()[-1] == "revoked"
        yield scene, known, gone


def test_lets_nothing_pass_that_a_store_forgets_was_revoked(door: str, own_server: RedisServer, loss: Loss) -> None:
    with about_to_forget(door, own_server, loss) as (scene, known, gone):
        loss.comes(own_server)
        lost = time.monotonic()
        while scene.shop.ask(known).status != 401:
            assert scene.shop.ask(gone).status in (401, 503)
            assert time.monotonic() - lost < 10
        _is_remembered_as_lost(scene, known, gone)


def test_lets_nothing_pass_that_was_forgotten_while_nobody_asked(
    door: str, own_server: RedisServer, loss: Loss
) -> None:
    with about_to_forget(door, own_server, loss) as (scene, known, gone):
        drops = len(scene.drops())
        loss.comes(own_server)
        assert eventually(lambda: len(scene.drops()) > drops)
        # Where it can, the replica begins anew meanwhile.
        eventually(scene.follows, within=1.0)
        time.sleep(0.1)
        assert scene.shop.ask(gone).status in (401, 503)
        assert eventually(lambda: scene.shop.ask(known).status == 401)
        _is_remembered_as_lost(scene, known, gone)


def _is_remembered_as_lost(scene: Scene, known: str, gone: str) -> None:
    assert len(scene.drops()) == 1
    assert scene.refusal(known) == scene.refusal(gone) == "memory_lost"
    scene.clock.now = int(time.time()) + 60
    new = scene.token("new")
    scene.knows(new)
    assert scene.refusal(known) == scene.refusal(gone) == "memory_lost"
    scene.revoke(new)
    assert scene.refusal(new) == "revoked"


# --- What else the store can be told ---------------------------------------------------------------------------------


@pytest.mark.timed
def test_where_everybody_is_to_pass_it_goes_on_by_its_replica_first(door: str, own_server: RedisServer) -> None:
    with scene_at(door, own_server, on_failure="open") as scene:
        known, gone = scene.token("known"), scene.token("gone")
        scene.knows(known)
        scene.revoke(gone)
        frozen = freeze(scene)
        while scene.shop.ask(gone).status == 401:
            assert not passes(scene)
            assert time.monotonic() - frozen < BUSY * STALENESS
        assert time.monotonic() - frozen > STALENESS / 2
        assert scene.shop.ask(known).status == 200
        assert passes(scene)
        assert scene.shop.ask(known, "/once").status == 503
        scene.server.thaw()
        seconds_until(lambda: scene.shop.ask(gone).status == 401, at_most=BUSY * WELL_AGAIN)


def passes(scene: Scene) -> bool:
    return any(isinstance(event, PassedUnchecked) for event in scene.told)


def test_has_no_replica_over_an_async_client_of_the_users_own(redis_server: RedisServer) -> None:
    retry = Retry(NoBackoff(), 0)
    client = redis.asyncio.Redis.from_url(
        redis_server.url, socket_timeout=0.25, socket_connect_timeout=0.25, retry=retry
    )
    assert "redis.asyncio.Redis" in repr(RedisStore(client))
    with pytest.raises(SettingsError, match="give RedisStore a URL"):
        RedisStore(client, replica=True)


def test_shows_no_password() -> None:
    shown = repr(RedisStore("redis://clerk:s3cret@redis.example.com", replica=True, max_staleness=2))
    assert "s3cret" not in shown
    assert shown == repr(RedisStore("redis://clerk:s3cret@redis.example.com"))


@pytest.mark.parametrize("seconds", [0, 0.1, 61, True, "1", float("nan")])
def test_takes_no_bound_that_it_cannot_keep(seconds: Any) -> None:
    with pytest.raises(SettingsError, match="max_staleness"):
        RedisStore("redis://localhost", replica=True, max_staleness=seconds)


# --- Its end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_leaves_neither_thread_nor_socket_when_it_is_closed_and_begins_anew(
    redis_server: RedisServer, flavour: Flavour
) -> None:
    with office_of(redis_server.url, flavour) as office:
        text = token()
        desk = office.desk(replica=True)
        for _ in range(2):
            assert eventually(lambda: desk.verdict(text) == GOOD)
            assert eventually(lambda: sent_while(redis_server, lambda: desk.verdict(text)) == [])
            assert len(replica_threads()) == 1
            desk.close()
            assert eventually(lambda: replica_threads() == [], within=BUSY * DEADLINE)
            assert eventually(lambda: len(redis_server.cli("CLIENT", "LIST").splitlines()) == 1)
        # A socket that was left open would tell of it now, and warnings are errors.
        gc.collect()


_ENDS = """
import sys, time
from bearerguard import RedisStore, Verifier
from tests.houses import settings, token
verifier = Verifier(settings(), store=RedisStore(sys.argv[1], replica=True))
text, end = token(), time.monotonic() + 0.5
while time.monotonic() < end:
    verifier.verify(text)
if sys.argv[2] == "closed":
    verifier.close()
print("good")
"""


@pytest.mark.parametrize("how", ["closed", "left open"])
def test_a_process_ends_without_a_word_while_it_follows(redis_server: RedisServer, how: str) -> None:
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", _ENDS, redis_server.url, how]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=True)
    assert ended.stdout == "good\n"
    assert not _COMPLAINTS.search(ended.stderr), ended.stderr


def test_follows_by_a_blocking_client_of_the_users_own(redis_server: RedisServer) -> None:
    waits = {"socket_timeout": 0.25, "socket_connect_timeout": 0.25, "retry": SyncRetry(NoBackoff(), 0)}
    with redis.Redis.from_url(redis_server.url, **waits) as client:
        verifier = Verifier(settings(), store=RedisStore(client, replica=True))
        text = signed()
        claims = verifier.verify(text)
        assert eventually(lambda: sent_while(redis_server, lambda: verifier.verify(text)) == [])
        other = Verifier(settings(), store=redis_server.url)
        other.denylist.revoke(claims)
        seconds_until(lambda: _is_refused(verifier, text), at_most=10)
        verifier.close()
        other.close()
        assert eventually(lambda: replica_threads() == [])


def _is_refused(verifier: Verifier[Any], text: str) -> bool:
    try:
        verifier.verify(text)
    except TokenRevoked:
        return True
    return False
