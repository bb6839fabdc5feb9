"""The examples do what they say: in this process, and served by real servers."""

from __future__ import annotations

import base64
import hmac
import importlib
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from starlette.testclient import TestClient

from tests.doors import Answer, Ask, ask_asgi, ask_server, ask_wsgi, bearer
from tests.minting import OLD_SECRET, SECRET, SigningKey, mint, private_key, public_jwk
from tests.scripted_provider import ScriptedProvider, json_answer
from tests.servers import free_port, gunicorn_server, serving, uvicorn_server, werkzeug_server

EXAMPLES = Path(__file__).parents[1] / "examples"
NOBODY_LISTENS = "redis://127.0.0.1:1/0"

WEBHOOK_SECRET = "what the platform signs its webhooks with"
ENVIRONMENT = {
    "WHATALO_CLIENT_ID": "ours",
    "WHATALO_CLIENT_SECRET": SECRET,
    "SHOPIFY_CLIENT_ID": "ours",
    "SHOPIFY_CLIENT_SECRET": SECRET,
    "JTL_APP_ID": "ours",
    "WEBHOOK_SECRET": WEBHOOK_SECRET,
}


@dataclass(frozen=True)
class Example:
    """How one example is asked, and what the tokens of its platform are like."""

    module: str
    tenants: Callable[[], str]
    claims: Callable[[str], dict[str, object]]
    home: str
    once: str
    uninstalled: Callable[[str], Ask]
    key: SigningKey = SECRET
    forger: SigningKey = OLD_SECRET
    alg: str = "HS256"
    kid: str | None = None

    def token(self, tenant: str, *, key: SigningKey | None = None, **changes: object) -> str:
        """A token of its platform, but for what `changes`; None leaves a claim out."""
        now = int(time.time())
        claims = {"aud": "ours", "iat": now, "exp": now + 300, "jti": str(uuid.uuid4())} | self.claims(tenant) | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        return mint(claims, key=key or self.key, alg=self.alg, headers={"kid": self.kid})


def whatalo_claims(store: str) -> dict[str, object]:
    return {"iss": "whatalo", "sub": store, "storeId": store, "scopes": ["read:orders", "write:orders"]}


def shopify_claims(shop: str) -> dict[str, object]:
    return {"iss": f"https://{shop}/admin", "dest": f"https://{shop}", "sub": "81234567890", "sid": "a"}


def jtl_claims(tenant: str) -> dict[str, object]:
    return {"iss": os.environ["JTL_ISSUER"], "sub": "287654321098765432", "urn:jtl:tenant_id": tenant, "jti": None}


def webhook(body: dict[str, str], signed: Callable[[bytes], tuple[str, str]]) -> Ask:
    """What a platform sends when a tenant throws the app out."""
    text = json.dumps(body).encode()
    return Ask("/webhooks/uninstalled", [signed(text), ("Content-Type", "application/json")], "POST", text)


def signed_for_the_stand_in(text: bytes) -> tuple[str, str]:
    return ("X-Webhook-Signature", hmac.digest(WEBHOOK_SECRET.encode(), text, "sha256").hex())


def signed_by_shopify(text: bytes) -> tuple[str, str]:
    return ("X-Shopify-Hmac-Sha256", base64.b64encode(hmac.digest(SECRET.encode(), text, "sha256")).decode())


WHATALO = Example(
    module="fastapi_app",
    tenants=lambda: f"str_{uuid.uuid4().hex}",
    claims=whatalo_claims,
    home="/orders",
    once="/orders/1001/refund",
    uninstalled=lambda store: webhook({"storeId": store}, signed_for_the_stand_in),
)
SHOPIFY = Example(
    module="starlette_app",
    tenants=lambda: f"s{uuid.uuid4().hex}.myshopify.com",
    claims=shopify_claims,
    home="/me",
    once="/payout",
    uninstalled=lambda shop: webhook({"myshopify_domain": shop}, signed_by_shopify),
)
JTL = Example(
    module="flask_app",
    tenants=lambda: str(uuid.uuid4()),
    claims=jtl_claims,
    home="/stock",
    once="/stock/transfers",
    uninstalled=lambda tenant: webhook({"tenantId": tenant}, signed_for_the_stand_in),
    key=private_key("RS256"),
    forger=private_key("RS256", "another"),
    alg="RS256",
    kid="one",
)

SERVERS = {"uvicorn": uvicorn_server, "gunicorn": gunicorn_server, "werkzeug": werkzeug_server}
WAYS = [
    (WHATALO, "in process"),
    (WHATALO, "uvicorn"),
    (SHOPIFY, "in process"),
    (SHOPIFY, "uvicorn"),
    (JTL, "in process"),
    (JTL, "gunicorn"),
    (JTL, "werkzeug"),
]


