"""What is remembered of opaque tokens, in the process and in Redis: for how long, for whom, and against whom."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bearerguard import AuthError, IfPresent, SharedSecrets, StoreUnavailable
from bearerguard.core.ports import Entries, Ports, Recollection
from bearerguard.rules.introspection_entries import Answer, EntryKeys
from tests.hostile import AUDIENCE, GOOD, NOW
from tests.introspecting import (
    CLIENT_ID,
    CLIENT_SECRET,
    ENDPOINT,
    OLD_CLIENT_SECRET,
    OTHER_CLIENT_SECRET,
    START,
    Court,
    Judge,
    averdict,
    commands_of,
    court_of,
    entry_key,
    facts,
    fresh,
    inactive,
    kept_in,
    opaque,
    says,
)
from tests.revoking import HORIZON, STEM
from tests.scripted_provider import Line, Play, after, answer, html, in_turn, silent, status, when
from tests.servers import RedisServer
from tests.store_calls import Flavour

LONG_ON_OTHER_SERVERS = True
ROOT = Path(__file__).resolve().parent.parent
HOUR = 3_600
FAILS_ITS_CHECK = "fails its check"
PATIENCE = 10.0


@pytest.fixture
def court(flavour: Flavour) -> Iterator[Court]:
    """Judges that remember in their process only."""
    with court_of(says(), flavour) as court:
        yield court


@pytest.fixture
def fleet(flavour: Flavour, redis_server: RedisServer) -> Iterator[Court]:
    """Judges over one Redis, each of which is as another process."""
    with court_of(says(), flavour, redis_server.url) as court:
        yield court


@pytest.fixture
def server(flavour: Flavour, redis_servers: Mapping[str, RedisServer]) -> RedisServer:
    """Another server for each flavour, where there are two: enough for a long table."""
    servers = [*redis_servers.values()]
    server = servers[0] if flavour == "sync" else servers[-1]
    server.flush()
    return server


@pytest.fixture
def pair(flavour: Flavour, server: RedisServer) -> Iterator[Court]:
    """Judges over that server."""
    with court_of(says(), flavour, server.url) as court:
        yield court


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What bearerguard warned of; all that any logger says down to DEBUG is in `caplog.text`."""
    with caplog.at_level(logging.DEBUG):
        yield lambda: [
            line.getMessage()
            for line in caplog.records
            if line.levelno >= logging.WARNING and line.name == "bearerguard" and "store is empty" not in line.message
        ]


def without_copies(court: Court, **changes: Any) -> Judge:
    """A judge that looks into Redis each time."""
    return court.judge(**{"remember_tokens": 0} | changes)


# --- In the process --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "settings", "wall", "monotonic", "asked"),
    [
        pytest.param({}, {}, 0, 0, 1, id="at once"),
        pytest.param({}, {}, 59.9, 59.9, 1, id="just before a minute"),
        pytest.param({}, {}, 60, 60, 2, id="after a minute"),
        pytest.param({}, {}, 60, 0, 2, id="after a minute by the wall"),
        pytest.param({}, {}, 0, 60, 2, id="after a minute by the other clock"),
        pytest.param({}, {}, 59.9, 0, 1, id="just before a minute by the wall"),
        pytest.param({}, {}, 0, 59.9, 1, id="just before a minute by the other clock"),
        pytest.param({}, {}, -0.1, 0.1, 2, id="a step back"),
        pytest.param({"iat": ...}, {}, -HOUR, 1, 2, id="an hour back"),
        pytest.param({"exp": ...}, {}, 59.9, 59.9, 1, id="no end, before a minute"),
        pytest.param({"exp": ...}, {}, 60, 60, 2, id="no end, after a minute"),
        pytest.param({"exp": ...}, {}, HOUR, 1, 2, id="no end, an hour on by the wall"),
        pytest.param({}, {"cache_seconds": 10}, 9.9, 9.9, 1, id="before the settings' time"),
        pytest.param({}, {"cache_seconds": 10}, 10, 10, 2, id="after the settings' time"),
        pytest.param({"exp": NOW + 20}, {"leeway": 30}, 19.9, 19.9, 1, id="before its end"),
        pytest.param({"exp": NOW + 20}, {"leeway": 30}, 20, 20, 2, id="at its end, though leeway goes on"),
        pytest.param({"exp": NOW + 20}, {"leeway": 30}, 0, 20, 2, id="at its end by the other clock"),
        pytest.param({"exp": NOW - 1}, {"leeway": 30}, 0, 0, 2, id="after its end, in its leeway"),
        pytest.param({}, {"cache_seconds": 0}, 0, 0, 2, id="nothing is to be kept"),
        pytest.param({}, {"remember_tokens": 0}, 0, 0, 2, id="no token is to be kept"),
    ],
)
def test_remembers_an_answer_for_its_time(
    court: Court, said: dict[str, Any], settings: dict[str, Any], wall: float, monotonic: float, asked: int
) -> None:
    court.provider.play(ENDPOINT, says(**said))
    judge, token = court.judge(**settings), fresh()
    assert judge.verdict(token) == GOOD
    court.clock.now, court.monotonic.now = NOW + wall, START + monotonic
    assert judge.verdict(token) == GOOD
    assert court.asked == asked


def dawdling(court: Court, wall: float, monotonic: float, play: Play) -> Play:
    """The same play, while the clocks go on."""

    def later(line: Line) -> None:
        court.clock.now += wall
        court.monotonic.now += monotonic
        play(line)

    return later


@pytest.mark.parametrize(
    ("wall", "monotonic", "left"),
    [(5, 5, 55), (0, 5, 55), (5, 0, 55), (59.9, 59.9, 0.1), (60, 60, 0), (0, 60, 0), (-0.5, 5, 0), (HOUR, 0, 0)],
)
def test_counts_from_when_the_question_was_sent(court: Court, wall: float, monotonic: float, left: float) -> None:
    court.provider.play(ENDPOINT, dawdling(court, wall, monotonic, says(exp=...)))
    judge, token = court.judge(), fresh()
    assert judge.verdict(token) == GOOD
    court.provider.play(ENDPOINT, says(exp=...))
    for age, asked in ((max(0, left - 0.05), 1 if left else 2), (left, 2)):
        court.clock.now, court.monotonic.now = NOW + wall + age, START + monotonic + age
        assert judge.verdict(token) == GOOD
        assert court.asked == asked


