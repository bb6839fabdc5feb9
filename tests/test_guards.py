"""Guards: what they ask, how they merge, and how every misuse of them fails closed."""

from __future__ import annotations

import asyncio
import copy
import functools
import importlib
import inspect
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from bearerguard import (
    AuthError,
    SettingsError,
    SharedSecrets,
    Verifier,
    current_claims,
    requires_any_scope,
    requires_kind,
    requires_scope,
    requires_token,
    single_use,
)
from tests.doors import WORLDS, Answer, Ask, World, bearer
from tests.houses import OTHER_ISSUER, OTHER_SECRET, TWO_KINDS, settings, token

Guard = Callable[[Callable[..., Any]], Callable[..., Any]]

EVERY_GUARD: dict[str, Guard] = {
    "requires_token": requires_token,
    "requires_scope": requires_scope("a"),
    "requires_any_scope": requires_any_scope("a", "b"),
    "requires_kind": requires_kind("signed"),
    "single_use": single_use,
}
every_guard = pytest.mark.parametrize("guard", EVERY_GUARD.values(), ids=EVERY_GUARD)


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    return WORLDS[request.param]


def said() -> str:
    """The plainest view."""
    return "done"


async def said_later() -> str:
    """The plainest async view."""
    return "done"


def ask_with(text: str) -> Ask:
    return Ask(headers=[bearer(text)])


def scopes_of(answer: Answer) -> set[str]:
    """The scopes that a challenge names."""
    return set(((answer.challenge or {}).get("scope") or "").split())


# --- What they ask ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guards", "granted", "status"),
    [
        pytest.param([requires_token], None, 200, id="a token"),
        pytest.param([requires_scope("a")], "a", 200, id="the scope"),
        pytest.param([requires_scope("a")], "b a c", 200, id="the scope among others"),
        pytest.param([requires_scope("a")], ["b", "a"], 200, id="the scope in a list"),
        pytest.param([requires_scope("a")], None, 403, id="no scopes at all"),
        pytest.param([requires_scope("a")], "", 403, id="an empty string"),
        pytest.param([requires_scope("a")], [], 403, id="an empty list"),
        pytest.param([requires_scope("a")], "A", 403, id="another case"),
        pytest.param([requires_scope("a")], "aa", 403, id="a longer one"),
        pytest.param([requires_scope("read:orders")], "read", 403, id="a shorter one"),
        pytest.param([requires_scope("read:orders")], "read:*", 403, id="a wildcard is no wildcard"),
        pytest.param([requires_scope("a", "b")], "a", 403, id="one of two"),
        pytest.param([requires_scope("a", "b")], "b a", 200, id="both"),
        pytest.param([requires_scope("a"), requires_scope("b")], "b", 403, id="one of two guards"),
        pytest.param([requires_scope("a"), requires_scope("b")], "a b", 200, id="both guards"),
        pytest.param([requires_any_scope("a", "b")], "b", 200, id="any"),
        pytest.param([requires_any_scope("a", "b")], "c", 403, id="none of any"),
        pytest.param([requires_any_scope("a", "b"), requires_any_scope("c", "d")], "a b", 403, id="one group of two"),
        pytest.param([requires_any_scope("a", "b"), requires_any_scope("c", "d")], "b c", 200, id="both groups"),
        pytest.param([requires_scope("a"), requires_any_scope("b", "c")], "b c", 403, id="the group alone"),
        pytest.param([requires_kind("signed")], None, 200, id="the kind"),
        pytest.param([requires_kind("other", "signed")], None, 200, id="one of the kinds"),
        pytest.param([requires_kind("other")], None, 403, id="another kind"),
        pytest.param([requires_scope("a", kind="signed")], "a", 200, id="scope and kind"),
        pytest.param([requires_scope("a", kind="other")], "a", 403, id="scope of another kind"),
        pytest.param(
            [requires_kind("a", "signed"), requires_kind("signed", "b")], None, 200, id="what both kinds share"
        ),
    ],
)
@pytest.mark.parametrize("view", [said, said_later])
def test_asks_a_token_for(
    world: World, view: Callable[[], Any], guards: Sequence[Guard], granted: object, status: int
) -> None:
    guarded = functools.reduce(lambda inner, guard: guard(inner), guards, view)
    answer = world(guarded)(ask_with(token(scope=granted)))
    assert answer.status == status
    assert (answer.challenge or {}).get("error") == ("insufficient_scope" if status == 403 else None)


