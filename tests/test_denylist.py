"""The denylist: what is refused once it is revoked, under which names, for how long; in every store and flavour."""

from __future__ import annotations

import base64
import hashlib
import itertools
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from bearerguard import (
    Claims,
    ClaimText,
    Denylist,
    MemoryStore,
    SettingsError,
    SharedSecrets,
    SignedTokens,
    StoreUnavailable,
    TokenRevoked,
    Verifier,
)
from bearerguard.events import Event, TokenOutlivesHorizon
from bearerguard.platforms import shopify
from bearerguard.sinks import add_sink
from tests.hostile import GOOD, ISSUER, NOW, Clock, claims, settings
from tests.introspecting import kept_in
from tests.minting import SECRET, mint
from tests.revoking import (
    AUTHORITY,
    HORIZON,
    STEM,
    Desk,
    Office,
    emptied,
    every_office,
    office_of,
    shop_settings,
    token,
)
from tests.servers import RedisServer

OTHER_ISSUER = "https://other.example.com"
MARGIN = 4200

# What production stores hold already: these spellings can never change.
KEPT_UNDER = {
    "token": f"{STEM}d:6DzaJWUriFqLP6qvBCEhRCK3zc5KPhA3Q7MsDvxcJSI",
    "user": f"{STEM}u:2nBqzMOCTBQZYGJwmuKdZrAyGL3q39VJDt5fQv-S5R0",
    "tenant": f"{STEM}t:G9RxAJ9Wz0L5_MScFPuhA6T3mytV_6T0nWnxM0S-2ng",
}


@pytest.fixture(params=every_office(), ids="-".join)
def office(request: pytest.FixtureRequest) -> Iterator[Office]:
    place, flavour = request.param
    store = MemoryStore() if place == "memory" else emptied(request.getfixturevalue("redis_servers")[place])
    with office_of(store, flavour) as office:
        yield office


