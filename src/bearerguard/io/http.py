"""What an outbound request carries, and which answers are taken: the words that both flavours share."""

from __future__ import annotations

import functools
import logging
import math
import ssl
import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
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

# A context, and not a threading.local: one made before gevent patches would be shared by all greenlets.
_ends_at: ContextVar[float] = ContextVar("bearerguard_call_ends_at", default=math.inf)


# What httpcore says at DEBUG of our calls would quote a provider that echoes what it was sent.
_LOGGERS: Final = ("httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks")


class NoAnswer(Exception):
    """Why there is no answer, in words of our own."""


def queue_is_full() -> NoAnswer:
    """So many calls wait that one more would wait in vain."""
    return NoAnswer(f"{MOST_WAITING} calls wait already")


def waited_in_vain() -> NoAnswer:
    """Nobody in front of the call was served in time."""
    return NoAnswer(f"{MOST_AT_ONCE} calls were under way all the time")


@contextmanager
def ending(at: float) -> Generator[None]:
    """The call that is made inside must have ended at that monotonic time."""
    token = _ends_at.set(at)
    try:
        yield
    finally:
        _ends_at.reset(token)


def time_left(step: float | None = None) -> float:
    """How long the next step of the call may take: its own bound, or less when the deadline is near."""
    left = _ends_at.get() - time.monotonic()
    if left <= 0:
        raise TimeoutError("the call did not end inside its deadline")
    return min(left, STEP_SECONDS if step is None else step)


def public_authorities() -> ssl.SSLContext:
    """The TLS settings of every call; reading the certificates takes 20 ms, so once per process."""
    return _authorities_for(ssl.SSLContext)


# Gevent puts a class of its own in the place of Python's, and one that was made before would hold up every greenlet.
@functools.cache
def _authorities_for(kind: type[ssl.SSLContext]) -> ssl.SSLContext:  # noqa: ARG001
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


def _is_of_another(_: logging.LogRecord) -> bool:
    """Whether what is logged now is of a call that is not ours."""
    return _ends_at.get() == math.inf


for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(_is_of_another)
