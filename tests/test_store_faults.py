"""What both doors answer while the store fails: the rows of FAULTS.md, inside their bounds, and well again after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import bearerguard.asgi
import bearerguard.flask
import bearerguard.wsgi
from bearerguard import RedisStore, SignedTokens, StoreUnavailable, Verifier, single_use
from bearerguard.errors import REASONS
from bearerguard.events import Event, StoreFailed
from bearerguard.sinks import add_sink
from tests.doors import Answer, Ask, answer_of_asgi, bearer, environ_of, run_wsgi
from tests.fault_proxy import FaultProxy
from tests.hostile import Clock
from tests.revoking import shop_settings, token
from tests.servers import RedisServer, free_port

LONG_ON_OTHER_SERVERS = True

AT_ONCE = 0.1
DEADLINE = 0.5
WELL_AGAIN = 1.0
BUSY = 2
"""A busy machine takes twice as long as FAULTS.md allows."""

ONE_STEP = b"EVALSHA"


# --- A shop behind a door of either sort -----------------------------------------------------------------------------


class Shop(Protocol):
    """An application with a route that takes a token often, "/", and one that takes it once, "/once"."""

    def ask(self, text: str, path: str = "/") -> Answer:
        """What a request with this token is answered."""
        ...

    def revoke_user(self, user: str) -> None:
        """Revoke all tokens of a user."""

    def close(self) -> None:
        """Done."""


async def orders(_: Request) -> PlainTextResponse:
    return PlainTextResponse("orders")


class AsgiShop:
    def __init__(self, verifier: Verifier[SignedTokens]) -> None:
        self._verifier = verifier
        routes = [Route("/", orders), Route("/once", single_use(orders))]
        self._app = bearerguard.asgi.SessionTokenMiddleware(Starlette(routes=routes), verifier)
        self._runner = asyncio.Runner()

    def ask(self, text: str, path: str = "/") -> Answer:
        return self._runner.run(answer_of_asgi(self._app, Ask(path, headers=[bearer(text)])))

    def revoke_user(self, user: str) -> None:
        self._runner.run(self._verifier.denylist.arevoke_user(user))

    def close(self) -> None:
        self._runner.run(self._verifier.aclose())
        self._runner.close()


class WsgiShop:
    def __init__(self, verifier: Verifier[SignedTokens]) -> None:
        self._verifier = verifier
        self._app = Flask(__name__)
        self._app.add_url_rule("/", "orders", lambda: "orders")
        self._app.add_url_rule("/once", "once", single_use(lambda: "orders"))
        bearerguard.flask.init_app(self._app, bearerguard.wsgi.SessionTokenMiddleware, verifier=verifier)

    def ask(self, text: str, path: str = "/") -> Answer:
        return run_wsgi(self._app, environ_of(Ask(path, headers=[bearer(text)])))

    def revoke_user(self, user: str) -> None:
        self._verifier.denylist.revoke_user(user)

    def close(self) -> None:
        self._verifier.close()


SHOPS: dict[str, Callable[[Verifier[SignedTokens]], Shop]] = {"asgi": AsgiShop, "wsgi": WsgiShop}


@dataclass
class Scene:
    """A shop over a Redis of the test's own, behind a proxy that can be told to fail."""

    shop: Shop
    proxy: FaultProxy
    server: RedisServer
    clock: Clock
    told: list[Event]

    def token(self, jti: str, user: str = "bob") -> str:
        return token(jti=jti, sub=user, iat=self.clock.now - 60, exp=self.clock.now + 3000)

    def cut_off(self) -> None:
        self.proxy.reset_new_connections()
        self.proxy.reset_connections()

    def heal(self) -> None:
        self.proxy.heal()
        self.server.thaw()


@pytest.fixture(params=SHOPS)
def scene(request: pytest.FixtureRequest, own_redis_server: RedisServer) -> Iterator[Scene]:
    told: list[Event] = []
    remove = add_sink(told.append)
    with FaultProxy(own_redis_server.port) as proxy:
        clock = Clock(int(time.time()))
        # The rows about lost memory have tests of their own; here a restart is to be nothing but a restart.
        verifier = Verifier(shop_settings(), store=RedisStore(proxy.url, durable=True), clock=clock)
        shop = SHOPS[request.param](verifier)
        yield Scene(shop, proxy, own_redis_server, clock, told)
        proxy.heal()
        own_redis_server.thaw()
        shop.close()
    remove()


