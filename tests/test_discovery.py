"""Finding endpoints in a provider's metadata: strict documents, two places to ask, outages and old knowledge."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bearerguard import ProviderUnavailable
from bearerguard.connections import Connections
from bearerguard.core.discovery import Metadata
from bearerguard.core.ports import Ports, run_sync
from bearerguard.rules.discovery import (
    Known,
    Mismatch,
    NoMetadata,
    UnusableEndpoint,
    after_failure,
    after_success,
    endpoint_of,
    metadata_of,
    metadata_urls,
)
from tests.hostile import Clock
from tests.scripted_provider import (
    Play,
    ScriptedProvider,
    after,
    answer,
    hang_up,
    html,
    in_turn,
    json_answer,
    redirect,
    reset,
    silent,
    status,
    truncated,
)

ISSUER = "https://id.example.com"
INTROSPECTION = "introspection_endpoint"
ENDPOINT = f"{ISSUER}/oauth/introspect"
RFC_8414 = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
HALF_A_SECOND = 0.5
AN_HOUR = 3600.0


# --- Where to ask ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("issuer", "first", "second"),
    [
        pytest.param("https://h", f"https://h{RFC_8414}", f"https://h{OPENID}", id="no path"),
        pytest.param("https://h/", f"https://h{RFC_8414}", f"https://h{OPENID}", id="a slash"),
        pytest.param("https://h/p", f"https://h{RFC_8414}/p", f"https://h/p{OPENID}", id="a path"),
        pytest.param("https://h/p/", f"https://h{RFC_8414}/p", f"https://h/p{OPENID}", id="a path with a slash"),
        pytest.param("https://h/a/b", f"https://h{RFC_8414}/a/b", f"https://h/a/b{OPENID}", id="a longer path"),
        pytest.param("https://h:8443/p", f"https://h:8443{RFC_8414}/p", f"https://h:8443/p{OPENID}", id="a port"),
        pytest.param("https://h/a%20b", f"https://h{RFC_8414}/a%20b", f"https://h/a%20b{OPENID}", id="escapes"),
        pytest.param("http://[::1]:80/p", f"http://[::1]:80{RFC_8414}/p", f"http://[::1]:80/p{OPENID}", id="IPv6"),
    ],
)
def test_looks_for_metadata_where_the_specifications_put_it(issuer: str, first: str, second: str) -> None:
    assert metadata_urls(issuer) == (first, second)


# --- What is metadata ------------------------------------------------------------------------------------------------


def spelt(**members: Any) -> bytes:
    return json.dumps({"issuer": ISSUER, INTROSPECTION: ENDPOINT} | members).encode()


@pytest.mark.parametrize(
    "issuer",
    [
        pytest.param(f"{ISSUER}/", id="a slash more"),
        pytest.param("https://ID.example.com", id="capitals"),
        pytest.param("https://id.example.com:443", id="the usual port"),
        pytest.param("http://id.example.com", id="another scheme"),
        pytest.param(f"{ISSUER}/tenant", id="a path more"),
        pytest.param(f" {ISSUER}", id="a blank"),
        pytest.param("", id="empty"),
        pytest.param(None, id="null"),
        pytest.param([ISSUER], id="a list"),
        pytest.param(True, id="a boolean"),
    ],
)
def test_takes_the_metadata_of_exactly_our_issuer(issuer: object) -> None:
    with pytest.raises(Mismatch, match="issuer"):
        metadata_of(spelt(issuer=issuer), issuer=ISSUER)


def test_takes_no_metadata_that_names_no_issuer() -> None:
    with pytest.raises(Mismatch):
        metadata_of(b"{}", issuer=ISSUER)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<!doctype html>", id="a page"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(spelt()[:-1], id="cut off"),
        pytest.param(spelt() + b"{}", id="two objects"),
        pytest.param(b"\xef\xbb\xbf" + spelt(), id="a byte order mark"),
        pytest.param(spelt().decode().encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"issuer": "a", "issuer": "%s"}' % ISSUER.encode(), id="a name twice"),
        pytest.param(b'{"issuer": NaN}', id="NaN"),
        pytest.param(b'{"a":' * 50_000, id="deep"),
    ],
)
def test_reads_metadata_strictly(body: bytes) -> None:
    with pytest.raises(NoMetadata):
        metadata_of(body, issuer=ISSUER)


@given(st.binary() | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(json.dumps).map(str.encode))
def test_raises_nothing_else_whatever_the_document(body: bytes) -> None:
    with pytest.raises((NoMetadata, Mismatch)):
        metadata_of(body, issuer=ISSUER)


def _filled(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner) | st.dictionaries(st.text(), inner)


PIECES = [*(ISSUER, "https://", "http://", "127.0.0.1", "evil.example", "443"), *"@:/\\#?[]% \n\u00e9"]
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), _filled)
URLS = st.lists(st.sampled_from(PIECES)).map("".join)


@given(JSON | URLS)
def test_raises_nothing_else_whatever_the_endpoint(value: object) -> None:
    metadata = metadata_of(spelt(**{INTROSPECTION: value}), issuer=ISSUER)
    with suppress(Mismatch):
        url = endpoint_of(metadata, INTROSPECTION, issuer=ISSUER, origins=frozenset())
        assert httpx.URL(url).host == "id.example.com"


# --- Which endpoint is taken -----------------------------------------------------------------------------------------


def endpoint(url: object, *origins: str, issuer: str = ISSUER) -> str:
    return endpoint_of({INTROSPECTION: url}, INTROSPECTION, issuer=issuer, origins=frozenset(origins))


@pytest.mark.parametrize(
    ("url", "origins", "issuer"),
    [
        pytest.param(ENDPOINT, (), ISSUER, id="the issuer's origin"),
        pytest.param(f"{ISSUER}:443/introspect", (), ISSUER, id="the usual port"),
        pytest.param("https://ID.example.com/introspect", (), ISSUER, id="a host in capitals"),
        pytest.param(f"{ISSUER}/introspect?tenant=a", (), ISSUER, id="a query"),
        pytest.param(ENDPOINT, (), f"{ISSUER}/tenant/a", id="an issuer with a path"),
        pytest.param("https://api.example.com/i", ("https://api.example.com",), ISSUER, id="an allowed origin"),
        pytest.param("http://127.0.0.1:9/i", (), "http://127.0.0.1:9", id="this machine"),
    ],
)
def test_takes_an_endpoint_that_is_near_or_allowed(url: str, origins: tuple[str, ...], issuer: str) -> None:
    assert endpoint(url, *origins, issuer=issuer) == url


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://api.example.com/introspect", id="another host"),
        pytest.param("https://id.example.com.evil.example/i", id="a longer host"),
        pytest.param("https://id.example.com@evil.example/i", id="a host in disguise"),
        pytest.param("https://evil.example\\@id.example.com/i", id="a backslash"),
        pytest.param("https://id.example.com:8443/i", id="another port"),
        pytest.param("http://id.example.com/i", id="http"),
        pytest.param("http://127.0.0.1/i", id="this machine"),
        pytest.param("//id.example.com/i", id="no scheme"),
        pytest.param("/introspect", id="no host"),
        pytest.param("file:///etc/passwd", id="a file"),
        pytest.param("", id="empty"),
        pytest.param(f"{ENDPOINT}\n", id="a line feed"),
        pytest.param(f"{ENDPOINT}#part", id="a fragment"),
        pytest.param("https://[id.example.com/i", id="a broken host"),
        pytest.param("https://id.example.com:port/i", id="a broken port"),
        pytest.param(5, id="a number"),
        pytest.param([ENDPOINT], id="a list"),
        pytest.param({}, id="an object"),
    ],
)
def test_refuses_an_endpoint_that_is_neither(url: object) -> None:
    with pytest.raises(UnusableEndpoint) as refusal:
        endpoint(url)
    assert "evil" not in str(refusal.value)


def test_says_which_setting_to_look_at_when_there_is_no_endpoint() -> None:
    with pytest.raises(Mismatch, match=f"names no {INTROSPECTION}; give the endpoint"):
        endpoint_of({"jwks_uri": ENDPOINT}, INTROSPECTION, issuer=ISSUER, origins=frozenset())


# --- How it ages -----------------------------------------------------------------------------------------------------


def test_asks_again_in_steps_that_double_up_to_five_seconds() -> None:
    known, now, pauses = Known(), 100.0, []
    for _ in range(6):
        known = after_failure(known, now=now)
        assert not known.wants_asking(known.ask_again_at - 0.01)
        assert known.wants_asking(known.ask_again_at)
        pauses.append(known.ask_again_at - now)
        now = known.ask_again_at
    assert pauses == [1, 2, 4, 5, 5, 5]


def test_begins_anew_after_a_good_answer() -> None:
    known = after_success(ENDPOINT, now=100.0)
    assert not known.wants_asking(100.0 + AN_HOUR - 1)
    assert known.wants_asking(100.0 + AN_HOUR)
    failed = after_failure(known, now=100.0 + AN_HOUR)
    assert (failed.url, failed.ask_again_at) == (ENDPOINT, 101.0 + AN_HOUR)
    assert failed.wants_asking(101.0 + AN_HOUR)


# --- Over the wire ---------------------------------------------------------------------------------------------------

_T = TypeVar("_T")


class House:
    """One verifier's side of the wire: its ports in blocking or in async code, and a clock that the test moves."""

    def __init__(self, provider: ScriptedProvider, flavour: str) -> None:
        self.provider = provider
        self.clock = Clock(1_000_000.0)
        self._is_async = flavour == "async"
        self._connections = Connections("memory://", time.monotonic)

    def metadata(self, path: str = "", *origins: str) -> Metadata:
        return Metadata(self.provider.url(path), self.clock, frozenset(origins))

    def endpoint(self, metadata: Metadata, name: str = INTROSPECTION, *, within: float = 2.0) -> str:
        """The endpoint, or the reason word of the refusal; what was begun behind our back has ended."""
        before = set(threading.enumerate())
        try:
            if self._is_async:
                return asyncio.run(self._in_a_loop(lambda ports: metadata.endpoint(name, ports, within=within)))
            return run_sync(metadata.endpoint(name, self._connections.blocking(), within=within))
        except ProviderUnavailable as refusal:
            return refusal.reason
        finally:
            _settle(before)

    def many(self, metadata: Metadata, count: int) -> list[str]:
        """What so many callers at once are told."""
        if self._is_async:
            return asyncio.run(self._in_a_loop(lambda ports: _gathered(metadata, ports, count)))
        ports = self._connections.blocking()
        with ThreadPoolExecutor(count) as pool:
            asked = [pool.submit(run_sync, _told(metadata, ports)) for _ in range(count)]
            return [each.result() for each in asked]

    def close(self) -> None:
        self._connections.close()

    async def _in_a_loop(self, work: Callable[[Ports], Awaitable[_T]]) -> _T:
        try:
            return await work(self._connections.of_this_loop())
        finally:
            await self._connections.aclose()


