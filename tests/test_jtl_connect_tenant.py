"""The example examples/jtl_connect_tenant, against a JTL that these tests run: its tokens, its keys and its ERP."""

from __future__ import annotations

import base64
import importlib
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from starlette.testclient import TestClient

from examples.jtl_connect_tenant.database import Tenants
from tests.doors import Ask, ask_server, bearer
from tests.minting import SECRET, SigningKey, mint, private_key, public_jwk
from tests.scripted_provider import Line, Play, ScriptedProvider, json_answer, silent, status
from tests.servers import uvicorn_server

DATABASE_VARIABLE = "BEARERGUARD_TEST_DATABASE_URL"
ED = private_key("EdDSA")

NORTH = "f2f8ab7e-1d2c-4b3a-8e9f-0a1b2c3d4e5f"
SOUTH = "0a1b2c3d-4e5f-4b3a-8e9f-f2f8ab7e1d2c"
ANA = "8f0c9c6e-3b1d-4c2a-9d7e-5a4b3c2d1e0f"
BEN = "9d7e8f0c-3b1d-4c2a-9c6e-5a4b3c2d1e0f"

TOKENS = "/oauth2/token"
KEYS = "/account/.well-known/jwks.json"
ERP = "/erp/v2/graphql"


# --- JTL -------------------------------------------------------------------------------------------------------------


class Jtl:
    """JTL's cloud on loopback: it grants access tokens, and shows its keys and its ERP to who has one."""

    def __init__(self, provider: ScriptedProvider) -> None:
        self.provider = provider
        self._good: set[str] = set()
        provider.play(TOKENS, self._grant)
        provider.play(KEYS, self._to_apps(lambda _: json_answer({"keys": [public_jwk(ED)]})))
        provider.play(ERP, self._to_apps(lambda line: erp_answer(line.request.headers["x-tenant-id"])))

    @property
    def url(self) -> str:
        """Where all of it is."""
        return self.provider.url().removesuffix("/")

    def counts(self) -> tuple[int, int, int]:
        """How often tokens, keys and the ERP were asked for."""
        return self.provider.count(TOKENS), self.provider.count(KEYS), self.provider.count(ERP)

    def tenants_asked_for(self) -> list[str]:
        """The `X-Tenant-ID` of every call to the ERP."""
        return [request.headers["x-tenant-id"] for request in self.provider.requests if request.path == ERP]

    def forget_access_tokens(self) -> None:
        """Refuse every access token granted so far."""
        self._good.clear()

    def _grant(self, line: Line) -> None:
        ours = base64.b64encode(b"our-app:" + SECRET.replace(" ", "+").replace(",", "%2C").encode()).decode()
        if line.request.headers.get("authorization") != f"Basic {ours}":
            status(401)(line)
            return
        token = f"access-{self.provider.count(TOKENS)}"
        self._good.add(token)
        json_answer({"access_token": token, "token_type": "bearer", "expires_in": 3599})(line)

    def _to_apps(self, play: Callable[[Line], Play]) -> Play:
        def guarded(line: Line) -> None:
            token = line.request.headers.get("authorization", "").removeprefix("Bearer ")
            (play(line) if token in self._good else status(401))(line)

        return guarded


def erp_answer(tenant: str) -> Play:
    return json_answer({"data": {"QueryItems": {"nodes": [{"sku": f"{tenant[:4]}-1"}, {"sku": f"{tenant[:4]}-2"}]}}})


def session_token(tenant: str = NORTH, *, key: SigningKey = ED, **changes: object) -> str:
    """What AppBridge gives the front end."""
    claims = {"exp": int(time.time()) + 300, "userId": ANA, "tenantId": tenant, "tenantSlug": "north", "kid": "C-1"}
    kept = {name: value for name, value in {**claims, **changes}.items() if value is not ...}
    return mint(kept, key=key, alg="EdDSA" if key is ED else "HS256")


@pytest.fixture
def jtl() -> Iterator[Jtl]:
    with ScriptedProvider(status(404)) as provider:
        yield Jtl(provider)


# --- The app ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class App:
    """The example, running, and the database that it writes to."""

    client: TestClient
    database_url: str

    def connect(self, token: str, **more: object) -> Any:
        """What it answers when a front end connects."""
        return self.client.post("/connect-tenant", json={"sessionToken": token, **more})

    def tenant(self, token: str, **headers: str) -> Any:
        """What it shows of a tenant."""
        return self.client.get("/tenant", headers=dict([bearer(token)]) | headers)

    def rows(self) -> list[tuple[Any, ...]]:
        """What is in the table."""
        engine = create_engine(self.database_url)
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT id, slug, connected_by, times_connected FROM tenants ORDER BY id"))
            found = [tuple(row) for row in rows]
        engine.dispose()
        return found


