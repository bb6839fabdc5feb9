"""The floor of opaque tokens is only a fair measure while it refuses what bearerguard refuses."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from .floor import Refused
from .floor_opaque import OpaqueFloor
from .tokens import AUDIENCE, ISSUER

GOOD = {"active": True, "iss": ISSUER, "aud": AUDIENCE, "jti": "one", "token_type": "Bearer"}


class Provider:
    """A provider that says the same of every token."""

    def __init__(self, body: str | None = None, **changed: Any) -> None:
        self.asked = 0
        self.body = body or json.dumps(GOOD | {"exp": at(600)} | changed)

    def __call__(self, _: bytes) -> bytes:
        self.asked += 1
        return self.body.encode()


def at(seconds: int) -> int:
    """So many seconds from now."""
    return int(time.time()) + seconds


def floor(provider: Provider) -> OpaqueFloor:
    return OpaqueFloor(provider, issuer=ISSUER, audience=AUDIENCE)


def test_the_floor_asks_once() -> None:
    provider = Provider()
    verifier = floor(provider)
    assert verifier.verify(b"one") is verifier.verify(b"one")
    assert provider.asked == 1


@pytest.mark.parametrize(
    "provider",
    [
        pytest.param(Provider(active=False), id="not active"),
        pytest.param(Provider(active="true"), id="active is a string"),
        pytest.param(Provider(exp=at(-1)), id="expired"),
        pytest.param(Provider(exp=str(at(600))), id="exp is a string"),
        pytest.param(Provider(nbf=at(86_400)), id="not yet valid"),
        pytest.param(Provider(iss="https://elsewhere.example.com"), id="issued by somebody else"),
        pytest.param(Provider(aud="https://elsewhere.example.com"), id="issued for somebody else"),
        pytest.param(Provider(aud=None), id="issued for nobody"),
        pytest.param(Provider(cnf={"jkt": "x"}), id="bound to a key"),
        pytest.param(Provider(token_type="refresh_token"), id="another type"),
        pytest.param(Provider(jti=""), id="an empty id"),
        pytest.param(Provider("<!doctype html>"), id="no JSON"),
        pytest.param(Provider('{"active":true,"active":true}'), id="a duplicate name"),
        pytest.param(Provider("[true]"), id="no object"),
    ],
)
def test_the_floor_refuses(provider: Provider) -> None:
    with pytest.raises(Refused):
        floor(provider).verify(b"one")


@pytest.mark.parametrize("token", [b"", b"==", b"a b", b"a=b", b"\xff", b"x" * 9000])
def test_the_floor_asks_nobody_about_what_is_no_token(token: bytes) -> None:
    provider = Provider()
    with pytest.raises(Refused):
        floor(provider).verify(token)
    assert provider.asked == 0


def test_the_floor_checks_the_denylist_on_every_hit() -> None:
    verifier = floor(Provider())
    verifier.verify(b"one")
    verifier.denied["one"] = at(600)
    with pytest.raises(Refused):
        verifier.verify(b"one")


@pytest.mark.parametrize("clock", ["time", "monotonic"])
def test_the_floor_asks_again_after_a_minute_by_either_clock(clock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider()
    verifier = floor(provider)
    verifier.verify(b"one")
    later = getattr(time, clock)() + 61
    monkeypatch.setattr(time, clock, lambda: later)
    verifier.verify(b"one")
    assert provider.asked == 2


def test_the_floor_never_remembers_a_token_past_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider(exp=at(10))
    verifier = floor(provider)
    verifier.verify(b"one")
    later = at(11)
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(Refused):
        verifier.verify(b"one")