@pytest.fixture(params=["sync", "async"])
def redis_office(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[Office]:
    with office_of(redis_server.url, request.param) as office:
        yield office


# --- What is refused -------------------------------------------------------------------------------------------------

REVOKERS: Mapping[str, Callable[[Any, Claims], object]] = {
    "token": lambda denylist, held: denylist.revoke(held),
    "id": lambda denylist, held: denylist.revoke_id(held.token_id, until=held.expires_at),
    "user": lambda denylist, held: denylist.revoke_user(held.user),
    "tenant": lambda denylist, held: denylist.revoke_tenant(held.tenant),
}
UNTOUCHED = {"jti": "another", "sub": "bob", "tenant": "str_2"}


@pytest.mark.parametrize("how", REVOKERS)
def test_refuses_what_is_revoked_and_nothing_else(office: Office, how: str) -> None:
    desk, gone, kept = office.desk(), token(), token(**UNTOUCHED)
    held, others = desk.verify(gone), desk.verify(kept)
    assert (desk.denylist.status(held), desk.denylist.status(others)) == ("active", "active")
    REVOKERS[how](desk.denylist, held)
    assert (desk.verdict(gone), desk.verdict(kept)) == ("revoked", GOOD)
    assert (desk.denylist.status(held), desk.denylist.status(others)) == ("revoked", "active")


@pytest.mark.parametrize("how", REVOKERS)
def test_every_process_refuses_from_its_next_check_on(office: Office, how: str) -> None:
    one, other, gone = office.desk(), office.desk(), token()
    assert (one.verdict(gone), other.verdict(gone)) == (GOOD, GOOD)
    REVOKERS[how](one.denylist, one.verify(gone))
    assert [desk.verdict(gone) for desk in (other, one, office.desk())] == ["revoked"] * 3


@pytest.mark.parametrize("how", REVOKERS)
def test_a_process_without_the_secrets_revokes_and_tells(office: Office, how: str) -> None:
    desk, gone = office.desk(), token()
    alone, held = office.denylist(), desk.verify(gone)
    assert alone.status(held) == "active"
    REVOKERS[how](alone, held)
    assert desk.verdict(gone) == "revoked"
    assert (alone.status(held), desk.denylist.status(held)) == ("revoked", "revoked")


def test_says_the_same_whatever_was_revoked(office: Office) -> None:
    desk, gone = office.desk(), token()
    desk.denylist.revoke_tenant("str_1")
    with pytest.raises(TokenRevoked) as caught:
        desk.verify(gone)
    assert (caught.value.status, caught.value.code, caught.value.reason) == (401, "invalid_token", "revoked")
    assert caught.value.description == "the token has been revoked"


def test_a_token_without_an_id_is_known_by_what_was_signed(office: Office) -> None:
    desk, gone, kept = office.desk(), token(jti=...), token(jti=..., iat=NOW - 9)
    assert desk.verify(gone).token_id is None
    desk.denylist.revoke(desk.verify(gone))
    assert (desk.verdict(gone), desk.verdict(kept)) == ("revoked", GOOD)


def test_a_token_that_was_signed_anew_is_the_same_token() -> None:
    desk = Verifier(shop_settings(keys=SharedSecrets(SECRET, SECRET + "2")), clock=Clock())
    one, twin = mint(claims({"jti": "same"})), mint(claims({"jti": "same"}), key=SECRET + "2")
    desk.denylist.revoke(desk.verify(one))
    with pytest.raises(TokenRevoked):
        desk.verify(twin)


def test_an_id_is_one_text_and_no_pattern(office: Office) -> None:
    desk = office.desk()
    for token_id in ("*", "a:b", "a|b", "{a}", "\u00e9", "\x00"):
        assert desk.verdict(token(jti=token_id)) == GOOD
        desk.denylist.revoke_id(token_id, until=NOW + 300)
        assert desk.verdict(token(jti=token_id)) == "revoked"
    assert desk.verdict(token(jti="a")) == GOOD
    assert desk.verdict(token(jti="e\u0301")) == GOOD


def test_revoking_twice_and_after_the_end_is_no_error(office: Office) -> None:
    desk, gone = office.desk(), token()
    held = desk.verify(gone)
    office.clock.now += 10_000
    for _ in range(2):
        desk.denylist.revoke(held)
        desk.denylist.revoke_id("long gone", until=0)
    office.clock.now = NOW
    assert desk.verdict(gone) == "revoked"


# --- Authorities -----------------------------------------------------------------------------------------------------


def two_issuers() -> tuple[SignedTokens, SignedTokens]:
    """Two kinds, each under an authority of its own."""
    return shop_settings(name="one", authority="A"), shop_settings(name="two", authority="B", issuer=OTHER_ISSUER)


def of_both(**changes: Any) -> tuple[str, str]:
    """The same token of each."""
    return token(**changes), token(iss=OTHER_ISSUER, **changes)


@pytest.mark.parametrize("how", REVOKERS)
def test_one_authority_revokes_nothing_of_another(office: Office, how: str) -> None:
    one, other = office.desk(shop_settings(authority="A")), office.desk(shop_settings(authority="B"))
    REVOKERS[how](one.denylist, one.verify(token()))
    assert (one.verdict(token()), other.verdict(token())) == ("revoked", GOOD)


@pytest.mark.parametrize(
    ("authority", "verdicts"),
    [("A", ["revoked", GOOD]), ("B", [GOOD, "revoked"]), (None, ["revoked", "revoked"])],
)
@pytest.mark.parametrize(
    ("method", "what", "options"),
    [("revoke_id", "5f7c0f5e", {"until": NOW + 300}), ("revoke_user", "ana", {}), ("revoke_tenant", "str_1", {})],
)
def test_revokes_under_the_named_authority_or_under_all(
    office: Office, authority: str | None, verdicts: list[str], method: str, what: str, options: dict[str, Any]
) -> None:
    desk = office.desk(*two_issuers())
    getattr(desk.denylist, method)(what, authority=authority, **options)
    assert [desk.verdict(text) for text in of_both()] == verdicts


def test_claims_are_revoked_under_their_own_authority(office: Office) -> None:
    desk = office.desk(*two_issuers())
    one, two = of_both()
    desk.denylist.revoke(desk.verify(two))
    assert (desk.verdict(one), desk.verdict(two)) == (GOOD, "revoked")
    assert desk.denylist.status(desk.verify(one)) == "active"


@pytest.mark.parametrize("method", ["revoke_id", "revoke_user", "revoke_tenant"])
def test_an_authority_of_nobody_is_a_settings_error(method: str) -> None:
    denylist = Verifier(*two_issuers()).denylist
    options = {"until": NOW} if method == "revoke_id" else {}
    with pytest.raises(SettingsError, match="'A', 'B'"):
        getattr(denylist, method)("x", authority="C", **options)


@pytest.mark.parametrize(
    ("changes", "authority"),
    [
        pytest.param({}, ISSUER, id="the issuer"),
        pytest.param({"issuer": {ISSUER}}, "signed", id="the name, for a set of issuers"),
        pytest.param({"issuer": {ISSUER}, "name": "shop.admin"}, "shop.admin", id="a name of its own"),
        pytest.param({"issuer": lambda iss: iss == ISSUER}, "signed", id="the name, for a rule"),
        pytest.param({"authority": "shop"}, "shop", id="what is said"),
    ],
)
def test_the_authority_is_a_constant_of_the_settings(changes: dict[str, Any], authority: str) -> None:
    store, clock = MemoryStore(), Clock()
    verifier = Verifier(settings(**changes), store=store, clock=clock)
    Denylist(store, authority=authority, clock=clock).revoke_id("5f7c0f5e", until=NOW + 300)
    with pytest.raises(TokenRevoked):
        verifier.verify(token())


def test_neither_claims_nor_names_run_into_each_other() -> None:
    """The parts are length-prefixed, so that no two pairs spell the same."""
    store, clock = MemoryStore(), Clock()
    for authority, user in (("a", "bc"), ("1:a", "b"), ("a1:b", "c")):
        Denylist(store, authority=authority, horizon=HORIZON, clock=clock).revoke_user(user)
    for authority, user in (("ab", "c"), ("a", "b"), ("abc", "x"), ("1", "a1:b"), ("bc", "a")):
        judge = Verifier(shop_settings(authority=authority), store=store, clock=clock)
        judge.verify(token(sub=user, tenant=user))


def test_a_user_is_no_tenant_and_no_id(office: Office) -> None:
    desk = office.desk()
    desk.denylist.revoke_user("same")
    assert desk.verdict(token(sub="same")) == "revoked"
    assert desk.verdict(token(tenant="same", jti="same")) == GOOD


SHOP_SECRET = "shpss_0123456789abcdef0123456789abcdef"


def shop_token(**changes: Any) -> str:
    usual = {"dest": "https://one.myshopify.com", "aud": "key", "jti": "j1", "exp": NOW + 60, "iat": NOW, "nbf": NOW}
    return mint(usual | changes, key=SHOP_SECRET)


def shop_kinds() -> tuple[SignedTokens, SignedTokens]:
    login: dict[str, Any] = {"client_id": "key", "client_secret": SHOP_SECRET}
    return shopify.admin(**login), shopify.checkout(**login)


def test_all_kinds_of_a_platform_share_one_authority(office: Office) -> None:
    admin = shop_token(iss="https://one.myshopify.com/admin", dest="https://one.myshopify.com", sub="42", sid="s")
    checkout = shop_token()
    desks = [office.desk(kind) for kind in shop_kinds()]
    assert [desk.verdict(text) for desk, text in zip(desks, (admin, checkout), strict=True)] == [GOOD, GOOD]
    desks[0].denylist.revoke_tenant("one.myshopify.com")
    assert [desk.verdict(text) for desk, text in zip(desks, (admin, checkout), strict=True)] == ["revoked"] * 2


# --- Spelling --------------------------------------------------------------------------------------------------------


def host(url: str) -> str | None:
    """The host of a URL, or a host, in small letters."""
    name = url.lower().removeprefix("https://").rstrip("/")
    return name if name.endswith(".example.com") else None


def uuid_of(text: str) -> str:
    return str(uuid.UUID(text))


BY_HOST = ClaimText("dest", normalise=host)
A_UUID = "9b2d5b0e-6f0a-4f8e-9d0a-1f2e3d4c5b6a"


@pytest.mark.parametrize("said", ["one.example.com", "ONE.example.com", "https://One.Example.com/"])
@pytest.mark.parametrize("claimed", ["https://one.example.com", "https://ONE.EXAMPLE.com/"])
def test_a_tenant_is_spelt_as_the_settings_spell_it(office: Office, said: str, claimed: str) -> None:
    desk = office.desk(shop_settings(tenant=BY_HOST))
    assert desk.verify(token(dest=claimed)).tenant == "one.example.com"
    desk.denylist.revoke_tenant(said)
    assert desk.verdict(token(dest=claimed)) == "revoked"
    assert desk.verdict(token(dest="https://two.example.com")) == GOOD


@pytest.mark.parametrize("said", [A_UUID, A_UUID.upper(), f"{{{A_UUID}}}", f"urn:uuid:{A_UUID}"])
def test_a_user_is_spelt_as_the_settings_spell_it(office: Office, said: str) -> None:
    desk = office.desk(shop_settings(user=ClaimText("uid", normalise=uuid_of)))
    desk.denylist.revoke_user(said)
    assert desk.verdict(token(uid=A_UUID.upper())) == "revoked"


def test_each_kind_spells_a_tenant_its_own_way(office: Office) -> None:
    one, _ = two_issuers()
    desk = office.desk(one, shop_settings(name="two", authority="B", issuer=OTHER_ISSUER, tenant=BY_HOST))
    desk.denylist.revoke_tenant("ONE.example.com")
    assert desk.verdict(token(tenant="ONE.example.com")) == "revoked"
    assert desk.verdict(token(tenant="one.example.com")) == GOOD
    assert desk.verdict(token(iss=OTHER_ISSUER, dest="https://one.example.com")) == "revoked"


def test_a_kind_that_names_no_tenant_is_no_obstacle(office: Office) -> None:
    one, _ = two_issuers()
    desk = office.desk(one, shop_settings(name="two", authority="B", issuer=OTHER_ISSUER, tenant=None))
    desk.denylist.revoke_tenant("str_1")
    assert [desk.verdict(text) for text in of_both()] == ["revoked", GOOD]


def test_a_kind_that_names_no_user_need_not_know_how_long_it_lives(office: Office) -> None:
    one, _ = two_issuers()
    homeless = shop_settings(name="two", authority="B", issuer=OTHER_ISSUER, user=None, assumed_lifetime=None)
    desk = office.desk(one, homeless)
    desk.denylist.revoke_user("ana")
    assert [desk.verdict(text) for text in of_both()] == ["revoked", GOOD]


@pytest.mark.parametrize(
    ("changes", "method", "what", "said"),
    [
        pytest.param({"user": None}, "revoke_user", "ana", "name no user", id="no claim for a user"),
        pytest.param({"tenant": None}, "revoke_tenant", "str_1", "name no tenant", id="no claim for a tenant"),
        pytest.param({"tenant": BY_HOST}, "revoke_tenant", "elsewhere.com", "is no tenant", id="no such tenant"),
        pytest.param(
            {"user": ClaimText("uid", normalise=uuid_of)}, "revoke_user", "ana", "is no user", id="no such spelling"
        ),
        pytest.param({}, "revoke_user", "", "user", id="nobody"),
        pytest.param({}, "revoke_tenant", None, "tenant", id="None"),
        pytest.param({}, "revoke_user", 42, "user", id="a number"),
    ],
)
def test_revoking_by_what_no_token_can_say_is_a_settings_error(
    changes: dict[str, Any], method: str, what: Any, said: str
) -> None:
    denylist = Verifier(shop_settings(**changes)).denylist
    with pytest.raises(SettingsError, match=said):
        getattr(denylist, method)(what)


@pytest.mark.parametrize("token_id", ["", None, 5, b"id"])
def test_revoking_an_id_that_is_no_text_is_a_settings_error(token_id: Any) -> None:
    with pytest.raises(SettingsError, match="token_id"):
        Verifier(shop_settings()).denylist.revoke_id(token_id, until=NOW)


@pytest.mark.parametrize("until", [None, "soon", True, float("nan"), float("inf"), -1, NOW * 1000])
def test_an_end_that_is_no_time_is_a_settings_error(until: Any) -> None:
    with pytest.raises(SettingsError, match="until"):
        Verifier(shop_settings()).denylist.revoke_id("id", until=until)


@pytest.mark.parametrize("before", ["now", True, float("nan"), float("inf"), -1, NOW * 1000])
@pytest.mark.parametrize("method", ["revoke_user", "revoke_tenant"])
def test_a_watermark_that_is_no_time_is_a_settings_error(method: str, before: Any) -> None:
    with pytest.raises(SettingsError, match="issued_before"):
        getattr(Verifier(shop_settings()).denylist, method)("x", issued_before=before)


def test_claims_that_no_verifier_made_cannot_be_revoked() -> None:
    made_up = Claims({"jti": "x", "exp": NOW}, kind="signed")
    for method in ("revoke", "status"):
        with pytest.raises(SettingsError, match="revoke_id"):
            getattr(Verifier(shop_settings()).denylist, method)(made_up)


@pytest.mark.parametrize("options", [{"authority": ""}, {"authority": None}, {"authority": "a", "horizon": 0}])
def test_a_denylist_alone_is_told_what_it_needs(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        Denylist("memory://", **options)


# --- How long --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["revoke_user", "revoke_tenant"])
def test_a_watermark_of_unknown_life_is_a_settings_error(method: str) -> None:
    unknown = settings(tenant="tenant", user="sub")
    for denylist in (Verifier(unknown).denylist, Denylist("memory://", authority="a")):
        with pytest.raises(SettingsError, match=r"assumed_lifetime=.*horizon="):
            getattr(denylist, method)("x")


def test_a_token_that_says_its_end_needs_no_horizon(office: Office) -> None:
    desk = office.desk(settings(tenant="tenant", user="sub", authority=AUTHORITY))
    gone = token()
    desk.denylist.revoke(desk.verify(gone))
    desk.denylist.revoke_id("other", until=NOW + 300)
    assert (desk.verdict(gone), desk.verdict(token(jti="other"))) == ("revoked", "revoked")


LIVES: Mapping[str, dict[str, Any]] = {
    "exp": {},
    "exp and max_lifetime": {"max_lifetime": 400, "assumed_lifetime": None},
    "exp, widest leeways": {"leeway": 300, "iat_leeway": 300},
    "max_age": {"required": ("iat",), "max_age": 3000, "assumed_lifetime": None},
    "max_age, and a short max_lifetime": {"required": ("iat",), "max_age": 3000, "max_lifetime": 60},
    "max_age, and a short assumed_lifetime": {"required": ("iat",), "max_age": 3000, "assumed_lifetime": 60},
}


@pytest.mark.parametrize("how", REVOKERS)
@pytest.mark.parametrize("life", LIVES)
def test_a_revocation_outlives_what_it_revokes(life: str, how: str) -> None:
    wall, monotonic = Clock(), Clock(0)
    verifier = Verifier(shop_settings(**LIVES[life]), clock=wall, monotonic=monotonic)
    changes = {"exp": ...} if life.startswith("max_age") else {}
    gone = token(iat=NOW, **changes)
    if how == "id":
        verifier.denylist.revoke_id("5f7c0f5e", until=NOW + 3000)
    else:
        REVOKERS[how](verifier.denylist, verifier.verify(gone))
    assert lifelong_verdicts(verifier, gone, wall, monotonic) == {"revoked"}


def test_a_watermark_to_come_outlives_what_will_be_issued_before() -> None:
    wall, monotonic = Clock(), Clock(0)
    verifier = Verifier(shop_settings(), clock=wall, monotonic=monotonic)
    verifier.denylist.revoke_user("ana", issued_before=NOW + 10_000)
    for clock in (wall, monotonic):
        clock.now += 9_000
    assert Desk(verifier, None).verdict(token(iat=NOW + 9_000, exp=NOW + 9_600)) == "revoked"


def lifelong_verdicts(verifier: Verifier[SignedTokens], text: str, *clocks: Clock) -> set[str]:
    """Every verdict on a token until it is over."""
    verdicts = set()
    while (verdict := Desk(verifier, None).verdict(text)) != "expired":
        verdicts.add(verdict)
        for clock in clocks:
            clock.now += 10
    return verdicts


@pytest.mark.parametrize(("first", "second"), [(1000, 10), (10, 1000)])
def test_a_shorter_end_never_shortens_a_revocation(first: int, second: int) -> None:
    monotonic = Clock(0)
    verifier = Verifier(shop_settings(), clock=Clock(), monotonic=monotonic)
    for seconds in (first, second):
        verifier.denylist.revoke_id("5f7c0f5e", until=NOW + seconds)
    monotonic.now = 1000 + MARGIN - 1
    with pytest.raises(TokenRevoked):
        verifier.verify(token())
    monotonic.now = 1000 + MARGIN
    verifier.verify(token())


def lives_of(server: RedisServer) -> dict[str, float]:
    """The seconds that each key has left, by the letter of its name; None of them lives for ever but the epoch."""
    keys = [key.decode() for key in server.cli("KEYS", "*")]
    return {key.removeprefix(STEM)[:2]: server.cli("PTTL", key) / 1000 for key in keys}


@pytest.mark.parametrize(
    ("calls", "name", "seconds"),
    [
        pytest.param([("revoke_id", "x", {"until": NOW + 1000})], "d:", 1000 + MARGIN, id="to the end"),
        pytest.param([("revoke_id", "x", {"until": NOW + 0.5})], "d:", 1 + MARGIN, id="rounded up"),
        pytest.param([("revoke_id", "x", {"until": 0})], "d:", MARGIN, id="over already"),
        pytest.param(
            [("revoke_id", "x", {"until": NOW + 1000}), ("revoke_id", "x", {"until": NOW})],
            "d:",
            1000 + MARGIN,
            id="never shortened",
        ),
        pytest.param(
            [("revoke_id", "x", {"until": NOW}), ("revoke_id", "x", {"until": NOW + 1000})],
            "d:",
            1000 + MARGIN,
            id="prolonged",
        ),
        pytest.param([("revoke_user", "x", {})], "u:", HORIZON + MARGIN, id="a user"),
        pytest.param([("revoke_tenant", "x", {"issued_before": 0})], "t:", HORIZON + MARGIN, id="a tenant"),
    ],
)
def test_redis_keeps_an_entry_for_as_long_as_it_can_matter(
    redis_office: Office, redis_server: RedisServer, calls: Sequence[Any], name: str, seconds: float
) -> None:
    denylist = redis_office.desk().denylist
    for method, what, options in calls:
        getattr(denylist, method)(what, **options)
    lives = lives_of(redis_server)
    assert lives.keys() == {name, "ep", "lo"}
    assert seconds - 5 < lives[name] <= seconds
    assert lives["ep"] < 0
    assert lives["lo"] < 0


@pytest.mark.parametrize(
    ("changes", "claimed", "seconds"),
    [
        pytest.param({}, {"exp": NOW + 77}, 77 + MARGIN, id="exp"),
        pytest.param(
            {"required": ("iat",), "max_age": 900}, {"exp": ..., "iat": NOW - 100}, 800 + MARGIN, id="max_age"
        ),
    ],
)
def test_redis_keeps_a_revoked_token_to_its_end(
    redis_office: Office, redis_server: RedisServer, changes: dict[str, Any], claimed: dict[str, Any], seconds: float
) -> None:
    desk = redis_office.desk(shop_settings(**{"assumed_lifetime": None} | changes))
    desk.denylist.revoke(desk.verify(token(**claimed)))
    assert seconds - 5 < lives_of(redis_server)["d:"] <= seconds


# --- Watermarks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "iat_leeway", "issued_at", "verdict"),
    [
        pytest.param([NOW - 100], 0, NOW - 101, "revoked", id="issued before"),
        pytest.param([NOW - 100], 0, NOW - 100, "revoked", id="in that second"),
        pytest.param([NOW - 100], 0, NOW - 99, GOOD, id="a second later"),
        pytest.param([NOW - 100], 0, NOW - 99.5, GOOD, id="half a second later"),
        pytest.param([NOW - 99.5], 0, NOW - 99, "revoked", id="rounded up"),
        pytest.param([NOW - 99.5], 0, NOW - 98.9, GOOD, id="later than rounded up"),
        pytest.param([NOW - 100], 30, NOW - 70, "revoked", id="a clock that runs ahead"),
        pytest.param([NOW - 100], 30, NOW - 69, GOOD, id="a clock that runs further ahead"),
        pytest.param([NOW - 100], None, NOW - 90, "revoked", id="leeway, where no iat_leeway is given"),
        pytest.param([NOW - 100], None, NOW - 89, GOOD, id="beyond leeway"),
        pytest.param([None], 0, NOW, "revoked", id="now"),
        pytest.param([NOW + 50], 60, NOW + 40, "revoked", id="a watermark to come"),
        pytest.param([NOW - 50, NOW - 100], 0, NOW - 60, "revoked", id="the maximum, lowered"),
        pytest.param([NOW - 100, NOW - 50], 0, NOW - 60, "revoked", id="the maximum, raised"),
        pytest.param([0], 0, NOW - 3000, GOOD, id="before all time"),
        pytest.param([NOW - 100], 0, ..., "revoked", id="no iat"),
        pytest.param([0], 0, ..., "revoked", id="no iat, whenever"),
    ],
)
@pytest.mark.parametrize("method", ["revoke_user", "revoke_tenant"])
def test_a_watermark_refuses_what_was_issued_before(
    office: Office, method: str, before: list[float | None], iat_leeway: float | None, issued_at: Any, verdict: str
) -> None:
    desk = office.desk(shop_settings(iat_leeway=iat_leeway))
    for each in before:
        getattr(desk.denylist, method)({"revoke_user": "ana", "revoke_tenant": "str_1"}[method], issued_before=each)
    assert desk.verdict(token(iat=issued_at)) == verdict


def test_a_token_that_names_nobody_is_under_no_watermark(office: Office) -> None:
    desk = office.desk()
    desk.denylist.revoke_user("ana")
    desk.denylist.revoke_tenant("str_1")
    assert desk.verdict(token(sub=..., tenant=...)) == GOOD


def test_a_user_who_signs_in_again_is_let_in_again(office: Office) -> None:
    desk = office.desk()
    desk.denylist.revoke_user("ana")
    office.clock.now += 11
    assert desk.verdict(token(jti="old")) == "revoked"
    assert desk.verdict(token(jti="new", iat=NOW + 11)) == GOOD


# --- Redis: how it is kept -------------------------------------------------------------------------------------------


def digest(label: str, *parts: str) -> str:
    """What DESIGN and RULES say a name is: SHA-256 over length-prefixed parts, with a domain label."""
    spelt = [part.encode() for part in (f"bearerguard/{label}", *parts)]
    hashed = hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in spelt)).digest()
    return base64.urlsafe_b64encode(hashed).decode().rstrip("=")


