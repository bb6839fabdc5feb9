"""Django, behind both doors: its views of every sort, and what becomes of the exceptions that it would swallow."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.decorators import method_decorator, sync_and_async_middleware
from django.views import View
from django.views.decorators.csrf import csrf_exempt

import bearerguard.asgi
import bearerguard.django
import bearerguard.wsgi
from bearerguard import (
    InsufficientScope,
    SettingsError,
    Verifier,
    current_claims,
    requires_scope,
    requires_token,
    single_use,
)
from bearerguard.events import Event, TokenRefused
from bearerguard.platforms import whatalo
from bearerguard.sinks import add_sink
from tests.doors import Answer, Ask, ask_wsgi, bearer
from tests.minting import SECRET
from tests.other_frameworks.asking import STORE, ask_any, token
from tests.test_house import HEAVY, loaded_by

REFUSALS = "bearerguard.django.RefusalMiddleware"
VERIFIER = Verifier(whatalo.session_tokens(client_id="ours", client_secret=SECRET))


# --- Views -----------------------------------------------------------------------------------------------------------


def say() -> JsonResponse:
    return JsonResponse({"store": current_claims().tenant})


@requires_scope("a")
def function(_: HttpRequest) -> HttpResponse:
    return say()


@requires_scope("a")
async def coroutine(_: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0)
    return say()


class Methods(View):
    @requires_scope("a")
    def get(self, _: HttpRequest) -> HttpResponse:
        return say()

    @requires_scope("b")
    def post(self, _: HttpRequest) -> HttpResponse:
        return say()


class AsyncMethods(View):
    @requires_scope("a")
    async def get(self, _: HttpRequest) -> HttpResponse:
        return say()


class Bare(View):
    def get(self, _: HttpRequest) -> HttpResponse:
        return say()


class AsyncBare(View):
    async def get(self, _: HttpRequest) -> HttpResponse:
        return say()


@method_decorator(requires_scope("a"), name="dispatch")
class Decorated(View):
    def get(self, _: HttpRequest) -> HttpResponse:
        return say()


@csrf_exempt
@requires_scope("a")
@single_use
def once(_: HttpRequest) -> HttpResponse:
    return say()


@csrf_exempt
@requires_scope("a")
@single_use
async def once_async(_: HttpRequest) -> HttpResponse:
    return say()


@requires_scope("a")
def stream(_: HttpRequest) -> StreamingHttpResponse:
    def pieces() -> Iterator[str]:
        yield '{"store": "'
        yield f'{current_claims().tenant}"}}'

    return StreamingHttpResponse(pieces())


@requires_scope("a")
async def stream_async(_: HttpRequest) -> StreamingHttpResponse:
    async def pieces() -> AsyncIterator[str]:
        yield '{"store": "'
        await asyncio.sleep(0)
        yield f'{current_claims().tenant}"}}'

    return StreamingHttpResponse(pieces())


def whoever(_: HttpRequest) -> HttpResponse:
    claims = current_claims(None)
    return JsonResponse({"store": None if claims is None else claims.tenant})


def someone(_: HttpRequest) -> HttpResponse:
    return say()


def body(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"store": VERIFIER.verify(request.headers["X-Token"]).tenant})


async def body_async(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"store": (await VERIFIER.averify(request.headers["X-Token"])).tenant})


@requires_token
def granted_elsewhere(_: HttpRequest) -> HttpResponse:
    raise InsufficientScope


def broken(_: HttpRequest) -> HttpResponse:
    raise ValueError("of the view itself")


def in_a_template(_: HttpRequest) -> HttpResponse:
    from django.template.engine import Engine
    from django.template.response import SimpleTemplateResponse

    template = Engine().from_string("{{ store }}")

    class Late(SimpleTemplateResponse):
        @property
        def rendered_content(self) -> str:
            return str(current_claims().tenant)

    return Late(template)  # type: ignore[arg-type]


VIEWS: dict[str, Any] = {
    "function": function,
    "coroutine": coroutine,
    "methods": Methods.as_view(),
    "async methods": AsyncMethods.as_view(),
    "guarded as_view": requires_scope("a")(Bare.as_view()),
    "guarded async as_view": requires_scope("a")(AsyncBare.as_view()),
    "method_decorator": Decorated.as_view(),
    "once": once,
    "once async": once_async,
}
STREAMS = {"stream": stream, "stream async": stream_async}
OTHERS = {
    "whoever": whoever,
    "someone": someone,
    "body": body,
    "body async": body_async,
    "granted elsewhere": granted_elsewhere,
    "broken": broken,
    "template": in_a_template,
}


class Routes:
    urlpatterns = [path(name.replace(" ", "-"), view) for name, view in (VIEWS | STREAMS | OTHERS).items()]  # noqa: RUF012


def target_of(name: str) -> str:
    return f"/{name.replace(' ', '-')}"


# --- Doors -----------------------------------------------------------------------------------------------------------

Asking = Callable[..., Answer]


def behind(door: str, *middleware: str, refusals: bool = True, **options: Any) -> Asking:
    """Asks Django behind a door."""
    with override_settings(ROOT_URLCONF=Routes, MIDDLEWARE=[*middleware, *([REFUSALS] if refusals else [])]):
        if door == "wsgi":
            app: Any = bearerguard.wsgi.SessionTokenMiddleware(get_wsgi_application(), VERIFIER, **options)
        else:
            app = bearerguard.asgi.SessionTokenMiddleware(get_asgi_application(), VERIFIER, **options)

    def asking(name: str, text: str | None = None, method: str = "GET", **headers: str) -> Answer:
        sent = [(key.replace("_", "-"), value) for key, value in headers.items()]
        ask = Ask(target_of(name), [*sent, *([] if text is None else [bearer(text)])], method)
        with override_settings(ROOT_URLCONF=Routes):
            return ask_wsgi(app, ask) if door == "wsgi" else ask_any(app, ask)

    return asking


doors = pytest.mark.parametrize("door", ["wsgi", "asgi"])


@doors
@pytest.mark.parametrize("name", VIEWS)
def test_guards_views_of_every_sort(door: str, name: str) -> None:
    asking = behind(door)
    refused = asking(name, token("c"))
    assert (refused.status, (refused.challenge or {})["scope"]) == (403, "a")
    assert refused.json() == {"error": "insufficient_scope", "detail": "the token lacks a scope that the route needs"}
    answered = asking(name, token("a"))
    assert (answered.status, answered.json()) == (200, {"store": STORE})
    assert asking(name).status == 401


@doors
@pytest.mark.parametrize("name", ["once", "once async"])
def test_takes_a_token_once(door: str, name: str) -> None:
    asking, text = behind(door), token("a")
    assert [asking(name, text, "POST").status for _ in range(3)] == [200, 401, 401]


@doors
def test_guards_each_method_alone(door: str) -> None:
    asking = behind(door)
    assert [asking("methods", token("a"), method).status for method in ("GET", "POST")] == [200, 403]


@pytest.mark.parametrize(("door", "name"), [("wsgi", "stream"), ("asgi", "stream async")])
def test_keeps_the_claims_while_an_answer_is_streamed(door: str, name: str) -> None:
    asking = behind(door)
    assert asking(name, token("a")).json() == {"store": STORE}
    assert asking("whoever", token()).json() == {"store": STORE}


@doors
@pytest.mark.parametrize("name", ["function", "coroutine", "methods", "async methods", "granted elsewhere"])
def test_is_a_500_without_the_middleware_and_never_lets_anybody_in(door: str, name: str) -> None:
    assert behind(door, refusals=False)(name, token("b")).status == 500


@doors
def test_answers_what_current_claims_refuses(door: str) -> None:
    asking = behind(door, optional=True, realm="orders")
    assert asking("whoever").json() == {"store": None}
    refused = asking("someone")
    assert (refused.status, refused.challenge) == (401, {"realm": "orders"})
    assert asking("template").status == 401
    assert asking("template", token()).body == STORE.encode()
    assert asking("whoever", "abc").status == 401


@doors
@pytest.mark.parametrize("name", ["body", "body async"])
def test_answers_what_verify_refuses(door: str, name: str) -> None:
    asking = behind(door, exempt=("/body", "/body-async"))
    assert asking(name, X_Token=token()).json() == {"store": STORE}
    for text in ("abc", token(exp=1_600_000_000)):
        refused = asking(name, X_Token=text)
        assert (refused.status, (refused.challenge or {})["error"]) == (401, "invalid_token")


@doors
def test_answers_what_a_view_refuses_itself(door: str) -> None:
    told: list[Event] = []
    remove = add_sink(told.append)
    refused = behind(door, realm="orders")("granted elsewhere", token())
    remove()
    assert (refused.status, (refused.challenge or {})["realm"]) == (403, "orders")
    assert [event.reason for event in told if isinstance(event, TokenRefused)] == ["insufficient_scope"]


@doors
def test_leaves_other_exceptions_to_django(door: str) -> None:
    assert behind(door)("broken", token()).status == 500
    assert behind(door)("nowhere", token()).status == 404


@doors
@pytest.mark.parametrize("is_async", [True, False])
def test_works_among_middleware_of_either_sort(door: str, is_async: bool) -> None:
    name = f"{__name__}.{'an_async_middleware' if is_async else 'a_sync_middleware'}"
    asking = behind(door, name, "django.middleware.common.CommonMiddleware")
    for view in ("function", "coroutine"):
        assert [asking(view, token(scope)).status for scope in ("a", "b")] == [200, 403]


@sync_and_async_middleware
def an_async_middleware(get_response: Any) -> Any:
    if not inspect.iscoroutinefunction(get_response):
        return get_response

    async def around(request: HttpRequest) -> Any:
        return await get_response(request)

    return around


def a_sync_middleware(get_response: Any) -> Any:
    return lambda request: get_response(request)


class Catching:
    """Middleware of the user's own that answers every exception."""

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        return self._get_response(request)

    def process_exception(self, _: HttpRequest, error: Exception) -> HttpResponse:
        return HttpResponse(type(error).__name__, status=499)


