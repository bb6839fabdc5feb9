"""The rules of introspection, as tables: no clock, no socket, no store."""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bearerguard import UNCHECKED, AuthError, ClaimText, IfPresent, InvalidToken, SharedSecrets, TokenExpired
from bearerguard.rules.client_auth import client_form
from bearerguard.rules.introspection import accepted_facts, check_shape, facts_of, introspection_form, seconds_to_keep
from bearerguard.rules.introspection_entries import Answer, EntryKeys, Forged
from bearerguard.rules.provider_answers import (
    LONGEST_PAUSE_SECONDS,
    knows_no_such_token,
    pause_asked_for,
    refuses_client,
)
from bearerguard.rules.revocation import identity_of
from bearerguard.settings import OpaqueTokens
from bearerguard.settings.fields import ClientAuth
from tests.hostile import AUDIENCE, ISSUER, NOW
from tests.introspecting import CLIENT_ID, CLIENT_SECRET, OTHER_CLIENT_SECRET, facts

ENDPOINT = "https://id.example.com/introspect"
DIGEST = bytes(range(32))
NAMES = ("d:" + "A" * 43, "u:" + "B" * 43)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def settings(**changes: Any) -> OpaqueTokens:
    usual: dict[str, Any] = {
        "issuer": ISSUER,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "audience": AUDIENCE,
        "introspection_endpoint": ENDPOINT,
    }
    return OpaqueTokens(**usual | changes)


def keys(endpoint: str = ENDPOINT, **changes: Any) -> EntryKeys:
    return EntryKeys(settings(**changes), endpoint)


# --- The question ----------------------------------------------------------------------------------------------------


@given(token=st.text("abc+/=~._-", min_size=1), hint=st.none() | TEXTS, client_id=TEXTS, secret=TEXTS)
def test_asks_with_either_header_or_body_and_never_both(
    token: str, hint: str | None, client_id: str, secret: str
) -> None:
    proofs: list[ClientAuth] = ["client_secret_basic", "client_secret_basic_raw", "client_secret_post"]
    for proof in proofs:
        kind = settings(client_id=client_id, client_auth=proof, token_type_hint=hint)
        form = introspection_form(token, kind, secret.encode())
        fields = parse_qsl(form.body.decode(), strict_parsing=True)
        said = dict(fields)
        assert len(said) == len(fields)
        assert (said.pop("token"), said.pop("token_type_hint", None)) == (token, hint)
        in_body = {"client_id": client_id, "client_secret": secret} if proof == "client_secret_post" else {}
        assert said == in_body
        assert ("authorization" in form.headers) == (proof != "client_secret_post")
        assert all(name.isascii() and value.isascii() and value.isprintable() for name, value in form.headers.items())


@given(client_id=TEXTS, secret=st.binary(min_size=1, max_size=40))
@example(client_id="a:b", secret=b":")
@example(client_id="1%3A", secret=b"%+ ")
def test_spells_a_pair_that_is_read_in_one_way(client_id: str, secret: bytes) -> None:
    form = client_form({}, client_id=client_id, secret=secret, client_auth="client_secret_basic")
    pair = base64.b64decode(form.headers["authorization"].removeprefix("Basic "), validate=True).decode("ascii")
    first, second = pair.split(":")
    assert unquote_plus(first) == client_id
    assert unquote_plus(second, encoding="latin-1").encode("latin-1") == secret


# --- The answer ------------------------------------------------------------------------------------------------------


@given(said=st.dictionaries(st.text(max_size=8), JSON, max_size=4), active=JSON)
def test_believes_true_and_nothing_else(said: dict[str, Any], active: Any) -> None:
    whole = {**said, "active": active}
    try:
        found = facts_of(json.dumps(whole).encode(), "the token itself")
    except ValueError:
        assert active is not True or "\\ud" in json.dumps(whole)
        return
    assert active is (found is not None)
    assert found is None or found == {name: value for name, value in said.items() if name != "active"}


