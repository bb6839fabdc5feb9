"""Access tokens of our own over real sockets: fetched once for many, renewed, shared, and sent to nobody else."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

from bearerguard import ClientCredentials, ProviderUnavailable, RedisStore, SettingsError, SharedSecrets
from tests.forking import in_a_child
from tests.hostile import Clock
from tests.scripted_provider import (
    Line,
    Play,
    ScriptedProvider,
    after,
    answer,
    chunked,
    dripped_body,
    gzipped,
    hang_up,
    html,
    in_turn,
    json_answer,
    redirect,
    reset,
    silent,
    status,
    truncated,
    when,
)
from tests.servers import RedisServer

LONG_ON_OTHER_SERVERS = True
SECRET = "s" * 40
PATIENCE = 10.0
FLAVOURS = ["sync", "async"]
CLIENTS = [(library, flavour) for library in (httpx, httpx2) for flavour in FLAVOURS]


class House:
    """A provider that numbers its tokens, an API beside it, and one client of both."""

    def __init__(self, provider: ScriptedProvider, runner: asyncio.Runner, flavour: str) -> None:
        self.provider = provider
        self.clock = Clock(1_000_000.0)
        self.wall = Clock()
        self.flavour = flavour
        self.accepted: Callable[[str], bool] = lambda _: True
        self.runner = runner
        self._numbers = itertools.count(1)
        self._made: list[ClientCredentials] = []
        provider.play("/token", self.granting(expires_in=3600))
        provider.play("/api", self._api)

    def granting(self, **members: Any) -> Play:
        """A good answer, with the next token."""

        def play(line: Line) -> None:
            json_answer({"access_token": f"token-{next(self._numbers)}", "token_type": "Bearer", **members})(line)

        return play

    def credentials(self, **changes: Any) -> ClientCredentials:
        """Credentials at this provider, for this provider's origin."""
        fields: dict[str, Any] = {
            "client_id": "orders",
            "client_secret": SECRET,
            "token_url": self.provider.url("/token"),
            "origins": {self.provider.url("")},
            "clock": self.wall,
            "monotonic": self.clock,
        }
        made = ClientCredentials(**fields | changes)
        self._made.append(made)
        return made

    def token(self, credentials: ClientCredentials) -> str:
        """A token, or the reason why there is none."""
        try:
            return self.runner.run(credentials.atoken()) if self.flavour == "async" else credentials.token()
        except ProviderUnavailable as error:
            return error.reason

    def at_once(self, credentials: ClientCredentials, count: int) -> list[str]:
        """What so many callers get who ask together."""
        if self.flavour == "async":
            return self.runner.run(self._gathered(credentials, count))
        barrier = threading.Barrier(count)

        def call(_: int) -> str:
            barrier.wait(PATIENCE)
            return self.token(credentials)

        with ThreadPoolExecutor(count) as pool:
            return [*pool.map(call, range(count))]

    async def _gathered(self, credentials: ClientCredentials, count: int) -> list[str]:
        async def call() -> str:
            try:
                return await credentials.atoken()
            except ProviderUnavailable as error:
                return error.reason

        return await asyncio.gather(*(call() for _ in range(count)))

    def close(self) -> None:
        """Close what was opened, and leave the provider alone."""
        for credentials in self._made:
            self.settled(credentials)
            self.runner.run(credentials.aclose())
            credentials.close()

    def settled(self, credentials: ClientCredentials) -> None:
        """Return when what happens behind everybody's back has happened."""
        if self.flavour == "async":
            self.runner.run(credentials.aclose())
        for thread in threading.enumerate():
            if "fly_behind" in repr(getattr(thread, "_args", ())):
                thread.join(PATIENCE)

    def asked(self) -> int:
        """How often the token endpoint was asked."""
        return self.provider.count("/token")

    def _api(self, line: Line) -> None:
        token = line.request.headers.get("authorization", "").removeprefix("Bearer ")
        (json_answer({"got": token}) if self.accepted(token) else status(401))(line)


@contextmanager
def open_house(flavour: str) -> Iterator[House]:
    """A house, closed at the end."""
    with asyncio.Runner() as runner, ScriptedProvider() as provider:
        house = House(provider, runner, flavour)
        yield house
        house.close()


