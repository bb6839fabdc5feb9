"""What `on_failure="open"` lets pass while somebody cannot be asked, and what it never does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

import bearerguard.asgi
from bearerguard import (
    JwksKeys,
    OpaqueTokens,
    RedisStore,
    SettingsError,
    StoreUnavailable,
    Verifier,
    requires_scope,
    single_use,
)
from bearerguard.events import Event, PassedUnchecked, TokenAccepted
from bearerguard.sinks import add_sink
from tests.doors import Ask, Asking, answer_of_asgi, bearer, wsgi_world
from tests.hostile import GOOD, NOW, Clock, claims, key_of, settings
from tests.introspecting import CLIENT_SECRET, ENDPOINT, Court, Judge, court_of, fresh, inactive, says
from tests.minting import mint, public_jwk
from tests.revoking import HORIZON, STEM, Desk, Office, office_of, seconds_until, shop_settings, token
from tests.scripted_provider import ScriptedProvider, html, json_answer, reset, status
from tests.servers import RedisServer, free_port
from tests.store_calls import Flavour

LONG_ON_OTHER_SERVERS = True

WELL_AGAIN = 2 * 1.0
AN_HOUR = 3600


@pytest.fixture
def passed() -> Iterator[list[Event]]:
    """What is told of requests that pass unchecked."""
    told: list[Event] = []
    stop = add_sink(lambda event: told.append(event) if isinstance(event, PassedUnchecked) else None)
    yield told
    stop()


def by(dependency: Any, kind: str) -> PassedUnchecked:
    return PassedUnchecked(dependency=dependency, kind=kind)


BY_STORE = by("store", "signed")
BY_PROVIDER = by("provider", "opaque")
BY_KEYS = by("keys", "signed")

World = Callable[..., Asking]


@pytest.fixture(params=["asgi", "wsgi"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Either sort of door; its loop lives as long as the test, and so do its connections."""
    opened: list[Verifier[Any]] = []
    with asyncio.Runner() as runner:

        def asgi(view: Any, verifier: Verifier[Any]) -> Asking:
            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                await JSONResponse(await view())(scope, receive, send)

            opened.append(verifier)
            door = bearerguard.asgi.BearerMiddleware(app, verifier)
            return lambda ask: runner.run(answer_of_asgi(door, ask))

        def wsgi(view: Any, verifier: Verifier[Any]) -> Asking:
            opened.append(verifier)
            return wsgi_world(view, verifier)

        yield asgi if request.param == "asgi" else wsgi
        for verifier in opened:
            verifier.close()
            runner.run(verifier.aclose())


def view_of(world_name: str, guard: Callable[[Any], Any]) -> Any:
    """A view behind a guard, as the world of that name wants it."""
    return guard(_adone) if world_name == "asgi" else guard(_done)


def _done() -> str:
    return "done"


async def _adone() -> str:
    return "done"


def name_of(request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["world"])


# --- The start -------------------------------------------------------------------------------------------------------

NOWHERE = "redis://127.0.0.1:1"
OPEN: Mapping[str, tuple[Callable[[], Verifier[Any]], str]] = {
    "store": (
        lambda: Verifier(shop_settings(), store=RedisStore(NOWHERE, on_failure="open")),
        'kind signed: while the store cannot be asked, revoked tokens pass (on_failure="open")',
    ),
    "provider": (
        lambda: Verifier(_opaque(on_failure="open")),
        'kind opaque: while the provider cannot be asked, tokens that were good before pass (on_failure="open")',
    ),
    "keys": (
        lambda: Verifier(_fetched(on_failure="open")),
        'kind signed: while the key set cannot be asked, tokens of keys that may be withdrawn pass (on_failure="open")',
    ),
}


def _opaque(**changes: Any) -> OpaqueTokens:
    usual: dict[str, Any] = {"issuer": "https://id.example.com", "client_id": "c", "client_secret": CLIENT_SECRET}
    usual["audience"] = "https://orders.example.com"
    return OpaqueTokens(**usual | changes)


def _fetched(**changes: Any) -> Any:
    return settings(keys=JwksKeys("https://id.example.com/keys", **changes), algorithms=("EdDSA",))


