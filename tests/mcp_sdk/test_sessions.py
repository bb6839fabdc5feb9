"""An MCP session answers to whoever began it, and to nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from starlette.requests import Request
from starlette.responses import JSONResponse

from bearerguard import UNCHECKED, SharedSecrets, SignedTokens
from bearerguard.mcp.sessions import Sessions
from tests.mcp_sdk.orders import orders_server
from tests.mcp_sdk.places import LEGACY, Place, place
from tests.minting import SECRET, mint


def with_a_health_check(server: MCPServer) -> MCPServer:
    async def health(_: Request) -> JSONResponse:
        return JSONResponse({})

    server.custom_route("/health", methods=["GET"])(health)
    return server


@pytest.fixture(scope="module")
def here() -> Iterator[Place]:
    with place(with_a_health_check(orders_server()), exempt=("/health",)) as running:
        yield running


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"user": "bob"}, id="another user"),
        pytest.param({"client_id": "another client"}, id="another client"),
    ],
)
@pytest.mark.parametrize("http_method", ["POST", "GET", "DELETE"])
def test_hides_the_session_of_somebody_else(here: Place, claims: dict[str, Any], http_method: str) -> None:
    session = here.begin(here.token())
    headers = here.headers(here.token(**claims), mcp_session_id=session)
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"} if http_method == "POST" else None
    refused = httpx2.request(http_method, here.url, headers=headers, json=body)
    assert (refused.status_code, refused.json()["error"]["message"]) == (404, "Session not found")
    assert here.call("who", token=here.token(), session=session).status_code == 200


def test_serves_a_session_with_a_newer_token_of_its_owner(here: Place) -> None:
    session = here.begin(here.token())
    assert here.call("who", token=here.token(), session=session).status_code == 200


def test_is_not_led_astray_by_two_session_ids(here: Place) -> None:
    ours, theirs = here.begin(here.token()), here.begin(here.token(user="bob"))
    for pair in ((ours, theirs), (theirs, ours)):
        headers = [*here.headers(here.token()).items(), *(("mcp-session-id", one) for one in pair)]
        answer = httpx2.post(here.url, headers=headers, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert answer.status_code == 404


def test_hides_sessions_that_nobody_has_begun(here: Place) -> None:
    assert here.call("who", token=here.token(), session="f" * 32).status_code == 404


def test_hides_sessions_from_requests_without_a_token(here: Place) -> None:
    session = here.begin(here.token())
    assert httpx2.get(f"{here.root}/health").json() == {}
    assert httpx2.get(f"{here.root}/health", headers={"mcp-session-id": session}).status_code == 404


def test_forgets_a_session_that_its_owner_ended(here: Place) -> None:
    session = here.begin(here.token())
    assert httpx2.delete(here.url, headers=here.headers(here.token(), mcp_session_id=session)).status_code == 200
    assert here.call("who", token=here.token(), session=session).status_code == 404


@pytest.fixture(scope="module")
def of_a_platform() -> Iterator[Place]:
    """A platform whose tokens name neither an issuer nor a client nor a subject, so that to the SDK all are one."""
    settings = SignedTokens(
        keys=SharedSecrets(SECRET),
        algorithms=("HS256",),
        issuer=UNCHECKED,
        audience="app",
        tenant="tenantId",
        user="userId",
    )
    with place(orders_server(), settings=settings, with_resource=False, scopes=()) as running:
        yield running


def platform_token(**claims: Any) -> str:
    return mint({"aud": "app", "exp": 4_000_000_000, **claims})


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        pytest.param({"userId": "ann"}, {"userId": "ann", "jti": "2"}, 200, id="the same user"),
        pytest.param({"userId": "ann"}, {"userId": "bob"}, 404, id="another user"),
        pytest.param({"userId": "a", "tenantId": "x"}, {"userId": "a", "tenantId": "y"}, 404, id="another tenant"),
        pytest.param({"tenantId": "x"}, {"userId": "x"}, 404, id="a user called like a tenant"),
        pytest.param({"jti": "1"}, {"jti": "1"}, 200, id="the same token, which names nobody"),
        pytest.param({"jti": "1"}, {"jti": "2"}, 404, id="another token, which names nobody"),
    ],
)
def test_tells_the_callers_of_a_platform_apart(
    of_a_platform: Place, first: dict[str, Any], second: dict[str, Any], status: int
) -> None:
    session = of_a_platform.begin(platform_token(**first))
    assert of_a_platform.call("who", token=platform_token(**second), session=session).status_code == status


def test_keeps_the_sessions_that_were_used_last() -> None:
    sessions = Sessions(at_most=2)
    sessions.begin(b"1", ("ann",), "mark-")
    sessions.begin(b"2", ("ann",), "mark-")
    assert sessions.are_of([b"1"], ("ann",))
    sessions.begin(b"3", ("ann",), "mark-")
    assert [sessions.are_of([one], ("ann",)) for one in (b"1", b"2", b"3")] == [True, False, True]


def test_gives_nobody_a_session() -> None:
    sessions = Sessions()
    sessions.begin(b"1", ("ann",), "mark-")
    assert not sessions.are_of([b"1"], None)
    assert not sessions.are_of([b"2"], None)
    assert sessions.are_of([], None)


class Tape(EventStore):
    """An event store as simple as its contract allows: one list of events for each stream."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self.events.append((stream_id, message))
        return str(len(self.events) - 1)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        if not last_event_id.isdigit():
            return None
        stream_id, _ = self.events[int(last_event_id)]
        for number, (stream, message) in enumerate(self.events):
            if number > int(last_event_id) and stream == stream_id and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream_id


@pytest.fixture
def resumable() -> Iterator[Place]:
    with place(orders_server(), app_options={"event_store": Tape()}) as running:
        yield running


def events(answer: httpx2.Response) -> list[str]:
    return [line.removeprefix("id: ") for line in answer.text.splitlines() if line.startswith("id: ")]


def who(here: Place, user: str, session: str) -> httpx2.Response:
    headers = {"mcp_session_id": session, "mcp_protocol_version": LEGACY}
    return here.post("tools/call", {"name": "who", "arguments": {}}, token=here.token(user=user), **headers)


def resumed(here: Place, user: str, session: str, last_event_id: str) -> str:
    """What comes within a second of a stream that goes on after an event."""
    headers = here.headers(
        here.token(user=user), mcp_session_id=session, mcp_protocol_version=LEGACY, last_event_id=last_event_id
    )
    said = ""
    with suppress(httpx2.ReadTimeout), httpx2.stream("GET", here.url, headers=headers, timeout=1) as answer:
        for text in answer.iter_text():
            said += text
    return said


def test_replays_what_a_session_has_missed(resumable: Place) -> None:
    session = resumable.begin(resumable.token())
    first = events(who(resumable, "ann", session))[0]
    assert '"user":"ann"' in resumed(resumable, "ann", session, first)


@pytest.mark.parametrize("user", ["bob", "ann"])
def test_does_not_replay_the_events_of_another_session(resumable: Place, user: str) -> None:
    theirs, ours = resumable.begin(resumable.token()), resumable.begin(resumable.token(user=user))
    first_of_ours = events(who(resumable, user, ours))[0]
    first_of_theirs = events(who(resumable, "ann", theirs))[0]
    assert '"user":"ann"' not in resumed(resumable, user, ours, first_of_theirs)
    assert resumed(resumable, user, ours, first_of_ours).count('"result"') == 1
