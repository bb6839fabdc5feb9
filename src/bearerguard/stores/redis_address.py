"""A store's URL, read and checked. No redis in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ..errors import SettingsError

Kind: TypeAlias = Literal["tcp", "tls", "unix"]

_KINDS: Mapping[str, Kind] = {"redis": "tcp", "valkey": "tcp", "rediss": "tls", "valkeys": "tls", "unix": "unix"}
SCHEMES = frozenset(_KINDS)
LATER_SCHEMES = frozenset(f"{scheme}+{kind}" for scheme in _KINDS for kind in ("sentinel", "cluster"))

_TLS_OPTIONS = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
_OPTIONS: Mapping[Kind, set[str]] = {
    "tcp": {"db", "client_name"},
    "tls": {"db", "client_name"} | _TLS_OPTIONS,
    "unix": {"db", "client_name", "username", "password"},
}
_NO = {"0", "f", "false", "n", "no"}
_FORMS = (
    "'redis://[user:password@]host:6379/0', 'rediss://...' for TLS, or 'unix:///path/to/socket?db=0', "
    "with '/', '?', '@' and ':' in the password written as '%2F', '%3F', '%40' and '%3A'"
)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is, and how to log in there; `shown` is safe to print."""

    kind: Kind
    shown: str
    arguments: Mapping[str, Any] = field(repr=False)


def redis_address(url: str) -> RedisAddress:
    """The address that a URL spells; SettingsError, without the URL, where it is not one of ours."""
    parts = _split(url)
    kind = _KINDS[parts.scheme]
    options = _options(parts, kind)
    place = _path(parts) if kind == "unix" else _host(parts)
    arguments = {**place, **_login(parts), **_tls(options, kind), "db": _db(parts, options, kind)}
    arguments |= {name: options[name] for name in ("client_name", "username", "password") if name in options}
    return RedisAddress(kind, _shown(parts.scheme, arguments), arguments)


def _split(url: str) -> SplitResult:
    # What stands behind a '#' is mostly the rest of a password.
    if "#" in url:
        raise SettingsError("the store's URL has a '#'; write it as '%23' if it belongs to the password")
    parts = _parts(url)
    if parts is not None and parts.scheme in LATER_SCHEMES:
        raise SettingsError("Redis Sentinel and Redis Cluster are not supported yet; use a single Redis, 'redis://...'")
    if parts is None or parts.scheme not in SCHEMES:
        raise SettingsError(f"the store's URL cannot be read; write it as {_FORMS}")
    return parts


def _parts(url: str) -> SplitResult | None:
    # Not raised from within the except block: a ValueError of urllib quotes the URL, password and all.
    try:
        parts = urlsplit(url)
        return None if parts.port == 0 else parts
    except ValueError:
        return None


def _options(parts: SplitResult, kind: Kind) -> dict[str, str]:
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(pairs)
    if len(pairs) != len(options):
        raise SettingsError("the store's URL gives an option twice; give it once")
    # redis-py lets an option of the URL win over the bounds that we set.
    if foreign := sorted(options.keys() - _OPTIONS[kind]):
        raise SettingsError(
            f"the store's URL cannot set {', '.join(map(repr, foreign))}; it takes {', '.join(sorted(_OPTIONS[kind]))} "
            "only, for timeouts and retries are bearerguard's own; for more, give RedisStore a client of your own"
        )
    return options


def _host(parts: SplitResult) -> dict[str, Any]:
    return {"host": unquote(parts.hostname or "localhost"), "port": parts.port or 6379}


def _path(parts: SplitResult) -> dict[str, Any]:
    if parts.hostname or not parts.path.strip("/"):
        raise SettingsError("the store's URL has no absolute path; write it as 'unix:///path/to/socket?db=0'")
    return {"path": unquote(parts.path)}


def _login(parts: SplitResult) -> dict[str, str]:
    given = {"username": parts.username, "password": parts.password}
    return {name: unquote(value) for name, value in given.items() if value}


def _db(parts: SplitResult, options: Mapping[str, str], kind: Kind) -> int:
    in_path = "" if kind == "unix" else parts.path.removeprefix("/")
    given = [text for text in (in_path, options.get("db")) if text]
    if len(given) > 1 or not all(text.isascii() and text.isdigit() for text in given):
        raise SettingsError("the store's URL names its database by one whole number, as in 'redis://localhost:6379/0'")
    return int(given[0]) if given else 0


def _tls(options: Mapping[str, str], kind: Kind) -> dict[str, Any]:
    if kind != "tls":
        return {}
    arguments: dict[str, Any] = {name: options[name] for name in _TLS_OPTIONS & options.keys()}
    wanted = arguments.get("ssl_cert_reqs", "required")
    if wanted not in ("required", "none"):
        raise SettingsError("the store's URL takes ssl_cert_reqs=required, the default, or ssl_cert_reqs=none")
    checked = wanted == "required" and options.get("ssl_check_hostname", "yes").lower() not in _NO
    return {**arguments, "ssl_check_hostname": checked}


def _shown(scheme: str, arguments: Mapping[str, Any]) -> str:
    if "path" in arguments:
        return f"unix://{arguments['path']}?db={arguments['db']}"
    host = arguments["host"]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{arguments['port']}/{arguments['db']}"
