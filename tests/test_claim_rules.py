"""Well-signed tokens whose claims break a rule."""

from __future__ import annotations

import functools
import logging
import math
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

from bearerguard import (
    ABSENT,
    NO_SCOPES,
    UNCHECKED,
    ClaimText,
    IfPresent,
    InvalidToken,
    ProviderUnavailable,
    SettingsError,
    TokenExpired,
    Verifier,
)
from tests.hostile import AUDIENCE, GOOD, ISSUER, NOW, Clock, claims, settings, verdict, verifier
from tests.minting import mint


def told(changes: Mapping[str, Any], **changed_settings: Any) -> str:
    """The verdict on good claims with these changed, under the usual settings with those changed."""
    return verdict(verifier(**changed_settings), mint(claims(changes)))


# --- Times -----------------------------------------------------------------------------------------------------------

NO_TIME = [
    pytest.param(True, id="true"),
    pytest.param(False, id="false"),
    pytest.param(str(NOW + 300), id="a string of digits"),
    pytest.param(f"{NOW + 300}.0", id="a string with a point"),
    pytest.param("2030-01-01T00:00:00Z", id="a date"),
    pytest.param("soon", id="a word"),
    pytest.param(" ", id="white space"),
    pytest.param("Infinity", id="a string of infinity"),
    pytest.param((NOW + 300) * 1000, id="milliseconds"),
    pytest.param((NOW + 300) * 1_000_000, id="microseconds"),
    pytest.param(253_402_300_800, id="the year 10000"),
    pytest.param(2**63, id="beyond 64 bits"),
    pytest.param(10**399, id="400 digits"),
    pytest.param(1e300, id="a float of 300 digits"),
    pytest.param(-1, id="minus one"),
    pytest.param(-NOW, id="long before the epoch"),
    pytest.param(-0.5, id="just before the epoch"),
    pytest.param(-(10**399), id="minus 400 digits"),
    pytest.param([NOW + 300], id="an array"),
    pytest.param({"time": NOW + 300}, id="an object"),
]


@pytest.mark.parametrize("value", NO_TIME)
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_refuses_a_time_of_a_wrong_kind(name: str, value: Any) -> None:
    assert told({name: value}) == "bad_claim"
    assert told({name: value}, max_age=600) == "bad_claim"
    assert told({name: value}, max_lifetime=600) == "bad_claim"
    assert told({name: value}, required=(), max_age=600) == "bad_claim"


@pytest.mark.parametrize("empty", [None, "", [], {}], ids=repr)
def test_refuses_a_time_that_is_empty(empty: object) -> None:
    assert told({"exp": empty}) == "missing_claim"
    assert told({"exp": empty}, required=(), max_age=600) == "bad_claim"
    assert told({"nbf": empty}) == "bad_claim"
    assert told({"iat": empty}) == "bad_claim"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000])
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_refuses_a_time_that_is_no_number(name: str, value: str) -> None:
    payload = f'{{"iss":"{ISSUER}","aud":"{AUDIENCE}","exp":{NOW + 300},"{name}":{value}}}'
    if name == "exp":
        payload = payload.replace(f'"exp":{NOW + 300},', "")
    assert verdict(verifier(), mint(payload.encode())) == "malformed"


