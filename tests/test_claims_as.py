"""`claims_as`: the claims as a parameter of a FastAPI view, typed, guarded and shown in OpenAPI."""

import asyncio
import copy
import json
import time
import uuid
from typing import Annotated, Any, TypedDict

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Security, WebSocket
from pydantic import BaseModel

from bearerguard import Claims, SettingsError, SharedSecrets, SignedTokens, Verifier, requires_scope, single_use
from bearerguard.asgi import BearerMiddleware, SessionTokenMiddleware
from bearerguard.fastapi import claims_as
from bearerguard.platforms import shopify, whatalo
from tests.doors import Answer, Ask, ask_asgi, bearer, lifespan
from tests.houses import NOBODY_LISTENS
from tests.minting import OLD_SECRET, SECRET, mint
from tests.test_websockets import DENIAL, Socket

STORE = "str_8k2m4n6p"
WHATALO = whatalo.session_tokens(client_id="ours", client_secret=SECRET)
SHOPIFY = shopify.admin(client_id="ours", client_secret=OLD_SECRET)

Session = Annotated[whatalo.SessionClaims, Depends(claims_as(whatalo.SessionClaims))]
Staff = Annotated[shopify.AdminClaims, Depends(claims_as(shopify.AdminClaims))]
Reader = Annotated[whatalo.SessionClaims, Security(claims_as(whatalo.SessionClaims), scopes=["read:orders"])]


def usual() -> dict[str, object]:
    now = int(time.time())
    return {"aud": "ours", "iat": now, "exp": now + 300, "jti": str(uuid.uuid4())}


def store_token(*scopes: str, **changes: object) -> str:
    """A token of Whatalo's."""
    return mint(usual() | {"iss": "whatalo", "sub": STORE, "storeId": STORE, "scopes": scopes} | changes)


def staff_token() -> str:
    """A token of Shopify's admin."""
    shop = "https://pine-lane.myshopify.com"
    whose = {"iss": f"{shop}/admin", "dest": shop, "sub": "81234567890", "sid": "6f1c", "exp": int(time.time()) + 60}
    return mint(usual() | whose, key=OLD_SECRET)


def app_of(*kinds: SignedTokens, **options: Any) -> FastAPI:
    """An application behind a door for these kinds of token."""
    app = FastAPI()
    app.add_middleware(SessionTokenMiddleware, verifier=Verifier(*(kinds or (WHATALO, SHOPIFY))), **options)
    return app


def asked(app: FastAPI, text: str | None = None, target: str = "/", method: str = "GET") -> Answer:
    return ask_asgi(app, Ask(target, [] if text is None else [bearer(text)], method))


def statuses(app: FastAPI, *tokens: str | None, target: str = "/") -> list[int]:
    return [asked(app, text, target).status for text in tokens]


def with_views() -> FastAPI:
    """Views that take claims in every way."""
    app = app_of(exempt=("/exempt",))

    @app.get("/")
    async def in_the_loop(session: Session) -> dict[str, str]:
        return {"who": session["storeId"]}

    @app.get("/thread")
    def in_a_thread(session: Session) -> dict[str, str]:
        return {"who": session["storeId"]}

    @app.get("/exempt")
    async def exempt(session: Session) -> dict[str, str]:
        return {"who": session["storeId"]}

    def store_of(session: Session) -> str:
        return session["storeId"]

    @app.get("/dependency")
    async def in_a_dependency(store: Annotated[str, Depends(store_of)]) -> dict[str, str]:
        return {"who": store}

    async def streamed(session: Session) -> Any:
        yield session["storeId"]

    @app.get("/yield")
    async def in_a_dependency_that_yields(store: Annotated[str, Depends(streamed)]) -> dict[str, str]:
        return {"who": store}

    class Store(BaseModel):
        who: str

    @app.get("/model", response_model=Store)
    async def with_a_model(session: Session) -> Any:
        return {"who": session["storeId"], "secret": session["jti"]}

    @app.get("/guarded")
    @requires_scope("read:orders", kind="whatalo.session")
    async def guarded(session: Session) -> dict[str, str]:
        return {"who": session["storeId"]}

    router, outer = APIRouter(prefix="/inner"), APIRouter(prefix="/outer")

    @router.get("/view")
    async def routed(session: Session) -> dict[str, str]:
        return {"who": session["storeId"]}

    outer.include_router(router)
    app.include_router(outer)
    asking = APIRouter(prefix="/asking", dependencies=[Depends(claims_as(whatalo.SessionClaims))])

    @asking.get("/view")
    async def asked_by_its_router() -> dict[str, str]:
        return {"who": STORE}

    app.include_router(asking)
    return app