def test_does_not_keep_what_is_inactive_or_unknown(court: Court) -> None:
    court.provider.play(ENDPOINT, in_turn(inactive, status(500), html(), inactive, says(), inactive))
    judge, token = court.judge(), fresh()
    verdicts = [judge.verdict(token) for _ in range(6)]
    assert verdicts == ["inactive", "provider_unavailable", "provider_unavailable", "inactive", GOOD, GOOD]
    assert court.asked == 5


@pytest.mark.parametrize("step", [HOUR, -HOUR, -0.5, 60])
def test_revives_nothing_when_the_wall_clock_steps_and_steps_back(court: Court, step: float) -> None:
    court.provider.play(ENDPOINT, in_turn(says(exp=..., iat=...), inactive))
    judge, token = court.judge(), fresh()
    assert judge.verdict(token) == GOOD
    court.clock.now = NOW + step
    assert judge.verdict(token) == "inactive"
    court.clock.now, court.monotonic.now = NOW + 1, START + 1
    assert judge.verdict(token) == "inactive"


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_does_not_live_longer_when_the_wall_clock_steps(court: Court, step: float) -> None:
    court.provider.play(ENDPOINT, says(exp=..., iat=...))
    judge, token = court.judge(), fresh()
    court.clock.now = NOW + step
    assert judge.verdict(token) == GOOD
    court.clock.now = NOW
    assert judge.verdict(token) == GOOD
    assert court.asked == 2
    court.clock.now, court.monotonic.now = NOW + 59, START + 60
    assert judge.verdict(token) == GOOD
    assert court.asked == 3


def test_sees_a_revocation_at_the_provider_after_a_minute_at_most(fleet: Court) -> None:
    judges, token = [fleet.judge() for _ in range(3)], fresh()
    for step, judge in zip((0, 25, 50), judges, strict=True):
        fleet.clock.now, fleet.monotonic.now = NOW + step, START + step
        assert judge.verdict(token) == GOOD
    assert fleet.asked == 1
    fleet.provider.play(ENDPOINT, inactive)
    fleet.clock.now, fleet.monotonic.now = NOW + 60, START + 60
    assert {judge.verdict(token) for judge in judges} == {"inactive"}


# --- In Redis --------------------------------------------------------------------------------------------------------


def test_asks_nobody_about_what_another_process_has_found_out(fleet: Court) -> None:
    tokens = [fresh() for _ in range(3)]
    for judge in (fleet.judge(), fleet.judge(), without_copies(fleet), without_copies(fleet)):
        for token in tokens * 2:
            assert judge.verify(token).subject == "ana"
    assert fleet.asked == 3


def test_makes_one_command_of_a_check(fleet: Court, redis_server: RedisServer) -> None:
    first, second, token, other = fleet.judge(), fleet.judge(), fresh(), fresh()
    for each in (token, other):
        assert first.verdict(each) == GOOD
    assert second.verdict(other) == GOOD
    assert len(commands_of(redis_server, lambda: second.verdict(token))) == 1
    assert len(commands_of(redis_server, lambda: second.verdict(token))) == 1
    assert fleet.asked == 2


@pytest.mark.parametrize(
    ("said", "settings", "wall", "monotonic", "seconds"),
    [
        pytest.param({}, {}, 0, 0, 60, id="a minute"),
        pytest.param({"exp": ...}, {}, 0, 0, 60, id="a minute without an end"),
        pytest.param({"exp": NOW + 7}, {}, 0, 0, 7, id="to its end"),
        pytest.param({"exp": NOW + 7}, {"leeway": 30}, 0, 0, 7, id="to its end, though leeway goes on"),
        pytest.param({}, {"cache_seconds": 5}, 0, 0, 5, id="as long as the settings say"),
        pytest.param({}, {}, 20, 20, 40, id="from when it was sent"),
        pytest.param({}, {}, 20, 0, 40, id="from when it was sent, by the wall"),
        pytest.param({}, {}, 0, 20, 40, id="from when it was sent, by the other clock"),
    ],
)
def test_leaves_an_entry_for_its_time(
    pair: Court,
    server: RedisServer,
    said: dict[str, Any],
    settings: dict[str, Any],
    wall: float,
    monotonic: float,
    seconds: float,
) -> None:
    pair.provider.play(ENDPOINT, dawdling(pair, wall, monotonic, says(**said)))
    assert pair.judge(**settings).verdict(fresh()) == GOOD
    left = server.cli("PTTL", entry_key(server))
    assert seconds * 1000 - 5_000 < left <= seconds * 1000


@pytest.mark.parametrize(
    ("said", "settings", "wall", "monotonic"),
    [
        pytest.param({}, {"cache_seconds": 0}, 0, 0, id="nothing is to be kept"),
        pytest.param({"exp": NOW - 1}, {"leeway": 30}, 0, 0, id="its end is over"),
        pytest.param({}, {}, 60, 60, id="the answer took a minute"),
        pytest.param({}, {}, 0, 60, id="the answer took a minute by the other clock"),
        pytest.param({}, {}, -1, 1, id="the clock stepped back meanwhile"),
    ],
)
def test_leaves_no_entry_that_would_be_over(
    pair: Court, server: RedisServer, said: dict[str, Any], settings: dict[str, Any], wall: float, monotonic: float
) -> None:
    pair.provider.play(ENDPOINT, dawdling(pair, wall, monotonic, says(**said)))
    assert pair.judge(**settings).verdict(fresh()) == GOOD
    assert set(kept_in(server)) <= {f"{STEM}epoch"}


@pytest.mark.parametrize("play", [inactive, status(500), html(), says(aud="x"), status(401)], ids=range(5))
def test_leaves_nothing_of_a_refusal(pair: Court, server: RedisServer, play: Play) -> None:
    pair.provider.play(ENDPOINT, play)
    judge, token = pair.judge(), fresh()
    for asked in (1, 2):
        assert judge.verdict(token) != GOOD
        assert pair.asked == asked
        assert set(kept_in(server)) <= {f"{STEM}epoch"}


@pytest.mark.parametrize(("wall", "asked"), [(0, 1), (59.9, 1), (60, 2), (HOUR, 2), (-0.1, 2), (-HOUR, 2)], ids=str)
def test_takes_an_entry_by_its_own_wall_clock(pair: Court, server: RedisServer, wall: float, asked: int) -> None:
    pair.provider.play(ENDPOINT, says(exp=..., iat=...))
    token = fresh()
    assert pair.judge().verdict(token) == GOOD
    # Whoever can write to Redis can make an entry stand longer there, and gains nothing.
    server.cli("PEXPIRE", entry_key(server), 10_000_000)
    pair.clock.now = NOW + wall
    assert pair.judge().verdict(token) == GOOD
    assert pair.asked == asked