def _settle(before: Iterable[threading.Thread]) -> None:
    """Wait for the threads that have begun since, but for the provider's own."""
    for thread in {*threading.enumerate()}.difference(before):
        if thread.name != "scripted provider":
            thread.join(2)


async def _told(metadata: Metadata, ports: Ports) -> str:
    try:
        return await metadata.endpoint(INTROSPECTION, ports, within=5.0)
    except ProviderUnavailable as refusal:
        return refusal.reason


async def _gathered(metadata: Metadata, ports: Ports, count: int) -> list[str]:
    return await asyncio.gather(*(_told(metadata, ports) for _ in range(count)))


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider(status(404)) as scripted:
        yield scripted


@pytest.fixture(params=["async", "blocking"])
def house(request: pytest.FixtureRequest, provider: ScriptedProvider) -> Iterator[House]:
    made = House(provider, request.param)
    yield made
    made.close()


def document(provider: ScriptedProvider, path: str = "", **changes: Any) -> Play:
    """The metadata of that issuer, but for what changes; None leaves a member out."""
    usual = {"issuer": provider.url(path), INTROSPECTION: provider.url("/introspect"), "jwks_uri": "no URL at all"}
    return json_answer({name: value for name, value in {**usual, **changes}.items() if value is not None})


def test_asks_for_rfc_8414_first(house: House, provider: ScriptedProvider) -> None:
    provider.play(RFC_8414, document(provider))
    provider.play(OPENID, document(provider, introspection_endpoint=provider.url("/other")))
    assert house.endpoint(house.metadata()) == provider.url("/introspect")
    (request,) = provider.requests
    assert (request.method, request.path, request.headers["accept"]) == ("GET", RFC_8414, "application/json")
    assert "authorization" not in request.headers


