"""What a token endpoint grants, for how long it is used, and how it is shared: rules without any waiting."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bearerguard import ClientCredentials, MemoryStore, SettingsError, SharedSecrets
from bearerguard.encoding import base64url, from_base64url
from bearerguard.rules.token_answer import (
    BACKOFF,
    AccessToken,
    Grant,
    Held,
    access_token,
    after_failure,
    grant_of,
    seconds_ahead,
    seconds_of,
)
from bearerguard.rules.token_entries import NotOurs, TokenBox
from bearerguard.rules.token_request import TokenRequest

SECRET = "s" * 32
DAY = 86_400.0
AT = "https://id.example.com/oauth2/token"
API = "https://api.example.com"

GOOD: dict[str, Any] = {
    "client_id": "orders",
    "client_secret": SECRET,
    "token_url": AT,
    "origins": {API},
}


def request(**changes: Any) -> TokenRequest:
    """A request of which nothing is left to a default."""
    fields: dict[str, Any] = {
        "client_id": "orders",
        "client_secret": SECRET,
        "token_url": AT,
        "issuer": None,
        "client_auth": "client_secret_basic",
        "scope": "read",
        "resource": None,
        "extra": None,
        "margin": 60,
    }
    return TokenRequest(**fields | changes)


# --- Settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        pytest.param({"token_url": None}, "give token_url='https", id="nowhere to ask"),
        pytest.param({"issuer": "https://id.example.com"}, "and not both", id="two places to ask"),
        pytest.param({"token_url": "http://id.example.com/token"}, "must be https", id="http"),
        pytest.param({"token_url": "id.example.com/token"}, "absolute URL", id="no URL"),
        pytest.param({"token_url": None, "issuer": "http://id.example.com"}, "must be https", id="an issuer over http"),
        pytest.param({"token_url": None, "issuer": "https://id.example.com?a"}, "has a query", id="a queried issuer"),
        pytest.param({"token_url": None, "issuer": 5}, "absolute URL", id="an issuer that is no text"),
        pytest.param({"client_id": ""}, "client_id is empty", id="no client"),
        pytest.param({"client_secret": ""}, "secret is empty", id="no secret"),
        pytest.param({"client_auth": "none"}, "client_secret_basic", id="an unknown proof"),
        pytest.param({"scope": ""}, "scope is empty", id="an empty scope"),
        pytest.param({"scope": ["a"]}, "scope is empty or no text", id="a list of scopes"),
        pytest.param({"resource": ""}, "resource is empty", id="an empty resource"),
        pytest.param({"extra": "a=b"}, "extra maps", id="extra in one text"),
        pytest.param({"extra": {"audience": 5}}, "extra['audience']", id="extra that is no text"),
        pytest.param({"extra": {5: "a"}}, "field in extra", id="an extra name that is no text"),
        pytest.param({"extra": {"grant_type": "password"}}, "always client_credentials", id="another grant"),
        pytest.param({"extra": {"client_id": "x"}}, "client_id=...", id="another client"),
        pytest.param({"extra": {"client_secret": "x"}}, "client_secret=...", id="another secret"),
        pytest.param({"extra": {"scope": "x"}}, "scope=...", id="another scope"),
        pytest.param({"extra": {"resource": "x"}}, "resource=...", id="another resource"),
        pytest.param({"margin": -1}, "use 0 to 3600", id="a margin before the beginning"),
        pytest.param({"margin": "60"}, "use 0 to 3600", id="a margin that is no number"),
        pytest.param({"origins": set()}, "origins is empty", id="no origins"),
        pytest.param({"origins": API}, "takes several values", id="one origin alone"),
        pytest.param({"origins": {API + "/v2"}}, "with no path", id="an origin with a path"),
        pytest.param({"origins": {API + "/"}}, "with no path", id="an origin with a slash"),
        pytest.param({"origins": {"https://API.example.com"}}, "write an origin", id="an origin in capitals"),
        pytest.param({"origins": {"https://api.example.com:443"}}, "write an origin", id="an origin with a usual port"),
        pytest.param({"origins": {"http://api.example.com"}}, "must be https", id="an origin over http"),
        pytest.param({"origins": {"*"}}, "absolute URL", id="every origin"),
        pytest.param({"store": 5}, "store is a int", id="no store"),
    ],
)
def test_says_what_to_write_instead(changes: dict[str, Any], advice: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ClientCredentials(**GOOD | changes)
    assert advice in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="the usual"),
        pytest.param({"token_url": "http://127.0.0.1:8000/token"}, id="an endpoint on this machine"),
        pytest.param({"token_url": None, "issuer": "https://id.example.com/realm"}, id="an issuer"),
        pytest.param({"origins": {"http://localhost:8000", API}}, id="an origin on this machine"),
        pytest.param({"origins": ["https://[::1]:8443"]}, id="an origin by its address"),
        pytest.param({"client_secret": SharedSecrets("new" * 20, "old" * 20)}, id="two secrets"),
        pytest.param({"scope": "a b", "resource": API, "extra": {"audience": API}}, id="all that can be asked for"),
        pytest.param({"margin": 0}, id="no margin"),
        pytest.param({"store": MemoryStore()}, id="a store of this process"),
    ],
)
def test_takes_settings_without_any_waiting(changes: dict[str, Any]) -> None:
    ClientCredentials(**GOOD | changes)


def test_needs_origins() -> None:
    with pytest.raises(TypeError, match="origins"):
        ClientCredentials(client_id="orders", client_secret=SECRET, token_url=AT)  # type: ignore[call-arg]


def test_shows_who_asks_where_and_no_secret() -> None:
    assert repr(ClientCredentials(**GOOD)) == f"<ClientCredentials 'orders' at '{AT}'>"
    by_issuer = ClientCredentials(**GOOD | {"token_url": None, "issuer": "https://id.example.com"})
    assert repr(by_issuer) == "<ClientCredentials 'orders' at 'https://id.example.com'>"
    for thing in (request(), Grant("hush", 5.0), AccessToken("hush", 1.0, 2.0), Held(AccessToken("hush", 1.0, 2.0))):
        assert SECRET not in repr(thing)
        assert "hush" not in repr(thing)


@pytest.mark.parametrize(("secret", "warns"), [("s" * 31, True), ("s" * 32, False)])
@pytest.mark.parametrize(("store", "is_shared"), [(None, False), ("memory://", False), ("redis://localhost", True)])
def test_warns_of_a_secret_too_short_to_share_tokens(
    secret: str, warns: bool, store: str | None, is_shared: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ClientCredentials(**GOOD | {"client_secret": secret, "store": store})
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [("32 bytes" in line, secret in line) for line in lines] == [(True, False)] * (warns and is_shared)


def test_asks_for_what_the_settings_say() -> None:
    asked = request(scope="a b", resource=API, extra={"audience": "x"}, client_auth="client_secret_post")
    assert dict(asked.fields) == {
        "grant_type": "client_credentials",
        "scope": "a b",
        "resource": API,
        "audience": "x",
    }
    assert asked.form(b"hush").body == (
        b"grant_type=client_credentials&scope=a+b&resource=https%3A%2F%2Fapi.example.com&audience=x"
        b"&client_id=orders&client_secret=hush"
    )


@pytest.mark.parametrize(("missing", "parents"), [("", 2), ("httpx2", 1)])
def test_is_an_auth_of_every_library_there_is(missing: str, parents: int) -> None:
    script = f"""