@pytest.mark.parametrize(
    ("wall", "left", "seconds"), [(50, 60_000, 10), (0, 5_000, 5), (0, 10_000_000, 60), (58, 1_500, 1.5)], ids=str
)
def test_copies_an_entry_for_the_smaller_remainder(
    pair: Court, server: RedisServer, wall: float, left: int, seconds: float
) -> None:
    pair.provider.play(ENDPOINT, says(exp=...))
    token = fresh()
    assert pair.judge().verdict(token) == GOOD
    key = entry_key(server)
    server.cli("PEXPIRE", key, left)
    pair.clock.now = NOW + wall
    second = pair.judge()
    assert second.verdict(token) == GOOD
    server.cli("DEL", key)
    pair.monotonic.now = START + seconds - 1
    assert second.verdict(token) == GOOD
    assert pair.asked == 1
    pair.monotonic.now = START + seconds
    assert second.verdict(token) == GOOD
    assert pair.asked == 2


def test_takes_no_entry_without_an_end(fleet: Court, redis_server: RedisServer) -> None:
    token = fresh()
    assert fleet.judge().verdict(token) == GOOD
    redis_server.cli("PERSIST", entry_key(redis_server))
    fleet.provider.play(ENDPOINT, inactive)
    assert fleet.judge().verdict(token) == "inactive"


def test_takes_a_shorter_time_than_another_process_left_it_for(pair: Court) -> None:
    token = fresh()
    assert pair.judge().verdict(token) == GOOD
    pair.clock.now, pair.monotonic.now = NOW + 10, START + 10
    assert pair.judge(cache_seconds=11).verdict(token) == GOOD
    assert pair.asked == 1
    assert pair.judge(cache_seconds=10).verdict(token) == GOOD
    assert pair.asked == 2
    assert pair.judge(cache_seconds=0).verdict(token) == GOOD
    assert pair.asked == 3


def test_goes_on_with_what_others_found_out_while_the_provider_is_busy(fleet: Court) -> None:
    known, judge = fresh(), fleet.judge()
    assert fleet.judge().verdict(known) == GOOD
    fleet.provider.play(ENDPOINT, status(429, {"retry-after": "20"}))
    assert judge.verdict(fresh()) == "provider_unavailable"
    assert (judge.verdict(fresh()), judge.verdict(known)) == ("provider_unavailable", GOOD)
    assert fleet.asked == 2


# --- Facts, and never the verdict ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "settings", "expected"),
    [
        pytest.param({"plan": "free"}, {"rules": {"plan": "gold"}}, "rule_failed", id="a rule"),
        pytest.param({}, {"checks": [lambda values: False]}, "rule_failed", id="a check"),
        pytest.param({}, {"each_time": [lambda claims: False]}, "rule_failed", id="a check each time"),
        pytest.param({"exp": NOW + 5}, {}, "expired", id="its end"),
        pytest.param({"exp": NOW + 5}, {"leeway": 30}, GOOD, id="its end, leeway"),
        pytest.param({"scp": 5}, {"scopes": "scp"}, "bad_claim", id="another place for scopes"),
        pytest.param({}, {"pattern": "[a-z]+"}, "malformed", id="a pattern"),
        pytest.param({}, {"max_bytes": 16}, "too_large", id="a size"),
    ],
)
def test_judges_an_entry_anew(pair: Court, said: dict[str, Any], settings: dict[str, Any], expected: str) -> None:
    pair.provider.play(ENDPOINT, says(**said))
    token = fresh()
    assert pair.judge().verdict(token) == GOOD
    pair.provider.play(ENDPOINT, says(**said))
    if "exp" in said:
        pair.clock.now = NOW + 5
    assert pair.judge(**settings).verdict(token) == expected
    pair.clock.now = NOW
    assert pair.judge().verdict(token) == GOOD


def test_has_the_scopes_of_the_answer_wherever_it_is_read(pair: Court) -> None:
    pair.provider.play(ENDPOINT, says(scope="read", scp=["admin"]))
    token = fresh()
    for _ in range(2):
        for judge in (pair.judge(), pair.judge()):
            accepted = judge.verify(token)
            assert (accepted.grants("read"), accepted.grants("admin")) == (True, False)
        assert pair.judge(scopes="scp").verify(token).scopes == {"admin"}


def test_calls_nothing_forged_where_the_settings_name_other_claims(
    pair: Court, server: RedisServer, log: Callable[[], list[str]]
) -> None:
    """A pair that is being given `user=` or `authority=`, process by process."""
    pair.provider.play(ENDPOINT, says(tenant="str_1"))
    token = fresh()
    steps: list[dict[str, Any]] = [{}, {"user": "sub"}, {"tenant": "tenant"}, {"authority": "shop"}, {}]
    for changes in steps:
        judge = pair.judge(**changes)
        for _ in range(2):
            assert judge.verify(token).subject == "ana"
    assert not log()


def test_reads_all_that_the_provider_said(pair: Court) -> None:
    said = {
        "n": [0, -1, 1.5, 1e300, 2**60, True, None, ""],
        "text": 'ü🔑\u2028"\\\x00|.',
        "deep": {"a": [{"b": {}}]},
        "1|": "0",
    }
    pair.provider.play(ENDPOINT, says(**said))
    token = fresh()
    first, second = pair.judge().verify(token).to_dict(), pair.judge().verify(token).to_dict()
    assert first == second
    assert {name: second[name] for name in said} == said
    assert pair.asked == 1