@pytest.mark.parametrize("dependency", OPEN)
def test_says_at_the_start_what_is_open(dependency: str, caplog: pytest.LogCaptureFixture) -> None:
    build, said = OPEN[dependency]
    build()
    assert [(line.levelname, line.getMessage()) for line in caplog.records] == [("WARNING", said)]


def test_says_nothing_at_the_start_where_nothing_is_open(caplog: pytest.LogCaptureFixture) -> None:
    Verifier(shop_settings(), _opaque(), store=RedisStore(NOWHERE))
    Verifier(_fetched())
    assert caplog.records == []


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda word: RedisStore(NOWHERE, on_failure=word), id="store"),
        pytest.param(lambda word: _opaque(on_failure=word), id="provider"),
        pytest.param(lambda word: _fetched(on_failure=word), id="keys"),
    ],
)
@pytest.mark.parametrize("word", ["fail", "", "Open", True, None])
def test_takes_two_words_and_says_which(build: Callable[[Any], object], word: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        build(word)
    assert str(caught.value) == f"on_failure is {word!r}; use 'closed' or 'open'"


# --- The store -------------------------------------------------------------------------------------------------------


@pytest.fixture
def nowhere(flavour: Flavour) -> Iterator[Office]:
    """Over a store at which nobody listens."""
    with office_of(f"redis://127.0.0.1:{free_port()}/0", flavour) as office:
        yield office


def test_lets_a_good_token_pass_while_the_store_cannot_be_asked(
    nowhere: Office, passed: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    desk = nowhere.desk(on_failure="open")
    caplog.clear()
    assert [desk.verdict(token()) for _ in range(20)] == [GOOD] * 20
    assert passed == [BY_STORE] * 20
    lines = [line for line in caplog.records if "could not be asked" in line.getMessage()]
    assert {line.levelname for line in lines} == {"WARNING"}
    assert 1 <= len(lines) <= 3


def test_lets_nobody_pass_unless_it_is_told_to(nowhere: Office, passed: list[Event]) -> None:
    assert nowhere.desk().verdict(token()) == "store_unavailable"
    assert nowhere.desk(on_failure="closed").verdict(token()) == "store_unavailable"
    assert passed == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(mint(claims(), key="a secret that is none of ours, and is long"), "bad_signature", id="signature"),
        pytest.param(token(exp=NOW - 60), "expired", id="expired"),
        pytest.param(token(aud="https://elsewhere.example.com"), "wrong_audience", id="audience"),
        pytest.param(token(nbf=NOW + 600), "not_yet_valid", id="early"),
        pytest.param("a.b.c", "malformed", id="rubbish"),
    ],
)
def test_refuses_a_bad_token_all_the_same(nowhere: Office, passed: list[Event], text: str, reason: str) -> None:
    assert nowhere.desk(on_failure="open").verdict(text) == reason
    assert passed == []


def test_revokes_nothing_while_the_store_cannot_be_asked(nowhere: Office) -> None:
    desk = nowhere.desk(on_failure="open")
    held = desk.verify(token())
    calls: Sequence[Callable[[], object]] = (
        lambda: desk.denylist.revoke(held),
        lambda: desk.denylist.revoke_user("ana"),
        lambda: desk.denylist.revoke_tenant("str_1"),
        lambda: desk.denylist.status(held),
    )
    for revoke in calls:
        with pytest.raises(StoreUnavailable):
            revoke()


def test_claims_nothing_while_the_store_cannot_be_asked(nowhere: Office) -> None:
    desk = nowhere.desk(on_failure="open")
    assert desk.spend(token()) == "store_unavailable"


@pytest.fixture
def own_office(flavour: Flavour, own_redis_server: RedisServer) -> Iterator[Office]:
    """Over a server that can be killed."""
    with office_of(own_redis_server.url, flavour) as office:
        office.clock.now = int(time.time())
        yield office


def issued(office: Office, jti: str = "known", **changes: Any) -> str:
    return token(**{"iat": office.clock.now - 60, "exp": office.clock.now + HORIZON, "jti": jti} | changes)


