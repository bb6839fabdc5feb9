"""For Django: answers what guards and verifiers refuse, which Django itself would make a 500 of.

```python
MIDDLEWARE = [..., "bearerguard.django.RefusalMiddleware"]
```

The door stands around Django's application, in `wsgi.py` and in `asgi.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .access import as_raised
from .doorway import answer_body
from .errors import AuthError, Unavailable
from .extras import brought_by

with brought_by("django"):
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase

__all__ = ["RefusalMiddleware"]


class RefusalMiddleware:
    """Answers the refusals that views raise, with their challenge; put it last in `MIDDLEWARE`.

    It is no door: without one around Django, guarded views are a 500, and all others are open.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Hand the request on."""
        return self._get_response(request)

    def process_exception(self, _request: HttpRequest, error: Exception) -> HttpResponse | None:
        """The answer to a refusal; None leaves other exceptions to Django."""
        if not isinstance(error, (AuthError, Unavailable)):
            return None
        refusal: AuthError | Unavailable = as_raised(error)  # type: ignore[assignment]
        return HttpResponse(answer_body(refusal), "application/json", status=refusal.status, headers=refusal.headers())