@pytest.mark.parametrize("depth", [30, 31, 32])
def test_reads_an_answer_that_is_as_deep_as_may_be(pair: Court, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    pair.provider.play(ENDPOINT, answer(json.dumps(facts()).encode()[:-1] + b',"x":' + deep + b"}"))
    token = fresh()
    for _ in range(3):
        assert pair.judge().verdict(token) == GOOD


def test_reads_an_answer_that_is_as_large_as_may_be(pair: Court) -> None:
    pair.provider.play(ENDPOINT, says(x="x" * 65_000))
    token = fresh()
    for _ in range(2):
        assert pair.judge().verdict(token) == GOOD
    assert pair.asked == 1


# --- For whom --------------------------------------------------------------------------------------------------------

OTHERS: dict[str, dict[str, Any]] = {
    "another issuer": {"issuer": "https://id.example.org"},
    "another endpoint": {"endpoint": "/other"},
    "another query": {"endpoint": f"{ENDPOINT}?x=1"},
    "another client": {"client_id": "orders-api-2"},
    "another secret": {"client_secret": OTHER_CLIENT_SECRET},
    "a newer secret": {"client_secret": SharedSecrets(OTHER_CLIENT_SECRET, CLIENT_SECRET)},
    "another audience": {"audience": "https://other.example.com"},
    "a set for an audience": {"audience": {AUDIENCE}},
    "perhaps an audience": {"audience": IfPresent(AUDIENCE)},
    "clients": {"clients": {"web"}},
    "basic, raw": {"client_auth": "client_secret_basic_raw"},
    "post": {"client_auth": "client_secret_post"},
}


@pytest.mark.parametrize("name", OTHERS)
def test_reads_no_entry_of_other_settings(
    pair: Court, server: RedisServer, log: Callable[[], list[str]], name: str
) -> None:
    changes = dict(OTHERS[name])
    if "endpoint" in changes:
        changes["introspection_endpoint"] = pair.provider.url(changes.pop("endpoint"))
    everyone = says(iss=..., aud=[AUDIENCE, "https://other.example.com"], client_id="web")
    for path in (ENDPOINT, "/other"):
        pair.provider.play(path, everyone)
    token = fresh()
    for asked, judge in enumerate((pair.judge(), pair.judge(**changes)), start=1):
        assert judge.verdict(token) == GOOD
        assert pair.provider.count() == asked
    for judge in (pair.judge(), pair.judge(**changes)):
        assert judge.verdict(token) == GOOD
    assert pair.provider.count() == 2
    assert sum(":i:" in key for key in kept_in(server)) == 2
    assert not log()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"token_type_hint": None},
        {"leeway": 5},
        {"client_secret": SharedSecrets(CLIENT_SECRET, OLD_CLIENT_SECRET)},
        {"rules": {"sub": "ana"}},
    ],
    ids=str,
)
def test_shares_an_entry_where_nothing_that_binds_it_differs(
    pair: Court, log: Callable[[], list[str]], changes: dict[str, Any]
) -> None:
    token = fresh()
    for judge in (pair.judge(authority="shop"), pair.judge(**{"authority": "shop"} | changes)):
        assert judge.verdict(token) == GOOD
    assert pair.asked == 1
    assert not log()


# --- Revoked ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["token", "id", "user", "tenant"])
def test_refuses_a_revoked_token_at_once_though_it_is_remembered(fleet: Court, what: str) -> None:
    fleet.provider.play(ENDPOINT, says(tenant="str_1"))
    named = {"tenant": "tenant", "user": "sub", "assumed_lifetime": HORIZON}
    first, second, third, token = fleet.judge(**named), fleet.judge(**named), without_copies(fleet, **named), fresh()
    judges = (first, second, third)
    accepted = [judge.verify(token) for judge in judges]
    if what == "token":
        first.denylist.revoke(accepted[0])
    elif what == "id":
        first.denylist.revoke_id("5f7c0f5e", until=NOW + 300)
    elif what == "user":
        first.denylist.revoke_user("ana")
    else:
        first.denylist.revoke_tenant("str_1")
    for _ in range(2):
        for judge in (*judges, fleet.judge(**named)):
            assert judge.verdict(token) == "revoked"
    assert fleet.asked == 1


@pytest.mark.parametrize("iat", [NOW - 10, ...], ids=["with iat", "without iat"])
def test_refuses_a_revoked_token_without_an_id(fleet: Court, iat: Any) -> None:
    fleet.provider.play(ENDPOINT, says(jti=..., iat=iat))
    first, second, token, other = fleet.judge(), fleet.judge(), fresh(), fresh()
    for text in (token, other):
        accepted = second.verify(text)
    first.denylist.revoke(second.verify(token))
    assert accepted.token_id is None
    for judge in (first, second, fleet.judge()):
        assert (judge.verdict(token), judge.verdict(other)) == ("revoked", GOOD)


def test_refuses_a_token_that_is_revoked_while_the_provider_is_asked(fleet: Court, redis_server: RedisServer) -> None:
    other = fleet.judge(user="sub", assumed_lifetime=HORIZON)
    blocking = Judge(other.itself, None)

    def revoking(line: Line) -> None:
        blocking.denylist.revoke_user("ana")
        says()(line)

    fleet.provider.play(ENDPOINT, revoking)
    token = fresh()
    for _ in range(2):
        assert fleet.judge(user="sub").verdict(token) == "revoked"
    blocking.close()


# --- Forged ----------------------------------------------------------------------------------------------------------


def put(server: RedisServer, key: str, value: str | bytes) -> None:
    """Put an entry where another stood, with its life."""
    server.cli("SET", key, value, "PX", 60_000)


def repacked(body: str, **changes: Any) -> str:
    """The body of an entry, with these of its facts changed."""
    sent, seconds, said = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).split(b" ", 2)
    facts = json.dumps(json.loads(said) | changes).encode()
    return base64.urlsafe_b64encode(b" ".join([sent, seconds, facts])).rstrip(b"=").decode()


