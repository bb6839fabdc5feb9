"""Opaque tokens: what is asked, which answers are believed, and what is said when there is none."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import pytest

from bearerguard import (
    UNCHECKED,
    AuthError,
    IfPresent,
    InvalidToken,
    ProviderUnavailable,
    SettingsError,
    SharedSecrets,
    TokenExpired,
    Unavailable,
)
from bearerguard.carriers import Cookie, Header
from bearerguard.core.verification import Verification
from bearerguard.settings import OpaqueTokens
from tests.hostile import AUDIENCE, GOOD, ISSUER, NOW
from tests.introspecting import (
    CLIENT_ID,
    CLIENT_SECRET,
    ENDPOINT,
    OLD_CLIENT_SECRET,
    Court,
    Judge,
    court_of,
    facts,
    fresh,
    inactive,
    says,
)
from tests.minting import mint
from tests.scripted_provider import (
    Line,
    Play,
    Request,
    ScriptedProvider,
    answer,
    chunked,
    dripped_body,
    dripped_headers,
    gzipped,
    hang_up,
    html,
    in_turn,
    json_answer,
    raw,
    redirect,
    reset,
    silent,
    status,
    truncated,
    unreachable,
    when,
)
from tests.store_calls import Flavour

UNAVAILABLE = "provider_unavailable"
DEADLINE = 2.0


@pytest.fixture
def court(flavour: Flavour) -> Iterator[Court]:
    """A provider that calls every token good, and judges of that flavour."""
    with court_of(says(), flavour) as court:
        yield court


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[int], list[str]]]:
    """What was said at a level; all that any logger says down to DEBUG is in `caplog.text`."""
    with caplog.at_level(logging.DEBUG):
        yield lambda level: [
            line.getMessage() for line in caplog.records if line.levelno == level and line.name == "bearerguard"
        ]


def told_by(error: BaseException | None) -> str:
    """All that an error says of itself and of its causes."""
    told = ""
    while error is not None:
        told += f"{error} {error!r} {error.args} "
        told += f"{error.body()} {error.headers()} " if isinstance(error, (AuthError, Unavailable)) else ""
        error = error.__cause__ or error.__context__
    return told


# --- Active, and nothing else ----------------------------------------------------------------------------------------


def test_takes_a_token_that_the_provider_calls_active(court: Court) -> None:
    accepted = court.judge(name="shop.access", tenant="tenant", user="sub").verify(fresh())
    assert (accepted.kind, accepted.user, accepted.tenant) == ("shop.access", "ana", None)
    assert accepted["iss"] == ISSUER
    assert "active" not in accepted
    assert accepted.expires_at == NOW + 300


def test_refuses_an_inactive_token_and_asks_again(court: Court) -> None:
    court.provider.play(ENDPOINT, inactive)
    judge, token = court.judge(), fresh()
    for asked in (1, 2, 3):
        refusal = judge.refusal(token)
        assert isinstance(refusal, InvalidToken)
        assert (refusal.status, refusal.reason, refusal.error, refusal.kind) == (
            401,
            "inactive",
            "invalid_token",
            "opaque",
        )
        assert court.asked == asked
    court.provider.play(ENDPOINT, says())
    assert judge.verdict(token) == GOOD


@pytest.mark.parametrize(
    "said",
    [
        {"active": False, **facts(active=...)},
        {"active": False, "exp": "soon", "aud": 5},
        {"active": False, "active_": True},
    ],
    ids=["with claims", "with odd claims", "with more words"],
)
def test_refuses_what_is_inactive_whatever_else_is_said(court: Court, said: dict[str, Any]) -> None:
    court.provider.play(ENDPOINT, json_answer(said))
    assert court.judge().verdict(fresh()) == "inactive"


WHOLE = json.dumps(facts()).encode()
DEEP = b"[" * 9_000 + b"]" * 9_000
NO_ANSWERS = {
    "active: 'true'": says(active="true"),
    "active: 'True'": says(active="True"),
    "active: 1": says(active=1),
    "active: 1.0": says(active=1.0),
    "active: 'false'": says(active="false"),
    "active: 0": says(active=0),
    "active: null": says(active=None),
    "active: {}": says(active={}),
    "active: [true]": says(active=[True]),
    "no active": says(active=...),
    "Active": json_answer({"Active": True, **facts(active=...)}),
    "active twice": answer(WHOLE[:-1] + b',"active":true}'),
    "active twice, first not": answer(b'{"active":false,' + WHOLE[1:]),
    "active twice, escaped": answer(WHOLE[:-1] + b',"\\u0061ctive":false}'),
    "a name twice": answer(WHOLE[:-1] + b',"sub":"eve"}'),
    "a name twice, deeper": answer(WHOLE[:-1] + b',"x":{"a":1,"a":2}}'),
    "a list": json_answer([facts()]),
    "true": json_answer(True),
    "null": json_answer(None),
    "a text": json_answer(json.dumps(facts())),
    "nothing": answer(b""),
    "an empty object": json_answer({}),
    "html": html(),
    "html with a good end": answer(b"<html>" + WHOLE),
    "twice": answer(WHOLE * 2),
    "more behind it": answer(WHOLE + b"x"),
    "cut short": answer(WHOLE[:-1]),
    "truncated": truncated(WHOLE),
    "a comment": answer(WHOLE[:-1] + b"/**/}"),
    "a comma more": answer(WHOLE[:-1] + b",}"),
    "single quotes": answer(WHOLE.replace(b'"', b"'")),
    "NaN": answer(WHOLE[:-1] + b',"x":NaN}'),
    "Infinity": answer(WHOLE[:-1] + b',"x":Infinity}'),
    "-Infinity": answer(WHOLE[:-1] + b',"x":-Infinity}'),
    "1e999": answer(WHOLE[:-1] + b',"x":1e999}'),
    "a number of 9000 digits": answer(WHOLE[:-1] + b',"x":' + b"9" * 9_000 + b"}"),
    "deep": answer(WHOLE[:-1] + b',"x":' + DEEP + b"}"),
    "a little too deep": answer(WHOLE[:-1] + b',"x":' + b"[" * 33 + b"]" * 33 + b"}"),
    "deep and unfinished": answer(b'{"active":true,"x":' + b"[" * 50_000),
    "a BOM": answer(b"\xef\xbb\xbf" + WHOLE),
    "UTF-16": answer(WHOLE.decode().encode("utf-16")),
    "UTF-32": answer(WHOLE.decode().encode("utf-32-le")),
    "no UTF-8": answer(WHOLE[:-1] + b',"x":"\xff"}'),
    "an overlong letter": answer(WHOLE[:-1] + b',"x":"\xc0\xaf"}'),
    "a lone surrogate": answer(WHOLE[:-1] + b',"x":"\\ud800"}'),
    "201": answer(WHOLE, 201),
    "204": answer(b"", 204),
    "206": answer(WHOLE, 206),
    "302": redirect(ENDPOINT),
    "302 with a good body": answer(WHOLE, 302, {"location": "/other"}),
    "307": answer(b"", 307, {"location": "/other"}),
    "308": answer(b"", 308, {"location": "/other"}),
    "304": answer(b"", 304),
    "400": answer(WHOLE, 400),
    "400 invalid_request": json_answer({"error": "invalid_request"}, 400),
    "404": answer(WHOLE, 404),
    "405": status(405),
    "429": status(429),
    "500": answer(WHOLE, 500),
    "500, inactive": json_answer({"active": False}, 500),
    "503": status(503),
    "599": answer(WHOLE, 599),
    "compressed": gzipped(WHOLE),
    "said to be compressed": answer(WHOLE, headers={"content-encoding": "br"}),
    "100 MB": answer(WHOLE + b" " * 100_000_000),
    "100 MB, in chunks": chunked(100_000_000),
    "100 MB, promised": raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n" + WHOLE),
    "a little too large": answer(WHOLE + b" " * 65_536),
    "no HTTP": raw(b"hello\r\n\r\n"),
    "a wrong length": raw(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n" + WHOLE),
    "a hundred headers too large": raw(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000 + b"\r\n\r\n" + WHOLE),
    "gone": hang_up,
    "reset": reset,
    "silent": silent,
    "a dripping head": dripped_headers(),
    "a dripping body": dripped_body(),
}


@pytest.mark.timed
@pytest.mark.parametrize("name", NO_ANSWERS)
def test_says_that_it_could_not_find_out(flavour: Flavour, name: str, log: Callable[[int], list[str]]) -> None:
    with court_of(NO_ANSWERS[name], flavour) as court:
        court.provider.play("/other", says())
        judge, token = court.judge(deadline=0.3), fresh()
        started = time.perf_counter()
        refusal = judge.refusal(token)
        assert time.perf_counter() - started < 2 * 0.3
        assert type(refusal) is ProviderUnavailable
        assert (refusal.status, refusal.reason) == (503, UNAVAILABLE)
        assert 1 <= int(refusal.headers()["Retry-After"]) <= 5
        assert refusal.headers()["Cache-Control"] == "no-store"
        assert "WWW-Authenticate" not in refusal.headers()
        assert token not in told_by(refusal)
        assert court.provider.count("/other") == 0
        (line,) = log(logging.WARNING)
        assert "introspection of opaque" in line
        assert not log(logging.ERROR)
        court.monotonic.now += 31
        court.provider.play(ENDPOINT, says())
        assert judge.verdict(token) == GOOD


@pytest.mark.timed
def test_waits_for_two_seconds_at_most(flavour: Flavour) -> None:
    with court_of(dripped_body(), flavour) as court:
        started = time.perf_counter()
        assert court.judge(real_time=True).verdict(fresh()) == UNAVAILABLE
        assert time.perf_counter() - started < 2 * DEADLINE


@pytest.mark.timed
def test_says_so_when_nobody_listens(court: Court) -> None:
    judge, seen = court.judge(), fresh()
    assert judge.verdict(seen) == GOOD
    court.provider.refuse()
    started = time.perf_counter()
    assert judge.verdict(fresh()) == UNAVAILABLE
    assert time.perf_counter() - started < 2 * 0.5
    assert judge.verdict(seen) == GOOD
    court.provider.listen()
    assert judge.verdict(fresh()) == GOOD


@pytest.mark.timed
def test_says_so_when_nobody_takes_the_connection(court: Court) -> None:
    with unreachable() as url:
        started = time.perf_counter()
        assert court.judge(introspection_endpoint=url, deadline=0.3).verdict(fresh()) == UNAVAILABLE
        assert time.perf_counter() - started < 2 * 0.3


@pytest.mark.parametrize(
    ("body", "token"),
    [
        pytest.param(b'{"active": true, "x": "%b\xff"}', "token-that-nobody-may-read-01", id="no UTF-8"),
        pytest.param(b"<html>%b</html>", "token-that-nobody-may-read-02", id="html"),
        pytest.param(b'{"active": true, "x": "%b', "token-that-nobody-may-read-03", id="an open text"),
        pytest.param(b'{"active": true, "%b": 1, "%b": 2}', "token-that-nobody-may-read-04", id="a name twice"),
        pytest.param(b'{"active": "%b"}', "token-that-nobody-may-read-05", id="as active"),
    ],
)
def test_tells_nobody_what_an_answer_says_that_it_cannot_read(
    court: Court, body: bytes, token: str, log: Callable[[int], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    court.provider.play(ENDPOINT, answer(body.replace(b"%b", token.encode())))
    refusal = court.judge().refusal(token)
    assert type(refusal) is ProviderUnavailable
    assert token not in told_by(refusal)
    assert token not in caplog.text


# --- Left alone for a while ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "retry_after", "seconds"),
    [
        pytest.param(429, "5", 5, id="429, five seconds"),
        pytest.param(429, " 5 ", 5, id="429, five seconds and spaces"),
        pytest.param(429, "30", 30, id="429, half a minute"),
        pytest.param(429, "31", 30, id="429, more than half a minute"),
        pytest.param(429, "86400", 30, id="429, a day"),
        pytest.param(429, "9" * 5_000, 30, id="429, for ever"),
        pytest.param(429, "0", 1, id="429, not at all"),
        pytest.param(429, None, 1, id="429, nothing said"),
        pytest.param(429, "soon", 1, id="429, soon"),
        pytest.param(429, "-5", 1, id="429, a time ago"),
        pytest.param(429, "1e9", 1, id="429, as a float"),
        pytest.param(429, "\u0665", 1, id="429, an Arabic five"),
        pytest.param(429, "Wed, 21 Oct 2037 07:28:00 GMT", 1, id="429, a date"),
        pytest.param(503, "5", 5, id="503, five seconds"),
        pytest.param(503, "3600", 30, id="503, an hour"),
        pytest.param(503, None, 0, id="503, nothing said"),
        pytest.param(500, "5", 0, id="500, five seconds"),
        pytest.param(200, "5", 0, id="200, five seconds"),
    ],
)
def test_leaves_a_busy_provider_alone(court: Court, code: int, retry_after: str | None, seconds: float) -> None:
    judge, seen = court.judge(), fresh()
    assert judge.verdict(seen) == GOOD
    headers = b"" if retry_after is None else b"retry-after: " + retry_after.encode() + b"\r\n"
    busy = raw(b"HTTP/1.1 %d Busy\r\nconnection: close\r\n%bcontent-length: 2\r\n\r\n{}" % (code, headers))
    court.provider.play(ENDPOINT, in_turn(busy, says()))
    assert judge.verdict(fresh()) == UNAVAILABLE
    if seconds:
        for age in (0.0, seconds / 2, seconds - 0.01):
            court.monotonic.now = 1_000 + age
            assert judge.verdict(fresh()) == UNAVAILABLE
            assert judge.verdict(seen) == GOOD
        assert court.asked == 2
    court.monotonic.now = 1_000 + seconds
    assert judge.verdict(fresh()) == GOOD
    assert court.asked == 3


def test_leaves_a_busy_provider_alone_whatever_the_wall_clock_does(court: Court) -> None:
    court.provider.play(ENDPOINT, in_turn(status(429, {"retry-after": "20"}), says(exp=NOW + 9_999)))
    judge = court.judge()
    assert judge.verdict(fresh()) == UNAVAILABLE
    for step in (3_600, -3_600):
        court.clock.now = NOW + step
        assert judge.verdict(fresh()) == UNAVAILABLE
    assert court.asked == 1


def test_leaves_a_busy_provider_alone_although_an_earlier_question_is_answered_later(court: Court) -> None:
    asked_first, may_answer = threading.Event(), threading.Event()
    judge, first, second = court.judge(), fresh("first"), fresh("second")

    def play(line: Line) -> None:
        token = line.request.form["token"]
        if token == first:
            asked_first.set()
            when(may_answer, says())(line)
        elif token == second:
            status(429, {"retry-after": "20"})(line)
        else:
            says()(line)

    def busy_then_answered() -> str:
        assert asked_first.wait(5)
        verdict = other.verdict(second)
        may_answer.set()
        return verdict

    court.provider.play(ENDPOINT, play)
    # One verifier; the second question comes in blocking code, while the first is under way in either flavour.
    other = Judge(judge.itself, None)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(busy_then_answered)
        assert judge.verdict(first) == GOOD
        assert late.result() == UNAVAILABLE
    assert (judge.verdict(fresh()), court.asked) == (UNAVAILABLE, 2)
    other.close()


# --- Claims ----------------------------------------------------------------------------------------------------------

FAR = 10**400
ROWS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("exp now", {"exp": NOW}, {}, "expired"),
    ("exp a second ago", {"exp": NOW - 1}, {}, "expired"),
    ("exp in a second", {"exp": NOW + 1}, {}, GOOD),
    ("exp in half a second", {"exp": NOW + 0.5}, {}, "expired"),
    ("exp in a second and a half", {"exp": NOW + 1.5}, {}, GOOD),
    ("exp now, leeway", {"exp": NOW}, {"leeway": 10}, GOOD),
    ("exp nine seconds ago, leeway", {"exp": NOW - 9}, {"leeway": 10}, GOOD),
    ("exp ten seconds ago, leeway", {"exp": NOW - 10}, {"leeway": 10}, "expired"),
    ("no exp", {"exp": ...}, {}, GOOD),
    ("exp 0", {"exp": 0}, {}, "expired"),
    ("exp 0, leeway", {"exp": 0}, {"leeway": 300}, "expired"),
    ("exp below 0", {"exp": -1}, {}, "bad_claim"),
    ("exp null", {"exp": None}, {}, "bad_claim"),
    ("exp a text", {"exp": str(NOW + 300)}, {}, "bad_claim"),
    ("exp true", {"exp": True}, {}, "bad_claim"),
    ("exp a list", {"exp": [NOW + 300]}, {}, "bad_claim"),
    ("exp an object", {"exp": {}}, {}, "bad_claim"),
    ("exp in milliseconds", {"exp": (NOW + 300) * 1000}, {}, "bad_claim"),
    ("exp far", {"exp": FAR}, {}, "bad_claim"),
    ("exp 1e308", {"exp": 1e308}, {}, "bad_claim"),
    ("exp in the year 9999", {"exp": 253_402_300_799}, {}, GOOD),
    ("nbf now", {"nbf": NOW}, {}, GOOD),
    ("nbf in a second", {"nbf": NOW + 1}, {}, "not_yet_valid"),
    ("nbf in ten seconds, leeway", {"nbf": NOW + 10}, {"leeway": 10}, GOOD),
    ("nbf in eleven seconds, leeway", {"nbf": NOW + 11}, {"leeway": 10}, "not_yet_valid"),
    ("nbf null", {"nbf": None}, {}, "bad_claim"),
    ("nbf a text", {"nbf": "0"}, {}, "bad_claim"),
    ("nbf false", {"nbf": False}, {}, "bad_claim"),
    ("nbf far", {"nbf": FAR}, {}, "bad_claim"),
    ("iat in an hour", {"iat": NOW + 3_600}, {}, GOOD),
    ("no iat", {"iat": ...}, {}, GOOD),
    ("iat a text", {"iat": "0"}, {}, "bad_claim"),
    ("iat true", {"iat": True}, {}, "bad_claim"),
    ("iat null", {"iat": None}, {}, "bad_claim"),
    ("iat far", {"iat": FAR}, {}, "bad_claim"),
    ("iat a list", {"iat": []}, {}, "bad_claim"),
    ("no iss", {"iss": ...}, {}, GOOD),
    ("iss null", {"iss": None}, {}, GOOD),
    ("iss with a slash", {"iss": ISSUER + "/"}, {}, "wrong_issuer"),
    ("iss in capitals", {"iss": ISSUER.upper()}, {}, "wrong_issuer"),
    ("iss another", {"iss": "https://id.example.org"}, {}, "wrong_issuer"),
    ("iss empty", {"iss": ""}, {}, "missing_claim"),
    ("iss a list", {"iss": [ISSUER]}, {}, "wrong_issuer"),
    ("iss a number", {"iss": 5}, {}, "wrong_issuer"),
    ("iss an object", {"iss": {}}, {}, "missing_claim"),
    ("iss anybody's", {"iss": "https://id.example.org"}, {"issuer": UNCHECKED}, GOOD),
    ("iss nobody's", {"iss": ...}, {"issuer": UNCHECKED}, GOOD),
    ("iss anybody's and no text", {"iss": [5]}, {"issuer": UNCHECKED}, "bad_claim"),
    ("no aud", {"aud": ...}, {}, "missing_claim"),
    ("aud null", {"aud": None}, {}, "missing_claim"),
    ("aud empty", {"aud": ""}, {}, "missing_claim"),
    ("aud of nobody", {"aud": []}, {}, "missing_claim"),
    ("aud another", {"aud": "https://other.example.com"}, {}, "wrong_audience"),
    ("aud longer", {"aud": AUDIENCE + "/"}, {}, "wrong_audience"),
    ("aud a list", {"aud": [AUDIENCE]}, {}, GOOD),
    ("aud a list of several", {"aud": ["https://other.example.com", AUDIENCE]}, {}, GOOD),
    ("aud a list of others", {"aud": ["https://other.example.com"]}, {}, "wrong_audience"),
    ("aud a list with a number", {"aud": [AUDIENCE, 5]}, {}, "bad_claim"),
    ("aud a list in a list", {"aud": [[AUDIENCE]]}, {}, "bad_claim"),
    ("aud a list of one empty", {"aud": [""]}, {}, "wrong_audience"),
    ("aud a number", {"aud": 5}, {}, "wrong_audience"),
    ("aud true", {"aud": True}, {}, "wrong_audience"),
    ("aud an object", {"aud": {AUDIENCE: 1}}, {}, "wrong_audience"),
    ("aud anybody", {"aud": "https://other.example.com"}, {"audience": UNCHECKED}, GOOD),
    ("aud nobody, unchecked", {"aud": ...}, {"audience": UNCHECKED}, GOOD),
    ("aud one of a set", {}, {"audience": {AUDIENCE, "x"}}, GOOD),
    ("aud none of a set", {}, {"audience": {"x", "y"}}, "wrong_audience"),
    ("aud absent, if present", {"aud": ...}, {"audience": IfPresent(AUDIENCE)}, GOOD),
    ("aud another, if present", {"aud": "x"}, {"audience": IfPresent(AUDIENCE)}, "wrong_audience"),
    ("client one of those", {"client_id": "web"}, {"clients": {"web", "pos"}}, GOOD),
    ("client none of those", {"client_id": "eve"}, {"clients": {"web"}}, "wrong_audience"),
    ("client in capitals", {"client_id": "WEB"}, {"clients": {"web"}}, "wrong_audience"),
    ("client a part", {"client_id": "we"}, {"clients": {"web"}}, "wrong_audience"),
    ("no client", {}, {"clients": {"web"}}, "wrong_audience"),
    ("client null", {"client_id": None}, {"clients": {"web"}}, "wrong_audience"),
    ("client empty", {"client_id": ""}, {"clients": {"web"}}, "wrong_audience"),
    ("client a number", {"client_id": 5}, {"clients": {"web"}}, "wrong_audience"),
    ("client a list", {"client_id": ["web"]}, {"clients": {"web"}}, "wrong_audience"),
    ("client an object", {"client_id": {"web": 1}}, {"clients": {"web"}}, "wrong_audience"),
    ("client in azp", {"azp": "web"}, {"clients": {"web"}}, "wrong_audience"),
    ("client right and aud wrong", {"client_id": "web", "aud": "x"}, {"clients": {"web"}}, "wrong_audience"),
    (
        "client right, aud unchecked",
        {"client_id": "web", "aud": ...},
        {"clients": {"web"}, "audience": UNCHECKED},
        GOOD,
    ),
    (
        "client wrong, aud unchecked",
        {"client_id": "eve"},
        {"clients": {"web"}, "audience": UNCHECKED},
        "wrong_audience",
    ),
    ("type bearer", {"token_type": "bearer"}, {}, GOOD),
    ("type BEARER", {"token_type": "BEARER"}, {}, GOOD),
    ("type refresh", {"token_type": "refresh_token"}, {}, "sender_constrained"),
    ("type access_token", {"token_type": "access_token"}, {}, "sender_constrained"),
    ("type DPoP", {"token_type": "DPoP"}, {}, "sender_constrained"),
    ("type mac", {"token_type": "mac"}, {}, "sender_constrained"),
    ("type N_A", {"token_type": "N_A"}, {}, "sender_constrained"),
    ("type empty", {"token_type": ""}, {}, "sender_constrained"),
    ("type null", {"token_type": None}, {}, "sender_constrained"),
    ("type a list", {"token_type": ["Bearer"]}, {}, "sender_constrained"),
    ("use access", {"token_use": "access"}, {}, GOOD),
    ("use access_token", {"token_use": "access_token"}, {}, GOOD),
    ("use id", {"token_use": "id"}, {}, "other_token_type"),
    ("use refresh", {"token_use": "refresh"}, {}, "other_token_type"),
    ("use refresh_token", {"token_use": "refresh_token"}, {}, "other_token_type"),
    ("use empty", {"token_use": ""}, {}, "other_token_type"),
    ("use null", {"token_use": None}, {}, "other_token_type"),
    ("use true", {"token_use": True}, {}, "other_token_type"),
    ("use a list", {"token_use": ["access"]}, {}, "other_token_type"),
    ("use an object", {"token_use": {"access": 1}}, {}, "other_token_type"),
    ("typ Bearer", {"typ": "Bearer"}, {}, GOOD),
    ("typ ID", {"typ": "ID"}, {}, "other_token_type"),
    ("typ Refresh", {"typ": "Refresh"}, {}, "other_token_type"),
    ("typ Offline", {"typ": "Offline"}, {}, "other_token_type"),
    ("typ Logout", {"typ": "Logout"}, {}, "other_token_type"),
    ("typ a list", {"typ": ["ID"]}, {}, GOOD),
    ("at_hash", {"at_hash": "x"}, {}, "other_token_type"),
    ("c_hash", {"c_hash": None}, {}, "other_token_type"),
    ("cnf", {"cnf": {"x5t#S256": "x"}}, {}, "sender_constrained"),
    ("cnf null", {"cnf": None}, {}, "sender_constrained"),
    ("cnf empty", {"cnf": {}}, {}, "sender_constrained"),
    ("no jti", {"jti": ...}, {}, GOOD),
    ("jti null", {"jti": None}, {}, "bad_claim"),
    ("jti empty", {"jti": ""}, {}, "bad_claim"),
    ("jti a number", {"jti": 5}, {}, "bad_claim"),
    ("jti a list", {"jti": ["x"]}, {}, "bad_claim"),
    ("jti of 256", {"jti": "x" * 256}, {}, GOOD),
    ("jti of 257", {"jti": "x" * 257}, {}, "bad_claim"),
    ("sub null", {"sub": None}, {}, "bad_claim"),
    ("sub a number", {"sub": 5}, {}, "bad_claim"),
    ("no sub", {"sub": ...}, {}, GOOD),
    ("scope a number", {"scope": 5}, {}, "bad_claim"),
    ("scope true", {"scope": True}, {}, "bad_claim"),
    ("scope an object", {"scope": {"admin": True}}, {}, "bad_claim"),
    ("scope a list with a number", {"scope": ["read", 5]}, {}, "bad_claim"),
    ("scope a list in a list", {"scope": [["read"]]}, {}, "bad_claim"),
    ("scope null", {"scope": None}, {}, GOOD),
    ("user a number", {"uid": 5}, {"user": "uid"}, "bad_claim"),
    ("tenant a list", {"org": ["x"]}, {"tenant": "org"}, "bad_claim"),
    ("a rule kept", {"plan": "gold"}, {"rules": {"plan": "gold"}}, GOOD),
    ("a rule broken", {"plan": "free"}, {"rules": {"plan": "gold"}}, "rule_failed"),
    ("a check that returns 1", {}, {"checks": [lambda values: 1]}, "rule_failed"),
    ("a check that raises", {}, {"checks": [lambda values: values["x"]]}, "rule_failed"),
    ("a check each time", {}, {"each_time": [lambda values: False]}, "rule_failed"),
]


@pytest.mark.parametrize(("said", "settings", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_judges_what_the_provider_says(
    court: Court, said: dict[str, Any], settings: dict[str, Any], expected: str
) -> None:
    court.provider.play(ENDPOINT, says(**said))
    judge, token = court.judge(**settings), fresh()
    for _ in range(2):
        refusal = judge.refusal(token)
        assert (GOOD if refusal is None else refusal.reason) == expected
        assert refusal is None or refusal.status == 401


@pytest.mark.parametrize(
    ("said", "settings", "scopes"),
    [
        ({"scope": "read write"}, {}, {"read", "write"}),
        ({"scope": ""}, {}, set()),
        ({"scope": " read  read "}, {}, {"read"}),
        ({"scope": ["read", "write"]}, {}, {"read", "write"}),
        ({"scopes": ["read"]}, {}, {"read"}),
        ({"scope": None, "scopes": ["admin"]}, {}, set()),
        ({"scope": "read", "scp": "admin"}, {}, {"read"}),
        ({"scope": "admin", "scp": ["read"]}, {"scopes": "scp"}, {"read"}),
        ({}, {}, set()),
    ],
)
def test_takes_the_scopes_from_the_answer(
    court: Court, said: dict[str, Any], settings: dict[str, Any], scopes: set[str]
) -> None:
    court.provider.play(ENDPOINT, says(**said))
    judge, token = court.judge(**settings), fresh()
    for _ in range(2):
        assert judge.verify(token).scopes == scopes


def test_takes_the_asked_issuer_where_none_is_named(court: Court) -> None:
    court.provider.play(ENDPOINT, says(iss=...))
    assert court.judge().verify(fresh()).issuer == ISSUER
    assert court.judge(issuer=UNCHECKED).verify(fresh()).issuer is None


def test_never_takes_a_token_after_its_end(court: Court) -> None:
    court.provider.play(ENDPOINT, says(exp=NOW + 20))
    for leeway in (0, 15):
        court.clock.now = NOW
        judge, token = court.judge(leeway=leeway), fresh()
        assert judge.verdict(token) == GOOD
        court.clock.now = NOW + 19.999 + leeway
        assert judge.verdict(token) == GOOD
        court.clock.now = NOW + 20 + leeway
        refusal = judge.refusal(token)
        assert type(refusal) is TokenExpired
        court.clock.now = NOW + 3_600
        assert judge.verdict(token) == "expired"


def test_counts_the_seconds_that_the_answer_took(court: Court) -> None:
    def dawdling(line: Line) -> None:
        court.clock.now += 2
        says(exp=NOW + 1)(line)

    court.provider.play(ENDPOINT, dawdling)
    assert court.judge().verdict(fresh()) == "expired"


@pytest.mark.parametrize(
    ("exp", "expected"), [(..., "not_single_use"), (NOW + 60, GOOD)], ids=["without an end", "with an end"]
)
def test_takes_no_token_without_an_end_for_one_use(court: Court, exp: Any, expected: str) -> None:
    court.provider.play(ENDPOINT, says(exp=exp))
    judge, token = court.judge(), fresh()

    def spent() -> str:
        verification: Verification = judge.itself.verification
        verdict = judge.run(lambda ports: verification.verdict(token.encode(), verification.route(), ports))
        try:
            judge.run(lambda ports: verification.spend(verdict, ports))
        except AuthError as error:
            return error.reason
        return GOOD

    assert spent() == expected
    assert spent() == ("replayed" if expected == GOOD else expected)


# --- Our own credentials ---------------------------------------------------------------------------------------------


def credentials_of(request: Request) -> tuple[str, str]:
    """Who asked, and with which secret, as a server reads it that follows RFC 6749."""
    scheme, _, pair = request.headers["authorization"].partition(" ")
    assert scheme == "Basic"
    name, _, secret = base64.b64decode(pair, validate=True).decode().partition(":")
    return unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")


def knows(*secrets: str, refusing: Play | None = None) -> Play:
    """A provider that takes these secrets only."""

    def play(line: Line) -> None:
        known = credentials_of(line.request)[1] in secrets
        (says() if known else refusing or json_answer({"error": "invalid_client"}, 401))(line)

    return play


REFUSALS = {
    "401": status(401),
    "401, html": answer(b"<html>", 401),
    "401 invalid_client": json_answer({"error": "invalid_client"}, 401),
    "401, active": json_answer(facts(), 401),
    "403": status(403),
    "400 invalid_client": json_answer({"error": "invalid_client"}, 400),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_takes_the_blame_when_the_provider_refuses_us(
    flavour: Flavour, name: str, log: Callable[[int], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    with court_of(REFUSALS[name], flavour) as court:
        judge = court.judge()
        for _ in range(2):
            token = fresh()
            refusal = judge.refusal(token)
            assert type(refusal) is ProviderUnavailable
            assert (refusal.status, refusal.reason) == (503, "client_refused")
            assert "WWW-Authenticate" not in refusal.headers()
            assert CLIENT_SECRET not in told_by(refusal)
            assert token not in told_by(refusal)
        lines = log(logging.ERROR)
        assert 1 <= len(lines) <= 2  # one in each second
        assert all("client_secret" in line for line in lines)
        assert not log(logging.WARNING)
        assert CLIENT_SECRET not in caplog.text
        assert court.asked == 2
        court.provider.play(ENDPOINT, says())
        assert judge.verdict(fresh()) == GOOD


@pytest.mark.parametrize("name", REFUSALS)
def test_tries_the_next_secret_once_and_goes_on_with_the_one_that_works(
    flavour: Flavour, name: str, log: Callable[[int], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    with court_of(knows(OLD_CLIENT_SECRET, refusing=REFUSALS[name]), flavour) as court:
        judge = court.judge(client_secret=SharedSecrets(CLIENT_SECRET, OLD_CLIENT_SECRET))
        assert judge.verdict(fresh()) == GOOD
        assert [credentials_of(one)[1] for one in court.provider.requests] == [CLIENT_SECRET, OLD_CLIENT_SECRET]
        (line,) = log(logging.WARNING)
        assert "index 1" in line
        assert judge.verdict(fresh()) == GOOD
        assert [credentials_of(one)[1] for one in court.provider.requests[2:]] == [OLD_CLIENT_SECRET]
        # The provider has learnt the new secret, and forgotten the old one.
        court.provider.play(ENDPOINT, knows(CLIENT_SECRET))
        for _ in range(2):
            assert judge.verdict(fresh()) == GOOD
        used = [credentials_of(one)[1] for one in court.provider.requests[3:]]
        assert used == [OLD_CLIENT_SECRET, CLIENT_SECRET, CLIENT_SECRET]
        assert not log(logging.ERROR)
        assert not any(secret in caplog.text for secret in (CLIENT_SECRET, OLD_CLIENT_SECRET))


@pytest.mark.timed
def test_tries_two_secrets_at_most_and_in_one_deadline(flavour: Flavour, log: Callable[[int], list[str]]) -> None:
    with court_of(status(401), flavour) as court:
        judge = court.judge(client_secret=SharedSecrets(CLIENT_SECRET, OLD_CLIENT_SECRET, "a third" * 8))
        assert judge.verdict(fresh()) == "client_refused"
        assert court.asked == 2
        assert len(log(logging.ERROR)) == 1
        court.provider.play(ENDPOINT, in_turn(status(401), silent))
        started = time.perf_counter()
        slow = court.judge(client_secret=SharedSecrets(CLIENT_SECRET, OLD_CLIENT_SECRET), deadline=0.5)
        assert slow.verdict(fresh()) == UNAVAILABLE
        assert time.perf_counter() - started < 1


@pytest.mark.parametrize("play", [status(500), status(429), silent, inactive], ids=["500", "429", "silent", "inactive"])
def test_keeps_to_a_secret_that_was_not_refused(court: Court, play: Play) -> None:
    court.provider.play(ENDPOINT, play)
    judge = court.judge(client_secret=SharedSecrets(CLIENT_SECRET, OLD_CLIENT_SECRET), deadline=0.3)
    assert judge.verdict(fresh()) in (UNAVAILABLE, "inactive")
    assert [credentials_of(one)[1] for one in court.provider.requests] == [CLIENT_SECRET]


ODD_TEXTS = ["orders-api", "a:b", "a b", "a%b", "a%20b", "a+b", "ü", "🔑", "a/b?c=d&e", "a\tb", "~._-", '"\\', "a\r\nb"]


@pytest.mark.parametrize("odd", ODD_TEXTS)
def test_spells_who_we_are_as_the_standard_says(court: Court, odd: str) -> None:
    assert court.judge(client_id=odd, client_secret=f"{odd}{CLIENT_SECRET}").verdict(fresh()) == GOOD
    (request,) = court.provider.requests
    assert credentials_of(request) == (odd, f"{odd}{CLIENT_SECRET}")
    # What is between the colon and the ends is in letters that a form has.
    pair = base64.b64decode(request.headers["authorization"].removeprefix("Basic "))
    assert pair.isascii()
    assert pair.count(b":") == 1
    assert not {b" ", b"\r", b"\n", b"&", b"="} & {pair[index : index + 1] for index in range(len(pair))}
    assert set(request.form) == {"token", "token_type_hint"}


@pytest.mark.parametrize("odd", [text for text in ODD_TEXTS if ":" not in text])
def test_spells_who_we_are_as_it_is_where_that_is_wanted(court: Court, odd: str) -> None:
    secret = f"{odd}:{CLIENT_SECRET}"
    judge = court.judge(client_id=odd, client_secret=secret, client_auth="client_secret_basic_raw")
    assert judge.verdict(fresh()) == GOOD
    (request,) = court.provider.requests
    pair = base64.b64decode(request.headers["authorization"].removeprefix("Basic "), validate=True)
    assert pair == f"{odd}:{secret}".encode()
    assert set(request.form) == {"token", "token_type_hint"}


@pytest.mark.parametrize("odd", ODD_TEXTS)
def test_puts_who_we_are_into_the_body_where_that_is_wanted(court: Court, odd: str) -> None:
    judge = court.judge(client_id=odd, client_secret=f"{odd}{CLIENT_SECRET}", client_auth="client_secret_post")
    token = fresh()
    assert judge.verdict(token) == GOOD
    (request,) = court.provider.requests
    assert "authorization" not in request.headers
    assert request.form == {
        "token": token,
        "token_type_hint": "access_token",
        "client_id": odd,
        "client_secret": f"{odd}{CLIENT_SECRET}",
    }


def test_takes_a_secret_of_bytes(court: Court) -> None:
    secret = bytes(range(128, 192))
    assert court.judge(client_secret=SharedSecrets(secret)).verdict(fresh()) == GOOD
    pair = base64.b64decode(court.provider.requests[0].headers["authorization"].removeprefix("Basic "))
    assert unquote_plus(pair.decode().partition(":")[2], encoding="latin-1").encode("latin-1") == secret


@pytest.mark.parametrize("hint", ["access_token", "odd hint&x=1", None])
def test_gives_the_hint_that_the_settings_have(court: Court, hint: str | None) -> None:
    assert court.judge(token_type_hint=hint).verdict(fresh()) == GOOD
    assert court.provider.requests[0].form.get("token_type_hint") == hint


@pytest.mark.parametrize("token", ["abc+def/ghi==", "a-b.c_d~e", "a" * 8192, "=".join(["x" * 43, ""])])
def test_asks_about_exactly_that_token(court: Court, token: str) -> None:
    assert court.judge().verdict(token) == GOOD
    (request,) = court.provider.requests
    assert (request.method, request.target) == ("POST", ENDPOINT)
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["accept"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert not {"cookie", "x-forwarded-for"} & set(request.headers)
    assert parse_qsl(request.body.decode(), strict_parsing=True) == [
        ("token", token),
        ("token_type_hint", "access_token"),
    ]


def test_takes_no_cookie_from_the_provider(court: Court) -> None:
    court.provider.play(ENDPOINT, json_answer(facts(), headers={"set-cookie": "session=scripted; Path=/"}))
    judge = court.judge()
    for _ in range(2):
        assert judge.verdict(fresh()) == GOOD
    assert not any("cookie" in request.headers for request in court.provider.requests)


def test_asks_where_the_metadata_says(court: Court) -> None:
    issuer = court.provider.url("")
    metadata = {"issuer": issuer, "introspection_endpoint": court.provider.url("/somewhere"), "jwks_uri": "http://x"}
    path = "/.well-known/oauth-authorization-server"
    court.provider.play(path, json_answer(metadata))
    court.provider.play("/somewhere", says(iss=issuer))
    judge, seen = court.judge(issuer=issuer, introspection_endpoint=None), fresh()
    assert (judge.verdict(seen), judge.verdict(fresh())) == (GOOD, GOOD)
    assert (court.provider.count(path), court.provider.count("/somewhere"), court.asked) == (1, 2, 0)
    court.provider.refuse()
    assert (judge.verdict(seen), judge.verdict(fresh())) == (GOOD, UNAVAILABLE)
    court.provider.listen()


# --- Nobody is asked about what cannot be a token --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "settings", "reason"),
    [
        pytest.param("a b", {}, "malformed", id="a space"),
        pytest.param("a\r\nb", {}, "malformed", id="a line's end"),
        pytest.param("a\x00b", {}, "malformed", id="a zero"),
        pytest.param("a&token=b", {}, "malformed", id="another field"),
        pytest.param("a%20b", {}, "malformed", id="a percent sign"),
        pytest.param("ü" * 20, {}, "malformed", id="no ASCII"),
        pytest.param("\ud800", {}, "malformed", id="a lone surrogate"),
        pytest.param("a=b", {}, "malformed", id="an equals sign inside"),
        pytest.param("====", {}, "malformed", id="equals signs only"),
        pytest.param('"a"', {}, "malformed", id="quotes"),
        pytest.param("a,b", {}, "malformed", id="a comma"),
        pytest.param("x" * 8193, {}, "too_large", id="too large"),
        pytest.param("x" * 44, {"max_bytes": 43}, "too_large", id="too large for these"),
        pytest.param("x" * 42, {"pattern": r"[A-Za-z0-9_-]{43}"}, "malformed", id="shorter than the pattern"),
        pytest.param("x" * 44, {"pattern": r"[A-Za-z0-9_-]{43}"}, "malformed", id="longer than the pattern"),
        pytest.param("x" * 42 + ".", {"pattern": r"[A-Za-z0-9_-]{43}"}, "malformed", id="another letter"),
        pytest.param("x" * 43 + "=", {"pattern": r"[A-Za-z0-9_-]{43}"}, "malformed", id="padded"),
        pytest.param(b"x" * 43, {}, "malformed", id="bytes"),
        pytest.param(5, {}, "malformed", id="a number"),
    ],
)
def test_asks_nobody_about_what_is_no_token(court: Court, token: Any, settings: dict[str, Any], reason: str) -> None:
    assert court.judge(**settings).verdict(token) == reason
    assert court.provider.connections == 0


def test_asks_nobody_about_nothing(court: Court) -> None:
    for nothing in ("", None):
        assert court.judge().verdict(nothing) == "missing_token"
    assert court.provider.connections == 0


def test_asks_about_what_fits_the_pattern(court: Court) -> None:
    assert court.judge(pattern=r"[A-Za-z0-9_-]{43}").verdict("x" * 43) == GOOD
    assert court.judge(pattern=r"[A-Za-z0-9_-]{43}", max_bytes=43).verdict("y" * 43) == GOOD


def test_asks_about_a_signed_token_where_it_is_the_only_kind(court: Court) -> None:
    assert court.judge().verdict(mint(facts())) == GOOD
    assert court.asked == 1


# --- Settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        pytest.param({"issuer": UNCHECKED}, "introspection_endpoint", id="nobody to ask"),
        pytest.param({"issuer": ""}, "issuer", id="an empty issuer"),
        pytest.param({"issuer": None}, "issuer", id="no issuer"),
        pytest.param({"issuer": "id.example.com"}, "https://", id="an issuer that is no URL"),
        pytest.param({"issuer": "http://id.example.com"}, "https", id="an http issuer"),
        pytest.param({"issuer": "https://id.example.com?x=1"}, "query", id="an issuer with a query"),
        pytest.param({"issuer": "https://id.example.com#x"}, "URL", id="an issuer with a fragment"),
        pytest.param({"issuer": "https://me:you@id.example.com"}, "URL", id="an issuer with a password"),
        pytest.param({"introspection_endpoint": "http://id.example.com/x"}, "https", id="an http endpoint"),
        pytest.param({"introspection_endpoint": "/introspect"}, "https://", id="an endpoint without a host"),
        pytest.param({"introspection_endpoint": "ftp://127.0.0.1/x"}, "https", id="an ftp endpoint"),
        pytest.param({"introspection_endpoint": "http://localhost.example.com/x"}, "https", id="nearly this machine"),
        pytest.param({"endpoint_origins": {"https://x.example.com/path"}}, "no path", id="an origin with a path"),
        pytest.param({"endpoint_origins": {"https://x.example.com/"}}, "no path", id="an origin with a slash"),
        pytest.param({"endpoint_origins": {"http://x.example.com"}}, "https", id="an http origin"),
        pytest.param({"endpoint_origins": "https://x.example.com"}, "('https://x.example.com',)", id="one origin"),
        pytest.param({"client_id": ""}, "client_id", id="no client"),
        pytest.param({"client_id": None}, "client_id", id="null for a client"),
        pytest.param({"client_secret": ""}, "secret", id="no secret"),
        pytest.param({"client_secret": None}, "secret", id="null for a secret"),
        pytest.param({"client_auth": "client_secret_jwt"}, "client_secret_post", id="another way"),
        pytest.param({"client_auth": None}, "client_secret_basic", id="no way"),
        pytest.param({"client_auth": ["client_secret_post"]}, "client_secret_basic", id="several ways"),
        pytest.param({"cache_seconds": 61}, "0 to 60", id="a cache of 61 s"),
        pytest.param({"cache_seconds": -1}, "0 to 60", id="a cache below zero"),
        pytest.param({"cache_seconds": True}, "0 to 60", id="a cache of true"),
        pytest.param({"cache_seconds": float("nan")}, "0 to 60", id="a cache of NaN"),
        pytest.param({"cache_seconds": None}, "0 to 60", id="a cache of null"),
        pytest.param({"leeway": 301}, "0 to 300", id="a leeway of 301 s"),
        pytest.param({"leeway": -1}, "0 to 300", id="a leeway below zero"),
        pytest.param({"deadline": 0}, "0.05 to 4", id="no deadline"),
        pytest.param({"deadline": 5}, "0.05 to 4", id="a long deadline"),
        pytest.param({"assumed_lifetime": 0}, "1 to", id="no lifetime"),
        pytest.param({"pattern": "["}, "regular expression", id="no pattern"),
        pytest.param({"pattern": 5}, "regular expression", id="a number for a pattern"),
        pytest.param({"pattern": b"[a-z]+"}, "without the b", id="a pattern for bytes"),
        pytest.param({"audience": None}, "UNCHECKED", id="null for an audience"),
        pytest.param({"audience": ""}, "audience", id="an empty audience"),
        pytest.param({"audience": set()}, "audience", id="an audience of nobody"),
        pytest.param({"clients": set()}, "clients", id="clients of nobody"),
        pytest.param({"clients": "web"}, "clients=('web',)", id="one client"),
        pytest.param({"clients": {""}}, "clients", id="an empty client"),
        pytest.param({"token_type_hint": ""}, "token_type_hint", id="an empty hint"),
        pytest.param({"name": "My Tokens"}, "small letters", id="a name with a space"),
        pytest.param({"max_bytes": 0}, "16", id="no size"),
        pytest.param({"remember_tokens": -1}, "0", id="less than nothing to remember"),
        pytest.param({"carriers": ()}, "carriers", id="no carrier"),
        pytest.param({"rules": {"plan": None}}, "plan", id="null for a rule"),
    ],
)
def test_says_what_to_write_instead(changes: dict[str, Any], advice: str) -> None:
    usual: dict[str, Any] = {
        "issuer": ISSUER,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "audience": AUDIENCE,
    }
    with pytest.raises(SettingsError) as caught:
        OpaqueTokens(**usual | changes)
    assert advice in str(caught.value)
    assert CLIENT_SECRET not in told_by(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": UNCHECKED, "introspection_endpoint": "http://127.0.0.1:8080/introspect"},
        {"introspection_endpoint": "http://[::1]:8080/introspect?tenant=5"},
        {"issuer": "whatalo", "introspection_endpoint": "https://id.example.com/introspect"},
        {"endpoint_origins": {"https://api.example.com:8443"}},
        {"cache_seconds": 0, "remember_tokens": 0},
        {"carriers": [Header("X-Token"), Cookie("token", origins={"https://example.com"})]},
    ],
)
def test_takes_settings_that_are_good(changes: dict[str, Any]) -> None:
    usual: dict[str, Any] = {
        "issuer": ISSUER,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "audience": AUDIENCE,
    }
    kind = OpaqueTokens(**usual | changes)
    assert CLIENT_SECRET not in repr(kind)


@pytest.mark.parametrize(
    ("changes", "unchecked"),
    [
        ({}, []),
        ({"issuer": UNCHECKED}, ["issuer"]),
        ({"audience": UNCHECKED}, ["audience"]),
        ({"audience": UNCHECKED, "clients": {"web"}}, []),
        ({"issuer": UNCHECKED, "audience": UNCHECKED}, ["issuer", "audience"]),
    ],
)
def test_says_at_start_what_is_unchecked(
    court: Court, log: Callable[[int], list[str]], changes: dict[str, Any], unchecked: list[str]
) -> None:
    court.judge(**changes)
    lines = log(logging.WARNING)
    assert [name for line in lines for name in ("issuer", "audience") if f"the {name} " in line] == unchecked
    assert len(lines) == len(unchecked)


def test_does_nothing_before_the_first_token(court: Court) -> None:
    with ScriptedProvider() as untouched:
        court.judge(issuer=untouched.url(), introspection_endpoint=None)
        assert untouched.connections == 0
