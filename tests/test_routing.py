"""Several kinds of token in one verifier: each token is judged as the one kind that it can be, and as no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bearerguard import UNCHECKED, IfPresent, InvalidToken, SettingsError, SharedSecrets, Verifier
from bearerguard.carriers import BEARER, Cookie, Header
from bearerguard.rules.routing import check_routes, kind_for, kinds_overlap
from bearerguard.settings import Kind, OpaqueTokens
from tests.hostile import AUDIENCE, GOOD, ISSUER, NOW, claims, settings
from tests.introspecting import CLIENT_ID, CLIENT_SECRET, ENDPOINT, Court, court_of, fresh, inactive, says
from tests.minting import OLD_SECRET, base64url, mint
from tests.scripted_provider import ScriptedProvider, silent
from tests.store_calls import Flavour

PROVIDER = "https://login.example.com"
OTHER_HEADER = Header("X-Session-Token")


@pytest.fixture(params=["sync", "async"])
def court(request: pytest.FixtureRequest) -> Iterator[Court]:
    """A provider that calls every token good that it is asked about."""
    flavour: Flavour = request.param
    with court_of(says(iss=...), flavour) as court:
        yield court


def signed(**changes: Any) -> Kind:
    """Signed tokens of ISSUER."""
    return settings(**{"name": "signed"} | changes)


def opaque(**changes: Any) -> OpaqueTokens:
    """Opaque tokens of PROVIDER."""
    usual: dict[str, Any] = {
        "issuer": PROVIDER,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "audience": AUDIENCE,
        "introspection_endpoint": f"{PROVIDER}{ENDPOINT}",
    }
    return OpaqueTokens(**usual | changes)


def asking(court: Court, **changes: Any) -> OpaqueTokens:
    """The same, where this provider is asked."""
    return opaque(**{"introspection_endpoint": court.provider.url(ENDPOINT)} | changes)


def jwt_like(payload: bytes, header: bytes = b'{"alg":"HS256"}', last: str = "AAAA") -> str:
    """Three segments of base64url."""
    return f"{base64url(header)}.{base64url(payload)}.{last}"


# --- By shape --------------------------------------------------------------------------------------------------------


def test_tells_signed_and_opaque_tokens_of_one_carrier_apart(court: Court) -> None:
    judge = court.judge(signed(), asking(court))
    for _ in range(2):
        assert judge.verify(mint(claims())).kind == "signed"
        assert judge.verify("an-opaque-token").kind == "opaque"
    assert [request.form["token"] for request in court.provider.requests] == ["an-opaque-token"]


SIGNED_IN_SHAPE = {
    "a bad signature": mint(claims(), key=OLD_SECRET),
    "expired": mint(claims({"exp": NOW - 100})),
    "another issuer": mint(claims({"iss": PROVIDER})),
    "no issuer": mint(claims({"iss": ...})),
    "a number for an issuer": mint(claims({"iss": 5})),
    "alg none": mint(claims(), key=None, alg="none", headers={}) + "AAAA",
    "no JSON": jwt_like(b"x"),
    "a list": jwt_like(b"[]"),
    "no header": jwt_like(b"{}", header=b"x"),
    "letters": "a.b.c",
    "an odd length": "aaaaa.aaaaa.aaaaa",
    "a large one": jwt_like(b'{"x":"' + b"x" * 5_000 + b'"}'),
}


@pytest.mark.parametrize("name", SIGNED_IN_SHAPE)
def test_never_asks_about_what_is_signed_in_its_shape(court: Court, name: str) -> None:
    judge = court.judge(signed(), asking(court))
    refusal = judge.refusal(SIGNED_IN_SHAPE[name])
    assert refusal is not None
    assert refusal.status == 401
    assert court.provider.connections == 0


@pytest.mark.parametrize(
    "token",
    ["a", "a.b", "a.b.c.d", "a.b.c.d.e", "a..b", ".a.b", "a.b.", "...", "a+b.c.d", "a/b.c.d", "a~b.c.d", "x" * 43],
)
def test_asks_about_what_is_not_signed_in_its_shape(court: Court, token: str) -> None:
    assert court.judge(signed(), asking(court)).verify(token).kind == "opaque"
    assert court.asked == 1


def test_asks_about_everything_where_nothing_is_signed(court: Court) -> None:
    for token in SIGNED_IN_SHAPE.values():
        assert court.judge(asking(court)).verify(token).kind == "opaque"


def test_never_takes_a_signed_token_for_an_opaque_one_because_it_is_refused(court: Court) -> None:
    """The verdict of the selected kind is final."""
    judge = court.judge(signed(audience="somebody else"), asking(court, jwt_shaped=True))
    assert judge.verdict(mint(claims())) == "wrong_audience"
    assert court.provider.connections == 0


def test_has_no_route_for_an_opaque_token_where_all_are_signed(court: Court) -> None:
    two = (signed(), signed(name="other", issuer=PROVIDER))
    for token in ("opaque", "a.b", "a.b.c.d.e"):
        assert court.judge(*two).verdict(token) in ("no_route", "malformed")


@pytest.mark.parametrize(
    ("token", "route"),
    [
        pytest.param(mint(claims()), "signed", id="the signed kind's issuer"),
        pytest.param(mint(claims({"iss": PROVIDER})), "opaque", id="the provider's issuer"),
        pytest.param(mint(claims({"iss": PROVIDER}), key=OLD_SECRET), "opaque", id="whatever the signature"),
        pytest.param(mint(claims({"iss": ...})), "opaque", id="no issuer"),
        pytest.param(mint(claims({"iss": None})), "opaque", id="null for an issuer"),
        pytest.param(mint(claims({"iss": "https://x.example.com"})), None, id="nobody's issuer"),
        pytest.param(mint(claims({"iss": ""})), None, id="an empty issuer"),
        pytest.param(mint(claims({"iss": [ISSUER]})), None, id="a list of issuers"),
        pytest.param(mint(claims({"iss": {"a": ISSUER}})), None, id="an object"),
        pytest.param(mint(claims({"iss": 5})), None, id="a number"),
        pytest.param(mint(claims({"iss": True})), None, id="true"),
        pytest.param(mint(claims({"iss": ISSUER + "/"})), None, id="a slash more"),
        pytest.param(mint(claims({"iss": PROVIDER.upper()})), None, id="in capitals"),
        pytest.param(jwt_like(b"random bytes"), "opaque", id="no JSON"),
        pytest.param(jwt_like(b'{"iss":"' + ISSUER.encode() + b'","iss":"x"}'), "opaque", id="two issuers"),
        pytest.param("a.b.c", "opaque", id="letters"),
        pytest.param("opaque", "opaque", id="one segment"),
    ],
)
def test_lets_the_issuer_decide_where_opaque_tokens_may_be_shaped_as_signed_ones(
    court: Court, token: str, route: str | None
) -> None:
    kinds = (signed(), asking(court, jwt_shaped=True))
    for order in (kinds, kinds[::-1]):
        judge = court.judge(*order)
        if route is None:
            assert judge.verdict(token) == "no_route"
        else:
            assert judge.verify(token).kind == route
    assert court.asked == (2 if route == "opaque" else 0)


def test_judges_an_opaque_token_by_the_answer_and_not_by_what_it_spells(court: Court) -> None:
    judge = court.judge(signed(), asking(court, jwt_shaped=True))
    token = mint(claims({"iss": PROVIDER, "scope": "admin", "exp": NOW - 500}), key=OLD_SECRET)
    court.provider.play(ENDPOINT, says(iss=PROVIDER, scope="read"))
    assert judge.verify(token).scopes == {"read"}
    court.provider.play(ENDPOINT, inactive)
    assert judge.verdict(mint(claims({"iss": PROVIDER, "jti": "x"}))) == "inactive"
    court.provider.play(ENDPOINT, says(iss=ISSUER))
    assert judge.verdict(mint(claims({"iss": PROVIDER, "jti": "y"}))) == "wrong_issuer"


# --- By name ---------------------------------------------------------------------------------------------------------


def test_judges_a_token_as_the_kind_that_the_caller_names(court: Court) -> None:
    judge = court.judge(signed(), asking(court))
    token = mint(claims())
    assert judge.verify(token, kind="signed").kind == "signed"
    assert judge.verdict(fresh(), kind="signed") == "malformed"
    assert court.provider.connections == 0
    assert judge.verify(fresh(), kind="opaque").kind == "opaque"
    with pytest.raises(SettingsError, match="'signed', 'opaque'"):
        judge.verify(token, kind="another")


def test_keeps_what_was_seen_as_one_kind_from_the_other(court: Court) -> None:
    """A provider that calls every token good must not open what only signed tokens open."""
    judge = court.judge(signed(), asking(court, jwt_shaped=True))
    forged = mint(claims({"scope": "admin"}), key=OLD_SECRET)
    for _ in range(2):
        assert judge.verify(forged, kind="opaque").kind == "opaque"
        assert judge.verdict(forged) == "bad_signature"
        assert judge.verdict(forged, kind="signed") == "bad_signature"


def test_asks_for_the_kind_where_two_are_opaque(court: Court) -> None:
    judge = court.judge(asking(court), asking(court, name="other", carriers=(OTHER_HEADER,)))
    with pytest.raises(SettingsError, match="kind='opaque'"):
        judge.verify(fresh())
    assert judge.verify(fresh(), kind="opaque").kind == "opaque"
    assert judge.verify(fresh(), kind="other").kind == "other"


@pytest.mark.parametrize("carrier", [BEARER, OTHER_HEADER], ids=["bearer", "header"])
def test_judges_a_token_as_a_kind_of_its_carrier(court: Court, carrier: Header) -> None:
    judge = court.judge(signed(carriers=(OTHER_HEADER,)), asking(court, jwt_shaped=True))
    verification = judge.itself.verification
    token = mint(claims({"iss": PROVIDER if carrier is BEARER else ISSUER}))

    async def kind_of(ports: Any) -> str:
        route = verification.route(carrier=carrier)
        return (await verification.verdict(token.encode(), route, ports)).claims.kind

    assert judge.run(kind_of) == ("opaque" if carrier is BEARER else "signed")


def test_says_which_kind_could_not_be_asked_about(court: Court) -> None:
    court.provider.play(ENDPOINT, silent)
    judge = court.judge(signed(), asking(court, name="shop.access", deadline=0.1))
    refusal = judge.refusal(fresh())
    assert refusal is not None
    assert (refusal.kind, refusal.reason) == ("shop.access", "provider_unavailable")
    refusal = judge.refusal(mint(claims(), key=OLD_SECRET))
    assert refusal is not None
    assert (refusal.kind, refusal.reason) == ("signed", "bad_signature")


@pytest.mark.parametrize(("size", "reason"), [(100, "too_large"), (16, "too_large"), (2_000, GOOD)])
def test_keeps_to_the_size_of_the_kind(court: Court, size: int, reason: str) -> None:
    judge = court.judge(signed(max_bytes=4_000), asking(court, max_bytes=size))
    assert judge.verdict("x" * 1_000) == reason
    assert judge.verdict(mint(claims({"x": "x" * 1_500}))) == GOOD
    assert court.asked == (1 if reason == GOOD else 0)


# --- Overlaps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param((opaque(), opaque(name="other")), id="two opaque kinds"),
        pytest.param((opaque(), opaque(name="other", issuer=ISSUER)), id="two opaque kinds of two issuers"),
        pytest.param((opaque(jwt_shaped=True), opaque(name="other")), id="two opaque kinds of two shapes"),
        pytest.param((opaque(pattern="a+"), opaque(name="other", pattern="b+")), id="two opaque kinds of two patterns"),
        pytest.param((signed(issuer=UNCHECKED), opaque(jwt_shaped=True)), id="any issuer"),
        pytest.param((signed(issuer=IfPresent(ISSUER)), opaque(jwt_shaped=True)), id="perhaps an issuer"),
        pytest.param((signed(issuer=PROVIDER), opaque(jwt_shaped=True)), id="the same issuer"),
        pytest.param((signed(issuer={ISSUER, PROVIDER}), opaque(jwt_shaped=True)), id="the same issuer in a set"),
        pytest.param((signed(issuer=lambda value: True), opaque(jwt_shaped=True)), id="a function that takes any"),
        pytest.param(
            (signed(), opaque(issuer=UNCHECKED, jwt_shaped=True), signed(name="x", issuer=UNCHECKED)), id="three"
        ),
        pytest.param((signed(issuer=UNCHECKED), opaque(issuer=UNCHECKED, jwt_shaped=True)), id="two of any issuer"),
        pytest.param((signed(), signed(name="other")), id="two signed kinds of one issuer"),
        pytest.param((signed(), opaque(name="signed")), id="one name"),
        pytest.param(
            (opaque(carriers=(BEARER, OTHER_HEADER)), opaque(name="other", carriers=(OTHER_HEADER,))), id="one of two"
        ),
    ],
)
def test_refuses_kinds_that_take_the_same_tokens(kinds: tuple[Kind, ...]) -> None:
    for order in (kinds, kinds[::-1]):
        with pytest.raises(SettingsError) as caught:
            Verifier(*order)
        assert CLIENT_SECRET not in str(caught.value)
        assert "give" in str(caught.value)


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param((signed(), opaque()), id="signed and opaque"),
        pytest.param((signed(issuer=UNCHECKED), opaque()), id="any issuer, by shape"),
        pytest.param((signed(issuer=PROVIDER), opaque()), id="the same issuer, by shape"),
        pytest.param((signed(), opaque(jwt_shaped=True)), id="by issuer"),
        pytest.param((signed(), signed(name="x", issuer="x"), opaque(jwt_shaped=True)), id="three by issuer"),
        pytest.param((opaque(), opaque(name="other", carriers=(OTHER_HEADER,))), id="by carrier"),
        pytest.param(
            (opaque(), opaque(name="other", carriers=(Cookie("t", origins={"https://example.com"}),))), id="by cookie"
        ),
        pytest.param(
            (signed(issuer=UNCHECKED), opaque(jwt_shaped=True, carriers=(OTHER_HEADER,))), id="any issuer, by carrier"
        ),
    ],
)
def test_takes_kinds_that_can_be_told_apart(kinds: tuple[Kind, ...]) -> None:
    for order in (kinds, kinds[::-1]):
        check_routes(order)
        assert Verifier(*order).kinds == order


def test_knows_when_the_token_alone_does_not_tell_its_kind() -> None:
    assert not kinds_overlap([signed(), opaque()])
    assert not kinds_overlap([signed(), opaque(jwt_shaped=True)])
    assert kinds_overlap([opaque(), opaque(name="other", carriers=(OTHER_HEADER,))])
    assert kinds_overlap([signed(issuer=PROVIDER), opaque(jwt_shaped=True, carriers=(OTHER_HEADER,))])


# --- Never as another kind -------------------------------------------------------------------------------------------

ISSUERS: st.SearchStrategy[Any] = st.sampled_from(
    [ISSUER, PROVIDER, "https://x.example.com", "", None, 5, ..., [ISSUER], {}]
)
SEGMENT = st.text("abcXYZ019-_", min_size=1, max_size=12)
TOKENS = st.one_of(
    st.builds(
        lambda issuer, key, alg: mint(claims({"iss": issuer}), key=key, alg=alg),
        ISSUERS,
        st.sampled_from([OLD_SECRET, "another secret, of thirty-two bytes at least"]),
        st.sampled_from(["HS256", "HS512"]),
    ),
    st.lists(SEGMENT, min_size=1, max_size=6).map(".".join),
    st.binary(max_size=40).map(jwt_like),
    st.text("ab.=-_~+/", min_size=1, max_size=30),
)


def test_never_takes_for_signed_what_no_key_has_signed() -> None:
    """Whatever the provider calls good is of the kind that the provider is asked about."""
    with ScriptedProvider(says(iss=...)) as provider, ExitStack() as stack:
        at = provider.url(ENDPOINT)
        pairs = [(signed(), opaque(jwt_shaped=shaped, introspection_endpoint=at)) for shaped in (False, True)]
        by_shape, by_issuer = (stack.enter_context(Verifier(*pair, clock=lambda: NOW)) for pair in pairs)

        @given(token=TOKENS)
        def holds(token: str) -> None:
            for verifier in (by_shape, by_issuer):
                try:
                    accepted = verifier.verify(token)
                except InvalidToken:
                    continue
                assert accepted.kind == "opaque"
                assert verifier is by_issuer or not is_signed_in_shape(token)

        holds()


def is_signed_in_shape(token: str) -> bool:
    return token.count(".") == 2 and all(token.split(".")) and set(token) <= _LETTERS


@given(issuer=ISSUERS, shaped=st.booleans())
def test_never_takes_for_opaque_what_a_signed_kind_claims(issuer: Any, shaped: bool) -> None:
    token = mint(claims({"iss": issuer}))
    expected = "opaque" if shaped and issuer in (PROVIDER, None, ...) else "no_route"
    if issuer == ISSUER:
        expected = "signed"
    assert _route(token, [signed(), opaque(jwt_shaped=shaped)]) == expected


@given(token=TOKENS, names=st.permutations(["signed", "other", "opaque"]))
def test_routes_alike_in_whatever_order_the_kinds_stand(token: str, names: list[str]) -> None:
    known = {
        "signed": signed(),
        "other": signed(name="other", issuer="https://x.example.com", keys=SharedSecrets(OLD_SECRET)),
        "opaque": opaque(jwt_shaped=True),
    }
    assert _route(token, [*known.values()]) == _route(token, [known[name] for name in names])


def _route(token: str, kinds: list[Kind]) -> str:
    try:
        return kind_for(token.encode(), kinds).name
    except InvalidToken as refusal:
        return refusal.reason


_LETTERS = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_shows_no_signed_token_to_the_provider_of_opaque_ones_whatever_its_carrier(court: Court) -> None:
    judge = court.judge(signed(carriers=(OTHER_HEADER,)), asking(court))
    verification, token = judge.itself.verification, mint(claims()).encode()
    for route in (verification.route(carrier=BEARER), verification.route(kind="opaque")):
        with pytest.raises(InvalidToken, match="no configured kind"):
            judge.run(partial(verification.verdict, token, route))
    assert court.provider.connections == 0