VIEWS = ("/", "/thread", "/dependency", "/yield", "/model", "/guarded", "/outer/inner/view", "/asking/view")


@pytest.fixture(scope="module")
def views() -> FastAPI:
    return with_views()


@pytest.mark.parametrize("target", VIEWS)
def test_hands_the_claims_to_views(views: FastAPI, target: str) -> None:
    answer = asked(views, store_token("read:orders"), target)
    assert (answer.status, answer.json()) == (200, {"who": STORE})


@pytest.mark.parametrize("target", VIEWS)
def test_refuses_another_kind_with_403_and_nobody_with_401(views: FastAPI, target: str) -> None:
    other = asked(views, staff_token(), target)
    assert (other.status, (other.challenge or {})["error"]) == (403, "insufficient_scope")
    nobody = asked(views, None, target)
    assert (nobody.status, nobody.challenge) == (401, {})


def test_refuses_nobody_where_the_door_lets_everybody_pass(views: FastAPI) -> None:
    assert statuses(views, None, store_token("read:orders"), target="/exempt") == [401, 401]


def test_refuses_a_bad_token_before() -> None:
    assert statuses(with_views(), "abc", store_token(exp=1_600_000_000)) == [401, 401]


def test_shows_the_lock(views: FastAPI) -> None:
    paths = views.openapi()["paths"]
    shown = {target: paths[target]["get"]["security"] for target in VIEWS}
    # An older FastAPI lists a scheme for each dependency that has it.
    assert {"BearerToken": ["read:orders"]} in shown.pop("/guarded")
    assert shown == {target: [{"BearerToken": []}] for target in shown}
    assert [*views.openapi()["components"]["securitySchemes"]] == ["BearerToken"]
    assert all("parameters" not in paths[target]["get"] for target in VIEWS)


def test_asks_for_the_scopes_of_security() -> None:
    app = app_of()

    @app.get("/")
    async def view(reader: Reader) -> str:
        return reader["storeId"]

    @app.get("/more", dependencies=[Security(claims_as(whatalo.SessionClaims), scopes=["write:orders", "admin"])])
    async def more(reader: Reader) -> str:
        return reader["storeId"]

    @app.get("/any")
    async def without(session: Session) -> str:
        return session["storeId"]

    assert statuses(app, store_token(), store_token("read:orders")) == [403, 200]
    assert (asked(app, store_token()).challenge or {})["scope"] == "read:orders"
    assert app.openapi()["paths"]["/"]["get"]["security"] == [{"BearerToken": ["read:orders"]}]
    weak, strong = store_token("read:orders"), store_token("read:orders", "write:orders", "admin")
    assert statuses(app, weak, strong, target="/more") == [403, 200]
    assert statuses(app, store_token(), target="/any") == [200]


def test_asks_for_the_scopes_of_whoever_depends_on_it() -> None:
    app = app_of()

    async def store_of(session: Session) -> str:
        return session["storeId"]

    @app.get("/")
    async def view(store: Annotated[str, Security(store_of, scopes=["read:orders"])], session: Session) -> str:
        return store

    assert statuses(app, store_token(), store_token("read:orders")) == [403, 200]


