"""Which token a request presents, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote_plus

from ..carriers import Carrier, Cookie, Header, Query
from ..encoding import ALPHABET
from ..errors import ForeignOrigin, InvalidRequest, InvalidToken, MissingToken

TOKEN68 = ALPHABET + b".~+/"
MOST_AROUND_TOKEN = 64
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
DOCUMENTS = frozenset({"document", "iframe", "frame", "embed", "object", "fencedframe"})

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = rf"{_WORD}\s*=\s*(?:[^\s,\"]+|\"(?:[^\"\\]|\\.)*\")"
# RFC 9110, 11.4: the one credential that has commas inside. Servers join repeated headers with commas as well.
_WITH_PARAMETERS = re.compile(rf"{_WORD} +{_PARAMETER}(?:\s*,\s*{_PARAMETER})*")


class Head(Protocol):
    """The part of a request that comes before its body, at either door."""

    @property
    def method(self) -> str:
        """The request's method, in capitals; GET for a WebSocket."""
        ...

    @property
    def is_websocket(self) -> bool:
        """Whether this is a WebSocket's handshake."""
        ...

    @property
    def path(self) -> str:
        """The decoded path below the door."""
        ...

    @property
    def query(self) -> str:
        """The query string as it was sent."""
        ...

    def fields(self, name: str) -> Sequence[str]:
        """The values of a header by its lower-case name."""
        ...


@dataclass(frozen=True, slots=True)
class Presented:
    """A token, and the carrier that it came in."""

    token: bytes = field(repr=False)
    carrier: Carrier


def presented(head: Head, carriers: Sequence[Carrier], *, max_bytes: int) -> Presented:
    """The one token that the request presents; MissingToken where there is none.

    A header wins over a cookie and a cookie over the query, and the failure of the one that wins is final.
    """
    found = _in_headers(head, carriers, max_bytes)
    if found is not None:
        if any(in_query(head.query, carrier.name)[0] for carrier in carriers if isinstance(carrier, Query)):
            raise InvalidRequest("several_credentials")
        return found
    for carrier in carriers:
        token = _elsewhere(head, carrier)
        if token is not None:
            return Presented(_token68(token, max_bytes), carrier)
    raise MissingToken


def _in_headers(head: Head, carriers: Sequence[Carrier], max_bytes: int) -> Presented | None:
    for carrier in carriers:
        if not isinstance(carrier, Header):
            continue
        fields = head.fields(carrier.name)
        if fields:
            if sum(map(len, fields)) > max_bytes + MOST_AROUND_TOKEN:
                raise InvalidToken("too_large")
            if len(fields) > 1:
                raise InvalidRequest("several_credentials")
            token = _of_header(fields[0], carrier.scheme)
            if token is not None:
                return Presented(_token68(token, max_bytes), carrier)
    return None


def _of_header(value: str, scheme: str | None) -> str | None:
    if scheme is None:
        return value.strip(" \t") or None
    if "," in value and not _WITH_PARAMETERS.fullmatch(value):
        raise InvalidRequest("several_credentials")
    named, _, token = value.partition(" ")
    return token.lstrip(" ") if named.lower() == scheme else None


def _token68(token: str, max_bytes: int) -> bytes:
    """The token as bytes, if it is a b64token (RFC 6750, section 2.1)."""
    if len(token) > max_bytes:
        raise InvalidToken("too_large")
    text = token.encode("utf-8", "surrogatepass")
    check_token68(text)
    return text


def check_token68(token: bytes) -> None:
    """InvalidRequest unless these are the letters of a bearer token (RFC 6750, section 2.1)."""
    letters = token.rstrip(b"=")
    if not letters or letters.translate(None, TOKEN68):
        raise InvalidRequest("malformed_credentials")


def _elsewhere(head: Head, carrier: Carrier) -> str | None:
    if isinstance(carrier, Cookie):
        return _of_cookie(head, carrier)
    return _of_query(head, carrier) if isinstance(carrier, Query) else None


def _of_cookie(head: Head, carrier: Cookie) -> str | None:
    values = [
        value.strip(" \t")
        for field in head.fields("cookie")
        for name, is_pair, value in (pair.partition("=") for pair in field.split(";"))
        if is_pair and name.strip(" \t") == carrier.name
    ]
    if not values:
        return None
    if len(values) > 1:
        raise InvalidRequest("several_credentials")
    if not _is_of_our_origin(head, carrier.origins):
        raise ForeignOrigin
    return values[0]


def _is_of_our_origin(head: Head, origins: frozenset[str]) -> bool:
    if head.method in SAFE_METHODS and not head.is_websocket:
        return True
    sent = head.fields("origin")
    return (len(sent) == 1 and sent[0] in origins) or list(head.fields("sec-fetch-site")) == ["same-origin"]


def _of_query(head: Head, carrier: Query) -> str | None:
    values, _ = in_query(head.query, carrier.name)
    if not values:
        return None
    if len(values) > 1:
        raise InvalidRequest("several_credentials")
    destinations = head.fields("sec-fetch-dest")
    if head.method != "GET" or head.is_websocket or not DOCUMENTS.issuperset(destinations):
        raise InvalidRequest("query_not_a_document")
    return values[0]


def in_query(query: str, name: str) -> tuple[list[str], str]:
    """The values of a query parameter, and the query without it."""
    if not query:
        return [], query
    values: list[str] = []
    rest: list[str] = []
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if unquote_plus(key) == name:
            values.append(unquote_plus(value))
        else:
            rest.append(pair)
    return values, "&".join(rest)


def without_parameters(query: str, names: Iterable[str]) -> str:
    """The query without the parameters of these names."""
    for name in names:
        _, query = in_query(query, name)
    return query


def carriers_in_order(kinds: Iterable[Sequence[Carrier]]) -> tuple[Carrier, ...]:
    """Every carrier of several kinds, once, in the order in which the settings state them."""
    return tuple(dict.fromkeys(carrier for carriers in kinds for carrier in carriers))