def revoke_everything(desk: Desk) -> str:
    """Revoke and spend in every way; gives the token without an id."""
    nameless = token(jti=..., sub="carl", tenant="str_3")
    desk.denylist.revoke(desk.verify(token()))
    desk.denylist.revoke(desk.verify(nameless))
    assert desk.spend(token(jti="spent", sub="bob", tenant="str_2")) == GOOD
    desk.denylist.revoke_user("ana")
    desk.denylist.revoke_tenant("str_1")
    return nameless


def test_the_key_layout_is_for_good(redis_office: Office, redis_server: RedisServer) -> None:
    nameless = revoke_everything(redis_office.desk())
    signed = hashlib.sha256(nameless.rpartition(".")[0].encode()).hexdigest()
    expected = {
        "epoch",
        "log",
        f"d:{digest('token-id', AUTHORITY, '5f7c0f5e')}",
        f"d:{digest('signing-input', AUTHORITY, signed)}",
        f"s:{digest('token-id', AUTHORITY, 'spent')}",
        f"u:{digest('user', AUTHORITY, 'ana')}",
        f"t:{digest('tenant', AUTHORITY, 'str_1')}",
    }
    assert {key.decode() for key in redis_server.cli("KEYS", "*")} == {f"{STEM}{name}" for name in expected}
    assert redis_server.cli("EXISTS", *KEPT_UNDER.values()) == len(KEPT_UNDER)