def test_what_was_revoked_passes_while_the_store_is_away_and_not_a_moment_longer(
    own_office: Office, own_redis_server: RedisServer, passed: list[Event]
) -> None:
    desk, gone = own_office.desk(on_failure="open", durable=True), issued(own_office)
    desk.denylist.revoke(desk.verify(gone))
    assert desk.verdict(gone) == "revoked"
    own_redis_server.cli("SAVE")
    own_redis_server.kill()
    assert desk.verdict(gone) == GOOD
    own_redis_server.restart(empty=False)
    seconds_until(lambda: desk.verdict(gone) == "revoked", at_most=WELL_AGAIN)
    assert set(passed) == {BY_STORE}


@pytest.mark.parametrize("knew", [True, False], ids=["of a store that it knew", "of a store that it never met"])
def test_a_store_that_comes_back_empty_between_check_and_claim_accepts_no_token_twice(
    own_office: Office, own_redis_server: RedisServer, knew: bool
) -> None:
    """The check passed unasked, so the claim asks anew."""
    desk, once = own_office.desk(on_failure="open"), issued(own_office, "once")
    if knew:
        assert desk.spend(once) == GOOD
    own_redis_server.kill()
    said = [desk.spend(once, lambda: own_redis_server.restart(empty=True))]
    said += [desk.spend(once) for _ in range(3)]
    assert said.count(GOOD) == (0 if knew else 1)
    assert set(said) <= ({"memory_lost"} if knew else {GOOD, "replayed"}) | {"store_unavailable", "token_state_unknown"}


def test_a_store_that_goes_away_between_check_and_claim_claims_nothing(
    own_office: Office, own_redis_server: RedisServer
) -> None:
    desk = own_office.desk(on_failure="open")
    assert desk.verdict(issued(own_office)) == GOOD
    assert desk.spend(issued(own_office, "once"), own_redis_server.kill) in ("store_unavailable", "token_state_unknown")


def test_an_open_store_that_answers_is_as_strict_as_any(
    own_office: Office, own_redis_server: RedisServer, passed: list[Event]
) -> None:
    """Where it has lost its memory and nobody is to be judged without, or where nobody can read what it says."""
    desk = own_office.desk(on_failure="open", on_amnesia="unavailable")
    assert desk.verdict(issued(own_office)) == GOOD
    own_redis_server.flush()
    assert [desk.verdict(issued(own_office)) for _ in range(2)] == ["memory_lost"] * 2
    own_redis_server.cli("SET", f"{STEM}epoch", "?")
    assert own_office.desk(on_failure="open").verdict(issued(own_office)) == "store_unreadable"
    assert passed == []


def test_an_open_store_that_came_back_without_its_memory_refuses_older_tokens(
    own_office: Office, own_redis_server: RedisServer
) -> None:
    """Being open is for one that cannot be asked; this one was, and says that it has forgotten."""
    desk, old = own_office.desk(on_failure="open"), issued(own_office)
    assert desk.verdict(old) == GOOD
    own_redis_server.kill()
    assert desk.verdict(old) == GOOD
    own_redis_server.restart(empty=True)
    seconds_until(lambda: desk.verdict(old) == "memory_lost", at_most=WELL_AGAIN)


@pytest.mark.parametrize("guard", ["none", "scope", "once"])
def test_either_door_lets_pass_what_no_other_check_refuses(
    world: World, request: pytest.FixtureRequest, passed: list[Event], guard: str
) -> None:
    guards: dict[str, Callable[[Any], Any]] = {
        "none": lambda view: view,
        "scope": requires_scope("read:orders"),
        "once": single_use,
    }
    store = RedisStore(f"redis://127.0.0.1:{free_port()}", on_failure="open")
    ask = world(view_of(name_of(request), guards[guard]), Verifier(shop_settings(), store=store, clock=Clock()))
    answer = ask(Ask(headers=[bearer(token())]))
    assert answer.status == {"none": 200, "scope": 403, "once": 503}[guard]
    assert passed == [BY_STORE]
    if guard == "once":
        assert (answer.challenge, answer.header("retry-after")) == (None, "1")


