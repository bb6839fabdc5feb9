"""What FastAPI shows of guarded routes: the lock, the scopes, and the answers that a refusal gives.

```python
app = FastAPI(responses=bearerguard.fastapi.RESPONSES)
```
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

from starlette.requests import HTTPConnection

from .access import current_access
from .extras import brought_by

with brought_by("fastapi"):
    from fastapi import Security
    from fastapi.openapi.models import HTTPBearer
    from fastapi.openapi.models import SecurityBase as SecurityScheme
    from fastapi.security.base import SecurityBase

__all__ = ["RESPONSES", "BearerToken"]

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

    def __init__(self, check: Callable[[Any], object]) -> None:
        self.model: SecurityScheme = HTTPBearer(description="A bearer token")
        self.scheme_name = "BearerToken"
        self._check = check

    async def __call__(self, _: HTTPConnection) -> None:
        """Refuse the request if its token is not enough. Nothing is spent here: FastAPI caches dependencies."""
        self._check(current_access())


def security_parameter(name: str, check: Callable[[Any], object], scopes: tuple[str, ...]) -> inspect.Parameter:
    """The parameter that makes FastAPI document and ask a guard."""
    annotation = Annotated[None, Security(BearerToken(check), scopes=list(scopes))]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
