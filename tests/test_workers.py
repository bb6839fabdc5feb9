"""Four workers of every usual server over one real Redis, some of them forked from a process that was in use before."""

from __future__ import annotations

import itertools
import os
import re
import signal
import ssl
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.crew_servers import PROCESSES, Variant, variants
from tests.crews import AUTHORITIES_VARIABLE, HEALTH, REVOCATIONS
from tests.doors import Answer, Ask, ask_server, bearer, eventually
from tests.houses import AUDIENCE, ISSUER, token
from tests.introspecting import ENDPOINT, inactive
from tests.opaque_houses import Place
from tests.scripted_provider import Line, ScriptedProvider, json_answer, trusting_tls
from tests.servers import (
    NO_OWN_REDIS,
    AppServer,
    RedisServer,
    gunicorn_server,
    open_redis,
    own_redis_names,
    uvicorn_server,
)

WAVES = 20
A_CROWD = 200
IN_FLIGHT = PROCESSES  # a plain worker has no more than one
HELD_SECONDS = 0.5
ASGI, WSGI = "tests.crews:asgi_app", "tests.crews:wsgi_app"


# --- Servers ---------------------------------------------------------------------------------------------------------


def _of_gunicorn(name: str, app: str, *options: str) -> tuple[Variant, Variant, Variant]:
    """Workers that import the application themselves; that find it imported; that find it in use."""
    return (
        Variant(name, gunicorn_server, app, options),
        Variant(f"{name}, imported before", gunicorn_server, app, (*options, "--preload")),
        Variant(f"{name}, used before", gunicorn_server, app.replace(":", ":used_"), (*options, "--preload")),
    )


_GEVENT = _of_gunicorn("gevent", WSGI, "--worker-class", "gevent")
_UVICORN_WORKER = _of_gunicorn("uvicorn worker", ASGI, "--worker-class", "uvicorn_worker.UvicornWorker")
VARIANTS = (
    Variant("uvicorn", uvicorn_server, ASGI, ("--no-access-log",)),
    *_of_gunicorn("sync", WSGI),
    *_of_gunicorn("threads", WSGI, "--worker-class", "gthread", "--threads", "8"),
    *_GEVENT,
    # Of those that were only imported before, nothing is left that uvicorn's own and the used ones would not show.
    _UVICORN_WORKER[0],
    _UVICORN_WORKER[2],
)
WITH_GREENLETS = (_GEVENT[0], _GEVENT[2])
IN_EVERY_RUN = ("uvicorn", "gevent, used before")
"""Each sort of worker, and of those that are forked the harder case; the others take minutes."""


@dataclass(frozen=True)
class Ending:
    """How a server ended that was told to."""

    answers: Sequence[Answer]
    code: int
    log: str
    seconds: float


class Crew:
    """The workers of one server: started when they are first asked, and anew where they have ended."""

    def __init__(self, variant: Variant, place: Place, *, workers: int = PROCESSES, **env: str) -> None:
        self.workers = workers
        self.ending: Ending | None = None
        self._variant = variant
        self._env = {**place.as_environment(), **env}
        self._stack = ExitStack()
        self._server: AppServer | None = None

    @property
    def server(self) -> AppServer:
        """The server, which runs."""
        if self._server is None:
            self._server = self._stack.enter_context(self._variant.started(self._env, workers=self.workers))
        return self._server

    def asked(self, *asks: Ask) -> Sequence[Answer]:
        """What requests are answered that come at once, in their order."""
        port = self.server.port
        with ThreadPoolExecutor(len(asks)) as pool:
            return list(pool.map(lambda ask: ask_server(port, _below(ask)), asks))

    def all_answer(self, status: int, *asks: Ask) -> None:
        """Every worker answers so to each; the kernel chooses who answers, so they are asked until all have.

        On a machine that is too slow for them all, one may be told to come again; anything else is wrong.
        """
        told = set[tuple[int, str | None]]()
        for _ in range(WAVES):
            answers = self.asked(*asks * (2 * self.workers))
            assert set(statuses_of(answers)) <= {status, 503}
            told |= {
                (number % len(asks), answer.header("x-pid"))
                for number, answer in enumerate(answers)
                if answer.status == status
            }
            if len(told) == self.workers * len(asks):
                return
        raise AssertionError(f"only {len(told)} of {self.workers * len(asks)} have come")

    def close(self) -> None:
        """End the server, if it runs."""
        self._stack.close()
        self._server = None