@every_guard
@pytest.mark.parametrize("view", [said, said_later])
def test_refuses_nobody(world: World, guard: Guard, view: Callable[[], Any]) -> None:
    passes: list[dict[str, Any]] = [{"optional": True}, {"exempt": ("/",)}]
    for options in passes:
        answer = world(guard(view), **options)(Ask("/"))
        assert answer.status == 401
        assert answer.challenge is not None
        assert "error" not in answer.challenge


@every_guard
def test_refuses_a_preflight_that_reaches_a_view(world: World, guard: Guard) -> None:
    headers = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST")]
    assert world(guard(said))(Ask(headers=headers, method="OPTIONS")).status == 401
    assert world(said)(Ask(headers=headers, method="OPTIONS")).status == 200


@every_guard
def test_says_what_to_add_where_no_door_is(guard: Guard) -> None:
    with pytest.raises(RuntimeError, match=r"add_middleware\(SessionTokenMiddleware, verifier=verifier\)"):
        guard(said)()
    with pytest.raises(RuntimeError, match="init_app"):
        asyncio.run(guard(said_later)())


# --- Merging ---------------------------------------------------------------------------------------------------------

MERGED: dict[str, Guard] = {
    "scope a": requires_scope("a"),
    "scopes b c": requires_scope("b", "c"),
    "any of d e": requires_any_scope("d", "e"),
    "once": single_use,
    "kind": requires_kind("signed"),
}
orders = pytest.mark.parametrize("order", list(itertools.permutations(MERGED)), ids=", ".join)


@orders
def test_merges_guards_in_any_order(world: World, order: Sequence[str]) -> None:
    ask = world(functools.reduce(lambda inner, name: MERGED[name](inner), order, said))
    poor, rich = token(scope="a b d"), token(scope="a b c d")
    for _ in range(2):
        refused = ask(ask_with(poor))
        assert refused.status == 403
        assert scopes_of(refused) == {"a", "b", "c", "d", "e"}
    assert [ask(ask_with(rich)).status for _ in range(3)] == [200, 401, 401]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["scope inside", "scope outside"])
@pytest.mark.parametrize("between", [1, 3], ids=["one decorator between", "three between"])
def test_merges_guards_with_other_decorators_between(world: World, order: tuple[int, int], between: int) -> None:
    def other(view: Callable[..., Any]) -> Callable[..., Any]:
        return functools.wraps(view)(lambda *args, **kwargs: view(*args, **kwargs))

    guards: list[Guard] = [requires_scope("a"), single_use]
    inner = guards[order[0]](said)
    ask = world(guards[order[1]](functools.reduce(lambda view, _: other(view), range(between), inner)))
    same = token(jti="one", scope="b")
    assert [ask(ask_with(same)).status for _ in range(2)] == [403, 403]
    assert [ask(ask_with(token(jti="one", scope="a"))).status for _ in range(2)] == [200, 401]


def test_names_a_scope_once_in_the_challenge(world: World) -> None:
    answer = world(requires_scope("a", "b")(requires_any_scope("b", "a")(requires_scope("a")(said))))(ask_with(token()))
    assert sorted((answer.challenge or {})["scope"].split()) == ["a", "b"]


def test_refuses_guards_that_no_token_could_pass() -> None:
    with pytest.raises(SettingsError, match="different kinds"):
        requires_kind("one")(requires_kind("two")(said))
    with pytest.raises(SettingsError, match="different kinds"):
        requires_scope("a", kind="one")(requires_kind("two", "three")(said))


def test_leaves_a_guarded_view_as_it_was_when_it_is_guarded_again(world: World) -> None:
    once = requires_scope("a")(said)
    requires_scope("b")(once)
    assert world(once)(ask_with(token(scope="a"))).status == 200


# --- One-time use ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", [said, said_later])
def test_takes_a_token_once(world: World, view: Callable[[], Any]) -> None:
    ask, same = world(single_use(view)), token()
    assert [ask(ask_with(same)).status for _ in range(3)] == [200, 401, 401]
    assert ask(ask_with(token())).status == 200


def test_says_that_a_token_was_used(world: World) -> None:
    ask, same = world(single_use(said)), token()
    ask(ask_with(same))
    replayed = ask(ask_with(same))
    assert (replayed.challenge or {})["error"] == "invalid_token"
    assert (replayed.challenge or {})["error_description"] == "the token has already been used"