@pytest.mark.parametrize("path", ["/tenant", "/tenant/", "/"])
def test_finds_the_metadata_of_an_issuer_with_a_path(house: House, provider: ScriptedProvider, path: str) -> None:
    inserted = f"{RFC_8414}{path}".rstrip("/")
    provider.play(inserted, document(provider, path))
    assert house.endpoint(house.metadata(path)) == provider.url("/introspect")
    assert provider.count() == 1


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(status(404), id="404"),
        pytest.param(status(500), id="500"),
        pytest.param(redirect("/elsewhere"), id="a redirect"),
        pytest.param(html(), id="a page with 200"),
        pytest.param(answer(b"[]"), id="no object"),
        pytest.param(json_answer({"issuer": ISSUER, INTROSPECTION: ENDPOINT}), id="another issuer"),
    ],
)
def test_asks_for_openids_metadata_where_there_is_no_other(
    house: House, provider: ScriptedProvider, first: Play
) -> None:
    provider.play(f"{RFC_8414}/tenant", first)
    provider.play(f"/tenant{OPENID}", document(provider, "/tenant"))
    assert house.endpoint(house.metadata("/tenant")) == provider.url("/introspect")
    assert [request.path for request in provider.requests] == [f"{RFC_8414}/tenant", f"/tenant{OPENID}"]