def test_values_carry_a_version_and_a_number(redis_office: Office, redis_server: RedisServer) -> None:
    desk = redis_office.desk()
    desk.denylist.revoke(desk.verify(token()))
    desk.denylist.revoke_user("ana", issued_before=NOW - 0.5)
    desk.denylist.revoke_tenant("str_1", issued_before=NOW - 50)
    values = {name: redis_server.cli("GET", KEPT_UNDER[name]) for name in ("token", "user", "tenant")}
    assert values == {"token": b"1|%d" % NOW, "user": b"1|%d" % NOW, "tenant": b"1|%d" % (NOW - 50)}


@pytest.mark.parametrize("prefix", ["bearerguard:", "shop:", "a.b-c_d:", "plain"])
def test_all_keys_of_a_prefix_share_one_slot(redis_office: Office, redis_server: RedisServer, prefix: str) -> None:
    revoke_everything(redis_office.desk(prefix=prefix))
    keys = [key.decode() for key in redis_server.cli("KEYS", "*")]
    assert len(keys) == 7
    assert all(key.startswith(prefix) for key in keys)
    assert {key[key.index("{") + 1 : key.index("}")] for key in keys} == {prefix.rstrip(":")}


def test_one_prefix_revokes_nothing_of_another(redis_office: Office) -> None:
    one, other = redis_office.desk(), redis_office.desk(prefix="shop:")
    held = one.verify(token())
    for revoke in REVOKERS.values():
        revoke(one.denylist, held)
    assert (one.verdict(token()), other.verdict(token())) == ("revoked", GOOD)