@pytest.fixture(params=FLAVOURS)
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    with open_house(request.param) as house:
        yield house


def until(come: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + PATIENCE
    while not come():
        assert time.monotonic() < ends_at, "what the test waits for has not come"
        time.sleep(0.001)


# --- The request -----------------------------------------------------------------------------------------------------


def test_asks_as_the_specification_says(house: House) -> None:
    credentials = house.credentials(scope="a b", resource="https://api.example.com", extra={"audience": "x"})
    assert house.token(credentials) == "token-1"
    (request,) = house.provider.requests
    assert (request.method, request.headers["content-type"]) == ("POST", "application/x-www-form-urlencoded")
    assert request.headers["authorization"] == "Basic " + base64.b64encode(f"orders:{SECRET}".encode()).decode()
    assert request.form == {
        "grant_type": "client_credentials",
        "scope": "a b",
        "resource": "https://api.example.com",
        "audience": "x",
    }


def test_asks_with_the_secret_in_the_body_where_the_settings_say_so(house: House) -> None:
    assert house.token(house.credentials(client_auth="client_secret_post")) == "token-1"
    (request,) = house.provider.requests
    assert "authorization" not in request.headers
    assert (request.form["client_id"], request.form["client_secret"]) == ("orders", SECRET)


def test_finds_the_endpoint_of_an_issuer(house: House) -> None:
    issuer = house.provider.url("")
    metadata = {"issuer": issuer, "token_endpoint": house.provider.url("/token")}
    house.provider.play("/.well-known/oauth-authorization-server", json_answer(metadata))
    credentials = house.credentials(token_url=None, issuer=issuer)
    assert [house.token(credentials) for _ in range(3)] == ["token-1"] * 3
    assert len(house.provider.requests) == 2


def test_says_that_the_endpoint_of_an_issuer_cannot_be_found(house: House) -> None:
    house.provider.play("/.well-known/oauth-authorization-server", status(503))
    house.provider.play("/.well-known/openid-configuration", status(503))
    assert house.token(house.credentials(token_url=None, issuer=house.provider.url(""))) == "provider_unavailable"
    assert house.asked() == 0


def test_does_nothing_before_the_first_call(house: House) -> None:
    house.credentials()
    assert house.provider.connections == 0


# --- One token for many ----------------------------------------------------------------------------------------------


def test_asks_once_for_100_callers(house: House) -> None:
    house.provider.play("/token", after(0.2, house.granting(expires_in=3600)))
    credentials = house.credentials()
    assert house.at_once(credentials, 100) == ["token-1"] * 100
    house.clock.now += 3601
    assert house.at_once(credentials, 100) == ["token-2"] * 100
    assert house.asked() == 2


@pytest.mark.parametrize("play", [status(500), hang_up, status(429)], ids=["500", "gone", "429"])
def test_asks_once_for_100_callers_in_vain(house: House, play: Play) -> None:
    house.provider.play("/token", after(0.2, play))
    credentials = house.credentials()
    assert house.at_once(credentials, 100) == ["provider_unavailable"] * 100
    assert house.asked() == 1


def test_serves_the_others_when_the_first_to_ask_is_cancelled(house: House) -> None:
    go = threading.Event()
    house.provider.play("/token", when(go, house.granting(expires_in=3600)))
    credentials = house.credentials()

    async def storm() -> list[str]:
        leader = asyncio.create_task(credentials.atoken())
        await asyncio.sleep(0)
        followers = [asyncio.create_task(credentials.atoken()) for _ in range(10)]
        await asyncio.sleep(0)
        leader.cancel()
        go.set()
        return await asyncio.gather(*followers)

    assert house.runner.run(storm()) == ["token-1"] * 10
    assert house.asked() == 1


def test_one_object_serves_loops_and_threads(house: House) -> None:
    credentials = house.credentials()
    said = {credentials.token(), *(asyncio.run(credentials.atoken()) for _ in range(3))}
    with ThreadPoolExecutor(4) as pool:
        said |= {*pool.map(lambda _: credentials.token(), range(8))}
    assert said == {"token-1"}
    house.close()
    assert house.token(credentials) == "token-1"
    assert house.asked() == 1


def test_lives_on_in_a_forked_child() -> None:
    with open_house("sync") as house:
        credentials = house.credentials()
        assert credentials.token() == "token-1"
        assert in_a_child(credentials.token) == "token-1"
        house.clock.now += 3601
        assert in_a_child(credentials.token) == "token-2"
        assert credentials.token() == "token-3"


# --- Lifetimes -------------------------------------------------------------------------------------------------------


def test_replaces_a_token_behind_the_callers_back(house: House) -> None:
    credentials = house.credentials()
    assert house.token(credentials) == "token-1"
    house.clock.now += 3539
    assert house.token(credentials) == "token-1"
    house.settled(credentials)
    assert house.asked() == 1
    house.clock.now += 1
    assert house.token(credentials) == "token-1"
    house.settled(credentials)
    assert house.token(credentials) == "token-2"
    assert house.asked() == 2


def test_counts_a_life_from_when_it_was_asked_for(house: House) -> None:
    def slowly(line: Line) -> None:
        house.clock.now += 30
        house.granting(expires_in=50)(line)

    house.provider.play("/token", slowly)
    credentials = house.credentials()
    assert house.token(credentials) == "token-1"
    house.clock.now += 19
    assert house.token(credentials) == "token-1"
    house.clock.now += 1
    assert house.token(credentials) == "token-2"


def test_does_not_look_at_the_wall_clock(house: House) -> None:
    credentials = house.credentials()
    assert house.token(credentials) == "token-1"
    for step in (3600, -7200, 10**9):
        house.wall.now += step
        assert house.token(credentials) == "token-1"
    assert house.asked() == 1


def test_uses_a_token_that_is_shorter_than_the_margin_to_its_end(house: House) -> None:
    house.provider.play("/token", house.granting(expires_in=50))
    credentials = house.credentials()
    for later, token in ((0, 1), (49.5, 1), (0.5, 2), (49.5, 2), (0.5, 3)):
        house.clock.now += later
        assert house.token(credentials) == f"token-{token}"
        house.settled(credentials)
    assert house.asked() == 3


NUMBERLESS = ["absent", b"0", b"-1", b'"3600"', b'""', b"[]", b"{}", b"null", b"true", b"false", b"0.001", b"-1e308"]


@pytest.mark.parametrize("said", NUMBERLESS, ids=str)
def test_asks_once_in_a_second_whatever_lifetime_is_said(house: House, said: bytes | str) -> None:
    member = b"" if isinstance(said, str) else b',"expires_in":' + said
    house.provider.play("/token", after(0.1, answer(b'{"access_token":"once"' + member + b"}")))
    credentials = house.credentials()
    assert house.at_once(credentials, 20) == ["once"] * 20
    for tenth in range(1, 31):
        house.clock.now = 1_000_000.0 + tenth / 10
        assert house.token(credentials) == "once"
    house.settled(credentials)
    assert house.asked() <= 4


@pytest.mark.parametrize("said", [b"86401", b"1e12", b"1000000000000", b"1e308", b"9" * 400], ids=lambda x: x[:15])
def test_takes_no_life_for_longer_than_a_day(house: House, said: bytes) -> None:
    house.provider.play("/token", in_turn(answer(b'{"access_token":"a","expires_in":' + said + b"}"), answer()))
    credentials = house.credentials()
    assert house.token(credentials) == "a"
    house.clock.now += 86_339
    assert house.token(credentials) == "a"
    house.settled(credentials)
    assert house.asked() == 1
    house.clock.now += 61
    assert house.token(credentials) == "provider_unavailable"


# --- Trouble ---------------------------------------------------------------------------------------------------------

BROKEN: dict[str, Play] = {
    "500": status(500),
    "503": status(503),
    "429": status(429),
    "404": status(404),
    "201": json_answer({"access_token": "a"}, 201),
    "another place": redirect("/other"),
    "html": html(),
    "nothing": answer(b""),
    "no object": json_answer(["a"]),
    "no token": json_answer({"expires_in": 300}),
    "another type of token": json_answer({"access_token": "a", "token_type": "DPoP"}),
    "a header more": json_answer({"access_token": "a\r\nx: y"}),
    "NaN": answer(b'{"access_token":"a","expires_in":NaN}'),
    "1e999": answer(b'{"access_token":"a","expires_in":1e999}'),
    "a name twice": answer(b'{"access_token":"a","access_token":"b"}'),
    "another error": json_answer({"error": "invalid_scope"}, 400),
    "cut short": truncated(b'{"access_token":"a"}'),
    "compressed": gzipped(b'{"access_token":"a"}'),
    "large": chunked(1_000_000),
    "gone": hang_up,
    "reset": reset,
}


@pytest.mark.parametrize("name", BROKEN)
def test_takes_no_other_answer_for_a_token(house: House, name: str, caplog: pytest.LogCaptureFixture) -> None:
    house.provider.play("/token", BROKEN[name])
    credentials = house.credentials()
    assert house.token(credentials) == "provider_unavailable"
    assert house.token(credentials) == "provider_unavailable"
    assert (house.asked(), house.provider.count("/other")) == (1, 0)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "bearerguard"]
    assert line.startswith("the token endpoint for 'orders' failed after")
    assert SECRET not in caplog.text


