"""Settings from the command line: which presets there are, and which option says what each of them takes."""

from __future__ import annotations

import importlib
import inspect
import json
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

from ..keys import SharedSecrets, StaticKeys
from ..platforms import OpaqueOverrides, Overrides
from ..settings import Kind
from .given import Sources
from .outcomes import WrongUsage
from .paper import plain

PRESETS: Mapping[str, str] = {
    "shopify.admin": "shopify.admin",
    "shopify.pos": "shopify.pos",
    "shopify.checkout": "shopify.checkout",
    "shopify.customer_account": "shopify.customer_account",
    "whatalo.session": "whatalo.session_tokens",
    "whatalo.access": "whatalo.access_tokens",
    "jtl.app": "jtl.app_tokens",
    "jtl.session": "jtl.session_tokens",
    "oauth.jwt": "oauth.jwt_access_tokens",
    "oauth.opaque": "oauth.opaque_access_tokens",
}
"""The presets by the kind that their tokens are of; what stands behind is the function in `bearerguard.platforms`."""

# What a preset takes, and the option that gives it.
FLAGS: Mapping[str, str] = {
    "client_id": "--client-id",
    "client_secret": "--client-secret-file",
    "app_id": "--app-id",
    "issuer": "--issuer",
    "audience": "--audience",
    "clients": "--client",
    "keys": "--jwks-file",
    "jwks_url": "--jwks-url",
    "algorithms": "--algorithm",
    "rfc9068": "--not-rfc9068",
    "shop_domains": "--shop-domain",
    "environment": "--environment",
    "api_url": "--api-url",
    "introspection_endpoint": "--introspection-endpoint",
    "endpoint_origins": "--endpoint-origin",
    "client_auth": "--client-auth",
    "jwt_shaped": "--jwt-shaped",
    "assumed_lifetime": "--assumed-lifetime",
    "allow_short_secret": "--allow-short-secret",
}


def preset_named(name: str) -> Callable[..., Kind]:
    """The preset of that name, by its kind or by its function."""
    function = PRESETS.get(name, name if name in PRESETS.values() else None)
    if function is None:
        raise WrongUsage(f"--preset is {plain(name)!r}; use one of {', '.join(PRESETS)}")
    platform, _, called = function.partition(".")
    # By its name, for the names are data.
    preset: Callable[..., Kind] = getattr(importlib.import_module(f"..platforms.{platform}", __package__), called)
    return preset


def settings_of(args: Namespace, sources: Sources, *, extra: Mapping[str, Any] | None = None) -> Kind:
    """The settings that the options make; `extra` stands in for what they need not say."""
    preset, given = preset_named(args.preset), {**given_in(args, sources), **(extra or {})}
    takes, needs = parameters_of(preset)
    if foreign := sorted(FLAGS[name] for name in given.keys() - takes):
        known = sorted(FLAGS[name] for name in takes & FLAGS.keys())
        raise WrongUsage(f"{plain(args.preset)} takes no {', '.join(foreign)}; it takes {', '.join(known)}")
    if missing := [FLAGS[name] for name in needs if name not in given]:
        also = " (or --client-secret-env NAME)" if FLAGS["client_secret"] in missing else ""
        raise WrongUsage(f"{plain(args.preset)} needs {' and '.join(missing)}{also}")
    return preset(**given)


def parameters_of(preset: Callable[..., Kind]) -> tuple[frozenset[str], tuple[str, ...]]:
    """What a preset takes, and what it needs, of what can be said on a command line."""
    takes: set[str] = set()
    needs: list[str] = []
    for name, each in inspect.signature(preset).parameters.items():
        if each.kind is each.VAR_KEYWORD:
            takes |= (OpaqueOverrides if "Opaque" in str(each.annotation) else Overrides).__optional_keys__
        else:
            takes.add(name)
            if each.default is each.empty:
                needs.append(name)
    return frozenset(takes), tuple(needs)


def given_in(args: Namespace, sources: Sources) -> dict[str, Any]:
    """What the options say, under the names that presets have for it."""
    told: dict[str, Any] = {
        "client_secret": secret_in(args, sources),
        "keys": None if args.jwks_file is None else static_keys(sources.text("jwks-file", args.jwks_file)),
        "audience": _one_or_set(args.audience),
        "clients": frozenset(args.client) or None,
        "algorithms": tuple(args.algorithm) or None,
        "shop_domains": tuple(args.shop_domain) or None,
        "endpoint_origins": frozenset(args.endpoint_origin) or None,
        "rfc9068": False if args.not_rfc9068 else None,
        "jwt_shaped": True if args.jwt_shaped else None,
        "allow_short_secret": True if args.allow_short_secret else None,
    }
    plainly = (
        *("client_id", "app_id", "issuer", "jwks_url", "environment", "api_url", "introspection_endpoint"),
        *("client_auth", "assumed_lifetime"),
    )
    told |= {name: getattr(args, name) for name in plainly}
    return {name: value for name, value in told.items() if value is not None}


def secret_in(args: Namespace, sources: Sources) -> SharedSecrets | None:
    """The client secret, with the one before it where both are in use."""
    newest = sources.secret("client-secret", path=args.client_secret_file, variable=args.client_secret_env)
    former = sources.secret("old-client-secret", path=args.old_client_secret_file, variable=args.old_client_secret_env)
    if newest is None:
        if former is not None:
            raise WrongUsage("an old client secret comes after a new one; give --client-secret-file as well")
        return None
    return SharedSecrets(newest) if former is None else SharedSecrets(newest, former)


def static_keys(text: str) -> StaticKeys:
    """Public keys from a file: a JWK set, one JWK, or PEM."""
    if not text.lstrip().startswith("{"):
        return StaticKeys(text)
    try:
        return StaticKeys(json.loads(text))
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError) else "no JSON"
        raise WrongUsage(f"--jwks-file: {plain(why)}; give a JWK set, one JWK, or a PEM text") from None


def _one_or_set(values: list[str]) -> str | frozenset[str] | None:
    return None if not values else values[0] if len(values) == 1 else frozenset(values)
