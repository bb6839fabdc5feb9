"""Keys derived from a client secret, each for one purpose, and what is sealed with them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

_SALT = b"bearerguard/v1"
_NONCE_BYTES = 12


def derived_key(secret: bytes, *words: str) -> bytes:
    """32 bytes that only who knows `secret` can find (HKDF-SHA256), others for every list of words."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=32, salt=_SALT, info=length_prefixed(words)).derive(secret)


def length_prefixed(words: Iterable[str]) -> bytes:
    """`words` in one text that no other list of words spells."""
    return b"".join([prefixed(word.encode("utf-8")) for word in words])


def prefixed(part: bytes) -> bytes:
    """`part` behind its length: a row of such parts can be read in one way only."""
    return b"%d:%b" % (len(part), part)


class BegunMac:
    """HMAC-SHA256 of texts that all begin alike: hashing the key and the beginning is done once."""

    __slots__ = ("_begun",)

    def __init__(self, key: bytes, beginning: bytes) -> None:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.hmac import HMAC

        self._begun = HMAC(key, SHA256())
        self._begun.update(beginning)

    def of(self, rest: bytes) -> bytes:
        """The code of the beginning with this behind it."""
        mac = self._begun.copy()
        mac.update(rest)
        return mac.finalize()


def sealed(key: bytes, text: bytes, *, bound_to: bytes) -> bytes:
    """`text`, readable with `key` alone, and only where it is bound to the same words (AES-256-GCM)."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, text, bound_to)


def opened(key: bytes, box: bytes, *, bound_to: bytes) -> bytes | None:
    """What was sealed; None for anything else."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError):
        return None
