"""A client that knows nothing but the URL finds its way: to a token, and to a better one when a tool needs it."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import httpx2
import pytest
from mcp.client.auth import TokenStorage
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

from tests.mcp_sdk.orders import orders_server
from tests.mcp_sdk.places import MODERN, Place, place


class Remembered(TokenStorage):
    """What a client keeps."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def login(here: Place, storage: TokenStorage) -> ClientCredentialsOAuthProvider:
    """A client that knows who it is, and finds out the rest."""
    with warnings.catch_warnings():
        # Newer versions of the SDK want the issuer named, and mcp 2.0 has no word for it.
        warnings.filterwarnings("ignore", "Omitting `issuer` is deprecated")
        return ClientCredentialsOAuthProvider(
            server_url=here.url, storage=storage, client_id="robot", client_secret="robot's secret"
        )


async def refunds(here: Place, mode: str) -> tuple[Any, Any]:
    """What two calls answer, of which the second needs more than the first."""
    async with httpx2.AsyncClient(auth=login(here, Remembered())) as http, here.client_of(http, mode) as client:
        return await client.call_tool("who", {}), await client.call_tool("refund", {"number": 5})


@pytest.mark.parametrize("sort", ["signed", "opaque"])
@pytest.mark.parametrize("mode", ["legacy", MODERN])
def test_leads_a_client_to_a_token_and_then_to_a_better_one(sort: str, mode: str) -> None:
    with place(orders_server(), sort=sort) as here:
        first, second = asyncio.run(refunds(here, mode))
        asked_for = [form["scope"].split() for form in here.issuer.asked_for]
        resources = {form["resource"] for form in here.issuer.asked_for}
    assert first.structured_content["user"] == "robot"
    assert second.content[0].text == "refunded 5"
    assert [sorted(scopes) for scopes in asked_for] == [
        ["orders:read"],
        ["orders:read", "orders:refund", "orders:write"],
    ]
    assert resources == {here.url}
