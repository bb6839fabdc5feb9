"""What an outbound request carries, and which answers are taken: the words that both flavours share."""

from __future__ import annotations

import functools
import ssl
from typing import Final

import httpx

from ..core.ports import HttpAnswer, HttpRequest

MOST_BODY_BYTES: Final = 64 * 1024
MOST_AT_ONCE: Final = 32
MOST_WAITING: Final = 256
GATE_SECONDS: Final = 0.5
STEP_SECONDS: Final = 1.0

# Node and uvicorn hang up after 5 s of silence: hanging up before them keeps a request off a dying connection.
KEPT_ALIVE_SECONDS: Final = 4.0

_STEPS: Final = httpx.Timeout(STEP_SECONDS).as_dict()
_SPEAK_OF_THE_NETWORK: Final = (httpx.TimeoutException, httpx.NetworkError, OSError)


class NoAnswer(Exception):
    """Why there is no answer, in words of our own."""


@functools.cache
def public_authorities() -> ssl.SSLContext:
    """The TLS settings of every call; reading the certificates takes 20 ms, so once per process."""
    return httpx.create_ssl_context(trust_env=False)


def outgoing(request: HttpRequest) -> httpx.Request:
    """The request as it goes out."""
    headers = {"user-agent": "bearerguard"}
    headers.update((name.lower(), value) for name, value in request.headers.items())
    headers["accept-encoding"] = "identity"
    return httpx.Request(
        request.method, request.url, headers=headers, content=request.body, extensions={"timeout": _STEPS}
    )


class Incoming:
    """An answer on its way in, refused as soon as it breaks a bound."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._body = bytearray()
        _refuse_encoded(response.headers.get("content-encoding", ""))
        _refuse_longer_than_bound(int(response.headers.get("content-length", "0")))

    def add(self, piece: bytes) -> None:
        """Take the next piece of the body, as it came over the wire."""
        _refuse_longer_than_bound(len(self._body) + len(piece))
        self._body += piece

    def whole(self) -> HttpAnswer:
        """The answer, once its body has ended."""
        return HttpAnswer(self._response.status_code, dict(self._response.headers.items()), bytes(self._body))


def cause_of(error: Exception) -> Exception:
    """What may be told of a failure: an error of the protocol quotes what was sent or read, so its text is dropped."""
    if isinstance(error, (*_SPEAK_OF_THE_NETWORK, NoAnswer)):
        return error
    if isinstance(error, httpx.RemoteProtocolError):
        return httpx.RemoteProtocolError("the answer is not HTTP, or it ended early")
    return NoAnswer(f"the call failed with {type(error).__name__}")


def _refuse_encoded(encoding: str) -> None:
    if encoding.strip().lower() not in ("", "identity"):
        raise NoAnswer("the answer is encoded, though identity was asked for")


def _refuse_longer_than_bound(length: int) -> None:
    if length > MOST_BODY_BYTES:
        raise NoAnswer(f"the answer is longer than {MOST_BODY_BYTES} bytes")