@given(body=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_raises_nothing_but_value_errors_for_any_answer(body: bytes) -> None:
    try:
        facts_of(body, "the token itself")
    except ValueError:
        return
    assert json.loads(body)["active"] in (True, False)


@given(
    said=st.dictionaries(
        st.sampled_from([*facts(), "nbf", "scope", "cnf", "token_type", "token_use", "typ", "at_hash", "client_id"]),
        JSON | st.sampled_from([ISSUER, AUDIENCE, NOW, NOW + 9, "Bearer", "access", "web", [AUDIENCE], 10**400, -0.0]),
    ),
    changes=st.sampled_from(
        [{}, {"clients": {"web"}}, {"audience": UNCHECKED}, {"issuer": UNCHECKED}, {"tenant": "tenant", "user": "sub"}]
    ),
)
def test_refuses_with_our_own_errors_whatever_the_facts_are(said: dict[str, Any], changes: dict[str, Any]) -> None:
    kind = settings(**changes)
    try:
        seconds_to_keep(said, at_most=60, sent_at=NOW)
        accepted, starts_at, dies_at = accepted_facts(said, kind, token=b"token", now=NOW)
    except AuthError:
        return
    assert starts_at <= NOW < dies_at
    assert kind.issuer is UNCHECKED or accepted.issuer == ISSUER
    assert kind.audience is UNCHECKED or AUDIENCE in (accepted["aud"], *accepted["aud"])
    assert kind.clients is None or accepted["client_id"] in kind.clients
    assert "cnf" not in accepted
    assert identity_of(accepted) is not None


@given(
    exp=st.none() | st.integers(NOW - 400, NOW + 400) | st.floats(NOW - 400, NOW + 400),
    leeway=st.integers(0, 300),
    now=st.integers(NOW - 400, NOW + 800),
)
def test_never_accepts_after_the_end(exp: float | None, leeway: int, now: float) -> None:
    said = facts(active=..., exp=... if exp is None else exp)
    end = math.inf if exp is None else math.floor(exp) + leeway
    kind = settings(leeway=leeway)
    if now >= end:
        with pytest.raises(TokenExpired):
            accepted_facts(said, kind, token=b"token", now=now)
    else:
        assert accepted_facts(said, kind, token=b"token", now=now)[2] == end


@pytest.mark.parametrize(
    ("exp", "at_most", "sent_at", "seconds"),
    [
        pytest.param(..., 60, NOW, 60, id="no end"),
        pytest.param(NOW + 300, 60, NOW, 60, id="far"),
        pytest.param(NOW + 300, 0, NOW, 0, id="nothing is to be kept"),
        pytest.param(NOW + 5, 60, NOW, 5, id="near"),
        pytest.param(NOW + 5, 60, NOW + 4.5, 0.5, id="nearer"),
        pytest.param(NOW + 5, 60, NOW + 5, 0, id="now"),
        pytest.param(NOW - 5, 60, NOW, 0, id="over"),
        pytest.param(NOW + 5.5, 60, NOW, 5.5, id="a fraction"),
    ],
)
def test_knows_how_long_an_answer_may_be_kept(exp: Any, at_most: float, sent_at: float, seconds: float) -> None:
    assert seconds_to_keep(facts(exp=exp), at_most=at_most, sent_at=sent_at) == seconds


@pytest.mark.parametrize(
    ("now", "at_most", "left"),
    [(NOW, 60, 30), (NOW + 29, 60, 1), (NOW + 30, 60, 0), (NOW + 31, 60, 0), (NOW - 1, 60, 0), (NOW + 5, 10, 5)],
)
def test_knows_how_long_an_answer_is_fresh(now: float, at_most: float, left: float) -> None:
    assert Answer({}, NOW, 30).fresh_for(now=now, at_most=at_most) == left


@given(token=st.binary(min_size=1, max_size=60))
def test_lets_no_odd_letter_through(token: bytes) -> None:
    try:
        check_shape(token, settings())
    except InvalidToken:
        return
    assert re.fullmatch(rb"[A-Za-z0-9._~+/-]+=*", token)


@given(token=st.text("ab.=-", min_size=1, max_size=12))
def test_lets_a_pattern_decide_about_the_whole_token(token: str) -> None:
    kind = settings(pattern=r"[ab]{3}|b")
    try:
        check_shape(token.encode(), kind)
    except InvalidToken:
        assert not re.fullmatch(r"[ab]{3}|b", token)
        return
    assert re.fullmatch(r"[ab]{3}|b", token)


@pytest.mark.parametrize(
    ("token", "says"),
    [
        pytest.param(b"c", "does not fit pattern", id="another pattern"),
        pytest.param(b"a b", "letters that no bearer token has", id="a blank"),
    ],
)
def test_speaks_of_no_segments_of_an_opaque_token(token: bytes, says: str) -> None:
    with pytest.raises(InvalidToken) as refused:
        check_shape(token, settings(pattern="[ab]"))
    assert (refused.value.reason, says in str(refused.value)) == ("malformed", True)
    assert refused.value.body() == {"error": "invalid_token", "detail": "the token is not valid"}


# --- What a status means ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "refuses"),
    [
        (401, b"", True),
        (401, b'{"error":"invalid_token"}', True),
        (403, b"<html>", True),
        (400, b'{"error":"invalid_client"}', True),
        (400, b'{"error":"invalid_request"}', False),
        (400, b'{"error":["invalid_client"]}', False),
        (400, b'{"error":"invalid_client","error":"x"}', False),
        (400, b"invalid_client", False),
        (400, b'["invalid_client"]', False),
        (400, b"\xff", False),
        (200, b'{"error":"invalid_client"}', False),
        (404, b'{"error":"invalid_client"}', False),
        (500, b'{"error":"invalid_client"}', False),
    ],
)
def test_knows_whether_our_credentials_were_refused(status: int, body: bytes, refuses: bool) -> None:
    assert refuses_client(status, body) is refuses