def spoilt_entries() -> dict[str, Callable[[str, str, str], str]]:
    """Entries made of the names, the body and the proof of a good one."""
    return {
        "no proof": lambda names, body, proof: f"1|{names}|{body}",
        "an empty proof": lambda names, body, proof: f"1|{names}|{body}.",
        "half a proof": lambda names, body, proof: f"1|{names}|{body}.{proof[:20]}",
        "a padded proof": lambda names, body, proof: f"1|{names}|{body}.{proof}=",
        "a proof twice": lambda names, body, proof: f"1|{names}|{body}.{proof}.{proof}",
        "a proof in other letters": lambda names, body, proof: f"1|{names}|{body}.{proof.swapcase()}",
        "a proof with a letter more": lambda names, body, proof: f"1|{names}|{body}.{proof}A",
        "a proof of nulls": lambda names, body, proof: f"1|{names}|{body}." + "A" * 43,
        "a proof with no ASCII": lambda names, body, proof: f"1|{names}|{body}.{proof}\u00fc",
        "no body": lambda names, body, proof: f"1|{names}|.{proof}",
        "half a body": lambda names, body, proof: f"1|{names}|{body[: len(body) // 2]}.{proof}",
        "a body with spaces": lambda names, body, proof: f"1|{names}| {body}.{proof}",
        "a body with other facts": lambda names, body, proof: f"1|{names}|{repacked(body, sub='eve')}.{proof}",
        "a body with a longer life": lambda names, body, proof: f"1|{names}|{repacked(body, exp=NOW + 9999)}.{proof}",
        "a part more": lambda names, body, proof: f"1|{names}|{body}.{proof}|",
        "no names": lambda names, body, proof: f"1||{body}.{proof}",
        "a name more": lambda names, body, proof: f"1|{names} t:AAAA|{body}.{proof}",
        "another name": lambda names, body, proof: f"1|d:{'A' * 43}|{body}.{proof}",
        "the epoch for a name": lambda names, body, proof: f"1|epoch|{body}.{proof}",
        "a space more": lambda names, body, proof: f"1|{names} |{body}.{proof}",
        "many names": lambda names, body, proof: f"1|{'d:A ' * 5_000}|{body}.{proof}",
        "the names twice": lambda names, body, proof: f"1|{names} {names}|{body}.{proof}",
        "nothing but its form": lambda names, body, proof: "1||",
        "a JSON of one's own": lambda names, body, proof: "1||e30.AAAA",
        "a line's end": lambda names, body, proof: f"1|{names}|{body}.{proof}\n",
    }


@pytest.mark.parametrize("name", spoilt_entries())
def test_takes_a_forged_entry_for_none(
    pair: Court, server: RedisServer, log: Callable[[], list[str]], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = fresh()
    assert pair.judge().verdict(token) == GOOD
    key = entry_key(server)
    _, names, rest = server.cli("GET", key).decode().split("|")
    body, _, proof = rest.partition(".")
    spoilt = spoilt_entries()[name](names, body, proof)
    put(server, key, spoilt)
    pair.provider.play(ENDPOINT, inactive)
    assert pair.judge().verdict(token) == "inactive"
    (line,) = log()
    assert FAILS_ITS_CHECK in line
    assert server.cli("GET", key) != spoilt.encode()
    for part in (token, body, proof, names, spoilt):
        assert not part or part not in caplog.text
    # The next one finds it out anew, and is believed.
    server.cli("DEL", key)
    pair.provider.play(ENDPOINT, says())
    assert (pair.judge().verdict(token), pair.judge().verdict(token), pair.asked) == (GOOD, GOOD, 3)
    assert len(log()) == 1


UNREADABLE = {
    "one letter": b"1",
    "two letters": b"1|",
    "cut inside the names": b"1|d:3oX3",
    "another version": b"2|d:AAAA|e30.AAAA",
    "nothing": b"",
    "no text": b"1|\xff|x",
    "no text at all": b"\xff\xfe",
}


@pytest.mark.parametrize("left", UNREADABLE.values(), ids=UNREADABLE)
def test_tells_of_an_entry_that_is_none_and_puts_a_good_one_in_its_place(
    pair: Court, server: RedisServer, log: Callable[[], list[str]], left: bytes
) -> None:
    token = fresh()
    assert pair.judge().verdict(token) == GOOD
    key = entry_key(server)
    server.cli("SET", key, left, "KEEPTTL")
    assert [pair.judge().verdict(token) for _ in range(3)] == [GOOD] * 3
    assert pair.asked == 2
    (line,) = log()
    assert FAILS_ITS_CHECK in line
    assert server.cli("GET", key) != left


def test_says_nothing_of_a_tombstone(pair: Court, server: RedisServer, log: Callable[[], list[str]]) -> None:
    token = fresh()
    assert pair.judge().verdict(token) == GOOD
    server.cli("SET", entry_key(server), "0", "KEEPTTL")
    assert pair.judge().verdict(token) == GOOD
    assert pair.asked == 2
    assert log() == []


def test_leaves_a_good_entry_in_the_place_of_a_forged_one(fleet: Court, redis_server: RedisServer) -> None:
    token = fresh()
    assert fleet.judge().verdict(token) == GOOD
    put(redis_server, entry_key(redis_server), "1||e30.AAAA")
    for _ in range(3):
        assert fleet.judge().verdict(token) == GOOD
    assert fleet.asked == 2


def test_takes_no_entry_of_another_token(fleet: Court, redis_server: RedisServer, log: Callable[[], list[str]]) -> None:
    good, bad = fresh("good"), fresh("bad")
    fleet.provider.play(ENDPOINT, says(jti=...))
    assert fleet.judge().verdict(good) == GOOD
    key_of_good = entry_key(redis_server)
    entry = redis_server.cli("GET", key_of_good)
    redis_server.cli("DEL", key_of_good)
    assert fleet.judge().verdict(bad) == GOOD
    key_of_bad = entry_key(redis_server)
    put(redis_server, key_of_bad, entry)
    fleet.provider.play(ENDPOINT, inactive)
    assert fleet.judge().verdict(bad) == "inactive"
    (line,) = log()
    assert FAILS_ITS_CHECK in line


def test_takes_no_entry_of_other_settings_in_the_place_of_its_own(
    pair: Court, server: RedisServer, log: Callable[[], list[str]]
) -> None:
    """Whoever writes to Redis moves what the provider said to one of two apps with the same secret."""
    token = fresh()
    everyone = says(aud=[AUDIENCE, "https://other.example.com"], scope="admin")
    for changes in (
        {"audience": "https://other.example.com"},
        {"client_id": "other"},
        {"client_auth": "client_secret_post"},
    ):
        server.flush()
        pair.provider.play(ENDPOINT, everyone)
        assert pair.judge().verdict(token) == GOOD
        key = entry_key(server)
        server.flush()
        assert pair.judge(**changes).verdict(token) == GOOD
        put(server, key, server.cli("GET", entry_key(server)))
        pair.provider.play(ENDPOINT, inactive)
        assert pair.judge().verdict(token) == "inactive"


def test_takes_no_entry_of_one_who_does_not_know_the_secret(pair: Court, server: RedisServer) -> None:
    token = fresh()
    assert pair.judge().verdict(token) == GOOD
    key = entry_key(server)
    for changes in ({"client_secret": OTHER_CLIENT_SECRET}, {"client_secret": "x"}):
        keys = EntryKeys(opaque(pair.provider, **changes), pair.provider.url(ENDPOINT))
        name = key.removeprefix(STEM)
        put(server, key, keys.entry(name, Answer(facts(active=..., scope="admin"), NOW, 60), ()))
        pair.provider.play(ENDPOINT, inactive)
        assert pair.judge().verdict(token) == "inactive"


def test_takes_no_entry_that_was_changed_in_one_bit(pair: Court, server: RedisServer) -> None:
    token = fresh()
    assert pair.judge().verdict(token) == GOOD
    key = entry_key(server)
    entry: bytes = server.cli("GET", key)
    pair.provider.play(ENDPOINT, inactive)
    judge, dice = pair.judge(), random.Random(5)
    for _ in range(60):
        place, bit = dice.randrange(len(entry)), dice.randrange(8)
        put(server, key, entry[:place] + bytes([entry[place] ^ 1 << bit]) + entry[place + 1 :])
        assert judge.verdict(token) == "inactive", (place, bit)


@pytest.mark.parametrize("names", ["", "d:" + "A" * 43], ids=["none", "another's"])
def test_finds_a_token_revoked_whatever_its_entry_names(pair: Court, server: RedisServer, names: str) -> None:
    token = fresh()
    first = pair.judge()
    first.denylist.revoke(first.verify(token))
    key = entry_key(server)
    _, _, rest = server.cli("GET", key).decode().split("|")
    put(server, key, f"1|{names}|{rest}")
    assert pair.judge().verdict(token) == "revoked"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"0 ",
        b"00",
        b"1",
        b"1|",
        b"2||e30.AAAA",
        b"\xff\xfe",
        b"1||\xff",
        b"1|\xff|e30.AAAA",
        b"{}",
        b"x" * 1_000_000,
    ],
    ids=lambda value: repr(value[:16]),
)
def test_takes_what_is_no_entry_for_none(pair: Court, server: RedisServer, value: bytes) -> None:
    token = fresh()
    assert pair.judge().verdict(token) == GOOD
    key = entry_key(server)
    put(server, key, value)
    pair.provider.play(ENDPOINT, in_turn(inactive, says()))
    assert pair.judge().verdict(token) == "inactive"
    assert pair.judge().verdict(token) == GOOD