def test_a_request_that_passes_unchecked_is_told_as_accepted_too(world: World, request: pytest.FixtureRequest) -> None:
    told: list[Event] = []
    stop = add_sink(told.append)
    store = RedisStore(f"redis://127.0.0.1:{free_port()}", on_failure="open")
    ask = world(view_of(name_of(request), lambda view: view), Verifier(shop_settings(), store=store, clock=Clock()))
    assert ask(Ask(headers=[bearer(token())])).status == 200
    stop()
    assert [type(event).__name__ for event in told] == ["StoreFailed", "PassedUnchecked", "TokenAccepted"]
    assert told[-1] == TokenAccepted(kind="signed", tenant="str_1", seen_before=False)


# --- The provider of opaque tokens -----------------------------------------------------------------------------------


@pytest.fixture
def court(flavour: Flavour) -> Iterator[Court]:
    """A provider that calls every token active, for two hours."""
    with court_of(says(exp=NOW + 2 * AN_HOUR), flavour) as court:
        yield court


def pass_by(court: Court, seconds: float) -> None:
    """Let time go by, on both clocks."""
    court.clock.now += seconds
    court.monotonic.now += seconds


def open_judge(court: Court, **changes: Any) -> Judge:
    return court.judge(on_failure="open", **changes)


TROUBLE = {"down": status(500), "gone": reset, "page": html(), "client": json_answer({"error": "invalid_client"}, 401)}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_lets_a_token_pass_that_was_good_within_an_hour(
    court: Court, passed: list[Event], caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    judge, text = open_judge(court), fresh()
    assert judge.verdict(text) == GOOD
    court.provider.play(ENDPOINT, TROUBLE[trouble])
    caplog.clear()
    pass_by(court, 61)
    assert judge.verdict(text) == GOOD
    assert passed == [BY_PROVIDER]
    assert "the provider could not be asked, and the settings let the request pass (kind opaque)" in caplog.text


def test_lets_no_token_pass_longer_than_an_hour_after_the_provider_was_asked(court: Court) -> None:
    judge, text = open_judge(court), fresh()
    assert judge.verdict(text) == GOOD
    court.provider.play(ENDPOINT, status(500))
    for _ in range(59):
        pass_by(court, 60)
        assert judge.verdict(text) == GOOD
    pass_by(court, 59.9)
    assert judge.verdict(text) == GOOD
    pass_by(court, 1.1)
    assert [judge.verdict(text) for _ in range(3)] == ["provider_unavailable"] * 3


def test_lets_no_token_pass_that_was_not_seen_for_an_hour(court: Court, passed: list[Event]) -> None:
    judge, text = open_judge(court), fresh()
    assert judge.verdict(text) == GOOD
    court.provider.play(ENDPOINT, status(500))
    pass_by(court, AN_HOUR)
    assert judge.verdict(text) == "provider_unavailable"
    assert passed == []


@pytest.mark.parametrize("between", [True, False], ids=["asked for in between", "not asked for in between"])
def test_a_wall_clock_that_is_set_back_makes_the_hour_no_longer(court: Court, between: bool) -> None:
    judge, text = open_judge(court), fresh()
    assert judge.verdict(text) == GOOD
    court.provider.play(ENDPOINT, status(500))
    if between:
        pass_by(court, 1800)
        assert judge.verdict(text) == GOOD
        pass_by(court, 1801)
    else:
        pass_by(court, 3601)
    court.clock.now -= AN_HOUR / 2
    assert judge.verdict(text) == "provider_unavailable"


def test_a_wall_clock_that_is_set_forward_makes_the_hour_shorter(court: Court) -> None:
    judge, text = open_judge(court), fresh()
    assert judge.verdict(text) == GOOD
    court.provider.play(ENDPOINT, status(500))
    court.clock.now += AN_HOUR
    assert judge.verdict(text) == "provider_unavailable"


def test_lets_no_token_pass_that_has_expired(court: Court, passed: list[Event]) -> None:
    judge, text = open_judge(court), fresh()
    court.provider.play(ENDPOINT, says(exp=NOW + 90))
    assert judge.verdict(text) == GOOD
    court.provider.play(ENDPOINT, status(500))
    pass_by(court, 61)
    assert judge.verdict(text) == GOOD
    pass_by(court, 30)
    assert judge.verdict(text) == "expired"
    assert passed == [BY_PROVIDER]


def test_lets_no_token_pass_that_the_provider_called_inactive(court: Court, passed: list[Event]) -> None:
    judge, text = open_judge(court), fresh()
    assert judge.verdict(text) == GOOD
    pass_by(court, 61)
    court.provider.play(ENDPOINT, inactive)
    assert judge.verdict(text) == "inactive"
    court.provider.play(ENDPOINT, status(500))
    assert [judge.verdict(text) for _ in range(3)] == ["provider_unavailable"] * 3
    assert passed == []


def test_lets_no_token_pass_that_the_provider_called_inactive_while_others_passed_unchecked(court: Court) -> None:
    judge, text = open_judge(court), fresh()
    assert judge.verdict(text) == GOOD
    court.provider.play(ENDPOINT, status(500))
    pass_by(court, 61)
    assert judge.verdict(text) == GOOD
    court.provider.play(ENDPOINT, inactive)
    pass_by(court, 1)
    assert judge.verdict(text) == "inactive"
    court.provider.play(ENDPOINT, reset)
    assert judge.verdict(text) == "provider_unavailable"


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        pytest.param({}, {"aud": "https://elsewhere.example.com"}, id="for somebody else by now"),
        pytest.param({}, {"iss": "https://elsewhere.example.com"}, id="of somebody else by now"),
        pytest.param({"rules": {"level": 1}}, {"level": 2}, id="against a rule by now"),
    ],
)
def test_lets_no_token_pass_that_was_refused_when_it_was_last_asked_about(
    court: Court, changes: dict[str, Any], answer: dict[str, Any]
) -> None:
    judge, text = open_judge(court, **changes), fresh()
    court.provider.play(ENDPOINT, says(exp=NOW + AN_HOUR, level=1))
    assert judge.verdict(text) == GOOD
    court.provider.play(ENDPOINT, says(**{"exp": NOW + AN_HOUR, "level": 1} | answer))
    pass_by(court, 61)
    assert judge.verdict(text) in ("wrong_audience", "wrong_issuer", "rule_failed")
    court.provider.play(ENDPOINT, status(500))
    assert judge.verdict(text) == "provider_unavailable"


