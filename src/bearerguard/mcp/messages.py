"""JSON-RPC messages, as far as a door must understand them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import AuthError, Unavailable

INVALID_REQUEST = -32600
INTERNAL_ERROR = -32603

_LISTENS = "subscriptions/listen"


class Asked:
    """What a request asks for, read from its body no earlier than somebody wants to know."""

    def __init__(self, http_method: str) -> None:
        self._is_post = http_method == "POST"
        self._chunks: list[bytes] = []
        self._read: Mapping[str, Any] | None = None

    def hear(self, message: Mapping[str, Any]) -> None:
        """Keep what arrives of the body."""
        if self._is_post and self._read is None and message["type"] == "http.request":
            self._chunks.append(message.get("body", b""))

    @property
    def is_a_call(self) -> bool:
        """Whether one answer ends it, other than a stream that waits for whatever happens."""
        method = self._message.get("method")
        return isinstance(method, str) and method != _LISTENS

    @property
    def id(self) -> str | int | None:
        """The id that the answer carries."""
        found = self._message.get("id")
        return found if type(found) in (str, int) else None

    @property
    def _message(self) -> Mapping[str, Any]:
        if self._read is None:
            self._read = _object(b"".join(self._chunks))
            self._chunks = []
        return self._read


def error_data(error: AuthError | Unavailable) -> dict[str, Any]:
    """A refusal as the error of a JSON-RPC answer."""
    code = INTERNAL_ERROR if isinstance(error, Unavailable) else INVALID_REQUEST
    scopes = " ".join(error.answered.challenge.scopes)
    data = {**error.body(), "scope": scopes} if scopes else error.body()
    return {"code": code, "message": error.description, "data": data}


def error_answer(error: AuthError | Unavailable, request_id: str | int | None = None) -> bytes:
    """A refusal as a JSON-RPC answer."""
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "error": error_data(error)}).encode()


def session_not_found() -> bytes:
    """What a client reads that asks for a session which is not there, or is somebody else's."""
    error = {"code": INVALID_REQUEST, "message": "Session not found"}
    return json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()


def as_event(answer: bytes) -> bytes:
    """An answer as the event of a stream."""
    return b"event: message\r\ndata: " + answer + b"\r\n\r\n"


def tells_an_error(body: bytes) -> bool:
    """Whether an answer, or the event that it is, says that what was asked for failed."""
    lines = [line.removeprefix(b"data: ") for line in body.splitlines() if not line.startswith((b"event:", b"id:"))]
    answer = _object(b"".join(lines))
    result = answer.get("result")
    return "error" in answer or (isinstance(result, dict) and result.get("isError") is True)


def says_nothing_yet(body: bytes) -> bool:
    """Whether a part of a stream is only where one could begin again: an event with an id and no message."""
    return body.startswith(b"id:") and b"event:" not in body


def _object(text: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
