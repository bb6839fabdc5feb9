"""Whatever is accepted here, PyJWT accepts too, and reads the same in it; the exceptions have names.

The tokens are signed well, so that it is never the signature that refuses them.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.exceptions import InvalidSubjectError

from bearerguard import AuthError, SharedSecrets, SignedTokens, StaticKeys, Verifier
from bearerguard.encoding import from_base64url
from tests.hostile import AUDIENCE, ISSUER, NOW, Clock, claims, key_of, sealed
from tests.minting import SECRET, SigningKey, base64url, mint, public_jwk

SECOND_ISSUER = "https://second.example.com"
SECOND_AUDIENCE = "https://billing.example.com"

ALGORITHMS = ("HS256", "RS256", "ES256", "EdDSA")


# --- What ours may accept beyond PyJWT -------------------------------------------------------------------------------

Values = dict[str, Any]


def _under_its_other_name(error: Exception, header: Values, _: Values) -> bool:
    """RFC 9864's name for EdDSA, which PyJWT does not know."""
    return isinstance(error, jwt.InvalidAlgorithmError) and header["alg"] == "Ed25519"


def _with_a_null_subject(error: Exception, _: Values, values: Values) -> bool:
    return isinstance(error, InvalidSubjectError) and values["sub"] is None


def _issued_a_little_later(error: Exception, _: Values, values: Values) -> bool:
    is_about_iat = isinstance(error, jwt.ImmatureSignatureError) and "(iat)" in str(error)
    return is_about_iat and NOW + 10 < values["iat"] <= NOW + 30


@dataclass(frozen=True)
class Side:
    """Our settings beyond the plain ones, and the exceptions that they make, by name."""

    changes: Values
    exceptions: Mapping[str, Callable[[Exception, Values, Values], bool]]


OTHER_NAME = {"the name Ed25519": _under_its_other_name}
SIDES = {
    "plain": Side({}, OTHER_NAME),
    "a subject that may be null": Side({"nullable": {"sub"}}, OTHER_NAME | {"a null subject": _with_a_null_subject}),
    "a leeway for iat alone": Side({"iat_leeway": 30}, OTHER_NAME | {"a later iat": _issued_a_little_later}),
}


# --- The two sides ---------------------------------------------------------------------------------------------------


@cache
def our_judge(alg: str, side: str) -> Verifier[SignedTokens]:
    keys = SharedSecrets(SECRET) if alg == "HS256" else StaticKeys(public_jwk(key_of(alg)))
    names = ("EdDSA", "Ed25519") if alg == "EdDSA" else (alg,)
    fields: Values = {"issuer": {ISSUER, SECOND_ISSUER}, "audience": {AUDIENCE, SECOND_AUDIENCE}}
    fields |= SIDES[side].changes
    return Verifier(SignedTokens(keys=keys, algorithms=names, remember_tokens=0, **fields), clock=Clock())


def read_by_us(token: str, alg: str, side: str) -> Values | None:
    """What we read in a token; None where we refuse it. No other error may come."""
    try:
        return our_judge(alg, side).verify(token).to_dict()
    except AuthError:
        return None


def read_by_pyjwt(token: str, alg: str) -> Values | Exception:
    """What PyJWT reads in a token, or why it refuses it, which it says with exceptions of many families."""
    key: Any = SECRET if alg == "HS256" else key_of(alg).public_key()
    options: Any = {"require": ["exp"]}
    issuers, audiences = [ISSUER, SECOND_ISSUER], [AUDIENCE, SECOND_AUDIENCE]
    try:
        return jwt.decode(token, key, [alg], options=options, audience=audiences, issuer=issuers, leeway=10)
    except Exception as error:
        return error


def compare(token: str, alg: str, side: str) -> str:
    """What became of a token; it is a failure if we accept what PyJWT refuses, or read something else in it."""
    ours = read_by_us(token, alg, side)
    if ours is None:
        return "refused"
    theirs = read_by_pyjwt(token, alg)
    if isinstance(theirs, Exception):
        return _name_of_exception(theirs, token, side)
    assert ours == {name: value for name, value in theirs.items() if name in ours or value is not None}
    return "accepted"


def _name_of_exception(error: Exception, token: str, side: str) -> str:
    header, values = (json.loads(from_base64url(segment.encode())) for segment in token.split(".")[:2])
    for name, holds in SIDES[side].exceptions.items():
        if holds(error, header, values):
            return name
    raise AssertionError(f"accepted, but PyJWT says {error!r} of {header!r} {values!r}")