def test_lets_no_token_pass_that_it_has_not_seen(court: Court, passed: list[Event]) -> None:
    judge = open_judge(court)
    assert judge.verdict(fresh()) == GOOD
    court.provider.play(ENDPOINT, status(500))
    assert judge.verdict(fresh()) == "provider_unavailable"
    assert passed == []


def test_another_process_has_found_nothing_good(court: Court) -> None:
    text = fresh()
    assert open_judge(court).verdict(text) == GOOD
    court.provider.play(ENDPOINT, status(500))
    assert open_judge(court).verdict(text) == "provider_unavailable"


def test_remembers_nothing_that_could_pass_where_nothing_is_remembered(court: Court) -> None:
    judge, text = open_judge(court, cache_seconds=0), fresh()
    assert judge.verdict(text) == GOOD
    court.provider.play(ENDPOINT, status(500))
    assert judge.verdict(text) == "provider_unavailable"


def test_is_closed_for_opaque_tokens_unless_it_is_told_otherwise(court: Court, passed: list[Event]) -> None:
    judge, text = court.judge(), fresh()
    assert judge.verdict(text) == GOOD
    court.provider.play(ENDPOINT, status(500))
    pass_by(court, 61)
    assert judge.verdict(text) == "provider_unavailable"
    assert passed == []