EDGES = [
    pytest.param({"exp": NOW - 9}, {}, GOOD, id="exp 9 s ago"),
    pytest.param({"exp": NOW - 10}, {}, "expired", id="exp 10 s ago"),
    pytest.param({"exp": NOW - 11}, {}, "expired", id="exp 11 s ago"),
    pytest.param({"exp": 0}, {}, "expired", id="exp is the epoch"),
    pytest.param({"exp": NOW - 9.0}, {}, GOOD, id="exp 9.0 s ago"),
    pytest.param({"exp": NOW - 9.5}, {}, "expired", id="exp 9.5 s ago, whose fraction counts as nothing"),
    pytest.param({"exp": NOW - 8.5}, {}, GOOD, id="exp 8.5 s ago"),
    pytest.param({"exp": 253_402_300_799}, {}, GOOD, id="exp at the end of the year 9999"),
    pytest.param({"exp": NOW + 1}, {"leeway": 0}, GOOD, id="exp in 1 s, no leeway"),
    pytest.param({"exp": NOW}, {"leeway": 0}, "expired", id="exp now, no leeway"),
    pytest.param({"exp": NOW - 299}, {"leeway": 300}, GOOD, id="exp 299 s ago, most leeway"),
    pytest.param({"exp": NOW - 300}, {"leeway": 300}, "expired", id="exp 300 s ago, most leeway"),
    pytest.param({"nbf": NOW + 10}, {}, GOOD, id="nbf in 10 s"),
    pytest.param({"nbf": NOW + 10.5}, {}, "not_yet_valid", id="nbf in 10.5 s"),
    pytest.param({"nbf": NOW + 11}, {}, "not_yet_valid", id="nbf in 11 s"),
    pytest.param({"nbf": NOW}, {"leeway": 0}, GOOD, id="nbf now, no leeway"),
    pytest.param({"nbf": NOW + 1}, {"leeway": 0}, "not_yet_valid", id="nbf in 1 s, no leeway"),
    pytest.param({"nbf": NOW + 0.001}, {"leeway": 0}, "not_yet_valid", id="nbf in 1 ms, no leeway"),
    pytest.param({"iat": NOW + 10}, {}, GOOD, id="iat in 10 s"),
    pytest.param({"iat": NOW + 10.5}, {}, "not_yet_valid", id="iat in 10.5 s"),
    pytest.param({"iat": NOW + 11}, {}, "not_yet_valid", id="iat in 11 s"),
    pytest.param({"iat": 0}, {}, GOOD, id="iat is the epoch"),
    pytest.param({"iat": NOW + 30}, {"iat_leeway": 30}, GOOD, id="iat in 30 s, leeway for iat alone"),
    pytest.param({"iat": NOW + 31}, {"iat_leeway": 30}, "not_yet_valid", id="iat in 31 s, leeway for iat alone"),
    pytest.param({"nbf": NOW + 11}, {"iat_leeway": 30}, "not_yet_valid", id="nbf in 11 s, leeway for iat alone"),
    pytest.param({"exp": NOW - 10}, {"iat_leeway": 30}, "expired", id="exp 10 s ago, leeway for iat alone"),
    pytest.param({"iat": NOW + 1}, {"iat_leeway": 0}, "not_yet_valid", id="iat in 1 s, none for iat"),
    pytest.param({"iat": NOW, "nbf": NOW + 10}, {"iat_leeway": 0}, GOOD, id="nbf in 10 s, none for iat"),
    pytest.param({"nbf": NOW + 4000, "exp": NOW - 4000}, {}, "expired", id="over before it begins"),
    pytest.param({"iat": NOW - 69}, {"max_age": 60}, GOOD, id="69 s old of 60"),
    pytest.param({"iat": NOW - 70}, {"max_age": 60}, "expired", id="70 s old of 60"),
    pytest.param({"iat": NOW - 69.5}, {"max_age": 60}, GOOD, id="69.5 s old of 60"),
    pytest.param({"iat": NOW - 59}, {"max_age": 60, "leeway": 0}, GOOD, id="59 s old of 60, no leeway"),
    pytest.param({"iat": NOW - 60}, {"max_age": 60, "leeway": 0}, "expired", id="60 s old of 60, no leeway"),
    pytest.param({"iat": ...}, {"max_age": 60}, "missing_claim", id="of no known age"),
    pytest.param({"exp": NOW - 10, "iat": NOW - 20}, {"max_age": 60}, "expired", id="young enough, but over"),
    pytest.param({"exp": ...}, {"max_age": 60}, "missing_claim", id="no end, though exp is required"),
    pytest.param({"exp": ...}, {"max_age": 60, "required": ()}, GOOD, id="no end, bound by its age"),
    pytest.param({"exp": ..., "iat": ...}, {"max_age": 60, "required": ()}, "missing_claim", id="no end at all"),
    pytest.param({"exp": NOW - 10}, {"max_age": 60, "required": ()}, "expired", id="exp counts though not required"),
    pytest.param({"exp": NOW + 290}, {"max_lifetime": 300}, GOOD, id="a life of 300 s"),
    pytest.param({"exp": NOW + 291}, {"max_lifetime": 300}, "lifetime_too_long", id="a life of 301 s"),
    pytest.param({"exp": NOW + 290.5}, {"max_lifetime": 300}, "lifetime_too_long", id="a life of 300.5 s"),
    pytest.param({"iat": ...}, {"max_lifetime": 300}, "missing_claim", id="a life of unknown length"),
    pytest.param({"exp": 253_402_300_799}, {"max_lifetime": 300}, "lifetime_too_long", id="a life of ages"),
]


