"""The examples for Django, Litestar and Quart do what they say: in this process, and served by real servers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from bearerguard import StoreUnavailable
from tests.doors import Answer, Ask, ask_server, ask_wsgi, bearer
from tests.houses import NOBODY_LISTENS
from tests.minting import OLD_SECRET
from tests.other_frameworks.asking import STORE, ask_any, token
from tests.servers import gunicorn_server, uvicorn_server

Asking = Callable[[Ask], Answer]

# The module, its application, how it is asked in this process, and how it is served.
EXAMPLES: dict[str, tuple[str, str, Callable[[Any, Ask], Answer], Any]] = {
    "django behind WSGI": ("django_app", "application", ask_wsgi, gunicorn_server),
    "django behind ASGI": ("django_app", "asgi_application", ask_any, uvicorn_server),
    "litestar": ("litestar_app", "app", ask_any, uvicorn_server),
    "quart": ("quart_app", "app", ask_any, uvicorn_server),
}


def module_of(name: str) -> ModuleType:
    """The module of an example, made anew."""
    return importlib.reload(importlib.import_module(f"examples.{EXAMPLES[name][0]}"))


def asking(name: str) -> Asking:
    """How an example is asked in this process."""
    _, app, ask, _ = EXAMPLES[name]
    return partial(ask, getattr(module_of(name), app))


@pytest.fixture(scope="module", params=[(name, way) for name in EXAMPLES for way in ("in process", "served")], ids=str)
def ask(request: pytest.FixtureRequest) -> Iterator[Asking]:
    """Each example, in each way."""
    name, way = request.param
    with ExitStack() as stack:
        if way == "served":
            module, app, _, server = EXAMPLES[name]
            yield partial(ask_server, stack.enter_context(server(f"examples.{module}:{app}")).port)
        else:
            yield asking(name)


def test_answers_a_health_check_without_a_token(ask: Asking) -> None:
    assert ask(Ask("/health")).json() == {"status": "ok"}


def test_refuses_a_request_without_a_token(ask: Asking) -> None:
    refused = ask(Ask("/orders"))
    assert (refused.status, refused.challenge, refused.json()["error"]) == (401, {}, "missing_token")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(token("read:orders", exp=1_600_000_000), id="expired"),
        pytest.param(token("read:orders", aud="another app"), id="for another app"),
        pytest.param(token("read:orders", key=OLD_SECRET), id="signed by somebody else"),
        pytest.param("abc", id="no token at all"),
    ],
)
def test_refuses_a_bad_token(ask: Asking, text: str) -> None:
    refused = ask(Ask("/orders", [bearer(text)]))
    assert (refused.status, (refused.challenge or {})["error"]) == (401, "invalid_token")


def test_tells_the_view_whose_token_it_is(ask: Asking) -> None:
    answered = ask(Ask("/orders", [bearer(token("read:orders"))]))
    assert (answered.status, answered.json()) == (200, {"store": STORE, "orders": [1001, 1002]})


def test_asks_for_scopes(ask: Asking) -> None:
    refused = ask(Ask("/orders", [bearer(token("read:products"))]))
    assert (refused.status, refused.json()["error"]) == (403, "insufficient_scope")
    assert (refused.challenge or {})["scope"] == "read:orders"
    assert refused.header("cache-control") == "no-store"
    assert refused.header("content-type") == "application/json"


def test_takes_a_token_once_where_it_matters(ask: Asking) -> None:
    both = bearer(token("read:orders", "write:orders"))
    first, second = (ask(Ask("/orders/1001/refund", [both], "POST")) for _ in range(2))
    assert (first.status, first.json()) == (200, {"store": STORE, "refunded": 1001})
    assert (second.status, (second.challenge or {})["error"]) == (401, "invalid_token")
    assert ask(Ask("/orders", [both])).status == 200


@pytest.mark.parametrize("name", ["litestar", "quart"])
def test_streams_to_whom_the_token_belongs(name: str) -> None:
    answered = asking(name)(Ask("/orders.csv", [bearer(token("read:orders"))]))
    assert answered.body.decode().splitlines() == ["store,order", f"{STORE},1001", f"{STORE},1002"]


def test_litestar_gives_its_own_user() -> None:
    answered = asking("litestar")(Ask("/me", [bearer(token("b", "a"))]))
    assert answered.json() == {"store": STORE, "scopes": ["a", "b"]}


@pytest.mark.parametrize("name", EXAMPLES)
def test_answers_503_where_its_store_is_down(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEARERGUARD_STORE", NOBODY_LISTENS)
    ask = asking(name)
    answered = [ask(Ask("/health")), ask(Ask("/orders", [bearer(token("read:orders"))]))]
    assert [answer.status for answer in answered] == [200, 503]
    assert answered[1].header("retry-after") is not None


@pytest.mark.parametrize("name", EXAMPLES)
def test_answers_503_where_a_guard_cannot_find_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim of a one-time token is lost below the framework, and its answer must not become a 500."""
    monkeypatch.setenv("BEARERGUARD_STORE", "memory://")
    module, app, ask, _ = EXAMPLES[name]
    served = getattr(module_of(name), app)
    verification = importlib.import_module(f"examples.{module}").verifier.verification
    monkeypatch.setattr(type(verification), "spend", lost)
    refused = ask(served, Ask("/orders/7/refund", [bearer(token("read:orders", "write:orders"))], "POST"))
    assert (refused.status, refused.challenge) == (503, None)
    assert refused.json()["error"] == "token_state_unknown"
    assert refused.header("retry-after") == "1"


async def lost(*_: object) -> None:
    raise StoreUnavailable("token_state_unknown")