@pytest.fixture(scope="module", autouse=True)
def surroundings() -> Iterator[None]:
    """What the examples read from the environment, and a provider that publishes JTL's keys."""
    jwks = {"keys": [public_jwk(private_key("RS256"), kid="one")]}
    with ScriptedProvider() as provider, pytest.MonkeyPatch.context() as patch:
        provider.play("/oauth/v2/keys", json_answer(jwks))
        patch.delenv("BEARERGUARD_STORE", raising=False)
        for name, value in (ENVIRONMENT | {"JTL_ISSUER": provider.url().removesuffix("/")}).items():
            patch.setenv(name, value)
        yield


@dataclass(frozen=True)
class Running:
    """An example that answers."""

    example: Example
    ask: Callable[[Ask], Answer]

    def home(self, token: str) -> Answer:
        """What it answers to a token."""
        return self.ask(Ask(self.example.home, [bearer(token)]))


@contextmanager
def app_of(example: Example) -> Iterator[Any]:
    """Its app, with a store of its own."""
    module = importlib.reload(importlib.import_module(f"examples.{example.module}"))
    with module.verifier:
        yield module.app


def asks_of(app: Any) -> Callable[[Ask], Answer]:
    """How an app in this process is asked."""
    return partial(ask_wsgi if isinstance(app, Flask) else ask_asgi, app)


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: f"{way[0].module} {way[1]}")
def running(request: pytest.FixtureRequest, surroundings: None) -> Iterator[Running]:
    """Each example, in each way."""
    example, way = request.param
    with ExitStack() as stack:
        if way in SERVERS:
            server = stack.enter_context(SERVERS[way](f"examples.{example.module}:app"))
            yield Running(example, partial(ask_server, server.port))
        else:
            yield Running(example, asks_of(stack.enter_context(app_of(example))))


def test_answers_a_health_check_without_a_token(running: Running) -> None:
    assert running.ask(Ask("/health")).json() == {"status": "ok"}


def test_refuses_a_request_without_a_token(running: Running) -> None:
    refused = running.ask(Ask(running.example.home))
    assert (refused.status, refused.challenge) == (401, {})


def test_tells_the_view_whose_token_it_is(running: Running) -> None:
    tenant = running.example.tenants()
    answered = running.home(running.example.token(tenant))
    assert (answered.status, tenant in answered.json().values()) == (200, True)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"exp": 1_600_000_000}, id="expired"),
        pytest.param({"aud": "another app"}, id="for another app"),
        pytest.param({"iss": "https://elsewhere.example.com"}, id="of another platform"),
    ],
)
def test_refuses_a_bad_token(running: Running, changes: dict[str, Any]) -> None:
    refused = running.home(running.example.token(running.example.tenants(), **changes))
    assert (refused.status, refused.json()["error"]) == (401, "invalid_token")


def test_refuses_a_token_that_somebody_else_signed(running: Running) -> None:
    example = running.example
    assert running.home(example.token(example.tenants(), key=example.forger)).status == 401