@pytest.mark.parametrize(("changes", "changed_settings", "expected"), EDGES)
def test_draws_the_line_where_the_rules_draw_it(
    changes: dict[str, Any], changed_settings: dict[str, Any], expected: str
) -> None:
    assert told(changes, **changed_settings) == expected


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.5, 0.999])
def test_draws_the_line_between_two_seconds(fraction: float) -> None:
    clock = Clock(NOW + fraction)
    assert told({"exp": NOW - 9}, clock=clock) == GOOD
    assert told({"exp": NOW - 10}, clock=clock) == "expired"
    assert told({"nbf": NOW + 10}, clock=clock) == GOOD
    assert told({"nbf": NOW + 11}, clock=clock) == "not_yet_valid"


def test_says_expired_as_an_error_of_its_own() -> None:
    with pytest.raises(TokenExpired):
        verifier().verify(mint(claims({"exp": NOW - 10})))


# --- Who issued it, and for whom -------------------------------------------------------------------------------------

FOREIGN = [
    pytest.param(ISSUER.upper(), id="in capitals"),
    pytest.param(f"{ISSUER}/", id="a slash more"),
    pytest.param(ISSUER[:-1], id="a letter less"),
    pytest.param(f"{ISSUER}.evil.example", id="a suffix"),
    pytest.param(f"x{ISSUER}", id="a prefix"),
    pytest.param(f" {ISSUER}", id="a space before"),
    pytest.param(f"{ISSUER} ", id="a space after"),
    pytest.param(f"{ISSUER}\n", id="a line feed after"),
    pytest.param(f"{ISSUER}\x00", id="a zero byte after"),
    pytest.param(ISSUER.replace("https", "http"), id="another scheme"),
    pytest.param("*", id="a star"),
    pytest.param(" ", id="a space"),
]
NOTHING: list[Any] = [..., None, "", [], {}]
EMPTY = [pytest.param(value, id=repr(value)) for value in NOTHING]
NO_TEXT = [pytest.param(value, id=repr(value)) for value in (0, 5, 1.5, True, False, {"value": ISSUER})]


@pytest.mark.parametrize("issuer", [ISSUER, {ISSUER, "https://x.example"}], ids=["value", "set"])
@pytest.mark.parametrize("value", [*FOREIGN, *NO_TEXT, pytest.param([ISSUER], id="in an array")])
def test_refuses_another_issuer(issuer: Any, value: Any) -> None:
    assert told({"iss": ISSUER}, issuer=issuer) == GOOD
    assert told({"iss": value}, issuer=issuer) == "wrong_issuer"


@pytest.mark.parametrize("issuer", [ISSUER, {ISSUER}, lambda _: True], ids=["value", "set", "function"])
@pytest.mark.parametrize("value", EMPTY)
def test_refuses_a_token_of_no_issuer(issuer: Any, value: Any) -> None:
    assert told({"iss": value}, issuer=issuer) == "missing_claim"


@pytest.mark.parametrize("value", [*NO_TEXT, pytest.param([ISSUER], id="in an array")])
def test_refuses_an_issuer_that_is_no_text_whatever_the_rule(value: Any) -> None:
    assert told({"iss": value}, issuer=UNCHECKED) == "bad_claim"
    assert told({"iss": value}, issuer=lambda _: True) == "wrong_issuer"
    assert told({"iss": value}, issuer=IfPresent(ISSUER)) == "wrong_issuer"


def test_takes_a_missing_issuer_only_where_the_settings_say_so() -> None:
    assert told({"iss": ...}, issuer=IfPresent(ISSUER)) == GOOD
    assert told({"iss": ISSUER}, issuer=IfPresent(ISSUER)) == GOOD
    assert told({"iss": f"{ISSUER}/"}, issuer=IfPresent(ISSUER)) == "wrong_issuer"
    assert told({"iss": ...}, issuer=UNCHECKED) == GOOD


