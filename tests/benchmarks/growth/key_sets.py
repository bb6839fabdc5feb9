"""A token that is seen for the first time, whose kid is one of more and more keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import cycle, islice
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from bearerguard import JwksKeys, StaticKeys, Verifier
from bearerguard.keys.jwk import MAX_KEYS
from tests.scripted_provider import ScriptedProvider, json_answer

from ..harness import Serve
from ..tokens import AUDIENCE, ISSUER, claims
from .series import Series, calling_with, drawn, series, sized
from .users import kind

SIZES = (1, 10, 100, MAX_KEYS)
TOKENS = 512

GROWS = "keys in the set"

Keys = Sequence[tuple[str, Ed25519PrivateKey]]


def measured(rounds: int, sizes: Sequence[int] = SIZES) -> Iterator[Series]:
    """Keys in the settings, and keys that are fetched."""
    keys = [(f"key-{number}", Ed25519PrivateKey.generate()) for number in range(max(sizes))]
    tokens = {size: [_token(*key) for key in islice(cycle(keys[:size]), TOKENS)] for size in sizes}
    in_settings = {size: StaticKeys(_set_of(keys[:size])) for size in sizes}
    with ExitStack() as stack:
        yield _compared("an EdDSA token never seen before, StaticKeys", in_settings, tokens, stack, rounds)
    with ScriptedProvider() as provider, ExitStack() as stack:
        fetched = {size: JwksKeys(provider.play(f"/{size}", json_answer(_set_of(keys[:size])))) for size in sizes}
        yield _compared("an EdDSA token never seen before, JwksKeys", fetched, tokens, stack, rounds)


def _compared(
    check: str,
    sources: Mapping[int, StaticKeys | JwksKeys],
    tokens: Mapping[int, Sequence[str]],
    stack: ExitStack,
    rounds: int,
) -> Series:
    contestants = {sized(size): _first_sight(source, tokens[size], stack) for size, source in sources.items()}
    return series(check, GROWS, contestants, drawn(tokens[min(tokens)], rounds))


def _first_sight(source: StaticKeys | JwksKeys, tokens: Sequence[str], stack: ExitStack) -> Serve:
    """Nothing is remembered, so each check is one of a token that is new."""
    eddsa = kind(keys=source, algorithms=("EdDSA",), issuer=ISSUER, audience=AUDIENCE, remember_tokens=0)
    verifier = stack.enter_context(closing(Verifier(eddsa)))
    return calling_with(verifier.verify, tokens)


def _token(kid: str, key: Ed25519PrivateKey) -> str:
    return jwt.encode(claims(), key, "EdDSA", headers={"kid": kid})


def _set_of(keys: Keys) -> dict[str, Any]:
    return {"keys": [OKPAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid} for kid, key in keys]}
