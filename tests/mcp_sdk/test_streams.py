"""What is still being answered ends with its token: streams at its end, and calls when it is revoked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from bearerguard.mcp.stream_watch import FINISH_SECONDS
from tests.hostile import Clock
from tests.mcp_sdk.orders import enough, orders_server, waiting
from tests.mcp_sdk.places import MODERN, PATIENCE, Place, now, place, told
from tests.scripted_provider import status

PAST_ITS_END = 320
"""Seconds from now to when the leeway of every token here is over."""

both_eras = pytest.mark.parametrize("mode", ["legacy", MODERN])


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


@pytest.fixture(params=["signed", "opaque"])
def here(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Place]:
    waiting.clear()
    enough.clear()
    with place(orders_server(), sort=request.param, clock=clock, recheck_seconds=0.05, cache_seconds=0) as running:
        yield running
        enough.set()


def open_ended(here: Place, mode: str, token: str) -> Any:
    """A stream that waits for whatever happens."""
    if mode == MODERN:
        params, headers = now("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        return here.stream("subscriptions/listen", params, token=token, **headers)
    return here.stream(None, token=token, mcp_session_id=here.begin(token))


def revoke(here: Place, clock: Clock, token: str) -> None:
    here.verifier.denylist.revoke(here.verifier.verify(token))


def expire(here: Place, clock: Clock, token: str) -> None:
    clock.now += PAST_ITS_END


WAYS: dict[str, Callable[[Place, Clock, str], None]] = {"revoked": revoke, "expired": expire}


@both_eras
@pytest.mark.parametrize("way", WAYS)
def test_ends_an_open_stream_with_its_token(here: Place, clock: Clock, mode: str, way: str) -> None:
    token = here.token()
    with open_ended(here, mode, token) as lines:
        if mode == MODERN:
            next(lines)
        WAYS[way](here, clock, token)
        rest = [line for line in lines if line.startswith("data: {")]
    if mode == MODERN:
        error = json.loads(rest[-1].removeprefix("data: "))
        assert (error["id"], error["error"]["data"]["error"]) == (7, "invalid_token")


def test_ends_an_open_stream_that_nobody_can_judge(clock: Clock) -> None:
    with place(orders_server(), sort="opaque", clock=clock, recheck_seconds=0.05, cache_seconds=0) as here:
        token = here.token()
        with open_ended(here, MODERN, token) as lines:
            next(lines)
            here.issuer.break_down(status(500))
            (last,) = [line for line in lines if '"error"' in line]
    assert json.loads(last.removeprefix("data: "))["error"]["data"]["error"] == "provider_unavailable"


def begin_waiting(here: Place, mode: str, token: str, crew: ThreadPoolExecutor) -> Future[httpx2.Response]:
    """A call under way of the tool that waits."""
    if mode == MODERN:
        calling = crew.submit(here.call_now, "wait", token=token)
    else:
        calling = crew.submit(here.call, "wait", token=token, session=here.begin(token))
    assert waiting.wait(PATIENCE)
    return calling


@both_eras
def test_refuses_a_call_whose_token_is_revoked_before_it_is_answered(here: Place, clock: Clock, mode: str) -> None:
    token = here.token()
    with ThreadPoolExecutor() as crew:
        calling = begin_waiting(here, mode, token, crew)
        revoke(here, clock, token)
        refused = calling.result(PATIENCE)
    assert (refused.status_code, told(refused)["error"]["message"]) == (401, "the token has been revoked")


@both_eras
def test_answers_a_call_whose_token_ends_meanwhile(here: Place, clock: Clock, mode: str) -> None:
    token = here.token()
    with ThreadPoolExecutor() as crew:
        calling = begin_waiting(here, mode, token, crew)
        clock.now += PAST_ITS_END
        time.sleep(0.2)
        enough.set()
        answered = calling.result(PATIENCE)
    assert (answered.status_code, told(answered)["result"]["content"][0]["text"]) == (200, "waited")


@both_eras
def test_refuses_a_call_that_takes_far_longer_than_its_token_lives(here: Place, clock: Clock, mode: str) -> None:
    token = here.token()
    with ThreadPoolExecutor() as crew:
        calling = begin_waiting(here, mode, token, crew)
        clock.now += PAST_ITS_END + FINISH_SECONDS
        refused = calling.result(PATIENCE)
    assert (refused.status_code, told(refused)["error"]["message"]) == (401, "the token has expired")


@both_eras
def test_refuses_a_call_whose_token_is_revoked_after_its_end(here: Place, clock: Clock, mode: str) -> None:
    token = here.token()
    claims = here.verifier.verify(token)
    with ThreadPoolExecutor() as crew:
        calling = begin_waiting(here, mode, token, crew)
        clock.now += PAST_ITS_END
        time.sleep(0.2)
        here.verifier.denylist.revoke(claims)
        refused = calling.result(PATIENCE)
    assert (refused.status_code, told(refused)["error"]["message"]) == (401, "the token has been revoked")


@both_eras
def test_tells_a_call_in_its_stream_that_its_token_was_revoked(here: Place, clock: Clock, mode: str) -> None:
    token = here.token()
    params: dict[str, Any] = {"name": "count", "arguments": {}, "_meta": {"progressToken": "p"}}
    if mode == MODERN:
        params, headers = now("tools/call", params)
    else:
        headers = {"mcp_session_id": here.begin(token)}
    with here.stream("tools/call", params, token=token, **headers) as lines:
        progress = next(line for line in lines if "notifications/progress" in line)
        assert progress
        revoke(here, clock, token)
        (last,) = [line for line in lines if line.startswith("data: {")]
    error = json.loads(last.removeprefix("data: "))
    assert (error["id"], error["error"]["message"]) == (7, "the token has been revoked")