@pytest.mark.parametrize("field", ["issuer", "audience"])
def test_compares_a_pattern_with_the_whole_of_the_text(field: str) -> None:
    claim, pattern = {"issuer": "iss", "audience": "aud"}[field], re.compile("https://[a-z]+[.]example[.]com$")
    assert told({claim: "https://shop.example.com"}, **{field: pattern}) == GOOD
    for other in ("https://shop.example.com\n", "x https://shop.example.com", "https://shop.example.com.evil"):
        assert told({claim: other}, **{field: pattern}) == f"wrong_{field}"
    assert told({claim: 5}, **{field: pattern}) == f"wrong_{field}"
    assert told({claim: ""}, **{field: re.compile(".*")}) == "missing_claim"
    assert told({claim: ...}, **{field: re.compile(".*")}) == "missing_claim"


AUDIENCES = [
    pytest.param(AUDIENCE, GOOD, id="the one"),
    pytest.param([AUDIENCE], GOOD, id="the one, in an array"),
    pytest.param(["https://other.example.com", AUDIENCE], GOOD, id="one of two"),
    pytest.param(["", AUDIENCE], GOOD, id="one beside an empty one"),
    pytest.param(AUDIENCE.upper(), "wrong_audience", id="in capitals"),
    pytest.param(f"{AUDIENCE}/", "wrong_audience", id="a slash more"),
    pytest.param(f"{AUDIENCE} https://other.example.com", "wrong_audience", id="two in one text"),
    pytest.param(f"{AUDIENCE},x", "wrong_audience", id="two with a comma"),
    pytest.param(AUDIENCE[:-1], "wrong_audience", id="a letter less"),
    pytest.param(list(AUDIENCE), "wrong_audience", id="its letters"),
    pytest.param(["https://other.example.com"], "wrong_audience", id="another"),
    pytest.param([""], "wrong_audience", id="an empty one"),
    pytest.param(["", ""], "wrong_audience", id="two empty ones"),
    pytest.param([AUDIENCE, 5], "bad_claim", id="a number beside it"),
    pytest.param([AUDIENCE, None], "bad_claim", id="null beside it"),
    pytest.param([5, AUDIENCE], "bad_claim", id="a number before it"),
    pytest.param([[AUDIENCE]], "bad_claim", id="in two arrays"),
    pytest.param([{"aud": AUDIENCE}], "bad_claim", id="an object in an array"),
    pytest.param([AUDIENCE, True], "bad_claim", id="true beside it"),
    pytest.param({AUDIENCE: True}, "wrong_audience", id="a name of an object"),
    pytest.param(5, "wrong_audience", id="a number"),
    pytest.param(True, "wrong_audience", id="true"),
    pytest.param(False, "wrong_audience", id="false"),
    pytest.param(..., "missing_claim", id="missing"),
    pytest.param(None, "missing_claim", id="null"),
    pytest.param("", "missing_claim", id="empty"),
    pytest.param([], "missing_claim", id="an empty array"),
    pytest.param({}, "missing_claim", id="an empty object"),
]


@pytest.mark.parametrize("as_rule", ["value", "set", "function"])
@pytest.mark.parametrize(("value", "expected"), AUDIENCES)
def test_refuses_another_audience(value: Any, expected: str, as_rule: str) -> None:
    rules: dict[str, Any] = {"value": AUDIENCE, "set": {AUDIENCE, "https://second.example.com"}}
    rules["function"] = lambda audience: audience == AUDIENCE
    assert told({"aud": value}, audience=rules[as_rule]) == expected
    renamed = {"aud": ..., "client_id": value}
    assert told(renamed, audience=rules[as_rule], audience_claim="client_id") == expected


def test_does_not_look_at_aud_where_another_claim_names_the_audience() -> None:
    assert told({"aud": AUDIENCE}, audience_claim="client_id") == "missing_claim"
    assert told({"aud": AUDIENCE, "client_id": "other"}, audience_claim="client_id") == "wrong_audience"


def test_asks_a_rule_for_the_audience_with_each_text_and_nothing_else() -> None:
    asked: list[object] = []

    def refusing(audience: object) -> bool:
        asked.append(audience)
        return False

    assert told({"aud": ["a", "", "b"]}, audience=refusing) == "wrong_audience"
    assert asked == ["a", "b"]