def test_tries_the_provider_again_each_second(court: Court, passed: list[Event]) -> None:
    judge, text = open_judge(court), fresh()
    assert judge.verdict(text) == GOOD
    court.provider.play(ENDPOINT, status(500))
    pass_by(court, 61)
    before = court.asked
    assert [judge.verdict(text) for _ in range(10)] == [GOOD] * 10
    assert court.asked - before == 1
    pass_by(court, 1)
    assert judge.verdict(text) == GOOD
    assert court.asked - before == 2
    assert passed == [BY_PROVIDER] * 2
    court.provider.play(ENDPOINT, says(exp=NOW + 2 * AN_HOUR))
    pass_by(court, 1)
    assert judge.verdict(text) == GOOD
    assert court.asked - before == 3
    pass_by(court, 59)
    assert judge.verdict(text) == GOOD
    assert court.asked - before == 3
    assert passed == [BY_PROVIDER] * 2


def test_asks_nobody_while_the_provider_wants_a_pause_and_lets_known_tokens_pass(court: Court) -> None:
    judge, text = open_judge(court), fresh()
    assert judge.verdict(text) == GOOD
    court.provider.play(ENDPOINT, status(429, {"retry-after": "20"}))
    pass_by(court, 61)
    before = court.asked
    for _ in range(10):
        assert judge.verdict(text) == GOOD
        pass_by(court, 1)
    assert court.asked - before == 1


def test_what_was_revoked_here_is_refused_while_the_provider_is_away(court: Court) -> None:
    judge, text = open_judge(court, assumed_lifetime=AN_HOUR, user="sub"), fresh()
    held = judge.verify(text)
    court.provider.play(ENDPOINT, status(500))
    pass_by(court, 61)
    assert judge.verdict(text) == GOOD
    judge.denylist.revoke(held)
    assert judge.verdict(text) == "revoked"
    pass_by(court, 2)
    assert judge.verdict(text) == "revoked"


def test_a_check_that_is_made_each_time_is_made_while_the_provider_is_away(court: Court) -> None:
    is_let_in = True
    judge, text = open_judge(court, each_time=(lambda _: is_let_in,)), fresh()
    assert judge.verdict(text) == GOOD
    court.provider.play(ENDPOINT, status(500))
    pass_by(court, 61)
    assert judge.verdict(text) == GOOD
    is_let_in = False
    assert judge.verdict(text) == "rule_failed"


def test_many_at_once_who_are_known_ask_once_and_pass(flavour: Flavour) -> None:
    with court_of(says(exp=NOW + 2 * AN_HOUR), flavour) as court:
        judge, text = open_judge(court), fresh()
        assert judge.verdict(text) == GOOD
        court.provider.play(ENDPOINT, status(500))
        pass_by(court, 61)
        before = court.asked
        assert judge.together([text] * 50) == [GOOD] * 50
        assert court.asked - before == 1


def test_both_may_be_open_at_once(flavour: Flavour, passed: list[Event]) -> None:
    """Without a store the provider is asked itself; without both, what was good before passes."""
    with court_of(says(exp=NOW + 2 * AN_HOUR), flavour) as court:
        store = RedisStore(f"redis://127.0.0.1:{free_port()}", on_failure="open")
        verifier = Verifier(
            court.settings(on_failure="open"), store=store, clock=court.clock, monotonic=court.monotonic
        )
        judge, text = Judge(verifier, court.runner), fresh()
        assert judge.verdict(text) == GOOD
        assert passed == [by("store", "opaque")]
        court.provider.play(ENDPOINT, status(500))
        pass_by(court, 61)
        assert judge.verdict(text) == GOOD
        assert passed == [by("store", "opaque"), BY_PROVIDER, by("store", "opaque")]
        assert judge.verdict(fresh()) == "provider_unavailable"
        judge.close()


def test_an_open_store_does_not_open_the_provider(flavour: Flavour) -> None:
    with court_of(says(exp=NOW + 2 * AN_HOUR), flavour) as court:
        store = RedisStore(f"redis://127.0.0.1:{free_port()}", on_failure="open")
        verifier = Verifier(court.settings(), store=store, clock=court.clock, monotonic=court.monotonic)
        judge, text = Judge(verifier, court.runner), fresh()
        assert judge.verdict(text) == GOOD
        court.provider.play(ENDPOINT, status(500))
        pass_by(court, 61)
        assert judge.verdict(text) == "provider_unavailable"
        judge.close()