def timed(work: Callable[[], Answer]) -> tuple[Answer, float]:
    started = time.perf_counter()
    answered = work()
    return answered, time.perf_counter() - started


STORE_REASONS = ("store_unavailable", "store_unreadable", "token_state_unknown")


def reason_of(answered: Answer) -> str:
    """The reason word whose sentence an answer says; a framework may say it in a form of its own."""
    (reason,) = [reason for reason in STORE_REASONS if REASONS[reason] in answered.body.decode()]
    return reason


def assert_unavailable(answered: Answer) -> None:
    """503, when to come again, and no word that the token is bad."""
    assert answered.status == 503, answered.body
    assert 1 <= int(answered.header("retry-after") or 0) <= 5
    assert answered.header("cache-control") == "no-store"
    assert answered.header("www-authenticate") is None


def assert_revocation_fails(shop: Shop, *, bound: float) -> None:
    started = time.perf_counter()
    with pytest.raises(StoreUnavailable):
        shop.revoke_user("eve")
    assert time.perf_counter() - started < BUSY * bound


def well_again(scene: Scene, text: str) -> None:
    """The first good answer, which must come soon."""
    started = time.perf_counter()
    while (answered := scene.shop.ask(text)).status == 503 and time.perf_counter() - started < 10:
        pass
    assert answered.status == 200
    assert time.perf_counter() - started < BUSY * WELL_AGAIN


# --- Nobody can be asked ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """How the store fails, and how soon that must be said."""

    begins: Callable[[Scene], object]
    bound: float = DEADLINE
    ends: Callable[[Scene], object] = Scene.heal


def says(reply: str) -> Fault:
    """Every command is answered so."""
    return Fault(lambda scene: scene.proxy.answer(f"-{reply}\r\n".encode()))


