"""The log: one line for one thing, never a flood, and nothing in it that was sent (FAULTS.md)."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import re
import string
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

import bearerguard.asgi
from bearerguard import (
    AuthError,
    BearerguardError,
    InvalidToken,
    JwksKeys,
    MissingToken,
    SharedSecrets,
    SignedTokens,
    StoreUnavailable,
    TokenExpired,
    Unavailable,
    Verifier,
    journal,
    single_use,
)
from bearerguard.errors import REASONS
from bearerguard.events import TokenRefused
from bearerguard.journal import Allowance
from tests.doors import WORLDS, Ask, World, bearer
from tests.hostile import GOOD, Clock, claims, settings
from tests.minting import SECRET, mint
from tests.revoking import STEM, Desk, office_of, shop_settings, token
from tests.scripted_provider import ScriptedProvider, answer, status
from tests.scripted_redis import Command, scripted_redis
from tests.servers import RedisServer, free_port
from tests.store_calls import Flavour


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the log counts its seconds with; nothing has been said yet."""
    clock = Clock(1_000)
    monkeypatch.setattr(journal, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr(journal, "_allowances", {})
    return clock


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What all loggers have said, down to DEBUG; ours and everybody's."""
    with caplog.at_level(logging.DEBUG):
        yield lambda: [record.getMessage() for record in caplog.records]


# --- Never a flood ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked_at", "taken"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([5.0], [0], id="one"),
        pytest.param([5.0, 5.1, 5.2], [0, 0, 0], id="as many as may be"),
        pytest.param([5.0, 5.1, 5.2, 5.3], [0, 0, 0, None], id="one more"),
        pytest.param([5.0, 5.1, 5.2, 5.3, 5.4, 6.0], [0, 0, 0, None, None, 2], id="counted in the next second"),
        pytest.param([5.0, 5.1, 5.2, 5.3, 6.0, 6.1], [0, 0, 0, None, 1, 0], id="counted once"),
        pytest.param([5.0, 5.1, 5.2, 5.3, 99.0], [0, 0, 0, None, 1], id="counted whenever"),
        pytest.param([5.9, 5.9, 5.9, 6.0, 6.0, 6.0, 6.0], [0, 0, 0, 0, 0, 0, None], id="each second anew"),
        pytest.param([0.0, 0.5], [0, 0], id="the first second"),
    ],
)
def test_allows_some_lines_in_a_second_and_counts_the_others(asked_at: list[float], taken: list[int | None]) -> None:
    allowance = Allowance(3)
    assert [allowance.take(now) for now in asked_at] == taken