import sys
if {missing!r}:
    sys.modules[{missing!r}] = None
from bearerguard import ClientCredentials
print(sum(each.__module__ in ("httpx", "httpx._auth", "httpx2", "httpx2._auth") for each in ClientCredentials.__mro__))
"""
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == (str(parents), "")


# --- Answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "grant"),
    [
        pytest.param({"access_token": "a.b-c"}, Grant("a.b-c", 1), id="nothing but a token"),
        pytest.param({"access_token": "a", "expires_in": 300, "token_type": "Bearer"}, Grant("a", 300), id="the usual"),
        pytest.param({"access_token": "a", "expires_in": 300, "token_type": "bEARER"}, Grant("a", 300), id="any case"),
        pytest.param({"access_token": "a+/~._-==", "expires_in": 5.5}, Grant("a+/~._-==", 5.5), id="all letters"),
        pytest.param({"access_token": "a", "refresh_token": 5, "x": [{}]}, Grant("a", 1), id="more than we need"),
        pytest.param({}, None, id="no token"),
        pytest.param({"access_token": None}, None, id="null"),
        pytest.param({"access_token": ""}, None, id="an empty token"),
        pytest.param({"access_token": "==="}, None, id="padding alone"),
        pytest.param({"access_token": "a b"}, None, id="a space"),
        pytest.param({"access_token": "a\r\nX-Evil: 1"}, None, id="a header more"),
        pytest.param({"access_token": "a\u00e9"}, None, id="a letter beyond ASCII"),
        pytest.param({"access_token": ["a"]}, None, id="a list"),
        pytest.param({"access_token": 5}, None, id="a number"),
        pytest.param({"access_token": "a", "token_type": "mac"}, None, id="another type"),
        pytest.param({"access_token": "a", "token_type": "DPoP"}, None, id="bound to a key"),
        pytest.param({"access_token": "a", "token_type": None}, None, id="null for a type"),
        pytest.param({"access_token": "a", "token_type": ["Bearer"]}, None, id="a list of types"),
        pytest.param({"access_token": "a", "token_type": "N_A"}, None, id="no type"),
        pytest.param([], None, id="no object"),
        pytest.param("a", None, id="a text"),
    ],
)
def test_reads_what_is_granted(answer: Any, grant: Grant | None) -> None:
    body = json.dumps(answer).encode()
    if grant is not None:
        assert grant_of(body) == grant
        return
    with pytest.raises(ValueError, match=r"."):
        grant_of(body)


@given(st.binary() | st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_grants_or_refuses_whatever_is_answered(value: Any) -> None:
    member = json.dumps(value).encode() if not isinstance(value, bytes) else value
    for body in (member, b'{"access_token":' + member + b"}", b'{"access_token":"a","expires_in":' + member + b"}"):
        try:
            grant = grant_of(body)
        except ValueError:
            continue
        assert 1 <= grant.seconds <= DAY


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, 1),
        (0, 1),
        (-1, 1),
        (-(10**400), 1),
        (0.25, 1),
        (1e-300, 1),
        (True, 1),
        (False, 1),
        ("3600", 1),
        ("", 1),
        ([3600], 1),
        ({}, 1),
        (math.nan, 1),
        (math.inf, 1),
        (-math.inf, 1),
        (1, 1),
        (2, 2),
        (59.5, 59.5),
        (3599, 3599),
        (86_400, DAY),
        (86_401, DAY),
        (10**12, DAY),
        (1e308, DAY),
        (int("9" * 400), DAY),
    ],
    ids=lambda value: f"{value}"[:12],
)
def test_uses_a_token_for_as_long_as_makes_sense(said: object, seconds: float) -> None:
    assert seconds_of(said) == seconds
    assert type(seconds_of(said)) is float


@pytest.mark.parametrize(
    ("seconds", "margin", "ahead"),
    [
        pytest.param(3600, 60, 60, id="the usual"),
        pytest.param(90, 60, 60, id="a short one"),
        pytest.param(60, 60, 0, id="no longer than the margin"),
        pytest.param(59, 60, 0, id="shorter than the margin"),
        pytest.param(1, 60, 0, id="this request only"),
        pytest.param(60.25, 60, 59.25, id="a bit longer than the margin: not in a loop"),
        pytest.param(3600, 0, 0, id="no margin"),
        pytest.param(1, 0, 0, id="no margin and no time"),
        pytest.param(1, 0.5, 0, id="hardly a margin"),
    ],
)
def test_replaces_a_token_ahead_of_its_end(seconds: float, margin: float, ahead: float) -> None:
    assert seconds_ahead(seconds, margin) == ahead
    token = access_token(Grant("a", seconds), asked_at=1000, margin=margin)
    assert (token.refresh_at, token.ends_at) == (1000 + seconds - ahead, 1000 + seconds)


@given(st.floats(1, DAY), st.floats(0, 3600))
def test_never_replaces_a_token_before_a_second_has_passed(seconds: float, margin: float) -> None:
    token = access_token(Grant("a", seconds), asked_at=0, margin=margin)
    assert 0.999 <= token.refresh_at <= token.ends_at


def test_is_more_patient_after_each_failure() -> None:
    held, pauses = Held(), []
    for _ in range(8):
        held = after_failure(held, now=100.0, quiet_until=0.0, reason="client_refused")
        pauses.append(held.ask_again_at - 100)
    assert pauses == [*BACKOFF, 30, 30]
    assert held.reason == "client_refused"


@pytest.mark.parametrize(("quiet_until", "ask_again_at"), [(0, 101), (100.5, 101), (120, 120), (130, 130)])
def test_leaves_the_endpoint_alone_for_as_long_as_it_wants(quiet_until: float, ask_again_at: float) -> None:
    held = after_failure(Held(), now=100.0, quiet_until=quiet_until, reason="provider_unavailable")
    assert held.ask_again_at == ask_again_at


# --- Entries ---------------------------------------------------------------------------------------------------------


def test_opens_what_it_has_sealed() -> None:
    box = TokenBox(request())
    entry = box.entry(Grant("hush", 3600), sent_at=1000.0)
    assert entry.startswith("1||")
    assert "hush" not in entry
    token = TokenBox(request()).token(entry, seconds_left=3540, now=1000, read_at=50)
    assert token is not None
    assert (token.text, token.refresh_at, token.ends_at) == ("hush", 50 + 3540, 50 + 3600)
    assert entry != box.entry(Grant("hush", 3600), sent_at=1000.0)


@pytest.mark.parametrize(
    ("changes"),
    [
        pytest.param({"client_secret": "t" * 32}, id="another secret"),
        pytest.param({"client_id": "other"}, id="another client"),
        pytest.param({"token_url": AT + "2"}, id="another endpoint"),
        pytest.param({"token_url": None, "issuer": AT}, id="an issuer of that name"),
        pytest.param({"scope": "write"}, id="another scope"),
        pytest.param({"scope": None}, id="no scope"),
        pytest.param({"resource": API}, id="another resource"),
        pytest.param({"extra": {"audience": API}}, id="more fields"),
        pytest.param({"scope": None, "resource": "read"}, id="words in another place"),
    ],
)
def test_finds_no_token_of_another_request(changes: dict[str, Any]) -> None:
    ours, other = TokenBox(request()), TokenBox(request(**changes))
    assert ours.name != other.name
    with pytest.raises(NotOurs):
        other.copy(ours.entry(Grant("hush", 3600), sent_at=1000.0))


def test_does_not_care_for_what_does_not_bind_a_token() -> None:
    names = {
        TokenBox(request(**changes)).name for changes in ({}, {"margin": 5}, {"client_auth": "client_secret_post"})
    }
    assert len(names) == 1
    assert SECRET not in names.pop()


@pytest.mark.parametrize(
    ("left", "now", "lives"),
    [
        pytest.param(3540, 1000, 3600, id="at once"),
        pytest.param(1540, 3000, 1600, id="later"),
        pytest.param(40, 3000, 100, id="the store has it for less"),
        pytest.param(3540, 4500, 100, id="our clock has it for less"),
        pytest.param(3540, 500, 3600, id="our clock is behind"),
        pytest.param(0, 3000, None, id="the store lets it go"),
        pytest.param(3540, 4541, None, id="about to be replaced, by our clock"),
        pytest.param(3540, 9000, None, id="over, by our clock"),
    ],
)
def test_uses_a_copy_no_longer_than_either_clock_allows(left: float, now: float, lives: float | None) -> None:
    box = TokenBox(request())
    entry = box.entry(Grant("hush", 3600), sent_at=1000.0)
    token = box.token(entry, seconds_left=left, now=now, read_at=50)
    assert (token and token.ends_at - 50) == lives


def test_keeps_an_entry_until_its_token_should_be_replaced() -> None:
    box = TokenBox(request())
    assert box.seconds_kept(Grant("a", 3600), sent_at=1000, now=1002) == 3538
    assert box.seconds_kept(Grant("a", 50), sent_at=1000, now=1002) == 48
    assert box.seconds_kept(Grant("a", 1), sent_at=1000, now=1000.5) == 0.5


def test_takes_nothing_that_was_changed() -> None:
    box = TokenBox(request())
    entry = box.entry(Grant("hush", 3600), sent_at=1000.0)
    sealed = from_base64url(entry[3:].encode())
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(NotOurs):
            box.copy(f"1||{base64url(changed)}")
        with pytest.raises(NotOurs):
            box.copy(f"1||{base64url(sealed[:place])}")


@given(st.text() | st.text().map(lambda text: f"1||{text}") | st.binary().map(lambda data: f"1||{base64url(data)}"))
def test_takes_no_other_text_for_an_entry(entry: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        _BOX.copy(entry)


_BOX = TokenBox(request())
