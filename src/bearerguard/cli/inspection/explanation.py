"""What each rule of the settings says of a token, in the order in which the verifier asks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ...errors import InvalidToken
from ...rules.introspection import check_client, check_is_access_token, check_shape, with_issuer
from ...rules.introspection import life as life_of_facts
from ...rules.jws import JoseHeader, jose_header, json_segment, taken_apart
from ...rules.jwt_claims import check_lifetime, check_required
from ...rules.jwt_claims import life as life_of_claims
from ...rules.routing import check_is_for, kind_for
from ...settings import Kind, OpaqueTokens, SignedTokens
from ..paper import quoted
from .explained_claims import Values, found_of, leave_last_open, take_claims, take_life, take_times
from .steps import PROVIDER_WORDS, STORE_WORDS, Step, Trail
from .wording import rule_in_words

_SIGNATURE_WORDS = PROVIDER_WORDS | {"bad_signature", "unknown_key"}
_CLAIM_WORDS = frozenset(
    [
        *("other_token_type", "missing_claim", "bad_claim", "expired", "not_yet_valid", "wrong_issuer"),
        *("wrong_audience", "sender_constrained", "rule_failed"),
    ]
)


def explained(
    token: bytes, kinds: Sequence[Kind], *, named: str | None, facts: Mapping[str, Any] | None, now: float
) -> tuple[Kind | None, Sequence[Step]]:
    """The kind that the token is judged as, and what each of its rules says; `facts` are the provider's, if known."""
    trail = Trail()
    among = [kind for kind in kinds if named in (None, kind.name)]
    kind = _take_route(trail, token, among, beside_signed=any(isinstance(kind, SignedTokens) for kind in kinds))
    if isinstance(kind, SignedTokens):
        _take_signed(trail, token, kind, now)
    elif kind is not None:
        _take_opaque(trail, token, kind, facts, now)
    return kind, trail.steps


# --- Which kind it is ------------------------------------------------------------------------------------------------


def _take_route(trail: Trail, token: bytes, kinds: Sequence[Kind], *, beside_signed: bool) -> Kind | None:
    most = max(kind.max_bytes for kind in kinds)
    fits = trail.take("size", f"it has at most {most} bytes", partial(_check_size, token), most)
    kind: Kind | None = kinds[0]
    if len(kinds) > 1:
        asks = f"it can be one of {', '.join(kind.name for kind in kinds)}"
        kind = trail.take("kind", asks, lambda _: _kind_of(token, kinds), fits)
    if isinstance(kind, OpaqueTokens) and beside_signed:
        asks = "no signed token is shown to the provider of opaque ones"
        trail.take("route", asks, lambda kind: check_is_for(kind, token), kind)
    return kind


def _check_size(token: bytes, most: int) -> bool:
    if len(token) > most:
        raise InvalidToken("too_large")
    return True


def _kind_of(token: bytes, kinds: Sequence[Kind]) -> Kind:
    kind = kind_for(token, kinds)
    _check_size(token, kind.max_bytes)
    return kind


# --- Signed tokens ---------------------------------------------------------------------------------------------------


def _take_signed(trail: Trail, token: bytes, kind: SignedTokens, now: float) -> None:
    text = trail.take("shape", "it is three clean base64url segments", taken_apart, token)
    _take_header(trail, text, kind)
    trail.leave_open("signature", "a key of the settings verifies the signature", _SIGNATURE_WORDS)
    values = _take_payload(trail, text, kind)
    for name in kind.required:
        test = partial(_check_there, name)
        trail.take(f"required.{name}", f"{name} is there", test, values, found=found_of(values, name))
    life = _take_lifetime(trail, values, kind)
    take_life(trail, values, life, leeway=kind.leeway, ahead=kind.ahead, now=now)
    take_claims(trail, values, kind, kind.audience_claim)