def test_takes_two_tokens_of_one_jti_for_one(world: World) -> None:
    ask = world(single_use(said))
    assert [ask(ask_with(token(jti="same", sub=sub))).status for sub in ("one", "two")] == [200, 401]


def test_spends_one_token_once_in_one_request(world: World) -> None:
    def view() -> str:
        return single_use(said)() + single_use(said)()

    ask, same = world(single_use(view)), token()
    assert [ask(ask_with(same)).status for _ in range(2)] == [200, 401]


def test_spends_a_token_though_its_view_fails(world: World) -> None:
    @single_use
    def view() -> None:
        raise ZeroDivisionError

    ask, same = world(view), token()
    with pytest.raises(ZeroDivisionError):
        ask(ask_with(same))
    assert ask(ask_with(same)).status == 401


def test_spends_nothing_on_a_token_that_is_revoked(world: World) -> None:
    verifier = Verifier(settings())
    ask, same = world(single_use(said), verifier), token()
    verifier.denylist.revoke_tenant("str_8k2m4n6p")
    refused = ask(ask_with(same))
    assert (refused.challenge or {})["error_description"] == "the token has been revoked"


def test_lets_one_of_many_threads_pass(world: World) -> None:
    ask, same = world(single_use(said)), token()
    start, statuses = threading.Barrier(16), list[int]()

    def run() -> None:
        start.wait(5)
        statuses.append(ask(ask_with(same)).status)

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [401] * 15


# --- Several kinds ---------------------------------------------------------------------------------------------------


def of_other_kind(**changes: Any) -> str:
    return token(key=OTHER_SECRET, iss=OTHER_ISSUER, **changes)


UNNAMED = {name: guard for name, guard in EVERY_GUARD.items() if name != "requires_kind"}


@pytest.mark.parametrize("guard", UNNAMED.values(), ids=UNNAMED)
@pytest.mark.parametrize("view", [said, said_later])
def test_refuses_unnamed_guards_under_several_kinds(world: World, guard: Guard, view: Callable[[], Any]) -> None:
    ask = world(guard(view), Verifier(*TWO_KINDS))
    for text in (token(scope="a"), of_other_kind(scope="a")):
        with pytest.raises(SettingsError, match=r"kind=.*any_kind=True"):
            ask(ask_with(text))


@pytest.mark.parametrize("guard", UNNAMED.values(), ids=UNNAMED)
def test_takes_unnamed_guards_where_any_kind_may_pass(world: World, guard: Guard) -> None:
    ask = world(guard(said), Verifier(*TWO_KINDS, any_kind=True))
    assert [ask(ask_with(text)).status for text in (token(scope="a"), of_other_kind(scope="a"))] == [200, 200]


@pytest.mark.parametrize("guard", UNNAMED.values(), ids=UNNAMED)
def test_takes_a_kind_that_another_guard_names(world: World, guard: Guard) -> None:
    for guarded in (guard(requires_kind("other.session")(said)), requires_kind("other.session")(guard(said))):
        ask = world(guarded, Verifier(*TWO_KINDS))
        assert [ask(ask_with(text)).status for text in (token(scope="a"), of_other_kind(scope="a"))] == [403, 200]


def test_never_spends_a_token_of_a_kind_that_may_not_pass(world: World) -> None:
    verifier = Verifier(*TWO_KINDS)
    same = token()
    assert world(single_use(requires_kind("other.session")(said)), verifier)(ask_with(same)).status == 403
    assert world(single_use(requires_kind("platform.session")(said)), verifier)(ask_with(same)).status == 200


def test_counts_a_token_spent_under_each_authority_alone(world: World) -> None:
    verifier = Verifier(*TWO_KINDS, any_kind=True)
    ask = world(single_use(said), verifier)
    assert ask(ask_with(token(jti="same"))).status == 200
    assert ask(ask_with(of_other_kind(jti="same"))).status == 200
    assert ask(ask_with(of_other_kind(jti="same"))).status == 401


def test_counts_a_token_spent_over_all_kinds_of_one_authority(world: World) -> None:
    kinds = [
        settings(name="one", authority="shop"),
        settings(name="two", authority="shop", issuer=OTHER_ISSUER, keys=SharedSecrets(OTHER_SECRET)),
    ]
    ask = world(single_use(said), Verifier(*kinds, any_kind=True))
    assert [ask(ask_with(text)).status for text in (token(jti="x"), of_other_kind(jti="x"))] == [200, 401]


