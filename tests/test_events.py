"""Events: each is told where it happens, to every sink, and none of them says what was sent."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import json
import logging
import pickle
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

import bearerguard.asgi
from bearerguard import (
    BearerguardError,
    ClientCredentials,
    InvalidToken,
    JwksKeys,
    MemoryStore,
    SettingsError,
    SharedSecrets,
    StoreUnavailable,
    Verifier,
    events,
    journal,
    requires_scope,
    requires_token,
    single_use,
    sinks,
)
from bearerguard.errors import REASONS
from bearerguard.events import (
    CacheForged,
    CacheNotKept,
    ClientRefused,
    ComponentFailed,
    Event,
    KeysRefreshed,
    MetadataUnusable,
    OldClientSecretUsed,
    OldSecretUsed,
    PassedUnchecked,
    ProviderFailed,
    ReplicaDropped,
    Revoked,
    RuleRaised,
    StoreEvicts,
    StoreFailed,
    StoreForgot,
    StoreMetEmpty,
    StoreUnwatched,
    TokenAccepted,
    TokenOutlivesHorizon,
    TokenRefused,
    WebSocketClosed,
)
from bearerguard.settings import Kind
from bearerguard.sinks import add_sink, set_sinks, tell, to_log
from tests import houses
from tests.doors import Ask, Asking, answer_of_asgi, bearer, wsgi_world
from tests.forking import in_a_child
from tests.hostile import ISSUER, NOW, Clock, claims, key_of
from tests.introspecting import CLIENT_SECRET, OLD_CLIENT_SECRET, entry_key, fresh, inactive, opaque, says
from tests.minting import OLD_SECRET, SECRET, mint, public_jwk
from tests.revoking import AUTHORITY, HORIZON, office_of, shop_settings, token
from tests.scripted_provider import Line, Play, ScriptedProvider, json_answer, status
from tests.servers import RedisServer, free_port
from tests.store_calls import Flavour

World = Callable[..., Asking]

EVERY_EVENT = {each for each in vars(events).values() if inspect.isclass(each) and issubclass(each, Event)}
EXAMPLES: Sequence[Event] = (
    Event(),
    TokenAccepted(kind="signed", tenant="str_1", seen_before=False),
    TokenOutlivesHorizon(kind="signed"),
    TokenRefused(reason="expired", status=401, kind=None, detail=REASONS["expired"]),
    WebSocketClosed(code=1008, reason="revoked"),
    PassedUnchecked(dependency="store", kind="signed"),
    RuleRaised(rule="picky", error="LookupError"),
    Revoked(what="tenant", authorities=("shop:orders",)),
    StoreMetEmpty(),
    StoreMetEmpty(trusted=False),
    StoreForgot(),
    StoreEvicts(policy="allkeys-lru"),
    StoreUnwatched(),
    ReplicaDropped(why="it lagged"),
    ComponentFailed(component="WebSocket watch", error="KeyError", elapsed=0),
    StoreFailed(component="store", error="NotSent", elapsed=0.1),
    ProviderFailed(component="key set", error="ValueError", elapsed=0.1),
    ClientRefused(component="opaque"),
    MetadataUnusable(component="metadata", what="it names another issuer"),
    CacheForged(component="opaque"),
    CacheNotKept(component="opaque", error="ReplyLost"),
    KeysRefreshed(kind="signed", keys=1),
    OldSecretUsed(index=1),
    OldClientSecretUsed(component="opaque", index=1),
)
every_example = pytest.mark.parametrize("event", EXAMPLES, ids=repr)


@pytest.fixture(autouse=True)
def sinks_as_they_were() -> Iterator[None]:
    bring_back = set_sinks(to_log)
    yield
    bring_back()


@pytest.fixture
def heard() -> list[Event]:
    """What one more sink is told."""
    told: list[Event] = []
    add_sink(told.append)
    return told


@pytest.fixture(params=["asgi", "wsgi"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Either sort of door; what was opened behind it is closed at the end."""
    opened: list[Verifier[Any]] = []
    with asyncio.Runner() as runner:

        def asgi(view: Any, verifier: Verifier[Any], **options: Any) -> Asking:
            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                await JSONResponse(view())(scope, receive, send)

            opened.append(verifier)
            door = bearerguard.asgi.BearerMiddleware(app, verifier, **options)
            return lambda ask: runner.run(answer_of_asgi(door, ask))

        def wsgi(view: Any, verifier: Verifier[Any], **options: Any) -> Asking:
            opened.append(verifier)
            return wsgi_world(view, verifier, **options)

        yield {"asgi": asgi, "wsgi": wsgi}[request.param]
        for verifier in opened:
            verifier.close()
            runner.run(verifier.aclose())


def untimed(told: Sequence[Event]) -> list[Event]:
    """The events, with no time and no port in those that say how long something took, and what was asked."""
    return [without_time(event) if isinstance(event, ComponentFailed) else event for event in told]


def without_time(event: ComponentFailed) -> ComponentFailed:
    assert 0 <= event.elapsed < 10
    asked = None if event.asked is None else re.sub(r":\d+$", ":port", event.asked)
    return dataclasses.replace(event, elapsed=0, asked=asked)


def failed(component: str) -> ProviderFailed:
    return ProviderFailed(component=component, error="ValueError", elapsed=0, asked="http://127.0.0.1:port")


def accepted(kind: str = "signed", *, tenant: str | None = "str_1", seen_before: bool = False) -> TokenAccepted:
    return TokenAccepted(kind=kind, tenant=tenant, seen_before=seen_before)


def refused(reason: str, status: int = 401, kind: str | None = "signed") -> TokenRefused:
    return TokenRefused(reason=reason, status=status, kind=kind, detail=REASONS[reason])


# --- What they are ---------------------------------------------------------------------------------------------------


def test_these_are_all_events_that_there_are() -> None:
    assert {type(event) for event in EXAMPLES} == EVERY_EVENT
    assert sorted(each.__name__ for each in EVERY_EVENT) == sorted(events.__all__)


@every_example
def test_an_event_is_frozen_named_and_small(event: Event) -> None:
    fields = dataclasses.fields(event)
    for field in fields:
        assert field.kw_only
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(event, field.name, None)
    assert not hasattr(event, "__dict__")
    assert type(event)(**{field.name: getattr(event, field.name) for field in fields}) == event


@every_example
def test_an_event_can_be_sent_to_another_process(event: Event) -> None:
    assert pickle.loads(pickle.dumps(event)) == event
    assert json.loads(json.dumps(dataclasses.asdict(event))).keys() == {each.name for each in dataclasses.fields(event)}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param("str_1", "str_1", id="plain"),
        pytest.param("Müller & Söhne 株式会社", "Müller & Söhne 株式会社", id="printable"),
        pytest.param("a\r\nb\x1b[31m", "a\\r\\nb\\x1b[31m", id="control characters"),
        pytest.param("a\u202eb\u2028c", "a\\u202eb\\u2028c", id="what turns lines"),
        pytest.param("a\ud800", "a\\ud800", id="half a character"),
        pytest.param("x" * 500, "x" * 128, id="long"),
        pytest.param("\n" * 500, "\\n" * 64, id="long once it is escaped"),
    ],
)
def test_shows_values_escaped_and_cut(said: str, shown: str) -> None:
    assert TokenAccepted(kind="signed", tenant=said, seen_before=False).tenant == shown
    assert StoreEvicts(policy=said).policy == shown


# --- At the doors ----------------------------------------------------------------------------------------------------

OPAQUE = "opaque"
Scene = Callable[[World], None]


def picky(_: object) -> bool:
    raise LookupError("SECRET")


def asks(
    *texts: str, kind: Kind | None = None, view: Any = lambda: "done", store: str = "memory://", **options: Any
) -> Scene:
    """Requests with these tokens, one after the other, to one door; one with the text "" has none."""

    def scene(world: World) -> None:
        verifier: Any = Verifier(kind or shop_settings(), store=store, clock=Clock())
        ask = world(view, verifier, **options)
        for text in texts:
            ask(Ask(headers=[bearer(text)] if text else []))

    return scene


