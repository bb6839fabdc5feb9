"""The floor is only a fair measure while it refuses what bearerguard refuses."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from .floor import FloorVerifier, Refused, signature_check
from .tokens import ALGORITHMS, AUDIENCE, ISSUER, shared_secret, signer

HEADER = {"alg": "HS256", "typ": "JWT"}


def at(seconds: int) -> int:
    """So many seconds from now."""
    return int(time.time()) + seconds


def claims() -> dict[str, Any]:
    return {"iss": ISSUER, "aud": AUDIENCE, "iat": at(0), "nbf": at(0), "exp": at(600), "jti": "one"}


def floor(algorithm: str = "HS256") -> FloorVerifier:
    key = signer(algorithm).public
    return FloorVerifier(algorithm, signature_check(algorithm, key), issuer=ISSUER, audience=AUDIENCE)


def signed(header: str, payload: str) -> bytes:
    data = b".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=") for part in (header, payload))
    secret = str(shared_secret().public).encode()
    return data + b"." + base64.urlsafe_b64encode(hmac.digest(secret, data, "sha256")).rstrip(b"=")


def token(header: dict[str, Any] | None = None, **changed: Any) -> bytes:
    return signed(json.dumps(HEADER | (header or {})), json.dumps(claims() | changed))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_floor_takes_a_good_token_twice(algorithm: str) -> None:
    verifier = floor(algorithm)
    good = signer(algorithm).token().encode()
    assert verifier.verify(good)["iss"] == ISSUER
    assert verifier.verify(good) is verifier.verify(good)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_floor_keeps_out_what_every_contestant_must(algorithm: str) -> None:
    verifier = floor(algorithm)
    for _, bad in signer(algorithm).bad_tokens():
        with pytest.raises(Refused):
            verifier.verify(bad.encode())


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: token({"alg": "none"}), id="alg none"),
        pytest.param(lambda: token({"alg": "RS256"}), id="another alg"),
        pytest.param(lambda: token({"crit": ["exp"]}), id="crit"),
        pytest.param(lambda: token({"typ": "logout+jwt"}), id="another typ"),
        pytest.param(lambda: token({"typ": 1}), id="a typ that is no string"),
        pytest.param(lambda: token(exp=at(-11)), id="expired"),
        pytest.param(lambda: token(nbf=at(60)), id="not yet valid"),
        pytest.param(lambda: token(iat=at(60)), id="issued in the future"),
        pytest.param(lambda: token(exp=True), id="exp is a boolean"),
        pytest.param(lambda: token(exp=str(at(600))), id="exp is a string"),
        pytest.param(lambda: token(exp=10**400), id="exp has 400 digits"),
        pytest.param(lambda: token(aud=[AUDIENCE, 1]), id="an audience that is no string"),
        pytest.param(lambda: token(aud=[]), id="no audience"),
        pytest.param(lambda: token(jti=""), id="an empty id"),
        pytest.param(lambda: token(jti="x" * 257), id="a long id"),
        pytest.param(lambda: token(cnf={"jkt": "x"}), id="bound to a key"),
        pytest.param(lambda: token(token_type="DPoP"), id="another token type"),
        pytest.param(lambda: token(deep=[[[[[[[]]]]]]] * 8), id="deep"),
        pytest.param(lambda: token(fill="x" * 9000), id="large"),
        pytest.param(lambda: token()[:-1] + b"_", id="trailing bits"),
        pytest.param(lambda: token() + b"=", id="padding"),
        pytest.param(lambda: token() + b".", id="four segments"),
        pytest.param(lambda: token().replace(b".", b"..", 1), id="an empty segment"),
        pytest.param(lambda: b"", id="nothing"),
        pytest.param(
            lambda: signed('{"alg":"HS256","alg":"HS256"}', json.dumps(claims())), id="a duplicate header name"
        ),
        pytest.param(
            lambda: signed(json.dumps(HEADER), json.dumps(claims())[:-1] + ',"jti":"two"}'), id="a duplicate claim"
        ),
        pytest.param(lambda: signed(json.dumps(HEADER), json.dumps(claims())[:-1] + ',"x":NaN}'), id="NaN"),
        pytest.param(
            lambda: signed(json.dumps(HEADER), json.dumps(claims())[:-1] + ',"x":"\\ud800"}'), id="a lone surrogate"
        ),
        pytest.param(lambda: signed(json.dumps(HEADER), "[]"), id="a payload that is no object"),
        pytest.param(lambda: signed(json.dumps(HEADER), "\ufeff" + json.dumps(claims())), id="a BOM"),
    ],
)
def test_the_floor_refuses(made: Callable[[], bytes]) -> None:
    bad = made()
    with pytest.raises(Refused):
        floor().verify(bad)


def test_the_floor_checks_the_denylist_on_every_hit() -> None:
    verifier, good = floor(), token()
    verifier.verify(good)
    verifier.denied["one"] = at(600)
    with pytest.raises(Refused):
        verifier.verify(good)


def test_the_floor_checks_the_time_on_every_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier, good = floor(), token()
    verifier.verify(good)
    later = at(611)
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(Refused):
        verifier.verify(good)


def test_the_floors_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.benchmarks.floor.MOST_SEEN", 10)
    verifier = floor()
    for number in range(50):
        verifier.verify(token(jti=str(number)))
    assert len(verifier._young) + len(verifier._old) <= 10
