"""For FastAPI: claims as parameters, and what it shows of guarded routes: the lock, the scopes, the refusals.

```python
app = FastAPI(responses=bearerguard.fastapi.RESPONSES)
```
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Generic, TypeVar

from starlette.requests import HTTPConnection

from .access import current_access
from .errors import SettingsError
from .extras import brought_by
from .requirements import shaped_claims

with brought_by("fastapi"):
    from fastapi import Security
    from fastapi.openapi.models import HTTPBearer
    from fastapi.openapi.models import SecurityBase as SecurityScheme
    from fastapi.security import SecurityScopes
    from fastapi.security.base import SecurityBase

__all__ = ["RESPONSES", "BearerToken", "claims_as"]

_Shape = TypeVar("_Shape")

_REFUSAL: dict[str, Any] = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "detail": {"type": "string"}},
}


def _response(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _REFUSAL}}}


RESPONSES: dict[int | str, dict[str, Any]] = {
    401: _response("No token, or one that is not good"),
    403: _response("The token lacks a scope"),
    503: _response("The token could not be checked; try again"),
}
"""The answers of the door and its guards, for `FastAPI(responses=...)`."""


class BearerToken(SecurityBase):
    """The security scheme of guarded routes; it asks what their guard asks, before the body is validated."""

    model: SecurityScheme = HTTPBearer(description="A bearer token")
    scheme_name: str = "BearerToken"

    def __init__(self, check: Callable[[Any], object]) -> None:
        self._check = check

    async def __call__(self, _: HTTPConnection) -> None:
        """Refuse the request if its token is not enough. Nothing is spent here: FastAPI caches dependencies."""
        self._check(current_access())


def security_parameter(name: str, check: Callable[[Any], object], scopes: tuple[str, ...]) -> inspect.Parameter:
    """The parameter that makes FastAPI document and ask a guard."""
    annotation = Annotated[None, Security(BearerToken(check), scopes=list(scopes))]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


def claims_as(shape: type[_Shape], *, kind: str | None = None) -> Callable[..., Awaitable[_Shape]]:
    """The claims of the request as the TypedDict of their preset, for a parameter.

    ```python
    Session = Annotated[whatalo.SessionClaims, Depends(claims_as(whatalo.SessionClaims))]


    @app.get("/installation")
    async def installation(session: Session) -> dict[str, str]:
        return {"store": session["storeId"]}
    ```

    It guards its route as well: a token of another kind is 403, and no token is 401. Scopes that `Security(...,
    scopes=[...])` names are asked for. Where several kinds of a verifier have this TypedDict, `kind` says which one.
    Two calls with the same arguments are equal, so `app.dependency_overrides` finds it.
    """
    if not hasattr(shape, "__required_keys__"):
        raise SettingsError("claims_as takes the TypedDict of a preset; write claims_as(whatalo.SessionClaims)")
    return _ClaimsAs(shape, kind)


class _ClaimsAs(SecurityBase, Generic[_Shape]):
    """A dependency, the same for the same TypedDict: FastAPI asks it once for each request and set of scopes."""

    model: SecurityScheme = BearerToken.model
    scheme_name: str = BearerToken.scheme_name

    def __init__(self, shape: type[_Shape], kind: str | None) -> None:
        self._asked = (shape, kind)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ClaimsAs) and self._asked == other._asked

    def __hash__(self) -> int:
        return hash(self._asked)

    async def __call__(self, _: HTTPConnection, asked: SecurityScopes) -> _Shape:
        """The claims, where the token is of this kind and grants what is asked."""
        shape, kind = self._asked
        return shaped_claims(current_access(), shape, kind=kind, scopes=tuple(asked.scopes))
