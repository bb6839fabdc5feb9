"""How a form is sent to a provider in a client's own name (RFC 6749, section 2.3.1)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote_plus, urlencode

from ..settings import ClientAuth

FORM = "application/x-www-form-urlencoded"


class Form(NamedTuple):
    """The headers and the body of one POST."""

    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return "<Form>"


def client_form(fields: Mapping[str, str], *, client_id: str, secret: bytes, client_auth: ClientAuth) -> Form:
    """`fields` as a form, with the proof of who sends it in the header or in the body, never in both."""
    headers = {"accept": "application/json", "content-type": FORM}
    everything: dict[str, str | bytes] = dict(fields)
    if client_auth == "client_secret_post":
        everything |= {"client_id": client_id, "client_secret": secret}
    else:
        headers["authorization"] = _basic(client_id, secret, encoded=client_auth == "client_secret_basic")
    return Form(headers, urlencode(everything).encode("ascii"))


def _basic(client_id: str, secret: bytes, *, encoded: bool) -> str:
    """The pair as RFC 6749 asks, form-encoded first, so that a colon in the id is no colon between the two."""
    if encoded:
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode("ascii")
    else:
        pair = client_id.encode("utf-8") + b":" + secret
    return "Basic " + base64.b64encode(pair).decode("ascii")