def asks_provider(play: Play, *texts: str, metadata: bool = False, **changes: Any) -> Scene:
    """Requests with opaque tokens, which a provider is asked about."""

    def scene(world: World) -> None:
        with ScriptedProvider(play) as provider:
            found = {"issuer": provider.url(""), "introspection_endpoint": None} if metadata else {}
            asks(*texts, kind=opaque(provider, tenant="tenant", **found, **changes))(world)

    return scene


def asks_with_keys(play: Play) -> Scene:
    """A request with a token whose key is fetched."""

    def scene(world: World) -> None:
        with ScriptedProvider(play) as provider:
            kind = shop_settings(keys=JwksKeys(provider.url("/keys")), algorithms=("EdDSA",))
            asks(mint(claims({"tenant": "str_1"}), key=key_of("EdDSA"), alg="EdDSA"), kind=kind)(world)

    return scene


REFUSES_US = json_answer({"error": "invalid_client"}, 401)


def knows_the_old_secret(line: Line) -> None:
    """A provider that does not know our newest secret yet."""
    (REFUSES_US if line.request.form["client_secret"] == CLIENT_SECRET else says(tenant="str_1"))(line)


OPAQUE_TOKEN = fresh()
SAME_TOKEN = token()
NOWHERE = f"redis://127.0.0.1:{free_port()}/0"

SCENES: dict[str, tuple[Scene, list[Event]]] = {
    "a good token, twice": (asks(SAME_TOKEN, SAME_TOKEN), [accepted(), accepted(seen_before=True)]),
    "a tenant that would write lines": (asks(token(tenant="a\nb")), [accepted(tenant="a\\nb")]),
    "no tenant": (asks(token(tenant=...)), [accepted(tenant=None)]),
    "no token": (asks(""), [refused("missing_token", kind=None)]),
    "no token where none is needed": (asks("", optional=True), []),
    "an exempt path": (asks("", token(), exempt=("/",)), []),
    "two words": (asks("a b"), [refused("malformed_credentials", 400, kind=None)]),
    "rubbish": (asks("a.b.c"), [refused("malformed")]),
    "expired": (asks(token(exp=1)), [refused("expired")]),
    "a guard": (
        asks(token(), view=requires_scope("read:orders")(lambda: "done")),
        [accepted(), refused("insufficient_scope", 403)],
    ),
    "a guard, and nobody": (
        asks("", optional=True, view=requires_token(lambda: "done")),
        [refused("missing_token", kind=None)],
    ),
    "a replay": (
        asks(SAME_TOKEN, SAME_TOKEN, view=single_use(lambda: "done")),
        [accepted(), accepted(seen_before=True), refused("replayed", kind=None)],
    ),
    "a rule that raises": (
        asks(token(), kind=shop_settings(checks=(picky,))),
        [RuleRaised(rule="picky", error="LookupError"), refused("rule_failed")],
    ),
    "an old secret": (
        asks(SAME_TOKEN, kind=shop_settings(keys=SharedSecrets(OLD_SECRET, SECRET))),
        [OldSecretUsed(index=1), accepted()],
    ),
    "a store that is away": (
        asks(token(), store=NOWHERE),
        [StoreFailed(component="store", error="NotSent", elapsed=0), refused("store_unavailable", 503, kind=None)],
    ),
    "keys": (
        asks_with_keys(json_answer({"keys": [public_jwk(key_of("EdDSA"))]})),
        [KeysRefreshed(kind="signed", keys=1), accepted()],
    ),
    "keys that are away": (
        asks_with_keys(status(500)),
        [failed("key set"), refused("keys_unavailable", 503)],
    ),
    "an opaque token, twice": (
        asks_provider(says(tenant="str_1"), OPAQUE_TOKEN, OPAQUE_TOKEN),
        [accepted(OPAQUE), accepted(OPAQUE, seen_before=True)],
    ),
    "an opaque token that is not active": (asks_provider(inactive, fresh()), [refused("inactive", kind=OPAQUE)]),
    "a provider that fails": (
        asks_provider(status(500), fresh()),
        [
            failed("introspection of opaque"),
            refused("provider_unavailable", 503, OPAQUE),
        ],
    ),
    "a provider that does not know us": (
        asks_provider(REFUSES_US, fresh()),
        [ClientRefused(component=OPAQUE), refused("client_refused", 503, OPAQUE)],
    ),
    "an old client secret": (
        asks_provider(
            knows_the_old_secret,
            fresh(),
            client_auth="client_secret_post",
            client_secret=SharedSecrets(CLIENT_SECRET, OLD_CLIENT_SECRET),
        ),
        [OldClientSecretUsed(component=OPAQUE, index=1), accepted(OPAQUE)],
    ),
}