class StandingStill(datetime):
    """The time at which all these tokens are judged, on both sides."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return datetime.fromtimestamp(NOW, tz or UTC)


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jwt.api_jwt.datetime", StandingStill)


# --- The tokens ------------------------------------------------------------------------------------------------------

ODD_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        1.5,
        -0.0,
        10**18,
        10**40,
        10**399,
        1e300,
        "",
        " ",
        "x",
        "0",
        "null",
        "\u00e9",
        "\U0001f600",
    ),
    *([], [None], [[]], {}, {"": None}, [0], ["x"], {"x": "y"}, "x" * 300, [ISSUER], [AUDIENCE], AUDIENCE, ISSUER),
)
ODD_TIMES: tuple[Any, ...] = (
    *(
        NOW + step
        for step in (-4000, -301, -300, -31, -30, -29, -12, -11, -10, -9, -8, -1, 0, 1, 9, 10, 11, 12, 29, 30, 31, 300)
    ),
    *(
        NOW + step
        for step in (-10.5, -10.0, -9.999, -9.5, -9.0, -0.5, 0.5, 9.5, 9.999, 10.0, 10.001, 10.5, 10.999, 30.5)
    ),
    *(
        str(NOW + 300),
        f"{NOW + 300}.5",
        NOW * 1000,
        True,
        False,
        None,
        10**399,
        -1,
        0,
        0.0,
        [NOW],
        253402300799,
        253402300800,
    ),
)
ODD_AUDIENCES: tuple[Any, ...] = (
    *(
        AUDIENCE,
        SECOND_AUDIENCE,
        [AUDIENCE],
        [SECOND_AUDIENCE, AUDIENCE],
        ["x", AUDIENCE],
        ["", AUDIENCE],
        [AUDIENCE, AUDIENCE],
    ),
    *(
        [AUDIENCE, 5],
        [AUDIENCE, None],
        [[AUDIENCE]],
        ["x"],
        "x",
        [],
        "",
        None,
        {AUDIENCE: 1},
        AUDIENCE + "/",
        AUDIENCE.upper(),
        5,
    ),
)
ODD_ISSUERS: tuple[Any, ...] = (ISSUER, SECOND_ISSUER, [ISSUER], ISSUER + "/", ISSUER.upper(), "", None, 5, {}, "x")
ODD_HEADERS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("typ", ("JWT", "jwt", "at+jwt", "application/jwt", "JWS", "", None, 5, ["JWT"])),
    ("kid", ("k1", "", None, 5, [], "x" * 256, "x" * 257, "../x", "\u00e9")),
    ("crit", ([], ["b64"], ["exp"], None)),
    ("b64", (True, False, None, 0)),
    ("zip", ("DEF", None)),
    ("jku", ("https://evil.example.com", 5)),
    ("jwk", ({"kty": "oct", "k": "AAAA"}, {}, None)),
    ("cty", ("JWT", None, 5)),
    ("alg", ("none", "HS256", "HS512", "RS256", "Ed25519", "EdDSA", "", None, 5)),
    ("x", ODD_VALUES),
)
ODD_CLAIMS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    *((name, (*ODD_TIMES, ...)) for name in ("exp", "nbf", "iat", "exp", "nbf", "iat")),
    ("aud", (*ODD_AUDIENCES, ...)),
    ("iss", (*ODD_ISSUERS, ...)),
    ("sub", (*ODD_VALUES, None, None, ...)),
    ("jti", (*ODD_VALUES, ...)),
    ("token_type", ("Bearer", "DPoP", None, 5)),
    ("cnf", ({}, None)),
    ("scope", ("read write", "", None, 5, ["read"])),
    ("auth_time", ODD_VALUES),
    ("x", ODD_VALUES),
)
ODD_MEMBERS = (
    *('"x":1,"x":1', '"exp":9999999999', '"aud":"x"', '"x":NaN', '"x":Infinity', '"x":1e999', '"x":-1E400', '"x":1E2'),
    *(
        '"x":"\\ud800"',
        '"x":"\\udc00"',
        '"x":"\\ud83d\\ude00"',
        '"\\u0065xp":1',
        '"x":01',
        '"x":"\t"',
        '"x":' + "[" * 40 + "]" * 40,
    ),
    *(
        '"x":' + "[" * 2000 + "]" * 2000,
        '"x":' + "9" * 4500,
        '"__proto__":{}',
        '"x":"\\u0000"',
        '"x":-0',
        '"x":0.1e-400',
    ),
)
ODD_ENCODINGS: tuple[Callable[[str], bytes], ...] = (
    lambda text: b"\xef\xbb\xbf" + text.encode(),
    lambda text: text.encode("utf-16"),
    lambda text: text.encode("utf-16-le"),
    lambda text: text.encode("utf-32-be"),
    lambda text: text.encode()[:-1] + b',"x":"\xff"}',
    lambda text: text.encode()[:-1] + b',"x":"\xed\xa0\x80"}',
    lambda text: b" \n" + text.encode() + b"\t\r",
    lambda text: text.encode() + b"\x00",
    lambda text: text.encode() * 2,
    lambda text: b"[" + text.encode() + b"]",
    lambda text: text.replace(":", " :\n").encode(),
)
ODD_SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda segment: segment + "=" * (-len(segment) % 4),
    lambda segment: segment + "==",
    lambda segment: segment[:-1] + chr(ord(segment[-1]) + 1),
    lambda segment: segment + "A",
    lambda segment: segment[:4] + "\n" + segment[4:],
    lambda segment: segment.replace("-", "+").replace("_", "/"),
    lambda segment: segment + ".",
)


def document(values: dict[str, Any], dice: random.Random) -> bytes:
    """JSON of the values, now and then of a sort that should be refused."""
    text = json.dumps(values, ensure_ascii=dice.random() < 0.5, separators=dice.choice(((",", ":"), (", ", ": "))))
    luck = dice.random()
    if luck < 0.04:
        text = f"{text[:-1]}{',' if values else ''}{dice.choice(ODD_MEMBERS)}}}"
    if 0.04 < luck < 0.07:
        return dice.choice(ODD_ENCODINGS)(text)
    return text.encode("utf-8", "surrogatepass")


def changed(
    values: dict[str, Any], odd: tuple[tuple[str, tuple[Any, ...]], ...], dice: random.Random, most: int
) -> None:
    """Change a few members to something odd."""
    for _ in range(dice.randint(0, most)):
        name, choices = dice.choice(odd)
        value = dice.choice(choices)
        if value is ...:
            values.pop(name, None)
        else:
            values[name] = value


def key_for(alg: str) -> SigningKey:
    return SECRET if alg == "HS256" else key_of(alg)


def made(alg: str, dice: random.Random) -> str:
    """A token that is mostly right, and signed well whatever is wrong with it."""
    header: dict[str, Any] = {"alg": dice.choice((alg, "Ed25519")) if alg == "EdDSA" else alg, "typ": "JWT"}
    if dice.random() < 0.25:
        changed(header, ODD_HEADERS, dice, 2)
    values = claims({"nbf": NOW} if dice.random() < 0.5 else None)
    changed(values, ODD_CLAIMS, dice, 3)
    segments = [base64url(document(header, dice)), base64url(document(values, dice))]
    if dice.random() < 0.03:
        segments[dice.randint(0, 1)] = dice.choice(ODD_SPELLINGS)(segments[0])
    return sealed(segments[0], segments[1], key=key_for(alg), alg=alg)


def tokens(seed: int, count: int) -> Iterator[tuple[str, str]]:
    """So many tokens, and the algorithm that each is signed with; RSA rarely, because it signs slowly."""
    dice = random.Random(seed)
    for alg in dice.choices(ALGORITHMS, weights=(80, 1, 8, 8), k=count):
        yield made(alg, dice), alg


# --- What must hold --------------------------------------------------------------------------------------------------


def assert_nothing_more_is_accepted(seed: int, count: int, side: str) -> None:
    counts = Counter(compare(token, alg, side) for token, alg in tokens(seed, count))
    assert counts.keys() == {"accepted", "refused", *SIDES[side].exceptions}
    assert min(counts["accepted"], counts["refused"]) > count / 5


@pytest.mark.parametrize("side", SIDES)
def test_accepts_nothing_that_pyjwt_refuses(side: str) -> None:
    assert_nothing_more_is_accepted(1, 700, side)


def test_says_the_same_in_async_code() -> None:
    async def read_in_a_loop(token: str, alg: str) -> Values | None:
        try:
            return (await our_judge(alg, "plain").averify(token)).to_dict()
        except AuthError:
            return None

    async def both() -> None:
        for token, alg in tokens(2, 400):
            assert await read_in_a_loop(token, alg) == read_by_us(token, alg, "plain")

    asyncio.run(both())


@pytest.mark.long
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("seed", range(100, 120))
def test_accepts_nothing_that_pyjwt_refuses_at_length(side: str, seed: int) -> None:
    assert_nothing_more_is_accepted(seed, 4000, side)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TIME = st.one_of(
    st.integers(NOW - 20, NOW + 20),
    st.integers(NOW - 20, NOW + 20).map(float),
    st.floats(NOW - 20, NOW + 20),
    st.sampled_from(ODD_TIMES),
    JSON,
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("exp", "nbf", "iat"), TIME | st.just(...)),
        "aud": st.sampled_from(ODD_AUDIENCES) | JSON | st.just(...),
        "iss": st.sampled_from(ODD_ISSUERS) | JSON | st.just(...),
        **dict.fromkeys(("sub", "jti"), JSON | st.text() | st.just(...)),
        "x": JSON,
    },
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={"typ": st.sampled_from(["JWT", "at+jwt", None, "x"]), "kid": JSON, "crit": JSON, "b64": JSON, "x": JSON},
)


@pytest.mark.parametrize("side", SIDES)
@settings(max_examples=150)
@given(changes=CHANGES, headers=HEADERS, alg=st.sampled_from(["HS256", "ES256", "EdDSA"]))
def test_accepts_no_claims_that_pyjwt_refuses(side: str, changes: Values, headers: Values, alg: str) -> None:
    compare(mint(claims(changes), key=key_for(alg), alg=alg, headers=headers), alg, side)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_agrees_with_pyjwt_on_a_good_token(alg: str, side: str) -> None:
    assert compare(mint(claims(), key=key_for(alg), alg=alg), alg, side) == "accepted"