SECRETS = {"jti": "JTI-0123", "sub": "USER-0123", "tenant": "TENANT-0123"}


def test_redis_hears_no_token_no_id_and_no_name(redis_office: Office, redis_server: RedisServer) -> None:
    desk, text, nameless = redis_office.desk(), token(**SECRETS), token(**SECRETS | {"jti": ...})
    with heard_by(redis_server) as heard:
        for each in (text, nameless):
            held = desk.verify(each)
            assert desk.spend(each) == GOOD
            desk.denylist.revoke(held)
        desk.denylist.revoke_id("JTI-0123", until=NOW + 300)
        desk.denylist.revoke_user("USER-0123")
        desk.denylist.revoke_tenant("TENANT-0123")
        assert (desk.verdict(text), desk.denylist.status(held)) == ("revoked", "revoked")
    said = "\n".join([*heard, *map(str, kept_in(redis_server).items())])
    assert len(heard) > 10
    for secret in (*SECRETS.values(), *text.split("."), *nameless.split("."), SECRET, "0123"):
        assert secret.lower() not in said.lower()


@contextmanager
def heard_by(server: RedisServer) -> Iterator[list[str]]:
    """Every command that the server hears meanwhile, and what its scripts do."""
    heard: list[str] = []
    with redis.Redis.from_url(server.url, socket_timeout=5) as client, client.monitor() as monitor:
        yield heard
        server.cli("ECHO", "that was all")
        told: Any = monitor.listen()
        commands = (line["command"] for line in told)
        heard += itertools.takewhile(lambda command: "that was all" not in command, commands)