def test_refuses_before_the_body_is_looked_at() -> None:
    app = app_of()

    @app.post("/")
    async def view(item: Annotated[dict[str, int], Body()], session: Session) -> str:
        return session["storeId"]

    for text, status in ((staff_token(), 403), (store_token(), 422)):
        ask = Ask("/", [bearer(text), ("Content-Type", "application/json")], "POST", b"[]")
        assert ask_asgi(app, ask).status == status


def test_spends_no_token() -> None:
    app = app_of(WHATALO)

    @app.post("/")
    @single_use
    async def view(session: Session) -> str:
        return session["storeId"]

    text = store_token()
    assert [asked(app, text, method="POST").status for _ in range(2)] == [200, 401]


def test_names_no_kind_for_a_guard() -> None:
    app = app_of()

    @app.get("/")
    @requires_scope("read:orders")
    async def view(session: Session) -> str:
        return session["storeId"]

    with pytest.raises(SettingsError, match="several kinds"):
        asked(app, store_token())


# --- WebSockets ------------------------------------------------------------------------------------------------------


def test_hands_the_claims_to_websockets() -> None:
    app = app_of(optional=True)

    @app.websocket("/ws")
    async def live(websocket: WebSocket, session: Session) -> None:
        await websocket.accept()
        await websocket.send_text(session["storeId"])
        await websocket.close()

    async def story() -> None:
        told = await Socket(app, bearer(store_token()), path="/ws", **DENIAL).rest()
        assert told[1]["text"] == STORE
        denied = [
            (await Socket(app, *headers, path="/ws", **DENIAL).rest())[0]["status"]
            for headers in ([bearer(staff_token())], [])
        ]
        assert denied == [403, 401]
        (closed,) = await Socket(app, bearer(staff_token()), path="/ws").rest()
        assert (closed["type"], closed["code"]) == ("websocket.close", 1008)

    asyncio.run(story())


# --- Several kinds, and none -----------------------------------------------------------------------------------------


def two_of_one_shape(**options: Any) -> Verifier[SignedTokens]:
    """Two kinds of token that have the same TypedDict."""
    return Verifier(WHATALO, by_hand("another", whatalo.SessionClaims), **options)


def by_hand(issuer: str, shape: type[Any]) -> SignedTokens:
    """Settings that no preset made."""
    return SignedTokens(
        keys=SharedSecrets(OLD_SECRET),
        algorithms=("HS256",),
        issuer=issuer,
        audience="ours",
        name="by.hand",
        claims_type=shape,
    )


@pytest.mark.parametrize("kind", [None, "whatalo.session"])
@pytest.mark.parametrize("any_kind", [False, True])
def test_asks_which_kind_is_meant_where_two_have_one_typeddict(kind: str | None, any_kind: bool) -> None:
    app = FastAPI()
    app.add_middleware(BearerMiddleware, verifier=two_of_one_shape(any_kind=any_kind))

    @app.get("/", dependencies=[Depends(claims_as(whatalo.SessionClaims, kind=kind))])
    async def view() -> str:
        return "done"

    other = mint(usual() | {"iss": "another"}, key=OLD_SECRET)
    if kind is None and not any_kind:
        with pytest.raises(SettingsError, match=r"claims_as\(SessionClaims, kind='by.hand'\)"):
            asked(app, store_token())
    else:
        assert statuses(app, store_token(), other) == [200, 403 if kind else 200]


def test_takes_the_typeddict_of_settings_by_hand() -> None:
    class Own(TypedDict):
        sub: str

    class NotIts(TypedDict):
        sub: str

    app = app_of(by_hand("me", Own))

    @app.get("/", dependencies=[Depends(claims_as(Own))])
    async def view() -> str:
        return "done"

    @app.get("/other", dependencies=[Depends(claims_as(NotIts))])
    async def never() -> str:
        return "never"

    text = mint(usual() | {"iss": "me", "sub": "ana"}, key=OLD_SECRET)
    assert (statuses(app, text), statuses(app, text, target="/other")) == ([200], [403])