# --- Words of the registry -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 0, 5, 1.5, True, False, [], ["ana"], {}, {"id": "ana"}], ids=repr)
def test_refuses_a_subject_that_is_no_text(value: object) -> None:
    assert told({"sub": value}) == "bad_claim"
    assert told({"sub": value}, nullable={"sub"}) == (GOOD if value is None else "bad_claim")


@pytest.mark.parametrize("name", ["exp", "iss", "aud", "sid"])
def test_names_the_missing_claim_in_the_log_alone(name: str) -> None:
    with pytest.raises(InvalidToken) as refused:
        verifier(required=("exp", "sid")).verify(mint(claims({"sid": "s", name: ...})))
    assert str(refused.value) == f"the required claim {name!r} is missing, empty or null"
    assert name not in str(refused.value.body()) + str(refused.value.headers())


def test_takes_a_null_for_a_missing_claim_only_where_the_settings_say_so() -> None:
    judge = verifier(nullable={"sub"})
    held = judge.verify(mint(claims({"sub": None})))
    assert "sub" not in held
    assert held.subject is None
    assert told({"sub": None}, nullable={"sub"}, required=("exp", "sub")) == "missing_claim"
    assert told({"exp": None}, nullable={"exp"}) == "missing_claim"
    assert told({"iss": None}, nullable={"iss"}) == "missing_claim"
    assert told({"jti": None}, nullable={"sub"}) == "bad_claim"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(..., GOOD, id="none"),
        pytest.param("x", GOOD, id="a letter"),
        pytest.param(" ", GOOD, id="a space"),
        pytest.param("x" * 256, GOOD, id="256 letters"),
        pytest.param("\U0001f600" * 256, GOOD, id="256 letters beyond the first plane"),
        pytest.param("x" * 257, "bad_claim", id="257 letters"),
        pytest.param("x" * 4000, "bad_claim", id="4000 letters"),
        *(
            pytest.param(value, "bad_claim", id=repr(value))
            for value in ("", None, 0, 5, 1.5, True, [], ["x"], {}, {"id": "x"})
        ),
    ],
)
def test_refuses_a_token_id_of_a_wrong_kind(value: Any, expected: str) -> None:
    assert told({"jti": value}) == expected


@pytest.mark.parametrize("value", [None, False, "", 0, [], {}, {"jkt": "x"}, {"x5t#S256": "x"}, "x"], ids=repr)
def test_refuses_a_token_that_is_bound_to_a_key(value: object) -> None:
    assert told({"cnf": value}) == "sender_constrained"
    assert told({"cnf": value}, nullable={"sub"}) == "sender_constrained"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (..., GOOD),
        ("Bearer", GOOD),
        ("bearer", GOOD),
        ("BEARER", GOOD),
        *(
            (value, "sender_constrained")
            for value in ("DPoP", "dpop", "PoP", "mac", "N_A", "refresh", "ID", "", "Bearer ", " Bearer", "Bearer\x00")
        ),
        *((value, "sender_constrained") for value in (None, 0, 5, True, [], ["Bearer"], {}, {"Bearer": 1})),
    ],
    ids=repr,
)
def test_refuses_a_token_of_another_use(value: Any, expected: str) -> None:
    assert told({"token_type": value}) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, "missing_claim") for value in NOTHING),
        *((value, GOOD) for value in (0, 0.0, False, " ", "x", [0], {"": 0}, [None])),
    ],
    ids=repr,
)
def test_takes_what_is_empty_or_null_for_missing(value: Any, expected: str) -> None:
    assert told({"store": value}, required=("exp", "store")) == expected


@pytest.mark.parametrize("value", [5, 1.5, True, {"read": True}, ["read", 5], ["read", None], [["read"]]], ids=repr)
@pytest.mark.parametrize("name", ["scope", "scopes"])
def test_refuses_scopes_of_a_wrong_kind(name: str, value: object) -> None:
    assert told({name: value}) == "bad_claim"
    assert told({name: value}, scopes=name) == "bad_claim"
    assert told({name: value}, scopes=NO_SCOPES) == GOOD