# --- Redis: what cannot be read --------------------------------------------------------------------------------------

UNREADABLE = {
    "empty": b"",
    "another version": b"2|1800000000",
    "no version": b"1800000000",
    "no number": b"1|",
    "letters": b"1|soon",
    "a sign": b"1|-5",
    "a fraction": b"1|5.5",
    "more": b"1|5|5",
    "other digits": "1|\u0665".encode(),
    "no text": b"1|\xff",
    "endless": b"1|" + b"9" * 5000,
}


@pytest.mark.parametrize("which", ["token", "user", "tenant"])
@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE)
def test_an_entry_that_cannot_be_read_is_503(
    redis_office: Office, redis_server: RedisServer, which: str, value: bytes
) -> None:
    desk = redis_office.desk()
    held = desk.verify(token())
    redis_server.cli("SET", KEPT_UNDER[which], value)
    with pytest.raises(StoreUnavailable) as caught:
        desk.verify(token())
    assert (caught.value.status, caught.value.reason) == (503, "store_unreadable")
    assert caught.value.headers() == {"Retry-After": "1", "Cache-Control": "no-store"}
    with pytest.raises(StoreUnavailable):
        desk.denylist.status(held)
    assert desk.verdict(token(**UNTOUCHED)) == GOOD


@pytest.mark.parametrize("leeway", [10, 10.5])
def test_an_entry_of_any_size_is_no_error_of_ours(
    redis_office: Office, redis_server: RedisServer, leeway: float
) -> None:
    redis_server.cli("SET", KEPT_UNDER["user"], b"1|" + b"9" * 400)
    assert redis_office.desk(shop_settings(leeway=leeway)).verdict(token()) in ("revoked", "store_unreadable")