@pytest.mark.parametrize("where", ["entry", "claim"])
def test_takes_a_value_of_another_type_for_none(fleet: Court, redis_server: RedisServer, where: str) -> None:
    token = fresh()
    assert fleet.judge().verdict(token) == GOOD
    key = entry_key(redis_server)
    redis_server.cli("DEL", key)
    redis_server.cli("RPUSH", key if where == "entry" else f"{key}:claim", "x")
    fleet.provider.play(ENDPOINT, in_turn(inactive, says()))
    assert fleet.judge().verdict(token) == "inactive"
    assert fleet.judge().verdict(token) == GOOD


# --- Not active any more ---------------------------------------------------------------------------------------------


def test_takes_an_entry_away_when_the_token_is_inactive(fleet: Court, redis_server: RedisServer) -> None:
    token = fresh()
    assert fleet.judge().verdict(token) == GOOD
    key = entry_key(redis_server)
    fleet.provider.play(ENDPOINT, inactive)
    fleet.clock.now = NOW + 60
    assert fleet.judge().verdict(token) == "inactive"
    fleet.clock.now = NOW
    assert redis_server.cli("GET", key) == b"0"
    assert 50_000 < redis_server.cli("PTTL", key) <= 60_000
    assert fleet.judge().verdict(token) == "inactive"
    # While the tombstone stands, nothing is shared; each process finds out for itself.
    fleet.provider.play(ENDPOINT, says())
    for asked in (4, 5):
        assert fleet.judge().verdict(token) == GOOD
        assert fleet.asked == asked
    assert redis_server.cli("GET", key) == b"0"


def test_does_not_share_a_slower_answer_when_a_faster_one_was_inactive(fleet: Court, redis_server: RedisServer) -> None:
    first_asked, may_answer = threading.Event(), threading.Event()

    def slowly(line: Line) -> None:
        first_asked.set()
        when(may_answer, says())(line)

    fleet.provider.play(ENDPOINT, in_turn(slowly, inactive, inactive))
    slow = Judge(fleet.judge(real_time=True, deadline=4).itself, None)
    token = fresh()
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(slow.verdict, token)
        assert first_asked.wait(PATIENCE)
        assert fleet.judge(real_time=True, deadline=0.4).verdict(token) == "inactive"
        may_answer.set()
        assert late.result() == GOOD
    slow.close()
    entries = {key: value for key, value in kept_in(redis_server).items() if ":i:" in key}
    assert [*entries.values()] == [b"0"]
    assert fleet.judge().verdict(token) == "inactive"
    assert fleet.asked == 3


# --- Who may read what -----------------------------------------------------------------------------------------------


def test_tells_redis_and_the_log_no_token_and_no_secret(
    pair: Court, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    token, jti, secret = "a-token-that-nobody-may-read", "an-id-that-nobody-may-read", f"{CLIENT_SECRET}-nobody-may"
    told = ""
    plays = (says(jti=jti), inactive, says(jti=jti, exp=NOW - 1), says(jti=5), status(500), html(), status(401), silent)
    with caplog.at_level(logging.DEBUG):
        for auth in ("client_secret_basic", "client_secret_post", "client_secret_basic_raw"):
            for play in plays:
                pair.provider.play(ENDPOINT, play)
                judge = without_copies(pair, client_secret=secret, client_auth=auth, deadline=0.1)
                refusal = judge.refusal(token)
                told += f"{refusal!r} {refusal} {judge.itself!r} {judge.itself.kinds!r} {vars(judge.itself)}"
                if refusal is not None:
                    told += f"{refusal.body()} {refusal.headers()} {refusal.__cause__!r} {refusal.__context__!r}"
                    pair.clock.now += 61
                else:
                    accepted = judge.verify(token)
                    told += repr(accepted)
                    judge.denylist.revoke(accepted)
    kept = kept_in(server)
    raw = b" ".join([*(key.encode() for key in kept), *(str(value).encode() for value in kept.values())])
    kept.pop(f"{STEM}log")
    bodies = [
        value.split(b"|")[2].split(b".")[0] for value in kept.values() if value.count(b"|") == 2 and b"." in value
    ]
    spelt = b" ".join(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)) for body in bodies)
    assert b'"sub":"ana"' in spelt
    for hidden in (token, secret, base64.b64encode(secret.encode()).decode()[:40]):
        assert hidden.encode() not in raw + spelt
        assert hidden not in told + caplog.text
    assert jti.encode() not in raw
    assert jti not in told + caplog.text