@pytest.mark.parametrize(
    ("changes", "granted"),
    [
        ({"scope": "read write"}, {"read", "write"}),
        ({"scope": "  read  "}, {"read"}),
        ({"scope": "read\twrite"}, {"read\twrite"}),
        ({"scope": "read,write"}, {"read,write"}),
        ({"scope": "READ"}, {"READ"}),
        ({"scope": ""}, set()),
        ({"scope": " "}, set()),
        ({"scope": None, "scopes": ["admin"]}, set()),
        ({"scope": "read", "scopes": ["admin"]}, {"read"}),
        ({"scopes": ["read", "", "write"]}, {"read", "write"}),
        ({"scopes": ["read write"]}, {"read write"}),
        ({"scp": "admin", "roles": ["admin"]}, set()),
        ({}, set()),
    ],
)
def test_grants_no_scope_that_the_token_does_not_name(changes: dict[str, Any], granted: set[str]) -> None:
    assert verifier().verify(mint(claims(changes))).scopes == granted
    assert verifier(scopes=NO_SCOPES).verify(mint(claims(changes))).scopes == set()


@pytest.mark.parametrize("value", [5, True, ["str_1"], {"id": "str_1"}], ids=repr)
@pytest.mark.parametrize(
    "source",
    [
        pytest.param("store", id="a claim"),
        pytest.param(ClaimText("store", str), id="a spelling"),
        pytest.param(lambda values: values["store"], id="a function"),
    ],
)
@pytest.mark.parametrize("name", ["tenant", "user"])
def test_refuses_a_tenant_or_user_that_is_no_text(name: str, source: Any, value: object) -> None:
    assert told({"store": value}, **{name: source}) == "bad_claim"


@pytest.mark.parametrize("spelt", [None, "", 5, True, b"shop", ["shop"]], ids=repr)
def test_refuses_a_tenant_that_has_no_spelling(spelt: Any) -> None:
    assert told({"store": "shop"}, tenant=ClaimText("store", lambda _: spelt)) == "bad_claim"


# --- Rules as data ---------------------------------------------------------------------------------------------------

RULES = [
    pytest.param(
        "owner", ["owner"], ["Owner", "owner ", "owner\n", "", None, ["owner"], {"owner": 1}, True, 5, ...], id="a text"
    ),
    pytest.param(True, [True], [1, 1.0, "true", "True", [True], None, False, ...], id="true"),
    pytest.param(False, [False], [0, 0.0, "", "false", None, [], True, ...], id="false"),
    pytest.param(1, [1], [True, 1.0, "1", [1], 2, None, ...], id="one"),
    pytest.param(0, [0], [False, 0.0, -0.0, "0", "", None, [], ...], id="zero"),
    pytest.param({"a", "b"}, ["a", "b"], ["c", "", "ab", ["a"], {"a": 1}, None, 5, ...], id="a set"),
    pytest.param(frozenset({"a"}), ["a"], ["b", None, ["a"], ...], id="a frozen set"),
    pytest.param(
        re.compile("[0-9]+"), ["5", "12"], ["12\n", "a12", "12a", " 12", "", 12, None, ["12"], ...], id="a pattern"
    ),
    pytest.param(re.compile("^x$"), ["x"], ["x\n", "xx", "x\ny", "y\nx", ...], id="an anchored pattern"),
    pytest.param(re.compile(".*"), ["", "x"], [None, 5, ["x"], ...], id="a pattern for anything"),
    pytest.param(lambda value: value == 5, [5, 5.0], [4, None, "5", ...], id="a function"),
    pytest.param(lambda value: True, [None, "", 0, {}], [...], id="a function that takes anything"),
    pytest.param(IfPresent("x"), [..., "x"], ["y", "", None, ["x"]], id="if present, a text"),
    pytest.param(IfPresent({"x"}), [..., "x"], ["y", None], id="if present, one of a set"),
    pytest.param(IfPresent(lambda value: value == 5), [..., 5], [4, None], id="if present, a function"),
    pytest.param(IfPresent(IfPresent("x")), [..., "x"], ["y"], id="if present, twice"),
    pytest.param(ABSENT, [...], [None, "", 0, False, [], {}, "x"], id="absent"),
]


@pytest.mark.parametrize(("rule", "kept", "broken"), RULES)
def test_refuses_a_claim_that_breaks_its_rule(rule: Any, kept: list[Any], broken: list[Any]) -> None:
    for value in kept:
        assert told({"role": value}, rules={"role": rule}) == GOOD
        assert told({"role": value}, rules=(("role", rule),)) == GOOD
    for value in broken:
        assert told({"role": value}, rules={"role": rule}) == "rule_failed"