@pytest.mark.timed
@pytest.mark.parametrize("play", [silent, dripped_body()], ids=["silent", "dripping"])
def test_gives_up_in_three_seconds(house: House, play: Play) -> None:
    house.provider.play("/token", play)
    started = time.perf_counter()
    assert house.token(house.credentials()) == "provider_unavailable"
    assert time.perf_counter() - started < 3


def test_uses_the_old_token_to_its_real_end(house: House) -> None:
    house.provider.play("/token", in_turn(house.granting(expires_in=3600), status(500)))
    credentials = house.credentials()
    assert house.token(credentials) == "token-1"
    for age in (3540, 3541, 3545, 3599.9):
        house.clock.now = 1_000_000.0 + age
        assert house.token(credentials) == "token-1"
        house.settled(credentials)
    house.clock.now = 1_003_630.0
    assert house.token(credentials) == "provider_unavailable"
    house.provider.play("/token", house.granting(expires_in=3600))
    house.clock.now += 31
    assert house.token(credentials) == "token-2"


def test_asks_in_ever_longer_steps(house: House) -> None:
    house.provider.play("/token", status(500))
    credentials, asked_at = house.credentials(), []
    for second in range(130):
        house.clock.now = 1_000_000.0 + second
        before = house.asked()
        assert house.token(credentials) == "provider_unavailable"
        asked_at += [second] * (house.asked() - before)
    assert asked_at == [0, 1, 3, 7, 15, 31, 61, 91, 121]


