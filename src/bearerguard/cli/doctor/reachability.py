"""Why a server does not answer: no such host, nobody who listens, no way there, or something else that listens."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

CONNECT_SECONDS = 1.0


def why_unreachable(host: str, port: int) -> tuple[str, str]:
    """What is wrong on the way to a server, and what to do about it."""
    place = f"{host}:{port}"
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return (
            f"there is no host {host}",
            "look for a misspelling in its name, and whether its name can be resolved here",
        )
    failure: OSError | None = None
    for family, kind, protocol, _, address in addresses[:2]:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.settimeout(CONNECT_SECONDS)
                probe.connect(address)
            return f"{place} listens, and does not answer as it should", "look at the port, and at TLS on either side"
        except OSError as error:
            failure = error
    if isinstance(failure, ConnectionRefusedError):
        return f"nobody listens at {place}", "start the server, or correct host and port"
    return f"{place} cannot be reached", "look at the network, its firewalls and routes"


def place_of_url(url: str) -> tuple[str, int] | None:
    """Host and port of a URL with one host; None for any other."""
    try:
        parts = urlsplit(url)
        usual = {"http": 80, "https": 443}.get(parts.scheme, 6379)
        return (parts.hostname, parts.port or usual) if parts.hostname and "," not in parts.netloc else None
    except ValueError:
        return None
