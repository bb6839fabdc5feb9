"""`bearerguard inspect`: what it says of tokens, good and hostile, and that it never contradicts the verifier."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bearerguard import (
    ABSENT,
    AuthError,
    Claims,
    ClaimText,
    IfPresent,
    InvalidToken,
    OpaqueTokens,
    SharedSecrets,
    TokenExpired,
    Unavailable,
    Verifier,
)
from bearerguard.cli.call import listening
from bearerguard.cli.inspection.steps import Step, agrees, settled
from bearerguard.cli.inspection.telling import Judgement
from bearerguard.cli.inspection.verb import judgement
from bearerguard.errors import StoreUnavailable
from tests.command_line import ROOT, Ran, claims, run, run_process, token, whatalo
from tests.hostile import AUDIENCE, ISSUER, NOW, Clock
from tests.hostile import claims as good_claims
from tests.hostile import settings as signed
from tests.introspecting import CLIENT_ID, CLIENT_SECRET, ENDPOINT, facts, fresh
from tests.minting import SECRET, base64url, mint, private_key, public_jwk
from tests.scripted_provider import ScriptedProvider, answer, json_answer, status
from tests.servers import RedisServer, free_port

__all__ = ["whatalo"]

LONG_ON_OTHER_SERVERS = True


# --- Without settings ------------------------------------------------------------------------------------------------


def test_decodes_and_says_that_nothing_was_verified() -> None:
    ran = run("inspect", token())
    assert (ran.code, ran.err) == (0, "")
    assert "nothing was verified" in ran.out
    assert re.search(r'^  storeId +"str_1"$', ran.out, re.MULTILINE)


def test_tells_programs_the_same() -> None:
    found = run("inspect", token(), "--json").facts
    assert (found["header"], found["claims"]["storeId"]) == ({"alg": "HS256", "typ": "JWT"}, "str_1")
    assert (found["verified"], found["verdict"], found["rules"]) == (False, None, [])


def test_never_shows_a_signature() -> None:
    whole = token()
    signature = whole.rpartition(".")[2]
    for ran in (run("inspect", whole), run("inspect", whole, "--json")):
        assert signature not in ran.out
        assert signature[:12] not in ran.out


@pytest.mark.parametrize(
    ("given", "note"),
    [
        pytest.param("{0}\n", None, id="a line"),
        pytest.param("{0}\r\n", None, id="a line of Windows"),
        pytest.param("Bearer {0}", "'Bearer ' before", id="Bearer"),
        pytest.param("bearer   {0}\n", "'Bearer ' before", id="bearer and blanks"),
        pytest.param("Authorization: Bearer {0}\n", "'Authorization:' before", id="a whole header"),
        pytest.param("  {0}\n\n", "blanks around", id="blanks"),
    ],
)
def test_takes_a_token_as_it_is_pasted_and_says_so(given: str, note: str | None, tmp_path: Path) -> None:
    text = given.format(token())
    (tmp_path / "token").write_bytes(text.encode())
    rans = [
        run("inspect", "-", stdin=text),
        run("inspect", "--token-file", str(tmp_path / "token")),
        run("inspect", "--token-file", "-", stdin=text),
    ]
    for ran in rans:
        assert (ran.code, '"str_1"' in ran.out) == (0, True)
        assert (note in ran.err) if note else ran.err == ""


def with_payload(data: bytes) -> str:
    """A token of this payload, whatever it is."""
    return f"e30.{base64url(data)}.aaaa"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("abc", "has 1", id="opaque"),
        pytest.param("a.b.c.d", "has 4", id="four segments"),
        pytest.param("..", "the header is empty", id="empty segments"),
        pytest.param("e30.e30.=", "the signature has other letters", id="padding"),
        pytest.param("e30.a.aaaa", "the payload is not canonical base64url", id="no base64"),
        pytest.param(with_payload(b"[1]"), "no strict JSON: not a JSON object", id="no object"),
        pytest.param(with_payload(b"{"), "no strict JSON: not JSON", id="no JSON"),
        pytest.param(with_payload(b'{"a":1,"a":2}'), "duplicate name", id="a duplicate name"),
        pytest.param(with_payload(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"), "nested too deeply", id="deep JSON"),
        pytest.param(with_payload(b'{"a":' + b"[" * 40 + b"]" * 40 + b"}"), "nested too deeply", id="rather deep"),
        pytest.param(with_payload(b'{"a":' + b"9" * 5000 + b"}"), "number is too long", id="a number"),
        pytest.param(with_payload(b"\xff"), "not UTF-8", id="no text"),
        pytest.param("\x1b[31m.\u202e.\udcff", "other letters", id="letters that a terminal obeys"),
    ],
)
def test_says_what_is_wrong_with_a_malformed_token(text: str, says: str) -> None:
    ran = run("inspect", text)
    assert (ran.code, ran.err) == (1, "")
    assert says in ran.out
    assert all(line.isprintable() for line in ran.out.splitlines())
    assert run("inspect", text, "--json").facts["troubles"]


@pytest.mark.parametrize("verb", [("inspect",), ("status", "token")])
def test_takes_the_name_of_a_file_for_no_token(verb: Sequence[str], tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(token())
    said = run(*verb, str(tmp_path / "t.txt"), "--app", "no:where").assert_one_clear_line(2)
    assert "write --token-file FILE" in said


def test_takes_what_can_be_no_file_for_a_token() -> None:
    assert run("inspect", "x" * 5000).code == 1


def test_reads_no_token_without_an_end() -> None:
    assert "longer than" in run("inspect", "-", stdin="x" * 1_100_000).assert_one_clear_line(2)


def test_shows_a_large_token_in_part() -> None:
    large = mint({f"claim{number}": "x" * 1000 for number in range(300)})
    ran = run("inspect", "-", stdin=large)
    assert (ran.code, ran.err) == (0, "")
    assert "(200 more)" in ran.out
    assert max(map(len, ran.out.splitlines())) < 500
    assert len(run("inspect", "-", "--json", stdin=large).facts["claims"]) == 300


HOSTILE = "\x1b]0;pwned\x07\x1b[2J\u202e\n\r\x9b1m\x00\ud83d"


def test_spells_out_what_a_terminal_would_obey() -> None:
    payload = json.dumps({"iss": HOSTILE[:-1], HOSTILE[:-1]: [HOSTILE[:-1]], "exp": 1e300}).encode()
    for ran in (run("inspect", mint(payload)), run("inspect", mint(payload), "--json")):
        assert ran.code == 0
        assert all(line.isprintable() for line in ran.out.splitlines())
        assert "pwned" in ran.out


# --- With settings ---------------------------------------------------------------------------------------------------


def outcomes(ran: Ran) -> dict[str, str]:
    return {rule["rule"]: rule["outcome"] for rule in ran.facts["rules"]}


def test_explains_a_good_token(whatalo: Sequence[str]) -> None:
    ran = run("inspect", token(), *whatalo, "--json")
    assert (ran.code, set(outcomes(ran).values())) == (0, {"ok"})
    assert ran.facts["verdict"]["scopes"] == ["read:orders"]
    assert run("inspect", token(), *whatalo).out.splitlines()[-1].startswith("accepted as whatalo.session")


def test_says_which_rules_fail_and_which_were_not_asked(whatalo: Sequence[str]) -> None:
    now = int(time.time())
    ran = run("inspect", token(exp=now - 60, iat=now - 90, sub="str_2"), *whatalo, "--json")
    found = outcomes(ran)
    assert (ran.code, ran.facts["verdict"]["reason"]) == (1, "expired")
    assert [rule for rule, outcome in found.items() if outcome == "fails"] == [
        "expiry",
        "check._speaks_for_its_store",
    ]
    assert found["signature"] == "ok"
    assert found["revocation"] == "not checked"


def test_trusts_nothing_of_a_forgery(whatalo: Sequence[str]) -> None:
    forged = mint(claims(), key="another secret, as long as it has to be")
    ran = run("inspect", forged, *whatalo)
    assert ran.code == 1
    assert "claims (not verified: this is what the token says of itself)" in ran.out
    assert ran.out.splitlines()[-1] == "refused: 401 bad_signature: no configured key verifies the signature"


def test_shows_no_secret(whatalo: Sequence[str]) -> None:
    for ran in (run("inspect", token(), *whatalo), run("inspect", "x", *whatalo, "--json")):
        assert SECRET not in ran.out + ran.err


def test_takes_the_secret_from_a_variable_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_SECRET", SECRET)
    options = ("--preset", "whatalo.session_tokens", "--client-id", "wcl_1", "--client-secret-env", "THE_SECRET")
    assert run("inspect", token(), *options).code == 0


def test_verifies_with_keys_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [public_jwk(private_key("ES256"))]}))
    options = ("--preset", "oauth.jwt", "--issuer", ISSUER, "--audience", AUDIENCE, "--not-rfc9068")
    now = int(time.time())
    good = mint(good_claims({"iat": now, "exp": now + 60}), key=private_key("ES256"), alg="ES256")
    with_keys = (*options, "--algorithm", "ES256", "--jwks-file", str(tmp_path / "keys.json"))
    assert run("inspect", good, *with_keys).code == 0


@pytest.mark.parametrize("text", ["{", "no pem", '{"keys": 1}', '{"kty": "oct", "k": "AAAA"}', "{" * 100_000])
def test_says_what_is_wrong_with_a_file_of_keys(text: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(text)
    run(
        *("inspect", "x", "--preset", "jtl.app", "--app-id", "a", "--jwks-file", str(tmp_path / "keys"))
    ).assert_one_clear_line(2)


def test_tells_a_key_set_that_cannot_be_fetched_from_a_refusal() -> None:
    options = ("--preset", "oauth.jwt", "--issuer", ISSUER, "--audience", AUDIENCE, "--not-rfc9068")
    now = int(time.time())
    good = mint(good_claims({"iat": now, "exp": now + 60}), key=private_key("ES256"), alg="ES256")
    url = f"http://127.0.0.1:{free_port()}/keys"
    ran = run("inspect", good, *options, "--jwks-url", url, "--json")
    assert (ran.code, ran.facts["verdict"]["reason"]) == (3, "keys_unavailable")
    found = outcomes(ran)
    assert (found["signature"], found["expiry"], found["revocation"]) == ("could not be asked", "ok", "not checked")
    assert "'bearerguard doctor'" in run("inspect", good, *options, "--jwks-url", url).out.splitlines()[-1]


def test_tells_a_store_that_cannot_be_asked_from_a_refusal(whatalo: Sequence[str]) -> None:
    ran = run("inspect", token(), *whatalo, "--store", f"redis://127.0.0.1:{free_port()}", "--json")
    assert (ran.code, ran.facts["verdict"]["reason"]) == (3, "store_unavailable")
    assert outcomes(ran)["revocation"] == "could not be asked"


def test_asks_the_denylist(whatalo: Sequence[str], redis_server: RedisServer) -> None:
    store = ("--store", redis_server.url)
    assert run("inspect", token(), *whatalo, *store).code == 0
    assert run("revoke", "tenant", "str_1", *whatalo, *store).code == 0
    ran = run("inspect", token(), *whatalo, *store, "--json")
    assert (ran.code, ran.facts["verdict"]["reason"], outcomes(ran)["revocation"]) == (1, "revoked", "fails")


# --- Opaque tokens ---------------------------------------------------------------------------------------------------


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider(json_answer({"active": False})) as provider:
        yield provider


@pytest.fixture
def opaque(provider: ScriptedProvider, tmp_path: Path) -> Sequence[str]:
    (tmp_path / "client-secret").write_text(CLIENT_SECRET)
    return (
        *("--preset", "oauth.opaque", "--issuer", ISSUER, "--audience", AUDIENCE, "--client-id", CLIENT_ID),
        *("--client-secret-file", str(tmp_path / "client-secret")),
        *("--introspection-endpoint", provider.url(ENDPOINT)),
    )


def lively(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return facts(iat=now, exp=now + 60, token_type="Bearer", **changes)


def test_shows_what_a_provider_says(opaque: Sequence[str], provider: ScriptedProvider) -> None:
    provider.play(ENDPOINT, json_answer(lively()))
    ran = run("inspect", fresh(), *opaque, "--json")
    assert (ran.code, set(outcomes(ran).values()), ran.facts["claims"]["sub"]) == (0, {"ok"}, "ana")
    assert provider.count(ENDPOINT) == 1
    assert "claims (this is what the provider says of the token)" in run("inspect", fresh(), *opaque).out


def test_shows_what_a_provider_says_of_a_token_that_a_rule_refuses(
    opaque: Sequence[str], provider: ScriptedProvider
) -> None:
    provider.play(ENDPOINT, json_answer(lively(aud="https://other.example.com")))
    ran = run("inspect", fresh(), *opaque, "--json")
    assert (ran.code, ran.facts["verdict"]["reason"]) == (1, "wrong_audience")
    assert [rule["found"] for rule in ran.facts["rules"] if rule["outcome"] == "fails"] == [
        'it is "https://other.example.com"'
    ]


@pytest.mark.parametrize(
    ("play", "code", "reason"),
    [
        pytest.param(json_answer({"active": False}), 1, "inactive", id="inactive"),
        pytest.param(status(401), 3, "client_refused", id="a wrong secret"),
        pytest.param(status(500), 3, "provider_unavailable", id="broken"),
        pytest.param(answer(b"<html>"), 3, "provider_unavailable", id="HTML"),
    ],
)
def test_tells_what_a_provider_does(
    opaque: Sequence[str], provider: ScriptedProvider, play: Any, code: int, reason: str
) -> None:
    provider.play(ENDPOINT, play)
    ran = run("inspect", fresh(), *opaque, "--json")
    assert (ran.code, ran.facts["verdict"]["reason"]) == (code, reason)
    assert outcomes(ran)["provider"] == ("fails" if code == 1 else "could not be asked")
    assert CLIENT_SECRET not in ran.out + ran.err


# --- It never contradicts the verifier -------------------------------------------------------------------------------

ODD: tuple[Any, ...] = (
    *(None, "", "x", ISSUER, AUDIENCE, [], {}, [AUDIENCE], [AUDIENCE, 1], ["other"], {"a": 1}, 0, 1, -1, True, 1.5),
    *(NOW, NOW - 1000, NOW - 5, NOW + 5, NOW + 1000, 1e11, 1e300, str(NOW), "Bearer", "dpop", "acme", ...),
)
NAMES = ("iss", "aud", "sub", "exp", "iat", "nbf", "jti", "cnf", "token_type", "shop", "scope", "scopes", "use", "typ")
OPAQUE_NAMES = (*NAMES, "client_id", "token_use", "at_hash")
HEADERS: tuple[Mapping[str, Any], ...] = (
    *({}, {"alg": "none"}, {"alg": "RS256"}, {"alg": 1}, {"alg": None}, {"kid": ""}, {"kid": "a"}, {"crit": ["x"]}),
    *({"typ": "at+jwt"}, {"typ": "dpop+jwt"}, {"typ": 1}, {"b64": False}),
)


def _raises(_: object) -> bool:
    raise LookupError


def _is_shop(values: Mapping[str, Any]) -> bool:
    """Whether the shop is acme."""
    return values.get("shop") in (None, "acme")


VERIFIERS: Mapping[str, Mapping[str, Any]] = {
    "usual": {},
    "strict": {
        "typ": "at+jwt",
        "required": ("exp", "sub", "jti"),
        "max_lifetime": 600,
        "max_age": 100,
        "nullable": {"sub"},
        "rules": {"use": IfPresent("access"), "cnf": ABSENT},
        "max_bytes": 400,
    },
    "lenient": {"issuer": {ISSUER, "x"}, "audience": IfPresent(AUDIENCE), "leeway": 300, "iat_leeway": 0},
    "functions": {
        "issuer": lambda issuer: issuer == ISSUER,
        "checks": (_is_shop,),
        "tenant": ClaimText("shop", normalise=lambda text: text or None),
        "user": "sub",
        "each_time": (lambda claims: claims.get("shop") != "x",),
    },
    "broken": {"rules": {"shop": _raises}, "user": lambda values: values["nobody"]},
}


def word_of(verdict: Claims | AuthError | Unavailable) -> str | None:
    return None if isinstance(verdict, Claims) else verdict.reason


def assert_agreed(judged: Judgement) -> None:
    """That the steps end where the verdict says, and are not merely left out."""
    assert judged.steps, judged.verdict
    assert agrees(judged.steps, judged.verdict)


def judged(text: str, verifier: Verifier[Any], named: str | None = None) -> Judgement:
    with listening() as heard:
        return judgement(text, verifier, named=named, heard=heard)


changes = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(ODD), max_size=4)


@given(
    name=st.sampled_from(sorted(VERIFIERS)),
    changed=changes,
    headers=st.sampled_from(HEADERS),
    key=st.sampled_from([SECRET, SECRET, SECRET, "another secret, as long as it has to be"]),
    revoked=st.booleans(),
)
@settings(max_examples=150)
def test_agrees_with_the_verifier_on_signed_tokens(
    name: str, changed: dict[str, Any], headers: Mapping[str, Any], key: str, revoked: bool
) -> None:
    verifier = Verifier(signed(**VERIFIERS[name]), clock=Clock(), monotonic=Clock(0))
    if revoked:
        verifier.denylist.revoke_id("5f7c0f5e", until=NOW + 300)
    assert_agreed(judged(mint(good_claims(changed), key=key, headers=headers), verifier))


@given(text=st.one_of(st.text(max_size=60), st.binary(max_size=60).map(with_payload)))
@settings(max_examples=60)
def test_agrees_with_the_verifier_on_what_is_no_token(text: str) -> None:
    if text:
        assert_agreed(judged(text, Verifier(signed(), clock=Clock())))


@given(cut=st.integers(0, 400), put=st.sampled_from(["", ".", "=", "A", "-", "\x00", "é"]))
@settings(max_examples=60)
def test_agrees_with_the_verifier_on_damaged_tokens(cut: int, put: str) -> None:
    whole = mint(good_claims())
    at = cut % len(whole)
    assert_agreed(judged(whole[:at] + put + whole[at + 1 :], Verifier(signed(), clock=Clock())))


def several(endpoint: str = "http://127.0.0.1:1/introspect", **more: Any) -> tuple[Any, ...]:
    return (
        signed(name="first", max_bytes=600),
        signed(name="second", issuer="https://two.example.com", keys=SharedSecrets(SECRET)),
        opaque_tokens(endpoint, **more),
    )


def opaque_tokens(endpoint: str, **more: Any) -> OpaqueTokens:
    fields: dict[str, Any] = {
        "issuer": ISSUER,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "audience": AUDIENCE,
        "introspection_endpoint": endpoint,
    }
    return OpaqueTokens(**fields | more)


@given(changed=changes, kind=st.sampled_from([None, "first", "second", "opaque"]))
@settings(max_examples=80)
def test_agrees_with_the_verifier_on_several_kinds(changed: dict[str, Any], kind: str | None) -> None:
    verifier = Verifier(*several(deadline=0.05), clock=Clock(), monotonic=Clock(0))
    with verifier:
        assert_agreed(judged(mint(good_claims(changed)), verifier, kind))


@given(
    changed=st.dictionaries(
        st.sampled_from((*NAMES, "client_id", "token_use", "at_hash")), st.sampled_from(ODD), max_size=4
    ),
    active=st.sampled_from([True, True, True, True, False, None]),
    clients=st.sampled_from([None, frozenset({"x"})]),
    checks=st.sampled_from([(), (_is_shop,), (_raises,)]),
    revoked=st.booleans(),
)
@settings(max_examples=40)
def test_agrees_with_the_verifier_on_opaque_tokens(
    changed: dict[str, Any], active: bool | None, clients: Any, checks: Any, revoked: bool
) -> None:
    with ScriptedProvider(json_answer({**facts(**changed), "active": active})) as provider:
        kind = opaque_tokens(provider.url(ENDPOINT), clients=clients, checks=checks)
        with Verifier(kind, clock=Clock(), monotonic=Clock(0)) as verifier:
            if revoked:
                verifier.denylist.revoke_id("5f7c0f5e", until=NOW + 300)
            assert_agreed(judged(fresh(), verifier))


def test_leaves_the_rules_out_where_they_contradict_the_verifier() -> None:
    turns = iter([False, True, True])
    verifier = Verifier(signed(checks=(lambda _: next(turns),)), clock=Clock())
    found = judged(mint(good_claims()), verifier)
    assert (word_of(found.verdict), found.steps) == ("rule_failed", ())


def test_says_so_where_the_settings_let_pass_what_could_not_be_asked(whatalo: Sequence[str]) -> None:
    from bearerguard import RedisStore

    store = RedisStore(f"redis://127.0.0.1:{free_port()}", on_failure="open")
    with Verifier(signed(), store=store, clock=Clock()) as verifier:
        found = judged(mint(good_claims()), verifier)
    assert isinstance(found.verdict, Claims)
    (step,) = [step for step in found.steps if step.rule == "revocation"]
    assert (step.outcome, "let the token pass" in (step.found or "")) == ("not checked", True)


class Passing(Clock):
    """A clock that goes on each time that somebody looks."""

    def __call__(self) -> float:
        self.now += 0.08
        return self.now


def test_explains_a_token_that_ends_meanwhile() -> None:
    verifier = Verifier(signed(), clock=Passing(NOW + 309.9))
    assert_agreed(judged(mint(good_claims()), verifier))


OPEN = Step("open", "", may_say=frozenset({"bad_signature", "store_unavailable"}))
HOLDS = Step("holds", "", "ok")
EXPIRED = Step("expiry", "", "fails", "expired")


@pytest.mark.parametrize(
    ("steps", "verdict", "decided"),
    [
        pytest.param([OPEN, EXPIRED], TokenExpired(), ["ok", "fails"], id="what came before was passed"),
        pytest.param([OPEN, EXPIRED], InvalidToken("bad_signature"), ["fails", "fails"], id="it stopped before"),
        pytest.param([EXPIRED, OPEN], TokenExpired(), ["fails", "not checked"], id="what comes after was not asked"),
        pytest.param([HOLDS, OPEN], StoreUnavailable(), ["ok", "could not be asked"], id="nobody knows"),
        pytest.param([HOLDS], TokenExpired(), [], id="a refusal that no rule explains"),
        pytest.param([EXPIRED], InvalidToken("wrong_issuer"), [], id="a refusal for another reason"),
        pytest.param([EXPIRED, OPEN], Claims({}, kind="any"), [], id="accepted, though a rule fails"),
        pytest.param([HOLDS, OPEN], Claims({}, kind="any"), ["ok", "ok"], id="accepted"),
    ],
)
def test_lets_the_verdict_decide(steps: Sequence[Step], verdict: Any, decided: Sequence[str]) -> None:
    assert [step.outcome for step in settled(steps, verdict)] == decided


def test_describes_rules_in_words() -> None:
    from bearerguard import UNCHECKED
    from bearerguard.cli.inspection.wording import rule_in_words

    said = {
        rule_in_words("a"): 'is "a"',
        rule_in_words(True): "is true",
        rule_in_words({"b", "a"}): 'is one of "a", "b"',
        rule_in_words(re.compile(r"\d+")): r"fits the pattern \d+",
        rule_in_words(ABSENT): "is not there",
        rule_in_words(IfPresent("a")): 'is not there, or is "a"',
        rule_in_words(UNCHECKED): "is not checked (UNCHECKED)",
        rule_in_words(_is_shop): "keeps this rule: the shop is acme",
        rule_in_words(_raises): "keeps this rule: _raises",
        rule_in_words(print): "keeps this rule: print",
    }
    assert [given for given, wanted in said.items() if given != wanted] == []


def test_names_kinds_that_the_verifier_has(app_of_several: str) -> None:
    assert "is no kind of this verifier" in run(
        "inspect", "x", "--app", app_of_several, "--kind", "y"
    ).assert_one_clear_line(2)
    assert run("inspect", mint(good_claims()), "--app", app_of_several, "--kind", "second", "--json").code == 1


@pytest.fixture
def app_of_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "app_of_several.py").write_text(
        "from bearerguard import Verifier\n"
        "from tests.test_cli_inspect import several\n"
        "verifier = Verifier(*several())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "app_of_several"


ASYNC_APP = """\
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from bearerguard import RedisStore, Verifier
from bearerguard.platforms import whatalo
client = redis.asyncio.Redis.from_url(
    "{url}", socket_timeout=0.25, socket_connect_timeout=0.25, retry=Retry(NoBackoff(), 0)
)
settings = whatalo.session_tokens(client_id="wcl_1", client_secret="{secret}")
verifier = Verifier(settings, store=RedisStore(client))
"""


def test_asks_an_async_client_in_a_loop(redis_server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "async_app.py").write_text(ASYNC_APP.format(url=redis_server.url, secret=SECRET))
    env = {"PYTHONPATH": str(ROOT / "src")}
    for argv, code in (
        (("revoke", "tenant", "str_1"), 0),
        (("inspect", token()), 1),
        (("doctor",), 0),
    ):
        ran = run_process(*argv, "--app", "async_app", "--json", cwd=tmp_path, env=env)
        assert (ran.code, ran.err) == (code, "")
        assert ran.facts