def test_keeps_every_rule_and_not_just_one() -> None:
    rules = {"role": "owner", "plan": {"pro"}, "locale": IfPresent("de")}
    assert told({"role": "owner", "plan": "pro"}, rules=rules) == GOOD
    assert told({"role": "owner", "plan": "pro", "locale": "en"}, rules=rules) == "rule_failed"
    assert told({"role": "owner"}, rules=rules) == "rule_failed"
    assert told({"plan": "pro"}, rules=rules) == "rule_failed"
    twice = (("role", IfPresent("owner")), ("role", re.compile("own.*")))
    assert told({"role": "owner"}, rules=twice) == GOOD
    assert told({"role": "owned"}, rules=twice) == "rule_failed"


# --- Rules as functions ----------------------------------------------------------------------------------------------


class Truthy:
    """Equal to everything, and true."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1

    def __bool__(self) -> bool:
        return True


def _name_of(answer: object) -> str:
    return type(answer).__name__ if isinstance(answer, Truthy) or type(answer) is object else repr(answer)


NOT_TRUE: list[Any] = [
    1,
    1.0,
    "True",
    "yes",
    [True],
    {"ok": True},
    object(),
    Truthy(),
    None,
    False,
    0,
    "",
    ...,
    NotImplemented,
]


@pytest.mark.parametrize("answer", NOT_TRUE, ids=_name_of)
def test_refuses_unless_a_rule_returns_true_itself(answer: Any) -> None:
    def asked(_: Any) -> Any:
        return answer

    assert told({}, rules={"sub": asked}) == "rule_failed"
    assert told({}, rules={"sub": IfPresent(asked)}) == "rule_failed"
    assert told({}, checks=(asked,)) == "rule_failed"
    assert told({}, checks=(lambda _: True, asked)) == "rule_failed"
    assert told({}, each_time=(asked,)) == "rule_failed"
    assert told({}, each_time=(lambda _: True, asked)) == "rule_failed"
    assert told({}, issuer=asked) == "wrong_issuer"
    assert told({}, audience=asked) == "wrong_audience"
    assert told({}, issuer=IfPresent(asked)) == "wrong_issuer"


def test_refuses_when_a_plain_function_hands_out_a_coroutine() -> None:
    async def later() -> bool:
        return True

    held: list[Coroutine[Any, Any, bool]] = []

    def asked(_: Any) -> Any:
        held.append(later())
        return held[-1]

    assert told({}, rules={"sub": asked}) == "rule_failed"
    assert told({}, checks=(asked,)) == "rule_failed"
    assert told({}, each_time=(asked,)) == "rule_failed"
    for coroutine in held:
        coroutine.close()


RAISED: list[Exception] = [
    ValueError("secret-claim"),
    KeyError("secret-claim"),
    AttributeError("secret-claim"),
    StopIteration("secret-claim"),
    RecursionError("secret-claim"),
    MemoryError("secret-claim"),
    AssertionError(),
    SettingsError("secret-claim"),
    TokenExpired(),
    ProviderUnavailable(),
    UnicodeEncodeError("utf-8", "secret-claim", 0, 1, "secret-claim"),
    ExceptionGroup("secret-claim", [ValueError("secret-claim")]),
]


PLACES = [
    pytest.param("rules", lambda function: {"sub": function}, "sub", id="a rule"),
    pytest.param("rules", lambda function: {"sub": IfPresent(function)}, "sub", id="a rule if present"),
    pytest.param("checks", lambda function: (function,), None, id="a check"),
    pytest.param("each_time", lambda function: (function,), None, id="a check of each time"),
    pytest.param("issuer", lambda function: function, "issuer", id="the issuer"),
    pytest.param("issuer", lambda function: IfPresent(function), "issuer", id="the issuer if present"),
    pytest.param("audience", lambda function: function, "audience", id="the audience"),
    pytest.param("tenant", lambda function: function, None, id="the tenant"),
    pytest.param("user", lambda function: function, None, id="the user"),
    pytest.param("user", lambda function: ClaimText("sub", function), None, id="the spelling of the user"),
    pytest.param("scopes", lambda function: function, None, id="the scopes"),
]
Wrapped = Callable[[Any], Any]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(("field", "wrapped", "name"), PLACES)
def test_refuses_and_says_which_rule_raised(
    field: str,
    wrapped: Wrapped,
    name: str | None,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def the_faulty_rule(_: Any) -> bool:
        raise error

    token = mint(claims())
    with caplog.at_level(logging.DEBUG, logger="bearerguard"):
        judge = verifier(**{field: wrapped(the_faulty_rule)})
        assert verdict(judge, token) == "rule_failed"
    (line,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert (name or "the_faulty_rule") in line.getMessage()
    assert type(error).__name__ in line.getMessage()
    assert line.exc_info is None
    assert "secret-claim" not in caplog.text
    assert not any(part in caplog.text for part in token.split("."))


def test_refuses_and_says_which_rule_raised_when_kinds_are_told_apart(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(issuer: str) -> bool:
        raise ValueError("secret-claim")

    kinds = (settings(name="faulty.kind", issuer=faulty), settings(name="other", issuer="https://other.example.com"))
    judge = Verifier(*kinds, any_kind=True, clock=Clock())
    with caplog.at_level(logging.DEBUG, logger="bearerguard"):
        caplog.clear()
        assert verdict(judge, mint(claims({"iss": "secret-claim"}))) in ("rule_failed", "no_route")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "secret-claim" not in caplog.text


def test_asks_nothing_more_once_a_rule_has_refused() -> None:
    asked: list[str] = []

    def refusing(_: Any) -> bool:
        asked.append("first")
        return False

    def second(_: Any) -> bool:
        asked.append("second")
        return True

    assert told({}, checks=(refusing, second)) == "rule_failed"
    assert told({}, rules={"sub": refusing}, checks=(second,)) == "rule_failed"
    assert told({"exp": NOW - 10}, checks=(second,)) == "expired"
    assert told({"iss": "x"}, checks=(second,), each_time=(second,)) == "wrong_issuer"
    assert asked == ["first", "first"]


async def asynchronous(_: Any) -> bool:
    return True


async def asynchronous_generator(_: Any) -> Any:
    yield True


class Asynchronous:
    async def __call__(self, _: Any) -> bool:
        return True

    async def method(self, _: Any) -> bool:
        return True

    @classmethod
    async def of_class(cls, _: Any) -> bool:
        return True

    @staticmethod
    async def static(_: Any) -> bool:
        return True


ASYNC = [
    pytest.param(asynchronous, id="function"),
    pytest.param(asynchronous_generator, id="generator"),
    pytest.param(Asynchronous(), id="object"),
    pytest.param(Asynchronous().method, id="method"),
    pytest.param(Asynchronous.of_class, id="method of a class"),
    pytest.param(Asynchronous.static, id="static method"),
    pytest.param(functools.partial(asynchronous), id="partial"),
    pytest.param(functools.partial(functools.partial(asynchronous)), id="partial of a partial"),
    pytest.param(functools.partial(Asynchronous().method), id="partial of a method"),
    pytest.param(functools.partial(Asynchronous()), id="partial of an object"),
]


@pytest.mark.parametrize("function", ASYNC)
@pytest.mark.parametrize(("field", "wrapped"), [pytest.param(*place.values[:2], id=place.id) for place in PLACES])
def test_refuses_an_asynchronous_rule_when_built(field: str, wrapped: Wrapped, function: Any) -> None:
    with pytest.raises(SettingsError, match="plain def function"):
        settings(**{field: wrapped(function)})


def test_takes_every_plain_callable_for_a_rule() -> None:
    class Owner:
        def __call__(self, value: Any) -> bool:
            return True

        def method(self, value: Any) -> bool:
            return True

    for rule in (lambda _: True, Owner(), Owner().method, functools.partial(lambda flag, _: flag, True)):
        assert told({}, checks=(rule,), each_time=(rule,), rules={"sub": rule}) == GOOD


def test_has_no_number_that_is_not_finite_among_its_verdicts() -> None:
    held = verifier().verify(mint(claims({"x": 1e308, "y": -1e308, "z": 5e-324})))
    assert all(math.isfinite(held[name]) for name in ("x", "y", "z"))
