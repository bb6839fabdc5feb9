"""The floor of an answer in Redis must check what bearerguard checks of one, or it would be no measure."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from bearerguard import OpaqueTokens
from bearerguard.rules.introspection_entries import Answer, EntryKeys
from bearerguard.rules.revocation import denial_names, token_identity

from .floor import Refused
from .floor_opaque import OpaqueFloor
from .floor_redis import RedisFloor
from .tokens import AUDIENCE, ISSUER, claims

ENDPOINT = "https://platform.example.com/introspect"
KIND = OpaqueTokens(
    issuer=ISSUER,
    client_id="orders",
    client_secret="a secret that is long enough to share",
    audience=AUDIENCE,
    introspection_endpoint=ENDPOINT,
    tenant="tenant",
    user="sub",
)
KEYS = EntryKeys(KIND, ENDPOINT)
COMMAND = ("EVALSHA", "digest", "1", "bearerguard:{bearerguard}:i:some", "claim", "2000")
TOKEN = "opaque-token"


def floor() -> RedisFloor:
    return RedisFloor(KIND, ENDPOINT, COMMAND, OpaqueFloor(lambda _: b"", issuer=ISSUER, audience=AUDIENCE))


def entry(facts: dict[str, Any], *, token: str = TOKEN, sent_at: float | None = None, user: str | None = None) -> str:
    name = KEYS.name(sha256(token.encode()).digest())
    identity = token_identity(KIND.vouched_by, facts["jti"])
    names = denial_names(KIND.vouched_by, identity, user=user or facts["sub"], tenant=facts["tenant"])
    return KEYS.entry(name, Answer(facts, time.time() - 1 if sent_at is None else sent_at, 60), names)


def reply(entry: str, *, left: int = 50_000, epoch: str = "1|0|first|7") -> bytes:
    return f"{left} {len(epoch)} {epoch}{entry}".encode()


def test_asks_for_the_entry_of_the_token_as_bearerguard_does() -> None:
    name = KEYS.name(sha256(TOKEN.encode()).digest())
    assert floor().command(TOKEN) == ("EVALSHA", "digest", "1", f"bearerguard:{{bearerguard}}:{name}", "claim", "2000")


@pytest.mark.parametrize("epoch", ["1|0|first|7", ""])
def test_lets_in_whom_the_entry_speaks_for(epoch: str) -> None:
    facts = claims()
    assert dict(floor().claims(TOKEN, reply(entry(facts), epoch=epoch))) == facts


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda facts: reply(entry(facts)[:-2]), id="forged"),
        pytest.param(lambda facts: reply(entry(facts, token="another")), id="another token's"),
        pytest.param(lambda facts: reply(entry(facts, sent_at=time.time() - 61)), id="too old"),
        pytest.param(lambda facts: reply(entry(facts, sent_at=time.time() + 60)), id="from the future"),
        pytest.param(lambda facts: reply(entry(facts), left=0), id="over"),
        pytest.param(lambda facts: reply(entry(facts, user="somebody else")), id="other names"),
        pytest.param(lambda facts: reply(entry(facts | {"aud": "https://elsewhere.example.com"})), id="for another"),
        pytest.param(lambda facts: [reply(entry(facts)), b"1|0"], id="revoked"),
        pytest.param(lambda facts: [1, b"1|0|first|7", 0], id="no entry"),
    ],
)
def test_keeps_everybody_else_out(made: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises((Refused, ValueError)):
        floor().claims(TOKEN, made(claims()))