def test_an_open_provider_does_not_open_the_store(flavour: Flavour) -> None:
    with court_of(says(exp=NOW + 2 * AN_HOUR), flavour, f"redis://127.0.0.1:{free_port()}") as court:
        assert open_judge(court).verdict(fresh()) == "store_unavailable"


@pytest.mark.parametrize(
    ("guard", "expected"),
    [
        pytest.param(requires_scope("read:orders"), [200, 200], id="a scope that it has"),
        pytest.param(requires_scope("admin"), [403, 403], id="a scope that it has not"),
        pytest.param(single_use, [200, 401], id="one-time use, which asks the store"),
    ],
)
def test_either_door_lets_pass_whom_the_provider_called_good(
    world: World, request: pytest.FixtureRequest, passed: list[Event], guard: Any, expected: list[int]
) -> None:
    clock, monotonic, text = Clock(), Clock(0), Ask(headers=[bearer(fresh())])
    with ScriptedProvider(says(exp=NOW + AN_HOUR, scope="read:orders")) as provider:
        kind = _opaque(introspection_endpoint=provider.url(ENDPOINT), on_failure="open")
        verifier = Verifier(kind, clock=clock, monotonic=monotonic)
        plain, guarded = (world(view_of(name_of(request), each), verifier) for each in (lambda view: view, guard))
        assert plain(text).status == 200
        provider.play(ENDPOINT, status(500))
        clock.now += 61
        monotonic.now += 61
        assert [guarded(text).status for _ in range(2)] == expected
        assert passed == [BY_PROVIDER]
        assert guarded(Ask(headers=[bearer(fresh())])).status == 503


# --- Key sets --------------------------------------------------------------------------------------------------------


def key_set(*names: str) -> Any:
    return json_answer({"keys": [public_jwk(key_of("EdDSA", name), kid=name) for name in names]})


def signed(name: str = "one", **changes: Any) -> str:
    return mint(claims({"exp": NOW + 90_000, **changes}), key=key_of("EdDSA", name), alg="EdDSA", headers={"kid": name})


class Ring:
    """A provider of keys, and judges of the tokens that they sign."""

    def __init__(self, provider: ScriptedProvider, runner: asyncio.Runner | None, stack: ExitStack) -> None:
        self.provider = provider
        self.clock = Clock()
        self.monotonic = Clock(1_000_000)
        self._runner = runner
        self._stack = stack

    def desk(self, **options: Any) -> Desk:
        kind = settings(keys=JwksKeys(self.provider.url("/jwks"), **options), algorithms=("EdDSA",))
        desk = Desk(Verifier(kind, clock=self.clock, monotonic=self.monotonic), self._runner)
        self._stack.callback(desk.close)
        return desk

    def outlive_the_keys(self) -> None:
        """The set cannot be had, until its keys are too old."""
        self.provider.play("/jwks", status(500))
        self.monotonic.now += 3601


@pytest.fixture
def ring(flavour: Flavour) -> Iterator[Ring]:
    with ScriptedProvider(key_set("one")) as provider, asyncio.Runner() as runner, ExitStack() as stack:
        yield Ring(provider, runner if flavour == "async" else None, stack)


def test_goes_on_with_keys_that_are_too_old(ring: Ring, passed: list[Event], caplog: pytest.LogCaptureFixture) -> None:
    desk = ring.desk(on_failure="open")
    assert desk.verdict(signed(jti="1")) == GOOD
    ring.outlive_the_keys()
    assert (desk.verdict(signed(jti="1")), passed) == (GOOD, [BY_KEYS])
    assert desk.verdict(signed(jti="2")) == GOOD
    assert "the keys could not be asked, and the settings let the request pass (kind signed)" in caplog.text
    ring.monotonic.now += 10 * 86_400
    assert desk.verdict(signed(jti="3")) == GOOD
    assert passed == [BY_KEYS] * 3