def databases() -> list[str]:
    return ["sqlite", *(["postgresql"] if os.environ.get(DATABASE_VARIABLE) else [])]


@pytest.fixture(params=databases())
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tenants.db'}"
    url = os.environ[DATABASE_VARIABLE]
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS tenants"))
    engine.dispose()
    return url


@pytest.fixture
def environment(jtl: Jtl, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the example reads from the environment."""
    ours = {"JTL_CLIENT_ID": "our-app", "JTL_CLIENT_SECRET": SECRET, "DATABASE_URL": database_url}
    for name, value in (ours | {"JTL_AUTH_URL": jtl.url, "JTL_API_URL": jtl.url}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("BEARERGUARD_STORE", raising=False)


@pytest.fixture
def app(environment: None, database_url: str) -> Iterator[App]:
    module = importlib.reload(importlib.import_module("examples.jtl_connect_tenant.app"))
    with TestClient(module.app) as client:
        yield App(client, database_url)


# --- Connecting ------------------------------------------------------------------------------------------------------


def test_creates_a_tenant_and_calls_its_erp(app: App, jtl: Jtl) -> None:
    connected = app.connect(session_token())
    assert (connected.status_code, connected.json()) == (
        201,
        {"tenant": NORTH, "slug": "north", "skus": ["f2f8-1", "f2f8-2"]},
    )
    assert app.rows() == [(NORTH, "north", ANA, 1)]
    assert (jtl.counts(), jtl.tenants_asked_for()) == ((1, 1, 1), [NORTH])


def test_updates_a_tenant_that_connects_again(app: App, jtl: Jtl) -> None:
    statuses = [
        app.connect(token).status_code
        for token in (
            session_token(),
            session_token(tenantSlug="north-ltd", userId=BEN),
            session_token(NORTH.upper(), tenantSlug=..., userId=BEN),
        )
    ]
    assert statuses == [201, 200, 200]
    assert app.rows() == [(NORTH, "north-ltd", BEN, 3)]
    assert jtl.counts() == (1, 1, 3)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"sessionToken": session_token(key=SECRET)}, id="signed with a secret"),
        pytest.param({"sessionToken": session_token(exp=1_600_000_000)}, id="expired"),
        pytest.param({"sessionToken": session_token(tenantId=...)}, id="without a tenant"),
        pytest.param({"sessionToken": session_token(tenantId="north")}, id="whose tenant is no UUID"),
        pytest.param({"sessionToken": session_token()[:-8] + "AAAAAAAA"}, id="of another signature"),
        pytest.param({"sessionToken": "f2f8ab7e"}, id="that is no token"),
        pytest.param({"sessionToken": ""}, id="empty"),
        pytest.param({}, id="none at all"),
        pytest.param({"session_token": session_token()}, id="under another name"),
    ],
)
def test_refuses_a_bad_token_and_keeps_nothing(app: App, jtl: Jtl, body: dict[str, str]) -> None:
    refused = app.client.post("/connect-tenant", json=body)
    assert (refused.status_code, refused.headers["www-authenticate"][:6]) == (401, "Bearer")
    assert all(token not in refused.text for token in body.values() if token)
    assert (app.rows(), jtl.tenants_asked_for()) == ([], [])


def test_takes_the_tenant_from_the_token_and_from_nowhere_else(app: App, jtl: Jtl) -> None:
    app.client.headers["X-Tenant-ID"] = SOUTH
    connected = app.connect(session_token(NORTH), tenantId=SOUTH)
    assert (connected.json()["tenant"], jtl.tenants_asked_for()) == (NORTH, [NORTH])


@pytest.mark.parametrize(
    ("path", "play"),
    [
        pytest.param(KEYS, status(500), id="its keys fail"),
        pytest.param(KEYS, status(401), id="its keys are refused us"),
        pytest.param(TOKENS, status(503), id="it grants no access token"),
        pytest.param(TOKENS, json_answer({"error": "invalid_client"}, 401), id="it does not know us"),
    ],
)
def test_answers_503_where_jtl_cannot_tell_whose_token_it_is(app: App, jtl: Jtl, path: str, play: Play) -> None:
    jtl.provider.play(path, play)
    answered = app.connect(session_token())
    assert (answered.status_code, "retry-after" in answered.headers) == (503, True)
    assert "www-authenticate" not in answered.headers
    assert app.rows() == []


def test_answers_503_where_jtl_is_down_and_goes_on_when_it_is_up(app: App, jtl: Jtl) -> None:
    app.connect(session_token())
    jtl.provider.refuse()
    answered = app.connect(session_token())
    assert (answered.status_code, answered.json()["error"]) == (503, "erp_unavailable")
    jtl.provider.listen()
    assert app.connect(session_token()).status_code == 200
    assert app.rows() == [(NORTH, "north", ANA, 3)]


@pytest.mark.timed
def test_answers_503_soon_where_the_keys_do_not_come(app: App, jtl: Jtl) -> None:
    jtl.provider.play(KEYS, silent)
    began = time.monotonic()
    assert app.connect(session_token()).status_code == 503
    assert time.monotonic() - began < 5


# --- The ERP ---------------------------------------------------------------------------------------------------------


def test_gets_one_new_access_token_and_asks_again_where_the_erp_says_401(app: App, jtl: Jtl) -> None:
    app.connect(session_token())
    jtl.forget_access_tokens()
    connected = app.connect(session_token())
    assert (connected.status_code, connected.json()["skus"]) == (200, ["f2f8-1", "f2f8-2"])
    assert jtl.counts() == (2, 1, 3)
    first, refused, again = (request for request in jtl.provider.requests if request.path == ERP)
    assert [request.headers["authorization"] for request in (first, refused, again)] == [
        "Bearer access-1",
        "Bearer access-1",
        "Bearer access-2",
    ]
    assert (refused.body, refused.headers["x-tenant-id"]) == (again.body, again.headers["x-tenant-id"])


def test_asks_the_erp_no_more_than_twice(app: App, jtl: Jtl) -> None:
    jtl.provider.play(ERP, status(401))
    assert app.connect(session_token()).status_code == 503
    assert jtl.counts() == (2, 1, 2)


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(status(500), id="500"),
        pytest.param(json_answer({"errors": [{"message": "no"}], "data": None}), id="an error of GraphQL"),
        pytest.param(json_answer([]), id="no object"),
        pytest.param(json_answer({"data": {"QueryItems": None}}), id="no items"),
    ],
)
def test_keeps_the_tenant_where_the_erp_fails(app: App, jtl: Jtl, play: Play) -> None:
    jtl.provider.play(ERP, play)
    answered = app.connect(session_token())
    assert (answered.status_code, answered.headers["retry-after"]) == (503, "5")
    assert app.rows() == [(NORTH, "north", ANA, 1)]


# --- What is kept ----------------------------------------------------------------------------------------------------


def test_shows_each_tenant_its_own_row(app: App) -> None:
    app.connect(session_token(NORTH))
    unknown = app.tenant(session_token(SOUTH), **{"X-Tenant-ID": NORTH})
    assert (unknown.status_code, NORTH in unknown.text) == (404, False)
    app.connect(session_token(SOUTH, tenantSlug="south"))
    assert app.tenant(session_token(SOUTH)).json() == {"tenant": SOUTH, "slug": "south", "connected": 1}
    assert app.tenant(session_token(NORTH)).json() == {"tenant": NORTH, "slug": "north", "connected": 1}


def test_shows_nobody_a_row(app: App) -> None:
    app.connect(session_token())
    assert app.client.get("/tenant").status_code == 401
    assert app.client.get("/tenant", headers={"X-Tenant-ID": NORTH}).status_code == 401
    assert app.tenant(session_token(key=SECRET)).status_code == 401
    assert app.client.get("/health").json() == {"status": "ok"}


def test_makes_one_row_of_many_connections_at_once(database_url: str) -> None:
    processes = [Tenants(database_url) for _ in range(4)]

    def connect(turn: int) -> int:
        return processes[turn % 4].connect(NORTH, slug=f"north-{turn}", user=ANA).times_connected

    try:
        with ThreadPoolExecutor(8) as pool:
            assert [*pool.map(Tenants.create_table, processes)] == [None] * 4
            assert sorted(pool.map(connect, range(40))) == [*range(1, 41)]
    finally:
        for process in processes:
            process.close()


def test_takes_only_databases_that_insert_or_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.jtl_connect_tenant.database.INSERTS", {"postgresql": None})
    with pytest.raises(ValueError, match="use one of postgresql"):
        Tenants("sqlite://")


@pytest.mark.usefixtures("environment")
def test_serves_two_processes_with_one_database(jtl: Jtl) -> None:
    body = json.dumps({"sessionToken": session_token()}).encode()
    ask = Ask("/connect-tenant", [("Content-Type", "application/json")], "POST", body)
    with uvicorn_server("examples.jtl_connect_tenant.app:app", workers=2) as server, ThreadPoolExecutor(8) as pool:
        statuses = [answer.status for answer in pool.map(lambda _: ask_server(server.port, ask), range(16))]
        shown = ask_server(server.port, Ask("/tenant", [bearer(session_token())])).json()
    assert sorted(statuses) == [200] * 15 + [201]
    assert shown == {"tenant": NORTH, "slug": "north", "connected": 16}
    assert set(jtl.tenants_asked_for()) == {NORTH}
