"""A store's URL, read and checked. No redis in here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ...errors import SettingsError

Kind: TypeAlias = Literal["tcp", "tls", "unix"]

Place: TypeAlias = tuple[str, int]
"""A host and a port."""

_KINDS: Mapping[str, Kind] = {"redis": "tcp", "valkey": "tcp", "rediss": "tls", "valkeys": "tls", "unix": "unix"}
_FLEETS = ("sentinel", "cluster")
_PORTS = {"": 6379, "cluster": 6379, "sentinel": 26379}
SCHEMES = frozenset(_KINDS) | {f"{scheme}+{fleet}" for scheme in _KINDS if scheme != "unix" for fleet in _FLEETS}

_TLS_OPTIONS = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
_OPTIONS: Mapping[str, set[str]] = {
    "": {"db", "client_name"},
    "unix": {"db", "client_name", "username", "password"},
    "sentinel": {"db", "client_name", "sentinel_username", "sentinel_password"},
    "cluster": {"client_name"},
}
_NO = {"0", "f", "false", "n", "no"}
_FORMS = (
    "'redis://[user:password@]host:6379/0', 'rediss://...' for TLS, 'unix:///path/to/socket?db=0', "
    "'redis+sentinel://[user:password@]host:26379,host:26379/service/0' or 'redis+cluster://host:6379,host:6379', "
    "with '/', '?', '@' and ':' in the password written as '%2F', '%3F', '%40' and '%3A'"
)


@dataclass(frozen=True, slots=True)
class Guides:
    """The Sentinels, or the nodes of a cluster, that know where the server is. Only a Sentinel asks for a service."""

    places: tuple[Place, ...]
    service: str | None
    arguments: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is, or who knows it, and how to log in there; `shown` is safe to print."""

    kind: Kind
    shown: str
    arguments: Mapping[str, Any] = field(repr=False)
    guides: Guides | None = None


def redis_address(url: str) -> RedisAddress:
    """The address that a URL spells; SettingsError, without the URL, where it is not one of ours."""
    parts = _split(url)
    scheme, _, fleet = parts.scheme.partition("+")
    kind = _KINDS[scheme]
    options = _options(parts, fleet or ("unix" if kind == "unix" else ""), kind)
    if fleet:
        return _fleet_address(parts, kind, fleet, options)
    place = _path(parts) if kind == "unix" else _host(parts)
    arguments = {
        **place,
        **_login(parts),
        **_tls(options, kind),
        "db": _db([_database(parts, kind), options.get("db")]),
    }
    arguments |= {name: options[name] for name in ("client_name", "username", "password") if name in options}
    return RedisAddress(kind, _shown(parts.scheme, arguments), arguments)


def _fleet_address(parts: SplitResult, kind: Kind, fleet: str, options: Mapping[str, str]) -> RedisAddress:
    places = _places(parts, _PORTS[fleet])
    service, _, database = parts.path.strip("/").partition("/") if fleet == "sentinel" else ("", "", "")
    _check_path(parts, fleet, service)
    tls = _tls(options, kind)
    named = {name: options[name] for name in ("client_name",) if name in options}
    arguments = {**_login(parts), **tls, **named, "db": _db([database, options.get("db")])}
    login = {name: options[f"sentinel_{name}"] for name in ("username", "password") if f"sentinel_{name}" in options}
    guides = Guides(places, unquote(service) or None, {**tls, **login} if service else arguments)
    ends = ",".join(_place_shown(*place) for place in places)
    return RedisAddress(kind, f"{parts.scheme}://{ends}{parts.path.rstrip('/')}", arguments, guides)


def _check_path(parts: SplitResult, fleet: str, service: str) -> None:
    if fleet == "sentinel" and not service:
        raise SettingsError("the store's URL names no service; write 'redis+sentinel://host:26379,host:26379/service'")
    if fleet == "cluster" and parts.path.strip("/") not in ("", "0"):
        raise SettingsError("a cluster has database 0 alone; write 'redis+cluster://host:6379,host:6379'")


def _places(parts: SplitResult, port: int) -> tuple[Place, ...]:
    hosts = parts.netloc.rpartition("@")[2].split(",")
    found = [_place_in(host, port) for host in hosts]
    if None in found:
        raise SettingsError(f"the store's URL has a host that cannot be read; write it as {_FORMS}")
    return tuple(place for place in found if place is not None)


def _place_in(text: str, port: int) -> Place | None:
    try:
        one = urlsplit(f"//{text}")
        return (unquote(one.hostname), one.port or port) if one.hostname and one.port != 0 else None
    except ValueError:
        return None


def _split(url: str) -> SplitResult:
    # What stands behind a '#' is mostly the rest of a password.
    if "#" in url:
        raise SettingsError("the store's URL has a '#'; write it as '%23' if it belongs to the password")
    parts = _parts(url)
    if parts is None or parts.scheme not in SCHEMES:
        raise SettingsError(f"the store's URL cannot be read; write it as {_FORMS}")
    return parts


def _parts(url: str) -> SplitResult | None:
    # Not raised from within the except block: a ValueError of urllib quotes the URL, password and all.
    try:
        parts = urlsplit(url)
        return None if "+" not in parts.scheme and parts.port == 0 else parts
    except ValueError:
        return None


def _options(parts: SplitResult, form: str, kind: Kind) -> dict[str, str]:
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(pairs)
    if len(pairs) != len(options):
        raise SettingsError("the store's URL gives an option twice; give it once")
    # redis-py lets an option of the URL win over the bounds that we set.
    known = _OPTIONS[form] | (_TLS_OPTIONS if kind == "tls" else set())
    if foreign := sorted(options.keys() - known):
        raise SettingsError(
            f"the store's URL cannot set {', '.join(map(repr, foreign))}; it takes {', '.join(sorted(known))} "
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


def _database(parts: SplitResult, kind: Kind) -> str:
    return "" if kind == "unix" else parts.path.removeprefix("/")


def _db(named: Iterable[str | None]) -> int:
    given = [text for text in named if text]
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
    return f"{scheme}://{_place_shown(arguments['host'], arguments['port'])}/{arguments['db']}"


def _place_shown(host: str, port: int) -> str:
    return f"{f'[{host}]' if ':' in host else host}:{port}"
