"""An OAuth provider for tests: it issues tokens, answers about them, and fails as it is told to."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock
from typing import Any

from ..checks import check_seconds, check_text, check_time
from ..errors import SettingsError
from ..settings.opaque import check_issuer_url
from .asgi_delivery import Receive, Scope, Send, answer_over_asgi
from .keys import TestKeys
from .minting import Signer, signed
from .payloads import check_names
from .provider_answers import FAULTS, PATHS, Desk, Endpoint, Fault, Reply, Request, faulty, reply_to
from .thread_server import serving


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the provider: where it went, whose it was if its credentials were good, how it was answered."""

    endpoint: Endpoint | None
    method: str
    client_id: str | None
    answered: int | Fault


class FakeProvider:
    """An OAuth provider for tests: metadata, key set, access tokens, introspection and revocation.

    ```python
    with FakeProvider(audience="https://orders.example.com").serve() as provider:
        verifier = Verifier(
            oauth.opaque_access_tokens(
                provider.issuer,
                "https://orders.example.com",
                client_id=provider.client_id,
                client_secret=provider.client_secret,
            )
        )
        claims = verifier.verify(provider.issue(user="anna", scopes={"read:orders"}))
    ```

    `serve()` runs it in a thread, at a port of this machine that is free. It is an ASGI application as well; give it
    the `issuer` that it is mounted at. `audience` is whom its tokens are for unless they say otherwise, `tenant_claim`
    where they name a tenant.
    """

    def __init__(
        self,
        *,
        client_id: str = "test-api",
        client_secret: str | None = None,
        keys: TestKeys | None = None,
        issuer: str | None = None,
        clock: Callable[[], float] = time.time,
        audience: str | None = None,
        tenant_claim: str = "tenant",
    ) -> None:
        check_text("client_id", client_id)
        check_text("tenant_claim", tenant_claim)
        if issuer is not None:
            check_issuer_url(issuer)
        self.client_id = client_id
        self.client_secret: str = secrets.token_urlsafe(32) if client_secret is None else client_secret
        check_text("client_secret", self.client_secret)
        self._issuer = issuer
        self._served_at: str | None = None
        self._clock = clock
        self._audience = audience
        self._tenant_claim = tenant_claim
        self._keys = (keys or TestKeys(),)
        self._facts: dict[str, dict[str, Any]] = {}
        self._calls: list[Call] = []
        self._faults: dict[Endpoint | None, Fault] = {}
        self._released = Event()
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<FakeProvider {self._issuer or self._served_at or 'not served'}>"

    @property
    def issuer(self) -> str:
        """Its name: the one that it was given, else the address that it is served at."""
        issuer = self._issuer or self._served_at
        if issuer is None:
            raise SettingsError(
                "the provider is not served, so it has no address; write with provider.serve() as provider: ..., "
                "or give the issuer that it is mounted at: FakeProvider(issuer='http://127.0.0.1:8000')"
            )
        return issuer

    def url(self, endpoint: Endpoint) -> str:
        """The address of an endpoint, as in `JwksKeys(provider.url("jwks"))`."""
        if endpoint not in PATHS:
            raise SettingsError(f"{endpoint!r} is no endpoint; use one of {', '.join(map(repr, PATHS))}")
        return f"{(self._served_at or self.issuer).removesuffix('/')}{PATHS[endpoint]}"

    @property
    def keys(self) -> TestKeys:
        """The keys that it signs with, for `mint(settings, keys=provider.keys)`."""
        return self._keys[0]

    @property
    def calls(self) -> Sequence[Call]:
        """What it was asked, in order."""
        return tuple(self._calls)

    # --- Tokens ------------------------------------------------------------------------------------------------------

    def issue(
        self,
        *,
        tenant: str | None = None,
        user: str | None = None,
        scopes: Collection[str] = (),
        audience: str | None = None,
        client_id: str | None = None,
        lifetime: float = 3600,
        active: bool = True,
        **facts: Any,
    ) -> str:
        """An opaque token of 43 letters, about which introspection says these facts; one that is None is left out."""
        said = self._said(tenant, user, scopes, audience, client_id, lifetime)
        said |= {"token_type": "Bearer", "active": active, **facts}
        return self._noted(secrets.token_urlsafe(32), said)

    def mint(
        self,
        *,
        tenant: str | None = None,
        user: str | None = None,
        scopes: Collection[str] = (),
        audience: str | None = None,
        client_id: str | None = None,
        lifetime: float = 3600,
        algorithm: str = "RS256",
        **claims: Any,
    ) -> str:
        """A JWT access token (RFC 9068), signed with its keys; a claim that is None is left out."""
        said = self._said(tenant, user, scopes, audience, client_id, lifetime)
        said = {"sub": said["client_id"], "jti": str(uuid.uuid4()), **said, **claims}
        said = {name: value for name, value in said.items() if value is not None}
        token = signed(said, Signer.of(self.keys, algorithm), typ="at+jwt", headers={})
        return self._noted(token, {**said, "active": True})

    def revoke(self, token: str) -> None:
        """Call a token inactive from now on; so does its revocation endpoint."""
        facts = self._facts.get(token)
        if facts is not None:
            self._facts[token] = {**facts, "active": False}

    def rotate_keys(self, *, keep_old: bool = False) -> None:
        """Sign with new keys. The old ones leave the key set, unless they are kept for the tokens that they signed."""
        self._keys = (TestKeys(), *(self._keys if keep_old else ()))

    def _said(
        self,
        tenant: str | None,
        user: str | None,
        scopes: Collection[str],
        audience: str | None,
        client_id: str | None,
        lifetime: float,
    ) -> dict[str, Any]:
        check_names("scopes", scopes)
        check_seconds("lifetime", lifetime, -315_360_000, 315_360_000)
        now = self._clock()
        check_time("the provider's clock", now)
        said = {
            "iss": self.issuer,
            "aud": self._audience if audience is None else audience,
            "client_id": "test-app" if client_id is None else client_id,
            "sub": user,
            self._tenant_claim: tenant,
            "scope": " ".join(sorted(scopes)) or None,
            "iat": int(now),
            "exp": int(now) + lifetime,
        }
        return {name: value for name, value in said.items() if value is not None}

    def _noted(self, token: str, facts: dict[str, Any]) -> str:
        self._facts[token] = {name: value for name, value in facts.items() if value is not None}
        return token

    # --- Faults ------------------------------------------------------------------------------------------------------

    def fail(self, fault: Fault, *, at: Endpoint | None = None) -> None:
        """Fail from now on, everywhere or at one endpoint.

        "refuse" ends the connection without an answer, "hang" never answers, "drip" sends ten bytes a second, "500"
        and "garbage" answer so, "truncate" breaks off in the middle.
        """
        if fault not in FAULTS:
            raise SettingsError(f"{fault!r} is no fault; use one of {', '.join(map(repr, FAULTS))}")
        if at is not None and at not in PATHS:
            raise SettingsError(f"{at!r} is no endpoint; use one of {', '.join(map(repr, PATHS))}")
        with self._lock:
            self._faults = {**self._faults, at: fault}

    def recover(self) -> None:
        """Answer as it should again; who hangs is let go, without an answer."""
        with self._lock:
            self._faults = {}
            self._released.set()
            self._released = Event()

    # --- Answers -----------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Reply:
        """What it answers to a request, and how that goes wrong."""
        desk = Desk(
            issuer=self.issuer,
            urls={endpoint: self.url(endpoint) for endpoint in PATHS},
            client=(self.client_id, self.client_secret),
            now=self._clock(),
            keys=self._keys,
            facts=self._facts.get,
            revoke=self.revoke,
            issue=lambda scopes, audience: self.issue(
                scopes=scopes, audience=audience, client_id=self.client_id, sub=self.client_id
            ),
        )
        reply = reply_to(request, desk)
        fault = self._faults.get(reply.endpoint) or self._faults.get(None)
        self._calls.append(Call(reply.endpoint, request.method, reply.client_id, fault or reply.status))
        return faulty(reply, fault, self._released)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        await answer_over_asgi(self.answer, scope, receive, send)

    @contextmanager
    def serve(self, *, port: int = 0) -> Iterator[FakeProvider]:
        """Run it in a thread at `http://127.0.0.1`, at a free port unless one is given, until the block ends."""
        if self._served_at is not None:
            raise SettingsError(f"the provider is served already, at {self._served_at}; make another one")
        with serving(self.answer, port) as self._served_at:
            try:
                yield self
            finally:
                self._served_at = None
                self.recover()