@pytest.mark.parametrize("method", ["revoke_user", "revoke_tenant"])
def test_an_entry_that_cannot_be_read_is_not_written_over(
    redis_office: Office, redis_server: RedisServer, method: str
) -> None:
    which, what = ("user", "ana") if method == "revoke_user" else ("tenant", "str_1")
    redis_server.cli("SET", KEPT_UNDER[which], "2|kept")
    with pytest.raises(StoreUnavailable) as caught:
        getattr(redis_office.desk().denylist, method)(what)
    assert caught.value.reason == "store_unreadable"
    assert redis_server.cli("GET", KEPT_UNDER[which]) == b"2|kept"


@pytest.mark.parametrize("which", ["token", "user", "tenant"])
def test_an_entry_of_another_type_counts_as_absent(redis_office: Office, redis_server: RedisServer, which: str) -> None:
    redis_server.cli("LPUSH", KEPT_UNDER[which], "1|1800000000")
    assert redis_office.desk().verdict(token()) == GOOD


EPOCHS_THAT_ARE_NONE = {
    "empty": b"",
    "cut off": b"1|0|abc",
    "another version": b"2|0|abc|1",
    "no incarnation": b"1|0||1",
    "letters": b"1|now|abc|1",
    "a negative seq": b"1|0|abc|-1",
    "no text": b"1|0|\xff|1",
    "endless since": b"1|" + b"9" * 5000 + b"|abc|1",
    "endless seq": b"1|0|abc|" + b"9" * 5000,
}


