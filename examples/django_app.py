"""A Whatalo plugin on Django, in one file: the orders of one store, behind the WSGI door or behind the ASGI door.

Set WHATALO_CLIENT_ID and WHATALO_CLIENT_SECRET, then one of:
gunicorn --chdir examples django_app:application
uvicorn --app-dir examples django_app:asgi_application
"""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST

import bearerguard.asgi
import bearerguard.wsgi
from bearerguard import Verifier, current_claims, requires_scope, single_use
from bearerguard.platforms import whatalo

verifier = Verifier(
    whatalo.session_tokens(
        client_id=os.environ["WHATALO_CLIENT_ID"],
        client_secret=os.environ["WHATALO_CLIENT_SECRET"],
    ),
    store=os.environ.get("BEARERGUARD_STORE", "memory://"),
)

# In a project this is settings.py. The middleware of bearerguard answers what guards refuse: put it last.
if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["localhost", "127.0.0.1", ".example.com"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware", "bearerguard.django.RefusalMiddleware"],
    )


def health(_: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


@requires_scope("read:orders")
def orders(_: HttpRequest) -> HttpResponse:
    return JsonResponse({"store": current_claims().require_tenant(), "orders": [1001, 1002]})


# A project with Django's CSRF middleware exempts such views: nobody but the front end can put the token in a header.
@require_POST
@requires_scope("write:orders")
@single_use
async def refund(_: HttpRequest, number: int) -> HttpResponse:
    """Money goes out here once for each token, so the front end fetches a fresh one for this call."""
    return JsonResponse({"store": current_claims().tenant, "refunded": number})


urlpatterns = [
    path("health", health),
    path("orders", orders),
    path("orders/<int:number>/refund", refund),
]

# In a project the first line stands in wsgi.py and the second one in asgi.py.
application = bearerguard.wsgi.SessionTokenMiddleware(get_wsgi_application(), verifier=verifier, exempt=("/health",))
asgi_application = bearerguard.asgi.SessionTokenMiddleware(
    get_asgi_application(), verifier=verifier, exempt=("/health",)
)
