"""What could not be found out is 503 and never 401."""

from __future__ import annotations

import pytest

from tests.mcp_sdk.orders import orders_server
from tests.mcp_sdk.places import place, told
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


def test_lets_a_call_pass_once_the_provider_is_back() -> None:
    with place(orders_server(), sort="opaque") as here:
        token = here.token()
        here.issuer.break_down(status(500))
        failed = here.call_now("who", token=token)
        here.issuer.come_back()
        answered = here.call_now("who", token=token)
    assert (failed.status_code, answered.status_code) == (503, 200)