@given(status=st.sampled_from([200, 400, 401, 429, 500, 503]), text=st.none() | st.text() | st.integers().map(str))
def test_never_pauses_for_longer_than_half_a_minute(status: int, text: str | None) -> None:
    pause = pause_asked_for(status, {} if text is None else {"retry-after": text})
    assert 0 <= pause <= LONGEST_PAUSE_SECONDS == 30
    assert (status == 429) <= (pause >= 1)
    assert pause == 0 or status in (429, 503)


# --- Entries ---------------------------------------------------------------------------------------------------------


@given(said=st.dictionaries(TEXTS, JSON, max_size=5), seconds=st.floats(0, 60), names=st.sampled_from([(), NAMES]))
def test_reads_what_it_wrote(said: dict[str, Any], seconds: float, names: tuple[str, ...]) -> None:
    assume("\\ud" not in json.dumps(said))
    answer = Answer(said, NOW + 0.25, seconds)
    entry = KEYS.entry(NAME, answer, names)
    assert entry.isascii()
    assert entry.isprintable()
    assert KEYS.answer(NAME, entry) == (answer, names)


KEYS = keys()
NAME = KEYS.name(DIGEST)
ENTRY = KEYS.entry(NAME, Answer(facts(active=...), NOW, 60), NAMES)
OTHER_NAME = KEYS.name(bytes(32))


@given(place=st.integers(0, len(ENTRY) - 1), letter=st.characters(max_codepoint=255))
def test_takes_no_entry_with_another_letter(place: int, letter: str) -> None:
    assume(ENTRY[place] != letter)
    _is_forged(ENTRY[:place] + letter + ENTRY[place + 1 :])


@given(place=st.integers(0, len(ENTRY) - 1), letters=st.text(max_size=3))
def test_takes_no_entry_with_more_letters_or_fewer(place: int, letters: str) -> None:
    assume(letters)
    _is_forged(ENTRY[:place] + letters + ENTRY[place:])
    _is_forged(ENTRY[:place])
    _is_forged(ENTRY[place + 1 :])


@given(text=st.text() | st.lists(st.text("1|.dut:AB ", max_size=8), max_size=4).map("|".join))
def test_takes_no_text_for_an_entry(text: str) -> None:
    _is_forged(text)
    _is_forged(f"1|{text}")
    _is_forged(f"1||{text}.AAAA")


def test_takes_no_entry_of_another_name() -> None:
    with pytest.raises(Forged):
        KEYS.answer(OTHER_NAME, ENTRY)


def _is_forged(entry: str) -> None:
    with pytest.raises(Forged):
        KEYS.answer(NAME, entry)


def test_takes_no_entry_whose_parts_were_moved_into_one_another() -> None:
    """What is proved is the parts, and not only the text that they make together."""
    version, names, rest = ENTRY.split("|")
    body, proof = rest.split(".")
    for other in (
        f"{version}|{names}{body[:4]}|{body[4:]}.{proof}",
        f"{version}|{names[:-4]}|{names[-4:]}{body}.{proof}",
    ):
        _is_forged(other)