# --- Misuse ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "misuse",
    [
        pytest.param(lambda: requires_scope(said), id="bare requires_scope"),  # type: ignore[arg-type]
        pytest.param(lambda: requires_any_scope(said), id="bare requires_any_scope"),  # type: ignore[arg-type]
        pytest.param(lambda: requires_kind(said), id="bare requires_kind"),  # type: ignore[arg-type]
        pytest.param(lambda: requires_scope(""), id="an empty scope"),
        pytest.param(lambda: requires_scope("a b"), id="two scopes in one"),
        pytest.param(lambda: requires_scope("a", ""), id="an empty second scope"),
        pytest.param(lambda: requires_scope("a\n"), id="a newline"),
        pytest.param(lambda: requires_scope('a"'), id="a quote"),
        pytest.param(lambda: requires_scope("a\\"), id="a backslash"),
        pytest.param(lambda: requires_scope("caf\xe9"), id="outside ASCII"),
        pytest.param(lambda: requires_scope(["a"]), id="a list"),  # type: ignore[arg-type]
        pytest.param(lambda: requires_scope("a", None), id="None"),  # type: ignore[arg-type]
        pytest.param(lambda: requires_scope("a", kind=""), id="an empty kind"),
        pytest.param(lambda: requires_scope("a", kind=["x"]), id="a list of kinds"),  # type: ignore[arg-type]
        pytest.param(lambda: requires_token("a"), id="requires_token with a scope"),  # type: ignore[type-var]
        pytest.param(lambda: single_use(None), id="single_use on None"),  # type: ignore[type-var]
    ],
)
def test_refuses_when_decorated(misuse: Callable[[], object]) -> None:
    with pytest.raises(SettingsError, match=r"write|put"):
        misuse()


@pytest.mark.parametrize("guard", [requires_scope, requires_any_scope, requires_kind, requires_token, single_use])
def test_refuses_to_stand_there_without_names(guard: Callable[[], object]) -> None:
    with pytest.raises((SettingsError, TypeError)):
        guard()


@every_guard
def test_refuses_classes(guard: Guard) -> None:
    class View:
        def get(self) -> None: ...

    with pytest.raises(SettingsError, match="View; put it on its methods"):
        guard(View)


@every_guard
@pytest.mark.parametrize(
    "thing",
    ["a view", 7, {"get": said}, property(print), classmethod(print), staticmethod(said)],
    ids=lambda thing: type(thing).__name__,
)
def test_refuses_what_is_no_view(guard: Guard, thing: Any) -> None:
    with pytest.raises(SettingsError, match=r"write|put"):
        guard(thing)


def test_refuses_to_take_an_async_generator_once() -> None:
    async def view() -> Any:
        yield "x"

    with pytest.raises(SettingsError, match="StreamingResponse"):
        single_use(view)


# --- Everything that can be called -----------------------------------------------------------------------------------


class Callables:
    """A view in every shape."""

    def method(self) -> str:
        return "done"

    async def async_method(self) -> str:
        return "done"

    def __call__(self) -> str:
        return "done"

    @staticmethod
    def of_class() -> str:
        return "done"

    @classmethod
    def of_its_class(cls) -> str:
        return "done"

    @requires_scope("a")
    def guarded(self) -> str:
        return "done"

    @staticmethod
    @requires_scope("a")
    def guarded_static() -> str:
        return "done"


@dataclass
class Unhashable:
    """A view that compares by value, and so has no hash."""

    answer: str = "done"

    def __call__(self) -> str:
        return self.answer


class Slotted:
    """A view that nobody can refer to weakly."""

    __slots__ = ()

    def __call__(self) -> str:
        return "done"


class AsyncCallable:
    """A view whose call is a coroutine."""

    async def __call__(self) -> str:
        return "done"


def a_word(word: str) -> str:
    return word


async def an_async_word(word: str) -> str:
    return word


