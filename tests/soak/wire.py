"""HTTP as the callers speak it: one request, its answer, and what the answer means."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from .oracle import Door, Verdict

PATIENCE_SECONDS = 30.0
LOOPBACK = "127.0.0.1"

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_PID = re.compile(rb"\r\nx-pid: *(\d+)", re.IGNORECASE)
_TOOK = re.compile(rb"\r\nx-took: *([0-9.]+)", re.IGNORECASE)
_SAID = re.compile(rb'error_description="([^"]*)"')
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_WORDS = {
    b"the token has expired": Verdict.EXPIRED,
    b"the token has been revoked": Verdict.REVOKED,
    b"the token has already been used": Verdict.REPLAYED,
    b"the token is not valid": Verdict.INVALID,
}
_PATHS = {Door.PLAIN: "GET /plain", Door.SCOPED: "GET /scoped", Door.ONCE: "POST /once"}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, or what there was instead of one."""

    verdict: Verdict
    status: int = 0
    pid: int = 0
    took: float | None = None
    text: str = ""


def request_of(door: Door, token: str) -> bytes:
    """The request that shows a token at a door; none where the text is empty."""
    shown = f"Authorization: Bearer {token}\r\n" if token else ""
    length = "Content-Length: 0\r\n" if door is Door.ONCE else ""
    return f"{_PATHS[door]} HTTP/1.1\r\nHost: soak\r\n{shown}{length}\r\n".encode()


def post(target: str) -> bytes:
    """A request without a body."""
    return f"POST {target} HTTP/1.1\r\nHost: soak\r\nContent-Length: 0\r\n\r\n".encode()


def answer_of(head: bytes, body: bytes) -> Answer:
    """What an answer means."""
    status = int(head[9:12])
    pid, took = _PID.search(head), _TOOK.search(head)
    return Answer(
        _verdict(status, head),
        status,
        int(pid[1]) if pid else 0,
        float(took[1]) if took else None,
        (head + body).decode("latin-1"),
    )


def _verdict(status: int, head: bytes) -> Verdict:
    lowered = head.lower()
    is_challenged = b"\r\nwww-authenticate: bearer" in lowered
    if status == 200:
        return Verdict.PASSED
    if status == 401 and is_challenged:
        said = _SAID.search(head)
        return Verdict.INVALID if said is None else _WORDS.get(said[1], Verdict.BROKEN)
    if status == 403 and is_challenged:
        return Verdict.LACKS_SCOPE
    if status == 503 and not is_challenged and b"\r\nretry-after: " in lowered:
        return Verdict.UNAVAILABLE
    return Verdict.BROKEN


class Line:
    """A connection to one server, opened anew where it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        """Connect, unless it is connected."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(LOOPBACK, self._port)

    async def ask(self, request: bytes) -> Answer:
        """The answer to one request."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.open()
                return await self._asked(request)
        except (OSError, EOFError) as error:
            self.close()
            return Answer(Verdict.LOST, text=repr(error))

    async def _asked(self, request: bytes) -> Answer:
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        if _CLOSES.search(head) or length is None:
            self.close()
        return answer_of(head, body)

    def close(self) -> None:
        """Close it; the next request opens it anew."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None