def test_takes_a_token_once_where_it_matters(running: Running) -> None:
    token = bearer(running.example.token(running.example.tenants()))
    first, second = (running.ask(Ask(running.example.once, [token], "POST")) for _ in range(2))
    assert (first.status // 100, second.status) == (2, 401)
    assert running.ask(Ask(running.example.home, [token])).status == 200


def test_an_uninstall_revokes_the_tenant_and_no_other(running: Running) -> None:
    gone, stays = running.example.tenants(), running.example.tenants()
    token = running.example.token(gone)
    assert running.home(token).status == 200
    assert running.ask(running.example.uninstalled(gone)).json() == {"revoked": gone}
    assert [running.home(one).status for one in (token, running.example.token(gone))] == [401, 401]
    assert running.home(running.example.token(stays)).status == 200


def test_an_uninstall_that_is_not_signed_revokes_nothing(running: Running) -> None:
    tenant = running.example.tenants()
    signed = running.example.uninstalled(tenant)
    (name, signature), kind = signed.headers
    for headers in ([kind], [(name, signature[:-4] + "AAA="), kind]):
        assert running.ask(Ask(signed.target, headers, "POST", signed.body)).status == 403
    assert running.home(running.example.token(tenant)).status == 200


# --- What is special about one of them -------------------------------------------------------------------------------


def test_fastapi_asks_for_scopes_and_shows_them() -> None:
    with app_of(WHATALO) as app:
        refused = ask_asgi(app, Ask("/orders", [bearer(WHATALO.token("str_1", scopes=["read:products"]))]))
        shown = app.openapi()["paths"]
    assert (refused.status, (refused.challenge or {})["scope"]) == (403, "read:orders")
    assert shown["/orders"]["get"]["security"] == [{"BearerToken": ["read:orders"]}]
    assert "security" not in shown["/health"]["get"]


def test_starlette_keeps_admin_and_checkout_apart() -> None:
    admin = bearer(SHOPIFY.token("a.myshopify.com"))
    checkout = bearer(SHOPIFY.token("a.myshopify.com", iss=None, sid=None, sub=None))
    with app_of(SHOPIFY) as app:
        statuses = [ask_asgi(app, Ask(path, [who])).status for path in ("/me", "/offers") for who in (admin, checkout)]
    assert statuses == [200, 403, 403, 200]


def test_starlette_guards_its_websocket() -> None:
    with app_of(SHOPIFY) as app, TestClient(app) as client:
        headers = dict([bearer(SHOPIFY.token("a.myshopify.com"))])
        with client.websocket_connect("/live", headers=headers) as socket:
            assert socket.receive_json() == {"shop": "a.myshopify.com"}
            socket.send_text("how many?")
            assert socket.receive_json() == {"orders": 2}


def test_flask_answers_400_to_a_token_without_a_tenant() -> None:
    token = JTL.token("", **{"urn:jtl:tenant_id": None})
    with app_of(JTL) as app:
        assert ask_wsgi(app, Ask("/stock", [bearer(token)])).status == 400


@pytest.mark.parametrize("example", [WHATALO, SHOPIFY, JTL], ids=lambda example: example.module)
def test_answers_503_where_its_store_is_down(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEARERGUARD_STORE", NOBODY_LISTENS)
    token, uninstalled = example.token(example.tenants()), example.uninstalled(example.tenants())
    with app_of(example) as app:
        ask = asks_of(app)
        answered = [ask(Ask("/health")), ask(Ask(example.home, [bearer(token)])), ask(uninstalled)]
    assert [answer.status for answer in answered] == [200, 503, 503]


# --- As the README has them ------------------------------------------------------------------------------------------

README = (EXAMPLES / "README.md").read_text()
# The one for the MCP server is tried where its SDK is: tests/mcp_sdk/test_example.py.
COMMANDS = re.findall(r"^\$ ((?:uvicorn|flask) (?!.*\bmcp_server\b).*)$", README, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_is_served_by_the_command_of_the_readme(command: str, tmp_path: Path) -> None:
    port, (program, *arguments) = free_port(), command.split()
    environment = {
        "JTL_CLIENT_ID": "ours",
        "JTL_CLIENT_SECRET": SECRET,
        "DATABASE_URL": f"sqlite:///{tmp_path / 't.db'}",
    }
    with serving(port, [sys.executable, "-m", program, *arguments, "--port", str(port)], environment):
        assert ask_server(port, Ask("/health")).json() == {"status": "ok"}


@pytest.mark.parametrize("path", sorted({*EXAMPLES.glob("*.py"), *(path.parent for path in EXAMPLES.glob("*/app.py"))}))
def test_every_example_is_in_the_readme_and_tried(path: Path) -> None:
    assert f"[{path.name}]({path.name}" in README
    tests = [each for each in EXAMPLES.parent.joinpath("tests").rglob("test_*.py") if each.name != "test_docs.py"]
    assert [each.name for each in tests if re.search(rf"\b{path.stem}\b", each.read_text())] != []


# --- The tour --------------------------------------------------------------------------------------------------------


def tour(store: str = "memory://") -> subprocess.CompletedProcess[str]:
    """The tour as the README has it, but for the store."""
    environment = os.environ | {"BEARERGUARD_STORE": store}
    return subprocess.run(
        [sys.executable, EXAMPLES / "tour.py"], capture_output=True, text=True, timeout=60, env=environment
    )


def test_the_tour_sees_what_it_expects() -> None:
    ended = tour()
    assert (ended.returncode, ended.stderr) == (0, "")
    seen = {line.split()[-1] for line in ended.stdout.splitlines() if line}
    assert seen >= {"200", "missing_token", "bad_signature", "insufficient_scope", "replayed", "revoked", "be."}


def test_the_readme_shows_what_the_tour_prints() -> None:
    readme = (EXAMPLES.parent / "README.md").read_text()
    _, *table = tour().stdout.splitlines()
    assert "\n".join(table) in readme


def test_the_tour_fails_where_something_is_amiss() -> None:
    ended = tour(NOBODY_LISTENS)
    assert ended.returncode == 1
    assert "503     store_unavailable  <- 200 was expected" in ended.stdout
