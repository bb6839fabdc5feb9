"""Somebody who visits the demo over real HTTP, without a browser."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from typing import Any

from bearerguard.demo import Demo
from tests.doors import Answer

PATIENCE_SECONDS = 20.0


class Visitor:
    """Asks one demo: its doors with a token, its controls with JSON."""

    def __init__(self, demo: Demo) -> None:
        self.demo = demo
        self.origin = demo.url.rstrip("/")

    def asks(
        self, method: str, path: str, *, headers: Sequence[tuple[str, str]] = (), body: bytes | None = None
    ) -> Answer:
        """The answer to a request; header names may repeat, and a Host among them is the only one."""
        connection = HTTPConnection(self.demo.host, self.demo.port, timeout=PATIENCE_SECONDS)
        try:
            connection.putrequest(method, path, skip_host=any(name.lower() == "host" for name, _ in headers))
            for name, value in (*headers, *([] if body is None else [("Content-Length", str(len(body)))])):
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            fields = [(name.lower(), value) for name, value in response.getheaders()]
            return Answer(response.status, fields, response.read())
        finally:
            connection.close()

    def calls(self, door: str, route: str, token: str | None = None) -> Answer:
        """The answer of a route such as "GET /me" behind a door."""
        method, _, path = route.partition(" ")
        headers = [] if token is None else [("Authorization", f"Bearer {token}")]
        return self.asks(method, f"/{door}{path}", headers=headers)

    def tells(self, control: str, /, **said: Any) -> Answer:
        """The answer of a control such as "store"."""
        body = json.dumps(said).encode()
        return self.asks("POST", f"/api/{control}", headers=[("Content-Type", "application/json")], body=body)

    def mints(self, kind: str, **wanted: Any) -> str:
        """A token of that kind."""
        return str(self.minted(kind, **wanted)["token"])

    def minted(self, kind: str, **wanted: Any) -> Mapping[str, Any]:
        """A token of that kind, and what it says."""
        answer = self.tells("tokens", kind=kind, **wanted)
        assert answer.status == 200, answer.body
        said: Mapping[str, Any] = answer.json()
        return said


def reason(answer: Answer) -> str | None:
    """The reason word that the demo names beside an answer."""
    return answer.header("x-demo-reason")
