"""What a provider for tests answers, as pure functions of the request and of what the provider knows."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any, Literal, TypeAlias, get_args
from urllib.parse import parse_qsl, unquote_plus

from .keys import TestKeys

Endpoint: TypeAlias = Literal["discovery", "jwks", "token", "introspection", "revocation"]
Fault: TypeAlias = Literal["refuse", "hang", "drip", "500", "garbage", "truncate"]

FAULTS: tuple[Fault, ...] = get_args(Fault)
PATHS: Mapping[Endpoint, str] = {
    "discovery": "/.well-known/openid-configuration",
    "jwks": "/.well-known/jwks.json",
    "token": "/token",
    "introspection": "/introspect",
    "revocation": "/revoke",
}
_RFC_8414 = "/.well-known/oauth-authorization-server"
_ASKED_BY_GET = frozenset({"discovery", "jwks"})


@dataclass(frozen=True, slots=True)
class Request:
    """The part of a request that a provider looks at."""

    method: str
    path: str
    authorization: str = field(default="", repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, who got it where, and what goes wrong on its way."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    endpoint: Endpoint | None = None
    client_id: str | None = None
    fault: Fault | None = None
    released: Event = field(default_factory=Event, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a provider knows, and what it can do, when it is asked."""

    issuer: str
    urls: Mapping[Endpoint, str]
    client: tuple[str, str] = field(repr=False)
    now: float
    keys: Sequence[TestKeys]
    facts: Callable[[str], Mapping[str, Any] | None] = field(repr=False)
    revoke: Callable[[str], None]
    issue: Callable[[Collection[str], str | None], str]


class _Refused(Exception):
    def __init__(self, status: int, error: str) -> None:
        self.status = status
        self.error = error


def reply_to(request: Request, desk: Desk) -> Reply:
    """What the provider answers, when nothing goes wrong."""
    endpoint = _endpoint_of(request.path)
    if endpoint is None:
        return Reply(404)
    if request.method != ("GET" if endpoint in _ASKED_BY_GET else "POST"):
        return Reply(405, endpoint=endpoint)
    if endpoint in _ASKED_BY_GET:
        document = _metadata(desk) if endpoint == "discovery" else _key_set(desk)
        return replace(_json(200, document), endpoint=endpoint)
    try:
        form = _form(request.body)
        client_id = _client_of(request, form, desk)
        return replace(_of_client(endpoint, form, desk), endpoint=endpoint, client_id=client_id)
    except _Refused as refusal:
        return replace(_json(refusal.status, {"error": refusal.error}), endpoint=endpoint)


def faulty(reply: Reply, fault: Fault | None, released: Event) -> Reply:
    """The reply as it goes wrong."""
    if fault == "500":
        return replace(_json(500, {"error": "server_error"}), endpoint=reply.endpoint)
    if fault == "garbage":
        return replace(reply, status=200, body=b"<html>It works!</html>")
    return replace(reply, fault=fault, released=released)


def _endpoint_of(path: str) -> Endpoint | None:
    """The endpoint at a path; what stands before it is where the provider is mounted."""
    if _RFC_8414 in path:
        return "discovery"
    return next((endpoint for endpoint, end in PATHS.items() if path.endswith(end)), None)


def _json(status: int, document: Mapping[str, Any]) -> Reply:
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    if status == 401:
        headers["www-authenticate"] = 'Basic realm="provider"'
    return Reply(status, json.dumps(document).encode(), headers)


def _metadata(desk: Desk) -> Mapping[str, Any]:
    return {
        "issuer": desk.issuer,
        "jwks_uri": desk.urls["jwks"],
        "token_endpoint": desk.urls["token"],
        "introspection_endpoint": desk.urls["introspection"],
        "revocation_endpoint": desk.urls["revocation"],
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }


def _key_set(desk: Desk) -> Mapping[str, Any]:
    return {"keys": [jwk for keys in desk.keys for jwk in keys.jwks()["keys"]]}


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, strict_parsing=bool(body))
    except ValueError:
        raise _Refused(400, "invalid_request") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise _Refused(400, "invalid_request")  # RFC 6749, 3.2: no parameter more than once
    return form


def _client_of(request: Request, form: Mapping[str, str], desk: Desk) -> str:
    """The client that asks, which must prove itself in the header or in the body, and not in both."""
    in_header, in_body = bool(request.authorization), "client_secret" in form
    if in_header and in_body:
        raise _Refused(400, "invalid_request")
    proofs = (
        _basic(request.authorization) if in_header else [(form.get("client_id", ""), form.get("client_secret", ""))]
    )
    if desk.client not in proofs:
        raise _Refused(401, "invalid_client")
    return desk.client[0]


def _basic(authorization: str) -> Sequence[tuple[str, str]]:
    """The id and the secret of a Basic header, read with and without the form encoding of RFC 6749, 2.3.1."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        pair = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return []
    client_id, colon, secret = pair.partition(":")
    if scheme.lower() != "basic" or not colon:
        return []
    return [(client_id, secret), (unquote_plus(client_id), unquote_plus(secret))]


def _of_client(endpoint: Endpoint, form: Mapping[str, str], desk: Desk) -> Reply:
    if endpoint == "token":
        return _access_token(form, desk)
    if "token" not in form:
        raise _Refused(400, "invalid_request")
    if endpoint == "introspection":
        return _json(200, _introspected(desk.facts(form["token"]), now=desk.now))
    desk.revoke(form["token"])
    return Reply(200)  # RFC 7009, 2.2: also for a token that nobody knows


def _introspected(facts: Mapping[str, Any] | None, *, now: float) -> Mapping[str, Any]:
    """What is said of a token (RFC 7662, 2.2); nothing but that it is not active, if it is not."""
    if facts is None or facts.get("active") is False or _has_ended(facts.get("exp"), now):
        return {"active": False}
    return facts


def _has_ended(ends_at: object, now: float) -> bool:
    return isinstance(ends_at, (int, float)) and now >= ends_at


def _access_token(form: Mapping[str, str], desk: Desk) -> Reply:
    if form.get("grant_type") != "client_credentials":
        raise _Refused(400, "unsupported_grant_type")
    token = desk.issue(form.get("scope", "").split(), form.get("resource") or form.get("audience"))
    facts = desk.facts(token) or {}
    granted = {"scope": facts["scope"]} if "scope" in facts else {}
    return _json(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600, **granted})