def test_trusts_no_keys_that_are_too_old_unless_it_is_told_to(ring: Ring, passed: list[Event]) -> None:
    desk = ring.desk()
    assert desk.verdict(signed()) == GOOD
    ring.outlive_the_keys()
    assert desk.verdict(signed()) == "keys_unavailable"
    assert passed == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(signed()[:-8] + "AAAAAAAA", "bad_signature", id="signature"),
        pytest.param(signed("two"), "keys_unavailable", id="a key that it never had"),
        pytest.param(mint(claims(), headers={"kid": "one"}), "bad_algorithm", id="algorithm"),
    ],
)
def test_refuses_what_no_key_of_its_own_has_signed(ring: Ring, passed: list[Event], text: str, reason: str) -> None:
    desk = ring.desk(on_failure="open")
    assert desk.verdict(signed(jti="good")) == GOOD
    ring.outlive_the_keys()
    assert desk.verdict(text) == reason
    assert passed == []


def test_refuses_an_expired_token_of_a_key_that_is_too_old(ring: Ring) -> None:
    desk = ring.desk(on_failure="open")
    assert desk.verdict(signed()) == GOOD
    ring.outlive_the_keys()
    assert desk.verdict(signed(exp=NOW - 60)) == "expired"
    ring.clock.now += 100_000
    assert desk.verdict(signed()) == "expired"


def test_has_no_keys_to_go_on_with_before_the_first_fetch(ring: Ring, passed: list[Event]) -> None:
    desk = ring.desk(on_failure="open")
    ring.provider.play("/jwks", status(500))
    assert [desk.verdict(signed()) for _ in range(3)] == ["keys_unavailable"] * 3
    assert passed == []


def test_a_key_that_has_left_the_set_is_gone_however_open(ring: Ring) -> None:
    desk = ring.desk(on_failure="open")
    assert desk.verdict(signed("one")) == GOOD
    ring.provider.play("/jwks", key_set("two"))
    ring.monotonic.now += 3601
    assert desk.verdict(signed("two")) == GOOD
    assert desk.verdict(signed("one")) == "unknown_key"
    ring.outlive_the_keys()
    assert [desk.verdict(signed("one")), desk.verdict(signed("two"))] == ["keys_unavailable", GOOD]


def test_takes_the_keys_of_a_set_that_can_be_had_again(ring: Ring, passed: list[Event]) -> None:
    desk = ring.desk(on_failure="open")
    assert desk.verdict(signed("one")) == GOOD
    ring.outlive_the_keys()
    assert desk.verdict(signed("one")) == GOOD
    ring.provider.play("/jwks", key_set("two"))
    ring.monotonic.now += 31
    assert [desk.verdict(signed("one")), desk.verdict(signed("two"))] == ["unknown_key", GOOD]
    assert passed == [BY_KEYS]


def test_asks_for_the_set_no_more_often_because_it_is_open(ring: Ring) -> None:
    desk = ring.desk(on_failure="open")
    assert desk.verdict(signed()) == GOOD
    ring.outlive_the_keys()
    before = ring.provider.count("/jwks")
    for number in range(60):
        assert desk.verdict(signed(jti=f"{number}")) == GOOD
        ring.monotonic.now += 0.5
    # After 0, 1, 2, 4, 8 and 15 more seconds at the earliest.
    assert 1 <= ring.provider.count("/jwks") - before <= 6


@pytest.mark.parametrize("on_failure", ["closed", "open"])
def test_either_door_goes_on_with_keys_that_are_too_old(
    world: World, request: pytest.FixtureRequest, passed: list[Event], on_failure: Any
) -> None:
    monotonic = Clock(1_000_000)
    with ScriptedProvider(key_set("one")) as provider:
        kind = settings(keys=JwksKeys(provider.url("/jwks"), on_failure=on_failure), algorithms=("EdDSA",))
        guard = requires_scope("read:orders")
        ask = world(view_of(name_of(request), guard), Verifier(kind, clock=Clock(), monotonic=monotonic))
        assert ask(Ask(headers=[bearer(signed(scope="read:orders"))])).status == 200
        provider.play("/jwks", status(500))
        monotonic.now += 3601
        answers = [ask(Ask(headers=[bearer(text)])) for text in (signed(scope="read:orders"), signed())]
    assert [answer.status for answer in answers] == ([200, 403] if on_failure == "open" else [503, 503])
    assert passed == ([BY_KEYS] * 2 if on_failure == "open" else [])