SILENT_OR_WRONG: dict[str, Fault] = {
    "refused": Fault(lambda scene: scene.proxy.refuse(), AT_ONCE),
    "killed": Fault(lambda scene: scene.server.kill(), AT_ONCE, lambda scene: scene.server.restart(empty=False)),
    "frozen": Fault(lambda scene: scene.server.freeze()),
    "black hole": Fault(lambda scene: scene.proxy.black_hole()),
    "dripping": Fault(lambda scene: scene.proxy.drip(1, 0.1)),
    "slow": Fault(lambda scene: scene.proxy.delay(2.0)),
    "reset": Fault(lambda scene: scene.proxy.reset()),
    "reset when it is connected": Fault(lambda scene: scene.cut_off()),
    "truncated": Fault(lambda scene: scene.proxy.truncate(2)),
    "truncated and silent": Fault(lambda scene: scene.proxy.truncate(2, then="silence")),
    "corrupt": Fault(lambda scene: scene.proxy.corrupt(lambda reply: b"?" + reply[1:])),
    "another type": Fault(lambda scene: scene.proxy.answer(b":7\r\n")),
    "NOAUTH": says("NOAUTH Authentication required."),
    "LOADING": says("LOADING Redis is loading the dataset in memory"),
    "MASTERDOWN": says("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
    "READONLY": says("READONLY You can't write against a read only replica."),
    "MOVED": says("MOVED 3999 127.0.0.1:1"),
    "ASK": says("ASK 3999 127.0.0.1:1"),
    "TRYAGAIN": says("TRYAGAIN Multiple keys request during rehashing of slot"),
    "CLUSTERDOWN": says("CLUSTERDOWN The cluster is down"),
}


@pytest.mark.timed
@pytest.mark.parametrize("fault", SILENT_OR_WRONG.values(), ids=SILENT_OR_WRONG)
def test_says_503_in_time_and_is_well_again(scene: Scene, fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    known, revoked, once = scene.token("known"), scene.token("revoked", "ana"), scene.token("once", "carl")
    scene.shop.revoke_user("ana")
    assert [scene.shop.ask(text).status for text in (known, revoked)] == [200, 401]
    assert scene.shop.ask(once, "/once").status == 200
    scene.server.cli("SAVE")
    fault.begins(scene)
    for text, path in ((known, "/"), (revoked, "/"), (scene.token("new"), "/"), (once, "/once"), (known, "/once")):
        told, lines = len(scene.told), len(caplog.records)
        answered, seconds = timed(lambda text=text, path=path: scene.shop.ask(text, path))  # type: ignore[misc]
        assert_unavailable(answered)
        assert reason_of(answered)
        assert seconds < BUSY * fault.bound
        assert sum(isinstance(event, StoreFailed) for event in scene.told[told:]) == 1
        assert all("Traceback" not in line.getMessage() for line in caplog.records[lines:])
    assert_revocation_fails(scene.shop, bound=fault.bound)
    fault.ends(scene)
    well_again(scene, known)
    assert scene.shop.ask(revoked).status == 401
    assert scene.shop.ask(once, "/once").status == 401
    assert not any(text in caplog.text for text in (known, revoked, once))


def test_asks_once_more_when_a_check_is_cut_off(scene: Scene) -> None:
    known = scene.token("known")
    assert scene.shop.ask(known).status == 200
    scene.proxy.reset(only=b"MGET", times=1)
    assert scene.shop.ask(known).status == 200
    assert scene.proxy.struck == 1


# --- Done, but the reply was lost ------------------------------------------------------------------------------------


@pytest.mark.timed
@pytest.mark.parametrize("ending", ["reset", "silence"])
def test_lets_no_token_pass_twice_whose_claim_went_unanswered(scene: Scene, ending: Any) -> None:
    first, once = scene.token("first"), scene.token("once")
    assert scene.shop.ask(first, "/once").status == 200
    scene.proxy.lose_replies(only=ONE_STEP, then=ending, times=1)
    answered, seconds = timed(lambda: scene.shop.ask(once, "/once"))
    assert scene.proxy.struck == 1
    assert answered.status == 200 or (answered.status, reason_of(answered)) == (503, "token_state_unknown")
    assert seconds < BUSY * DEADLINE
    scene.heal()
    well_again(scene, scene.token("another"))
    assert scene.shop.ask(once, "/once").status == 401


@pytest.mark.timed
def test_says_that_it_is_unknown_when_nothing_can_be_asked_after_a_claim(scene: Scene) -> None:
    assert scene.shop.ask(scene.token("first"), "/once").status == 200
    once = scene.token("once")
    assert scene.shop.ask(once).status == 200
    scene.proxy.lose_replies(only=ONE_STEP)
    scene.proxy.lose_replies(then="silence", only=b"bearerguard}:s:")
    answered, seconds = timed(lambda: scene.shop.ask(once, "/once"))
    assert_unavailable(answered)
    assert reason_of(answered) == "token_state_unknown"
    assert seconds < BUSY * DEADLINE
    scene.heal()
    well_again(scene, scene.token("another"))
    assert scene.shop.ask(once, "/once").status == 401


def test_does_not_call_a_revocation_done_whose_reply_was_lost(scene: Scene) -> None:
    known = scene.token("known", "ana")
    assert scene.shop.ask(known).status == 200
    scene.proxy.lose_replies(only=b":u:")
    with pytest.raises(StoreUnavailable):
        scene.shop.revoke_user("ana")
    scene.heal()
    scene.shop.revoke_user("ana")
    assert scene.shop.ask(known).status == 401


# --- It takes no writes ----------------------------------------------------------------------------------------------

NO_WRITES: dict[str, tuple[Callable[[RedisServer], object], Callable[[RedisServer], object]]] = {
    "read-only": (
        lambda server: server.cli("REPLICAOF", "127.0.0.1", free_port()),
        lambda server: server.cli("REPLICAOF", "NO", "ONE"),
    ),
    "out of memory": (
        lambda server: server.cli("CONFIG", "SET", "maxmemory", "1"),
        lambda server: server.cli("CONFIG", "SET", "maxmemory", "0"),
    ),
}


@pytest.mark.timed
@pytest.mark.parametrize("row", NO_WRITES)
def test_goes_on_with_checks_while_nothing_can_be_written(scene: Scene, row: str) -> None:
    begins, ends = NO_WRITES[row]
    known, revoked, once = scene.token("known"), scene.token("revoked", "ana"), scene.token("once")
    scene.shop.revoke_user("ana")
    assert [scene.shop.ask(text).status for text in (known, revoked)] == [200, 401]
    begins(scene.server)
    assert [scene.shop.ask(text).status for text in (known, revoked)] == [200, 401]
    answered, seconds = timed(lambda: scene.shop.ask(once, "/once"))
    assert_unavailable(answered)
    assert seconds < BUSY * DEADLINE
    assert_revocation_fails(scene.shop, bound=DEADLINE)
    assert [scene.shop.ask(text).status for text in (known, revoked)] == [200, 401]
    ends(scene.server)
    assert [scene.shop.ask(once, "/once").status for _ in range(2)] == [200, 401]
    scene.shop.revoke_user("bob")
    assert scene.shop.ask(known).status == 401
