"""A good token in which one thing was changed is never a good token."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from bearerguard import SharedSecrets, SignedTokens, Verifier
from tests.hostile import GOOD, claims, key_of, static, verdict, verifier
from tests.minting import SECRET, SigningKey, mint

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
OTHERS = ".=+/ \n\t\x00~%\u00e9\u0131\uff21\U0001f600\ud800"

LONG_RUN = {
    "HS256": 150_000,
    "HS384": 10_000,
    "HS512": 10_000,
    "RS256": 12_000,
    "RS384": 4_000,
    "RS512": 4_000,
    "PS256": 4_000,
    "PS384": 2_000,
    "PS512": 2_000,
    "ES256": 12_000,
    "ES384": 2_000,
    "ES512": 1_500,
    "EdDSA": 12_000,
    "Ed25519": 4_000,
}


def secret_or_key(alg: str) -> SigningKey:
    return SECRET * 2 if alg.startswith("HS") else key_of(alg)


def judge_of(alg: str, *, remember_tokens: int = 100) -> Verifier[SignedTokens]:
    if alg.startswith("HS"):
        keys = SharedSecrets(SECRET * 2)
        return verifier(keys=keys, algorithms=("HS256", "HS384", "HS512"), remember_tokens=remember_tokens)
    return static(alg, remember_tokens=remember_tokens)


def good_token(alg: str, number: int = 0) -> str:
    changes = ({}, {"jti": ...}, {"sub": "\u00e9" * number}, {"deep": {"x": [1, {"y": "z" * number}]}})[number % 4]
    return mint(
        claims(changes), key=secret_or_key(alg), alg=alg, headers=({}, {"typ": None}, {"kid": "k1"})[number % 3]
    )


def every_bit_flipped(token: str) -> Iterator[str]:
    for place, letter in enumerate(token):
        for bit in range(8):
            yield token[:place] + chr(ord(letter) ^ (1 << bit)) + token[place + 1 :]


def every_letter_left_out(token: str) -> Iterator[str]:
    for place in range(len(token)):
        yield token[:place] + token[place + 1 :]


def every_two_letters_swapped(token: str) -> Iterator[str]:
    for place in range(len(token) - 1):
        if token[place] != token[place + 1]:
            yield token[:place] + token[place + 1] + token[place] + token[place + 2 :]


def every_letter_at_the_ends(token: str) -> Iterator[str]:
    """The last letter of a segment has bits that mean nothing: each of its 63 neighbours is another token."""
    ends = [token.index(".") - 1, token.rindex(".") - 1, len(token) - 1]
    for place in ends:
        for letter in LETTERS:
            if letter != token[place]:
                yield token[:place] + letter + token[place + 1 :]


def flipped(token: str, dice: random.Random, count: int) -> Iterator[str]:
    """So many tokens in which one letter was changed, put in, or left out."""
    for _ in range(count):
        place, luck = dice.randrange(len(token)), dice.random()
        if luck < 0.45:
            yield token[:place] + chr(ord(token[place]) ^ (1 << dice.randrange(8))) + token[place + 1 :]
        elif luck < 0.9:
            letter = dice.choice(LETTERS)
            yield token[:place] + (letter if letter != token[place] else dice.choice(OTHERS)) + token[place + 1 :]
        elif luck < 0.95:
            yield token[:place] + dice.choice(LETTERS + OTHERS) + token[place:]
        else:
            yield token[:place] + token[place + 1 :]


def assert_none_is_taken(judge: Verifier[SignedTokens], token: str, changed: Iterator[str]) -> int:
    """None of the changed tokens passes, and nothing but our own errors comes; how many there were."""
    count = 0
    assert verdict(judge, token) == GOOD
    for other in changed:
        assert other != token
        assert verdict(judge, other) != GOOD, other
        count += 1
    assert verdict(judge, token) == GOOD
    return count


@pytest.mark.parametrize("remember_tokens", [0, 100])
@pytest.mark.parametrize(
    "changes", [every_bit_flipped, every_letter_left_out, every_two_letters_swapped, every_letter_at_the_ends]
)
def test_refuses_every_small_change(changes: Callable[[str], Iterator[str]], remember_tokens: int) -> None:
    token = good_token("HS256")
    judge = judge_of("HS256", remember_tokens=remember_tokens)
    assert assert_none_is_taken(judge, token, changes(token)) > 180


@pytest.mark.parametrize("alg", LONG_RUN)
def test_refuses_a_change_at_the_end_of_a_segment(alg: str) -> None:
    assert assert_none_is_taken(judge_of(alg), good_token(alg), every_letter_at_the_ends(good_token(alg))) == 3 * 63


@pytest.mark.parametrize("alg", LONG_RUN)
def test_refuses_a_change_anywhere(alg: str) -> None:
    token = good_token(alg)
    assert assert_none_is_taken(judge_of(alg), token, flipped(token, random.Random(alg), 100)) == 100


@pytest.mark.long
@pytest.mark.parametrize("alg", LONG_RUN)
def test_refuses_a_change_anywhere_at_length(alg: str) -> None:
    dice, judge, rounds = random.Random(f"long {alg}"), judge_of(alg), 20
    for number in range(rounds):
        token = good_token(alg, number)
        count = LONG_RUN[alg] // rounds
        assert assert_none_is_taken(judge, token, flipped(token, dice, count)) == count


def test_changes_enough_tokens_in_the_long_run() -> None:
    assert sum(LONG_RUN.values()) >= 200_000