def _take_header(trail: Trail, text: Any, kind: SignedTokens) -> None:
    asks = "the header is strict JSON that asks for nothing unusual"
    header: JoseHeader | None = trail.take("header", asks, lambda text: jose_header(text.header), text)
    trail.take(
        "algorithm",
        f"alg is {' or '.join(kind.algorithms)}",
        lambda header: _check_algorithm(header, kind),
        header,
        found=lambda: "" if header is None else f"it is {quoted(header.algorithm)}",
    )
    if kind.typ is not None:
        trail.take("typ", f"typ is {kind.typ}", lambda header: _check_typ(header, kind), header)


def _check_algorithm(header: JoseHeader, kind: SignedTokens) -> None:
    if header.algorithm not in kind.algorithms:
        raise InvalidToken("bad_algorithm")


def _check_typ(header: JoseHeader, kind: SignedTokens) -> None:
    if header.typ != kind.typ:
        raise InvalidToken("bad_type")


def _take_payload(trail: Trail, text: Any, kind: SignedTokens) -> Values:
    values: Values = trail.take("payload", "the payload is strict JSON", lambda text: json_segment(text.payload), text)
    if values is None:
        return None
    return {name: value for name, value in values.items() if value is not None or name not in kind.nullable}


def _check_there(name: str, values: Mapping[str, Any]) -> None:
    check_required(values, (name,))


def _take_lifetime(trail: Trail, values: Values, kind: SignedTokens) -> tuple[float, float] | None:
    times = take_times(trail, values)
    if kind.max_lifetime is not None:
        asks = f"it lives for {kind.max_lifetime:g} s at most"
        times = trail.take("lifetime", asks, partial(_check_lifetime, kind.max_lifetime), times)
    if kind.max_age is not None:
        times = trail.take("age", f"iat says when its {kind.max_age:g} s began", _check_has_iat, times)
    return None if times is None or values is None else life_of_claims(values, kind)


def _check_lifetime(longest: float, times: Sequence[float | None]) -> Sequence[float | None]:
    check_lifetime(times[0], times[1], longest)
    return times


def _check_has_iat(times: Sequence[float | None]) -> Sequence[float | None]:
    if times[1] is None:
        raise InvalidToken("missing_claim")
    return times


# --- Opaque tokens ---------------------------------------------------------------------------------------------------


def _take_opaque(trail: Trail, token: bytes, kind: OpaqueTokens, facts: Mapping[str, Any] | None, now: float) -> None:
    looks = "" if kind.pattern is None else f", and {rule_in_words(kind.pattern)}"
    asks = f"it has the letters of a bearer token, {kind.max_bytes} at most{looks}"
    trail.take("shape", asks, lambda token: check_shape(token, kind), token)
    says = PROVIDER_WORDS | {"inactive"} | (STORE_WORDS if facts is None else frozenset())
    trail.leave_open("provider", "the provider says that it is active", says)
    if facts is None:
        trail.leave_open("claims", "what the provider says of it keeps all other rules", _CLAIM_WORDS)
        leave_last_open(trail, kind)
    else:
        _take_facts(trail, with_issuer(facts, kind), kind, now)


def _take_facts(trail: Trail, values: dict[str, Any], kind: OpaqueTokens, now: float) -> None:
    trail.take("sort", "it is an access token, and no refresh or ID token", check_is_access_token, values)
    times = take_times(trail, values)
    life = None if times is None else life_of_facts(values, kind.leeway)
    take_life(trail, values, life, leeway=kind.leeway, ahead=None, now=now)
    if kind.clients is not None:
        asks, found = f"client_id {rule_in_words(kind.clients)}", found_of(values, "client_id")
        trail.take("client", asks, partial(_check_client, kind), values, found=found)
    take_claims(trail, values, kind, "aud")


def _check_client(kind: OpaqueTokens, values: Mapping[str, Any]) -> None:
    check_client(values.get("client_id"), kind.clients or frozenset())
