"""oidc-provider, a certified provider that nobody here wrote, on loopback; `provider.mjs` configures and starts it."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.servers import Process

HERE = Path(__file__).resolve().parent
NO_NODE = "these tests need node and npm on PATH, and oidc-provider: run `tox -e oidc`, or `npm ci` in tests/oidc"

ORDERS = "https://orders.example.com"  # its access tokens are opaque
LEDGER = "https://ledger.example.com"  # JWTs, RS256
ARCHIVE = "https://archive.example.com"  # JWTs, ES256

INTROSPECTION = "POST /token/introspection"
TOKEN = "POST /token"
DISCOVERY = "GET /.well-known/oauth-authorization-server"

_CIBA = "urn:openid:params:grant-type:ciba"


class Client(NamedTuple):
    """What a client of the provider proves who it is with."""

    client_id: str
    client_secret: str


@cache
def _clients() -> Mapping[str, Client]:
    known = json.loads((HERE / "clients.json").read_text(encoding="utf-8"))
    return {name: Client(each["client_id"], each["client_secret"]) for name, each in known.items()}


def client(name: str) -> Client:
    """A client that the provider knows: shop, orders, special; the last two also as orders_by_post, special_by_post."""
    return _clients()[name]


class RealProvider:
    """The provider, running."""

    def __init__(self, process: Process) -> None:
        self._process = process
        process.wait_until(lambda: self._said_issuer() is not None)
        self.issuer = self._said_issuer() or ""

    def _said_issuer(self) -> str | None:
        said = re.search(r"^listening on (\S+)\n", self._process.log(), re.MULTILINE)
        return said and said[1]

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """What it says about itself."""
        answer: dict[str, Any] = httpx.get(f"{self.issuer}/.well-known/openid-configuration", trust_env=False).json()
        return answer

    def calls(self, line: str) -> int:
        """How many requests of that line have arrived."""
        return self._process.log().splitlines().count(line)

    def token(self, resource: str | None = ORDERS, scope: str = "read:orders") -> str:
        """An access token of the shop, by client credentials."""
        return str(self._granted({"grant_type": "client_credentials", "scope": scope}, resource)["access_token"])

    def tokens_of_ana(self, resource: str | None = ORDERS) -> Mapping[str, str]:
        """What the shop gets for Ana, who says yes: an access token, a refresh token and an ID token."""
        asked = {"scope": "openid offline_access read:orders", "login_hint": "ana"}
        request = self.asked("backchannel_authentication_endpoint", asked, resource)
        return self._granted({"grant_type": _CIBA, "auth_req_id": request["auth_req_id"]}, resource)

    def revoke(self, token: str) -> None:
        """Revoke a token of the shop at the provider (RFC 7009)."""
        self._post("revocation_endpoint", {"token": token})

    def _granted(self, form: Mapping[str, str], resource: str | None) -> Mapping[str, str]:
        return self.asked("token_endpoint", form, resource)

    def asked(self, endpoint: str, form: Mapping[str, str], resource: str | None = None) -> dict[str, str]:
        """What an endpoint answers the shop."""
        named = {} if resource is None else {"resource": resource}
        answer: dict[str, str] = self._post(endpoint, {**form, **named}).json()
        return answer

    def _post(self, endpoint: str, form: Mapping[str, str]) -> httpx.Response:
        proof = client("shop")._asdict()
        return httpx.post(self.metadata[endpoint], data={**form, **proof}, trust_env=False).raise_for_status()


@contextmanager
def real_provider() -> Iterator[RealProvider]:
    """The provider, started; the test fails, and is not skipped, where it cannot be."""
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules" / "oidc-provider").is_dir():
        pytest.fail(NO_NODE)
    with tempfile.TemporaryDirectory(prefix="bearerguard-") as home:
        process = Process([node, "provider.mjs"], log=Path(home, "log"), cwd=HERE)
        try:
            yield RealProvider(process)
        finally:
            process.stop()
