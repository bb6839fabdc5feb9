"""The doors that take one sort of token only; `BearerMiddleware` takes every sort."""

from __future__ import annotations

from collections.abc import Iterable

from ..doorway import Preflight, only_opaque, only_signed
from ..settings import OpaqueTokens, ProtectedResource, SignedTokens
from ..verifier import Verifier
from .door import Application, BearerMiddleware


class SessionTokenMiddleware(BearerMiddleware):
    """Lets requests pass that carry a good signed token.

    ```python
    app.add_middleware(SessionTokenMiddleware, verifier=verifier)
    ```

    The arguments are those of `BearerMiddleware`.
    """

    def __init__(
        self,
        app: Application,
        verifier: Verifier[SignedTokens],
        *,
        exempt: Iterable[str] = (),
        optional: bool = False,
        realm: str | None = None,
        preflight: Preflight = "pass",
        resource: ProtectedResource | None = None,
        recheck_seconds: float | None = 30,
    ) -> None:
        super().__init__(
            app,
            only_signed(verifier),
            exempt=exempt,
            optional=optional,
            realm=realm,
            preflight=preflight,
            resource=resource,
            recheck_seconds=recheck_seconds,
        )


class IntrospectionMiddleware(BearerMiddleware):
    """Lets requests pass that carry an opaque token which the provider calls active.

    ```python
    app.add_middleware(IntrospectionMiddleware, verifier=Verifier(OpaqueTokens(...)))
    ```

    The arguments are those of `BearerMiddleware`.
    """

    def __init__(
        self,
        app: Application,
        verifier: Verifier[OpaqueTokens],
        *,
        exempt: Iterable[str] = (),
        optional: bool = False,
        realm: str | None = None,
        preflight: Preflight = "pass",
        resource: ProtectedResource | None = None,
        recheck_seconds: float | None = 30,
    ) -> None:
        super().__init__(
            app,
            only_opaque(verifier),
            exempt=exempt,
            optional=optional,
            realm=realm,
            preflight=preflight,
            resource=resource,
            recheck_seconds=recheck_seconds,
        )