@pytest.mark.parametrize(
    ("code", "said", "pause"),
    [(429, "7", 7), (503, "7", 7), (429, "86400", 30), (503, "0", 1), (429, "soon", 1), (500, "7", 1)],
)
def test_leaves_an_endpoint_alone_for_as_long_as_it_says(house: House, code: int, said: str, pause: int) -> None:
    house.provider.play("/token", in_turn(status(code, {"retry-after": said}), house.granting(expires_in=300)))
    credentials = house.credentials()
    assert house.token(credentials) == "provider_unavailable"
    house.clock.now += pause - 0.1
    assert house.token(credentials) == "provider_unavailable"
    house.clock.now += 0.1
    assert house.token(credentials) == "token-1"


REFUSALS = {
    "401": status(401),
    "401 invalid_client": json_answer({"error": "invalid_client"}, 401),
    "400 invalid_client": json_answer({"error": "invalid_client"}, 400),
    "403 invalid_client": json_answer({"error": "invalid_client"}, 403),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_says_that_our_own_credentials_are_refused(house: House, name: str, caplog: pytest.LogCaptureFixture) -> None:
    house.provider.play("/token", REFUSALS[name])
    credentials = house.credentials()
    assert [house.token(credentials) for _ in range(3)] == ["client_refused"] * 3
    assert house.asked() == 1
    (record,) = [record for record in caplog.records if record.name == "bearerguard"]
    assert (record.levelno, SECRET in record.getMessage()) == (logging.ERROR, False)
    assert "refused our own client_id" in record.getMessage()


def taking(secret: str, play: Play) -> Play:
    """This play for who knows the secret; a refusal for all others."""
    expected = "Basic " + base64.b64encode(f"orders:{secret}".encode()).decode()
    return lambda line: (play if line.request.headers["authorization"] == expected else REFUSALS["401"])(line)


def test_tries_the_next_secret_once(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.provider.play("/token", taking("old" * 20, house.granting(expires_in=300)))
    credentials = house.credentials(client_secret=SharedSecrets("new" * 20, "old" * 20))
    assert house.token(credentials) == "token-1"
    assert house.asked() == 2
    assert "took the one at index 1" in caplog.text
    house.clock.now += 301
    house.provider.play("/token", taking("new" * 20, house.granting(expires_in=300)))
    assert house.token(credentials) == "token-2"
    house.clock.now += 301
    assert house.token(credentials) == "token-3"
    assert house.asked() == 4
    assert "new" * 20 not in caplog.text
    assert "old" * 20 not in caplog.text


def test_tries_no_more_than_two_secrets(house: House) -> None:
    house.provider.play("/token", REFUSALS["400 invalid_client"])
    credentials = house.credentials(client_secret=SharedSecrets("a" * 40, "b" * 40, "c" * 40))
    assert house.token(credentials) == "client_refused"
    assert house.asked() == 2


def test_logs_no_token_and_no_secret(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bad = json_answer({"access_token": "hush hush", "token_type": "Bearer"})
    house.provider.play("/token", in_turn(house.granting(expires_in=10), bad, REFUSALS["401"], hang_up))
    credentials = house.credentials()
    for _ in range(6):
        house.token(credentials)
        house.clock.now += 31
    for word in (SECRET, "token-1", "hush"):
        assert word not in caplog.text


# --- As the authentication of a client -------------------------------------------------------------------------------


@pytest.fixture(params=CLIENTS, ids=lambda of: f"{of[0].__name__} {of[1]}")
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    library, flavour = request.param
    with open_house(flavour) as house:
        yield Client(library, house)


class Client:
    """One of four kinds of client, each called alike."""

    def __init__(self, library: ModuleType, house: House) -> None:
        self.library = library
        self.house = house
        self.runner = house.runner

    @property
    def is_async(self) -> bool:
        return self.house.flavour == "async"

    def get(self, credentials: ClientCredentials, url: str, **options: Any) -> Any:
        return self.send(credentials, "GET", url, **options)

    def send(self, credentials: ClientCredentials, method: str, url: str, **options: Any) -> Any:
        if self.is_async:
            return self.runner.run(self._asent(credentials, method, url, options))
        with self.library.Client(auth=credentials, trust_env=False, verify=False, follow_redirects=True) as client:
            return client.request(method, url, **options)

    async def _asent(self, credentials: ClientCredentials, method: str, url: str, options: Any) -> Any:
        async with self.library.AsyncClient(
            auth=credentials, trust_env=False, verify=False, follow_redirects=True
        ) as client:
            return await client.request(method, url, **options)

    def stream(self, *pieces: bytes) -> Any:
        async def apart() -> Any:
            for piece in pieces:
                yield piece

        return apart() if self.is_async else iter(pieces)


def test_sends_the_token_along(client: Client) -> None:
    credentials = client.house.credentials()
    url = client.house.provider.url("/api")
    assert [client.get(credentials, url).json() for _ in range(3)] == [{"got": "token-1"}] * 3
    assert client.house.asked() == 1


def test_sends_another_token_where_the_first_is_refused(client: Client) -> None:
    house = client.house
    house.accepted = lambda token: token != "token-1"
    credentials = house.credentials()
    response = client.send(credentials, "POST", house.provider.url("/api"), content=b"body")
    assert (response.status_code, response.json()) == (200, {"got": "token-2"})
    sent = [request for request in house.provider.requests if request.path == "/api"]
    assert [request.body for request in sent] == [b"body", b"body"]
    assert house.token(credentials) == "token-2"


def test_returns_a_second_refusal_as_it_is(client: Client) -> None:
    house = client.house
    house.accepted = lambda _: False
    credentials = house.credentials()
    response = client.get(credentials, house.provider.url("/api"))
    assert (response.status_code, response.json()) == (401, {"error": "scripted"})
    assert (house.asked(), house.provider.count("/api")) == (2, 2)


def test_renews_once_in_five_seconds(client: Client) -> None:
    house = client.house
    house.accepted = lambda _: False
    credentials = house.credentials()
    for tenth in range(0, 100, 5):
        house.clock.now = 1_000_000.0 + tenth / 10
        assert client.get(credentials, house.provider.url("/api")).status_code == 401
    assert house.asked() == 3
    assert house.provider.count("/api") == 20 + 2


def test_renews_once_for_many_refusals_at_once(client: Client) -> None:
    house = client.house
    house.accepted = lambda token: token != "token-1"
    credentials = house.credentials()
    url = house.provider.url("/api")
    house.token(credentials)
    if client.is_async:

        async def storm() -> list[int]:
            async with client.library.AsyncClient(auth=credentials, trust_env=False, verify=False) as one:
                return [response.status_code for response in await asyncio.gather(*(one.get(url) for _ in range(20)))]

        codes = client.runner.run(storm())
    else:
        with ThreadPoolExecutor(20) as pool:
            codes = [*pool.map(lambda _: client.get(credentials, url).status_code, range(20))]
    assert codes == [200] * 20
    assert house.asked() == 2


def test_keeps_a_newer_token_when_an_older_one_is_refused(client: Client) -> None:
    house = client.house
    credentials = house.credentials()
    house.token(credentials)
    renewed: list[str] = []

    def late(line: Line) -> None:
        if not renewed:
            house.clock.now += 3601
            renewed.append(credentials.token())
            status(401)(line)
        else:
            json_answer({"got": line.request.headers["authorization"]})(line)

    house.provider.play("/api", late)
    assert client.get(credentials, house.provider.url("/api")).json() == {"got": "Bearer token-2"}
    assert (renewed, house.asked()) == (["token-2"], 2)


def test_sends_no_stream_again(client: Client) -> None:
    house = client.house
    house.accepted = lambda token: token != "token-1"
    credentials = house.credentials()
    url = house.provider.url("/api")
    headers = {"content-length": "6"}
    response = client.send(credentials, "POST", url, content=client.stream(b"abc", b"def"), headers=headers)
    assert response.status_code == 401
    assert house.provider.count("/api") == 1
    assert client.get(credentials, url).json() == {"got": "token-2"}


def test_says_so_where_no_other_token_can_be_had(client: Client) -> None:
    house = client.house
    house.accepted = lambda _: False
    house.provider.play("/token", in_turn(house.granting(expires_in=3600), status(500)))
    credentials = house.credentials()
    with pytest.raises(ProviderUnavailable):
        client.get(credentials, house.provider.url("/api"))
    assert house.provider.count("/api") == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/",
        "http://127.0.0.1:9/",
        "https://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://127.0.0.1.evil.example.com:{port}/",
        "http://127.0.0.1:{port}@evil.example.com/",
        "http://[::1]:{port}/",
    ],
)
def test_sends_nothing_to_another_origin(client: Client, url: str) -> None:
    credentials = client.house.credentials()
    with pytest.raises(SettingsError, match="origins="):
        client.get(credentials, url.format(port=client.house.provider.port))
    assert client.house.provider.requests == []


def test_loses_the_token_on_the_way_to_another_origin(client: Client) -> None:
    house = client.house
    with ScriptedProvider(status(401)) as other:
        house.provider.play("/away", redirect(other.url("/elsewhere")))
        credentials = house.credentials()
        assert client.get(credentials, house.provider.url("/away")).status_code == 401
        (request,) = other.requests
        assert "authorization" not in request.headers
    assert house.token(credentials) == "token-1"
    assert house.asked() == 1


def test_keeps_the_token_on_the_way_to_another_page(client: Client) -> None:
    house = client.house
    house.provider.play("/here", redirect(house.provider.url("/api")))
    assert client.get(house.credentials(), house.provider.url("/here")).json() == {"got": "token-1"}


def test_takes_the_place_of_another_header(client: Client) -> None:
    credentials = client.house.credentials()
    headers = {"authorization": "Basic abc"}
    assert client.get(credentials, client.house.provider.url("/api"), headers=headers).json() == {"got": "token-1"}


# --- A fleet ---------------------------------------------------------------------------------------------------------


def fleet(house: House, server: RedisServer, *changes: dict[str, Any], count: int = 2) -> list[ClientCredentials]:
    """Several processes, as far as one test is several: each with connections of its own."""
    each = changes or ({},) * count
    return [house.credentials(**{"store": RedisStore(server.url)} | one) for one in each]


def entry_key(server: RedisServer) -> bytes:
    """The one entry that there is."""
    (key,) = [key for key in server.cli("KEYS", "*:c:*") if not key.endswith(b":claim")]
    return bytes(key)


def test_shares_one_token(house: House, redis_server: RedisServer) -> None:
    all_of_them = fleet(house, redis_server, count=5)
    assert [house.token(one) for one in all_of_them] == ["token-1"] * 5
    assert house.asked() == 1
    key = entry_key(redis_server)
    value = redis_server.cli("GET", key)
    assert value.startswith(b"1||")
    assert b"token-1" not in value
    assert SECRET.encode() not in key + value
    assert 3530_000 < redis_server.cli("PTTL", key) <= 3540_000


def test_asks_once_for_a_fleet_that_starts_at_once(house: House, redis_server: RedisServer) -> None:
    house.provider.play("/token", after(0.2, house.granting(expires_in=3600)))
    all_of_them = fleet(house, redis_server, count=8)
    if house.flavour == "async":

        async def storm() -> Sequence[str]:
            return await asyncio.gather(*(one.atoken() for one in all_of_them))

        said = [*house.runner.run(storm())]
    else:
        with ThreadPoolExecutor(8) as pool:
            said = [*pool.map(house.token, all_of_them)]
    assert said == ["token-1"] * 8
    assert house.asked() == 1


def test_asks_itself_where_the_one_that_asks_is_too_slow(house: House, redis_server: RedisServer) -> None:
    first, second = fleet(house, redis_server)
    house.provider.play("/token", in_turn(silent, house.granting(expires_in=3600)))
    with ThreadPoolExecutor(1) as pool:
        leading = pool.submit(lambda: house.token(first) if house.flavour == "sync" else late(first))
        house.provider.wait_for_requests(1)
        assert house.token(second) == "token-1"
        assert leading.result(PATIENCE) == "provider_unavailable"
    assert house.asked() == 2


def late(credentials: ClientCredentials) -> str:
    """What the blocking twin says, while the loop is another's."""
    try:
        return credentials.token()
    except ProviderUnavailable as error:
        return error.reason


def test_replaces_a_shared_token_once(house: House, redis_server: RedisServer) -> None:
    all_of_them = fleet(house, redis_server, count=4)
    assert {house.token(one) for one in all_of_them} == {"token-1"}
    house.clock.now += 3545
    house.wall.now += 3545
    redis_server.cli("DEL", entry_key(redis_server))  # as if its time were over
    for one in all_of_them:
        assert house.token(one) == "token-1"
        house.settled(one)
    assert {house.token(one) for one in all_of_them} == {"token-2"}
    assert house.asked() == 2


def test_ends_a_copy_with_its_token(house: House, redis_server: RedisServer) -> None:
    first, second = fleet(house, redis_server)
    assert house.token(first) == "token-1"
    house.wall.now += 1000
    house.clock.now += 1000
    assert house.token(second) == "token-1"
    house.wall.now += 2599
    house.clock.now += 2599
    assert house.token(second) == "token-1"
    house.settled(second)
    assert house.asked() == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"client_secret": "t" * 40},
        {"client_id": "other"},
        {"scope": "write"},
        {"resource": "https://api.example.com"},
        {"extra": {"audience": "x"}},
    ],
    ids=lambda changes: "another " + "".join(changes),
)
def test_shares_no_token_with_another_client(house: House, redis_server: RedisServer, changes: dict[str, Any]) -> None:
    first, other, last = fleet(house, redis_server, {}, changes, {})
    assert [house.token(one) for one in (first, other, last)] == ["token-1", "token-2", "token-1"]


