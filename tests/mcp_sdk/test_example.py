"""The example does what it says, asked by the SDK's client over a real socket."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

import examples.mcp_server
from bearerguard import Verifier
from tests.doors import Ask, ask_server
from tests.mcp_sdk.places import MODERN, AuthorizationServer, Place, served
from tests.mcp_sdk.test_discovery import Remembered, login
from tests.mcp_sdk.test_door import errors_in
from tests.scripted_provider import hang_up
from tests.servers import free_port, serving

EXAMPLE = Path(examples.mcp_server.__file__)

both_eras = pytest.mark.parametrize("mode", ["legacy", MODERN])


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """The example as it is deployed, with an authorization server."""
    issuer = AuthorizationServer("signed")
    with issuer.provider:
        place = Place(issuer, free_port())
        monkeypatch.setenv("MCP_ISSUER", issuer.issuer)
        monkeypatch.setenv("MCP_RESOURCE", place.url)
        monkeypatch.delenv("BEARERGUARD_STORE", raising=False)
        with monkeypatch.context() as patch:
            patch.setattr(examples.mcp_server, "Verifier", lambda *kinds, **options: keep(place, *kinds, **options))
            app = examples.mcp_server.app()
        with served(app, int(place.root.rpartition(":")[2])):
            yield place


def keep(place: Place, *kinds: Any, **options: Any) -> Verifier[Any]:
    """The example's verifier, and the test's hand on it."""
    place.verifier = Verifier(*kinds, **options)
    return place.verifier


@both_eras
def test_leads_a_stranger_to_the_orders_and_to_a_refund(here: Place, mode: str) -> None:
    async def visit() -> tuple[set[str], Any, Any]:
        async with httpx2.AsyncClient(auth=login(here, Remembered())) as http, here.client_of(http, mode) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            return names, await client.call_tool("list_orders", {}), await client.call_tool("refund", {"number": 1001})

    names, orders, refunded = asyncio.run(visit())
    assert names == {"list_orders", "refund"}
    assert orders.structured_content == {"1001": "sent", "1002": "paid"}
    assert refunded.content[0].text == "1001 refunded by robot"
    assert [set(form["scope"].split()) for form in here.issuer.asked_for] == [
        {"orders:read"},
        {"orders:read", "orders:write"},
    ]


@both_eras
def test_refuses_a_client_whose_token_is_revoked_in_between(here: Place, mode: str) -> None:
    token = here.token()

    async def visit() -> None:
        async with here.client(token, mode) as client:
            await client.call_tool("list_orders", {})
            await here.verifier.denylist.arevoke(await here.verifier.averify(token))
            await client.call_tool("list_orders", {})

    with pytest.raises(BaseExceptionGroup) as raised:
        asyncio.run(visit())
    assert "the token has been revoked" in [str(error) for error in errors_in(raised.value)]


def test_answers_503_while_its_authorization_server_is_down(here: Place) -> None:
    here.issuer.break_down(hang_up)
    failed = here.call_now("list_orders", token=here.token())
    assert (failed.status_code, failed.headers["retry-after"]) == (503, "1")


@contextmanager
def tried_out() -> Iterator[tuple[Place, dict[str, str]]]:
    """The example as it is tried on a machine, and the tokens that it prints."""
    place = Place(AuthorizationServer("signed"), free_port())
    place.issuer.provider.close()
    command = [sys.executable, str(EXAMPLE), place.root.rpartition(":")[2]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            tokens = dict(process.stdout.readline().strip().split(": ") for _ in range(2))
            while "running on" not in process.stderr.readline():
                assert process.poll() is None
            yield place, tokens
        finally:
            process.terminate()
            process.communicate(timeout=10)


def test_can_be_tried_without_an_account() -> None:
    async def refund(place: Place, token: str) -> Any:
        async with place.client(token, MODERN) as client:
            return await client.call_tool("refund", {"number": 1002})

    with tried_out() as (place, tokens):
        assert place.call_now("list_orders", token=None).status_code == 401
        assert place.call_now("refund", token=tokens["orders:read"], number=1002).status_code == 403
        refunded = asyncio.run(refund(place, tokens["orders:read orders:write"]))
    assert refunded.content[0].text == "1002 refunded by ann"


def test_is_served_by_the_command_of_the_readme() -> None:
    (command,) = re.findall(
        r"^\$ (uvicorn .*mcp_server:app)$", EXAMPLE.with_name("README.md").read_text(), re.MULTILINE
    )
    port = free_port()
    resource = f"http://127.0.0.1:{port}/mcp"
    environment = {"MCP_ISSUER": "https://id.example.com", "MCP_RESOURCE": resource}
    with serving(port, [sys.executable, "-m", *command.split(), "--port", str(port)], environment):
        assert ask_server(port, Ask("/.well-known/oauth-protected-resource/mcp")).json()["resource"] == resource
        assert ask_server(port, Ask("/mcp", method="POST")).status == 401