@pytest.mark.parametrize("shape", [dict, Claims, whatalo, "whatalo.session", None])
def test_takes_a_typeddict_only(shape: Any) -> None:
    with pytest.raises(SettingsError, match=r"write claims_as\(whatalo\.SessionClaims\)"):
        claims_as(shape)


def test_says_what_is_missing_where_no_door_is_around() -> None:
    app = FastAPI()

    @app.get("/")
    async def view(session: Session) -> str:
        return session["storeId"]

    with pytest.raises(RuntimeError, match="no bearerguard door is around"):
        asked(app, store_token())


def test_tells_503_from_a_refusal() -> None:
    app = FastAPI()
    app.add_middleware(SessionTokenMiddleware, verifier=Verifier(WHATALO, store=NOBODY_LISTENS))

    @app.get("/")
    async def view(session: Session) -> str:
        return session["storeId"]

    assert statuses(app, store_token()) == [503]


# --- Overrides -------------------------------------------------------------------------------------------------------


def test_can_be_overridden_in_tests() -> None:
    app = app_of(optional=True)

    @app.get("/")
    async def view(session: Session) -> str:
        return session["storeId"]

    @app.get("/staff")
    async def staff(claims: Staff) -> str:
        return claims["sub"]

    app.dependency_overrides[claims_as(whatalo.SessionClaims)] = lambda: {"storeId": "str_test"}
    assert [asked(app, text).json() for text in (None, store_token())] == ["str_test", "str_test"]
    assert statuses(app, None, staff_token(), target="/staff") == [401, 200]
    app.dependency_overrides.clear()
    assert statuses(app, None, store_token()) == [401, 200]


def test_is_overridden_where_scopes_are_asked_and_in_websockets() -> None:
    app = app_of(optional=True)

    @app.get("/")
    async def view(reader: Reader) -> str:
        return reader["storeId"]

    @app.websocket("/ws")
    async def live(websocket: WebSocket, session: Session) -> None:
        await websocket.accept()
        await websocket.send_text(session["storeId"])
        await websocket.close()

    app.dependency_overrides[claims_as(whatalo.SessionClaims)] = lambda: {"storeId": "str_test"}

    async def story() -> None:
        assert (await Socket(app, path="/ws", **DENIAL).rest())[1]["text"] == "str_test"

    assert asked(app).json() == "str_test"
    asyncio.run(story())


def test_no_override_opens_the_door() -> None:
    app = app_of()

    @app.get("/")
    async def view(session: Session) -> str:
        return session["storeId"]

    app.dependency_overrides[claims_as(whatalo.SessionClaims)] = lambda: {"storeId": "str_test"}
    assert statuses(app, None, "abc", store_token()) == [401, 401, 200]


def test_is_the_same_for_the_same_arguments() -> None:
    one = claims_as(whatalo.SessionClaims)
    assert one == claims_as(whatalo.SessionClaims) == copy.copy(one)
    assert hash(one) == hash(claims_as(whatalo.SessionClaims))
    others = (claims_as(shopify.AdminClaims), claims_as(whatalo.SessionClaims, kind="whatalo.session"), None)
    assert one not in others


def test_is_asked_once_for_a_request() -> None:
    app = app_of()

    def first(session: Session) -> int:
        return id(session)

    @app.get("/")
    async def view(session: Session, other: Annotated[int, Depends(first)]) -> bool:
        return id(session) == other

    assert asked(app, store_token()).json() is True


def test_gives_a_copy_that_may_be_changed() -> None:
    app = app_of(WHATALO)

    @app.get("/")
    async def view(session: Session) -> str:
        session["storeId"] += "!"
        return json.dumps(session.get("scopes"))

    text = store_token("read:orders")
    assert [asked(app, text).json() for _ in range(2)] == ['["read:orders"]'] * 2


def test_starts() -> None:
    async def story() -> None:
        async with lifespan(with_views()) as said:
            assert said["type"] == "lifespan.startup.complete"

    asyncio.run(story())