def test_opens_no_entry_of_another_client_put_in_its_place(
    house: House, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    other, first, second = fleet(house, redis_server, {"client_secret": "t" * 40}, {}, {})
    house.token(other)
    foreign = redis_server.cli("GET", entry_key(redis_server))
    redis_server.flush()
    assert house.token(first) == "token-2"
    redis_server.cli("SET", entry_key(redis_server), foreign, "EX", 3000)
    assert house.token(second) == "token-3"
    assert "fails its check" in caplog.text


@pytest.mark.parametrize(
    ("spoilt", "is_forged"),
    [
        pytest.param(lambda value: value[:-1] + (b"A" if value[-1:] != b"A" else b"Q"), None, id="another end"),
        pytest.param(lambda value: value[:39], True, id="cut short"),
        pytest.param(lambda value: b"1||", True, id="nothing in it"),
        pytest.param(lambda value: b"1||" + b"AAAA" * 30, True, id="another box"),
        pytest.param(lambda value: b"2" + value[1:], False, id="another version"),
        pytest.param(lambda value: b"1||!!!", False, id="no base64url"),
        pytest.param(lambda value: b"1|", False, id="no entry"),
        pytest.param(lambda value: b"0", False, id="a tombstone"),
    ],
)
def test_takes_a_bad_entry_for_none(
    house: House,
    redis_server: RedisServer,
    spoilt: Callable[[bytes], bytes],
    is_forged: bool | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second, third = fleet(house, redis_server, count=3)
    assert house.token(first) == "token-1"
    key = entry_key(redis_server)
    redis_server.cli("SET", key, spoilt(redis_server.cli("GET", key)), "EX", 3000)
    assert [house.token(second), house.token(third)] == ["token-2"] * 2
    if is_forged is not None:
        assert ("fails its check" in caplog.text) is is_forged


def test_drops_a_refused_token_for_the_fleet(house: House, redis_server: RedisServer) -> None:
    house.accepted = lambda token: token != "token-1"
    url = house.provider.url("/api")
    all_of_them = fleet(house, redis_server, count=3)
    assert {house.token(one) for one in all_of_them} == {"token-1"}
    for one in all_of_them:
        with httpx.Client(auth=one, trust_env=False, verify=False) as client:
            assert client.get(url).json() == {"got": "token-2"}
    assert house.asked() == 2


def test_shares_nothing_under_a_short_secret(house: House, redis_server: RedisServer) -> None:
    short = {"client_secret": "s" * 31}
    first, second = fleet(house, redis_server, short, short)
    assert [house.token(first), house.token(second)] == ["token-1", "token-2"]
    assert redis_server.cli("DBSIZE") == 0


@pytest.mark.parametrize("member", [{}, {"expires_in": 0}, {"expires_in": 1}])
def test_shares_no_token_that_is_for_one_request(
    house: House, redis_server: RedisServer, member: dict[str, Any]
) -> None:
    house.provider.play("/token", house.granting(**member))
    first, second = fleet(house, redis_server)
    assert [house.token(first), house.token(second)] == ["token-1", "token-2"]
    assert redis_server.cli("KEYS", "*:c:*") == []


def test_lets_the_next_one_try_after_a_failure(house: House, redis_server: RedisServer) -> None:
    house.provider.play("/token", in_turn(status(500), house.granting(expires_in=3600)))
    first, second = fleet(house, redis_server)
    assert house.token(first) == "provider_unavailable"
    assert redis_server.cli("KEYS", "*:c:*") == []
    assert house.token(second) == "token-1"


def test_goes_on_without_its_store(
    house: House, own_redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = fleet(house, own_redis_server)
    own_redis_server.kill()
    assert [house.token(first), house.token(second)] == ["token-1", "token-2"]
    own_redis_server.restart()
    assert "could not be kept in the store" in caplog.text


@pytest.mark.timed
def test_waits_for_no_frozen_store(house: House, own_redis_server: RedisServer) -> None:
    first, _ = fleet(house, own_redis_server)
    own_redis_server.freeze()
    try:
        started = time.perf_counter()
        assert house.token(first) == "token-1"
        assert time.perf_counter() - started < 1
    finally:
        own_redis_server.thaw()


def test_shows_nobody_what_is_shared(house: House, redis_server: RedisServer) -> None:
    first, second = fleet(house, redis_server)
    house.token(first)
    house.token(second)
    for key in redis_server.cli("KEYS", "*"):
        text = json.dumps([key.decode(), str(redis_server.cli("DUMP", key))])
        for word in ("token-1", SECRET, "orders", "127.0.0.1"):
            assert word not in text