@pytest.mark.parametrize("value", EPOCHS_THAT_ARE_NONE.values(), ids=EPOCHS_THAT_ARE_NONE)
def test_an_epoch_that_cannot_be_read_is_503(redis_office: Office, redis_server: RedisServer, value: bytes) -> None:
    redis_server.cli("SET", f"{STEM}epoch", value)
    desk = redis_office.desk()
    assert desk.verdict(token()) == "store_unreadable"
    assert refusal_of(lambda: desk.denylist.revoke_user("ana")).reason == "store_unreadable"
    assert redis_server.cli("GET", f"{STEM}epoch") == value


def test_an_epoch_of_another_type_is_503(redis_office: Office, redis_server: RedisServer) -> None:
    redis_server.cli("LPUSH", f"{STEM}epoch", "1|0|abc|1")
    assert redis_office.desk().verdict(token()) == "store_unreadable"


def refusal_of(call: Callable[[], object]) -> StoreUnavailable:
    """The StoreUnavailable that a call raises."""
    with pytest.raises(StoreUnavailable) as caught:
        call()
    return caught.value


# --- Redis: one round trip -------------------------------------------------------------------------------------------


GREETINGS = ("HELLO", "CLIENT", "SELECT", "AUTH", "INFO")


def test_a_check_is_one_mget(redis_office: Office, redis_server: RedisServer) -> None:
    desk = redis_office.desk()
    desk.verify(token())
    with heard_by(redis_server) as heard:
        desk.verify(token(jti="new"))
        desk.verify(token(jti="new"))
        desk.verify(token(jti=..., sub=..., tenant=...))
    commands = [command.split() for command in heard if not command.startswith(GREETINGS)]
    assert [command[0] for command in commands] == ["MGET"] * 3
    assert [len(command) - 1 for command in commands] == [4, 4, 2]
    assert {command[1] for command in commands} == {f"{STEM}epoch"}


# --- A token that lives longer than revocations are kept -------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "is_told"),
    [
        pytest.param({"iat": NOW - 60, "exp": NOW - 60 + HORIZON}, False, id="as long as is assumed"),
        pytest.param({"iat": NOW - 60, "exp": NOW - 59 + HORIZON}, True, id="longer"),
        pytest.param({"iat": ..., "exp": NOW + HORIZON}, False, id="as long, from now"),
        pytest.param({"iat": ..., "exp": NOW + HORIZON + 1}, True, id="longer from now"),
    ],
)
def test_tells_of_a_token_that_may_outlive_its_revocation(changes: dict[str, Any], is_told: bool) -> None:
    told: list[Event] = []
    remove = add_sink(told.append)
    verifier = Verifier(shop_settings(), clock=Clock(NOW))
    for _ in range(2):
        verifier.verify(token(**changes))
    remove()
    assert told == [TokenOutlivesHorizon(kind="signed")] * is_told
