"""What works with the extra `django`: refusals of views behind the door, in Django's own application."""

from __future__ import annotations

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from bearerguard import current_claims, requires_scope
from bearerguard.wsgi import SessionTokenMiddleware
from tests.packaging.uses.asking import TENANT, answer_of_wsgi, session_token, session_verifier


@requires_scope("read:orders")
def orders(_: HttpRequest) -> JsonResponse:
    return JsonResponse({"store": current_claims().tenant})


urlpatterns = [path("orders", orders)]


if __name__ == "__main__":
    settings.configure(
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=["bearerguard.django.RefusalMiddleware"],
        ROOT_URLCONF="tests.packaging.uses.django",
        SECRET_KEY="-",
    )
    django.setup()
    app = SessionTokenMiddleware(get_wsgi_application(), session_verifier())
    assert answer_of_wsgi(app, None, path="/orders").status == 401
    assert answer_of_wsgi(app, session_token(), path="/orders").json() == {"store": TENANT}
    refused = answer_of_wsgi(app, session_token(scopes=[]), path="/orders")
    assert (refused.status, 'scope="read:orders"' in refused.headers["www-authenticate"]) == (403, True)