def test_does_not_keep_under_a_name_that_can_be_guessed(pair: Court, server: RedisServer) -> None:
    token = fresh()
    assert pair.judge().verdict(token) == GOOD
    name = entry_key(server).removeprefix(STEM)
    for size in (16, 22, 32):
        assert token[:size] not in name
    kind, key_id, digest = name.split(":")
    assert (kind, len(key_id), len(digest)) == ("i", 11, 43)


@pytest.mark.parametrize("secret", ["x" * 31, SharedSecrets(CLIENT_SECRET, "short"), "\u00fc" * 15])
def test_shares_nothing_under_a_short_secret(
    pair: Court, server: RedisServer, log: Callable[[], list[str]], secret: Any
) -> None:
    first, second, token = pair.judge(client_secret=secret), pair.judge(client_secret=secret), fresh()
    assert len([line for line in log() if "32 bytes" in line]) >= 1
    for _ in range(2):
        assert (first.verdict(token), second.verdict(token)) == (GOOD, GOOD)
    assert pair.asked == 2
    assert set(kept_in(server)) == {f"{STEM}epoch"}


@pytest.mark.parametrize("secret", ["x" * 32, "\u00fc" * 16])
def test_shares_under_a_secret_of_32_bytes(pair: Court, log: Callable[[], list[str]], secret: str) -> None:
    token = fresh()
    for judge in (pair.judge(client_secret=secret), pair.judge(client_secret=secret)):
        assert judge.verdict(token) == GOOD
    assert (pair.asked, log()) == (1, [])


def test_warns_of_no_short_secret_where_nothing_is_shared(court: Court, log: Callable[[], list[str]]) -> None:
    assert court.judge(client_secret="short").verdict(fresh()) == GOOD
    assert not log()


# --- Redis that fails ------------------------------------------------------------------------------------------------


@pytest.fixture
def own_fleet(flavour: Flavour, own_redis_server: RedisServer) -> Iterator[Court]:
    with court_of(says(), flavour, own_redis_server.url) as court:
        yield court


@pytest.mark.parametrize("trouble", ["out of memory", "read-only"])
def test_uses_the_answer_though_it_cannot_be_shared(
    own_fleet: Court, own_redis_server: RedisServer, trouble: str, log: Callable[[], list[str]]
) -> None:
    seen = fresh()
    assert own_fleet.judge().verdict(seen) == GOOD
    if trouble == "read-only":
        own_redis_server.cli("REPLICAOF", "127.0.0.1", "1")
    else:
        own_redis_server.cli("CONFIG", "SET", "maxmemory", "1")
    judge, token = own_fleet.judge(), fresh()
    assert (judge.verdict(token), judge.verdict(token), judge.verdict(seen)) == (GOOD, GOOD, GOOD)
    assert own_fleet.asked == 2
    (line,) = log()
    assert "could not be kept" in line
    own_fleet.provider.play(ENDPOINT, inactive)
    assert judge.verdict(fresh()) == "inactive"


def test_finds_a_lost_memory_though_an_entry_is_left(fleet: Court, redis_server: RedisServer) -> None:
    fleet.provider.play(ENDPOINT, says(iat=1_000))
    judge, token = without_copies(fleet), fresh()
    assert (judge.verdict(token), judge.verdict(token)) == (GOOD, GOOD)
    redis_server.cli("DEL", f"{STEM}epoch")
    for _ in range(2):
        assert judge.verdict(token) == "memory_lost"
    assert fleet.asked == 1


def test_shares_where_no_scripts_may_be_run(own_redis_server: RedisServer, flavour: Flavour) -> None:
    own_redis_server.cli("ACL", "SETUSER", "app", "on", ">word", "~*", "+@all", "-@scripting")
    url = own_redis_server.url.replace("redis://", "redis://app:word@")
    with court_of(says(), flavour, url) as court:
        token, other = fresh(), fresh()
        judge = without_copies(court)
        assert (judge.verdict(other), judge.verdict(token)) == (GOOD, GOOD)
        commands = commands_of(own_redis_server, lambda: judge.verdict(token))
        assert [name for name in commands if name != "AUTH"] == ["MGET", "MGET"]
        assert court.judge().verdict(token) == GOOD
        assert court.asked == 2
        court.provider.play(ENDPOINT, inactive)
        for key in kept_in(own_redis_server):
            put(own_redis_server, key, "1||e30.AAAA")
        assert court.judge().verdict(token) == "inactive"


def test_says_503_while_redis_is_down(own_fleet: Court, own_redis_server: RedisServer) -> None:
    judge, seen = own_fleet.judge(), fresh()
    assert judge.verdict(seen) == GOOD
    own_redis_server.kill()
    for token in (seen, fresh()):
        refusal = judge.refusal(token)
        assert type(refusal) is StoreUnavailable
        assert refusal.status == 503
    assert own_fleet.asked == 1


# --- One question for many -------------------------------------------------------------------------------------------


def test_asks_once_for_500_requests_with_one_token(flavour: Flavour) -> None:
    with court_of(after(0.3, says()), flavour) as court:
        # The longest deadline there is: on a busy machine 500 threads take their time.
        judge, token = court.judge(real_time=True, deadline=4), fresh()
        assert judge.together([token] * 500) == [GOOD] * 500
        assert court.asked == 1


def test_asks_once_for_100_requests_with_one_token_over_redis(fleet: Court) -> None:
    fleet.provider.play(ENDPOINT, after(0.2, says()))
    judge, token = fleet.judge(real_time=True, deadline=4), fresh()
    assert judge.together([token] * 100) == [GOOD] * 100
    assert fleet.asked == 1


@pytest.mark.timed
def test_asks_no_more_than_32_questions_at_once(flavour: Flavour) -> None:
    with court_of(after(0.1, says()), flavour) as court:
        verdicts = court.judge(real_time=True).together([fresh() for _ in range(500)])
        assert set(verdicts) <= {GOOD, "provider_unavailable"}
        assert verdicts.count(GOOD) >= 32
        assert 16 < court.provider.most_at_once <= 32