def test_finds_in_openids_metadata_what_the_other_does_not_name(house: House, provider: ScriptedProvider) -> None:
    provider.play(RFC_8414, document(provider, introspection_endpoint=None))
    provider.play(OPENID, document(provider))
    assert house.endpoint(house.metadata()) == provider.url("/introspect")


def test_finds_each_endpoint_that_is_asked_for(house: House, provider: ScriptedProvider) -> None:
    provider.play(RFC_8414, document(provider, token_endpoint=provider.url("/token")))
    metadata = house.metadata()
    assert house.endpoint(metadata, "token_endpoint") == provider.url("/token")
    assert house.endpoint(metadata) == provider.url("/introspect")
    assert house.endpoint(metadata, "revocation_endpoint") == "provider_mismatch"
    assert house.endpoint(metadata, "token_endpoint") == provider.url("/token")


OTHER_ORIGIN = "https://api.example.com"


def test_takes_an_endpoint_of_another_origin_where_that_is_allowed(house: House, provider: ScriptedProvider) -> None:
    url = f"{OTHER_ORIGIN}/introspect"
    provider.play(RFC_8414, document(provider, introspection_endpoint=url))
    assert house.endpoint(house.metadata("", OTHER_ORIGIN)) == url
    assert house.endpoint(house.metadata("", "https://else.example.com")) == "provider_mismatch"


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        pytest.param({"issuer": "https://secret-name.example.com"}, "issuer=", id="another issuer"),
        pytest.param({INTROSPECTION: "https://secret-name.example.com/i"}, "allow that origin", id="another origin"),
        pytest.param({INTROSPECTION: "http://secret-name.example.com/i"}, "give the endpoint", id="http"),
        pytest.param({INTROSPECTION: ["secret-name"]}, "give the endpoint", id="no text"),
        pytest.param({INTROSPECTION: None, "secret-name": 1}, "give the endpoint", id="no endpoint"),
    ],
)
def test_tells_the_log_which_setting_does_not_fit(
    house: House,
    provider: ScriptedProvider,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, Any],
    setting: str,
) -> None:
    provider.play(RFC_8414, document(provider, **changes))
    metadata = house.metadata()
    with caplog.at_level(logging.WARNING, "bearerguard"):
        assert house.endpoint(metadata) == "provider_mismatch"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert setting in record.getMessage()
    assert provider.url("") in record.getMessage()
    assert "secret-name" not in record.getMessage()
    assert house.endpoint(metadata) == "provider_unavailable"


def test_looks_no_further_than_an_endpoint_that_must_not_be_used(house: House, provider: ScriptedProvider) -> None:
    provider.play(RFC_8414, document(provider, introspection_endpoint="http://id.example.com/introspect"))
    provider.play(OPENID, document(provider))
    assert house.endpoint(house.metadata()) == "provider_mismatch"
    assert provider.count(OPENID) == 0