SHAPES: dict[str, Callable[[], Any]] = {
    "function": said,
    "async function": said_later,
    "lambda": lambda: "done",
    "method": Callables().method,
    "async method": Callables().async_method,
    "callable object": Callables(),
    "async callable object": AsyncCallable(),
    "static method": Callables.of_class,
    "class method": Callables.of_its_class,
    "partial": functools.partial(a_word, "done"),
    "async partial": functools.partial(an_async_word, "done"),
    "partial of a partial": functools.partial(functools.partial(a_word), "done"),
    "partial of a method": functools.partial(Callables().method),
    "partial of a callable object": functools.partial(AsyncCallable()),
    "unhashable object": Unhashable(),
    "object with slots": Slotted(),
    "built-in": "done".strip,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_guards_whatever_can_be_called(world: World, shape: str) -> None:
    ask = world(single_use(requires_scope("a")(SHAPES[shape])))
    same = token(scope="a")
    assert ask(ask_with(token())).status == 403
    first = ask(ask_with(same))
    assert (first.status, first.json()) == (200, "done")
    assert ask(ask_with(same)).status == 401


@pytest.mark.parametrize("name", ["guarded", "guarded_static"])
def test_guards_methods_where_they_are_defined(world: World, name: str) -> None:
    ask = world(getattr(Callables(), name))
    assert [ask(ask_with(token(scope=scope))).status for scope in ("a", "b")] == [200, 403]


def test_guards_a_partial_of_a_guarded_view(world: World) -> None:
    guarded = requires_scope("a")(a_word)
    ask = world(requires_scope("b")(functools.partial(guarded, "done")))
    assert [ask(ask_with(token(scope=scope))).status for scope in ("a", "b", "a b")] == [403, 403, 200]


@pytest.mark.parametrize("shape", SHAPES)
def test_is_a_coroutine_function_where_the_view_is_one(shape: str) -> None:
    guarded: Any = requires_token(SHAPES[shape])
    is_async = "async" in shape or shape == "partial of a callable object"
    assert any(map(inspect.iscoroutinefunction, (guarded, guarded.__call__))) is is_async


def test_checks_a_generator_function_before_it_runs(world: World) -> None:
    ran = list[str]()

    @requires_scope("a")
    def numbers() -> Any:
        ran.append("ran")
        yield 1

    ask = world(lambda: list(numbers()))
    assert ask(ask_with(token())).status == 403
    assert ran == []
    assert ask(ask_with(token(scope="a"))).json() == [1]


def test_keeps_what_a_view_is_called() -> None:
    def view(order: int, *, page: int = 1, **more: str) -> list[str]:
        """Its words."""
        return []

    guarded: Any = requires_scope("a")(view)
    assert (guarded.__name__, guarded.__doc__, guarded.__module__) == ("view", "Its words.", __name__)
    assert guarded.__wrapped__ is view
    assert [*inspect.signature(guarded).parameters] == ["order", "page", "more"]


@pytest.mark.parametrize(
    ("reader", "is_shown"),
    [
        pytest.param("fastapi.dependencies.utils", True, id="FastAPI"),
        pytest.param("fastapi_cache.decorator", True, id="what extends FastAPI"),
        pytest.param("litestar.utils.signature", False, id="another framework"),
        pytest.param("shop.decorators", False, id="the application"),
    ],
)
@pytest.mark.parametrize("is_partial", [False, True], ids=["function", "partial"])
def test_shows_what_it_asks_to_fastapi_alone(reader: str, is_shown: bool, is_partial: bool) -> None:
    def view(order: int, page: int = 1) -> None: ...

    importlib.import_module("bearerguard.fastapi")
    guarded: Any = requires_scope("a")(view)
    read = eval("lambda view: [*signature(view).parameters]", {"__name__": reader, "signature": inspect.signature})
    names = read(functools.partial(guarded, 1) if is_partial else guarded)
    assert ("bearerguard_access" in names) is is_shown
    assert [name for name in names if "bearerguard" not in name] == (["page"] if is_partial else ["order", "page"])


def test_hands_arguments_and_answers_through(world: World) -> None:
    @requires_token
    def view(first: int, *rest: int, last: int) -> list[int]:
        return [first, *rest, last]

    assert world(lambda: view(1, 2, 3, last=4))(ask_with(token())).json() == [1, 2, 3, 4]


def test_lets_a_view_catch_what_another_guard_refuses(world: World) -> None:
    def view() -> str:
        try:
            requires_scope("a")(said)()
        except AuthError as error:
            return f"{error.status} {error.reason}"
        return "passed"

    assert world(view)(ask_with(token())).json() == "403 insufficient_scope"


def test_gives_a_guarded_view_the_claims(world: World) -> None:
    guarded = requires_token(lambda: current_claims().tenant)
    assert world(guarded)(ask_with(token(tenant="str_one"))).json() == "str_one"


def test_copies_a_guarded_application() -> None:
    class Application:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    guarded = requires_token(Application())
    assert copy.copy(guarded).__wrapped__ is guarded.__wrapped__  # type: ignore[attr-defined]