def _below(ask: Ask) -> Ask:
    return replace(ask, target=f"/crew{ask.target}")


def statuses_of(answers: Sequence[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


# --- What they all share ---------------------------------------------------------------------------------------------

# A store that is not ours may remember an earlier run.
_names = (f"{uuid.uuid4().hex[:12]}{number:018}" for number in itertools.count())


def opaque(word: str = "good") -> str:
    """An opaque token of a tenant and a user that no other one has."""
    return f"{word}-{next(_names)}"


def signed(**changes: Any) -> str:
    """A signed one."""
    name = next(_names)
    own: dict[str, Any] = {"tenant": f"str_{name}", "sub": f"usr_{name}"}
    return token(**own | changes)


SORTS: Mapping[str, Callable[[], str]] = {"signed": signed, "opaque": opaque}


class Registrar:
    """What the provider knows: a token that begins with "good" is active; and how long it takes to say so."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, line: Line) -> None:
        """Answer one question."""
        text = line.request.form.get("token", "")  # none of a caller whose time was over in the middle
        line.pause(self.seconds)
        assert self.may_answer.wait(10)
        if not text.startswith("good"):
            inactive(line)
            return
        # Not the whole token: whatever holds that is left out of the claims.
        now, name = int(time.time()), text.partition("-")[2]
        who = {"iss": ISSUER, "aud": AUDIENCE, "sub": f"usr_{name}", "tenant": f"str_{name}", "jti": f"jti_{name}"}
        json_answer({"active": True, **who, "iat": now, "exp": now + 600})(line)


@dataclass(frozen=True)
class World:
    """A provider, and a store that is not emptied while crews work."""

    provider: ScriptedProvider
    registrar: Registrar
    store: RedisServer

    @property
    def place(self) -> Place:
        """Where an application finds them."""
        return Place(provider=self.provider.url(""), store=self.store.url)


@contextmanager
def world_of(store: RedisServer, *, tls: bool = False) -> Iterator[World]:
    registrar = Registrar()
    with ScriptedProvider(tls=tls) as provider:
        provider.play(ENDPOINT, registrar)
        yield World(provider, registrar, store)


@pytest.fixture(scope="module")
def world(redis_servers: Mapping[str, RedisServer]) -> Iterator[World]:
    with world_of(next(iter(redis_servers.values()))) as world:
        yield world


@pytest.fixture(scope="module", params=variants(VARIANTS, in_every_run=IN_EVERY_RUN))
def crew(request: pytest.FixtureRequest, world: World) -> Iterator[Crew]:
    """Four workers, whom all tests ask before the next four come."""
    crew = Crew(request.param, world.place)
    try:
        yield crew
    finally:
        crew.close()


# --- Revocation, one-time use, crowds --------------------------------------------------------------------------------


@pytest.mark.parametrize("what", REVOCATIONS)
def test_every_worker_refuses_at_once_what_one_has_revoked(crew: Crew, what: str) -> None:
    asks = [Ask("/anything", [bearer(new())]) for new in SORTS.values()]
    crew.all_answer(200, *asks)
    for ask in asks:
        (revoked,) = crew.asked(replace(ask, target=f"/revoke/{what}", method="POST"))
        assert revoked.status == 200
    crew.all_answer(401, *asks)
    crew.all_answer(200, *(Ask("/anything", [bearer(new())]) for new in SORTS.values()))


@pytest.mark.parametrize("sort", SORTS)
def test_takes_a_token_once_in_all_workers(crew: Crew, sort: str) -> None:
    for _ in range(WAVES):
        statuses = statuses_of(crew.asked(*[Ask("/once", [bearer(SORTS[sort]())])] * 50))
        assert statuses[200] <= 1
        if not statuses[503]:  # the machine was fast enough to ask the store so often at once
            assert statuses == {200: 1, 401: 49}
            return
    pytest.fail("no wave was answered in time")


def mixed() -> Sequence[tuple[Ask, int]]:
    """Requests of every sort, and how each must be answered."""
    return [
        (Ask(HEALTH), 200),
        (Ask("/anything"), 401),
        (Ask("/anything", [bearer(signed())]), 200),
        (Ask("/anything", [bearer(opaque())]), 200),
        (Ask("/once", [bearer(signed())]), 200),
        (Ask("/once", [bearer(opaque())]), 200),
        (Ask("/anything", [bearer(signed(exp=1_600_000_000))]), 401),
        (Ask("/anything", [bearer(signed(key="no secret of ours, and thirty-two bytes long"))]), 401),
        (Ask("/anything", [bearer(opaque("gone"))]), 401),
        (Ask("/revoke/id", [bearer(signed())], "POST"), 200),
    ]


def answers_wrongly(crew: Crew, crowd: Sequence[tuple[Ask, int]]) -> Counter[tuple[str, int, int]]:
    """What a crowd that comes at once is answered differently from how it must be, and how often."""
    answers = crew.asked(*(ask for ask, _ in crowd))
    told = zip(crowd, answers, strict=True)
    return Counter((ask.target, right, answer.status) for (ask, right), answer in told if answer.status != right)


def check_crowds(crew: Crew, size: int) -> None:
    """A crowd is answered rightly; who comes to a machine that is too slow for it is told to come again."""
    for _ in range(WAVES):
        wrong = answers_wrongly(crew, [one for _ in range(size // 10) for one in mixed()])
        assert {status for _, _, status in wrong} <= {503}, wrong
        if not wrong:
            return
    pytest.fail("no crowd was answered in time")


def test_answers_a_crowd_rightly(crew: Crew) -> None:
    check_crowds(crew, A_CROWD)


# --- The end ---------------------------------------------------------------------------------------------------------


def ended(crew: Crew, world: World) -> Ending:
    """How a crew ends that is told to while it waits for the provider."""
    crew.all_answer(200, Ask("/anything", [bearer(opaque())]))
    server, came = crew.server, world.provider.count()
    world.registrar.seconds = HELD_SECONDS
    try:
        with ThreadPoolExecutor(1) as pool:
            answers = pool.submit(crew.asked, *(Ask("/anything", [bearer(opaque())]) for _ in range(IN_FLIGHT)))
            world.provider.wait_for_requests(came + IN_FLIGHT)
            started = time.monotonic()
            os.kill(server.pid, signal.SIGTERM)
            assert eventually(lambda: has_ended(server.pid), within=20), server.log()
            crew.ending = Ending(answers.result(), server.stop(), server.log(), time.monotonic() - started)
    finally:
        world.registrar.seconds = 0.0
        crew.close()
    return crew.ending


def has_ended(pid: int) -> bool:
    """Whether a child of ours has ended; its exit code is left for others to read."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@pytest.mark.timed
def test_ends_soon_when_told_to(crew: Crew, world: World) -> None:
    assert ended(crew, world).seconds < 4


def test_finishes_first_what_is_under_way(crew: Crew, world: World) -> None:
    ending = crew.ending or ended(crew, world)
    assert statuses_of(ending.answers) == {200: IN_FLIGHT}
    assert ending.code == 0


_COMPLAINTS = re.compile(r"ERROR|CRITICAL|Traceback|Exception ignored|ResourceWarning: (?!Enable)")
# Both servers leave their own listening socket to the garbage collector.
_LISTENER = re.compile(r"unclosed <(?!.*raddr=)(?:gevent\._)?socket.*laddr=\('127\.0\.0\.1', \d+\)>")


def test_has_nothing_to_complain_of_to_its_end(crew: Crew, world: World) -> None:
    log = (crew.ending or ended(crew, world)).log
    lines = [line for line in log.splitlines() if _COMPLAINTS.search(line) and not _LISTENER.search(line)]
    assert lines == [], log


# --- Greenlets -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slow_world() -> Iterator[World]:
    """A store that may be frozen, and a provider behind TLS, as real ones are."""
    if not own_redis_names():
        pytest.fail(NO_OWN_REDIS)
    store = open_redis(own_redis_names()[0])
    try:
        with world_of(store, tls=True) as world:
            yield world
    finally:
        store.close()


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file by which the provider is believed."""
    path = tmp_path_factory.mktemp("authorities") / "ca.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(trusting_tls().get_ca_certs(binary_form=True)[0]))
    return path


@pytest.fixture(scope="module", params=WITH_GREENLETS, ids=lambda variant: variant.name)
def greenlets(request: pytest.FixtureRequest, slow_world: World, authorities: Path) -> Iterator[Crew]:
    """One worker with many greenlets."""
    crew = Crew(request.param, slow_world.place, workers=1, **{AUTHORITIES_VARIABLE: str(authorities)})
    try:
        yield crew
    finally:
        crew.close()


def test_fifty_greenlets_that_come_first_and_at_once_are_answered_rightly(greenlets: Crew) -> None:
    check_crowds(greenlets, 50)


def test_greenlets_that_queue_for_a_slow_store_are_all_answered(greenlets: Crew, slow_world: World) -> None:
    asks = [Ask("/anything", [bearer(signed())]) for _ in range(50)]
    for _ in range(WAVES):
        slow_world.store.cli("CLIENT", "PAUSE", 100, "ALL")
        statuses = statuses_of(greenlets.asked(*asks))
        assert set(statuses) <= {200, 503}
        if statuses == {200: 50}:
            return
    pytest.fail("no wave was answered in time")


def test_greenlets_ask_the_provider_side_by_side(greenlets: Crew, slow_world: World) -> None:
    came = slow_world.provider.count()
    slow_world.registrar.may_answer.clear()
    asks = [Ask("/anything", [bearer(opaque())]) for _ in range(20)]
    with ThreadPoolExecutor(1) as pool:
        try:
            answers = pool.submit(greenlets.asked, *asks)
            slow_world.provider.wait_for_requests(came + len(asks))
            assert statuses_of(greenlets.asked(*[Ask(HEALTH)] * 10)) == {200: 10}
        finally:
            slow_world.registrar.may_answer.set()
    assert statuses_of(answers.result()) == {200: 20}


@pytest.mark.timed
def test_greenlets_are_served_while_others_wait_for_a_frozen_store(greenlets: Crew, slow_world: World) -> None:
    assert eventually(lambda: statuses_of(greenlets.asked(Ask("/anything", [bearer(signed())]))) == {200: 1})
    asks = [Ask("/anything", [bearer(signed())]) for _ in range(50)]
    slow_world.store.freeze()
    try:
        with ThreadPoolExecutor(1) as pool:
            checks = pool.submit(timed, lambda: greenlets.asked(*asks))
            health = [timed(lambda: greenlets.asked(Ask(HEALTH)))]
            while not checks.done():
                health.append(timed(lambda: greenlets.asked(Ask(HEALTH))))
    finally:
        slow_world.store.thaw()
    answers, seconds = checks.result()
    assert statuses_of(answers) == {503: 50}
    assert seconds < 1
    assert {answer.status for answered, _ in health for answer in answered} == {200}
    assert max(seconds for _, seconds in health) < 0.3


def timed(call: Callable[[], Sequence[Answer]]) -> tuple[Sequence[Answer], float]:
    """What a call gives, and how many seconds it took."""
    started = time.monotonic()
    return call(), time.monotonic() - started
