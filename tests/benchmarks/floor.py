"""The floor: a minimal hand-written verifier that checks what bearerguard checks, and no more.

It is a measure, not a library. One algorithm, one key, one issuer, one audience, fixed at the start; no settings, no
rotation, no events, no store but a dict. What it refuses, it refuses for the same reasons as bearerguard does, so
its time is what the checks themselves cost.
"""

from __future__ import annotations

import binascii
import json
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Claims = Mapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
SignatureCheck = Callable[[bytes, bytes], None]
"""InvalidSignature unless the first argument signs the second."""

LEEWAY_SECONDS = 10
MOST_BYTES = 8192
MOST_SEEN = 10_000
LATEST_MOMENT = 253_402_300_799  # the end of the year 9999
TYPES = frozenset((None, "jwt", "at+jwt", "application/jwt", "application/at+jwt"))

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TOKEN_ALPHABET = _ALPHABET + b"."
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_PADDING = {0: b"", 2: b"==", 3: b"="}
_CANONICAL_ENDS = {0: _ALPHABET, 2: b"AQgw", 3: b"AEIMQUYcgkosw048"}

current_claims: ContextVar[Claims | None] = ContextVar("floor_claims", default=None)


class Refused(Exception):
    """The request is not let in."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Seen(NamedTuple):
    """What is kept of a token that was verified once."""

    claims: Claims
    token_id: str
    valid_from: float
    dies_at: float


def signature_check(algorithm: str, key: object) -> SignatureCheck:
    """The bare cryptography of `algorithm`, with all that can be prepared once prepared."""
    if algorithm == "HS256" and isinstance(key, str):
        return _hmac_check(HMAC(key.encode(), SHA256()))
    if algorithm == "RS256" and isinstance(key, rsa.RSAPublicKey):
        return _rsa_check(key)
    if algorithm == "EdDSA" and isinstance(key, ed25519.Ed25519PublicKey):
        return key.verify
    raise ValueError(f"no such key for {algorithm}")


def _hmac_check(prepared: HMAC) -> SignatureCheck:
    def check(signature: bytes, data: bytes) -> None:
        mac = prepared.copy()
        mac.update(data)
        mac.verify(signature)

    return check


def _rsa_check(key: rsa.RSAPublicKey) -> SignatureCheck:
    verify, padding, digest = key.verify, PKCS1v15(), SHA256()

    def check(signature: bytes, data: bytes) -> None:
        verify(signature, data, padding, digest)

    return check


class Floor(Protocol):
    """Whoever can stand behind the floor's doors."""

    def verify(self, token: bytes, /) -> Claims:
        """The claims of a token; `Refused` for a bad one."""
        ...


class FloorVerifier:
    """One algorithm, one key, one issuer, one audience; a table of tokens seen before; a denylist."""

    def __init__(self, algorithm: str, check: SignatureCheck, *, issuer: str, audience: str) -> None:
        self._algorithm = algorithm
        self._check = check
        self._issuer = issuer
        self._audience = audience
        self.denied: dict[str, float] = {}
        # Two generations bound the table without looking for the oldest entry: deleting the first key of a dict over
        # and over makes each search for the next first key longer.
        self._young: dict[bytes, Seen] = {}
        self._old: dict[bytes, Seen] = {}

    def verify(self, token: bytes) -> Claims:
        """The claims of `token`; what time and revocation can change is checked on every call."""
        now = time.time()
        mark = sha256(token).digest()
        seen = self._young.get(mark) or self._old.get(mark)
        if seen is None:
            seen = self._first_sight(token, now)
            self._keep(mark, seen)
        elif not seen.valid_from <= now < seen.dies_at:
            raise Refused(401, "the token's time is over")
        denied_until = self.denied.get(seen.token_id)
        if denied_until is not None and denied_until > now:
            raise Refused(401, "the token has been revoked")
        return seen.claims

    def _keep(self, mark: bytes, seen: Seen) -> None:
        if len(self._young) >= MOST_SEEN // 2:
            self._old, self._young = self._young, {}
        self._young[mark] = seen

    def _first_sight(self, token: bytes, now: float) -> Seen:
        if len(token) > MOST_BYTES or token.translate(None, _TOKEN_ALPHABET):
            raise Refused(401, "too large, or a letter that is not base64url")
        try:
            head, body, signature = token.split(b".")
            self._check_header(json_object(_decoded(head)))
            self._check(_decoded(signature), token[: len(head) + len(body) + 1])
            return self._read(json_object(_decoded(body)), now)
        except InvalidSignature as error:
            raise Refused(401, "the signature does not fit") from error
        except (ValueError, RecursionError) as error:
            raise Refused(401, "not three clean segments") from error

    def _check_header(self, header: Claims) -> None:
        if header.get("alg") != self._algorithm or "crit" in header:
            raise Refused(401, "another algorithm, or a critical extension")
        typ = header.get("typ")
        if (typ.lower() if isinstance(typ, str) else typ) not in TYPES:
            raise Refused(401, "another type of token")

    def _read(self, claims: dict[str, Any], now: float) -> Seen:
        dies_at = moment(claims, "exp") + LEEWAY_SECONDS
        valid_from = max(moment(claims, "nbf"), moment(claims, "iat")) - LEEWAY_SECONDS
        if not valid_from <= now < dies_at:
            raise Refused(401, "expired, or not yet valid")
        if claims.get("iss") != self._issuer or not names(claims.get("aud"), self._audience):
            raise Refused(401, "issued by or for somebody else")
        if "cnf" in claims or claims.get("token_type", "Bearer") != "Bearer":
            raise Refused(401, "bound to a key")
        token_id = claims.get("jti")
        if not isinstance(token_id, str) or not 0 < len(token_id) <= 256:
            raise Refused(401, "no usable id")
        return Seen(MappingProxyType(claims), token_id, valid_from, dies_at)


def _decoded(segment: bytes) -> bytes:
    rest = len(segment) % 4
    if rest == 1 or not segment or segment[-1] not in _CANONICAL_ENDS[rest]:
        raise ValueError("not canonical base64url")
    return binascii.a2b_base64(segment.translate(_TO_STANDARD) + _PADDING[rest])


def json_object(data: bytes) -> dict[str, Any]:
    """A strict JSON object: no duplicate names, not deep, nothing but JSON's own numbers; else ValueError."""
    if data.count(b"{") + data.count(b"[") > 32:
        raise ValueError("nested too deeply")
    value = _decode_json(data.decode())
    if type(value) is not dict:
        raise ValueError("not an object")
    if b"\\u" in data:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate name")
    return members


def _no_constant(_: str) -> NoReturn:
    raise ValueError("not a JSON number")


_decode_json = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant).decode


def moment(claims: Claims, name: str) -> float:
    """A claim that is a point in time."""
    value = claims.get(name)
    if (type(value) is int or (type(value) is float and math.isfinite(value))) and 0 <= value <= LATEST_MOMENT:
        return value
    raise Refused(401, f"no usable {name}")


def names(audience: object, wanted: str) -> bool:
    """Whether the `aud` claim names `wanted`."""
    if isinstance(audience, list):
        return wanted in audience and all(type(one) is str for one in audience)
    return audience == wanted


_REFUSAL_BODY = b'{"error":"invalid_token","detail":"the token is not valid"}'
_REFUSAL_HEADERS = (
    ("content-type", "application/json"),
    ("content-length", str(len(_REFUSAL_BODY))),
    ("cache-control", "no-store"),
    ("www-authenticate", 'Bearer error="invalid_token"'),
)


class AsgiFloor:
    """The floor in front of an ASGI app."""

    def __init__(self, app: ASGIApp, verifier: Floor) -> None:
        self.app = app
        self.verifier = verifier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        try:
            claims = self.verifier.verify(_asgi_token(scope["headers"]))
        except Refused as refusal:
            return await _refuse(send, refusal)
        scope["floor"] = claims
        before = current_claims.set(claims)
        try:
            await self.app(scope, receive, send)
        finally:
            current_claims.reset(before)


def _asgi_token(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    found = [value for name, value in headers if name == b"authorization"]
    if not found:
        raise Refused(401, "no credentials")
    if len(found) > 1:
        raise Refused(400, "several credentials")
    scheme, _, token = found[0].partition(b" ")
    if scheme.lower() != b"bearer":
        raise Refused(401, "another scheme")
    return token


async def _refuse(send: Send, refusal: Refused) -> None:
    headers = [(name.encode(), value.encode()) for name, value in _REFUSAL_HEADERS]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": _REFUSAL_BODY})


class WsgiFloor:
    """The floor in front of a WSGI app."""

    def __init__(self, app: WSGIApplication, verifier: Floor) -> None:
        self.app = app
        self.verifier = verifier

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            claims = self.verifier.verify(_wsgi_token(environ))
        except Refused as refusal:
            start_response(f"{refusal.status} Refused", list(_REFUSAL_HEADERS))
            return [_REFUSAL_BODY]
        environ["floor"] = claims
        current_claims.set(claims)
        try:
            return _Closing(self.app(environ, start_response), claims)
        except BaseException:
            _forget(claims)
            raise


class _Closing:
    """A response that keeps the claims current until it is closed, streamed bodies included."""

    __slots__ = ("_body", "_claims")

    def __init__(self, body: Iterable[bytes], claims: Claims) -> None:
        self._body = body
        self._claims = claims

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            _forget(self._claims)


def _forget(claims: Claims) -> None:
    if current_claims.get() is claims:
        current_claims.set(None)


def _wsgi_token(environ: WSGIEnvironment) -> bytes:
    header = environ.get("HTTP_AUTHORIZATION")
    if header is None:
        raise Refused(401, "no credentials")
    # A server that met the header twice joins the values with a comma.
    if "," in header or not header.isascii():
        raise Refused(400, "several credentials")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Refused(401, "another scheme")
    return token.encode()  # type: ignore[no-any-return]