@pytest.mark.parametrize("name", SCENES)
def test_tells_at_both_doors(world: World, heard: list[Event], name: str) -> None:
    scene, expected = SCENES[name]
    scene(world)
    assert untimed(heard) == expected


def test_tells_that_metadata_cannot_be_used(world: World, heard: list[Event]) -> None:
    asks_provider(json_answer({"issuer": ISSUER}), fresh(), metadata=True)(world)
    unusable, refusal = heard
    assert isinstance(unusable, MetadataUnusable)
    assert "another issuer" in unusable.what
    assert refusal == refused("provider_mismatch", 503, OPAQUE)


@pytest.mark.parametrize("view", [lambda: "done", single_use(lambda: "done")], ids=["any", "single use"])
def test_a_token_seen_before_is_called_so_over_redis(
    world: World, heard: list[Event], redis_server: RedisServer, view: Any
) -> None:
    asks(SAME_TOKEN, SAME_TOKEN, store=redis_server.url, view=view)(world)
    assert [event.seen_before for event in heard if isinstance(event, TokenAccepted)] == [False, True]


def test_tells_of_a_store_that_is_empty_and_of_one_that_forgot(
    world: World, heard: list[Event], redis_server: RedisServer
) -> None:
    ask = world(lambda: "done", Verifier(houses.settings(), store=redis_server.url))
    text = houses.token()
    ask(Ask(headers=[bearer(text)]))
    redis_server.flush()
    ask(Ask(headers=[bearer(text)]))
    assert [*map(type, heard)] == [StoreMetEmpty, TokenAccepted, StoreForgot, TokenRefused]
    assert isinstance(heard[-1], TokenRefused)
    assert heard[-1].reason == "memory_lost"


def test_tells_of_an_entry_that_is_not_ours(world: World, heard: list[Event], redis_server: RedisServer) -> None:
    with ScriptedProvider(says()) as provider:
        kind, shown = opaque(provider), fresh()
        asks(shown, kind=kind, store=redis_server.url)(world)
        key = entry_key(redis_server)
        entry: bytes = redis_server.cli("GET", key)
        redis_server.cli("SET", key, entry[:-3] + b"AAA", "PX", 60_000)
        heard.clear()
        asks(shown, kind=kind, store=redis_server.url)(world)
    assert heard == [CacheForged(component=OPAQUE), accepted(OPAQUE, tenant=None)]


def test_tells_of_an_entry_that_could_not_be_kept(
    world: World, heard: list[Event], own_redis_server: RedisServer
) -> None:
    with ScriptedProvider(says()) as provider:
        asks(fresh(), kind=opaque(provider), store=own_redis_server.url)(world)
        own_redis_server.cli("CONFIG", "SET", "maxmemory", "1")
        heard.clear()
        asks(fresh(), kind=opaque(provider), store=own_redis_server.url)(world)
    kept_not, passed = heard
    assert isinstance(kept_not, CacheNotKept)
    assert kept_not.component == OPAQUE
    assert passed == accepted(OPAQUE, tenant=None)


def test_tells_that_a_token_endpoint_fails(heard: list[Event]) -> None:
    with ScriptedProvider(status(500)) as provider:
        made = ClientCredentials(
            client_id="orders", client_secret=SECRET, token_url=provider.url("/token"), origins={provider.url("")}
        )
        with pytest.raises(BearerguardError):
            made.token()
        made.close()
    assert untimed(heard) == [failed("the token endpoint for 'orders'")]


