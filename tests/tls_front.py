"""TLS before a server that has none: our Redis and Valkey are built without it.

authority = Authority(tmp_path)
with TlsFront(redis_server.port, authority, demands_certificate=True) as front:
    client = redis.Redis.from_url(front.url + authority.query(authority.client()))
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import itertools
import socket
import ssl
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.background_server import CHUNK, LOOPBACK, BackgroundServer, connected_to

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in files."""

    path: Path
    key_path: Path


class Authority:
    """Vouches for servers and clients with its own certificate, which is at `path`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.path = self._issue(self._name, self._key, _authority_only(), _DAY).path

    def server(self, *names: str, lifetime: datetime.timedelta = _DAY) -> Certificate:
        """A server's certificate, for localhost and 127.0.0.1 unless other names are given."""
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names or ("localhost", LOOPBACK)])
        return self._issued([alternatives, _use(ExtendedKeyUsageOID.SERVER_AUTH)], lifetime)

    def client(self, *, lifetime: datetime.timedelta = _DAY) -> Certificate:
        """A client's certificate; with a negative lifetime, here too, it has expired."""
        return self._issued([_use(ExtendedKeyUsageOID.CLIENT_AUTH)], lifetime)

    def query(self, client: Certificate | None = None) -> str:
        """What a redis-py URL says to trust this authority, and to show the client's certificate."""
        shown = {"ssl_certfile": client.path, "ssl_keyfile": client.key_path} if client else {}
        return "?" + urlencode({"ssl_ca_certs": self.path, **shown})

    def _issued(self, extensions: Sequence[x509.ExtensionType], lifetime: datetime.timedelta) -> Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"number {next(self._numbers)}")])
        extensions = [x509.BasicConstraints(ca=False, path_length=None), *extensions]
        return self._issue(name, ec.generate_private_key(ec.SECP256R1()), extensions, lifetime)

    def _issue(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extensions: Sequence[x509.ExtensionType],
        lifetime: datetime.timedelta,
    ) -> Certificate:
        ends = datetime.datetime.now(datetime.UTC) + lifetime
        builder = x509.CertificateBuilder(self._name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(ends - 2 * _DAY).not_valid_after(ends)
        for extension in [*extensions, *self._identifiers(key)]:
            builder = builder.add_extension(extension, critical=isinstance(extension, _CRITICAL))
        return self._kept(builder.sign(self._key, hashes.SHA256()), key)

    def _identifiers(self, key: ec.EllipticCurvePrivateKey) -> list[x509.ExtensionType]:
        return [
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
        ]

    def _kept(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Certificate:
        pem = serialization.Encoding.PEM
        path = self._folder / f"{certificate.serial_number}.crt"
        path.write_bytes(certificate.public_bytes(pem))
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.with_suffix(".key").write_bytes(private)
        return Certificate(path, path.with_suffix(".key"))


_CRITICAL = (x509.BasicConstraints, x509.KeyUsage)


def _authority_only() -> list[x509.ExtensionType]:
    no = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), False)
    usage = x509.KeyUsage(
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False, **no
    )
    return [x509.BasicConstraints(ca=True, path_length=0), usage]


def _use(what: x509.ObjectIdentifier) -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage([what])


def _general_name(name: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


class TlsFront:
    """Listens on a port of its own, speaks TLS there, and passes everything on to a plain server."""

    def __init__(
        self,
        upstream_port: int,
        authority: Authority,
        *,
        certificate: Certificate | None = None,
        demands_certificate: bool = False,
    ) -> None:
        """Show `certificate`, else a good one; the authority vouches for the clients where they must show theirs."""
        self.upstream_port = upstream_port
        self.passed = 0
        self._tls = _serving(certificate or authority.server(), authority if demands_certificate else None)
        self._server = BackgroundServer("TLS front", self._serve)
        self.port = self._server.port

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The server behind it, as redis-py names it, with no word of whom to trust."""
        return f"rediss://{LOOPBACK}:{self.port}/0"

    def close(self) -> None:
        """Reset every connection, give the port back and end the thread."""
        self._server.close()

    async def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, _Ended):
            wire = _TlsWire(client, self._tls)
            await wire.shake_hands()
            self.passed += 1
            with closing(await connected_to(self.upstream_port)) as server:
                await _between(wire, server)


class _Ended(Exception):
    """One side is done."""


class _TlsWire:
    """The client's connection, in plain words."""

    def __init__(self, client: socket.socket, tls: ssl.SSLContext) -> None:
        self._client = client
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._loop = asyncio.get_running_loop()
        self._one_sends = asyncio.Lock()

    async def shake_hands(self) -> None:
        """Agree with the client, or tell it why not."""
        try:
            while not self._has_agreed():
                await self._send()
                await self._receive()
        finally:
            await self._send()

    async def read(self) -> bytes:
        """What the client says next."""
        while True:
            with suppress(ssl.SSLWantReadError):
                return self._tls.read(CHUNK)
            await self._receive()

    async def write(self, chunk: bytes) -> None:
        """Say something to the client."""
        self._tls.write(chunk)
        await self._send()

    def _has_agreed(self) -> bool:
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
            return True
        return False

    async def _receive(self) -> None:
        chunk = await self._loop.sock_recv(self._client, CHUNK)
        if not chunk:
            raise _Ended
        self._incoming.write(chunk)

    async def _send(self) -> None:
        async with self._one_sends:
            await self._loop.sock_sendall(self._client, self._outgoing.read())


async def _between(client: _TlsWire, server: socket.socket) -> None:
    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as ways:
            ways.create_task(_commands(client, server))
            ways.create_task(_replies(client, server))


async def _commands(client: _TlsWire, server: socket.socket) -> None:
    while chunk := await client.read():
        await asyncio.get_running_loop().sock_sendall(server, chunk)
    raise _Ended


async def _replies(client: _TlsWire, server: socket.socket) -> None:
    while chunk := await asyncio.get_running_loop().sock_recv(server, CHUNK):
        await client.write(chunk)
    raise _Ended


def _serving(certificate: Certificate, demands: Authority | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path, certificate.key_path)
    if demands is not None:
        context.load_verify_locations(demands.path)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
