"""Wrong settings: each is refused when it is built, and the message says what to write instead."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bearerguard import (
    ABSENT,
    NO_SCOPES,
    UNCHECKED,
    AuthError,
    ClaimText,
    IfPresent,
    InvalidToken,
    JwksKeys,
    SettingsError,
    SharedSecrets,
    StaticKeys,
    Verifier,
)
from bearerguard.carriers import Cookie, Header, Query
from tests.hostile import AUDIENCE, GOOD, ISSUER, NOW, claims, key_of, settings, static, verdict, verifier
from tests.minting import SECRET, mint, public_jwk

SAYS_WHAT_TO_WRITE = re.compile(r"\b(use|write|give|name|say|add|leave|put|takes?|are accepted|is accepted|must be)\b")

NAN, INFINITY, HUGE = float("nan"), float("inf"), 10**400
EXPECTED: list[Any] = [
    *("", b"x", None, 5, 1.5, True, [], ["x"], ("x",), {"x": 1}, set(), {""}, {"x", None}, {b"x"}, {5}),
    *(re.compile(b"x"), ABSENT, NO_SCOPES, object()),
    *map(IfPresent, ["", 5, set(), UNCHECKED]),  # type: ignore[arg-type]
]
SECONDS: list[Any] = [-1, True, "10", [10], b"10", NAN, INFINITY, HUGE, -0.001]
SOURCES: list[Any] = ["", 5, True, b"store", ["store"], {"store"}, UNCHECKED, re.compile("x"), ClaimText("", str)]
FUNCTIONS: list[Any] = [lambda values: True, "exp", None, 5, (5,), (None,), ("exp",), ({"exp": 1},)]

WRONG: dict[str, list[Any]] = {
    "keys": [
        None,
        SECRET,
        SECRET.encode(),
        [SECRET],
        {"kty": "oct"},
        (SharedSecrets(SECRET),),
        SharedSecrets,
        object(),
    ],
    "algorithms": [
        "HS256",
        (),
        None,
        5,
        ("HS999",),
        (None,),
        ([],),
        {"HS256": 1},
        ("HS256", "none"),
        (b"HS256",),
        b"HS256",
    ],
    "issuer": EXPECTED,
    "audience": EXPECTED,
    "name": ["", "A", "a b", "x" * 65, "-x", "\u00e4", "a\n", 5, None, b"x"],
    "authority": [5, b"x", True, ["x"]],
    "audience_claim": ["", None, 5, b"aud"],
    "required": ["exp", b"exp", None, 5, (), ("sub",), ("exp", ""), ("exp", None), ("exp", 5), {"exp": 1}],
    "nullable": ["sub", b"sub", None, 5, {""}, {None}, {5}],
    "leeway": [*SECONDS, None, 301, 300.1],
    "iat_leeway": [*SECONDS, 301],
    "max_age": [*SECONDS, 0, 0.5],
    "max_lifetime": [*SECONDS, 0, 0.5],
    "assumed_lifetime": [*SECONDS, 0, 0.5],
    "typ": ["", 5, b"JWT", ["JWT"], {"JWT"}],
    "scopes": ["", 5, True, b"scope", ["scope"], {"scope"}, UNCHECKED],
    "tenant": [*SOURCES, ClaimText("store", None), ClaimText(5, str)],  # type: ignore[arg-type]
    "user": [*SOURCES, ClaimText("sub", None), ClaimText(5, str)],  # type: ignore[arg-type]
    "rules": [
        *(None, 5, "role", b"role", ["role"], (5,), {"role"}, (("role",),), (("role", "a", "b"),)),
        *({"role": value} for value in (None, 1.5, set(), {1}, {""}, "", b"x", ["a"], ("a",), {"a": 1}, UNCHECKED)),
        *({"role": value} for value in (re.compile(b"x"), IfPresent(None), IfPresent(""), object())),  # type: ignore[arg-type]
        *({"": "x"}, {5: "x"}, {None: "x"}),
    ],
    "checks": FUNCTIONS,
    "each_time": FUNCTIONS,
    "carriers": [
        *((), None, "Authorization", Header("Authorization"), ("Authorization",), (Header,), (None,), ([],)),
        *((Header("X-T"), Header("x-t")), (Query("t"), Query("t")), (Cookie("t"), Cookie("t"))),
    ],
    "refusal_headers": [
        *(
            "x",
            5,
            ["x"],
            {5: {}},
            {"X-Retry": "1"},
            {AuthError: "x"},
            {InvalidToken: {"x": 5}},
            {ValueError: {"x": "y"}},
        ),
        *({InvalidToken: {"x": "y\r\nz: 1"}}, {InvalidToken: {"x y": "z"}}, {InvalidToken: None}, {ValueError: {}}),
    ],
    "max_bytes": [0, -1, 63, 1_048_577, True, "8192", 8192.0, None, NAN],
    "remember_tokens": [-1, 10_000_001, True, "5", 1.5, None, NAN],
}


def rows(table: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name} {number}: {_plain(value)}")
        for name, values in table.items()
        for number, value in enumerate(values)
    ]


def _plain(value: object) -> str:
    # The order of a set differs from process to process, and an id must not: the tests run in several.
    shown = f"{{{', '.join(sorted(map(ascii, value)))}}}" if isinstance(value, set) and value else ascii(value)
    return re.sub(r" at 0x[0-9a-f]+", "", re.sub(r"0{20,}", "...", shown))[:40]


@pytest.mark.parametrize(("name", "value"), rows(WRONG))
def test_refuses_a_wrong_setting_and_says_what_to_write(name: str, value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(**{name: value})
    assert SAYS_WHAT_TO_WRITE.search(str(caught.value)), str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"keys": SECRET}, "SharedSecrets", id="a text for keys"),
        pytest.param({"algorithms": "HS256"}, r"\('HS256',\)", id="a text for algorithms"),
        pytest.param({"algorithms": ("ES256K",)}, "HS256.*RS256.*EdDSA", id="an unknown algorithm"),
        pytest.param({"required": "exp"}, r"\('exp',\)", id="a text for required"),
        pytest.param({"required": ("sub",)}, "max_age", id="no end"),
        pytest.param({"issuer": None}, "UNCHECKED", id="no issuer"),
        pytest.param({"audience": None}, "UNCHECKED", id="no audience"),
        pytest.param({"leeway": 301}, "0 to 300", id="much leeway"),
        pytest.param({"max_bytes": 5}, "from 64", id="few bytes"),
        pytest.param({"name": "My Tokens"}, "small letters", id="a name"),
        pytest.param({"rules": {"role": None}}, "role", id="a rule"),
        pytest.param({"keys": SharedSecrets("x" * 31)}, "31 bytes.*needs 32.*allow_short_secret=True", id="31 bytes"),
        pytest.param({"keys": SharedSecrets("x" * 47), "algorithms": ("HS384",)}, "needs 48", id="47 bytes"),
        pytest.param({"keys": SharedSecrets("x" * 63), "algorithms": ("HS512",)}, "needs 64", id="63 bytes"),
        pytest.param({"keys": SharedSecrets("x" * 63), "algorithms": ("HS256", "HS512")}, "64", id="63 bytes of two"),
        pytest.param({"keys": SharedSecrets(SECRET, "x" * 31)}, "31 bytes", id="a short one at the end"),
        pytest.param({"keys": SharedSecrets("x" * 31, SECRET)}, "31 bytes", id="a short one at the beginning"),
        pytest.param({"keys": SharedSecrets("\u00e9" * 15)}, "30 bytes", id="few bytes of many letters"),
    ],
)
def test_says_what_to_write_in_the_words_of_the_setting(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        settings(**changes)


def test_is_also_a_value_error() -> None:
    with pytest.raises(ValueError, match="leeway"):
        settings(leeway=-1)


@pytest.mark.parametrize("missing", ["keys", "algorithms", "issuer", "audience"])
def test_has_no_default_for_what_makes_a_token_ours(missing: str) -> None:
    from bearerguard import SignedTokens

    fields = {"keys": SharedSecrets(SECRET), "algorithms": ("HS256",), "issuer": ISSUER, "audience": AUDIENCE}
    del fields[missing]
    with pytest.raises(TypeError, match=missing):
        SignedTokens(**fields)  # type: ignore[arg-type]


# --- Secrets and keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret", ["", b"", None, 5, True, [], ("x",), bytearray(32), memoryview(bytes(32))], ids=_plain
)
def test_refuses_what_is_no_secret(secret: Any) -> None:
    for secrets in ((secret,), (SECRET, secret)):
        with pytest.raises(SettingsError) as caught:
            SharedSecrets(*secrets)
        assert SAYS_WHAT_TO_WRITE.search(str(caught.value))
        assert SECRET not in str(caught.value)


def test_takes_a_short_secret_only_where_the_settings_say_so() -> None:
    judge = verifier(keys=SharedSecrets("x"), allow_short_secret=True)
    assert verdict(judge, mint(claims(), key="x")) == GOOD
    assert verdict(judge, mint(claims(), key="y")) == "bad_signature"
    with pytest.raises(SettingsError):
        verifier(keys=SharedSecrets(""), allow_short_secret=True)


def test_counts_a_secret_in_bytes() -> None:
    secret = "\u00e9" * 16
    assert verdict(verifier(keys=SharedSecrets(secret)), mint(claims(), key=secret)) == GOOD
    assert verdict(verifier(keys=SharedSecrets(secret.encode())), mint(claims(), key=secret)) == GOOD


PEM = key_of("ES256").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
NO_KEYS = [
    pytest.param(None, id="nothing"),
    pytest.param("", id="an empty text"),
    pytest.param(b"", id="no bytes"),
    pytest.param("junk", id="junk"),
    pytest.param(5, id="a number"),
    pytest.param([], id="an empty array"),
    pytest.param([public_jwk(key_of("ES256"))], id="an array of keys"),
    pytest.param({}, id="an empty object"),
    pytest.param({"keys": []}, id="an empty set"),
    pytest.param({"keys": None}, id="a set of null"),
    pytest.param({"keys": public_jwk(key_of("ES256"))}, id="a set of one, without its array"),
    pytest.param({"keys": [{}]}, id="a set of an empty object"),
    pytest.param({"keys": [None]}, id="a set with null"),
    pytest.param(json.dumps(public_jwk(key_of("ES256"))), id="a JWK as text"),
    pytest.param(PEM.decode().replace("PUBLIC", "CERTIFICATE"), id="a PEM of another name"),
    pytest.param(PEM[:-40], id="a PEM cut short"),
    pytest.param(b"\x00" + PEM[:-1].replace(b"M", b"N"), id="a PEM of nonsense"),
    pytest.param(key_of("ES256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), id="a private PEM"),
    pytest.param(
        key_of("ES256").private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        id="a private PEM of old",
    ),
    pytest.param(
        PEM + key_of("ES256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), id="both halves in PEM"
    ),
    pytest.param(SECRET, id="a secret"),
]


@pytest.mark.parametrize("document", NO_KEYS)
def test_refuses_what_is_no_public_key(document: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        StaticKeys(document)
    assert "StaticKeys" in str(caught.value)
    assert SECRET not in str(caught.value)
    with pytest.raises(SettingsError):
        StaticKeys(PEM, document)


def test_refuses_two_public_keys_in_one_text() -> None:
    """Only the first would be read, so the second would silently not count."""
    second = key_of("ES256", "second").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        judge = verifier(keys=StaticKeys(PEM + second), algorithms=("ES256",))
    except SettingsError:
        return
    assert verdict(judge, mint(claims(), key=key_of("ES256", "second"), alg="ES256")) == GOOD


@pytest.mark.parametrize(
    ("keys", "algorithms"),
    [
        ("ES256", ("RS256",)),
        ("ES256", ("ES384",)),
        ("ES384", ("ES256",)),
        ("ES512", ("ES256", "ES384")),
        ("RS256", ("ES256", "EdDSA")),
        ("EdDSA", ("ES256", "ES512")),
    ],
)
def test_refuses_a_key_that_fits_no_algorithm(keys: str, algorithms: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="fits none of"):
        settings(keys=StaticKeys(public_jwk(key_of(keys))), algorithms=algorithms)
    second = "EdDSA" if keys == "RS256" else "RS256"
    both = StaticKeys(public_jwk(key_of(second)), public_jwk(key_of(keys)))
    with pytest.raises(SettingsError, match="fits none of"):
        settings(keys=both, algorithms=(second, *algorithms))


NO_URLS = [
    *(
        "",
        " ",
        "id.example.com",
        "//id.example.com/jwks",
        "/jwks",
        "https:",
        "https://",
        "https:///jwks",
        "https://:443/",
    ),
    *("http://id.example.com/jwks", "http://10.0.0.1/jwks", "http://0.0.0.0/jwks", "ftp://id.example.com/jwks"),
    *(
        "file:///etc/passwd",
        "data:application/json,{}",
        "javascript:1",
        "https://id.example.com:99999/",
        "https://id:0/",
    ),
    *("http://127.0.0.1.evil.example/jwks", "http://localhost.evil.example/jwks", "http://evil.example/#127.0.0.1"),
    *("http://127.0.0.1@evil.example/jwks", "http://2130706433/jwks", "https://ana:hidden@id.example.com/jwks"),
    *("https://id.example.com/jwks#top", "https://id.example.com/jw ks", "https://id.example.com/jwks\n"),
    *("https://id.example.com/\u00e9", "https://\u0131d.example.com/", "https://id.example.com\\@evil.example/"),
    *("https://[::1/jwks", "https://id.example.com:port/"),
    *(None, 5, b"https://id.example.com/jwks", ["https://id.example.com/jwks"]),
]


@pytest.mark.parametrize("url", NO_URLS, ids=ascii)
def test_refuses_a_key_set_at_no_good_address(url: Any) -> None:
    with pytest.raises(SettingsError, match=r"url .*(write it as|must be https)") as caught:
        JwksKeys(url)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("https://id.example.com/jwks", "https://id.example.com:8443/jwks?tenant=1", "https://[2001:db8::1]/jwks"),
        *("http://127.0.0.1:8000/jwks", "http://localhost/jwks", "http://[::1]:8000/jwks"),
    ],
)
def test_takes_a_key_set_at_a_good_address(url: str) -> None:
    assert settings(keys=JwksKeys(url), algorithms=("ES256",)).keys == JwksKeys(url)


@pytest.mark.parametrize(
    ("name", "value"),
    rows(
        {
            "lifetime": [*SECONDS, None, 59, 3601],
            "cool_down": [*SECONDS, None, 0, 0.5, 3601],
            "max_stale": [*SECONDS, None, 0, 299, 86_401],
            "deadline": [*SECONDS, None, 0, 0.01],
        }
    ),
)
def test_refuses_a_time_of_a_key_set_that_is_out_of_bounds(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=rf"{name} is .*; use .* seconds"):
        JwksKeys("https://id.example.com/jwks", **{name: value})


# --- The verifier ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [None, "HS256", SECRET, {}, SharedSecrets(SECRET), settings], ids=_plain)
def test_refuses_to_verify_what_is_no_kind_of_token(kind: Any) -> None:
    for kinds in ((kind,), (settings(), kind)):
        with pytest.raises(SettingsError, match="SignedTokens") as caught:
            Verifier(*kinds)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "store", ["", "memory", "mysql://localhost", "http://localhost", None, 5, {}, object()], ids=_plain
)
def test_refuses_a_store_that_it_does_not_know(store: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        Verifier(settings(), store=store)
    assert SAYS_WHAT_TO_WRITE.search(str(caught.value))


OTHER = "https://other.example.com"


def _same_rule(_: str) -> bool:
    return False


OVERLAPPING = [
    pytest.param(ISSUER, ISSUER, id="one value"),
    pytest.param(ISSUER, {ISSUER, OTHER}, id="a value of a set"),
    pytest.param(frozenset({ISSUER}), {ISSUER, OTHER}, id="two sets"),
    pytest.param({ISSUER: 1, OTHER: 2}.keys(), {ISSUER}, id="the keys of a dict"),
    pytest.param({ISSUER: 1, OTHER: 2}.keys(), {OTHER: 3}.keys(), id="the keys of two dicts"),
    pytest.param(ISSUER, lambda issuer: issuer == ISSUER, id="a value and a function"),
    pytest.param({ISSUER, OTHER}, lambda issuer: issuer.endswith("other.example.com"), id="a set and a function"),
    pytest.param(ISSUER, IfPresent(ISSUER), id="a value, there or not"),
    pytest.param(UNCHECKED, UNCHECKED, id="unchecked twice"),
    pytest.param(UNCHECKED, IfPresent(OTHER), id="unchecked, and there or not"),
    pytest.param(IfPresent(ISSUER), IfPresent(OTHER), id="there or not twice"),
    pytest.param(IfPresent({ISSUER, OTHER}), OTHER, id="one of a set, there or not"),
    pytest.param(_same_rule, _same_rule, id="one function twice"),
]


@pytest.mark.parametrize(("one", "two"), OVERLAPPING)
def test_refuses_two_kinds_that_take_the_same_token(one: Any, two: Any) -> None:
    for first, second in ((one, two), (two, one)):
        with pytest.raises(SettingsError, match="take the same issuers from the same carrier"):
            Verifier(settings(issuer=first, name="one"), settings(issuer=second, name="two"))


def test_refuses_two_kinds_of_one_name() -> None:
    with pytest.raises(SettingsError, match="give each settings object its own name="):
        Verifier(settings(), settings(issuer=OTHER))


# --- What is said at start, and what stays as it was -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "unchecked"),
    [
        ({}, []),
        ({"issuer": UNCHECKED}, ["issuer"]),
        ({"audience": UNCHECKED}, ["audience"]),
        ({"issuer": UNCHECKED, "audience": UNCHECKED}, ["issuer", "audience"]),
    ],
    ids=_plain,
)
def test_warns_of_what_is_not_checked(
    changes: dict[str, Any], unchecked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="bearerguard"):
        verifier(**changes)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == len(unchecked)
    for name, line in zip(unchecked, said, strict=True):
        assert name in line
        assert "UNCHECKED" in line


def test_shows_no_secret() -> None:
    keys = SharedSecrets(SECRET, "another secret of thirty-two bytes")
    made = settings(keys=keys)
    inside = str([getattr(made, field.name) for field in fields(made)])
    for shown in (repr(keys), str(keys), repr(made), str(made), repr(Verifier(made)), inside):
        assert SECRET not in shown
        assert "another secret" not in shown


def test_stays_as_it_was_built() -> None:
    made = settings()
    for name in ("issuer", "audience", "leeway", "keys", "algorithms"):
        with pytest.raises(FrozenInstanceError):
            setattr(made, name, UNCHECKED)


EVIL = "https://evil.example.com"


@pytest.mark.parametrize(
    ("name", "given", "change", "spoilt"),
    [
        ("issuer", {ISSUER}, lambda given: given.add(EVIL), {"iss": EVIL}),
        ("audience", {AUDIENCE}, lambda given: given.add(EVIL), {"aud": EVIL}),
        ("required", ["exp", "store"], lambda given: given.clear(), {}),
        ("nullable", set(), lambda given: given.add("sub"), {"sub": None}),
        ("rules", {"role": "owner"}, lambda given: given.clear(), {}),
        ("rules", [("role", "owner")], lambda given: given.clear(), {}),
        ("rules", {"role": {"owner"}}, lambda given: given["role"].add("guest"), {"role": "guest"}),
        ("checks", [lambda values: "store" in values], lambda given: given.clear(), {}),
        ("each_time", [lambda values: "store" in values], lambda given: given.clear(), {}),
    ],
    ids=["issuer", "audience", "required", "nullable", "rules", "pairs", "a set of a rule", "checks", "each_time"],
)
def test_does_not_change_with_what_it_was_built_of(
    name: str, given: Any, change: Callable[[Any], None], spoilt: dict[str, Any]
) -> None:
    judge = verifier(**{name: given})
    before = verdict(judge, mint(claims(spoilt)))
    change(given)
    assert before != GOOD
    assert verdict(judge, mint(claims(spoilt | {"jti": "another"}))) == before


def test_does_not_change_with_the_keys_that_it_was_built_of() -> None:
    document = {"keys": [public_jwk(key_of("ES256"))]}
    judge = verifier(keys=StaticKeys(document), algorithms=("ES256",))
    document["keys"][:] = [public_jwk(key_of("ES256", "another"))]
    assert verdict(judge, mint(claims(), key=key_of("ES256", "another"), alg="ES256")) == "bad_signature"
    assert verdict(judge, mint(claims(), key=key_of("ES256"), alg="ES256")) == GOOD


@pytest.mark.parametrize("name", ["", None, 5, b"ana", "\ud800", "ana\udcff"], ids=ascii)
def test_refuses_to_revoke_what_is_no_name(name: Any) -> None:
    judge = verifier(user="sub", tenant="store", max_lifetime=600)
    for revoke in (judge.denylist.revoke_user, judge.denylist.revoke_tenant):
        with pytest.raises(SettingsError):
            revoke(name)
    with pytest.raises(SettingsError):
        judge.denylist.revoke_id(name, until=NOW + 300)


def test_asks_for_the_kind_where_the_issuer_does_not_tell() -> None:
    one = settings(issuer=UNCHECKED, name="one", carriers=(Header("X-One"),))
    two = settings(issuer=UNCHECKED, name="two", carriers=(Header("X-Two"),))
    judge = Verifier(one, two, clock=lambda: NOW)
    with pytest.raises(SettingsError, match="kind='one'"):
        judge.verify(mint(claims()))
    with pytest.raises(SettingsError, match="'one', 'two'"):
        judge.verify(mint(claims()), kind="three")
    assert judge.verify(mint(claims()), kind="two").kind == "two"


def test_takes_a_good_key_in_each_of_its_forms() -> None:
    token = mint(claims(), key=key_of("ES256"), alg="ES256")
    jwk = public_jwk(key_of("ES256"))
    for document in (PEM, PEM.decode(), jwk, {"keys": [jwk]}):
        assert verdict(verifier(keys=StaticKeys(document), algorithms=("ES256",)), token) == GOOD
    assert verdict(static("ES256"), token) == GOOD