def test_serves_the_others_when_the_first_to_ask_is_cancelled() -> None:
    may_answer = threading.Event()
    with court_of(when(may_answer, says()), "async") as court:
        judge, token = court.judge(real_time=True), fresh()

        async def storm() -> list[str]:
            leader = asyncio.create_task(averdict(judge.itself, token))
            await asyncio.to_thread(court.provider.wait_for_requests, 1)
            followers = [asyncio.create_task(averdict(judge.itself, token)) for _ in range(10)]
            await asyncio.sleep(0)
            leader.cancel()
            await asyncio.wait({leader})
            may_answer.set()
            return await asyncio.gather(*followers)

        assert court.runner is not None
        assert court.runner.run(storm()) == [GOOD] * 10
        assert judge.verdict(token) == GOOD
        assert court.asked == 1


class Watched:
    """The entries of a store, and what happens right after one was read."""

    def __init__(self, entries: Entries, then: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._entries = entries
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entries, name)

    async def recall(self, name: str, **options: Any) -> Recollection:
        recollection = await self._entries.recall(name, **options)
        await self._then()
        return recollection


class WatchedStore:
    """A store whose entries are watched."""

    def __init__(self, store: Any, then: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._store = store
        self.entries = Watched(store.entries, then)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Ahead:
    """One check of a token that is under way: it has read the marks, and goes on when it may."""

    def __init__(self, judge: Judge, token: str, then: Callable[[], object]) -> None:
        self.judge = judge
        self.token = token
        self.has_read = threading.Event()
        self.may_go_on = threading.Event()
        self.has_read_in_loop = asyncio.Event()
        self.may_go_on_in_loop = asyncio.Event()
        self._then = then

    async def verdict(self, ports: Ports) -> str:
        """The verdict by way of a store that is watched."""
        watched: Any = WatchedStore(ports.store, self._after_reading)
        verification = self.judge.itself.verification
        mine = Ports(watched, ports.fetch, ports.flight)
        try:
            await verification.verdict(self.token.encode(), verification.route(), mine)
        except AuthError as error:
            return error.reason
        return GOOD

    async def _after_reading(self) -> None:
        if self.has_read.is_set():
            return
        self.has_read.set()
        self.has_read_in_loop.set()
        if self.judge.in_loop:
            await self.may_go_on_in_loop.wait()
        else:
            assert self.may_go_on.wait(PATIENCE)
        self._then()


def in_threads(ahead: Ahead) -> list[str]:
    def boarding() -> str:
        # Should it board too late, it leads itself, and finds the revocation as well.
        ahead.may_go_on.set()
        return ahead.judge.run(ahead.verdict)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ahead.judge.run, ahead.verdict)
        assert ahead.has_read.wait(PATIENCE)
        second = pool.submit(boarding)
        return [first.result(), second.result()]


async def in_tasks(ahead: Ahead, ports: Ports) -> list[str]:
    first = asyncio.create_task(ahead.verdict(ports))
    await ahead.has_read_in_loop.wait()
    second = asyncio.create_task(ahead.verdict(ports))
    await asyncio.sleep(0)
    ahead.may_go_on_in_loop.set()
    return [await first, await second]


def test_looks_for_a_revocation_again_for_whoever_waited_for_another(fleet: Court) -> None:
    """The first has read the marks; then the token is revoked; then the second hears what the first found out."""
    revoker, token = Judge(fleet.judge().itself, None), fresh()
    accepted = revoker.verify(token)
    judge = fleet.judge(real_time=True)
    ahead = Ahead(judge, token, lambda: revoker.denylist.revoke(accepted))
    verdicts = judge.run(lambda ports: in_tasks(ahead, ports)) if judge.in_loop else in_threads(ahead)
    assert verdicts == [GOOD, "revoked"]
    assert fleet.asked == 1
    revoker.close()


# --- Four processes --------------------------------------------------------------------------------------------------

_PROCESS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from bearerguard import Verifier
from bearerguard.settings import OpaqueTokens
endpoint, store, issuer, client_id, secret, audience, now = sys.argv[1:]
kind = OpaqueTokens(
    issuer=issuer, client_id=client_id, client_secret=secret, audience=audience, introspection_endpoint=endpoint,
    deadline=4,
)
verifier = Verifier(kind, store=store, clock=lambda: float(now))
def verdict(token):
    try:
        return verifier.verify(token).subject
    except Exception as error:
        return repr(error)
with ThreadPoolExecutor(10) as pool:
    print("ready", flush=True)
    for line in sys.stdin:
        print(*sorted(set(pool.map(verdict, [line.strip()] * 10))), flush=True)
verifier.close()
"""


def test_asks_once_in_four_processes_as_a_rule(redis_server: RedisServer) -> None:
    with court_of(after(0.2, says()), "sync", redis_server.url) as court:
        kind = court.settings()
        words = (kind.introspection_endpoint, redis_server.url, kind.issuer, CLIENT_ID, CLIENT_SECRET, AUDIENCE, NOW)
        command = [sys.executable, "-c", _PROCESS, *map(str, words)]
        processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            for _ in range(4)
        ]
        try:
            assert {said(process) for process in processes} == {"ready"}
            asked_by(processes, court)  # the first call of a process takes its time
            asked = [asked_by(processes, court) for _ in range(5)]
        finally:
            for process in processes:
                process.communicate()
        assert max(asked) <= 4
        assert asked.count(1) >= 3


def asked_by(processes: list[subprocess.Popen[str]], court: Court) -> int:
    """How often the provider is asked when one new token comes to every process at once."""
    before, token = court.asked, fresh()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{token}\n")
        process.stdin.flush()
    assert {said(process) for process in processes} == {"ana"}
    return court.asked - before


def said(process: subprocess.Popen[str]) -> str:
    """The next line of a process."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


# --- A provider whose clock runs ahead -------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [0, 5, 10, 365 * 24 * HOUR], ids=["not", "5 s", "10 s", "a year"])
def test_a_provider_that_is_ahead_saves_no_token_from_a_watermark(court: Court, ahead: float) -> None:
    court.provider.play(ENDPOINT, says(iat=NOW + ahead, exp=...))
    judge, token = court.judge(user="sub", assumed_lifetime=HOUR), fresh()
    assert judge.verdict(token) == GOOD
    judge.denylist.revoke_user("ana")
    assert judge.verdict(token) == "revoked"


def test_lets_a_token_in_that_was_issued_after_a_watermark(court: Court) -> None:
    judge = court.judge(user="sub", assumed_lifetime=HOUR)
    judge.denylist.revoke_user("ana")
    court.clock.now = NOW + 60
    court.provider.play(ENDPOINT, says(iat=NOW + 60, exp=...))
    assert judge.verdict(fresh()) == GOOD
