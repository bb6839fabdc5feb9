"""What a type checker must say of code that uses bearerguard. Nothing here is run: mypy and pyright read it.

A line that must be an error carries the error that is expected; where it is none, both complain of an unused ignore.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true
# ruff: noqa: B018

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, assert_type

from django.http import HttpRequest, HttpResponse
from fastapi import Depends, FastAPI, Security, WebSocket
from flask import Flask
from litestar import Litestar
from quart import Quart
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

import bearerguard.asgi
import bearerguard.fastapi
import bearerguard.flask
import bearerguard.wsgi
from bearerguard import (
    ABSENT,
    NO_SCOPES,
    UNCHECKED,
    AuthError,
    Claims,
    ClaimText,
    Denylist,
    IfPresent,
    InvalidToken,
    JwksKeys,
    MemoryStore,
    OpaqueTokens,
    RedisStore,
    SettingsError,
    SharedSecrets,
    SignedTokens,
    StaticKeys,
    Unavailable,
    Verifier,
    current_claims,
    requires_any_scope,
    requires_kind,
    requires_scope,
    requires_token,
    single_use,
)
from bearerguard.carriers import Cookie, Header, Query
from bearerguard.platforms import jtl, oauth, shopify, whatalo
from bearerguard.testing import Clock, FakeProvider, TestKeys, authenticated_as, mint

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

KEYS = SharedSecrets("secret")
HS = ("HS256",)


# --- Claims ----------------------------------------------------------------------------------------------------------


def claims_of_the_request() -> None:
    assert_type(current_claims(), Claims)
    assert_type(current_claims(None), Claims | None)
    current_claims().tenant
    current_claims(None).tenant  # type: ignore[union-attr]
    current_claims("nobody")  # type: ignore[call-overload]


def what_claims_say(claims: Claims) -> None:
    assert_type(claims.kind, str)
    assert_type(claims.tenant, str | None)
    assert_type(claims.user, str | None)
    assert_type(claims.subject, str | None)
    assert_type(claims.token_id, str | None)
    assert_type(claims.issuer, str | None)
    assert_type(claims.client_id, str | None)
    assert_type(claims.issued_at, float | None)
    assert_type(claims.expires_at, float | None)
    assert_type(claims.scopes, frozenset[str])
    assert_type(claims.grants("read:orders"), bool)
    assert_type(claims.require_tenant(), str)
    assert_type(claims.to_dict(), dict[str, Any])
    assert_type(claims.typed(whatalo.SessionClaims), whatalo.SessionClaims)
    assert_type(claims.typed(shopify.AdminClaims)["sid"], str)
    claims.typed(whatalo.SessionClaims)["store_id"]  # type: ignore[typeddict-item]


def claims_cannot_be_changed(claims: Claims) -> None:
    claims["sub"] = "somebody else"  # type: ignore[index]
    claims.tenant = "another"  # type: ignore[misc]
    claims.scopes.add("admin")  # type: ignore[attr-defined]


# --- Claims as a TypedDict -------------------------------------------------------------------------------------------


def whatalo_says(claims: Claims) -> None:
    session = claims.typed(whatalo.SessionClaims)
    assert_type(session["storeId"], str)
    assert_type(session["exp"], float)
    assert_type(session.get("scopes"), list[str] | None)
    session["stroeId"]  # type: ignore[typeddict-item]
    number: int = session["storeId"]  # type: ignore[assignment]
    access = claims.typed(whatalo.AccessClaims)
    assert_type(access["iss"], str)
    assert_type(access.get("whatalo_store_id"), str | None)
    assert_type((number, session, access), tuple[int, whatalo.SessionClaims, whatalo.AccessClaims])


def shopify_says(claims: Claims) -> None:
    assert_type(claims.typed(shopify.AdminClaims)["dest"], str)
    assert_type(claims.typed(shopify.PosClaims)["sid"], str)
    assert_type(claims.typed(shopify.CheckoutClaims).get("sub"), str | None)
    assert_type(claims.typed(shopify.CustomerAccountClaims)["jti"], str)
    claims.typed(shopify.CheckoutClaims)["sid"]  # type: ignore[typeddict-item]


def jtl_says(claims: Claims) -> None:
    assert_type(claims.typed(jtl.SessionClaims)["tenantId"], str)
    assert_type(claims.typed(jtl.SessionClaims).get("tenantSlug"), str | None)
    assert_type(claims.typed(jtl.AppClaims)["aud"], str | list[str])
    assert_type(claims.typed(jtl.AppClaims).get("urn:jtl:tenant_id"), str | None)
    claims.typed(jtl.SessionClaims)["sub"]  # type: ignore[typeddict-item]


def oauth_says(claims: Claims) -> None:
    assert_type(claims.typed(oauth.AccessTokenClaims)["client_id"], str)
    assert_type(claims.typed(oauth.AccessTokenClaims).get("amr"), list[str] | None)
    assert_type(claims.typed(oauth.OtherAccessTokenClaims).get("azp"), str | None)
    assert_type(claims.typed(oauth.OpaqueTokenClaims).get("username"), str | None)
    claims.typed(oauth.OpaqueTokenClaims)["user"]  # type: ignore[typeddict-item]


def a_typeddict_is_no_other(claims: Claims) -> shopify.AdminClaims:
    return claims.typed(whatalo.SessionClaims)  # type: ignore[return-value]


# --- Settings --------------------------------------------------------------------------------------------------------


def settings_name_what_they_accept() -> None:
    SignedTokens(keys=KEYS, algorithms=HS, issuer="iss", audience="aud")
    SignedTokens(keys=KEYS, algorithms=HS, issuer=UNCHECKED, audience={"a", "b"}, scopes=NO_SCOPES)
    SignedTokens(keys=KEYS, algorithms=HS, issuer="iss", audience=IfPresent("aud"), rules={"sid": ABSENT})
    SignedTokens(keys=KEYS, algorithms=HS, issuer="iss", audience="aud", tenant=ClaimText("t", str.lower))
    SignedTokens(keys=KEYS, algorithms=HS, audience="aud")  # type: ignore[call-arg]
    SignedTokens(keys=KEYS, algorithms=HS, issuer="iss")  # type: ignore[call-arg]
    SignedTokens(KEYS, HS, "iss", "aud")  # type: ignore[call-arg]


def settings_are_no_guesswork(settings: SignedTokens) -> None:
    SignedTokens(keys="secret", algorithms=HS, issuer="iss", audience="aud")  # type: ignore[arg-type]
    SignedTokens(keys=KEYS, algorithms=5, issuer="iss", audience="aud")  # type: ignore[arg-type]
    SignedTokens(keys=KEYS, algorithms=HS, issuer=None, audience="aud")  # type: ignore[arg-type]
    SignedTokens(keys=KEYS, algorithms=HS, issuer="iss", audience=5)  # type: ignore[arg-type]
    SignedTokens(keys=KEYS, algorithms=HS, issuer="iss", audience="aud", leeway="10")  # type: ignore[arg-type]
    SignedTokens(keys=KEYS, algorithms=HS, issuer="iss", audience="aud", carriers=("X",))  # type: ignore[arg-type]
    SignedTokens(keys=KEYS, algorithms=HS, issuer="iss", audience="aud", client_id="c")  # type: ignore[call-arg]
    settings.leeway = 300  # type: ignore[misc]


def keys_are_three() -> None:
    SharedSecrets("new", "old")
    StaticKeys({"keys": []})
    JwksKeys("https://id.example.com/keys")
    SharedSecrets()  # type: ignore[call-arg]
    SharedSecrets(["new", "old"])  # type: ignore[arg-type]
    JwksKeys()  # type: ignore[call-arg]


def carriers_are_three() -> None:
    Header("Authorization", scheme="Bearer")
    Cookie("session", origins={"https://app.example.com"})
    Query("id_token")
    Cookie("session", {"https://app.example.com"})  # type: ignore[call-arg]
    Query()  # type: ignore[call-arg]


def presets_are_settings() -> None:
    assert_type(whatalo.session_tokens(client_id="c", client_secret="s"), SignedTokens)
    assert_type(shopify.admin(client_id="c", client_secret=SharedSecrets("new", "old")), SignedTokens)
    assert_type(jtl.session_tokens(client_id="c", keys=JwksKeys("https://id.example.com/keys")), SignedTokens)
    assert_type(oauth.jwt_access_tokens("https://id.example.com", "aud"), SignedTokens)
    whatalo.session_tokens(client_id="c")  # type: ignore[call-arg]
    whatalo.session_tokens(client_id="c", client_secret=b"s")  # type: ignore[arg-type]
    whatalo.session_tokens(client_id="c", client_secret="s", issuer="me")  # type: ignore[call-arg]


# --- Verifier and denylist -------------------------------------------------------------------------------------------


async def verifiers_verify(settings: SignedTokens) -> None:
    verifier = Verifier(settings)
    assert_type(verifier, Verifier[SignedTokens])
    assert_type(verifier.verify("token"), Claims)
    assert_type(await verifier.averify("token"), Claims)
    assert_type(verifier.denylist, Denylist)
    with Verifier(settings, store="redis://localhost") as blocking:
        assert_type(blocking, Verifier[SignedTokens])
    async with Verifier(settings, settings, store=RedisStore("redis://localhost"), any_kind=True) as suspending:
        assert_type(suspending, Verifier[SignedTokens])


async def verifiers_take_settings_and_texts(settings: SignedTokens, verifier: Verifier[SignedTokens]) -> None:
    Verifier()  # type: ignore[call-arg]
    Verifier("secret")  # type: ignore[type-var]
    Verifier(KEYS)  # type: ignore[type-var]
    Verifier(settings, store=6379)  # type: ignore[arg-type]
    Verifier(settings, "redis://localhost")  # type: ignore[type-var]
    verifier.verify(b"token")  # type: ignore[arg-type]
    verifier.verify(None)  # type: ignore[arg-type]
    verifier.averify("token").tenant  # type: ignore[attr-defined]


def a_verifier_of_one_kind_is_one_of_any(verifier: Verifier[SignedTokens]) -> Verifier[Any]:
    return verifier


def verifiers_know_their_kinds(signed: SignedTokens, opaque: OpaqueTokens) -> None:
    assert_type(Verifier(opaque), Verifier[OpaqueTokens])
    assert_type(Verifier(signed, opaque), Verifier[SignedTokens | OpaqueTokens])
    assert_type(Verifier(signed, opaque).kinds, tuple[SignedTokens | OpaqueTokens, ...])
    assert_type(Verifier(whatalo.session_tokens(client_id="c", client_secret="s")), Verifier[SignedTokens])
    assert_type(whatalo.access_tokens(client_id="c", client_secret="s", audience="a"), OpaqueTokens)
    assert_type(oauth.opaque_access_tokens("i", "a", client_id="c", client_secret="s"), OpaqueTokens)


def a_verifier_of_one_kind_is_one_of_either(
    one: Verifier[SignedTokens], either: Verifier[SignedTokens | OpaqueTokens]
) -> tuple[Verifier[SignedTokens | OpaqueTokens], Verifier[SignedTokens], Verifier[OpaqueTokens]]:
    narrow: Verifier[SignedTokens] = either  # type: ignore[assignment]
    other: Verifier[OpaqueTokens] = one  # type: ignore[assignment]
    return one, narrow, other


async def denylists_revoke(denylist: Denylist, claims: Claims) -> None:
    denylist.revoke(claims)
    await denylist.arevoke(claims)
    denylist.revoke_id("jti", until=1.5, authority="whatalo:c")
    await denylist.arevoke_user("ana", issued_before=1)
    await denylist.arevoke_tenant("str_1")
    assert_type(denylist.status(claims), Literal["active", "revoked"])
    assert_type(await denylist.astatus(claims), Literal["active", "revoked"])


async def denylists_take_what_they_need(denylist: Denylist, claims: Claims) -> None:
    Denylist("redis://localhost")  # type: ignore[call-arg]
    Denylist("redis://localhost", "whatalo:c")  # type: ignore[call-arg]
    denylist.revoke("jti")  # type: ignore[arg-type]
    denylist.revoke_id("jti")  # type: ignore[call-arg]
    denylist.revoke_id("jti", 5)  # type: ignore[call-arg]
    denylist.revoke_user("ana", 5)  # type: ignore[call-arg]
    denylist.revoke_tenant(claims.tenant)  # type: ignore[arg-type]
    denylist.revoke_tenant("str_1", issued_before="now")  # type: ignore[arg-type]
    denylist.arevoke(claims)  # type: ignore[unused-coroutine]


def stores_are_two() -> None:
    MemoryStore()
    RedisStore("redis://localhost", prefix="shop:")
    RedisStore(6379)  # type: ignore[arg-type]
    RedisStore("redis://localhost", "shop:")  # type: ignore[call-arg]


# --- Guards ----------------------------------------------------------------------------------------------------------


@requires_token
def guarded_once(store: str, *, number: int = 1) -> list[str]:
    return [store] * number


@requires_scope("read:orders", "write:orders", kind="whatalo.session")
@requires_any_scope("a", "b")
@requires_kind("whatalo.session", "whatalo.access")
@single_use
async def guarded_often(request: Request) -> Response:
    return Response(request.url.path)


class Orders:
    @requires_scope("read:orders")
    async def get(self, number: int) -> bytes:
        return bytes(number)


def guards_keep_signatures(request: Request) -> Awaitable[Response]:
    plain: Callable[[str], list[str]] = guarded_once
    async_: Callable[[Request], Awaitable[Response]] = guarded_often
    assert_type(plain("a"), list[str])
    assert_type(guarded_once("a", number=2), list[str])
    guarded_once(5)  # type: ignore[arg-type]
    guarded_once()  # type: ignore[call-arg]
    guarded_once("a", 2)  # type: ignore[call-arg]
    guarded_often(request).status_code  # type: ignore[attr-defined]
    return async_(request)


async def guards_keep_the_signatures_of_methods(orders: Orders, request: Request) -> None:
    assert_type(await orders.get(5), bytes)
    assert_type(await guarded_often(request), Response)
    await orders.get("five")  # type: ignore[arg-type]


def guards_take_names(view: Callable[[], None]) -> None:
    requires_scope()  # type: ignore[call-arg]
    requires_any_scope()  # type: ignore[call-arg]
    requires_kind()  # type: ignore[call-arg]
    requires_scope(["read:orders"])  # type: ignore[arg-type]
    requires_scope("read:orders", kind=5)  # type: ignore[arg-type]
    requires_kind("a", kind="b")  # type: ignore[call-arg]
    requires_scope(first="read:orders")  # type: ignore[call-arg]
    requires_token("read:orders")  # type: ignore[type-var]
    single_use()  # type: ignore[call-arg]
    requires_scope(view)  # type: ignore[arg-type]


# --- Doors -----------------------------------------------------------------------------------------------------------


def doors_of_asgi(app: ASGIApp, starlette: Starlette, fastapi: FastAPI, verifier: Verifier[SignedTokens]) -> None:
    door: ASGIApp = bearerguard.asgi.SessionTokenMiddleware(app, verifier, exempt=("/health",), optional=True)
    bearerguard.asgi.BearerMiddleware(door, verifier=verifier, realm="orders", preflight="refuse")
    starlette.add_middleware(bearerguard.asgi.SessionTokenMiddleware, verifier=verifier)
    fastapi.add_middleware(bearerguard.asgi.BearerMiddleware, verifier=verifier, exempt=("/health", "/static/*"))
    starlette.add_exception_handler(AuthError, bearerguard.asgi.answer)
    FastAPI(responses=bearerguard.fastapi.RESPONSES)
    starlette.add_middleware(bearerguard.asgi.SessionTokenMiddleware)  # type: ignore[call-arg]
    starlette.add_middleware(bearerguard.asgi.SessionTokenMiddleware, verifier="v")  # type: ignore[arg-type]
    bearerguard.asgi.SessionTokenMiddleware(app)  # type: ignore[call-arg]
    bearerguard.asgi.SessionTokenMiddleware(app, KEYS)  # type: ignore[arg-type]
    bearerguard.asgi.BearerMiddleware(app, verifier, preflight="allow")  # type: ignore[arg-type]
    bearerguard.asgi.BearerMiddleware(app, verifier, ("/health",))  # type: ignore[call-arg]
    bearerguard.asgi.BearerMiddleware(app, verifier, exempt=None)  # type: ignore[arg-type]


def doors_of_wsgi(app: WSGIApplication, flask: Flask, verifier: Verifier[SignedTokens]) -> None:
    door: WSGIApplication = bearerguard.wsgi.SessionTokenMiddleware(app, verifier, exempt=("/health",))
    bearerguard.wsgi.BearerMiddleware(door, verifier=verifier, optional=True, realm="orders")
    bearerguard.flask.init_app(flask, bearerguard.wsgi.SessionTokenMiddleware, verifier=verifier)
    bearerguard.flask.init_app(flask, bearerguard.wsgi.BearerMiddleware, verifier=verifier, exempt=("/health",))
    bearerguard.wsgi.SessionTokenMiddleware(app)  # type: ignore[call-arg]
    bearerguard.wsgi.SessionTokenMiddleware(app, KEYS)  # type: ignore[arg-type]
    bearerguard.flask.init_app(flask, bearerguard.wsgi.SessionTokenMiddleware)  # type: ignore[call-arg]
    bearerguard.flask.init_app(flask, bearerguard.asgi.BearerMiddleware, verifier=verifier)  # type: ignore[arg-type]
    bearerguard.flask.init_app(app, bearerguard.wsgi.BearerMiddleware, verifier=verifier)  # type: ignore[arg-type]


SIGNED = Verifier(SignedTokens(keys=KEYS, algorithms=HS, issuer="iss", audience="aud"))
OPAQUE = Verifier(OpaqueTokens(issuer="https://id.example.com", client_id="c", client_secret="s", audience="aud"))
EITHER = Verifier(*SIGNED.kinds, *OPAQUE.kinds)


def doors_of_asgi_take_their_own_sort(app: ASGIApp, starlette: Starlette, fastapi: FastAPI) -> None:
    for verifier in (SIGNED, OPAQUE, EITHER):
        bearerguard.asgi.BearerMiddleware(app, verifier)
    bearerguard.asgi.SessionTokenMiddleware(app, SIGNED)
    bearerguard.asgi.SessionTokenMiddleware(app, OPAQUE)  # type: ignore[arg-type]
    bearerguard.asgi.SessionTokenMiddleware(app, EITHER)  # type: ignore[arg-type]
    bearerguard.asgi.IntrospectionMiddleware(app, OPAQUE)
    bearerguard.asgi.IntrospectionMiddleware(app, SIGNED)  # type: ignore[arg-type]
    bearerguard.asgi.IntrospectionMiddleware(app, EITHER)  # type: ignore[arg-type]
    starlette.add_middleware(bearerguard.asgi.IntrospectionMiddleware, verifier=OPAQUE)
    starlette.add_middleware(bearerguard.asgi.IntrospectionMiddleware, verifier=SIGNED)  # type: ignore[arg-type]
    fastapi.add_middleware(bearerguard.asgi.SessionTokenMiddleware, verifier=SIGNED)
    fastapi.add_middleware(bearerguard.asgi.SessionTokenMiddleware, verifier=OPAQUE)  # type: ignore[arg-type]


def doors_of_asgi_stand_on_routes_and_mounts(view: Callable[[Request], Awaitable[Response]]) -> None:
    door = Middleware(bearerguard.asgi.SessionTokenMiddleware, verifier=SIGNED, exempt=("/health",))
    Starlette(routes=[Route("/", view, middleware=[door]), Mount("/", routes=[], middleware=[door])], middleware=[door])
    Middleware(bearerguard.asgi.SessionTokenMiddleware, verifier=OPAQUE)  # type: ignore[arg-type]
    Middleware(bearerguard.asgi.IntrospectionMiddleware, verifier=SIGNED)  # type: ignore[arg-type]
    Middleware(bearerguard.asgi.SessionTokenMiddleware)  # type: ignore[call-arg]


def doors_of_wsgi_take_their_own_sort(app: WSGIApplication, flask: Flask) -> None:
    for verifier in (SIGNED, OPAQUE, EITHER):
        bearerguard.wsgi.BearerMiddleware(app, verifier)
    bearerguard.wsgi.SessionTokenMiddleware(app, SIGNED)
    bearerguard.wsgi.SessionTokenMiddleware(app, OPAQUE)  # type: ignore[arg-type]
    bearerguard.wsgi.IntrospectionMiddleware(app, OPAQUE)
    bearerguard.wsgi.IntrospectionMiddleware(app, SIGNED)  # type: ignore[arg-type]
    bearerguard.wsgi.IntrospectionMiddleware(app, EITHER)  # type: ignore[arg-type]
    bearerguard.flask.init_app(flask, bearerguard.wsgi.IntrospectionMiddleware, verifier=OPAQUE)
    bearerguard.flask.init_app(flask, bearerguard.wsgi.IntrospectionMiddleware, verifier=SIGNED)  # type: ignore[arg-type]
    bearerguard.flask.init_app(flask, bearerguard.wsgi.SessionTokenMiddleware, verifier=EITHER)  # type: ignore[arg-type]


def doors_of_asgi_take_applications_of_other_frameworks(litestar: Litestar, quart: Quart) -> None:
    bearerguard.asgi.SessionTokenMiddleware(litestar, SIGNED)
    bearerguard.asgi.SessionTokenMiddleware(quart.asgi_app, SIGNED)
    bearerguard.wsgi.SessionTokenMiddleware(litestar, SIGNED)  # type: ignore[arg-type]


def an_asgi_door_takes_no_wsgi_application(app: WSGIApplication, verifier: Verifier[SignedTokens]) -> None:
    bearerguard.asgi.BearerMiddleware(app, verifier)  # type: ignore[arg-type]


def a_wsgi_door_takes_no_asgi_application(app: ASGIApp, verifier: Verifier[SignedTokens]) -> None:
    bearerguard.wsgi.BearerMiddleware(app, verifier)  # type: ignore[arg-type]


# --- For tests -------------------------------------------------------------------------------------------------------


def what_is_for_tests_has_types(
    settings: SignedTokens, verifier: Verifier[SignedTokens], provider: FakeProvider
) -> None:
    assert_type(mint(settings, tenant="acme", scopes={"read"}, keys=TestKeys(), now=Clock()(), plan="gold"), str)
    assert_type(mint(verifier), str)
    mint(settings, tenant=7)  # type: ignore[arg-type]
    with authenticated_as(verifier, tenant="acme", scopes=("read",), plan="gold") as claims:
        assert_type(claims, Claims)
    with provider.serve() as served:
        assert_type(served.issue(user="anna"), str)
        served.fail("explode")  # type: ignore[arg-type]


# --- FastAPI's parameters --------------------------------------------------------------------------------------------

Session = Annotated[whatalo.SessionClaims, Depends(bearerguard.fastapi.claims_as(whatalo.SessionClaims))]


def claims_are_parameters(fastapi: FastAPI) -> None:
    @fastapi.get("/")
    async def view(
        session: Session,
        staff: Annotated[shopify.AdminClaims, Security(bearerguard.fastapi.claims_as(shopify.AdminClaims), scopes=[])],
    ) -> str:
        assert_type(session, whatalo.SessionClaims)
        assert_type(session["storeId"], str)
        assert_type(staff["sid"], str)
        session["sid"]  # type: ignore[typeddict-item]
        return session["storeId"]

    @fastapi.websocket("/live")
    async def live(websocket: WebSocket, session: Session) -> None:
        await websocket.send_text(session["jti"])

    fastapi.dependency_overrides[bearerguard.fastapi.claims_as(whatalo.SessionClaims)] = dict


async def claims_as_gives_what_it_takes() -> None:
    ask = bearerguard.fastapi.claims_as(jtl.AppClaims, kind="jtl.app")
    assert_type(await ask(), jtl.AppClaims)
    other: Callable[..., Awaitable[jtl.SessionClaims]] = ask  # type: ignore[assignment]
    bearerguard.fastapi.claims_as()  # type: ignore[call-arg]
    bearerguard.fastapi.claims_as("whatalo.session")  # type: ignore[arg-type]
    bearerguard.fastapi.claims_as(jtl.AppClaims, "jtl.app")  # type: ignore[call-arg]
    bearerguard.fastapi.claims_as(jtl.AppClaims, kind=jtl)  # type: ignore[arg-type]
    await other()


# --- Views of other frameworks ---------------------------------------------------------------------------------------


@requires_scope("read:orders")
def in_django(request: HttpRequest, number: int) -> HttpResponse:
    return HttpResponse(number)


def guards_keep_the_signatures_of_views_of_django(request: HttpRequest) -> None:
    assert_type(in_django(request, 5), HttpResponse)
    in_django(request)  # type: ignore[call-arg]
    in_django(request, number="five")  # type: ignore[arg-type]


# --- Errors ----------------------------------------------------------------------------------------------------------


def errors_know_their_answer(refused: AuthError, unavailable: Unavailable) -> None:
    assert_type(refused.status, int)
    assert_type(refused.reason, str)
    assert_type(refused.code, str | None)
    assert_type(refused.challenge(), str)
    assert_type(refused.headers(), dict[str, str])
    assert_type(unavailable.status, int)
    assert_type(unavailable.headers(), dict[str, str])
    unavailable.challenge()  # type: ignore[attr-defined]
    unavailable.code  # type: ignore[attr-defined]


def errors_are_a_tree(expired: InvalidToken, wrong: SettingsError) -> tuple[AuthError, ValueError]:
    unavailable: Unavailable = expired  # type: ignore[assignment]
    unavailable.headers()
    return expired, wrong
