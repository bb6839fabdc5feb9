"""Public keys that are no good keys, and which key may verify which token."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa, x448, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from bearerguard import SettingsError, SignedTokens, StaticKeys, Verifier
from bearerguard.encoding import from_base64url
from tests.hostile import GOOD, claims, key_of, sealed, static, verdict, verifier
from tests.minting import SECRET, base64url, mint, public_jwk

KEY_TYPES = ("RS256", "ES256", "ES384", "ES512", "EdDSA")


def number(value: int) -> str:
    """A number as a JWK spells it."""
    return base64url(value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def jwk_of(key: str, /, **changes: Any) -> dict[str, Any]:
    """The good JWK of a key, with members changed; one that is changed to `...` is left out."""
    whole = public_jwk(key_of(key)) | changes
    return {name: value for name, value in whole.items() if value is not ...}


def assert_refused(jwk: Any) -> None:
    """A bad key alone is a wrong setting, whatever else is beside it."""
    for documents in ((jwk,), ({"keys": [jwk]},), (jwk_of("ES256"), jwk)):
        with pytest.raises(SettingsError, match="StaticKeys"):
            StaticKeys(*documents)


def judge_of(*jwks: dict[str, Any], algorithms: tuple[str, ...]) -> Verifier[SignedTokens]:
    """A verifier that knows these keys."""
    return verifier(keys=StaticKeys({"keys": list(jwks)}), algorithms=algorithms)


# --- What a JWK must not be ------------------------------------------------------------------------------------------

SPOILT_MEMBERS: list[dict[str, Any]] = [
    *({"d": value} for value in ("AA", "", None)),
    *({"k": value} for value in ("AA", "", None)),
    *({"use": value} for value in ("enc", "", None, 5, "SIG", ["sig"], "sig enc")),
    *(
        {"key_ops": value}
        for value in ([], ["sign"], ["encrypt"], ["VERIFY"], "verify", None, {"verify": 1}, 5, [["verify"]])
    ),
    *({"alg": value} for value in ("", 5, True, ["RS256"], {"RS256": 1}, "x" * 300)),
    *({"kid": value} for value in ("", 5, True, ["k1"], {"k1": 1}, "x" * 257)),
    *(
        {"kty": value}
        for value in (..., None, "", 5, ["RSA"], {"RSA": 1}, "rsa", "ec", "okp", "oct", "AKP", "RSA ", "DSA")
    ),
]


@pytest.mark.parametrize("alg", KEY_TYPES)
@pytest.mark.parametrize("spoilt", SPOILT_MEMBERS, ids=lambda spoilt: ascii(spoilt)[:40])
def test_refuses_a_jwk_with_a_member_that_it_must_not_have(alg: str, spoilt: dict[str, Any]) -> None:
    assert_refused(jwk_of(alg, **spoilt))


@pytest.mark.parametrize("alg", ["none", "HS256", "RSA-OAEP", "ECDH-ES", "dir", "RS512", "ES256K", "Ed448", "rs256"])
@pytest.mark.parametrize("key", ["RS256", "ES256", "EdDSA"])
def test_refuses_a_jwk_for_another_algorithm(key: str, alg: str) -> None:
    with pytest.raises(SettingsError, match="fits none of"):
        judge_of(jwk_of(key, alg=alg), algorithms=(key,))


@pytest.mark.parametrize(
    "extra",
    [
        {"use": "sig"},
        {"key_ops": ["verify"]},
        {"key_ops": ["sign", "verify"]},
        {"kid": "k1"},
        {"kid": "x" * 256},
        {"x5c": ["junk"], "x5t": 5, "x5u": "https://evil.example.com"},
        {"iat": 5, "nbf": "x", "ext": True, "more": {"deep": []}},
    ],
    ids=repr,
)
@pytest.mark.parametrize("alg", KEY_TYPES)
def test_takes_a_jwk_with_members_that_do_not_matter(alg: str, extra: dict[str, Any]) -> None:
    judge = judge_of(jwk_of(alg, alg=alg, **extra), algorithms=(alg,))
    assert verdict(judge, mint(claims(), key=key_of(alg), alg=alg)) == GOOD


@pytest.mark.parametrize(
    "jwk", [None, "x", 5, True, [], [{}], {}, {"kty": "RSA"}, {"kty": "EC"}, {"kty": "OKP"}], ids=repr
)
def test_refuses_what_is_no_jwk_in_a_set(jwk: Any) -> None:
    with pytest.raises(SettingsError):
        StaticKeys({"keys": [jwk]})


@pytest.mark.parametrize("secret", [SECRET, "x", ""])
@pytest.mark.parametrize("beside", [{}, {"alg": "HS256"}, {"use": "sig"}, {"kid": "k1"}], ids=repr)
def test_refuses_a_shared_key_among_public_ones(secret: str, beside: dict[str, str]) -> None:
    jwk = {"kty": "oct", "k": base64url(secret.encode())} | beside
    assert_refused(jwk)
    with pytest.raises(SettingsError):
        StaticKeys({"keys": [jwk_of("ES256"), jwk]})


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["AQAB", "P-256", "sig", "A" * 43]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = ("kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops", "d", "k")


@given(st.sampled_from(KEY_TYPES), st.dictionaries(st.sampled_from(MEMBERS), ANY_JSON, min_size=1, max_size=4))
def test_answers_any_jwk_with_an_error_of_its_own(alg: str, members: dict[str, Any]) -> None:
    for document in (jwk_of(alg, **members), members, {"keys": [jwk_of(alg, **members)]}, {"keys": members}):
        with contextlib.suppress(SettingsError):
            StaticKeys(document)


def test_refuses_the_private_half_of_a_key() -> None:
    for alg in KEY_TYPES:
        name = {"RS256": "RS256", "EdDSA": "EdDSA"}.get(alg, "ES256")
        private = jwt.get_algorithm_by_name(name).to_jwk(key_of(alg), as_dict=True)
        assert "d" in private
        assert_refused(private | {"key_ops": ["sign", "verify"]})
        assert_refused({member: value for member, value in private.items() if member != "key_ops"})


# --- How its numbers are spelt ---------------------------------------------------------------------------------------


def numbers_of(alg: str) -> tuple[str, ...]:
    return {"RS256": ("n", "e"), "EdDSA": ("x",)}.get(alg, ("x", "y"))


def lax_spellings(value: str) -> Iterator[Any]:
    """Other ways in which a lax reader would take the same number, and things that are none."""
    raw = from_base64url(value.encode())
    yield from (value + "=", value + "==", f" {value}", f"{value}\n", value[:3] + "\n" + value[3:], f'"{value}"')
    yield from (value + ".", value[:-1] + "\uff21", value[:-1] + "+", value[:-1] + "/", base64url(b"\x00" + raw))
    yield from (int.from_bytes(raw, "big"), raw, value.encode(), [value], {"value": value}, None, "", ..., True)
    if len(value) % 4:
        yield value[:-1] + chr(ord(value[-1]) + 1)


@pytest.mark.parametrize(("alg", "member"), [(alg, member) for alg in KEY_TYPES for member in numbers_of(alg)])
def test_refuses_a_number_that_is_not_spelt_in_the_one_way(alg: str, member: str) -> None:
    for spelling in lax_spellings(public_jwk(key_of(alg))[member]):
        assert_refused(jwk_of(alg, **{member: spelling}))


@pytest.mark.parametrize(("alg", "member"), [(alg, member) for alg in KEY_TYPES[1:] for member in numbers_of(alg)])
def test_refuses_a_number_of_another_length(alg: str, member: str) -> None:
    raw = from_base64url(public_jwk(key_of(alg))[member].encode())
    for other in (raw[:-1], raw[1:], raw + b"\x00", raw + raw, raw[:1], raw.hex().encode()):
        assert_refused(jwk_of(alg, **{member: base64url(other)}))


# --- RSA -------------------------------------------------------------------------------------------------------------


def test_refuses_an_rsa_key_of_a_wrong_size() -> None:
    for bits, is_taken in (
        (512, False),
        (1024, False),
        (2047, False),
        (2048, True),
        (8192, True),
        (8193, False),
        (20_000, False),
    ):
        jwk = {"kty": "RSA", "n": number(2 ** (bits - 1) + 12345), "e": "AQAB"}
        if is_taken:
            assert len(StaticKeys(jwk)) == 1
        else:
            assert_refused(jwk)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 5, 17, 257, 32769, 65535, 65536, 65538, 2**20, 2**32])
def test_refuses_an_rsa_key_of_a_weak_exponent(exponent: int) -> None:
    assert_refused(jwk_of("RS256", e=number(exponent)))


@pytest.mark.parametrize("exponent", [65537, 65539, 2**32 + 15])
def test_takes_an_rsa_key_of_a_sound_exponent(exponent: int) -> None:
    assert len(StaticKeys(jwk_of("RS256", e=number(exponent)))) == 1


def test_refuses_weak_rsa_keys_that_sign_well() -> None:
    for exponent, bits in ((3, 2048), (65537, 1024)):
        key = rsa.generate_private_key(exponent, bits)
        assert_refused(public_jwk(key))
        with pytest.raises(SettingsError, match="RSA key"):
            StaticKeys(_pem(key.public_key()))


# --- Elliptic curves -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "curve",
    [
        ...,
        None,
        "",
        5,
        True,
        [],
        ["P-256"],
        {},
        {"P-256": 1},
        "p-256",
        "P256",
        "secp256r1",
        "P-256K",
        "secp256k1",
        "P-384",
    ],
    ids=repr,
)
@pytest.mark.parametrize("alg", ["ES256", "ES512", "EdDSA"])
def test_refuses_a_key_on_another_curve(alg: str, curve: Any) -> None:
    assert_refused(jwk_of(alg, crv=curve))


def test_refuses_a_point_that_is_not_on_its_curve() -> None:
    field = 2**256 - 2**224 + 2**192 + 2**96 - 1
    good = public_jwk(key_of("ES256"))
    x, y = (int.from_bytes(from_base64url(good[name].encode()), "big") for name in ("x", "y"))
    for wrong_x, wrong_y in ((0, 0), (x, y ^ 1), (y, x), (x, 0), (field, y), (2**256 - 1, 2**256 - 1)):
        jwk = good | {"x": base64url(wrong_x.to_bytes(32, "big")), "y": base64url(wrong_y.to_bytes(32, "big"))}
        assert_refused(jwk)
    if x + field < 2**256:
        assert_refused(good | {"x": base64url((x + field).to_bytes(32, "big"))})


@pytest.mark.parametrize(
    "curve", [ec.SECP192R1(), ec.SECP224R1(), ec.SECP256K1(), ec.BrainpoolP256R1()], ids=lambda c: c.name
)
def test_refuses_a_pem_on_another_curve(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    with pytest.raises(SettingsError, match="curve"):
        StaticKeys(_pem(key.public_key()))
    public = key.public_key().public_numbers()
    size = (curve.key_size + 7) // 8
    numbers = {"x": base64url(public.x.to_bytes(size, "big")), "y": base64url(public.y.to_bytes(size, "big"))}
    for name in ("P-256", "secp256k1", "P-256K"):
        assert_refused({"kty": "EC", "crv": name, **numbers})


@pytest.mark.parametrize(
    ("claimed", "signing"), [("ES256", "ES384"), ("ES256", "ES512"), ("ES384", "ES256"), ("ES512", "ES256")]
)
def test_refuses_a_signature_by_a_key_on_the_curve_of_another_algorithm(claimed: str, signing: str) -> None:
    """PyJWT's own ES256 makes and takes such signatures."""
    if claimed == signing:
        return
    with pytest.raises(SettingsError, match="fits none of"):
        judge_of(jwk_of(signing), algorithms=(claimed,))
    judge = judge_of(jwk_of(signing), jwk_of(claimed), algorithms=(claimed, signing))
    assert verdict(judge, mint(claims(), key=key_of(signing), alg=claimed)) == "bad_signature"
    assert verdict(judge, mint(claims(), key=key_of(signing), alg=signing)) == GOOD


