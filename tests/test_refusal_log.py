"""Refusals in the log: one line each with the reason word, nothing that was sent, and never a flood."""

from __future__ import annotations

import itertools
import logging
import traceback
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

import bearerguard.asgi
from bearerguard import (
    AuthError,
    SharedSecrets,
    Verifier,
    current_claims,
    requires_kind,
    requires_scope,
    requires_token,
    single_use,
)
from tests.doors import WORLDS, Ask, World, ask_asgi, bearer, filled
from tests.houses import COOKIE, NOBODY_LISTENS, QUERY, SECRET, TWO_KINDS, settings, token

SECONDS = itertools.count(1_000_000, 10)


class Clock:
    """The clock that the log counts its seconds with."""

    def __init__(self) -> None:
        self.now = float(next(SECONDS))

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A second of the test's own, so that other tests have said nothing in it."""
    clock = Clock()
    monkeypatch.setattr("bearerguard.journal.time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    return WORLDS[request.param]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What our logger has said."""
    with caplog.at_level(logging.DEBUG, "bearerguard"):
        yield lambda: [record.getMessage() for record in caplog.records if record.name.startswith("bearerguard")]


GOOD, BOTH = bearer("{good}"), {"carriers": (settings().carriers[0], COOKIE, QUERY)}
REFUSALS: dict[str, tuple[str, Ask, dict[str, Any]]] = {
    "no token": ("missing_token", Ask(), {}),
    "another scheme": ("missing_token", Ask(headers=[("Authorization", "Basic dXNlcjpwYXNzd29yZA==")]), {}),
    "two": ("several_credentials", Ask(headers=[GOOD, GOOD]), {}),
    "broken": ("malformed_credentials", Ask(headers=[("Authorization", "Bearer {good} {good}")]), {}),
    "expired": ("expired", Ask(headers=[bearer("{expired}")]), {}),
    "early": ("not_yet_valid", Ask(headers=[bearer("{early}")]), {}),
    "forged": ("bad_signature", Ask(headers=[bearer("{forged}")]), {}),
    "unsigned": ("malformed", Ask(headers=[bearer("{unsigned}")]), {}),
    "foreign": ("wrong_audience", Ask(headers=[bearer("{foreign}")]), {}),
    "stranger": ("wrong_issuer", Ask(headers=[bearer("{stranger}")]), {}),
    "nameless": ("missing_claim", Ask(headers=[bearer("{nameless}")]), {}),
    "heavy": ("too_large", Ask(headers=[bearer("{heavy}")]), {}),
    "rubbish": ("malformed", Ask(headers=[bearer("rubbish.and.more-rubbish-than-one-likes")]), {}),
    "a foreign page": ("foreign_origin", Ask(headers=[("Cookie", "session={good}")], method="POST"), BOTH),
    "no document": ("query_not_a_document", Ask("/?id_token={good}", method="POST"), BOTH),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_logs_a_refusal_once(world: World, log: Callable[[], list[str]], name: str) -> None:
    reason, ask, changes = REFUSALS[name]
    asked = filled(ask)
    assert world(lambda: "done", Verifier(settings(**changes)))(asked).status >= 400
    (line,) = log()
    assert reason in line
    assert "\n" not in line
    assert_says_nothing(line, asked)


def assert_says_nothing(text: str, ask: Ask) -> None:
    """Nothing that was sent, no part of a token, no secret."""
    sent = [word for _, value in (*ask.headers, ("", ask.query)) for word in value.replace("=", " ").split()]
    pieces = [piece for word in sent for piece in (word, *word.split(".")) if len(piece) > 12]
    hidden = [*pieces, SECRET, "elsewhere.example.com", "usr_7h3k9m2p"]
    assert not [piece for piece in hidden if piece in text]


def test_logs_nothing_of_requests_that_pass(world: World, log: Callable[[], list[str]]) -> None:
    ask = world(single_use(requires_scope("a")(lambda: current_claims().tenant)), optional=True, exempt=("/health",))
    assert ask(Ask(headers=[bearer(token(scope="a"))])).status == 200
    assert world(lambda: "done", optional=True)(Ask()).status == 200
    assert world(lambda: "done", exempt=("/health",))(Ask("/health")).status == 200
    assert log() == []


@pytest.mark.parametrize(
    ("guard", "reason"),
    [(requires_scope("a"), "insufficient_scope"), (requires_kind("other"), "wrong_kind")],
)
def test_logs_what_a_guard_refuses_once(world: World, log: Callable[[], list[str]], guard: Any, reason: str) -> None:
    text = token(scope="b")
    assert world(guard(lambda: "done"))(Ask(headers=[bearer(text)])).status == 403
    (line,) = log()
    assert reason in line
    assert_says_nothing(line, Ask(headers=[bearer(text)]))


def test_logs_what_a_guard_refuses_to_nobody_once(world: World, log: Callable[[], list[str]]) -> None:
    assert world(requires_token(lambda: "done"), optional=True)(Ask()).status == 401
    (line,) = log()
    assert "missing_token" in line


def test_logs_a_replay_and_a_revocation_once(world: World, log: Callable[[], list[str]]) -> None:
    verifier, same = Verifier(settings()), Ask(headers=[bearer(token(jti="a-raw-jti-of-its-own"))])
    ask = world(single_use(lambda: "done"), verifier)
    assert [ask(same).status for _ in range(2)] == [200, 401]
    verifier.denylist.revoke_user("usr_7h3k9m2p")
    assert ask(same).status == 401
    replayed, revoked = log()
    assert "replayed" in replayed
    assert "revoked" in revoked
    assert "a-raw-jti-of-its-own" not in replayed + revoked


def test_logs_what_a_view_finds_out_once(world: World, log: Callable[[], list[str]]) -> None:
    verifier = Verifier(settings())
    ask = world(lambda: verifier.verify("abc.def.ghi").to_dict(), verifier, optional=True)
    assert ask(Ask()).status == 401
    (line,) = log()
    assert "malformed" in line


def test_logs_once_what_fastapi_asks_twice(log: Callable[[], list[str]]) -> None:
    app = FastAPI()
    app.add_middleware(bearerguard.asgi.SessionTokenMiddleware, verifier=Verifier(settings()))
    app.add_api_route("/", requires_scope("a")(lambda: "done"))
    assert ask_asgi(app, Ask(headers=[bearer(token())])).status == 403
    assert len(log()) == 1


def test_logs_which_kind_refused(world: World, log: Callable[[], list[str]]) -> None:
    ask = world(lambda: "done", Verifier(*TWO_KINDS))
    assert ask(filled(Ask(headers=[bearer("{expired}")]))).status == 401
    (line,) = log()
    assert "platform.session" in line


def test_logs_that_a_store_could_not_be_asked(world: World, log: Callable[[], list[str]]) -> None:
    asked = filled(Ask(headers=[GOOD]))
    assert world(lambda: "done", Verifier(settings(), store=NOBODY_LISTENS))(asked).status == 503
    assert [line for line in log() if "store_unavailable" in line]
    for line in log():
        assert_says_nothing(line, asked)


def test_warns_of_bad_tokens_and_not_of_missing_ones(world: World, caplog: pytest.LogCaptureFixture) -> None:
    ask = world(lambda: "done")
    with caplog.at_level(logging.DEBUG, "bearerguard"):
        ask(Ask())
        ask(Ask(headers=[bearer("abc")]))
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.WARNING]


def test_logs_ten_lines_of_a_reason_in_a_second(world: World, log: Callable[[], list[str]], clock: Clock) -> None:
    ask = world(lambda: "done")
    for _ in range(60):
        ask(Ask(headers=[bearer("abc")]))
    assert len(log()) == 10
    for _ in range(15):
        ask(Ask())
    assert len(log()) == 20
    clock.now += 1
    ask(Ask(headers=[bearer("abc")]))
    assert len(log()) == 21
    assert "50 more" in log()[-1]
    ask(Ask(headers=[bearer("abc")]))
    assert "more" not in log()[-1]


def test_says_nothing_in_its_exceptions() -> None:
    verifier = Verifier(
        settings(), settings(name="second", issuer="https://b.example", keys=SharedSecrets(SECRET + "2"))
    )
    for name in ("expired", "forged", "foreign", "stranger", "unsigned", "heavy", "early"):
        asked = filled(Ask(headers=[bearer(f"{{{name}}}")]))
        with pytest.raises(AuthError) as refused:
            verifier.verify(asked.headers[0][1].split()[1])
        error = refused.value
        shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)) + str(error.args)
        assert_says_nothing(shown + error.challenge() + repr(error.headers()) + repr(error.body()), asked)


def test_says_nothing_in_its_reprs() -> None:
    verifier = Verifier(settings())
    text = token()
    claims = verifier.verify(text)
    shown = (
        repr(verifier) + repr(claims) + str(claims) + repr(settings()) + repr(verifier.kinds) + repr(verifier.denylist)
    )
    assert_says_nothing(shown, Ask(headers=[bearer(text)]))