OTHERS: dict[str, dict[str, Any]] = {
    "another endpoint": {"endpoint": ENDPOINT + "/"},
    "another issuer": {"issuer": ISSUER + "/"},
    "any issuer": {"issuer": UNCHECKED},
    "another client": {"client_id": CLIENT_ID + "2"},
    "issuer and client moved": {"issuer": ISSUER + "o", "client_id": CLIENT_ID[1:]},
    "another secret": {"client_secret": OTHER_CLIENT_SECRET},
    "another audience": {"audience": AUDIENCE + "/"},
    "any audience": {"audience": UNCHECKED},
    "audience in a set": {"audience": {AUDIENCE}},
    "audience in a larger set": {"audience": {AUDIENCE, "x"}},
    "audience perhaps": {"audience": IfPresent(AUDIENCE)},
    "audience perhaps in a set": {"audience": IfPresent({AUDIENCE})},
    "audience by pattern": {"audience": re.compile(re.escape(AUDIENCE))},
    "audience by pattern, in any case": {"audience": re.compile(re.escape(AUDIENCE), re.IGNORECASE)},
    "audience by function": {"audience": str.isascii},
    "audience by another function": {"audience": str.islower},
    "clients": {"clients": {"web"}},
    "other clients": {"clients": {"web", "pos"}},
    "clients that spell alike": {"clients": {"web3:pos"}},
    "post": {"client_auth": "client_secret_post"},
    "raw": {"client_auth": "client_secret_basic_raw"},
    "another authority": {"authority": "shop"},
    "another tenant": {"tenant": "org"},
    "another user": {"user": "email"},
    "another user, spelt": {"user": ClaimText("email", normalise=str.lower)},
}


def test_finds_a_name_of_its_own_for_all_that_binds_an_entry() -> None:
    everybody = [KEYS, *(keys(**changes) for changes in OTHERS.values())]
    names = [each.name(DIGEST) for each in everybody]
    assert len(set(names)) == len(names)
    for each, name in zip(everybody, names, strict=True):
        for other in everybody:
            if other is not each:
                with pytest.raises(Forged):
                    other.answer(name, each.entry(name, Answer({}, NOW, 60), ()))


def test_has_another_key_id_for_another_secret() -> None:
    ids = {keys(**changes).name(DIGEST).split(":")[1] for changes in ({}, OTHERS["another secret"], OTHERS["post"])}
    assert len(ids) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"client_secret": SharedSecrets(CLIENT_SECRET, OTHER_CLIENT_SECRET)},
        {"client_secret": CLIENT_SECRET.encode()},
        {"name": "other"},
        {"leeway": 5, "cache_seconds": 5},
    ],
    ids=str,
)
def test_finds_the_same_name_for_all_that_does_not_bind_it(changes: dict[str, Any]) -> None:
    if isinstance(changes.get("client_secret"), bytes):
        changes = {"client_secret": SharedSecrets(changes["client_secret"])}
    assert keys(**changes).name(DIGEST) == NAME


@given(one=st.binary(max_size=40), other=st.binary(max_size=40))
def test_finds_another_name_for_another_token(one: bytes, other: bytes) -> None:
    assert (KEYS.name(one) == KEYS.name(other)) == (one == other)


@pytest.mark.parametrize(
    ("status", "body", "is_so"),
    [
        pytest.param(400, b'{"error": "unsupported_token_type"}', True, id="it cannot judge such a token"),
        pytest.param(400, b'{"error": "invalid_request"}', False, id="it finds fault with the question"),
        pytest.param(400, b'{"error": "invalid_client"}', False, id="it finds fault with us"),
        pytest.param(503, b'{"error": "unsupported_token_type"}', False, id="another status"),
        pytest.param(400, b"<html>", False, id="no JSON"),
    ],
)
def test_tells_a_fault_of_the_token_from_one_of_the_question(status: int, body: bytes, is_so: bool) -> None:
    assert knows_no_such_token(status, body) is is_so


@pytest.mark.parametrize(
    "said",
    [{"token": "the token itself"}, {"ext": {"of": ["the token itself"]}}, {"the token itself": 1}],
    ids=["as a member", "deep inside", "as a name"],
)
def test_keeps_no_token_that_the_provider_repeats(said: dict[str, Any]) -> None:
    found = facts_of(json.dumps({"active": True, "sub": "ana", **said}).encode(), "the token itself")
    assert found is not None
    assert "the token itself" not in json.dumps(found)
    assert found["sub"] == "ana"
