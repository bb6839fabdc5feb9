"""What could not be found out is 503 and never 401."""

from __future__ import annotations

import asyncio

import pytest

from tests.mcp_sdk.orders import orders_server
from tests.mcp_sdk.places import MODERN, place, told
from tests.mcp_sdk.test_door import errors_in
from tests.scripted_provider import Play, hang_up, status

both_sorts = pytest.mark.parametrize("sort", ["signed", "opaque"])


@both_sorts
@pytest.mark.parametrize("play", [pytest.param(status(500), id="500"), pytest.param(hang_up, id="hangs up")])
def test_answers_503_while_the_provider_cannot_be_asked(sort: str, play: Play) -> None:
    with place(orders_server(), sort=sort) as here:
        token = here.token()
        here.issuer.break_down(play)
        failed = here.call_now("who", token=token)
    assert (failed.status_code, failed.headers["retry-after"]) == (503, "1")
    assert "www-authenticate" not in failed.headers
    assert told(failed)["error"]["code"] == -32603


@both_sorts
def test_answers_503_while_the_store_cannot_be_asked(sort: str) -> None:
    with place(orders_server(), sort=sort, store="redis://127.0.0.1:1/0") as here:
        failed = here.call_now("who", token=here.token())
    assert (failed.status_code, told(failed)["error"]["data"]["error"]) == (503, "store_unavailable")


@both_sorts
@pytest.mark.parametrize("mode", ["legacy", MODERN])
def test_answers_a_call_again_once_the_provider_is_back(sort: str, mode: str) -> None:
    with place(orders_server(), sort=sort, cache_seconds=0) as here:
        token = here.token()

        async def visit() -> None:
            async with here.client(token, mode) as client:
                await client.call_tool("who", {})
                here.verifier.denylist.revoke(here.verifier.verify(token))
                await client.call_tool("who", {})

        with pytest.raises(BaseExceptionGroup) as raised:
            asyncio.run(visit())
    assert "the token has been revoked" in [str(error) for error in errors_in(raised.value)]
