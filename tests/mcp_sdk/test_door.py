"""The door of an MCP server, asked by the SDK's own client and by hand, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from mcp import MCPError
from mcp_types import TextContent

from bearerguard.testing import authenticated_as
from tests.mcp_sdk.orders import orders_server
from tests.mcp_sdk.places import MODERN, Place, place, told

both_eras = pytest.mark.parametrize("mode", ["legacy", MODERN])


@pytest.fixture(scope="module", params=["signed", "opaque"])
def here(request: pytest.FixtureRequest) -> Iterator[Place]:
    with place(orders_server(), sort=request.param) as running:
        yield running


def text_of(result: Any) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


@both_eras
def test_lets_a_client_list_and_call_tools(here: Place, mode: str) -> None:
    async def visit() -> tuple[set[str], Any]:
        async with here.client(here.token(), mode) as client:
            tools = await client.list_tools()
            return {tool.name for tool in tools.tools}, await client.call_tool("who", {})

    names, result = asyncio.run(visit())
    assert {"who", "refund"} <= names
    assert result.structured_content == {
        "user": "ann",
        "scopes": ["orders:read"],
        "subject": "ann",
        "client": "desktop",
        "token_scopes": ["orders:read"],
    }


def test_sends_a_client_without_a_token_to_the_metadata(here: Place) -> None:
    refused = here.post("tools/list")
    metadata_url = f"{here.root}/.well-known/oauth-protected-resource/mcp"
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == f'Bearer scope="orders:read", resource_metadata="{metadata_url}"'
    assert told(refused)["error"]["message"] == "the request carries no token"
    page = httpx2.get(metadata_url).json()
    assert (page["resource"], page["authorization_servers"]) == (here.url, [here.issuer.issuer])


@both_eras
@pytest.mark.parametrize("tool", ["refund", "refund_in_a_thread"])
def test_refuses_a_call_whose_token_lacks_a_scope_with_all_that_it_needs(here: Place, tool: str, mode: str) -> None:
    refused = call(here, mode, tool, token=here.token(scopes="orders:read orders:write"), number=1)
    assert refused.status_code == 403
    assert refused.headers["www-authenticate"] == (
        'Bearer error="insufficient_scope", error_description="the token lacks a scope that the route needs", '
        'scope="orders:read orders:write orders:refund", '
        f'resource_metadata="{here.root}/.well-known/oauth-protected-resource/mcp"'
    )
    error = told(refused)["error"]
    assert error["data"] == {
        "error": "insufficient_scope",
        "detail": "the token lacks a scope that the route needs",
        "scope": "orders:read orders:write orders:refund",
    }


def call(here: Place, mode: str, tool: str, *, token: str, **arguments: Any) -> httpx2.Response:
    """One call, in either protocol."""
    if mode == MODERN:
        return here.call_now(tool, token=token, **arguments)
    return here.call(tool, token=token, session=here.begin(token), **arguments)


@both_eras
@pytest.mark.parametrize("tool", ["refund", "refund_in_a_thread"])
def test_lets_a_call_pass_whose_token_has_every_scope(here: Place, tool: str, mode: str) -> None:
    answered = call(here, mode, tool, token=here.token(scopes="orders:read orders:write orders:refund"), number=3)
    assert (answered.status_code, told(answered)["result"]["isError"]) == (200, False)
    assert told(answered)["result"]["content"][0]["text"] == "refunded 3"


@both_eras
def test_refuses_every_request_whose_token_lacks_a_scope_of_the_server(here: Place, mode: str) -> None:
    token = here.token(scopes="orders:write orders:refund")
    refused = here.call_now("refund", token=token, number=1) if mode == MODERN else here.post("initialize", token=token)
    assert refused.status_code == 403
    assert 'scope="orders:read"' in refused.headers["www-authenticate"]


@both_eras
def test_lets_a_tool_go_on_without_what_a_guard_refused(here: Place, mode: str) -> None:
    answered = call(here, mode, "try_refund", token=here.token())
    assert (answered.status_code, told(answered)["result"]["content"][0]["text"]) == (200, "no refund")


@both_eras
def test_leaves_the_failures_of_tools_to_them(here: Place, mode: str) -> None:
    answered = call(here, mode, "fail", token=here.token())
    assert (answered.status_code, told(answered)["result"]["isError"]) == (200, True)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        pytest.param("resources/read", {"uri": "orders://all"}, id="resource"),
        pytest.param("resources/read", {"uri": "orders://one/1"}, id="resource of a template"),
        pytest.param("prompts/get", {"name": "summarize"}, id="prompt"),
    ],
)
def test_guards_resources_and_prompts(here: Place, method: str, params: dict[str, Any]) -> None:
    poor, rich = here.token(), here.token(scopes="orders:read orders:write")
    refused = here.post(method, params, token=poor, mcp_session_id=here.begin(poor))
    answered = here.post(method, params, token=rich, mcp_session_id=here.begin(rich))
    assert (refused.status_code, answered.status_code) == (403, 200)
    assert 'scope="orders:read orders:write"' in refused.headers["www-authenticate"]
    assert "result" in told(answered)


@both_eras
def test_takes_a_token_once_where_it_matters(here: Place, mode: str) -> None:
    token = here.token()
    session = here.begin(token)
    answers = [
        here.call_now("pay", token=token) if mode == MODERN else here.call("pay", token=token, session=session)
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 401]
    assert told(answers[1])["error"]["data"]["error"] == "invalid_token"


def test_tells_each_call_of_a_session_its_own_claims(here: Place) -> None:
    wide, narrow = here.token(scopes="orders:read orders:write orders:refund"), here.token()
    session = here.begin(wide)
    seen = [
        told(here.call("who", token=token, session=session))["result"]["structuredContent"]["scopes"]
        for token in (wide, narrow, wide)
    ]
    assert seen == [["orders:read", "orders:refund", "orders:write"], ["orders:read"], seen[0]]
    assert here.call("refund", token=narrow, session=session, number=1).status_code == 403


@both_eras
def test_refuses_a_revoked_token_from_the_next_request_on(here: Place, mode: str) -> None:
    token = here.token()
    session = here.begin(token)

    def who() -> httpx2.Response:
        return here.call_now("who", token=token) if mode == MODERN else here.call("who", token=token, session=session)

    assert who().status_code == 200
    here.verifier.denylist.revoke(here.verifier.verify(token))
    refused = who()
    assert (refused.status_code, told(refused)["error"]["message"]) == (401, "the token has been revoked")


@both_eras
def test_tells_the_client_why_it_was_refused(here: Place, mode: str) -> None:
    async def visit() -> None:
        async with here.client(here.token(), mode) as client:
            await client.call_tool("refund", {"number": 1})

    with pytest.raises(BaseExceptionGroup) as raised:
        asyncio.run(visit())
    (error,) = errors_in(raised.value)
    assert str(error) == "the token lacks a scope that the route needs"


@both_eras
@pytest.mark.parametrize("sends_a_token", [False, True])
def test_answers_as_somebody_in_the_tests_of_an_app(here: Place, mode: str, sends_a_token: bool) -> None:
    token = here.token() if sends_a_token else None

    async def visit() -> Any:
        async with here.client(token, mode) as client:
            return await client.call_tool("refund", {"number": 9})

    with authenticated_as(here.verifier, user="eve", scopes={"orders:read", "orders:write", "orders:refund"}):
        assert text_of(asyncio.run(visit())) == "refunded 9"
    with authenticated_as(here.verifier, user="eve", scopes={"orders:read"}):
        assert here.call_now("refund", token=token, number=9).status_code == 403


def errors_in(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The errors of the protocol, however deep task groups have wrapped them."""
    found = group.subgroup(MCPError)
    return [] if found is None else [*_leaves(found)]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