@pytest.mark.parametrize("play", [hang_up, reset, truncated()], ids=["hang up", "reset", "truncated"])
def test_ends_at_once_when_the_network_fails(
    house: House, provider: ScriptedProvider, caplog: pytest.LogCaptureFixture, play: Play
) -> None:
    provider.play(RFC_8414, play)
    provider.play(OPENID, document(provider))
    assert house.endpoint(house.metadata()) == "provider_unavailable"
    assert provider.count() == 1
    (record,) = [each for each in caplog.records if each.name == "bearerguard"]
    assert record.levelno == logging.WARNING


@pytest.mark.timed
def test_ends_in_time_whatever_the_provider_does(house: House, provider: ScriptedProvider) -> None:
    provider.play(RFC_8414, after(HALF_A_SECOND / 2, status(404)))
    provider.play(OPENID, silent)
    metadata = Metadata(provider.url(""), time.monotonic)
    started = time.monotonic()
    assert house.endpoint(metadata, within=HALF_A_SECOND) == "provider_unavailable"
    assert time.monotonic() - started < 2 * HALF_A_SECOND


# --- In the course of time -------------------------------------------------------------------------------------------


def test_asks_a_provider_that_is_down_only_now_and_then(house: House, provider: ScriptedProvider) -> None:
    metadata = house.metadata()
    provider.play(RFC_8414, hang_up)
    for asked, pause in enumerate([1.0, 2.0, 4.0, 5.0, 5.0], start=1):
        assert house.endpoint(metadata) == "provider_unavailable"
        house.clock.now += pause - 0.1
        assert house.endpoint(metadata) == "provider_unavailable"
        assert provider.count() == asked
        house.clock.now += 0.1
    provider.play(RFC_8414, document(provider))
    assert house.endpoint(metadata) == provider.url("/introspect")


def test_finds_a_provider_that_is_up_again(house: House, provider: ScriptedProvider) -> None:
    metadata = house.metadata()
    provider.play(RFC_8414, document(provider))
    provider.refuse()
    assert house.endpoint(metadata) == "provider_unavailable"
    provider.listen()
    assert house.endpoint(metadata) == "provider_unavailable"
    house.clock.now += 1
    assert house.endpoint(metadata) == provider.url("/introspect")


def test_keeps_what_it_found_for_an_hour(house: House, provider: ScriptedProvider) -> None:
    provider.play(RFC_8414, document(provider))
    metadata = house.metadata()
    for _ in range(5):
        assert house.endpoint(metadata) == provider.url("/introspect")
        house.clock.now += AN_HOUR / 5 - 1
    assert provider.count() == 1


def test_looks_again_behind_everybodys_back(house: House, provider: ScriptedProvider) -> None:
    moved = document(provider, introspection_endpoint=provider.url("/moved"))
    provider.play(RFC_8414, in_turn(document(provider), after(0.05, moved)))
    metadata = house.metadata()
    assert house.endpoint(metadata) == provider.url("/introspect")
    house.clock.now += AN_HOUR
    assert house.endpoint(metadata) == provider.url("/introspect")
    assert house.endpoint(metadata) == provider.url("/moved")
    assert provider.count() == 2


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(hang_up, id="down"),
        pytest.param(status(500), id="500"),
        pytest.param(json_answer({"issuer": ISSUER}), id="another issuer"),
    ],
)
def test_uses_what_it_knows_while_it_cannot_look_again(house: House, provider: ScriptedProvider, later: Play) -> None:
    provider.play(RFC_8414, in_turn(document(provider), later))
    metadata = house.metadata()
    house.endpoint(metadata)
    house.clock.now += 10 * AN_HOUR
    for asked in (2, 2, 3):
        assert house.endpoint(metadata) == provider.url("/introspect")
        assert provider.count(RFC_8414) == asked
        house.clock.now += 0.5


def test_asks_once_for_a_hundred_first_callers(house: House, provider: ScriptedProvider) -> None:
    provider.play(RFC_8414, after(0.2, document(provider)))
    assert house.many(house.metadata(), 100) == [provider.url("/introspect")] * 100
    assert provider.count() == 1


def test_asks_once_for_a_hundred_first_callers_of_one_that_is_down(house: House, provider: ScriptedProvider) -> None:
    provider.play(RFC_8414, after(0.2, hang_up))
    assert house.many(house.metadata(), 100) == ["provider_unavailable"] * 100
    assert provider.count() == 1
