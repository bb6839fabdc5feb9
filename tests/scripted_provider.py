"""A provider that does what a test tells it to, over real sockets on loopback: it answers, dawdles, lies or breaks.

    with ScriptedProvider(answer(b"{}")) as provider:
        provider.play("/slow", after(0.3, json_answer({"active": True})))
        provider.play("/keys", in_turn(status(503), json_answer({"keys": []})))
        ...
        assert provider.count("/keys") == 2

A play is a function of the `Line`, which is one request and the connection that it came on. The connection is kept
alive after a play that ended a whole answer.
"""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import itertools
import json
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

LOOPBACK = "127.0.0.1"
_PATIENCE = 10.0


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def form(self) -> dict[str, str]:
        """The body, read as a form."""
        return dict(parse_qsl(self.body.decode()))


class HungUp(Exception):
    """The connection is over; no play need go on."""


class Line:
    """One request, and the connection that it came on."""

    def __init__(self, request: Request, connection: socket.socket, closing: threading.Event) -> None:
        self.request = request
        self.is_unanswered = ExitStack()
        self._connection = connection
        self._closing = closing

    def send(self, data: bytes) -> None:
        """Put bytes on the wire, whatever they mean."""
        self.is_unanswered.close()
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise HungUp from error

    def pause(self, seconds: float) -> None:
        """Do nothing for a while, or until the provider is closed."""
        if self._closing.wait(seconds):
            raise HungUp

    def wait_for_hang_up(self) -> None:
        """Do nothing until the other side has gone."""
        with suppress(OSError):
            while self._connection.recv(64 * 1024):
                pass
        raise HungUp

    def hang_up(self) -> None:
        """End the connection in good order."""
        raise HungUp

    def reset(self) -> None:
        """End the connection with an RST."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise HungUp


Play = Callable[[Line], None]


# --- Plays -----------------------------------------------------------------------------------------------------------


def head(status: int = 200, headers: Mapping[str, str] | None = None, *, length: int | None = None) -> bytes:
    """The first lines of an answer."""
    fields = {"content-type": "application/json", **(headers or {})}
    if length is not None:
        fields["content-length"] = str(length)
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode()


def answer(body: bytes = b"{}", status: int = 200, headers: Mapping[str, str] | None = None) -> Play:
    """A whole answer."""
    return lambda line: line.send(head(status, headers, length=len(body)) + body)


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Play:
    """A whole answer in JSON."""
    return answer(json.dumps(value).encode(), status, headers)


def status(code: int, headers: Mapping[str, str] | None = None) -> Play:
    """A status and a short JSON body: 429, 503, ..."""
    return json_answer({"error": "scripted"}, code, headers)


def html() -> Play:
    """A page where JSON was expected."""
    return answer(b"<!doctype html><title>Sign in</title>", headers={"content-type": "text/html"})


def redirect(to: str) -> Play:
    """302 to somewhere else, with a cookie."""
    return answer(b"", 302, {"location": to, "set-cookie": "session=scripted"})


def gzipped(body: bytes = b"{}") -> Play:
    """An answer compressed though nobody asked for it."""
    return answer(gzip.compress(body), headers={"content-encoding": "gzip"})


def chunked(total_bytes: int, *, chunk_bytes: int = 64 * 1024) -> Play:
    """A body of unstated length, in chunks."""

    def play(line: Line) -> None:
        line.send(head(headers={"transfer-encoding": "chunked"}))
        for sent in range(0, total_bytes, chunk_bytes):
            size = min(chunk_bytes, total_bytes - sent)
            line.send(b"%x\r\n%s\r\n" % (size, b"x" * size))
        line.send(b"0\r\n\r\n")

    return play


def truncated(body: bytes = b'{"active": true}') -> Play:
    """Half of the body that the headers promise."""

    def play(line: Line) -> None:
        line.send(head(length=len(body)) + body[: len(body) // 2])
        line.hang_up()

    return play


def dripped(data: bytes, *, every: float = 0.02) -> Play:
    """One byte at a time, and never the end."""

    def play(line: Line) -> None:
        for byte in itertools.cycle(data):
            line.send(bytes([byte]))
            line.pause(every)

    return play


def dripped_headers(*, every: float = 0.02) -> Play:
    """A header that never ends."""

    def play(line: Line) -> None:
        line.send(head()[:-2] + b"x-long: ")
        dripped(b"x", every=every)(line)

    return play


def dripped_body(*, every: float = 0.02) -> Play:
    """A body that never ends, slowly."""

    def play(line: Line) -> None:
        line.send(head(length=60_000))
        dripped(b" ", every=every)(line)

    return play


def after(seconds: float, play: Play) -> Play:
    """The same play, later."""

    def later(line: Line) -> None:
        line.pause(seconds)
        play(line)

    return later


def when(event: threading.Event, play: Play) -> Play:
    """The same play, once the test sets the event."""

    def held(line: Line) -> None:
        event.wait(_PATIENCE)
        play(line)

    return held


def in_turn(*plays: Play) -> Play:
    """The first play for the first request, and so on; the last one for all that follow."""
    turns = itertools.chain(plays, itertools.repeat(plays[-1]))
    lock = threading.Lock()

    def play(line: Line) -> None:
        with lock:
            turn = next(turns)
        turn(line)

    return play


def raw(data: bytes) -> Play:
    """Bytes that may be no HTTP at all, and the end of the connection."""

    def play(line: Line) -> None:
        line.send(data)
        line.hang_up()

    return play


silent: Play = Line.wait_for_hang_up
hang_up: Play = Line.hang_up
reset: Play = Line.reset


# --- The provider ----------------------------------------------------------------------------------------------------


class ScriptedProvider:
    """A server that plays for each path what it was told to, and counts."""

    def __init__(self, default: Play | None = None, *, unasked: Play | None = None, tls: bool = False) -> None:
        """Play `default` for every path without a play of its own; `unasked` when a connection opens."""
        self.requests: list[Request] = []
        self.connections = 0
        self.ended = 0
        self.most_at_once = 0
        self._default = default or answer()
        self._unasked = unasked
        self._plays: dict[str, Play] = {}
        self._tls = serving_tls() if tls else None
        self._unanswered: list[socket.socket] = []
        self._changed = threading.Condition()
        self._live: set[socket.socket] = set()
        self._serving: list[threading.Thread] = []
        self._closing = threading.Event()
        self._listener = _bound(0)
        self.port: int = self._listener.getsockname()[1]
        self.listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def play(self, path: str, play: Play) -> str:
        """Play this for the path from now on; gives its URL."""
        self._plays[path] = play
        return self.url(path)

    def url(self, path: str = "/") -> str:
        """Where a path is asked for."""
        return f"{'https' if self._tls else 'http'}://{LOOPBACK}:{self.port}{path}"

    def count(self, path: str | None = None) -> int:
        """How many requests came, to the path or in all."""
        return sum(path in (None, request.path) for request in list(self.requests))

    def refuse(self) -> None:
        """Be down: the port is ours and nobody listens, and every connection is cut."""
        self._stop()
        self._listener = _bound(self.port)

    def listen(self) -> None:
        """Be up again after `refuse`."""
        self._closing = threading.Event()
        self._listener.listen(128)
        self._accepting = _thread(self._accept, self._listener, self._closing)

    def close(self) -> None:
        """Cut every connection and end every thread."""
        self._stop()

    def wait_for_requests(self, count: int) -> None:
        """Return when so many requests have come."""
        self._wait(lambda: len(self.requests) >= count)

    def wait_for_ended(self, count: int) -> None:
        """Return when so many connections have ended."""
        self._wait(lambda: self.ended >= count)

    def _wait(self, come: Callable[[], bool]) -> None:
        with self._changed:
            if not self._changed.wait_for(come, _PATIENCE):
                raise TimeoutError("what the test waits for has not come")

    def _stop(self) -> None:
        self._closing.set()
        # A connection is the one thing that surely wakes a thread out of accept().
        with suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=1):
            self._accepting.join(_PATIENCE)
        self._listener.close()
        with self._changed:
            live = list(self._live)
        for connection in live:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._serving:
            thread.join(_PATIENCE)
        self._serving.clear()

    def _accept(self, listener: socket.socket, closing: threading.Event) -> None:
        while True:
            connection, _ = listener.accept()
            if closing.is_set():
                connection.close()
                return
            with self._changed:
                self._live.add(connection)
                self.connections += 1
            self._serving.append(_thread(self._serve, connection, self.connections))

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            with suppress(OSError, HungUp), self._secured(connection) as secured:
                if self._unasked is not None:
                    self._unasked(Line(Request("", "", {}, b"", number), secured, self._closing))
                for request in _requests(secured, number):
                    self._answer(request, secured)
        finally:
            connection.close()
            with self._changed:
                self._live.discard(connection)
                self.ended += 1
                self._changed.notify_all()

    @contextmanager
    def _secured(self, connection: socket.socket) -> Generator[socket.socket]:
        if self._tls is None:
            yield connection
            return
        with self._tls.wrap_socket(connection, server_side=True) as secured:
            with self._changed:
                self._live.add(secured)
            try:
                yield secured
            finally:
                with self._changed:
                    self._live.discard(secured)

    def _answer(self, request: Request, connection: socket.socket) -> None:
        line = Line(request, connection, self._closing)
        with line.is_unanswered as counted:
            counted.enter_context(self._counted(request, connection))
            self._plays.get(request.path, self._default)(line)

    @contextmanager
    def _counted(self, request: Request, connection: socket.socket) -> Generator[None]:
        with self._changed:
            self.requests.append(request)
            self._unanswered.append(connection)
            self.most_at_once = max(self.most_at_once, sum(map(_is_open, self._unanswered)))
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._unanswered.remove(connection)


def _is_open(connection: socket.socket) -> bool:
    """Whether the other side has not hung up yet, which the thread that serves it may only learn later."""
    try:
        return bool(socket.socket.recv(connection, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return True
    except OSError:
        return False


def _thread(work: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True, name="scripted provider")
    thread.start()
    return thread


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port))
    return listener


def _requests(connection: socket.socket, number: int) -> Iterable[Request]:
    with connection.makefile("rb") as stream:
        while first := stream.readline():
            method, target, _ = first.decode().split()
            headers = dict(_header(line) for line in iter(stream.readline, b"\r\n"))
            body = stream.read(int(headers.get("content-length", "0")))
            yield Request(method, target, headers, body, number)


def _header(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode().partition(":")
    return name.lower(), value.strip()


@contextmanager
def unreachable() -> Generator[str]:
    """A URL whose port takes no connection and refuses none: its queue is full and nobody accepts."""
    with ExitStack() as held:
        listener = held.enter_context(_bound(0))
        listener.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}/"


# --- TLS -------------------------------------------------------------------------------------------------------------


def serving_tls() -> ssl.SSLContext:
    """What a provider proves itself with: a certificate for 127.0.0.1."""
    certificate, key = _identity()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(key + certificate)
        context.load_cert_chain(file.name)
    return context


def trusting_tls() -> ssl.SSLContext:
    """What a client needs to believe it."""
    certificate, _ = _identity()
    return ssl.create_default_context(cadata=certificate.decode())


@cache
def _identity() -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "scripted provider")])
    now = datetime.datetime.now(datetime.UTC)
    no = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    usage = x509.KeyUsage(True, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False, **no)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private