def test_counts_nearly_right_among_many_threads() -> None:
    allowance = Allowance(10)
    taken: list[int | None] = []
    threads = [threading.Thread(target=lambda: taken.extend(allowance.take(5.0) for _ in range(500))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept_back = allowance.take(6.0)
    assert taken.count(0) + taken.count(None) == 4000
    # Threads that meet may miscount by a line each; none of them is a flood.
    assert 10 <= taken.count(0) <= 10 + 8
    assert kept_back is not None
    assert 3000 < kept_back <= 3990


def say_refused(error: AuthError | Unavailable) -> None:
    """Let the log say that a request was refused."""
    journal.to_log(TokenRefused.of(error))


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_says_each_reason_by_its_word(reason: str, log: Callable[[], list[str]]) -> None:
    error = StoreUnavailable(reason) if "unavailable" in reason else InvalidToken(reason)
    say_refused(error)
    (line,) = log()
    assert line.startswith(f"refused {error.status} {reason}: ")
    assert "\n" not in line


def test_each_reason_has_an_allowance_of_its_own(log: Callable[[], list[str]], clock: Clock) -> None:
    for _ in range(50):
        say_refused(TokenExpired())
        say_refused(MissingToken())
    assert len(log()) == 20
    clock.now += 1
    say_refused(TokenExpired())
    assert log()[-1].endswith("(and 40 more like it)")
    say_refused(TokenExpired())
    assert "more like it" not in log()[-1]


def test_what_nobody_listens_to_is_not_counted(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    caplog.set_level(logging.ERROR)
    for _ in range(50):
        say_refused(TokenExpired())
    caplog.set_level(logging.DEBUG)
    say_refused(TokenExpired())
    assert [record.getMessage() for record in caplog.records] == ["refused 401 expired: the token has expired"]


def test_the_logger_is_ours_and_leaves_handlers_to_the_application() -> None:
    assert journal.logger.name == "bearerguard"
    assert journal.logger.handlers == []
    assert journal.logger.level == logging.NOTSET
    assert journal.logger.propagate


# --- What could not be asked -----------------------------------------------------------------------------------------

FAILED = re.compile(r"(?P<component>[a-z ]+) failed after (?P<seconds>\d+\.\d{3}) s: (?P<error>[A-Za-z]+)")


def failures(caplog: pytest.LogCaptureFixture, component: str) -> list[re.Match[str]]:
    """The lines about a component, each of which names it, how long it took and the class of the error."""
    lines = [record for record in caplog.records if record.getMessage().startswith(component)]
    assert {(line.name, line.levelname) for line in lines} <= {("bearerguard", "WARNING")}
    found = [FAILED.match(line.getMessage()) for line in lines]
    return [match for match in found if match is not None and match["component"] == component]


def test_a_store_that_cannot_be_asked_is_a_warning_each_second(
    flavour: Flavour, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    with office_of(f"redis://127.0.0.1:{free_port()}/0", flavour) as office:
        desk = office.desk()
        for _ in range(20):
            assert desk.verdict(token()) == "store_unavailable"
        assert len(failures(caplog, "store")) == 1
        clock.now += 1
        desk.verdict(token())
    first, second = failures(caplog, "store")
    assert first["error"] == "NotSent"
    assert second.string.endswith("(and 19 more like it)")


@pytest.mark.parametrize(
    "method", ["revoke_user", "revoke_tenant", "revoke_id", "revoke", "status"], ids=lambda method: str(method)
)
def test_a_revocation_that_was_not_done_is_a_warning(
    flavour: Flavour, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    held = Verifier(shop_settings(), clock=Clock()).verify(token())
    args: dict[str, Any] = {"revoke": held, "status": held}
    with office_of(f"redis://127.0.0.1:{free_port()}/0", flavour) as office, suppress(StoreUnavailable):
        options = {"until": 0} if method == "revoke_id" else {}
        getattr(office.desk().denylist, method)(args.get(method, "x"), **options)
    assert len(failures(caplog, "store")) == 1


@pytest.mark.parametrize("fault", ["kill", "flush"])
def test_a_one_time_token_that_could_not_be_claimed_is_a_warning(
    flavour: Flavour, own_redis_server: RedisServer, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    with office_of(own_redis_server.url, flavour) as office:
        outcome = office.desk().spend(token(), between=getattr(own_redis_server, fault))
    assert outcome in ("store_unavailable", "token_state_unknown")
    assert len(failures(caplog, "store")) == 1


@pytest.mark.parametrize("name", ["epoch", "d:6DzaJWUriFqLP6qvBCEhRCK3zc5KPhA3Q7MsDvxcJSI"])
def test_a_value_that_cannot_be_read_is_a_warning(
    flavour: Flavour, redis_server: RedisServer, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    redis_server.cli("SET", f"{STEM}{name}", "2|SECRET")
    with office_of(redis_server.url, flavour) as office:
        assert office.desk().verdict(token()) == "store_unreadable"
    assert len(failures(caplog, "store")) == 1
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize(
    "play", [status(500), answer(b"<html>SECRET"), answer(b'{"keys": "SECRET"}')], ids=["500", "HTML", "no keys"]
)
def test_a_key_set_that_cannot_be_fetched_is_a_warning(play: Any, caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedProvider(play) as provider:
        kind = settings(keys=JwksKeys(provider.url("/keys?SECRET")), algorithms=("RS256",))
        with Verifier(kind, clock=Clock()) as verifier:
            for _ in range(20):
                assert Desk(verifier, None).verdict(mint(claims(), headers={"alg": "RS256"})) == "keys_unavailable"
    assert len(failures(caplog, "key set")) == 1
    assert "SECRET" not in caplog.text


def test_a_rule_that_raises_is_an_error_that_names_it(log: Callable[[], list[str]]) -> None:
    def picky(_: object) -> bool:
        raise LookupError("SECRET")

    verifier = Verifier(settings(checks=(picky,)), clock=Clock())
    for _ in range(20):
        assert Desk(verifier, None).verdict(token()) == "rule_failed"
    lines = log()
    assert len(lines) == 10
    assert all("picky raised LookupError" in line and "SECRET" not in line for line in lines)


# --- At the doors ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    return WORLDS[request.param]


def test_a_503_at_a_door_is_one_warning_of_the_store_and_one_of_the_refusal(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    verifier = Verifier(shop_settings(), store=f"redis://127.0.0.1:{free_port()}/0", clock=Clock())
    answered = world(lambda: "done", verifier)(Ask(headers=[bearer(token())]))
    assert (answered.status, answered.header("retry-after")) == (503, "1")
    assert len(failures(caplog, "store")) == 1
    others = [line for line in caplog.messages if not line.startswith("store failed")]
    assert others == [f"refused 503 store_unavailable: {REASONS['store_unavailable']}"]


async def idle_socket(door: Any, text: str) -> None:
    """Hold a WebSocket open until it is closed."""
    told: list[str] = []
    arriving = iter([{"type": "websocket.connect"}])
    over = asyncio.Event()

    async def receive() -> Any:
        for message in arriving:
            return message
        await over.wait()
        return {"type": "websocket.disconnect"}

    async def send(message: Any) -> None:
        told.append(message["type"])
        if message["type"] == "websocket.close":
            over.set()

    headers = [(b"host", b"orders.example.com"), (b"authorization", f"Bearer {text}".encode())]
    scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": headers, "scheme": "ws"}
    await asyncio.wait_for(door(scope, receive, send), 10)
    assert told == ["websocket.accept", "websocket.close"]


async def stays_open(_: Any, receive: Any, send: Any) -> None:
    """An application that accepts a WebSocket and listens."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


def test_sockets_that_are_closed_together_are_no_flood(log: Callable[[], list[str]]) -> None:
    """A tenant is revoked who holds a hundred sockets open."""
    verifier = Verifier(shop_settings(), clock=Clock())
    door = bearerguard.asgi.SessionTokenMiddleware(stays_open, verifier, recheck_seconds=0.05)

    async def hold_and_revoke() -> None:
        sockets = [asyncio.ensure_future(idle_socket(door, token(jti=f"j{number}"))) for number in range(100)]
        await asyncio.sleep(0.02)
        await verifier.denylist.arevoke_tenant("str_1")
        await asyncio.gather(*sockets)

    asyncio.run(hold_and_revoke())
    lines = [line for line in log() if "revoked" in line]
    assert 1 <= len(lines) <= 10


# --- Nothing that was sent -------------------------------------------------------------------------------------------

MARK = "HuSh"


def hostile_tokens() -> Iterator[str]:
    """Tokens that break every rule, each with the mark in all that it says."""
    marked = {"jti": f"{MARK}-jti", "sub": f"{MARK}-sub", "tenant": f"{MARK}-tenant"}
    for changes in (
        {},
        {"exp": 1},
        {"exp": MARK},
        {"nbf": 9_000_000_000},
        {"iat": 9_000_000_000},
        {"aud": MARK},
        {"iss": MARK},
        {"iss": [MARK]},
        {"jti": MARK * 100},
        {"jti": [MARK]},
        {"sub": {MARK: MARK}},
        {"cnf": MARK},
        {"token_type": MARK},
        {"tenant": [MARK]},
        {"scope": [1, MARK]},
        {"exp": ...},
        {"aud": ...},
        {MARK: MARK},
        {f"{MARK}\n\x1b[31m": f"{MARK}\r\nforged line"},
    ):
        yield mint(claims({**marked, **changes}))
    whole = claims(marked)
    yield mint(whole, key=f"{MARK} a secret that is none of ours, ever")
    for headers in ({"kid": MARK}, {"alg": MARK}, {"typ": MARK}, {"crit": [MARK]}, {"jku": f"https://{MARK}"}):
        yield mint(whole, headers=headers)
    yield mint(b'{"a":"HuSh","a":"HuSh"}')
    yield mint(b"HuSh is no JSON")
    yield from (MARK, f"{MARK}.{MARK}", f"{MARK}.{MARK}.{MARK}", f"{MARK}\n.x.y", "\ud800HuSh", MARK * 5000)


def pieces_of(texts: Sequence[str]) -> set[str]:
    """Everything that a line could give away, as it was written or as base64url spells it."""
    words = {word for text in texts for word in re.split(r"[.\s]", text) if len(word) > 8}
    return {MARK, "SHVTaA", "h1c2g", "IdVNo", *words, SECRET, "ana", "str_1", "5f7c0f5e"}


def assert_keeps_quiet(caplog: pytest.LogCaptureFixture, texts: Sequence[str]) -> None:
    """No line of any logger says what was sent, in its text, its arguments or a traceback."""
    said = "\n".join(
        f"{record.getMessage()} {record.args!r} {record.exc_info!r} {record.exc_text!r}" for record in caplog.records
    )
    assert [piece for piece in pieces_of(texts) if piece in said] == []
    assert all(line.isprintable() for line in (record.getMessage() for record in caplog.records))


HOSTILE_KINDS: dict[str, Callable[[], SignedTokens]] = {
    "signed": shop_settings,
    "rules": lambda: shop_settings(rules={"a": "b"}, checks=(lambda values: values["none"] == 1,)),
    "rotation": lambda: shop_settings(keys=SharedSecrets(SECRET, SECRET[::-1])),
}


@pytest.mark.parametrize("kind", HOSTILE_KINDS)
def test_says_nothing_of_hostile_tokens_at_the_doors(world: World, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    caplog.set_level(logging.DEBUG)
    texts = [*hostile_tokens()]
    ask = world(single_use(lambda: "done"), Verifier(HOSTILE_KINDS[kind](), clock=Clock()))
    for text in [*texts, *texts]:
        with suppress(UnicodeEncodeError):
            text.encode("latin-1")
            ask(Ask(headers=[("Authorization", f"Bearer {text}".replace("\n", "\t"))]))
            ask(Ask(headers=[("Authorization", f"Basic {text}".replace("\n", "\t"))]))
    assert caplog.records
    assert_keeps_quiet(caplog, texts)


def random_answers() -> Callable[[Command], list[bytes]]:
    """A server that answers something else each time, and quotes what it was asked."""
    rng = random.Random(7)
    kinds: Sequence[Callable[[Command], bytes]] = (
        lambda command: b"-ERR unknown " + b" ".join(command).replace(b"\r\n", b" ")[:400] + b"\r\n",
        lambda command: b"$5\r\nHuSh!\r\n",
        lambda command: b"*%d\r\n" % (len(command) - 1) + b"$6\r\n2|HuSh\r\n" * (len(command) - 1),
        lambda command: b"*%d\r\n" % (len(command) - 1) + b"$-1\r\n" * (len(command) - 1),
        lambda command: b"?HuSh\r\n",
        lambda command: b":1\r\n",
    )
    return lambda command: [rng.choice(kinds)(command)]


def test_says_nothing_to_the_log_whatever_the_store_says(flavour: Flavour, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    numbers = itertools.count()
    with scripted_redis(random_answers()) as server:
        url = server.url.replace("redis://", f"redis://:{MARK}-password@")
        for where in (server.url, url):
            with office_of(where, flavour) as office:
                desk = office.desk()
                for _ in range(40):
                    desk.spend(token(jti=f"{MARK}{next(numbers)}", sub=f"{MARK}-sub"))
                    with suppress(BearerguardError):
                        desk.denylist.revoke_user(f"{MARK}-user")
    assert caplog.records
    assert_keeps_quiet(caplog, [])


def test_says_nothing_of_random_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    rng = random.Random(11)
    desk = Desk(Verifier(shop_settings(), clock=Clock()), None)
    texts = ["".join(rng.choices(string.printable + ".é\u2028", k=rng.randrange(9, 300))) for _ in range(500)]
    assert GOOD not in {desk.verdict(text) for text in texts}
    assert_keeps_quiet(caplog, texts)