# --- Ed25519 ---------------------------------------------------------------------------------------------------------

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
Point = tuple[int, int]


def _x_of(y: int) -> int | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    for candidate in (root, root * pow(2, (P - 1) // 4, P) % P):
        if (candidate * candidate - square) % P == 0:
            return candidate
    return None


def _sum(one: Point, two: Point) -> Point:
    k = D * one[0] * two[0] * one[1] * two[1] % P
    x = (one[0] * two[1] + two[0] * one[1]) * pow(1 + k, -1, P) % P
    y = (one[1] * two[1] + one[0] * two[0]) * pow(1 - k, -1, P) % P
    return x, y


def _times(factor: int, point: Point) -> Point:
    product: Point = (0, 1)
    for bit in f"{factor:b}":
        product = _sum(product, product)
        if bit == "1":
            product = _sum(product, point)
    return product


@cache
def points_of_small_order() -> frozenset[Point]:
    """The eight of them, found by multiplying points at random with the order of the curve's large subgroup."""
    found: set[Point] = set()
    for y in range(2, 200):
        x = _x_of(y)
        if x is not None and len(found) < 8:
            rest = _times(ORDER, (x, y))
            found |= {_times(factor, rest) for factor in range(8)}
    assert len(found) == 8
    return frozenset(found)


def encodings_of_small_order() -> list[bytes]:
    """Every 32 bytes that a decoder could take for one of those points, canonical or not."""
    ys = {y for _, y in points_of_small_order()}
    spelt = [y + extra for y in ys for extra in (0, P) if y + extra < 2**255]
    return sorted((y + sign * 2**255).to_bytes(32, "little") for y in spelt for sign in (0, 1))


def test_knows_the_points_of_small_order_that_everybody_knows() -> None:
    """The list that libsodium refuses, to see that this test's own arithmetic is right."""
    known = {
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    }
    made = {(y + (x & 1) * 2**255).to_bytes(32, "little").hex() for x, y in points_of_small_order()}
    assert made == known


@pytest.mark.parametrize("raw", encodings_of_small_order(), ids=bytes.hex)
def test_refuses_an_ed25519_key_of_small_order(raw: bytes) -> None:
    assert_refused({"kty": "OKP", "crv": "Ed25519", "x": base64url(raw)})
    with pytest.raises(SettingsError, match="small order"):
        StaticKeys(_pem(Ed25519PublicKey.from_public_bytes(raw)))


@pytest.mark.parametrize("raw", encodings_of_small_order(), ids=bytes.hex)
def test_refuses_a_token_that_anybody_can_sign_for_a_key_of_small_order(raw: bytes) -> None:
    """With such a key every eighth token verifies under a signature that needs no private key."""
    try:
        judge = verifier(keys=StaticKeys({"kty": "OKP", "crv": "Ed25519", "x": base64url(raw)}), algorithms=("EdDSA",))
    except SettingsError:
        return
    for attempt in range(64):
        head = mint(claims({"jti": f"{attempt}"}), alg="EdDSA", key=key_of("EdDSA")).rpartition(".")[0]
        for point in encodings_of_small_order():
            assert verdict(judge, f"{head}.{base64url(point + bytes(32))}") == "bad_signature"


def test_refuses_an_ed25519_key_that_is_not_spelt_in_the_one_way() -> None:
    for y in range(P, 2**255):
        for sign in (0, 1):
            raw = (y + sign * 2**255).to_bytes(32, "little")
            assert_refused({"kty": "OKP", "crv": "Ed25519", "x": base64url(raw)})


@pytest.mark.parametrize("length", [0, 1, 16, 31, 33, 56, 57, 64])
def test_refuses_an_ed25519_key_of_a_wrong_length(length: int) -> None:
    assert_refused(jwk_of("EdDSA", x=base64url(bytes(range(1, length + 1)))))


def test_refuses_other_keys_of_that_family() -> None:
    for key, curve in (
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
        (x25519.X25519PrivateKey.generate(), "X25519"),
        (x448.X448PrivateKey.generate(), "X448"),
    ):
        raw = base64url(key.public_key().public_bytes_raw())
        for name in (curve, "Ed25519"):
            if (curve, name) != ("X25519", "Ed25519"):
                assert_refused({"kty": "OKP", "crv": name, "x": raw})
        with pytest.raises(SettingsError, match="not RSA, EC or Ed25519"):
            StaticKeys(_pem(key.public_key()))


def test_refuses_a_dsa_key() -> None:
    with pytest.raises(SettingsError, match="not RSA, EC or Ed25519"):
        StaticKeys(_pem(dsa.generate_private_key(2048).public_key()))


def test_refuses_an_ed448_signature_told_as_eddsa() -> None:
    """PyJWT's own EdDSA takes both."""
    header, payload, _ = mint(claims(), alg="EdDSA", key=key_of("EdDSA")).split(".")
    signed = ed448.Ed448PrivateKey.generate().sign(f"{header}.{payload}".encode())
    assert verdict(static("EdDSA"), f"{header}.{payload}.{base64url(signed)}") == "bad_signature"


@pytest.mark.parametrize("of_key", [..., "EdDSA", "Ed25519"], ids=repr)
@pytest.mark.parametrize("of_token", ["EdDSA", "Ed25519"])
def test_takes_both_names_of_ed25519_for_the_same(of_key: Any, of_token: str) -> None:
    token = mint(claims(), key=key_of("EdDSA"), alg=of_token)
    jwk = jwk_of("EdDSA", alg=of_key)
    assert verdict(judge_of(jwk, algorithms=("EdDSA", "Ed25519")), token) == GOOD
    assert verdict(judge_of(jwk, algorithms=(of_token,)), token) == GOOD
    other = "Ed25519" if of_token == "EdDSA" else "EdDSA"
    assert verdict(judge_of(jwk, algorithms=(other,)), token) == "bad_algorithm"


# --- Which key may verify --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_key", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
@pytest.mark.parametrize("of_token", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_lets_a_key_verify_the_algorithm_that_it_names_alone(of_key: str, of_token: str) -> None:
    algorithms = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
    judge = judge_of(jwk_of("RS256", alg=of_key, kid="k1"), algorithms=algorithms)
    token = mint(claims(), key=key_of("RS256"), alg=of_token, headers={"kid": "k1"})
    assert verdict(judge, token) == (GOOD if of_key == of_token else "unknown_key")
    without = mint(claims(), key=key_of("RS256"), alg=of_token)
    assert (verdict(judge, without) == GOOD) is (of_key == of_token)


def test_takes_256_keys_and_no_more() -> None:
    jwk = jwk_of("EdDSA")
    assert len(StaticKeys({"keys": [jwk] * 256})) == 256
    with pytest.raises(SettingsError, match="at most 256"):
        StaticKeys({"keys": [jwk] * 257})
    with pytest.raises(SettingsError, match="at most 256"):
        StaticKeys({"keys": [{"use": "enc"}] * 256 + [jwk]})


def test_tries_16_keys_for_a_token_without_a_kid() -> None:
    names = [f"key {number}" for number in range(20)]
    jwks = [public_jwk(key_of("EdDSA", name), kid=name) for name in names]
    judge = judge_of(*jwks, algorithms=("EdDSA",))
    for place, name in enumerate(names):
        without = mint(claims(), key=key_of("EdDSA", name), alg="EdDSA")
        assert verdict(judge, without) == (GOOD if place < 16 else "bad_signature")
        named = mint(claims(), key=key_of("EdDSA", name), alg="EdDSA", headers={"kid": name})
        assert verdict(judge, named) == GOOD


def test_tries_16_keys_that_fit() -> None:
    others = [public_jwk(key_of("EdDSA", f"key {number}")) for number in range(20)]
    judge = judge_of(*others, jwk_of("ES256"), algorithms=("EdDSA", "ES256"))
    assert verdict(judge, mint(claims(), key=key_of("ES256"), alg="ES256")) == GOOD


KIDS = [
    pytest.param(["k1"], {"k1": GOOD, "k2": "unknown_key", None: GOOD}, id="one key with a kid"),
    pytest.param([None], {"k1": GOOD, "k2": GOOD, None: GOOD}, id="one key without a kid"),
    pytest.param([None, None], {"k1": "unknown_key", None: GOOD}, id="two keys without a kid"),
    pytest.param(["k1", None], {"k1": GOOD, "k2": "unknown_key", None: GOOD}, id="a key with a kid, one without"),
    pytest.param([None, "k2"], {"k1": "unknown_key", "k2": "bad_signature", None: GOOD}, id="the other way round"),
    pytest.param(["k1", "k1"], {"k1": GOOD, None: GOOD}, id="two keys of one kid"),
]


@pytest.mark.parametrize(("kids", "expected"), KIDS)
def test_takes_a_kid_at_its_word(kids: list[str | None], expected: dict[str | None, str]) -> None:
    names = ["first", "second"][: len(kids)]
    named = zip(names, kids, strict=True)
    judge = judge_of(
        *(public_jwk(key_of("EdDSA", name), **({"kid": kid} if kid else {})) for name, kid in named),
        algorithms=("EdDSA",),
    )
    for kid, reason in expected.items():
        headers = {"kid": kid} if kid else {}
        assert verdict(judge, mint(claims(), key=key_of("EdDSA"), alg="EdDSA", headers=headers)) == reason


def test_takes_the_second_of_two_keys_of_one_kid() -> None:
    jwks = [public_jwk(key_of("EdDSA", name), kid="k1") for name in ("first", "second")]
    judge = judge_of(*jwks, algorithms=("EdDSA",))
    for name, reason in (("first", GOOD), ("second", GOOD), ("third", "bad_signature")):
        token = mint(claims(), key=key_of("EdDSA", name), alg="EdDSA", headers={"kid": "k1"})
        assert verdict(judge, token) == reason


def test_gives_a_pem_no_name() -> None:
    judge = verifier(
        keys=StaticKeys(*(_pem(key_of("EdDSA", name).public_key()) for name in ("first", "second"))),
        algorithms=("EdDSA",),
    )
    assert verdict(judge, mint(claims(), key=key_of("EdDSA"), alg="EdDSA")) == GOOD
    assert verdict(judge, mint(claims(), key=key_of("EdDSA"), alg="EdDSA", headers={"kid": "k1"})) == "unknown_key"
    single = verifier(keys=StaticKeys(_pem(key_of("EdDSA").public_key())), algorithms=("EdDSA",))
    assert verdict(single, mint(claims(), key=key_of("EdDSA"), alg="EdDSA", headers={"kid": "k1"})) == GOOD


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_refuses_a_signature_of_any_length(alg: str) -> None:
    """Whatever the crypto library raises, the signature was not verified."""
    judge = static(alg)
    header, payload, _ = mint(claims(), key=key_of(alg), alg=alg).split(".")
    for length in (1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 257, 512, 4096):
        assert verdict(judge, f"{header}.{payload}.{base64url(bytes(length))}") == "bad_signature"
        assert verdict(judge, f"{header}.{payload}.{base64url(bytes([255]) * length)}") == "bad_signature"
    assert verdict(judge, sealed(header, payload, key=key_of(alg), alg=alg)) == GOOD


def _pem(key: Any) -> bytes:
    pem: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem
