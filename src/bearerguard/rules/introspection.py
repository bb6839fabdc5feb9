"""Asking a provider about an opaque token: what is sent, which answers are believed, which claims are accepted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from hashlib import sha256
from typing import Any

from ..claims import Claims
from ..encoding import has_three_segments, strict_json_object
from ..errors import InvalidRequest, InvalidToken
from ..settings import OpaqueTokens
from .acceptance import check_time, claims_of, time_claim
from .client_auth import Form, client_form
from .credentials import check_token68

SHORTEST_SECRET = 16

# What servers call the tokens that are none for an API, although they are active.
_USES = frozenset({"access", "access_token"})
_OTHER_TYPES = frozenset({"id", "refresh", "offline", "logout"})
_ONLY_IN_ID_TOKENS = ("at_hash", "c_hash")


def introspection_form(token: str, settings: OpaqueTokens, secret: bytes) -> Form:
    """The question (RFC 7662, section 2.1)."""
    fields = {"token": token}
    if settings.token_type_hint is not None:
        fields["token_type_hint"] = settings.token_type_hint
    return client_form(fields, client_id=settings.client_id, secret=secret, client_auth=settings.client_auth)


def facts_of(body: bytes, token: str) -> dict[str, Any] | None:
    """What the provider says of an active token; None for one that is not. ValueError for an answer that is neither.

    A provider that repeats the token is not taken at its word: the token itself is kept nowhere.
    """
    answer = strict_json_object(body)
    active = answer.pop("active", None)
    if active is False:
        return None
    if active is not True:
        raise ValueError("the answer does not say whether the token is active")
    facts: dict[str, Any] = _without(token, answer)
    return facts


def _without(token: str, value: Any) -> Any:
    if type(value) is dict:
        left = {name: member for name, member in value.items() if not (_has(token, name) or _has(token, member))}
        return {name: _without(token, member) for name, member in left.items()}
    return [_without(token, item) for item in value if not _has(token, item)] if type(value) is list else value


def _has(token: str, value: object) -> bool:
    """Whether a text is the token, or has it inside; a token so short that any text may have it is no secret."""
    return isinstance(value, str) and (value == token or (len(token) >= SHORTEST_SECRET and token in value))


def check_shape(token: bytes, settings: OpaqueTokens) -> None:
    """InvalidToken for what cannot be a token of this kind, so that nobody is asked about it."""
    if len(token) > settings.max_bytes:
        raise InvalidToken("too_large")
    try:
        check_token68(token)
    except InvalidRequest:
        raise InvalidToken("malformed", detail="the token has letters that no bearer token has") from None
    if settings.pattern is not None and not settings.pattern.fullmatch(token.decode("ascii")):  # type: ignore[union-attr]
        raise InvalidToken("malformed", detail="the token does not look like one of this kind: it does not fit pattern")


def accepted_facts(
    facts: Mapping[str, Any], settings: OpaqueTokens, *, token: bytes, now: float
) -> tuple[Claims, float, float]:
    """The claims that the provider's facts make under `settings`, and from when and until when they are good.

    InvalidToken names the first rule that they break. An `iat` is no rule: the provider's own clock says that its token
    is active.
    """
    values = with_issuer(facts, settings)
    check_is_access_token(values)
    starts_at, dies_at = life(values, settings.leeway)
    check_time(starts_at, dies_at, now=now)
    if settings.clients is not None:
        check_client(values.get("client_id"), settings.clients)
    signed = None if "jti" in values else sha256(_signing_input(token)).digest()
    return claims_of(values, settings, "aud", signed), starts_at, dies_at


def with_issuer(facts: Mapping[str, Any], settings: OpaqueTokens) -> dict[str, Any]:
    """The facts; where they name no issuer, it is the one that was asked."""
    values = dict(facts)
    if values.get("iss") is None and isinstance(settings.issuer, str):
        values["iss"] = settings.issuer
    return values


def check_client(client_id: object, clients: AbstractSet[str]) -> None:
    """InvalidToken unless the token was given to one of these clients."""
    if not isinstance(client_id, str) or client_id not in clients:
        raise InvalidToken("wrong_audience")


def check_is_access_token(values: Mapping[str, Any]) -> None:
    """InvalidToken for what the provider says is a refresh token or an ID token."""
    use, typ = values.get("token_use", "access"), values.get("typ", "")
    named_other = isinstance(typ, str) and typ.lower() in _OTHER_TYPES
    if (
        not isinstance(use, str)
        or use not in _USES
        or named_other
        or any(name in values for name in _ONLY_IN_ID_TOKENS)
    ):
        raise InvalidToken("other_token_type")


def life(values: Mapping[str, Any], leeway: float) -> tuple[float, float]:
    """From when and until when a token with these facts is good, leeway and all."""
    expires, starts = time_claim(values, "exp"), time_claim(values, "nbf")
    time_claim(values, "iat")
    return (
        -math.inf if starts is None else starts - leeway,
        math.inf if expires is None else math.floor(expires) + leeway,
    )


def _signing_input(token: bytes) -> bytes:
    """What tells the token from all others: of three segments the first two, for a signature has many spellings."""
    return token.rpartition(b".")[0] if has_three_segments(token) else token


def seconds_to_keep(facts: Mapping[str, Any], *, at_most: float, sent_at: float) -> float:
    """For how long after the question was sent its answer may be remembered."""
    expires = time_claim(facts, "exp")
    return at_most if expires is None else max(0.0, min(at_most, expires - sent_at))