@doors
def test_answers_before_middleware_that_answers_every_exception(door: str) -> None:
    asking = behind(door, f"{__name__}.Catching")
    assert [asking(name, token("b")).status for name in ("function", "coroutine", "broken")] == [403, 403, 499]


@doors
def test_forgets_the_claims_after_a_request(door: str) -> None:
    asking = behind(door, optional=True)
    assert [asking("whoever", text).json()["store"] for text in (token(), None, token(), None)] == [
        STORE,
        None,
        STORE,
        None,
    ]


@pytest.mark.parametrize("name", ["function", "coroutine", "someone"])
def test_is_a_500_for_guarded_views_without_a_door(name: str) -> None:
    with override_settings(ROOT_URLCONF=Routes, MIDDLEWARE=[REFUSALS]):
        assert ask_wsgi(get_wsgi_application(), Ask(target_of(name), [bearer(token("a"))])).status == 500


@pytest.mark.parametrize("guard", [requires_scope("a"), single_use], ids=["scope", "once"])
def test_waits_in_the_loop_for_async_views_of_classes(guard: Any) -> None:
    assert inspect.iscoroutinefunction(guard(AsyncBare.as_view()))
    assert not inspect.iscoroutinefunction(guard(Bare.as_view()))


def test_guards_no_class_as_a_whole() -> None:
    with pytest.raises(SettingsError, match="as_view"):
        requires_scope("a")(Bare)


def test_exports_the_middleware_alone_and_imports_nothing_else_along() -> None:
    assert bearerguard.django.__all__ == ["RefusalMiddleware"]
    assert loaded_by("import bearerguard.django") & (set(HEAVY) - {"django", "asgiref"}) == set()
