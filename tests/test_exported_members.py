"""The public names are the contract of DESIGN.md, section 2; examples and docs are written against them."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.resources
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import bearerguard
from bearerguard import (
    NO_SCOPES,
    UNCHECKED,
    AuthError,
    BearerguardError,
    Claims,
    Denylist,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    JwksKeys,
    MemoryStore,
    MissingToken,
    ProviderUnavailable,
    RedisStore,
    SettingsError,
    SharedSecrets,
    SignedTokens,
    StaticKeys,
    StoreUnavailable,
    TokenExpired,
    TokenReplayed,
    TokenRevoked,
    Unavailable,
    Verifier,
    current_claims,
)
from bearerguard.carriers import Cookie, Header, Query

# What the contract names.
CONTRACT = {
    *("SignedTokens", "OpaqueTokens", "ProtectedResource", "Verifier", "Denylist"),
    *("SharedSecrets", "StaticKeys", "JwksKeys"),
    *("MemoryStore", "RedisStore"),
    "ClientCredentials",
    *("requires_token", "single_use", "requires_scope", "requires_any_scope", "requires_kind", "current_claims"),
    "Claims",
    *("UNCHECKED", "NO_SCOPES"),
    *("BearerguardError", "AuthError", "MissingToken", "InvalidRequest", "InvalidToken", "TokenExpired"),
    *("TokenRevoked", "TokenReplayed", "InsufficientScope", "Unavailable", "ProviderUnavailable", "StoreUnavailable"),
    "SettingsError",
}
# Words for settings that the presets needed, and the refusal of a cookie from another site (RULES.md, section 6).
BEYOND = {"ABSENT", "ClaimText", "ForeignOrigin", "IfPresent"}

DOORS = ("bearerguard.asgi", "bearerguard.wsgi")
MODULES = (
    "bearerguard",
    *DOORS,
    "bearerguard.carriers",
    "bearerguard.demo",
    "bearerguard.events",
    "bearerguard.fastapi",
    "bearerguard.flask",
    "bearerguard.otel",
    "bearerguard.platforms.jtl",
    "bearerguard.platforms.oauth",
    "bearerguard.platforms.shopify",
    "bearerguard.platforms.whatalo",
    "bearerguard.sinks",
    "bearerguard.testing",
)


# --- Which names there are -------------------------------------------------------------------------------------------


def test_exports_the_contract() -> None:
    assert set(bearerguard.__all__) == CONTRACT | BEYOND


def test_exports_are_sorted() -> None:
    """Constants, then classes, then functions, as ruff sorts them."""

    def rank(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    assert sorted(bearerguard.__all__, key=rank) == bearerguard.__all__
    assert len(set(bearerguard.__all__)) == len(bearerguard.__all__)


def test_exports_nothing_that_is_not_said() -> None:
    seen = {name for name in vars(bearerguard) if not name.startswith("_")}
    seen = {name for name in seen if not inspect.ismodule(getattr(bearerguard, name))}
    assert seen | {"ClientCredentials"} == set(bearerguard.__all__)


def test_has_no_attribute_that_is_not_there() -> None:
    assert not hasattr(bearerguard, "ClientCredential")


@pytest.mark.parametrize("name", [name for name in MODULES if name != "bearerguard.carriers"])
def test_every_exported_name_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert [each for each in module.__all__ if not hasattr(module, each)] == []


@pytest.mark.parametrize("name", DOORS)
def test_both_doors_have_the_same_names(name: str) -> None:
    door = importlib.import_module(name)
    assert {"SessionTokenMiddleware", "IntrospectionMiddleware", "BearerMiddleware", "answer"} <= set(door.__all__)
    for middleware in (door.SessionTokenMiddleware, door.IntrospectionMiddleware, door.BearerMiddleware):
        usual = {"exempt": (), "optional": False, "realm": None, "preflight": "pass", "resource": None}
        assert parameters(middleware)[:2] == ["app", "verifier"]
        assert defaults(middleware).items() >= usual.items()
        assert keyword_only(middleware) >= usual.keys()


def test_carriers_are_three() -> None:
    assert defaults(Header) == {"scheme": None}
    assert parameters(Cookie) == ["name", "origins"]
    assert parameters(Query) == ["name"]


# --- What they take --------------------------------------------------------------------------------------------------


def parameters(thing: Callable[..., Any]) -> list[str]:
    """The names of what a callable takes."""
    return [*inspect.signature(thing).parameters]


def defaults(thing: Callable[..., Any]) -> dict[str, Any]:
    """What may be left out, and what is taken instead."""
    found = inspect.signature(thing).parameters.values()
    return {each.name: each.default for each in found if each.default is not each.empty}


def keyword_only(thing: Callable[..., Any]) -> set[str]:
    """What is given by name only."""
    found = inspect.signature(thing).parameters.values()
    return {each.name for each in found if each.kind is each.KEYWORD_ONLY}


SIGNED_TOKENS: Mapping[str, Any] = {
    "name": "signed",
    "authority": None,
    "audience_claim": "aud",
    "required": ("exp",),
    "leeway": 10,
    "iat_leeway": None,
    "max_age": None,
    "max_lifetime": None,
    "assumed_lifetime": None,
    "typ": None,
    "scopes": None,
    "tenant": None,
    "user": None,
    "rules": (),
    "checks": (),
    "each_time": (),
    "carriers": (Header("Authorization", scheme="Bearer"),),
    "refusal_headers": None,
    "max_bytes": 8192,
    "remember_tokens": 10_000,
    "allow_short_secret": False,
}


OPAQUE_TOKENS: Mapping[str, Any] = {
    "name": "opaque",
    "authority": None,
    "introspection_endpoint": None,
    "endpoint_origins": frozenset(),
    "client_auth": "client_secret_basic",
    "clients": None,
    "pattern": None,
    "jwt_shaped": False,
    "cache_seconds": 60,
    "leeway": 0,
    "deadline": 2.0,
    "carriers": (Header("Authorization", scheme="Bearer"),),
}
RESOURCE: Mapping[str, Any] = {"authorization_servers": None, "scopes": (), "name": None, "documentation": None}


CLIENT_CREDENTIALS: Mapping[str, Any] = {
    "token_url": None,
    "issuer": None,
    "client_auth": "client_secret_basic",
    "scope": None,
    "resource": None,
    "extra": None,
    "store": None,
    "margin": 60,
}


def test_client_credentials_have_the_arguments_of_the_contract() -> None:
    found = bearerguard.ClientCredentials
    assert defaults(found).items() >= CLIENT_CREDENTIALS.items()
    assert keyword_only(found) >= {"client_id", "client_secret", "origins"} | CLIENT_CREDENTIALS.keys()
    assert members_of(found) >= {"token", "atoken", "close", "aclose"}


@pytest.mark.parametrize(
    ("thing", "usual", "given"),
    [
        (bearerguard.OpaqueTokens, OPAQUE_TOKENS, {"issuer", "client_id", "client_secret", "audience"}),
        (bearerguard.ProtectedResource, RESOURCE, {"resource"}),
    ],
)
def test_other_settings_have_theirs(thing: type[Any], usual: Mapping[str, Any], given: set[str]) -> None:
    assert keyword_only(thing) == set(parameters(thing))
    assert defaults(thing).items() >= usual.items()
    assert set(parameters(thing)) - defaults(thing).keys() == given


def test_signed_tokens_have_the_fields_and_defaults_of_the_contract() -> None:
    assert keyword_only(SignedTokens) == set(parameters(SignedTokens))
    assert defaults(SignedTokens).items() >= SIGNED_TOKENS.items()
    assert set(parameters(SignedTokens)) - defaults(SignedTokens).keys() == {
        "keys",
        "algorithms",
        "issuer",
        "audience",
    }
    assert dataclasses.fields(SignedTokens)


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        pytest.param(Verifier, "(first, /, *more, store, clock, monotonic, any_kind)", id="Verifier"),
        pytest.param(Denylist, "(store, *, authority, horizon, clock)", id="Denylist"),
        pytest.param(Denylist.revoke, "(self, claims)", id="revoke"),
        pytest.param(Denylist.revoke_id, "(self, token_id, *, until, authority)", id="revoke_id"),
        pytest.param(Denylist.revoke_user, "(self, user, *, issued_before, authority)", id="revoke_user"),
        pytest.param(Denylist.revoke_tenant, "(self, tenant, *, issued_before, authority)", id="revoke_tenant"),
        pytest.param(Denylist.status, "(self, claims)", id="status"),
        pytest.param(Verifier.verify, "(self, token, *, kind)", id="verify"),
        pytest.param(SharedSecrets, "(first, /, *more)", id="SharedSecrets"),
        pytest.param(
            RedisStore,
            "(where, *, prefix, durable, on_amnesia, first_start, on_failure, on_eviction, replica, max_staleness)",
            id="RedisStore",
        ),
        pytest.param(bearerguard.requires_token, "(view, /)", id="requires_token"),
        pytest.param(bearerguard.single_use, "(view, /)", id="single_use"),
        pytest.param(bearerguard.requires_scope, "(first, /, *more, kind)", id="requires_scope"),
        pytest.param(bearerguard.requires_any_scope, "(first, /, *more, kind)", id="requires_any_scope"),
        pytest.param(bearerguard.requires_kind, "(first, /, *more)", id="requires_kind"),
    ],
)
def test_takes_what_the_contract_says(thing: Callable[..., Any], said: str) -> None:
    taken = inspect.signature(thing).parameters.values()
    bare = [each.replace(annotation=each.empty, default=each.empty) for each in taken]
    assert str(inspect.Signature(bare)) == said


@pytest.mark.parametrize(
    ("thing", "left_out"),
    [
        (Verifier, {"store": "memory://", "any_kind": False}),
        (Denylist.revoke_user, {"issued_before": None, "authority": None}),
        (Denylist.revoke_tenant, {"issued_before": None, "authority": None}),
        (Denylist.revoke_id, {"authority": None}),
        (RedisStore, {"prefix": "bearerguard:"}),
        (bearerguard.requires_scope, {"kind": None}),
        (bearerguard.requires_any_scope, {"kind": None}),
    ],
)
def test_takes_instead_what_the_contract_says(thing: Callable[..., Any], left_out: dict[str, Any]) -> None:
    assert defaults(thing).items() >= left_out.items()


CLAIMS = {
    *("kind", "tenant", "user", "subject", "token_id", "issuer", "client_id", "issued_at", "expires_at", "scopes"),
    *("grants", "require_tenant", "to_dict", "typed"),
}
MAPPING = {"get", "items", "keys", "values"}


def members_of(thing: type) -> set[str]:
    """The public names of a class and its parents, those of every exception left out."""
    return {name for name in dir(thing) if not name.startswith("_")} - set(dir(Exception))


def test_claims_have_the_members_of_the_contract() -> None:
    assert members_of(Claims) == CLAIMS | MAPPING


@pytest.mark.parametrize("thing", [Verifier, Denylist])
def test_every_call_that_waits_has_a_twin(thing: type) -> None:
    waiting = {name for name in members_of(thing) if name.startswith(("revoke", "verify", "status", "close"))}
    assert waiting
    for name in waiting:
        blocking, twin = getattr(thing, name), getattr(thing, f"a{name}")
        assert inspect.iscoroutinefunction(twin)
        assert not inspect.iscoroutinefunction(blocking)
        assert inspect.signature(blocking) == inspect.signature(twin)


def test_a_verifier_is_a_context_manager_both_ways() -> None:
    for name in ("__enter__", "__exit__", "__aenter__", "__aexit__"):
        assert callable(getattr(Verifier, name))


# --- Errors ----------------------------------------------------------------------------------------------------------

ERRORS: Mapping[type[BearerguardError], tuple[type[Exception], int | None]] = {
    AuthError: (BearerguardError, None),
    MissingToken: (AuthError, 401),
    InvalidRequest: (AuthError, 400),
    InvalidToken: (AuthError, 401),
    TokenExpired: (InvalidToken, 401),
    TokenRevoked: (InvalidToken, 401),
    TokenReplayed: (InvalidToken, 401),
    InsufficientScope: (AuthError, 403),
    bearerguard.ForeignOrigin: (AuthError, 403),
    Unavailable: (BearerguardError, 503),
    ProviderUnavailable: (Unavailable, 503),
    StoreUnavailable: (Unavailable, 503),
    SettingsError: (BearerguardError, None),
}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_errors_stand_in_one_tree(error: type[BearerguardError]) -> None:
    parent, status = ERRORS[error]
    assert issubclass(error, parent)
    assert getattr(error, "status", None) == status


def test_every_exported_error_stands_in_the_tree() -> None:
    exported = [getattr(bearerguard, name) for name in bearerguard.__all__]
    errors = {each for each in exported if inspect.isclass(each) and issubclass(each, Exception)}
    assert errors == {*ERRORS, BearerguardError}


def test_only_what_is_the_callers_fault_has_a_challenge() -> None:
    assert members_of(AuthError) >= {"code", "challenge", "headers"}
    assert not members_of(Unavailable) & {"code", "challenge"}
    assert not issubclass(Unavailable, AuthError)
    assert not issubclass(AuthError, Unavailable)
    assert issubclass(SettingsError, ValueError)


@pytest.mark.parametrize("error", [each for each in ERRORS if each not in (AuthError, Unavailable, SettingsError)])
def test_every_refusal_knows_its_reason_and_its_answer(error: type[Any]) -> None:
    refusal = error()
    assert refusal.reason in bearerguard.errors.REASONS
    assert refusal.headers()["Cache-Control"] == "no-store"
    assert set(refusal.body()) == {"error", "detail"}


def test_words_show_as_they_are_written() -> None:
    assert (repr(UNCHECKED), repr(NO_SCOPES)) == ("UNCHECKED", "NO_SCOPES")


# --- What is said of them --------------------------------------------------------------------------------------------


def public_things() -> Iterator[tuple[str, Any]]:
    """Every public function and class, and every public method and property, under the name a reader knows."""
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", ("Cookie", "Header", "Query")):
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isroutine(thing):
                yield f"{module_name}.{name}", thing
            if inspect.isclass(thing):
                yield from _members(f"{module_name}.{name}", thing)


def _members(name: str, thing: type) -> Iterator[tuple[str, Any]]:
    for each in thing.__mro__:
        if each.__module__.startswith("bearerguard"):
            members = {key: value for key, value in vars(each).items() if not key.startswith("_")}
            yield from ((f"{name}.{key}", value) for key, value in members.items() if _is_code(value))


def _is_code(value: object) -> bool:
    return (
        inspect.isroutine(value) or isinstance(value, (property, classmethod, staticmethod)) or hasattr(value, "func")
    )


THINGS = dict(public_things())


@pytest.mark.parametrize("name", THINGS)
def test_every_public_name_says_what_it_is_for(name: str) -> None:
    said = inspect.getdoc(THINGS[name])
    assert said
    assert said.splitlines()[0].rstrip().endswith((".", ":", ";")) or "\n\n" not in said


def functions_of(thing: Any) -> Iterator[Callable[..., Any]]:
    """The functions whose annotations a type checker reads for a public thing."""
    if isinstance(thing, property):
        yield thing.fget  # type: ignore[misc]
    elif isinstance(thing, (classmethod, staticmethod)):
        yield thing.__func__
    elif hasattr(thing, "func"):
        yield thing.func
    elif inspect.isclass(thing):
        if inspect.isfunction(thing.__init__) and thing.__init__.__module__.startswith("bearerguard"):
            yield thing.__init__
    else:
        yield thing


@pytest.mark.parametrize("name", THINGS)
def test_every_public_name_says_what_it_takes_and_gives(name: str) -> None:
    for function in functions_of(THINGS[name]):
        signature = inspect.signature(function)
        taken = [*signature.parameters.values()]
        own = taken[1:] if taken and taken[0].name in ("self", "cls") else taken
        assert [each.name for each in own if each.annotation is each.empty] == []
        assert signature.return_annotation is not signature.empty or function.__name__ == "__init__"


def test_the_package_is_typed() -> None:
    assert importlib.resources.files("bearerguard").joinpath("py.typed").is_file()


def test_says_what_each_call_gives() -> None:
    gives = {name: inspect.signature(getattr(Denylist, name)).return_annotation for name in ("revoke", "status")}
    assert gives == {"revoke": "None", "status": "Status"}
    assert inspect.signature(Verifier.verify).return_annotation == "Claims"
    assert inspect.signature(current_claims).return_annotation == "Claims | None"
    assert inspect.isclass(MemoryStore)
    assert {type(each) for each in (StaticKeys, JwksKeys)} <= {type}