def test_verifying_by_hand_tells_nothing_of_the_token(heard: list[Event], flavour: Flavour) -> None:
    """Whoever calls has the outcome in hand."""
    with office_of(MemoryStore(), flavour) as office:
        office.desk().verify(token())
        with pytest.raises(InvalidToken):
            office.desk().verify("a.b.c")
    assert heard == []


def test_a_refusal_that_a_view_lets_through_is_told_once(world: World, heard: list[Event]) -> None:
    verifier = Verifier(shop_settings(), clock=Clock())
    ask = world(lambda: verifier.verify("a.b.c").to_dict(), verifier)
    assert ask(Ask(headers=[bearer(token())])).status == 401
    assert heard == [accepted(), refused("malformed")]


# --- WebSockets ------------------------------------------------------------------------------------------------------


class Socket:
    """A WebSocket that stays open until the door closes it."""

    def __init__(self, text: str) -> None:
        self.closed_with: int | None = None
        self._headers = [(b"authorization", f"Bearer {text}".encode())]

    async def hold(self, door: Any) -> None:
        """Open it, and wait for its end."""
        over = asyncio.Event()
        arriving = iter([{"type": "websocket.connect"}])

        async def receive() -> Any:
            for message in arriving:
                return message
            await over.wait()
            return {"type": "websocket.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "websocket.close":
                self.closed_with = message["code"]
                over.set()

        scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": self._headers}
        await asyncio.wait_for(door(scope, receive, send), 10)


async def listens(_: Any, receive: Any, send: Any) -> None:
    """An application that accepts a WebSocket and listens."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


def hold_socket(verifier: Verifier[Any], text: str, app: Any = listens) -> int | None:
    """Hold a WebSocket open until the door closes it; the code with which it does."""
    socket = Socket(text)
    door = bearerguard.asgi.BearerMiddleware(app, verifier, recheck_seconds=0.05)
    asyncio.run(socket.hold(door))
    return socket.closed_with


def test_tells_that_a_websocket_was_let_in_once_and_closed_once(heard: list[Event]) -> None:
    looks = iter(range(1, 1000))
    looked_often = asyncio.Event()

    def look(_: object) -> bool:
        if next(looks) == 4:
            looked_often.set()
        return True

    async def uninstalled(scope: Any, receive: Any, send: Any) -> None:
        await looked_often.wait()
        await verifier.denylist.arevoke_tenant("str_1")
        await listens(scope, receive, send)

    verifier = Verifier(shop_settings(each_time=(look,)), clock=Clock())
    assert hold_socket(verifier, token(), uninstalled) == 1008
    assert heard == [
        accepted(),
        Revoked(what="tenant", authorities=(AUTHORITY,)),
        WebSocketClosed(code=1008, reason="revoked"),
    ]


def test_tells_of_a_websocket_that_is_refused(heard: list[Event]) -> None:
    assert hold_socket(Verifier(shop_settings(), clock=Clock()), "a.b.c") == 1008
    assert heard == [refused("malformed")]


def test_tells_of_a_watch_that_broke_down(heard: list[Event]) -> None:
    verifier = Verifier(shop_settings(each_time=(lambda _: True,)), clock=Clock())
    verdict, calls = verifier.verification.verdict, iter([False, True])

    async def breaks(*args: Any) -> Any:
        if next(calls):
            raise KeyError("SECRET")
        return await verdict(*args)

    door = bearerguard.asgi.BearerMiddleware(listens, verifier, recheck_seconds=0.05)
    door._doorway.verdict = lambda token, ports: breaks(token.token, verifier.verification.route(), ports)  # type: ignore[method-assign]
    socket = Socket(token())
    asyncio.run(socket.hold(door))
    assert socket.closed_with == 1011
    assert heard == [
        accepted(),
        ComponentFailed(component="WebSocket watch", error="KeyError", elapsed=0),
        WebSocketClosed(code=1011, reason="store_unavailable"),
    ]


# --- Revocations -----------------------------------------------------------------------------------------------------

REVOCATIONS: dict[str, tuple[str, Callable[[Any, Any], None]]] = {
    "revoke": ("token", lambda denylist, held: denylist.revoke(held)),
    "revoke_id": ("token", lambda denylist, _: denylist.revoke_id("a-raw-jti", until=NOW + 60)),
    "revoke_user": ("user", lambda denylist, _: denylist.revoke_user("ana")),
    "revoke_tenant": ("tenant", lambda denylist, _: denylist.revoke_tenant("str_1")),
}
every_revocation = pytest.mark.parametrize("name", REVOCATIONS)


@every_revocation
def test_tells_of_a_revocation(heard: list[Event], flavour: Flavour, name: str) -> None:
    what, revoke = REVOCATIONS[name]
    with office_of(MemoryStore(), flavour) as office:
        desk = office.desk()
        revoke(desk.denylist, desk.verify(token()))
    assert [(event.what, event.authorities) for event in heard if isinstance(event, Revoked)] == [(what, (AUTHORITY,))]
    assert len(heard) == 1


def test_tells_of_a_revocation_without_the_secrets(heard: list[Event], flavour: Flavour) -> None:
    with office_of(MemoryStore(), flavour) as office:
        office.denylist(authority="shop:other", horizon=HORIZON).revoke_user("ana")
    assert heard == [Revoked(what="user", authorities=("shop:other",))]


def test_tells_of_every_authority_that_a_revocation_holds_for(heard: list[Event]) -> None:
    kinds = [shop_settings(), shop_settings(name="second", issuer="https://b.example", authority="a:second")]
    Verifier(*kinds, clock=Clock()).denylist.revoke_tenant("str_1")
    assert heard == [Revoked(what="tenant", authorities=("a:second", AUTHORITY))]


@every_revocation
def test_does_not_call_revoked_what_the_store_did_not_confirm(heard: list[Event], flavour: Flavour, name: str) -> None:
    held = Verifier(shop_settings(), clock=Clock()).verify(token())
    with office_of(NOWHERE, flavour) as office, pytest.raises(BearerguardError):
        REVOCATIONS[name][1](office.desk().denylist, held)
    assert untimed(heard) == [StoreFailed(component="store", error="NotSent", elapsed=0)]


# --- Sinks -----------------------------------------------------------------------------------------------------------


def raises(_: Event) -> None:
    raise ValueError("SECRET")


def test_every_sink_is_told_in_the_order_in_which_it_was_added() -> None:
    order: list[tuple[str, Event]] = []
    set_sinks()
    for name in ("first", "second", "third"):
        add_sink(functools.partial(lambda name, event: order.append((name, event)), name))
    tell(StoreForgot())
    assert order == [(name, StoreForgot()) for name in ("first", "second", "third")]


def test_the_log_hears_first_and_until_it_is_left_out(caplog: pytest.LogCaptureFixture, heard: list[Event]) -> None:
    tell(StoreForgot())
    assert len(caplog.messages) == len(heard) == 1
    bring_back = set_sinks(heard.append)
    tell(StoreMetEmpty())
    assert (len(caplog.messages), len(heard)) == (1, 2)
    bring_back()
    tell(StoreMetEmpty())
    assert (len(caplog.messages), len(heard)) == (2, 3)


def test_no_sinks_are_silence(world: World, caplog: pytest.LogCaptureFixture, heard: list[Event]) -> None:
    caplog.set_level(logging.DEBUG, "bearerguard")
    set_sinks()
    for scene, _ in (SCENES["rubbish"], SCENES["a good token, twice"], SCENES["a store that is away"]):
        scene(world)
    assert (caplog.messages, heard) == ([], [])


def test_a_sink_is_taken_away_by_what_adding_it_gave() -> None:
    first: list[Event] = []
    second: list[Event] = []
    remove_first, remove_second = add_sink(first.append), add_sink(second.append)
    tell(StoreForgot())
    remove_first()
    remove_first()
    tell(StoreForgot())
    remove_second()
    tell(StoreForgot())
    assert (len(first), len(second)) == (1, 2)


def test_a_sink_that_is_added_twice_is_told_once(heard: list[Event]) -> None:
    add_sink(heard.append)
    tell(StoreForgot())
    assert heard == [StoreForgot()]


def test_a_sink_may_take_itself_away_while_it_is_told() -> None:
    told: list[Event] = []

    def once(event: Event) -> None:
        told.append(event)
        remove()

    remove = add_sink(once)
    later: list[Event] = []
    add_sink(later.append)
    tell(StoreForgot())
    tell(StoreForgot())
    assert (len(told), len(later)) == (1, 2)


async def waits(_: Event) -> None:
    """No sink."""


async def yields(_: Event) -> Any:
    """No sink either."""
    yield


class Waiting:
    async def __call__(self, _: Event) -> None:
        """No sink."""


@pytest.mark.parametrize(
    "sink",
    [
        pytest.param(waits, id="a coroutine function"),
        pytest.param(yields, id="an async generator"),
        pytest.param(functools.partial(waits), id="a partial of one"),
        pytest.param(Waiting(), id="an object with one"),
        pytest.param(Waiting().__call__, id="a method"),
        pytest.param(None, id="nothing"),
        pytest.param("print", id="a word"),
        pytest.param([print], id="a list"),
    ],
)
def test_takes_only_sinks_that_it_can_call(sink: Any, heard: list[Event]) -> None:
    with pytest.raises(SettingsError, match="plain function"):
        add_sink(sink)
    with pytest.raises(SettingsError, match="plain function"):
        set_sinks(print, sink)
    tell(StoreForgot())
    assert heard == [StoreForgot()]


@pytest.mark.parametrize("name", ["a good token, twice", "rubbish", "a guard", "a store that is away", "keys"])
def test_a_sink_that_raises_changes_nothing(
    world: World, caplog: pytest.LogCaptureFixture, heard: list[Event], name: str
) -> None:
    set_sinks(raises, to_log, heard.append)
    scene, expected = SCENES[name]
    scene(world)
    assert untimed(heard) == expected
    ours = [line for line in caplog.records if "sink" in line.getMessage()]
    assert {(line.levelname, line.name) for line in ours} == {("ERROR", "bearerguard")}
    assert "the sink raises raised ValueError" in ours[0].getMessage()
    assert "SECRET" not in caplog.text


def test_answers_as_ever_though_every_sink_raises(world: World) -> None:
    set_sinks(raises)
    ask = world(lambda: "done", Verifier(shop_settings(), clock=Clock()))
    assert [ask(Ask(headers=[bearer(text)])).status for text in (token(), "a.b.c")] == [200, 401]


def test_says_of_a_sink_that_raises_once_in_a_second(caplog: pytest.LogCaptureFixture, heard: list[Event]) -> None:
    set_sinks(raises, heard.append)
    for _ in range(100):
        tell(StoreForgot())
    # The hundred may lie over the end of a second.
    assert 1 <= len(caplog.messages) <= 2
    assert len(heard) == 100


def test_a_log_that_raises_changes_nothing(monkeypatch: pytest.MonkeyPatch, heard: list[Event]) -> None:
    monkeypatch.setattr(journal.logger, "log", lambda *_: 1 / 0)
    tell(StoreForgot())
    assert heard == [StoreForgot()]


def test_what_ends_a_program_is_not_held_back() -> None:
    def interrupted(_: Event) -> None:
        raise KeyboardInterrupt

    set_sinks(interrupted)
    with pytest.raises(KeyboardInterrupt):
        tell(StoreForgot())


def test_no_event_is_made_of_a_good_token_while_only_the_log_listens(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Event] = []
    monkeypatch.setattr(sinks, "tell", told.append)
    scene, expected = SCENES["a good token, twice"]
    scene(world)
    assert told == []
    stop = add_sink(print)
    scene(world)
    assert told == expected
    stop()
    scene(world)
    set_sinks()
    scene(world)
    assert told == expected


def test_sinks_that_threads_add_at_once_are_all_told() -> None:
    lists: list[list[Event]] = [[] for _ in range(64)]
    barrier = threading.Barrier(16)

    def add(some: Sequence[list[Event]]) -> None:
        barrier.wait(10)
        for each in some:
            add_sink(each.append)
            add_sink(functools.partial(print, file=None))()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(add, [lists[at : at + 4] for at in range(0, 64, 4)]))
    tell(StoreForgot())
    assert lists == [[StoreForgot()]] * 64


def test_every_thread_tells_the_same_sinks(heard: list[Event]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tell, [StoreForgot()] * 800))
    assert len(heard) == 800


def test_a_child_of_a_fork_has_the_sinks_of_its_parent_and_may_add_others(heard: list[Event]) -> None:
    def child() -> str:
        more: list[Event] = []
        add_sink(more.append)
        tell(StoreForgot())
        return f"{len(heard)} {len(more)}"

    with sinks._changing:  # as a thread would hold it that is adding a sink at this moment
        assert in_a_child(child) == "1 1"
    assert heard == []


# --- The log ---------------------------------------------------------------------------------------------------------

SILENT = (Event, TokenAccepted, Revoked, KeysRefreshed)


@every_example
def test_the_log_says_a_line_of_what_needs_attention(event: Event, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "bearerguard")
    to_log(event)
    assert len(caplog.messages) == (0 if type(event) in SILENT else 1)
    assert all(line.isprintable() for line in caplog.messages)
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        assert not caplog.messages or value is None or isinstance(value, (bool, float)) or str(value) in caplog.text


# --- Nothing that was sent -------------------------------------------------------------------------------------------

MARK = "HuSh"


def marked() -> Iterator[str]:
    """Good tokens and bad ones, with the mark in all that they say but the tenant."""
    said = {"jti": f"{MARK}-jti", "sub": f"{MARK}-sub"}
    yield token(**said)
    yield token(**said, exp=1)
    yield token(**said | {"iss": MARK, "aud": MARK, "tenant": MARK})
    yield token(**said, scope=MARK, nested={MARK: MARK})
    yield mint(claims(said), key=f"{MARK} a secret that is none of ours")
    yield mint(claims(said), headers={"kid": MARK, "alg": MARK})
    yield f"{MARK}.{MARK}.{MARK}"


KINDS: dict[str, Callable[[], Any]] = {
    "signed": shop_settings,
    "rules that raise": lambda: shop_settings(checks=(lambda values: values[MARK],)),
    "rotation": lambda: shop_settings(keys=SharedSecrets(SECRET[::-1], SECRET)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("store", ["memory://", NOWHERE], ids=["memory", "no store"])
def test_no_event_says_what_was_sent(world: World, heard: list[Event], kind: str, store: str) -> None:
    texts = [*marked()]
    verifier = Verifier(KINDS[kind](), store=store, clock=Clock())
    ask = world(single_use(lambda: "done"), verifier)
    for text in (*texts, *texts):
        ask(Ask(headers=[bearer(text)]))
        ask(Ask(headers=[("Authorization", f"Basic {text}")]))
    with suppress(StoreUnavailable):
        verifier.denylist.revoke_user(MARK)
    with suppress(StoreUnavailable):
        verifier.denylist.revoke_id(MARK, until=NOW)
    assert len(heard) > len(texts)
    said = "\n".join(map(repr, heard))
    pieces = {piece for text in texts for piece in (text, *text.split(".")) if len(piece) > 8}
    assert [piece for piece in {MARK, SECRET, SECRET[::-1], *pieces} if piece in said] == []


def test_no_event_of_a_provider_says_what_was_sent(world: World, heard: list[Event]) -> None:
    tokens = [fresh(MARK) for _ in range(4)]
    plays: Sequence[Play] = (
        json_answer({"active": MARK}),
        json_answer({"error": "invalid_client", "error_description": MARK}, 401),
        status(500),
        says(jti=MARK, sub=MARK, aud=MARK),
    )
    for text, play in zip(tokens, plays, strict=True):
        asks_provider(play, text)(world)
    assert len(heard) >= 6
    said = "\n".join(map(repr, heard))
    assert [piece for piece in (MARK, CLIENT_SECRET) if piece in said] == []
